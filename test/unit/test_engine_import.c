/*
 * Import and unwrapping: every case of the vectors in both profiles, and keys that must not be believed.
 */
#include "engine_support.h"

#include "crypto/wrap.h"

#include <openssl/param_build.h>

static void check_public(const struct engine_key *key, const json_t *entry, const char *field)
{
    size_t len;
    uint8_t *expected;

    if (!vectors_has(entry, field)) {
        assert_int_equal(engine_key_public(key).len, 0);
        return;
    }
    expected = vectors_hex_dup(entry, field, &len);
    assert_int_equal(engine_key_public(key).len, len);
    assert_memory_equal(engine_key_public(key).data, expected, len);
    free(expected);
}

static void vectors_unwrap(void **state)
{
    static const char *const blob_fields[] = {"blob", "blob_physical"};
    static const char *const public_fields[] = {"target_public_der", "target_public_raw_le"};
    struct engine *const engines[] = {virtual_engine, physical_engine};
    json_t *file = vectors_load("ddi/rsa_unwrap.json");
    const json_t *entry;
    size_t i, len;

    (void)state;
    if (file == NULL)
        skip();
    assert_true(json_array_size(vectors_get(file, "cases")) >= 19);
    for (size_t e = 0; e < 2; e++) {
        struct engine_key *kek = import_pkey(
            engines[e], AZIHSM_CLASS_RSA, private_from_pkcs8(vectors_get(file, "unwrapping_key"), "private_pkcs8_der"));

        json_array_foreach(vectors_get(file, "cases"), i, entry)
        {
            uint8_t *blob = vectors_hex_dup(entry, blob_fields[e], &len);
            struct engine_key *key;

            assert_int_equal(engine_unwrap(engines[e], kek, (uint32_t)vectors_number(entry, "hash_algorithm"),
                                           (uint32_t)vectors_number(entry, "wrapped_key_class"), view(blob, len), &key),
                             AZIHSM_OK);
            assert_int_equal(engine_key_kind(key), vectors_number(entry, "resulting_kind"));
            check_public(key, entry, public_fields[e]);
            if (engine_key_raw(key).len > 0) {
                uint8_t *target = vectors_hex_dup(entry, "target", &len);

                assert_int_equal(engine_key_raw(key).len, len);
                assert_memory_equal(engine_key_raw(key).data, target, len);
                free(target);
            }
            engine_key_free(key);
            free(blob);
        }
        json_array_foreach(vectors_get(file, "refused"), i, entry)
        {
            uint8_t *blob = vectors_hex_dup(entry, blob_fields[e], &len);
            struct engine_key *key;

            assert_int_equal(engine_unwrap(engines[e], kek, (uint32_t)vectors_number(entry, "hash_algorithm"),
                                           AZIHSM_CLASS_AES, view(blob, len), &key),
                             vectors_number(entry, "expected_status"));
            assert_null(key);
            free(blob);
        }
        engine_key_free(kek);
    }
    json_decref(file);
}

