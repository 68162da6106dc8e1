/*
 * Answers of the default provider, computed the plainest way.
 */
#include "judge.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

struct azihsm_error judge_error;

void judge_ok(azihsm_rc rc, const char *call, const char *file, int line)
{
    if (rc == AZIHSM_OK)
        return;
    print_error("%s: %s: %s\n", call, azihsm_rc_name(rc), judge_error.text);
    _fail(file, line);
}

static EVP_PKEY *decode(struct azihsm_bytes spki)
{
    const unsigned char *p = spki.data;
    EVP_PKEY *key = d2i_PUBKEY(NULL, &p, (long)spki.len);

    assert_non_null(key);
    return key;
}

bool judge_ecdsa(struct azihsm_bytes spki, struct azihsm_bytes digest, const uint8_t *sig, size_t len)
{
    EVP_PKEY *key = decode(spki);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
    ECDSA_SIG *parts = ECDSA_SIG_new();
    unsigned char *der = NULL;
    int der_len, ok;

    ECDSA_SIG_set0(parts, BN_bin2bn(sig, (int)len / 2, NULL), BN_bin2bn(sig + len / 2, (int)len / 2, NULL));
    der_len = i2d_ECDSA_SIG(parts, &der);
    assert_int_equal(EVP_PKEY_verify_init(ctx), 1);
    ok = EVP_PKEY_verify(ctx, der, (size_t)der_len, digest.data, digest.len);
    OPENSSL_free(der);
    ECDSA_SIG_free(parts);
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(key);
    return ok == 1;
}

bool judge_rsa(struct azihsm_bytes spki, const uint8_t *x, const uint8_t *y, size_t len)
{
    EVP_PKEY *key = decode(spki);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
    uint8_t back[512];
    size_t back_len = sizeof(back);

    assert_int_equal(EVP_PKEY_encrypt_init(ctx), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_NO_PADDING), 1);
    assert_int_equal(EVP_PKEY_encrypt(ctx, back, &back_len, x, len), 1);
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(key);
    return back_len == len && memcmp(back, y, len) == 0;
}

EVP_PKEY *judge_new_ec(const char *curve)
{
    return EVP_EC_gen(curve);
}

EVP_PKEY *judge_new_rsa(unsigned bits)
{
    return EVP_RSA_gen(bits);
}

size_t judge_pkcs8(EVP_PKEY *key, uint8_t *out, size_t cap)
{
    PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(key);
    unsigned char *der = NULL;
    int len = i2d_PKCS8_PRIV_KEY_INFO(info, &der);

    assert_true(len > 0 && (size_t)len <= cap);
    memcpy(out, der, (size_t)len);
    OPENSSL_free(der);
    PKCS8_PRIV_KEY_INFO_free(info);
    return (size_t)len;
}

size_t judge_spki(EVP_PKEY *key, uint8_t *out, size_t cap)
{
    unsigned char *der = NULL;
    int len = i2d_PUBKEY(key, &der);

    assert_true(len > 0 && (size_t)len <= cap);
    memcpy(out, der, (size_t)len);
    OPENSSL_free(der);
    return (size_t)len;
}

size_t judge_ecdh(EVP_PKEY *key, struct azihsm_bytes peer_spki, uint8_t *out, size_t cap)
{
    EVP_PKEY *peer = decode(peer_spki);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
    size_t len = cap;

    assert_int_equal(EVP_PKEY_derive_init(ctx), 1);
    assert_int_equal(EVP_PKEY_derive_set_peer(ctx, peer), 1);
    assert_int_equal(EVP_PKEY_derive(ctx, out, &len), 1);
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(peer);
    return len;
}

static void kdf_run(const char *name, OSSL_PARAM *params, uint8_t *out, size_t len)
{
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, name, NULL);
    EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(kdf);

    assert_int_equal(EVP_KDF_derive(ctx, out, len, params), 1);
    EVP_KDF_CTX_free(ctx);
    EVP_KDF_free(kdf);
}

static OSSL_PARAM octets(const char *name, struct azihsm_bytes bytes)
{
    return OSSL_PARAM_construct_octet_string(name, (void *)(uintptr_t)bytes.data, bytes.len);
}

static OSSL_PARAM text(const char *name, const char *value)
{
    return OSSL_PARAM_construct_utf8_string(name, (char *)(uintptr_t)value, 0);
}

