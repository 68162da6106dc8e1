/*
 * Software keys that come to us: carried, taken into the device, or refused; and that carried keys answer every
 * question as the default provider's do.
 */
#include "support.h"

#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>

static const char *const kinds[] = {"P-256", "P-384", "P-521", "RSA-2048", "PSS-2048"};
enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

static const char *type_of(const char *kind)
{
    return !is_rsa(kind) ? "EC" : kind[0] == 'R' ? "RSA" : "RSA-PSS";
}

/* The same key, made by our keymgmt from parameters; extra goes along. NULL with the errors left. */
static EVP_PKEY *import(OSSL_LIB_CTX *ctx, const char *propq, const char *kind, EVP_PKEY *key, int selection,
                        const char *how)
{
    EVP_PKEY_CTX *from = EVP_PKEY_CTX_new_from_name(ctx, type_of(kind), propq);
    OSSL_PARAM extra[] = {OSSL_PARAM_construct_utf8_string("azihsm.import", (char *)how, 0),
                          OSSL_PARAM_construct_utf8_string("unheard-of", "x", 0), OSSL_PARAM_construct_end()};
    OSSL_PARAM *params = NULL, *all;
    EVP_PKEY *copy = NULL;

    good(EVP_PKEY_todata(key, selection, &params));
    all = OSSL_PARAM_merge(params, how == NULL ? extra + 1 : extra);
    good(from != NULL && EVP_PKEY_fromdata_init(from));
    if (EVP_PKEY_fromdata(from, &copy, selection, all) <= 0)
        copy = NULL;
    OSSL_PARAM_free(all);
    OSSL_PARAM_free(params);
    EVP_PKEY_CTX_free(from);
    return copy;
}

static bool is_in_device(EVP_PKEY *key)
{
    char where[20] = "";

    return EVP_PKEY_get_utf8_string_param(key, "azihsm.key", where, sizeof(where), NULL) &&
           strcmp(where, "device") == 0;
}

/* Every gettable parameter of the default provider, asked from both. */
static void check_same_answers(EVP_PKEY *ours, EVP_PKEY *theirs, OSSL_LIB_CTX *judge)
{
    const OSSL_PARAM *asked = EVP_PKEY_gettable_params(theirs);

    (void)judge;
    for (; asked != NULL && asked->key != NULL; asked++) {
        uint8_t a[4096] = {0}, b[4096] = {0};
        OSSL_PARAM pa[2] = {*asked, OSSL_PARAM_construct_end()}, pb[2] = {*asked, OSSL_PARAM_construct_end()};
        size_t room = asked->data_type == OSSL_PARAM_INTEGER ? sizeof(int) : sizeof(a);
        int got_a, got_b;

        pa[0].data = a;
        pb[0].data = b;
        pa[0].data_size = pb[0].data_size = room;
        pa[0].return_size = pb[0].return_size = OSSL_PARAM_UNMODIFIED;
        got_a = EVP_PKEY_get_params(ours, pa);
        got_b = EVP_PKEY_get_params(theirs, pb);
        if (got_a != got_b || pa[0].return_size != pb[0].return_size || memcmp(a, b, sizeof(a)) != 0)
            fail_msg("%s differs", asked->key);
    }
    ERR_clear_error();
}

static void test_carried(void **state)
{
    static const char *const queries[] = {"azihsm.key=carried", "azihsm.key=device"};

    (void)state;
    for (unsigned o = 0; o < ORDERS; o++)
        for (unsigned q = 0; q < 2; q++)
            for (unsigned k = 0; k < KINDS; k++) {
                OSSL_LIB_CTX *ctx = order(orders[o]);
                EVP_PKEY *key = make_key(software(), NULL, kinds[k]), *copy, *dup, *back;
                long requests = device_requests(NULL);

                copy = import(ctx, queries[q], kinds[k], key, EVP_PKEY_KEYPAIR, NULL);
                good(copy != NULL);
                assert_false(is_in_device(copy));
                check_same_answers(copy, key, ctx);
                dup = EVP_PKEY_dup(copy);
                good(dup != NULL);
                check_same_answers(dup, key, ctx);
                /* and out again, private half and all */
                back = import(software(), NULL, kinds[k], copy, EVP_PKEY_KEYPAIR, NULL);
                good(back != NULL);
                assert_int_equal(EVP_PKEY_eq(back, key), 1);
                check_same_answers(back, key, ctx);
                assert_int_equal(device_requests(NULL), requests);
                EVP_PKEY_free(back);
                EVP_PKEY_free(dup);
                EVP_PKEY_free(copy);
                EVP_PKEY_free(key);
            }
}

