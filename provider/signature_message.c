/*
 * Signature algorithms that include their digest ("ECDSA-SHA2-256", "RSA-SHA2-256": PKCS#1 v1.5), for OpenSSL from 3.4
 * on: EVP_PKEY_sign_message_init and its relatives. They are the digesting operations of signature_digest.c under one
 * fixed name; no parameter is taken but the signature to verify, exactly as in the default provider.
 */
#include "algorithms.h"
#include "signature.h"

#include "newer.h"

#include <openssl/crypto.h>
#include <openssl/params.h>

/* ---- the signature that is to be verified: a parameter, because the last call has none ---- */

static int message_set_params(void *vctx, const OSSL_PARAM params[])
{
    struct signature *ctx = vctx;
    const OSSL_PARAM *p = params == NULL ? NULL : OSSL_PARAM_locate_const(params, OSSL_SIGNATURE_PARAM_SIGNATURE);

    if (p == NULL || ctx->operation != SIGNATURE_VERIFY || !ctx->digesting)
        return 1;
    OPENSSL_free(ctx->expected);
    ctx->expected = NULL;
    ctx->expected_len = 0;
    return OSSL_PARAM_get_octet_string(p, &ctx->expected, 0, &ctx->expected_len) ||
           raise_error(ctx->provider, REASON_PARAMETER, "the signature is an octet string");
}

static const OSSL_PARAM *message_settable(void *vctx, void *provctx)
{
    static const OSSL_PARAM list[] = {OSSL_PARAM_octet_string(OSSL_SIGNATURE_PARAM_SIGNATURE, NULL, 0), OSSL_PARAM_END};

    (void)vctx, (void)provctx;
    return list;
}

/* ---- messages ---- */

static int message_sign_init(void *vctx, void *provkey, const OSSL_PARAM params[])
{
    struct signature *ctx = vctx;

    (void)params;
    return signature_digest_sign_init(ctx, ctx->fixed_md, provkey, NULL);
}

static int message_verify_init(void *vctx, void *provkey, const OSSL_PARAM params[])
{
    struct signature *ctx = vctx;

    return signature_digest_verify_init(ctx, ctx->fixed_md, provkey, NULL) && message_set_params(ctx, params);
}

static int message_verify_final(void *vctx)
{
    struct signature *ctx = vctx;

    if (ctx->expected == NULL)
        return raise_error(ctx->provider, REASON_STATE, "no signature to verify was set");
    return signature_digest_verify_final(ctx, ctx->expected, ctx->expected_len);
}

/* ---- digests that are ready, and whole messages: the init decided which ---- */

typedef int init_function(void *vctx, void *provkey, const OSSL_PARAM params[]);

static int ready_init(struct signature *ctx, void *provkey, init_function *init)
{
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_SIGNATURE_PARAM_DIGEST, (char *)ctx->fixed_md, 0),
        OSSL_PARAM_construct_end(),
    };
    return init(ctx, provkey, params);
}

static int ready_sign_init(void *vctx, void *provkey, const OSSL_PARAM params[])
{
    (void)params;
    return ready_init(vctx, provkey, signature_sign_init);
}

static int ready_verify_init(void *vctx, void *provkey, const OSSL_PARAM params[])
{
    (void)params;
    return ready_init(vctx, provkey, signature_verify_init);
}

static int ready_recover_init(void *vctx, void *provkey, const OSSL_PARAM params[])
{
    (void)params;
    return ready_init(vctx, provkey, signature_recover_init);
}

static int either_sign(void *vctx, unsigned char *sig, size_t *siglen, size_t sigsize, const unsigned char *tbs,
                       size_t tbslen)
{
    const struct signature *ctx = vctx;

    return (ctx->digesting ? signature_digest_sign : signature_sign)(vctx, sig, siglen, sigsize, tbs, tbslen);
}

static int either_verify(void *vctx, const unsigned char *sig, size_t siglen, const unsigned char *tbs, size_t tbslen)
{
    const struct signature *ctx = vctx;

    return (ctx->digesting ? signature_digest_verify : signature_verify)(vctx, sig, siglen, tbs, tbslen);
}

/* ---- one table per algorithm ---- */

static void *message_new(void *provctx, const struct signature_kind *kind, const char *md)
{
    struct signature *ctx = signature_new(provctx, kind);

    if (ctx != NULL)
        ctx->fixed_md = md;
    return ctx;
}

static const OSSL_PARAM *ecdsa_gettable(void *ctx, void *provctx)
{
    return signature_gettable(ctx, provctx, &signature_ecdsa);
}

static const OSSL_PARAM *rsa_gettable(void *ctx, void *provctx)
{
    return signature_gettable(ctx, provctx, &signature_rsa_pkcs1);
}

