/*
 * Device keys as objects: comparing, copying, exporting, and what certificates and their tools do with them. C-23,
 * C-24, C-25, C-27.
 */
#include "support.h"

static OSSL_LIB_CTX *ctx;
static const char *const kinds[] = {"P-256", "P-384", "P-521", "RSA-2048", "PSS-2048"};
enum { KINDS = 5 };

/* The public half as a certificate's reader gets it, in the context of the device key. */
static EVP_PKEY *certificate_key(EVP_PKEY *key, OSSL_LIB_CTX *libctx)
{
    unsigned char *der = NULL;
    const unsigned char *p;
    int len = i2d_PUBKEY(key, &der);
    EVP_PKEY *public;

    good(len);
    p = der;
    public = d2i_PUBKEY_ex(NULL, &p, len, libctx, NULL);
    OPENSSL_free(der);
    assert_non_null(public);
    return public;
}

/* C-23 */
static void test_equal(void **state)
{
    (void)state;
    for (size_t o = 0; o < ORDERS; o++)
        for (size_t k = 0; k < KINDS; k++) {
            OSSL_LIB_CTX *libctx = order(orders[o]);
            EVP_PKEY *key = device_key(libctx, kinds[k]), *other = make_key(libctx, "provider=azihsm", kinds[k]);
            EVP_PKEY *public = certificate_key(key, libctx), *soft = software_key(libctx, kinds[k]);

            assert_int_equal(EVP_PKEY_eq(key, key), 1);
            assert_int_equal(EVP_PKEY_eq(key, public), 1);
            assert_int_equal(EVP_PKEY_eq(public, key), 1);
            assert_int_not_equal(EVP_PKEY_eq(key, other), 1);
            assert_int_not_equal(EVP_PKEY_eq(other, public), 1);
            assert_int_not_equal(EVP_PKEY_eq(public, other), 1);
            assert_int_not_equal(EVP_PKEY_eq(key, soft), 1);
            assert_int_not_equal(EVP_PKEY_eq(soft, key), 1);
            assert_int_not_equal(EVP_PKEY_eq(key, device_key(libctx, kinds[(k + 1) % KINDS])), 1);
            ERR_clear_error();
            EVP_PKEY_free(public);
            EVP_PKEY_free(other);
        }
}

static X509 *self_signed(EVP_PKEY *key, OSSL_LIB_CTX *libctx, const char *digest)
{
    X509 *x = X509_new_ex(libctx, NULL);
    X509_NAME *name = X509_get_subject_name(x);
    EVP_MD_CTX *md = EVP_MD_CTX_new();

    good(X509_set_version(x, 2));
    ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
    X509_gmtime_adj(X509_getm_notBefore(x), 0);
    X509_gmtime_adj(X509_getm_notAfter(x), 3600);
    good(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"key in a device", -1, -1, 0));
    good(X509_set_issuer_name(x, name));
    good(X509_set_pubkey(x, key));
    good(EVP_DigestSignInit_ex(md, NULL, digest, libctx, NULL, key, NULL));
    good(X509_sign_ctx(x, md));
    EVP_MD_CTX_free(md);
    return x;
}

static void test_certificate(void **state)
{
    (void)state;
    for (size_t o = 0; o < ORDERS; o++)
        for (size_t k = 0; k < KINDS; k++) {
            OSSL_LIB_CTX *libctx = order(orders[o]);
            EVP_PKEY *key = device_key(libctx, kinds[k]);
            X509 *x = self_signed(key, libctx, k % 2 ? NULL : "SHA384");
            unsigned char *der = NULL;
            const unsigned char *p;
            int len;
            X509 *judged;

            good(X509_check_private_key(x, key));
            good(X509_verify(x, key));
            len = i2d_X509(x, &der);
            p = der;
            judged = X509_new_ex(software(), NULL);
            assert_non_null(d2i_X509(&judged, &p, len));
            good(X509_verify(judged, X509_get0_pubkey(judged)));
            assert_int_not_equal(X509_check_private_key(x, device_key(libctx, kinds[(k + 1) % KINDS])), 1);
            ERR_clear_error();
            X509_free(judged);
            OPENSSL_free(der);
            X509_free(x);
        }
}

static void check_signs(EVP_PKEY *key, EVP_PKEY *public)
{
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    uint8_t sig[1024];
    size_t len = sizeof(sig);

    good(EVP_DigestSignInit_ex(md, NULL, "SHA256", ctx, NULL, key, NULL));
    good(EVP_DigestSign(md, sig, &len, (const uint8_t *)"abc", 3));
    EVP_MD_CTX_free(md);
    md = EVP_MD_CTX_new();
    good(EVP_DigestVerifyInit_ex(md, NULL, "SHA256", software(), NULL, public, NULL));
    good(EVP_DigestVerify(md, sig, len, (const uint8_t *)"abc", 3));
    EVP_MD_CTX_free(md);
}

