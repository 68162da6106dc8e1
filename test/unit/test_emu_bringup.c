/*
 * From power-on to a session and back: bring-up in both profiles, key numbering, recovery after a reset.
 */
#include "emu_client.h"

#include "crypto/ecdsa.h"

#include <openssl/rand.h>

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const enum azihsm_device_kind kinds[] = {AZIHSM_DEVICE_VIRTUAL, AZIHSM_DEVICE_PHYSICAL};
enum { KINDS = 2 };

static void use_keys(struct emu_client *client)
{
    struct emu_key kek, ecc, rsa, again;
    uint8_t digest[32] = {1, 2, 3}, raw[ECDSA_RAW_MAX], der[3000], y[256] = {0x01, 0x23}, x[256];
    struct azihsm_rsa_mod_exp_req req = {.y = {y, sizeof(y)}, .op_type = AZIHSM_RSA_SIGN};
    struct azihsm_rsa_mod_exp_resp resp;
    size_t raw_len, der_len;

    assert_int_equal(emu_unwrapping_key(client, &kek), AZIHSM_OK);
    assert_int_equal(kek.id, 0);
    assert_int_equal(emu_ecc_generate(client, AZIHSM_CURVE_P256, EMU_SIGN_VERIFY, 0, &ecc), AZIHSM_OK);
    assert_int_equal(emu_sign(client, ecc.id, AZIHSM_HASH_SHA256, (struct azihsm_bytes){digest, 32}, raw, &raw_len),
                     AZIHSM_OK);
    assert_int_equal(raw_len, 64);
    der_len = emu_pkcs8_must(AZIHSM_CLASS_RSA, 2048, NULL, der, sizeof(der));
    assert_int_equal(
        emu_import(client, &kek, AZIHSM_CLASS_RSA, (struct azihsm_bytes){der, der_len}, EMU_SIGN_VERIFY, 7, &rsa),
        AZIHSM_OK);
    req.key_id = rsa.id;
    assert_int_equal(emu_call(client, AZIHSM_OP_RSA_MOD_EXP, &req, &resp), AZIHSM_OK);
    assert_int_equal(resp.x.len, 256);
    memcpy(x, resp.x.data, sizeof(x));
    assert_int_equal(emu_delete(client, rsa.id), AZIHSM_OK);
    assert_int_equal(emu_call(client, AZIHSM_OP_RSA_MOD_EXP, &req, &resp), AZIHSM_STATUS_KEY_NOT_FOUND);
    assert_int_equal(emu_unmask(client, (struct azihsm_bytes){rsa.blob, rsa.blob_len}, &again), AZIHSM_OK);
    assert_int_equal(again.id, rsa.id);
    assert_memory_equal(again.spki, rsa.spki, rsa.spki_len);
    assert_int_equal(emu_call(client, AZIHSM_OP_RSA_MOD_EXP, &req, &resp), AZIHSM_OK);
    assert_memory_equal(resp.x.data, x, sizeof(x));
    assert_int_equal(emu_delete(client, again.id), AZIHSM_OK);
    assert_int_equal(emu_delete(client, ecc.id), AZIHSM_OK);
}

static void test_all_the_way(void **state)
{
    (void)state;
    for (int i = 0; i < KINDS; i++) {
        struct emu_device *device = emu_power_on_must(kinds[i]);
        struct emu_owner owner;
        struct emu_client client;

        emu_owner_init(&owner);
        emu_attach(&client, device);
        assert_int_equal(client.kind, kinds[i]);
        assert_int_equal(emu_open_session(&client, &owner), AZIHSM_STATUS_CREDENTIALS_NOT_ESTABLISHED);
        emu_provision_must(&client, &owner);
        emu_login_must(&client, &owner);
        assert_int_equal(client.sess_id, 0);
        use_keys(&client);
        assert_int_equal(emu_close_session(&client), AZIHSM_OK);
        emu_login_must(&client, &owner);
        emu_detach(&client);
        emu_owner_free(&owner);
        emu_device_free(device);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_the_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
