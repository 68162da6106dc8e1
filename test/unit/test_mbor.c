/*
 * The primitives one by one: exact bytes and pads out (1.1, 1.2), and the accept and reject table of 1.4 in, with the
 * devices' error names.
 */
#include "ddi/mbor.h"

#include "vectors.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

static void emits_exactly_the_canonical_bytes(void **state)
{
    uint8_t out[64], wanted[64];
    struct mbor_writer w;
    size_t len;

    (void)state;
    mbor_writer_init(&w, out, sizeof(out));
    mbor_put_map(&w, 3);
    mbor_put_id(&w, 7);
    mbor_put_uint(&w, 1, 0xFE);
    mbor_put_uint(&w, 2, 0x0102);
    mbor_put_uint(&w, 4, 0x01020304);
    mbor_put_uint(&w, 8, 0x0102030405060708);
    mbor_put_bool(&w, false);
    mbor_put_bool(&w, true);
    mbor_put_fixed(&w, (const uint8_t *)"abc", 3);
    len = hex_decode("a3 1807 18fe 190102 1a01020304 1b0102030405060708 14 15 800003616263", wanted, sizeof(wanted));
    assert_int_equal(w.error, MBOR_OK);
    assert_int_equal(w.used, len);
    assert_memory_equal(out, wanted, len);
}

static void counts_above_31_are_masked(void **state)
{
    struct mbor_writer w;
    uint8_t out[1];

    (void)state;
    mbor_writer_init(&w, out, sizeof(out));
    mbor_put_map(&w, 33);
    assert_int_equal(w.error, MBOR_OK);
    assert_int_equal(out[0], 0xA1);
}

static void byte_strings_start_at_a_multiple_of_four(void **state)
{
    uint8_t out[32];
    struct mbor_writer w;

    (void)state;
    for (size_t before = 0; before < 8; before++) {
        size_t pad = (8 - (before + 3) % 4) % 4;

        for (size_t len = 0; len < 3; len++) {
            mbor_writer_init(&w, out, sizeof(out));
            memset(out, 0xEE, sizeof(out));
            w.used = before;
            mbor_put_bytes(&w, (struct azihsm_bytes){(const uint8_t *)"xy", len}, 2);
            assert_int_equal(w.error, MBOR_OK);
            assert_int_equal(out[before], 0x80 | pad);
            assert_int_equal(out[before + 2], len);
            assert_int_equal((w.used - len) % 4, 0);
            assert_int_equal(w.used, before + 3 + pad + len);
            for (size_t i = 0; i < pad; i++)
                assert_int_equal(out[before + 3 + i], 0);
            assert_memory_equal(out + before + 3 + pad, "xy", len);
            assert_int_equal(out[w.used], 0xEE);
        }
    }
}

static void writes_nothing_past_the_end(void **state)
{
    struct mbor_writer w;
    uint8_t *out = malloc(10);

    (void)state;
    assert_non_null(out);
    mbor_writer_init(&w, out, 10);
    mbor_put_uint(&w, 8, 1);
    mbor_put_uint(&w, 2, 1);
    assert_int_equal(w.error, MBOR_BUFFER_OVERFLOW);
    mbor_writer_init(&w, out, 10);
    mbor_put_bytes(&w, (struct azihsm_bytes){(const uint8_t *)"12345678", 7}, 8);
    assert_int_equal(w.error, MBOR_BUFFER_OVERFLOW);
    mbor_writer_init(&w, out, 10);
    mbor_put_bytes(&w, (struct azihsm_bytes){(const uint8_t *)"12345", 5}, 4);
    assert_int_equal(w.error, MBOR_BUFFER_OVERFLOW);
    free(out);
}

static struct mbor_reader reader(const char *hex, uint8_t *in, size_t cap)
{
    struct mbor_reader r;

    mbor_reader_init(&r, in, hex_decode(hex, in, cap));
    return r;
}

static void maps(void **state)
{
    struct mbor_reader r;
    uint8_t byte;

    (void)state;
    for (unsigned marker = 0; marker < 256; marker++) {
        byte = (uint8_t)marker;
        mbor_reader_init(&r, &byte, 1);
        if ((marker >= 0xA0 && marker <= 0xBF) || marker >= 0xE0) {
            assert_int_equal(mbor_get_map(&r), marker & 0x1F);
            assert_int_equal(r.error, MBOR_OK);
        } else {
            mbor_get_map(&r);
            assert_int_equal(r.error, MBOR_EXPECTED_MAP);
        }
    }
}

static void bools(void **state)
{
    struct mbor_reader r;
    uint8_t byte;

    (void)state;
    for (unsigned marker = 0; marker < 256; marker++) {
        bool is_false = marker == 0x00 || marker == 0x04 || marker == 0x10 || marker == 0x14;
        bool is_true = marker == 0x01 || marker == 0x05 || marker == 0x11 || marker == 0x15;

        byte = (uint8_t)marker;
        mbor_reader_init(&r, &byte, 1);
        assert_int_equal(mbor_get_bool(&r), is_true);
        assert_int_equal(r.error, is_false || is_true ? MBOR_OK : MBOR_EXPECTED_BOOL);
    }
}

