/*
 * Attestation reports, written with libcbor's encoders straight into the output: the structure is fixed, so no tree
 * of items is needed and nothing can fail but the room.
 */
#include "emulator/report.h"

#include "crypto/ecdsa.h"
#include "crypto/spki.h"

#include <cbor.h>

#include <string.h>

enum { SIGNATURE_SIZE = 96, ALG_ES384 = 34, TAG_COSE_SIGN1 = 18, SIGNED_MAX = 1024 };

/* ---- flags ---- */

static const struct {
    uint32_t attribute;
    uint32_t flag;
} usages[] = {
    {AZIHSM_ATTR_ENCRYPT, REPORT_ENCRYPT}, {AZIHSM_ATTR_DECRYPT, REPORT_DECRYPT}, {AZIHSM_ATTR_SIGN, REPORT_SIGN},
    {AZIHSM_ATTR_VERIFY, REPORT_VERIFY},   {AZIHSM_ATTR_UNWRAP, REPORT_UNWRAP},   {AZIHSM_ATTR_DERIVE, REPORT_DERIVE},
}; /* wrap is never shown: the unwrapping key has it, and firmware leaves it out */

/* Whether the key is shown as made inside: the physical profile decides by kind for some (7.3). */
static bool shown_generated(enum azihsm_device_kind profile, enum engine_family family, uint64_t attributes)
{
    if (profile == AZIHSM_DEVICE_PHYSICAL && family == ENGINE_AES_BULK)
        return false;
    if (profile == AZIHSM_DEVICE_PHYSICAL &&
        (family == ENGINE_SECRET || family == ENGINE_HMAC || family == ENGINE_VAR_HMAC))
        return true;
    return (attributes & AZIHSM_ATTR_LOCAL) != 0;
}

uint32_t report_flags(enum azihsm_device_kind profile, uint32_t key_kind, uint64_t attributes)
{
    const struct engine_kind *info = engine_kind_find(key_kind);
    enum engine_family family = info == NULL ? 0 : info->family;
    uint32_t flags = shown_generated(profile, family, attributes) ? REPORT_GENERATED : REPORT_IMPORTED;

    if ((attributes & AZIHSM_ATTR_SESSION) != 0)
        flags |= REPORT_SESSION;
    if (profile == AZIHSM_DEVICE_PHYSICAL && (family == ENGINE_HMAC || family == ENGINE_VAR_HMAC))
        return flags;
    for (size_t i = 0; i < sizeof(usages) / sizeof(usages[0]); i++)
        if ((attributes & usages[i].attribute) != 0)
            flags |= usages[i].flag;
    return flags;
}

/* ---- CBOR ---- */

/* Output that remembers whether everything fitted. */
struct writer {
    uint8_t *buf;
    size_t cap;
    size_t used;
    bool full;
};

static void advance(struct writer *w, size_t written)
{
    if (written == 0)
        w->full = true;
    w->used += written;
}

static void put_uint(struct writer *w, uint64_t value)
{
    advance(w, cbor_encode_uint(value, w->buf + w->used, w->cap - w->used));
}

/* -1 - value */
static void put_negint(struct writer *w, uint64_t value)
{
    advance(w, cbor_encode_negint(value, w->buf + w->used, w->cap - w->used));
}

static void put_map(struct writer *w, size_t pairs)
{
    advance(w, cbor_encode_map_start(pairs, w->buf + w->used, w->cap - w->used));
}

static void put_array(struct writer *w, size_t items)
{
    advance(w, cbor_encode_array_start(items, w->buf + w->used, w->cap - w->used));
}

static void put_content(struct writer *w, const void *data, size_t len)
{
    if (len > w->cap - w->used) {
        w->full = true;
        return;
    }
    if (len > 0)
        memcpy(w->buf + w->used, data, len);
    w->used += len;
}

static void put_bytes(struct writer *w, const uint8_t *data, size_t len)
{
    advance(w, cbor_encode_bytestring_start(len, w->buf + w->used, w->cap - w->used));
    put_content(w, data, len);
}

static void put_text(struct writer *w, const char *text)
{
    advance(w, cbor_encode_string_start(strlen(text), w->buf + w->used, w->cap - w->used));
    put_content(w, text, strlen(text));
}

/* ---- the parts ---- */

enum cose_key_type { COSE_EC2 = 2, COSE_RSA = 3 };

static void put_ec_key(struct writer *w, uint32_t curve, const uint8_t *x, const uint8_t *y)
{
    size_t width = azihsm_curve_coordinate_size(curve);

    put_map(w, 4);
    put_uint(w, 1);
    put_uint(w, COSE_EC2);
    put_negint(w, 0);
    put_uint(w, curve); /* COSE numbers the curves as the protocol does */
    put_negint(w, 1);
    put_bytes(w, x, width);
    put_negint(w, 2);
    put_bytes(w, y, width);
}

static void put_rsa_key(struct writer *w, const uint8_t *n, size_t n_len, const uint8_t *e, size_t e_len)
{
    put_map(w, 3);
    put_uint(w, 1);
    put_uint(w, COSE_RSA);
    put_negint(w, 0);
    put_bytes(w, n, n_len);
    put_negint(w, 1);
    put_bytes(w, e, e_len);
}