static const char **ecdsa_key_types(void)
{
    static const char *types[] = {"EC", NULL};

    return types;
}

static const char **rsa_key_types(void)
{
    static const char *types[] = {"RSA", NULL};

    return types;
}

#define MESSAGE_FUNCTIONS                                                                                              \
    SIGNATURE_FUNCTION(FREECTX, signature_free), SIGNATURE_FUNCTION(DUPCTX, signature_dup),                            \
        SIGNATURE_FUNCTION(SIGN_INIT, ready_sign_init), SIGNATURE_FUNCTION(SIGN, either_sign),                         \
        SIGNATURE_FUNCTION(VERIFY_INIT, ready_verify_init), SIGNATURE_FUNCTION(VERIFY, either_verify),                 \
        SIGNATURE_FUNCTION(SIGN_MESSAGE_INIT, message_sign_init),                                                      \
        SIGNATURE_FUNCTION(SIGN_MESSAGE_UPDATE, signature_digest_sign_update),                                         \
        SIGNATURE_FUNCTION(SIGN_MESSAGE_FINAL, signature_digest_sign_final),                                           \
        SIGNATURE_FUNCTION(VERIFY_MESSAGE_INIT, message_verify_init),                                                  \
        SIGNATURE_FUNCTION(VERIFY_MESSAGE_UPDATE, signature_digest_verify_update),                                     \
        SIGNATURE_FUNCTION(VERIFY_MESSAGE_FINAL, message_verify_final),                                                \
        SIGNATURE_FUNCTION(GET_CTX_PARAMS, signature_get_params),                                                      \
        SIGNATURE_FUNCTION(SET_CTX_PARAMS, message_set_params),                                                        \
        SIGNATURE_FUNCTION(SETTABLE_CTX_PARAMS, message_settable)

#define ECDSA(word, md)                                                                                                \
    static void *ecdsa_##word##_new(void *provctx, const char *propq)                                                  \
    {                                                                                                                  \
        (void)propq;                                                                                                   \
        return message_new(provctx, &signature_ecdsa, md);                                                             \
    }                                                                                                                  \
    const OSSL_DISPATCH signature_ecdsa_##word##_functions[] = {                                                       \
        SIGNATURE_FUNCTION(NEWCTX, ecdsa_##word##_new),                                                                \
        SIGNATURE_FUNCTION(QUERY_KEY_TYPES, ecdsa_key_types),                                                          \
        SIGNATURE_FUNCTION(GETTABLE_CTX_PARAMS, ecdsa_gettable),                                                       \
        MESSAGE_FUNCTIONS,                                                                                             \
        {0, NULL}}

#define RSA(word, md)                                                                                                  \
    static void *rsa_##word##_new(void *provctx, const char *propq)                                                    \
    {                                                                                                                  \
        (void)propq;                                                                                                   \
        return message_new(provctx, &signature_rsa_pkcs1, md);                                                         \
    }                                                                                                                  \
    const OSSL_DISPATCH signature_rsa_##word##_functions[] = {                                                         \
        SIGNATURE_FUNCTION(NEWCTX, rsa_##word##_new),                                                                  \
        SIGNATURE_FUNCTION(QUERY_KEY_TYPES, rsa_key_types),                                                            \
        SIGNATURE_FUNCTION(VERIFY_RECOVER_INIT, ready_recover_init),                                                   \
        SIGNATURE_FUNCTION(VERIFY_RECOVER, signature_recover),                                                         \
        SIGNATURE_FUNCTION(GETTABLE_CTX_PARAMS, rsa_gettable),                                                         \
        MESSAGE_FUNCTIONS,                                                                                             \
        {0, NULL}}

ECDSA(sha1, "SHA1");
ECDSA(sha224, "SHA2-224");
ECDSA(sha256, "SHA2-256");
ECDSA(sha384, "SHA2-384");
ECDSA(sha512, "SHA2-512");
ECDSA(sha3_224, "SHA3-224");
ECDSA(sha3_256, "SHA3-256");
ECDSA(sha3_384, "SHA3-384");
ECDSA(sha3_512, "SHA3-512");
RSA(sha1, "SHA1");
RSA(sha224, "SHA2-224");
RSA(sha256, "SHA2-256");
RSA(sha384, "SHA2-384");
RSA(sha512, "SHA2-512");
RSA(sha512_224, "SHA2-512/224");
RSA(sha512_256, "SHA2-512/256");
RSA(sha3_224, "SHA3-224");
RSA(sha3_256, "SHA3-256");
RSA(sha3_384, "SHA3-384");
RSA(sha3_512, "SHA3-512");
