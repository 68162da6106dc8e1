/*
 * AES in the engine against the vectors: CBC with its chaining value, GCM in place and elsewhere and with nothing
 * delivered on a wrong tag, XTS with its 128-bit counter.
 */
#include "engine_support.h"

#include <openssl/evp.h>
#include <openssl/rand.h>

#include <pthread.h>

static void cbc_vectors(void **state)
{
    json_t *file = vectors_load("ddi/cbc.json");
    const json_t *entry, *chunk;
    size_t i, j;

    (void)state;
    if (file == NULL)
        skip();
    json_array_foreach(vectors_get(file, "cases"), i, entry)
    {
        uint8_t bytes[32], iv[16], expected_iv[16], *plain, *cipher, *out;
        size_t key_len = vectors_hex(entry, "key", bytes, sizeof(bytes)), len;
        struct engine_key *key =
            raw_key(virtual_engine, (uint32_t)(AZIHSM_KEY_AES128 + (key_len - 16) / 8), bytes, key_len);

        plain = vectors_hex_dup(entry, "plaintext", &len);
        cipher = vectors_hex_dup(entry, "ciphertext", &len);
        out = malloc(len);
        for (unsigned decrypt = 0; decrypt < 2; decrypt++)
            for (unsigned in_place = 0; in_place < 2; in_place++) {
                vectors_hex(entry, "iv", iv, sizeof(iv));
                vectors_hex(entry, decrypt ? "iv_out_decrypt" : "iv_out_encrypt", expected_iv, sizeof(expected_iv));
                memcpy(out, decrypt ? cipher : plain, len);
                assert_int_equal(engine_aes_cbc(virtual_engine, key, decrypt, iv,
                                                in_place  ? out
                                                : decrypt ? cipher
                                                          : plain,
                                                out, len),
                                 AZIHSM_OK);
                assert_memory_equal(out, decrypt ? plain : cipher, len);
                assert_memory_equal(iv, expected_iv, sizeof(iv));
            }
        /* the same message in pieces, the chaining value fed back */
        vectors_hex(entry, "iv", iv, sizeof(iv));
        json_array_foreach(vectors_get(entry, "chunks"), j, chunk)
        {
            size_t piece_len;
            uint8_t *piece = vectors_hex_dup(chunk, "plaintext", &piece_len), *sealed;

            sealed = vectors_hex_dup(chunk, "ciphertext", &piece_len);
            assert_int_equal(engine_aes_cbc(virtual_engine, key, false, iv, piece, piece, piece_len), AZIHSM_OK);
            assert_memory_equal(piece, sealed, piece_len);
            vectors_hex(chunk, "iv_out", expected_iv, sizeof(expected_iv));
            assert_memory_equal(iv, expected_iv, sizeof(iv));
            free(piece);
            free(sealed);
        }
        engine_key_free(key);
        free(plain);
        free(cipher);
        free(out);
    }
    json_decref(file);
}

static void cbc_refusals(void **state)
{
    uint8_t iv[16] = {0}, data[32] = {0};
    struct engine_key *aes, *bulk;

    (void)state;
    assert_int_equal(engine_generate_raw(virtual_engine, AZIHSM_KEY_AES256, &aes), AZIHSM_OK);
    assert_int_equal(engine_generate_raw(virtual_engine, AZIHSM_KEY_AES_GCM_BULK256, &bulk), AZIHSM_OK);
    for (size_t len = 1; len < 32; len++) {
        if (len == 16)
            continue;
        assert_int_equal(engine_aes_cbc(virtual_engine, aes, false, iv, data, data, len),
                         AZIHSM_STATUS_AES_ENCRYPT_FAILED);
        assert_int_equal(engine_aes_cbc(virtual_engine, aes, true, iv, data, data, len),
                         AZIHSM_STATUS_AES_DECRYPT_FAILED);
        assert_int_equal(engine_aes_cbc(physical_engine, aes, true, iv, data, data, len), AZIHSM_STATUS_INVALID_ARG);
    }
    assert_int_equal(engine_aes_cbc(virtual_engine, aes, false, iv, data, data, 0), AZIHSM_STATUS_INVALID_ARG);
    assert_int_equal(engine_aes_cbc(virtual_engine, bulk, false, iv, data, data, 16), AZIHSM_STATUS_INVALID_KEY_TYPE);
    engine_key_free(aes);
    engine_key_free(bulk);
}

