/*
 * Sessions: opening, reopening, closing, the PIN, limits and the flush (device-behaviour 2.4, 3.3, 3.4).
 */
#include "emu_client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void test_tampered_open(void **state)
{
    struct emu_fixture *f = *state;
    struct emu_client other;
    struct emu_login login;

    emu_attach(&other, f->device);
    assert_int_equal(emu_prepare_login(&other, &f->owner, &login), AZIHSM_OK);
    uint8_t *const spoilt[] = {login.sealed.encrypted.id, login.sealed.encrypted.pin + 7,
                               login.sealed.encrypted.seed + 47, login.sealed.iv + 15, login.cred.tag + 20};
    for (size_t i = 0; i < sizeof(spoilt) / sizeof(spoilt[0]); i++) {
        *spoilt[i] ^= 4;
        assert_int_equal(emu_send_open(&other, &login), AZIHSM_STATUS_PIN_DECRYPTION_FAILED);
        *spoilt[i] ^= 4;
    }
    login.cred.nonce[0] ^= 1;
    assert_int_equal(emu_send_open(&other, &login), AZIHSM_STATUS_NONCE_MISMATCH);
    login.cred.nonce[0] ^= 1;
    login.sealed.encrypted.seed[47] |= 1;
    login.cred.encrypted_seed.len = 47;
    assert_int_equal(emu_send_open(&other, &login),
                     emu_by_kind(f, AZIHSM_STATUS_PIN_DECRYPTION_FAILED, AZIHSM_STATUS_INVALID_ARG));
    assert_int_equal(emu_prepare_login(&other, &f->owner, &login), AZIHSM_OK);
    assert_int_equal(emu_send_open(&other, &login), AZIHSM_OK);
    assert_int_equal(other.sess_id, 1);
    assert_int_equal(other.short_app_id, 0);
    /* replay on a third handle */
    struct emu_client third;
    emu_attach(&third, f->device);
    assert_int_equal(emu_send_open(&third, &login), AZIHSM_STATUS_NONCE_MISMATCH);
    emu_detach(&third);
    emu_detach(&other);
}

static void test_wrong_credentials(void **state)
{
    struct emu_fixture *f = *state;
    struct emu_owner wrong;
    struct emu_client other;
    struct emu_login before;

    emu_attach(&other, f->device);
    assert_int_equal(emu_prepare_login(&other, &f->owner, &before), AZIHSM_OK);
    for (int i = 0; i < 4; i++) {
        wrong = f->owner;
        uint8_t *field = i % 2 == 0 ? wrong.id : wrong.pin;
        if (i < 2)
            field[15] ^= 1;
        else
            memset(field, 0, 16);
        assert_int_equal(emu_open_session(&other, &wrong), AZIHSM_STATUS_INVALID_APP_CREDENTIALS);
    }
    /* a well-formed attempt rotates the nonce */
    assert_int_equal(emu_send_open(&other, &before), AZIHSM_STATUS_NONCE_MISMATCH);
    /* the handle has no session, a retry is allowed */
    assert_int_equal(emu_open_session(&other, &f->owner), AZIHSM_OK);
    emu_detach(&other);
}

static void test_limit(void **state)
{
    struct emu_fixture *f = *state;
    struct emu_client others[8];

    for (int i = 0; i < 8; i++)
        emu_attach(&others[i], f->device);
    for (int i = 0; i < 7; i++) {
        assert_int_equal(emu_open_session(&others[i], &f->owner), AZIHSM_OK);
        assert_int_equal(others[i].sess_id, i + 1);
    }
    assert_int_equal(emu_open_session(&others[7], &f->owner), AZIHSM_STATUS_VAULT_SESSION_LIMIT_REACHED);
    assert_int_equal(emu_close_session(&others[3]), AZIHSM_OK);
    assert_int_equal(emu_open_session(&others[7], &f->owner), AZIHSM_OK);
    assert_int_equal(others[7].sess_id, 4);
    emu_detach(&others[0]); /* the flush */
    assert_int_equal(emu_open_session(&others[3], &f->owner), AZIHSM_OK);
    assert_int_equal(others[3].sess_id, 1);
    for (int i = 1; i < 8; i++)
        emu_detach(&others[i]);
}

