/*
 * EccGenerateKeyPair, EccSign, EcdhKeyExchange: every check in its order (device-behaviour 5.4).
 */
#include "emu_client.h"

#include "crypto/ecdsa.h"
#include "crypto/spki.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const size_t spki_sizes[] = {91, 120, 158}, signature_sizes[] = {64, 96, 132};
static const uint32_t curves[] = {AZIHSM_CURVE_P256, AZIHSM_CURVE_P384, AZIHSM_CURVE_P521};

static azihsm_rc sign(struct emu_client *client, uint16_t id, uint32_t hash, size_t len)
{
    uint8_t digest[96] = {0}, raw[ECDSA_RAW_MAX];
    size_t raw_len;
    memset(digest, 0x5A, 64);
    return emu_sign(client, id, hash, (struct azihsm_bytes){digest, len}, raw, &raw_len);
}

static void test_generate(void **state)
{
    struct emu_fixture *f = *state;
    struct emu_key key;
    static const uint32_t bad[] = {0,
                                   AZIHSM_TKP_SIGN,
                                   AZIHSM_TKP_VERIFY,
                                   AZIHSM_TKP_WRAP,
                                   AZIHSM_TKP_UNWRAP,
                                   AZIHSM_TKP_WRAP | AZIHSM_TKP_UNWRAP,
                                   EMU_ENC_DEC,
                                   EMU_SIGN_VERIFY | AZIHSM_TKP_DERIVE,
                                   EMU_SIGN_VERIFY | AZIHSM_TKP_WRAP,
                                   EMU_SIGN_VERIFY | EMU_ENC_DEC};

    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(emu_ecc_generate(&f->client, curves[i], EMU_SIGN_VERIFY, 0, &key), AZIHSM_OK);
        assert_int_equal(key.spki_len, spki_sizes[i]);
        assert_int_equal(emu_ecc_generate(&f->client, curves[i],
                                          AZIHSM_TKP_DERIVE | AZIHSM_TKP_SESSION | AZIHSM_TKP_MODIFIABLE, 0, &key),
                         AZIHSM_OK);
    }
    assert_int_equal(emu_ecc_generate(&f->client, 0, EMU_SIGN_VERIFY, 0, &key), AZIHSM_STATUS_INVALID_ARG);
    assert_int_equal(emu_ecc_generate(&f->client, 4, EMU_ENC_DEC, 0, &key), AZIHSM_STATUS_INVALID_ARG);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(emu_ecc_generate(&f->client, AZIHSM_CURVE_P256, bad[i], 0, &key),
                         AZIHSM_STATUS_INVALID_PERMISSIONS);
    /* usage before tag */
    assert_int_equal(emu_ecc_generate(&f->client, AZIHSM_CURVE_P256, EMU_ENC_DEC | AZIHSM_TKP_SESSION, 3, &key),
                     AZIHSM_STATUS_INVALID_PERMISSIONS);
    assert_int_equal(emu_ecc_generate(&f->client, AZIHSM_CURVE_P256, EMU_SIGN_VERIFY | AZIHSM_TKP_SESSION, 3, &key),
                     AZIHSM_STATUS_INVALID_ARG);
}

static void test_sign(void **state)
{
    struct emu_fixture *f = *state;
    static const uint32_t hashes[] = {AZIHSM_HASH_SHA1, AZIHSM_HASH_SHA256, AZIHSM_HASH_SHA384, AZIHSM_HASH_SHA512};
    static const uint8_t message[] = "the message itself";
    struct emu_key key;

    for (size_t c = 0; c < 3; c++) {
        assert_int_equal(emu_ecc_generate(&f->client, curves[c], EMU_SIGN_VERIFY, 0, &key), AZIHSM_OK);
        EVP_PKEY *pkey = emu_public_must(&key);
        for (size_t h = 0; h < 4; h++) {
            uint8_t digest[64], raw[ECDSA_RAW_MAX], other[ECDSA_RAW_MAX];
            unsigned digest_len;
            size_t len;
            static const char *const names[] = {"SHA1", "SHA256", "SHA384", "SHA512"};
            EVP_MD *md = EVP_MD_fetch(NULL, names[h], NULL);
            assert_int_equal(EVP_Digest(message, sizeof(message), digest, &digest_len, md, NULL), 1);
            EVP_MD_free(md);
            assert_int_equal(
                emu_sign(&f->client, key.id, hashes[h], (struct azihsm_bytes){digest, digest_len}, raw, &len),
                AZIHSM_OK);
            assert_int_equal(len, signature_sizes[c]);
            assert_int_equal(ecdsa_verify_message(NULL, pkey, hashes[h],
                                                  (struct azihsm_bytes){message, sizeof(message)},
                                                  (struct azihsm_bytes){raw, len}),
                             AZIHSM_OK);
            assert_int_equal(
                emu_sign(&f->client, key.id, hashes[h], (struct azihsm_bytes){digest, digest_len}, other, &len),
                AZIHSM_OK);
            assert_memory_not_equal(raw, other, len);
        }
        EVP_PKEY_free(pkey);
    }
}

