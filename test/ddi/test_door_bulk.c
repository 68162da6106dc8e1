/*
 * Bulk AES against libcrypto (ddi-protocol 7, device-behaviour 9): AES-GCM with every AAD length of the client's three
 * layouts and odd payloads, AES-XTS with all units and with tweaks that carry, keys of all origins and scopes.
 */
#include "door.h"

#include "emu_client.h"
#include "judge.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { KEY_SIZE = 32, AAD_MAX = 100, PAYLOAD_MAX = 8192, FAST_XTS = 1, FAST_GCM = 2, FAST_ENGINE = 3 };

struct known {
    uint8_t raw[KEY_SIZE];
    struct emu_key key;
};

static void pattern(uint8_t *out, size_t len, unsigned seed)
{
    for (size_t i = 0; i < len; i++)
        out[i] = (uint8_t)(seed * 31 + i * 7 + (i >> 8));
}

/* A key whose bytes we know, imported. */
static void import_must(struct emu_client *client, uint32_t key_class, uint32_t scope, unsigned seed, struct known *out)
{
    struct emu_key kek;

    pattern(out->raw, sizeof(out->raw), seed);
    assert_int_equal(emu_unwrapping_key(client, &kek), AZIHSM_OK);
    assert_int_equal(emu_import(client, &kek, key_class, (struct azihsm_bytes){out->raw, sizeof(out->raw)},
                                EMU_ENC_DEC | scope, 0, &out->key),
                     AZIHSM_OK);
    assert_true(out->key.has_bulk);
    assert_int_equal(out->key.bulk_id, out->key.id); /* 1.3 EMU */
}

static void run(const struct emu_client *client, struct emu_bulk *bulk, uint32_t result, uint32_t ext_status)
{
    bulk->sess_id = client->sess_id;
    bulk->short_app_id = client->short_app_id;
    emu_handle_bulk(client->handle, bulk);
    assert_false(bulk->refused);
    assert_int_equal(bulk->result, result);
    assert_int_equal(bulk->ext_status, ext_status);
    assert_false(bulk->fips_approved);
}

/* One message there, judged, and back. */
static void gcm_round(const struct emu_client *client, const struct known *known, size_t aad_len, size_t len)
{
    uint8_t aad[AAD_MAX], plain[PAYLOAD_MAX], sealed[PAYLOAD_MAX], expected[PAYLOAD_MAX], tag[16], iv[12];
    struct emu_bulk bulk = {
        .key_id1 = known->key.bulk_id, .src = plain, .dst = sealed, .len = len, .aad = aad, .aad_len = aad_len};

    pattern(aad, sizeof(aad), 5);
    pattern(plain, sizeof(plain), (unsigned)(aad_len + len));
    pattern(iv, sizeof(iv), (unsigned)len);
    memcpy(bulk.iv, iv, sizeof(iv));
    run(client, &bulk, 0, 0);
    judge_gcm_encrypt(known->raw, iv, (struct azihsm_bytes){aad, aad_len}, plain, expected, len, tag);
    assert_memory_equal(sealed, expected, len);
    assert_memory_equal(bulk.tag, tag, sizeof(tag));
    assert_memory_equal(bulk.iv, iv, sizeof(iv)); /* the caller's, returned (9 EMU) */
    bulk.decrypt = true;
    bulk.src = expected;
    memset(sealed, 0, sizeof(sealed));
    run(client, &bulk, 0, 0);
    assert_memory_equal(sealed, plain, len);
    bulk.tag[15] ^= 0x80;
    memset(sealed, 0x77, sizeof(sealed));
    run(client, &bulk, FAST_ENGINE, 9);
    for (size_t i = 0; i < len; i++)
        assert_int_equal(sealed[i], 0x77);
    if (aad_len != 0) {
        bulk.tag[15] ^= 0x80;
        aad[aad_len - 1] ^= 1;
        run(client, &bulk, FAST_ENGINE, 9);
    }
}

