/*
 * Sealing and opening masked keys. The codec lays out and parses the blob; this adds ciphertext and tag, and demands
 * on opening exactly what a sealer of ours writes: the shortest ciphertext and zero padding.
 */
#include "crypto/masking.h"
#include "crypto/kdf.h"
#include "crypto/secret.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include <string.h>

enum { AES_KEY = 32, MAC_KEY = 48, TAG = 48, BLOCK = 16 };

static size_t padded(size_t len)
{
    return (len + BLOCK - 1) / BLOCK * BLOCK;
}

/* AES-256-CBC without padding over whole blocks. */
static azihsm_rc cbc(OSSL_LIB_CTX *libctx, const uint8_t *key, const uint8_t *iv, int encrypt, struct azihsm_bytes in,
                     uint8_t *out)
{
    EVP_CIPHER *cipher = EVP_CIPHER_fetch(libctx, "AES-256-CBC", NULL);
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    azihsm_rc rc = AZIHSM_E_CRYPTO;
    int len;

    if (cipher != NULL && ctx != NULL && EVP_CipherInit_ex2(ctx, cipher, key, iv, encrypt, NULL) == 1 &&
        EVP_CIPHER_CTX_set_padding(ctx, 0) == 1 && EVP_CipherUpdate(ctx, out, &len, in.data, (int)in.len) == 1 &&
        (size_t)len == in.len)
        rc = AZIHSM_OK;
    EVP_CIPHER_CTX_free(ctx);
    EVP_CIPHER_free(cipher);
    return rc;
}

static azihsm_rc compute_tag(OSSL_LIB_CTX *libctx, const uint8_t *key, struct azihsm_bytes authenticated, uint8_t *tag)
{
    struct azihsm_bytes mac_key = {key + AES_KEY, MAC_KEY};

    return kdf_hmac(libctx, AZIHSM_HASH_SHA384, mac_key, &authenticated, 1, tag);
}

azihsm_rc masking_seal(OSSL_LIB_CTX *libctx, const uint8_t key[AZIHSM_MASKING_KEY_SIZE],
                       const struct azihsm_masked_metadata *metadata, struct azihsm_bytes plain, uint8_t *out,
                       size_t cap, size_t *len)
{
    size_t offset, total, encrypted = padded(plain.len);
    struct secret *padded_plain = NULL;
    uint8_t iv[AZIHSM_IV_SIZE];
    azihsm_rc rc;

    if (plain.len == 0)
        return AZIHSM_E_ARGUMENT;
    if (RAND_bytes_ex(libctx, iv, sizeof(iv), 0) != 1)
        return AZIHSM_E_CRYPTO;
    rc = azihsm_masked_key_layout(metadata, iv, encrypted, out, cap, &offset, &total);
    if (rc != AZIHSM_OK)
        return rc;
    padded_plain = secret_new(encrypted);
    if (padded_plain == NULL)
        return AZIHSM_E_NO_MEMORY;
    memcpy(padded_plain->data, plain.data, plain.len);
    rc = cbc(libctx, key, iv, 1, secret_view(padded_plain), out + offset);
    if (rc == AZIHSM_OK)
        rc = compute_tag(libctx, key, (struct azihsm_bytes){out, total - TAG}, out + total - TAG);
    if (rc == AZIHSM_OK)
        *len = total;
    secret_free(padded_plain);
    return rc;
}

azihsm_rc masking_verify(OSSL_LIB_CTX *libctx, const uint8_t key[AZIHSM_MASKING_KEY_SIZE],
                         const struct azihsm_masked_key *masked)
{
    uint8_t tag[TAG];
    azihsm_rc rc;

    if (masked->tag.len != TAG || masked->iv.len != AZIHSM_IV_SIZE)
        return AZIHSM_STATUS_MASKED_KEY_DECODE_FAILED;
    rc = compute_tag(libctx, key, masked->authenticated, tag);
    if (rc == AZIHSM_OK && CRYPTO_memcmp(tag, masked->tag.data, TAG) != 0)
        rc = AZIHSM_STATUS_MASKED_KEY_DECODE_FAILED;
    OPENSSL_cleanse(tag, sizeof(tag));
    return rc;
}

azihsm_rc masking_decrypt(OSSL_LIB_CTX *libctx, const uint8_t key[AZIHSM_MASKING_KEY_SIZE],
                          const struct azihsm_masked_key *masked, size_t expected_len, uint8_t *out)
{
    struct secret *plain;
    uint8_t excess = 0;
    azihsm_rc rc;

    if (expected_len == 0 || masked->ciphertext.len != padded(expected_len))
        return AZIHSM_STATUS_MASKED_KEY_DECODE_FAILED;
    plain = secret_new(masked->ciphertext.len);
    if (plain == NULL)
        return AZIHSM_E_NO_MEMORY;
    rc = cbc(libctx, key, masked->iv.data, 0, masked->ciphertext, plain->data);
    for (size_t i = expected_len; i < plain->len; i++)
        excess |= plain->data[i];
    if (rc == AZIHSM_OK && excess != 0)
        rc = AZIHSM_STATUS_MASKED_KEY_DECODE_FAILED;
    if (rc == AZIHSM_OK)
        memcpy(out, plain->data, expected_len);
    secret_free(plain);
    return rc;
}

azihsm_rc masking_open(OSSL_LIB_CTX *libctx, const uint8_t key[AZIHSM_MASKING_KEY_SIZE], struct azihsm_bytes blob,
                       size_t expected_len, uint8_t *out)
{
    struct azihsm_masked_key masked;
    azihsm_rc rc;

    if (azihsm_masked_key_parse(blob, &masked) != AZIHSM_OK)
        return AZIHSM_STATUS_MASKED_KEY_DECODE_FAILED;
    rc = masking_verify(libctx, key, &masked);
    return rc == AZIHSM_OK ? masking_decrypt(libctx, key, &masked, expected_len, out) : rc;
}
