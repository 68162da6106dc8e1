/*
 * ECDSA forms: every width with short and long numbers, against libcrypto's own encoder; malformed DER; the owner
 * endorsements of the vectors.
 */
#include "crypto_support.h"

#include "crypto/ecdsa.h"

#include <openssl/ec.h>
#include <openssl/rand.h>

static void check_pair(const uint8_t *raw, size_t width)
{
    ECDSA_SIG *sig = ECDSA_SIG_new();
    uint8_t der[ECDSA_DER_MAX], back[ECDSA_RAW_MAX];
    unsigned char *expected = NULL;
    size_t len;

    assert_int_equal(ECDSA_SIG_set0(sig, BN_bin2bn(raw, (int)width, NULL), BN_bin2bn(raw + width, (int)width, NULL)),
                     1);
    ecdsa_raw_to_der(raw, width, der, &len);
    assert_int_equal(i2d_ECDSA_SIG(sig, &expected), len);
    assert_memory_equal(der, expected, len);
    assert_int_equal(ecdsa_der_to_raw(view(der, len), width, back), AZIHSM_OK);
    assert_memory_equal(back, raw, 2 * width);
    OPENSSL_free(expected);
    ECDSA_SIG_free(sig);
}

static void forms_convert_both_ways(void **state)
{
    static const size_t widths[] = {32, 48, 66};
    uint8_t raw[ECDSA_RAW_MAX];

    (void)state;
    for (size_t w = 0; w < COUNT(widths); w++)
        for (size_t r_zeros = 0; r_zeros <= widths[w]; r_zeros += r_zeros < 3 ? 1 : widths[w] - 3)
            for (size_t s_zeros = 0; s_zeros <= widths[w]; s_zeros += s_zeros < 3 ? 1 : widths[w] - 3)
                for (unsigned top = 0x7f; top <= 0x80; top++) {
                    memset(raw, 0, sizeof(raw));
                    for (size_t i = r_zeros; i < widths[w]; i++)
                        raw[i] = i == r_zeros ? (uint8_t)top : 0x33;
                    for (size_t i = s_zeros; i < widths[w]; i++)
                        raw[widths[w] + i] = i == s_zeros ? (uint8_t)top : 0x44;
                    check_pair(raw, widths[w]);
                }
}

static void malformed_der_is_refused(void **state)
{
    static const char *const bad[] = {
        "",                       /* nothing */
        "30",                     /* no length */
        "3006020101020101ff",     /* something behind it */
        "300602010102",           /* cut */
        "3106020101020101",       /* not a SEQUENCE */
        "3006030101020101",       /* not an INTEGER */
        "3006020181020101",       /* negative */
        "3005020002020101",       /* empty INTEGER and lengths that do not fit */
        "3003020101",             /* one number */
        "3009020101020101020101", /* three numbers */
        "30800201010201010000",   /* indefinite length */
        "3082000602010102 0101",  /* long form we never need */
        "3081",                   /* long form without length */
        "3026022101ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff020101", /* too long for 32 bytes */
    };
    uint8_t der[80], raw[64];

    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        size_t len = hex_decode(bad[i], der, sizeof(der));
        uint8_t *exact = malloc(len > 0 ? len : 1);

        memcpy(exact, der, len);
        assert_int_equal(ecdsa_der_to_raw(view(exact, len), 32, raw), AZIHSM_E_DECODE);
        free(exact);
    }
}

static void messages_sign_and_verify(void **state)
{
    static const char message[] = "message";
    uint8_t raw[ECDSA_RAW_MAX];
    EVP_PKEY *rsa = EVP_PKEY_Q_keygen(libctx, NULL, "RSA", (size_t)2048);
    size_t len;

    (void)state;
    for (uint32_t curve = AZIHSM_CURVE_P256; curve <= AZIHSM_CURVE_P521; curve++) {
        EVP_PKEY *key = EVP_PKEY_Q_keygen(libctx, NULL, "EC", spki_curve_name(curve));

        for (uint32_t hash = AZIHSM_HASH_SHA1; hash <= AZIHSM_HASH_SHA512; hash++) {
            assert_int_equal(ecdsa_sign_message(libctx, key, hash, view(message, 7), raw, &len), AZIHSM_OK);
            assert_int_equal(len, 2 * azihsm_curve_coordinate_size(curve));
            assert_int_equal(ecdsa_verify_message(libctx, key, hash, view(message, 7), view(raw, len)), AZIHSM_OK);
            assert_int_equal(ecdsa_verify_message(libctx, key, hash, view(message, 6), view(raw, len)),
                             AZIHSM_STATUS_ECC_VERIFY_FAILED);
            assert_int_equal(ecdsa_verify_message(libctx, key, hash, view(message, 7), view(raw, len - 1)),
                             AZIHSM_STATUS_ECC_VERIFY_FAILED);
        }
        memset(raw, 0xff, sizeof(raw)); /* numbers no signer makes */
        assert_int_equal(ecdsa_verify_message(libctx, key, 2, view(message, 7), view(raw, len)),
                         AZIHSM_STATUS_ECC_VERIFY_FAILED);
        assert_int_equal(ecdsa_sign_message(libctx, key, 0, view(message, 7), raw, &len), AZIHSM_E_ARGUMENT);
        EVP_PKEY_free(key);
    }
    assert_int_equal(ecdsa_sign_message(libctx, rsa, 2, view(message, 7), raw, &len), AZIHSM_E_ARGUMENT);
    EVP_PKEY_free(rsa);
}

static void endorsements_of_the_vectors(void **state)
{
    json_t *file = vectors_load("ddi/pota.json");
    const json_t *entry, *pota;
    EVP_PKEY *owner;
    uint8_t raw[256], *message;
    size_t i, len, raw_len;

    (void)state;
    if (file == NULL)
        skip();
    json_array_foreach(vectors_get(file, "cases"), i, entry)
    {
        EVP_PKEY *signer = ec_private(vectors_get(entry, "signer"), "private_scalar", "public_der");

        message = vectors_hex_dup(entry, "message", &len);
        raw_len = vectors_hex(entry, "signature", raw, sizeof(raw));
        assert_int_equal(
            ecdsa_verify_message(libctx, signer, AZIHSM_HASH_SHA384, view(message, len), view(raw, raw_len)),
            AZIHSM_OK);
        free(message);
        EVP_PKEY_free(signer);
    }
    pota = vectors_named(vectors_get(file, "cases"), "pota");
    owner = ec_private(vectors_get(file, "pota_key"), "private_scalar", "public_der");
    message = vectors_hex_dup(pota, "message", &len);
    json_array_foreach(vectors_get(file, "refused_pota_signatures"), i, entry)
    {
        raw_len = vectors_hex(entry, "signature", raw, sizeof(raw));
        assert_int_equal(
            ecdsa_verify_message(libctx, owner, AZIHSM_HASH_SHA384, view(message, len), view(raw, raw_len)),
            AZIHSM_STATUS_ECC_VERIFY_FAILED);
    }
    free(message);
    EVP_PKEY_free(owner);
    json_decref(file);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(forms_convert_both_ways),
        cmocka_unit_test(malformed_der_is_refused),
        cmocka_unit_test(messages_sign_and_verify),
        cmocka_unit_test(endorsements_of_the_vectors),
    };

    return cmocka_run_group_tests(tests, setup_libctx, teardown_libctx);
}
