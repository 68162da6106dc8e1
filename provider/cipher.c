/*
 * AES ciphers: one set of dispatch functions over all of them. A context owns its delegate, the references to its keys
 * and what cipher_device.c gathers; cipher.h says who does what.
 */
#include "cipher.h"

#include "algorithms.h"
#include "skey.h"

#include <limits.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>

static OSSL_FUNC_cipher_freectx_fn cipher_free;
static OSSL_FUNC_cipher_dupctx_fn cipher_dup;
static OSSL_FUNC_cipher_encrypt_init_fn cipher_encrypt_init;
static OSSL_FUNC_cipher_decrypt_init_fn cipher_decrypt_init;
static OSSL_FUNC_cipher_encrypt_skey_init_fn cipher_encrypt_skey_init;
static OSSL_FUNC_cipher_decrypt_skey_init_fn cipher_decrypt_skey_init;
static OSSL_FUNC_cipher_update_fn cipher_update;
static OSSL_FUNC_cipher_final_fn cipher_final;
static OSSL_FUNC_cipher_cipher_fn cipher_whole;
static OSSL_FUNC_cipher_get_ctx_params_fn cipher_get_params;
static OSSL_FUNC_cipher_set_ctx_params_fn cipher_set_params;

static void *cipher_new(void *provctx, const struct cipher_kind *kind)
{
    struct cipher *ctx = OPENSSL_zalloc(sizeof(*ctx));
    EVP_CIPHER *cipher;

    if (ctx == NULL)
        return NULL;
    ctx->provider = provctx;
    ctx->kind = kind;
    ctx->padding = kind->mode == CIPHER_CBC;
    cipher = EVP_CIPHER_fetch(provider_libctx(provctx), kind->name, NULL);
    ctx->delegate = EVP_CIPHER_CTX_new();
    if (cipher == NULL || ctx->delegate == NULL ||
        EVP_CipherInit_ex2(ctx->delegate, cipher, NULL, NULL, 1, NULL) != 1) {
        cipher_free(ctx);
        ctx = NULL;
    }
    EVP_CIPHER_free(cipher);
    return ctx;
}

static void cipher_free(void *vctx)
{
    struct cipher *ctx = vctx;

    if (ctx == NULL)
        return;
    EVP_CIPHER_CTX_free(ctx->delegate);
    azihsm_key_free(ctx->key);
    azihsm_key_free(ctx->tweak);
    OPENSSL_clear_free(ctx->aad, ctx->aadlen);
    OPENSSL_clear_free(ctx, sizeof(*ctx));
}

static void *cipher_dup(void *vctx)
{
    const struct cipher *from = vctx;
    struct cipher *to = OPENSSL_memdup(from, sizeof(*from));

    if (to == NULL)
        return NULL;
    to->key = from->key == NULL ? NULL : azihsm_key_up_ref(from->key);
    to->tweak = from->tweak == NULL ? NULL : azihsm_key_up_ref(from->tweak);
    to->aad = from->aad == NULL ? NULL : OPENSSL_memdup(from->aad, from->aadlen);
    to->delegate = EVP_CIPHER_CTX_new();
    if ((from->aad == NULL || to->aad != NULL) && to->delegate != NULL &&
        EVP_CIPHER_CTX_copy(to->delegate, from->delegate) == 1)
        return to;
    cipher_free(to);
    return NULL;
}

static int take_keys(struct cipher *ctx, const OSSL_PARAM params[])
{
    if (params != NULL && OSSL_PARAM_locate_const(params, SYMKEY_PARAM) != NULL) { /* not the old key's other half */
        azihsm_key_free(ctx->tweak);
        ctx->tweak = NULL;
    }
    return symkey_from_params(ctx->provider, params, SYMKEY_PARAM, ctx->kind->fitting, ctx->kind->name, &ctx->key) &&
           symkey_from_params(ctx->provider, params, SYMKEY_PARAM_TWEAK, ctx->kind->fitting, ctx->kind->name,
                              &ctx->tweak);
}

static void drop_keys(struct cipher *ctx)
{
    azihsm_key_free(ctx->key);
    azihsm_key_free(ctx->tweak);
    ctx->key = ctx->tweak = NULL;
}

