/*
 * Key files through libcrypto: written and read as PEM and DER, in every order of providers; what is not ours is left
 * alone without a trace in the error queue; nothing private is ever written.
 */
#include "support.h"

#include <openssl/decoder.h>
#include <openssl/encoder.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const kinds[] = {"P-256", "P-384", "P-521", "RSA-2048", "PSS-2048"};
enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

static BIO *pem_of(EVP_PKEY *key)
{
    BIO *bio = BIO_new(BIO_s_mem());

    good(PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL));
    return bio;
}

/* Reads and signs with it; the public half judges in software. */
static void check_usable(OSSL_LIB_CTX *ctx, EVP_PKEY *key, EVP_PKEY *original)
{
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    uint8_t sig[600];
    size_t len = sizeof(sig);

    assert_non_null(key);
    assert_int_equal(EVP_PKEY_eq(key, original), 1);
    good(EVP_DigestSignInit_ex(md, NULL, "SHA256", ctx, NULL, key, NULL));
    good(EVP_DigestSign(md, sig, &len, (const uint8_t *)"x", 1));
    good(EVP_DigestVerifyInit_ex(md, NULL, "SHA256", software(), NULL, public_of(original), NULL));
    good(EVP_DigestVerify(md, sig, len, (const uint8_t *)"x", 1));
    EVP_MD_CTX_free(md);
}

static void test_pem(void **state)
{
    (void)state;
    for (unsigned o = 0; o < ORDERS; o++)
        for (unsigned k = 0; k < KINDS; k++) {
            OSSL_LIB_CTX *ctx = order(orders[o]);
            EVP_PKEY *original = device_key(ctx, kinds[k]), *key;
            BIO *bio = pem_of(original), *again;
            char *text, *second;
            long len = BIO_get_mem_data(bio, &text), requests;

            assert_true(len > 0 && strstr(text, "-----BEGIN AZIHSM PRIVATE KEY-----\n") == text);
            ERR_clear_error();
            requests = device_requests(NULL);
            key = PEM_read_bio_PrivateKey_ex(bio, NULL, NULL, NULL, ctx, NULL);
            assert_int_equal(ERR_peek_error(), 0);
            assert_int_equal(device_requests(NULL), requests); /* reading a key file is no device work */
            check_usable(ctx, key, original);
            BIO_free(bio);
            bio = pem_of(original);
            again = pem_of(key);
            assert_int_equal(BIO_get_mem_data(again, &second), BIO_get_mem_data(bio, &text));
            assert_memory_equal(text, second, (size_t)len); /* read and written: the same file */
            BIO_free(again);
            BIO_free(bio);
            EVP_PKEY_free(key);
        }
}

static EVP_PKEY *from_der(OSSL_LIB_CTX *ctx, const uint8_t *der, size_t len)
{
    EVP_PKEY *key = NULL;
    OSSL_DECODER_CTX *decoder = OSSL_DECODER_CTX_new_for_pkey(&key, "DER", NULL, NULL, EVP_PKEY_KEYPAIR, ctx, NULL);

    if (!OSSL_DECODER_from_data(decoder, &der, &len))
        key = NULL;
    OSSL_DECODER_CTX_free(decoder);
    return key;
}

