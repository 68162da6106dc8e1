/*
 * Key derivation against the vectors, against a KBKDF written out over HMAC, and against RFC 5869.
 */
#include "crypto_support.h"

#include "crypto/kdf.h"

/* Optional hex field as a view into memory of its exact size. */
static struct azihsm_bytes optional(const json_t *entry, const char *field, uint8_t **hold)
{
    size_t len = 0;

    *hold = vectors_has(entry, field) ? vectors_hex_dup(entry, field, &len) : NULL;
    return view(*hold, len);
}

typedef azihsm_rc kdf_function(OSSL_LIB_CTX *, uint32_t, struct azihsm_bytes, struct azihsm_bytes, struct azihsm_bytes,
                               uint8_t *, size_t);

static void check_case(const json_t *entry, kdf_function *function, const char *const fields[3])
{
    uint8_t *hold[3], *expected, *got;
    struct azihsm_bytes in[3];
    size_t len;

    for (size_t i = 0; i < 3; i++)
        in[i] = optional(entry, fields[i], &hold[i]);
    expected = vectors_hex_dup(entry, "output", &len);
    got = malloc(len);
    assert_int_equal(len, vectors_number(entry, "length"));
    assert_int_equal(function(libctx, hash_by_name(vectors_string(entry, "hash")), in[0], in[1], in[2], got, len),
                     AZIHSM_OK);
    assert_memory_equal(got, expected, len);
    for (size_t i = 0; i < 3; i++)
        free(hold[i]);
    free(expected);
    free(got);
}

static void vectors_agree(void **state)
{
    static const char *const kbkdf_fields[] = {"key", "label", "context"}, *const hkdf_fields[] = {"ikm", "salt",
                                                                                                   "info"};
    json_t *file = vectors_load("ddi/kbkdf.json");
    const json_t *entry;
    size_t i;

    (void)state;
    if (file == NULL)
        skip();
    assert_true(json_array_size(vectors_get(file, "kbkdf")) >= 18);
    json_array_foreach(vectors_get(file, "kbkdf"), i, entry) check_case(entry, kdf_kbkdf, kbkdf_fields);
    assert_true(json_array_size(vectors_get(file, "hkdf")) >= 13);
    json_array_foreach(vectors_get(file, "hkdf"), i, entry) check_case(entry, kdf_hkdf, hkdf_fields);
    json_decref(file);
}

/* SP 800-108 in counter mode, written out. */
static void reference_kbkdf(uint32_t hash, struct azihsm_bytes key, struct azihsm_bytes label,
                            struct azihsm_bytes context, uint8_t *out, size_t len)
{
    uint32_t bits = (uint32_t)len * 8;
    uint8_t block[64], length[4] = {(uint8_t)(bits >> 24), (uint8_t)(bits >> 16), (uint8_t)(bits >> 8), (uint8_t)bits};

