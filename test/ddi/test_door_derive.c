/*
 * Derivations against libcrypto (device-behaviour 5.3 - 5.5): secrets agreed with a software peer, then HKDF and KBKDF
 * with every hash, input and target, judged through what the derived keys do.
 */
#include "door.h"

#include "emu_client.h"
#include "judge.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { INPUT_MAX = 256, SECRET_MAX = 66, KEY_MAX = 128 };

static const char *const curves[] = {"P-256", "P-384", "P-521"};
static const char *const hashes[] = {"SHA1", "SHA256", "SHA384", "SHA512"};

struct secret {
    uint8_t bytes[SECRET_MAX];
    size_t len;
    struct emu_key key;
};

/* A secret of ours and the device's. */
static void agree_must(struct emu_client *client, uint32_t curve, uint32_t scope, struct secret *out)
{
    EVP_PKEY *peer = judge_new_ec(curves[curve - 1]);
    struct emu_key own, peer_key = {0};

    peer_key.spki_len = judge_spki(peer, peer_key.spki, sizeof(peer_key.spki));
    assert_int_equal(emu_ecc_generate(client, curve, AZIHSM_TKP_DERIVE, 0, &own), AZIHSM_OK);
    assert_int_equal(
        emu_ecdh(client, own.id, &peer_key, AZIHSM_KEY_SECRET256 + curve - 1, AZIHSM_TKP_DERIVE | scope, &out->key),
        AZIHSM_OK);
    out->len = judge_ecdh(peer, (struct azihsm_bytes){own.spki, own.spki_len}, out->bytes, sizeof(out->bytes));
    EVP_PKEY_free(peer);
    assert_int_equal(emu_delete(client, own.id), AZIHSM_OK);
}

struct target {
    uint32_t kind, usage;
    int key_length; /* -1: not sent */
    size_t size;
    const char *hash; /* of an HMAC key */
};

static const struct target targets[] = {
    {AZIHSM_KEY_AES128, EMU_ENC_DEC, -1, 16, NULL},
    {AZIHSM_KEY_AES192, EMU_ENC_DEC, -1, 24, NULL},
    {AZIHSM_KEY_AES256, EMU_ENC_DEC, 5, 32, NULL}, /* key_length is ignored for fixed sizes */
    {AZIHSM_KEY_HMAC_SHA256, EMU_SIGN_VERIFY, -1, 32, "SHA256"},
    {AZIHSM_KEY_HMAC_SHA384, EMU_SIGN_VERIFY, -1, 48, "SHA384"},
    {AZIHSM_KEY_HMAC_SHA512, EMU_SIGN_VERIFY, 1, 64, "SHA512"},
    {AZIHSM_KEY_VAR_HMAC256, EMU_SIGN_VERIFY, 32, 32, "SHA256"},
    {AZIHSM_KEY_VAR_HMAC256, EMU_SIGN_VERIFY, 64, 64, "SHA256"},
    {AZIHSM_KEY_VAR_HMAC384, EMU_SIGN_VERIFY, 48, 48, "SHA384"},
    {AZIHSM_KEY_VAR_HMAC384, EMU_SIGN_VERIFY, 128, 128, "SHA384"},
    {AZIHSM_KEY_VAR_HMAC512, EMU_SIGN_VERIFY, 64, 64, "SHA512"},
    {AZIHSM_KEY_VAR_HMAC512, EMU_SIGN_VERIFY, 127, 127, "SHA512"},
};
enum { TARGETS = sizeof(targets) / sizeof(targets[0]) };

