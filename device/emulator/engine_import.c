/*
 * Keys from outside: the target of RsaUnwrap by class, with every check a foreign key needs before it is believed.
 * What the physical profile reports in three ways is one KeyDecodeFailed in the virtual profile.
 */
#include "emulator/engine_internal.h"

#include "crypto/spki.h"
#include "crypto/wrap.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include <string.h>

static const struct import_class {
    enum engine_family family;
    uint32_t bulk_kind; /* the kind, where the class decides it alone */
} classes[] = {
    [AZIHSM_CLASS_RSA] = {ENGINE_RSA, 0},
    [AZIHSM_CLASS_RSA_CRT] = {ENGINE_RSA, 0},
    [AZIHSM_CLASS_AES] = {ENGINE_AES, 0},
    [AZIHSM_CLASS_AES_XTS_BULK] = {ENGINE_AES_BULK, AZIHSM_KEY_AES_XTS_BULK256},
    [AZIHSM_CLASS_AES_GCM_BULK] = {ENGINE_AES_BULK, AZIHSM_KEY_AES_GCM_BULK256},
    [AZIHSM_CLASS_AES_GCM_BULK_UNAPPROVED] = {ENGINE_AES_BULK, AZIHSM_KEY_AES_GCM_BULK256_UNAPPROVED},
    [AZIHSM_CLASS_ECC] = {ENGINE_ECC, 0},
};

enum engine_family engine_class_family(uint32_t key_class)
{
    return key_class < sizeof(classes) / sizeof(classes[0]) ? classes[key_class].family : 0;
}

static azihsm_rc by_profile(const struct engine *engine, azihsm_rc physical)
{
    return engine->profile == AZIHSM_DEVICE_PHYSICAL ? physical : AZIHSM_STATUS_KEY_DECODE_FAILED;
}

/* Any PKCS#8 that libcrypto reads, if nothing follows it. */
static EVP_PKEY *decode_pkcs8(const struct engine *engine, struct azihsm_bytes der)
{
    const unsigned char *p = der.data;
    PKCS8_PRIV_KEY_INFO *info;
    EVP_PKEY *pkey = NULL;

    ERR_set_mark();
    info = d2i_PKCS8_PRIV_KEY_INFO(NULL, &p, (long)der.len);
    if (info != NULL && p == der.data + der.len)
        pkey = EVP_PKCS82PKEY_ex(info, engine->libctx, NULL);
    ERR_pop_to_mark();
    PKCS8_PRIV_KEY_INFO_free(info); /* cleanses the key octets */
    return pkey;
}

/* ---- ECC ---- */

/* 0 < d < n and d * G is the embedded point. */
static bool ecc_consistent(const struct engine *engine, EVP_PKEY *pkey)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(engine->libctx, pkey, NULL);
    bool consistent;

    ERR_set_mark();
    consistent = ctx != NULL && EVP_PKEY_private_check(ctx) == 1 && EVP_PKEY_pairwise_check(ctx) == 1;
    ERR_pop_to_mark();
    EVP_PKEY_CTX_free(ctx);
    return consistent;
}

/* Signs and verifies a fixed digest, as the device does with every imported key. */
static bool ecc_pairwise(const struct engine *engine, EVP_PKEY *pkey)
{
    static const uint8_t digest[32] = {0x5a};
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(engine->libctx, pkey, NULL);
    uint8_t signature[160];
    size_t len = sizeof(signature);
    bool good;

    ERR_set_mark();
    good = ctx != NULL && EVP_PKEY_sign_init(ctx) == 1 &&
           EVP_PKEY_sign(ctx, signature, &len, digest, sizeof(digest)) == 1 && EVP_PKEY_verify_init(ctx) == 1 &&
           EVP_PKEY_verify(ctx, signature, len, digest, sizeof(digest)) == 1;
    ERR_pop_to_mark();
    EVP_PKEY_CTX_free(ctx);
    return good;
}

/* The exact form is read by ourselves: then a refusal of libcrypto can only be about the numbers in it. */
static azihsm_rc decode_ecc(const struct engine *engine, struct azihsm_bytes plain, EVP_PKEY **out)
{
    struct engine_ecc_numbers numbers;
    uint32_t curve;

    if (!engine_ecc_parse_pkcs8(plain, &curve, &numbers)) {
        *out = decode_pkcs8(engine, plain);
        return *out == NULL || spki_curve(*out) == 0 ? AZIHSM_STATUS_KEY_DECODE_FAILED : AZIHSM_OK;
    }
    *out = engine_ecc_build(engine, curve, &numbers);
    OPENSSL_cleanse(&numbers, sizeof(numbers));
    return *out == NULL ? by_profile(engine, AZIHSM_STATUS_KEY_STRUCTURAL_VALIDATION_FAILED) : AZIHSM_OK;
}

