/*
 * What a client library reads back from every masked key (device-behaviour 2.6, 4.4; ddi-protocol 6.4), in both
 * profiles: header, lengths, kind, flags, label and tag of each blob in each way a key comes to be; and that nothing in
 * a blob can be changed.
 */
#include "door.h"

#include "emu_client.h"
#include "judge.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { HEADER = 52, IV = 16, TAG = 48 };

/* The eight bits that a request and the stored flags share, as stored (6.1, 6.3). */
static uint64_t stored(uint32_t bits)
{
    static const struct {
        uint32_t asked;
        uint64_t kept;
    } pairs[] = {{AZIHSM_TKP_SESSION, 1u << 1}, {AZIHSM_TKP_ENCRYPT, 1u << 10}, {AZIHSM_TKP_DECRYPT, 1u << 11},
                 {AZIHSM_TKP_SIGN, 1u << 12},   {AZIHSM_TKP_VERIFY, 1u << 13},  {AZIHSM_TKP_WRAP, 1u << 14},
                 {AZIHSM_TKP_UNWRAP, 1u << 15}, {AZIHSM_TKP_DERIVE, 1u << 16}};
    uint64_t flags = 0;

    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
        flags |= (bits & pairs[i].asked) != 0 ? pairs[i].kept : 0;
    return flags;
}

static unsigned le16(const uint8_t *at)
{
    return (unsigned)(at[0] | at[1] << 8);
}

/* Reads a blob by offsets, beside our codec. */
static void expect_frame(struct azihsm_bytes blob, struct azihsm_masked_key *out)
{
    unsigned metadata, ciphertext;

    assert_true(blob.len > HEADER + IV + TAG);
    assert_int_equal(le16(blob.data), 1);      /* version */
    assert_int_equal(le16(blob.data + 2), 1);  /* algorithm */
    assert_int_equal(le16(blob.data + 4), IV); /* iv_len */
    assert_int_equal(le16(blob.data + 6), 0);
    metadata = le16(blob.data + 8);
    assert_int_equal((metadata + le16(blob.data + 10)) % 4, 0);
    assert_true(le16(blob.data + 10) < 4);
    ciphertext = le16(blob.data + 12);
    assert_int_equal(ciphertext % 16, 0);
    assert_int_equal(le16(blob.data + 14), 0);
    assert_int_equal(le16(blob.data + 16), TAG);
    for (size_t i = 18; i < HEADER; i++)
        assert_int_equal(blob.data[i], 0);
    assert_int_equal(blob.len, HEADER + IV + metadata + le16(blob.data + 10) + ciphertext + TAG);
    assert_int_equal(azihsm_masked_key_parse(blob, out), AZIHSM_OK);
}

struct wanted {
    uint32_t kind;
    uint64_t flags;
    uint16_t tag;
    struct azihsm_bytes label;
};

static void expect_blob(struct azihsm_bytes blob, const struct wanted *wanted)
{
    struct azihsm_masked_key masked;
    static const uint64_t read_back = 1u << 1 | 1u << 5 | 0x1FC00;

    expect_frame(blob, &masked);
    assert_int_equal(masked.metadata.key_type, wanted->kind);
    assert_int_equal(azihsm_attributes_flags(masked.metadata.attributes) & read_back, wanted->flags);
    assert_int_equal(masked.metadata.key_label.len, wanted->label.len);
    if (wanted->label.len != 0)
        assert_memory_equal(masked.metadata.key_label.data, wanted->label.data, wanted->label.len);
    assert_int_equal(masked.metadata.has_key_tag, wanted->tag != 0);
    if (wanted->tag != 0)
        assert_int_equal(masked.metadata.key_tag, wanted->tag);
    assert_true(masked.metadata.has_svn);
    assert_int_equal(masked.metadata.svn, 1);
}

/* The copy that UnmaskKey makes says the same of itself, and answers with public key and kind. */
static void expect_copy(struct emu_client *client, struct azihsm_bytes blob, const struct wanted *wanted,
                        bool has_public, bool has_bulk)
{
    uint8_t kept[AZIHSM_MASKED_KEY_MAX];
    struct azihsm_unmask_key_req req = {{kept, blob.len}};
    struct azihsm_unmask_key_resp resp;

    memcpy(kept, blob.data, blob.len);
    assert_int_equal(emu_call(client, AZIHSM_OP_UNMASK_KEY, &req, &resp), AZIHSM_OK);
    assert_int_equal(resp.kind, wanted->kind);
    assert_int_equal(resp.has_pub_key, has_public);
    assert_int_equal(resp.has_bulk_key_id, has_bulk);
    expect_blob(resp.masked_key, wanted);
    /* echoed by the simulator, new from the firmware (12.1 no. 30) */
    assert_int_equal(resp.masked_key.len, blob.len);
    assert_int_equal(memcmp(resp.masked_key.data, kept, blob.len) == 0, client->kind == AZIHSM_DEVICE_VIRTUAL);
    assert_int_equal(emu_delete(client, resp.key_id), AZIHSM_OK);
}

