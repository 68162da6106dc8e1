/*
 * RSA-AES key wrap: blobs of the vectors, round trips with every hash and length, each failure by its own status.
 */
#include "crypto_support.h"

#include "crypto/wrap.h"

#include <openssl/rsa.h>

static EVP_PKEY *rsa;

static int setup(void **state)
{
    if (setup_libctx(state) != 0)
        return -1;
    rsa = EVP_PKEY_Q_keygen(libctx, NULL, "RSA", (size_t)2048);
    return rsa == NULL;
}

static int teardown(void **state)
{
    EVP_PKEY_free(rsa);
    return teardown_libctx(state);
}

static void vectors_open(void **state)
{
    json_t *file = vectors_load("ddi/rsa_unwrap.json");
    struct secret *target;
    const json_t *entry;
    EVP_PKEY *key;
    size_t i, len;

    (void)state;
    if (file == NULL)
        skip();
    key = private_from_pkcs8(vectors_get(file, "unwrapping_key"), "private_pkcs8_der");
    json_array_foreach(vectors_get(file, "cases"), i, entry)
    {
        uint8_t *blob = vectors_hex_dup(entry, "blob", &len), *expected;

        assert_int_equal(
            wrap_open(libctx, key, (uint32_t)vectors_number(entry, "hash_algorithm"), view(blob, len), &target),
            AZIHSM_OK);
        expected = vectors_hex_dup(entry, "target", &len);
        assert_int_equal(target->len, len);
        assert_memory_equal(target->data, expected, len);
        secret_free(target);
        free(expected);
        free(blob);
    }
    json_array_foreach(vectors_get(file, "refused"), i, entry)
    {
        uint8_t *blob = vectors_hex_dup(entry, "blob", &len);

        assert_int_equal(
            wrap_open(libctx, key, (uint32_t)vectors_number(entry, "hash_algorithm"), view(blob, len), &target),
            vectors_number(entry, "expected_status"));
        free(blob);
    }
    assert_int_equal(ERR_peek_error(), 0);
    EVP_PKEY_free(key);
    json_decref(file);
}

static void what_is_wrapped_unwraps(void **state)
{
    static const size_t lens[] = {1, 7, 8, 9, 16, 24, 32, 138, 1217, 2400};
    uint8_t target[2400], blob[AZIHSM_WRAPPED_BLOB_MAX];
    struct secret *got;
    size_t len;

    (void)state;
    for (size_t i = 0; i < sizeof(target); i++)
        target[i] = (uint8_t)(i * 3);
    for (uint32_t hash = AZIHSM_HASH_SHA1; hash <= AZIHSM_HASH_SHA512; hash++)
        for (size_t i = 0; i < COUNT(lens); i++) {
            assert_int_equal(wrap_seal(libctx, rsa, hash, view(target, lens[i]), blob, sizeof(blob), &len), AZIHSM_OK);
            assert_int_equal(len, 256 + (lens[i] + 7) / 8 * 8 + 8);
            assert_int_equal(wrap_open(libctx, rsa, hash, view(blob, len), &got), AZIHSM_OK);
            assert_int_equal(got->len, lens[i]);
            assert_memory_equal(got->data, target, lens[i]);
            secret_free(got);
            assert_int_equal(wrap_open(libctx, rsa, hash % 4 + 1, view(blob, len), &got),
                             AZIHSM_STATUS_RSA_UNWRAP_OAEP_DECODE_FAILED);
        }
    assert_int_equal(wrap_seal(libctx, rsa, 0, view(target, 16), blob, sizeof(blob), &len), AZIHSM_E_ARGUMENT);
    assert_int_equal(wrap_seal(libctx, rsa, 2, view(target, 0), blob, sizeof(blob), &len), AZIHSM_E_ARGUMENT);
    assert_int_equal(wrap_seal(libctx, rsa, 2, view(target, 16), blob, 256 + 31, &len), AZIHSM_E_ENCODE);
}

/* The RSA part made by hand, around a key-encryption key of any length. */
static void seal_kek(size_t kek_len, uint8_t *out)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(libctx, rsa, NULL);
    uint8_t kek[64] = {0x44};
    size_t len = 256;

    assert_int_equal(EVP_PKEY_encrypt_init(ctx), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_OAEP_PADDING), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_oaep_md_name(ctx, "SHA256", NULL), 1);
    assert_int_equal(EVP_PKEY_encrypt(ctx, out, &len, kek, kek_len), 1);
    EVP_PKEY_CTX_free(ctx);
}

static void failures_are_told_apart(void **state)
{
    uint8_t blob[256 + 48] = {0}, target[20] = {9};
    struct secret *got;
    size_t len;

    (void)state;
    assert_int_equal(wrap_open(libctx, rsa, 9, view(blob, 300), &got), AZIHSM_STATUS_INVALID_ARG);
    assert_int_equal(wrap_open(libctx, rsa, 2, view(blob, 255), &got), AZIHSM_STATUS_RSA_UNWRAP_INVALID_REQUEST);
    assert_int_equal(wrap_open(libctx, rsa, 2, view(blob, 300), &got), AZIHSM_STATUS_RSA_UNWRAP_OAEP_DECODE_FAILED);
    for (size_t kek_len = 0; kek_len <= 64; kek_len++) {
        bool aes = kek_len == 16 || kek_len == 24 || kek_len == 32;

        seal_kek(kek_len, blob);
        assert_int_equal(wrap_open(libctx, rsa, 2, view(blob, 256 + 24), &got),
                         aes ? AZIHSM_STATUS_RSA_UNWRAP_AES_UNWRAP_FAILED : AZIHSM_STATUS_AES_INVALID_KEY_LENGTH);
    }
    assert_int_equal(wrap_seal(libctx, rsa, 2, view(target, 20), blob, sizeof(blob), &len), AZIHSM_OK);
    for (size_t cut = 256; cut < len; cut++)
        assert_int_equal(wrap_open(libctx, rsa, 2, view(blob, cut), &got), AZIHSM_STATUS_RSA_UNWRAP_AES_UNWRAP_FAILED);
    for (size_t i = 256; i < len; i++) {
        blob[i] ^= 0x20;
        assert_int_equal(wrap_open(libctx, rsa, 2, view(blob, len), &got), AZIHSM_STATUS_RSA_UNWRAP_AES_UNWRAP_FAILED);
        blob[i] ^= 0x20;
    }
    assert_int_equal(wrap_open(libctx, rsa, 2, view(blob, len), &got), AZIHSM_OK);
    secret_free(got);
    assert_int_equal(ERR_peek_error(), 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors_open),
        cmocka_unit_test(what_is_wrapped_unwraps),
        cmocka_unit_test(failures_are_told_apart),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
