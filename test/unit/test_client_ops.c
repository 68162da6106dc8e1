/*
 * Every operation of the client on a software device of both kinds, judged by OpenSSL's default provider.
 */
#include "judge.h"
#include "software_device.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

static struct software_device *device;
static struct azihsm_client *client;

static const struct azihsm_key_spec for_sign = {.usage = AZIHSM_USAGE_SIGN};
static const struct azihsm_key_spec for_decrypt = {.usage = AZIHSM_USAGE_DECRYPT};
static const struct azihsm_key_spec for_derive = {.usage = AZIHSM_USAGE_DERIVE};

static int setup(enum azihsm_device_kind kind)
{
    const struct software_options options = {.kind = kind, .tables = 2, .extensions = true};

    device = software_new(&options);
    client = software_client(device, 0);
    return 0;
}

static int setup_virtual(void **state)
{
    (void)state;
    return setup(AZIHSM_DEVICE_VIRTUAL);
}

static int setup_physical(void **state)
{
    (void)state;
    return setup(AZIHSM_DEVICE_PHYSICAL);
}

static int teardown(void **state)
{
    (void)state;
    azihsm_client_free(client);
    software_free(device);
    return 0;
}

/* ---- elliptic curves ---- */

static void test_ecc_sign(void **state)
{
    static const struct {
        uint32_t curve, kind;
        size_t len;
    } curves[] = {{AZIHSM_CURVE_P256, AZIHSM_KEY_ECC256_PRIVATE, 64},
                  {AZIHSM_CURVE_P384, AZIHSM_KEY_ECC384_PRIVATE, 96},
                  {AZIHSM_CURVE_P521, AZIHSM_KEY_ECC521_PRIVATE, 132}};
    static const size_t digests[] = {0, 20, 32, 48, 64};
    uint8_t digest[64], sig[132];

    (void)state;
    RAND_bytes(digest, sizeof(digest));
    for (size_t i = 0; i < 3; i++) {
        struct azihsm_key *key;

        OK(azihsm_key_generate_ecc(client, curves[i].curve, &for_sign, &key, WHY));
        assert_int_equal(azihsm_key_kind(key), curves[i].kind);
        assert_true((azihsm_key_flags(key) & AZIHSM_ATTR_LOCAL) != 0);
        assert_true((azihsm_key_flags(key) & AZIHSM_ATTR_SIGN) != 0);
        for (uint32_t hash = AZIHSM_HASH_SHA1; hash <= AZIHSM_HASH_SHA512; hash++) {
            size_t len = sizeof(sig), short_room = curves[i].len - 1;
            struct azihsm_bytes value = {digest, digests[hash]};

            OK(azihsm_key_ecc_sign(key, hash, value, sig, &len, WHY));
            assert_int_equal(len, curves[i].len);
            assert_true(judge_ecdsa(azihsm_key_spki(key), value, sig, len));
            assert_int_equal(azihsm_key_ecc_sign(key, hash, value, sig, &short_room, NULL), AZIHSM_E_ARGUMENT);
        }
        azihsm_key_free(key);
    }
}

/* What the blob says, and that the blob alone is the key. */
static void test_blob(void **state)
{
    const struct azihsm_key_spec spec = {.usage = AZIHSM_USAGE_SIGN, .label = "web server, 2026"};
    struct azihsm_key *key, *again;

    (void)state;
    OK(azihsm_key_generate_ecc(client, AZIHSM_CURVE_P256, &spec, &key, WHY));
    assert_int_equal(azihsm_key_label(key).len, strlen(spec.label));
    assert_memory_equal(azihsm_key_label(key).data, spec.label, strlen(spec.label));
    OK(azihsm_key_from_blob(client, azihsm_key_blob(key), azihsm_key_spki(key), &again, WHY));
    azihsm_key_free(key);
    assert_int_equal(azihsm_key_kind(again), AZIHSM_KEY_ECC256_PRIVATE);
    assert_memory_equal(azihsm_key_label(again).data, spec.label, strlen(spec.label));
    OK(judge_sign(again, WHY));
    azihsm_key_free(again);
}