static int cipher_init(struct cipher *ctx, bool decrypt, const unsigned char *key, const unsigned char *iv,
                       size_t ivlen, const OSSL_PARAM params[])
{
    if (key != NULL) /* key bytes end the use of a device key */
        drop_keys(ctx);
    if (!take_keys(ctx, params))
        return 0;
    if (ctx->key == NULL) {
        cipher_device_note(ctx, decrypt, iv, ivlen, params);
        return EVP_CipherInit_ex2(ctx->delegate, NULL, key, iv, !decrypt, params) == 1;
    }
    if (key != NULL)
        return raise_error(ctx->provider, REASON_PARAMETER, "both key bytes and %s are given", SYMKEY_PARAM);
    return cipher_device_begin(ctx, decrypt, iv, ivlen) && (params == NULL || cipher_device_set_params(ctx, params));
}

static int cipher_encrypt_init(void *vctx, const unsigned char *key, size_t keylen, const unsigned char *iv,
                               size_t ivlen, const OSSL_PARAM params[])
{
    (void)keylen; /* a constant of the cipher; libcrypto has compared it */
    return cipher_init(vctx, false, key, iv, ivlen, params);
}

static int cipher_decrypt_init(void *vctx, const unsigned char *key, size_t keylen, const unsigned char *iv,
                               size_t ivlen, const OSSL_PARAM params[])
{
    (void)keylen;
    return cipher_init(vctx, true, key, iv, ivlen, params);
}

/* The delegate has the length of the IV from its parameters; with an opaque key it comes as an argument. */
static int fit_iv(struct cipher *ctx, size_t ivlen)
{
    const OSSL_PARAM params[] = {OSSL_PARAM_size_t(OSSL_CIPHER_PARAM_AEAD_IVLEN, &ivlen), OSSL_PARAM_END};
    int now = EVP_CIPHER_CTX_get_iv_length(ctx->delegate);

    if (now >= 0 && (size_t)now == ivlen)
        return 1;
    return (ctx->kind->aead && EVP_CIPHER_CTX_set_params(ctx->delegate, params) == 1) ||
           raise_error(ctx->provider, REASON_PARAMETER, "an IV of %zu bytes for %s", ivlen, ctx->kind->name);
}

static int init_with_bytes(struct cipher *ctx, bool decrypt, const struct skey *skey, const unsigned char *iv,
                           size_t ivlen, const OSSL_PARAM params[])
{
    if (skey->len != ctx->kind->key_size)
        return raise_error(ctx->provider, REASON_KEY_SIZE, "a key of %zu bytes does not fit %s", skey->len,
                           ctx->kind->name);
    return (iv == NULL || fit_iv(ctx, ivlen)) && cipher_init(ctx, decrypt, skey->bytes, iv, ivlen, params);
}

static int cipher_skey_init(struct cipher *ctx, bool decrypt, const struct skey *skey, const unsigned char *iv,
                            size_t ivlen, const OSSL_PARAM params[])
{
    if (skey == NULL)
        return cipher_init(ctx, decrypt, NULL, iv, ivlen, params);
    if (skey->key == NULL)
        return init_with_bytes(ctx, decrypt, skey, iv, ivlen, params);
    if (!symkey_fits(ctx->provider, skey->key, skey->id, ctx->kind->fitting, ctx->kind->name))
        return 0;
    drop_keys(ctx);
    ctx->key = azihsm_key_up_ref(skey->key);
    ctx->tweak = skey->tweak == NULL ? NULL : azihsm_key_up_ref(skey->tweak);
    return cipher_init(ctx, decrypt, NULL, iv, ivlen, params);
}

static int cipher_encrypt_skey_init(void *vctx, void *skeydata, const unsigned char *iv, size_t ivlen,
                                    const OSSL_PARAM params[])
{
    return cipher_skey_init(vctx, false, skeydata, iv, ivlen, params);
}

static int cipher_decrypt_skey_init(void *vctx, void *skeydata, const unsigned char *iv, size_t ivlen,
                                    const OSSL_PARAM params[])
{
    return cipher_skey_init(vctx, true, skeydata, iv, ivlen, params);
}

static int cipher_update(void *vctx, unsigned char *out, size_t *outl, size_t outsize, const unsigned char *in,
                         size_t inl)
{
    struct cipher *ctx = vctx;
    int len = 0;

    if (ctx->key != NULL)
        return cipher_device_update(ctx, out, outl, outsize, in, inl);
    if (inl > INT_MAX || EVP_CipherUpdate(ctx->delegate, out, &len, in, (int)inl) != 1)
        return 0;
    *outl = (size_t)len;
    return 1;
}

