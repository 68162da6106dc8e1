/*
 * Messages through a cipher: the context and its key are kept, as a program that ciphers records or sectors does it;
 * each message sets its IV. Plaintext and ciphertext have buffers of their own.
 */
#include "bench_cipher.h"

#include <openssl/evp.h>
#include <openssl/params.h>

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_MAX_LEN = 200, TAG = 16 };

struct bench_cipher {
    EVP_CIPHER_CTX *ctx;
    bool decrypt, gcm;
    int bytes;
    uint8_t iv[16], tag[TAG];
    uint8_t *in, *out;
};

static bool run(struct bench_cipher *c, bool decrypt)
{
    int n = 0, last = 0;

    return EVP_CipherInit_ex2(c->ctx, NULL, NULL, c->iv, !decrypt, NULL) == 1 &&
           (!decrypt || !c->gcm || EVP_CIPHER_CTX_ctrl(c->ctx, EVP_CTRL_AEAD_SET_TAG, TAG, c->tag) == 1) &&
           EVP_CipherUpdate(c->ctx, c->out, &n, c->in, c->bytes) == 1 &&
           EVP_CipherFinal_ex(c->ctx, c->out + n, &last) == 1 && n + last == c->bytes &&
           (decrypt || !c->gcm || EVP_CIPHER_CTX_ctrl(c->ctx, EVP_CTRL_AEAD_GET_TAG, TAG, c->tag) == 1);
}

/* The message that is to be deciphered: what this context made of it. */
static bool turn_round(struct bench_cipher *c)
{
    uint8_t *was = c->in;

    if (!run(c, false))
        return false;
    c->in = c->out;
    c->out = was;
    return true;
}

static bool set_key(struct bench_cipher *c, const EVP_CIPHER *cipher, const char *key, char *uris)
{
    static const uint8_t bytes[64] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ+";
    char *tweak = strchr(uris, ',');
    OSSL_PARAM params[3] = {OSSL_PARAM_utf8_string("azihsm.key", uris, 0), OSSL_PARAM_END, OSSL_PARAM_END};

    if (strcmp(key, "bytes") == 0)
        return EVP_CipherInit_ex2(c->ctx, cipher, bytes, c->iv, 1, NULL) == 1;
    if (tweak != NULL) {
        *tweak++ = '\0';
        params[1] = OSSL_PARAM_construct_utf8_string("azihsm.tweak_key", tweak, 0);
    }
    params[0].data_size = strlen(uris);
    return EVP_CipherInit_ex2(c->ctx, cipher, NULL, c->iv, 1, params) == 1;
}

struct bench_cipher *bench_cipher_new(const char *key, const char *op, int bytes)
{
    struct bench_cipher *c = calloc(1, sizeof(*c));
    char name[NAME_MAX_LEN] = "", uris[NAME_MAX_LEN] = "", *direction;
    EVP_CIPHER *cipher;
    bool ready;

    strncpy(name, op, sizeof(name) - 1);
    strncpy(uris, key, sizeof(uris) - 1);
    direction = strstr(name, "-decrypt");
    if (direction != NULL)
        *direction = '\0';
    c->bytes = bytes;
    c->decrypt = direction != NULL;
    c->in = calloc(1, (size_t)bytes + EVP_MAX_BLOCK_LENGTH);
    c->out = calloc(1, (size_t)bytes + EVP_MAX_BLOCK_LENGTH);
    c->ctx = EVP_CIPHER_CTX_new();
    cipher = EVP_CIPHER_fetch(NULL, name, strcmp(key, "bytes") == 0 ? "provider=default" : "provider=azihsm");
    ready = cipher != NULL && set_key(c, cipher, key, uris) && EVP_CIPHER_CTX_set_padding(c->ctx, 0) == 1;
    c->gcm = ready && EVP_CIPHER_get_mode(cipher) == EVP_CIPH_GCM_MODE;
    EVP_CIPHER_free(cipher);
    if (ready && (!c->decrypt || turn_round(c)))
        return c;
    bench_cipher_free(c);
    return NULL;
}

int bench_cipher_once(struct bench_cipher *c)
{
    if (!c->decrypt)
        c->iv[0]++;
    return run(c, c->decrypt);
}

void bench_cipher_free(struct bench_cipher *c)
{
    if (c == NULL)
        return;
    EVP_CIPHER_CTX_free(c->ctx);
    free(c->in);
    free(c->out);
    free(c);
}