/* The vendor's raw blobs come without a public half. */
static void test_blob_without_spki(void **state)
{
    struct azihsm_key *key, *again;

    (void)state;
    OK(azihsm_key_generate_ecc(client, AZIHSM_CURVE_P384, &for_sign, &key, WHY));
    OK(azihsm_key_from_blob(client, azihsm_key_blob(key), BYTES(NULL, 0), &again, WHY));
    assert_int_equal(azihsm_key_spki(again).len, 0);
    OK(azihsm_key_load(again, WHY));
    assert_int_equal(azihsm_key_spki(again).len, azihsm_key_spki(key).len);
    assert_memory_equal(azihsm_key_spki(again).data, azihsm_key_spki(key).data, azihsm_key_spki(key).len);
    OK(judge_sign(again, WHY));
    azihsm_key_free(key);
    azihsm_key_free(again);
}

static void test_bad_blob(void **state)
{
    uint8_t blob[AZIHSM_MASKED_KEY_MAX + 1] = {1};
    struct azihsm_key *key, *again = NULL;
    struct azihsm_bytes good;
    struct azihsm_error err;

    (void)state;
    OK(azihsm_key_generate_ecc(client, AZIHSM_CURVE_P256, &for_sign, &key, WHY));
    good = azihsm_key_blob(key);
    memcpy(blob, good.data, good.len);
    assert_int_equal(azihsm_key_from_blob(client, BYTES(blob, 0), BYTES(NULL, 0), &again, &err), AZIHSM_E_DECODE);
    assert_int_equal(azihsm_key_from_blob(client, BYTES(blob, good.len - 1), BYTES(NULL, 0), &again, NULL),
                     AZIHSM_E_DECODE);
    assert_int_equal(azihsm_key_from_blob(client, BYTES(blob, sizeof(blob)), BYTES(NULL, 0), &again, NULL),
                     AZIHSM_E_DECODE);
    blob[good.len - 1] ^= 1;
    OK(azihsm_key_from_blob(client, BYTES(blob, good.len), azihsm_key_spki(key), &again, WHY));
    assert_int_equal(judge_sign(again, &err), AZIHSM_STATUS_MASKED_KEY_DECODE_FAILED);
    assert_non_null(strstr(err.text, "EccSign"));
    assert_non_null(strstr(err.text, "test:"));
    assert_non_null(strstr(err.text, "MaskedKeyDecodeFailed"));
    azihsm_key_free(again);
    azihsm_key_free(key);
}

/* After UnmaskKey the device's public key must be the file's. */
static void test_mismatch(void **state)
{
    struct azihsm_key *one, *two, *mixed;
    struct azihsm_error err;

    (void)state;
    OK(azihsm_key_generate_ecc(client, AZIHSM_CURVE_P256, &for_sign, &one, WHY));
    OK(azihsm_key_generate_ecc(client, AZIHSM_CURVE_P256, &for_sign, &two, WHY));
    OK(azihsm_key_from_blob(client, azihsm_key_blob(one), azihsm_key_spki(two), &mixed, WHY));
    assert_int_equal(judge_sign(mixed, &err), AZIHSM_E_MISMATCH);
    assert_non_null(strstr(err.text, "public key"));
    azihsm_key_free(mixed);
    azihsm_key_free(one);
    azihsm_key_free(two);
}

/* ---- RSA ---- */

static void check_rsa(struct azihsm_key *key, enum azihsm_rsa_op op)
{
    size_t size = azihsm_key_kind_rsa_size(azihsm_key_kind(key)), len = size;
    uint8_t y[512], x[512];

    RAND_bytes(y, (int)size);
    y[0] &= 0x3f;
    OK(azihsm_key_rsa_mod_exp(key, op, BYTES(y, size), x, &len, WHY));
    assert_int_equal(len, size);
    assert_true(judge_rsa(azihsm_key_spki(key), x, y, len));
}

