/*
 * Public keys in and out. The codec knows the DER shapes of our keys and turns them into raw coordinates without any
 * parser; libcrypto's decoder is asked only about what the codec does not recognise, to tell garbage from a key that
 * is none of ours.
 */
#include "crypto/spki.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/x509.h>

#include <string.h>

enum { COORDINATE_MAX = 66, WIRE_COORDINATE_MAX = 68, RSA_E_WIRE = 4, RSA_MAX = 512 };

static const struct curve {
    const char *name;
    const char *alias; /* as libcrypto's own keys report it */
    uint32_t public_kind;
} curves[] = {
    [AZIHSM_CURVE_P256] = {"P-256", "prime256v1", AZIHSM_KEY_ECC256_PUBLIC},
    [AZIHSM_CURVE_P384] = {"P-384", "secp384r1", AZIHSM_KEY_ECC384_PUBLIC},
    [AZIHSM_CURVE_P521] = {"P-521", "secp521r1", AZIHSM_KEY_ECC521_PUBLIC},
};

const char *spki_curve_name(uint32_t curve)
{
    return curve < sizeof(curves) / sizeof(curves[0]) ? curves[curve].name : NULL;
}

uint32_t spki_curve(const EVP_PKEY *pkey)
{
    char name[32];
    size_t len;

    if (pkey == NULL || !EVP_PKEY_is_a(pkey, "EC") || EVP_PKEY_get_group_name(pkey, name, sizeof(name), &len) != 1)
        return 0;
    for (uint32_t i = AZIHSM_CURVE_P256; i <= AZIHSM_CURVE_P521; i++)
        if (strcmp(name, curves[i].name) == 0 || strcmp(name, curves[i].alias) == 0)
            return i;
    return 0;
}

uint32_t spki_public_kind(const EVP_PKEY *pkey)
{
    if (pkey != NULL && EVP_PKEY_is_a(pkey, "RSA")) {
        switch (EVP_PKEY_get_bits(pkey)) {
        case 2048:
            return AZIHSM_KEY_RSA2K_PUBLIC;
        case 3072:
            return AZIHSM_KEY_RSA3K_PUBLIC;
        case 4096:
            return AZIHSM_KEY_RSA4K_PUBLIC;
        default:
            return 0;
        }
    }
    return curves[spki_curve(pkey)].public_kind;
}

/* ---- in ---- */

azihsm_rc spki_from_point(OSSL_LIB_CTX *libctx, uint32_t curve, const uint8_t *x, const uint8_t *y, EVP_PKEY **out)
{
    size_t width = azihsm_curve_coordinate_size(curve);
    uint8_t point[SPKI_POINT_MAX];
    OSSL_PARAM params[3];
    EVP_PKEY_CTX *ctx;
    azihsm_rc rc = AZIHSM_OK;

    if (width == 0)
        return AZIHSM_E_ARGUMENT;
    point[0] = POINT_CONVERSION_UNCOMPRESSED;
    memcpy(point + 1, x, width);
    memcpy(point + 1 + width, y, width);
    params[0] =
        OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, (char *)(uintptr_t)spki_curve_name(curve), 0);
    params[1] = OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, 1 + 2 * width);
    params[2] = OSSL_PARAM_construct_end();
    *out = NULL;
    ERR_set_mark();
    ctx = EVP_PKEY_CTX_new_from_name(libctx, "EC", NULL);
    if (ctx == NULL || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, out, EVP_PKEY_PUBLIC_KEY, params) != 1)
        rc = AZIHSM_STATUS_ECC_POINT_VALIDATION_FAILED;
    ERR_pop_to_mark();
    EVP_PKEY_CTX_free(ctx);
    return rc;
}

/* x and y, each little-endian of wire width, whose surplus bytes are known to be zero. */
static azihsm_rc from_wire_point(OSSL_LIB_CTX *libctx, uint32_t curve, const uint8_t *raw, EVP_PKEY **out)
{
    size_t width = azihsm_curve_coordinate_size(curve), wire = azihsm_curve_wire_coordinate_size(curve);
    uint8_t x[COORDINATE_MAX], y[COORDINATE_MAX];

    azihsm_form_reverse(x, raw, width);
    azihsm_form_reverse(y, raw + wire, width);
    return spki_from_point(libctx, curve, x, y, out);
}

