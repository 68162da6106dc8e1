/*
 * AesGenerateKey, AesEncryptDecrypt, HkdfDerive, KbkdfCounterHmacDerive, Hmac (device-behaviour 5.3, 5.5).
 */
#include "emu_client.h"

#include "crypto/kdf.h"
#include "vectors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void test_aes_generate(void **state)
{
    struct emu_fixture *f = *state;
    struct emu_key key;
    struct azihsm_masked_key parsed;

    for (uint32_t size = AZIHSM_AES_SIZE_128; size <= AZIHSM_AES_SIZE_GCM_BULK256_UNAPPROVED; size++) {
        assert_int_equal(emu_aes_generate(&f->client, size, EMU_ENC_DEC, 0, &key), AZIHSM_OK);
        assert_int_equal(key.has_bulk, size >= AZIHSM_AES_SIZE_XTS_BULK256);
        assert_int_equal(key.has_bulk ? key.bulk_id : key.id, key.id);
        assert_int_equal(azihsm_masked_key_parse((struct azihsm_bytes){key.blob, key.blob_len}, &parsed), AZIHSM_OK);
        assert_int_equal(parsed.metadata.key_type, AZIHSM_KEY_AES128 + size - 1);
        assert_int_equal(azihsm_attributes_flags(parsed.metadata.attributes),
                         AZIHSM_ATTR_LOCAL | AZIHSM_ATTR_ENCRYPT | AZIHSM_ATTR_DECRYPT);
        assert_int_equal(emu_aes_generate(&f->client, size, EMU_SIGN_VERIFY, 0, &key),
                         AZIHSM_STATUS_INVALID_PERMISSIONS);
        assert_int_equal(emu_aes_generate(&f->client, size, AZIHSM_TKP_DERIVE, 0, &key),
                         AZIHSM_STATUS_INVALID_PERMISSIONS);
        assert_int_equal(emu_aes_generate(&f->client, size, AZIHSM_TKP_ENCRYPT, 0, &key),
                         AZIHSM_STATUS_INVALID_PERMISSIONS);
        assert_int_equal(emu_aes_generate(&f->client, size, EMU_ENC_DEC | AZIHSM_TKP_SESSION, 8, &key),
                         AZIHSM_STATUS_INVALID_ARG);
    }
    assert_int_equal(emu_aes_generate(&f->client, AZIHSM_AES_SIZE_256, EMU_ENC_DEC, 0, &key), AZIHSM_OK);
    assert_int_equal(key.blob_len, 220); /* ddi-protocol 6.4 */
    assert_int_equal(emu_aes_generate(&f->client, 0, EMU_ENC_DEC, 0, &key), AZIHSM_STATUS_INVALID_ARG);
    assert_int_equal(emu_aes_generate(&f->client, 7, 0, 0, &key), AZIHSM_STATUS_INVALID_ARG);
}

static azihsm_rc crypt(struct emu_client *client, uint16_t id, uint32_t op, const uint8_t *msg, size_t len,
                       uint8_t iv[16], uint8_t *out)
{
    struct azihsm_aes_crypt_req req = {id, op, {msg, len}, {iv, 16}};
    struct azihsm_aes_crypt_resp resp;
    azihsm_rc rc = emu_call(client, AZIHSM_OP_AES_ENCRYPT_DECRYPT, &req, &resp);
    if (rc == AZIHSM_OK) {
        assert_int_equal(resp.msg.len, len);
        assert_int_equal(resp.iv.len, 16);
        memcpy(out, resp.msg.data, len);
        memcpy(iv, resp.iv.data, 16);
    }
    return rc;
}