static void test_rsa_import(void **state)
{
    static const uint32_t classes[] = {AZIHSM_CLASS_RSA, AZIHSM_CLASS_RSA_CRT};
    uint8_t der[4096], spki[AZIHSM_PUB_KEY_MAX], out[256];

    (void)state;
    for (unsigned bits = 2048; bits <= 4096; bits += 1024) {
        EVP_PKEY *software = judge_new_rsa(bits);
        size_t len = judge_pkcs8(software, der, sizeof(der)), spki_len = judge_spki(software, spki, sizeof(spki));

        for (size_t i = 0; i < 2; i++) {
            struct azihsm_key *key;
            size_t room = sizeof(out);

            OK(azihsm_key_import(client, classes[i], BYTES(der, len), &for_sign, &key, WHY));
            assert_int_equal(azihsm_key_spki(key).len, spki_len);
            assert_memory_equal(azihsm_key_spki(key).data, spki, spki_len);
            assert_true((azihsm_key_flags(key) & AZIHSM_ATTR_LOCAL) == 0);
            check_rsa(key, AZIHSM_RSA_SIGN);
            assert_int_equal(azihsm_key_rsa_mod_exp(key, AZIHSM_RSA_SIGN, BYTES(der, 255), out, &room, NULL),
                             AZIHSM_E_ARGUMENT);
            azihsm_key_free(key);
        }
        EVP_PKEY_free(software);
    }
}

static void test_rsa_usage(void **state)
{
    EVP_PKEY *software = judge_new_rsa(2048);
    uint8_t der[4096], x[256] = {0}, y[256] = {0};
    size_t len = judge_pkcs8(software, der, sizeof(der)), room = sizeof(x);
    struct azihsm_key *key;

    (void)state;
    y[255] = 9;
    OK(azihsm_key_import(client, AZIHSM_CLASS_RSA, BYTES(der, len), &for_decrypt, &key, WHY));
    check_rsa(key, AZIHSM_RSA_DECRYPT);
    assert_int_equal(azihsm_key_rsa_mod_exp(key, AZIHSM_RSA_SIGN, BYTES(y, 256), x, &room, NULL),
                     AZIHSM_STATUS_INVALID_PERMISSIONS);
    azihsm_key_free(key);
    EVP_PKEY_free(software);
}

static void test_rsa_generate(void **state)
{
    struct azihsm_key *key;

    (void)state;
    OK(azihsm_key_generate_rsa(client, 2048, &for_sign, &key, WHY));
    check_rsa(key, AZIHSM_RSA_SIGN);
    assert_true((azihsm_key_flags(key) & AZIHSM_ATTR_LOCAL) != 0);
    azihsm_key_free(key);
    assert_int_equal(azihsm_key_generate_rsa(client, 1024, &for_sign, &key, NULL), AZIHSM_E_ARGUMENT);
}

static void test_rsa_generate_unsupported(void **state)
{
    const struct software_options options = {.extensions = false};
    struct software_device *hardware = software_new(&options);
    struct azihsm_client *plain = software_client(hardware, 0);
    struct azihsm_client_status status;
    struct azihsm_key *key;

    (void)state;
    assert_int_equal(azihsm_key_generate_rsa(plain, 2048, &for_sign, &key, NULL), AZIHSM_E_UNSUPPORTED);
    OK(azihsm_client_get_status(plain, &status, WHY));
    assert_int_equal(status.extensions, 0);
    azihsm_client_free(plain);
    software_free(hardware);
}

static void test_ecc_import(void **state)
{
    static const char *const curves[] = {"P-256", "P-384", "P-521"};
    uint8_t der[512];

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        EVP_PKEY *software = judge_new_ec(curves[i]);
        size_t len = judge_pkcs8(software, der, sizeof(der));
        struct azihsm_key *key;

        OK(azihsm_key_import(client, AZIHSM_CLASS_ECC, BYTES(der, len), &for_sign, &key, WHY));
        OK(judge_sign(key, WHY));
        azihsm_key_free(key);
        EVP_PKEY_free(software);
    }
}

static void test_unwrapping_key(void **state)
{
    uint8_t one[AZIHSM_PUB_KEY_MAX], two[AZIHSM_PUB_KEY_MAX], hint[32], hint_after[32];
    size_t one_len = 0, two_len = 0;

    (void)state;
    OK(azihsm_client_unwrapping_key(client, one, sizeof(one), &one_len, WHY));
    OK(azihsm_client_device_hint(client, hint, WHY));
    assert_int_equal(software_count(device, AZIHSM_OP_GET_UNWRAPPING_KEY), 1);
    emu_device_reset(software_emulator(device));
    software_provision(device);
    OK(azihsm_client_unwrapping_key(client, two, sizeof(two), &two_len, WHY));
    OK(azihsm_client_device_hint(client, hint_after, WHY));
    assert_int_equal(one_len, two_len);
    assert_memory_equal(one, two, one_len);
    assert_memory_equal(hint, hint_after, sizeof(hint));
}

