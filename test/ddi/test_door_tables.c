/*
 * What fits (device-behaviour 1.2, 1.3): 7 x T RSA-2048 keys with tags, 7 x T bulk keys, all entries, session slots,
 * with T = 1, 4 and 64 tables; the numbering of ids; what is told when nothing fits any more.
 */
#include "door.h"

#include "emu_client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { PER_TABLE = 7, ENTRIES = 256, SESSIONS = 8 };

static unsigned tables_of_test;
static enum azihsm_device_kind kind_of_test;

static int setup(void **state)
{
    struct emu_fixture *f = calloc(1, sizeof(*f));
    struct emu_config config;

    kind_of_test = (uintptr_t)*state % 2 == 0 ? AZIHSM_DEVICE_VIRTUAL : AZIHSM_DEVICE_PHYSICAL;
    tables_of_test = (unsigned)((uintptr_t)*state / 2);
    config = emu_default_config(kind_of_test);
    config.tables = tables_of_test;
    f->kind = kind_of_test;
    assert_int_equal(emu_device_new(&config, NULL, 0, &f->device), AZIHSM_OK);
    emu_owner_init(&f->owner);
    emu_attach(&f->client, f->device);
    emu_provision_must(&f->client, &f->owner);
    emu_login_must(&f->client, &f->owner);
    *state = f;
    return 0;
}

#define WITH_TABLES(test, tables)                                                                                      \
    {#test "/" #tables "/virtual", test, setup, emu_teardown, (void *)(uintptr_t)(2 * (tables))},                      \
    {                                                                                                                  \
#test "/" #tables "/physical", test, setup, emu_teardown, (void *)(uintptr_t)(2 * (tables) + 1)                \
    }

static void fill_sessions(struct emu_fixture *f, struct emu_client clients[SESSIONS])
{
    for (int i = 1; i < SESSIONS; i++) {
        emu_attach(&clients[i], f->device);
        emu_login_must(&clients[i], &f->owner);
        assert_int_equal(clients[i].sess_id, i);
    }
}

static void empty_sessions(struct emu_client clients[SESSIONS])
{
    for (int i = 1; i < SESSIONS; i++)
        emu_detach(&clients[i]);
}

static void test_info(void **state)
{
    struct emu_fixture *f = *state;
    struct azihsm_get_device_info_resp info;

    assert_int_equal(emu_call(&f->client, AZIHSM_OP_GET_DEVICE_INFO, NULL, &info), AZIHSM_OK);
    assert_int_equal(info.tables, tables_of_test);
    assert_int_equal(info.kind, f->kind);
    assert_false(info.fips_approved);
}

/* RSA keys beside the internal keys and 8 sessions; each can be found by its tag. */
static void test_rsa(void **state)
{
    struct emu_fixture *f = *state;
    struct emu_client clients[SESSIONS];
    uint8_t der[AZIHSM_WRAPPED_BLOB_MAX];
    size_t len = emu_pkcs8_must(AZIHSM_CLASS_RSA, 2048, NULL, der, sizeof(der));
    unsigned count = PER_TABLE * tables_of_test;
    struct emu_key kek, key;
    uint16_t *ids = calloc(count, sizeof(*ids));

    fill_sessions(f, clients);
    assert_int_equal(emu_unwrapping_key(&f->client, &kek), AZIHSM_OK);
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(emu_import(&f->client, &kek, i % 2 == 0 ? AZIHSM_CLASS_RSA : AZIHSM_CLASS_RSA_CRT,
                                    (struct azihsm_bytes){der, len}, EMU_SIGN_VERIFY, (uint16_t)(i + 1), &key),
                         AZIHSM_OK);
        ids[i] = key.id;
        assert_true(key.id >> 8 < (int)tables_of_test && key.id != 0);
        for (unsigned k = 0; k < i; k++)
            assert_int_not_equal(ids[k], ids[i]);
    }
    for (unsigned i = 0; i < count; i++) {
        struct azihsm_open_key_req req = {(uint16_t)(i + 1)};
        struct azihsm_open_key_resp resp;

        assert_int_equal(emu_call(&f->client, AZIHSM_OP_OPEN_KEY, &req, &resp), AZIHSM_OK);
        assert_int_equal(resp.key_id, ids[i]);
        assert_int_equal(resp.key_kind, i % 2 == 0 ? 1 : 4);
        assert_true(resp.has_pub_key);
    }
    assert_int_equal(
        emu_import(&f->client, &kek, AZIHSM_CLASS_RSA, (struct azihsm_bytes){der, len}, EMU_SIGN_VERIFY, 1, NULL),
        AZIHSM_STATUS_KEY_TAG_ALREADY_EXISTS);
    free(ids);
    empty_sessions(clients);
}

static void test_bulk(void **state)
{
    struct emu_fixture *f = *state;
    struct emu_client clients[SESSIONS];
    struct emu_key key;

    fill_sessions(f, clients);
    for (unsigned i = 0; i < PER_TABLE * tables_of_test; i++) {
        assert_int_equal(emu_aes_generate(&f->client, AZIHSM_AES_SIZE_XTS_BULK256 + i % 3, EMU_ENC_DEC, 0, &key),
                         AZIHSM_OK);
        assert_int_equal(key.bulk_id, key.id);
    }
    empty_sessions(clients);
}