static void judge_aes(struct emu_client *client, uint16_t id, struct azihsm_bytes key)
{
    uint8_t in[64], out[64], iv[16] = {9, 8, 7};
    struct azihsm_aes_crypt_req req = {id, AZIHSM_AES_ENCRYPT, {in, sizeof(in)}, {iv, sizeof(iv)}};
    struct azihsm_aes_crypt_resp resp;

    memset(in, 0x42, sizeof(in));
    assert_int_equal(emu_call(client, AZIHSM_OP_AES_ENCRYPT_DECRYPT, &req, &resp), AZIHSM_OK);
    judge_cbc(false, key, iv, in, out, sizeof(in));
    assert_int_equal(resp.msg.len, sizeof(out));
    assert_memory_equal(resp.msg.data, out, sizeof(out));
    assert_memory_equal(resp.iv.data, out + 48, 16); /* last ciphertext block */
    req = (struct azihsm_aes_crypt_req){id, AZIHSM_AES_DECRYPT, {out, sizeof(out)}, {iv, sizeof(iv)}};
    assert_int_equal(emu_call(client, AZIHSM_OP_AES_ENCRYPT_DECRYPT, &req, &resp), AZIHSM_OK);
    assert_memory_equal(resp.msg.data, in, sizeof(in));
    assert_memory_equal(resp.iv.data, out + 48, 16);
}

static void judge_mac(struct emu_client *client, uint16_t id, const char *hash, struct azihsm_bytes key)
{
    static const size_t lengths[] = {0, 1, 63, 64, 65, 1024};
    uint8_t msg[1024], tag[64];

    memset(msg, 0x17, sizeof(msg));
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        struct azihsm_hmac_req req = {id, {msg, lengths[i]}};
        struct azihsm_hmac_resp resp;
        size_t len = judge_hmac(hash, key, req.msg, tag);

        assert_int_equal(emu_call(client, AZIHSM_OP_HMAC, &req, &resp), AZIHSM_OK);
        assert_int_equal(resp.tag.len, len);
        assert_memory_equal(resp.tag.data, tag, len);
    }
}

/* first and second: NULL = absent. */
static void derive_and_judge(struct emu_client *client, uint32_t op, const struct secret *secret, uint32_t hash,
                             const struct azihsm_bytes *first, const struct azihsm_bytes *second,
                             const struct target *target, uint32_t scope)
{
    static const struct azihsm_bytes none = {NULL, 0};
    uint8_t expected[KEY_MAX];
    struct azihsm_kdf_req req = {
        .key_id = secret->key.id,
        .hash = hash,
        .has_first = first != NULL,
        .first = first != NULL ? *first : none,
        .has_second = second != NULL,
        .second = second != NULL ? *second : none,
        .key_type = target->kind,
        .key_props = emu_props(target->usage | scope),
        .has_key_length = target->key_length >= 0,
        .key_length = (uint8_t)target->key_length,
    };
    struct azihsm_kdf_resp resp;
    struct azihsm_bytes key = {secret->bytes, secret->len};
    uint16_t id;

    assert_int_equal(emu_call(client, op, &req, &resp), AZIHSM_OK);
    assert_false(resp.has_bulk_key_id);
    id = resp.key_id;
    (op == AZIHSM_OP_HKDF_DERIVE ? judge_hkdf : judge_kbkdf)(hashes[hash - 1], key, req.first, req.second, expected,
                                                             target->size);
    key = (struct azihsm_bytes){expected, target->size};
    if (target->hash == NULL)
        judge_aes(client, id, key);
    else
        judge_mac(client, id, target->hash, key);
    assert_int_equal(emu_delete(client, id), AZIHSM_OK);
}

static void derive_all(struct emu_client *client, uint32_t op)
{
    uint8_t buf[INPUT_MAX];
    struct azihsm_bytes full = {buf, sizeof(buf)}, some = {buf, 13}, empty = {buf, 0};
    const struct azihsm_bytes *const inputs[][2] = {{NULL, NULL},   {&some, NULL},   {NULL, &some},
                                                    {&full, &full}, {&empty, &some}, {&some, &empty}};
    struct secret secret;
    size_t round = 0;

    memset(buf, 0xA7, sizeof(buf));
    for (uint32_t curve = 1; curve <= 3; curve++) {
        agree_must(client, curve, 0, &secret);
        for (uint32_t hash = 1; hash <= 4; hash++)
            for (size_t i = 0; i < 6; i++, round++)
                derive_and_judge(client, op, &secret, hash, inputs[i][0], inputs[i][1], &targets[round % TARGETS],
                                 round % 5 == 0 ? AZIHSM_TKP_SESSION : 0);
        for (size_t i = 0; i < TARGETS; i++)
            derive_and_judge(client, op, &secret, AZIHSM_HASH_SHA256, &some, &some, &targets[i], 0);
    }
}

