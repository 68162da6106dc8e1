/*
 * HMAC. With key bytes: the default provider's own context. With "azihsm.key": the message is gathered (the device
 * takes at most 1024 bytes in one command and keeps no state between commands) and authenticated in one request.
 */
#include "algorithms.h"
#include "sigdigest.h"
#include "skey.h"
#include "symkey.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>

struct hmac {
    struct provider *provider;
    EVP_MAC_CTX *delegate;
    struct azihsm_key *key; /* NULL: key bytes, the delegate works */
    char digest[64];        /* as the caller set it, "" when not */
    size_t used;
    bool refused; /* an update did not fit: what is gathered is not the message */
    uint8_t message[AZIHSM_HMAC_MSG_MAX];
};

static OSSL_FUNC_mac_newctx_fn hmac_new;
static OSSL_FUNC_mac_freectx_fn hmac_free;
static OSSL_FUNC_mac_dupctx_fn hmac_dup;
static OSSL_FUNC_mac_init_fn hmac_init;
static OSSL_FUNC_mac_init_skey_fn hmac_init_skey;
static OSSL_FUNC_mac_update_fn hmac_update;
static OSSL_FUNC_mac_final_fn hmac_final;
static OSSL_FUNC_mac_get_ctx_params_fn hmac_get_params;
static OSSL_FUNC_mac_gettable_ctx_params_fn hmac_gettable;
static OSSL_FUNC_mac_set_ctx_params_fn hmac_set_params;
static OSSL_FUNC_mac_settable_ctx_params_fn hmac_settable;

static const struct {
    uint32_t kind;
    size_t size, block;
    const char *digest;
} kinds[] = {
    {AZIHSM_KEY_HMAC_SHA256, 32, 64, "SHA256"},  {AZIHSM_KEY_HMAC_SHA384, 48, 128, "SHA384"},
    {AZIHSM_KEY_HMAC_SHA512, 64, 128, "SHA512"}, {AZIHSM_KEY_VAR_HMAC256, 32, 64, "SHA256"},
    {AZIHSM_KEY_VAR_HMAC384, 48, 128, "SHA384"}, {AZIHSM_KEY_VAR_HMAC512, 64, 128, "SHA512"},
};
enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

/* Index of the key's kind; symkey_from_params let no other in. */
static size_t kind_of(const struct hmac *ctx)
{
    uint32_t kind = azihsm_key_kind(ctx->key);
    size_t i = 0;

    while (i + 1 < KINDS && kinds[i].kind != kind)
        i++;
    return i;
}

static void *hmac_new(void *provctx)
{
    struct hmac *ctx = OPENSSL_zalloc(sizeof(*ctx));
    EVP_MAC *mac;

    if (ctx == NULL)
        return NULL;
    ctx->provider = provctx;
    mac = EVP_MAC_fetch(provider_libctx(provctx), OSSL_MAC_NAME_HMAC, NULL);
    ctx->delegate = mac == NULL ? NULL : EVP_MAC_CTX_new(mac);
    EVP_MAC_free(mac);
    if (ctx->delegate != NULL)
        return ctx;
    OPENSSL_free(ctx);
    return NULL;
}

static void hmac_free(void *vctx)
{
    struct hmac *ctx = vctx;

    if (ctx == NULL)
        return;
    EVP_MAC_CTX_free(ctx->delegate);
    azihsm_key_free(ctx->key);
    OPENSSL_clear_free(ctx, sizeof(*ctx));
}

static void *hmac_dup(void *vctx)
{
    const struct hmac *from = vctx;
    struct hmac *to = OPENSSL_memdup(from, sizeof(*from));

    if (to == NULL)
        return NULL;
    to->key = from->key == NULL ? NULL : azihsm_key_up_ref(from->key);
    if ((to->delegate = EVP_MAC_CTX_dup(from->delegate)) != NULL)
        return to;
    hmac_free(to);
    return NULL;
}

static const uint32_t fitting[] = {AZIHSM_KEY_HMAC_SHA256,
                                   AZIHSM_KEY_HMAC_SHA384,
                                   AZIHSM_KEY_HMAC_SHA512,
                                   AZIHSM_KEY_VAR_HMAC256,
                                   AZIHSM_KEY_VAR_HMAC384,
                                   AZIHSM_KEY_VAR_HMAC512,
                                   0};

