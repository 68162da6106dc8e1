/*
 * Public keys: the vectors in both forms, libcrypto's own encoding of every size we know, and what is none of ours.
 */
#include "crypto_support.h"

static void check_forms(EVP_PKEY *pkey, const json_t *entry)
{
    uint8_t out[AZIHSM_PUB_KEY_MAX], *der, *raw;
    size_t len, der_len, raw_len;

    der = vectors_hex_dup(entry, "public_der", &der_len);
    raw = vectors_hex_dup(entry, "public_raw_le", &raw_len);
    assert_int_equal(spki_public_kind(pkey), vectors_number(entry, "public_key_kind"));
    assert_int_equal(spki_encode(pkey, out, sizeof(out), &len), AZIHSM_OK);
    assert_int_equal(len, der_len);
    assert_memory_equal(out, der, len);
    assert_int_equal(spki_encode(pkey, out, der_len - 1, &len), AZIHSM_E_ENCODE);
    assert_int_equal(spki_encode_raw(pkey, out, sizeof(out), &len), AZIHSM_OK);
    assert_int_equal(len, raw_len);
    assert_memory_equal(out, raw, len);
    assert_int_equal(spki_encode_raw(pkey, out, raw_len - 1, &len), AZIHSM_E_ENCODE);
    free(der);
    free(raw);
}

static void vectors_agree(void **state)
{
    static const char *const lists[] = {"ecc_public_keys", "rsa_public_keys"};
    json_t *file = vectors_load("ddi/wire_forms.json");
    const json_t *entry;
    size_t i;

    (void)state;
    if (file == NULL)
        skip();
    for (size_t list = 0; list < COUNT(lists); list++)
        json_array_foreach(vectors_get(file, lists[list]), i, entry)
        {
            size_t len;
            uint8_t *der = vectors_hex_dup(entry, "public_der", &len);
            EVP_PKEY *pkey, *peer;

            assert_int_equal(spki_decode(libctx, view(der, len), &pkey), AZIHSM_OK);
            check_forms(pkey, entry);
            if (list == 0) {
                uint8_t *raw = vectors_hex_dup(entry, "public_raw_le", &len);

                assert_int_equal(spki_decode_peer(libctx, AZIHSM_DEVICE_PHYSICAL,
                                                  curve_by_name(vectors_string(entry, "curve")), view(raw, len), &peer),
                                 AZIHSM_OK);
                assert_int_equal(EVP_PKEY_eq(pkey, peer), 1);
                EVP_PKEY_free(peer);
                free(raw);
            }
            EVP_PKEY_free(pkey);
            free(der);
        }
    json_decref(file);
}

/* Our forms against libcrypto's encoder. */
static void libcrypto_agrees(void **state)
{
    uint8_t out[AZIHSM_PUB_KEY_MAX], point[SPKI_POINT_MAX];
    size_t len;

    (void)state;
    for (uint32_t curve = AZIHSM_CURVE_P256; curve <= AZIHSM_CURVE_P521; curve++) {
        EVP_PKEY *pkey = EVP_PKEY_Q_keygen(libctx, NULL, "EC", spki_curve_name(curve)), *again;
        unsigned char *der = NULL, *octets = NULL;
        int der_len = i2d_PUBKEY(pkey, &der);

        assert_int_equal(spki_curve(pkey), curve);
        assert_int_equal(spki_encode(pkey, out, sizeof(out), &len), AZIHSM_OK);
        assert_int_equal(len, der_len);
        assert_memory_equal(out, der, len);
        assert_int_equal(spki_decode(libctx, view(der, len), &again), AZIHSM_OK);
        assert_int_equal(EVP_PKEY_eq(pkey, again), 1);
        assert_int_equal(spki_point(pkey, point, &len), AZIHSM_OK);
        assert_int_equal(EVP_PKEY_get1_encoded_public_key(pkey, &octets), len);
        assert_memory_equal(point, octets, len);
        OPENSSL_free(octets);
        OPENSSL_free(der);
        EVP_PKEY_free(again);
        EVP_PKEY_free(pkey);
    }
}

/* A compressed point is a key of ours in another dress: taken, and written uncompressed. */
static void compressed_points(void **state)
{
    EVP_PKEY *pkey = EVP_PKEY_Q_keygen(libctx, NULL, "EC", "P-256"), *decoded;
    uint8_t expected[AZIHSM_PUB_KEY_MAX], out[AZIHSM_PUB_KEY_MAX];
    size_t expected_len, len;
    unsigned char *der = NULL;
    int der_len;

    (void)state;
    assert_int_equal(spki_encode(pkey, expected, sizeof(expected), &expected_len), AZIHSM_OK);
    assert_int_equal(EVP_PKEY_set_utf8_string_param(pkey, OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT, "compressed"), 1);
    der_len = i2d_PUBKEY(pkey, &der);
    assert_int_equal(der_len, 59);
    assert_int_equal(spki_decode(libctx, view(der, (size_t)der_len), &decoded), AZIHSM_OK);
    assert_int_equal(spki_encode(decoded, out, sizeof(out), &len), AZIHSM_OK);
    assert_int_equal(len, expected_len);
    assert_memory_equal(out, expected, len);
    OPENSSL_free(der);
    EVP_PKEY_free(decoded);
    EVP_PKEY_free(pkey);
}

static void strangers_are_told_from_garbage(void **state)
{
    EVP_PKEY *strangers[] = {EVP_PKEY_Q_keygen(libctx, NULL, "EC", "secp256k1"),
                             EVP_PKEY_Q_keygen(libctx, NULL, "ED25519"),
                             EVP_PKEY_Q_keygen(libctx, NULL, "RSA", (size_t)1024)};
    uint8_t out[AZIHSM_PUB_KEY_MAX], garbage[100];
    EVP_PKEY *decoded;
    size_t len;

    (void)state;
    for (size_t i = 0; i < COUNT(strangers); i++) {
        unsigned char *der = NULL;
        int der_len = i2d_PUBKEY(strangers[i], &der);

        assert_int_equal(spki_decode(libctx, view(der, (size_t)der_len), &decoded),
                         AZIHSM_STATUS_DER_AND_KEY_TYPE_MISMATCH);
        assert_null(decoded);
        assert_int_equal(spki_decode(libctx, view(der, (size_t)der_len - 1), &decoded),
                         AZIHSM_STATUS_KEY_DECODE_FAILED);
        assert_int_equal(spki_public_kind(strangers[i]), 0);
        assert_int_equal(spki_encode(strangers[i], out, sizeof(out), &len), AZIHSM_E_ARGUMENT);
        OPENSSL_free(der);
        EVP_PKEY_free(strangers[i]);
    }
    memset(garbage, 0x30, sizeof(garbage));
    assert_int_equal(spki_decode(libctx, view(garbage, sizeof(garbage)), &decoded), AZIHSM_STATUS_KEY_DECODE_FAILED);
    assert_int_equal(spki_decode(libctx, view(NULL, 0), &decoded), AZIHSM_STATUS_KEY_DECODE_FAILED);
    assert_int_equal(spki_curve(NULL), 0);
    assert_int_equal(spki_public_kind(NULL), 0);
    assert_null(spki_curve_name(0));
    assert_null(spki_curve_name(4));
    assert_int_equal(ERR_peek_error(), 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors_agree),
        cmocka_unit_test(libcrypto_agrees),
        cmocka_unit_test(compressed_points),
        cmocka_unit_test(strangers_are_told_from_garbage),
    };

    return cmocka_run_group_tests(tests, setup_libctx, teardown_libctx);
}