static struct azihsm_bytes label_of(uint8_t *buf, size_t len)
{
    for (size_t i = 0; i < len; i++)
        buf[i] = (uint8_t)(i * 5 + 1);
    return (struct azihsm_bytes){buf, len};
}

/* Every generated kind, both scopes, labels up to the longest, tags. */
static void test_generated(void **state)
{
    static const size_t labels[] = {0, 1, 10, 31, 32, 33, 127, 128};
    struct emu_fixture *f = *state;
    uint8_t buf[AZIHSM_KEY_LABEL_MAX];

    for (unsigned i = 0; i < 96; i++) {
        uint32_t scope = i % 2 == 0 ? 0 : AZIHSM_TKP_SESSION, which = i / 2 % 12;
        uint16_t tag = scope == 0 && i % 4 == 0 ? (uint16_t)(0xFF00 + i) : 0;
        bool ecc = which < 6;
        uint32_t usage = !ecc ? EMU_ENC_DEC : which % 2 == 0 ? EMU_SIGN_VERIFY : AZIHSM_TKP_DERIVE;
        struct azihsm_key_props props = emu_props(usage | scope);
        uint16_t id;
        struct azihsm_bytes blob;
        struct wanted wanted = {
            .tag = tag, .flags = stored(usage | scope) | 1u << 5, .label = label_of(buf, labels[i / 12])};

        props.key_label = wanted.label;
        if (ecc) {
            struct azihsm_ecc_generate_req req = {1 + which / 2, tag != 0, tag, props};
            struct azihsm_key_pair_resp resp;
            wanted.kind = AZIHSM_KEY_ECC256_PRIVATE + which / 2;
            assert_int_equal(emu_call(&f->client, AZIHSM_OP_ECC_GENERATE_KEY_PAIR, &req, &resp), AZIHSM_OK);
            blob = resp.masked_key;
            id = resp.private_key_id;
        } else {
            struct azihsm_aes_generate_req req = {which - 5, tag != 0, tag, props};
            struct azihsm_aes_generate_resp resp;
            wanted.kind = AZIHSM_KEY_AES128 + which - 6;
            assert_int_equal(emu_call(&f->client, AZIHSM_OP_AES_GENERATE_KEY, &req, &resp), AZIHSM_OK);
            assert_int_equal(resp.has_bulk_key_id, which >= 9);
            blob = resp.masked_key;
            id = resp.key_id;
        }
        uint8_t kept[AZIHSM_MASKED_KEY_MAX];
        memcpy(kept, blob.data, blob.len);
        blob.data = kept;
        expect_blob(blob, &wanted);
        assert_int_equal(emu_delete(&f->client, id), AZIHSM_OK);
        expect_copy(&f->client, blob, &wanted, ecc, !ecc && which >= 9);
    }
}

