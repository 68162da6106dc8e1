/*
 * RSA: generation, building keys from their primes, the raw private operation.
 *
 * A key is carried by p, q, q^-1 mod p and e. The rest follows cheaply because e is one machine word: d needs an
 * inverse modulo e only. Every pooled context owns a copy of the key, because libcrypto's blinding locks the key and
 * threads that share one would wait for each other.
 */
#include "emulator/engine_internal.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>

#include <string.h>

azihsm_rc engine_generate_rsa(struct engine *engine, unsigned bits, struct engine_key **out)
{
    uint32_t kind = engine_kind_of_rsa_bits(bits, false);
    EVP_PKEY *pkey;

    *out = NULL;
    if (kind == 0)
        return AZIHSM_STATUS_INVALID_ARG;
    ERR_set_mark();
    pkey = EVP_PKEY_Q_keygen(engine->libctx, NULL, "RSA", (size_t)bits);
    ERR_pop_to_mark();
    return pkey == NULL ? AZIHSM_STATUS_RSA_GENERATE_ERROR : engine_key_new(engine, kind, pkey, NULL, out);
}

/* ---- building ---- */

/* Numbers of a key under construction; they live in one BN_CTX frame. */
struct numbers {
    BIGNUM *n, *d, *dp, *dq, *p1, *q1, *phi, *k;
};

/* d = (1 + k * phi) / e with k = -phi^-1 mod e; then the CRT exponents. */
static bool compute_exponents(struct numbers *num, const BIGNUM *p, const BIGNUM *q, const BIGNUM *e, BN_CTX *bn)
{
    if (!BN_mul(num->n, p, q, bn) || !BN_sub(num->p1, p, BN_value_one()) || !BN_sub(num->q1, q, BN_value_one()) ||
        !BN_mul(num->phi, num->p1, num->q1, bn))
        return false;
    BN_set_flags(num->k, BN_FLG_CONSTTIME);
    if (!BN_nnmod(num->k, num->phi, e, bn) || BN_mod_inverse(num->k, num->k, e, bn) == NULL ||
        !BN_sub(num->k, e, num->k))
        return false;
    return BN_mul(num->d, num->k, num->phi, bn) && BN_add_word(num->d, 1) && BN_div(num->d, NULL, num->d, e, bn) &&
           BN_mod(num->dp, num->d, num->p1, bn) && BN_mod(num->dq, num->d, num->q1, bn);
}

static EVP_PKEY *from_numbers(const struct engine *engine, const struct numbers *num, const BIGNUM *p, const BIGNUM *q,
                              const BIGNUM *qinv, const BIGNUM *e)
{
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(engine->libctx, "RSA", NULL);
    OSSL_PARAM *params = NULL;
    EVP_PKEY *pkey = NULL;

    if (builder != NULL && OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, num->n) &&
        OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_E, e) &&
        OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_D, num->d) &&
        OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_FACTOR1, p) &&
        OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_FACTOR2, q) &&
        OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_EXPONENT1, num->dp) &&
        OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_EXPONENT2, num->dq) &&
        OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_COEFFICIENT1, qinv))
        params = OSSL_PARAM_BLD_to_param(builder);
    if (params != NULL && ctx != NULL && EVP_PKEY_fromdata_init(ctx) == 1)
        (void)EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_KEYPAIR, params);
    for (OSSL_PARAM *param = params; param != NULL && param->key != NULL; param++)
        OPENSSL_cleanse(param->data, param->data_size);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(builder);
    EVP_PKEY_CTX_free(ctx);
    return pkey;
}

EVP_PKEY *engine_rsa_build(const struct engine *engine, const BIGNUM *p, const BIGNUM *q, const BIGNUM *qinv,
                           const BIGNUM *e)
{
    BN_CTX *bn = BN_CTX_secure_new_ex(engine->libctx);
    struct numbers num;
    BIGNUM **all[] = {&num.n, &num.d, &num.dp, &num.dq, &num.p1, &num.q1, &num.phi, &num.k};
    EVP_PKEY *pkey = NULL;
    bool complete = bn != NULL;

    if (BN_num_bits(e) > 64 || !BN_is_odd(e) || BN_is_one(e) || bn == NULL) {
        BN_CTX_free(bn);
        return NULL;
    }
    ERR_set_mark();
    BN_CTX_start(bn);
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        *all[i] = BN_CTX_get(bn);
        complete = complete && *all[i] != NULL;
    }
    if (complete && compute_exponents(&num, p, q, e, bn))
        pkey = from_numbers(engine, &num, p, q, qinv, e);
    BN_CTX_end(bn);
    ERR_pop_to_mark();
    BN_CTX_free(bn); /* clears */
    return pkey;
}

/* ---- the raw operation ---- */

