/*
 * ECC in the engine: signatures in both profiles for every curve and hash, judged by libcrypto's own verification;
 * ECDH against a second party; the statuses of bad peers; many threads on one key.
 */
#include "engine_support.h"

#include "crypto/ecdsa.h"

#include <pthread.h>

/* Verifies r || s big-endian over a digest with libcrypto. */
static bool verifies(EVP_PKEY *pkey, const uint8_t *digest, size_t digest_len, const uint8_t *raw, size_t raw_len)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(libctx, pkey, NULL);
    uint8_t der[ECDSA_DER_MAX];
    size_t der_len;
    int result;

    ecdsa_raw_to_der(raw, raw_len / 2, der, &der_len);
    assert_int_equal(EVP_PKEY_verify_init(ctx), 1);
    result = EVP_PKEY_verify(ctx, der, der_len, digest, digest_len);
    EVP_PKEY_CTX_free(ctx);
    return result == 1;
}

/* Physical signature to r || s big-endian. */
static size_t to_big_endian(uint32_t curve, const uint8_t *wire, size_t wire_len, uint8_t *raw)
{
    size_t width = azihsm_curve_coordinate_size(curve), half = azihsm_curve_wire_coordinate_size(curve);

    assert_int_equal(wire_len, 2 * half);
    for (size_t i = width; i < half; i++)
        assert_int_equal(wire[i] | wire[half + i], 0);
    azihsm_form_reverse(raw, wire, width);
    azihsm_form_reverse(raw + width, wire + half, width);
    return 2 * width;
}

static void sign_and_verify(struct engine *engine, const struct engine_key *key, EVP_PKEY *pkey, const uint8_t *digest,
                            size_t digest_len, uint32_t hash)
{
    uint8_t signature[ENGINE_SIGNATURE_MAX], raw[ECDSA_RAW_MAX], wire[AZIHSM_ECC_DIGEST_WIRE_SIZE] = {0};
    uint32_t curve = spki_curve(pkey);
    size_t len, raw_len;

    if (engine_profile(engine) == AZIHSM_DEVICE_VIRTUAL) {
        assert_int_equal(engine_ecdsa_sign(engine, key, view(digest, digest_len), hash, signature, &len), AZIHSM_OK);
        assert_int_equal(len, 2 * azihsm_curve_coordinate_size(curve));
        assert_true(verifies(pkey, digest, digest_len, signature, len));
        return;
    }
    azihsm_form_reverse(wire, digest, digest_len);
    assert_int_equal(engine_ecdsa_sign(engine, key, view(wire, sizeof(wire)), hash, signature, &len), AZIHSM_OK);
    raw_len = to_big_endian(curve, signature, len, raw);
    assert_true(verifies(pkey, digest, digest_len, raw, raw_len));
}

static void signatures_of_vector_keys_verify(void **state)
{
    json_t *file = vectors_load("ddi/wire_forms.json");
    const json_t *entry;
    uint8_t digest[64];
    size_t i, len;

    (void)state;
    if (file == NULL)
        skip();
    assert_int_equal(json_array_size(vectors_get(file, "ecc_sign")), 12);
    json_array_foreach(vectors_get(file, "ecc_sign"), i, entry)
    {
        EVP_PKEY *pkey = ec_private(entry, "private_scalar", "public_der");
        uint32_t hash = (uint32_t)vectors_number(entry, "digest_algo");
        struct engine *const engines[] = {virtual_engine, physical_engine};

        len = vectors_hex(entry, "digest", digest, sizeof(digest));
        for (size_t e = 0; e < COUNT(engines); e++) {
            struct engine_key *key;

            assert_int_equal(EVP_PKEY_up_ref(pkey), 1);
            key = import_pkey(engines[e], AZIHSM_CLASS_ECC, pkey);
            sign_and_verify(engines[e], key, pkey, digest, len, hash);
            engine_key_free(key);
        }
        EVP_PKEY_free(pkey);
    }
    json_decref(file);
}

