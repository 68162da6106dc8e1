/*
 * Reset: what survives it, the recovery recipe of device-behaviour 2.5, session flags, power cycles and saved state.
 */
#include "emu_client.h"

#include <openssl/rand.h>

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void take_muk(struct emu_owner *owner, const struct emu_key *kek)
{
    memcpy(owner->muk, kek->blob, kek->blob_len);
    owner->muk_len = kek->blob_len;
}

static void test_flagged(void **state)
{
    struct emu_fixture *f = *state;
    struct emu_client *client = &f->client;
    struct emu_key key;
    struct emu_counters counters;
    struct azihsm_get_api_rev_resp rev;

    emu_device_reset(f->device);
    emu_device_counters(f->device, &counters);
    assert_int_equal(counters.resets, 1);
    assert_int_equal(counters.sessions, 0);
    assert_int_equal(counters.sessions_flagged, 1);
    assert_int_equal(counters.keys, 0);
    assert_false(counters.provisioned);
    assert_int_equal(emu_unwrapping_key(client, &key), AZIHSM_STATUS_SESSION_NEEDS_RENEGOTIATION);
    assert_int_equal(emu_delete(client, 5), AZIHSM_STATUS_SESSION_NEEDS_RENEGOTIATION);
    assert_int_equal(emu_call(client, AZIHSM_OP_GET_API_REV, NULL, &rev), AZIHSM_OK);
    /* the driver still thinks that the handle has a session */
    assert_int_equal(emu_open_session(client, &f->owner), AZIHSM_STATUS_CREDENTIALS_NOT_ESTABLISHED);
    assert_int_equal(emu_establish(client, &f->owner), AZIHSM_OK);
    assert_int_equal(emu_unwrapping_key(client, &key), AZIHSM_STATUS_SESSION_NEEDS_RENEGOTIATION);
    assert_int_equal(emu_open_session(client, &f->owner), AZIHSM_STATUS_FILE_HANDLE_SESSION_LIMIT_REACHED);
}

/* Before re-establishment ReopenSession says that there is nothing to come back to. */
static void test_reopen_too_early(void **state)
{
    struct emu_fixture *f = *state;
    struct emu_login login;
    struct azihsm_reopen_session_req req;

    assert_int_equal(emu_prepare_login(&f->client, &f->owner, &login), AZIHSM_OK);
    req = (struct azihsm_reopen_session_req){login.cred, login.pub_key, {f->client.bmk_session, 0}};
    emu_device_reset(f->device);
    assert_int_equal(emu_call(&f->client, AZIHSM_OP_REOPEN_SESSION, &req, NULL),
                     AZIHSM_STATUS_PARTITION_NOT_PROVISIONED);
    assert_int_equal(f->client.hdr.has_sess_id, f->kind == AZIHSM_DEVICE_VIRTUAL);
    assert_int_equal(emu_establish(&f->client, &f->owner), AZIHSM_OK);
    /* an old nonce, an empty blob */
    assert_int_equal(emu_call(&f->client, AZIHSM_OP_REOPEN_SESSION, &req, NULL),
                     emu_by_kind(f, AZIHSM_STATUS_NONCE_MISMATCH, AZIHSM_STATUS_PROCESSED_IO_EVENT_IN_INVALID_STATE));
}

