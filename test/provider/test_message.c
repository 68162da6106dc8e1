/*
 * Signature algorithms that include their digest, and signatures of messages (OpenSSL from 3.4 on): with keys of the
 * device, and with software keys through us; each judged by the other way to do it, in software. Skipped where the
 * headers have no such functions; older cores must not be offered the names.
 */
#include "support.h"

#include <string.h>

static const uint8_t message[] __attribute__((unused)) = "a message in three pieces";
enum { LENGTH = sizeof(message) };

static const struct {
    const char *algorithm, *key, *digest;
} cases[] = {
    {"ECDSA-SHA1", "P-256", "SHA1"},
    {"ECDSA-SHA256", "P-256", "SHA2-256"},
    {"ECDSA-SHA2-256", "P-521", "SHA2-256"},
    {"ecdsa-with-SHA384", "P-384", "SHA2-384"},
    {"1.2.840.10045.4.3.4", "P-521", "SHA512"},
    {"ECDSA-SHA3-256", "P-256", "SHA3-256"},
    {"RSA-SHA256", "RSA-2048", "SHA256"},
    {"RSA-SHA2-384", "RSA-2048", "SHA384"},
    {"sha512WithRSAEncryption", "RSA-2048", "SHA512"},
    {"RSA-SHA2-512/256", "RSA-2048", "SHA512-256"},
    {"RSA-SHA3-384", "RSA-2048", "SHA3-384"},
};
enum { CASES = sizeof(cases) / sizeof(cases[0]) };

#if OPENSSL_VERSION_PREREQ(3, 4)
static EVP_SIGNATURE *ours(OSSL_LIB_CTX *ctx, const char *name)
{
    EVP_SIGNATURE *signature = EVP_SIGNATURE_fetch(ctx, name, "provider=azihsm");

    assert_non_null(signature);
    return signature;
}

/* By the operation every OpenSSL 3 has, in software. */
static int verifies(EVP_PKEY *key, const char *digest, const uint8_t *sig, size_t len)
{
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    int ok;

    good(EVP_DigestVerifyInit_ex(md, NULL, digest, software(), NULL, public_of(key), NULL));
    ok = EVP_DigestVerify(md, sig, len, message, LENGTH);
    EVP_MD_CTX_free(md);
    return ok == 1;
}

static size_t sign_pieces(EVP_PKEY_CTX *pctx, EVP_SIGNATURE *signature, uint8_t *sig, size_t size)
{
    size_t len = 0;

    good(EVP_PKEY_sign_message_init(pctx, signature, NULL));
    good(EVP_PKEY_sign_message_update(pctx, message, 5));
    good(EVP_PKEY_sign_message_update(pctx, message + 5, 0));
    good(EVP_PKEY_sign_message_update(pctx, message + 5, LENGTH - 5));
    good(EVP_PKEY_sign_message_final(pctx, NULL, &len));
    assert_true(len > 0 && len <= size);
    good(EVP_PKEY_sign_message_final(pctx, sig, &len));
    return len;
}

static size_t sign_at_once(EVP_PKEY_CTX *pctx, EVP_SIGNATURE *signature, uint8_t *sig, size_t size)
{
    size_t len = size;

    good(EVP_PKEY_sign_message_init(pctx, signature, NULL));
    good(EVP_PKEY_sign(pctx, sig, &len, message, LENGTH));
    return len;
}

static size_t sign_ready(EVP_PKEY_CTX *pctx, EVP_SIGNATURE *signature, const char *digest, uint8_t *sig, size_t size)
{
    uint8_t hash[64], short_one[10] = {0};
    size_t hashlen = 0, len = size;

    good(EVP_Q_digest(software(), digest, NULL, message, LENGTH, hash, &hashlen));
    good(EVP_PKEY_sign_init_ex2(pctx, signature, NULL));
    assert_true(EVP_PKEY_sign(pctx, sig, &len, short_one, sizeof(short_one)) != 1); /* no value of this digest */
    ERR_clear_error();
    len = size;
    good(EVP_PKEY_sign(pctx, sig, &len, hash, hashlen));
    return len;
}

static void check_verify(EVP_PKEY_CTX *pctx, EVP_SIGNATURE *signature, const char *digest, uint8_t *sig, size_t len)
{
    uint8_t hash[64];
    size_t hashlen = 0;

    good(EVP_Q_digest(software(), digest, NULL, message, LENGTH, hash, &hashlen));
    for (int broken = 0; broken < 2; broken++) {
        sig[len - 1] ^= (uint8_t)broken;
        good(EVP_PKEY_verify_message_init(pctx, signature, NULL));
        good(EVP_PKEY_CTX_set_signature(pctx, sig, len));
        good(EVP_PKEY_verify_message_update(pctx, message, 3));
        good(EVP_PKEY_verify_message_update(pctx, message + 3, LENGTH - 3));
        assert_int_equal(EVP_PKEY_verify_message_final(pctx) == 1, !broken);
        good(EVP_PKEY_verify_message_init(pctx, signature, NULL));
        assert_int_equal(EVP_PKEY_verify(pctx, sig, len, message, LENGTH) == 1, !broken);
        good(EVP_PKEY_verify_init_ex2(pctx, signature, NULL));
        assert_int_equal(EVP_PKEY_verify(pctx, sig, len, hash, hashlen) == 1, !broken);
        ERR_clear_error();
    }
    sig[len - 1] ^= 1;
    good(EVP_PKEY_verify_message_init(pctx, signature, NULL));
    good(EVP_PKEY_verify_message_update(pctx, message, LENGTH));
    assert_true(EVP_PKEY_verify_message_final(pctx) != 1); /* no signature was set */
    ERR_clear_error();
}

