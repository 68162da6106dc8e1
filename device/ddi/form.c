/*
 * Wire forms (ddi-protocol 6.5, 6.6). The physical device's engine is little-endian and knows no DER: public keys
 * travel as raw coordinates or modulus and exponent, integers reversed. Pure byte shuffling; whether a point is on its
 * curve is for others to say.
 */
#include "form.h"

#include "spki.h"

#include <string.h>

enum {
    POTA_HALF = 48,
    WRAPPED_RSA_PART = 256,
    ECC_RAW_MAX = 136,
};

void azihsm_form_reverse(uint8_t *out, const uint8_t *in, size_t len)
{
    for (size_t i = 0; i < len; i++)
        out[i] = in[len - 1 - i];
}

/* Wire coordinates to big-endian ones; the two zero bytes that a P-521 coordinate ends with are left out. */
static void pair_from_wire(uint8_t *out, const uint8_t *in, size_t width, size_t wire_width)
{
    azihsm_form_reverse(out, in, width);
    azihsm_form_reverse(out + width, in + wire_width, width);
}

static uint32_t curve_of_raw_size(size_t len)
{
    for (uint32_t curve = AZIHSM_CURVE_P256; curve <= AZIHSM_CURVE_P521; curve++)
        if (len == 2 * azihsm_curve_wire_coordinate_size(curve))
            return curve;
    return 0;
}

azihsm_rc azihsm_form_ecc_spki_to_raw(struct azihsm_bytes der, uint32_t *curve, uint8_t *out, size_t *len)
{
    const uint8_t *point = spki_ecc_point(der, curve);
    size_t width, wire;

    if (point == NULL)
        return AZIHSM_E_DECODE;
    width = azihsm_curve_coordinate_size(*curve);
    wire = azihsm_curve_wire_coordinate_size(*curve);
    memset(out, 0, 2 * wire);
    azihsm_form_reverse(out, point, width);
    azihsm_form_reverse(out + wire, point + width, width);
    *len = 2 * wire;
    return AZIHSM_OK;
}

static azihsm_rc raw_ecc_to_spki(uint32_t curve, struct azihsm_bytes raw, uint8_t *out, size_t cap, size_t *len)
{
    size_t width = azihsm_curve_coordinate_size(curve);
    uint8_t point[ECC_RAW_MAX];

    if (raw.len != 2 * azihsm_curve_wire_coordinate_size(curve))
        return AZIHSM_E_DECODE;
    pair_from_wire(point, raw.data, width, raw.len / 2);
    return spki_write_ecc(curve, point, out, cap, len);
}

/* The device's length is not verified: what is missing counts as zero, what is more is ignored (6.6). */
static azihsm_rc raw_rsa_to_spki(size_t modulus_len, struct azihsm_bytes raw, uint8_t *out, size_t cap, size_t *len)
{
    uint8_t whole[512 + 4] = {0};
    uint8_t n[512], e[4];

    if (raw.len > 0)
        memcpy(whole, raw.data, raw.len < modulus_len + sizeof(e) ? raw.len : modulus_len + sizeof(e));
    azihsm_form_reverse(n, whole, modulus_len);
    azihsm_form_reverse(e, whole + modulus_len, sizeof(e));
    return spki_write_rsa(n, modulus_len, e, sizeof(e), out, cap, len);
}

azihsm_rc azihsm_form_raw_to_spki(uint32_t key_kind, struct azihsm_bytes raw, uint8_t *out, size_t cap, size_t *len)
{
    if (key_kind < AZIHSM_KEY_RSA2K_PUBLIC || key_kind > AZIHSM_KEY_ECC521_PUBLIC)
        return AZIHSM_E_DECODE;
    if (key_kind >= AZIHSM_KEY_ECC256_PUBLIC)
        return raw_ecc_to_spki(azihsm_key_kind_curve(key_kind), raw, out, cap, len);
    return raw_rsa_to_spki(azihsm_key_kind_rsa_size(key_kind), raw, out, cap, len);
}

/* ---- request fields ---- */

static enum mbor_error peer_key_to_wire(struct azihsm_bytes der, uint32_t *curve, uint8_t *out, size_t cap, size_t *len)
{
    uint8_t raw[ECC_RAW_MAX];

    if (azihsm_form_ecc_spki_to_raw(der, curve, raw, len) != AZIHSM_OK)
        return MBOR_DER_DECODE_FAILED;
    if (*len > cap)
        return MBOR_BUFFER_OVERFLOW;
    memcpy(out, raw, *len);
    return MBOR_OK;
}