/* Revisions and flagged sessions: only reopening looks at them. */
static void test_flagged_revision(void **state)
{
    struct emu_fixture *f = *state;
    struct emu_client *client = &f->client;
    struct emu_login login;
    struct azihsm_reopen_session_req req;
    static const struct azihsm_req_hdr bad[] = {{.has_rev = false}, {.has_rev = true, .rev = {2, 0}}};
    struct emu_submission in = {.request = client->frame, .has_sess_id = true, .sess_id = client->sess_id};

    emu_device_reset(f->device);
    assert_int_equal(emu_establish(client, &f->owner), AZIHSM_OK);
    for (size_t i = 0; i < 2; i++) {
        struct azihsm_req_hdr hdr = bad[i];
        hdr.has_sess_id = true;
        hdr.sess_id = client->sess_id;
        assert_int_equal(emu_prepare_login(client, &f->owner, &login), AZIHSM_OK);
        req = (struct azihsm_reopen_session_req){
            login.cred, login.pub_key, {client->bmk_session, client->bmk_session_len}};
        hdr.op = AZIHSM_OP_REOPEN_SESSION;
        assert_int_equal(
            azihsm_ddi_encode_request(client->kind, &hdr, &req, client->frame, sizeof(client->frame), &in.request_len),
            AZIHSM_OK);
        in.session_kind = AZIHSM_KIND_IN_SESSION;
        assert_int_equal(emu_send(client, &in, NULL, hdr.op), AZIHSM_STATUS_UNSUPPORTED_REVISION);
        hdr.op = AZIHSM_OP_GET_UNWRAPPING_KEY;
        assert_int_equal(
            azihsm_ddi_encode_request(client->kind, &hdr, NULL, client->frame, sizeof(client->frame), &in.request_len),
            AZIHSM_OK);
        assert_int_equal(emu_send(client, &in, NULL, hdr.op), AZIHSM_STATUS_SESSION_NEEDS_RENEGOTIATION);
    }
    struct azihsm_req_hdr hdr = {.op = AZIHSM_OP_CLOSE_SESSION, .has_sess_id = true, .sess_id = client->sess_id};
    assert_int_equal(
        azihsm_ddi_encode_request(client->kind, &hdr, NULL, client->frame, sizeof(client->frame), &in.request_len),
        AZIHSM_OK);
    in.session_kind = AZIHSM_KIND_CLOSE;
    assert_int_equal(emu_send(client, &in, NULL, hdr.op), AZIHSM_OK);
}

static void test_close_flagged(void **state)
{
    struct emu_fixture *f = *state;
    struct emu_counters counters;
    struct emu_client other;

    emu_attach(&other, f->device);
    emu_login_must(&other, &f->owner);
    emu_device_reset(f->device);
    assert_int_equal(emu_close_session(&f->client), AZIHSM_OK); /* also while unprovisioned */
    emu_detach(&other);                                         /* the flush frees a flagged id too */
    emu_device_counters(f->device, &counters);
    assert_int_equal(counters.sessions_flagged, 0);
    assert_int_equal(emu_establish(&f->client, &f->owner), AZIHSM_OK);
    emu_login_must(&f->client, &f->owner);
    assert_int_equal(f->client.sess_id, 0);
}

/* Ids in use before a reset stay reserved, also over the next one, even when all others are taken. */
static void test_ids_reserved(void **state)
{
    struct emu_fixture *f = *state;
    struct emu_client others[8];

    emu_device_reset(f->device);
    emu_device_reset(f->device);
    assert_int_equal(emu_establish(&f->client, &f->owner), AZIHSM_OK);
    for (int i = 0; i < 8; i++) {
        emu_attach(&others[i], f->device);
        assert_int_equal(emu_open_session(&others[i], &f->owner),
                         i < 7 ? AZIHSM_OK : AZIHSM_STATUS_VAULT_SESSION_LIMIT_REACHED);
        assert_int_equal(others[i].sess_id, i < 7 ? i + 1 : 0);
    }
    assert_int_equal(emu_reopen_session(&f->client, &f->owner), AZIHSM_OK);
    assert_int_equal(f->client.sess_id, 0);
    for (int i = 0; i < 8; i++)
        emu_detach(&others[i]);
}

static void test_recovery(void **state)
{
    struct emu_fixture *f = *state;
    struct emu_client *client = &f->client;
    struct emu_key kek, app, session, tagged, out;
    struct azihsm_open_key_req open = {0x1234};
    struct azihsm_open_key_resp opened;

    assert_int_equal(emu_unwrapping_key(client, &kek), AZIHSM_OK);
    take_muk(&f->owner, &kek);
    assert_int_equal(emu_ecc_generate(client, AZIHSM_CURVE_P256, EMU_SIGN_VERIFY, 0, &app), AZIHSM_OK);
    assert_int_equal(emu_ecc_generate(client, AZIHSM_CURVE_P384, EMU_SIGN_VERIFY, 0x1234, &tagged), AZIHSM_OK);
    assert_int_equal(emu_ecc_generate(client, AZIHSM_CURVE_P521, EMU_SIGN_VERIFY | AZIHSM_TKP_SESSION, 0, &session),
                     AZIHSM_OK);
    for (int round = 0; round < 3; round++) {
        emu_device_reset(f->device);
        assert_int_equal(emu_establish(client, &f->owner), AZIHSM_OK);
        assert_int_equal(emu_reopen_session(client, &f->owner), AZIHSM_OK);
        assert_int_equal(emu_delete(client, app.id), AZIHSM_STATUS_KEY_NOT_FOUND);
        assert_int_equal(emu_unmask(client, (struct azihsm_bytes){app.blob, app.blob_len}, &out), AZIHSM_OK);
        assert_memory_equal(out.spki, app.spki, app.spki_len);
        app = out;
        assert_int_equal(emu_unmask(client, (struct azihsm_bytes){session.blob, session.blob_len}, &out), AZIHSM_OK);
        assert_memory_equal(out.spki, session.spki, session.spki_len);
        session = out;
        assert_int_equal(emu_unmask(client, (struct azihsm_bytes){tagged.blob, tagged.blob_len}, &out), AZIHSM_OK);
        assert_int_equal(emu_call(client, AZIHSM_OP_OPEN_KEY, &open, &opened), AZIHSM_OK);
        assert_int_equal(opened.key_id, out.id);
        tagged = out;
        assert_int_equal(emu_unwrapping_key(client, &out), AZIHSM_OK);
        assert_int_equal(out.id, kek.id);
        assert_memory_equal(out.spki, kek.spki, kek.spki_len);
        take_muk(&f->owner, &out);
    }
}

