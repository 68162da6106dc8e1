/*
 * RSA in the engine: the raw operation against the vectors and against libcrypto's own padding, the ranges of both
 * profiles, CRT and other keys alike, threads on one key.
 */
#include "engine_support.h"

#include <openssl/rsa.h>
#include <pthread.h>

static void vectors_agree(void **state)
{
    static const uint32_t classes[] = {AZIHSM_CLASS_RSA, AZIHSM_CLASS_RSA_CRT};
    json_t *file = vectors_load("ddi/wire_forms.json");
    const json_t *entry;
    size_t i;

    (void)state;
    if (file == NULL)
        skip();
    assert_int_equal(json_array_size(vectors_get(file, "rsa_mod_exp")), 6);
    json_array_foreach(vectors_get(file, "rsa_mod_exp"), i, entry)
    {
        struct engine *const engines[] = {virtual_engine, physical_engine};
        static const char *const in_fields[] = {"y", "y_physical"}, *const out_fields[] = {"x", "x_physical"};

        for (size_t e = 0; e < 2; e++)
            for (size_t c = 0; c < 2; c++) {
                uint8_t x[ENGINE_RSA_MAX], *y, *expected;
                size_t y_len, x_len, expected_len;
                struct engine_key *key =
                    import_pkey(engines[e], classes[c], private_from_pkcs8(entry, "private_pkcs8_der"));

                y = vectors_hex_dup(entry, in_fields[e], &y_len);
                expected = vectors_hex_dup(entry, out_fields[e], &expected_len);
                /* twice: with a new context, then with the pooled one */
                for (unsigned round = 0; round < 2; round++) {
                    assert_int_equal(engine_rsa_raw(engines[e], key, view(y, y_len), x, &x_len), AZIHSM_OK);
                    assert_int_equal(x_len, expected_len);
                    assert_memory_equal(x, expected, x_len);
                }
                engine_key_free(key);
                free(y);
                free(expected);
            }
    }
    json_decref(file);
}

static void refused_inputs_of_the_vectors(void **state)
{
    json_t *file = vectors_load("ddi/wire_forms.json");
    const json_t *refused, *entry, *source;
    struct engine_key *key;
    uint8_t x[ENGINE_RSA_MAX];
    size_t i, len, x_len;

    (void)state;
    if (file == NULL)
        skip();
    refused = vectors_get(file, "rsa_mod_exp_refused");
    source = vectors_named(vectors_get(file, "rsa_mod_exp"), vectors_string(refused, "key"));
    key = import_pkey(physical_engine, AZIHSM_CLASS_RSA, private_from_pkcs8(source, "private_pkcs8_der"));
    json_array_foreach(vectors_get(refused, "cases"), i, entry)
    {
        uint8_t *y = vectors_hex_dup(entry, "y_physical", &len);

        assert_int_equal(engine_rsa_raw(physical_engine, key, view(y, len), x, &x_len),
                         vectors_number(entry, "expected_physical_status"));
        free(y);
    }
    engine_key_free(key);
    json_decref(file);
}

static struct engine_key *test_key(struct engine *engine, EVP_PKEY **pkey)
{
    static EVP_PKEY *generated; /* one for all: generation is slow */

    if (generated == NULL)
        generated = EVP_PKEY_Q_keygen(libctx, NULL, "RSA", (size_t)2048);
    assert_int_equal(EVP_PKEY_up_ref(generated), 1);
    if (pkey != NULL)
        *pkey = generated;
    return import_pkey(engine, AZIHSM_CLASS_RSA, generated);
}

/* n, n - 1, n - 2 and small numbers, as little-endian modulus-length strings */
static void ranges_of_both_profiles(void **state)
{
    struct engine_key *physical = test_key(physical_engine, NULL), *virtual = test_key(virtual_engine, NULL);
    struct azihsm_bytes public_le = engine_key_public(physical);
    uint8_t y[257] = {0}, be[257] = {0}, x[ENGINE_RSA_MAX];
    size_t len;

    (void)state;
    static const struct {
        int delta; /* added to n when negative or zero, else the number itself minus one */
        azihsm_rc physical, virtual;
    } cases[] = {
        {0, AZIHSM_STATUS_INVALID_ARG, AZIHSM_STATUS_RSA_DECRYPT_FAILED}, /* n */
        {-1, AZIHSM_STATUS_INVALID_ARG, AZIHSM_OK},
        {-2, AZIHSM_OK, AZIHSM_OK},
        {1, AZIHSM_STATUS_INVALID_ARG, AZIHSM_OK}, /* 0 */
        {2, AZIHSM_STATUS_INVALID_ARG, AZIHSM_OK}, /* 1 */
        {3, AZIHSM_OK, AZIHSM_OK},                 /* 2 */
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        memset(y, 0, sizeof(y));
        if (cases[i].delta > 0) {
            y[0] = (uint8_t)(cases[i].delta - 1);
        } else {
            memcpy(y, public_le.data, 256);
            y[0] = (uint8_t)(y[0] + cases[i].delta); /* n is odd: at most -2 needs no borrow unless its byte is 1 */
            if (public_le.data[0] == 1 && cases[i].delta == -2)
                continue;
        }
        azihsm_form_reverse(be, y, 256);
        assert_int_equal(engine_rsa_raw(physical_engine, physical, view(y, 256), x, &len), cases[i].physical);
        assert_int_equal(engine_rsa_raw(virtual_engine, virtual, view(be, 256), x, &len), cases[i].virtual);
    }
    memset(y, 0xff, sizeof(y));
    assert_int_equal(engine_rsa_raw(physical_engine, physical, view(y, 256), x, &len), AZIHSM_STATUS_INVALID_ARG);
    assert_int_equal(engine_rsa_raw(virtual_engine, virtual, view(y, 256), x, &len), AZIHSM_STATUS_RSA_DECRYPT_FAILED);
    memset(y, 1, sizeof(y));
    for (size_t n = 0; n <= 257; n++) {
        if (n == 256)
            continue;
        assert_int_equal(engine_rsa_raw(physical_engine, physical, view(y, n), x, &len), AZIHSM_STATUS_INVALID_ARG);
        assert_int_equal(engine_rsa_raw(virtual_engine, virtual, view(y, n), x, &len),
                         AZIHSM_STATUS_RSA_DECRYPT_FAILED);
    }
    engine_key_free(physical);
    engine_key_free(virtual);
}