static void test_cbc_vectors(void **state)
{
    struct emu_fixture *f = *state;
    json_t *file = vectors_load("ddi/cbc.json");
    struct emu_key kek, key;
    const json_t *item, *chunk;
    size_t i, k;

    if (file == NULL)
        skip();
    assert_int_equal(emu_unwrapping_key(&f->client, &kek), AZIHSM_OK);
    json_array_foreach(vectors_get(file, "cases"), i, item)
    {
        uint8_t raw[32], iv[16], plain[1024], cipher[1024], out[1024], expected[16];
        size_t raw_len = vectors_hex(item, "key", raw, sizeof(raw)), len = vectors_hex(item, "plaintext", plain, 1024);
        assert_int_equal(vectors_hex(item, "ciphertext", cipher, 1024), len);
        assert_int_equal(
            emu_import(&f->client, &kek, AZIHSM_CLASS_AES, (struct azihsm_bytes){raw, raw_len}, EMU_ENC_DEC, 0, &key),
            AZIHSM_OK);
        vectors_hex(item, "iv", iv, 16);
        assert_int_equal(crypt(&f->client, key.id, AZIHSM_AES_ENCRYPT, plain, len, iv, out), AZIHSM_OK);
        assert_memory_equal(out, cipher, len);
        vectors_hex(item, "iv_out_encrypt", expected, 16);
        assert_memory_equal(iv, expected, 16);
        vectors_hex(item, "iv", iv, 16);
        assert_int_equal(crypt(&f->client, key.id, AZIHSM_AES_DECRYPT, cipher, len, iv, out), AZIHSM_OK);
        assert_memory_equal(out, plain, len);
        vectors_hex(item, "iv_out_decrypt", expected, 16);
        assert_memory_equal(iv, expected, 16);
        vectors_hex(item, "iv", iv, 16);
        json_array_foreach(vectors_get(item, "chunks"), k, chunk)
        { /* fed back */
            uint8_t part[1024];
            size_t part_len = vectors_hex(chunk, "plaintext", part, sizeof(part));
            assert_int_equal(crypt(&f->client, key.id, AZIHSM_AES_ENCRYPT, part, part_len, iv, out), AZIHSM_OK);
            vectors_hex(chunk, "ciphertext", part, sizeof(part));
            assert_memory_equal(out, part, part_len);
        }
        assert_int_equal(emu_delete(&f->client, key.id), AZIHSM_OK);
    }
    json_decref(file);
}

static void test_cbc_checks(void **state)
{
    struct emu_fixture *f = *state;
    uint8_t msg[1025] = {0}, iv[16] = {0}, out[1025];
    struct emu_key aes, bulk, ecc;
    struct azihsm_aes_crypt_req req = {0, AZIHSM_AES_ENCRYPT, {msg, 16}, {iv, 15}};

    assert_int_equal(emu_aes_generate(&f->client, AZIHSM_AES_SIZE_128, EMU_ENC_DEC, 0, &aes), AZIHSM_OK);
    assert_int_equal(emu_aes_generate(&f->client, AZIHSM_AES_SIZE_GCM_BULK256, EMU_ENC_DEC, 0, &bulk), AZIHSM_OK);
    assert_int_equal(emu_ecc_generate(&f->client, AZIHSM_CURVE_P256, EMU_SIGN_VERIFY, 0, &ecc), AZIHSM_OK);
    assert_int_equal(crypt(&f->client, 99, AZIHSM_AES_ENCRYPT, msg, 0, iv, out), AZIHSM_STATUS_INVALID_ARG);
    assert_int_equal(crypt(&f->client, 99, 0, msg, 16, iv, out), AZIHSM_STATUS_INVALID_ARG);
    assert_int_equal(crypt(&f->client, 99, 3, msg, 16, iv, out), AZIHSM_STATUS_INVALID_ARG);
    assert_int_equal(crypt(&f->client, 99, AZIHSM_AES_ENCRYPT, msg, 16, iv, out), AZIHSM_STATUS_KEY_NOT_FOUND);
    assert_int_equal(crypt(&f->client, ecc.id, AZIHSM_AES_ENCRYPT, msg, 16, iv, out),
                     AZIHSM_STATUS_INVALID_PERMISSIONS);
    assert_int_equal(crypt(&f->client, bulk.id, AZIHSM_AES_ENCRYPT, msg, 16, iv, out), AZIHSM_STATUS_INVALID_KEY_TYPE);
    assert_int_equal(crypt(&f->client, 3, AZIHSM_AES_ENCRYPT, msg, 16, iv, out), AZIHSM_STATUS_KEY_NOT_FOUND); /* MK */
    assert_int_equal(crypt(&f->client, aes.id, AZIHSM_AES_ENCRYPT, msg, 17, iv, out),
                     emu_by_kind(f, AZIHSM_STATUS_AES_ENCRYPT_FAILED, AZIHSM_STATUS_INVALID_ARG));
    assert_int_equal(crypt(&f->client, aes.id, AZIHSM_AES_DECRYPT, msg, 15, iv, out),
                     emu_by_kind(f, AZIHSM_STATUS_AES_DECRYPT_FAILED, AZIHSM_STATUS_INVALID_ARG));
    assert_int_equal(crypt(&f->client, aes.id, AZIHSM_AES_DECRYPT, msg, 1024, iv, out), AZIHSM_OK);
    req.key_id = aes.id;
    assert_int_equal(emu_call(&f->client, AZIHSM_OP_AES_ENCRYPT_DECRYPT, &req, NULL), AZIHSM_STATUS_INVALID_ARG);
}