static void unwrapping_checks_its_key_and_blob(void **state)
{
    struct engine_key *kek, *crt, *aes, *key;
    EVP_PKEY *rsa = EVP_PKEY_Q_keygen(libctx, NULL, "RSA", (size_t)2048);
    uint8_t blob[AZIHSM_WRAPPED_BLOB_MAX] = {0}, target[16] = {1};
    size_t len;

    (void)state;
    assert_int_equal(EVP_PKEY_up_ref(rsa), 1);
    crt = import_pkey(virtual_engine, AZIHSM_CLASS_RSA_CRT, rsa);
    kek = import_pkey(virtual_engine, AZIHSM_CLASS_RSA, rsa);
    assert_int_equal(engine_generate_raw(virtual_engine, AZIHSM_KEY_AES256, &aes), AZIHSM_OK);
    assert_int_equal(
        wrap_seal(libctx, engine_key_pkey(kek), AZIHSM_HASH_SHA256, view(target, 16), blob, sizeof(blob), &len),
        AZIHSM_OK);
    assert_int_equal(engine_unwrap(virtual_engine, kek, 0, AZIHSM_CLASS_AES, view(blob, len), &key),
                     AZIHSM_STATUS_INVALID_ARG);
    assert_int_equal(engine_unwrap(virtual_engine, crt, AZIHSM_HASH_SHA256, AZIHSM_CLASS_AES, view(blob, len), &key),
                     AZIHSM_STATUS_RSA_UNWRAP_INVALID_KEK);
    assert_int_equal(engine_unwrap(virtual_engine, aes, AZIHSM_HASH_SHA256, AZIHSM_CLASS_AES, view(blob, len), &key),
                     AZIHSM_STATUS_RSA_UNWRAP_INVALID_KEK);
    assert_int_equal(engine_unwrap(virtual_engine, kek, AZIHSM_HASH_SHA256, AZIHSM_CLASS_AES, view(blob, 255), &key),
                     AZIHSM_STATUS_RSA_UNWRAP_INVALID_REQUEST);
    assert_int_equal(engine_unwrap(virtual_engine, kek, AZIHSM_HASH_SHA256, AZIHSM_CLASS_AES, view(blob, 256), &key),
                     AZIHSM_STATUS_RSA_UNWRAP_AES_UNWRAP_FAILED);
    assert_int_equal(engine_unwrap(virtual_engine, kek, AZIHSM_HASH_SHA256, 99, view(blob, len), &key),
                     AZIHSM_STATUS_INVALID_ARG);
    assert_int_equal(engine_unwrap(virtual_engine, kek, AZIHSM_HASH_SHA256, AZIHSM_CLASS_ECC, view(blob, len), &key),
                     AZIHSM_STATUS_KEY_DECODE_FAILED);
    assert_int_equal(engine_unwrap(virtual_engine, kek, AZIHSM_HASH_SHA256, AZIHSM_CLASS_AES, view(blob, len), &key),
                     AZIHSM_OK);
    assert_memory_equal(engine_key_raw(key).data, target, 16);
    engine_key_free(key);
    engine_key_free(kek);
    engine_key_free(crt);
    engine_key_free(aes);
}

static void aes_lengths(void **state)
{
    static const struct {
        uint32_t key_class;
        size_t len;
        uint32_t kind;
    } good[] = {
        {AZIHSM_CLASS_AES, 16, AZIHSM_KEY_AES128},
        {AZIHSM_CLASS_AES, 24, AZIHSM_KEY_AES192},
        {AZIHSM_CLASS_AES, 32, AZIHSM_KEY_AES256},
        {AZIHSM_CLASS_AES_XTS_BULK, 32, AZIHSM_KEY_AES_XTS_BULK256},
        {AZIHSM_CLASS_AES_GCM_BULK, 32, AZIHSM_KEY_AES_GCM_BULK256},
        {AZIHSM_CLASS_AES_GCM_BULK_UNAPPROVED, 32, AZIHSM_KEY_AES_GCM_BULK256_UNAPPROVED},
    };
    uint8_t bytes[64] = {3};
    struct engine_key *key;

    (void)state;
    for (uint32_t class = AZIHSM_CLASS_AES; class <= AZIHSM_CLASS_AES_GCM_BULK_UNAPPROVED; class ++)
        for (size_t len = 0; len <= sizeof(bytes); len++) {
            uint32_t kind = 0;

            for (size_t i = 0; i < COUNT(good); i++)
                if (good[i].key_class == class && good[i].len == len)
                    kind = good[i].kind;
            assert_int_equal(engine_import(virtual_engine, class, view(bytes, len), &key),
                             kind != 0 ? AZIHSM_OK : AZIHSM_STATUS_AES_INVALID_KEY_LENGTH);
            if (kind != 0)
                assert_int_equal(engine_key_kind(key), kind);
            engine_key_free(key);
        }
    assert_int_equal(engine_import(virtual_engine, 0, view(bytes, 16), &key), AZIHSM_STATUS_INVALID_ARG);
    assert_int_equal(engine_import(virtual_engine, 8, view(bytes, 16), &key), AZIHSM_STATUS_INVALID_ARG);
}

static void expect(struct engine *engine, uint32_t key_class, const uint8_t *der, size_t len, azihsm_rc expected)
{
    struct engine_key *key;

    assert_int_equal(engine_import(engine, key_class, view(der, len), &key), expected);
    engine_key_free(key);
}

