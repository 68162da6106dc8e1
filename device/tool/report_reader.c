/*
 * Reading key attestation reports.
 */
#include "report_reader.h"

#include "client/cbor_io.h"
#include "crypto/spki.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <string.h>

enum { REPORT_TAG = 0xd2, REPORT_VERSION = 1, REPORT_KEY_FIELD = 525, REPORT_SIGNATURE_SIZE = 96 };

/* {1: -35 (ES384), 3: "application/cbor"} */
static const uint8_t report_protected[] = {0xa2, 0x01, 0x38, 0x22, 0x03, 0x70, 'a', 'p', 'p', 'l', 'i',
                                           'c',  'a',  't',  'i',  'o',  'n',  '/', 'c', 'b', 'o', 'r'};

/* ---- COSE_Sign1 ---- */

bool report_split(struct azihsm_bytes report, struct report_parts *out)
{
    struct cbor_reader reader;
    struct cbor_token array, header, unprotected, payload, signature;

    if (report.len < 2 || report.data[0] != REPORT_TAG)
        return false;
    cbor_read_init(&reader, report.data + 1, report.len - 1);
    if (!cbor_read_expect(&reader, CBOR_TOKEN_ARRAY, &array) || array.value != 4 ||
        !cbor_read_expect(&reader, CBOR_TOKEN_BYTES, &header) ||
        !cbor_read_expect(&reader, CBOR_TOKEN_MAP, &unprotected) || unprotected.value != 0 ||
        !cbor_read_expect(&reader, CBOR_TOKEN_BYTES, &payload) ||
        !cbor_read_expect(&reader, CBOR_TOKEN_BYTES, &signature) || !cbor_read_finished(&reader))
        return false;
    if (header.string.len != sizeof(report_protected) ||
        memcmp(header.string.data, report_protected, sizeof(report_protected)) != 0 ||
        signature.string.len != REPORT_SIGNATURE_SIZE)
        return false;
    *out = (struct report_parts){header.string, payload.string, signature.string};
    return true;
}

bool report_signed_bytes(const struct report_parts *parts, uint8_t *out, size_t cap, size_t *len)
{
    struct cbor_writer writer;

    cbor_write_init(&writer, out, cap);
    cbor_write_array(&writer, 4);
    cbor_write_text(&writer, "Signature1");
    cbor_write_bytes(&writer, parts->protected_header.data, parts->protected_header.len);
    cbor_write_bytes(&writer, NULL, 0);
    cbor_write_bytes(&writer, parts->payload.data, parts->payload.len);
    *len = writer.len;
    return !writer.failed;
}

/* ---- payload: {0: version, 1: key, 2: key size, 3: flags, 4: app, 5: data, 6: vm} ---- */

/* The next entry must have this label and type. */
static bool report_entry(struct cbor_reader *reader, uint64_t label, enum cbor_token_type type, struct cbor_token *out)
{
    struct cbor_token key;

    return cbor_read_expect(reader, CBOR_TOKEN_UINT, &key) && key.value == label && cbor_read_expect(reader, type, out);
}

static bool report_field_is_padded(struct azihsm_bytes field, uint64_t used)
{
    size_t i;

    if (field.len != REPORT_KEY_FIELD || used > field.len)
        return false;
    for (i = (size_t)used; i < field.len; i++) {
        if (field.data[i] != 0)
            return false;
    }
    return true;
}