/* ---- derivation ---- */

static void make_secret(struct emu_client *client, uint32_t curve, struct emu_key *secret)
{
    static const uint32_t kinds[] = {0, AZIHSM_KEY_SECRET256, AZIHSM_KEY_SECRET384, AZIHSM_KEY_SECRET521};
    struct emu_key pair;
    assert_int_equal(emu_ecc_generate(client, curve, AZIHSM_TKP_DERIVE, 0, &pair), AZIHSM_OK);
    assert_int_equal(emu_ecdh(client, pair.id, &pair, kinds[curve], AZIHSM_TKP_DERIVE, secret), AZIHSM_OK);
}

static void test_derive_checks(void **state)
{
    struct emu_fixture *f = *state;
    struct emu_client *client = &f->client;
    static const uint32_t ops[] = {AZIHSM_OP_HKDF_DERIVE, AZIHSM_OP_KBKDF_COUNTER_HMAC_DERIVE};
    static const uint32_t no_target[] = {
        0,  AZIHSM_KEY_RSA2K_PRIVATE, AZIHSM_KEY_ECC256_PRIVATE, AZIHSM_KEY_SECRET256, 28, 29,
        33, AZIHSM_KEY_ECC256_PUBLIC};
    struct emu_key secret, aes, out;

    make_secret(client, AZIHSM_CURVE_P256, &secret);
    assert_int_equal(emu_aes_generate(client, AZIHSM_AES_SIZE_256, EMU_ENC_DEC, 0, &aes), AZIHSM_OK);
    for (size_t o = 0; o < 2; o++) {
        struct azihsm_kdf_req req = {.key_id = secret.id,
                                     .hash = AZIHSM_HASH_SHA256,
                                     .key_type = AZIHSM_KEY_AES256,
                                     .key_props = emu_props(EMU_ENC_DEC)};
        for (size_t i = 0; i < sizeof(no_target) / sizeof(no_target[0]); i++)
            assert_int_equal(emu_derive(client, ops[o], 99, no_target[i], 0, -1, &out), AZIHSM_STATUS_INVALID_KEY_TYPE);
        assert_int_equal(emu_derive(client, ops[o], 99, AZIHSM_KEY_AES256, EMU_SIGN_VERIFY, -1, &out),
                         AZIHSM_STATUS_INVALID_PERMISSIONS);
        assert_int_equal(emu_derive(client, ops[o], 99, AZIHSM_KEY_AES256, AZIHSM_TKP_DERIVE, -1, &out),
                         AZIHSM_STATUS_INVALID_PERMISSIONS);
        assert_int_equal(emu_derive(client, ops[o], 99, AZIHSM_KEY_HMAC_SHA256, EMU_ENC_DEC, -1, &out),
                         AZIHSM_STATUS_INVALID_PERMISSIONS);
        assert_int_equal(emu_derive(client, ops[o], 99, AZIHSM_KEY_AES256, EMU_ENC_DEC, -1, &out),
                         AZIHSM_STATUS_KEY_NOT_FOUND);
        assert_int_equal(emu_derive(client, ops[o], aes.id, AZIHSM_KEY_AES256, EMU_ENC_DEC, -1, &out),
                         AZIHSM_STATUS_INVALID_KEY_TYPE);
        req.has_key_tag = true;
        assert_int_equal(emu_call(client, ops[o], &req, NULL), AZIHSM_STATUS_INVALID_ARG);
        req.key_tag = 6;
        req.key_props = emu_props(EMU_ENC_DEC | AZIHSM_TKP_SESSION);
        assert_int_equal(emu_call(client, ops[o], &req, NULL), AZIHSM_STATUS_INVALID_ARG);
        req.has_key_tag = false;
        req.hash = 0;
        assert_int_equal(emu_call(client, ops[o], &req, NULL), AZIHSM_STATUS_INVALID_ARG);
        /* bulk targets: the firmware's only */
        for (uint32_t kind = AZIHSM_KEY_AES_XTS_BULK256; kind <= AZIHSM_KEY_AES_GCM_BULK256_UNAPPROVED; kind++) {
            azihsm_rc rc =
                emu_derive(client, ops[o], secret.id, kind, EMU_ENC_DEC | (o ? AZIHSM_TKP_SESSION : 0), -1, &out);
            assert_int_equal(rc, emu_by_kind(f, AZIHSM_STATUS_INVALID_KEY_TYPE, AZIHSM_OK));
            if (rc == AZIHSM_OK)
                assert_int_equal(out.bulk_id, out.id);
        }
        /* HMAC keys that derive: allowed by the firmware's matrix */
        assert_int_equal(emu_derive(client, ops[o], secret.id, AZIHSM_KEY_HMAC_SHA256, AZIHSM_TKP_DERIVE, -1, &out),
                         emu_by_kind(f, AZIHSM_STATUS_INVALID_PERMISSIONS, AZIHSM_OK));
    }
}

