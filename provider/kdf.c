/*
 * HKDF and KBKDF: contexts, their parameters, and the work with key bytes, which is the default provider's. kdf.h says
 * what a key of the device changes.
 */
#include "kdf.h"

#include "algorithms.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <string.h>
#include <strings.h>

static OSSL_FUNC_kdf_freectx_fn kdf_free;
static OSSL_FUNC_kdf_dupctx_fn kdf_dup;
static OSSL_FUNC_kdf_reset_fn kdf_reset;
static OSSL_FUNC_kdf_derive_fn kdf_derive;
static OSSL_FUNC_kdf_set_skey_fn kdf_set_skey;
static OSSL_FUNC_kdf_derive_skey_fn kdf_derive_skey;
static OSSL_FUNC_kdf_get_ctx_params_fn kdf_get_params;
static OSSL_FUNC_kdf_set_ctx_params_fn kdf_set_params;
static OSSL_FUNC_kdf_gettable_ctx_params_fn hkdf_gettable;
static OSSL_FUNC_kdf_gettable_ctx_params_fn kbkdf_gettable;

/* ---- life ---- */

static void *kdf_new(void *provctx, bool kbkdf)
{
    struct kdf *ctx = OPENSSL_zalloc(sizeof(*ctx));
    EVP_KDF *kdf;

    if (ctx == NULL)
        return NULL;
    ctx->provider = provctx;
    ctx->kbkdf = kbkdf;
    kdf = EVP_KDF_fetch(provider_libctx(provctx), kbkdf ? OSSL_KDF_NAME_KBKDF : OSSL_KDF_NAME_HKDF, NULL);
    ctx->delegate = kdf == NULL ? NULL : EVP_KDF_CTX_new(kdf);
    EVP_KDF_free(kdf);
    if (ctx->delegate != NULL)
        return ctx;
    OPENSSL_free(ctx);
    return NULL;
}

static void clear(struct kdf *ctx)
{
    for (int i = 0; i < KDF_VALUES; i++)
        OPENSSL_clear_free(ctx->value[i].data, ctx->value[i].len);
    OPENSSL_free(ctx->output);
    azihsm_key_free(ctx->key);
    azihsm_key_free(ctx->secret);
}

static void kdf_free(void *vctx)
{
    struct kdf *ctx = vctx;

    if (ctx == NULL)
        return;
    clear(ctx);
    EVP_KDF_CTX_free(ctx->delegate);
    OPENSSL_free(ctx);
}

static void kdf_reset(void *vctx)
{
    struct kdf *ctx = vctx, fresh = {.provider = ctx->provider, .kbkdf = ctx->kbkdf, .delegate = ctx->delegate};

    clear(ctx);
    EVP_KDF_CTX_reset(ctx->delegate);
    *ctx = fresh;
}

static void *kdf_dup(void *vctx)
{
    const struct kdf *from = vctx;
    struct kdf *to = OPENSSL_memdup(from, sizeof(*from));
    bool ok = true;

    if (to == NULL)
        return NULL;
    to->key = from->key == NULL ? NULL : azihsm_key_up_ref(from->key);
    to->secret = from->secret == NULL ? NULL : azihsm_key_up_ref(from->secret);
    to->output = from->output == NULL ? NULL : OPENSSL_strdup(from->output);
    to->delegate = EVP_KDF_CTX_dup(from->delegate);
    for (int i = 0; i < KDF_VALUES; i++) {
        if (from->value[i].data == NULL)
            continue;
        to->value[i].data = OPENSSL_memdup(from->value[i].data, from->value[i].len + 1);
        ok = ok && to->value[i].data != NULL;
    }
    if (ok && to->delegate != NULL && (to->output == NULL) == (from->output == NULL))
        return to;
    kdf_free(to);
    return NULL;
}

/* ---- parameters ---- */

/* Replaces the value by all parameters of that name one after the other, as the default provider does with info. */
static int take_value(const OSSL_PARAM params[], const char *name, struct kdf_value *value)
{
    const OSSL_PARAM *p = OSSL_PARAM_locate_const(params, name);
    uint8_t *all = NULL, *grown;
    size_t len = 0;

    if (p == NULL)
        return 1;
    for (; p != NULL; p = OSSL_PARAM_locate_const(p + 1, name)) {
        if (p->data_type != OSSL_PARAM_OCTET_STRING || (grown = OPENSSL_realloc(all, len + p->data_size + 1)) == NULL) {
            OPENSSL_clear_free(all, len);
            return 0;
        }
        all = grown;
        if (p->data_size > 0)
            memcpy(all + len, p->data, p->data_size);
        len += p->data_size;
    }
    OPENSSL_clear_free(value->data, value->len);
    *value = (struct kdf_value){all, len};
    return 1;
}

