/*
 * ECC: generation, ECDSA, ECDH. Signing takes a prepared context from the key's pool and converts libcrypto's DER to
 * r || s on the stack: what is left beside the scalar multiplication is a few hundred nanoseconds.
 */
#include "emulator/engine_internal.h"

#include "crypto/ecdh.h"
#include "crypto/ecdsa.h"
#include "crypto/spki.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include <string.h>

enum { DIGEST_MAX = 96, IDENTITY_SIGNATURE = 96, P521_WIDTH = 66 };

azihsm_rc engine_generate_ecc(struct engine *engine, uint32_t curve, struct engine_key **out)
{
    uint32_t kind = engine_kind_of_curve(curve);
    EVP_PKEY *pkey;

    *out = NULL;
    if (kind == 0)
        return AZIHSM_STATUS_INVALID_ARG;
    ERR_set_mark();
    pkey = EVP_PKEY_Q_keygen(engine->libctx, NULL, "EC", spki_curve_name(curve));
    ERR_pop_to_mark();
    return pkey == NULL ? AZIHSM_STATUS_ECC_GENERATE_ERROR : engine_key_new(engine, kind, pkey, NULL, out);
}

/* ---- numbers ---- */

/* d as libcrypto's parameter wants it: native byte order. */
static OSSL_PARAM private_param(const uint8_t *d, uint8_t *native, size_t width)
{
    const uint16_t one = 1;

    if (*(const uint8_t *)&one == 1)
        azihsm_form_reverse(native, d, width);
    else
        memcpy(native, d, width);
    return OSSL_PARAM_construct_BN(OSSL_PKEY_PARAM_PRIV_KEY, native, width);
}

EVP_PKEY *engine_ecc_build(const struct engine *engine, uint32_t curve, const struct engine_ecc_numbers *numbers)
{
    size_t width = azihsm_curve_coordinate_size(curve);
    uint8_t point[SPKI_POINT_MAX], native[sizeof(numbers->d)];
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(engine->libctx, "EC", NULL);
    EVP_PKEY *pkey = NULL;
    OSSL_PARAM params[4];

    point[0] = 0x04;
    memcpy(point + 1, numbers->x, width);
    memcpy(point + 1 + width, numbers->y, width);
    params[0] =
        OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, (char *)(uintptr_t)spki_curve_name(curve), 0);
    params[1] = OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, 1 + 2 * width);
    params[2] = private_param(numbers->d, native, width);
    params[3] = OSSL_PARAM_construct_end();
    ERR_set_mark();
    if (ctx != NULL && EVP_PKEY_fromdata_init(ctx) == 1)
        (void)EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_KEYPAIR, params);
    ERR_pop_to_mark();
    OPENSSL_cleanse(native, sizeof(native));
    EVP_PKEY_CTX_free(ctx);
    return pkey;
}

azihsm_rc engine_ecc_numbers(const EVP_PKEY *pkey, uint32_t curve, struct engine_ecc_numbers *numbers)
{
    size_t width = azihsm_curve_coordinate_size(curve), point_len;
    uint8_t point[SPKI_POINT_MAX];
    BIGNUM *d = NULL;
    azihsm_rc rc = spki_point(pkey, point, &point_len);

    if (rc == AZIHSM_OK &&
        (EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_PRIV_KEY, &d) != 1 || BN_bn2binpad(d, numbers->d, (int)width) < 0))
        rc = AZIHSM_E_CRYPTO;
    if (rc == AZIHSM_OK) {
        memcpy(numbers->x, point + 1, width);
        memcpy(numbers->y, point + 1 + width, width);
    }
    BN_clear_free(d);
    return rc;
}

/* ---- ECDSA ---- */

static EVP_PKEY_CTX *take_sign_context(const struct engine_key *key)
{
    EVP_PKEY_CTX *ctx = engine_pool_take(&key->pools[ENGINE_POOL_SIGN]);

    if (ctx != NULL)
        return ctx;
    ctx = EVP_PKEY_CTX_new_from_pkey(key->engine->libctx, key->pkey, NULL);
    if (ctx != NULL && EVP_PKEY_sign_init(ctx) == 1)
        return ctx;
    EVP_PKEY_CTX_free(ctx);
    return NULL;
}

