/*
 * AttestKey: which keys, which flags, whose signature (device-behaviour 7).
 */
#include "emu_client.h"

#include "crypto/ecdsa.h"
#include "emulator/report.h"

#include <cbor.h>

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

struct attested {
    uint64_t flags, key_len;
    uint8_t app[16], data[128], vm[16];
    uint8_t cose_key[REPORT_COSE_KEY_SIZE];
};

static const cbor_item_t *field(const cbor_item_t *map, uint64_t label)
{
    for (size_t i = 0; i < cbor_map_size(map); i++)
        if (cbor_get_int(cbor_map_handle(map)[i].key) == label)
            return cbor_map_handle(map)[i].value;
    fail();
    return NULL;
}

static void take(const cbor_item_t *item, uint8_t *out, size_t len)
{
    assert_true(cbor_isa_bytestring(item));
    assert_int_equal(cbor_bytestring_length(item), len);
    memcpy(out, cbor_bytestring_handle(item), len);
}

/* Checks the envelope and the signature, then reads the payload. */
static void read_report(struct emu_client *client, const uint8_t *report, size_t len, struct attested *out)
{
    static const uint8_t start[] = {0x84, 0x6a, 'S', 'i', 'g', 'n', 'a', 't', 'u', 'r', 'e', '1'};
    static const uint8_t protected_header[] = {0x56, 0xa2, 0x01, 0x38, 0x22, 0x03, 0x70, 'a', 'p', 'p', 'l', 'i',
                                               'c',  'a',  't',  'i',  'o',  'n',  '/',  'c', 'b', 'o', 'r'};
    uint8_t signed_bytes[1024];
    struct cbor_load_result result;
    /* tag 18 is one byte, which not every release of libcbor reads */
    cbor_item_t *array = cbor_load(report + 1, len - 1, &result), *payload, *signature, *map;
    EVP_PKEY *leaf = emu_leaf_must(client);
    size_t at = 0;

    assert_int_equal(report[0], 0xD2);
    assert_non_null(array);
    assert_int_equal(result.read, len - 1);
    assert_int_equal(cbor_array_size(array), 4);
    payload = cbor_array_get(array, 2);
    signature = cbor_array_get(array, 3);
    memcpy(signed_bytes, start, sizeof(start));
    at += sizeof(start);
    memcpy(signed_bytes + at, protected_header, sizeof(protected_header));
    at += sizeof(protected_header);
    signed_bytes[at++] = 0x40;
    at += cbor_serialize(payload, signed_bytes + at, sizeof(signed_bytes) - at);
    assert_int_equal(ecdsa_verify_message(
                         NULL, leaf, AZIHSM_HASH_SHA384, (struct azihsm_bytes){signed_bytes, at},
                         (struct azihsm_bytes){cbor_bytestring_handle(signature), cbor_bytestring_length(signature)}),
                     AZIHSM_OK);
    EVP_PKEY_free(leaf);
    map = cbor_load(cbor_bytestring_handle(payload), cbor_bytestring_length(payload), &result);
    assert_non_null(map);
    assert_int_equal(cbor_map_size(map), 7);
    assert_int_equal(cbor_get_int(field(map, 0)), 1);
    take(field(map, 1), out->cose_key, sizeof(out->cose_key));
    out->key_len = cbor_get_int(field(map, 2));
    out->flags = cbor_get_int(field(map, 3));
    take(field(map, 4), out->app, 16);
    take(field(map, 5), out->data, 128);
    take(field(map, 6), out->vm, 16);
    cbor_decref(&map);
    cbor_decref(&payload);
    cbor_decref(&signature);
    cbor_decref(&array);
}

