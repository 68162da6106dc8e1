/*
 * What enumeration values mean, and the two bit sets of a key.
 */
#include <azihsm/ddi.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <string.h>

static void sizes(void **state)
{
    static const size_t hashes[] = {0, 20, 32, 48, 64, 0}, coordinates[] = {0, 32, 48, 66, 0},
                        wire[] = {0, 32, 48, 68, 0};

    (void)state;
    for (uint32_t i = 0; i < 6; i++)
        assert_int_equal(azihsm_hash_size(i), hashes[i]);
    for (uint32_t i = 0; i < 5; i++) {
        assert_int_equal(azihsm_curve_coordinate_size(i), coordinates[i]);
        assert_int_equal(azihsm_curve_wire_coordinate_size(i), wire[i]);
    }
    assert_int_equal(azihsm_hash_size(UINT32_MAX), 0);
    assert_int_equal(azihsm_curve_coordinate_size(UINT32_MAX), 0);
}

static void key_kinds(void **state)
{
    static const struct {
        uint32_t kind;
        const char *name;
        uint32_t curve;
        size_t rsa;
        bool bulk;
    } some[] = {
        {1, "Rsa2kPrivate", 0, 256, false}, {6, "Rsa4kPrivateCrt", 0, 512, false},
        {8, "Ecc384Private", 2, 0, false},  {12, "Aes256", 0, 0, false},
        {13, "AesXtsBulk256", 0, 0, true},  {15, "AesGcmBulk256Unapproved", 0, 0, true},
        {20, "Rsa3kPublic", 0, 384, false}, {24, "Ecc521Public", 3, 0, false},
        {32, "VarHmac512", 0, 0, false},    {0xFFFF, "RsaUnwrap", 0, 256, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(some) / sizeof(some[0]); i++) {
        assert_string_equal(azihsm_key_kind_name(some[i].kind), some[i].name);
        assert_int_equal(azihsm_key_kind_curve(some[i].kind), some[i].curve);
        assert_int_equal(azihsm_key_kind_rsa_size(some[i].kind), some[i].rsa);
        assert_int_equal(azihsm_key_kind_is_bulk(some[i].kind), some[i].bulk);
    }
    assert_null(azihsm_key_kind_name(0));
    assert_null(azihsm_key_kind_name(29));
    assert_null(azihsm_key_kind_name(33));
}

/* The table of 6.1, as bytes. */
static void target_key_metadata(void **state)
{
    static const struct {
        uint32_t bits;
        uint8_t byte0, byte1;
    } usages[] = {
        {AZIHSM_TKP_ENCRYPT | AZIHSM_TKP_DECRYPT, 0x0C, 0},
        {AZIHSM_TKP_SESSION | AZIHSM_TKP_SIGN | AZIHSM_TKP_VERIFY, 0x31, 0},
        {AZIHSM_TKP_DERIVE, 0x40, 0},
        {AZIHSM_TKP_SESSION | AZIHSM_TKP_UNWRAP, 0x01, 0x01},
    };
    uint8_t metadata[AZIHSM_TKP_BLOB_SIZE];

    (void)state;
    for (size_t i = 0; i < sizeof(usages) / sizeof(usages[0]); i++) {
        memset(metadata, 0xFF, sizeof(metadata));
        azihsm_tkp_set_bits(metadata, usages[i].bits);
        assert_int_equal(metadata[0], usages[i].byte0);
        assert_int_equal(metadata[1], usages[i].byte1);
        for (size_t at = 2; at < sizeof(metadata); at++)
            assert_int_equal(metadata[at], 0);
        assert_int_equal(azihsm_tkp_bits(metadata), usages[i].bits);
    }
}

static void attribute_flags(void **state)
{
    uint8_t attributes[AZIHSM_ATTRIBUTES_SIZE];

    (void)state;
    memset(attributes, 0xAA, sizeof(attributes));
    azihsm_attributes_set_flags(attributes, AZIHSM_ATTR_LOCAL | AZIHSM_ATTR_DERIVE | (uint64_t)1 << 63);
    assert_int_equal(attributes[0], 0x20);
    assert_int_equal(attributes[2], 0x01);
    assert_int_equal(attributes[7], 0x80);
    /* What follows the flags is not theirs. */
    assert_int_equal(attributes[8], 0xAA);
    assert_true(azihsm_attributes_flags(attributes) == (AZIHSM_ATTR_LOCAL | AZIHSM_ATTR_DERIVE | (uint64_t)1 << 63));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes),
        cmocka_unit_test(key_kinds),
        cmocka_unit_test(target_key_metadata),
        cmocka_unit_test(attribute_flags),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
