/*
 * One certificate at a time: the to-be-signed part from its fixed shape, then the issuer's signature.
 */
#include "emulator/certificate_issue.h"

#include "crypto/ecdsa.h"
#include "crypto/spki.h"
#include "emulator/certificate_der.h"

#include <string.h>

enum { SERIAL_SIZE = 20, TBS_MAX = 1024 };

/* ecdsa-with-SHA384, commonName, and the extensions' object identifiers, as whole DER elements */
static const uint8_t signature_algorithm[] = {0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03};
static const uint8_t common_name[] = {0x06, 0x03, 0x55, 0x04, 0x03};
static const uint8_t oid_subject_key_id[] = {0x06, 0x03, 0x55, 0x1d, 0x0e};
static const uint8_t oid_key_usage[] = {0x06, 0x03, 0x55, 0x1d, 0x0f};
static const uint8_t oid_basic_constraints[] = {0x06, 0x03, 0x55, 0x1d, 0x13};
static const uint8_t oid_authority_key_id[] = {0x06, 0x03, 0x55, 0x1d, 0x23};

static void put_name(struct der_writer *w, const char *name)
{
    size_t mark = der_mark(w);

    der_element(w, DER_UTF8_STRING, name, strlen(name));
    der_bytes(w, common_name, sizeof(common_name));
    der_header(w, DER_SEQUENCE, mark);
    der_header(w, DER_SET, mark);
    der_header(w, DER_SEQUENCE, mark);
}

static void put_validity(struct der_writer *w, const struct certificate_validity *validity)
{
    size_t mark = der_mark(w);

    der_element(w, validity->until_tag, validity->until, strlen(validity->until));
    der_element(w, validity->from_tag, validity->from, strlen(validity->from));
    der_header(w, DER_SEQUENCE, mark);
}

static void put_extension(struct der_writer *w, const uint8_t *oid, bool critical, const void *value, size_t len)
{
    static const uint8_t yes = 0xff;
    size_t mark = der_mark(w);

    der_element(w, DER_OCTET_STRING, value, len);
    if (critical)
        der_element(w, DER_BOOLEAN, &yes, 1);
    der_bytes(w, oid, 5);
    der_header(w, DER_SEQUENCE, mark);
}

/* A 20-byte key identifier inside one more element. */
static void put_key_id(struct der_writer *w, const uint8_t *oid, const uint8_t *key_id, enum der_tag inner, bool nested)
{
    uint8_t buf[CERTIFICATE_KEY_ID_SIZE + 8];
    struct der_writer value = der_writer_new(buf, sizeof(buf));
    size_t mark = der_mark(&value);

    der_element(&value, inner, key_id, CERTIFICATE_KEY_ID_SIZE);
    if (nested)
        der_header(&value, DER_SEQUENCE, mark);
    put_extension(w, oid, false, der_result(&value).data, der_result(&value).len);
}

static void put_extensions(struct der_writer *w, bool ca, const struct certificate_party *issuer,
                           const struct certificate_party *subject)
{
    static const uint8_t ca_constraints[] = {0x30, 0x03, 0x01, 0x01, 0xff}, leaf_constraints[] = {0x30, 0x00};
    static const uint8_t ca_usage[] = {0x03, 0x02, 0x01, 0x06}, leaf_usage[] = {0x03, 0x02, 0x07, 0x80};
    size_t mark = der_mark(w);

    put_extension(w, oid_key_usage, true, ca ? ca_usage : leaf_usage, sizeof(ca_usage));
    put_extension(w, oid_basic_constraints, true, ca ? ca_constraints : leaf_constraints,
                  ca ? sizeof(ca_constraints) : sizeof(leaf_constraints));
    if (issuer != subject)
        put_key_id(w, oid_authority_key_id, issuer->key_id, DER_CONTEXT_0, true);
    put_key_id(w, oid_subject_key_id, subject->key_id, DER_OCTET_STRING, false);
    der_header(w, DER_SEQUENCE, mark);
    der_header(w, DER_EXPLICIT_3, mark);
}

/* Positive, without a leading zero byte, 20 bytes long: the first byte is odd and below 0x80. */
static azihsm_rc put_serial(struct der_writer *w, const struct engine *engine, bool small)
{
    uint8_t serial[SERIAL_SIZE] = {1};
    azihsm_rc rc = small ? AZIHSM_OK : engine_random(engine, serial, sizeof(serial));

    serial[0] = (uint8_t)((serial[0] & 0x7f) | 1);
    der_element(w, DER_INTEGER, serial, small ? 1 : sizeof(serial));
    return rc;
}

/* TBSCertificate into w. */
static azihsm_rc put_to_be_signed(struct der_writer *w, const struct engine *engine,
                                  const struct certificate_shape *shape, const struct certificate_party *issuer,
                                  const struct certificate_party *subject)
{
    static const uint8_t version_3 = 2;
    uint8_t spki[AZIHSM_PUB_KEY_MAX];
    size_t mark = der_mark(w), version_mark, spki_len;
    azihsm_rc rc = spki_encode(subject->key, spki, sizeof(spki), &spki_len);

    if (rc != AZIHSM_OK)
        return rc;
    put_extensions(w, shape->ca, issuer, subject);
    der_bytes(w, spki, spki_len);
    put_name(w, subject->name);
    put_validity(w, &shape->validity);
    put_name(w, issuer->name);
    der_bytes(w, signature_algorithm, sizeof(signature_algorithm));
    rc = put_serial(w, engine, shape->small_serial);
    version_mark = der_mark(w);
    der_element(w, DER_INTEGER, &version_3, 1);
    der_header(w, DER_EXPLICIT_0, version_mark);
    der_header(w, DER_SEQUENCE, mark);
    return rc;
}

static azihsm_rc put_certificate(struct der_writer *w, const struct engine *engine, EVP_PKEY *issuer_key,
                                 const struct der_writer *tbs)
{
    uint8_t raw[ECDSA_RAW_MAX], der[1 + ECDSA_DER_MAX];
    size_t mark = der_mark(w), raw_len, der_len;
    azihsm_rc rc =
        ecdsa_sign_message(engine_libctx(engine), issuer_key, AZIHSM_HASH_SHA384, der_result(tbs), raw, &raw_len);

    if (rc != AZIHSM_OK)
        return rc;
    der[0] = 0; /* unused bits */
    ecdsa_raw_to_der(raw, raw_len / 2, der + 1, &der_len);
    der_element(w, DER_BIT_STRING, der, 1 + der_len);
    der_bytes(w, signature_algorithm, sizeof(signature_algorithm));
    der_bytes(w, der_result(tbs).data, der_result(tbs).len);
    der_header(w, DER_SEQUENCE, mark);
    return tbs->full || w->full ? AZIHSM_STATUS_PARTITION_CERT_TOO_LARGE : AZIHSM_OK;
}

azihsm_rc certificate_issue(const struct engine *engine, const struct certificate_shape *shape,
                            const struct certificate_party *issuer, const struct certificate_party *subject,
                            uint8_t out[AZIHSM_CERTIFICATE_MAX], size_t *len)
{
    uint8_t buf[TBS_MAX];
    struct der_writer tbs = der_writer_new(buf, sizeof(buf)), w = der_writer_new(out, AZIHSM_CERTIFICATE_MAX);
    azihsm_rc rc = put_to_be_signed(&tbs, engine, shape, issuer, subject);

    if (rc == AZIHSM_OK)
        rc = put_certificate(&w, engine, issuer->key, &tbs);
    if (rc == AZIHSM_OK) {
        *len = der_result(&w).len;
        memmove(out, der_result(&w).data, *len);
    }
    return rc;
}