void judge_hkdf(const char *hash, struct azihsm_bytes key, struct azihsm_bytes salt, struct azihsm_bytes info,
                uint8_t *out, size_t len)
{
    OSSL_PARAM params[] = {text(OSSL_KDF_PARAM_DIGEST, hash), octets(OSSL_KDF_PARAM_KEY, key),
                           octets(OSSL_KDF_PARAM_INFO, info), octets(OSSL_KDF_PARAM_SALT, salt), OSSL_PARAM_END};

    if (salt.len == 0)
        params[3] = OSSL_PARAM_construct_end();
    kdf_run("HKDF", params, out, len);
}

void judge_kbkdf(const char *hash, struct azihsm_bytes key, struct azihsm_bytes label, struct azihsm_bytes context,
                 uint8_t *out, size_t len)
{
    OSSL_PARAM params[] = {text(OSSL_KDF_PARAM_MAC, "HMAC"),
                           text(OSSL_KDF_PARAM_MODE, "COUNTER"),
                           text(OSSL_KDF_PARAM_DIGEST, hash),
                           octets(OSSL_KDF_PARAM_KEY, key),
                           octets(OSSL_KDF_PARAM_SALT, label),
                           octets(OSSL_KDF_PARAM_INFO, context),
                           OSSL_PARAM_END};

    kdf_run("KBKDF", params, out, len);
}

size_t judge_hmac(const char *hash, struct azihsm_bytes key, struct azihsm_bytes msg, uint8_t *out)
{
    size_t len = 0;

    assert_non_null(EVP_Q_mac(NULL, "HMAC", NULL, hash, NULL, key.data, key.len, msg.data, msg.len, out, 64, &len));
    return len;
}

void judge_cbc(bool decrypt, struct azihsm_bytes key, const uint8_t iv[16], const uint8_t *in, uint8_t *out, size_t len)
{
    const EVP_CIPHER *cipher = key.len == 16   ? EVP_aes_128_cbc()
                               : key.len == 24 ? EVP_aes_192_cbc()
                                               : EVP_aes_256_cbc();
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int n = 0;

    assert_int_equal(EVP_CipherInit_ex(ctx, cipher, NULL, key.data, iv, !decrypt), 1);
    EVP_CIPHER_CTX_set_padding(ctx, 0);
    assert_int_equal(EVP_CipherUpdate(ctx, out, &n, in, (int)len), 1);
    assert_int_equal(n, (int)len);
    EVP_CIPHER_CTX_free(ctx);
}

void judge_gcm_encrypt(const uint8_t key[32], const uint8_t iv[12], struct azihsm_bytes aad, const uint8_t *in,
                       uint8_t *out, size_t len, uint8_t tag[16])
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int n = 0;

    assert_int_equal(EVP_EncryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, iv), 1);
    if (aad.len > 0)
        assert_int_equal(EVP_EncryptUpdate(ctx, NULL, &n, aad.data, (int)aad.len), 1);
    assert_int_equal(EVP_EncryptUpdate(ctx, out, &n, in, (int)len), 1);
    assert_int_equal(EVP_EncryptFinal_ex(ctx, out + n, &n), 1);
    assert_int_equal(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, 16, tag), 1);
    EVP_CIPHER_CTX_free(ctx);
}

void judge_xts_encrypt(const uint8_t data_key[32], const uint8_t tweak_key[32], const uint8_t tweak[16],
                       const uint8_t *in, uint8_t *out, size_t len)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    uint8_t both[64];
    int n = 0;

    memcpy(both, data_key, 32);
    memcpy(both + 32, tweak_key, 32);
    assert_int_equal(EVP_EncryptInit_ex(ctx, EVP_aes_256_xts(), NULL, both, tweak), 1);
    assert_int_equal(EVP_EncryptUpdate(ctx, out, &n, in, (int)len), 1);
    EVP_CIPHER_CTX_free(ctx);
}

azihsm_rc judge_sign(struct azihsm_key *key, struct azihsm_error *err)
{
    static const uint8_t digest[32] = {1, 2, 3, 4, 5, 6, 7};
    uint8_t sig[132];
    size_t len = sizeof(sig);
    azihsm_rc rc = azihsm_key_ecc_sign(key, AZIHSM_HASH_SHA256, BYTES(digest, 32), sig, &len, err);

    if (rc == AZIHSM_OK && !judge_ecdsa(azihsm_key_spki(key), BYTES(digest, 32), sig, len))
        return AZIHSM_E_MISMATCH;
    return rc;
}