static void test_hkdf(void **state)
{
    struct emu_fixture *f = *state;

    derive_all(&f->client, AZIHSM_OP_HKDF_DERIVE);
}

static void test_kbkdf(void **state)
{
    struct emu_fixture *f = *state;

    derive_all(&f->client, AZIHSM_OP_KBKDF_COUNTER_HMAC_DERIVE);
}

/* Bulk targets: refused by the simulator, made by the firmware (12.1 no. 19), usable on the fast path. */
static void test_bulk_targets(void **state)
{
    static const uint32_t ops[] = {AZIHSM_OP_HKDF_DERIVE, AZIHSM_OP_KBKDF_COUNTER_HMAC_DERIVE};
    struct emu_fixture *f = *state;
    struct secret secret;

    for (size_t i = 0; i < 12; i++) {
        uint32_t kind = AZIHSM_KEY_AES_XTS_BULK256 + (uint32_t)i % 3, op = ops[i / 3 % 2];
        uint8_t key[32], data[100] = {1}, out[100], expected[100], tag[16];
        struct emu_key derived;
        azihsm_rc rc;

        agree_must(&f->client, (uint32_t)i % 3 + 1, i >= 6 ? AZIHSM_TKP_SESSION : 0, &secret);
        rc = emu_derive(&f->client, op, secret.key.id, kind, EMU_ENC_DEC | (i >= 6 ? AZIHSM_TKP_SESSION : 0), -1,
                        &derived);
        if (f->kind == AZIHSM_DEVICE_VIRTUAL) {
            assert_int_equal(rc, AZIHSM_STATUS_INVALID_KEY_TYPE);
            continue;
        }
        assert_int_equal(rc, AZIHSM_OK);
        assert_true(derived.has_bulk);
        if (kind == AZIHSM_KEY_AES_XTS_BULK256)
            continue;
        (op == AZIHSM_OP_HKDF_DERIVE ? judge_hkdf : judge_kbkdf)("SHA256", BYTES(secret.bytes, secret.len),
                                                                 BYTES(NULL, 0), BYTES(NULL, 0), key, sizeof(key));
        struct emu_bulk bulk = {
            .sess_id = f->client.sess_id, .key_id1 = derived.bulk_id, .src = data, .dst = out, .len = sizeof(data)};
        emu_handle_bulk(f->client.handle, &bulk);
        assert_int_equal(bulk.result | bulk.ext_status, 0);
        judge_gcm_encrypt(key, bulk.iv, BYTES(NULL, 0), data, expected, sizeof(data), tag);
        assert_memory_equal(out, expected, sizeof(out));
        assert_memory_equal(bulk.tag, tag, sizeof(tag));
    }
}

/* ---- orders of checks: all defects at once, each that is mended uncovers the next ---- */

static azihsm_rc kdf(struct emu_client *client, uint32_t op, const struct azihsm_kdf_req *req)
{
    return emu_call(client, op, req, NULL);
}

