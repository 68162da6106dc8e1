/*
 * Bulk AES through a handle: the driver's checks, the fast path's result codes, the vectors (ddi-protocol 7, 8.7).
 */
#include "emu_client.h"
#include "vectors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct emu_bulk request(const struct emu_client *client, bool xts, const uint8_t *src, uint8_t *dst, size_t len)
{
    return (struct emu_bulk){
        .xts = xts,
        .sess_id = client->sess_id,
        .short_app_id = client->short_app_id,
        .data_unit = (uint32_t)len,
        .src = src,
        .dst = dst,
        .len = len,
    };
}

static void expect(struct emu_client *client, struct emu_bulk *bulk, uint32_t result, uint32_t ext)
{
    emu_handle_bulk(client->handle, bulk);
    assert_false(bulk->refused);
    assert_int_equal(bulk->result, result);
    assert_int_equal(bulk->ext_status, ext);
    assert_false(bulk->fips_approved);
}

static void expect_refused(struct emu_client *client, struct emu_bulk *bulk, uint32_t ext)
{
    emu_handle_bulk(client->handle, bulk);
    assert_true(bulk->refused);
    assert_int_equal(bulk->ext_status, ext);
}

static void make(struct emu_client *client, uint32_t size, uint32_t bits, struct emu_key *key)
{
    assert_int_equal(emu_aes_generate(client, size, EMU_ENC_DEC | bits, 0, key), AZIHSM_OK);
}

static void test_handle_checks(void **state)
{
    struct emu_fixture *f = *state;
    uint8_t buf[32] = {0};
    struct emu_client other;
    struct emu_bulk bulk = request(&f->client, false, buf, buf, 32);

    emu_attach(&other, f->device);
    expect_refused(&other, &bulk, 109);
    emu_detach(&other);
    bulk.sess_id++;
    bulk.short_app_id++;
    expect_refused(&f->client, &bulk, 107);
    bulk.sess_id--;
    expect_refused(&f->client, &bulk, 108);
    bulk.short_app_id--;
    bulk.key_id1 = 99;
    expect(&f->client, &bulk, 2, 1);
}

static void test_gcm(void **state)
{
    struct emu_fixture *f = *state;
    struct emu_client *client = &f->client, other;
    uint8_t plain[100], out[100], back[100], iv[16] = {1, 2, 3}, tag[16];
    static const uint8_t aad[] = "header";
    struct emu_key app, session, unapproved, xts, aes;
    struct emu_bulk bulk;

    memset(plain, 0x3C, sizeof(plain));
    make(client, AZIHSM_AES_SIZE_GCM_BULK256, 0, &app);
    make(client, AZIHSM_AES_SIZE_GCM_BULK256_UNAPPROVED, 0, &unapproved);
    make(client, AZIHSM_AES_SIZE_GCM_BULK256, AZIHSM_TKP_SESSION, &session);
    make(client, AZIHSM_AES_SIZE_XTS_BULK256, 0, &xts);
    make(client, AZIHSM_AES_SIZE_256, 0, &aes);
    const struct emu_key *const keys[] = {&app, &unapproved, &session};
    for (size_t i = 0; i < 3; i++) {
        bulk = request(client, false, plain, out, sizeof(plain));
        bulk.key_id1 = keys[i]->bulk_id;
        memcpy(bulk.iv, iv, 16);
        bulk.aad = aad;
        bulk.aad_len = sizeof(aad);
        expect(client, &bulk, 0, 0);
        assert_memory_equal(bulk.iv, iv, 12); /* the caller's, for both kinds */
        memcpy(tag, bulk.tag, 16);
        bulk = request(client, false, out, back, sizeof(out));
        bulk.decrypt = true;
        bulk.key_id1 = keys[i]->id;
        memcpy(bulk.iv, iv, 16);
        memcpy(bulk.tag, tag, 16);
        bulk.aad = aad;
        bulk.aad_len = sizeof(aad);
        expect(client, &bulk, 0, 0);
        assert_memory_equal(back, plain, sizeof(plain));
        memset(back, 0xEE, sizeof(back));
        bulk.tag[5] ^= 1;
        expect(client, &bulk, 3, 9);
        for (size_t k = 0; k < sizeof(back); k++)
            assert_int_equal(back[k], 0xEE);
        bulk.tag[5] ^= 1;
        bulk.aad_len--;
        expect(client, &bulk, 3, 9);
    }
    bulk = request(client, false, plain, out, sizeof(plain));
    static const uint32_t bad_ids[] = {0, 1, 2, 3, 4, 99, 0x300, 0x10000, UINT32_MAX};
    for (size_t i = 0; i < sizeof(bad_ids) / sizeof(bad_ids[0]); i++) {
        bulk.key_id1 = bad_ids[i];
        expect(client, &bulk, 2, 1);
    }
    bulk.key_id1 = xts.id;
    expect(client, &bulk, 2, 8);
    bulk.key_id1 = aes.id;
    expect(client, &bulk, 2, 8);
    /* app keys for every session, session keys for their own */
    emu_attach(&other, f->device);
    emu_login_must(&other, &f->owner);
    bulk = request(&other, false, plain, out, sizeof(plain));
    bulk.key_id1 = app.id;
    expect(&other, &bulk, 0, 0);
    bulk.key_id1 = session.id;
    expect(&other, &bulk, 2, 3);
    emu_detach(&other);
}