static void give_context(const struct engine_key *key, EVP_PKEY_CTX *ctx)
{
    if (!engine_pool_give(&key->pools[ENGINE_POOL_SIGN], ctx))
        EVP_PKEY_CTX_free(ctx);
}

/* Signs a big-endian digest; raw is r || s big-endian. */
static azihsm_rc sign_digest(const struct engine_key *key, struct azihsm_bytes digest, uint8_t *raw)
{
    size_t width = azihsm_curve_coordinate_size(key->info->curve), der_len = ECDSA_DER_MAX;
    uint8_t der[ECDSA_DER_MAX];
    EVP_PKEY_CTX *ctx;
    azihsm_rc rc = AZIHSM_STATUS_ECC_SIGN_FAILED;

    ERR_set_mark();
    ctx = take_sign_context(key);
    if (ctx != NULL && EVP_PKEY_sign(ctx, der, &der_len, digest.data, digest.len) == 1 &&
        ecdsa_der_to_raw((struct azihsm_bytes){der, der_len}, width, raw) == AZIHSM_OK)
        rc = AZIHSM_OK;
    ERR_pop_to_mark();
    if (rc == AZIHSM_OK)
        give_context(key, ctx);
    else
        EVP_PKEY_CTX_free(ctx);
    return rc;
}

static size_t significant_bits(const uint8_t *big_endian, size_t len)
{
    size_t i = 0, bits = 0;

    while (i < len && big_endian[i] == 0)
        i++;
    if (i == len)
        return 0;
    for (unsigned top = big_endian[i]; top != 0; top >>= 1)
        bits++;
    return bits + 8 * (len - i - 1);
}

/*
 * The hash behind the 68 bytes of the physical profile. Its length is not visible: as long as the number does not
 * exceed the order any length gives the same signature, and the curve's own is taken (64 bytes for P-521, because
 * libcrypto would shift a longer string). A longer number is a longer hash, whose length the request names; where that
 * cannot be, the next longer hash. What no hash can be is as much of it as the named hash has. 0: nothing can be named.
 */
static size_t physical_digest_len(uint32_t curve, uint32_t hash, size_t bits)
{
    static const size_t order_bits[] = {
        [AZIHSM_CURVE_P256] = 256, [AZIHSM_CURVE_P384] = 384, [AZIHSM_CURVE_P521] = 512};
    size_t named = azihsm_hash_size(hash);

    if (bits <= order_bits[curve])
        return order_bits[curve] / 8;
    if (bits <= 8 * named || bits > 8 * 64)
        return named;
    return bits <= 8 * 48 ? 48 : 64;
}

/* A number of 513 to 521 bits for P-521, big-endian: moved up, because libcrypto takes the leftmost 521 of 528 bits. */
static struct azihsm_bytes whole_number(uint8_t *e, size_t len)
{
    uint8_t *first = e + len - P521_WIDTH;

    for (size_t i = 0; i < P521_WIDTH; i++)
        first[i] = (uint8_t)(first[i] << 7 | (i + 1 < P521_WIDTH ? first[i + 1] >> 1 : 0));
    return (struct azihsm_bytes){first, P521_WIDTH};
}

/* What libcrypto is to sign for a digest in wire form, whose copy e is; empty when that cannot be said. */
static struct azihsm_bytes physical_digest(uint32_t curve, uint32_t hash, uint8_t *e, size_t len)
{
    size_t bits = significant_bits(e, len), digest_len = physical_digest_len(curve, hash, bits);

    if (curve == AZIHSM_CURVE_P521 && bits > 8 * 64 && bits <= 521)
        return whole_number(e, len);
    return (struct azihsm_bytes){e + len - digest_len, digest_len};
}

