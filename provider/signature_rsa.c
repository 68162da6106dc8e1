/*
 * RSA signatures, PKCS#1 v1.5 and PSS. A device key signs in one request: the encoding is made here, the device does
 * the raw operation. Padding, digests and salt length are those of the delegate at the time of signing, because
 * libssl and libcrypto set them after init.
 */
#include "algorithms.h"
#include "rsa_padding.h"
#include "signature.h"

#include "sigdigest.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/params.h>
#include <openssl/rsa.h>
#include <string.h>

static int get_int(struct signature *ctx, const char *name, int *value)
{
    OSSL_PARAM query[] = {OSSL_PARAM_int(name, value), OSSL_PARAM_END};

    return EVP_PKEY_CTX_get_params(ctx->delegate, query) == 1;
}

/* A context nobody set anything on has no delegate, and signs as RSA keys do by default. */
static int get_padding(struct signature *ctx, int *padding)
{
    *padding = (ctx->noted & SIGNATURE_NOTED_PSS) != 0 ? RSA_PKCS1_PSS_PADDING : RSA_PKCS1_PADDING;
    return ctx->delegate == NULL || get_int(ctx, OSSL_SIGNATURE_PARAM_PAD_MODE, padding);
}

static EVP_MD *get_mgf1(struct signature *ctx, EVP_MD *md)
{
    char name[64] = "";
    OSSL_PARAM query[] = {OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_MGF1_DIGEST, name, sizeof(name)), OSSL_PARAM_END};

    if (ctx->delegate == NULL)
        return EVP_MD_up_ref(md) ? md : NULL;
    if (EVP_PKEY_CTX_get_params(ctx->delegate, query) != 1 || name[0] == '\0')
        return NULL;
    return digests_get(provider_digests(ctx->provider), name, NULL);
}

/* The salt's length, within what the key allows (its own minimum, when it is a restricted RSA-PSS key). */
static int get_salt(struct signature *ctx, const EVP_MD *md, size_t *saltlen)
{
    const struct key_pss *pss = key_pss(ctx->key);
    int requested = (ctx->noted & SIGNATURE_NOTED_SALT) != 0 ? RSA_PSS_SALTLEN_DIGEST : RSA_SALT_AUTO, length;

    if (ctx->delegate != NULL && !get_int(ctx, OSSL_SIGNATURE_PARAM_PSS_SALTLEN, &requested))
        return 0;
    length = rsa_pss_salt_length(requested, (unsigned)key_bits(ctx->key), md);
    if (length < 0)
        return raise_error(ctx->provider, REASON_PADDING, "salt length %d with a key of %d bits and %s", requested,
                           key_bits(ctx->key), EVP_MD_get0_name(md));
    if (pss->restricted && length < pss->min_salt)
        return raise_error(ctx->provider, REASON_PADDING, "a salt of %d bytes, the key demands %d", length,
                           pss->min_salt);
    *saltlen = (size_t)length;
    return 1;
}

static int encode_pss(struct signature *ctx, uint8_t *em, const uint8_t *digest, EVP_MD *md)
{
    size_t saltlen = 0;
    EVP_MD *mgf1;
    int ok;

    if (!get_salt(ctx, md, &saltlen))
        return 0;
    if ((mgf1 = get_mgf1(ctx, md)) == NULL)
        return raise_error(ctx->provider, REASON_DIGEST, "no digest for MGF1");
    ok = rsa_pad_pss(provider_libctx(ctx->provider), em, (unsigned)key_bits(ctx->key), digest, md, mgf1, saltlen);
    EVP_MD_free(mgf1);
    return ok || raise_error(ctx->provider, REASON_HOST_CRYPTO, "PSS encoding");
}