/* ---- AES ---- */

static void test_cbc(void **state)
{
    uint8_t key_bytes[32], iv[16], iv_copy[16], in[5000], out[5000], want[5000];

    (void)state;
    RAND_bytes(key_bytes, sizeof(key_bytes));
    RAND_bytes(in, sizeof(in));
    for (size_t size = 16; size <= 32; size += 8) {
        struct azihsm_key *key;

        OK(azihsm_key_import(client, AZIHSM_CLASS_AES, BYTES(key_bytes, size), &for_decrypt, &key, WHY));
        for (size_t len = 16; len <= 4992; len += 1244 - 1244 % 16) {
            RAND_bytes(iv, sizeof(iv));
            memcpy(iv_copy, iv, sizeof(iv));
            judge_cbc(false, BYTES(key_bytes, size), iv, in, want, len);
            OK(azihsm_key_aes_cbc(key, false, iv, in, out, len, WHY));
            assert_memory_equal(out, want, len);
            assert_memory_equal(iv, want + len - 16, 16);
            OK(azihsm_key_aes_cbc(key, true, iv_copy, out, out, len, WHY));
            assert_memory_equal(out, in, len);
            assert_memory_equal(iv_copy, want + len - 16, 16);
        }
        assert_int_equal(azihsm_key_aes_cbc(key, false, iv, in, out, 17, NULL), AZIHSM_E_ARGUMENT);
        OK(azihsm_key_aes_cbc(key, false, iv, in, out, 0, WHY));
        azihsm_key_free(key);
    }
}

static void test_gcm(void **state)
{
    static const uint32_t classes[] = {AZIHSM_CLASS_AES_GCM_BULK, AZIHSM_CLASS_AES_GCM_BULK_UNAPPROVED};
    static uint8_t in[70001], out[70001], want[70001];
    static const size_t lengths[] = {1, 16, 17, 4096, 70001}, aads[] = {0, 5, 16, 20, 40, 1000};
    uint8_t key_bytes[32], iv[12], tag[16], want_tag[16], aad[1000];

    (void)state;
    RAND_bytes(key_bytes, sizeof(key_bytes));
    RAND_bytes(in, sizeof(in));
    RAND_bytes(aad, sizeof(aad));
    RAND_bytes(iv, sizeof(iv));
    for (size_t c = 0; c < 2; c++) {
        struct azihsm_key *key;
        struct azihsm_error err;

        OK(azihsm_key_import(client, classes[c], BYTES(key_bytes, 32), &for_decrypt, &key, WHY));
        for (size_t i = 0; i < 5; i++)
            for (size_t j = 0; j < 6; j++) {
                size_t len = lengths[i];

                judge_gcm_encrypt(key_bytes, iv, BYTES(aad, aads[j]), in, want, len, want_tag);
                OK(azihsm_key_aes_gcm(key, false, iv, BYTES(aad, aads[j]), in, out, len, tag, WHY));
                assert_memory_equal(out, want, len);
                assert_memory_equal(tag, want_tag, 16);
                OK(azihsm_key_aes_gcm(key, true, iv, BYTES(aad, aads[j]), out, out, len, tag, WHY));
                assert_memory_equal(out, in, len);
            }
        tag[3] ^= 1;
        assert_int_equal(azihsm_key_aes_gcm(key, true, iv, BYTES(aad, 5), want, out, 100, tag, &err),
                         AZIHSM_E_FAST_PATH);
        assert_non_null(strstr(err.text, "tag"));
        assert_int_equal(azihsm_key_aes_gcm(key, false, iv, BYTES(aad, 5), in, out, 0, tag, NULL),
                         AZIHSM_E_UNSUPPORTED);
        azihsm_key_free(key);
    }
}