static azihsm_rc sign_physical(const struct engine_key *key, struct azihsm_bytes digest, uint32_t hash,
                               uint8_t *signature, size_t *signature_len)
{
    uint32_t curve = key->info->curve;
    size_t width = azihsm_curve_coordinate_size(curve), wire = azihsm_curve_wire_coordinate_size(curve);
    uint8_t e[AZIHSM_ECC_DIGEST_WIRE_SIZE], raw[ECDSA_RAW_MAX];
    azihsm_rc rc;

    if (digest.len != sizeof(e))
        return AZIHSM_STATUS_INVALID_ARG;
    azihsm_form_reverse(e, digest.data, sizeof(e));
    digest = physical_digest(curve, hash, e, sizeof(e));
    if (digest.len == 0)
        return AZIHSM_STATUS_INVALID_ARG;
    rc = sign_digest(key, digest, raw);
    if (rc != AZIHSM_OK)
        return rc;
    memset(signature, 0, 2 * wire);
    azihsm_form_reverse(signature, raw, width);
    azihsm_form_reverse(signature + wire, raw + width, width);
    *signature_len = 2 * wire;
    return AZIHSM_OK;
}

azihsm_rc engine_ecdsa_sign(struct engine *engine, const struct engine_key *key, struct azihsm_bytes digest,
                            uint32_t hash, uint8_t signature[ENGINE_SIGNATURE_MAX], size_t *signature_len)
{
    static const uint8_t nothing;

    if (key->info->family != ENGINE_ECC)
        return AZIHSM_STATUS_INVALID_KEY_TYPE;
    if (engine->profile == AZIHSM_DEVICE_PHYSICAL)
        return sign_physical(key, digest, hash, signature, signature_len);
    if (digest.len > DIGEST_MAX)
        return AZIHSM_STATUS_INVALID_ARG;
    if (digest.len == 0)
        digest.data = &nothing;
    *signature_len = 2 * azihsm_curve_coordinate_size(key->info->curve);
    return sign_digest(key, digest, signature);
}

azihsm_rc engine_sign_public(struct engine *engine, const struct engine_key *identity, const struct engine_key *subject,
                             uint8_t signature[IDENTITY_SIGNATURE])
{
    uint8_t wire[IDENTITY_SIGNATURE], raw[ECDSA_RAW_MAX];
    size_t wire_len, raw_len;
    azihsm_rc rc;

    if (identity->info->curve != AZIHSM_CURVE_P384 || subject->info->curve != AZIHSM_CURVE_P384)
        return AZIHSM_STATUS_INVALID_KEY_TYPE;
    rc = spki_encode_raw(subject->pkey, wire, sizeof(wire), &wire_len);
    if (rc == AZIHSM_OK)
        rc = ecdsa_sign_message(engine->libctx, identity->pkey, AZIHSM_HASH_SHA384,
                                (struct azihsm_bytes){wire, wire_len}, raw, &raw_len);
    if (rc != AZIHSM_OK)
        return rc;
    azihsm_form_reverse(signature, raw, IDENTITY_SIGNATURE / 2);
    azihsm_form_reverse(signature + IDENTITY_SIGNATURE / 2, raw + IDENTITY_SIGNATURE / 2, IDENTITY_SIGNATURE / 2);
    return AZIHSM_OK;
}

/* ---- ECDH ---- */

azihsm_rc engine_ecdh(struct engine *engine, const struct engine_key *key, struct azihsm_bytes peer,
                      struct engine_key **out)
{
    uint32_t curve = key->info->curve;
    EVP_PKEY *peer_key = NULL;
    struct secret *shared;
    azihsm_rc rc;

    *out = NULL;
    if (key->info->family != ENGINE_ECC)
        return AZIHSM_STATUS_INVALID_KEY_TYPE;
    rc = spki_decode_peer(engine->libctx, engine->profile, curve, peer, &peer_key);
    if (rc != AZIHSM_OK)
        return rc;
    shared = secret_new(azihsm_curve_coordinate_size(curve));
    ERR_set_mark();
    if (shared == NULL)
        rc = AZIHSM_E_NO_MEMORY;
    else if (ecdh_derive(engine->libctx, key->pkey, peer_key, shared->data, shared->len) != AZIHSM_OK)
        rc = AZIHSM_STATUS_ECC_DERIVE_ERROR;
    ERR_pop_to_mark();
    EVP_PKEY_free(peer_key);
    if (rc == AZIHSM_OK)
        return engine_key_new(engine, engine_kind_of_secret(curve), NULL, shared, out);
    secret_free(shared);
    return rc;
}