static void test_var_hmac_lengths(void **state)
{
    struct emu_fixture *f = *state;
    static const struct {
        uint32_t kind;
        int least, most;
    } ranges[] = {
        {AZIHSM_KEY_VAR_HMAC256, 32, 64}, {AZIHSM_KEY_VAR_HMAC384, 48, 128}, {AZIHSM_KEY_VAR_HMAC512, 64, 128}};
    struct emu_key secret, out;

    make_secret(&f->client, AZIHSM_CURVE_P384, &secret);
    for (size_t i = 0; i < 3; i++) {
        struct {
            int length;
            azihsm_rc rc;
        } const cases[] = {
            {-1, AZIHSM_STATUS_INVALID_KEY_TYPE},
            {0, AZIHSM_STATUS_INVALID_KEY_LENGTH},
            {ranges[i].least - 1, AZIHSM_STATUS_INVALID_KEY_LENGTH},
            {ranges[i].least, AZIHSM_OK},
            {ranges[i].least + 1, AZIHSM_OK},
            {ranges[i].most, AZIHSM_OK},
            {ranges[i].most + 1, AZIHSM_STATUS_INVALID_KEY_LENGTH},
            {255, AZIHSM_STATUS_INVALID_KEY_LENGTH},
        };
        for (size_t k = 0; k < sizeof(cases) / sizeof(cases[0]); k++)
            assert_int_equal(emu_derive(&f->client, AZIHSM_OP_HKDF_DERIVE, secret.id, ranges[i].kind, EMU_SIGN_VERIFY,
                                        cases[k].length, &out),
                             cases[k].rc);
        /* ignored for kinds of fixed size */
        assert_int_equal(
            emu_derive(&f->client, AZIHSM_OP_HKDF_DERIVE, secret.id, AZIHSM_KEY_AES128, EMU_ENC_DEC, 7, &out),
            AZIHSM_OK);
    }
}

/* The unknown secret is seen through keys derived from it: different inputs, different keys; equal inputs, equal keys.
 */
static void fingerprint(struct emu_client *client, uint32_t op, const struct azihsm_kdf_req *req, uint8_t out[16])
{
    struct azihsm_kdf_resp resp;
    uint8_t zeros[16] = {0}, iv[16] = {0};
    assert_int_equal(emu_call(client, op, req, &resp), AZIHSM_OK);
    assert_int_equal(crypt(client, resp.key_id, AZIHSM_AES_ENCRYPT, zeros, 16, iv, out), AZIHSM_OK);
}

static void test_derive_inputs(void **state)
{
    struct emu_fixture *f = *state;
    struct emu_key secret;
    uint8_t zeros[64] = {0}, big[257] = {0}, base[16], other[16];

    make_secret(&f->client, AZIHSM_CURVE_P521, &secret);
    for (uint32_t op = AZIHSM_OP_HKDF_DERIVE; op <= AZIHSM_OP_KBKDF_COUNTER_HMAC_DERIVE; op++) {
        struct azihsm_kdf_req req = {.key_id = secret.id,
                                     .hash = AZIHSM_HASH_SHA256,
                                     .key_type = AZIHSM_KEY_AES256,
                                     .key_props = emu_props(EMU_ENC_DEC | AZIHSM_TKP_SESSION)};
        fingerprint(&f->client, op, &req, base);
        fingerprint(&f->client, op, &req, other);
        assert_memory_equal(base, other, 16);
        req.has_first = true; /* the RFC's default salt: HashLen zeros equal an absent one */
        req.first = (struct azihsm_bytes){zeros, 32};
        fingerprint(&f->client, op, &req, other);
        assert_int_equal(memcmp(base, other, 16) == 0, op == AZIHSM_OP_HKDF_DERIVE);
        req.first = (struct azihsm_bytes){(const uint8_t *)"salt", 4};
        fingerprint(&f->client, op, &req, other);
        assert_memory_not_equal(base, other, 16);
        req.has_first = false;
        req.has_second = true;
        req.second = (struct azihsm_bytes){big, 256};
        fingerprint(&f->client, op, &req, other);
        assert_memory_not_equal(base, other, 16);
        req.has_second = false;
        for (uint32_t hash = AZIHSM_HASH_SHA1; hash <= AZIHSM_HASH_SHA512; hash++) {
            req.hash = hash;
            fingerprint(&f->client, op, &req, other);
            assert_int_equal(memcmp(base, other, 16) == 0, hash == AZIHSM_HASH_SHA256);
        }
    }
}