/* A key file in DER by the ways that look for a PKCS#8 structure first. */
static void check_d2i(OSSL_LIB_CTX *ctx, EVP_PKEY *original, const uint8_t *der, size_t len)
{
    const uint8_t *p = der;
    EVP_PKEY *key = d2i_AutoPrivateKey_ex(NULL, &p, (long)len, ctx, NULL);
    SSL_CTX *tls = SSL_CTX_new_ex(ctx, NULL, TLS_method());
    char path[512];
    FILE *file;

    check_usable(ctx, key, original);
    assert_ptr_equal(p, der + len);
    EVP_PKEY_free(key);
    snprintf(path, sizeof(path), "%s/key.der", getenv("AZIHSM_TEST_DIR"));
    file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(der, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
    good(SSL_CTX_use_PrivateKey_file(tls, path, SSL_FILETYPE_ASN1));
    assert_int_equal(EVP_PKEY_eq(SSL_CTX_get0_privatekey(tls), original), 1);
    SSL_CTX_free(tls);
}

static void test_der(void **state)
{
    (void)state;
    for (unsigned o = 0; o < ORDERS; o++)
        for (unsigned k = 0; k < KINDS; k++) {
            OSSL_LIB_CTX *ctx = order(orders[o]);
            EVP_PKEY *original = device_key(ctx, kinds[k]), *key;
            unsigned char *der = NULL;
            size_t len = 0;
            OSSL_ENCODER_CTX *encoder =
                OSSL_ENCODER_CTX_new_for_pkey(original, EVP_PKEY_KEYPAIR, "DER", "PrivateKeyInfo", NULL);

            good(OSSL_ENCODER_to_data(encoder, &der, &len));
            key = from_der(ctx, der, len);
            check_usable(ctx, key, original);
            EVP_PKEY_free(key);
            check_d2i(ctx, original, der, len);
            assert_null(from_der(ctx, der, len - 1));
            der[8] ^= 1; /* within the OID: not ours */
            assert_null(from_der(ctx, der, len));
            ERR_clear_error();
            OPENSSL_free(der);
            OSSL_ENCODER_CTX_free(encoder);
        }
}

/* The body of a PEM file, taken out of it: shorter than what is written as DER, and understood. */
static void test_body_of_pem(void **state)
{
    (void)state;
    for (unsigned k = 0; k < KINDS; k++) {
        OSSL_LIB_CTX *ctx = order(orders[0]);
        EVP_PKEY *original = device_key(ctx, kinds[k]), *key;
        BIO *bio = pem_of(original);
        char *name, *header;
        unsigned char *der;
        long len;

        good(PEM_read_bio(bio, &name, &header, &der, &len));
        key = from_der(ctx, der, (size_t)len);
        check_usable(ctx, key, original);
        EVP_PKEY_free(key);
        OPENSSL_free(name);
        OPENSSL_free(header);
        OPENSSL_free(der);
        BIO_free(bio);
    }
}

/* C-28: one file with certificate and key, in either order, as haproxy has it. */
static void test_combined(void **state)
{
    static const char certificate[] = "-----BEGIN CERTIFICATE-----\nMAMCAQE=\n-----END CERTIFICATE-----\n";

    (void)state;
    for (unsigned o = 0; o < ORDERS; o++)
        for (unsigned before = 0; before < 2; before++) {
            OSSL_LIB_CTX *ctx = order(orders[o]);
            EVP_PKEY *original = device_key(ctx, "P-256"), *key;
            BIO *bio = BIO_new(BIO_s_mem());

            if (before)
                BIO_puts(bio, certificate);
            good(PEM_write_bio_PrivateKey(bio, original, NULL, NULL, 0, NULL, NULL));
            BIO_puts(bio, certificate);
            key = PEM_read_bio_PrivateKey_ex(bio, NULL, NULL, NULL, ctx, NULL);
            assert_int_equal(EVP_PKEY_eq(key, original), 1);
            assert_int_equal(ERR_peek_error(), 0);
            EVP_PKEY_free(key);
            BIO_free(bio);
        }
}

/* Software keys of every form are read as if we were not there. */
static void test_software_keys(void **state)
{
    static const char *const software_kinds[] = {"P-256", "RSA-2048", "PSS-2048"};

    (void)state;
    for (unsigned o = 0; o < ORDERS; o++)
        for (unsigned k = 0; k < 3; k++) {
            OSSL_LIB_CTX *ctx = order(orders[o]);
            EVP_PKEY *original = make_key(software(), NULL, software_kinds[k]), *key;
            EVP_CIPHER *cipher = EVP_CIPHER_fetch(software(), "AES-128-CBC", NULL);
            BIO *bio = BIO_new(BIO_s_mem());

            good(PEM_write_bio_PrivateKey(bio, original, NULL, NULL, 0, NULL, NULL));
            good(PEM_write_bio_PKCS8PrivateKey(bio, original, cipher, "secret", 6, NULL, NULL));
            ERR_clear_error();
            for (unsigned n = 0; n < 2; n++) {
                key = PEM_read_bio_PrivateKey_ex(bio, NULL, NULL, (void *)"secret", ctx, NULL);
                assert_non_null(key);
                assert_int_equal(ERR_peek_error(), 0);
                assert_int_equal(EVP_PKEY_eq(key, original), 1);
                EVP_PKEY_free(key);
            }
            assert_null(PEM_read_bio_PrivateKey_ex(bio, NULL, NULL, NULL, ctx, NULL)); /* end of file */
            ERR_clear_error();
            BIO_free(bio);
            EVP_CIPHER_free(cipher);
            EVP_PKEY_free(original);
        }
}

static void test_never_encrypted(void **state)
{
    OSSL_LIB_CTX *ctx = order(orders[0]);
    EVP_PKEY *key = device_key(ctx, "P-256");
    EVP_CIPHER *cipher = EVP_CIPHER_fetch(ctx, "AES-256-CBC", NULL);
    BIO *bio = BIO_new(BIO_s_mem());

    (void)state;
    assert_int_equal(PEM_write_bio_PrivateKey(bio, key, cipher, (const unsigned char *)"secret", 6, NULL, NULL), 0);
    assert_true(error_says("cannot be encrypted"));
    ERR_clear_error();
    assert_int_equal(BIO_pending(bio), 0);
    assert_null(EVP_PKEY2PKCS8(key)); /* what asks for a plain PKCS#8 structure gets none */
    ERR_clear_error();
    BIO_free(bio);
    EVP_CIPHER_free(cipher);
}

/* Broken files are refused by name, and not taken for something else. */
static void test_broken(void **state)
{
    static const struct {
        const char *text, *says;
    } files[] = {
        {"-----BEGIN AZIHSM PRIVATE KEY-----\nMAMCAQE=\n-----END AZIHSM PRIVATE KEY-----\n", "no key file"},
        {"-----BEGIN AZIHSM PRIVATE KEY-----\nMIICEAIBATArBhRpgrvn8bK82tqU3b7KlMjv1bmjHTATBgcqhkjOPQIBBggqhkjO\n"
         "-----END AZIHSM PRIVATE KEY-----\n",
         "invalid key file"},
        {"-----BEGIN AZIHSM PRIVATE KEY-----\n!!!!\n-----END AZIHSM PRIVATE KEY-----\n", NULL},
        {"-----BEGIN AZIHSM PRIVATE KEY-----\n", NULL},
    };

    (void)state;
    for (unsigned o = 0; o < ORDERS; o++)
        for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
            BIO *bio = BIO_new_mem_buf(files[i].text, -1);

            assert_null(PEM_read_bio_PrivateKey_ex(bio, NULL, NULL, NULL, order(orders[o]), NULL));
            if (files[i].says != NULL)
                assert_true(error_says(files[i].says));
            ERR_clear_error();
            BIO_free(bio);
        }
}

