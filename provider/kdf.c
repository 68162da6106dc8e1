/*
 * HKDF and KBKDF (SP 800-108, counter mode). With key bytes: the default provider's own context. With "azihsm.key", the
 * private key of a device key for key agreement, together with "azihsm.peer" (SubjectPublicKeyInfo of the other side):
 * ECDH and derivation happen in the device and give a key of the device. "azihsm.output" says where its key file goes
 * (an azihsm: URI) and "azihsm.output_type" what it is; the output buffer receives the URI, never key bytes, so that
 * nobody mistakes one for the other.
 */
#include "algorithms.h"
#include "symkey.h"

#include "sigdigest.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <string.h>
#include <strings.h>

#define PARAM_PEER   "azihsm.peer"
#define PARAM_OUTPUT "azihsm.output"
#define PARAM_TYPE   "azihsm.output_type"

struct value {
    uint8_t *data; /* NULL: not set */
    size_t len;
};

enum { SALT, INFO, PEER, VALUES };

struct kdf {
    struct provider *provider;
    bool kbkdf;
    EVP_KDF_CTX *delegate;
    struct azihsm_key *key; /* NULL: key bytes, the delegate works */
    struct value value[VALUES];
    uint32_t output_kind; /* 0: not set */
    char *output;
    char digest[64];
    bool odd; /* a setting that the device does not have: mode, separator, length field */
};

static OSSL_FUNC_kdf_freectx_fn kdf_free;
static OSSL_FUNC_kdf_dupctx_fn kdf_dup;
static OSSL_FUNC_kdf_reset_fn kdf_reset;
static OSSL_FUNC_kdf_derive_fn kdf_derive;
static OSSL_FUNC_kdf_get_ctx_params_fn kdf_get_params;
static OSSL_FUNC_kdf_gettable_ctx_params_fn kdf_gettable;
static OSSL_FUNC_kdf_set_ctx_params_fn kdf_set_params;

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
    for (int i = 0; i < VALUES; i++)
        OPENSSL_clear_free(ctx->value[i].data, ctx->value[i].len);
    OPENSSL_free(ctx->output);
    azihsm_key_free(ctx->key);
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
    to->output = from->output == NULL ? NULL : OPENSSL_strdup(from->output);
    to->delegate = EVP_KDF_CTX_dup(from->delegate);
    for (int i = 0; i < VALUES; i++) {
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
static int take_value(const OSSL_PARAM params[], const char *name, struct value *value)
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
    *value = (struct value){all, len};
    return 1;
}

/* Settings with other values than the device's own: remembered, and refused when a device key is used. */
static bool is_odd(const OSSL_PARAM params[])
{
    const OSSL_PARAM *mode = OSSL_PARAM_locate_const(params, OSSL_KDF_PARAM_MODE);
    const OSSL_PARAM *mac = OSSL_PARAM_locate_const(params, OSSL_KDF_PARAM_MAC);
    const OSSL_PARAM *separator = OSSL_PARAM_locate_const(params, OSSL_KDF_PARAM_KBKDF_USE_SEPARATOR);
    const OSSL_PARAM *length = OSSL_PARAM_locate_const(params, OSSL_KDF_PARAM_KBKDF_USE_L);
    int value = 1;

    if (mode != NULL && mode->data_type == OSSL_PARAM_UTF8_STRING
            ? strcasecmp(mode->data, "COUNTER") != 0 && strcasecmp(mode->data, "EXTRACT_AND_EXPAND") != 0
            : mode != NULL && (!OSSL_PARAM_get_int(mode, &value) || value != EVP_KDF_HKDF_MODE_EXTRACT_AND_EXPAND))
        return true;
    if (mac != NULL && (mac->data_type != OSSL_PARAM_UTF8_STRING || strcasecmp(mac->data, "HMAC") != 0))
        return true;
    return (separator != NULL && (!OSSL_PARAM_get_int(separator, &value) || value == 0)) ||
           (length != NULL && (!OSSL_PARAM_get_int(length, &value) || value == 0));
}