/* Imports are not local; CRT kinds say so. */
static void test_imported(void **state)
{
    static const struct {
        uint32_t key_class, usage, kind;
        const char *group;
        unsigned bits;
        size_t raw;
    } cases[] = {
        {AZIHSM_CLASS_RSA, EMU_SIGN_VERIFY, 1, NULL, 2048, 0},
        {AZIHSM_CLASS_RSA, EMU_ENC_DEC, 1, NULL, 2048, 0},
        {AZIHSM_CLASS_RSA_CRT, EMU_SIGN_VERIFY, 4, NULL, 2048, 0},
        {AZIHSM_CLASS_RSA, EMU_SIGN_VERIFY, 2, NULL, 3072, 0},
        {AZIHSM_CLASS_ECC, EMU_SIGN_VERIFY, 7, "P-256", 0, 0},
        {AZIHSM_CLASS_ECC, AZIHSM_TKP_DERIVE, 8, "P-384", 0, 0},
        {AZIHSM_CLASS_ECC, AZIHSM_TKP_DERIVE, 9, "P-521", 0, 0},
        {AZIHSM_CLASS_AES, EMU_ENC_DEC, 10, NULL, 0, 16},
        {AZIHSM_CLASS_AES, EMU_ENC_DEC, 11, NULL, 0, 24},
        {AZIHSM_CLASS_AES, EMU_ENC_DEC, 12, NULL, 0, 32},
        {AZIHSM_CLASS_AES_XTS_BULK, EMU_ENC_DEC, 13, NULL, 0, 32},
        {AZIHSM_CLASS_AES_GCM_BULK, EMU_ENC_DEC, 14, NULL, 0, 32},
        {AZIHSM_CLASS_AES_GCM_BULK_UNAPPROVED, EMU_ENC_DEC, 15, NULL, 0, 32},
    };
    struct emu_fixture *f = *state;
    struct emu_key kek, key;

    assert_int_equal(emu_unwrapping_key(&f->client, &kek), AZIHSM_OK);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t plain[AZIHSM_WRAPPED_BLOB_MAX] = {1, 2, 3};
        size_t len = cases[i].raw != 0
                         ? cases[i].raw
                         : emu_pkcs8_must(cases[i].key_class, cases[i].bits, cases[i].group, plain, sizeof(plain));
        uint32_t scope = i % 3 == 2 ? AZIHSM_TKP_SESSION : 0;
        struct wanted wanted = {cases[i].kind, stored(cases[i].usage | scope), 0, {NULL, 0}};

        assert_int_equal(emu_import(&f->client, &kek, cases[i].key_class, (struct azihsm_bytes){plain, len},
                                    cases[i].usage | scope, 0, &key),
                         AZIHSM_OK);
        assert_int_equal(key.kind, cases[i].kind);
        assert_int_equal(key.has_bulk, cases[i].kind >= 13);
        assert_int_equal(key.spki_len != 0, cases[i].raw == 0);
        expect_blob((struct azihsm_bytes){key.blob, key.blob_len}, &wanted);
        expect_copy(&f->client, (struct azihsm_bytes){key.blob, key.blob_len}, &wanted, cases[i].raw == 0,
                    key.has_bulk);
    }
}

/* Secrets and what is derived: local only from the firmware (12.1 no. 16). */
static void test_derived(void **state)
{
    static const struct {
        uint32_t kind, usage;
        int length;
    } targets[] = {{AZIHSM_KEY_AES128, EMU_ENC_DEC, -1},          {AZIHSM_KEY_AES192, EMU_ENC_DEC, -1},
                   {AZIHSM_KEY_AES256, EMU_ENC_DEC, -1},          {AZIHSM_KEY_HMAC_SHA256, EMU_SIGN_VERIFY, -1},
                   {AZIHSM_KEY_HMAC_SHA384, EMU_SIGN_VERIFY, -1}, {AZIHSM_KEY_HMAC_SHA512, EMU_SIGN_VERIFY, -1},
                   {AZIHSM_KEY_VAR_HMAC512, EMU_SIGN_VERIFY, 100}};
    struct emu_fixture *f = *state;
    uint64_t local = emu_by_kind(f, 0, 1) != 0 ? 1u << 5 : 0;

    for (uint32_t curve = 1; curve <= 3; curve++) {
        uint32_t scope = curve == 2 ? AZIHSM_TKP_SESSION : 0;
        struct emu_key own, secret, key;
        struct wanted wanted = {
            AZIHSM_KEY_SECRET256 + curve - 1, stored(AZIHSM_TKP_DERIVE | scope) | local, 0, {NULL, 0}};

        assert_int_equal(emu_ecc_generate(&f->client, curve, AZIHSM_TKP_DERIVE, 0, &own), AZIHSM_OK);
        assert_int_equal(emu_ecdh(&f->client, own.id, &own, wanted.kind, AZIHSM_TKP_DERIVE | scope, &secret),
                         AZIHSM_OK);
        expect_blob((struct azihsm_bytes){secret.blob, secret.blob_len}, &wanted);
        expect_copy(&f->client, (struct azihsm_bytes){secret.blob, secret.blob_len}, &wanted, false, false);
        for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
            for (uint32_t op = AZIHSM_OP_HKDF_DERIVE; op <= AZIHSM_OP_KBKDF_COUNTER_HMAC_DERIVE; op++) {
                wanted = (struct wanted){targets[i].kind, stored(targets[i].usage | scope) | local, 0, {NULL, 0}};
                assert_int_equal(emu_derive(&f->client, op, secret.id, targets[i].kind, targets[i].usage | scope,
                                            targets[i].length, &key),
                                 AZIHSM_OK);
                expect_blob((struct azihsm_bytes){key.blob, key.blob_len}, &wanted);
                expect_copy(&f->client, (struct azihsm_bytes){key.blob, key.blob_len}, &wanted, false, false);
            }
        }
    }
}