static int encode_digest(struct signature *ctx, uint8_t *em, const uint8_t *digest, size_t length, EVP_MD *md,
                         int padding)
{
    uint8_t info[256];
    size_t infolen = sizeof(info);

    switch (padding) {
    case RSA_PKCS1_PSS_PADDING:
        return encode_pss(ctx, em, digest, md);
    case RSA_PKCS1_PADDING:
        if (!rsa_digest_info(md, digest, length, info, &infolen))
            return raise_error(ctx->provider, REASON_DIGEST, "%s has no PKCS#1 form", EVP_MD_get0_name(md));
        if (!rsa_pad_type1(em, key_size(ctx->key), info, infolen))
            return raise_error(ctx->provider, REASON_INPUT_LENGTH, "%s is too long for the key", EVP_MD_get0_name(md));
        return 1;
    default:
        return raise_error(ctx->provider, REASON_PADDING, "only PKCS#1 v1.5 or PSS padding with a digest");
    }
}

/* No digest is set: the caller brings a DigestInfo, or a whole block. */
static int encode_bare(struct signature *ctx, uint8_t *em, const uint8_t *tbs, size_t tbslen, int padding)
{
    size_t k = key_size(ctx->key);

    switch (padding) {
    case RSA_PKCS1_PADDING:
        if (!rsa_pad_type1(em, k, tbs, tbslen))
            return raise_error(ctx->provider, REASON_INPUT_LENGTH, "%zu bytes, at most %zu", tbslen,
                               k - RSA_PKCS1_OVERHEAD);
        return 1;
    case RSA_NO_PADDING:
        if (tbslen != k)
            return raise_error(ctx->provider, REASON_INPUT_LENGTH, "%zu bytes, must be %zu", tbslen, k);
        memcpy(em, tbs, k);
        return 1;
    default:
        return raise_error(ctx->provider, REASON_PADDING, "this padding needs a digest");
    }
}

static int rsa_sign(struct signature *ctx, uint8_t *sig, size_t *siglen, const uint8_t *tbs, size_t tbslen)
{
    struct azihsm_error error = {0};
    uint8_t em[RSA_BYTES_MAX];
    size_t k = key_size(ctx->key);
    EVP_MD *md = NULL;
    int padding, ok = 0;

    if (k > sizeof(em) || !get_padding(ctx, &padding) || !signature_digest(ctx, &md))
        return 0;
    ok = md != NULL ? encode_digest(ctx, em, tbs, tbslen, md, padding) : encode_bare(ctx, em, tbs, tbslen, padding);
    if (!ok)
        goto done;
    ok = azihsm_key_rsa_mod_exp(key_device_for(ctx->key, AZIHSM_USAGE_SIGN), AZIHSM_RSA_SIGN,
                                (struct azihsm_bytes){em, k}, sig, siglen, &error) == AZIHSM_OK;
    if (!ok)
        raise_device(ctx->provider, &error, "RsaModExp");
    else if (*siglen != k)
        ok = raise_error(ctx->provider, REASON_SIGNATURE, "%zu bytes, not %zu", *siglen, k);
done:
    EVP_MD_free(md);
    OPENSSL_cleanse(em, sizeof(em));
    return ok;
}

/* The default provider would accept X9.31 and only fail, or succeed, when it signs: say no at once. */
static int rsa_check_params(struct signature *ctx, const OSSL_PARAM params[])
{
    const OSSL_PARAM *p = params == NULL ? NULL : OSSL_PARAM_locate_const(params, OSSL_SIGNATURE_PARAM_PAD_MODE);
    int padding = 0;

    if (p == NULL)
        return 1;
    if (p->data_type == OSSL_PARAM_UTF8_STRING ? p->data != NULL && strcmp(p->data, OSSL_PKEY_RSA_PAD_MODE_X931) == 0
                                               : OSSL_PARAM_get_int(p, &padding) && padding == RSA_X931_PADDING)
        return raise_error(ctx->provider, REASON_PADDING, "X9.31 is not available for keys in the device");
    return 1;
}

/* ---- what TLS 1.3 sets ---- */

