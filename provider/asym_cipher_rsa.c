/*
 * RSA encryption and decryption. The default provider's own context over the inner key does all of it for carried and
 * public keys, and judges the parameters for device keys too, whose decryption is one raw request and a decoding here.
 *
 * PKCS#1 v1.5 is decoded with implicit rejection (rsa_padding.h). The secret behind it must be the same in every
 * process and worker that uses the key, or the difference would tell malformed messages apart; so it comes from the key
 * itself: a hash of the device's answer to one fixed number, asked for at the first such decryption and then kept with
 * the key.
 */
#include "algorithms.h"
#include "key.h"
#include "rsa_padding.h"
#include "sigdigest.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/params.h>
#include <openssl/rsa.h>
#include <string.h>

enum { SECRET_SIZE = 32, PREMASTER_SIZE = 48 };

struct cipher {
    struct provider *provider;
    struct key *key; /* our reference */
    bool decrypting;
    bool on_device;         /* decrypting with a device key */
    EVP_PKEY_CTX *delegate; /* NULL before init */
};

static OSSL_FUNC_asym_cipher_newctx_fn cipher_new;
static OSSL_FUNC_asym_cipher_freectx_fn cipher_free;
static OSSL_FUNC_asym_cipher_dupctx_fn cipher_dup;
static OSSL_FUNC_asym_cipher_encrypt_init_fn cipher_encrypt_init;
static OSSL_FUNC_asym_cipher_encrypt_fn cipher_encrypt;
static OSSL_FUNC_asym_cipher_decrypt_init_fn cipher_decrypt_init;
static OSSL_FUNC_asym_cipher_decrypt_fn cipher_decrypt;
static OSSL_FUNC_asym_cipher_get_ctx_params_fn cipher_get_params;
static OSSL_FUNC_asym_cipher_gettable_ctx_params_fn cipher_gettable;
static OSSL_FUNC_asym_cipher_set_ctx_params_fn cipher_set_params;
static OSSL_FUNC_asym_cipher_settable_ctx_params_fn cipher_settable;

static void *cipher_new(void *provctx)
{
    struct cipher *ctx = OPENSSL_zalloc(sizeof(*ctx));

    if (ctx != NULL)
        ctx->provider = provctx;
    return ctx;
}

static void cipher_free(void *vctx)
{
    struct cipher *ctx = vctx;

    if (ctx == NULL)
        return;
    EVP_PKEY_CTX_free(ctx->delegate);
    key_free(ctx->key);
    OPENSSL_free(ctx);
}

static void *cipher_dup(void *vctx)
{
    const struct cipher *from = vctx;
    struct cipher *to = OPENSSL_memdup(from, sizeof(*from));

    if (to == NULL)
        return NULL;
    to->key = from->key == NULL ? NULL : key_up_ref(from->key);
    to->delegate = from->delegate == NULL ? NULL : EVP_PKEY_CTX_dup(from->delegate);
    if (from->delegate == NULL || to->delegate != NULL)
        return to;
    cipher_free(to);
    return NULL;
}

/* ---- init ---- */

static int set_key(struct cipher *ctx, struct key *key)
{
    if (key == NULL)
        return ctx->key != NULL || raise_error(ctx->provider, REASON_STATE, "no key set");
    if (key_type(key) != KEY_RSA)
        return raise_error(ctx->provider, REASON_KEY_TYPE, "%s keys do not encrypt", key_type_name(key_type(key)));
    key_up_ref(key);
    key_free(ctx->key);
    ctx->key = key;
    return 1;
}

static int cipher_init(struct cipher *ctx, struct key *key, const OSSL_PARAM params[], bool decrypting)
{
    EVP_PKEY_CTX_free(ctx->delegate);
    ctx->delegate = NULL;
    if (!set_key(ctx, key) || !key_check_public(ctx->key))
        return 0;
    ctx->decrypting = decrypting;
    ctx->on_device = decrypting && key_is_device(ctx->key);
    if (ctx->on_device && !(provider_ready(ctx->provider) && key_check_private(ctx->key, AZIHSM_USAGE_DECRYPT)))
        return 0;
    ctx->delegate = EVP_PKEY_CTX_new_from_pkey(provider_libctx(ctx->provider), key_inner(ctx->key), NULL);
    if (ctx->delegate == NULL)
        return 0;
    if ((decrypting ? EVP_PKEY_decrypt_init_ex : EVP_PKEY_encrypt_init_ex)(ctx->delegate, params) == 1)
        return 1;
    EVP_PKEY_CTX_free(ctx->delegate);
    ctx->delegate = NULL;
    return 0;
}

