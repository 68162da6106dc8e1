/*
 * ECDH. Carried keys: the default provider's own context over the inner keys, with all its parameters. Device keys: the
 * secret is made in the device and stays there, so deriving it into a buffer is refused, with the way out in the error.
 */
#include "algorithms.h"
#include "key.h"
#include "skey.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/x509.h>

struct exchange {
    struct provider *provider;
    struct key *key;        /* our reference */
    struct key *peer;       /* our reference; device keys only */
    EVP_PKEY_CTX *delegate; /* NULL before init; for device keys it judges parameters and the peer */
};

static OSSL_FUNC_keyexch_newctx_fn exchange_new;
static OSSL_FUNC_keyexch_freectx_fn exchange_free;
static OSSL_FUNC_keyexch_dupctx_fn exchange_dup;
static OSSL_FUNC_keyexch_init_fn exchange_init;
static OSSL_FUNC_keyexch_set_peer_fn exchange_set_peer;
static OSSL_FUNC_keyexch_derive_fn exchange_derive;
static OSSL_FUNC_keyexch_derive_skey_fn exchange_derive_skey;
static OSSL_FUNC_keyexch_get_ctx_params_fn exchange_get_params;
static OSSL_FUNC_keyexch_gettable_ctx_params_fn exchange_gettable;
static OSSL_FUNC_keyexch_set_ctx_params_fn exchange_set_params;
static OSSL_FUNC_keyexch_settable_ctx_params_fn exchange_settable;

static void *exchange_new(void *provctx)
{
    struct exchange *ctx = OPENSSL_zalloc(sizeof(*ctx));

    if (ctx != NULL)
        ctx->provider = provctx;
    return ctx;
}

static void exchange_free(void *vctx)
{
    struct exchange *ctx = vctx;

    if (ctx == NULL)
        return;
    EVP_PKEY_CTX_free(ctx->delegate);
    key_free(ctx->peer);
    key_free(ctx->key);
    OPENSSL_free(ctx);
}

static void *exchange_dup(void *vctx)
{
    const struct exchange *from = vctx;
    struct exchange *to = OPENSSL_memdup(from, sizeof(*from));

    if (to == NULL)
        return NULL;
    to->key = from->key == NULL ? NULL : key_up_ref(from->key);
    to->peer = from->peer == NULL ? NULL : key_up_ref(from->peer);
    to->delegate = from->delegate == NULL ? NULL : EVP_PKEY_CTX_dup(from->delegate);
    if (from->delegate == NULL || to->delegate != NULL)
        return to;
    exchange_free(to);
    return NULL;
}

static int check_type(const struct exchange *ctx, const struct key *key)
{
    return key_type(key) == KEY_EC ||
           raise_error(ctx->provider, REASON_KEY_TYPE, "ECDH with a key of type %s", key_type_name(key_type(key)));
}

static int exchange_init(void *vctx, void *provkey, const OSSL_PARAM params[])
{
    struct exchange *ctx = vctx;
    struct key *key = provkey == NULL ? ctx->key : provkey;

    if (key == NULL)
        return raise_error(ctx->provider, REASON_STATE, "no key set");
    if (!check_type(ctx, key) || !key_check_public(key))
        return 0;
    if (key_is_device(key) && !(provider_ready(ctx->provider) && key_check_private(key, AZIHSM_USAGE_DERIVE)))
        return 0;
    EVP_PKEY_CTX_free(ctx->delegate);
    ctx->delegate = EVP_PKEY_CTX_new_from_pkey(provider_libctx(ctx->provider), key_inner(key), NULL);
    key_up_ref(key);
    key_free(ctx->key);
    ctx->key = key;
    key_free(ctx->peer);
    ctx->peer = NULL;
    return ctx->delegate != NULL && EVP_PKEY_derive_init_ex(ctx->delegate, params) == 1;
}

static int check_state(const struct exchange *ctx)
{
    return ctx->delegate != NULL || raise_error(ctx->provider, REASON_STATE, "the operation was not initialised");
}

/* The peer was validated by the caller's libcrypto when the caller asked for that. */
static int exchange_set_peer(void *vctx, void *provkey)
{
    struct exchange *ctx = vctx;
    struct key *peer = provkey;

    if (!check_state(ctx) || peer == NULL || !check_type(ctx, peer) || !key_check_public(peer))
        return 0;
    if (EVP_PKEY_derive_set_peer_ex(ctx->delegate, key_inner(peer), 0) != 1)
        return 0;
    key_up_ref(peer);
    key_free(ctx->peer);
    ctx->peer = peer;
    return 1;
}

static int exchange_derive(void *vctx, unsigned char *secret, size_t *secretlen, size_t outlen)
{
    struct exchange *ctx = vctx;

    if (!check_state(ctx))
        return 0;
    if (key_is_device(ctx->key))
        return raise_error(
            ctx->provider, REASON_SECRET_IN_DEVICE,
            "derive into a device key instead (KDF \"azihsm.key\" parameter, EVP_PKEY_derive_SKEY), or use a "
            "software key for key agreement");
    *secretlen = outlen;
    return EVP_PKEY_derive(ctx->delegate, secret, secretlen);
}

/* ---- into an opaque key (OpenSSL 3.6): a secret of the device's, for derivations in the device ---- */

static struct skey *secret_in_device(struct exchange *ctx)
{
    const struct azihsm_key_spec passing = {.usage = AZIHSM_USAGE_DERIVE, .session = true};
    struct azihsm_key *secret = NULL;
    struct azihsm_error error = {0};
    unsigned char *spki = NULL;
    int len = i2d_PUBKEY(key_inner(ctx->peer), &spki);
    azihsm_rc rc = AZIHSM_E_ARGUMENT;

