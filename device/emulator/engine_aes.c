/*
 * AES: CBC for the slow path, GCM and XTS for bulk data. Contexts with an expanded key are pooled per key and
 * direction; an operation only sets its IV.
 */
#include "emulator/engine_internal.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>

#include <stdlib.h>
#include <string.h>

enum { BLOCK = 16, XTS_KEY = 32, XTS_UNIT_MAX = 1 << 24, PIECE = 1 << 30 };

static EVP_CIPHER *cipher_of(const struct engine_key *key)
{
    switch (key->info->kind) {
    case AZIHSM_KEY_AES128:
    case AZIHSM_KEY_AES192:
    case AZIHSM_KEY_AES256:
        return key->engine->cbc[key->info->kind - AZIHSM_KEY_AES128];
    default:
        return key->engine->gcm;
    }
}

/* A context of the key, ready for a message that begins with iv; NULL when libcrypto refuses. */
static EVP_CIPHER_CTX *begin(const struct engine_key *key, bool decrypt, const uint8_t *iv)
{
    EVP_CIPHER_CTX *ctx = engine_pool_take(&key->pools[decrypt ? ENGINE_POOL_DECRYPT : ENGINE_POOL_ENCRYPT]);

    if (ctx != NULL) {
        if (EVP_CipherInit_ex2(ctx, NULL, NULL, iv, !decrypt, NULL) == 1)
            return ctx;
    } else if ((ctx = EVP_CIPHER_CTX_new()) != NULL) {
        if (EVP_CipherInit_ex2(ctx, cipher_of(key), key->raw->data, iv, !decrypt, NULL) == 1 &&
            EVP_CIPHER_CTX_set_padding(ctx, 0) == 1)
            return ctx;
    }
    EVP_CIPHER_CTX_free(ctx);
    return NULL;
}

/* After a failure the context is dropped, so that no half-used state comes back. */
static void end(const struct engine_key *key, bool decrypt, EVP_CIPHER_CTX *ctx, bool good)
{
    if (!good || !engine_pool_give(&key->pools[decrypt ? ENGINE_POOL_DECRYPT : ENGINE_POOL_ENCRYPT], ctx))
        EVP_CIPHER_CTX_free(ctx);
}

/* libcrypto counts in int. out NULL is additional data. */
static bool update(EVP_CIPHER_CTX *ctx, uint8_t *out, const uint8_t *in, size_t len)
{
    while (len > 0) {
        int piece = len > PIECE ? PIECE : (int)len, done;

        if (EVP_CipherUpdate(ctx, out, &done, in, piece) != 1 || done != piece)
            return false;
        if (out != NULL)
            out += piece;
        in += piece;
        len -= (size_t)piece;
    }
    return true;
}

static azihsm_rc failed(bool decrypt)
{
    return decrypt ? AZIHSM_STATUS_AES_DECRYPT_FAILED : AZIHSM_STATUS_AES_ENCRYPT_FAILED;
}

azihsm_rc engine_aes_cbc(struct engine *engine, const struct engine_key *key, bool decrypt, uint8_t iv[AZIHSM_IV_SIZE],
                         const uint8_t *in, uint8_t *out, size_t len)
{
    uint8_t last_in[BLOCK];
    EVP_CIPHER_CTX *ctx;
    bool good = false;

    if (key->info->family != ENGINE_AES)
        return AZIHSM_STATUS_INVALID_KEY_TYPE;
    if (len == 0)
        return AZIHSM_STATUS_INVALID_ARG;
    if (len % BLOCK != 0)
        return engine->profile == AZIHSM_DEVICE_PHYSICAL ? AZIHSM_STATUS_INVALID_ARG : failed(decrypt);
    memcpy(last_in, in + len - BLOCK, BLOCK); /* out may be in */
    ERR_set_mark();
    ctx = begin(key, decrypt, iv);
    if (ctx != NULL) {
        good = update(ctx, out, in, len);
        end(key, decrypt, ctx, good);
    }
    ERR_pop_to_mark();
    if (!good)
        return failed(decrypt);
    memcpy(iv, decrypt ? last_in : out + len - BLOCK, BLOCK);
    return AZIHSM_OK;
}

/* ---- GCM ---- */

static bool gcm_encrypt(EVP_CIPHER_CTX *ctx, struct azihsm_bytes aad, const uint8_t *in, uint8_t *out, size_t len,
                        uint8_t *tag)
{
    int none;

    return update(ctx, NULL, aad.data, aad.len) && update(ctx, out, in, len) &&
           EVP_CipherFinal_ex(ctx, tag, &none) == 1 &&
           EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, ENGINE_GCM_TAG_SIZE, tag) == 1;
}

