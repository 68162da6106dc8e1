/*
 * ECDSA. A device key signs in one request: the digest goes in at a length the device knows, r and s come back at
 * fixed width and leave as DER.
 */
#include "algorithms.h"
#include "signature.h"

#include "crypto/ecdsa.h"

#include <openssl/core_names.h>
#include <openssl/params.h>
#include <string.h>

enum { SCALAR_MAX = 66 };

static const struct {
    size_t length;
    uint32_t hash;
} hashes[] = {{20, AZIHSM_HASH_SHA1}, {32, AZIHSM_HASH_SHA256}, {48, AZIHSM_HASH_SHA384}, {64, AZIHSM_HASH_SHA512}};
enum { HASH_MAX = 64 };

/*
 * ECDSA uses a digest as a number of at most the order's length. So what is longer is cut to its leftmost bits, here
 * because the device takes no more than 64 bytes, and what has another length gets leading zeros, which change nothing.
 */
static int device_digest(struct signature *ctx, const uint8_t *tbs, size_t tbslen, uint8_t out[HASH_MAX],
                         struct azihsm_bytes *digest, uint32_t *hash)
{
    size_t scalar = key_size(ctx->key);
    size_t used = tbslen > scalar ? scalar : tbslen;
    size_t i = 0;

    if (used > HASH_MAX) /* P-521 and more than 512 bits: no digest has them */
        return raise_error(ctx->provider, REASON_DIGEST, "%zu bytes; the device signs at most %d", tbslen, HASH_MAX);
    while (hashes[i].length < used)
        i++;
    memset(out, 0, HASH_MAX);
    memcpy(out + hashes[i].length - used, tbs, used);
    digest->data = out;
    digest->len = hashes[i].length;
    *hash = hashes[i].hash;
    return 1;
}

/* Without bignums: they would cost more than all else that happens on this side. */
static int encode(struct signature *ctx, const uint8_t *raw, uint8_t *sig, size_t *siglen)
{
    uint8_t der[ECDSA_DER_MAX];
    size_t len;

    ecdsa_raw_to_der(raw, key_size(ctx->key), der, &len);
    if (len > *siglen)
        return raise_error(ctx->provider, REASON_BUFFER, "%zu bytes for a signature of %zu", *siglen, len);
    memcpy(sig, der, len);
    *siglen = len;
    return 1;
}

static int ecdsa_sign(struct signature *ctx, uint8_t *sig, size_t *siglen, const uint8_t *tbs, size_t tbslen)
{
    struct azihsm_error error = {0};
    uint8_t digest[HASH_MAX], raw[2 * SCALAR_MAX];
    struct azihsm_bytes input = {NULL, 0};
    size_t rawlen = sizeof(raw);
    uint32_t hash = 0;

    if (!device_digest(ctx, tbs, tbslen, digest, &input, &hash))
        return 0;
    if (azihsm_key_ecc_sign(key_device_for(ctx->key, AZIHSM_USAGE_SIGN), hash, input, raw, &rawlen, &error) !=
        AZIHSM_OK)
        return raise_device(ctx->provider, &error, "EccSign");
    if (rawlen != 2 * key_size(ctx->key))
        return raise_error(ctx->provider, REASON_SIGNATURE, "%zu bytes of r and s", rawlen);
    return encode(ctx, raw, sig, siglen);
}

/* The device draws its own random nonces; a caller who asks for deterministic ones must not get others. */
static int ecdsa_check_params(struct signature *ctx, const OSSL_PARAM params[])
{
    const OSSL_PARAM *p = params == NULL ? NULL : OSSL_PARAM_locate_const(params, "nonce-type");
    unsigned type = 0;

    if (p != NULL && (!OSSL_PARAM_get_uint(p, &type) || type != 0))
        return raise_error(ctx->provider, REASON_PARAMETER, "nonce-type: the device has random nonces only");
    return 1;
}

static bool ecdsa_accepts(enum key_type type)
{
    return type == KEY_EC;
}

const struct signature_kind signature_ecdsa = {
    .name = "ECDSA", .accepts = ecdsa_accepts, .check_params = ecdsa_check_params, .sign = ecdsa_sign};

static OSSL_FUNC_signature_newctx_fn ecdsa_new;
static OSSL_FUNC_signature_gettable_ctx_params_fn ecdsa_gettable;
static OSSL_FUNC_signature_settable_ctx_params_fn ecdsa_settable;

/* The query is for digests the application would fetch; ours come from the private library context. */
static void *ecdsa_new(void *provctx, const char *propq)
{
    (void)propq;
    return signature_new(provctx, &signature_ecdsa);
}

static const OSSL_PARAM *ecdsa_gettable(void *ctx, void *provctx)
{
    return signature_gettable(ctx, provctx, &signature_ecdsa);
}

static const OSSL_PARAM *ecdsa_settable(void *ctx, void *provctx)
{
    return signature_settable(ctx, provctx, &signature_ecdsa);
}

const OSSL_DISPATCH signature_ecdsa_functions[] = {
    SIGNATURE_FUNCTION(NEWCTX, ecdsa_new),
    SIGNATURE_FUNCTION(GETTABLE_CTX_PARAMS, ecdsa_gettable),
    SIGNATURE_FUNCTION(SETTABLE_CTX_PARAMS, ecdsa_settable),
    SIGNATURE_SHARED_FUNCTIONS,
    {0, NULL},
};