/* A field of the fixed PKCS#8 form of P-256 changed: scalar at 36, point at 74. */
static void ecc_keys_that_do_not_hang_together(void **state)
{
    EVP_PKEY *pkey = EVP_PKEY_Q_keygen(libctx, NULL, "EC", "P-256");
    uint8_t order[32], *der, bad[138];
    size_t len;

    (void)state;
    der = pkcs8_of(pkey, &len);
    assert_int_equal(len, sizeof(bad));
    hex_decode("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551", order, sizeof(order));
    for (unsigned variant = 0; variant < 5; variant++) {
        memcpy(bad, der, len);
        switch (variant) {
        case 0: /* zero */
            memset(bad + 36, 0, 32);
            break;
        case 1: /* the order */
            memcpy(bad + 36, order, 32);
            break;
        case 2: /* beyond it */
            memset(bad + 36, 0xff, 32);
            break;
        case 3: /* a scalar of another key */
            bad[40] ^= 1;
            break;
        default: /* a point that is on no curve of ours */
            bad[137] ^= 1;
            break;
        }
        expect(physical_engine, AZIHSM_CLASS_ECC, bad, len, AZIHSM_STATUS_KEY_STRUCTURAL_VALIDATION_FAILED);
        expect(virtual_engine, AZIHSM_CLASS_ECC, bad, len, AZIHSM_STATUS_KEY_DECODE_FAILED);
    }
    expect(physical_engine, AZIHSM_CLASS_ECC, der, len, AZIHSM_OK);
    for (size_t cut = 0; cut < len; cut++)
        expect(physical_engine, AZIHSM_CLASS_ECC, der, cut, AZIHSM_STATUS_KEY_DECODE_FAILED);
    memcpy(bad, der, len);
    OPENSSL_free(der);
    EVP_PKEY_free(pkey);
    der = malloc(len + 1); /* something behind it */
    memcpy(der, bad, len);
    der[len] = 0;
    expect(physical_engine, AZIHSM_CLASS_ECC, der, len + 1, AZIHSM_STATUS_KEY_DECODE_FAILED);
    free(der);
}

static void keys_of_other_algorithms_and_sizes(void **state)
{
    struct engine *const engines[] = {virtual_engine, physical_engine};
    EVP_PKEY *pkeys[] = {EVP_PKEY_Q_keygen(libctx, NULL, "EC", "secp256k1"), EVP_PKEY_Q_keygen(libctx, NULL, "ED25519"),
                         EVP_PKEY_Q_keygen(libctx, NULL, "RSA", (size_t)1024),
                         EVP_PKEY_Q_keygen(libctx, NULL, "EC", "P-384")};
    static const azihsm_rc as_ecc[] = {AZIHSM_STATUS_KEY_DECODE_FAILED, AZIHSM_STATUS_KEY_DECODE_FAILED,
                                       AZIHSM_STATUS_KEY_DECODE_FAILED, AZIHSM_OK};
    static const azihsm_rc as_rsa[] = {AZIHSM_STATUS_KEY_DECODE_FAILED, AZIHSM_STATUS_KEY_DECODE_FAILED,
                                       AZIHSM_STATUS_RSA_INVALID_KEY_LENGTH, AZIHSM_STATUS_KEY_DECODE_FAILED};

    (void)state;
    for (size_t i = 0; i < COUNT(pkeys); i++) {
        size_t len;
        uint8_t *der = pkcs8_of(pkeys[i], &len);

        for (size_t e = 0; e < COUNT(engines); e++) {
            expect(engines[e], AZIHSM_CLASS_ECC, der, len, as_ecc[i]);
            expect(engines[e], AZIHSM_CLASS_RSA, der, len, as_rsa[i]);
            expect(engines[e], AZIHSM_CLASS_RSA_CRT, der, len, as_rsa[i]);
        }
        OPENSSL_free(der);
        EVP_PKEY_free(pkeys[i]);
    }
}

