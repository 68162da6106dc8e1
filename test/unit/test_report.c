/*
 * Attestation reports: the vectors byte for byte up to the signature, which is verified; the table of flags; and
 * reports of every kind read back by libcbor.
 */
#include "engine_support.h"

#include "crypto/ecdsa.h"
#include "emulator/engine_internal.h"
#include "emulator/report.h"

#include <cbor.h>

static const struct {
    const char *name;
    uint32_t attribute;
} flag_names[] = {
    {"generated", AZIHSM_ATTR_LOCAL}, {"session", AZIHSM_ATTR_SESSION}, {"encrypt", AZIHSM_ATTR_ENCRYPT},
    {"decrypt", AZIHSM_ATTR_DECRYPT}, {"sign", AZIHSM_ATTR_SIGN},       {"verify", AZIHSM_ATTR_VERIFY},
    {"unwrap", AZIHSM_ATTR_UNWRAP},   {"derive", AZIHSM_ATTR_DERIVE},   {"imported", 0},
};

static uint64_t attributes_of(const json_t *names)
{
    uint64_t attributes = 0;
    const json_t *name;
    size_t i;

    json_array_foreach(names, i, name)
    {
        size_t f = 0;

        while (f < COUNT(flag_names) && strcmp(flag_names[f].name, json_string_value(name)) != 0)
            f++;
        assert_true(f < COUNT(flag_names));
        attributes |= flag_names[f].attribute;
    }
    return attributes;
}

/* An engine key with no more than a public half, which is all a report looks at; or a symmetric one. */
static struct engine_key *attested_key(struct engine *engine, const json_t *entry)
{
    struct engine_key *key = NULL;
    EVP_PKEY *pkey;
    uint8_t *der;
    size_t len;

    if (!vectors_has(entry, "attested_public_der")) {
        assert_int_equal(engine_generate_raw(engine, AZIHSM_KEY_AES256, &key), AZIHSM_OK);
        return key;
    }
    der = vectors_hex_dup(entry, "attested_public_der", &len);
    assert_int_equal(spki_decode(libctx, view(der, len), &pkey), AZIHSM_OK);
    free(der);
    for (uint32_t kind = AZIHSM_KEY_RSA2K_PRIVATE; kind <= AZIHSM_KEY_ECC521_PRIVATE; kind++)
        if (key == NULL && engine_kind_find(kind)->public_kind == spki_public_kind(pkey))
            assert_int_equal(engine_key_new(engine, kind, pkey, NULL, &key), AZIHSM_OK);
    assert_non_null(key);
    return key;
}

static void check_case(struct engine *engine, const struct engine_key *identity, const json_t *entry)
{
    const json_t *fields = vectors_get(entry, "payload_fields");
    struct report_subject subject = {.attributes = attributes_of(vectors_get(entry, "flag_names"))};
    struct engine_key *key = attested_key(engine, entry);
    uint8_t out[AZIHSM_REPORT_MAX], *expected, *signed_bytes;
    size_t len, expected_len, signed_len;

    subject.key = key;
    vectors_hex(fields, "app_uuid", subject.app_uuid, sizeof(subject.app_uuid));
    vectors_hex(fields, "vm_launch_id", subject.vm_launch_id, sizeof(subject.vm_launch_id));
    vectors_hex(fields, "report_data", subject.report_data, sizeof(subject.report_data));
    expected = vectors_hex_dup(entry, "report", &expected_len);
    signed_bytes = vectors_hex_dup(entry, "to_be_signed", &signed_len);
    assert_int_equal(report_build(engine, identity, &subject, out, sizeof(out), &len), AZIHSM_OK);
    assert_int_equal(len, expected_len);
    assert_memory_equal(out, expected, len - 96);
    assert_int_equal(ecdsa_verify_message(libctx, engine_key_pkey(identity), AZIHSM_HASH_SHA384,
                                          view(signed_bytes, signed_len), view(out + len - 96, 96)),
                     AZIHSM_OK);
    assert_int_equal(report_build(engine, identity, &subject, out, len - 1, &len),
                     AZIHSM_STATUS_ATTESTATION_REPORT_ENCODE_FAILED);
    engine_key_free(key);
    free(expected);
    free(signed_bytes);
}