static int hmac_set_params(void *vctx, const OSSL_PARAM params[])
{
    struct hmac *ctx = vctx;
    const OSSL_PARAM *p = params == NULL ? NULL : OSSL_PARAM_locate_const(params, OSSL_MAC_PARAM_DIGEST);
    char *digest = ctx->digest;

    if (params == NULL || params[0].key == NULL)
        return 1;
    if (OSSL_PARAM_locate_const(params, OSSL_MAC_PARAM_KEY) != NULL) { /* key bytes end the use of a device key */
        if (OSSL_PARAM_locate_const(params, SYMKEY_PARAM) != NULL)
            return raise_error(ctx->provider, REASON_PARAMETER, "both key bytes and %s are given", SYMKEY_PARAM);
        azihsm_key_free(ctx->key);
        ctx->key = NULL;
    }
    if (p != NULL && !OSSL_PARAM_get_utf8_string(p, &digest, sizeof(ctx->digest)))
        return raise_error(ctx->provider, REASON_DIGEST, "the name is too long");
    return EVP_MAC_CTX_set_params(ctx->delegate, params) &&
           symkey_from_params(ctx->provider, params, SYMKEY_PARAM, fitting, "HMAC", &ctx->key);
}

/* A digest that was asked for must be the key's; none means the key's. */
static int check_digest(const struct hmac *ctx)
{
    const char *own = kinds[kind_of(ctx)].digest;
    EVP_MD *md;
    int ok;

    if (ctx->digest[0] == '\0')
        return 1;
    if ((md = digests_get(provider_digests(ctx->provider), ctx->digest, NULL)) == NULL)
        return 0;
    ok = EVP_MD_is_a(md, own) ||
         raise_error(ctx->provider, REASON_DIGEST, "the key in the device is for %s, not %s", own, ctx->digest);
    EVP_MD_free(md);
    return ok;
}

static int hmac_init(void *vctx, const unsigned char *key, size_t keylen, const OSSL_PARAM params[])
{
    struct hmac *ctx = vctx;

    if (key != NULL) {
        azihsm_key_free(ctx->key);
        ctx->key = NULL;
    }
    if (!hmac_set_params(ctx, params))
        return 0;
    if (ctx->key == NULL)
        return EVP_MAC_init(ctx->delegate, key, keylen, NULL);
    if (key != NULL)
        return raise_error(ctx->provider, REASON_PARAMETER, "both key bytes and %s are given", SYMKEY_PARAM);
    ctx->used = 0;
    ctx->refused = false;
    return check_digest(ctx);
}

static int hmac_init_skey(void *vctx, void *skeydata, const OSSL_PARAM params[])
{
    const struct skey *skey = skeydata;
    struct hmac *ctx = vctx;

    if (skey == NULL)
        return hmac_init(ctx, NULL, 0, params);
    if (skey->key == NULL)
        return hmac_init(ctx, skey->bytes, skey->len, params);
    if (!symkey_fits(ctx->provider, skey->key, skey->id, fitting, "HMAC"))
        return 0;
    azihsm_key_free(ctx->key);
    ctx->key = azihsm_key_up_ref(skey->key);
    return hmac_init(ctx, NULL, 0, params);
}

static int hmac_update(void *vctx, const unsigned char *in, size_t inl)
{
    struct hmac *ctx = vctx;

    if (ctx->key == NULL)
        return EVP_MAC_update(ctx->delegate, in, inl);
    ctx->refused |= inl > sizeof(ctx->message) - ctx->used;
    if (ctx->refused)
        return raise_error(ctx->provider, REASON_INPUT_LENGTH, "a key in the device authenticates at most %zu bytes",
                           sizeof(ctx->message));
    if (inl > 0)
        memcpy(ctx->message + ctx->used, in, inl);
    ctx->used += inl;
    return 1;
}