/* What the codec does not know: a key of another kind, a form of DER we do not write, or no key at all. */
static azihsm_rc decode_other(OSSL_LIB_CTX *libctx, struct azihsm_bytes der, EVP_PKEY **out)
{
    const unsigned char *p = der.data;
    EVP_PKEY *pkey = NULL;
    azihsm_rc rc = AZIHSM_STATUS_KEY_DECODE_FAILED;

    ERR_set_mark();
    if (der.len > 0 && der.len <= AZIHSM_PUB_KEY_MAX)
        pkey = d2i_PUBKEY_ex(NULL, &p, (long)der.len, libctx, NULL);
    ERR_pop_to_mark();
    if (pkey != NULL && p == der.data + der.len)
        rc = spki_public_kind(pkey) != 0 ? AZIHSM_OK : AZIHSM_STATUS_DER_AND_KEY_TYPE_MISMATCH;
    if (rc == AZIHSM_OK)
        *out = pkey;
    else
        EVP_PKEY_free(pkey);
    return rc;
}

azihsm_rc spki_decode(OSSL_LIB_CTX *libctx, struct azihsm_bytes der, EVP_PKEY **out)
{
    uint8_t raw[2 * WIRE_COORDINATE_MAX];
    uint32_t curve;
    size_t len;

    *out = NULL;
    if (azihsm_form_ecc_spki_to_raw(der, &curve, raw, &len) != AZIHSM_OK)
        return decode_other(libctx, der, out);
    return from_wire_point(libctx, curve, raw, out) == AZIHSM_OK ? AZIHSM_OK : AZIHSM_STATUS_KEY_DECODE_FAILED;
}

