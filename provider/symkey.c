/*
 * Symmetric device keys by URI, and back into key files.
 */
#include "symkey.h"

#include "config.h"
#include "keyfile.h"
#include "symkind.h"
#include "uri.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- from a URI ---- */

/* The client of the device that the URI names, or of the configuration's; the caller's own reference. */
static int client_of(struct provider *provider, const struct uri *uri, struct azihsm_client **client)
{
    const struct device_choice choice = {uri->device, uri->partition, uri->pin_source};
    struct azihsm_error error = {0};

    return provider_ready(provider) && (provider_client_for(provider, &choice, client, &error) == AZIHSM_OK ||
                                        raise_device(provider, &error, "device"));
}

static int path_of(struct provider *provider, const struct uri *uri, char *path, size_t size)
{
    bool ok;

    if (uri->kind == URI_NAME)
        ok = keyfile_locate(provider_config(provider)->keys, uri->target, path, size);
    else if (uri->kind == URI_PATH)
        ok = snprintf(path, size, "%s", uri->target) < (int)size;
    else
        return raise_error(provider, REASON_URI, "a URI of one key is needed");
    return ok || raise_error(provider, REASON_FILE, "the path is too long");
}

/* A key pair that also signs has its second masked key for what is done here: agree on secrets. */
static struct azihsm_bytes blob_for(const struct keyfile *file)
{
    return file->second.len > 0 ? file->second : file->blob;
}

static struct azihsm_key *from_file(struct provider *provider, struct azihsm_client *client, const struct uri *uri)
{
    struct azihsm_error error = {0};
    struct azihsm_key *key = NULL;
    struct keyfile file = {0};
    char path[1024], why[200] = "";
    uint8_t *data = NULL;
    size_t len = 0;

    if (!path_of(provider, uri, path, sizeof(path)))
        return NULL;
    if (keyfile_read(path, &data, &len, why, sizeof(why)) != KEYFILE_OK)
        raise_error(provider, REASON_FILE, "%s", why);
    else if (keyfile_parse((struct azihsm_bytes){data, len}, &file, why, sizeof(why)) != KEYFILE_OK)
        raise_error(provider, REASON_KEY_FILE, "%.120s: %s", path, why[0] == '\0' ? "not a key file of a device" : why);
    else if (azihsm_key_from_blob(client, blob_for(&file), file.spki, &key, &error) != AZIHSM_OK)
        raise_device(provider, &error, "key file");
    keyfile_clear(&file);
    OPENSSL_clear_free(data, len);
    return key;
}

static struct azihsm_key *from_tag(struct provider *provider, struct azihsm_client *client, uint16_t tag)
{
    struct azihsm_error error = {0};
    struct azihsm_key *key = NULL;

    if (azihsm_key_from_tag(client, tag, &key, &error) != AZIHSM_OK)
        raise_device(provider, &error, "OpenKey");
    return key;
}

struct azihsm_key *symkey_load(struct provider *provider, const char *text)
{
    struct azihsm_client *client = NULL;
    struct azihsm_key *key = NULL;
    struct uri uri;
    char why[200] = "";

    if (!uri_parse(text, &uri, why, sizeof(why))) {
        raise_error(provider, REASON_URI, "%.*s: %s", uri_shown(text), text, why);
        return NULL;
    }
    if (client_of(provider, &uri, &client))
        key = uri.kind == URI_TAG ? from_tag(provider, client, uri.tag) : from_file(provider, client, &uri);
    azihsm_client_free(client);
    uri_clear(&uri);
    return key;
}

int symkey_fits(const struct provider *provider, const struct azihsm_key *key, const char *uri, const uint32_t *fitting,
                const char *purpose)
{
    const char *shown = uri == NULL ? "this" : uri;
    uint32_t kind = azihsm_key_kind(key);

    while (*fitting != 0 && *fitting != kind)
        fitting++;
    return *fitting != 0 || raise_error(provider, REASON_KEY_TYPE, "%.*s is a key of kind %s, which does not fit %s",
                                        uri_shown(shown), shown, symkind_name(kind), purpose);
}