/* Failures after the id was checked leave it flagged: fetch the nonce again and try once more. */
static void test_reopen_failures(void **state)
{
    struct emu_fixture *f = *state;
    struct emu_client *client = &f->client;
    struct emu_owner wrong = f->owner;
    uint8_t seed[48];

    emu_device_reset(f->device);
    assert_int_equal(emu_establish(client, &f->owner), AZIHSM_OK);
    wrong.pin[3] ^= 1;
    assert_int_equal(emu_reopen_session(client, &wrong), AZIHSM_STATUS_INVALID_APP_CREDENTIALS);
    memcpy(seed, client->seed, sizeof(seed));
    client->seed[0] ^= 1;
    assert_int_equal(emu_reopen_session(client, &f->owner),
                     emu_by_kind(f, AZIHSM_STATUS_INTERNAL_ERROR, AZIHSM_STATUS_MASKED_KEY_DECODE_FAILED));
    memcpy(client->seed, seed, sizeof(seed));
    client->bmk_session[150] ^= 1;
    assert_int_equal(emu_reopen_session(client, &f->owner),
                     emu_by_kind(f, AZIHSM_STATUS_INTERNAL_ERROR, AZIHSM_STATUS_MASKED_KEY_DECODE_FAILED));
    client->bmk_session[150] ^= 1;
    assert_int_equal(client->bmk_session_len, f->kind == AZIHSM_DEVICE_VIRTUAL ? 276 : 268);
    assert_int_equal(emu_reopen_session(client, &f->owner), AZIHSM_OK);
    assert_int_equal(emu_reopen_session(client, &f->owner),
                     emu_by_kind(f, AZIHSM_STATUS_INVALID_ARG, AZIHSM_STATUS_PROCESSED_IO_EVENT_IN_INVALID_STATE));
}

/* A second client resets and provisions again: the first one's blobs are good in the second one's session. */
static void test_two_owners(void **state)
{
    struct emu_fixture *f = *state;
    struct emu_client other;
    struct emu_key key, out;

    assert_int_equal(emu_ecc_generate(&f->client, AZIHSM_CURVE_P256, EMU_SIGN_VERIFY, 0, &key), AZIHSM_OK);
    emu_attach(&other, f->device);
    emu_device_reset(f->device);
    emu_provision_must(&other, &f->owner);
    emu_login_must(&other, &f->owner);
    assert_int_equal(other.sess_id, 1);
    assert_int_equal(emu_unmask(&other, (struct azihsm_bytes){key.blob, key.blob_len}, &out), AZIHSM_OK);
    assert_memory_equal(out.spki, key.spki, key.spki_len);
    assert_int_equal(emu_close_session(&f->client), AZIHSM_OK);
    emu_detach(&other);
}

static void test_stale_nonce(void **state)
{
    struct emu_fixture *f = *state;
    struct emu_establish e;

    assert_int_equal(emu_init_bk3(&f->client, &f->owner), AZIHSM_OK);
    assert_int_equal(emu_prepare_establish(&f->client, &f->owner, &e), AZIHSM_OK);
    emu_device_reset(f->device);
    /* the simulator's new identity makes the endorsement stale as well */
    assert_int_equal(emu_send_establish(&f->client, &f->owner, &e),
                     emu_by_kind(f, AZIHSM_STATUS_INVALID_ARG, AZIHSM_STATUS_NONCE_MISMATCH));
    assert_int_equal(emu_establish(&f->client, &f->owner), AZIHSM_OK);
}