static void test_xts(void **state)
{
    struct emu_fixture *f = *state;
    struct emu_client *client = &f->client, other;
    uint8_t plain[1024], out[1024], back[1024], raw[32];
    struct emu_key kek, one, two, session, session2, gcm, same;
    struct emu_bulk bulk;

    memset(plain, 0xA5, sizeof(plain));
    memset(raw, 0x77, sizeof(raw));
    assert_int_equal(emu_unwrapping_key(client, &kek), AZIHSM_OK);
    assert_int_equal(
        emu_import(client, &kek, AZIHSM_CLASS_AES_XTS_BULK, (struct azihsm_bytes){raw, 32}, EMU_ENC_DEC, 0, &one),
        AZIHSM_OK);
    assert_int_equal(
        emu_import(client, &kek, AZIHSM_CLASS_AES_XTS_BULK, (struct azihsm_bytes){raw, 32}, EMU_ENC_DEC, 0, &same),
        AZIHSM_OK);
    make(client, AZIHSM_AES_SIZE_XTS_BULK256, 0, &two);
    make(client, AZIHSM_AES_SIZE_XTS_BULK256, AZIHSM_TKP_SESSION, &session);
    make(client, AZIHSM_AES_SIZE_XTS_BULK256, AZIHSM_TKP_SESSION, &session2);
    make(client, AZIHSM_AES_SIZE_GCM_BULK256, 0, &gcm);
    bulk = request(client, true, plain, out, sizeof(plain));
    bulk.data_unit = 512;
    bulk.key_id1 = one.id;
    bulk.key_id2 = two.id;
    expect(client, &bulk, 0, 0);
    assert_memory_not_equal(out, out + 512, 512);
    bulk = request(client, true, out, back, sizeof(out));
    bulk.data_unit = 512;
    bulk.decrypt = true;
    bulk.key_id1 = one.id;
    bulk.key_id2 = two.id;
    expect(client, &bulk, 0, 0);
    assert_memory_equal(back, plain, sizeof(plain));
    for (int decrypt = 0; decrypt < 2; decrypt++) {
        bulk.decrypt = decrypt;
        bulk.key_id1 = 99;
        bulk.key_id2 = 98;
        expect(client, &bulk, 1, 1);
        bulk.key_id1 = one.id;
        expect(client, &bulk, 1, 2);
        bulk.key_id2 = one.id;
        expect(client, &bulk, 1, 5);
        bulk.key_id2 = same.id; /* the same bytes under two ids */
        expect(client, &bulk, 1, 5);
        bulk.key_id2 = session.id;
        expect(client, &bulk, 1, 4);
        bulk.key_id2 = gcm.id;
        expect(client, &bulk, 1, 0xF);
        bulk.key_id1 = gcm.id;
        bulk.key_id2 = one.id;
        expect(client, &bulk, 1, 0xE);
        bulk.key_id1 = session.id;
        bulk.key_id2 = session2.id;
        expect(client, &bulk, 0, 0);
    }
    bulk.key_id1 = one.id;
    bulk.key_id2 = two.id;
    bulk.len = bulk.data_unit = 40;
    expect(client, &bulk, 1, 0xC);
    bulk.len = bulk.data_unit = 0x1000010;
    expect(client, &bulk, 1, 0xB);
    emu_attach(&other, f->device);
    emu_login_must(&other, &f->owner);
    bulk = request(&other, true, plain, out, sizeof(plain));
    bulk.key_id1 = session.id;
    bulk.key_id2 = session2.id;
    expect(&other, &bulk, 1, 7);
    bulk.key_id1 = one.id;
    expect(&other, &bulk, 1, 8);
    emu_detach(&other);
}