/* OAEP there and back. */
static bool decrypts(OSSL_LIB_CTX *ctx, EVP_PKEY *key)
{
    EVP_PKEY_CTX *to = EVP_PKEY_CTX_new_from_pkey(software(), public_of(key), NULL);
    EVP_PKEY_CTX *from = EVP_PKEY_CTX_new_from_pkey(ctx, key, NULL);
    uint8_t sealed[512], out[512];
    size_t len = sizeof(sealed), outlen = sizeof(out);
    bool ok = EVP_PKEY_encrypt_init(to) == 1 && EVP_PKEY_CTX_set_rsa_padding(to, RSA_PKCS1_OAEP_PADDING) == 1 &&
              EVP_PKEY_encrypt(to, sealed, &len, (const uint8_t *)"secret", 6) == 1;

    ok = ok && EVP_PKEY_decrypt_init(from) == 1 && EVP_PKEY_CTX_set_rsa_padding(from, RSA_PKCS1_OAEP_PADDING) == 1 &&
         EVP_PKEY_decrypt(from, out, &outlen, sealed, len) == 1 && outlen == 6 && memcmp(out, "secret", 6) == 0;
    EVP_PKEY_CTX_free(from);
    EVP_PKEY_CTX_free(to);
    return ok;
}

/* Through the key file that a program would load. */
static EVP_PKEY *written_and_read(OSSL_LIB_CTX *ctx, EVP_PKEY *key)
{
    BIO *bio = BIO_new(BIO_s_mem());
    EVP_PKEY *again;

    good(PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL));
    again = PEM_read_bio_PrivateKey_ex(bio, NULL, NULL, NULL, ctx, NULL);
    BIO_free(bio);
    good(again != NULL);
    return again;
}

/* An RSA key that is imported keeps both uses it had, although the device gives a key one: also in its file. */
static void test_two_uses(void **state)
{
    OSSL_LIB_CTX *ctx = order("default-first");
    EVP_PKEY *soft = make_key(software(), NULL, "RSA-2048"), *pss = make_key(software(), NULL, "PSS-2048");
    EVP_PKEY *key = import(ctx, "provider=azihsm", "RSA-2048", soft, EVP_PKEY_KEYPAIR, "device"), *again, *dup;
    EVP_PKEY *only = import(ctx, "provider=azihsm", "PSS-2048", pss, EVP_PKEY_KEYPAIR, "device");
    long unmasked;

    (void)state;
    good(key != NULL && only != NULL);
    assert_true(is_in_device(key) && signs(key, ctx) && decrypts(ctx, key));
    again = written_and_read(ctx, key);
    unmasked = device_requests("UnmaskKey");
    assert_true(signs(again, ctx));
    assert_int_equal(device_requests("UnmaskKey"), unmasked + 1); /* only what is used is loaded */
    assert_true(decrypts(ctx, again));
    assert_int_equal(device_requests("UnmaskKey"), unmasked + 2);
    dup = EVP_PKEY_dup(again);
    EVP_PKEY_free(again);
    good(dup != NULL);
    assert_true(signs(dup, ctx) && decrypts(ctx, dup));
    assert_true(signs(only, ctx));
    EVP_PKEY_free(dup);
    EVP_PKEY_free(only);
    EVP_PKEY_free(key);
    EVP_PKEY_free(pss);
    EVP_PKEY_free(soft);
}

static void test_public(void **state)
{
    (void)state;
    for (unsigned k = 0; k < KINDS; k++) {
        EVP_PKEY *key = make_key(software(), NULL, kinds[k]), *copy;
        EVP_PKEY_CTX *check;

        copy = import(order("azihsm-first"), NULL, kinds[k], key, EVP_PKEY_PUBLIC_KEY, NULL);
        good(copy != NULL);
        assert_int_equal(EVP_PKEY_eq(copy, key), 1);
        check = EVP_PKEY_CTX_new_from_pkey(order("azihsm-first"), copy, NULL);
        assert_int_equal(EVP_PKEY_public_check(check), 1);
        assert_int_not_equal(EVP_PKEY_private_check(check), 1);
        ERR_clear_error();
        EVP_PKEY_CTX_free(check);
        EVP_PKEY_free(copy);
        EVP_PKEY_free(key);
    }
}

static void test_into_device(void **state)
{
    (void)state;
    for (unsigned way = 0; way < 2; way++) /* by parameter, and by configuration */
        for (unsigned k = 0; k < KINDS; k++) {
            OSSL_LIB_CTX *ctx = order(way == 0 ? "default-first" : "import-device");
            EVP_PKEY *key = make_key(software(), NULL, kinds[k]), *held;
            EVP_MD_CTX *md = EVP_MD_CTX_new();
            OSSL_PARAM *params = NULL;
            uint8_t sig[600];
            size_t len = sizeof(sig);

            held = import(ctx, "provider=azihsm", kinds[k], key, EVP_PKEY_KEYPAIR, way == 0 ? "device" : NULL);
            good(held != NULL);
            assert_true(is_in_device(held));
            assert_int_equal(EVP_PKEY_eq(held, key), 1);
            assert_int_equal(EVP_PKEY_todata(held, EVP_PKEY_KEYPAIR, &params), 0);
            ERR_clear_error();
            good(EVP_DigestSignInit_ex(md, NULL, "SHA256", ctx, NULL, held, NULL));
            good(EVP_DigestSign(md, sig, &len, (const uint8_t *)"x", 1));
            good(EVP_DigestVerifyInit_ex(md, NULL, "SHA256", software(), NULL, key, NULL));
            good(EVP_DigestVerify(md, sig, len, (const uint8_t *)"x", 1));
            EVP_MD_CTX_free(md);
            EVP_PKEY_free(held);
            EVP_PKEY_free(key);
        }
}