static void test_sign_checks(void **state)
{
    struct emu_fixture *f = *state;
    struct emu_key key, aes, kek, rsa;
    uint8_t der[3000];
    size_t len = emu_pkcs8_must(AZIHSM_CLASS_RSA, 2048, NULL, der, sizeof(der));

    assert_int_equal(sign(&f->client, 99, AZIHSM_HASH_SHA256, 32), AZIHSM_STATUS_KEY_NOT_FOUND);
    assert_int_equal(emu_ecc_generate(&f->client, AZIHSM_CURVE_P256, AZIHSM_TKP_DERIVE, 0, &key), AZIHSM_OK);
    assert_int_equal(sign(&f->client, key.id, AZIHSM_HASH_SHA256, 32), AZIHSM_STATUS_INVALID_PERMISSIONS);
    assert_int_equal(emu_aes_generate(&f->client, AZIHSM_AES_SIZE_256, EMU_ENC_DEC, 0, &aes), AZIHSM_OK);
    assert_int_equal(sign(&f->client, aes.id, AZIHSM_HASH_SHA256, 32), AZIHSM_STATUS_INVALID_PERMISSIONS);
    assert_int_equal(emu_unwrapping_key(&f->client, &kek), AZIHSM_OK);
    assert_int_equal(
        emu_import(&f->client, &kek, AZIHSM_CLASS_RSA, (struct azihsm_bytes){der, len}, EMU_SIGN_VERIFY, 0, &rsa),
        AZIHSM_OK);
    assert_int_equal(sign(&f->client, rsa.id, AZIHSM_HASH_SHA256, 32), AZIHSM_STATUS_INVALID_KEY_TYPE);
    /* any digest length is signed by the simulator, and whatever algorithm is named */
    assert_int_equal(emu_ecc_generate(&f->client, AZIHSM_CURVE_P256, EMU_SIGN_VERIFY, 0, &key), AZIHSM_OK);
    assert_int_equal(sign(&f->client, key.id, 1, 0), AZIHSM_OK);
    assert_int_equal(sign(&f->client, key.id, AZIHSM_HASH_SHA512, 20), AZIHSM_OK);
    assert_int_equal(sign(&f->client, key.id, AZIHSM_HASH_SHA1, 32), AZIHSM_OK);
    assert_int_equal(sign(&f->client, key.id, AZIHSM_HASH_SHA512, 64), AZIHSM_OK);
    if (f->kind == AZIHSM_DEVICE_VIRTUAL)
        assert_int_equal(sign(&f->client, key.id, 99, 48), AZIHSM_OK);
}

/* The physical wire digest is 68 bytes, no more, no less: sent here in wire form, past the client's own encoder. */
static void test_sign_wire_length(void **state)
{
    struct emu_fixture *f = *state;
    struct emu_key key;
    enum azihsm_device_kind kind = f->client.kind;

    assert_int_equal(emu_ecc_generate(&f->client, AZIHSM_CURVE_P256, EMU_SIGN_VERIFY, 0, &key), AZIHSM_OK);
    f->client.kind = AZIHSM_DEVICE_VIRTUAL; /* leaves bytes as they are */
    static const size_t lens[] = {0, 32, 64, 67, 69, 96};
    for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++)
        assert_int_equal(sign(&f->client, key.id, AZIHSM_HASH_SHA256, lens[i]),
                         emu_by_kind(f, AZIHSM_OK, AZIHSM_STATUS_INVALID_ARG));
    assert_int_equal(sign(&f->client, key.id, AZIHSM_HASH_SHA256, 68), AZIHSM_OK);
    f->client.kind = kind;
}