/* C-24 */
static void test_copies(void **state)
{
    (void)state;
    for (size_t k = 0; k < KINDS; k++) {
        EVP_PKEY *key = make_key(ctx, "provider=azihsm", kinds[k]);
        EVP_PKEY *copy = EVP_PKEY_dup(key), *public = certificate_key(key, software());
        EVP_PKEY *empty = EVP_PKEY_new();

        assert_non_null(copy);
        EVP_PKEY_free(key);
        check_signs(copy, public);
        if (!is_rsa(kinds[k])) {
            good(EVP_PKEY_copy_parameters(empty, copy));
            assert_int_equal(EVP_PKEY_parameters_eq(empty, copy), 1);
        }
        EVP_PKEY_free(empty);
        EVP_PKEY_free(public);
        EVP_PKEY_free(copy);
    }
}

/* The private half does not leave, whatever asks for it. */
static void test_private_stays(void **state)
{
    (void)state;
    for (size_t k = 0; k < KINDS; k++) {
        EVP_PKEY *key = device_key(ctx, kinds[k]);
        OSSL_PARAM *params = NULL;
        BIGNUM *number = NULL;

        bad(EVP_PKEY_todata(key, EVP_PKEY_KEYPAIR, &params));
        OSSL_PARAM_free(params);
        bad(EVP_PKEY_get_bn_param(key, is_rsa(kinds[k]) ? OSSL_PKEY_PARAM_RSA_D : OSSL_PKEY_PARAM_PRIV_KEY, &number));
        assert_null(number);
        params = NULL;
        good(EVP_PKEY_todata(key, EVP_PKEY_PUBLIC_KEY, &params));
        OSSL_PARAM_free(params);
    }
}

/* C-25: a named curve, as an object identifier. */
static void test_named_curve(void **state)
{
    (void)state;
    for (size_t k = 0; k < 3; k++) {
        unsigned char *der = NULL;
        int len = i2d_PUBKEY(device_key(ctx, kinds[k]), &der);
        static const int sizes[] = {91, 120, 158}; /* of an SPKI with a named curve and an uncompressed point */

        assert_int_equal(len, sizes[k]);
        OPENSSL_free(der);
    }
}

/* C-27: a query that names us makes keys in the device or nothing. */
static void test_never_silently_software(void **state)
{
    EVP_PKEY_CTX *gen;
    EVP_PKEY *key = NULL;

    (void)state;
    gen = EVP_PKEY_CTX_new_from_name(ctx, "EC", "provider=azihsm");
    good(EVP_PKEY_keygen_init(gen));
    assert_true(EVP_PKEY_CTX_set_group_name(gen, "secp256k1") <= 0 || EVP_PKEY_keygen(gen, &key) <= 0);
    assert_null(key);
    EVP_PKEY_CTX_free(gen);
    gen = EVP_PKEY_CTX_new_from_name(ctx, "RSA", "provider=azihsm");
    good(EVP_PKEY_keygen_init(gen));
    assert_true(EVP_PKEY_CTX_set_rsa_keygen_bits(gen, 1024) <= 0 || EVP_PKEY_keygen(gen, &key) <= 0);
    assert_null(key);
    EVP_PKEY_CTX_free(gen);
    ERR_clear_error();
}

static void test_facts(void **state)
{
    (void)state;
    for (size_t k = 0; k < KINDS; k++) {
        EVP_PKEY *key = device_key(ctx, kinds[k]), *soft = software_key(software(), kinds[k]);
        char ours[64] = "", theirs[64] = "";

        assert_int_equal(EVP_PKEY_get_bits(key), EVP_PKEY_get_bits(soft));
        assert_int_equal(EVP_PKEY_get_security_bits(key), EVP_PKEY_get_security_bits(soft));
        assert_int_equal(EVP_PKEY_get_size(key), EVP_PKEY_get_size(soft));
        assert_string_equal(EVP_PKEY_get0_type_name(key), EVP_PKEY_get0_type_name(soft));
        good(EVP_PKEY_get_default_digest_name(key, ours, sizeof(ours)));
        good(EVP_PKEY_get_default_digest_name(soft, theirs, sizeof(theirs)));
        assert_true(strlen(ours) > 0 && strlen(theirs) > 0);
    }
}

static int begin(void **state)
{
    (void)state;
    ctx = order("default-first");
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equal),       cmocka_unit_test(test_certificate),
        cmocka_unit_test(test_copies),      cmocka_unit_test(test_private_stays),
        cmocka_unit_test(test_named_curve), cmocka_unit_test(test_never_silently_software),
        cmocka_unit_test(test_facts),
    };

    return cmocka_run_group_tests(tests, begin, support_end);
}