static azihsm_rc import_ecc(struct engine *engine, struct azihsm_bytes plain, struct engine_key **out)
{
    EVP_PKEY *pkey = NULL;
    azihsm_rc rc = decode_ecc(engine, plain, &pkey);

    if (rc == AZIHSM_OK && !ecc_consistent(engine, pkey))
        rc = by_profile(engine, AZIHSM_STATUS_KEY_STRUCTURAL_VALIDATION_FAILED);
    if (rc == AZIHSM_OK && !ecc_pairwise(engine, pkey))
        rc = by_profile(engine, AZIHSM_STATUS_PCT_VALIDATION_RSA_UNWRAP_ECC_KEY_FAILED);
    if (rc == AZIHSM_OK)
        return engine_key_new(engine, engine_kind_of_curve(spki_curve(pkey)), pkey, NULL, out);
    EVP_PKEY_free(pkey);
    return rc;
}

/* ---- RSA ---- */

enum { N, E, D, P, Q, RSA_NUMBERS };

static const char *const rsa_names[RSA_NUMBERS] = {
    [N] = OSSL_PKEY_PARAM_RSA_N,       [E] = OSSL_PKEY_PARAM_RSA_E,       [D] = OSSL_PKEY_PARAM_RSA_D,
    [P] = OSSL_PKEY_PARAM_RSA_FACTOR1, [Q] = OSSL_PKEY_PARAM_RSA_FACTOR2,
};

static bool get_rsa_numbers(const EVP_PKEY *pkey, BIGNUM *numbers[RSA_NUMBERS])
{
    bool complete = true;

    ERR_set_mark();
    for (size_t i = 0; i < RSA_NUMBERS; i++)
        complete = complete && EVP_PKEY_get_bn_param(pkey, rsa_names[i], &numbers[i]) == 1;
    ERR_pop_to_mark();
    return complete && !BN_is_zero(numbers[P]) && !BN_is_zero(numbers[Q]);
}

/* e * d = 1 modulo factor - 1 */
static bool inverse_exponents(BIGNUM *const numbers[RSA_NUMBERS], const BIGNUM *factor, BN_CTX *bn)
{
    BIGNUM *minus_one = BN_CTX_get(bn), *product = BN_CTX_get(bn);

    return product != NULL && BN_sub(minus_one, factor, BN_value_one()) &&
           BN_mod_mul(product, numbers[E], numbers[D], minus_one, bn) && BN_is_one(product);
}

/* n = p * q and both exponents belong together; the coefficients of the file are never believed, but computed. */
static bool rsa_consistent(BIGNUM *const numbers[RSA_NUMBERS], BN_CTX *bn)
{
    BIGNUM *product = BN_CTX_get(bn);

    return product != NULL && BN_mul(product, numbers[P], numbers[Q], bn) && BN_cmp(product, numbers[N]) == 0 &&
           inverse_exponents(numbers, numbers[P], bn) && inverse_exponents(numbers, numbers[Q], bn);
}

static EVP_PKEY *rebuild_rsa(const struct engine *engine, BIGNUM *const numbers[RSA_NUMBERS])
{
    BN_CTX *bn = BN_CTX_secure_new_ex(engine->libctx);
    EVP_PKEY *pkey = NULL;
    BIGNUM *qinv;

    if (bn == NULL)
        return NULL;
    ERR_set_mark();
    BN_CTX_start(bn);
    BN_set_flags(numbers[Q], BN_FLG_CONSTTIME);
    qinv = BN_CTX_get(bn);
    if (qinv != NULL && rsa_consistent(numbers, bn) && BN_mod_inverse(qinv, numbers[Q], numbers[P], bn) != NULL)
        pkey = engine_rsa_build(engine, numbers[P], numbers[Q], qinv, numbers[E]);
    BN_CTX_end(bn);
    ERR_pop_to_mark();
    BN_CTX_free(bn); /* clears */
    return pkey;
}

