/*
 * Key namespaces of connections: ids apart, the device's own ids everywhere, tags shared within a user.
 */
#include "emu_client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void attach_to(struct emu_client *client, struct emu_fixture *f, struct emu_namespace *ns)
{
    emu_attach(client, f->device);
    emu_handle_close(client->handle);
    client->handle = emu_handle_open(f->device, ns);
    emu_login_must(client, &f->owner);
}

static azihsm_rc sign(struct emu_client *client, uint16_t id)
{
    uint8_t digest[32] = {7}, raw[132];
    size_t len;
    return emu_sign(client, id, AZIHSM_HASH_SHA256, (struct azihsm_bytes){digest, 32}, raw, &len);
}

static azihsm_rc open_key(struct emu_client *client, uint16_t tag, uint16_t *id)
{
    struct azihsm_open_key_req req = {tag};
    struct azihsm_open_key_resp resp;
    azihsm_rc rc = emu_call(client, AZIHSM_OP_OPEN_KEY, &req, &resp);
    if (rc == AZIHSM_OK)
        *id = resp.key_id;
    return rc;
}

static void test_apart(void **state)
{
    struct emu_fixture *f = *state;
    struct emu_namespace *a = emu_namespace_new(f->device, 1000), *b = emu_namespace_new(f->device, 1000);
    struct emu_client in_a, in_a2, in_b;
    struct emu_key kek, other_kek, key, key_b, out;

    attach_to(&in_a, f, a);
    attach_to(&in_a2, f, a);
    attach_to(&in_b, f, b);
    assert_int_equal(emu_unwrapping_key(&in_a, &kek), AZIHSM_OK);
    assert_int_equal(emu_unwrapping_key(&f->client, &other_kek), AZIHSM_OK);
    assert_int_equal(kek.id, 0);
    assert_memory_equal(kek.spki, other_kek.spki, kek.spki_len);
    assert_int_equal(emu_ecc_generate(&in_a, AZIHSM_CURVE_P256, EMU_SIGN_VERIFY, 0, &key), AZIHSM_OK);
    assert_int_equal(key.id, 6); /* 0..3 internal, two sessions */
    assert_int_equal(sign(&in_a2, key.id), AZIHSM_OK);
    assert_int_equal(sign(&in_b, key.id), AZIHSM_STATUS_KEY_NOT_FOUND);
    assert_int_equal(sign(&f->client, key.id), AZIHSM_STATUS_KEY_NOT_FOUND);
    assert_int_equal(emu_ecc_generate(&in_b, AZIHSM_CURVE_P256, EMU_SIGN_VERIFY, 0, &key_b), AZIHSM_OK);
    /* the blob is the capability */
    assert_int_equal(emu_unmask(&in_b, (struct azihsm_bytes){key.blob, key.blob_len}, &out), AZIHSM_OK);
    assert_memory_equal(out.spki, key.spki, key.spki_len);
    for (uint16_t id = 0; id < 4; id++)
        assert_int_equal(emu_delete(&in_a, id), AZIHSM_STATUS_CANNOT_DELETE_INTERNAL_KEYS);
    assert_int_equal(sign(&in_a, 2), AZIHSM_STATUS_KEY_NOT_FOUND);
    emu_device_reset(f->device); /* reaches all of them */
    assert_int_equal(emu_establish(&f->client, &f->owner), AZIHSM_OK);
    assert_int_equal(emu_reopen_session(&in_a, &f->owner), AZIHSM_OK);
    assert_int_equal(sign(&in_a, key.id), AZIHSM_STATUS_KEY_NOT_FOUND);
    emu_detach(&in_a);
    emu_detach(&in_a2);
    emu_detach(&in_b);
    emu_namespace_free(a);
    emu_namespace_free(b);
}