static void test_xts(void **state)
{
    static uint8_t in[8192], out[8192], want[8192];
    uint8_t one[32], two[32], tweak[16] = {7};
    struct azihsm_key *data, *tweaker;

    (void)state;
    RAND_bytes(one, sizeof(one));
    RAND_bytes(two, sizeof(two));
    RAND_bytes(in, sizeof(in));
    OK(azihsm_key_import(client, AZIHSM_CLASS_AES_XTS_BULK, BYTES(one, 32), &for_decrypt, &data, WHY));
    OK(azihsm_key_import(client, AZIHSM_CLASS_AES_XTS_BULK, BYTES(two, 32), &for_decrypt, &tweaker, WHY));
    judge_xts_encrypt(one, two, tweak, in, want, sizeof(in));
    OK(azihsm_key_aes_xts(data, tweaker, false, tweak, sizeof(in), in, out, sizeof(in), WHY));
    assert_memory_equal(out, want, sizeof(out));
    for (unsigned unit = 0; unit < sizeof(in) / 512; unit++) {
        uint8_t value[16] = {(uint8_t)(7 + unit)};

        judge_xts_encrypt(one, two, value, in + 512 * unit, want + 512 * unit, 512);
    }
    OK(azihsm_key_aes_xts(data, tweaker, false, tweak, 512, in, out, sizeof(in), WHY));
    assert_memory_equal(out, want, sizeof(out));
    OK(azihsm_key_aes_xts(data, tweaker, true, tweak, 512, out, out, sizeof(in), WHY));
    assert_memory_equal(out, in, sizeof(out));
    assert_int_equal(azihsm_key_aes_xts(data, data, false, tweak, 512, in, out, 512, NULL), AZIHSM_E_FAST_PATH);
    assert_int_equal(azihsm_key_aes_xts(data, tweaker, false, tweak, 512, in, out, 700, NULL), AZIHSM_E_ARGUMENT);
    azihsm_key_free(data);
    azihsm_key_free(tweaker);
}

static void test_aes_generate(void **state)
{
    static const uint32_t kinds[] = {0,
                                     AZIHSM_KEY_AES128,
                                     AZIHSM_KEY_AES192,
                                     AZIHSM_KEY_AES256,
                                     AZIHSM_KEY_AES_XTS_BULK256,
                                     AZIHSM_KEY_AES_GCM_BULK256,
                                     AZIHSM_KEY_AES_GCM_BULK256_UNAPPROVED};
    struct azihsm_key *key;

    (void)state;
    for (uint32_t size = AZIHSM_AES_SIZE_128; size <= AZIHSM_AES_SIZE_GCM_BULK256_UNAPPROVED; size++) {
        OK(azihsm_key_generate_aes(client, size, &for_decrypt, &key, WHY));
        assert_int_equal(azihsm_key_kind(key), kinds[size]);
        assert_int_equal(azihsm_key_spki(key).len, 0);
        azihsm_key_free(key);
    }
    assert_int_equal(azihsm_key_generate_aes(client, 7, &for_decrypt, &key, NULL), AZIHSM_E_ARGUMENT);
    assert_int_equal(azihsm_key_generate_aes(client, AZIHSM_AES_SIZE_128, &for_sign, &key, NULL),
                     AZIHSM_STATUS_INVALID_PERMISSIONS);
}

/* ---- key agreement and derivation ---- */

static void check_hmac(struct azihsm_key *key, const char *hash, const uint8_t *raw, size_t raw_len)
{
    uint8_t msg[AZIHSM_HMAC_MSG_MAX + 1] = {5}, tag[64], want[64];
    size_t len = sizeof(tag), want_len;
    struct azihsm_error err;

    want_len = judge_hmac(hash, BYTES(raw, raw_len), BYTES(msg, AZIHSM_HMAC_MSG_MAX), want);
    OK(azihsm_key_hmac(key, BYTES(msg, AZIHSM_HMAC_MSG_MAX), tag, &len, WHY));
    assert_int_equal(len, want_len);
    assert_memory_equal(tag, want, len);
    assert_int_equal(azihsm_key_hmac(key, BYTES(msg, sizeof(msg)), tag, &len, &err), AZIHSM_E_UNSUPPORTED);
    assert_non_null(strstr(err.text, "1024"));
}