/* The last key that was given counts, whatever its form. */
static int make_way(struct kdf *ctx, const OSSL_PARAM params[])
{
    bool bytes = OSSL_PARAM_locate_const(params, OSSL_KDF_PARAM_KEY) != NULL;
    bool device = OSSL_PARAM_locate_const(params, SYMKEY_PARAM) != NULL;

    if (bytes && device)
        return raise_error(ctx->provider, REASON_PARAMETER, "both key bytes and %s are given", SYMKEY_PARAM);
    if (bytes || device) {
        azihsm_key_free(ctx->secret);
        ctx->secret = NULL;
    }
    if (bytes) {
        azihsm_key_free(ctx->key);
        ctx->key = NULL;
    }
    return 1;
}

static int take_output(struct kdf *ctx, const OSSL_PARAM params[])
{
    const OSSL_PARAM *output = OSSL_PARAM_locate_const(params, KDF_PARAM_OUTPUT);
    const OSSL_PARAM *type = OSSL_PARAM_locate_const(params, KDF_PARAM_TYPE);
    const struct symkind *kind;
    const char *text = NULL;

    if (output != NULL) {
        OPENSSL_free(ctx->output);
        ctx->output = NULL;
        if (!OSSL_PARAM_get_utf8_string(output, &ctx->output, 0))
            return raise_error(ctx->provider, REASON_PARAMETER, "%s: a URI is needed", KDF_PARAM_OUTPUT);
    }
    if (type == NULL)
        return 1;
    if (!OSSL_PARAM_get_utf8_string_ptr(type, &text) || (kind = symkind_derivable(text)) == NULL)
        return raise_error(ctx->provider, REASON_PARAMETER,
                           "%s must be AES-128, AES-192, AES-256, HMAC-SHA256, HMAC-SHA384 or HMAC-SHA512",
                           KDF_PARAM_TYPE);
    ctx->output_kind = kind->kind;
    return 1;
}

static int kdf_set_params(void *vctx, const OSSL_PARAM params[])
{
    static const uint32_t fitting[] = {AZIHSM_KEY_ECC256_PRIVATE, AZIHSM_KEY_ECC384_PRIVATE, AZIHSM_KEY_ECC521_PRIVATE,
                                       0};
    struct kdf *ctx = vctx;
    const OSSL_PARAM *p = params == NULL ? NULL : OSSL_PARAM_locate_const(params, OSSL_KDF_PARAM_DIGEST);
    char *digest = ctx->digest;

    if (params == NULL || params[0].key == NULL)
        return 1;
    if (p != NULL && !OSSL_PARAM_get_utf8_string(p, &digest, sizeof(ctx->digest)))
        return raise_error(ctx->provider, REASON_DIGEST, "the name is too long");
    if (!take_value(params, OSSL_KDF_PARAM_SALT, &ctx->value[KDF_SALT]) ||
        !take_value(params, OSSL_KDF_PARAM_INFO, &ctx->value[KDF_INFO]) ||
        !take_value(params, KDF_PARAM_PEER, &ctx->value[KDF_PEER]))
        return raise_error(ctx->provider, REASON_PARAMETER, "salt, info and %s are octet strings", KDF_PARAM_PEER);
    ctx->odd = kdf_device_odd(ctx->odd, params);
    return make_way(ctx, params) && take_output(ctx, params) && EVP_KDF_CTX_set_params(ctx->delegate, params) &&
           symkey_from_params(ctx->provider, params, SYMKEY_PARAM, fitting, "key agreement", &ctx->key);
}

static int kdf_get_params(void *vctx, OSSL_PARAM params[])
{
    struct kdf *ctx = vctx;

    return EVP_KDF_CTX_get_params(ctx->delegate, params);
}