/* ---- power cycles ---- */

static void test_saved_state(void **state)
{
    enum azihsm_device_kind kind = *(const enum azihsm_device_kind *)*state;
    struct emu_config config = emu_default_config(kind);
    static uint8_t saved[EMU_STATE_MAX];
    uint8_t blob[100] = {9, 8, 7}, certificate[2048];
    struct azihsm_sealed_bk3 sealed = {{blob, sizeof(blob)}};
    struct azihsm_certificate_req cert_req = {0, 0};
    struct azihsm_certificate_resp cert;
    struct emu_device *device;
    struct emu_owner owner;
    struct emu_client client;
    struct emu_key key, kek, out;
    size_t len, certificate_len;

    assert_int_equal(emu_device_new(&config, NULL, 0, &device), AZIHSM_OK);
    emu_owner_init(&owner);
    emu_attach(&client, device);
    emu_provision_must(&client, &owner);
    emu_login_must(&client, &owner);
    assert_int_equal(emu_unwrapping_key(&client, &kek), AZIHSM_OK);
    take_muk(&owner, &kek);
    assert_int_equal(emu_ecc_generate(&client, AZIHSM_CURVE_P256, EMU_SIGN_VERIFY, 0, &key), AZIHSM_OK);
    assert_int_equal(emu_call(&client, AZIHSM_OP_SET_SEALED_BK3, &sealed, NULL), AZIHSM_OK);
    assert_int_equal(emu_call(&client, AZIHSM_OP_GET_CERTIFICATE, &cert_req, &cert), AZIHSM_OK);
    certificate_len = cert.certificate.len;
    memcpy(certificate, cert.certificate.data, certificate_len);
    assert_int_equal(emu_device_save(device, saved, sizeof(saved), &len), AZIHSM_OK);
    assert_int_equal(emu_device_save(device, saved, 40, &len), AZIHSM_E_ENCODE);
    assert_int_equal(emu_device_save(device, saved, sizeof(saved), &len), AZIHSM_OK);
    emu_detach(&client);
    emu_device_free(device);

    assert_int_equal(emu_device_new(&config, saved, len, &device), AZIHSM_OK);
    emu_attach(&client, device);
    assert_int_equal(emu_call(&client, AZIHSM_OP_GET_SEALED_BK3, NULL, &sealed), AZIHSM_OK);
    assert_int_equal(sealed.sealed_bk3.len, sizeof(blob));
    assert_memory_equal(sealed.sealed_bk3.data, blob, sizeof(blob));
    assert_int_equal(emu_call(&client, AZIHSM_OP_GET_CERTIFICATE, &cert_req, &cert), AZIHSM_OK);
    assert_int_equal(cert.certificate.len == certificate_len &&
                         memcmp(cert.certificate.data, certificate, certificate_len) == 0,
                     kind == AZIHSM_DEVICE_PHYSICAL);
    assert_int_equal(emu_establish(&client, &owner), AZIHSM_OK); /* old masked BK3, BMK and MUK */
    emu_login_must(&client, &owner);
    assert_int_equal(emu_unmask(&client, (struct azihsm_bytes){key.blob, key.blob_len}, &out), AZIHSM_OK);
    assert_memory_equal(out.spki, key.spki, key.spki_len);
    emu_detach(&client);
    emu_device_free(device);
    emu_owner_free(&owner);
}