static void test_kdf_order(void **state)
{
    static const uint32_t ops[] = {AZIHSM_OP_HKDF_DERIVE, AZIHSM_OP_KBKDF_COUNTER_HMAC_DERIVE};
    static const uint32_t not_targets[] = {0, 1, 7, 16, 17, 18, 19, 23, 28, 29, 33, 65535};
    struct emu_fixture *f = *state;
    struct secret secret;
    struct emu_key ecc, tagged;

    agree_must(&f->client, 1, 0, &secret);
    assert_int_equal(emu_ecc_generate(&f->client, 1, AZIHSM_TKP_DERIVE, 0, &ecc), AZIHSM_OK);
    assert_int_equal(emu_ecc_generate(&f->client, 1, AZIHSM_TKP_DERIVE, 77, &tagged), AZIHSM_OK);
    for (size_t i = 0; i < 2; i++) {
        struct azihsm_kdf_req req = {.key_id = 200,
                                     .hash = AZIHSM_HASH_SHA256,
                                     .has_key_tag = true,
                                     .key_tag = 77,
                                     .key_props = emu_props(EMU_SIGN_VERIFY)};
        for (size_t k = 0; k < sizeof(not_targets) / sizeof(not_targets[0]); k++) {
            req.key_type = not_targets[k];
            assert_int_equal(kdf(&f->client, ops[i], &req), AZIHSM_STATUS_INVALID_KEY_TYPE);
        }
        req.key_type = AZIHSM_KEY_AES256;
        assert_int_equal(kdf(&f->client, ops[i], &req), AZIHSM_STATUS_INVALID_PERMISSIONS);
        req.key_props = emu_props(EMU_ENC_DEC);
        assert_int_equal(kdf(&f->client, ops[i], &req), AZIHSM_STATUS_KEY_NOT_FOUND);
        req.key_id = 0x4000;
        assert_int_equal(kdf(&f->client, ops[i], &req),
                         emu_by_kind(f, AZIHSM_STATUS_INVALID_KEY_NUMBER, AZIHSM_STATUS_KEY_NOT_FOUND));
        req.key_id = ecc.id;
        assert_int_equal(kdf(&f->client, ops[i], &req), AZIHSM_STATUS_INVALID_KEY_TYPE);
        req.key_id = secret.key.id;
        assert_int_equal(kdf(&f->client, ops[i], &req), AZIHSM_STATUS_KEY_TAG_ALREADY_EXISTS);
        req.key_tag = 0;
        assert_int_equal(kdf(&f->client, ops[i], &req), AZIHSM_STATUS_INVALID_ARG);
        req.key_tag = 5;
        req.key_props = emu_props(EMU_ENC_DEC | AZIHSM_TKP_SESSION);
        assert_int_equal(kdf(&f->client, ops[i], &req), AZIHSM_STATUS_INVALID_ARG);
        req.has_key_tag = false;
        assert_int_equal(kdf(&f->client, ops[i], &req), AZIHSM_OK);
    }
}