/* The hash's name matters only when the hash is longer than the curve; leading zero bits change nothing. */
static void every_curve_signs_every_digest(void **state)
{
    static const size_t hash_lens[] = {20, 32, 48, 64};
    static const uint8_t fills[] = {0xff, 0x5a, 0x01};
    struct engine *const engines[] = {virtual_engine, physical_engine};
    uint8_t digest[64];

    (void)state;
    for (uint32_t curve = AZIHSM_CURVE_P256; curve <= AZIHSM_CURVE_P521; curve++)
        for (size_t e = 0; e < COUNT(engines); e++) {
            struct engine_key *key;

            assert_int_equal(engine_generate_ecc(engines[e], curve, &key), AZIHSM_OK);
            for (uint32_t h = 0; h < COUNT(hash_lens); h++)
                for (size_t f = 0; f < COUNT(fills); f++) {
                    memset(digest, fills[f], sizeof(digest));
                    sign_and_verify(engines[e], key, engine_key_pkey(key), digest, hash_lens[h], h + 1);
                }
            /* a short hash under another name, a hash that begins with zeros */
            memset(digest, 0xff, sizeof(digest));
            sign_and_verify(engines[e], key, engine_key_pkey(key), digest, 20, AZIHSM_HASH_SHA512);
            memset(digest, 0, 8);
            sign_and_verify(engines[e], key, engine_key_pkey(key), digest, 32, AZIHSM_HASH_SHA256);
            engine_key_free(key);
        }
}

static void sign_wire(const struct engine_key *key, const uint8_t *wire, uint32_t hash, const uint8_t *expected,
                      size_t expected_len)
{
    uint8_t signature[ENGINE_SIGNATURE_MAX], raw[ECDSA_RAW_MAX];
    size_t len, raw_len;

    assert_int_equal(
        engine_ecdsa_sign(physical_engine, key, view(wire, AZIHSM_ECC_DIGEST_WIRE_SIZE), hash, signature, &len),
        AZIHSM_OK);
    raw_len = to_big_endian(spki_curve(engine_key_pkey(key)), signature, len, raw);
    assert_true(verifies(engine_key_pkey(key), expected, expected_len, raw, raw_len));
}

/*
 * 68 bytes that no hash has: up to the order's 521 bits the number itself is signed; beyond, as many bytes as the hash
 * has that is named.
 */
static void numbers_longer_than_hashes(void **state)
{
    uint8_t wire[AZIHSM_ECC_DIGEST_WIRE_SIZE] = {0}, expected[66], signature[ENGINE_SIGNATURE_MAX];
    BIGNUM *number;
    size_t len;

    (void)state;
    for (size_t i = 0; i < sizeof(wire); i++)
        wire[i] = (uint8_t)(0x80 | i);
    for (uint32_t curve = AZIHSM_CURVE_P256; curve <= AZIHSM_CURVE_P521; curve++) {
        struct engine_key *key;

        assert_int_equal(engine_generate_ecc(physical_engine, curve, &key), AZIHSM_OK);
        for (uint32_t hash = AZIHSM_HASH_SHA1; hash <= AZIHSM_HASH_SHA512; hash++) {
            azihsm_form_reverse(expected, wire, azihsm_hash_size(hash));
            sign_wire(key, wire, hash, expected, azihsm_hash_size(hash));
        }
        assert_int_equal(engine_ecdsa_sign(physical_engine, key, view(wire, sizeof(wire)), 0, signature, &len),
                         AZIHSM_STATUS_INVALID_ARG);
        engine_key_free(key);
    }
    for (uint8_t top = 0; top < 2; top++) { /* 520 and 521 bits */
        struct engine_key *key;

        wire[67] = wire[66] = 0;
        wire[65] = top;
        number = BN_lebin2bn(wire, sizeof(wire), NULL);
        assert_int_equal(BN_num_bits(number), 520 + top);
        /* libcrypto takes the leftmost 521 bits of the 528 it is given */
        assert_int_equal(BN_lshift(number, number, 7), 1);
        assert_int_equal(BN_bn2binpad(number, expected, sizeof(expected)), sizeof(expected));
        assert_int_equal(engine_generate_ecc(physical_engine, AZIHSM_CURVE_P521, &key), AZIHSM_OK);
        sign_wire(key, wire, AZIHSM_HASH_SHA256, expected, sizeof(expected));
        engine_key_free(key);
        BN_free(number);
    }
}

