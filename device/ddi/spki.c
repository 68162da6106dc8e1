/*
 * SubjectPublicKeyInfo as bytes. EC keys are a constant in front of the point; RSA keys are written back to front, so
 * that every length is known when its header is written.
 */
#include "spki.h"

#include <string.h>

struct ecc_prefix {
    uint32_t curve;
    size_t len;
    uint8_t bytes[27]; /* up to and including the 04 of the uncompressed point */
};

static const struct ecc_prefix prefixes[] = {
    {AZIHSM_CURVE_P256, 27, {0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06,
                             0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04}},
    {AZIHSM_CURVE_P384, 24, {0x30, 0x76, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02,
                             0x01, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22, 0x03, 0x62, 0x00, 0x04}},
    {AZIHSM_CURVE_P521, 26, {0x30, 0x81, 0x9b, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02,
                             0x01, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23, 0x03, 0x81, 0x86, 0x00, 0x04}},
};

const uint8_t *spki_ecc_point(struct azihsm_bytes der, uint32_t *curve)
{
    for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
        const struct ecc_prefix *prefix = &prefixes[i];

        if (der.len == prefix->len + 2 * azihsm_curve_coordinate_size(prefix->curve) &&
            memcmp(der.data, prefix->bytes, prefix->len) == 0) {
            *curve = prefix->curve;
            return der.data + prefix->len;
        }
    }
    return NULL;
}

azihsm_rc spki_write_ecc(uint32_t curve, const uint8_t *point, uint8_t *out, size_t cap, size_t *len)
{
    size_t point_len = 2 * azihsm_curve_coordinate_size(curve);

    for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
        const struct ecc_prefix *prefix = &prefixes[i];

        if (prefix->curve != curve)
            continue;
        if (cap < prefix->len + point_len)
            return AZIHSM_E_ENCODE;
        memcpy(out, prefix->bytes, prefix->len);
        memcpy(out + prefix->len, point, point_len);
        *len = prefix->len + point_len;
        return AZIHSM_OK;
    }
    return AZIHSM_E_ARGUMENT;
}

enum { DER_INTEGER = 0x02, DER_BIT_STRING = 0x03, DER_SEQUENCE = 0x30 };

/* Filled from its end; 512 bytes of modulus, 4 of exponent and at most 34 of structure fit. */
struct der_tail {
    uint8_t buf[640];
    size_t start;
};

static void der_prepend(struct der_tail *der, const uint8_t *data, size_t len)
{
    der->start -= len;
    memcpy(der->buf + der->start, data, len);
}

/* The header of everything that stands between the current start and end. */
static void der_wrap(struct der_tail *der, uint8_t tag, size_t end)
{
    size_t len = end - der->start;
    uint8_t header[4] = {tag, 0x82, (uint8_t)(len >> 8), (uint8_t)len};

    if (len < 0x80) {
        der_prepend(der, (uint8_t[]){tag, (uint8_t)len}, 2);
    } else if (len < 0x100) {
        der_prepend(der, (uint8_t[]){tag, 0x81, (uint8_t)len}, 3);
    } else {
        der_prepend(der, header, sizeof(header));
    }
}

/* Minimal, and not negative. */
static void der_integer(struct der_tail *der, const uint8_t *value, size_t len)
{
    static const uint8_t zero = 0;
    size_t end = der->start;

    while (len > 1 && value[0] == 0) {
        value++;
        len--;
    }
    der_prepend(der, value, len);
    if ((value[0] & 0x80) != 0)
        der_prepend(der, &zero, 1);
    der_wrap(der, DER_INTEGER, end);
}

azihsm_rc spki_write_rsa(const uint8_t *n, size_t n_len, const uint8_t *e, size_t e_len, uint8_t *out, size_t cap,
                         size_t *len)
{
    /* SEQUENCE { OID rsaEncryption, NULL } */
    static const uint8_t algorithm[] = {0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86,
                                        0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00};
    static const uint8_t unused_bits = 0;
    struct der_tail der = {.start = sizeof(der.buf)};

    if (n_len == 0 || n_len > 512 || e_len == 0 || e_len > 64)
        return AZIHSM_E_ARGUMENT;
    der_integer(&der, e, e_len);
    der_integer(&der, n, n_len);
    der_wrap(&der, DER_SEQUENCE, sizeof(der.buf));
    der_prepend(&der, &unused_bits, 1);
    der_wrap(&der, DER_BIT_STRING, sizeof(der.buf));
    der_prepend(&der, algorithm, sizeof(algorithm));
    der_wrap(&der, DER_SEQUENCE, sizeof(der.buf));
    *len = sizeof(der.buf) - der.start;
    if (*len > cap)
        return AZIHSM_E_ENCODE;
    memcpy(out, der.buf + der.start, *len);
    return AZIHSM_OK;
}