/* The default provider's own list (its memory stays as long as our library context holds the provider). */
static const OSSL_PARAM *gettable(void *provctx, const char *name)
{
    EVP_KDF *kdf = EVP_KDF_fetch(provider_libctx(provctx), name, NULL);
    const OSSL_PARAM *list = kdf == NULL ? NULL : EVP_KDF_gettable_ctx_params(kdf);

    EVP_KDF_free(kdf);
    return list;
}

static const OSSL_PARAM *hkdf_gettable(void *vctx, void *provctx)
{
    (void)vctx;
    return gettable(provctx, OSSL_KDF_NAME_HKDF);
}

static const OSSL_PARAM *kbkdf_gettable(void *vctx, void *provctx)
{
    (void)vctx;
    return gettable(provctx, OSSL_KDF_NAME_KBKDF);
}

#define OUR_PARAMS                                                                                                     \
    OSSL_PARAM_utf8_string(SYMKEY_PARAM, NULL, 0), OSSL_PARAM_octet_string(KDF_PARAM_PEER, NULL, 0),                   \
        OSSL_PARAM_utf8_string(KDF_PARAM_OUTPUT, NULL, 0), OSSL_PARAM_utf8_string(KDF_PARAM_TYPE, NULL, 0)
#define SHARED_PARAMS                                                                                                  \
    OSSL_PARAM_utf8_string(OSSL_KDF_PARAM_MODE, NULL, 0), OSSL_PARAM_utf8_string(OSSL_KDF_PARAM_PROPERTIES, NULL, 0),  \
        OSSL_PARAM_utf8_string(OSSL_KDF_PARAM_DIGEST, NULL, 0), OSSL_PARAM_octet_string(OSSL_KDF_PARAM_KEY, NULL, 0),  \
        OSSL_PARAM_octet_string(OSSL_KDF_PARAM_SALT, NULL, 0), OSSL_PARAM_octet_string(OSSL_KDF_PARAM_INFO, NULL, 0)

static const OSSL_PARAM *hkdf_settable(void *vctx, void *provctx)
{
    static const OSSL_PARAM list[] = {SHARED_PARAMS, OSSL_PARAM_int(OSSL_KDF_PARAM_MODE, NULL), OUR_PARAMS,
                                      OSSL_PARAM_END};

    (void)vctx;
    (void)provctx;
    return list;
}

#define KBKDF_PARAMS                                                                                                   \
    SHARED_PARAMS, OUR_PARAMS, OSSL_PARAM_octet_string(OSSL_KDF_PARAM_SEED, NULL, 0),                                  \
        OSSL_PARAM_utf8_string(OSSL_KDF_PARAM_CIPHER, NULL, 0), OSSL_PARAM_utf8_string(OSSL_KDF_PARAM_MAC, NULL, 0),   \
        OSSL_PARAM_int(OSSL_KDF_PARAM_KBKDF_USE_L, NULL), OSSL_PARAM_int(OSSL_KDF_PARAM_KBKDF_USE_SEPARATOR, NULL)

/* The width of the counter can be chosen from OpenSSL 3.1 on; before that, the name must not be accepted. */
static const OSSL_PARAM *kbkdf_settable(void *vctx, void *provctx)
{
    static const OSSL_PARAM list[] = {KBKDF_PARAMS, OSSL_PARAM_END};
    static const OSSL_PARAM newer[] = {KBKDF_PARAMS, OSSL_PARAM_int(OSSL_KDF_PARAM_KBKDF_R, NULL), OSSL_PARAM_END};

    (void)vctx;
    return provider_core_version(provctx) >= CORE_VERSION(3, 1) ? newer : list;
}

/* ---- derivation ---- */

static int kdf_derive(void *vctx, unsigned char *out, size_t outlen, const OSSL_PARAM params[])
{
    struct kdf *ctx = vctx;

    if (!kdf_set_params(ctx, params))
        return 0;
    return kdf_in_device(ctx) ? kdf_device_derive(ctx, out, outlen)
                              : EVP_KDF_derive(ctx->delegate, out, outlen, NULL) == 1;
}

/* ---- opaque keys (OpenSSL 3.6) ---- */

/* As a parameter of that name would: "key", but also a salt or the like that is secret. */
static int set_bytes(struct kdf *ctx, const char *name, struct azihsm_bytes bytes)
{
    const OSSL_PARAM params[] = {OSSL_PARAM_octet_string(name, (void *)(uintptr_t)bytes.data, bytes.len),
                                 OSSL_PARAM_END};

    return kdf_set_params(ctx, params);
}