static void test_derive(void **state)
{
    static const char *const curves[] = {"P-256", "P-384", "P-521"};
    static const struct {
        bool kbkdf, first, second;
    } forms[] = {
        {false, true, true}, {false, false, true}, {false, false, false}, {true, true, true}, {true, false, false}};
    uint8_t spki[200], z[66], raw[64], label[20] = {1, 2}, context[33] = {3};

    (void)state;
    for (uint32_t curve = AZIHSM_CURVE_P256; curve <= AZIHSM_CURVE_P521; curve++) {
        EVP_PKEY *peer = judge_new_ec(curves[curve - 1]);
        size_t spki_len = judge_spki(peer, spki, sizeof(spki)), z_len;
        struct azihsm_key *key, *secret, *mac;

        OK(azihsm_key_generate_ecc(client, curve, &for_derive, &key, WHY));
        OK(azihsm_key_ecdh(key, BYTES(spki, spki_len), &for_derive, &secret, WHY));
        z_len = judge_ecdh(peer, azihsm_key_spki(key), z, sizeof(z));
        for (size_t i = 0; i < 5; i++) {
            struct azihsm_kdf kdf = {.kbkdf = forms[i].kbkdf,
                                     .hash = AZIHSM_HASH_SHA384,
                                     .has_first = forms[i].first,
                                     .has_second = forms[i].second,
                                     .first = {label, forms[i].first ? sizeof(label) : 0},
                                     .second = {context, forms[i].second ? sizeof(context) : 0},
                                     .target_kind = AZIHSM_KEY_HMAC_SHA256};

            if (kdf.kbkdf)
                judge_kbkdf("SHA384", BYTES(z, z_len), kdf.first, kdf.second, raw, 32);
            else
                judge_hkdf("SHA384", BYTES(z, z_len), kdf.first, kdf.second, raw, 32);
            OK(azihsm_key_derive(secret, &kdf, &for_sign, &mac, WHY));
            check_hmac(mac, "SHA256", raw, 32);
            azihsm_key_free(mac);
        }
        azihsm_key_free(secret);
        azihsm_key_free(key);
        EVP_PKEY_free(peer);
    }
}

static void test_derive_targets(void **state)
{
    struct azihsm_kdf kdf = {.hash = AZIHSM_HASH_SHA256, .target_kind = AZIHSM_KEY_AES256};
    uint8_t iv[16] = {0}, iv_copy[16] = {0}, z[66], raw[64], in[64] = {9}, out[64], want[64], spki[200], big[257] = {0};
    EVP_PKEY *peer = judge_new_ec("P-256");
    size_t spki_len = judge_spki(peer, spki, sizeof(spki)), z_len;
    struct azihsm_key *key, *secret, *made;

    (void)state;
    OK(azihsm_key_generate_ecc(client, AZIHSM_CURVE_P256, &for_derive, &key, WHY));
    OK(azihsm_key_ecdh(key, BYTES(spki, spki_len), &for_derive, &secret, WHY));
    z_len = judge_ecdh(peer, azihsm_key_spki(key), z, sizeof(z));
    OK(azihsm_key_derive(secret, &kdf, &for_decrypt, &made, WHY));
    judge_hkdf("SHA256", BYTES(z, z_len), BYTES(NULL, 0), BYTES(NULL, 0), raw, 32);
    judge_cbc(false, BYTES(raw, 32), iv_copy, in, want, sizeof(in));
    OK(azihsm_key_aes_cbc(made, false, iv, in, out, sizeof(in), WHY));
    assert_memory_equal(out, want, sizeof(out));
    azihsm_key_free(made);
    kdf.target_kind = AZIHSM_KEY_VAR_HMAC512;
    kdf.key_length = 100;
    OK(azihsm_key_derive(secret, &kdf, &for_sign, &made, WHY));
    azihsm_key_free(made);
    kdf.first = BYTES(big, sizeof(big));
    assert_int_equal(azihsm_key_derive(secret, &kdf, &for_sign, &made, NULL), AZIHSM_E_UNSUPPORTED);
    azihsm_key_free(secret);
    azihsm_key_free(key);
    EVP_PKEY_free(peer);
}