/* COSE_Key of the public half; *len 0 for a key without one. The rest of out stays zero. */
static azihsm_rc cose_key(const struct engine *engine, const struct engine_key *key, uint8_t out[REPORT_COSE_KEY_SIZE],
                          size_t *len)
{
    const struct engine_kind *info = engine_key_info(key);
    uint8_t raw[ENGINE_RSA_MAX + 4], turned[ENGINE_RSA_MAX + 4];
    struct writer w = {out, REPORT_COSE_KEY_SIZE, 0, false};
    size_t raw_len, first, skip = 0;

    memset(out, 0, REPORT_COSE_KEY_SIZE);
    *len = 0;
    if (info->public_kind == 0)
        return AZIHSM_OK;
    if (spki_encode_raw(engine_key_pkey(key), raw, sizeof(raw), &raw_len) != AZIHSM_OK)
        return AZIHSM_STATUS_COSE_KEY_ENCODE_FAILED;
    first = info->family == ENGINE_RSA ? raw_len - 4 : azihsm_curve_coordinate_size(info->curve);
    azihsm_form_reverse(turned, raw, first);
    if (info->family == ENGINE_ECC) {
        azihsm_form_reverse(turned + first, raw + raw_len / 2, first);
        put_ec_key(&w, info->curve, turned, turned + first);
    } else {
        azihsm_form_reverse(turned + first, raw + first, 4);
        while (engine_profile(engine) == AZIHSM_DEVICE_VIRTUAL && turned[first + skip] == 0)
            skip++;
        put_rsa_key(&w, turned, first, turned + first + skip, 4 - skip);
    }
    *len = w.used;
    return w.full ? AZIHSM_STATUS_COSE_KEY_ENCODE_FAILED : AZIHSM_OK;
}

static azihsm_rc put_payload(const struct engine *engine, const struct report_subject *subject, struct writer *w)
{
    uint8_t key[REPORT_COSE_KEY_SIZE];
    size_t key_len;
    azihsm_rc rc = cose_key(engine, subject->key, key, &key_len);

    put_map(w, 7);
    put_uint(w, 0);
    put_uint(w, 1);
    put_uint(w, 1);
    put_bytes(w, key, sizeof(key));
    put_uint(w, 2);
    put_uint(w, key_len);
    put_uint(w, 3);
    put_uint(w, report_flags(engine_profile(engine), engine_key_kind(subject->key), subject->attributes));
    put_uint(w, 4);
    put_bytes(w, subject->app_uuid, sizeof(subject->app_uuid));
    put_uint(w, 5);
    put_bytes(w, subject->report_data, sizeof(subject->report_data));
    put_uint(w, 6);
    put_bytes(w, subject->vm_launch_id, sizeof(subject->vm_launch_id));
    return rc;
}

static void put_protected(struct writer *w)
{
    put_map(w, 2);
    put_uint(w, 1);
    put_negint(w, ALG_ES384);
    put_uint(w, 3);
    put_text(w, "application/cbor");
}

/* ECDSA over the Sig_structure of COSE_Sign1. */
static azihsm_rc sign(const struct engine *engine, const struct engine_key *identity, const struct writer *header,
                      const struct writer *payload, uint8_t signature[SIGNATURE_SIZE])
{
    uint8_t buf[SIGNED_MAX], raw[ECDSA_RAW_MAX];
    struct writer w = {buf, sizeof(buf), 0, false};
    size_t len;
    azihsm_rc rc;

    put_array(&w, 4);
    put_text(&w, "Signature1");
    put_bytes(&w, header->buf, header->used);
    put_bytes(&w, NULL, 0);
    put_bytes(&w, payload->buf, payload->used);
    if (w.full || engine_key_info(identity)->curve != AZIHSM_CURVE_P384)
        return AZIHSM_STATUS_ATTESTATION_REPORT_ENCODE_FAILED;
    rc = ecdsa_sign_message(engine_libctx(engine), engine_key_pkey(identity), AZIHSM_HASH_SHA384,
                            (struct azihsm_bytes){buf, w.used}, raw, &len);
    if (rc == AZIHSM_OK)
        memcpy(signature, raw, SIGNATURE_SIZE);
    return rc;
}

azihsm_rc report_build(struct engine *engine, const struct engine_key *identity, const struct report_subject *subject,
                       uint8_t *out, size_t cap, size_t *len)
{
    uint8_t header_buf[32], payload_buf[AZIHSM_REPORT_MAX], signature[SIGNATURE_SIZE];
    struct writer header = {header_buf, sizeof(header_buf), 0, false};
    struct writer payload = {payload_buf, sizeof(payload_buf), 0, false}, w = {out, cap, 0, false};
    azihsm_rc rc;

    if (engine_profile(engine) == AZIHSM_DEVICE_VIRTUAL && engine_key_info(subject->key)->public_kind == 0)
        return AZIHSM_STATUS_INVALID_KEY_TYPE;
    put_protected(&header);
    rc = put_payload(engine, subject, &payload);
    if (rc == AZIHSM_OK && (header.full || payload.full))
        rc = AZIHSM_STATUS_ATTESTATION_REPORT_ENCODE_FAILED;
    if (rc == AZIHSM_OK)
        rc = sign(engine, identity, &header, &payload, signature);
    if (rc != AZIHSM_OK)
        return rc;
    advance(&w, cbor_encode_tag(TAG_COSE_SIGN1, w.buf, w.cap));
    put_array(&w, 4);
    put_bytes(&w, header.buf, header.used);
    put_map(&w, 0);
    put_bytes(&w, payload.buf, payload.used);
    put_bytes(&w, signature, sizeof(signature));
    *len = w.used;
    return w.full ? AZIHSM_STATUS_ATTESTATION_REPORT_ENCODE_FAILED : AZIHSM_OK;
}
