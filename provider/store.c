/*
 * The OSSL_STORE loaders of azihsm: URIs (uri.h): one key, or the names of all keys in the key directory; and of the
 * pkcs11: URIs that mean the same, where the configuration asks for it. Deleting is here too: a key file, or the named
 * key in the device.
 */
#include "algorithms.h"
#include "config.h"
#include "keyload.h"
#include "keymgmt.h"
#include "newer.h"
#include "uri.h"

#include <dirent.h>
#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/core_object.h>
#include <openssl/crypto.h>
#include <openssl/params.h>
#include <openssl/store.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum { PATH_SIZE = 1024 };

struct store {
    struct provider *provider;
    struct uri uri;
    int expect; /* OSSL_STORE_INFO_, 0 = anything */
    bool done;
    struct dirent **names; /* listing: sorted, freed one by one */
    int count, next;
};

static OSSL_FUNC_store_open_fn azihsm_open, pkcs11_open;
static OSSL_FUNC_store_open_ex_fn azihsm_open_ex, pkcs11_open_ex;
static OSSL_FUNC_store_delete_fn azihsm_delete, pkcs11_delete;
static OSSL_FUNC_store_settable_ctx_params_fn store_settable;
static OSSL_FUNC_store_set_ctx_params_fn store_set_params;
static OSSL_FUNC_store_load_fn store_load;
static OSSL_FUNC_store_eof_fn store_eof;
static OSSL_FUNC_store_close_fn store_close;

static int listed(const struct dirent *entry)
{
    return entry->d_name[0] != '.' &&
           (entry->d_type == DT_REG || entry->d_type == DT_LNK || entry->d_type == DT_UNKNOWN);
}

static int list_begin(struct store *store)
{
    const char *directory = provider_config(store->provider)->keys;
    store->count = scandir(directory, &store->names, listed, alphasort);
    if (store->count >= 0)
        return 1;
    store->count = 0;
    return raise_error(store->provider, REASON_FILE, "key directory %.100s: %s: %s", directory, strerror(errno),
                       errno == EACCES ? "let this user's group read it, or set 'keys' in openssl.cnf"
                                       : "make it, or set 'keys' in openssl.cnf");
}

typedef bool uri_parser(const char *text, struct uri *uri, char *why, size_t why_size);

static struct store *store_new(struct provider *provider, const char *text, uri_parser *parse)
{
    struct store *store = OPENSSL_zalloc(sizeof(*store));
    char why[200] = "";
    if (store == NULL)
        return NULL;
    store->provider = provider;
    if (parse(text, &store->uri, why, sizeof(why)))
        return store;
    raise_error(provider, REASON_URI, "%.*s: %s", uri_shown(text), text, why);
    store_close(store);
    return NULL;
}

static void *open_with(void *provctx, const char *text, const OSSL_PARAM params[], uri_parser *parse)
{
    struct store *store = store_new(provctx, text, parse);
    if (store == NULL || (store_set_params(store, params) && (store->uri.kind != URI_LIST || list_begin(store))))
        return store;
    store_close(store);
    return NULL;
}

static void *azihsm_open(void *provctx, const char *text)
{
    return open_with(provctx, text, NULL, uri_parse);
}

static void *pkcs11_open(void *provctx, const char *text)
{
    return open_with(provctx, text, NULL, uri_parse_pkcs11);
}

/* No passphrase: a credential comes from pin-source, or azihsmd knows the user. */
static void *azihsm_open_ex(void *provctx, const char *text, const OSSL_PARAM params[],
                            OSSL_PASSPHRASE_CALLBACK *passphrase, void *passphrase_arg)
{
    (void)passphrase, (void)passphrase_arg;
    return open_with(provctx, text, params, uri_parse);
}

static void *pkcs11_open_ex(void *provctx, const char *text, const OSSL_PARAM params[],
                            OSSL_PASSPHRASE_CALLBACK *passphrase, void *passphrase_arg)
{
    (void)passphrase, (void)passphrase_arg;
    return open_with(provctx, text, params, uri_parse_pkcs11);
}

