/*
 * Signature contexts: life, delegation to the default provider, and signing and verifying of ready digests.
 * A context owns a reference to its key and its delegate; nothing in it belongs to the device, so it may be copied at
 * any time (signature.h tells how the work is divided).
 */
#include "signature.h"

#include "sigdigest.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>

void *signature_new(void *provctx, const struct signature_kind *kind)
{
    struct signature *ctx = OPENSSL_zalloc(sizeof(*ctx));

    if (ctx == NULL)
        return NULL;
    ctx->provider = provctx;
    ctx->kind = kind;
    return ctx;
}

void signature_drop_delegate(struct signature *ctx)
{
    if (ctx->delegate_md == NULL)
        EVP_PKEY_CTX_free(ctx->delegate);
    EVP_MD_CTX_free(ctx->delegate_md);
    ctx->delegate = NULL;
    ctx->delegate_md = NULL;
}

void signature_free(void *vctx)
{
    struct signature *ctx = vctx;

    if (ctx == NULL)
        return;
    signature_drop_delegate(ctx);
    EVP_MD_CTX_free(ctx->hash);
    EVP_MD_free(ctx->md);
    key_free(ctx->key);
    OPENSSL_free(ctx->expected);
    OPENSSL_free(ctx);
}

static int copy_md_ctx(EVP_MD_CTX **to, const EVP_MD_CTX *from)
{
    if (from == NULL)
        return 1;
    *to = EVP_MD_CTX_new();
    return *to != NULL && EVP_MD_CTX_copy_ex(*to, from);
}

static int copy_delegate(struct signature *to, const struct signature *from)
{
    if (from->delegate_md != NULL) {
        if (!copy_md_ctx(&to->delegate_md, from->delegate_md))
            return 0;
        to->delegate = EVP_MD_CTX_get_pkey_ctx(to->delegate_md);
    } else if (from->delegate != NULL) {
        to->delegate = EVP_PKEY_CTX_dup(from->delegate);
    }
    return (to->delegate == NULL) == (from->delegate == NULL);
}

void *signature_dup(void *vctx)
{
    const struct signature *from = vctx;
    struct signature *to = OPENSSL_memdup(from, sizeof(*from));

    if (to == NULL)
        return NULL;
    to->delegate = NULL;
    to->delegate_md = NULL;
    to->hash = NULL;
    to->expected = from->expected == NULL ? NULL : OPENSSL_memdup(from->expected, from->expected_len + 1);
    to->key = from->key == NULL ? NULL : key_up_ref(from->key);
    if (to->md != NULL)
        EVP_MD_up_ref(to->md);
    if ((to->expected != NULL) == (from->expected != NULL) && copy_delegate(to, from) &&
        copy_md_ctx(&to->hash, from->hash))
        return to;
    signature_free(to);
    return NULL;
}

static int set_key(struct signature *ctx, struct key *key)
{
    if (key == NULL)
        return ctx->key != NULL || raise_error(ctx->provider, REASON_STATE, "no key set");
    if (!ctx->kind->accepts(key_type(key)))
        return raise_error(ctx->provider, REASON_KEY_TYPE, "%s with a key of type %s", ctx->kind->name,
                           key_type_name(key_type(key)));
    signature_drop_delegate(ctx);
    key_up_ref(key);
    key_free(ctx->key);
    ctx->key = key;
    return 1;
}

int signature_begin(struct signature *ctx, struct key *key, enum signature_operation operation, bool digesting)
{
    if (!set_key(ctx, key))
        return 0;
    if (ctx->operation != operation || ctx->digesting != digesting)
        signature_drop_delegate(ctx);
    ctx->operation = SIGNATURE_NONE; /* until the caller is through */
    ctx->digesting = digesting;
    ctx->finished = false;
    ctx->noted = 0;
    ctx->on_device = operation == SIGNATURE_SIGN && key_is_device(ctx->key);
    if (!key_check_public(ctx->key))
        return 0;
    if (ctx->on_device && !provider_ready(ctx->provider))
        return 0;
    ctx->operation = operation;
    return 1;
}

