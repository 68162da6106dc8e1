/*
 * Key derivation from ECDH secrets into new keys, and HMAC.
 */
#include "emulator/engine_internal.h"

#include "crypto/kdf.h"

#include <openssl/err.h>

enum { KDF_INPUT_MAX = 256 };

azihsm_rc engine_check_target(uint32_t target_kind, size_t length)
{
    const struct engine_kind *info = engine_kind_find(target_kind);

    if (info == NULL)
        return AZIHSM_STATUS_INVALID_KEY_TYPE;
    switch (info->family) {
    case ENGINE_AES:
    case ENGINE_AES_BULK:
    case ENGINE_HMAC:
        return AZIHSM_OK;
    case ENGINE_VAR_HMAC:
        if (length == 0)
            return AZIHSM_STATUS_INVALID_KEY_TYPE;
        return length < info->min_len || length > info->max_len ? AZIHSM_STATUS_INVALID_KEY_LENGTH : AZIHSM_OK;
    default:
        return AZIHSM_STATUS_INVALID_KEY_TYPE;
    }
}

typedef azihsm_rc kdf_function(OSSL_LIB_CTX *libctx, uint32_t hash, struct azihsm_bytes key, struct azihsm_bytes first,
                               struct azihsm_bytes second, uint8_t *out, size_t out_len);

/* What HKDF and KBKDF differ in. */
struct derivation {
    kdf_function *function;
    azihsm_rc bad_input;
    azihsm_rc failed;
};
static const struct derivation hkdf = {kdf_hkdf, AZIHSM_STATUS_HKDF_INVALID_INPUT_PARAM, AZIHSM_STATUS_HKDF_ERROR};
static const struct derivation kbkdf = {kdf_kbkdf, AZIHSM_STATUS_KBKDF_INVALID_INPUT_PARAM, AZIHSM_STATUS_KBKDF_ERROR};

struct derive_request {
    const struct engine_key *secret;
    uint32_t hash;
    struct azihsm_bytes first, second;
    uint32_t target_kind;
    size_t length;
};

static azihsm_rc derive(struct engine *engine, const struct derivation *derivation, const struct derive_request *in,
                        struct engine_key **out)
{
    const struct engine_kind *target = engine_kind_find(in->target_kind);
    azihsm_rc rc = engine_check_target(in->target_kind, in->length);
    struct secret *derived;

    *out = NULL;
    if (rc != AZIHSM_OK)
        return rc;
    if (in->secret->info->family != ENGINE_SECRET)
        return AZIHSM_STATUS_INVALID_KEY_TYPE;
    if (azihsm_hash_size(in->hash) == 0)
        return AZIHSM_STATUS_INVALID_ARG;
    if (in->first.len > KDF_INPUT_MAX || in->second.len > KDF_INPUT_MAX)
        return derivation->bad_input;
    derived = secret_new(target->family == ENGINE_VAR_HMAC ? in->length : target->min_len);
    if (derived == NULL)
        return AZIHSM_E_NO_MEMORY;
    ERR_set_mark();
    rc = derivation->function(engine->libctx, in->hash, secret_view(in->secret->raw), in->first, in->second,
                              derived->data, derived->len);
    ERR_pop_to_mark();
    if (rc == AZIHSM_OK)
        return engine_key_new(engine, in->target_kind, NULL, derived, out);
    secret_free(derived);
    return derivation->failed;
}

azihsm_rc engine_hkdf(struct engine *engine, const struct engine_key *secret, uint32_t hash, struct azihsm_bytes salt,
                      struct azihsm_bytes info, uint32_t target_kind, size_t length, struct engine_key **out)
{
    const struct derive_request in = {secret, hash, salt, info, target_kind, length};

    return derive(engine, &hkdf, &in, out);
}

azihsm_rc engine_kbkdf(struct engine *engine, const struct engine_key *secret, uint32_t hash, struct azihsm_bytes label,
                       struct azihsm_bytes context, uint32_t target_kind, size_t length, struct engine_key **out)
{
    const struct derive_request in = {secret, hash, label, context, target_kind, length};

    return derive(engine, &kbkdf, &in, out);
}

azihsm_rc engine_hmac(struct engine *engine, const struct engine_key *key, struct azihsm_bytes message, uint8_t *tag,
                      size_t *tag_len)
{
    azihsm_rc rc;

    if (key->info->family != ENGINE_HMAC && key->info->family != ENGINE_VAR_HMAC)
        return AZIHSM_STATUS_INVALID_KEY_TYPE;
    *tag_len = azihsm_hash_size(key->info->hash);
    ERR_set_mark();
    rc = kdf_hmac(engine->libctx, key->info->hash, secret_view(key->raw), &message, 1, tag);
    ERR_pop_to_mark();
    return rc == AZIHSM_OK ? AZIHSM_OK : AZIHSM_STATUS_HMAC_ERROR;
}
