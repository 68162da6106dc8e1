/*
 * Orders of checks of the credential commands and of RsaUnwrap (device-behaviour 2.3, 2.4, 3.2, 8): all defects at
 * once, each that is mended uncovers the next; and when the nonce changes and when it does not.
 */
#include "door.h"

#include "emu_client.h"
#include "judge.h"

#include "crypto/wrap.h"

#include <openssl/rand.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void nonce_of(struct emu_client *client, uint32_t op, uint8_t nonce[AZIHSM_NONCE_SIZE])
{
    EVP_PKEY *key = NULL;

    assert_int_equal(emu_encryption_key(client, op, &key, nonce), AZIHSM_OK);
    EVP_PKEY_free(key);
}

/* The call answers status, and leaves the nonce or not. */
static void expect_establish(struct emu_fixture *f, struct emu_establish *prepared, azihsm_rc status, bool rotates)
{
    uint8_t before[AZIHSM_NONCE_SIZE], after[AZIHSM_NONCE_SIZE];

    nonce_of(&f->client, AZIHSM_OP_GET_ESTABLISH_CRED_ENCRYPTION_KEY, before);
    assert_int_equal(emu_send_establish(&f->client, &f->owner, prepared), status);
    nonce_of(&f->client, AZIHSM_OP_GET_ESTABLISH_CRED_ENCRYPTION_KEY, after);
    assert_int_equal(memcmp(before, after, sizeof(before)) != 0, rotates);
}

static void test_establish_order(void **state)
{
    struct emu_fixture *f = *state;
    bool sim = f->kind == AZIHSM_DEVICE_VIRTUAL;
    struct emu_establish e;
    uint8_t garbage[1024] = {0}, id[AZIHSM_CREDENTIAL_SIZE];
    struct azihsm_bytes bk3;

    assert_int_equal(emu_init_bk3(&f->client, &f->owner), AZIHSM_OK);
    memcpy(id, f->owner.id, sizeof(id));
    memset(f->owner.id, 0, sizeof(f->owner.id));
    assert_int_equal(emu_prepare_establish(&f->client, &f->owner, &e), AZIHSM_OK);
    bk3 = (struct azihsm_bytes){f->owner.masked_bk3, f->owner.masked_bk3_len};
    /* stale nonce, bad endorsement, broken tag, zero id, rubbish for every backup */
    e.req.cred.nonce[0] ^= 1;
    e.pota_sig[3] ^= 1;
    e.req.cred.tag[0] ^= 1;
    e.req.masked_bk3 = (struct azihsm_bytes){garbage, 0};
    e.req.bmk = e.req.masked_unwrapping_key = (struct azihsm_bytes){garbage, sizeof(garbage)};
    if (sim) {
        expect_establish(f, &e, AZIHSM_STATUS_INVALID_ARG, false); /* empty masked BK3 */
        e.req.masked_bk3 = (struct azihsm_bytes){garbage, sizeof(garbage)};
        e.req.pota_pub_key.key_kind = AZIHSM_KEY_ECC384_PUBLIC;
        expect_establish(f, &e, AZIHSM_STATUS_INVALID_ARG, false); /* endorsement */
        e.pota_sig[3] ^= 1;
        expect_establish(f, &e, AZIHSM_STATUS_NONCE_MISMATCH, false);
        e.req.cred.nonce[0] ^= 1;
    } else {
        e.req.masked_bk3 = (struct azihsm_bytes){garbage, sizeof(garbage)};
        expect_establish(f, &e, AZIHSM_STATUS_NONCE_MISMATCH, false);
        e.req.cred.nonce[0] ^= 1;
        e.req.cred.iv.len = 15;
        expect_establish(f, &e, AZIHSM_STATUS_INVALID_ARG, false); /* length of a field */
        e.req.cred.iv.len = 16;
        expect_establish(f, &e, AZIHSM_STATUS_ECC_VERIFY_FAILED, false);
        e.pota_sig[3] ^= 1;
    }
    expect_establish(f, &e, AZIHSM_STATUS_PIN_DECRYPTION_FAILED, false);
    e.req.cred.tag[0] ^= 1;
    expect_establish(f, &e, AZIHSM_STATUS_INVALID_APP_CREDENTIALS, true);
    memcpy(f->owner.id, id, sizeof(id));
    /* from here on each failure has rotated the nonce, and the next attempt starts afresh (rollback) */
    for (int step = 0; step < 3; step++) {
        assert_int_equal(emu_prepare_establish(&f->client, &f->owner, &e), AZIHSM_OK);
        e.req.masked_bk3 = step == 0 ? (struct azihsm_bytes){garbage, sizeof(garbage)} : bk3;
        e.req.bmk = (struct azihsm_bytes){garbage, step <= 1 ? sizeof(garbage) : 0};
        e.req.masked_unwrapping_key = (struct azihsm_bytes){garbage, sizeof(garbage)};
        expect_establish(f, &e, AZIHSM_STATUS_MASKED_KEY_DECODE_FAILED, true);
        assert_int_equal(emu_open_session(&f->client, &f->owner), AZIHSM_STATUS_CREDENTIALS_NOT_ESTABLISHED);
    }
    assert_int_equal(emu_prepare_establish(&f->client, &f->owner, &e), AZIHSM_OK);
    assert_int_equal(emu_send_establish(&f->client, &f->owner, &e), AZIHSM_OK);
    assert_int_equal(emu_open_session(&f->client, &f->owner), AZIHSM_OK);
}