static void vectors_agree(void **state)
{
    json_t *file = vectors_load("ddi/report.json");
    struct engine *const engines[] = {virtual_engine, physical_engine};
    static const char *const profiles[] = {"virtual", "physical"};
    const json_t *entry;
    size_t i, judged = 0;

    (void)state;
    if (file == NULL)
        skip();
    for (size_t e = 0; e < 2; e++) {
        struct engine_key *identity = import_pkey(
            engines[e], AZIHSM_CLASS_ECC, ec_private(vectors_get(file, "signing_key"), "private_scalar", "public_der"));

        json_array_foreach(vectors_get(file, "cases"), i, entry)
        {
            const char *profile = vectors_string(entry, "profile");

            if (strncmp(profile, "both", 4) != 0 && strcmp(profile, profiles[e]) != 0)
                continue;
            check_case(engines[e], identity, entry);
            judged++;
        }
        engine_key_free(identity);
    }
    assert_true(judged >= 9);
    json_decref(file);
}

enum {
    LOCAL = AZIHSM_ATTR_LOCAL,
    CRYPT = AZIHSM_ATTR_ENCRYPT | AZIHSM_ATTR_DECRYPT,
    SIGN = AZIHSM_ATTR_SIGN | AZIHSM_ATTR_VERIFY,
    SESSION = AZIHSM_ATTR_SESSION,
};

/* device-behaviour 7.3 */
static void flags_follow_the_table(void **state)
{
    enum { R_CRYPT = REPORT_ENCRYPT | REPORT_DECRYPT, R_SIGN = REPORT_SIGN | REPORT_VERIFY };
    static const struct {
        uint32_t kind;
        uint32_t attributes;
        uint32_t physical, virtual;
    } rows[] = {
        {AZIHSM_KEY_ECC256_PRIVATE, LOCAL | SIGN, REPORT_GENERATED | R_SIGN, REPORT_GENERATED | R_SIGN},
        {AZIHSM_KEY_ECC521_PRIVATE, LOCAL | SESSION | AZIHSM_ATTR_DERIVE,
         REPORT_GENERATED | REPORT_SESSION | REPORT_DERIVE, REPORT_GENERATED | REPORT_SESSION | REPORT_DERIVE},
        {AZIHSM_KEY_RSA2K_PRIVATE, LOCAL | AZIHSM_ATTR_WRAP | AZIHSM_ATTR_UNWRAP, REPORT_GENERATED | REPORT_UNWRAP,
         REPORT_GENERATED | REPORT_UNWRAP},
        {AZIHSM_KEY_RSA2K_PRIVATE, CRYPT, REPORT_IMPORTED | R_CRYPT, REPORT_IMPORTED | R_CRYPT},
        {AZIHSM_KEY_AES256, LOCAL | CRYPT, REPORT_GENERATED | R_CRYPT, REPORT_GENERATED | R_CRYPT},
        {AZIHSM_KEY_AES_XTS_BULK256, LOCAL | CRYPT, REPORT_IMPORTED | R_CRYPT, REPORT_GENERATED | R_CRYPT},
        {AZIHSM_KEY_AES_GCM_BULK256, CRYPT, REPORT_IMPORTED | R_CRYPT, REPORT_IMPORTED | R_CRYPT},
        {AZIHSM_KEY_AES_GCM_BULK256_UNAPPROVED, LOCAL | CRYPT | SESSION, REPORT_IMPORTED | R_CRYPT | REPORT_SESSION,
         REPORT_GENERATED | R_CRYPT | REPORT_SESSION},
        {AZIHSM_KEY_HMAC_SHA384, SIGN, REPORT_GENERATED, REPORT_IMPORTED | R_SIGN},
        {AZIHSM_KEY_HMAC_SHA384, LOCAL | SIGN | SESSION, REPORT_GENERATED | REPORT_SESSION,
         REPORT_GENERATED | R_SIGN | REPORT_SESSION},
        {AZIHSM_KEY_VAR_HMAC512, AZIHSM_ATTR_DERIVE, REPORT_GENERATED, REPORT_IMPORTED | REPORT_DERIVE},
        {AZIHSM_KEY_SECRET256, AZIHSM_ATTR_DERIVE, REPORT_GENERATED | REPORT_DERIVE, REPORT_IMPORTED | REPORT_DERIVE},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_int_equal(report_flags(AZIHSM_DEVICE_PHYSICAL, rows[i].kind, rows[i].attributes), rows[i].physical);
        assert_int_equal(report_flags(AZIHSM_DEVICE_VIRTUAL, rows[i].kind, rows[i].attributes), rows[i].virtual);
    }
}