/* EC keys without the public key in them, as some tools write them. */
static void ecc_without_its_public_half(void **state)
{
    EVP_PKEY *pkey = EVP_PKEY_Q_keygen(libctx, NULL, "EC", "P-384");
    struct engine_key *key;
    uint8_t *der;
    size_t len;

    (void)state;
    assert_int_equal(EVP_PKEY_set_int_param(pkey, OSSL_PKEY_PARAM_EC_INCLUDE_PUBLIC, 0), 1);
    der = pkcs8_of(pkey, &len);
    assert_true(len < 185);
    assert_int_equal(engine_import(physical_engine, AZIHSM_CLASS_ECC, view(der, len), &key), AZIHSM_OK);
    assert_int_equal(EVP_PKEY_eq(pkey, engine_key_pkey(key)), 1);
    engine_key_free(key);
    OPENSSL_free(der);
    EVP_PKEY_free(pkey);
}

/* An RSA key with one number replaced by number + delta. */
static uint8_t *damaged_rsa(EVP_PKEY *pkey, const char *damaged, BN_ULONG delta, size_t *len)
{
    static const char *const names[] = {OSSL_PKEY_PARAM_RSA_N,         OSSL_PKEY_PARAM_RSA_E,
                                        OSSL_PKEY_PARAM_RSA_D,         OSSL_PKEY_PARAM_RSA_FACTOR1,
                                        OSSL_PKEY_PARAM_RSA_FACTOR2,   OSSL_PKEY_PARAM_RSA_EXPONENT1,
                                        OSSL_PKEY_PARAM_RSA_EXPONENT2, OSSL_PKEY_PARAM_RSA_COEFFICIENT1};
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(libctx, "RSA", NULL);
    BIGNUM *numbers[COUNT(names)] = {NULL};
    EVP_PKEY *bad = NULL;
    OSSL_PARAM *params;
    uint8_t *der;

    for (size_t i = 0; i < COUNT(names); i++) {
        assert_int_equal(EVP_PKEY_get_bn_param(pkey, names[i], &numbers[i]), 1);
        if (strcmp(names[i], damaged) == 0)
            BN_add_word(numbers[i], delta);
        OSSL_PARAM_BLD_push_BN(builder, names[i], numbers[i]);
    }
    params = OSSL_PARAM_BLD_to_param(builder);
    EVP_PKEY_fromdata_init(ctx);
    assert_int_equal(EVP_PKEY_fromdata(ctx, &bad, EVP_PKEY_KEYPAIR, params), 1);
    der = pkcs8_of(bad, len);
    for (size_t i = 0; i < COUNT(names); i++)
        BN_clear_free(numbers[i]);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(builder);
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(bad);
    return der;
}

static void rsa_keys_that_do_not_hang_together(void **state)
{
    static const struct {
        const char *number;
        bool matters;
    } cases[] = {
        {OSSL_PKEY_PARAM_RSA_D, true},
        {OSSL_PKEY_PARAM_RSA_FACTOR1, true},
        {OSSL_PKEY_PARAM_RSA_FACTOR2, true},
        {OSSL_PKEY_PARAM_RSA_E, true},
        {OSSL_PKEY_PARAM_RSA_N, true},
        {OSSL_PKEY_PARAM_RSA_EXPONENT1, false}, /* computed anew */
        {OSSL_PKEY_PARAM_RSA_COEFFICIENT1, false},
    };
    EVP_PKEY *pkey = EVP_PKEY_Q_keygen(libctx, NULL, "RSA", (size_t)2048);

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        size_t len;
        uint8_t *der = damaged_rsa(pkey, cases[i].number, 2, &len);

        expect(physical_engine, AZIHSM_CLASS_RSA, der, len,
               cases[i].matters ? AZIHSM_STATUS_PCT_VALIDATION_RSA_UNWRAP_RSA_KEY_FAILED : AZIHSM_OK);
        expect(virtual_engine, AZIHSM_CLASS_RSA_CRT, der, len,
               cases[i].matters ? AZIHSM_STATUS_KEY_DECODE_FAILED : AZIHSM_OK);
        OPENSSL_free(der);
    }
    EVP_PKEY_free(pkey);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors_unwrap),
        cmocka_unit_test(unwrapping_checks_its_key_and_blob),
        cmocka_unit_test(aes_lengths),
        cmocka_unit_test(ecc_keys_that_do_not_hang_together),
        cmocka_unit_test(keys_of_other_algorithms_and_sizes),
        cmocka_unit_test(ecc_without_its_public_half),
        cmocka_unit_test(rsa_keys_that_do_not_hang_together),
    };

    return cmocka_run_group_tests(tests, setup_engines, teardown_engines);
}