    for (uint32_t i = 1; len > 0; i++) {
        uint8_t counter[4] = {(uint8_t)(i >> 24), (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i}, zero = 0;
        struct azihsm_bytes parts[] = {view(counter, 4), label, view(&zero, 1), context, view(length, 4)};
        size_t take = len < azihsm_hash_size(hash) ? len : azihsm_hash_size(hash);

        assert_int_equal(kdf_hmac(libctx, hash, key, parts, COUNT(parts), block), AZIHSM_OK);
        memcpy(out, block, take);
        out += take;
        len -= take;
    }
}

static void kbkdf_is_the_standard_one_with_and_without_inputs(void **state)
{
    uint8_t key[48], label[256], context[256], got[200], expected[200];
    const size_t input_lens[] = {0, 1, 12, 255, 256}, out_lens[] = {16, 32, 48, 64, 80, 128, 200};

    (void)state;
    memset(key, 0x31, sizeof(key));
    memset(label, 0, sizeof(label));
    memset(context, 0xc7, sizeof(context));
    for (uint32_t hash = AZIHSM_HASH_SHA1; hash <= AZIHSM_HASH_SHA512; hash++)
        for (size_t l = 0; l < COUNT(input_lens); l++)
            for (size_t c = 0; c < COUNT(input_lens); c++)
                for (size_t o = 0; o < COUNT(out_lens); o++) {
                    struct azihsm_bytes k = view(key, sizeof(key)),
                                        a = view(input_lens[l] ? label : NULL, input_lens[l]);
                    struct azihsm_bytes b = view(input_lens[c] ? context : NULL, input_lens[c]);

                    assert_int_equal(kdf_kbkdf(libctx, hash, k, a, b, got, out_lens[o]), AZIHSM_OK);
                    reference_kbkdf(hash, k, a, b, expected, out_lens[o]);
                    assert_memory_equal(got, expected, out_lens[o]);
                }
}

/* RFC 5869, A.1 and A.3 (no salt, no info) */
static void hkdf_is_rfc_5869(void **state)
{
    uint8_t ikm[22], salt[13], info[10], expected[42], got[42];

    (void)state;
    memset(ikm, 0x0b, sizeof(ikm));
    hex_decode("000102030405060708090a0b0c", salt, sizeof(salt));
    hex_decode("f0f1f2f3f4f5f6f7f8f9", info, sizeof(info));
    hex_decode("3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865", expected, 42);
    assert_int_equal(kdf_hkdf(libctx, AZIHSM_HASH_SHA256, view(ikm, 22), view(salt, 13), view(info, 10), got, 42),
                     AZIHSM_OK);
    assert_memory_equal(got, expected, 42);
    hex_decode("8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8", expected, 42);
    assert_int_equal(kdf_hkdf(libctx, AZIHSM_HASH_SHA256, view(ikm, 22), view(NULL, 0), view(NULL, 0), got, 42),
                     AZIHSM_OK);
    assert_memory_equal(got, expected, 42);
}

static void unknown_hashes_are_refused(void **state)
{
    static const uint32_t unknown[] = {0, 5, 0xffffffff};
    uint8_t key[32] = {1}, out[64];

    (void)state;
    for (size_t i = 0; i < COUNT(unknown); i++) {
        struct azihsm_bytes k = view(key, sizeof(key)), none = view(NULL, 0);

        assert_null(kdf_hash_name(unknown[i]));
        assert_int_equal(kdf_kbkdf(libctx, unknown[i], k, none, none, out, 32), AZIHSM_E_ARGUMENT);
        assert_int_equal(kdf_hkdf(libctx, unknown[i], k, none, none, out, 32), AZIHSM_E_ARGUMENT);
        assert_int_equal(kdf_hmac(libctx, unknown[i], k, &none, 1, out), AZIHSM_E_ARGUMENT);
        assert_int_equal(kdf_digest(libctx, unknown[i], &none, 1, out), AZIHSM_E_ARGUMENT);
    }
    /* more than 255 blocks: nothing is delivered */
    {
        size_t len = 255 * 32 + 1;
        uint8_t *big = malloc(len);

        memset(big, 0xee, len);
        assert_int_equal(kdf_hkdf(libctx, AZIHSM_HASH_SHA256, view(key, 32), view(NULL, 0), view(NULL, 0), big, len),
                         AZIHSM_E_CRYPTO);
        for (size_t i = 0; i < len; i++)
            assert_int_equal(big[i], 0);
        free(big);
    }
}

static void digest_and_hmac_take_parts(void **state)
{
    static const char text[] = "The quick brown fox jumps over the lazy dog";
    struct azihsm_bytes parts[] = {view(text, 10), view(NULL, 0), view(text + 10, sizeof(text) - 11)};
    uint8_t expected[32], got[32];

    (void)state;
    hex_decode("d7a8fbb307d7809469ca9abcb0082e4f8d5651e46d3cdb762d02d0bf37c9e592", expected, 32);
    assert_int_equal(kdf_digest(libctx, AZIHSM_HASH_SHA256, parts, COUNT(parts), got), AZIHSM_OK);
    assert_memory_equal(got, expected, 32);
    hex_decode("f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8", expected, 32);
    assert_int_equal(kdf_hmac(libctx, AZIHSM_HASH_SHA256, view("key", 3), parts, COUNT(parts), got), AZIHSM_OK);
    assert_memory_equal(got, expected, 32);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors_agree),
        cmocka_unit_test(kbkdf_is_the_standard_one_with_and_without_inputs),
        cmocka_unit_test(hkdf_is_rfc_5869),
        cmocka_unit_test(unknown_hashes_are_refused),
        cmocka_unit_test(digest_and_hmac_take_parts),
    };

    return cmocka_run_group_tests(tests, setup_libctx, teardown_libctx);
}