/* Established: whatever the nonce, the answer is the profile's own (2.2 EMU). */
static void test_established_already(void **state)
{
    struct emu_fixture *f = *state;
    struct emu_client other;
    struct emu_establish e;
    EVP_PKEY *key = NULL;
    uint8_t nonce[AZIHSM_NONCE_SIZE];

    emu_attach(&other, f->device);
    assert_int_equal(emu_init_bk3(&other, &f->owner), AZIHSM_OK);
    assert_int_equal(emu_prepare_establish(&other, &f->owner, &e), AZIHSM_OK);
    assert_int_equal(emu_send_establish(&f->client, &f->owner, &e), AZIHSM_OK);
    assert_int_equal(emu_send_establish(&other, &f->owner, &e),
                     emu_by_kind(f, AZIHSM_STATUS_KEY_NOT_FOUND, AZIHSM_STATUS_VAULT_APP_LIMIT_REACHED));
    assert_int_equal(emu_encryption_key(&other, AZIHSM_OP_GET_ESTABLISH_CRED_ENCRYPTION_KEY, &key, nonce),
                     emu_by_kind(f, AZIHSM_STATUS_KEY_NOT_FOUND, AZIHSM_STATUS_VAULT_APP_LIMIT_REACHED));
    nonce_of(&other, AZIHSM_OP_GET_SESSION_ENCRYPTION_KEY, e.req.cred.nonce);
    assert_int_equal(emu_send_establish(&other, &f->owner, &e),
                     emu_by_kind(f, AZIHSM_STATUS_KEY_NOT_FOUND, AZIHSM_STATUS_VAULT_APP_LIMIT_REACHED));
    emu_detach(&other);
}

static void expect_open(struct emu_client *client, const struct emu_login *login, azihsm_rc status, bool rotates)
{
    uint8_t before[AZIHSM_NONCE_SIZE], after[AZIHSM_NONCE_SIZE];

    nonce_of(client, AZIHSM_OP_GET_SESSION_ENCRYPTION_KEY, before);
    assert_int_equal(emu_send_open(client, login), status);
    nonce_of(client, AZIHSM_OP_GET_SESSION_ENCRYPTION_KEY, after);
    assert_int_equal(memcmp(before, after, sizeof(before)) != 0, rotates);
}