static void test_public_halves(void **state)
{
    (void)state;
    for (unsigned o = 0; o < ORDERS; o++)
        for (unsigned k = 0; k < KINDS; k++) {
            OSSL_LIB_CTX *ctx = order(orders[o]);
            EVP_PKEY *key = device_key(ctx, kinds[k]), *public;
            BIO *bio = BIO_new(BIO_s_mem());
            char *text;
            long len;

            good(PEM_write_bio_PUBKEY_ex(bio, key, ctx, NULL));
            public = PEM_read_bio_PUBKEY_ex(bio, NULL, NULL, NULL, software(), NULL);
            assert_int_equal(EVP_PKEY_eq(public, public_of(key)), 1);
            good(EVP_PKEY_print_private(bio, key, 0, NULL));
            len = BIO_get_mem_data(bio, &text);
            BIO_write(bio, "", 1);
            BIO_get_mem_data(bio, &text);
            assert_true(len > 0 && strstr(text, "held by the Azure Integrated HSM") != NULL);
            assert_true(strstr(text, is_rsa(kinds[k]) ? "Modulus:" : "pub:") != NULL);
            assert_null(strstr(text, "priv:"));
            EVP_PKEY_free(public);
            BIO_free(bio);
        }
}

/*
 * A query for another provider's implementation: libcrypto 3.0 asks all decoders all the same, later ones do not.
 * Either way there is no half of a key.
 */