static azihsm_rc attest(struct emu_client *client, uint16_t id, size_t data_len, struct attested *out)
{
    uint8_t data[128], report[AZIHSM_REPORT_MAX];
    struct azihsm_attest_key_req req = {id, {data, data_len}};
    struct azihsm_attest_key_resp resp;
    size_t len;
    azihsm_rc rc;

    memset(data, 0xD7, sizeof(data));
    rc = emu_call(client, AZIHSM_OP_ATTEST_KEY, &req, &resp);
    if (rc != AZIHSM_OK)
        return rc;
    len = resp.report.len;
    assert_true(len <= sizeof(report));
    memcpy(report, resp.report.data, len);
    read_report(client, report, len, out);
    return AZIHSM_OK;
}

static void expect(struct emu_fixture *f, uint16_t id, uint32_t flags)
{
    struct attested report;
    assert_int_equal(attest(&f->client, id, 128, &report), AZIHSM_OK);
    assert_int_equal(report.flags, flags);
    assert_memory_equal(report.app, f->owner.id, 16);
}

static void test_pairs(void **state)
{
    struct emu_fixture *f = *state;
    struct emu_key kek, key;
    struct attested report;
    uint8_t der[3000], zeros[128] = {0};
    size_t len = emu_pkcs8_must(AZIHSM_CLASS_RSA, 4096, NULL, der, sizeof(der));

    assert_int_equal(emu_unwrapping_key(&f->client, &kek), AZIHSM_OK);
    expect(f, kek.id, REPORT_GENERATED | REPORT_UNWRAP);
    assert_int_equal(emu_ecc_generate(&f->client, AZIHSM_CURVE_P521, EMU_SIGN_VERIFY, 0, &key), AZIHSM_OK);
    expect(f, key.id, REPORT_GENERATED | REPORT_SIGN | REPORT_VERIFY);
    assert_int_equal(emu_ecc_generate(&f->client, AZIHSM_CURVE_P256, AZIHSM_TKP_DERIVE | AZIHSM_TKP_SESSION, 0, &key),
                     AZIHSM_OK);
    expect(f, key.id, REPORT_GENERATED | REPORT_DERIVE | REPORT_SESSION);
    assert_int_equal(
        emu_import(&f->client, &kek, AZIHSM_CLASS_RSA, (struct azihsm_bytes){der, len}, EMU_ENC_DEC, 0, &key),
        AZIHSM_OK);
    expect(f, key.id, REPORT_IMPORTED | REPORT_ENCRYPT | REPORT_DECRYPT);
    assert_int_equal(attest(&f->client, key.id, 128, &report), AZIHSM_OK);
    assert_int_equal(report.data[127], 0xD7);
    assert_int_equal(memcmp(report.vm, zeros, 16) == 0, f->kind == AZIHSM_DEVICE_VIRTUAL);
    assert_int_equal(attest(&f->client, key.id, 127, &report), emu_by_kind(f, AZIHSM_OK, AZIHSM_STATUS_INVALID_ARG));
    if (f->kind == AZIHSM_DEVICE_VIRTUAL) {
        assert_int_equal(report.data[126], 0xD7);
        assert_int_equal(report.data[127], 0);
    }
    assert_int_equal(attest(&f->client, key.id, 0, &report), emu_by_kind(f, AZIHSM_OK, AZIHSM_STATUS_INVALID_ARG));
    assert_int_equal(attest(&f->client, 1, 128, &report), AZIHSM_STATUS_KEY_NOT_FOUND);
    assert_int_equal(attest(&f->client, 200, 128, &report), AZIHSM_STATUS_KEY_NOT_FOUND);
}