/* One data unit of 1 MiB and of the hardware's maximum. */
static void test_xts_long(void **state)
{
    struct emu_fixture *f = *state;
    static const size_t sizes[] = {16, 48, 1 << 20, 1 << 24};
    uint8_t *plain = calloc(1, 1 << 24), *out = malloc(1 << 24);
    struct emu_key one, two;

    make(&f->client, AZIHSM_AES_SIZE_XTS_BULK256, 0, &one);
    make(&f->client, AZIHSM_AES_SIZE_XTS_BULK256, 0, &two);
    for (size_t i = 0; i < 4; i++) {
        struct emu_bulk bulk = request(&f->client, true, plain, out, sizes[i]);
        bulk.key_id1 = one.id;
        bulk.key_id2 = two.id;
        expect(&f->client, &bulk, 0, 0);
        bulk.src = out; /* in place */
        bulk.decrypt = true;
        expect(&f->client, &bulk, 0, 0);
        assert_memory_equal(out, plain, sizes[i]);
    }
    free(plain);
    free(out);
}

static void test_reset_between(void **state)
{
    struct emu_fixture *f = *state;
    uint8_t buf[64] = {0};
    struct emu_key key;
    struct emu_bulk bulk;

    make(&f->client, AZIHSM_AES_SIZE_GCM_BULK256, 0, &key);
    bulk = request(&f->client, false, buf, buf, sizeof(buf));
    bulk.key_id1 = key.id;
    expect(&f->client, &bulk, 0, 0);
    emu_device_reset(f->device);
    expect(&f->client, &bulk, 2, 1);
    assert_int_equal(emu_establish(&f->client, &f->owner), AZIHSM_OK);
    assert_int_equal(emu_reopen_session(&f->client, &f->owner), AZIHSM_OK);
    expect(&f->client, &bulk, 2, 1);
    assert_int_equal(emu_unmask(&f->client, (struct azihsm_bytes){key.blob, key.blob_len}, &key), AZIHSM_OK);
    bulk.key_id1 = key.id;
    expect(&f->client, &bulk, 0, 0);
}

/*
 * A session that waits to be reopened uses nothing, not even what the application has made since through another.
 */
static void test_flagged_session(void **state)
{
    struct emu_fixture *f = *state;
    struct emu_client other;
    uint8_t buf[64] = {0};
    struct emu_key gcm, xts[2];
    struct emu_bulk bulk, pair;

    emu_device_reset(f->device);
    emu_attach(&other, f->device);
    assert_int_equal(emu_establish(&other, &f->owner), AZIHSM_OK);
    emu_login_must(&other, &f->owner);
    make(&other, AZIHSM_AES_SIZE_GCM_BULK256, 0, &gcm);
    make(&other, AZIHSM_AES_SIZE_XTS_BULK256, 0, &xts[0]);
    make(&other, AZIHSM_AES_SIZE_XTS_BULK256, 0, &xts[1]);
    bulk = request(&f->client, false, buf, buf, sizeof(buf));
    bulk.key_id1 = gcm.id;
    pair = request(&f->client, true, buf, buf, sizeof(buf));
    pair.key_id1 = xts[0].id;
    pair.key_id2 = xts[1].id;
    expect(&f->client, &bulk, 2, 3);
    expect(&f->client, &pair, 1, 7);
    assert_int_equal(emu_reopen_session(&f->client, &f->owner), AZIHSM_OK);
    expect(&f->client, &bulk, 0, 0);
    expect(&f->client, &pair, 0, 0);
    emu_detach(&other);
}