/* ---- the delegate ---- */

static int open_raw(struct signature *ctx, const OSSL_PARAM params[])
{
    if (ctx->delegate != NULL) /* initialised again with the key it has: its settings stay */
        return EVP_PKEY_CTX_set_params(ctx->delegate, params);
    ctx->delegate = EVP_PKEY_CTX_new_from_pkey(provider_libctx(ctx->provider), key_inner(ctx->key), NULL);
    if (ctx->delegate == NULL)
        return 0;
    switch (ctx->operation) {
    case SIGNATURE_SIGN:
        return EVP_PKEY_sign_init_ex(ctx->delegate, params) == 1;
    case SIGNATURE_VERIFY:
        return EVP_PKEY_verify_init_ex(ctx->delegate, params) == 1;
    default:
        return EVP_PKEY_verify_recover_init_ex(ctx->delegate, params) == 1;
    }
}

/* The flag keeps libcrypto from copying the delegate at every final: the copy was made above us already. */
static int open_digesting(struct signature *ctx, const OSSL_PARAM params[])
{
    OSSL_LIB_CTX *libctx = provider_libctx(ctx->provider);
    const char *name = ctx->md_name[0] == '\0' ? NULL : ctx->md_name;
    EVP_PKEY *key = ctx->delegate == NULL ? key_inner(ctx->key) : NULL;

    if (key != NULL && ctx->on_device && (params == NULL || params[0].key == NULL)) {
        EVP_MD_CTX_free(ctx->delegate_md);
        ctx->delegate_md = signature_template_copy(key_templates(ctx->key), libctx, key, name);
        if (ctx->delegate_md != NULL)
            ctx->delegate = EVP_MD_CTX_get_pkey_ctx(ctx->delegate_md);
        return ctx->delegate != NULL;
    }
    if (ctx->delegate_md == NULL && (ctx->delegate_md = EVP_MD_CTX_new()) == NULL)
        return 0;
    EVP_MD_CTX_set_flags(ctx->delegate_md, EVP_MD_CTX_FLAG_FINALISE);
    if (ctx->operation == SIGNATURE_SIGN)
        return EVP_DigestSignInit_ex(ctx->delegate_md, &ctx->delegate, name, libctx, NULL, key, params) == 1;
    return EVP_DigestVerifyInit_ex(ctx->delegate_md, &ctx->delegate, name, libctx, NULL, key, params) == 1;
}

int signature_open_delegate(struct signature *ctx, const OSSL_PARAM params[])
{
    int ok = ctx->digesting ? open_digesting(ctx, params) : open_raw(ctx, params);

    if (ok && ctx->noted != 0)
        ok = ctx->kind->replay(ctx);
    ctx->noted = 0;
    if (!ok)
        signature_drop_delegate(ctx);
    return ok;
}

int signature_need_delegate(struct signature *ctx)
{
    if (ctx->operation == SIGNATURE_NONE)
        return raise_error(ctx->provider, REASON_STATE, "no operation was initialised");
    return ctx->delegate != NULL || signature_open_delegate(ctx, NULL);
}

int signature_digest(struct signature *ctx, EVP_MD **md)
{
    char name[sizeof(ctx->md_name)] = "";
    OSSL_PARAM query[] = {OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_DIGEST, name, sizeof(name)), OSSL_PARAM_END};

    *md = NULL;
    if (ctx->md != NULL) {
        *md = ctx->md;
        return EVP_MD_up_ref(ctx->md);
    }
    if (ctx->delegate == NULL)
        return 1;
    if (EVP_PKEY_CTX_get_params(ctx->delegate, query) != 1)
        return 0;
    if (name[0] == '\0')
        return 1;
    *md = digests_get(provider_digests(ctx->provider), name, NULL);
    return *md != NULL;
}

/* ---- signing and verifying of ready digests ---- */