static enum mbor_error pub_key_to_wire(const struct azihsm_pub_key *key, uint8_t *out, size_t cap, size_t *len)
{
    uint32_t curve = 0;
    enum mbor_error error;

    if (key->key_kind < AZIHSM_KEY_ECC256_PUBLIC || key->key_kind > AZIHSM_KEY_ECC521_PUBLIC)
        return MBOR_DER_DECODE_FAILED;
    error = peer_key_to_wire(key->der, &curve, out, cap, len);
    if (error == MBOR_OK && curve != azihsm_key_kind_curve(key->key_kind))
        error = MBOR_DER_DECODE_FAILED;
    return error;
}

/* A digest longer than the field would be cut by the vendor's client; no digest is, so that is an error here. */
static enum mbor_error digest_to_wire(struct azihsm_bytes value, uint8_t *out, size_t cap, size_t *len)
{
    if (value.len > AZIHSM_ECC_DIGEST_WIRE_SIZE)
        return MBOR_INVALID_LEN;
    if (cap < AZIHSM_ECC_DIGEST_WIRE_SIZE)
        return MBOR_BUFFER_OVERFLOW;
    azihsm_form_reverse(out, value.data, value.len);
    memset(out + value.len, 0, AZIHSM_ECC_DIGEST_WIRE_SIZE - value.len);
    *len = AZIHSM_ECC_DIGEST_WIRE_SIZE;
    return MBOR_OK;
}

enum mbor_error form_to_wire(enum form_kind form, const void *object, struct azihsm_bytes value, uint8_t *out,
                             size_t cap, size_t *len)
{
    uint32_t curve;

    switch (form) {
    case FORM_PUB_KEY:
        return pub_key_to_wire(object, out, cap, len);
    case FORM_PEER_KEY:
        return peer_key_to_wire(value, &curve, out, cap, len);
    case FORM_DIGEST:
        return digest_to_wire(value, out, cap, len);
    default:
        break;
    }
    if (cap < value.len)
        return MBOR_BUFFER_OVERFLOW;
    if (form == FORM_INTEGER) {
        azihsm_form_reverse(out, value.data, value.len);
    } else if (form == FORM_WRAPPED_BLOB && value.len >= WRAPPED_RSA_PART) {
        azihsm_form_reverse(out, value.data, WRAPPED_RSA_PART);
        memcpy(out + WRAPPED_RSA_PART, value.data + WRAPPED_RSA_PART, value.len - WRAPPED_RSA_PART);
    } else if (form == FORM_POTA && value.len == 2 * POTA_HALF) {
        azihsm_form_reverse(out, value.data, POTA_HALF);
        azihsm_form_reverse(out + POTA_HALF, value.data + POTA_HALF, POTA_HALF);
    } else {
        return MBOR_INVALID_LEN;
    }
    *len = value.len;
    return MBOR_OK;
}

/* ---- response fields ---- */

static enum mbor_error pub_key_from_wire(const struct azihsm_pub_key *key, uint8_t *out, size_t cap, size_t *len)
{
    return azihsm_form_raw_to_spki(key->key_kind, key->der, out, cap, len) == AZIHSM_OK ? MBOR_OK
                                                                                        : MBOR_INVALID_KEY_DATA;
}

static enum mbor_error signature_from_wire(struct azihsm_bytes value, uint8_t *out, size_t cap, size_t *len)
{
    uint32_t curve = curve_of_raw_size(value.len);
    size_t width = azihsm_curve_coordinate_size(curve);

    if (curve == 0)
        return MBOR_INVALID_LEN;
    if (cap < 2 * width)
        return MBOR_BUFFER_OVERFLOW;
    pair_from_wire(out, value.data, width, value.len / 2);
    *len = 2 * width;
    return MBOR_OK;
}

enum mbor_error form_from_wire(enum form_kind form, const void *object, struct azihsm_bytes *value,
                               struct azihsm_scratch *scratch)
{
    uint8_t *out = scratch->buf + scratch->used;
    size_t cap = sizeof(scratch->buf) - scratch->used, len = 0;
    enum mbor_error error = MBOR_OK;

    if (form == FORM_PUB_KEY) {
        error = pub_key_from_wire(object, out, cap, &len);
    } else if (form == FORM_SIGNATURE) {
        error = signature_from_wire(*value, out, cap, &len);
    } else if (form == FORM_INTEGER) {
        if (cap < value->len)
            return MBOR_BUFFER_OVERFLOW;
        azihsm_form_reverse(out, value->data, value->len);
        len = value->len;
    } else {
        return MBOR_OK;
    }
    if (error != MBOR_OK)
        return error;
    scratch->used += len;
    *value = (struct azihsm_bytes){out, len};
    return MBOR_OK;
}
