/*
 * Derivations in the device: from a shared secret to a key, of which nothing is ever here.
 */
#include "kdf.h"
#include "sigdigest.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <string.h>
#include <strings.h>

enum { KBKDF_COUNTER_BITS = 32 };

/* ---- settings that the device does not have: remembered, and refused when a device key is used ---- */

static bool odd_mode(const OSSL_PARAM *p)
{
    int mode = 0;

    if (p->data_type == OSSL_PARAM_UTF8_STRING)
        return strcasecmp(p->data, "COUNTER") != 0 && strcasecmp(p->data, "EXTRACT_AND_EXPAND") != 0;
    return !OSSL_PARAM_get_int(p, &mode) || mode != EVP_KDF_HKDF_MODE_EXTRACT_AND_EXPAND;
}

static bool odd_mac(const OSSL_PARAM *p)
{
    return p->data_type != OSSL_PARAM_UTF8_STRING || strcasecmp(p->data, "HMAC") != 0;
}

static bool odd_switch(const OSSL_PARAM *p)
{
    int on = 0;

    return !OSSL_PARAM_get_int(p, &on) || on == 0;
}

static bool odd_counter(const OSSL_PARAM *p)
{
    int bits = 0;

    return !OSSL_PARAM_get_int(p, &bits) || bits != KBKDF_COUNTER_BITS;
}

/* A bit for each setting, so that one that is set right later is no longer held against the context. */
unsigned kdf_device_odd(unsigned odd, const OSSL_PARAM params[])
{
    static const struct {
        const char *name;
        bool (*is_odd)(const OSSL_PARAM *p);
    } settings[] = {{OSSL_KDF_PARAM_MODE, odd_mode},
                    {OSSL_KDF_PARAM_MAC, odd_mac},
                    {OSSL_KDF_PARAM_KBKDF_USE_SEPARATOR, odd_switch},
                    {OSSL_KDF_PARAM_KBKDF_USE_L, odd_switch},
                    {OSSL_KDF_PARAM_KBKDF_R, odd_counter}};

    for (unsigned i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
        const OSSL_PARAM *p = OSSL_PARAM_locate_const(params, settings[i].name);

        if (p != NULL)
            odd = settings[i].is_odd(p) ? odd | 1u << i : odd & ~(1u << i);
    }
    return odd;
}

/* ---- derivations ---- */

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

static struct azihsm_bytes view(const struct kdf_value *value)
{
    return (struct azihsm_bytes){value->data, value->len};
}

/* The shared secret, which of a key and its peer is made for this derivation only. The caller's own reference. */
static struct azihsm_key *secret_of(struct kdf *ctx)
{
    const struct azihsm_key_spec passing = {.usage = AZIHSM_USAGE_DERIVE, .session = true};
    struct azihsm_key *secret = NULL;
    struct azihsm_error error = {0};

    if (ctx->secret != NULL)
        return azihsm_key_up_ref(ctx->secret);
    if (ctx->value[KDF_PEER].data == NULL)
        raise_error(ctx->provider, REASON_SECRET_IN_DEVICE, "%s needs %s, the public key of the other side",
                    SYMKEY_PARAM, KDF_PARAM_PEER);
    else if (azihsm_key_ecdh(ctx->key, view(&ctx->value[KDF_PEER]), &passing, &secret, &error) != AZIHSM_OK)
        raise_device(ctx->provider, &error, "EcdhKeyExchange");
    return secret;
}

static struct azihsm_key *derive_kind(struct kdf *ctx, uint32_t kind)
{
    const struct azihsm_key_spec lasting = {.usage = symkey_usage(kind)};
    struct azihsm_kdf kdf = {.kbkdf = ctx->kbkdf,
                             .has_first = ctx->value[KDF_SALT].data != NULL,
                             .first = view(&ctx->value[KDF_SALT]),
                             .has_second = ctx->value[KDF_INFO].data != NULL,
                             .second = view(&ctx->value[KDF_INFO]),
                             .target_kind = kind};
    struct azihsm_key *secret = NULL, *key = NULL;
    struct azihsm_error error = {0};

    if (ctx->odd != 0) {
        raise_error(ctx->provider, REASON_UNSUPPORTED, "the device has no such mode of this derivation");
        return NULL;
    }
    if (!device_hash(ctx, &kdf.hash) || (secret = secret_of(ctx)) == NULL)
        return NULL;
    if (azihsm_key_derive(secret, &kdf, &lasting, &key, &error) != AZIHSM_OK)
        raise_device(ctx->provider, &error, ctx->kbkdf ? "KbkdfCounterHmacDerive" : "HkdfDerive");
    azihsm_key_free(secret);
    return key;
}

int kdf_device_derive(struct kdf *ctx, unsigned char *out, size_t outlen)
{
    struct azihsm_key *key;
    int ok;

    if (ctx->output == NULL || ctx->output_kind == 0)
        return raise_error(ctx->provider, REASON_SECRET_IN_DEVICE,
                           "a derivation in the device gives a key in the device: set %s and %s (and %s)",
                           KDF_PARAM_OUTPUT, KDF_PARAM_TYPE, KDF_PARAM_PEER);
    if (outlen < strlen(ctx->output) + 1)
        return raise_error(ctx->provider, REASON_BUFFER, "the output is the URI of the new key: %zu bytes",
                           strlen(ctx->output) + 1);
    if ((key = derive_kind(ctx, ctx->output_kind)) == NULL)
        return 0;
    ok = symkey_save(ctx->provider, key, ctx->output, true);
    if (ok) {
        memset(out, 0, outlen);
        memcpy(out, ctx->output, strlen(ctx->output));
    }
    azihsm_key_free(key);
    return ok;
}

/* The parameter says what the key is, else its manager does; a key file is written only when one is asked for. */
struct skey *kdf_device_derive_skey(struct kdf *ctx, const char *type, size_t len)
{
    uint32_t kind = ctx->output_kind != 0 ? ctx->output_kind : skeymgmt_kind(ctx->provider, type, len);
    struct azihsm_key *key = kind == 0 ? NULL : derive_kind(ctx, kind);

    if (key == NULL)
        return NULL;
    if (ctx->output == NULL || symkey_save(ctx->provider, key, ctx->output, true))
        return skey_of_device(ctx->provider, key, NULL, ctx->output);
    azihsm_key_free(key);
    return NULL;
}