static void odd_digests(void **state)
{
    uint8_t digest[97], signature[ENGINE_SIGNATURE_MAX];
    struct engine_key *key, *aes;
    size_t len;

    (void)state;
    memset(digest, 0xa5, sizeof(digest));
    assert_int_equal(engine_generate_ecc(virtual_engine, AZIHSM_CURVE_P256, &key), AZIHSM_OK);
    for (size_t n = 1; n <= 96; n++) {
        assert_int_equal(engine_ecdsa_sign(virtual_engine, key, view(digest, n), 0, signature, &len), AZIHSM_OK);
        assert_true(verifies(engine_key_pkey(key), digest, n, signature, len));
    }
    assert_int_equal(engine_ecdsa_sign(virtual_engine, key, view(NULL, 0), 0, signature, &len), AZIHSM_OK);
    assert_int_equal(engine_ecdsa_sign(virtual_engine, key, view(digest, 97), 0, signature, &len),
                     AZIHSM_STATUS_INVALID_ARG);
    engine_key_free(key);
    assert_int_equal(engine_generate_ecc(physical_engine, AZIHSM_CURVE_P256, &key), AZIHSM_OK);
    for (size_t n = 0; n <= 96; n++)
        if (n != 68)
            assert_int_equal(
                engine_ecdsa_sign(physical_engine, key, view(digest, n), AZIHSM_HASH_SHA256, signature, &len),
                AZIHSM_STATUS_INVALID_ARG);
    assert_int_equal(engine_generate_raw(physical_engine, AZIHSM_KEY_AES256, &aes), AZIHSM_OK);
    assert_int_equal(engine_ecdsa_sign(physical_engine, aes, view(digest, 68), AZIHSM_HASH_SHA256, signature, &len),
                     AZIHSM_STATUS_INVALID_KEY_TYPE);
    engine_key_free(aes);
    engine_key_free(key);
}

static void public_keys_have_the_wire_form(void **state)
{
    json_t *file = vectors_load("ddi/wire_forms.json");
    const json_t *entry;
    size_t i;

    (void)state;
    if (file == NULL)
        skip();
    json_array_foreach(vectors_get(file, "ecc_public_keys"), i, entry)
    {
        static const char *const fields[] = {"public_der", "public_raw_le"};
        struct engine *const engines[] = {virtual_engine, physical_engine};

        for (size_t e = 0; e < COUNT(engines); e++) {
            struct engine_key *key =
                import_pkey(engines[e], AZIHSM_CLASS_ECC, ec_private(entry, "private_scalar", "public_der"));
            size_t len;
            uint8_t *expected = vectors_hex_dup(entry, fields[e], &len);

            assert_int_equal(engine_key_public(key).len, len);
            assert_memory_equal(engine_key_public(key).data, expected, len);
            assert_int_equal(engine_key_info(key)->public_kind, vectors_number(entry, "public_key_kind"));
            free(expected);
            engine_key_free(key);
        }
    }
    json_decref(file);
}

/* ---- ECDH ---- */