static int cipher_final(void *vctx, unsigned char *out, size_t *outl, size_t outsize)
{
    struct cipher *ctx = vctx;
    int len = 0;

    if (ctx->key != NULL)
        return cipher_device_final(ctx, out, outl, outsize);
    if (EVP_CipherFinal_ex(ctx->delegate, out, &len) != 1)
        return 0;
    *outl = (size_t)len;
    return 1;
}

/* EVP_Cipher: whole blocks, or (in TLS) a whole record; without input the final of an AEAD. */
static int cipher_whole(void *vctx, unsigned char *out, size_t *outl, size_t outsize, const unsigned char *in,
                        size_t inl)
{
    struct cipher *ctx = vctx;
    int len;

    if (ctx->key != NULL)
        return in == NULL ? cipher_device_final(ctx, out, outl, outsize)
                          : cipher_device_update(ctx, out, outl, outsize, in, inl);
    if (inl > INT_MAX || (len = EVP_Cipher(ctx->delegate, out, in, (unsigned)inl)) < 0)
        return 0;
    *outl = (size_t)len;
    return 1;
}

/* ---- parameters ---- */

static int cipher_get_params(void *vctx, OSSL_PARAM params[])
{
    struct cipher *ctx = vctx;

    return ctx->key != NULL ? cipher_device_get_params(ctx, params)
                            : EVP_CIPHER_CTX_get_params(ctx->delegate, params) == 1;
}

static int cipher_set_params(void *vctx, const OSSL_PARAM params[])
{
    struct cipher *ctx = vctx;

    if (params == NULL || params[0].key == NULL)
        return 1;
    if (!take_keys(ctx, params))
        return 0;
    if (ctx->key != NULL)
        return cipher_device_set_params(ctx, params);
    cipher_device_note(ctx, ctx->decrypt, NULL, 0, params);
    return EVP_CIPHER_CTX_set_params(ctx->delegate, params) == 1;
}

static const OSSL_PARAM *list_of(void *provctx, const struct cipher_kind *kind,
                                 const OSSL_PARAM *(*list)(const EVP_CIPHER *cipher))
{
    EVP_CIPHER *cipher = EVP_CIPHER_fetch(provider_libctx(provctx), kind->name, NULL);
    const OSSL_PARAM *params = cipher == NULL ? NULL : list(cipher);

    EVP_CIPHER_free(cipher);
    return params;
}

/* libcrypto asks for these without any context, when it fetches the cipher. */
static int constants(OSSL_PARAM params[], const struct cipher_kind *kind)
{
    OSSL_PARAM *p = OSSL_PARAM_locate(params, OSSL_CIPHER_PARAM_MODE);
    const struct {
        const char *name;
        size_t value;
    } sizes[] = {{OSSL_CIPHER_PARAM_KEYLEN, kind->key_size},
                 {OSSL_CIPHER_PARAM_IVLEN, kind->iv_size},
                 {OSSL_CIPHER_PARAM_BLOCK_SIZE, kind->block_size}};
    const struct {
        const char *name;
        int value;
    } flags[] = {{OSSL_CIPHER_PARAM_AEAD, kind->aead},
                 {OSSL_CIPHER_PARAM_CUSTOM_IV, kind->custom_iv},
                 {OSSL_CIPHER_PARAM_CTS, 0},
                 {OSSL_CIPHER_PARAM_TLS1_MULTIBLOCK, 0},
                 {OSSL_CIPHER_PARAM_HAS_RAND_KEY, 0}};

    if (p != NULL && !OSSL_PARAM_set_uint(p, kind->evp_mode))
        return 0;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        if ((p = OSSL_PARAM_locate(params, sizes[i].name)) != NULL && !OSSL_PARAM_set_size_t(p, sizes[i].value))
            return 0;
    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
        if ((p = OSSL_PARAM_locate(params, flags[i].name)) != NULL && !OSSL_PARAM_set_int(p, flags[i].value))
            return 0;
    return 1;
}

/* ---- one table per cipher ---- */

#define CIPHER_FUNCTION(id, function)                                                                                  \
    {                                                                                                                  \
        OSSL_FUNC_CIPHER_##id, (void (*)(void))(function)                                                              \
    }