/*
 * The payload's map, out of a report that libcbor takes apart without a remainder. The tag is looked at by hand:
 * libcbor's decoder (0.8) refuses the numbers 6 to 20, which were unassigned once.
 */
static cbor_item_t *payload_of(const uint8_t *report, size_t len)
{
    struct cbor_load_result result;
    cbor_item_t *array = cbor_load(report + 1, len - 1, &result), *bytes, *payload;

    assert_int_equal(report[0], 0xd2);
    assert_non_null(array);
    assert_int_equal(result.read, len - 1);
    assert_int_equal(cbor_array_size(array), 4);
    bytes = cbor_array_get(array, 2);
    payload = cbor_load(cbor_bytestring_handle(bytes), cbor_bytestring_length(bytes), &result);
    assert_non_null(payload);
    assert_int_equal(result.read, cbor_bytestring_length(bytes));
    assert_int_equal(cbor_map_size(payload), 7);
    cbor_decref(&bytes);
    cbor_decref(&array);
    return payload;
}

static void every_kind_fits(void **state)
{
    static const uint32_t kinds[] = {10, 12, 13, 14, 16, 18, 25, 27};
    struct report_subject subject = {.attributes = AZIHSM_ATTR_LOCAL};
    uint8_t out[AZIHSM_REPORT_MAX];
    struct engine_key *identity, *key;
    size_t len;

    (void)state;
    assert_int_equal(engine_generate_ecc(physical_engine, AZIHSM_CURVE_P384, &identity), AZIHSM_OK);
    for (size_t i = 0; i < COUNT(kinds); i++) {
        cbor_item_t *payload;
        struct cbor_pair *pairs;

        assert_int_equal(engine_generate_raw(physical_engine, kinds[i], &key), AZIHSM_OK);
        subject.key = key;
        assert_int_equal(report_build(virtual_engine, identity, &subject, out, sizeof(out), &len),
                         AZIHSM_STATUS_INVALID_KEY_TYPE);
        assert_int_equal(report_build(physical_engine, identity, &subject, out, sizeof(out), &len), AZIHSM_OK);
        payload = payload_of(out, len);
        pairs = cbor_map_handle(payload);
        assert_int_equal(cbor_bytestring_length(pairs[1].value), REPORT_COSE_KEY_SIZE);
        for (size_t j = 0; j < REPORT_COSE_KEY_SIZE; j++)
            assert_int_equal(cbor_bytestring_handle(pairs[1].value)[j], 0);
        assert_int_equal(cbor_get_int(pairs[2].value), 0);
        cbor_decref(&payload);
        engine_key_free(key);
    }
    /* only a P-384 identity signs */
    assert_int_equal(engine_generate_ecc(physical_engine, AZIHSM_CURVE_P256, &key), AZIHSM_OK);
    subject.key = key;
    assert_int_equal(report_build(physical_engine, key, &subject, out, sizeof(out), &len),
                     AZIHSM_STATUS_ATTESTATION_REPORT_ENCODE_FAILED);
    engine_key_free(key);
    engine_key_free(identity);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors_agree),
        cmocka_unit_test(flags_follow_the_table),
        cmocka_unit_test(every_kind_fits),
    };

    return cmocka_run_group_tests(tests, setup_engines, teardown_engines);
}