/* ---- vectors ---- */

static uint16_t import_hex(struct emu_client *client, const struct emu_key *kek, const json_t *item, const char *field,
                           uint32_t class)
{
    uint8_t raw[32];
    struct emu_key key;
    assert_int_equal(vectors_hex(item, field, raw, sizeof(raw)), 32);
    assert_int_equal(emu_import(client, kek, class, (struct azihsm_bytes){raw, 32}, EMU_ENC_DEC, 0, &key), AZIHSM_OK);
    return key.id;
}

static void test_vectors(void **state)
{
    struct emu_fixture *f = *state;
    json_t *file = vectors_load("ddi/gcm_xts.json");
    struct emu_key kek;
    const json_t *item;
    size_t i;

    if (file == NULL)
        skip();
    assert_int_equal(emu_unwrapping_key(&f->client, &kek), AZIHSM_OK);
    json_array_foreach(vectors_get(file, "gcm"), i, item)
    {
        size_t len, aad_len, cipher_len;
        uint8_t *plain = vectors_hex_dup(item, "plaintext", &len), *aad = vectors_hex_dup(item, "aad", &aad_len);
        uint8_t *cipher = vectors_hex_dup(item, "ciphertext", &cipher_len), *out = malloc(len + 1), tag[16];
        struct emu_bulk bulk = request(&f->client, false, plain, out, len);
        bulk.key_id1 = import_hex(&f->client, &kek, item, "key", AZIHSM_CLASS_AES_GCM_BULK);
        vectors_hex(item, "iv", bulk.iv, 16);
        vectors_hex(item, "tag", tag, 16);
        bulk.aad = aad;
        bulk.aad_len = aad_len;
        expect(&f->client, &bulk, 0, 0);
        assert_memory_equal(out, cipher, len);
        assert_memory_equal(bulk.tag, tag, 16);
        bulk.src = cipher;
        bulk.decrypt = true;
        expect(&f->client, &bulk, 0, 0);
        assert_memory_equal(out, plain, len);
        assert_int_equal(emu_delete(&f->client, (uint16_t)bulk.key_id1), AZIHSM_OK);
        free(plain);
        free(aad);
        free(cipher);
        free(out);
    }
    json_array_foreach(vectors_get(file, "xts"), i, item)
    {
        size_t len, cipher_len;
        uint8_t *plain = vectors_hex_dup(item, "plaintext", &len),
                *cipher = vectors_hex_dup(item, "ciphertext", &cipher_len);
        uint8_t *out = malloc(len);
        struct emu_bulk bulk = request(&f->client, true, plain, out, len);
        bulk.key_id1 = import_hex(&f->client, &kek, item, "key1", AZIHSM_CLASS_AES_XTS_BULK);
        bulk.key_id2 = import_hex(&f->client, &kek, item, "key2", AZIHSM_CLASS_AES_XTS_BULK);
        bulk.data_unit = (uint32_t)vectors_number(item, "data_unit_length");
        vectors_hex(item, "tweak", bulk.iv, 16);
        expect(&f->client, &bulk, 0, 0);
        assert_memory_equal(out, cipher, len);
        vectors_hex(item, "tweak", bulk.iv, 16);
        bulk.src = cipher;
        bulk.decrypt = true;
        expect(&f->client, &bulk, 0, 0);
        assert_memory_equal(out, plain, len);
        assert_int_equal(emu_delete(&f->client, (uint16_t)bulk.key_id1), AZIHSM_OK);
        assert_int_equal(emu_delete(&f->client, (uint16_t)bulk.key_id2), AZIHSM_OK);
        free(plain);
        free(cipher);
        free(out);
    }
    json_decref(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        EMU_READY(test_handle_checks), EMU_READY(test_gcm),           EMU_READY(test_xts),
        EMU_READY(test_xts_long),      EMU_READY(test_reset_between), EMU_READY(test_flagged_session),
        EMU_READY(test_vectors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