static void two_parties_agree(void **state)
{
    struct engine *const engines[] = {virtual_engine, physical_engine};

    (void)state;
    for (uint32_t curve = AZIHSM_CURVE_P256; curve <= AZIHSM_CURVE_P521; curve++)
        for (size_t e = 0; e < COUNT(engines); e++) {
            struct engine_key *a, *b, *left, *right;

            assert_int_equal(engine_generate_ecc(engines[e], curve, &a), AZIHSM_OK);
            assert_int_equal(engine_generate_ecc(engines[e], curve, &b), AZIHSM_OK);
            assert_int_equal(engine_ecdh(engines[e], a, engine_key_public(b), &left), AZIHSM_OK);
            assert_int_equal(engine_ecdh(engines[e], b, engine_key_public(a), &right), AZIHSM_OK);
            assert_true(engine_key_same(left, right));
            assert_int_equal(engine_key_kind(left), AZIHSM_KEY_SECRET256 + curve - 1);
            assert_int_equal(engine_key_raw(left).len, azihsm_curve_coordinate_size(curve));
            engine_key_free(a);
            engine_key_free(b);
            engine_key_free(left);
            engine_key_free(right);
        }
}

/* Z of the credential vectors, one of which begins with a zero byte. */
static void secrets_keep_leading_zeros(void **state)
{
    json_t *file = vectors_load("ddi/credential.json");
    const json_t *entry;
    bool seen_zero = false;
    uint8_t z[48];
    size_t i;

    (void)state;
    if (file == NULL)
        skip();
    json_array_foreach(vectors_get(file, "cases"), i, entry)
    {
        struct engine_key *device =
            import_pkey(physical_engine, AZIHSM_CLASS_ECC,
                        ec_private(vectors_get(entry, "device_key"), "private_scalar", "public_der"));
        struct engine_key *secret;
        size_t len;
        uint8_t *peer = vectors_hex_dup(vectors_get(entry, "client_key"), "public_raw_le", &len);

        assert_int_equal(vectors_hex(entry, "z", z, sizeof(z)), 48);
        assert_int_equal(engine_ecdh(physical_engine, device, view(peer, len), &secret), AZIHSM_OK);
        assert_memory_equal(engine_key_raw(secret).data, z, 48);
        seen_zero = seen_zero || z[0] == 0;
        engine_key_free(secret);
        engine_key_free(device);
        free(peer);
    }
    assert_true(seen_zero);
    json_decref(file);
}

static void bad_peers_physical(void **state)
{
    struct engine_key *key, *secret;
    uint8_t peer[137] = {0};

    (void)state;
    for (uint32_t curve = AZIHSM_CURVE_P256; curve <= AZIHSM_CURVE_P521; curve++) {
        size_t half = azihsm_curve_wire_coordinate_size(curve), width = azihsm_curve_coordinate_size(curve);

        assert_int_equal(engine_generate_ecc(physical_engine, curve, &key), AZIHSM_OK);
        memcpy(peer, engine_key_public(key).data, 2 * half);
        assert_int_equal(engine_ecdh(physical_engine, key, view(peer, 2 * half - 1), &secret),
                         AZIHSM_STATUS_ECC_DER_KEY_SHORTER_THAN_CURVE);
        assert_int_equal(engine_ecdh(physical_engine, key, view(peer, 2 * half + 1), &secret),
                         AZIHSM_STATUS_ECC_PUBLIC_KEY_VALIDATION_FAILED);
        peer[0] ^= 1; /* another x: almost surely not on the curve with this y */
        assert_int_equal(engine_ecdh(physical_engine, key, view(peer, 2 * half), &secret),
                         AZIHSM_STATUS_ECC_POINT_VALIDATION_FAILED);
        peer[0] ^= 1;
        memset(peer, 0xff, width); /* x above the prime */
        assert_int_equal(engine_ecdh(physical_engine, key, view(peer, 2 * half), &secret),
                         AZIHSM_STATUS_ECC_PUBLIC_KEY_VALIDATION_FAILED);
        memcpy(peer, engine_key_public(key).data, 2 * half);
        memset(peer + half, 0xff, width); /* y above the prime */
        assert_int_equal(engine_ecdh(physical_engine, key, view(peer, 2 * half), &secret),
                         AZIHSM_STATUS_ECC_PUBLIC_KEY_VALIDATION_FAILED);
        memset(peer, 0, 2 * half);
        assert_int_equal(engine_ecdh(physical_engine, key, view(peer, 2 * half), &secret),
                         AZIHSM_STATUS_ECC_POINT_VALIDATION_FAILED);
        assert_null(secret);
        if (half > width) { /* the surplus bytes of P-521 count */
            memcpy(peer, engine_key_public(key).data, 2 * half);
            peer[half - 1] = 1;
            assert_int_equal(engine_ecdh(physical_engine, key, view(peer, 2 * half), &secret),
                             AZIHSM_STATUS_ECC_PUBLIC_KEY_VALIDATION_FAILED);
        }
        engine_key_free(key);
    }
}

