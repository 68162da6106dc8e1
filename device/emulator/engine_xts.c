/*
 * AES-XTS. A context needs both keys, so contexts are pooled by the engine and not by a key. They are told apart by the
 * addresses of their keys: an operation holds both keys while it has a context, and all pooled contexts go when any XTS
 * key goes. So no context outlives its keys, and none is taken for that of a later key at the same address.
 */
#include "emulator/engine_internal.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>

#include <stdlib.h>
#include <string.h>

enum { BLOCK = 16, XTS_KEY = 32, XTS_UNIT_MAX = 1 << 24 };

struct xts_context {
    EVP_CIPHER_CTX *cipher;
    const struct engine_key *key1, *key2; /* NULL: has no keys yet */
    bool decrypt;
};

static void context_free(void *pooled)
{
    struct xts_context *context = pooled;

    if (context == NULL)
        return;
    EVP_CIPHER_CTX_free(context->cipher);
    free(context);
}

void engine_xts_forget(const struct engine *engine)
{
    engine_pool_drain(engine->xts_contexts, context_free);
}

static bool context_set_keys(struct xts_context *context, const struct engine_key *key1, const struct engine_key *key2,
                             bool decrypt)
{
    static const uint8_t no_tweak[ENGINE_XTS_TWEAK_SIZE];
    uint8_t keys[2 * XTS_KEY];
    bool good;

    memcpy(keys, key1->raw->data, XTS_KEY);
    memcpy(keys + XTS_KEY, key2->raw->data, XTS_KEY);
    good = EVP_CipherInit_ex2(context->cipher, key1->engine->xts, keys, no_tweak, !decrypt, NULL) == 1;
    OPENSSL_cleanse(keys, sizeof(keys));
    context->key1 = good ? key1 : NULL;
    context->key2 = good ? key2 : NULL;
    context->decrypt = decrypt;
    return good;
}

/* Ready but for the tweak; NULL when libcrypto refuses. */
static struct xts_context *context_take(const struct engine_key *key1, const struct engine_key *key2, bool decrypt)
{
    struct xts_context *context = engine_pool_take(key1->engine->xts_contexts);

    if (context != NULL && context->key1 == key1 && context->key2 == key2 && context->decrypt == decrypt)
        return context;
    if (context == NULL) {
        context = calloc(1, sizeof(*context));
        if (context == NULL)
            return NULL;
        context->cipher = EVP_CIPHER_CTX_new();
    }
    if (context->cipher != NULL && context_set_keys(context, key1, key2, decrypt))
        return context;
    context_free(context);
    return NULL;
}

static void increment_tweak(uint8_t *tweak)
{
    for (size_t i = 0; i < ENGINE_XTS_TWEAK_SIZE && ++tweak[i] == 0; i++)
        ;
}

static bool units(EVP_CIPHER_CTX *ctx, const uint8_t *first, size_t unit, const uint8_t *in, uint8_t *out, size_t len)
{
    uint8_t tweak[ENGINE_XTS_TWEAK_SIZE];

    memcpy(tweak, first, sizeof(tweak));
    for (size_t at = 0; at < len; at += unit) {
        if (EVP_CipherInit_ex2(ctx, NULL, NULL, tweak, -1, NULL) != 1 ||
            !engine_cipher_update(ctx, out + at, in + at, unit))
            return false;
        increment_tweak(tweak);
    }
    return true;
}

azihsm_rc engine_aes_xts(struct engine *engine, const struct engine_key *key1, const struct engine_key *key2,
                         bool decrypt, const uint8_t tweak[ENGINE_XTS_TWEAK_SIZE], size_t unit, const uint8_t *in,
                         uint8_t *out, size_t len)
{
    struct xts_context *context;
    bool good = false;

    if (key1->info->kind != AZIHSM_KEY_AES_XTS_BULK256 || key2->info->kind != AZIHSM_KEY_AES_XTS_BULK256)
        return AZIHSM_STATUS_INVALID_KEY_TYPE;
    if (unit < BLOCK || unit > XTS_UNIT_MAX || unit % BLOCK != 0 || len == 0 || len % unit != 0)
        return AZIHSM_STATUS_AES_XTS_INVALID_DUL;
    if (engine_key_same(key1, key2))
        return engine_aes_failed(decrypt);
    ERR_set_mark();
    context = context_take(key1, key2, decrypt);
    if (context != NULL) {
        good = units(context->cipher, tweak, unit, in, out, len);
        if (!good || !engine_pool_give(engine->xts_contexts, context))
            context_free(context);
    }
    ERR_pop_to_mark();
    return good ? AZIHSM_OK : engine_aes_failed(decrypt);
}