static void test_refused(void **state)
{
    EVP_PKEY *key = make_key(software(), NULL, "P-256"),
             *brainpool = EVP_PKEY_Q_keygen(software(), NULL, "EC", "brainpoolP256r1");

    (void)state;
    assert_null(import(order("default-first"), "provider=azihsm", "P-256", key, EVP_PKEY_KEYPAIR, "refuse"));
    assert_true(error_says("import = refuse"));
    ERR_clear_error();
    assert_null(import(order("default-first"), "provider=azihsm", "P-256", key, EVP_PKEY_KEYPAIR, "perhaps"));
    assert_true(error_says("azihsm.import"));
    ERR_clear_error();
    assert_null(import(order("default-first"), "provider=azihsm", "P-256", brainpool, EVP_PKEY_KEYPAIR, "device"));
    assert_true(error_says("P-256, P-384 and P-521"));
    ERR_clear_error();
    EVP_PKEY_free(brainpool);
    EVP_PKEY_free(key);
}

/* C-25: explicit parameters of a known curve become the named curve; in public keys, as certificates have them. */
static void test_explicit_parameters(void **state)
{
    EVP_PKEY_CTX *gen = EVP_PKEY_CTX_new_from_name(software(), "EC", NULL);
    EVP_PKEY *key = NULL, *copy;
    char group[40];
    size_t len;

    (void)state;
    good(EVP_PKEY_keygen_init(gen));
    good(EVP_PKEY_CTX_set_group_name(gen, "P-256"));
    good(EVP_PKEY_CTX_set_ec_param_enc(gen, OPENSSL_EC_EXPLICIT_CURVE));
    good(EVP_PKEY_generate(gen, &key));
    copy = import(order("azihsm-first"), NULL, "P-256", key, EVP_PKEY_PUBLIC_KEY, NULL);
    good(copy != NULL);
    good(EVP_PKEY_get_group_name(copy, group, sizeof(group), &len));
    assert_string_equal(group, "prime256v1");
    assert_int_equal(EVP_PKEY_eq(copy, key), 1);
    EVP_PKEY_free(copy);
    EVP_PKEY_free(key);
    EVP_PKEY_CTX_free(gen);
}

/* What TLS does with a template: parameters from the peer's key, then the peer's point. */
static void test_template(void **state)
{
    (void)state;
    for (unsigned o = 0; o < ORDERS; o++) {
        OSSL_LIB_CTX *ctx = order(orders[o]);
        EVP_PKEY *held = device_key(ctx, "P-256"), *empty = EVP_PKEY_new(), *made = NULL;
        EVP_PKEY_CTX *gen;
        unsigned char *point = NULL;
        size_t len;

        good(EVP_PKEY_copy_parameters(empty, held)); /* C-24 */
        assert_int_equal(EVP_PKEY_parameters_eq(empty, held), 1);
        assert_int_not_equal(EVP_PKEY_eq(empty, held), 1);
        len = EVP_PKEY_get1_encoded_public_key(held, &point);
        assert_int_equal(len, 65);
        good(EVP_PKEY_set1_encoded_public_key(empty, point, len));
        assert_int_equal(EVP_PKEY_eq(empty, held), 1);
        assert_int_not_equal(EVP_PKEY_set1_encoded_public_key(held, point, len), 1); /* never into a device key */
        assert_true(error_says("cannot be set"));
        ERR_clear_error();
        gen = EVP_PKEY_CTX_new_from_pkey(ctx, empty, NULL);
        good(EVP_PKEY_keygen_init(gen));
        good(EVP_PKEY_keygen(gen, &made));
        assert_int_equal(EVP_PKEY_parameters_eq(made, held), 1);
        assert_int_not_equal(EVP_PKEY_eq(made, held), 1);
        OPENSSL_free(point);
        EVP_PKEY_free(made);
        EVP_PKEY_free(empty);
        EVP_PKEY_CTX_free(gen);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_carried),     cmocka_unit_test(test_two_uses), cmocka_unit_test(test_public),
        cmocka_unit_test(test_into_device), cmocka_unit_test(test_refused),  cmocka_unit_test(test_explicit_parameters),
        cmocka_unit_test(test_template),
    };

    return cmocka_run_group_tests(tests, NULL, support_end);
}