static void test_foreign_query(void **state)
{
    OSSL_LIB_CTX *ctx = order(orders[0]);
    EVP_PKEY *original = device_key(ctx, "P-256"), *key;
    BIO *bio = pem_of(original);

    (void)state;
    key = PEM_read_bio_PrivateKey_ex(bio, NULL, NULL, NULL, ctx, "provider=default");
    if (key != NULL)
        check_usable(ctx, key, original);
    ERR_clear_error();
    EVP_PKEY_free(key);
    BIO_free(bio);
}

/* ---- where a key is written to ---- */

static int append(BIO *bio, const char *data, size_t len, size_t *written)
{
    return BIO_write_ex(BIO_get_data(bio), data, len, written);
}

/* A BIO that can do nothing but write, to another one: a program's own. */
static BIO *write_only(BIO *target)
{
    BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOURCE_SINK | BIO_get_new_index(), "write only");
    BIO *bio;

    assert_non_null(method);
    good(BIO_meth_set_write_ex(method, append));
    bio = BIO_new(method);
    assert_non_null(bio);
    BIO_set_data(bio, target);
    BIO_set_init(bio, 1);
    BIO_set_app_data(target, method);
    return bio;
}

static void check_bio_without_flush(EVP_PKEY *key)
{
    BIO *expected = pem_of(key), *target = BIO_new(BIO_s_mem()), *bio = write_only(target);
    char *text, *wanted;
    long len;

    ERR_clear_error();
    good(PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL));
    assert_int_equal(ERR_peek_error(), 0);
    len = BIO_get_mem_data(target, &text);
    assert_int_equal(len, BIO_get_mem_data(expected, &wanted));
    assert_memory_equal(text, wanted, (size_t)len);
    BIO_free(bio);
    BIO_meth_free(BIO_get_app_data(target));
    BIO_free(target);
    BIO_free(expected);
}

/* What the program writes after the key belongs to the same base64. */
static void check_filter(EVP_PKEY *key)
{
    BIO *expected = pem_of(key), *target = BIO_new(BIO_s_mem()), *filter = BIO_push(BIO_new(BIO_f_base64()), target);
    char *wanted, text[8192];
    int len = 0, got;

    good(PEM_write_bio_PrivateKey(filter, key, NULL, NULL, 0, NULL, NULL));
    good(BIO_puts(filter, "and more") == 8 && BIO_flush(filter) == 1);
    BIO_puts(expected, "and more");
    BIO_set_mem_eof_return(target, 0);
    BIO_pop(filter);
    BIO_free(filter);
    filter = BIO_push(BIO_new(BIO_f_base64()), target);
    while ((got = BIO_read(filter, text + len, (int)sizeof(text) - len)) > 0)
        len += got;
    assert_int_equal(len, BIO_get_mem_data(expected, &wanted));
    assert_memory_equal(text, wanted, (size_t)len);
    BIO_free_all(filter);
    BIO_free(expected);
}

static void check_full_disk(EVP_PKEY *key)
{
    BIO *full = BIO_new_file("/dev/full", "w");

    assert_non_null(full);
    bad(PEM_write_bio_PrivateKey(full, key, NULL, NULL, 0, NULL, NULL));
    BIO_free(full);
    ERR_clear_error();
}

static void test_written_anywhere(void **state)
{
    (void)state;
    for (unsigned o = 0; o < ORDERS; o++) {
        OSSL_LIB_CTX *ctx = order(orders[o]);

        check_bio_without_flush(device_key(ctx, "P-256"));
        check_bio_without_flush(software_key(ctx, "P-256"));
        check_filter(device_key(ctx, "P-256"));
        check_filter(software_key(ctx, "P-256"));
        check_full_disk(device_key(ctx, "P-256"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pem),           cmocka_unit_test(test_der),
        cmocka_unit_test(test_body_of_pem),   cmocka_unit_test(test_combined),
        cmocka_unit_test(test_software_keys), cmocka_unit_test(test_never_encrypted),
        cmocka_unit_test(test_broken),        cmocka_unit_test(test_public_halves),
        cmocka_unit_test(test_foreign_query), cmocka_unit_test(test_written_anywhere),
    };

    return cmocka_run_group_tests(tests, NULL, support_end);
}