/* A context over a copy of the key, padding switched off. */
static EVP_PKEY_CTX *new_raw_context(const struct engine *engine, EVP_PKEY *pkey)
{
    EVP_PKEY *copy = EVP_PKEY_dup(pkey);
    EVP_PKEY_CTX *ctx = copy == NULL ? NULL : EVP_PKEY_CTX_new_from_pkey(engine->libctx, copy, NULL);

    EVP_PKEY_free(copy);
    if (ctx != NULL && EVP_PKEY_decrypt_init(ctx) == 1 && EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_NO_PADDING) == 1)
        return ctx;
    EVP_PKEY_CTX_free(ctx);
    return NULL;
}

/* y and x big-endian of modulus length; false when y is not below the modulus. */
static bool private_operation(const struct engine_key *key, const uint8_t *y, uint8_t *x, size_t len)
{
    EVP_PKEY_CTX *ctx = engine_pool_take(&key->pools[ENGINE_POOL_SIGN]);
    size_t x_len = len;
    bool done;

    ERR_set_mark();
    if (ctx == NULL)
        ctx = new_raw_context(key->engine, key->pkey);
    done = ctx != NULL && EVP_PKEY_decrypt(ctx, x, &x_len, y, len) == 1 && x_len == len;
    ERR_pop_to_mark();
    if (!done)
        OPENSSL_cleanse(x, len);
    if (ctx != NULL && !engine_pool_give(&key->pools[ENGINE_POOL_SIGN], ctx))
        EVP_PKEY_CTX_free(ctx);
    return done;
}

/* Whether a little-endian number lies strictly between 1 and n - 1 (n odd, the first bytes of the public wire form). */
static bool in_open_range(const uint8_t *y, const uint8_t *n, size_t len)
{
    size_t i = len;
    uint8_t high = 0;

    for (size_t j = 1; j < len; j++)
        high |= y[j];
    if (high == 0 && y[0] <= 1)
        return false;
    while (i > 1 && y[i - 1] == n[i - 1])
        i--;
    if (i > 1)
        return y[i - 1] < n[i - 1];
    /* all but the lowest byte agree; n is odd, so n - 1 only differs there */
    return y[0] < n[0] - 1;
}

static azihsm_rc raw_physical(const struct engine_key *key, struct azihsm_bytes y, uint8_t *x)
{
    uint8_t y_be[ENGINE_RSA_MAX], x_be[ENGINE_RSA_MAX];
    size_t len = key->info->bits / 8;
    azihsm_rc rc = AZIHSM_OK;

    if (y.len != len || !in_open_range(y.data, key->public_wire, len))
        return AZIHSM_STATUS_INVALID_ARG;
    azihsm_form_reverse(y_be, y.data, len);
    if (private_operation(key, y_be, x_be, len))
        azihsm_form_reverse(x, x_be, len);
    else
        rc = AZIHSM_STATUS_RSA_DECRYPT_FAILED;
    OPENSSL_cleanse(x_be, sizeof(x_be));
    return rc;
}

azihsm_rc engine_rsa_raw(struct engine *engine, const struct engine_key *key, struct azihsm_bytes y,
                         uint8_t x[ENGINE_RSA_MAX], size_t *x_len)
{
    size_t len = key->info->bits / 8;

    if (key->info->family != ENGINE_RSA)
        return AZIHSM_STATUS_INVALID_KEY_TYPE;
    *x_len = len;
    if (engine->profile == AZIHSM_DEVICE_PHYSICAL)
        return raw_physical(key, y, x);
    return y.len == len && private_operation(key, y.data, x, len) ? AZIHSM_OK : AZIHSM_STATUS_RSA_DECRYPT_FAILED;
}

/* ---- pairwise consistency ---- */

bool engine_rsa_pairwise(const struct engine *engine, EVP_PKEY *pkey)
{
    size_t len = (size_t)EVP_PKEY_get_size(pkey), signed_len = ENGINE_RSA_MAX, back_len = ENGINE_RSA_MAX;
    uint8_t pattern[ENGINE_RSA_MAX], transformed[ENGINE_RSA_MAX], back[ENGINE_RSA_MAX];
    EVP_PKEY_CTX *private_ctx, *public_ctx;
    bool same = false;

    memset(pattern, 0x5a, len); /* below any modulus of that length, whose top bit is set */
    ERR_set_mark();
    private_ctx = new_raw_context(engine, pkey);
    public_ctx = EVP_PKEY_CTX_new_from_pkey(engine->libctx, pkey, NULL);
    if (private_ctx != NULL && public_ctx != NULL && EVP_PKEY_encrypt_init(public_ctx) == 1 &&
        EVP_PKEY_CTX_set_rsa_padding(public_ctx, RSA_NO_PADDING) == 1 &&
        EVP_PKEY_decrypt(private_ctx, transformed, &signed_len, pattern, len) == 1 &&
        EVP_PKEY_encrypt(public_ctx, back, &back_len, transformed, signed_len) == 1)
        same = back_len == len && memcmp(back, pattern, len) == 0;
    ERR_pop_to_mark();
    EVP_PKEY_CTX_free(private_ctx);
    EVP_PKEY_CTX_free(public_ctx);
    return same;
}