/* With all sessions taken: the limit is looked at last, and costs a nonce (12.2 no. 5). */
static void test_open_order(void **state)
{
    struct emu_fixture *f = *state;
    struct emu_client clients[8];
    struct emu_login login;
    uint8_t pin = f->owner.pin[15];

    for (int i = 1; i < 8; i++) {
        emu_attach(&clients[i], f->device);
        emu_login_must(&clients[i], &f->owner);
        assert_int_equal(clients[i].sess_id, i);
    }
    emu_attach(&clients[0], f->device);
    assert_int_equal(RAND_bytes(clients[0].seed, sizeof(clients[0].seed)), 1);
    f->owner.pin[15] ^= 1;
    assert_int_equal(emu_prepare_login(&clients[0], &f->owner, &login), AZIHSM_OK);
    login.cred.nonce[31] ^= 1;
    login.cred.tag[47] ^= 1;
    expect_open(&clients[0], &login, AZIHSM_STATUS_NONCE_MISMATCH, false);
    login.cred.nonce[31] ^= 1;
    expect_open(&clients[0], &login, AZIHSM_STATUS_PIN_DECRYPTION_FAILED, false);
    login.cred.tag[47] ^= 1;
    expect_open(&clients[0], &login, AZIHSM_STATUS_INVALID_APP_CREDENTIALS, true);
    expect_open(&clients[0], &login, AZIHSM_STATUS_NONCE_MISMATCH, false); /* replay */
    f->owner.pin[15] = pin;
    assert_int_equal(emu_prepare_login(&clients[0], &f->owner, &login), AZIHSM_OK);
    expect_open(&clients[0], &login, AZIHSM_STATUS_VAULT_SESSION_LIMIT_REACHED, true);
    /* the lowest free id is the next */
    assert_int_equal(emu_close_session(&clients[5]), AZIHSM_OK);
    assert_int_equal(emu_close_session(&clients[2]), AZIHSM_OK);
    assert_int_equal(emu_open_session(&clients[0], &f->owner), AZIHSM_OK);
    assert_int_equal(clients[0].sess_id, 2);
}

static void expect_reopen(struct emu_fixture *f, azihsm_rc status)
{
    assert_int_equal(emu_reopen_session(&f->client, &f->owner), status);
}