#define CIPHER(word, ...)                                                                                              \
    static const struct cipher_kind word = {__VA_ARGS__};                                                              \
    static void *word##_new(void *provctx)                                                                             \
    {                                                                                                                  \
        return cipher_new(provctx, &word);                                                                             \
    }                                                                                                                  \
    static int word##_constants(OSSL_PARAM params[])                                                                   \
    {                                                                                                                  \
        return constants(params, &word);                                                                               \
    }                                                                                                                  \
    static const OSSL_PARAM *word##_gettable_constants(void *provctx)                                                  \
    {                                                                                                                  \
        return list_of(provctx, &word, EVP_CIPHER_gettable_params);                                                    \
    }                                                                                                                  \
    static const OSSL_PARAM *word##_gettable(void *ctx, void *provctx)                                                 \
    {                                                                                                                  \
        (void)ctx;                                                                                                     \
        return list_of(provctx, &word, EVP_CIPHER_gettable_ctx_params);                                                \
    }                                                                                                                  \
    static const OSSL_PARAM *word##_settable(void *ctx, void *provctx)                                                 \
    {                                                                                                                  \
        (void)ctx;                                                                                                     \
        return list_of(provctx, &word, EVP_CIPHER_settable_ctx_params);                                                \
    }                                                                                                                  \
    const OSSL_DISPATCH cipher_##word##_functions[] = {                                                                \
        CIPHER_FUNCTION(NEWCTX, word##_new),                                                                           \
        CIPHER_FUNCTION(FREECTX, cipher_free),                                                                         \
        CIPHER_FUNCTION(DUPCTX, cipher_dup),                                                                           \
        CIPHER_FUNCTION(ENCRYPT_INIT, cipher_encrypt_init),                                                            \
        CIPHER_FUNCTION(DECRYPT_INIT, cipher_decrypt_init),                                                            \
        CIPHER_FUNCTION(ENCRYPT_SKEY_INIT, cipher_encrypt_skey_init),                                                  \
        CIPHER_FUNCTION(DECRYPT_SKEY_INIT, cipher_decrypt_skey_init),                                                  \
        CIPHER_FUNCTION(UPDATE, cipher_update),                                                                        \
        CIPHER_FUNCTION(FINAL, cipher_final),                                                                          \
        CIPHER_FUNCTION(CIPHER, cipher_whole),                                                                         \
        CIPHER_FUNCTION(GET_PARAMS, word##_constants),                                                                 \
        CIPHER_FUNCTION(GETTABLE_PARAMS, word##_gettable_constants),                                                   \
        CIPHER_FUNCTION(GET_CTX_PARAMS, cipher_get_params),                                                            \
        CIPHER_FUNCTION(GETTABLE_CTX_PARAMS, word##_gettable),                                                         \
        CIPHER_FUNCTION(SET_CTX_PARAMS, cipher_set_params),                                                            \
        CIPHER_FUNCTION(SETTABLE_CTX_PARAMS, word##_settable),                                                         \
        {0, NULL},                                                                                                     \
    }

#define CBC(bits)                                                                                                      \
    CIPHER(aes##bits##_cbc, .name = "AES-" #bits "-CBC", .mode = CIPHER_CBC, .evp_mode = EVP_CIPH_CBC_MODE,            \
           .key_size = (bits) / 8, .block_size = 16, .iv_size = 16, .fitting = {AZIHSM_KEY_AES##bits})

CBC(128);
CBC(192);
CBC(256);
CIPHER(aes256_gcm, .name = "AES-256-GCM", .mode = CIPHER_GCM, .evp_mode = EVP_CIPH_GCM_MODE, .key_size = 32,
       .block_size = 1, .iv_size = CIPHER_GCM_IV, .aead = true, .custom_iv = true,
       .fitting = {AZIHSM_KEY_AES_GCM_BULK256, AZIHSM_KEY_AES_GCM_BULK256_UNAPPROVED});
CIPHER(aes256_xts, .name = "AES-256-XTS", .mode = CIPHER_XTS, .evp_mode = EVP_CIPH_XTS_MODE, .key_size = 64,
       .block_size = 1, .iv_size = 16, .custom_iv = true, .fitting = {AZIHSM_KEY_AES_XTS_BULK256});