static void test_ecdh(void **state)
{
    struct emu_fixture *f = *state;
    struct emu_client *client = &f->client;
    static const uint32_t secrets[] = {AZIHSM_KEY_SECRET256, AZIHSM_KEY_SECRET384, AZIHSM_KEY_SECRET521};
    struct emu_key ours, theirs, one, two;

    for (size_t i = 0; i < 3; i++) { /* both sides derive keys that agree: seen through HMAC of derived keys */
        struct emu_key hmac[2];
        uint8_t tags[2][32];
        assert_int_equal(emu_ecc_generate(client, curves[i], AZIHSM_TKP_DERIVE, 0, &ours), AZIHSM_OK);
        assert_int_equal(emu_ecc_generate(client, curves[i], AZIHSM_TKP_DERIVE, 0, &theirs), AZIHSM_OK);
        assert_int_equal(emu_ecdh(client, ours.id, &theirs, secrets[i], AZIHSM_TKP_DERIVE, &one), AZIHSM_OK);
        assert_int_equal(emu_ecdh(client, theirs.id, &ours, secrets[i], AZIHSM_TKP_DERIVE | AZIHSM_TKP_SESSION, &two),
                         AZIHSM_OK);
        for (int k = 0; k < 2; k++) {
            struct azihsm_hmac_req req = {0};
            struct azihsm_hmac_resp resp;
            assert_int_equal(emu_derive(client, AZIHSM_OP_HKDF_DERIVE, k == 0 ? one.id : two.id, AZIHSM_KEY_HMAC_SHA256,
                                        EMU_SIGN_VERIFY, -1, &hmac[k]),
                             AZIHSM_OK);
            req.key_id = hmac[k].id;
            assert_int_equal(emu_call(client, AZIHSM_OP_HMAC, &req, &resp), AZIHSM_OK);
            memcpy(tags[k], resp.tag.data, 32);
        }
        assert_memory_equal(tags[0], tags[1], 32);
    }
}

