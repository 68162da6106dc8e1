/*
 * CBOR reading and writing: round trip, every truncation, room that is too small, nesting.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "client/cbor_io.h"

static size_t write_sample(uint8_t *buf, size_t cap, bool *failed)
{
    static const uint8_t blob[300] = {1, 2, 3};
    struct cbor_writer writer;

    cbor_write_init(&writer, buf, cap);
    cbor_write_map(&writer, 5);
    cbor_write_pair_text(&writer, "name", "default");
    cbor_write_pair_uint(&writer, "number", UINT64_C(0x123456789a));
    cbor_write_text(&writer, "list");
    cbor_write_array(&writer, 2);
    cbor_write_uint(&writer, 7);
    cbor_write_map(&writer, 1);
    cbor_write_pair_bool(&writer, "deep", true);
    cbor_write_pair_bytes(&writer, "blob", blob, sizeof(blob));
    cbor_write_pair_bool(&writer, "last", true);
    *failed = writer.failed;
    return writer.len;
}

static void finds_every_key(void **state)
{
    uint8_t buf[512];
    bool failed;
    size_t len = write_sample(buf, sizeof(buf), &failed);
    struct azihsm_bytes map = {buf, len};
    struct cbor_token token;

    (void)state;
    assert_false(failed);
    assert_true(cbor_map_find(map, "name", CBOR_TOKEN_TEXT, &token));
    assert_true(cbor_text_equals(token.string, "default"));
    assert_true(cbor_map_find(map, "number", CBOR_TOKEN_UINT, &token));
    assert_true(token.value == UINT64_C(0x123456789a));
    assert_true(cbor_map_find(map, "blob", CBOR_TOKEN_BYTES, &token));
    assert_int_equal(token.string.len, 300);
    assert_int_equal(token.string.data[2], 3);
    assert_true(cbor_map_find(map, "last", CBOR_TOKEN_BOOL, &token));
    assert_int_equal(token.value, 1);
    assert_false(cbor_map_find(map, "deep", CBOR_TOKEN_BOOL, &token));
    assert_false(cbor_map_find(map, "name", CBOR_TOKEN_UINT, &token));
    assert_false(cbor_map_find(map, "nam", CBOR_TOKEN_TEXT, &token));
}

static void refuses_every_truncation(void **state)
{
    uint8_t buf[512];
    bool failed;
    size_t len = write_sample(buf, sizeof(buf), &failed), cut;
    struct cbor_reader reader;

    (void)state;
    for (cut = 0; cut <= len; cut++) {
        cbor_read_init(&reader, buf, cut);
        assert_int_equal(cbor_read_skip(&reader) && cbor_read_finished(&reader), cut == len);
    }
}

static void notices_missing_room(void **state)
{
    uint8_t buf[512];
    bool failed;
    size_t len = write_sample(buf, sizeof(buf), &failed), cap;

    (void)state;
    for (cap = 0; cap < len; cap++) {
        assert_true(write_sample(buf, cap, &failed) <= cap);
        assert_true(failed);
    }
    assert_int_equal(write_sample(buf, len, &failed), len);
    assert_false(failed);
}

static void limits_nesting(void **state)
{
    uint8_t deep[64];
    struct cbor_reader reader;

    (void)state;
    memset(deep, 0x81, sizeof(deep)); /* arrays of one array */
    deep[sizeof(deep) - 1] = 0x00;
    cbor_read_init(&reader, deep, sizeof(deep));
    assert_false(cbor_read_skip(&reader));
    cbor_read_init(&reader, deep + sizeof(deep) - 7, 7);
    assert_true(cbor_read_skip(&reader));
}

static void refuses_what_we_never_write(void **state)
{
    /* indefinite array, tag, float, null, break, huge count */
    static const uint8_t cases[][9] = {{0x9f},
                                       {0xc1, 0x00},
                                       {0xf9, 0x00, 0x00},
                                       {0xf6},

                                       {0xff},
                                       {0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};
    struct cbor_reader reader;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cbor_read_init(&reader, cases[i], sizeof(cases[i]));
        assert_false(cbor_read_skip(&reader));
        assert_false(cbor_read_finished(&reader));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_every_key),
        cmocka_unit_test(refuses_every_truncation),
        cmocka_unit_test(notices_missing_room),
        cmocka_unit_test(limits_nesting),
        cmocka_unit_test(refuses_what_we_never_write),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