static int hmac_final(void *vctx, unsigned char *out, size_t *outl, size_t outsize)
{
    struct hmac *ctx = vctx;
    struct azihsm_error error = {0};
    size_t size;

    if (ctx->key == NULL)
        return EVP_MAC_final(ctx->delegate, out, outl, outsize);
    size = kinds[kind_of(ctx)].size;
    if (out != NULL && ctx->refused) /* many a program looks at this result only */
        return raise_error(ctx->provider, REASON_STATE, "a part of the message was refused before");
    if (out != NULL) {
        if (outsize < size)
            return raise_error(ctx->provider, REASON_BUFFER, "is %zu, should be at least %zu", outsize, size);
        if (azihsm_key_hmac(ctx->key, (struct azihsm_bytes){ctx->message, ctx->used}, out, &size, &error) != AZIHSM_OK)
            return raise_device(ctx->provider, &error, "Hmac");
    }
    if (outl != NULL)
        *outl = size;
    return 1;
}

static int hmac_get_params(void *vctx, OSSL_PARAM params[])
{
    struct hmac *ctx = vctx;
    OSSL_PARAM *p;

    if (ctx->key == NULL)
        return EVP_MAC_CTX_get_params(ctx->delegate, params);
    p = OSSL_PARAM_locate(params, OSSL_MAC_PARAM_SIZE);
    if (p != NULL && !OSSL_PARAM_set_size_t(p, kinds[kind_of(ctx)].size))
        return 0;
    p = OSSL_PARAM_locate(params, OSSL_MAC_PARAM_BLOCK_SIZE);
    return p == NULL || OSSL_PARAM_set_size_t(p, kinds[kind_of(ctx)].block);
}

static const OSSL_PARAM *hmac_gettable(void *vctx, void *provctx)
{
    static const OSSL_PARAM list[] = {OSSL_PARAM_size_t(OSSL_MAC_PARAM_SIZE, NULL),
                                      OSSL_PARAM_size_t(OSSL_MAC_PARAM_BLOCK_SIZE, NULL), OSSL_PARAM_END};

    (void)vctx;
    (void)provctx;
    return list;
}

static const OSSL_PARAM *hmac_settable(void *vctx, void *provctx)
{
    static const OSSL_PARAM list[] = {OSSL_PARAM_utf8_string(OSSL_MAC_PARAM_DIGEST, NULL, 0),
                                      OSSL_PARAM_utf8_string(OSSL_MAC_PARAM_PROPERTIES, NULL, 0),
                                      OSSL_PARAM_octet_string(OSSL_MAC_PARAM_KEY, NULL, 0),
                                      OSSL_PARAM_int(OSSL_MAC_PARAM_DIGEST_NOINIT, NULL),
                                      OSSL_PARAM_int(OSSL_MAC_PARAM_DIGEST_ONESHOT, NULL),
                                      OSSL_PARAM_size_t(OSSL_MAC_PARAM_TLS_DATA_SIZE, NULL),
                                      OSSL_PARAM_utf8_string(SYMKEY_PARAM, NULL, 0),
                                      OSSL_PARAM_END};

    (void)vctx;
    (void)provctx;
    return list;
}

#define MAC_FUNCTION(id, function)                                                                                     \
    {                                                                                                                  \
        OSSL_FUNC_MAC_##id, (void (*)(void))(function)                                                                 \
    }

const OSSL_DISPATCH mac_hmac_functions[] = {
    MAC_FUNCTION(NEWCTX, hmac_new),
    MAC_FUNCTION(FREECTX, hmac_free),
    MAC_FUNCTION(DUPCTX, hmac_dup),
    MAC_FUNCTION(INIT, hmac_init),
    MAC_FUNCTION(INIT_SKEY, hmac_init_skey),
    MAC_FUNCTION(UPDATE, hmac_update),
    MAC_FUNCTION(FINAL, hmac_final),
    MAC_FUNCTION(GET_CTX_PARAMS, hmac_get_params),
    MAC_FUNCTION(GETTABLE_CTX_PARAMS, hmac_gettable),
    MAC_FUNCTION(SET_CTX_PARAMS, hmac_set_params),
    MAC_FUNCTION(SETTABLE_CTX_PARAMS, hmac_settable),
    {0, NULL},
};