static void test_ecdh_order(void **state)
{
    struct emu_fixture *f = *state;
    EVP_PKEY *peer = judge_new_ec("P-384"), *good = judge_new_ec("P-256");
    uint8_t peer_spki[AZIHSM_PUB_KEY_MAX], good_spki[AZIHSM_PUB_KEY_MAX];
    struct emu_key signer, own, tagged;
    struct azihsm_ecdh_req req = {
        .priv_key_id = 250, .has_key_tag = true, .key_tag = 0, .key_props = emu_props(EMU_ENC_DEC)};

    assert_int_equal(emu_ecc_generate(&f->client, 1, EMU_SIGN_VERIFY, 0, &signer), AZIHSM_OK);
    assert_int_equal(emu_ecc_generate(&f->client, 1, AZIHSM_TKP_DERIVE, 0, &own), AZIHSM_OK);
    assert_int_equal(emu_ecc_generate(&f->client, 1, AZIHSM_TKP_DERIVE, 9, &tagged), AZIHSM_OK);
    req.pub_key_der = (struct azihsm_bytes){peer_spki, judge_spki(peer, peer_spki, sizeof(peer_spki))};
    static const uint32_t not_secrets[] = {0, 7, 10, 15, 19, 25, 30, 99};
    for (size_t i = 0; i < sizeof(not_secrets) / sizeof(not_secrets[0]); i++) {
        req.key_type = not_secrets[i];
        assert_int_equal(emu_call(&f->client, AZIHSM_OP_ECDH_KEY_EXCHANGE, &req, NULL), AZIHSM_STATUS_INVALID_KEY_TYPE);
    }
#define EXPECT_ECDH(status) assert_int_equal(emu_call(&f->client, AZIHSM_OP_ECDH_KEY_EXCHANGE, &req, NULL), (status))
    req.key_type = AZIHSM_KEY_SECRET384;
    EXPECT_ECDH(AZIHSM_STATUS_INVALID_PERMISSIONS); /* usage */
    req.key_props = emu_props(AZIHSM_TKP_DERIVE);
    EXPECT_ECDH(AZIHSM_STATUS_INVALID_ARG); /* tag 0 */
    req.key_tag = 10;
    req.key_props = emu_props(AZIHSM_TKP_DERIVE | AZIHSM_TKP_SESSION);
    EXPECT_ECDH(AZIHSM_STATUS_INVALID_ARG); /* tag of a session key */
    req.key_props = emu_props(AZIHSM_TKP_DERIVE);
    EXPECT_ECDH(AZIHSM_STATUS_KEY_NOT_FOUND);
    req.priv_key_id = signer.id;
    EXPECT_ECDH(AZIHSM_STATUS_INVALID_PERMISSIONS); /* may not derive */
    req.priv_key_id = own.id;
    EXPECT_ECDH(AZIHSM_STATUS_INVALID_KEY_TYPE); /* P-256 makes no Secret384 */
    req.key_type = AZIHSM_KEY_SECRET256;
    EXPECT_ECDH(
        emu_by_kind(f, AZIHSM_STATUS_DER_AND_KEY_TYPE_MISMATCH, AZIHSM_STATUS_ECC_PUBLIC_KEY_VALIDATION_FAILED));
    req.pub_key_der = (struct azihsm_bytes){good_spki, judge_spki(good, good_spki, sizeof(good_spki))};
    EXPECT_ECDH(AZIHSM_OK);
    EXPECT_ECDH(AZIHSM_STATUS_KEY_TAG_ALREADY_EXISTS);
    EVP_PKEY_free(peer);
    EVP_PKEY_free(good);
}

/* A secret of another session is not ours; HMAC wants the kind before the permission (5.5). */
static void test_foreign_and_kinds(void **state)
{
    struct emu_fixture *f = *state;
    struct emu_client other;
    struct secret secret;
    struct emu_key ecc;
    struct azihsm_hmac_req hmac = {.msg = {(const uint8_t *)"x", 1}};

    agree_must(&f->client, 2, AZIHSM_TKP_SESSION, &secret);
    emu_attach(&other, f->device);
    emu_login_must(&other, &f->owner);
    assert_int_equal(emu_derive(&other, AZIHSM_OP_HKDF_DERIVE, secret.key.id, AZIHSM_KEY_AES128, EMU_ENC_DEC, -1, NULL),
                     AZIHSM_STATUS_INVALID_PERMISSIONS);
    emu_detach(&other);
    assert_int_equal(
        emu_derive(&f->client, AZIHSM_OP_HKDF_DERIVE, secret.key.id, AZIHSM_KEY_AES128, EMU_ENC_DEC, -1, NULL),
        AZIHSM_OK);
    assert_int_equal(emu_ecc_generate(&f->client, 1, AZIHSM_TKP_DERIVE, 0, &ecc), AZIHSM_OK);
    hmac.key_id = ecc.id;
    assert_int_equal(emu_call(&f->client, AZIHSM_OP_HMAC, &hmac, NULL), AZIHSM_STATUS_INVALID_KEY_TYPE);
    hmac.key_id = 240;
    assert_int_equal(emu_call(&f->client, AZIHSM_OP_HMAC, &hmac, NULL), AZIHSM_STATUS_KEY_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        EMU_READY(test_hkdf),      EMU_READY(test_kbkdf),      EMU_READY(test_bulk_targets),
        EMU_READY(test_kdf_order), EMU_READY(test_ecdh_order), EMU_READY(test_foreign_and_kinds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