/* On a fresh partition all ids from 20 on are free; fill up to the last entry; tag before space; freed ids at once. */
static void test_entries(void **state)
{
    struct emu_fixture *f = *state;
    struct emu_client clients[SESSIONS];
    struct emu_key key, kek;
    unsigned made = 0;
    azihsm_rc rc;

    fill_sessions(f, clients);
    assert_int_equal(emu_unwrapping_key(&f->client, &kek), AZIHSM_OK);
    assert_int_equal(kek.id, 0);
    for (uint16_t id = 20; id < ENTRIES; id += 59)
        assert_int_equal(emu_delete(&f->client, id), AZIHSM_STATUS_KEY_NOT_FOUND);
    assert_int_equal(emu_delete(&f->client, (uint16_t)(tables_of_test << 8)),
                     emu_by_kind(f, AZIHSM_STATUS_INVALID_KEY_NUMBER, AZIHSM_STATUS_KEY_NOT_FOUND));
    /* 4 entries are the device's own, 8 are sessions */
    while ((rc = emu_aes_generate(&f->client, 1, EMU_ENC_DEC, made == 5 ? 77 : 0, &key)) == AZIHSM_OK) {
        made++;
        assert_int_equal(key.id, 4 + SESSIONS + made - 1);
    }
    assert_int_equal(rc, AZIHSM_STATUS_NOT_ENOUGH_SPACE);
    assert_int_equal(made, ENTRIES * tables_of_test - 4 - SESSIONS);
    assert_int_equal(emu_aes_generate(&f->client, 1, EMU_ENC_DEC, 77, NULL), AZIHSM_STATUS_KEY_TAG_ALREADY_EXISTS);
    assert_int_equal(emu_delete(&f->client, 100), AZIHSM_OK);
    assert_int_equal(emu_aes_generate(&f->client, 1, EMU_ENC_DEC, 0, &key), AZIHSM_OK);
    assert_int_equal(key.id, 100);
    assert_int_equal(emu_delete(&f->client, 0), AZIHSM_STATUS_CANNOT_DELETE_INTERNAL_KEYS);
    for (uint16_t id = 1; id < 4; id++)
        assert_int_equal(emu_delete(&f->client, id), AZIHSM_STATUS_CANNOT_DELETE_INTERNAL_KEYS);
    /* a session's place is free when it closes */
    assert_int_equal(emu_close_session(&clients[3]), AZIHSM_OK);
    assert_int_equal(emu_aes_generate(&f->client, 1, EMU_ENC_DEC, 0, &key), AZIHSM_OK);
    assert_int_equal(emu_aes_generate(&f->client, 1, EMU_ENC_DEC, 0, &key), AZIHSM_STATUS_NOT_ENOUGH_SPACE);
    empty_sessions(clients);
}

/* Bytes: a table holds 16384 of raw sizes, whatever the number of entries (1.2). */
static void test_bytes(void **state)
{
    struct emu_fixture *f = *state;
    uint8_t der[AZIHSM_WRAPPED_BLOB_MAX];
    size_t len = emu_pkcs8_must(AZIHSM_CLASS_RSA_CRT, 4096, NULL, der, sizeof(der));
    /* 2 ECDH/attestation keys of 48, unwrapping key 516, masking key 80, one session 8 */
    unsigned first = (16384 - 2 * 48 - 516 - 80 - 8) / 2564, others = 16384 / 2564;
    struct emu_key kek;

    assert_int_equal(emu_unwrapping_key(&f->client, &kek), AZIHSM_OK);
    for (unsigned i = 0; i < first + (tables_of_test - 1) * others; i++)
        assert_int_equal(emu_import(&f->client, &kek, AZIHSM_CLASS_RSA_CRT, (struct azihsm_bytes){der, len},
                                    EMU_SIGN_VERIFY, 0, NULL),
                         AZIHSM_OK);
    assert_int_equal(
        emu_import(&f->client, &kek, AZIHSM_CLASS_RSA_CRT, (struct azihsm_bytes){der, len}, EMU_SIGN_VERIFY, 0, NULL),
        AZIHSM_STATUS_NOT_ENOUGH_SPACE);
    /* smaller ones still fit */
    assert_int_equal(emu_aes_generate(&f->client, 1, EMU_ENC_DEC, 0, NULL), AZIHSM_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_TABLES(test_info, 1),   WITH_TABLES(test_info, 4),    WITH_TABLES(test_info, 64),
        WITH_TABLES(test_info, 255), WITH_TABLES(test_rsa, 1),     WITH_TABLES(test_rsa, 4),
        WITH_TABLES(test_rsa, 64),   WITH_TABLES(test_bulk, 1),    WITH_TABLES(test_bulk, 4),
        WITH_TABLES(test_bulk, 64),  WITH_TABLES(test_entries, 1), WITH_TABLES(test_entries, 4),
        WITH_TABLES(test_bytes, 1),  WITH_TABLES(test_bytes, 4),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