static void integers_do_not_look_at_their_marker(void **state)
{
    uint8_t in[32];
    struct mbor_reader r = reader("00 fe  ff 0102  80 01020304  14 0102030405060708  18", in, sizeof(in));

    (void)state;
    assert_int_equal(mbor_get_uint(&r, 1), 0xFE);
    assert_int_equal(mbor_get_uint(&r, 2), 0x0102);
    assert_int_equal(mbor_get_uint(&r, 4), 0x01020304);
    assert_true(mbor_get_uint(&r, 8) == 0x0102030405060708);
    assert_int_equal(r.error, MBOR_OK);
    mbor_get_uint(&r, 1);
    assert_int_equal(r.error, MBOR_BUFFER_UNDERFLOW);
}

static void byte_strings(void **state)
{
    static const struct {
        const char *hex;
        size_t maximum;
        enum mbor_error error;
        size_t len, end;
    } cases[] = {
        {"80 0003 616263", 3, MBOR_OK, 3, 6},
        {"82 0001 ffff 61", 3, MBOR_OK, 1, 6}, /* pad bytes of any value */
        {"fc 0001 61", 3, MBOR_OK, 1, 4},      /* bits 2..6 of the marker mean nothing */
        {"83 0000 000000", 0, MBOR_OK, 0, 6},
        {"7f 0001 61", 3, MBOR_EXPECTED_U8, 0, 0},
        {"80 0004 61626364", 3, MBOR_BUFFER_UNDERFLOW, 0, 0},
        {"81 0003 616263", 3, MBOR_BUFFER_UNDERFLOW, 0, 0},
        {"83 0000 0000", 3, MBOR_BUFFER_UNDERFLOW, 0, 0},
        {"80 00", 3, MBOR_BUFFER_UNDERFLOW, 0, 0},
        {"", 3, MBOR_BUFFER_UNDERFLOW, 0, 0},
    };
    struct azihsm_bytes value;
    uint8_t in[16];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct mbor_reader r = reader(cases[i].hex, in, sizeof(in));

        value = mbor_get_bytes(&r, cases[i].maximum);
        assert_int_equal(r.error, cases[i].error);
        assert_int_equal(value.len, cases[i].len);
        if (r.error == MBOR_OK)
            assert_int_equal(r.pos, cases[i].end);
    }
}

static void fixed_strings_in_the_order_of_their_checks(void **state)
{
    static const struct {
        const char *hex;
        enum mbor_error error;
    } cases[] = {
        {"80 0003 616263", MBOR_OK},
        {"fc 0003 616263", MBOR_OK},
        {"01 0004 61626364", MBOR_EXPECTED_U8},
        {"81 0004 00616263", MBOR_INVALID_PADDING},
        {"80 0004 61626364", MBOR_INVALID_LEN},
        {"80 0002 6162", MBOR_INVALID_LEN},
        {"80 0003 6162", MBOR_BUFFER_UNDERFLOW},
        {"80 00", MBOR_BUFFER_UNDERFLOW},
    };
    uint8_t in[16], out[3];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct mbor_reader r = reader(cases[i].hex, in, sizeof(in));

        mbor_get_fixed(&r, out, sizeof(out));
        assert_int_equal(r.error, cases[i].error);
    }
}

static void required_and_optional_ids(void **state)
{
    unsigned remaining = 1;
    uint8_t in[16];
    struct mbor_reader r = reader("00 05", in, sizeof(in));

    (void)state;
    assert_false(mbor_try_id(&r, &remaining, 4));
    assert_int_equal(r.pos, 0);
    assert_true(mbor_try_id(&r, &remaining, 5)); /* the marker of an id is not looked at */
    assert_int_equal(remaining, 0);
    assert_false(mbor_try_id(&r, &remaining, 6));
    assert_int_equal(r.error, MBOR_OK);
    mbor_get_id(&r, &remaining, 6);
    assert_int_equal(r.error, MBOR_INVALID_ID);

    r = reader("18 05", in, sizeof(in));
    remaining = 2;
    mbor_get_id(&r, &remaining, 4);
    assert_int_equal(r.error, MBOR_INVALID_ID);

    r = reader("18", in, sizeof(in));
    remaining = 1;
    assert_false(mbor_try_id(&r, &remaining, 0));
    mbor_get_id(&r, &remaining, 0);
    assert_int_equal(r.error, MBOR_BUFFER_UNDERFLOW);

    r = reader("", in, sizeof(in));
    mbor_end_map(&r, 1);
    assert_int_equal(r.error, MBOR_INVALID_LEN);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(emits_exactly_the_canonical_bytes),
        cmocka_unit_test(counts_above_31_are_masked),
        cmocka_unit_test(byte_strings_start_at_a_multiple_of_four),
        cmocka_unit_test(writes_nothing_past_the_end),
        cmocka_unit_test(maps),
        cmocka_unit_test(bools),
        cmocka_unit_test(integers_do_not_look_at_their_marker),
        cmocka_unit_test(byte_strings),
        cmocka_unit_test(fixed_strings_in_the_order_of_their_checks),
        cmocka_unit_test(required_and_optional_ids),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