static void test_close(void **state)
{
    struct emu_fixture *f = *state;
    struct emu_client *client = &f->client, other;
    struct emu_key app, session;
    struct emu_counters before, after;

    emu_attach(&other, f->device);
    emu_login_must(&other, &f->owner);
    emu_device_counters(f->device, &before);
    assert_int_equal(emu_ecc_generate(client, AZIHSM_CURVE_P256, EMU_SIGN_VERIFY, 3, &app), AZIHSM_OK);
    assert_int_equal(emu_ecc_generate(client, AZIHSM_CURVE_P256, EMU_SIGN_VERIFY | AZIHSM_TKP_SESSION, 0, &session),
                     AZIHSM_OK);
    /* of another session: not usable, not deletable */
    assert_int_equal(emu_delete(&other, session.id), AZIHSM_STATUS_INVALID_PERMISSIONS);
    assert_int_equal(emu_close_session(client), AZIHSM_OK);
    assert_false(emu_handle_session(client->handle, &client->sess_id, &client->short_app_id));
    assert_int_equal(emu_call(client, AZIHSM_OP_CLOSE_SESSION, NULL, NULL),
                     AZIHSM_STATUS_FILE_HANDLE_NO_EXISTING_SESSION);
    assert_int_equal(emu_delete(&other, session.id), AZIHSM_STATUS_KEY_NOT_FOUND);
    assert_int_equal(emu_delete(&other, app.id), AZIHSM_OK);
    emu_device_counters(f->device, &after);
    assert_int_equal(after.keys, before.keys);
    assert_int_equal(after.sessions, before.sessions - 1);
    assert_int_equal(after.key_bytes, before.key_bytes - 8);
    emu_detach(&other);
}

static void test_change_pin(void **state)
{
    struct emu_fixture *f = *state;
    struct emu_client other;
    struct emu_owner changed = f->owner;
    uint8_t zero[16] = {0};

    changed.pin[0] ^= 0x55;
    emu_attach(&other, f->device);
    assert_int_equal(emu_change_pin(&f->client, zero), AZIHSM_STATUS_INVALID_APP_CREDENTIALS);
    assert_int_equal(emu_change_pin(&f->client, changed.pin), AZIHSM_OK);
    assert_int_equal(emu_open_session(&other, &f->owner), AZIHSM_STATUS_INVALID_APP_CREDENTIALS);
    assert_int_equal(emu_open_session(&other, &changed), AZIHSM_OK);
    assert_int_equal(emu_change_pin(&other, changed.pin), AZIHSM_OK); /* the same one is accepted */
    assert_int_equal(emu_change_pin(&f->client, f->owner.pin), AZIHSM_OK);
    assert_int_equal(emu_close_session(&other), AZIHSM_OK);
    assert_int_equal(emu_open_session(&other, &f->owner), AZIHSM_OK);
    emu_detach(&other);
}

static void test_change_pin_tampered(void **state)
{
    struct emu_fixture *f = *state;
    struct credential_fields fields = {{0}, {9, 9}, {0}};
    struct credential_sealed sealed;
    uint8_t nonce[32], spki[CREDENTIAL_SPKI_SIZE];
    struct azihsm_change_pin_req req;
    EVP_PKEY *key;

    assert_int_equal(emu_encryption_key(&f->client, AZIHSM_OP_GET_SESSION_ENCRYPTION_KEY, &key, nonce), AZIHSM_OK);
    assert_int_equal(credential_seal(NULL, CREDENTIAL_CHANGE_PIN, key, nonce, &fields, &sealed, spki), AZIHSM_OK);
    EVP_PKEY_free(key);
    req.new_pin.encrypted_pin = (struct azihsm_bytes){sealed.encrypted.pin, 16};
    req.new_pin.iv = (struct azihsm_bytes){sealed.iv, 16};
    memcpy(req.new_pin.nonce, nonce, 32);
    memcpy(req.new_pin.tag, sealed.tag, 48);
    req.pub_key = (struct azihsm_pub_key){{spki, sizeof(spki)}, AZIHSM_KEY_ECC384_PUBLIC};
    req.new_pin.nonce[3] ^= 1;
    assert_int_equal(emu_call(&f->client, AZIHSM_OP_CHANGE_PIN, &req, NULL), AZIHSM_STATUS_NONCE_MISMATCH);
    req.new_pin.nonce[3] ^= 1;
    req.new_pin.tag[3] ^= 1;
    assert_int_equal(emu_call(&f->client, AZIHSM_OP_CHANGE_PIN, &req, NULL), AZIHSM_STATUS_PIN_DECRYPTION_FAILED);
    req.new_pin.tag[3] ^= 1;
    spki[100] ^= 1; /* the firmware does not validate this point */
    assert_int_equal(emu_call(&f->client, AZIHSM_OP_CHANGE_PIN, &req, NULL),
                     emu_by_kind(f, AZIHSM_STATUS_KEY_DECODE_FAILED, AZIHSM_STATUS_PIN_DECRYPTION_FAILED));
    spki[100] ^= 1;
    req.new_pin.iv.len = 8;
    sealed.iv[15] |= 1;
    assert_int_equal(emu_call(&f->client, AZIHSM_OP_CHANGE_PIN, &req, NULL),
                     emu_by_kind(f, AZIHSM_STATUS_PIN_DECRYPTION_FAILED, AZIHSM_STATUS_INVALID_ARG));
}