static int store_close(void *ctx)
{
    struct store *store = ctx;
    for (int i = store->next; i < store->count; i++)
        free(store->names[i]);
    free(store->names);
    uri_clear(&store->uri);
    OPENSSL_free(store);
    return 1;
}

static const OSSL_PARAM *store_settable(void *provctx)
{
    static const OSSL_PARAM settable[] = {OSSL_PARAM_int(OSSL_STORE_PARAM_EXPECT, NULL), OSSL_PARAM_END};
    (void)provctx;
    return settable;
}

static int store_set_params(void *ctx, const OSSL_PARAM params[])
{
    struct store *store = ctx;
    const OSSL_PARAM *p = params == NULL ? NULL : OSSL_PARAM_locate_const(params, OSSL_STORE_PARAM_EXPECT);
    return p == NULL || OSSL_PARAM_get_int(p, &store->expect);
}

static int store_eof(void *ctx)
{
    const struct store *store = ctx;
    return store->uri.kind == URI_LIST ? store->next == store->count : store->done;
}

/* ---- names ---- */

static int give_name(char *uri, OSSL_CALLBACK *callback, void *arg)
{
    int object = OSSL_OBJECT_NAME;
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_int(OSSL_OBJECT_PARAM_TYPE, &object),
        OSSL_PARAM_construct_utf8_string(OSSL_OBJECT_PARAM_DATA, uri, 0),
        OSSL_PARAM_construct_end(),
    };
    return callback(params, arg);
}

static int load_name(struct store *store, OSSL_CALLBACK *callback, void *arg)
{
    char uri[3 * NAME_MAX + 16];
    struct dirent *entry = store->names[store->next++];
    size_t len = strlen(entry->d_name);
    if (len > 4 && strcmp(entry->d_name + len - 4, ".pem") == 0)
        entry->d_name[len - 4] = '\0';
    int ok = !uri_of_name(entry->d_name, uri, sizeof(uri)) || give_name(uri, callback, arg);
    free(entry);
    return ok;
}

/* ---- keys ---- */

static struct key *key_of_bytes(struct store *store, struct azihsm_bytes data, const char *path,
                                const struct device_choice *choice)
{
    struct keyfile file;
    struct key *key = NULL;
    char why[200] = "";
    switch (keyfile_parse(data, &file, why, sizeof(why))) {
    case KEYFILE_OK:
        key = keyload_file(store->provider, &file, choice);
        if (key == NULL && keyload_type(&file) == KEY_TYPES)
            raise_error(store->provider, REASON_KEY_TYPE, "%.120s: neither an EC nor an RSA key", path);
        break;
    case KEYFILE_NOT_OURS:
        if (store->uri.type != NULL)
            key = keyload_blob(store->provider, data, choice);
        else
            raise_error(store->provider, REASON_KEY_FILE,
                        "%.120s: not a key file (a bare masked key needs type=ec or type=rsa)", path);
        break;
    default:
        raise_error(store->provider, REASON_KEY_FILE, "%.120s: %s", path, why);
    }
    keyfile_clear(&file);
    return key;
}

/* The key file that the URI names, whether it is there or not. */
static int path_of(const struct store *store, char path[PATH_SIZE])
{
    const struct uri *uri = &store->uri;
    bool fits = uri->kind == URI_NAME
                    ? keyfile_locate(provider_config(store->provider)->keys, uri->target, path, PATH_SIZE)
                    : snprintf(path, PATH_SIZE, "%s", uri->target) < PATH_SIZE;
    return fits ? 1 : raise_error(store->provider, REASON_FILE, "the path is too long");
}

/* After a file could not be read. */
static const char *what_to_do(const char *path, bool named)
{
    if (access(path, R_OK) == 0)
        return "";
    if (errno == EACCES)
        return ": let this user read it (chmod, chgrp), and enter its directory";
    return errno == ENOENT && named ? ": 'openssl storeutl azihsm:' lists the keys that there are" : "";
}

