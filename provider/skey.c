/*
 * Life of opaque symmetric keys.
 */
#include "skey.h"

#include "symkind.h"

#include <openssl/crypto.h>
#include <openssl/params.h>
#include <string.h>

struct skey *skey_of_device(struct provider *provider, struct azihsm_key *key, struct azihsm_key *tweak,
                            const char *uri)
{
    struct skey *skey = OPENSSL_zalloc(sizeof(*skey));

    if (skey == NULL) {
        azihsm_key_free(key);
        azihsm_key_free(tweak);
        return NULL;
    }
    skey->provider = provider;
    skey->key = key;
    skey->tweak = tweak;
    if (uri == NULL || (skey->id = OPENSSL_strdup(uri)) != NULL)
        return skey;
    skey_free(skey);
    return NULL;
}

struct skey *skey_of_bytes(struct provider *provider, struct azihsm_bytes bytes)
{
    struct skey *skey = OPENSSL_zalloc(sizeof(*skey));

    if (skey == NULL)
        return NULL;
    skey->provider = provider;
    skey->len = bytes.len;
    /* one more, so that an empty key has an address too */
    if ((skey->bytes = OPENSSL_zalloc(bytes.len + 1)) == NULL) {
        skey_free(skey);
        return NULL;
    }
    if (bytes.len > 0)
        memcpy(skey->bytes, bytes.data, bytes.len);
    return skey;
}

void skey_free(struct skey *skey)
{
    if (skey == NULL)
        return;
    azihsm_key_free(skey->key);
    azihsm_key_free(skey->tweak);
    OPENSSL_clear_free(skey->bytes, skey->len);
    OPENSSL_free(skey->id);
    OPENSSL_free(skey);
}

size_t skey_length(const struct skey *skey)
{
    const struct symkind *kind;

    if (skey->key == NULL)
        return skey->len;
    kind = symkind_find(azihsm_key_kind(skey->key));
    return kind == NULL ? 0 : kind->family == SYMKIND_XTS ? 2 * kind->size : kind->size;
}

void *skey_import_bytes(OSSL_FUNC_skeymgmt_import_fn *import, void *provctx, struct azihsm_bytes bytes)
{
    const OSSL_PARAM params[] = {
        OSSL_PARAM_octet_string(OSSL_SKEY_PARAM_RAW_BYTES, (void *)(uintptr_t)bytes.data, bytes.len),
        OSSL_PARAM_END,
    };

    return import(provctx, OSSL_SKEYMGMT_SELECT_ALL, params);
}