static void test_symmetric(void **state)
{
    struct emu_fixture *f = *state;
    struct emu_client *client = &f->client, other;
    struct emu_key kek, peer, secret, hmac, aes, bulk, imported;
    uint8_t raw[32] = {5};
    struct attested report;
    struct {
        const struct emu_key *key;
        uint32_t flags;
    } const cases[] = {
        {&aes, REPORT_GENERATED | REPORT_ENCRYPT | REPORT_DECRYPT | REPORT_SESSION},
        {&bulk, REPORT_IMPORTED | REPORT_ENCRYPT | REPORT_DECRYPT},
        {&imported, REPORT_IMPORTED | REPORT_ENCRYPT | REPORT_DECRYPT},
        {&hmac, REPORT_GENERATED},
        {&secret, REPORT_GENERATED | REPORT_DERIVE},
    };

    assert_int_equal(emu_unwrapping_key(client, &kek), AZIHSM_OK);
    assert_int_equal(emu_aes_generate(client, AZIHSM_AES_SIZE_256, EMU_ENC_DEC | AZIHSM_TKP_SESSION, 0, &aes),
                     AZIHSM_OK);
    assert_int_equal(emu_aes_generate(client, AZIHSM_AES_SIZE_GCM_BULK256, EMU_ENC_DEC, 0, &bulk), AZIHSM_OK);
    assert_int_equal(
        emu_import(client, &kek, AZIHSM_CLASS_AES, (struct azihsm_bytes){raw, 32}, EMU_ENC_DEC, 0, &imported),
        AZIHSM_OK);
    assert_int_equal(emu_ecc_generate(client, AZIHSM_CURVE_P384, AZIHSM_TKP_DERIVE, 0, &peer), AZIHSM_OK);
    assert_int_equal(emu_ecdh(client, peer.id, &peer, AZIHSM_KEY_SECRET384, AZIHSM_TKP_DERIVE, &secret), AZIHSM_OK);
    assert_int_equal(
        emu_derive(client, AZIHSM_OP_HKDF_DERIVE, secret.id, AZIHSM_KEY_HMAC_SHA256, EMU_SIGN_VERIFY, -1, &hmac),
        AZIHSM_OK);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        azihsm_rc rc = attest(client, cases[i].key->id, 128, &report);
        assert_int_equal(rc, emu_by_kind(f, AZIHSM_STATUS_INVALID_KEY_TYPE, AZIHSM_OK));
        if (rc != AZIHSM_OK)
            continue;
        assert_int_equal(report.flags, cases[i].flags);
        assert_int_equal(report.key_len, 0);
        for (size_t k = 0; k < sizeof(report.cose_key); k++)
            assert_int_equal(report.cose_key[k], 0);
    }
    /* whose session key it is matters for key pairs only, to the firmware */
    emu_attach(&other, f->device);
    emu_login_must(&other, &f->owner);
    assert_int_equal(attest(&other, aes.id, 128, &report),
                     emu_by_kind(f, AZIHSM_STATUS_INVALID_PERMISSIONS, AZIHSM_OK));
    assert_int_equal(emu_ecc_generate(client, AZIHSM_CURVE_P384, EMU_SIGN_VERIFY | AZIHSM_TKP_SESSION, 0, &peer),
                     AZIHSM_OK);
    assert_int_equal(attest(&other, peer.id, 128, &report), AZIHSM_STATUS_INVALID_PERMISSIONS);
    emu_detach(&other);
}

static void test_same_after_unmask(void **state)
{
    struct emu_fixture *f = *state;
    struct emu_key key, copy;
    struct attested before, after;

    memset(&before, 0, sizeof(before)); /* padding is compared too */
    memset(&after, 0, sizeof(after));
    assert_int_equal(emu_ecc_generate(&f->client, AZIHSM_CURVE_P384, EMU_SIGN_VERIFY, 4, &key), AZIHSM_OK);
    assert_int_equal(attest(&f->client, key.id, 128, &before), AZIHSM_OK);
    assert_int_equal(emu_delete(&f->client, key.id), AZIHSM_OK);
    assert_int_equal(emu_unmask(&f->client, (struct azihsm_bytes){key.blob, key.blob_len}, &copy), AZIHSM_OK);
    assert_int_equal(attest(&f->client, copy.id, 128, &after), AZIHSM_OK);
    assert_memory_equal(&before, &after, sizeof(before));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        EMU_READY(test_pairs),
        EMU_READY(test_symmetric),
        EMU_READY(test_same_after_unmask),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