/* ---- HMAC ---- */

static void test_hmac(void **state)
{
    struct emu_fixture *f = *state;
    struct emu_client *client = &f->client;
    static const struct {
        uint32_t kind;
        int length;
        size_t tag;
    } cases[] = {{AZIHSM_KEY_HMAC_SHA256, -1, 32}, {AZIHSM_KEY_HMAC_SHA384, -1, 48}, {AZIHSM_KEY_HMAC_SHA512, -1, 64},
                 {AZIHSM_KEY_VAR_HMAC256, 50, 32}, {AZIHSM_KEY_VAR_HMAC384, 99, 48}, {AZIHSM_KEY_VAR_HMAC512, 128, 64}};
    uint8_t msg[1024] = {1}, tag[64];
    struct emu_key secret, key, ecc, derive_only;
    struct azihsm_hmac_req req = {99, {msg, 0}};
    struct azihsm_hmac_resp resp;

    make_secret(client, AZIHSM_CURVE_P256, &secret);
    assert_int_equal(emu_call(client, AZIHSM_OP_HMAC, &req, &resp), AZIHSM_STATUS_KEY_NOT_FOUND);
    assert_int_equal(emu_ecc_generate(client, AZIHSM_CURVE_P256, AZIHSM_TKP_DERIVE, 0, &ecc), AZIHSM_OK);
    req.key_id = ecc.id; /* the kind is looked at before the permission */
    assert_int_equal(emu_call(client, AZIHSM_OP_HMAC, &req, &resp), AZIHSM_STATUS_INVALID_KEY_TYPE);
    req.key_id = secret.id;
    assert_int_equal(emu_call(client, AZIHSM_OP_HMAC, &req, &resp), AZIHSM_STATUS_INVALID_KEY_TYPE);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(
            emu_derive(client, AZIHSM_OP_HKDF_DERIVE, secret.id, cases[i].kind, EMU_SIGN_VERIFY, cases[i].length, &key),
            AZIHSM_OK);
        req.key_id = key.id;
        for (size_t len = 0; len <= sizeof(msg); len += 512) {
            req.msg.len = len;
            assert_int_equal(emu_call(client, AZIHSM_OP_HMAC, &req, &resp), AZIHSM_OK);
            assert_int_equal(resp.tag.len, cases[i].tag);
            memcpy(tag, resp.tag.data, resp.tag.len);
            assert_int_equal(emu_call(client, AZIHSM_OP_HMAC, &req, &resp), AZIHSM_OK);
            assert_memory_equal(tag, resp.tag.data, resp.tag.len);
        }
    }
    if (f->kind == AZIHSM_DEVICE_PHYSICAL) {
        assert_int_equal(emu_derive(client, AZIHSM_OP_HKDF_DERIVE, secret.id, AZIHSM_KEY_HMAC_SHA256, AZIHSM_TKP_DERIVE,
                                    -1, &derive_only),
                         AZIHSM_OK);
        req.key_id = derive_only.id;
        assert_int_equal(emu_call(client, AZIHSM_OP_HMAC, &req, &resp), AZIHSM_STATUS_INVALID_PERMISSIONS);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        EMU_READY(test_aes_generate),  EMU_READY(test_cbc_vectors),      EMU_READY(test_cbc_checks),
        EMU_READY(test_derive_checks), EMU_READY(test_var_hmac_lengths), EMU_READY(test_derive_inputs),
        EMU_READY(test_hmac),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
