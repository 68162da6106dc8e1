/*
 * AES-CBC for the slow path and AES-GCM for bulk data. Contexts with an expanded key are pooled per key and direction;
 * an operation only sets its IV.
 */
#include "emulator/engine_internal.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>

#include <stdlib.h>
#include <string.h>

enum { BLOCK = 16 };

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

/* libcrypto counts in int. */
bool engine_cipher_update(EVP_CIPHER_CTX *ctx, uint8_t *out, const uint8_t *in, size_t len)
{
    enum { PIECE = 1 << 30 };

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
        return engine->profile == AZIHSM_DEVICE_PHYSICAL ? AZIHSM_STATUS_INVALID_ARG : engine_aes_failed(decrypt);
    memcpy(last_in, in + len - BLOCK, BLOCK); /* out may be in */
    ERR_set_mark();
    ctx = begin(key, decrypt, iv);
    if (ctx != NULL) {
        good = engine_cipher_update(ctx, out, in, len);
        end(key, decrypt, ctx, good);
    }
    ERR_pop_to_mark();
    if (!good)
        return engine_aes_failed(decrypt);
    memcpy(iv, decrypt ? last_in : out + len - BLOCK, BLOCK);
    return AZIHSM_OK;
}

/*
 * ---- GCM ----
 *
 * In place (bulk data in memory shared with the client) a message is deciphered where it lies, although its owner could
 * read plaintext there before the tag has been compared: who may use the key may also encipher zeros under the same IV
 * and has that plaintext anyway. After a mismatch the ciphertext is put back.
 */

static bool gcm_encrypt(EVP_CIPHER_CTX *ctx, struct azihsm_bytes aad, const uint8_t *in, uint8_t *out, size_t len,
                        uint8_t *tag)
{
    int none;

    return engine_cipher_update(ctx, NULL, aad.data, aad.len) && engine_cipher_update(ctx, out, in, len) &&
           EVP_CipherFinal_ex(ctx, tag, &none) == 1 &&
           EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, ENGINE_GCM_TAG_SIZE, tag) == 1;
}

static bool gcm_open(EVP_CIPHER_CTX *ctx, struct azihsm_bytes aad, const uint8_t *in, uint8_t *out, size_t len,
                     uint8_t *tag)
{
    int none;

    return EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, ENGINE_GCM_TAG_SIZE, tag) == 1 &&
           engine_cipher_update(ctx, NULL, aad.data, aad.len) && engine_cipher_update(ctx, out, in, len) &&
           EVP_CipherFinal_ex(ctx, out, &none) == 1;
}

/* Into memory of our own, because nothing may be seen before the tag has been checked. */
static bool gcm_decrypt(EVP_CIPHER_CTX *ctx, struct azihsm_bytes aad, const uint8_t *in, uint8_t *out, size_t len,
                        uint8_t *tag)
{
    uint8_t *plain = malloc(len > 0 ? len : 1);
    bool good = plain != NULL && gcm_open(ctx, aad, in, plain, len, tag);

    if (good && len > 0)
        memcpy(out, plain, len);
    if (plain != NULL)
        OPENSSL_cleanse(plain, len);
    free(plain);
    return good;
}

/* Enciphers again what was deciphered in vain; what cannot be enciphered is wiped. */
static void gcm_restore(const struct engine_key *key, const uint8_t *iv, uint8_t *data, size_t len)
{
    EVP_CIPHER_CTX *ctx = begin(key, false, iv);
    bool good = ctx != NULL && engine_cipher_update(ctx, data, data, len);

    if (!good)
        OPENSSL_cleanse(data, len);
    if (ctx != NULL)
        end(key, false, ctx, good);
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
        good = (!decrypt ? gcm_encrypt : in == out ? gcm_open : gcm_decrypt)(ctx, aad, in, out, len, tag);
        end(key, decrypt, ctx, good);
        if (!good && decrypt && in == out && len > 0)
            gcm_restore(key, iv, out, len);
    }
    ERR_pop_to_mark();
    return good ? AZIHSM_OK : engine_aes_failed(decrypt);
}
