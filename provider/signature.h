/*
 * What the signature algorithms share: one context, and everything in it that does not depend on the algorithm.
 *
 * Every context may hold a delegate: the default provider's own context over the inner key, in the private library
 * context. It does all public-key work and all work of carried keys, and in every context it is the judge of
 * parameters: what is set is set on it, what is asked for is asked from it, so names, values, restrictions and errors
 * are exactly the default provider's. Signing with a device key adds to it the hash state (ours, so that it can be
 * taken out) and, per algorithm, the encoding and the one request to the device. It needs no delegate while nobody
 * sets or asks for a parameter, but for the two that TLS sets with every RSA signature.
 */
#ifndef AZIHSM_PROVIDER_SIGNATURE_H
#define AZIHSM_PROVIDER_SIGNATURE_H

#include "key.h"

#include <openssl/core_dispatch.h>
#include <openssl/evp.h>

struct signature;

struct signature_kind {
    const char *name; /* of the default provider's algorithm */
    bool (*accepts)(enum key_type type);
    /* Refuses with an error what the default provider can do and a device key cannot. May be NULL. */
    int (*check_params)(struct signature *ctx, const OSSL_PARAM params[]);
    /*
     * Keeps in mind (ctx->noted) what TLS sets for every signature, so that it needs no delegate; false: let the
     * delegate judge. replay sets on a delegate what was noted. Both or neither.
     */
    bool (*note)(struct signature *ctx, const OSSL_PARAM params[]);
    int (*replay)(struct signature *ctx);
    /* tbs is a digest when signature_digest says so; sig has room for key's signature size. One device request. */
    int (*sign)(struct signature *ctx, uint8_t *sig, size_t *siglen, const uint8_t *tbs, size_t tbslen);
};

enum { SIGNATURE_NOTED_PSS = 1, SIGNATURE_NOTED_SALT = 2 };
enum signature_operation { SIGNATURE_NONE, SIGNATURE_SIGN, SIGNATURE_VERIFY, SIGNATURE_RECOVER };

struct signature {
    struct provider *provider;
    const struct signature_kind *kind;
    struct key *key; /* our reference */
    enum signature_operation operation;
    bool digesting;          /* set up by digest_sign_init or digest_verify_init */
    bool on_device;          /* signing with a device key: the delegate is only asked for parameters */
    bool finished;           /* the hash was taken out */
    unsigned noted;          /* SIGNATURE_NOTED_; only while there is no delegate */
    EVP_PKEY_CTX *delegate;  /* NULL until needed; belongs to delegate_md while digesting */
    EVP_MD_CTX *delegate_md; /* digesting */
    EVP_MD_CTX *hash;        /* digesting on_device */
    EVP_MD *md;              /* digesting on_device */
    char md_name[64];        /* as the caller wrote it */
    const char *fixed_md;    /* of an algorithm that includes its digest (signature_message.c), else NULL */
    void *expected;          /* the signature to verify, when it comes as a parameter */
    size_t expected_len;
};

extern const struct signature_kind signature_ecdsa;
extern const struct signature_kind signature_rsa, signature_rsa_pkcs1; /* the latter: no RSA-PSS keys */

void *signature_new(void *provctx, const struct signature_kind *kind);
OSSL_FUNC_signature_freectx_fn signature_free;
OSSL_FUNC_signature_dupctx_fn signature_dup;

OSSL_FUNC_signature_sign_init_fn signature_sign_init;
OSSL_FUNC_signature_sign_fn signature_sign;
OSSL_FUNC_signature_verify_init_fn signature_verify_init;
OSSL_FUNC_signature_verify_fn signature_verify;
OSSL_FUNC_signature_verify_recover_init_fn signature_recover_init;
OSSL_FUNC_signature_verify_recover_fn signature_recover;

/* signature_digest.c */
OSSL_FUNC_signature_digest_sign_init_fn signature_digest_sign_init;
OSSL_FUNC_signature_digest_sign_update_fn signature_digest_sign_update;
OSSL_FUNC_signature_digest_sign_final_fn signature_digest_sign_final;
OSSL_FUNC_signature_digest_sign_fn signature_digest_sign;
OSSL_FUNC_signature_digest_verify_init_fn signature_digest_verify_init;
OSSL_FUNC_signature_digest_verify_update_fn signature_digest_verify_update;
OSSL_FUNC_signature_digest_verify_final_fn signature_digest_verify_final;
OSSL_FUNC_signature_digest_verify_fn signature_digest_verify;

