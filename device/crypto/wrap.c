/*
 * RSA-AES key wrap, both directions. OAEP's and KWP's own failures are kept apart because the protocol answers them
 * with different statuses; the ephemeral key and the target live in locked memory only.
 */
#include "crypto/wrap.h"
#include "crypto/kdf.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>

enum { KWP_BLOCK = 8, KWP_MIN = 16, KWP_EXTRA = 16 };

static const char *kwp_name(size_t kek_len)
{
    switch (kek_len) {
    case 16:
        return "AES-128-WRAP-PAD";
    case 24:
        return "AES-192-WRAP-PAD";
    case 32:
        return "AES-256-WRAP-PAD";
    default:
        return NULL;
    }
}

/* RFC 5649 over in; out needs in.len + KWP_EXTRA bytes in both directions. */
static azihsm_rc kwp(OSSL_LIB_CTX *libctx, const struct secret *kek, int encrypt, struct azihsm_bytes in, uint8_t *out,
                     size_t *out_len)
{
    EVP_CIPHER *cipher = EVP_CIPHER_fetch(libctx, kwp_name(kek->len), NULL);
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    azihsm_rc rc = AZIHSM_E_CRYPTO;
    int len = 0;

    if (cipher != NULL && ctx != NULL && EVP_CipherInit_ex2(ctx, cipher, kek->data, NULL, encrypt, NULL) == 1 &&
        EVP_CipherUpdate(ctx, out, &len, in.data, (int)in.len) == 1 && len > 0) {
        *out_len = (size_t)len;
        rc = AZIHSM_OK;
    }
    EVP_CIPHER_CTX_free(ctx);
    EVP_CIPHER_free(cipher);
    return rc;
}

/* A context with OAEP set up: MGF1 with the same hash, empty label. */
static EVP_PKEY_CTX *oaep_context(OSSL_LIB_CTX *libctx, EVP_PKEY *key, int encrypt, const char *digest)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(libctx, key, NULL);

    if (ctx != NULL && (encrypt ? EVP_PKEY_encrypt_init(ctx) : EVP_PKEY_decrypt_init(ctx)) == 1 &&
        EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_OAEP_PADDING) == 1 &&
        EVP_PKEY_CTX_set_rsa_oaep_md_name(ctx, digest, NULL) == 1 &&
        EVP_PKEY_CTX_set_rsa_mgf1_md_name(ctx, digest, NULL) == 1)
        return ctx;
    EVP_PKEY_CTX_free(ctx);
    return NULL;
}

azihsm_rc wrap_seal(OSSL_LIB_CTX *libctx, EVP_PKEY *wrapping_key, uint32_t hash, struct azihsm_bytes target,
                    uint8_t *out, size_t cap, size_t *len)
{
    size_t modulus = (size_t)EVP_PKEY_get_size(wrapping_key), kwp_len = 0;
    const char *digest = kdf_hash_name(hash);
    struct secret *kek = NULL;
    EVP_PKEY_CTX *ctx = NULL;
    azihsm_rc rc = AZIHSM_E_CRYPTO;

    if (digest == NULL || target.len == 0)
        return AZIHSM_E_ARGUMENT;
    if (modulus + target.len + KWP_EXTRA > cap)
        return AZIHSM_E_ENCODE;
    kek = secret_new(WRAP_KEK_SIZE);
    ctx = oaep_context(libctx, wrapping_key, 1, digest);
    if (kek == NULL || ctx == NULL || RAND_priv_bytes_ex(libctx, kek->data, kek->len, 0) != 1 ||
        EVP_PKEY_encrypt(ctx, out, &modulus, kek->data, kek->len) != 1)
        goto done;
    rc = kwp(libctx, kek, 1, target, out + modulus, &kwp_len);
    if (rc == AZIHSM_OK)
        *len = modulus + kwp_len;
done:
    EVP_PKEY_CTX_free(ctx);
    secret_free(kek);
    return rc;
}

/* The ephemeral key out of the RSA part. */
static azihsm_rc open_kek(OSSL_LIB_CTX *libctx, EVP_PKEY *key, const char *digest, struct azihsm_bytes sealed,
                          struct secret *kek)
{
    EVP_PKEY_CTX *ctx = oaep_context(libctx, key, 0, digest);
    azihsm_rc rc = AZIHSM_OK;

    if (ctx == NULL || EVP_PKEY_decrypt(ctx, kek->data, &kek->len, sealed.data, sealed.len) != 1)
        rc = AZIHSM_STATUS_RSA_UNWRAP_OAEP_DECODE_FAILED;
    else if (kwp_name(kek->len) == NULL)
        rc = AZIHSM_STATUS_AES_INVALID_KEY_LENGTH;
    EVP_PKEY_CTX_free(ctx);
    return rc;
}

static azihsm_rc open_target(OSSL_LIB_CTX *libctx, const struct secret *kek, struct azihsm_bytes sealed,
                             struct secret **target)
{
    struct secret *plain;

    if (sealed.len < KWP_MIN || sealed.len % KWP_BLOCK != 0)
        return AZIHSM_STATUS_RSA_UNWRAP_AES_UNWRAP_FAILED;
    plain = secret_new(sealed.len + KWP_EXTRA);
    if (plain == NULL)
        return AZIHSM_E_NO_MEMORY;
    if (kwp(libctx, kek, 0, sealed, plain->data, &plain->len) != AZIHSM_OK) {
        secret_free(plain);
        return AZIHSM_STATUS_RSA_UNWRAP_AES_UNWRAP_FAILED;
    }
    *target = plain;
    return AZIHSM_OK;
}

azihsm_rc wrap_open(OSSL_LIB_CTX *libctx, EVP_PKEY *unwrapping_key, uint32_t hash, struct azihsm_bytes blob,
                    struct secret **target)
{
    size_t modulus = (size_t)EVP_PKEY_get_size(unwrapping_key);
    const char *digest = kdf_hash_name(hash);
    struct secret *kek;
    azihsm_rc rc;

    if (digest == NULL)
        return AZIHSM_STATUS_INVALID_ARG;
    if (blob.len < modulus)
        return AZIHSM_STATUS_RSA_UNWRAP_INVALID_REQUEST;
    kek = secret_new(modulus);
    if (kek == NULL)
        return AZIHSM_E_NO_MEMORY;
    ERR_set_mark();
    rc = open_kek(libctx, unwrapping_key, digest, (struct azihsm_bytes){blob.data, modulus}, kek);
    if (rc == AZIHSM_OK)
        rc = open_target(libctx, kek, (struct azihsm_bytes){blob.data + modulus, blob.len - modulus}, target);
    ERR_pop_to_mark();
    secret_free(kek);
    return rc;
}