static int kdf_set_skey(void *vctx, void *skeydata, const char *name)
{
    static const uint32_t fitting[] = {AZIHSM_KEY_SECRET256, AZIHSM_KEY_SECRET384, AZIHSM_KEY_SECRET521, 0};
    const struct skey *skey = skeydata;
    struct kdf *ctx = vctx;

    if (skey == NULL)
        return raise_error(ctx->provider, REASON_PARAMETER, "no key is given");
    if (skey->key == NULL)
        return set_bytes(ctx, name, (struct azihsm_bytes){skey->bytes, skey->len});
    if (strcmp(name, OSSL_KDF_PARAM_KEY) != 0)
        return raise_error(ctx->provider, REASON_PARAMETER,
                           "a key in the device can only be the \"key\", not the %.32s", name);
    if (!symkey_fits(ctx->provider, skey->key, skey->id, fitting, "derivation"))
        return 0;
    azihsm_key_free(ctx->key);
    azihsm_key_free(ctx->secret);
    ctx->key = NULL;
    ctx->secret = azihsm_key_up_ref(skey->key);
    return 1;
}

static void *derive_bytes(struct kdf *ctx, void *provctx, OSSL_FUNC_skeymgmt_import_fn *import, size_t len)
{
    uint8_t *bytes = OPENSSL_zalloc(len + 1);
    void *skey = NULL;

    if (bytes != NULL && EVP_KDF_derive(ctx->delegate, bytes, len, NULL) == 1)
        skey = skey_import_bytes(import, provctx, (struct azihsm_bytes){bytes, len});
    OPENSSL_clear_free(bytes, len + 1);
    return skey;
}

static void *kdf_derive_skey(void *vctx, const char *type, void *provctx, OSSL_FUNC_skeymgmt_import_fn *import,
                             size_t len, const OSSL_PARAM params[])
{
    struct kdf *ctx = vctx;

    if (!kdf_set_params(ctx, params))
        return NULL;
    if (!kdf_in_device(ctx))
        return derive_bytes(ctx, provctx, import, len);
    if (provctx == ctx->provider)
        return kdf_device_derive_skey(ctx, type, len);
    raise_error(ctx->provider, REASON_SECRET_IN_DEVICE, "what is derived from it can only be a key of this provider");
    return NULL;
}

static OSSL_FUNC_kdf_newctx_fn hkdf_new;
static OSSL_FUNC_kdf_newctx_fn kbkdf_new;

static void *hkdf_new(void *provctx)
{
    return kdf_new(provctx, false);
}

static void *kbkdf_new(void *provctx)
{
    return kdf_new(provctx, true);
}

#define KDF_FUNCTION(id, function)                                                                                     \
    {                                                                                                                  \
        OSSL_FUNC_KDF_##id, (void (*)(void))(function)                                                                 \
    }
#define KDF_FUNCTIONS                                                                                                  \
    KDF_FUNCTION(FREECTX, kdf_free), KDF_FUNCTION(DUPCTX, kdf_dup), KDF_FUNCTION(RESET, kdf_reset),                    \
        KDF_FUNCTION(DERIVE, kdf_derive), KDF_FUNCTION(SET_SKEY, kdf_set_skey),                                        \
        KDF_FUNCTION(DERIVE_SKEY, kdf_derive_skey), KDF_FUNCTION(GET_CTX_PARAMS, kdf_get_params),                      \
        KDF_FUNCTION(SET_CTX_PARAMS, kdf_set_params)

const OSSL_DISPATCH kdf_hkdf_functions[] = {
    KDF_FUNCTION(NEWCTX, hkdf_new),
    KDF_FUNCTION(SETTABLE_CTX_PARAMS, hkdf_settable),
    KDF_FUNCTION(GETTABLE_CTX_PARAMS, hkdf_gettable),
    KDF_FUNCTIONS,
    {0, NULL},
};

const OSSL_DISPATCH kdf_kbkdf_functions[] = {
    KDF_FUNCTION(NEWCTX, kbkdf_new),
    KDF_FUNCTION(SETTABLE_CTX_PARAMS, kbkdf_settable),
    KDF_FUNCTION(GETTABLE_CTX_PARAMS, kbkdf_gettable),
    KDF_FUNCTIONS,
    {0, NULL},
};