bool report_read_claims(struct azihsm_bytes payload, struct evidence_claims *out)
{
    struct cbor_reader reader;
    struct cbor_token map, version, key, size, flags, app, data, vm;

    cbor_read_init(&reader, payload.data, payload.len);
    if (!cbor_read_expect(&reader, CBOR_TOKEN_MAP, &map) || map.value != 7 ||
        !report_entry(&reader, 0, CBOR_TOKEN_UINT, &version) || version.value != REPORT_VERSION ||
        !report_entry(&reader, 1, CBOR_TOKEN_BYTES, &key) || !report_entry(&reader, 2, CBOR_TOKEN_UINT, &size) ||
        !report_entry(&reader, 3, CBOR_TOKEN_UINT, &flags) || flags.value > UINT32_MAX ||
        !report_entry(&reader, 4, CBOR_TOKEN_BYTES, &app) || app.string.len != EVIDENCE_ID_SIZE ||
        !report_entry(&reader, 5, CBOR_TOKEN_BYTES, &data) || data.string.len != AZIHSM_REPORT_DATA_SIZE ||
        !report_entry(&reader, 6, CBOR_TOKEN_BYTES, &vm) || vm.string.len != EVIDENCE_ID_SIZE ||
        !cbor_read_finished(&reader) || !report_field_is_padded(key.string, size.value))
        return false;
    *out = (struct evidence_claims){.cose_key = {key.string.data, (size_t)size.value},
                                    .flags = (uint32_t)flags.value,
                                    .app_id = app.string,
                                    .report_data = data.string,
                                    .vm_launch_id = vm.string};
    return true;
}

/* ---- COSE_Key: {1: 3, -1: n, -2: e} or {1: 2, -1: curve, -2: x, -3: y} ---- */

enum { COSE_EC2 = 2, COSE_RSA = 3 };

struct report_cose {
    uint64_t type;
    uint64_t curve;
    struct azihsm_bytes part[3]; /* labels -1, -2, -3 */
};

static bool report_read_cose(struct azihsm_bytes bytes, struct report_cose *out)
{
    struct cbor_reader reader;
    struct cbor_token map, label, value;
    uint64_t i;

    *out = (struct report_cose){0};
    cbor_read_init(&reader, bytes.data, bytes.len);
    if (!cbor_read_expect(&reader, CBOR_TOKEN_MAP, &map))
        return false;
    for (i = 0; i < map.value; i++) {
        if (!cbor_read_next(&reader, &label) || !cbor_read_next(&reader, &value))
            return false;
        if (label.type == CBOR_TOKEN_UINT && label.value == 1 && value.type == CBOR_TOKEN_UINT)
            out->type = value.value;
        else if (label.type == CBOR_TOKEN_NEGATIVE && label.value == 0 && value.type == CBOR_TOKEN_UINT)
            out->curve = value.value;
        else if (label.type == CBOR_TOKEN_NEGATIVE && label.value < 3 && value.type == CBOR_TOKEN_BYTES)
            out->part[label.value] = value.string;
        else
            return false;
    }
    return cbor_read_finished(&reader) && map.value == (out->type == COSE_RSA ? 3u : 4u);
}

/* Whether a big-endian number is this parameter of the key. */
static bool report_number_is(const EVP_PKEY *key, const char *parameter, struct azihsm_bytes number)
{
    BIGNUM *expected = NULL, *found = BN_bin2bn(number.data, (int)number.len, NULL);
    bool same = found != NULL && EVP_PKEY_get_bn_param(key, parameter, &expected) && BN_cmp(expected, found) == 0;

    BN_free(expected);
    BN_free(found);
    return same;
}

bool report_key_is(OSSL_LIB_CTX *libctx, struct azihsm_bytes cose_key, struct azihsm_bytes spki)
{
    struct report_cose cose;
    EVP_PKEY *key = NULL;
    bool same = false;

    if (cose_key.len == 0 || spki.len == 0)
        return cose_key.len == spki.len;
    if (!report_read_cose(cose_key, &cose) || spki_decode(libctx, spki, &key) != AZIHSM_OK)
        return false;
    if (cose.type == COSE_RSA && EVP_PKEY_is_a(key, "RSA"))
        same = report_number_is(key, OSSL_PKEY_PARAM_RSA_N, cose.part[0]) &&
               report_number_is(key, OSSL_PKEY_PARAM_RSA_E, cose.part[1]);
    /* COSE numbers P-256, P-384, P-521 as the protocol does. */
    if (cose.type == COSE_EC2 && cose.curve == spki_curve(key))
        same = report_number_is(key, OSSL_PKEY_PARAM_EC_PUB_X, cose.part[1]) &&
               report_number_is(key, OSSL_PKEY_PARAM_EC_PUB_Y, cose.part[2]);
    EVP_PKEY_free(key);
    return same;
}
