/*
 * A DER writer that works from the end to the beginning, so that every length is known when its header is written, and
 * the two structures over it: RSAPrivateKey (RFC 8017 A.1.2) and ECPrivateKey (RFC 5915) inside PKCS#8 (RFC 5958).
 * The finished encoding stands at the end of the buffer and is moved to its beginning.
 */
#include "pkcs8.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <string.h>

enum {
    PKCS8_MAX = 4096,
    TAG_INTEGER = 0x02,
    TAG_BITS = 0x03,
    TAG_OCTETS = 0x04,
    TAG_SEQUENCE = 0x30,
    TAG_PUBLIC = 0xa1
};

struct writer {
    uint8_t *start, *at; /* written bytes are at .. end */
    bool failed;
};

static void put(struct writer *w, const void *data, size_t len)
{
    if ((size_t)(w->at - w->start) < len)
        w->failed = true;
    if (w->failed)
        return;
    w->at -= len;
    memcpy(w->at, data, len);
}

static void put_byte(struct writer *w, unsigned value)
{
    uint8_t byte = (uint8_t)value;
    put(w, &byte, 1);
}

/* The header of everything written since `end`. */
static void wrap(struct writer *w, unsigned tag, const uint8_t *end)
{
    size_t len = (size_t)(end - w->at), rest = len;
    unsigned count = 0;
    for (; len >= 0x80 && rest > 0; rest >>= 8, count++)
        put_byte(w, (unsigned)(rest & 0xff));
    put_byte(w, count == 0 ? (unsigned)len : 0x80 | count);
    put_byte(w, tag);
}

static void put_integer(struct writer *w, const BIGNUM *number)
{
    const uint8_t *end = w->at;
    size_t len = number == NULL ? 0 : (size_t)BN_num_bytes(number);
    if (len == 0 || (size_t)(w->at - w->start) < len) {
        w->failed = true;
        return;
    }
    w->at -= len;
    BN_bn2bin(number, w->at);
    if ((*w->at & 0x80) != 0)
        put_byte(w, 0);
    wrap(w, TAG_INTEGER, end);
}

/* version 0, then what has been written since `end`, as one SEQUENCE */
static void put_version(struct writer *w, unsigned version, const uint8_t *end)
{
    uint8_t integer[] = {TAG_INTEGER, 1, (uint8_t)version};
    put(w, integer, sizeof(integer));
    wrap(w, TAG_SEQUENCE, end);
}

static void write_rsa(struct writer *w, const EVP_PKEY *key)
{
    static const char *const members[] = {
        OSSL_PKEY_PARAM_RSA_COEFFICIENT1,
        OSSL_PKEY_PARAM_RSA_EXPONENT2,
        OSSL_PKEY_PARAM_RSA_EXPONENT1,
        OSSL_PKEY_PARAM_RSA_FACTOR2,
        OSSL_PKEY_PARAM_RSA_FACTOR1,
        OSSL_PKEY_PARAM_RSA_D,
        OSSL_PKEY_PARAM_RSA_E,
        OSSL_PKEY_PARAM_RSA_N,
    };
    static const uint8_t algorithm[] = {0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86,
                                        0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00};
    const uint8_t *end = w->at;
    int bits = EVP_PKEY_get_bits(key);
    w->failed = bits != 2048 && bits != 3072 && bits != 4096;
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
        BIGNUM *number = NULL;
        if (!EVP_PKEY_get_bn_param(key, members[i], &number))
            w->failed = true;
        put_integer(w, number);
        BN_clear_free(number);
    }
    put_version(w, 0, end);
    wrap(w, TAG_OCTETS, end);
    put(w, algorithm, sizeof(algorithm));
    put_version(w, 0, end);
}

static const struct {
    const char *group;
    size_t size;
    uint8_t oid[10];
    size_t oid_len;
} curves[] = {
    {"prime256v1", 32, {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07}, 10},
    {"secp384r1", 48, {0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22}, 7},
    {"secp521r1", 66, {0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23}, 7},
};

static void put_point(struct writer *w, const EVP_PKEY *key)
{
    uint8_t point[1 + 2 * 66];
    size_t len = 0;
    const uint8_t *end = w->at;
    /* a compressed or missing point is left out: the device computes it */
    if (!EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point), &len) || point[0] != 4)
        return;
    put(w, point, len);
    put_byte(w, 0); /* no unused bits */
    wrap(w, TAG_BITS, end);
    wrap(w, TAG_PUBLIC, end);
}

static void put_scalar(struct writer *w, const EVP_PKEY *key, size_t size)
{
    BIGNUM *scalar = NULL;
    const uint8_t *end = w->at;
    if (!EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_PRIV_KEY, &scalar) || (size_t)(w->at - w->start) < size ||
        BN_bn2binpad(scalar, w->at - size, (int)size) < 0)
        w->failed = true;
    else {
        w->at -= size;
        wrap(w, TAG_OCTETS, end);
    }
    BN_clear_free(scalar);
}

static void write_ec(struct writer *w, const EVP_PKEY *key)
{
    static const uint8_t algorithm[] = {0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01};
    const uint8_t *end = w->at, *parameters;
    char group[64];
    size_t i = 0, len, count = sizeof(curves) / sizeof(curves[0]);
    if (!EVP_PKEY_get_group_name(key, group, sizeof(group), &len))
        group[0] = '\0';
    while (i < count && strcmp(curves[i].group, group) != 0)
        i++;
    if (i == count) {
        w->failed = true;
        return;
    }
    put_point(w, key);
    put_scalar(w, key, curves[i].size);
    put_version(w, 1, end);
    wrap(w, TAG_OCTETS, end);
    parameters = w->at;
    put(w, curves[i].oid, curves[i].oid_len);
    put(w, algorithm, sizeof(algorithm));
    wrap(w, TAG_SEQUENCE, parameters);
    put_version(w, 0, end);
}

struct secret *pkcs8_encode(const EVP_PKEY *key)
{
    struct secret *secret = secret_new(PKCS8_MAX);
    if (secret == NULL)
        return NULL;
    struct writer w = {.start = secret->data, .at = secret->data + PKCS8_MAX};
    if (EVP_PKEY_is_a(key, "EC"))
        write_ec(&w, key);
    else
        write_rsa(&w, key);
    size_t len = (size_t)(secret->data + PKCS8_MAX - w.at);
    if (w.failed || len > AZIHSM_WRAPPED_BLOB_MAX) {
        secret_free(secret);
        return NULL;
    }
    memmove(secret->data, w.at, len);
    OPENSSL_cleanse(secret->data + len, PKCS8_MAX - len);
    secret->len = len;
    return secret;
}