static void test_shared_tags(void **state)
{
    struct emu_fixture *f = *state;
    struct emu_namespace *a = emu_namespace_new(f->device, 1000), *b = emu_namespace_new(f->device, 1000);
    struct emu_namespace *stranger = emu_namespace_new(f->device, 1001), *c;
    struct emu_client in_a, in_b, in_c, in_stranger;
    struct emu_key key, out;
    uint16_t id = 0, again = 0;

    attach_to(&in_a, f, a);
    attach_to(&in_b, f, b);
    attach_to(&in_stranger, f, stranger);
    assert_int_equal(emu_ecc_generate(&in_a, AZIHSM_CURVE_P256, EMU_SIGN_VERIFY, 0x12, &key), AZIHSM_OK);
    assert_int_equal(open_key(&in_b, 0x12, &id), AZIHSM_OK);
    assert_int_equal(open_key(&in_b, 0x12, &again), AZIHSM_OK);
    assert_int_equal(again, id);
    assert_int_equal(sign(&in_b, id), AZIHSM_OK);
    assert_int_equal(emu_ecc_generate(&in_b, AZIHSM_CURVE_P256, EMU_SIGN_VERIFY, 0x12, &out),
                     AZIHSM_STATUS_KEY_TAG_ALREADY_EXISTS);
    assert_int_equal(open_key(&in_stranger, 0x12, &again), AZIHSM_STATUS_KEY_NOT_FOUND);
    assert_int_equal(open_key(&f->client, 0x12, &again), AZIHSM_STATUS_KEY_NOT_FOUND);
    assert_int_equal(emu_ecc_generate(&in_stranger, AZIHSM_CURVE_P256, EMU_SIGN_VERIFY, 0x12, &out), AZIHSM_OK);
    /* it outlives the connection that made it */
    emu_detach(&in_a);
    emu_namespace_free(a);
    emu_detach(&in_b);
    emu_namespace_free(b);
    c = emu_namespace_new(f->device, 1000);
    attach_to(&in_c, f, c);
    b = emu_namespace_new(f->device, 1000);
    attach_to(&in_b, f, b);
    assert_int_equal(open_key(&in_c, 0x12, &id), AZIHSM_OK);
    assert_int_equal(sign(&in_c, id), AZIHSM_OK);
    assert_int_equal(open_key(&in_b, 0x12, &again), AZIHSM_OK);
    /* and is deleted for everybody of that user */
    assert_int_equal(emu_delete(&in_c, id), AZIHSM_OK);
    assert_int_equal(sign(&in_b, again), AZIHSM_STATUS_KEY_NOT_FOUND);
    assert_int_equal(emu_delete(&in_b, again), AZIHSM_STATUS_KEY_NOT_FOUND);
    assert_int_equal(open_key(&in_b, 0x12, &again), AZIHSM_STATUS_KEY_NOT_FOUND);
    assert_int_equal(open_key(&in_stranger, 0x12, &again), AZIHSM_OK);
    emu_detach(&in_b);
    emu_detach(&in_c);
    emu_detach(&in_stranger);
    emu_namespace_free(b);
    emu_namespace_free(c);
    emu_namespace_free(stranger);
}

/* Entries of keys that were deleted elsewhere are found again when room is short. */
static void test_reap(void **state)
{
    struct emu_fixture *f = *state;
    struct emu_namespace *a = emu_namespace_new(f->device, 7), *b = emu_namespace_new(f->device, 7);
    struct emu_client in_a, in_b;
    struct emu_key key;
    uint16_t id = 0;
    unsigned made = 0;

    attach_to(&in_a, f, a);
    attach_to(&in_b, f, b);
    for (uint16_t tag = 1; tag <= 3; tag++) {
        assert_int_equal(emu_aes_generate(&in_a, AZIHSM_AES_SIZE_128, EMU_ENC_DEC, tag, &key), AZIHSM_OK);
        assert_int_equal(open_key(&in_b, tag, &id), AZIHSM_OK);
        assert_int_equal(emu_delete(&in_a, key.id), AZIHSM_OK);
    }
    while (emu_aes_generate(&in_b, AZIHSM_AES_SIZE_128, EMU_ENC_DEC, 0, &key) == AZIHSM_OK)
        made++;
    assert_int_equal(made, 256 - 4 - 1);
    emu_detach(&in_a);
    emu_detach(&in_b);
    emu_namespace_free(a);
    emu_namespace_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        EMU_READY(test_apart),
        EMU_READY(test_shared_tags),
        EMU_READY(test_reap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