/* Made in the device and nowhere else; another key each time; it survives in its blob. */
static void test_generate_hmac(void **state)
{
    static const struct {
        uint32_t kind;
        size_t size;
    } rows[] = {{AZIHSM_KEY_HMAC_SHA256, 32}, {AZIHSM_KEY_HMAC_SHA384, 48}, {AZIHSM_KEY_HMAC_SHA512, 64}};
    uint8_t one[64], again[64], other[64];
    struct azihsm_key *key, *copy, *second;

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        size_t len = sizeof(one), len_again = sizeof(again), len_other = sizeof(other);

        OK(azihsm_key_generate_hmac(client, rows[i].kind, &for_sign, &key, WHY));
        OK(azihsm_key_generate_hmac(client, rows[i].kind, &for_sign, &second, WHY));
        assert_int_equal(azihsm_key_kind(key), rows[i].kind);
        OK(azihsm_key_from_blob(client, azihsm_key_blob(key), BYTES(NULL, 0), &copy, WHY));
        OK(azihsm_key_hmac(key, BYTES((const uint8_t *)"message", 7), one, &len, WHY));
        OK(azihsm_key_hmac(copy, BYTES((const uint8_t *)"message", 7), again, &len_again, WHY));
        OK(azihsm_key_hmac(second, BYTES((const uint8_t *)"message", 7), other, &len_other, WHY));
        assert_int_equal(len, rows[i].size);
        assert_memory_equal(one, again, len);
        assert_memory_not_equal(one, other, len);
        azihsm_key_free(second);
        azihsm_key_free(copy);
        azihsm_key_free(key);
    }
    assert_int_equal(azihsm_key_generate_hmac(client, AZIHSM_KEY_AES256, &for_sign, &key, NULL), AZIHSM_E_ARGUMENT);
}

/* ---- names, sessions, administration ---- */

static void test_tags(void **state)
{
    const struct azihsm_key_spec named = {.usage = AZIHSM_USAGE_SIGN, .tag = 0x12};
    struct azihsm_key *key, *found, *file;
    struct azihsm_error err;

    (void)state;
    assert_int_equal(azihsm_key_from_tag(client, 0x12, &found, &err), AZIHSM_STATUS_KEY_NOT_FOUND);
    assert_non_null(strstr(err.text, "0x12"));
    OK(azihsm_key_generate_ecc(client, AZIHSM_CURVE_P256, &named, &key, WHY));
    assert_int_equal(azihsm_key_generate_ecc(client, AZIHSM_CURVE_P256, &named, &found, NULL),
                     AZIHSM_STATUS_KEY_TAG_ALREADY_EXISTS);
    OK(azihsm_key_from_tag(client, 0x12, &found, WHY));
    assert_memory_equal(azihsm_key_spki(found).data, azihsm_key_spki(key).data, azihsm_key_spki(key).len);
    assert_int_equal(azihsm_key_blob(found).len, 0);
    OK(judge_sign(found, WHY));
    /* The file of a named key finds the one that is there. */
    OK(azihsm_key_from_blob(client, azihsm_key_blob(key), azihsm_key_spki(key), &file, WHY));
    azihsm_key_free(key);
    OK(judge_sign(file, WHY));
    OK(judge_sign(found, WHY));
    azihsm_key_free(found);
    OK(azihsm_key_from_tag(client, 0x12, &found, WHY));
    azihsm_key_free(found);
    OK(azihsm_key_evict(file, WHY));
    assert_int_equal(azihsm_key_from_tag(client, 0x12, &found, NULL), AZIHSM_STATUS_KEY_NOT_FOUND);
    OK(judge_sign(file, WHY));
    /* Deleted, and not only let go: for whoever holds it too, unless a file brings it back. */
    OK(azihsm_key_from_tag(client, 0x12, &found, WHY));
    OK(azihsm_key_delete(found, WHY));
    assert_int_equal(judge_sign(found, NULL), AZIHSM_STATUS_KEY_NOT_FOUND);
    assert_int_equal(azihsm_key_delete(found, &err), AZIHSM_STATUS_KEY_NOT_FOUND);
    assert_non_null(strstr(err.text, "0x12"));
    azihsm_key_free(found);
    OK(judge_sign(file, WHY));
    azihsm_key_free(file);
}