static void gcm_vectors(void **state)
{
    json_t *file = vectors_load("ddi/gcm_xts.json");
    const json_t *entry;
    size_t i;

    (void)state;
    if (file == NULL)
        skip();
    assert_true(json_array_size(vectors_get(file, "gcm")) >= 15);
    json_array_foreach(vectors_get(file, "gcm"), i, entry)
    {
        uint8_t bytes[32], iv[12], tag[16], expected_tag[16], *plain, *cipher, *aad, *out;
        uint32_t kind = i % 2 ? AZIHSM_KEY_AES_GCM_BULK256 : AZIHSM_KEY_AES_GCM_BULK256_UNAPPROVED;
        struct engine_key *key = raw_key(virtual_engine, kind, bytes, vectors_hex(entry, "key", bytes, 32));
        size_t len, aad_len;

        vectors_hex(entry, "iv", iv, sizeof(iv));
        vectors_hex(entry, "tag", expected_tag, sizeof(expected_tag));
        plain = vectors_hex_dup(entry, "plaintext", &len);
        cipher = vectors_hex_dup(entry, "ciphertext", &len);
        aad = vectors_hex_dup(entry, "aad", &aad_len);
        out = malloc(len);
        for (unsigned round = 0; round < 2; round++) { /* a new context, then the pooled one, in place */
            memcpy(out, plain, len);
            assert_int_equal(
                engine_aes_gcm(virtual_engine, key, false, iv, view(aad, aad_len), round ? out : plain, out, len, tag),
                AZIHSM_OK);
            assert_memory_equal(out, cipher, len);
            assert_memory_equal(tag, expected_tag, sizeof(tag));
            assert_int_equal(
                engine_aes_gcm(virtual_engine, key, true, iv, view(aad, aad_len), round ? out : cipher, out, len, tag),
                AZIHSM_OK);
            assert_memory_equal(out, plain, len);
            assert_memory_equal(tag, expected_tag, sizeof(tag));
        }
        engine_key_free(key);
        free(plain);
        free(cipher);
        free(aad);
        free(out);
    }
    json_decref(file);
}

