/*
 * Nobody listens: the provider loads, software keys and public halves work, and using a private half fails quickly with
 * an error that names the cause.
 */
#include "support.h"

#include <openssl/pem.h>
#include <time.h>

static OSSL_LIB_CTX *ctx;

static EVP_PKEY *same_key_without_device(const char *kind)
{
    BIO *bio = BIO_new(BIO_s_mem());
    EVP_PKEY *key;

    good(PEM_write_bio_PrivateKey(bio, device_key(order("default-first"), kind), NULL, NULL, 0, NULL, NULL));
    key = PEM_read_bio_PrivateKey_ex(bio, NULL, NULL, NULL, ctx, NULL);
    if (key == NULL)
        good(0);
    BIO_free(bio);
    return key;
}

static void test_device_keys(void **state)
{
    static const char *const kinds[] = {"P-256", "RSA-2048", "PSS-2048"};

    (void)state;
    for (size_t k = 0; k < 3; k++) {
        EVP_PKEY *key = same_key_without_device(kinds[k]);
        EVP_MD_CTX *md = EVP_MD_CTX_new();
        uint8_t sig[512];
        size_t len = sizeof(sig);
        time_t start = time(NULL);

        assert_int_equal(EVP_PKEY_eq(key, public_of(key)), 1);
        good(EVP_DigestSignInit_ex(md, NULL, "SHA256", ctx, NULL, key, NULL));
        assert_true(EVP_DigestSign(md, sig, &len, (const uint8_t *)"x", 1) <= 0);
        assert_true(error_says("nobody.sock"));
        assert_true(time(NULL) - start < 10);
        EVP_MD_CTX_free(md);
        EVP_PKEY_free(key);
    }
}

static void test_software_keys(void **state)
{
    EVP_PKEY *key = software_key(ctx, "RSA-2048");
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    uint8_t sig[512];
    size_t len = sizeof(sig);

    (void)state;
    good(EVP_DigestSignInit_ex(md, NULL, "SHA256", ctx, NULL, key, NULL));
    good(EVP_DigestSign(md, sig, &len, (const uint8_t *)"x", 1));
    EVP_MD_CTX_free(md);
}

static void test_generation(void **state)
{
    EVP_PKEY_CTX *gen = EVP_PKEY_CTX_new_from_name(ctx, "EC", "provider=azihsm");
    EVP_PKEY *key = NULL;

    (void)state;
    good(EVP_PKEY_keygen_init(gen));
    good(EVP_PKEY_CTX_set_group_name(gen, "P-256"));
    assert_true(EVP_PKEY_keygen(gen, &key) <= 0);
    assert_null(key);
    assert_true(error_says("nobody.sock"));
    EVP_PKEY_CTX_free(gen);
}

static int begin(void **state)
{
    (void)state;
    ctx = order("nodevice");
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_device_keys), cmocka_unit_test(test_software_keys),
                                       cmocka_unit_test(test_generation)};

    return cmocka_run_group_tests(tests, begin, support_end);
}