    if (len <= 0)
        raise_error(ctx->provider, REASON_HOST_CRYPTO, "the peer's key cannot be encoded");
    else if ((rc = azihsm_key_ecdh(key_device_for(ctx->key, AZIHSM_USAGE_DERIVE),
                                   (struct azihsm_bytes){spki, (size_t)len}, &passing, &secret, &error)) != AZIHSM_OK)
        raise_device(ctx->provider, &error, "EcdhKeyExchange");
    OPENSSL_free(spki);
    return rc == AZIHSM_OK ? skey_of_device(ctx->provider, secret, NULL, NULL) : NULL;
}

static void *secret_in_software(struct exchange *ctx, OSSL_FUNC_skeymgmt_import_fn *import, void *provctx, size_t len)
{
    size_t room = len;
    uint8_t *secret;
    void *skey = NULL;

    if ((room == 0 && EVP_PKEY_derive(ctx->delegate, NULL, &room) != 1) || (secret = OPENSSL_zalloc(room)) == NULL)
        return NULL;
    len = room;
    if (EVP_PKEY_derive(ctx->delegate, secret, &len) == 1)
        skey = skey_import_bytes(import, provctx, (struct azihsm_bytes){secret, len});
    OPENSSL_clear_free(secret, room);
    return skey;
}

static void *exchange_derive_skey(void *vctx, const char *key_type, void *provctx, OSSL_FUNC_skeymgmt_import_fn *import,
                                  size_t keylen, const OSSL_PARAM params[])
{
    struct exchange *ctx = vctx;

    if (!check_state(ctx) || !exchange_set_params(ctx, params))
        return NULL;
    if (!key_is_device(ctx->key))
        return secret_in_software(ctx, import, provctx, keylen);
    if (ctx->peer == NULL)
        raise_error(ctx->provider, REASON_STATE, "no peer is set");
    else if (provctx != ctx->provider || algorithms_skeymgmt(key_type) != skeymgmt_generic_functions)
        raise_error(ctx->provider, REASON_SECRET_IN_DEVICE,
                    "it can only become a GENERIC-SECRET of this provider, for a KDF");
    else if (EVP_PKEY_CTX_get_ecdh_kdf_type(ctx->delegate) != EVP_PKEY_ECDH_KDF_NONE)
        raise_error(ctx->provider, REASON_UNSUPPORTED, "the device has no X9.63 derivation: use HKDF or KBKDF");
    else if (keylen != 0 && keylen != key_size(ctx->key))
        raise_error(ctx->provider, REASON_INPUT_LENGTH, "the secret has %zu bytes, not %zu", key_size(ctx->key),
                    keylen);
    else
        return secret_in_device(ctx);
    return NULL;
}

static int exchange_get_params(void *vctx, OSSL_PARAM params[])
{
    struct exchange *ctx = vctx;

    if (params == NULL || params[0].key == NULL)
        return 1;
    return check_state(ctx) && EVP_PKEY_CTX_get_params(ctx->delegate, params) == 1;
}

static int exchange_set_params(void *vctx, const OSSL_PARAM params[])
{
    struct exchange *ctx = vctx;

    if (params == NULL || params[0].key == NULL)
        return 1;
    return check_state(ctx) && EVP_PKEY_CTX_set_params(ctx->delegate, params) == 1;
}

static const OSSL_PARAM *of_algorithm(void *provctx, const OSSL_PARAM *(*list)(const EVP_KEYEXCH *exchange))
{
    EVP_KEYEXCH *ecdh = EVP_KEYEXCH_fetch(provider_libctx(provctx), "ECDH", NULL);
    const OSSL_PARAM *params = ecdh == NULL ? NULL : list(ecdh);

    EVP_KEYEXCH_free(ecdh);
    return params;
}

static const OSSL_PARAM *exchange_gettable(void *vctx, void *provctx)
{
    (void)vctx;
    return of_algorithm(provctx, EVP_KEYEXCH_gettable_ctx_params);
}

static const OSSL_PARAM *exchange_settable(void *vctx, void *provctx)
{
    (void)vctx;
    return of_algorithm(provctx, EVP_KEYEXCH_settable_ctx_params);
}

#define EXCHANGE_FUNCTION(id, function)                                                                                \
    {                                                                                                                  \
        OSSL_FUNC_KEYEXCH_##id, (void (*)(void))(function)                                                             \
    }

const OSSL_DISPATCH keyexch_ecdh_functions[] = {
    EXCHANGE_FUNCTION(NEWCTX, exchange_new),
    EXCHANGE_FUNCTION(FREECTX, exchange_free),
    EXCHANGE_FUNCTION(DUPCTX, exchange_dup),
    EXCHANGE_FUNCTION(INIT, exchange_init),
    EXCHANGE_FUNCTION(SET_PEER, exchange_set_peer),
    EXCHANGE_FUNCTION(DERIVE, exchange_derive),
    EXCHANGE_FUNCTION(DERIVE_SKEY, exchange_derive_skey),
    EXCHANGE_FUNCTION(GET_CTX_PARAMS, exchange_get_params),
    EXCHANGE_FUNCTION(GETTABLE_CTX_PARAMS, exchange_gettable),
    EXCHANGE_FUNCTION(SET_CTX_PARAMS, exchange_set_params),
    EXCHANGE_FUNCTION(SETTABLE_CTX_PARAMS, exchange_settable),
    {0, NULL},
};
