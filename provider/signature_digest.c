/*
 * Signing and verifying of messages: hashing happens on the host, in the delegate, or (for signatures of device keys)
 * in a hash state of our own whose value then goes to the device.
 */
#include "signature.h"

#include "sigdigest.h"

#include <openssl/crypto.h>
#include <string.h>

static int set_digest_name(struct signature *ctx, const char *name)
{
    ctx->md_name[0] = '\0';
    if (name == NULL)
        return 1;
    if (strlen(name) >= sizeof(ctx->md_name))
        return raise_error(ctx->provider, REASON_DIGEST, "the name is too long");
    memcpy(ctx->md_name, name, strlen(name) + 1);
    return 1;
}

/*
 * The hash state of a device signature. Initialised again without a name, a context keeps the digest it has. The
 * delegate is asked only when there is something to decide: a rare digest, none at all, or settings.
 */
static int begin_hash(struct signature *ctx, const char *name, const OSSL_PARAM params[])
{
    bool plain = (params == NULL || params[0].key == NULL) && key_type(ctx->key) != KEY_RSA_PSS;
    bool named = name != NULL && name[0] != '\0';
    EVP_MD *md;

    if (ctx->delegate != NULL || !plain || !(named ? digests_is_common(name) : ctx->md != NULL)) {
        if (!signature_open_delegate(ctx, params))
            return 0;
        EVP_MD_free(ctx->md);
        ctx->md = NULL;
        if (!signature_digest(ctx, &ctx->md))
            return 0;
        if (ctx->md == NULL)
            return raise_error(ctx->provider, REASON_DIGEST, "no digest is set");
    } else if (named) {
        if ((md = digests_get(provider_digests(ctx->provider), name, NULL)) == NULL)
            return 0;
        EVP_MD_free(ctx->md);
        ctx->md = md;
    }
    if (ctx->hash == NULL && (ctx->hash = EVP_MD_CTX_new()) == NULL)
        return 0;
    return EVP_DigestInit_ex2(ctx->hash, ctx->md, params);
}

static int begin(struct signature *ctx, const char *name, struct key *key, const OSSL_PARAM params[],
                 enum signature_operation operation)
{
    bool again = key == NULL && (name == NULL || name[0] == '\0');

    if (!signature_begin(ctx, key, operation, true))
        return 0;
    if (!again && !set_digest_name(ctx, name))
        return 0;
    if (ctx->on_device && ctx->kind->check_params != NULL && !ctx->kind->check_params(ctx, params))
        return 0;
    return ctx->on_device ? begin_hash(ctx, name, params) : signature_open_delegate(ctx, params);
}

int signature_digest_sign_init(void *vctx, const char *mdname, void *provkey, const OSSL_PARAM params[])
{
    return begin(vctx, mdname, provkey, params, SIGNATURE_SIGN);
}

int signature_digest_verify_init(void *vctx, const char *mdname, void *provkey, const OSSL_PARAM params[])
{
    return begin(vctx, mdname, provkey, params, SIGNATURE_VERIFY);
}

static int check_state(struct signature *ctx, enum signature_operation operation)
{
    if (ctx->operation != operation || !ctx->digesting)
        return raise_error(ctx->provider, REASON_STATE, "the operation was not initialised");
    if (ctx->finished)
        return raise_error(ctx->provider, REASON_STATE, "the signature was made already; initialise again");
    return 1;
}

int signature_digest_sign_update(void *vctx, const unsigned char *data, size_t datalen)
{
    struct signature *ctx = vctx;

    if (!check_state(ctx, SIGNATURE_SIGN))
        return 0;
    return ctx->on_device ? EVP_DigestUpdate(ctx->hash, data, datalen)
                          : EVP_DigestSignUpdate(ctx->delegate_md, data, datalen);
}

int signature_digest_sign_final(void *vctx, unsigned char *sig, size_t *siglen, size_t sigsize)
{
    struct signature *ctx = vctx;
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;

    if (!check_state(ctx, SIGNATURE_SIGN))
        return 0;
    if (!ctx->on_device) {
        *siglen = sigsize;
        return EVP_DigestSignFinal(ctx->delegate_md, sig, siglen);
    }
    if (sig != NULL) {
        ctx->finished = true;
        if (!EVP_DigestFinal_ex(ctx->hash, digest, &size))
            return 0;
    }
    return signature_sign_on_device(ctx, sig, siglen, sigsize, digest, size);
}

int signature_digest_sign(void *vctx, unsigned char *sig, size_t *siglen, size_t sigsize, const unsigned char *tbs,
                          size_t tbslen)
{
    struct signature *ctx = vctx;

    if (!check_state(ctx, SIGNATURE_SIGN))
        return 0;
    if (!ctx->on_device) {
        *siglen = sigsize;
        return EVP_DigestSign(ctx->delegate_md, sig, siglen, tbs, tbslen);
    }
    if (sig != NULL && !EVP_DigestUpdate(ctx->hash, tbs, tbslen))
        return 0;
    return signature_digest_sign_final(ctx, sig, siglen, sigsize);
}

int signature_digest_verify_update(void *vctx, const unsigned char *data, size_t datalen)
{
    struct signature *ctx = vctx;

    return check_state(ctx, SIGNATURE_VERIFY) && EVP_DigestVerifyUpdate(ctx->delegate_md, data, datalen);
}

int signature_digest_verify_final(void *vctx, const unsigned char *sig, size_t siglen)
{
    struct signature *ctx = vctx;

    return check_state(ctx, SIGNATURE_VERIFY) ? EVP_DigestVerifyFinal(ctx->delegate_md, sig, siglen) : 0;
}

int signature_digest_verify(void *vctx, const unsigned char *sig, size_t siglen, const unsigned char *tbs,
                            size_t tbslen)
{
    struct signature *ctx = vctx;

    return check_state(ctx, SIGNATURE_VERIFY) ? EVP_DigestVerify(ctx->delegate_md, sig, siglen, tbs, tbslen) : 0;
}