static void test_specs(void **state)
{
    char label[AZIHSM_KEY_LABEL_MAX + 2];
    const struct azihsm_key_spec wrong[] = {{.usage = 0},
                                            {.usage = AZIHSM_USAGE_SIGN | AZIHSM_USAGE_DERIVE},
                                            {.usage = AZIHSM_USAGE_SIGN, .session = true, .tag = 1},
                                            {.usage = AZIHSM_USAGE_SIGN, .label = label}};
    struct azihsm_key *key;

    (void)state;
    memset(label, 'x', sizeof(label));
    label[sizeof(label) - 1] = '\0';
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(azihsm_key_generate_ecc(client, AZIHSM_CURVE_P256, &wrong[i], &key, NULL), AZIHSM_E_ARGUMENT);
    assert_int_equal(azihsm_key_generate_ecc(client, 9, &for_sign, &key, NULL), AZIHSM_E_ARGUMENT);
    assert_int_equal(software_opens(device), 0);
}

static void test_change_pin(void **state)
{
    uint8_t pin[AZIHSM_CREDENTIAL_SIZE], zero[AZIHSM_CREDENTIAL_SIZE] = {0}, hint[32];
    struct azihsm_client *other;
    struct azihsm_key *key;

    (void)state;
    RAND_bytes(pin, sizeof(pin));
    OK(azihsm_key_generate_ecc(client, AZIHSM_CURVE_P256, &for_sign, &key, WHY));
    assert_int_equal(azihsm_client_change_pin(client, zero, NULL), AZIHSM_E_ARGUMENT);
    OK(azihsm_client_change_pin(client, pin, WHY));
    OK(judge_sign(key, WHY));
    /* The device of the test goes on handing out the old PIN. */
    other = software_client(device, 0);
    assert_int_equal(azihsm_client_device_hint(other, hint, NULL), AZIHSM_STATUS_INVALID_APP_CREDENTIALS);
    azihsm_client_free(other);
    azihsm_key_free(key);
}

static void test_admin(void **state)
{
    uint8_t der[AZIHSM_CERTIFICATE_MAX], report[AZIHSM_REPORT_MAX], data[AZIHSM_REPORT_DATA_SIZE] = {4};
    struct azihsm_client_status status;
    struct azihsm_key *key;
    unsigned count = 0;
    size_t len;

    (void)state;
    OK(azihsm_client_get_status(client, &status, WHY));
    assert_int_equal(status.rev.major, 1);
    assert_int_equal(status.tables, 2);
    assert_int_equal(status.extensions & AZIHSM_EXT_RSA_GENERATE, AZIHSM_EXT_RSA_GENERATE);
    len = sizeof(der);
    OK(azihsm_client_certificate(client, 0, der, &len, &count, WHY));
    assert_true(count >= 1 && len > 100 && der[0] == 0x30);
    len = sizeof(der);
    assert_int_equal(azihsm_client_certificate(client, count, der, &len, &count, NULL), AZIHSM_E_ARGUMENT);
    OK(azihsm_key_generate_ecc(client, AZIHSM_CURVE_P256, &for_sign, &key, WHY));
    len = sizeof(report);
    OK(azihsm_key_attest(key, data, report, &len, WHY));
    assert_int_equal(report[0], 0xd2);
    OK(azihsm_client_reset(client, WHY));
    software_provision(device);
    OK(judge_sign(key, WHY));
    azihsm_key_free(key);
}

#define BOTH(test)                                                                                                     \
    {#test " (virtual)", test, setup_virtual, teardown, NULL},                                                         \
    {                                                                                                                  \
#test " (physical)", test, setup_physical, teardown, NULL                                                      \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(test_ecc_sign),
        BOTH(test_blob),
        BOTH(test_blob_without_spki),
        BOTH(test_bad_blob),
        BOTH(test_mismatch),
        BOTH(test_rsa_import),
        BOTH(test_rsa_usage),
        BOTH(test_rsa_generate),
        BOTH(test_rsa_generate_unsupported),
        BOTH(test_ecc_import),
        BOTH(test_unwrapping_key),
        BOTH(test_cbc),
        BOTH(test_gcm),
        BOTH(test_xts),
        BOTH(test_aes_generate),
        BOTH(test_derive),
        BOTH(test_derive_targets),
        BOTH(test_generate_hmac),
        BOTH(test_tags),
        BOTH(test_specs),
        BOTH(test_change_pin),
        BOTH(test_admin),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