int symkey_from_params(struct provider *provider, const OSSL_PARAM params[], const char *name, const uint32_t *fitting,
                       const char *purpose, struct azihsm_key **key)
{
    const OSSL_PARAM *p = params == NULL ? NULL : OSSL_PARAM_locate_const(params, name);
    const char *text = NULL;
    struct azihsm_key *found;

    if (p == NULL)
        return 1;
    if (!OSSL_PARAM_get_utf8_string_ptr(p, &text) || text == NULL)
        return raise_error(provider, REASON_PARAMETER, "%s: a URI is needed", name);
    if ((found = symkey_load(provider, text)) == NULL)
        return 0;
    if (!symkey_fits(provider, found, text, fitting, purpose)) {
        azihsm_key_free(found);
        return 0;
    }
    azihsm_key_free(*key);
    *key = found;
    return 1;
}

/* ---- to a file ---- */

enum azihsm_usage symkey_usage(uint32_t kind)
{
    const struct symkind *found = symkind_find(kind);

    return found != NULL && found->family == SYMKIND_HMAC ? AZIHSM_USAGE_SIGN : AZIHSM_USAGE_DECRYPT;
}

static int encode(struct provider *provider, struct azihsm_key *key, uint8_t **pem, size_t *len)
{
    struct azihsm_bytes label = azihsm_key_label(key);
    struct keyfile file = {.blob = azihsm_key_blob(key), .usage = symkey_usage(azihsm_key_kind(key))};
    unsigned char *algorithm = NULL;
    int size = symkind_algorithm(azihsm_key_kind(key), &algorithm);
    bool ok;

    snprintf(file.label, sizeof(file.label), "%.*s", (int)label.len, label.len > 0 ? (const char *)label.data : "");
    file.algorithm = (struct azihsm_bytes){algorithm, size > 0 ? (size_t)size : 0};
    ok = size > 0 && keyfile_encode_pem(&file, pem, len);
    OPENSSL_free(algorithm);
    return ok || raise_error(provider, REASON_HOST_CRYPTO, "the key cannot be written as a key file");
}

/*
 * Whether what is at path may be replaced: nothing, or a secret key of the same algorithm, as the same derivation made
 * before. Any other key may be the only copy.
 */
static bool may_replace(const char *path, uint32_t kind, char *why, size_t why_size)
{
    struct keyfile file = {0};
    unsigned char *algorithm = NULL;
    uint8_t *data = NULL;
    size_t len = 0;
    int size;
    bool same;

    if (access(path, F_OK) != 0)
        return true;
    if (keyfile_read(path, &data, &len, why, why_size) != KEYFILE_OK)
        return false;
    size = symkind_algorithm(kind, &algorithm);
    same = keyfile_parse((struct azihsm_bytes){data, len}, &file, why, why_size) == KEYFILE_OK && file.spki.len == 0 &&
           size > 0 && file.algorithm.len == (size_t)size &&
           memcmp(file.algorithm.data, algorithm, file.algorithm.len) == 0;
    if (!same)
        snprintf(why, why_size, "%.120s: holds another key, which is not replaced", path);
    keyfile_clear(&file);
    OPENSSL_free(algorithm);
    OPENSSL_clear_free(data, len);
    return same;
}

int symkey_save(struct provider *provider, struct azihsm_key *key, const char *text, bool replace)
{
    bool (*const write)(const char *, struct azihsm_bytes, char *, size_t) = replace ? keyfile_write : keyfile_create;
    char path[1024], why[200] = "";
    uint8_t *pem = NULL;
    size_t len = 0;
    struct uri uri;
    int ok = 0;

    if (!uri_parse(text, &uri, why, sizeof(why)))
        return raise_error(provider, REASON_URI, "%.*s: %s", uri_shown(text), text, why);
    if (path_of(provider, &uri, path, sizeof(path)) && encode(provider, key, &pem, &len))
        ok = ((!replace || may_replace(path, azihsm_key_kind(key), why, sizeof(why))) &&
              write(path, (struct azihsm_bytes){pem, len}, why, sizeof(why))) ||
             raise_error(provider, REASON_FILE, "%s", why);
    OPENSSL_clear_free(pem, len);
    uri_clear(&uri);
    return ok;
}