static int take_output(struct kdf *ctx, const OSSL_PARAM params[])
{
    const OSSL_PARAM *output = OSSL_PARAM_locate_const(params, PARAM_OUTPUT);
    const OSSL_PARAM *type = OSSL_PARAM_locate_const(params, PARAM_TYPE);
    const char *text = NULL;

    if (output != NULL) {
        OPENSSL_free(ctx->output);
        ctx->output = NULL;
        if (!OSSL_PARAM_get_utf8_string(output, &ctx->output, 0))
            return raise_error(ctx->provider, REASON_PARAMETER, "%s: a URI is needed", PARAM_OUTPUT);
    }
    if (type == NULL)
        return 1;
    if (!OSSL_PARAM_get_utf8_string_ptr(type, &text) || (ctx->output_kind = symkey_derivable_kind(text)) == 0)
        return raise_error(ctx->provider, REASON_PARAMETER,
                           "%s must be AES-128, AES-192, AES-256, HMAC-SHA256, HMAC-SHA384 or HMAC-SHA512", PARAM_TYPE);
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
    if (!take_value(params, OSSL_KDF_PARAM_SALT, &ctx->value[SALT]) ||
        !take_value(params, OSSL_KDF_PARAM_INFO, &ctx->value[INFO]) ||
        !take_value(params, PARAM_PEER, &ctx->value[PEER]))
        return raise_error(ctx->provider, REASON_PARAMETER, "salt, info and %s are octet strings", PARAM_PEER);
    ctx->odd |= is_odd(params);
    return take_output(ctx, params) && EVP_KDF_CTX_set_params(ctx->delegate, params) &&
           symkey_from_params(ctx->provider, params, SYMKEY_PARAM, fitting, "key agreement", &ctx->key);
}

static int kdf_get_params(void *vctx, OSSL_PARAM params[])
{
    struct kdf *ctx = vctx;

    return EVP_KDF_CTX_get_params(ctx->delegate, params);
}

static const OSSL_PARAM *kdf_gettable(void *vctx, void *provctx)
{
    static const OSSL_PARAM list[] = {OSSL_PARAM_size_t(OSSL_KDF_PARAM_SIZE, NULL), OSSL_PARAM_END};

    (void)vctx;
    (void)provctx;
    return list;
}

#define OUR_PARAMS                                                                                                     \
    OSSL_PARAM_utf8_string(SYMKEY_PARAM, NULL, 0), OSSL_PARAM_octet_string(PARAM_PEER, NULL, 0),                       \
        OSSL_PARAM_utf8_string(PARAM_OUTPUT, NULL, 0), OSSL_PARAM_utf8_string(PARAM_TYPE, NULL, 0)
#define SHARED_PARAMS                                                                                                  \
    OSSL_PARAM_utf8_string(OSSL_KDF_PARAM_MODE, NULL, 0), OSSL_PARAM_utf8_string(OSSL_KDF_PARAM_PROPERTIES, NULL, 0),  \
        OSSL_PARAM_utf8_string(OSSL_KDF_PARAM_DIGEST, NULL, 0), OSSL_PARAM_octet_string(OSSL_KDF_PARAM_KEY, NULL, 0),  \
        OSSL_PARAM_octet_string(OSSL_KDF_PARAM_SALT, NULL, 0), OSSL_PARAM_octet_string(OSSL_KDF_PARAM_INFO, NULL, 0)

static const OSSL_PARAM *hkdf_settable(void *vctx, void *provctx)
{
    static const OSSL_PARAM list[] = {SHARED_PARAMS, OUR_PARAMS, OSSL_PARAM_END};

    (void)vctx;
    (void)provctx;
    return list;
}

static const OSSL_PARAM *kbkdf_settable(void *vctx, void *provctx)
{
    static const OSSL_PARAM list[] = {SHARED_PARAMS,
                                      OSSL_PARAM_octet_string(OSSL_KDF_PARAM_SEED, NULL, 0),
                                      OSSL_PARAM_utf8_string(OSSL_KDF_PARAM_CIPHER, NULL, 0),
                                      OSSL_PARAM_utf8_string(OSSL_KDF_PARAM_MAC, NULL, 0),
                                      OSSL_PARAM_int(OSSL_KDF_PARAM_KBKDF_USE_L, NULL),
                                      OSSL_PARAM_int(OSSL_KDF_PARAM_KBKDF_USE_SEPARATOR, NULL),
                                      OUR_PARAMS,
                                      OSSL_PARAM_END};

    (void)vctx;
    (void)provctx;
    return list;
}

/* ---- derivation ---- */

static int device_hash(struct kdf *ctx, uint32_t *hash)
{
    static const struct {
        const char *name;
        uint32_t hash;
    } hashes[] = {{"SHA1", AZIHSM_HASH_SHA1},
                  {"SHA2-256", AZIHSM_HASH_SHA256},
                  {"SHA2-384", AZIHSM_HASH_SHA384},
                  {"SHA2-512", AZIHSM_HASH_SHA512}};
    EVP_MD *md;

    if (ctx->digest[0] == '\0')
        return raise_error(ctx->provider, REASON_DIGEST, "no digest is set");
    if ((md = digests_get(provider_digests(ctx->provider), ctx->digest, NULL)) == NULL)
        return 0;
    *hash = 0;
    for (size_t i = 0; i < sizeof(hashes) / sizeof(hashes[0]); i++)
        if (EVP_MD_is_a(md, hashes[i].name))
            *hash = hashes[i].hash;
    EVP_MD_free(md);
    return *hash != 0 || raise_error(ctx->provider, REASON_DIGEST, "the device does not derive with %s", ctx->digest);
}