static void gcm_delivers_nothing_on_a_wrong_tag(void **state)
{
    uint8_t iv[12] = {1}, aad[20] = {2}, tag[16], plain[100], cipher[100], out[100], before[100];
    struct engine_key *key;

    (void)state;
    memset(plain, 0x61, sizeof(plain));
    memset(before, 0x0f, sizeof(before));
    assert_int_equal(engine_generate_raw(virtual_engine, AZIHSM_KEY_AES_GCM_BULK256, &key), AZIHSM_OK);
    assert_int_equal(engine_aes_gcm(virtual_engine, key, false, iv, view(aad, 20), plain, cipher, 100, tag), AZIHSM_OK);
    for (unsigned bit = 0; bit < 128; bit++) {
        tag[bit / 8] ^= (uint8_t)(1 << bit % 8);
        memcpy(out, before, sizeof(out));
        assert_int_equal(engine_aes_gcm(virtual_engine, key, true, iv, view(aad, 20), cipher, out, 100, tag),
                         AZIHSM_STATUS_AES_DECRYPT_FAILED);
        assert_memory_equal(out, before, sizeof(out));
        memcpy(out, cipher, sizeof(out)); /* in place: the ciphertext stays */
        assert_int_equal(engine_aes_gcm(virtual_engine, key, true, iv, view(aad, 20), out, out, 100, tag),
                         AZIHSM_STATUS_AES_DECRYPT_FAILED);
        assert_memory_equal(out, cipher, sizeof(out));
        tag[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    assert_int_equal(engine_aes_gcm(virtual_engine, key, true, iv, view(aad, 19), cipher, out, 100, tag),
                     AZIHSM_STATUS_AES_DECRYPT_FAILED);
    assert_int_equal(engine_aes_gcm(virtual_engine, key, true, iv, view(aad, 20), cipher, out, 100, tag), AZIHSM_OK);
    assert_memory_equal(out, plain, sizeof(plain));
    engine_key_free(key);
}

/* RFC test case: AES-256, zero key and IV, nothing to encrypt: the tag alone. */
static void gcm_of_nothing(void **state)
{
    uint8_t zero[32] = {0}, tag[16], expected[16];
    struct engine_key *key = raw_key(virtual_engine, AZIHSM_KEY_AES_GCM_BULK256, zero, 32), *aes, *xts;

    (void)state;
    hex_decode("530f8afbc74536b9a963b4f1c4cb738b", expected, sizeof(expected));
    assert_int_equal(engine_aes_gcm(virtual_engine, key, false, zero, view(NULL, 0), NULL, NULL, 0, tag), AZIHSM_OK);
    assert_memory_equal(tag, expected, sizeof(tag));
    assert_int_equal(engine_aes_gcm(virtual_engine, key, true, zero, view(NULL, 0), NULL, NULL, 0, tag), AZIHSM_OK);
    tag[0] ^= 1;
    assert_int_equal(engine_aes_gcm(virtual_engine, key, true, zero, view(NULL, 0), NULL, NULL, 0, tag),
                     AZIHSM_STATUS_AES_DECRYPT_FAILED);
    aes = raw_key(virtual_engine, AZIHSM_KEY_AES256, zero, 32);
    xts = raw_key(virtual_engine, AZIHSM_KEY_AES_XTS_BULK256, zero, 32);
    assert_int_equal(engine_aes_gcm(virtual_engine, aes, false, zero, view(NULL, 0), NULL, NULL, 0, tag),
                     AZIHSM_STATUS_INVALID_KEY_TYPE);
    assert_int_equal(engine_aes_gcm(virtual_engine, xts, false, zero, view(NULL, 0), NULL, NULL, 0, tag),
                     AZIHSM_STATUS_INVALID_KEY_TYPE);
    engine_key_free(aes);
    engine_key_free(xts);
    engine_key_free(key);
}

static void xts_vectors(void **state)
{
    json_t *file = vectors_load("ddi/gcm_xts.json");
    const json_t *entry;
    size_t i;

    (void)state;
    if (file == NULL)
        skip();
    assert_true(json_array_size(vectors_get(file, "xts")) >= 9);
    json_array_foreach(vectors_get(file, "xts"), i, entry)
    {
        uint8_t bytes[32], tweak[16], *plain, *cipher, *out;
        struct engine_key *key1, *key2;
        size_t len, unit = (size_t)vectors_number(entry, "data_unit_length");

        key1 = raw_key(virtual_engine, AZIHSM_KEY_AES_XTS_BULK256, bytes, vectors_hex(entry, "key1", bytes, 32));
        key2 = raw_key(virtual_engine, AZIHSM_KEY_AES_XTS_BULK256, bytes, vectors_hex(entry, "key2", bytes, 32));
        vectors_hex(entry, "tweak", tweak, sizeof(tweak));
        plain = vectors_hex_dup(entry, "plaintext", &len);
        cipher = vectors_hex_dup(entry, "ciphertext", &len);
        out = malloc(len);
        assert_int_equal(engine_aes_xts(virtual_engine, key1, key2, false, tweak, unit, plain, out, len), AZIHSM_OK);
        assert_memory_equal(out, cipher, len);
        assert_int_equal(engine_aes_xts(virtual_engine, key1, key2, true, tweak, unit, out, out, len), AZIHSM_OK);
        assert_memory_equal(out, plain, len);
        engine_key_free(key1);
        engine_key_free(key2);
        free(plain);
        free(cipher);
        free(out);
    }
    json_decref(file);
}

static void xts_refusals(void **state)
{
    uint8_t bytes[32] = {7}, tweak[16] = {0}, data[1024] = {0};
    struct engine_key *a = raw_key(virtual_engine, AZIHSM_KEY_AES_XTS_BULK256, bytes, 32), *b, *c, *gcm;
    static const size_t bad[][2] = {{0, 512}, {8, 512}, {17, 17}, {24, 48}, {512, 513}, {512, 1000}, {512, 0}};

    (void)state;
    b = raw_key(virtual_engine, AZIHSM_KEY_AES_XTS_BULK256, bytes, 32); /* another object, the same bytes */
    gcm = raw_key(virtual_engine, AZIHSM_KEY_AES_GCM_BULK256, bytes, 32);
    bytes[31] ^= 1;
    c = raw_key(virtual_engine, AZIHSM_KEY_AES_XTS_BULK256, bytes, 32);
    assert_int_equal(engine_aes_xts(virtual_engine, a, b, false, tweak, 512, data, data, 512),
                     AZIHSM_STATUS_AES_ENCRYPT_FAILED);
    assert_int_equal(engine_aes_xts(virtual_engine, a, b, true, tweak, 512, data, data, 512),
                     AZIHSM_STATUS_AES_DECRYPT_FAILED);
    assert_int_equal(engine_aes_xts(virtual_engine, a, gcm, false, tweak, 512, data, data, 512),
                     AZIHSM_STATUS_INVALID_KEY_TYPE);
    assert_int_equal(engine_aes_xts(virtual_engine, gcm, c, false, tweak, 512, data, data, 512),
                     AZIHSM_STATUS_INVALID_KEY_TYPE);
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_int_equal(engine_aes_xts(virtual_engine, a, c, false, tweak, bad[i][0], data, data, bad[i][1]),
                         AZIHSM_STATUS_AES_XTS_INVALID_DUL);
    for (size_t i = 0; i < sizeof(data); i++)
        assert_int_equal(data[i], 0);
    assert_int_equal(engine_aes_xts(virtual_engine, a, c, false, tweak, 512, data, data, 1024), AZIHSM_OK);
    engine_key_free(a);
    engine_key_free(b);
    engine_key_free(c);
    engine_key_free(gcm);
}

/* One data unit by libcrypto itself. */
static void software_xts(const uint8_t key[64], const uint8_t tweak[16], const uint8_t *in, uint8_t *out, int len)
{
    EVP_CIPHER *cipher = EVP_CIPHER_fetch(libctx, "AES-256-XTS", NULL);
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int n;

    assert_int_equal(EVP_EncryptInit_ex2(ctx, cipher, key, tweak, NULL), 1);
    assert_int_equal(EVP_EncryptUpdate(ctx, out, &n, in, len), 1);
    EVP_CIPHER_CTX_free(ctx);
    EVP_CIPHER_free(cipher);
}

/* Contexts are kept by pair of keys: all pairs of three keys in any order, and new keys where old ones have been. */
static void xts_pairs_and_lives(void **state)
{
    static const unsigned pairs[][2] = {{0, 1}, {0, 2}, {1, 0}, {1, 2}, {2, 0}, {2, 1}};
    uint8_t bytes[3][32], choice[4], both[64], tweak[16] = {5}, plain[64] = "sectors", expected[64], out[64];

    (void)state;
    for (unsigned life = 0; life < 300; life++) {
        struct engine_key *keys[3];

        assert_int_equal(RAND_bytes_ex(libctx, &bytes[0][0], sizeof(bytes), 0), 1);
        assert_int_equal(RAND_bytes_ex(libctx, choice, sizeof(choice), 0), 1);
        for (unsigned i = 0; i < 3; i++)
            keys[i] = raw_key(virtual_engine, AZIHSM_KEY_AES_XTS_BULK256, bytes[i], 32);
        for (unsigned i = 0; i < COUNT(choice); i++) {
            const unsigned *pair = pairs[choice[i] % COUNT(pairs)];
            bool decrypt = choice[i] >= 128;

            memcpy(both, bytes[pair[0]], 32);
            memcpy(both + 32, bytes[pair[1]], 32);
            software_xts(both, tweak, plain, expected, sizeof(plain));
            assert_int_equal(engine_aes_xts(virtual_engine, keys[pair[0]], keys[pair[1]], decrypt, tweak, sizeof(plain),
                                            decrypt ? expected : plain, out, sizeof(plain)),
                             AZIHSM_OK);
            assert_memory_equal(out, decrypt ? plain : expected, sizeof(out));
        }
        for (unsigned i = 0; i < 3; i++)
            engine_key_free(keys[i]);
    }
}

/* 3 MiB as one GCM message and as one XTS unit. */
static void large_messages(void **state)
{
    size_t len = 3u << 20;
    uint8_t *data = malloc(len), iv[16] = {9}, tag[16];
    struct engine_key *gcm, *xts1, *xts2;

    (void)state;
    memset(data, 0x5c, len);
    assert_int_equal(engine_generate_raw(virtual_engine, AZIHSM_KEY_AES_GCM_BULK256, &gcm), AZIHSM_OK);
    assert_int_equal(engine_generate_raw(virtual_engine, AZIHSM_KEY_AES_XTS_BULK256, &xts1), AZIHSM_OK);
    assert_int_equal(engine_generate_raw(virtual_engine, AZIHSM_KEY_AES_XTS_BULK256, &xts2), AZIHSM_OK);
    assert_int_equal(engine_aes_gcm(virtual_engine, gcm, false, iv, view(data, 0), data, data, len - 5, tag),
                     AZIHSM_OK);
    assert_int_equal(engine_aes_gcm(virtual_engine, gcm, true, iv, view(data, 0), data, data, len - 5, tag), AZIHSM_OK);
    assert_int_equal(engine_aes_xts(virtual_engine, xts1, xts2, false, iv, len, data, data, len), AZIHSM_OK);
    assert_int_equal(engine_aes_xts(virtual_engine, xts1, xts2, true, iv, len, data, data, len), AZIHSM_OK);
    for (size_t i = 0; i < len; i++)
        assert_int_equal(data[i], 0x5c);
    engine_key_free(gcm);
    engine_key_free(xts1);
    engine_key_free(xts2);
    free(data);
}

static struct engine_key *shared_key;

static void *crypt_many(void *arg)
{
    uint8_t iv[12] = {0}, tag[16], plain[333], data[333];
    size_t *failures = arg;

    for (unsigned i = 0; i < 500; i++) {
        memset(plain, (int)i, sizeof(plain));
        memcpy(iv, &i, sizeof(i));
        if (engine_aes_gcm(virtual_engine, shared_key, false, iv, view(iv, 12), plain, data, 333, tag) != AZIHSM_OK ||
            engine_aes_gcm(virtual_engine, shared_key, true, iv, view(iv, 12), data, data, 333, tag) != AZIHSM_OK ||
            memcmp(data, plain, 333) != 0)
            ++*failures;
    }
    return NULL;
}

static void threads_share_a_key(void **state)
{
    size_t failures[12] = {0};
    pthread_t threads[12];

    (void)state;
    assert_int_equal(engine_generate_raw(virtual_engine, AZIHSM_KEY_AES_GCM_BULK256, &shared_key), AZIHSM_OK);
    for (size_t i = 0; i < COUNT(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, crypt_many, &failures[i]), 0);
    for (size_t i = 0; i < COUNT(threads); i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(failures[i], 0);
    }
    engine_key_free(shared_key);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(cbc_vectors),    cmocka_unit_test(cbc_refusals),
        cmocka_unit_test(gcm_vectors),    cmocka_unit_test(gcm_delivers_nothing_on_a_wrong_tag),
        cmocka_unit_test(gcm_of_nothing), cmocka_unit_test(xts_vectors),
        cmocka_unit_test(xts_refusals),   cmocka_unit_test(xts_pairs_and_lives),
        cmocka_unit_test(large_messages), cmocka_unit_test(threads_share_a_key),
    };

    return cmocka_run_group_tests(tests, setup_engines, teardown_engines);
}
