/*
 * Masked keys: blobs of the vectors open and tampered ones do not; sealing gives blobs that open; exact length and
 * zero padding are insisted on.
 */
#include "crypto_support.h"

#include "crypto/kdf.h"
#include "crypto/masking.h"

static void masking_key_of(const json_t *entry, uint8_t key[AZIHSM_MASKING_KEY_SIZE])
{
    assert_int_equal(vectors_hex(entry, "masking_key_aes", key, 32), 32);
    assert_int_equal(vectors_hex(entry, "masking_key_hmac", key + 32, 48), 48);
}

static void vectors_open_and_tampered_ones_do_not(void **state)
{
    json_t *file = vectors_load("ddi/masked_key.json");
    uint8_t key[AZIHSM_MASKING_KEY_SIZE], got[AZIHSM_MASKED_KEY_MAX], *blob, *plain;
    size_t i, blob_len, plain_len;
    const json_t *entry;

    (void)state;
    if (file == NULL)
        skip();
    assert_true(json_array_size(vectors_get(file, "cases")) >= 15);
    json_array_foreach(vectors_get(file, "cases"), i, entry)
    {
        masking_key_of(entry, key);
        blob = vectors_hex_dup(entry, "blob", &blob_len);
        plain = vectors_hex_dup(entry, "plaintext", &plain_len);
        assert_int_equal(masking_open(libctx, key, view(blob, blob_len), plain_len, got), AZIHSM_OK);
        assert_memory_equal(got, plain, plain_len);
        assert_int_equal(masking_open(libctx, key, view(blob, blob_len), plain_len + 16, got),
                         AZIHSM_STATUS_MASKED_KEY_DECODE_FAILED);
        key[79] ^= 1;
        assert_int_equal(masking_open(libctx, key, view(blob, blob_len), plain_len, got),
                         AZIHSM_STATUS_MASKED_KEY_DECODE_FAILED);
        free(blob);
        free(plain);
    }
    json_array_foreach(vectors_get(file, "tampered"), i, entry)
    {
        const json_t *base = vectors_named(vectors_get(file, "cases"), vectors_string(entry, "based_on"));

        masking_key_of(base, key);
        blob = vectors_hex_dup(entry, "blob", &blob_len);
        plain = vectors_hex_dup(base, "plaintext", &plain_len);
        assert_int_equal(masking_open(libctx, key, view(blob, blob_len), plain_len, got),
                         vectors_number(entry, "expected_status"));
        free(blob);
        free(plain);
    }
    json_decref(file);
}

static struct azihsm_masked_metadata metadata_for(size_t len)
{
    struct azihsm_masked_metadata metadata = {.has_svn = true,
                                              .svn = 1,
                                              .key_type = AZIHSM_KEY_AES256,
                                              .key_label = {(const uint8_t *)"label", 5},
                                              .key_length = (uint16_t)len};

    return metadata;
}

static void what_is_sealed_opens(void **state)
{
    static const size_t lens[] = {1, 15, 16, 17, 32, 48, 80, 138, 539, 1051};
    uint8_t key[AZIHSM_MASKING_KEY_SIZE], plain[1051], out[AZIHSM_MASKED_KEY_MAX], again[AZIHSM_MASKED_KEY_MAX];
    uint8_t got[1051];
    size_t len, again_len;

    (void)state;
    for (size_t i = 0; i < sizeof(plain); i++)
        plain[i] = (uint8_t)(i * 7 + 1);
    memset(key, 0x42, sizeof(key));
    for (size_t i = 0; i < COUNT(lens); i++) {
        struct azihsm_masked_metadata metadata = metadata_for(lens[i]);

        assert_int_equal(masking_seal(libctx, key, &metadata, view(plain, lens[i]), out, sizeof(out), &len), AZIHSM_OK);
        assert_int_equal(masking_seal(libctx, key, &metadata, view(plain, lens[i]), again, len, &again_len), AZIHSM_OK);
        assert_int_equal(len, again_len);
        assert_true(memcmp(out, again, len) != 0); /* another IV */
        assert_int_equal(masking_seal(libctx, key, &metadata, view(plain, lens[i]), again, len - 1, &again_len),
                         AZIHSM_E_ENCODE);
        assert_int_equal(masking_open(libctx, key, view(out, len), lens[i], got), AZIHSM_OK);
        assert_memory_equal(got, plain, lens[i]);
        if (lens[i] % 16 != 1)
            assert_int_equal(masking_open(libctx, key, view(out, len), lens[i] - 1, got),
                             AZIHSM_STATUS_MASKED_KEY_DECODE_FAILED); /* its padding is not zero then */
    }
}

static void every_changed_byte_is_noticed(void **state)
{
    struct azihsm_masked_metadata metadata = metadata_for(32);
    uint8_t key[AZIHSM_MASKING_KEY_SIZE], plain[32] = {1, 2, 3}, blob[AZIHSM_MASKED_KEY_MAX], got[32];
    size_t len;

    (void)state;
    memset(key, 0x42, sizeof(key));
    assert_int_equal(masking_seal(libctx, key, &metadata, view(plain, 32), blob, sizeof(blob), &len), AZIHSM_OK);
    for (size_t i = 0; i < len; i++) {
        blob[i] ^= 0x04;
        assert_int_equal(masking_open(libctx, key, view(blob, len), 32, got), AZIHSM_STATUS_MASKED_KEY_DECODE_FAILED);
        blob[i] ^= 0x04;
    }
    for (size_t cut = 0; cut < len; cut++)
        assert_int_equal(masking_open(libctx, key, view(blob, cut), 32, got), AZIHSM_STATUS_MASKED_KEY_DECODE_FAILED);
    blob[len] = 0;
    assert_int_equal(masking_open(libctx, key, view(blob, len + 1), 32, got), AZIHSM_STATUS_MASKED_KEY_DECODE_FAILED);
    assert_int_equal(masking_open(libctx, key, view(blob, len), 32, got), AZIHSM_OK);
}

static void nothing_is_not_sealed(void **state)
{
    struct azihsm_masked_metadata metadata = metadata_for(0);
    uint8_t key[AZIHSM_MASKING_KEY_SIZE] = {0}, out[AZIHSM_MASKED_KEY_MAX];
    size_t len;

    (void)state;
    assert_int_equal(masking_seal(libctx, key, &metadata, view(NULL, 0), out, sizeof(out), &len), AZIHSM_E_ARGUMENT);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors_open_and_tampered_ones_do_not),
        cmocka_unit_test(what_is_sealed_opens),
        cmocka_unit_test(every_changed_byte_is_noticed),
        cmocka_unit_test(nothing_is_not_sealed),
    };

    return cmocka_run_group_tests(tests, setup_libctx, teardown_libctx);
}