static void test_gcm_lengths(void **state)
{
    static const size_t lengths[] = {1, 2, 15, 16, 17, 31, 32, 33, 255, 4095, 4096, 4097, 8192};
    struct emu_fixture *f = *state;
    struct known known;

    import_must(&f->client, AZIHSM_CLASS_AES_GCM_BULK, 0, 1, &known);
    for (size_t aad_len = 0; aad_len <= AAD_MAX; aad_len++)
        gcm_round(&f->client, &known, aad_len, lengths[aad_len % (sizeof(lengths) / sizeof(lengths[0]))]);
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        gcm_round(&f->client, &known, 0, lengths[i]);
        gcm_round(&f->client, &known, 13, lengths[i]);
    }
}

/* Both approved and unapproved kinds, app and session scope, one's own and the unmasked copy. */
static void test_gcm_keys(void **state)
{
    static const uint32_t classes[] = {AZIHSM_CLASS_AES_GCM_BULK, AZIHSM_CLASS_AES_GCM_BULK_UNAPPROVED};
    struct emu_fixture *f = *state;
    struct known known;

    for (unsigned i = 0; i < 4; i++) {
        import_must(&f->client, classes[i % 2], i < 2 ? 0 : AZIHSM_TKP_SESSION, 10 + i, &known);
        gcm_round(&f->client, &known, 20, 100);
        struct azihsm_bytes blob = {known.key.blob, known.key.blob_len};
        uint8_t kept[AZIHSM_MASKED_KEY_MAX];
        memcpy(kept, blob.data, blob.len);
        blob.data = kept;
        assert_int_equal(emu_delete(&f->client, known.key.id), AZIHSM_OK);
        struct emu_bulk gone = {.key_id1 = known.key.id, .src = kept, .dst = kept, .len = 16};
        run(&f->client, &gone, FAST_GCM, 1);
        assert_int_equal(emu_unmask(&f->client, blob, &known.key), AZIHSM_OK);
        assert_true(known.key.has_bulk);
        gcm_round(&f->client, &known, 20, 100);
    }
}

static void add_to_tweak(uint8_t tweak[16], size_t units)
{
    for (; units > 0; units--)
        for (size_t i = 0; i < 16 && ++tweak[i] == 0; i++)
            ;
}

static void xts_round(const struct emu_client *client, const struct known *one, const struct known *two,
                      const uint8_t tweak[16], size_t unit, size_t len)
{
    uint8_t *plain = malloc(len), *sealed = calloc(1, len), *expected = malloc(len), at[16];
    struct emu_bulk bulk = {.xts = true,
                            .key_id1 = one->key.bulk_id,
                            .key_id2 = two->key.bulk_id,
                            .src = plain,
                            .dst = sealed,
                            .len = len,
                            .data_unit = (uint32_t)unit};

    pattern(plain, len, (unsigned)len);
    memcpy(bulk.iv, tweak, 16);
    run(client, &bulk, 0, 0);
    memcpy(at, tweak, 16);
    for (size_t done = 0; done < len; done += unit, add_to_tweak(at, 1))
        judge_xts_encrypt(one->raw, two->raw, at, plain + done, expected + done, unit);
    assert_memory_equal(sealed, expected, len);
    bulk.decrypt = true;
    bulk.src = expected;
    memset(sealed, 0, len);
    run(client, &bulk, 0, 0);
    assert_memory_equal(sealed, plain, len);
    free(plain);
    free(sealed);
    free(expected);
}

static void test_xts_units(void **state)
{
    static const uint8_t tweaks[][16] = {
        {0},
        {1},
        {0xFF},
        {0xFE, 0xFF, 0xFF},
        {1, 2, 3, 4, 5, 6, 7, 8},
        /* beyond SIM's 64 bits: a 128-bit little-endian number in both profiles */
        {0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF},
        {9, 8, 7, 6, 5, 4, 3, 2, 1, 9, 8, 7, 6, 5, 4, 3},
        {0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F},
    };
    static const struct {
        size_t unit, units;
    } shapes[] = {{16, 1},   {48, 1},   {512, 1},  {512, 2},  {512, 9},   {4096, 1},
                  {4096, 3}, {8192, 1}, {8192, 2}, {1040, 1}, {12288, 1}, {1 << 20, 1}};
    struct emu_fixture *f = *state;
    struct known one, two;

    import_must(&f->client, AZIHSM_CLASS_AES_XTS_BULK, 0, 1, &one);
    import_must(&f->client, AZIHSM_CLASS_AES_XTS_BULK, 0, 2, &two);
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
        for (size_t k = 0; k < (shapes[i].unit > 100000 ? 1 : sizeof(tweaks) / 16); k++)
            xts_round(&f->client, &one, &two, tweaks[k], shapes[i].unit, shapes[i].unit * shapes[i].units);
    xts_round(&f->client, &two, &one, tweaks[4], 512, 1024);
}