/* What libcrypto encrypts, the raw operation turns back into an encoded message. */
static void raw_operation_inverts_the_public_one(void **state)
{
    EVP_PKEY *pkey;
    struct engine_key *key = test_key(virtual_engine, &pkey), *aes;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(libctx, pkey, NULL);
    uint8_t y[256], x[ENGINE_RSA_MAX], message[32];
    size_t y_len = sizeof(y), x_len;

    (void)state;
    memset(message, 0x2f, sizeof(message));
    assert_int_equal(EVP_PKEY_encrypt_init(ctx), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING), 1);
    assert_int_equal(EVP_PKEY_encrypt(ctx, y, &y_len, message, sizeof(message)), 1);
    assert_int_equal(engine_rsa_raw(virtual_engine, key, view(y, y_len), x, &x_len), AZIHSM_OK);
    assert_int_equal(x_len, 256);
    assert_int_equal(x[0], 0);
    assert_int_equal(x[1], 2);
    assert_memory_equal(x + 256 - sizeof(message), message, sizeof(message));
    assert_int_equal(engine_generate_raw(virtual_engine, AZIHSM_KEY_AES128, &aes), AZIHSM_OK);
    assert_int_equal(engine_rsa_raw(virtual_engine, aes, view(y, y_len), x, &x_len), AZIHSM_STATUS_INVALID_KEY_TYPE);
    engine_key_free(aes);
    engine_key_free(key);
    EVP_PKEY_CTX_free(ctx);
}

static void generated_keys_work(void **state)
{
    struct engine_key *key;
    uint8_t y[ENGINE_RSA_MAX], x[ENGINE_RSA_MAX];
    size_t len;

    (void)state;
    assert_int_equal(engine_generate_rsa(virtual_engine, 2048, &key), AZIHSM_OK);
    assert_int_equal(engine_key_kind(key), AZIHSM_KEY_RSA2K_PRIVATE);
    assert_int_equal(EVP_PKEY_get_bits(engine_key_pkey(key)), 2048);
    memset(y, 1, sizeof(y));
    assert_int_equal(engine_rsa_raw(virtual_engine, key, view(y, 256), x, &len), AZIHSM_OK);
    engine_key_free(key);
    for (unsigned bits = 0; bits < 5000; bits += 1024)
        if (bits != 2048 && bits != 3072 && bits != 4096)
            assert_int_equal(engine_generate_rsa(virtual_engine, bits, &key), AZIHSM_STATUS_INVALID_ARG);
}

static struct engine_key *shared_key;
static uint8_t shared_y[256], shared_x[256];

static void *work(void *arg)
{
    uint8_t x[ENGINE_RSA_MAX];
    size_t *failures = arg, len;

    for (unsigned i = 0; i < 8; i++)
        if (engine_rsa_raw(virtual_engine, shared_key, view(shared_y, 256), x, &len) != AZIHSM_OK ||
            memcmp(x, shared_x, 256) != 0)
            ++*failures;
    return NULL;
}

static void threads_share_a_key(void **state)
{
    uint8_t x[ENGINE_RSA_MAX];
    size_t failures[12] = {0}, len;
    pthread_t threads[12];

    (void)state;
    shared_key = test_key(virtual_engine, NULL);
    memset(shared_y, 0x11, sizeof(shared_y));
    assert_int_equal(engine_rsa_raw(virtual_engine, shared_key, view(shared_y, 256), x, &len), AZIHSM_OK);
    memcpy(shared_x, x, 256);
    for (size_t i = 0; i < COUNT(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, work, &failures[i]), 0);
    for (size_t i = 0; i < COUNT(threads); i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(failures[i], 0);
    }
    engine_key_free(shared_key);
}

static int teardown(void **state)
{
    EVP_PKEY *pkey;

    engine_key_free(test_key(virtual_engine, &pkey));
    EVP_PKEY_free(pkey); /* the reference the static holds */
    return teardown_engines(state);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors_agree),           cmocka_unit_test(refused_inputs_of_the_vectors),
        cmocka_unit_test(ranges_of_both_profiles), cmocka_unit_test(raw_operation_inverts_the_public_one),
        cmocka_unit_test(generated_keys_work),     cmocka_unit_test(threads_share_a_key),
    };

    return cmocka_run_group_tests(tests, setup_engines, teardown);
}