static void test_reopen_unflagged(void **state)
{
    struct emu_fixture *f = *state;
    struct emu_client *client = &f->client;

    assert_int_equal(emu_reopen_session(client, &f->owner),
                     emu_by_kind(f, AZIHSM_STATUS_INVALID_ARG, AZIHSM_STATUS_PROCESSED_IO_EVENT_IN_INVALID_STATE));
    assert_int_equal(emu_close_session(client), AZIHSM_OK);
}

static void test_lockout(void **state)
{
    struct emu_config config = emu_default_config(*(const enum azihsm_device_kind *)*state);
    struct emu_device *device;
    struct emu_owner owner, wrong;
    struct emu_client client;

    config.pin_lockout = true;
    assert_int_equal(emu_device_new(&config, NULL, 0, &device), AZIHSM_OK);
    emu_owner_init(&owner);
    emu_attach(&client, device);
    emu_provision_must(&client, &owner);
    wrong = owner;
    wrong.pin[1] ^= 1;
    for (int i = 0; i < 999; i++)
        assert_int_equal(emu_open_session(&client, &wrong), AZIHSM_STATUS_INVALID_APP_CREDENTIALS);
    emu_login_must(&client, &owner); /* the first 999 impose no delay; a success clears the count */
    assert_int_equal(emu_close_session(&client), AZIHSM_OK);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(emu_open_session(&client, &wrong), AZIHSM_STATUS_INVALID_APP_CREDENTIALS);
    assert_int_equal(emu_open_session(&client, &owner), AZIHSM_STATUS_LOGIN_FAILED);
    emu_device_reset(device);
    emu_provision_must(&client, &owner);
    emu_login_must(&client, &owner);
    emu_detach(&client);
    emu_owner_free(&owner);
    emu_device_free(device);
}

static void test_many_sessions(void **state)
{
    struct emu_config config = emu_default_config(AZIHSM_DEVICE_VIRTUAL);
    static struct emu_client clients[600];
    struct emu_device *device;
    struct emu_owner owner;

    (void)state;
    config.sessions_max = 600;
    config.tables = 255;
    assert_int_equal(emu_device_new(&config, NULL, 0, &device), AZIHSM_OK);
    emu_owner_init(&owner);
    for (int i = 0; i < 600; i++) {
        emu_attach(&clients[i], device);
        if (i == 0)
            emu_provision_must(&clients[0], &owner);
        emu_login_must(&clients[i], &owner);
        assert_int_equal(clients[i].sess_id, i);
    }
    for (int i = 0; i < 600; i++)
        emu_detach(&clients[i]);
    emu_owner_free(&owner);
    emu_device_free(device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        EMU_READY(test_tampered_open),
        EMU_READY(test_wrong_credentials),
        EMU_READY(test_limit),
        EMU_READY(test_close),
        EMU_READY(test_change_pin),
        EMU_READY(test_change_pin_tampered),
        EMU_READY(test_reopen_unflagged),
        cmocka_unit_test_prestate(test_lockout, &emu_kinds[0]),
        cmocka_unit_test(test_many_sessions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