static void run(OSSL_LIB_CTX *ctx, EVP_PKEY *key, unsigned c, bool device)
{
    EVP_SIGNATURE *signature = ours(ctx, cases[c].algorithm);
    EVP_PKEY_CTX *pctx = EVP_PKEY_CTX_new_from_pkey(ctx, key, NULL);
    uint8_t sig[600];
    size_t len;
    long before = device_requests(NULL);

    len = sign_pieces(pctx, signature, sig, sizeof(sig));
    assert_true(verifies(key, cases[c].digest, sig, len));
    len = sign_at_once(pctx, signature, sig, sizeof(sig));
    assert_true(verifies(key, cases[c].digest, sig, len));
    len = sign_ready(pctx, signature, cases[c].digest, sig, sizeof(sig));
    assert_true(verifies(key, cases[c].digest, sig, len));
    assert_int_equal(device_requests(NULL) > before, device);
    before = device_requests(NULL);
    check_verify(pctx, signature, cases[c].digest, sig, len);
    assert_int_equal(device_requests(NULL), before);
    EVP_PKEY_CTX_free(pctx);
    EVP_SIGNATURE_free(signature);
}

static void test_device_keys(void **state)
{
    (void)state;
    for (unsigned o = 0; o < ORDERS; o++)
        for (unsigned c = 0; c < CASES; c++)
            run(order(orders[o]), device_key(order(orders[o]), cases[c].key), c, true);
}

static void test_software_keys(void **state)
{
    (void)state;
    for (unsigned o = 0; o < ORDERS; o++)
        for (unsigned c = 0; c < CASES; c++)
            run(order(orders[o]), software_key(order(orders[o]), cases[c].key), c, false);
}

/* A context copied in the middle of a message goes on in both. */
static void test_copies(void **state)
{
    OSSL_LIB_CTX *ctx = order(orders[0]);
    EVP_PKEY *key = device_key(ctx, "P-256");
    EVP_SIGNATURE *signature = ours(ctx, "ECDSA-SHA256");
    EVP_PKEY_CTX *pctx = EVP_PKEY_CTX_new_from_pkey(ctx, key, NULL), *copy;
    uint8_t sig[200];
    size_t len = sizeof(sig);

    (void)state;
    good(EVP_PKEY_sign_message_init(pctx, signature, NULL));
    good(EVP_PKEY_sign_message_update(pctx, message, 7));
    assert_non_null(copy = EVP_PKEY_CTX_dup(pctx));
    EVP_PKEY_CTX_free(pctx);
    good(EVP_PKEY_sign_message_update(copy, message + 7, LENGTH - 7));
    good(EVP_PKEY_sign_message_final(copy, sig, &len));
    assert_true(verifies(key, "SHA256", sig, len));
    EVP_PKEY_CTX_free(copy);
    pctx = EVP_PKEY_CTX_new_from_pkey(ctx, key, NULL);
    good(EVP_PKEY_verify_message_init(pctx, signature, NULL));
    good(EVP_PKEY_CTX_set_signature(pctx, sig, len));
    assert_non_null(copy = EVP_PKEY_CTX_dup(pctx));
    EVP_PKEY_CTX_free(pctx);
    good(EVP_PKEY_verify_message_update(copy, message, LENGTH));
    good(EVP_PKEY_verify_message_final(copy));
    EVP_PKEY_CTX_free(copy);
    EVP_SIGNATURE_free(signature);
}

/* Keys of another type, and RSA-PSS keys, whose restrictions PKCS#1 would break. */
static void test_refused(void **state)
{
    static const struct {
        const char *algorithm, *key;
    } wrong[] = {{"ECDSA-SHA256", "RSA-2048"}, {"RSA-SHA256", "P-256"}, {"RSA-SHA256", "PSS-2048"}};
    OSSL_LIB_CTX *ctx = order(orders[0]);

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        EVP_SIGNATURE *signature = ours(ctx, wrong[i].algorithm);
        EVP_PKEY_CTX *pctx = EVP_PKEY_CTX_new_from_pkey(ctx, device_key(ctx, wrong[i].key), NULL);

        assert_true(EVP_PKEY_sign_message_init(pctx, signature, NULL) <= 0);
        ERR_clear_error();
        EVP_PKEY_CTX_free(pctx);
        EVP_SIGNATURE_free(signature);
    }
}
#endif

/* The names are offered from 3.4 on; before that they mean digests, and must go on doing so. */
static void test_offered(void **state)
{
    bool expected = OPENSSL_version_major() > 3 || OPENSSL_version_minor() >= 4;

    (void)state;
    for (unsigned c = 0; c < CASES; c++) {
        EVP_SIGNATURE *signature = EVP_SIGNATURE_fetch(order(orders[0]), cases[c].algorithm, "provider=azihsm");

        assert_int_equal(signature != NULL, expected);
        EVP_SIGNATURE_free(signature);
        ERR_clear_error();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#if OPENSSL_VERSION_PREREQ(3, 4)
        cmocka_unit_test(test_device_keys),
        cmocka_unit_test(test_software_keys),
        cmocka_unit_test(test_copies),
        cmocka_unit_test(test_refused),
#endif
        cmocka_unit_test(test_offered),
    };

#if !OPENSSL_VERSION_PREREQ(3, 4)
    print_message("SKIP: these headers have no signatures of messages; only what older cores are offered is tested\n");
#endif
    return cmocka_run_group_tests(tests, NULL, NULL);
}
