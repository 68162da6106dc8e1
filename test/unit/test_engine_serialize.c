/*
 * The plaintext form inside masked keys: constant sizes, the ECC form byte for byte libcrypto's PKCS#8, and keys that
 * work the same after a round trip.
 */
#include "engine_support.h"

#include <openssl/rsa.h>

static struct engine_key *round_trip(struct engine *engine, const struct engine_key *key, uint8_t *plain, size_t *len)
{
    struct engine_key *restored = NULL;

    assert_int_equal(engine_key_serialize(key, plain, ENGINE_SERIALIZED_MAX, len), AZIHSM_OK);
    assert_int_equal(*len, engine_serialized_size(key));
    assert_int_equal(engine_key_restore(engine, engine_key_kind(key), view(plain, *len), &restored), AZIHSM_OK);
    assert_int_equal(engine_key_kind(restored), engine_key_kind(key));
    return restored;
}

static void ecc(void **state)
{
    static const size_t sizes[] = {138, 185, 241};
    uint8_t plain[ENGINE_SERIALIZED_MAX];
    size_t len, der_len;

    (void)state;
    for (uint32_t curve = AZIHSM_CURVE_P256; curve <= AZIHSM_CURVE_P521; curve++)
        for (unsigned i = 0; i < 20; i++) {
            struct engine_key *key, *restored;
            uint8_t *der;

            assert_int_equal(engine_generate_ecc(physical_engine, curve, &key), AZIHSM_OK);
            restored = round_trip(physical_engine, key, plain, &len);
            assert_int_equal(len, sizes[curve - 1]);
            der = pkcs8_of(engine_key_pkey(key), &der_len);
            assert_int_equal(der_len, len);
            assert_memory_equal(plain, der, len);
            OPENSSL_free(der);
            der = pkcs8_of(engine_key_pkey(restored), &der_len);
            assert_memory_equal(plain, der, len);
            OPENSSL_free(der);
            assert_memory_equal(engine_key_public(restored).data, engine_key_public(key).data,
                                engine_key_public(key).len);
            engine_key_free(restored);
            engine_key_free(key);
        }
}

static const char *const rsa_numbers[] = {OSSL_PKEY_PARAM_RSA_N,           OSSL_PKEY_PARAM_RSA_E,
                                          OSSL_PKEY_PARAM_RSA_FACTOR1,     OSSL_PKEY_PARAM_RSA_FACTOR2,
                                          OSSL_PKEY_PARAM_RSA_EXPONENT1,   OSSL_PKEY_PARAM_RSA_EXPONENT2,
                                          OSSL_PKEY_PARAM_RSA_COEFFICIENT1};

static void check_rsa(struct engine *engine, uint32_t key_class, EVP_PKEY *pkey, size_t size)
{
    uint8_t plain[ENGINE_SERIALIZED_MAX], again[ENGINE_SERIALIZED_MAX];
    struct engine_key *key = import_pkey(engine, key_class, pkey), *restored, *other;
    size_t len, again_len;
    EVP_PKEY_CTX *ctx;

    restored = round_trip(engine, key, plain, &len);
    assert_int_equal(len, size);
    assert_int_equal(engine_key_serialize(restored, again, sizeof(again), &again_len), AZIHSM_OK);
    assert_memory_equal(plain, again, len);
    for (size_t i = 0; i < COUNT(rsa_numbers); i++) {
        BIGNUM *a = NULL, *b = NULL;

        assert_int_equal(EVP_PKEY_get_bn_param(engine_key_pkey(key), rsa_numbers[i], &a), 1);
        assert_int_equal(EVP_PKEY_get_bn_param(engine_key_pkey(restored), rsa_numbers[i], &b), 1);
        assert_int_equal(BN_cmp(a, b), 0);
        BN_clear_free(a);
        BN_clear_free(b);
    }
    ctx = EVP_PKEY_CTX_new_from_pkey(libctx, engine_key_pkey(restored), NULL);
    assert_int_equal(EVP_PKEY_check(ctx), 1); /* libcrypto's whole check: primes, exponents, coefficient */
    EVP_PKEY_CTX_free(ctx);
    /* a kind of another size or none at all, and damage */
    assert_int_equal(engine_key_restore(engine, AZIHSM_KEY_AES256, view(plain, len), &other),
                     AZIHSM_STATUS_MASKED_KEY_DECODE_FAILED);
    assert_int_equal(engine_key_restore(engine, AZIHSM_KEY_RSA_UNWRAP, view(plain, len), &other),
                     AZIHSM_STATUS_INVALID_KEY_TYPE);
    for (size_t i = 0; i < 16; i++) {
        plain[i] ^= 0x80;
        if (i < 14)
            assert_int_equal(engine_key_restore(engine, engine_key_kind(key), view(plain, len), &other),
                             AZIHSM_STATUS_KEY_DECODE_FAILED);
        plain[i] ^= 0x80;
    }
    assert_int_equal(engine_key_restore(engine, engine_key_kind(key), view(plain, len - 1), &other),
                     AZIHSM_STATUS_MASKED_KEY_DECODE_FAILED);
    engine_key_free(restored);
    engine_key_free(key);
}