/* The blobs that are not keys of users (4.2). */
static void test_backups(void **state)
{
    struct emu_fixture *f = *state;
    bool sim = f->kind == AZIHSM_DEVICE_VIRTUAL;
    struct azihsm_masked_key masked;
    struct emu_key muk;
    struct wanted wanted = {AZIHSM_KEY_RSA2K_PRIVATE, 1u << 5 | 1u << 14 | 1u << 15, 0, {NULL, 0}};

    assert_int_equal(emu_unwrapping_key(&f->client, &muk), AZIHSM_OK);
    assert_true(muk.blob_len <= AZIHSM_BACKUP_KEY_MAX);
    expect_blob((struct azihsm_bytes){muk.blob, muk.blob_len}, &wanted);
    expect_frame((struct azihsm_bytes){f->owner.masked_bk3, f->owner.masked_bk3_len}, &masked);
    assert_int_equal(masked.metadata.key_type, sim ? 17 : 28);
    assert_int_equal(masked.metadata.key_label.len, 3);
    assert_memory_equal(masked.metadata.key_label.data, "BK3", 3);
    assert_int_equal(masked.metadata.key_length, 48);
    assert_true(masked.metadata.has_svn);
    assert_int_equal(f->owner.masked_bk3_len, sim ? 236 : 244);
    expect_frame((struct azihsm_bytes){f->owner.bmk, f->owner.bmk_len}, &masked);
    assert_int_equal(masked.metadata.key_type, 28);
    assert_int_equal(masked.metadata.key_length, 80);
    assert_int_equal(masked.metadata.svn, 1);
    assert_int_equal(f->owner.bmk_len, sim ? 288 : 276);
    expect_frame((struct azihsm_bytes){f->client.bmk_session, f->client.bmk_session_len}, &masked);
    assert_int_equal(masked.metadata.key_type, 28);
    assert_memory_equal(masked.metadata.key_label.data, "SMK", 3);
    assert_int_equal(f->client.bmk_session_len, sim ? 276 : 268);
}

/* Every byte of a blob matters, and so does its length. */
static void test_tampered(void **state)
{
    struct emu_fixture *f = *state;
    struct emu_key keys[3];
    uint8_t changed[AZIHSM_MASKED_KEY_MAX];

    assert_int_equal(emu_ecc_generate(&f->client, 2, EMU_SIGN_VERIFY, 9, &keys[0]), AZIHSM_OK);
    assert_int_equal(emu_aes_generate(&f->client, 3, EMU_ENC_DEC | AZIHSM_TKP_SESSION, 0, &keys[1]), AZIHSM_OK);
    assert_int_equal(emu_aes_generate(&f->client, 5, EMU_ENC_DEC, 0, &keys[2]), AZIHSM_OK);
    for (size_t k = 0; k < 3; k++) {
        struct azihsm_bytes blob = {changed, keys[k].blob_len};

        assert_int_equal(emu_delete(&f->client, keys[k].id), AZIHSM_OK);
        for (size_t i = 0; i < keys[k].blob_len; i++) {
            memcpy(changed, keys[k].blob, keys[k].blob_len);
            changed[i] ^= (uint8_t)(1u << i % 8);
            assert_int_equal(emu_unmask(&f->client, blob, NULL), AZIHSM_STATUS_MASKED_KEY_DECODE_FAILED);
        }
        memcpy(changed, keys[k].blob, keys[k].blob_len);
        memset(changed + blob.len, 0, 16);
        for (size_t len = 0; len <= blob.len + 16; len += len < 80 ? 1 : 4) {
            if (len != blob.len)
                assert_int_equal(emu_unmask(&f->client, (struct azihsm_bytes){changed, len}, NULL),
                                 AZIHSM_STATUS_MASKED_KEY_DECODE_FAILED);
        }
        assert_int_equal(emu_unmask(&f->client, blob, NULL), AZIHSM_OK);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        EMU_READY(test_generated), EMU_READY(test_imported), EMU_READY(test_derived),
        EMU_READY(test_backups),   EMU_READY(test_tampered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