/* A coordinate equal to the field prime is out of range; one below it is only not on the curve. */
static void the_prime_itself_is_out_of_range(void **state)
{
    static const char *const primes[] = {
        "ffffffff00000001000000000000000000000000ffffffffffffffffffffffff",
        "fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffeffffffff0000000000000000ffffffff",
        ("01ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"
         "ffffffffffffffffffffffffffffffffff"),
    };

    (void)state;
    for (uint32_t curve = AZIHSM_CURVE_P256; curve <= AZIHSM_CURVE_P521; curve++) {
        size_t half = azihsm_curve_wire_coordinate_size(curve);
        uint8_t prime[66], peer[136] = {0};
        struct engine_key *key, *secret;

        azihsm_form_reverse(peer, prime, hex_decode(primes[curve - 1], prime, sizeof(prime)));
        assert_int_equal(engine_generate_ecc(physical_engine, curve, &key), AZIHSM_OK);
        assert_int_equal(engine_ecdh(physical_engine, key, view(peer, 2 * half), &secret),
                         AZIHSM_STATUS_ECC_PUBLIC_KEY_VALIDATION_FAILED);
        peer[0]--;
        assert_int_equal(engine_ecdh(physical_engine, key, view(peer, 2 * half), &secret),
                         AZIHSM_STATUS_ECC_POINT_VALIDATION_FAILED);
        engine_key_free(key);
    }
}

static void bad_peers_virtual(void **state)
{
    struct engine_key *key, *other, *secret;
    EVP_PKEY *rsa = EVP_PKEY_Q_keygen(libctx, NULL, "RSA", (size_t)2048), *brainpool;
    uint8_t der[AZIHSM_PUB_KEY_MAX];
    size_t len;
    unsigned char *p = NULL;

    (void)state;
    assert_int_equal(engine_generate_ecc(virtual_engine, AZIHSM_CURVE_P256, &key), AZIHSM_OK);
    assert_int_equal(engine_generate_ecc(virtual_engine, AZIHSM_CURVE_P384, &other), AZIHSM_OK);
    assert_int_equal(engine_ecdh(virtual_engine, key, engine_key_public(other), &secret),
                     AZIHSM_STATUS_DER_AND_KEY_TYPE_MISMATCH);
    assert_int_equal(spki_encode(rsa, der, sizeof(der), &len), AZIHSM_OK);
    assert_int_equal(engine_ecdh(virtual_engine, key, view(der, len), &secret),
                     AZIHSM_STATUS_DER_AND_KEY_TYPE_MISMATCH);
    brainpool = EVP_PKEY_Q_keygen(libctx, NULL, "EC", "secp256k1");
    len = (size_t)i2d_PUBKEY(brainpool, &p);
    assert_int_equal(engine_ecdh(virtual_engine, key, view(p, len), &secret), AZIHSM_STATUS_DER_AND_KEY_TYPE_MISMATCH);
    OPENSSL_free(p);
    memcpy(der, engine_key_public(key).data, len = engine_key_public(key).len);
    for (size_t cut = 0; cut < len; cut++)
        assert_int_equal(engine_ecdh(virtual_engine, key, view(der, cut), &secret), AZIHSM_STATUS_KEY_DECODE_FAILED);
    der[len] = 0;
    assert_int_equal(engine_ecdh(virtual_engine, key, view(der, len + 1), &secret), AZIHSM_STATUS_KEY_DECODE_FAILED);
    der[len - 1] ^= 1;
    assert_int_equal(engine_ecdh(virtual_engine, key, view(der, len), &secret), AZIHSM_STATUS_KEY_DECODE_FAILED);
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(brainpool);
    engine_key_free(key);
    engine_key_free(other);
}