/* Same bytes under two ids are the same key; so is a session key and its copy (9). */
static void test_xts_same(void **state)
{
    struct emu_fixture *f = *state;
    uint8_t data[64] = {0};
    struct known one, same, gcm;
    struct emu_key copy;

    import_must(&f->client, AZIHSM_CLASS_AES_XTS_BULK, AZIHSM_TKP_SESSION, 3, &one);
    import_must(&f->client, AZIHSM_CLASS_AES_XTS_BULK, AZIHSM_TKP_SESSION, 3, &same);
    import_must(&f->client, AZIHSM_CLASS_AES_GCM_BULK, AZIHSM_TKP_SESSION, 3, &gcm);
    assert_int_equal(emu_unmask(&f->client, (struct azihsm_bytes){one.key.blob, one.key.blob_len}, &copy), AZIHSM_OK);
    const uint16_t equals[] = {one.key.id, same.key.id, copy.bulk_id};
    for (int decrypt = 0; decrypt < 2; decrypt++) {
        for (size_t i = 0; i < 3; i++) {
            struct emu_bulk bulk = {.xts = true,
                                    .decrypt = decrypt,
                                    .key_id1 = one.key.id,
                                    .key_id2 = equals[i],
                                    .src = data,
                                    .dst = data,
                                    .len = 64,
                                    .data_unit = 64};
            run(&f->client, &bulk, FAST_XTS, 5);
        }
        struct emu_bulk bulk = {.xts = true,
                                .decrypt = decrypt,
                                .key_id1 = one.key.id,
                                .key_id2 = gcm.key.id,
                                .src = data,
                                .dst = data,
                                .len = 64,
                                .data_unit = 64};
        run(&f->client, &bulk, FAST_XTS, 0xF);
        bulk.key_id1 = gcm.key.id;
        bulk.key_id2 = one.key.id;
        run(&f->client, &bulk, FAST_XTS, 0xE);
    }
}

/* No bulk id, no session: neither before login nor after a reset. */
static void test_bulk_after_reset(void **state)
{
    struct emu_fixture *f = *state;
    uint8_t data[16] = {0};
    struct known known;
    struct emu_bulk bulk = {.src = data, .dst = data, .len = 16};

    import_must(&f->client, AZIHSM_CLASS_AES_GCM_BULK, 0, 1, &known);
    bulk.key_id1 = known.key.id;
    door_reset_must();
    run(&f->client, &bulk, FAST_GCM, 1);
    assert_int_equal(emu_close_session(&f->client), AZIHSM_OK);
    emu_handle_bulk(f->client.handle, &bulk);
    assert_true(bulk.refused);
    assert_int_equal(bulk.ext_status, 109);
}

/* Megabytes, as the hardware's driver takes them. */
static void test_gcm_long(void **state)
{
    enum { LONG = (5 << 20) + 7 };
    struct emu_fixture *f = *state;
    uint8_t *plain = malloc(LONG), *sealed = malloc(LONG), *expected = malloc(LONG), tag[16];
    struct known known;
    struct emu_bulk bulk = {.src = plain, .dst = sealed, .len = LONG};

    import_must(&f->client, AZIHSM_CLASS_AES_GCM_BULK, 0, 9, &known);
    pattern(plain, LONG, 8);
    bulk.key_id1 = known.key.id;
    run(&f->client, &bulk, 0, 0);
    judge_gcm_encrypt(known.raw, bulk.iv, (struct azihsm_bytes){NULL, 0}, plain, expected, LONG, tag);
    assert_memory_equal(sealed, expected, LONG);
    assert_memory_equal(bulk.tag, tag, 16);
    free(plain);
    free(sealed);
    free(expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        EMU_READY(test_gcm_lengths), EMU_READY(test_gcm_keys), EMU_READY(test_gcm_long),
        EMU_READY(test_xts_units),   EMU_READY(test_xts_same), EMU_READY(test_bulk_after_reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