/* Into memory of our own, because nothing may be seen before the tag has been checked. */
static bool gcm_decrypt(EVP_CIPHER_CTX *ctx, struct azihsm_bytes aad, const uint8_t *in, uint8_t *out, size_t len,
                        uint8_t *tag)
{
    uint8_t *plain = malloc(len > 0 ? len : 1);
    int none;
    bool good;

    good = plain != NULL && EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, ENGINE_GCM_TAG_SIZE, tag) == 1 &&
           update(ctx, NULL, aad.data, aad.len) && update(ctx, plain, in, len) &&
           EVP_CipherFinal_ex(ctx, plain + len, &none) == 1;
    if (good && len > 0)
        memcpy(out, plain, len);
    if (plain != NULL)
        OPENSSL_cleanse(plain, len);
    free(plain);
    return good;
}

azihsm_rc engine_aes_gcm(struct engine *engine, const struct engine_key *key, bool decrypt,
                         const uint8_t iv[ENGINE_GCM_IV_SIZE], struct azihsm_bytes aad, const uint8_t *in, uint8_t *out,
                         size_t len, uint8_t tag[ENGINE_GCM_TAG_SIZE])
{
    EVP_CIPHER_CTX *ctx;
    bool good = false;

    (void)engine;
    if (key->info->kind != AZIHSM_KEY_AES_GCM_BULK256 && key->info->kind != AZIHSM_KEY_AES_GCM_BULK256_UNAPPROVED)
        return AZIHSM_STATUS_INVALID_KEY_TYPE;
    ERR_set_mark();
    ctx = begin(key, decrypt, iv);
    if (ctx != NULL) {
        good = (decrypt ? gcm_decrypt : gcm_encrypt)(ctx, aad, in, out, len, tag);
        end(key, decrypt, ctx, good);
    }
    ERR_pop_to_mark();
    return good ? AZIHSM_OK : failed(decrypt);
}

/* ---- XTS ---- */

static void increment_tweak(uint8_t *tweak)
{
    for (size_t i = 0; i < ENGINE_XTS_TWEAK_SIZE && ++tweak[i] == 0; i++)
        ;
}

static bool xts_units(EVP_CIPHER_CTX *ctx, uint8_t *tweak, size_t unit, const uint8_t *in, uint8_t *out, size_t len)
{
    for (size_t at = 0; at < len; at += unit) {
        if (EVP_CipherInit_ex2(ctx, NULL, NULL, tweak, -1, NULL) != 1 || !update(ctx, out + at, in + at, unit))
            return false;
        increment_tweak(tweak);
    }
    return true;
}

azihsm_rc engine_aes_xts(struct engine *engine, const struct engine_key *key1, const struct engine_key *key2,
                         bool decrypt, const uint8_t tweak[ENGINE_XTS_TWEAK_SIZE], size_t unit, const uint8_t *in,
                         uint8_t *out, size_t len)
{
    uint8_t keys[2 * XTS_KEY], counter[ENGINE_XTS_TWEAK_SIZE];
    EVP_CIPHER_CTX *ctx;
    bool good;

    if (key1->info->kind != AZIHSM_KEY_AES_XTS_BULK256 || key2->info->kind != AZIHSM_KEY_AES_XTS_BULK256)
        return AZIHSM_STATUS_INVALID_KEY_TYPE;
    if (unit < BLOCK || unit > XTS_UNIT_MAX || unit % BLOCK != 0 || len == 0 || len % unit != 0)
        return AZIHSM_STATUS_AES_XTS_INVALID_DUL;
    if (engine_key_same(key1, key2))
        return failed(decrypt);
    memcpy(counter, tweak, sizeof(counter));
    memcpy(keys, key1->raw->data, XTS_KEY);
    memcpy(keys + XTS_KEY, key2->raw->data, XTS_KEY);
    ERR_set_mark();
    ctx = EVP_CIPHER_CTX_new();
    good = ctx != NULL && EVP_CipherInit_ex2(ctx, engine->xts, keys, counter, !decrypt, NULL) == 1 &&
           xts_units(ctx, counter, unit, in, out, len);
    ERR_pop_to_mark();
    EVP_CIPHER_CTX_free(ctx);
    OPENSSL_cleanse(keys, sizeof(keys));
    return good ? AZIHSM_OK : failed(decrypt);
}
