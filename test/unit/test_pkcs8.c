/*
 * Software keys as PKCS#8: what our writer writes, libcrypto reads as the same key, and byte for byte as its own
 * encoder has it.
 */
#include "../../provider/pkcs8.h"

#include <openssl/core_names.h>
#include <openssl/encoder.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/x509.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void check(EVP_PKEY *key)
{
    struct secret *secret = pkcs8_encode(key);
    unsigned char *theirs = NULL;
    size_t len = 0;
    const unsigned char *p;
    OSSL_ENCODER_CTX *encoder = OSSL_ENCODER_CTX_new_for_pkey(key, EVP_PKEY_KEYPAIR, "DER", "PrivateKeyInfo", NULL);

    assert_non_null(secret);
    assert_true(OSSL_ENCODER_to_data(encoder, &theirs, &len));
    assert_int_equal(secret->len, len);
    assert_memory_equal(secret->data, theirs, len);
    p = secret->data;
    EVP_PKEY *again = d2i_AutoPrivateKey_ex(NULL, &p, (long)secret->len, NULL, NULL);
    assert_int_equal(EVP_PKEY_eq(key, again), 1);
    EVP_PKEY_free(again);
    OSSL_ENCODER_CTX_free(encoder);
    OPENSSL_clear_free(theirs, len);
    secret_free(secret);
    EVP_PKEY_free(key);
}

static void test_ec(void **state)
{
    static const char *const groups[] = {"P-256", "P-384", "P-521"};
    (void)state;
    for (size_t i = 0; i < 3; i++)
        for (unsigned n = 0; n < 20; n++) /* some scalars have leading zeros */
            check(EVP_PKEY_Q_keygen(NULL, NULL, "EC", groups[i]));
}

static void test_rsa(void **state)
{
    static const size_t sizes[] = {2048, 3072};
    (void)state;
    for (size_t i = 0; i < 2; i++)
        check(EVP_PKEY_Q_keygen(NULL, NULL, "RSA", sizes[i]));
}

static void test_others(void **state)
{
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "brainpoolP256r1"), *public = NULL;
    unsigned char *der = NULL;
    const unsigned char *p;
    (void)state;
    assert_null(pkcs8_encode(key));
    EVP_PKEY_free(key);
    key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    int len = i2d_PUBKEY(key, &der);
    p = der;
    public = d2i_PUBKEY(NULL, &p, len);
    assert_null(pkcs8_encode(public)); /* no private half */
    OPENSSL_free(der);
    EVP_PKEY_free(public);
    EVP_PKEY_free(key);
    ERR_clear_error();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ec),
        cmocka_unit_test(test_rsa),
        cmocka_unit_test(test_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
