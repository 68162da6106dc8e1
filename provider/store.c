/*
 * The OSSL_STORE loader of azihsm: URIs (uri.h): one key, or the names of all keys in the key directory.
 */
#include "algorithms.h"
#include "config.h"
#include "keyload.h"
#include "keymgmt.h"
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

struct store {
    struct provider *provider;
    struct uri uri;
    int expect; /* OSSL_STORE_INFO_, 0 = anything */
    bool done;
    struct dirent **names; /* listing: sorted, freed one by one */
    int count, next;
};

static OSSL_FUNC_store_open_fn store_open;
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
    return raise_error(store->provider, REASON_FILE, "key directory %.100s: %s", directory, strerror(errno));
}

static void *store_open(void *provctx, const char *text)
{
    struct store *store = OPENSSL_zalloc(sizeof(*store));
    char why[200] = "";
    if (store == NULL)
        return NULL;
    store->provider = provctx;
    if (!uri_parse(text, &store->uri, why, sizeof(why)))
        raise_error(store->provider, REASON_URI, "%.*s: %s", uri_shown(text), text, why);
    else if (store->uri.kind != URI_LIST || list_begin(store))
        return store;
    store_close(store);
    return NULL;
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
    const OSSL_PARAM *p = OSSL_PARAM_locate_const(params, OSSL_STORE_PARAM_EXPECT);
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

static struct key *key_of_file(struct store *store, const struct device_choice *choice)
{
    struct provider *provider = store->provider;
    char path[1024], why[200] = "";
    uint8_t *data = NULL;
    size_t len = 0;
    struct key *key;
    bool named = store->uri.kind == URI_NAME;

    if (named ? !keyfile_locate(provider_config(provider)->keys, store->uri.target, path, sizeof(path))
              : snprintf(path, sizeof(path), "%s", store->uri.target) >= (int)sizeof(path)) {
        raise_error(provider, REASON_FILE, "the path is too long");
        return NULL;
    }
    if (keyfile_read(path, &data, &len, why, sizeof(why)) != KEYFILE_OK) {
        raise_error(provider, REASON_FILE, "%s", why);
        return NULL;
    }
    key = key_of_bytes(store, (struct azihsm_bytes){data, len}, path, choice);
    OPENSSL_clear_free(data, len);
    return key;
}

static struct key *load_key(struct store *store)
{
    const struct device_choice choice = {store->uri.device, store->uri.partition, store->uri.pin_source};
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

const OSSL_DISPATCH store_azihsm[] = {
    {OSSL_FUNC_STORE_OPEN, (void (*)(void))store_open},
    {OSSL_FUNC_STORE_SETTABLE_CTX_PARAMS, (void (*)(void))store_settable},
    {OSSL_FUNC_STORE_SET_CTX_PARAMS, (void (*)(void))store_set_params},
    {OSSL_FUNC_STORE_LOAD, (void (*)(void))store_load},
    {OSSL_FUNC_STORE_EOF, (void (*)(void))store_eof},
    {OSSL_FUNC_STORE_CLOSE, (void (*)(void))store_close},
    {0, NULL},
};