/* ---- the identity's signature over an encryption key ---- */

static void identity_signs_encryption_keys(void **state)
{
    uint8_t signature[96], raw[96];
    struct engine_key *identity, *subject;

    (void)state;
    assert_int_equal(engine_generate_ecc(physical_engine, AZIHSM_CURVE_P384, &identity), AZIHSM_OK);
    assert_int_equal(engine_generate_ecc(physical_engine, AZIHSM_CURVE_P384, &subject), AZIHSM_OK);
    assert_int_equal(engine_sign_public(physical_engine, identity, subject, signature), AZIHSM_OK);
    azihsm_form_reverse(raw, signature, 48);
    azihsm_form_reverse(raw + 48, signature + 48, 48);
    assert_int_equal(ecdsa_verify_message(libctx, engine_key_pkey(identity), AZIHSM_HASH_SHA384,
                                          engine_key_public(subject), view(raw, 96)),
                     AZIHSM_OK);
    raw[3] ^= 1;
    assert_int_equal(ecdsa_verify_message(libctx, engine_key_pkey(identity), AZIHSM_HASH_SHA384,
                                          engine_key_public(subject), view(raw, 96)),
                     AZIHSM_STATUS_ECC_VERIFY_FAILED);
    engine_key_free(identity);
    engine_key_free(subject);
}

/* ---- threads ---- */

static struct engine_key *shared_key;

static void *sign_many(void *arg)
{
    uint8_t digest[32], signature[ENGINE_SIGNATURE_MAX];
    size_t *failures = arg, len;

    memset(digest, 0x3c, sizeof(digest));
    for (unsigned i = 0; i < 60; i++) {
        struct engine_key *key = engine_key_up_ref(shared_key);

        digest[0] = (uint8_t)i;
        if (engine_ecdsa_sign(virtual_engine, key, view(digest, 32), 0, signature, &len) != AZIHSM_OK ||
            !verifies(engine_key_pkey(key), digest, 32, signature, len))
            ++*failures;
        engine_key_free(key);
    }
    return NULL;
}

/* More threads than the pool has slots. */
static void threads_share_a_key(void **state)
{
    size_t failures[12] = {0};
    pthread_t threads[12];

    (void)state;
    assert_int_equal(engine_generate_ecc(virtual_engine, AZIHSM_CURVE_P256, &shared_key), AZIHSM_OK);
    for (size_t i = 0; i < COUNT(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, sign_many, &failures[i]), 0);
    for (size_t i = 0; i < COUNT(threads); i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(failures[i], 0);
    }
    engine_key_free(shared_key);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(signatures_of_vector_keys_verify), cmocka_unit_test(every_curve_signs_every_digest),
        cmocka_unit_test(numbers_longer_than_hashes),       cmocka_unit_test(odd_digests),
        cmocka_unit_test(public_keys_have_the_wire_form),   cmocka_unit_test(two_parties_agree),
        cmocka_unit_test(secrets_keep_leading_zeros),       cmocka_unit_test(bad_peers_physical),
        cmocka_unit_test(the_prime_itself_is_out_of_range), cmocka_unit_test(bad_peers_virtual),
        cmocka_unit_test(identity_signs_encryption_keys),   cmocka_unit_test(threads_share_a_key),
    };

    return cmocka_run_group_tests(tests, setup_engines, teardown_engines);
}