/* signature_params.c */
OSSL_FUNC_signature_get_ctx_params_fn signature_get_params;
const OSSL_PARAM *signature_gettable(void *ctx, void *provctx, const struct signature_kind *kind);
OSSL_FUNC_signature_set_ctx_params_fn signature_set_params;
const OSSL_PARAM *signature_settable(void *ctx, void *provctx, const struct signature_kind *kind);
OSSL_FUNC_signature_get_ctx_md_params_fn signature_get_md_params;
OSSL_FUNC_signature_gettable_ctx_md_params_fn signature_gettable_md_params;
OSSL_FUNC_signature_set_ctx_md_params_fn signature_set_md_params;
OSSL_FUNC_signature_settable_ctx_md_params_fn signature_settable_md_params;

#define SIGNATURE_FUNCTION(id, function)                                                                               \
    {                                                                                                                  \
        OSSL_FUNC_SIGNATURE_##id, (void (*)(void))(function)                                                           \
    }
/* All rows of a dispatch table that do not depend on the algorithm. */
#define SIGNATURE_SHARED_FUNCTIONS                                                                                     \
    SIGNATURE_FUNCTION(FREECTX, signature_free), SIGNATURE_FUNCTION(DUPCTX, signature_dup),                            \
        SIGNATURE_FUNCTION(SIGN_INIT, signature_sign_init), SIGNATURE_FUNCTION(SIGN, signature_sign),                  \
        SIGNATURE_FUNCTION(VERIFY_INIT, signature_verify_init), SIGNATURE_FUNCTION(VERIFY, signature_verify),          \
        SIGNATURE_FUNCTION(DIGEST_SIGN_INIT, signature_digest_sign_init),                                              \
        SIGNATURE_FUNCTION(DIGEST_SIGN_UPDATE, signature_digest_sign_update),                                          \
        SIGNATURE_FUNCTION(DIGEST_SIGN_FINAL, signature_digest_sign_final),                                            \
        SIGNATURE_FUNCTION(DIGEST_SIGN, signature_digest_sign),                                                        \
        SIGNATURE_FUNCTION(DIGEST_VERIFY_INIT, signature_digest_verify_init),                                          \
        SIGNATURE_FUNCTION(DIGEST_VERIFY_UPDATE, signature_digest_verify_update),                                      \
        SIGNATURE_FUNCTION(DIGEST_VERIFY_FINAL, signature_digest_verify_final),                                        \
        SIGNATURE_FUNCTION(DIGEST_VERIFY, signature_digest_verify),                                                    \
        SIGNATURE_FUNCTION(GET_CTX_PARAMS, signature_get_params),                                                      \
        SIGNATURE_FUNCTION(SET_CTX_PARAMS, signature_set_params),                                                      \
        SIGNATURE_FUNCTION(GET_CTX_MD_PARAMS, signature_get_md_params),                                                \
        SIGNATURE_FUNCTION(GETTABLE_CTX_MD_PARAMS, signature_gettable_md_params),                                      \
        SIGNATURE_FUNCTION(SET_CTX_MD_PARAMS, signature_set_md_params),                                                \
        SIGNATURE_FUNCTION(SETTABLE_CTX_MD_PARAMS, signature_settable_md_params)

/* ---- for the files of this family ---- */

/* Takes over a new key (or keeps the old one when NULL) and decides where the work will be done. */
int signature_begin(struct signature *ctx, struct key *key, enum signature_operation operation, bool digesting);
/* Makes the delegate of the current operation unless there is one. */
int signature_need_delegate(struct signature *ctx);
int signature_open_delegate(struct signature *ctx, const OSSL_PARAM params[]);
void signature_drop_delegate(struct signature *ctx);
/* Digest that the delegate has been told (or digest_sign_init was): *md is a reference, or NULL when there is none. */
int signature_digest(struct signature *ctx, EVP_MD **md);
/* The common half of signing on the device: size query, room, length of the digest, then the algorithm. */
int signature_sign_on_device(struct signature *ctx, uint8_t *sig, size_t *siglen, size_t sigsize, const uint8_t *tbs,
                             size_t tbslen);

#endif