static azihsm_rc decode_rsa(const struct engine *engine, EVP_PKEY *decoded, EVP_PKEY **out)
{
    int e_max = engine->profile == AZIHSM_DEVICE_PHYSICAL ? 32 : 64;
    BIGNUM *numbers[RSA_NUMBERS] = {NULL};
    azihsm_rc rc = AZIHSM_OK;

    if (!get_rsa_numbers(decoded, numbers) || BN_num_bits(numbers[E]) > e_max)
        rc = AZIHSM_STATUS_KEY_DECODE_FAILED;
    else if ((*out = rebuild_rsa(engine, numbers)) == NULL || !engine_rsa_pairwise(engine, *out))
        rc = by_profile(engine, AZIHSM_STATUS_PCT_VALIDATION_RSA_UNWRAP_RSA_KEY_FAILED);
    for (size_t i = 0; i < RSA_NUMBERS; i++)
        BN_clear_free(numbers[i]);
    return rc;
}

static azihsm_rc import_rsa(struct engine *engine, bool crt, struct azihsm_bytes plain, struct engine_key **out)
{
    EVP_PKEY *decoded = decode_pkcs8(engine, plain), *pkey = NULL;
    uint32_t kind = 0;
    azihsm_rc rc = AZIHSM_OK;

    if (decoded == NULL || !EVP_PKEY_is_a(decoded, "RSA"))
        rc = AZIHSM_STATUS_KEY_DECODE_FAILED;
    else if ((kind = engine_kind_of_rsa_bits((unsigned)EVP_PKEY_get_bits(decoded), crt)) == 0)
        rc = AZIHSM_STATUS_RSA_INVALID_KEY_LENGTH;
    else
        rc = decode_rsa(engine, decoded, &pkey);
    EVP_PKEY_free(decoded);
    if (rc == AZIHSM_OK)
        return engine_key_new(engine, kind, pkey, NULL, out);
    EVP_PKEY_free(pkey);
    return rc;
}

/* ---- any class ---- */

static azihsm_rc import_aes(struct engine *engine, const struct import_class *class, struct azihsm_bytes plain,
                            struct engine_key **out)
{
    uint32_t kind = class->bulk_kind;

    if (kind == 0) /* 16, 24, 32 bytes stand for kinds 10, 11, 12 */
        kind = plain.len >= 16 && plain.len <= 32 && plain.len % 8 == 0
                   ? AZIHSM_KEY_AES128 + (uint32_t)(plain.len - 16) / 8
                   : AZIHSM_KEY_AES128;
    if (engine_kind_find(kind)->min_len != plain.len)
        return AZIHSM_STATUS_AES_INVALID_KEY_LENGTH;
    return engine_key_from_raw(engine, kind, plain, out);
}

azihsm_rc engine_import(struct engine *engine, uint32_t key_class, struct azihsm_bytes plain, struct engine_key **out)
{
    *out = NULL;
    switch (engine_class_family(key_class)) {
    case ENGINE_RSA:
        return import_rsa(engine, key_class == AZIHSM_CLASS_RSA_CRT, plain, out);
    case ENGINE_ECC:
        return import_ecc(engine, plain, out);
    case ENGINE_AES:
    case ENGINE_AES_BULK:
        return import_aes(engine, &classes[key_class], plain, out);
    default:
        return AZIHSM_STATUS_INVALID_ARG;
    }
}

enum { REVERSED = 256 }; /* the physical profile turns round this much of a wrapped blob, whatever the key */

static azihsm_rc open_blob(struct engine *engine, const struct engine_key *kek, uint32_t hash, struct azihsm_bytes blob,
                           struct secret **target)
{
    uint8_t api_form[AZIHSM_WRAPPED_BLOB_MAX];

    if (blob.len < kek->info->bits / 8u || blob.len > sizeof(api_form))
        return AZIHSM_STATUS_RSA_UNWRAP_INVALID_REQUEST;
    if (engine->profile == AZIHSM_DEVICE_PHYSICAL) {
        azihsm_form_reverse(api_form, blob.data, REVERSED);
        memcpy(api_form + REVERSED, blob.data + REVERSED, blob.len - REVERSED);
        blob.data = api_form;
    }
    return wrap_open(engine->libctx, kek->pkey, hash, blob, target);
}

azihsm_rc engine_unwrap(struct engine *engine, const struct engine_key *kek, uint32_t hash, uint32_t key_class,
                        struct azihsm_bytes blob, struct engine_key **out)
{
    struct secret *target = NULL;
    azihsm_rc rc;

    *out = NULL;
    if (azihsm_hash_size(hash) == 0)
        return AZIHSM_STATUS_INVALID_ARG;
    if (kek->info->kind > AZIHSM_KEY_RSA4K_PRIVATE)
        return AZIHSM_STATUS_RSA_UNWRAP_INVALID_KEK;
    rc = open_blob(engine, kek, hash, blob, &target);
    if (rc == AZIHSM_OK)
        rc = engine_import(engine, key_class, secret_view(target), out);
    secret_free(target);
    return rc;
}