/* Reopening: every failure leaves the session flagged, and the right one still works (2.4). */
static void test_reopen_order(void **state)
{
    struct emu_fixture *f = *state;
    struct emu_login login;
    struct azihsm_reopen_session_req req;
    uint8_t bmk[AZIHSM_BACKUP_KEY_MAX], nonce[2][AZIHSM_NONCE_SIZE];

    memcpy(bmk, f->client.bmk_session, sizeof(bmk));
    /* not flagged */
    expect_reopen(f, emu_by_kind(f, AZIHSM_STATUS_INVALID_ARG, AZIHSM_STATUS_PROCESSED_IO_EVENT_IN_INVALID_STATE));
    assert_int_equal(emu_prepare_login(&f->client, &f->owner, &login), AZIHSM_OK);
    req = (struct azihsm_reopen_session_req){login.cred, login.pub_key, {NULL, 0}};
    assert_int_equal(emu_call(&f->client, AZIHSM_OP_REOPEN_SESSION, &req, NULL),
                     emu_by_kind(f, AZIHSM_STATUS_INVALID_ARG, AZIHSM_STATUS_PROCESSED_IO_EVENT_IN_INVALID_STATE));
    door_reset_must();
    /* flagged, not provisioned */
    assert_int_equal(emu_call(&f->client, AZIHSM_OP_REOPEN_SESSION, &req, NULL),
                     AZIHSM_STATUS_PARTITION_NOT_PROVISIONED);
    expect_reopen(f, AZIHSM_STATUS_CREDENTIALS_NOT_ESTABLISHED); /* from the encryption key's request */
    assert_int_equal(emu_establish(&f->client, &f->owner), AZIHSM_OK);
    for (int round = 0; round < 2; round++) {
        f->owner.pin[0] ^= 1; /* wrong PIN: the nonce goes */
        nonce_of(&f->client, AZIHSM_OP_GET_SESSION_ENCRYPTION_KEY, nonce[0]);
        expect_reopen(f, AZIHSM_STATUS_INVALID_APP_CREDENTIALS);
        nonce_of(&f->client, AZIHSM_OP_GET_SESSION_ENCRYPTION_KEY, nonce[1]);
        assert_memory_not_equal(nonce[0], nonce[1], sizeof(nonce[0]));
        f->owner.pin[0] ^= 1;
        f->client.bmk_session[f->client.bmk_session_len - 1] ^= 1; /* a backup that is none */
        expect_reopen(f, emu_by_kind(f, AZIHSM_STATUS_INTERNAL_ERROR, AZIHSM_STATUS_MASKED_KEY_DECODE_FAILED));
        f->client.bmk_session[f->client.bmk_session_len - 1] ^= 1;
        f->client.seed[7] ^= 1; /* the wrong seed */
        expect_reopen(f, emu_by_kind(f, AZIHSM_STATUS_INTERNAL_ERROR, AZIHSM_STATUS_MASKED_KEY_DECODE_FAILED));
        f->client.seed[7] ^= 1;
    }
    assert_int_equal(emu_prepare_login(&f->client, &f->owner, &login), AZIHSM_OK);
    login.cred.tag[0] ^= 1;
    req = (struct azihsm_reopen_session_req){login.cred, login.pub_key, {bmk, f->client.bmk_session_len}};
    assert_int_equal(emu_call(&f->client, AZIHSM_OP_REOPEN_SESSION, &req, NULL), AZIHSM_STATUS_PIN_DECRYPTION_FAILED);
    req.cred.tag[0] ^= 1;
    req.cred.nonce[0] ^= 1;
    assert_int_equal(emu_call(&f->client, AZIHSM_OP_REOPEN_SESSION, &req, NULL), AZIHSM_STATUS_NONCE_MISMATCH);
    expect_reopen(f, AZIHSM_OK);
    if (f->kind == AZIHSM_DEVICE_VIRTUAL)
        assert_memory_equal(f->client.bmk_session, bmk, f->client.bmk_session_len); /* the same back */
}

/* ---- RsaUnwrap ---- */

struct unwrap {
    struct azihsm_rsa_unwrap_req req;
    uint8_t blob[AZIHSM_WRAPPED_BLOB_MAX];
};

static azihsm_rc unwrap(struct emu_client *client, struct unwrap *unwrap)
{
    return emu_call(client, AZIHSM_OP_RSA_UNWRAP, &unwrap->req, NULL);
}

static void wrap_must(struct unwrap *unwrap, const struct emu_key *kek, const uint8_t *plain, size_t len)
{
    EVP_PKEY *public = emu_public_must(kek);

    assert_int_equal(wrap_seal(NULL, public, AZIHSM_HASH_SHA256, (struct azihsm_bytes){plain, len}, unwrap->blob,
                               sizeof(unwrap->blob), &unwrap->req.wrapped_blob.len),
                     AZIHSM_OK);
    unwrap->req.wrapped_blob.data = unwrap->blob;
    EVP_PKEY_free(public);
}