static int cipher_encrypt_init(void *vctx, void *provkey, const OSSL_PARAM params[])
{
    return cipher_init(vctx, provkey, params, false);
}

static int cipher_decrypt_init(void *vctx, void *provkey, const OSSL_PARAM params[])
{
    return cipher_init(vctx, provkey, params, true);
}

static int check_state(const struct cipher *ctx, bool decrypting)
{
    if (ctx->delegate != NULL && ctx->decrypting == decrypting)
        return 1;
    return raise_error(ctx->provider, REASON_STATE, "the operation was not initialised");
}

static int cipher_encrypt(void *vctx, unsigned char *out, size_t *outlen, size_t outsize, const unsigned char *in,
                          size_t inlen)
{
    struct cipher *ctx = vctx;

    if (!check_state(ctx, false))
        return 0;
    *outlen = outsize;
    return EVP_PKEY_encrypt(ctx->delegate, out, outlen, in, inlen);
}

/* ---- settings of a decryption, as the delegate has them ---- */

static int get_int(const struct cipher *ctx, const char *name, int *value)
{
    OSSL_PARAM query[] = {OSSL_PARAM_int(name, value), OSSL_PARAM_END};

    return EVP_PKEY_CTX_get_params(ctx->delegate, query) == 1;
}

static unsigned get_version(const struct cipher *ctx, const char *name)
{
    unsigned version = 0;
    OSSL_PARAM query[] = {OSSL_PARAM_uint(name, &version), OSSL_PARAM_END};

    return EVP_PKEY_CTX_get_params(ctx->delegate, query) == 1 ? version : 0;
}

/* Known from OpenSSL 3.2 on; older ones leave the value alone, and rejection on. */
static bool rejects_implicitly(const struct cipher *ctx)
{
    unsigned on = 1;
    OSSL_PARAM query[] = {OSSL_PARAM_uint("implicit-rejection", &on), OSSL_PARAM_END};

    return EVP_PKEY_CTX_get_params(ctx->delegate, query) != 1 || on != 0;
}

static EVP_MD *get_digest(const struct cipher *ctx, const char *param, const char *otherwise)
{
    char name[64] = "";
    OSSL_PARAM query[] = {OSSL_PARAM_utf8_string(param, name, sizeof(name)), OSSL_PARAM_END};

    if (EVP_PKEY_CTX_get_params(ctx->delegate, query) != 1)
        return NULL;
    return digests_get(provider_digests(ctx->provider), name[0] == '\0' ? otherwise : name, NULL);
}

/* ---- decryption with a device key ---- */

/* One raw request; out gets the k bytes of the encoded message. */
static int device_decrypt(const struct cipher *ctx, const uint8_t *in, uint8_t *out)
{
    struct azihsm_error error = {0};
    size_t k = key_size(ctx->key), len = k;

    if (azihsm_key_rsa_mod_exp(key_device_for(ctx->key, AZIHSM_USAGE_DECRYPT), AZIHSM_RSA_DECRYPT,
                               (struct azihsm_bytes){in, k}, out, &len, &error) != AZIHSM_OK)
        return raise_device(ctx->provider, &error, "RsaModExp");
    return len == k || raise_error(ctx->provider, REASON_SIGNATURE, "%zu bytes, not %zu", len, k);
}

/* The fixed number: below every modulus of its length, and no ciphertext that anybody makes by encrypting. */
static int rejection_challenge(OSSL_LIB_CTX *libctx, uint8_t *y, size_t k)
{
    static const char label[] = "azihsm implicit rejection challenge";
    EVP_MD *xof = EVP_MD_fetch(libctx, "SHAKE256", NULL);
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    int ok = xof != NULL && md != NULL && EVP_DigestInit_ex2(md, xof, NULL) &&
             EVP_DigestUpdate(md, label, sizeof(label)) && EVP_DigestFinalXOF(md, y + 1, k - 1);

    y[0] = 0;
    EVP_MD_CTX_free(md);
    EVP_MD_free(xof);
    return ok;
}

