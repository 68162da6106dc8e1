/*
 * Derivation in the engine: the command vectors, the rules about targets, equal inputs giving equal keys, HMAC.
 */
#include "engine_support.h"

#include "crypto/kdf.h"

static uint32_t secret_kind_of(size_t len)
{
    return len == 32 ? AZIHSM_KEY_SECRET256 : len == 48 ? AZIHSM_KEY_SECRET384 : AZIHSM_KEY_SECRET521;
}

/* Cases of the vectors whose input could be a secret of the device and whose output a key of it. */
static void command_vectors(void **state)
{
    json_t *file = vectors_load("ddi/kbkdf.json");
    const json_t *entry;
    size_t i, judged = 0;

    (void)state;
    if (file == NULL)
        skip();
    json_array_foreach(vectors_get(file, "kbkdf"), i, entry)
    {
        size_t key_len, label_len = 0, context_len = 0, len;
        uint8_t *key = vectors_hex_dup(entry, "key", &key_len), *label = NULL, *context = NULL, *expected;
        struct engine_key *secret, *derived;
        uint32_t target;

        expected = vectors_hex_dup(entry, "output", &len);
        if (vectors_has(entry, "label"))
            label = vectors_hex_dup(entry, "label", &label_len);
        if (vectors_has(entry, "context"))
            context = vectors_hex_dup(entry, "context", &context_len);
        target = len == 16 ? AZIHSM_KEY_AES128 : len == 24 ? AZIHSM_KEY_AES192 : AZIHSM_KEY_AES256;
        target = len == 48 ? AZIHSM_KEY_HMAC_SHA384 : len == 64 ? AZIHSM_KEY_HMAC_SHA512 : target;
        if ((key_len == 32 || key_len == 48 || key_len == 66) && len <= 64) {
            secret = raw_key(virtual_engine, secret_kind_of(key_len), key, key_len);
            assert_int_equal(engine_kbkdf(virtual_engine, secret, hash_by_name(vectors_string(entry, "hash")),
                                          view(label, label_len), view(context, context_len), target, 0, &derived),
                             AZIHSM_OK);
            assert_int_equal(engine_key_raw(derived).len, len);
            assert_memory_equal(engine_key_raw(derived).data, expected, len);
            engine_key_free(derived);
            engine_key_free(secret);
            judged++;
        }
        free(key);
        free(label);
        free(context);
        free(expected);
    }
    assert_true(judged >= 3);
    json_decref(file);
}

/* Every target the device can hold, from every secret, and that the bytes are those of the standard. */
static void every_target(void **state)
{
    static const uint32_t targets[] = {10, 11, 12, 13, 14, 15, 25, 26, 27};
    static const size_t secret_lens[] = {32, 48, 66};
    uint8_t bytes[66], expected[128];

    (void)state;
    memset(bytes, 0x19, sizeof(bytes));
    for (size_t s = 0; s < COUNT(secret_lens); s++) {
        struct azihsm_bytes ikm = view(bytes, secret_lens[s]), first = view("first", 5), second = view("second", 6);
        struct engine_key *secret = raw_key(virtual_engine, secret_kind_of(ikm.len), bytes, ikm.len), *a, *b;

        for (size_t t = 0; t < COUNT(targets); t++) {
            size_t len = engine_kind_find(targets[t])->min_len;

            assert_int_equal(engine_check_target(targets[t], 0), AZIHSM_OK);
            assert_int_equal(engine_hkdf(virtual_engine, secret, AZIHSM_HASH_SHA384, first, second, targets[t], 7, &a),
                             AZIHSM_OK);
            assert_int_equal(engine_hkdf(virtual_engine, secret, AZIHSM_HASH_SHA384, first, second, targets[t], 0, &b),
                             AZIHSM_OK);
            assert_true(engine_key_same(a, b));
            assert_int_equal(engine_key_kind(a), targets[t]);
            assert_int_equal(engine_key_raw(a).len, len);
            kdf_hkdf(libctx, AZIHSM_HASH_SHA384, ikm, first, second, expected, len);
            assert_memory_equal(engine_key_raw(a).data, expected, len);
            engine_key_free(a);
            engine_key_free(b);
        }
        for (uint32_t kind = AZIHSM_KEY_VAR_HMAC256; kind <= AZIHSM_KEY_VAR_HMAC512; kind++)
            for (size_t len = 0; len <= 255; len++) {
                const struct engine_kind *info = engine_kind_find(kind);
                azihsm_rc rc = len == 0                                       ? AZIHSM_STATUS_INVALID_KEY_TYPE
                               : len >= info->min_len && len <= info->max_len ? AZIHSM_OK
                                                                              : AZIHSM_STATUS_INVALID_KEY_LENGTH;

                assert_int_equal(engine_kbkdf(virtual_engine, secret, AZIHSM_HASH_SHA256, first, second, kind, len, &a),
                                 rc);
                if (rc == AZIHSM_OK)
                    assert_int_equal(engine_key_raw(a).len, len);
                engine_key_free(a);
            }
        engine_key_free(secret);
    }
}