/* The simulator looks at the key's properties after its cryptography, the firmware before (8). */
static void test_unwrap_order(void **state)
{
    struct emu_fixture *f = *state;
    static const uint8_t raw[32] = {7};
    struct emu_key kek, aes, tagged;
    struct unwrap u = {
        .req = {.key_id = 250, .hash = 9, .padding = 7, .key_class = 99, .has_key_tag = true, .key_tag = 3}};

    assert_int_equal(emu_unwrapping_key(&f->client, &kek), AZIHSM_OK);
    assert_int_equal(emu_aes_generate(&f->client, 3, EMU_ENC_DEC, 0, &aes), AZIHSM_OK);
    assert_int_equal(emu_aes_generate(&f->client, 3, EMU_ENC_DEC, 3, &tagged), AZIHSM_OK);
    wrap_must(&u, &kek, raw, 5); /* five bytes are no AES key */
    u.blob[u.req.wrapped_blob.len - 1] ^= 1;
    u.req.key_props = emu_props(EMU_ENC_DEC);
    if (f->kind == AZIHSM_DEVICE_VIRTUAL) {
        u.req.key_props = emu_props(EMU_SIGN_VERIFY | AZIHSM_TKP_SESSION);
        assert_int_equal(unwrap(&f->client, &u), AZIHSM_STATUS_KEY_NOT_FOUND);
        u.req.key_id = aes.id;
        assert_int_equal(unwrap(&f->client, &u), AZIHSM_STATUS_INVALID_PERMISSIONS);
        u.req.key_id = kek.id;
        assert_int_equal(unwrap(&f->client, &u), AZIHSM_STATUS_INVALID_ARG); /* session and tag */
        u.req.key_props = emu_props(EMU_SIGN_VERIFY);
        assert_int_equal(unwrap(&f->client, &u), AZIHSM_STATUS_INVALID_ARG); /* hash */
        u.req.hash = AZIHSM_HASH_SHA256;
        u.req.padding = AZIHSM_PADDING_OAEP;
        assert_int_equal(unwrap(&f->client, &u), AZIHSM_STATUS_RSA_UNWRAP_AES_UNWRAP_FAILED);
        wrap_must(&u, &kek, raw, 5);
        assert_int_equal(unwrap(&f->client, &u), AZIHSM_STATUS_INVALID_ARG); /* class */
        u.req.key_class = AZIHSM_CLASS_AES;
        assert_int_equal(unwrap(&f->client, &u), AZIHSM_STATUS_INVALID_PERMISSIONS); /* usage */
        u.req.key_props = emu_props(EMU_ENC_DEC);
        assert_int_equal(unwrap(&f->client, &u), AZIHSM_STATUS_AES_INVALID_KEY_LENGTH);
        wrap_must(&u, &kek, raw, 32);
        assert_int_equal(unwrap(&f->client, &u), AZIHSM_STATUS_KEY_TAG_ALREADY_EXISTS);
        u.req.key_tag = 0;
        assert_int_equal(unwrap(&f->client, &u), AZIHSM_STATUS_INVALID_ARG);
    } else {
        wrap_must(&u, &kek, raw, 32);
        u.req.hash = AZIHSM_HASH_SHA256;
        u.req.padding = AZIHSM_PADDING_OAEP;
        u.req.key_class = AZIHSM_CLASS_AES;
        u.req.key_id = kek.id;
        assert_int_equal(unwrap(&f->client, &u), AZIHSM_STATUS_KEY_TAG_ALREADY_EXISTS);
        u.req.key_props = emu_props(EMU_SIGN_VERIFY); /* before the rubbish in the blob */
        u.blob[u.req.wrapped_blob.len - 1] ^= 1;
        assert_int_equal(unwrap(&f->client, &u), AZIHSM_STATUS_INVALID_PERMISSIONS);
        u.req.key_props = emu_props(EMU_ENC_DEC);
        assert_int_equal(unwrap(&f->client, &u), AZIHSM_STATUS_RSA_UNWRAP_AES_UNWRAP_FAILED);
        wrap_must(&u, &kek, raw, 32);
    }
    u.req.key_tag = 4;
    u.req.wrapped_blob.len = 256;
    assert_int_equal(unwrap(&f->client, &u),
                     AZIHSM_STATUS_RSA_UNWRAP_AES_UNWRAP_FAILED); /* nothing behind the RSA part */
    wrap_must(&u, &kek, raw, 32);
    assert_int_equal(unwrap(&f->client, &u), AZIHSM_OK);
    /* the RSA part broken */
    u.req.has_key_tag = false;
    u.blob[100] ^= 1;
    assert_int_equal(unwrap(&f->client, &u), AZIHSM_STATUS_RSA_UNWRAP_OAEP_DECODE_FAILED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        EMU_FRESH(test_establish_order), EMU_FRESH(test_established_already), EMU_READY(test_open_order),
        EMU_READY(test_reopen_order),    EMU_READY(test_unwrap_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