static void rsa(void **state)
{
    json_t *file = vectors_load("ddi/wire_forms.json");

    (void)state;
    check_rsa(physical_engine, AZIHSM_CLASS_RSA, EVP_PKEY_Q_keygen(libctx, NULL, "RSA", (size_t)2048), 539);
    if (file == NULL)
        skip();
    for (unsigned crt = 0; crt < 2; crt++) {
        const json_t *list = vectors_get(file, "rsa_mod_exp");
        uint32_t key_class = crt ? AZIHSM_CLASS_RSA_CRT : AZIHSM_CLASS_RSA;

        check_rsa(virtual_engine, key_class,
                  private_from_pkcs8(vectors_named(list, "rsa3072_random"), "private_pkcs8_der"), 795);
        check_rsa(virtual_engine, key_class,
                  private_from_pkcs8(vectors_named(list, "rsa4096_random"), "private_pkcs8_der"), 1051);
    }
    json_decref(file);
}

/* Exponents other than 65537, up to the largest that is taken. */
static void rsa_exponents(void **state)
{
    static const struct {
        const char *e;
        azihsm_rc physical, virtual;
    } cases[] = {
        {"3", AZIHSM_OK, AZIHSM_OK},
        {"17", AZIHSM_OK, AZIHSM_OK},
        {"4294967291", AZIHSM_OK, AZIHSM_OK},
        {"4294967311", AZIHSM_STATUS_KEY_DECODE_FAILED, AZIHSM_OK},
        {"18446744073709551557", AZIHSM_STATUS_KEY_DECODE_FAILED, AZIHSM_OK},
        {"18446744073709551629", AZIHSM_STATUS_KEY_DECODE_FAILED, AZIHSM_STATUS_KEY_DECODE_FAILED},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(libctx, "RSA", NULL);
        uint8_t plain[ENGINE_SERIALIZED_MAX], *der;
        struct engine_key *key, *restored;
        EVP_PKEY *pkey = NULL;
        BIGNUM *e = NULL;
        size_t len;

        BN_dec2bn(&e, cases[i].e);
        assert_int_equal(EVP_PKEY_keygen_init(ctx), 1);
        assert_int_equal(EVP_PKEY_CTX_set_rsa_keygen_bits(ctx, 2048), 1);
        assert_int_equal(EVP_PKEY_CTX_set1_rsa_keygen_pubexp(ctx, e), 1);
        assert_int_equal(EVP_PKEY_generate(ctx, &pkey), 1);
        der = pkcs8_of(pkey, &len);
        assert_int_equal(engine_import(physical_engine, AZIHSM_CLASS_RSA, view(der, len), &key), cases[i].physical);
        engine_key_free(key);
        assert_int_equal(engine_import(virtual_engine, AZIHSM_CLASS_RSA, view(der, len), &key), cases[i].virtual);
        if (cases[i].virtual == AZIHSM_OK) {
            restored = round_trip(virtual_engine, key, plain, &len);
            assert_int_equal(EVP_PKEY_eq(engine_key_pkey(key), engine_key_pkey(restored)), 1);
            engine_key_free(restored);
        }
        engine_key_free(key);
        OPENSSL_free(der);
        EVP_PKEY_free(pkey);
        EVP_PKEY_CTX_free(ctx);
        BN_free(e);
    }
}

static void symmetric(void **state)
{
    static const uint32_t kinds[] = {10, 11, 12, 13, 14, 15, 16, 17, 18, 25, 26, 27, 28};
    uint8_t plain[ENGINE_SERIALIZED_MAX];
    struct engine_key *key, *restored;
    size_t len;

    (void)state;
    for (size_t i = 0; i < COUNT(kinds); i++) {
        assert_int_equal(engine_generate_raw(virtual_engine, kinds[i], &key), AZIHSM_OK);
        restored = round_trip(virtual_engine, key, plain, &len);
        assert_int_equal(len, engine_kind_find(kinds[i])->serialized);
        assert_true(engine_key_same(key, restored));
        engine_key_free(restored);
        engine_key_free(key);
    }
    memset(plain, 0x21, sizeof(plain));
    for (uint32_t kind = AZIHSM_KEY_VAR_HMAC256; kind <= AZIHSM_KEY_VAR_HMAC512; kind++) {
        const struct engine_kind *info = engine_kind_find(kind);

        assert_int_equal(engine_generate_raw(virtual_engine, kind, &key), AZIHSM_STATUS_INVALID_ARG);
        for (size_t n = 0; n <= 130; n++) {
            bool fits = n >= info->min_len && n <= info->max_len;

            assert_int_equal(engine_key_restore(virtual_engine, kind, view(plain, n), &key),
                             fits ? AZIHSM_OK : AZIHSM_STATUS_MASKED_KEY_DECODE_FAILED);
            if (fits) {
                assert_int_equal(engine_serialized_size(key), n);
                assert_int_equal(engine_key_budget(key), n);
            }
            engine_key_free(key);
        }
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(ecc),
        cmocka_unit_test(rsa),
        cmocka_unit_test(rsa_exponents),
        cmocka_unit_test(symmetric),
    };

    return cmocka_run_group_tests(tests, setup_engines, teardown_engines);
}