static struct key *key_of_file(struct store *store, const struct device_choice *choice)
{
    char path[PATH_SIZE], why[200] = "";
    uint8_t *data = NULL;
    size_t len = 0;
    struct key *key;

    if (!path_of(store, path))
        return NULL;
    if (keyfile_read(path, &data, &len, why, sizeof(why)) != KEYFILE_OK) {
        raise_error(store->provider, REASON_FILE, "%s%s", why, what_to_do(path, store->uri.kind == URI_NAME));
        return NULL;
    }
    key = key_of_bytes(store, (struct azihsm_bytes){data, len}, path, choice);
    OPENSSL_clear_free(data, len);
    return key;
}

static struct device_choice choice_of(const struct store *store)
{
    return (struct device_choice){store->uri.device, store->uri.partition, store->uri.pin_source};
}

static struct key *load_key(struct store *store)
{
    const struct device_choice choice = choice_of(store);
    struct key *key = store->uri.kind == URI_TAG ? keyload_tag(store->provider, store->uri.tag, &choice)
                                                 : key_of_file(store, &choice);
    if (key != NULL && store->uri.type != NULL && strcasecmp(store->uri.type, key_type_name(key_type(key))) != 0) {
        raise_error(store->provider, REASON_KEY_TYPE, "the URI says type=%s, the key is %s", store->uri.type,
                    key_type_name(key_type(key)));
        key_free(key);
        key = NULL;
    }
    return key;
}

static int load_one(struct store *store, OSSL_CALLBACK *callback, void *arg)
{
    struct key *key = NULL, *public;
    int ok = 0;
    store->done = true;
    if (store->expect != 0 && store->expect != OSSL_STORE_INFO_PKEY && store->expect != OSSL_STORE_INFO_PUBKEY)
        return 1; /* certificates and the like do not live here */
    key = load_key(store);
    if (key != NULL && store->expect == OSSL_STORE_INFO_PUBKEY) {
        /* whoever wants a public key gets nothing that could sign */
        public = keymgmt_dup(key, OSSL_KEYMGMT_SELECT_PUBLIC_KEY | OSSL_KEYMGMT_SELECT_ALL_PARAMETERS);
        key_free(key);
        key = public;
    }
    if (key != NULL)
        ok = keyload_deliver(key, callback, arg);
    key_free(key);
    return ok;
}

static int store_load(void *ctx, OSSL_CALLBACK *callback, void *arg, OSSL_PASSPHRASE_CALLBACK *passphrase,
                      void *passphrase_arg)
{
    struct store *store = ctx;
    (void)passphrase, (void)passphrase_arg;
    if (store_eof(store))
        return 0;
    return store->uri.kind == URI_LIST ? load_name(store, callback, arg) : load_one(store, callback, arg);
}

/* ---- deleting ---- */

/* Only what is a key, and of the type that the URI says, if it says one: azihsm:/etc/passwd stays. */
static int delete_file(struct store *store)
{
    struct provider *provider = store->provider;
    struct keyfile file = {0};
    char path[PATH_SIZE], why[200] = "";
    uint8_t *data = NULL;
    size_t len = 0;
    int ok;

    if (!path_of(store, path))
        return 0;
    if (keyfile_read(path, &data, &len, why, sizeof(why)) != KEYFILE_OK)
        return raise_error(provider, REASON_FILE, "%s", why);
    /* of secret keys there is no type to compare, and nothing but the file says what they are */
    if (store->uri.type == NULL &&
        keyfile_parse((struct azihsm_bytes){data, len}, &file, why, sizeof(why)) == KEYFILE_OK)
        ok = 1;
    else {
        struct key *key = load_key(store);
        ok = key != NULL;
        key_free(key);
    }
    keyfile_clear(&file);
    OPENSSL_clear_free(data, len);
    if (ok && !keyfile_remove(path, why, sizeof(why)))
        ok = raise_error(provider, REASON_FILE, "%s", why);
    if (ok)
        trace(provider, AZIHSM_TRACE_KEY, "key file %.140s deleted", path);
    return ok;
}