static struct azihsm_bytes view(const struct value *value)
{
    return (struct azihsm_bytes){value->data, value->len};
}

/* Two requests: the shared secret, which lives no longer than this function, and the key from it. */
static struct azihsm_key *derive_in_device(struct kdf *ctx, uint32_t hash)
{
    const struct azihsm_key_spec passing = {.usage = AZIHSM_USAGE_DERIVE, .session = true};
    const struct azihsm_key_spec lasting = {.usage = ctx->output_kind >= AZIHSM_KEY_HMAC_SHA256 ? AZIHSM_USAGE_SIGN
                                                                                                : AZIHSM_USAGE_DECRYPT};
    const struct azihsm_kdf kdf = {.kbkdf = ctx->kbkdf,
                                   .hash = hash,
                                   .has_first = ctx->value[SALT].data != NULL,
                                   .first = view(&ctx->value[SALT]),
                                   .has_second = ctx->value[INFO].data != NULL,
                                   .second = view(&ctx->value[INFO]),
                                   .target_kind = ctx->output_kind};
    struct azihsm_key *secret = NULL, *key = NULL;
    struct azihsm_error error = {0};

    if (azihsm_key_ecdh(ctx->key, view(&ctx->value[PEER]), &passing, &secret, &error) != AZIHSM_OK)
        raise_device(ctx->provider, &error, "EcdhKeyExchange");
    else if (azihsm_key_derive(secret, &kdf, &lasting, &key, &error) != AZIHSM_OK)
        raise_device(ctx->provider, &error, ctx->kbkdf ? "KbkdfCounterHmacDerive" : "HkdfDerive");
    azihsm_key_free(secret);
    return key;
}

static int device_derive(struct kdf *ctx, unsigned char *out, size_t outlen)
{
    struct azihsm_key *key;
    uint32_t hash = 0;
    int ok;

    if (ctx->value[PEER].data == NULL || ctx->output == NULL || ctx->output_kind == 0)
        return raise_error(ctx->provider, REASON_SECRET_IN_DEVICE,
                           "a derivation with %s gives a key in the device: set %s, %s and %s", SYMKEY_PARAM,
                           PARAM_PEER, PARAM_OUTPUT, PARAM_TYPE);
    if (ctx->odd)
        return raise_error(ctx->provider, REASON_UNSUPPORTED, "the device has no such mode of this derivation");
    if (outlen < strlen(ctx->output) + 1)
        return raise_error(ctx->provider, REASON_BUFFER, "the output is the URI of the new key: %zu bytes",
                           strlen(ctx->output) + 1);
    if (!device_hash(ctx, &hash) || (key = derive_in_device(ctx, hash)) == NULL)
        return 0;
    ok = symkey_save(ctx->provider, key, ctx->output);
    if (ok) {
        memset(out, 0, outlen);
        memcpy(out, ctx->output, strlen(ctx->output));
    }
    azihsm_key_free(key);
    return ok;
}

static int kdf_derive(void *vctx, unsigned char *out, size_t outlen, const OSSL_PARAM params[])
{
    struct kdf *ctx = vctx;

    if (!kdf_set_params(ctx, params))
        return 0;
    return ctx->key != NULL ? device_derive(ctx, out, outlen) : EVP_KDF_derive(ctx->delegate, out, outlen, NULL);
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
        KDF_FUNCTION(DERIVE, kdf_derive), KDF_FUNCTION(GET_CTX_PARAMS, kdf_get_params),                                \
        KDF_FUNCTION(GETTABLE_CTX_PARAMS, kdf_gettable), KDF_FUNCTION(SET_CTX_PARAMS, kdf_set_params)

const OSSL_DISPATCH kdf_hkdf_functions[] = {
    KDF_FUNCTION(NEWCTX, hkdf_new),
    KDF_FUNCTION(SETTABLE_CTX_PARAMS, hkdf_settable),
    KDF_FUNCTIONS,
    {0, NULL},
};

const OSSL_DISPATCH kdf_kbkdf_functions[] = {
    KDF_FUNCTION(NEWCTX, kbkdf_new),
    KDF_FUNCTION(SETTABLE_CTX_PARAMS, kbkdf_settable),
    KDF_FUNCTIONS,
    {0, NULL},
};