static int rejection_secret(const struct cipher *ctx, uint8_t secret[SECRET_SIZE])
{
    OSSL_LIB_CTX *libctx = provider_libctx(ctx->provider);
    uint8_t block[RSA_BYTES_MAX];
    size_t k = key_size(ctx->key);
    int ok;

    if (key_get_rejection(ctx->key, secret))
        return 1;
    ok = rejection_challenge(libctx, block, k) && device_decrypt(ctx, block, block) &&
         EVP_Q_digest(libctx, "SHA256", NULL, block, k, secret, NULL);
    OPENSSL_cleanse(block, sizeof(block));
    if (ok)
        key_set_rejection(ctx->key, secret);
    return ok;
}

static int decode_oaep(const struct cipher *ctx, uint8_t *em, size_t k, uint8_t *out, size_t outsize, size_t *outlen)
{
    void *label = NULL;
    OSSL_PARAM query[] = {OSSL_PARAM_octet_ptr(OSSL_ASYM_CIPHER_PARAM_OAEP_LABEL, &label, 0), OSSL_PARAM_END};
    EVP_MD *md = get_digest(ctx, OSSL_ASYM_CIPHER_PARAM_OAEP_DIGEST, "SHA1");
    EVP_MD *mgf1 = md == NULL ? NULL : get_digest(ctx, OSSL_ASYM_CIPHER_PARAM_MGF1_DIGEST, EVP_MD_get0_name(md));
    struct rsa_oaep oaep = {.md = md, .mgf1 = mgf1};
    int ok = 0;

    if (mgf1 == NULL || EVP_PKEY_CTX_get_params(ctx->delegate, query) != 1)
        goto done;
    oaep.label = label;
    oaep.labellen = label == NULL ? 0 : query[0].return_size;
    ok = rsa_unpad_oaep(&oaep, em, k, out, outsize, outlen) || raise_error(ctx->provider, REASON_DECRYPT, "OAEP");
done:
    EVP_MD_free(mgf1);
    EVP_MD_free(md);
    return ok;
}

static int decode_tls(const struct cipher *ctx, const uint8_t *em, size_t k, uint8_t *out, size_t *outlen)
{
    unsigned version = get_version(ctx, OSSL_ASYM_CIPHER_PARAM_TLS_CLIENT_VERSION);
    unsigned alternative = get_version(ctx, OSSL_ASYM_CIPHER_PARAM_TLS_NEGOTIATED_VERSION);

    if (version == 0 || version > UINT16_MAX)
        return raise_error(ctx->provider, REASON_PARAMETER, "tls-client-version is not set");
    *outlen = PREMASTER_SIZE;
    return rsa_unpad_tls(provider_libctx(ctx->provider), em, k, version, alternative, out) ||
           raise_error(ctx->provider, REASON_HOST_CRYPTO, "TLS premaster secret");
}

static int decode_pkcs1(const struct cipher *ctx, const uint8_t *in, const uint8_t *em, size_t k, uint8_t *out,
                        size_t outsize, size_t *outlen)
{
    uint8_t secret[SECRET_SIZE];
    int ok;

    if (!rejects_implicitly(ctx))
        return rsa_unpad_explicit(em, k, out, outsize, outlen) || raise_error(ctx->provider, REASON_DECRYPT, "PKCS#1");
    ok = rejection_secret(ctx, secret) &&
         rsa_unpad_implicit(provider_libctx(ctx->provider), secret, in, em, k, out, outsize, outlen);
    OPENSSL_cleanse(secret, sizeof(secret));
    return ok || raise_error(ctx->provider, REASON_HOST_CRYPTO, "PKCS#1 decoding");
}

static int decode(const struct cipher *ctx, int padding, const uint8_t *in, uint8_t *em, uint8_t *out, size_t outsize,
                  size_t *outlen)
{
    size_t k = key_size(ctx->key);

    switch (padding) {
    case RSA_PKCS1_PADDING:
        return decode_pkcs1(ctx, in, em, k, out, outsize, outlen);
    case RSA_PKCS1_OAEP_PADDING:
        return decode_oaep(ctx, em, k, out, outsize, outlen);
    case RSA_PKCS1_WITH_TLS_PADDING:
        return decode_tls(ctx, em, k, out, outlen);
    case RSA_NO_PADDING:
        memcpy(out, em, k);
        *outlen = k;
        return 1;
    default:
        return raise_error(ctx->provider, REASON_PADDING, "padding mode %d", padding);
    }
}