/* By tag alone, as no secret key has a public half to be looked at. */
static int delete_of_any_type(struct store *store)
{
    const struct device_choice choice = choice_of(store);
    struct azihsm_client *client = NULL;
    struct azihsm_key *key = NULL;
    struct azihsm_error err = {0};
    azihsm_rc rc = provider_client_for(store->provider, &choice, &client, &err);

    if (rc == AZIHSM_OK)
        rc = azihsm_key_from_tag(client, store->uri.tag, &key, &err);
    if (rc == AZIHSM_OK)
        rc = azihsm_key_delete(key, &err);
    azihsm_key_free(key);
    azihsm_client_free(client);
    return rc == AZIHSM_OK || raise_device(store->provider, &err, "DeleteKey");
}

static int delete_of_type(struct store *store)
{
    struct key *key = load_key(store);
    struct azihsm_error err = {0};
    int ok = key != NULL && (azihsm_key_delete(key_device(key), &err) == AZIHSM_OK ||
                             raise_device(store->provider, &err, "DeleteKey"));

    key_free(key);
    return ok;
}

static int delete_tagged(struct store *store)
{
    int ok = store->uri.type == NULL ? delete_of_any_type(store) : delete_of_type(store);

    if (ok)
        trace(store->provider, AZIHSM_TRACE_KEY, "key with tag 0x%x deleted", store->uri.tag);
    return ok;
}

static int delete_with(void *provctx, const char *text, uri_parser *parse)
{
    struct store *store = store_new(provctx, text, parse);
    int ok = 0;

    if (store == NULL)
        return 0;
    if (store->uri.kind == URI_LIST)
        raise_error(store->provider, REASON_URI, "%.*s: it names no key", uri_shown(text), text);
    else
        ok = store->uri.kind == URI_TAG ? delete_tagged(store) : delete_file(store);
    store_close(store);
    return ok;
}

static int azihsm_delete(void *provctx, const char *text, const OSSL_PARAM params[],
                         OSSL_PASSPHRASE_CALLBACK *passphrase, void *passphrase_arg)
{
    (void)params, (void)passphrase, (void)passphrase_arg;
    return delete_with(provctx, text, uri_parse);
}

static int pkcs11_delete(void *provctx, const char *text, const OSSL_PARAM params[],
                         OSSL_PASSPHRASE_CALLBACK *passphrase, void *passphrase_arg)
{
    (void)params, (void)passphrase, (void)passphrase_arg;
    return delete_with(provctx, text, uri_parse_pkcs11);
}

/* A core before 3.2 passes over the numbers that it does not know, and calls open. */
#define STORE(scheme)                                                                                                  \
    const OSSL_DISPATCH store_##scheme[] = {                                                                           \
        {OSSL_FUNC_STORE_OPEN, (void (*)(void))scheme##_open},                                                         \
        {OSSL_FUNC_STORE_OPEN_EX, (void (*)(void))scheme##_open_ex},                                                   \
        {OSSL_FUNC_STORE_SETTABLE_CTX_PARAMS, (void (*)(void))store_settable},                                         \
        {OSSL_FUNC_STORE_SET_CTX_PARAMS, (void (*)(void))store_set_params},                                            \
        {OSSL_FUNC_STORE_LOAD, (void (*)(void))store_load},                                                            \
        {OSSL_FUNC_STORE_EOF, (void (*)(void))store_eof},                                                              \
        {OSSL_FUNC_STORE_CLOSE, (void (*)(void))store_close},                                                          \
        {OSSL_FUNC_STORE_DELETE, (void (*)(void))scheme##_delete},                                                     \
        {0, NULL},                                                                                                     \
    };

STORE(azihsm)
STORE(pkcs11)