static bool is_value(const OSSL_PARAM *p, int number, const char *word)
{
    int value = 0;

    if (p->data_type == OSSL_PARAM_UTF8_STRING)
        return p->data != NULL && strcmp(p->data, word) == 0;
    return OSSL_PARAM_get_int(p, &value) && value == number;
}

/* PSS, then a salt as long as the digest, one at a time as libcrypto's callers do it. Unrestricted keys only. */
static bool rsa_note(struct signature *ctx, const OSSL_PARAM params[])
{
    if (key_type(ctx->key) != KEY_RSA || params[1].key != NULL)
        return false;
    if (strcmp(params[0].key, OSSL_SIGNATURE_PARAM_PAD_MODE) == 0 &&
        is_value(&params[0], RSA_PKCS1_PSS_PADDING, OSSL_PKEY_RSA_PAD_MODE_PSS)) {
        ctx->noted |= SIGNATURE_NOTED_PSS;
        return true;
    }
    if ((ctx->noted & SIGNATURE_NOTED_PSS) != 0 && strcmp(params[0].key, OSSL_SIGNATURE_PARAM_PSS_SALTLEN) == 0 &&
        is_value(&params[0], RSA_PSS_SALTLEN_DIGEST, OSSL_PKEY_RSA_PSS_SALT_LEN_DIGEST)) {
        ctx->noted |= SIGNATURE_NOTED_SALT;
        return true;
    }
    return false;
}

static int rsa_replay(struct signature *ctx)
{
    int padding = RSA_PKCS1_PSS_PADDING, salt = RSA_PSS_SALTLEN_DIGEST;
    OSSL_PARAM params[3] = {OSSL_PARAM_int(OSSL_SIGNATURE_PARAM_PAD_MODE, &padding), OSSL_PARAM_END, OSSL_PARAM_END};

    if ((ctx->noted & SIGNATURE_NOTED_SALT) != 0)
        params[1] = OSSL_PARAM_construct_int(OSSL_SIGNATURE_PARAM_PSS_SALTLEN, &salt);
    return EVP_PKEY_CTX_set_params(ctx->delegate, params) == 1;
}

static bool rsa_accepts(enum key_type type)
{
    return type == KEY_RSA || type == KEY_RSA_PSS;
}

const struct signature_kind signature_rsa = {.name = "RSA",
                                             .accepts = rsa_accepts,
                                             .check_params = rsa_check_params,
                                             .note = rsa_note,
                                             .replay = rsa_replay,
                                             .sign = rsa_sign};

static bool pkcs1_accepts(enum key_type type)
{
    return type == KEY_RSA;
}

const struct signature_kind signature_rsa_pkcs1 = {.name = "RSA", .accepts = pkcs1_accepts, .sign = rsa_sign};

static OSSL_FUNC_signature_newctx_fn rsa_new;
static OSSL_FUNC_signature_gettable_ctx_params_fn rsa_gettable;
static OSSL_FUNC_signature_settable_ctx_params_fn rsa_settable;

static void *rsa_new(void *provctx, const char *propq)
{
    (void)propq;
    return signature_new(provctx, &signature_rsa);
}

static const OSSL_PARAM *rsa_gettable(void *ctx, void *provctx)
{
    return signature_gettable(ctx, provctx, &signature_rsa);
}

static const OSSL_PARAM *rsa_settable(void *ctx, void *provctx)
{
    return signature_settable(ctx, provctx, &signature_rsa);
}

const OSSL_DISPATCH signature_rsa_functions[] = {
    SIGNATURE_FUNCTION(NEWCTX, rsa_new),
    SIGNATURE_FUNCTION(VERIFY_RECOVER_INIT, signature_recover_init),
    SIGNATURE_FUNCTION(VERIFY_RECOVER, signature_recover),
    SIGNATURE_FUNCTION(GETTABLE_CTX_PARAMS, rsa_gettable),
    SIGNATURE_FUNCTION(SETTABLE_CTX_PARAMS, rsa_settable),
    SIGNATURE_SHARED_FUNCTIONS,
    {0, NULL},
};