static void test_ecdh_checks(void **state)
{
    struct emu_fixture *f = *state;
    struct emu_client *client = &f->client;
    struct emu_key p256, p384, p521, signer, aes, out;
    struct azihsm_ecdh_req req = {.key_type = AZIHSM_KEY_SECRET256, .key_props = emu_props(AZIHSM_TKP_DERIVE)};
    uint8_t spki[200];

    assert_int_equal(emu_ecc_generate(client, AZIHSM_CURVE_P256, AZIHSM_TKP_DERIVE, 0, &p256), AZIHSM_OK);
    assert_int_equal(emu_ecc_generate(client, AZIHSM_CURVE_P384, AZIHSM_TKP_DERIVE, 0, &p384), AZIHSM_OK);
    assert_int_equal(emu_ecc_generate(client, AZIHSM_CURVE_P521, AZIHSM_TKP_DERIVE, 0, &p521), AZIHSM_OK);
    assert_int_equal(emu_ecc_generate(client, AZIHSM_CURVE_P256, EMU_SIGN_VERIFY, 0, &signer), AZIHSM_OK);
    assert_int_equal(emu_aes_generate(client, AZIHSM_AES_SIZE_256, EMU_ENC_DEC, 0, &aes), AZIHSM_OK);
    /* target kind first, even with everything else wrong */
    assert_int_equal(emu_ecdh(client, 99, &p384, AZIHSM_KEY_AES256, EMU_ENC_DEC, &out), AZIHSM_STATUS_INVALID_KEY_TYPE);
    assert_int_equal(emu_ecdh(client, 99, &p384, AZIHSM_KEY_ECC256_PRIVATE, 0, &out), AZIHSM_STATUS_INVALID_KEY_TYPE);
    assert_int_equal(emu_ecdh(client, 99, &p384, AZIHSM_KEY_SECRET256, EMU_SIGN_VERIFY, &out),
                     AZIHSM_STATUS_INVALID_PERMISSIONS);
    req.priv_key_id = 99;
    req.pub_key_der = (struct azihsm_bytes){p384.spki, p384.spki_len};
    req.has_key_tag = true; /* 0 */
    assert_int_equal(emu_call(client, AZIHSM_OP_ECDH_KEY_EXCHANGE, &req, NULL), AZIHSM_STATUS_INVALID_ARG);
    req.key_tag = 5;
    req.key_props = emu_props(AZIHSM_TKP_DERIVE | AZIHSM_TKP_SESSION);
    assert_int_equal(emu_call(client, AZIHSM_OP_ECDH_KEY_EXCHANGE, &req, NULL), AZIHSM_STATUS_INVALID_ARG);
    assert_int_equal(emu_ecdh(client, 99, &p384, AZIHSM_KEY_SECRET256, AZIHSM_TKP_DERIVE, &out),
                     AZIHSM_STATUS_KEY_NOT_FOUND);
    assert_int_equal(emu_ecdh(client, signer.id, &p384, AZIHSM_KEY_SECRET384, AZIHSM_TKP_DERIVE, &out),
                     AZIHSM_STATUS_INVALID_PERMISSIONS);
    assert_int_equal(emu_ecdh(client, aes.id, &p384, AZIHSM_KEY_SECRET256, AZIHSM_TKP_DERIVE, &out),
                     AZIHSM_STATUS_INVALID_PERMISSIONS);
    assert_int_equal(emu_ecdh(client, p256.id, &p384, AZIHSM_KEY_SECRET384, AZIHSM_TKP_DERIVE, &out),
                     AZIHSM_STATUS_INVALID_KEY_TYPE);
    /* peers: of a longer and of a shorter curve, off the curve, x above the prime */
    assert_int_equal(
        emu_ecdh(client, p384.id, &p256, AZIHSM_KEY_SECRET384, AZIHSM_TKP_DERIVE, &out),
        emu_by_kind(f, AZIHSM_STATUS_DER_AND_KEY_TYPE_MISMATCH, AZIHSM_STATUS_ECC_DER_KEY_SHORTER_THAN_CURVE));
    assert_int_equal(
        emu_ecdh(client, p384.id, &p521, AZIHSM_KEY_SECRET384, AZIHSM_TKP_DERIVE, &out),
        emu_by_kind(f, AZIHSM_STATUS_DER_AND_KEY_TYPE_MISMATCH, AZIHSM_STATUS_ECC_PUBLIC_KEY_VALIDATION_FAILED));
    memcpy(spki, p384.spki, p384.spki_len);
    p384.spki[119] ^= 1;
    assert_int_equal(emu_ecdh(client, p384.id, &p384, AZIHSM_KEY_SECRET384, AZIHSM_TKP_DERIVE, &out),
                     emu_by_kind(f, AZIHSM_STATUS_KEY_DECODE_FAILED, AZIHSM_STATUS_ECC_POINT_VALIDATION_FAILED));
    memset(p384.spki + 24, 0xFF, 48);
    assert_int_equal(emu_ecdh(client, p384.id, &p384, AZIHSM_KEY_SECRET384, AZIHSM_TKP_DERIVE, &out),
                     emu_by_kind(f, AZIHSM_STATUS_KEY_DECODE_FAILED, AZIHSM_STATUS_ECC_PUBLIC_KEY_VALIDATION_FAILED));
    memcpy(p384.spki, spki, p384.spki_len);
    assert_int_equal(emu_ecdh(client, p384.id, &p384, AZIHSM_KEY_SECRET384, AZIHSM_TKP_DERIVE, &out), AZIHSM_OK);
    /* the firmware marks derived secrets as local, the simulator does not */
    struct azihsm_masked_key parsed;
    assert_int_equal(azihsm_masked_key_parse((struct azihsm_bytes){out.blob, out.blob_len}, &parsed), AZIHSM_OK);
    assert_int_equal((azihsm_attributes_flags(parsed.metadata.attributes) & AZIHSM_ATTR_LOCAL) != 0,
                     f->kind == AZIHSM_DEVICE_PHYSICAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        EMU_READY(test_generate),         EMU_READY(test_sign), EMU_READY(test_sign_checks),
        EMU_READY(test_sign_wire_length), EMU_READY(test_ecdh), EMU_READY(test_ecdh_checks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
