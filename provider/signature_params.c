/*
 * Parameters of signature contexts: handed to the delegate and answered by it, all of them, so that the names a newer
 * libcrypto knows work too. Digest parameters of a device signature belong to our own hash state.
 */
#include "signature.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>

static bool nothing(const OSSL_PARAM params[])
{
    return params == NULL || params[0].key == NULL;
}

/* A signature of a device key that has its digest and, so far, no settings. */
static bool is_plain(const struct signature *ctx)
{
    return ctx->operation == SIGNATURE_SIGN && ctx->on_device && ctx->digesting && ctx->md != NULL &&
           ctx->delegate == NULL;
}

int signature_get_params(void *vctx, OSSL_PARAM params[])
{
    struct signature *ctx = vctx;

    if (nothing(params))
        return 1;
    return signature_need_delegate(ctx) && EVP_PKEY_CTX_get_params(ctx->delegate, params) == 1;
}

int signature_set_params(void *vctx, const OSSL_PARAM params[])
{
    struct signature *ctx = vctx;

    if (nothing(params))
        return 1;
    if (is_plain(ctx) && ctx->kind->note != NULL && ctx->kind->note(ctx, params))
        return 1;
    if (!signature_need_delegate(ctx))
        return 0;
    if (ctx->on_device && ctx->kind->check_params != NULL && !ctx->kind->check_params(ctx, params))
        return 0;
    return EVP_PKEY_CTX_set_params(ctx->delegate, params) == 1;
}

/*
 * Without a context: the list is a constant of the default provider, which the private library context keeps loaded,
 * so it outlives the object it was asked from.
 */
static const OSSL_PARAM *of_algorithm(void *provctx, const char *name,
                                      const OSSL_PARAM *(*list)(const EVP_SIGNATURE *signature))
{
    EVP_SIGNATURE *signature = EVP_SIGNATURE_fetch(provider_libctx(provctx), name, NULL);
    const OSSL_PARAM *params = signature == NULL ? NULL : list(signature);

    EVP_SIGNATURE_free(signature);
    return params;
}

const OSSL_PARAM *signature_gettable(void *vctx, void *provctx, const struct signature_kind *kind)
{
    struct signature *ctx = vctx;

    if (ctx == NULL || ctx->operation == SIGNATURE_NONE || !signature_need_delegate(ctx))
        return of_algorithm(provctx, kind->name, EVP_SIGNATURE_gettable_ctx_params);
    return EVP_PKEY_CTX_gettable_params(ctx->delegate);
}

const OSSL_PARAM *signature_settable(void *vctx, void *provctx, const struct signature_kind *kind)
{
    struct signature *ctx = vctx;
    const OSSL_PARAM *params = NULL;

    if (ctx != NULL && is_plain(ctx))
        params = signature_template_settable(key_templates(ctx->key), provider_libctx(ctx->provider),
                                             key_inner(ctx->key), ctx->md_name[0] == '\0' ? NULL : ctx->md_name);
    if (params != NULL)
        return params;
    if (ctx == NULL || ctx->operation == SIGNATURE_NONE || !signature_need_delegate(ctx))
        return of_algorithm(provctx, kind->name, EVP_SIGNATURE_settable_ctx_params);
    return EVP_PKEY_CTX_settable_params(ctx->delegate);
}

/* Where the digest of a message is computed; NULL (with an error) when there is no message. */
static EVP_MD_CTX *hash_of(struct signature *ctx)
{
    if (ctx->operation == SIGNATURE_NONE || !ctx->digesting) {
        raise_error(ctx->provider, REASON_STATE, "no digest is being computed");
        return NULL;
    }
    return ctx->on_device ? ctx->hash : ctx->delegate_md;
}

int signature_get_md_params(void *vctx, OSSL_PARAM params[])
{
    EVP_MD_CTX *hash = hash_of(vctx);

    return hash != NULL && (nothing(params) || EVP_MD_CTX_get_params(hash, params) == 1);
}

int signature_set_md_params(void *vctx, const OSSL_PARAM params[])
{
    EVP_MD_CTX *hash = hash_of(vctx);

    return hash != NULL && (nothing(params) || EVP_MD_CTX_set_params(hash, params) == 1);
}

const OSSL_PARAM *signature_gettable_md_params(void *vctx)
{
    EVP_MD_CTX *hash = hash_of(vctx);

    return hash == NULL ? NULL : EVP_MD_CTX_gettable_params(hash);
}

const OSSL_PARAM *signature_settable_md_params(void *vctx)
{
    EVP_MD_CTX *hash = hash_of(vctx);

    return hash == NULL ? NULL : EVP_MD_CTX_settable_params(hash);
}
