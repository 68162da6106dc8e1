/*
 * Software keys beside us: whichever provider is activated first and even when ours is preferred, they behave as if we
 * were not there, and nothing of it reaches the device; device keys do reach it. C-07 to C-09, C-12, C-26.
 */
#include "support.h"

#include <openssl/kdf.h>
#include <openssl/provider.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const kinds[] = {"P-256", "P-384", "P-521", "RSA-2048", "PSS-2048", "RSA-1024", "secp256k1"};
enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };
static const uint8_t text[] = "text";

static int sign(EVP_PKEY *key, OSSL_LIB_CTX *ctx, uint8_t *sig, size_t *len)
{
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    int ok = EVP_DigestSignInit_ex(md, NULL, "SHA256", ctx, NULL, key, NULL) == 1 &&
             EVP_DigestSign(md, sig, len, text, sizeof(text)) == 1;

    EVP_MD_CTX_free(md);
    return ok;
}

static int verify(EVP_PKEY *key, OSSL_LIB_CTX *ctx, const uint8_t *sig, size_t len)
{
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    int ok = EVP_DigestVerifyInit_ex(md, NULL, "SHA256", ctx, NULL, key, NULL) == 1 &&
             EVP_DigestVerify(md, sig, len, text, sizeof(text)) == 1;

    EVP_MD_CTX_free(md);
    return ok;
}

static void check_signature(EVP_PKEY *key, OSSL_LIB_CTX *ctx)
{
    uint8_t sig[1024];
    size_t len = sizeof(sig);

    good(sign(key, ctx, sig, &len));
    good(verify(key, ctx, sig, len));
    good(verify(public_of(key), software(), sig, len));
    sig[len - 1] ^= 1;
    bad(verify(key, ctx, sig, len));
}

static void test_software_signatures(void **state)
{
    long before = device_requests(NULL);

    (void)state;
    for (size_t o = 0; o < ORDERS; o++)
        for (size_t k = 0; k < KINDS; k++)
            check_signature(software_key(order(orders[o]), kinds[k]), order(orders[o]));
    assert_int_equal(device_requests(NULL), before);
}

static void test_software_decryption(void **state)
{
    (void)state;
    for (size_t o = 0; o < ORDERS; o++)
        for (int padding = RSA_PKCS1_PADDING; padding <= RSA_PKCS1_OAEP_PADDING; padding += 3) {
            OSSL_LIB_CTX *ctx = order(orders[o]);
            EVP_PKEY *key = software_key(ctx, "RSA-2048");
            EVP_PKEY_CTX *pctx = EVP_PKEY_CTX_new_from_pkey(ctx, key, NULL);
            uint8_t cipher[256], out[256];
            size_t len = sizeof(cipher), outlen = sizeof(out);

            good(EVP_PKEY_encrypt_init(pctx));
            good(EVP_PKEY_CTX_set_rsa_padding(pctx, padding));
            good(EVP_PKEY_encrypt(pctx, cipher, &len, text, sizeof(text)));
            good(EVP_PKEY_decrypt_init(pctx));
            good(EVP_PKEY_CTX_set_rsa_padding(pctx, padding));
            good(EVP_PKEY_decrypt(pctx, out, &outlen, cipher, len));
            assert_int_equal(outlen, sizeof(text));
            assert_memory_equal(out, text, outlen);
            EVP_PKEY_CTX_free(pctx);
        }
}

static size_t derive(EVP_PKEY *key, EVP_PKEY *peer, OSSL_LIB_CTX *ctx, const char *kdf, uint8_t *out)
{
    EVP_PKEY_CTX *pctx = EVP_PKEY_CTX_new_from_pkey(ctx, key, NULL);
    size_t len = 256;

    good(EVP_PKEY_derive_init(pctx));
    if (kdf != NULL) {
        size_t want = 100;
        OSSL_PARAM params[] = {OSSL_PARAM_utf8_string(OSSL_EXCHANGE_PARAM_KDF_TYPE, (char *)kdf, strlen(kdf)),
                               OSSL_PARAM_utf8_string(OSSL_EXCHANGE_PARAM_KDF_DIGEST, "SHA256", 6),
                               OSSL_PARAM_size_t(OSSL_EXCHANGE_PARAM_KDF_OUTLEN, &want), OSSL_PARAM_END};
        good(EVP_PKEY_CTX_set_params(pctx, params));
    }
    good(EVP_PKEY_derive_set_peer(pctx, peer));
    good(EVP_PKEY_derive(pctx, out, &len));
    EVP_PKEY_CTX_free(pctx);
    return len;
}