/* An ordinary device key needs no delegate yet; a restricted RSA-PSS key brings settings of its own. */
static int raw_init(struct signature *ctx, struct key *key, const OSSL_PARAM params[],
                    enum signature_operation operation)
{
    bool plain = params == NULL || params[0].key == NULL;

    if (!signature_begin(ctx, key, operation, false))
        return 0;
    EVP_MD_free(ctx->md);
    ctx->md = NULL;
    if (ctx->on_device && plain && key_type(ctx->key) != KEY_RSA_PSS)
        return 1;
    if (ctx->on_device && ctx->kind->check_params != NULL && !ctx->kind->check_params(ctx, params))
        return 0;
    return signature_open_delegate(ctx, params);
}

int signature_sign_init(void *vctx, void *provkey, const OSSL_PARAM params[])
{
    return raw_init(vctx, provkey, params, SIGNATURE_SIGN);
}

int signature_verify_init(void *vctx, void *provkey, const OSSL_PARAM params[])
{
    return raw_init(vctx, provkey, params, SIGNATURE_VERIFY);
}

int signature_recover_init(void *vctx, void *provkey, const OSSL_PARAM params[])
{
    return raw_init(vctx, provkey, params, SIGNATURE_RECOVER);
}

static int check_digest_length(struct signature *ctx, size_t length)
{
    EVP_MD *md;
    int size;

    if (!signature_digest(ctx, &md))
        return 0;
    size = md == NULL ? -1 : EVP_MD_get_size(md);
    EVP_MD_free(md);
    return size < 0 || (size_t)size == length ||
           raise_error(ctx->provider, REASON_DIGEST, "%zu bytes were given, the digest has %d", length, size);
}

/*
 * The key's usage is looked at here and not at init: libssl tries init even with the key of an RSA key exchange, which
 * only decrypts, and takes a refusal for "no usable certificate".
 */
int signature_sign_on_device(struct signature *ctx, uint8_t *sig, size_t *siglen, size_t sigsize, const uint8_t *tbs,
                             size_t tbslen)
{
    size_t need = (size_t)EVP_PKEY_get_size(key_inner(ctx->key));

    if (sig == NULL) {
        *siglen = need;
        return 1;
    }
    if (sigsize < need)
        return raise_error(ctx->provider, REASON_BUFFER, "is %zu, should be at least %zu", sigsize, need);
    *siglen = sigsize;
    return key_check_private(ctx->key, AZIHSM_USAGE_SIGN) && check_digest_length(ctx, tbslen) &&
           ctx->kind->sign(ctx, sig, siglen, tbs, tbslen);
}

static int check_state(struct signature *ctx, enum signature_operation operation)
{
    if (ctx->operation == operation && !ctx->digesting)
        return 1;
    return raise_error(ctx->provider, REASON_STATE, "the operation was not initialised");
}

int signature_sign(void *vctx, unsigned char *sig, size_t *siglen, size_t sigsize, const unsigned char *tbs,
                   size_t tbslen)
{
    struct signature *ctx = vctx;

    if (!check_state(ctx, SIGNATURE_SIGN))
        return 0;
    if (ctx->on_device)
        return signature_sign_on_device(ctx, sig, siglen, sigsize, tbs, tbslen);
    *siglen = sigsize;
    return EVP_PKEY_sign(ctx->delegate, sig, siglen, tbs, tbslen);
}

int signature_verify(void *vctx, const unsigned char *sig, size_t siglen, const unsigned char *tbs, size_t tbslen)
{
    struct signature *ctx = vctx;

    return check_state(ctx, SIGNATURE_VERIFY) ? EVP_PKEY_verify(ctx->delegate, sig, siglen, tbs, tbslen) : 0;
}

int signature_recover(void *vctx, unsigned char *rout, size_t *routlen, size_t routsize, const unsigned char *sig,
                      size_t siglen)
{
    struct signature *ctx = vctx;

    if (!check_state(ctx, SIGNATURE_RECOVER))
        return 0;
    *routlen = routsize;
    return EVP_PKEY_verify_recover(ctx->delegate, rout, routlen, sig, siglen);
}