static void test_corrupt_state(void **state)
{
    enum azihsm_device_kind kind = *(const enum azihsm_device_kind *)*state;
    struct emu_config config = emu_default_config(kind);
    static uint8_t saved[EMU_STATE_MAX];
    struct emu_device *device;
    size_t len;

    assert_int_equal(emu_device_new(&config, NULL, 0, &device), AZIHSM_OK);
    assert_int_equal(emu_device_save(device, saved, sizeof(saved), &len), AZIHSM_OK);
    emu_device_free(device);
    assert_int_equal(emu_device_new(&config, saved, 0, &device), AZIHSM_E_DECODE);
    assert_int_equal(emu_device_new(&config, saved, len - 1, &device), AZIHSM_E_DECODE);
    assert_int_equal(emu_device_new(&config, saved, len + 1, &device), AZIHSM_E_DECODE);
    saved[0] ^= 0x20; /* no map */
    assert_int_equal(emu_device_new(&config, saved, len, &device), AZIHSM_E_DECODE);
    saved[0] ^= 0x20;
    for (size_t i = 0; i < 6; i++) { /* version, keys, lengths */
        saved[i] ^= 1;
        assert_int_equal(emu_device_new(&config, saved, len, &device), AZIHSM_E_DECODE);
        saved[i] ^= 1;
    }
    assert_int_equal(emu_device_new(&config, saved, len, &device), AZIHSM_OK);
    emu_device_free(device);
    /* of the other kind: the secrets count, an identity is made when there is none */
    config.kind = kind == AZIHSM_DEVICE_VIRTUAL ? AZIHSM_DEVICE_PHYSICAL : AZIHSM_DEVICE_VIRTUAL;
    assert_int_equal(emu_device_new(&config, saved, len, &device), AZIHSM_OK);
    emu_device_free(device);
}

static void test_bad_config(void **state)
{
    struct emu_config config = emu_default_config(AZIHSM_DEVICE_VIRTUAL);
    struct emu_device *device;

    (void)state;
    config.tables = 0;
    assert_int_equal(emu_device_new(&config, NULL, 0, &device), AZIHSM_E_ARGUMENT);
    config.tables = 256;
    assert_int_equal(emu_device_new(&config, NULL, 0, &device), AZIHSM_E_ARGUMENT);
    config.tables = 255;
    config.sessions_max = 0;
    assert_int_equal(emu_device_new(&config, NULL, 0, &device), AZIHSM_E_ARGUMENT);
    config.sessions_max = 65535;
    config.kind = 3;
    assert_int_equal(emu_device_new(&config, NULL, 0, &device), AZIHSM_E_ARGUMENT);
    config.kind = AZIHSM_DEVICE_VIRTUAL;
    assert_int_equal(emu_device_new(&config, NULL, 0, &device), AZIHSM_OK);
    emu_device_free(device);
}

static void test_power_off_when_idle(void **state)
{
    struct emu_config config = emu_default_config(AZIHSM_DEVICE_VIRTUAL);
    struct emu_device *device;
    struct emu_owner owner;
    struct emu_client client, other;
    struct azihsm_sealed_bk3 sealed = {{owner.bk3, 48}};
    struct emu_counters counters;

    (void)state;
    config.power_off_when_idle = true;
    assert_int_equal(emu_device_new(&config, NULL, 0, &device), AZIHSM_OK);
    emu_owner_init(&owner);
    emu_attach(&client, device);
    emu_attach(&other, device);
    emu_provision_must(&client, &owner);
    assert_int_equal(emu_call(&client, AZIHSM_OP_SET_SEALED_BK3, &sealed, NULL), AZIHSM_OK);
    emu_login_must(&client, &owner);
    emu_detach(&client);
    emu_device_counters(device, &counters);
    assert_true(counters.provisioned); /* somebody is still there */
    emu_detach(&other);
    emu_attach(&client, device);
    emu_device_counters(device, &counters);
    assert_false(counters.provisioned);
    assert_int_equal(emu_call(&client, AZIHSM_OP_GET_SEALED_BK3, NULL, &sealed), AZIHSM_STATUS_SEALED_BK3_NOT_PRESENT);
    assert_int_equal(emu_establish(&client, &owner), AZIHSM_OK); /* the boot key is the same */
    emu_detach(&client);
    emu_owner_free(&owner);
    emu_device_free(device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        EMU_READY(test_flagged),
        EMU_READY(test_reopen_too_early),
        EMU_READY(test_flagged_revision),
        EMU_READY(test_close_flagged),
        EMU_READY(test_ids_reserved),
        EMU_READY(test_recovery),
        EMU_READY(test_reopen_failures),
        EMU_READY(test_two_owners),
        EMU_FRESH(test_stale_nonce),
        cmocka_unit_test_prestate(test_saved_state, &emu_kinds[0]),
        cmocka_unit_test_prestate(test_saved_state, &emu_kinds[1]),
        cmocka_unit_test_prestate(test_corrupt_state, &emu_kinds[0]),
        cmocka_unit_test_prestate(test_corrupt_state, &emu_kinds[1]),
        cmocka_unit_test(test_bad_config),
        cmocka_unit_test(test_power_off_when_idle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