static void test_software_exchange(void **state)
{
    long before = device_requests(NULL);

    (void)state;
    for (size_t o = 0; o < ORDERS; o++)
        for (size_t k = 0; k < 3; k++)
            for (int kdf = 0; kdf < 2; kdf++) {
                OSSL_LIB_CTX *ctx = order(orders[o]);
                EVP_PKEY *mine = software_key(ctx, kinds[k]), *other = make_key(software(), NULL, kinds[k]);
                EVP_PKEY *soft_public = public_of(mine);
                unsigned char *der = NULL;
                const unsigned char *p;
                int derlen = i2d_PUBKEY(other, &der);
                EVP_PKEY *peer;
                uint8_t one[256], two[256];
                size_t len;

                p = der;
                peer = d2i_PUBKEY_ex(NULL, &p, derlen, ctx, NULL);
                len = derive(mine, peer, ctx, kdf ? "X963KDF" : NULL, one);
                assert_int_equal(derive(other, soft_public, software(), kdf ? "X963KDF" : NULL, two), len);
                assert_memory_equal(one, two, len);
                OPENSSL_free(der);
                EVP_PKEY_free(peer);
                EVP_PKEY_free(other);
            }
    assert_int_equal(device_requests(NULL), before);
}

/* C-12: the same key pair of calls, private on the device and public not, in every order. */
static void test_device_signatures(void **state)
{
    (void)state;
    for (size_t o = 0; o < ORDERS; o++)
        for (size_t k = 0; k < 5; k++) {
            OSSL_LIB_CTX *ctx = order(orders[o]);
            EVP_PKEY *key = device_key(ctx, kinds[k]);
            uint8_t sig[1024];
            size_t len = sizeof(sig);
            long before;

            check_signature(key, ctx);
            before = device_requests(NULL);
            good(sign(key, ctx, sig, &len));
            assert_int_equal(device_requests(NULL), before + 1);
            good(verify(key, ctx, sig, len));
            assert_int_equal(device_requests(NULL), before + 1);
        }
}

/* C-09: randomness, digests and ciphers do not know the device. */
static void test_nothing_else_reaches_the_device(void **state)
{
    long before = device_requests(NULL);
    uint8_t bytes[64];
    size_t len;

    (void)state;
    for (size_t o = 0; o < ORDERS; o++) {
        OSSL_LIB_CTX *ctx = order(orders[o]);
        EVP_CIPHER *cipher = EVP_CIPHER_fetch(ctx, "AES-256-GCM", NULL);
        EVP_MD *md = EVP_MD_fetch(ctx, "SHA256", NULL);
        EVP_MAC *mac = EVP_MAC_fetch(ctx, "HMAC", NULL);
        EVP_KDF *kdf = EVP_KDF_fetch(ctx, "HKDF", NULL);

        good(RAND_bytes_ex(ctx, bytes, sizeof(bytes), 0));
        good(RAND_priv_bytes_ex(ctx, bytes, sizeof(bytes), 0));
        good(EVP_Q_digest(ctx, "SHA512", NULL, text, sizeof(text), bytes, &len));
        assert_string_equal(OSSL_PROVIDER_get0_name(EVP_CIPHER_get0_provider(cipher)), "default");
        assert_string_equal(OSSL_PROVIDER_get0_name(EVP_MD_get0_provider(md)), "default");
        assert_string_equal(OSSL_PROVIDER_get0_name(EVP_MAC_get0_provider(mac)), "default");
        assert_string_equal(OSSL_PROVIDER_get0_name(EVP_KDF_get0_provider(kdf)), "default");
        EVP_KDF_free(kdf);
        EVP_MAC_free(mac);
        EVP_MD_free(md);
        EVP_CIPHER_free(cipher);
    }
    assert_int_equal(device_requests(NULL), before);
}

/* C-08: no recursion without `default`, and loading over and over. */
static void test_alone(void **state)
{
    OSSL_LIB_CTX *ctx = order("alone");
    EVP_PKEY *key = device_key(order("default-first"), "P-256");
    unsigned char *der = NULL;
    int len = i2d_PUBKEY(key, &der);
    const unsigned char *p = der;
    EVP_PKEY *public = d2i_PUBKEY_ex(NULL, &p, len, ctx, NULL);

    (void)state;
    assert_true(public == NULL || EVP_PKEY_get_bits(public) == 256);
    ERR_clear_error();
    EVP_PKEY_free(public);
    OPENSSL_free(der);
    for (int i = 0; i < 100; i++) {
        OSSL_LIB_CTX *fresh = OSSL_LIB_CTX_new();
        char path[512];
        snprintf(path, sizeof(path), "%s/%s.cnf", getenv("AZIHSM_TEST_DIR"), orders[i % ORDERS]);
        good(OSSL_LIB_CTX_load_config(fresh, path));
        assert_int_equal(OSSL_PROVIDER_available(fresh, "azihsm"), 1);
        OSSL_LIB_CTX_free(fresh);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_software_signatures),
        cmocka_unit_test(test_software_decryption),
        cmocka_unit_test(test_software_exchange),
        cmocka_unit_test(test_device_signatures),
        cmocka_unit_test(test_nothing_else_reaches_the_device),
        cmocka_unit_test(test_alone),
    };

    return cmocka_run_group_tests(tests, NULL, support_end);
}