static int device_decrypt_all(const struct cipher *ctx, int padding, uint8_t *out, size_t *outlen, size_t outsize,
                              const uint8_t *in, size_t inlen)
{
    uint8_t input[RSA_BYTES_MAX] = {0}, em[RSA_BYTES_MAX];
    size_t k = key_size(ctx->key);
    int ok;

    if (k > sizeof(em) || inlen > k)
        return raise_error(ctx->provider, REASON_INPUT_LENGTH, "%zu bytes, the key has %zu", inlen, k);
    memcpy(input + k - inlen, in, inlen);
    ok = device_decrypt(ctx, input, em) && decode(ctx, padding, input, em, out, outsize, outlen);
    OPENSSL_cleanse(em, sizeof(em));
    return ok;
}

static int cipher_decrypt(void *vctx, unsigned char *out, size_t *outlen, size_t outsize, const unsigned char *in,
                          size_t inlen)
{
    struct cipher *ctx = vctx;
    int padding = 0;
    size_t need;

    if (!check_state(ctx, true))
        return 0;
    if (!ctx->on_device) {
        *outlen = outsize;
        return EVP_PKEY_decrypt(ctx->delegate, out, outlen, in, inlen);
    }
    if (!get_int(ctx, OSSL_ASYM_CIPHER_PARAM_PAD_MODE, &padding))
        return 0;
    need = padding == RSA_PKCS1_WITH_TLS_PADDING ? PREMASTER_SIZE : key_size(ctx->key);
    if (out == NULL) {
        *outlen = need;
        return 1;
    }
    if (outsize < need)
        return raise_error(ctx->provider, REASON_BUFFER, "is %zu, should be at least %zu", outsize, need);
    return device_decrypt_all(ctx, padding, out, outlen, outsize, in, inlen);
}

/* ---- parameters ---- */

static int cipher_get_params(void *vctx, OSSL_PARAM params[])
{
    struct cipher *ctx = vctx;

    if (params == NULL || params[0].key == NULL)
        return 1;
    return check_state(ctx, ctx->decrypting) && EVP_PKEY_CTX_get_params(ctx->delegate, params) == 1;
}

static int cipher_set_params(void *vctx, const OSSL_PARAM params[])
{
    struct cipher *ctx = vctx;

    if (params == NULL || params[0].key == NULL)
        return 1;
    return check_state(ctx, ctx->decrypting) && EVP_PKEY_CTX_set_params(ctx->delegate, params) == 1;
}

static const OSSL_PARAM *of_algorithm(void *provctx, const OSSL_PARAM *(*list)(const EVP_ASYM_CIPHER *cipher))
{
    EVP_ASYM_CIPHER *rsa = EVP_ASYM_CIPHER_fetch(provider_libctx(provctx), "RSA", NULL);
    const OSSL_PARAM *params = rsa == NULL ? NULL : list(rsa);

    EVP_ASYM_CIPHER_free(rsa);
    return params;
}

static const OSSL_PARAM *cipher_gettable(void *vctx, void *provctx)
{
    (void)vctx;
    return of_algorithm(provctx, EVP_ASYM_CIPHER_gettable_ctx_params);
}

static const OSSL_PARAM *cipher_settable(void *vctx, void *provctx)
{
    (void)vctx;
    return of_algorithm(provctx, EVP_ASYM_CIPHER_settable_ctx_params);
}

#define CIPHER_FUNCTION(id, function)                                                                                  \
    {                                                                                                                  \
        OSSL_FUNC_ASYM_CIPHER_##id, (void (*)(void))(function)                                                         \
    }

const OSSL_DISPATCH asym_cipher_rsa_functions[] = {
    CIPHER_FUNCTION(NEWCTX, cipher_new),
    CIPHER_FUNCTION(FREECTX, cipher_free),
    CIPHER_FUNCTION(DUPCTX, cipher_dup),
    CIPHER_FUNCTION(ENCRYPT_INIT, cipher_encrypt_init),
    CIPHER_FUNCTION(ENCRYPT, cipher_encrypt),
    CIPHER_FUNCTION(DECRYPT_INIT, cipher_decrypt_init),
    CIPHER_FUNCTION(DECRYPT, cipher_decrypt),
    CIPHER_FUNCTION(GET_CTX_PARAMS, cipher_get_params),
    CIPHER_FUNCTION(GETTABLE_CTX_PARAMS, cipher_gettable),
    CIPHER_FUNCTION(SET_CTX_PARAMS, cipher_set_params),
    CIPHER_FUNCTION(SETTABLE_CTX_PARAMS, cipher_settable),
    {0, NULL},
};