static void refusals(void **state)
{
    static const uint32_t bad_targets[] = {0, 1, 4, 7, 16, 17, 18, 19, 24, 28, 29, 33, 0xffff};
    uint8_t bytes[32] = {1}, long_input[257] = {0};
    struct engine_key *secret = raw_key(virtual_engine, AZIHSM_KEY_SECRET256, bytes, 32), *out;
    struct engine_key *aes = raw_key(virtual_engine, AZIHSM_KEY_AES256, bytes, 32);
    struct azihsm_bytes none = view(NULL, 0), full = view(long_input, 256), over = view(long_input, 257);

    (void)state;
    for (size_t i = 0; i < COUNT(bad_targets); i++) {
        assert_int_equal(engine_check_target(bad_targets[i], 32), AZIHSM_STATUS_INVALID_KEY_TYPE);
        assert_int_equal(engine_hkdf(virtual_engine, secret, 2, none, none, bad_targets[i], 32, &out),
                         AZIHSM_STATUS_INVALID_KEY_TYPE);
    }
    assert_int_equal(engine_hkdf(virtual_engine, aes, 2, none, none, 12, 0, &out), AZIHSM_STATUS_INVALID_KEY_TYPE);
    assert_int_equal(engine_hkdf(virtual_engine, secret, 5, none, none, 12, 0, &out), AZIHSM_STATUS_INVALID_ARG);
    assert_int_equal(engine_hkdf(virtual_engine, secret, 2, over, none, 12, 0, &out),
                     AZIHSM_STATUS_HKDF_INVALID_INPUT_PARAM);
    assert_int_equal(engine_kbkdf(virtual_engine, secret, 2, none, over, 12, 0, &out),
                     AZIHSM_STATUS_KBKDF_INVALID_INPUT_PARAM);
    assert_null(out);
    assert_int_equal(engine_hkdf(virtual_engine, secret, 2, full, full, 12, 0, &out), AZIHSM_OK);
    engine_key_free(out);
    assert_int_equal(engine_kbkdf(virtual_engine, secret, 1, full, full, 12, 0, &out), AZIHSM_OK);
    engine_key_free(out);
    engine_key_free(secret);
    engine_key_free(aes);
}

/* The hash follows the kind, whatever the key's length. */
static void hmac(void **state)
{
    uint8_t bytes[128], tag[64], expected[64], message[1024];
    struct engine_key *key;
    size_t len;

    (void)state;
    memset(bytes, 0x0b, sizeof(bytes));
    memset(message, 0xcd, sizeof(message));
    for (uint32_t i = 0; i < 6; i++) {
        uint32_t kind = i < 3 ? AZIHSM_KEY_HMAC_SHA256 + i : AZIHSM_KEY_VAR_HMAC256 + i - 3;
        uint32_t hash = AZIHSM_HASH_SHA256 + i % 3;
        size_t key_len = engine_kind_find(kind)->max_len;

        key = raw_key(virtual_engine, kind, bytes, key_len);
        for (size_t n = 0; n <= sizeof(message); n += 512) {
            struct azihsm_bytes text = view(n ? message : NULL, n);

            assert_int_equal(engine_hmac(virtual_engine, key, text, tag, &len), AZIHSM_OK);
            assert_int_equal(len, azihsm_hash_size(hash));
            kdf_hmac(libctx, hash, view(bytes, key_len), &text, 1, expected);
            assert_memory_equal(tag, expected, len);
        }
        engine_key_free(key);
    }
    assert_int_equal(engine_generate_ecc(virtual_engine, AZIHSM_CURVE_P256, &key), AZIHSM_OK);
    assert_int_equal(engine_hmac(virtual_engine, key, view(message, 1), tag, &len), AZIHSM_STATUS_INVALID_KEY_TYPE);
    engine_key_free(key);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(command_vectors),
        cmocka_unit_test(every_target),
        cmocka_unit_test(refusals),
        cmocka_unit_test(hmac),
    };

    return cmocka_run_group_tests(tests, setup_engines, teardown_engines);
}