static const uint8_t p256_prime[] = {0xff, 0xff, 0xff, 0xff, 0,    0,    0,    1,    0,    0,    0,
                                     0,    0,    0,    0,    0,    0,    0,    0,    0,    0xff, 0xff,
                                     0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
static const uint8_t p384_prime[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                     0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                     0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe, 0xff, 0xff, 0xff, 0xff,
                                     0,    0,    0,    0,    0,    0,    0,    0,    0xff, 0xff, 0xff, 0xff};

/* Whether a little-endian wire coordinate is below the field prime. */
static bool below_prime(uint32_t curve, const uint8_t *coordinate)
{
    size_t wire = azihsm_curve_wire_coordinate_size(curve);
    uint8_t value[WIRE_COORDINATE_MAX], prime[WIRE_COORDINATE_MAX];

    azihsm_form_reverse(value, coordinate, wire);
    if (curve == AZIHSM_CURVE_P256) {
        memcpy(prime, p256_prime, sizeof(p256_prime));
    } else if (curve == AZIHSM_CURVE_P384) {
        memcpy(prime, p384_prime, sizeof(p384_prime));
    } else { /* 2^521 - 1 in 68 bytes */
        memset(prime, 0xff, sizeof(prime));
        prime[0] = prime[1] = 0;
        prime[2] = 0x01;
    }
    return memcmp(value, prime, wire) < 0;
}

static azihsm_rc decode_peer_raw(OSSL_LIB_CTX *libctx, uint32_t curve, struct azihsm_bytes raw, EVP_PKEY **out)
{
    size_t wire = azihsm_curve_wire_coordinate_size(curve);

    if (raw.len < 2 * wire)
        return AZIHSM_STATUS_ECC_DER_KEY_SHORTER_THAN_CURVE;
    if (raw.len > 2 * wire || !below_prime(curve, raw.data) || !below_prime(curve, raw.data + wire))
        return AZIHSM_STATUS_ECC_PUBLIC_KEY_VALIDATION_FAILED;
    return from_wire_point(libctx, curve, raw.data, out);
}

azihsm_rc spki_decode_peer(OSSL_LIB_CTX *libctx, enum azihsm_device_kind kind, uint32_t curve,
                           struct azihsm_bytes encoded, EVP_PKEY **out)
{
    azihsm_rc rc;

    *out = NULL;
    if (spki_curve_name(curve) == NULL)
        return AZIHSM_E_ARGUMENT;
    if (kind == AZIHSM_DEVICE_PHYSICAL)
        return decode_peer_raw(libctx, curve, encoded, out);
    rc = spki_decode(libctx, encoded, out);
    if (rc == AZIHSM_OK && spki_curve(*out) != curve) {
        EVP_PKEY_free(*out);
        *out = NULL;
        rc = AZIHSM_STATUS_DER_AND_KEY_TYPE_MISMATCH;
    }
    return rc;
}

/* ---- out ---- */

/* A number of the key as len bytes, little- or big-endian; AZIHSM_E_ENCODE when it is longer. */
static azihsm_rc get_number(const EVP_PKEY *pkey, const char *name, bool little, uint8_t *out, size_t len)
{
    BIGNUM *number = NULL;
    azihsm_rc rc = AZIHSM_E_CRYPTO;

    if (EVP_PKEY_get_bn_param(pkey, name, &number) == 1)
        rc = (little ? BN_bn2lebinpad(number, out, (int)len) : BN_bn2binpad(number, out, (int)len)) < 0
                 ? AZIHSM_E_ENCODE
                 : AZIHSM_OK;
    BN_free(number);
    return rc;
}

azihsm_rc spki_point(const EVP_PKEY *pkey, uint8_t *out, size_t *len)
{
    size_t width = azihsm_curve_coordinate_size(spki_curve(pkey));
    azihsm_rc rc;

    if (width == 0)
        return AZIHSM_E_ARGUMENT;
    out[0] = POINT_CONVERSION_UNCOMPRESSED;
    rc = get_number(pkey, OSSL_PKEY_PARAM_EC_PUB_X, false, out + 1, width);
    if (rc == AZIHSM_OK)
        rc = get_number(pkey, OSSL_PKEY_PARAM_EC_PUB_Y, false, out + 1 + width, width);
    *len = 1 + 2 * width;
    return rc;
}

azihsm_rc spki_encode_raw(const EVP_PKEY *pkey, uint8_t *out, size_t cap, size_t *len)
{
    uint32_t kind = spki_public_kind(pkey);
    size_t modulus = azihsm_key_kind_rsa_size(kind);
    size_t width = azihsm_curve_wire_coordinate_size(azihsm_key_kind_curve(kind));
    size_t total = modulus > 0 ? modulus + RSA_E_WIRE : 2 * width;
    const char *first = modulus > 0 ? OSSL_PKEY_PARAM_RSA_N : OSSL_PKEY_PARAM_EC_PUB_X;
    const char *second = modulus > 0 ? OSSL_PKEY_PARAM_RSA_E : OSSL_PKEY_PARAM_EC_PUB_Y;
    size_t first_len = modulus > 0 ? modulus : width;
    azihsm_rc rc;

    if (total == 0)
        return AZIHSM_E_ARGUMENT;
    if (total > cap)
        return AZIHSM_E_ENCODE;
    rc = get_number(pkey, first, true, out, first_len);
    if (rc == AZIHSM_OK)
        rc = get_number(pkey, second, true, out + first_len, total - first_len);
    *len = total;
    return rc;
}

/* An RSA key whose exponent has no raw form. */
static azihsm_rc encode_other(const EVP_PKEY *pkey, uint8_t *out, size_t cap, size_t *len)
{
    unsigned char *der = NULL;
    int der_len = i2d_PUBKEY(pkey, &der);
    azihsm_rc rc = AZIHSM_E_CRYPTO;

    if (der_len > 0)
        rc = (size_t)der_len > cap ? AZIHSM_E_ENCODE : AZIHSM_OK;
    if (rc == AZIHSM_OK) {
        memcpy(out, der, (size_t)der_len);
        *len = (size_t)der_len;
    }
    OPENSSL_free(der);
    return rc;
}

azihsm_rc spki_encode(const EVP_PKEY *pkey, uint8_t *out, size_t cap, size_t *len)
{
    uint8_t raw[RSA_MAX + RSA_E_WIRE];
    size_t raw_len;
    azihsm_rc rc = spki_encode_raw(pkey, raw, sizeof(raw), &raw_len);

    if (rc == AZIHSM_E_ENCODE)
        return encode_other(pkey, out, cap, len);
    if (rc == AZIHSM_OK)
        rc = azihsm_form_raw_to_spki(spki_public_kind(pkey), (struct azihsm_bytes){raw, raw_len}, out, cap, len);
    return rc;
}

azihsm_rc spki_encode_wire(enum azihsm_device_kind kind, const EVP_PKEY *pkey, uint8_t *out, size_t cap, size_t *len)
{
    return kind == AZIHSM_DEVICE_PHYSICAL ? spki_encode_raw(pkey, out, cap, len) : spki_encode(pkey, out, cap, len);
}
