/*
 * The plaintext form of keys inside masked keys. Only this device reads it, so it is chosen for a quick restore and a
 * size that depends on the kind alone (ddi-protocol 5.3).
 *
 * ECC: PKCS#8 as libcrypto writes it with the public key, from fixed templates. RSA: a 16-byte header (magic, bits,
 * lengths of p and q, zero), e in 8 bytes, p, q and q^-1 mod p, zeros up to the kind's size.
 */
#include "emulator/engine_internal.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <string.h>

/* ---- ECC ---- */

enum { HEAD_MAX = 36, MIDDLE_MAX = 8 };

/* PKCS#8 = head, d, middle, x, y */
static const struct ecc_form {
    uint8_t head_len;
    uint8_t middle_len;
    uint8_t head[HEAD_MAX];
    uint8_t middle[MIDDLE_MAX];
} ecc_forms[] = {
    [AZIHSM_CURVE_P256] = {36,
                           6,
                           {0x30, 0x81, 0x87, 0x02, 0x01, 0x00, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86,
                            0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d,
                            0x03, 0x01, 0x07, 0x04, 0x6d, 0x30, 0x6b, 0x02, 0x01, 0x01, 0x04, 0x20},
                           {0xa1, 0x44, 0x03, 0x42, 0x00, 0x04}},
    [AZIHSM_CURVE_P384] = {35,
                           6,
                           {0x30, 0x81, 0xb6, 0x02, 0x01, 0x00, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86,
                            0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22,
                            0x04, 0x81, 0x9e, 0x30, 0x81, 0x9b, 0x02, 0x01, 0x01, 0x04, 0x30},
                           {0xa1, 0x64, 0x03, 0x62, 0x00, 0x04}},
    [AZIHSM_CURVE_P521] = {35,
                           8,
                           {0x30, 0x81, 0xee, 0x02, 0x01, 0x00, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86,
                            0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23,
                            0x04, 0x81, 0xd6, 0x30, 0x81, 0xd3, 0x02, 0x01, 0x01, 0x04, 0x42},
                           {0xa1, 0x81, 0x89, 0x03, 0x81, 0x86, 0x00, 0x04}},
};

static size_t ecc_form_size(uint32_t curve)
{
    return (size_t)ecc_forms[curve].head_len + ecc_forms[curve].middle_len + 3 * azihsm_curve_coordinate_size(curve);
}

bool engine_ecc_parse_pkcs8(struct azihsm_bytes der, uint32_t *curve, struct engine_ecc_numbers *numbers)
{
    for (uint32_t i = AZIHSM_CURVE_P256; i <= AZIHSM_CURVE_P521; i++) {
        const struct ecc_form *form = &ecc_forms[i];
        size_t width = azihsm_curve_coordinate_size(i);
        const uint8_t *middle;

        if (der.len != ecc_form_size(i) || memcmp(der.data, form->head, form->head_len) != 0)
            continue;
        middle = der.data + form->head_len + width;
        if (memcmp(middle, form->middle, form->middle_len) != 0)
            continue;
        memcpy(numbers->d, der.data + form->head_len, width);
        memcpy(numbers->x, middle + form->middle_len, width);
        memcpy(numbers->y, middle + form->middle_len + width, width);
        *curve = i;
        return true;
    }
    return false;
}

static azihsm_rc serialize_ecc(const struct engine_key *key, uint8_t *out)
{
    uint32_t curve = key->info->curve;
    const struct ecc_form *form = &ecc_forms[curve];
    size_t width = azihsm_curve_coordinate_size(curve);
    struct engine_ecc_numbers numbers;
    azihsm_rc rc = engine_ecc_numbers(key->pkey, curve, &numbers);

    if (rc == AZIHSM_OK) {
        memcpy(out, form->head, form->head_len);
        out += form->head_len;
        memcpy(out, numbers.d, width);
        out += width;
        memcpy(out, form->middle, form->middle_len);
        out += form->middle_len;
        memcpy(out, numbers.x, width);
        memcpy(out + width, numbers.y, width);
    }
    OPENSSL_cleanse(&numbers, sizeof(numbers));
    return rc;
}

static azihsm_rc restore_ecc(struct engine *engine, const struct engine_kind *info, struct azihsm_bytes plain,
                             struct engine_key **out)
{
    struct engine_ecc_numbers numbers;
    EVP_PKEY *pkey = NULL;
    uint32_t curve;

    if (engine_ecc_parse_pkcs8(plain, &curve, &numbers) && curve == info->curve)
        pkey = engine_ecc_build(engine, curve, &numbers);
    OPENSSL_cleanse(&numbers, sizeof(numbers));
    return pkey == NULL ? AZIHSM_STATUS_KEY_DECODE_FAILED : engine_key_new(engine, info->kind, pkey, NULL, out);
}

/* ---- RSA ---- */

static const uint8_t rsa_magic[8] = {'a', 'z', 'i', 'h', 's', 'm', 'R', '1'};

enum { RSA_HEADER = 16, RSA_E = 8, RSA_BITS_AT = 8, RSA_P_LEN_AT = 10, RSA_Q_LEN_AT = 12 };

static void put_u16(uint8_t *out, size_t value)
{
    out[0] = (uint8_t)(value >> 8);
    out[1] = (uint8_t)value;
}

static size_t get_u16(const uint8_t *in)
{
    return (size_t)in[0] << 8 | in[1];
}

static bool put_number(const EVP_PKEY *pkey, const char *name, uint8_t *out, size_t len)
{
    BIGNUM *number = NULL;
    bool fits = EVP_PKEY_get_bn_param(pkey, name, &number) == 1 && BN_bn2binpad(number, out, (int)len) >= 0;

    BN_clear_free(number);
    return fits;
}

static size_t number_size(const EVP_PKEY *pkey, const char *name)
{
    BIGNUM *number = NULL;
    size_t size = 0;

    if (EVP_PKEY_get_bn_param(pkey, name, &number) == 1)
        size = (size_t)BN_num_bytes(number);
    BN_clear_free(number);
    return size;
}

static azihsm_rc serialize_rsa(const struct engine_key *key, uint8_t *out)
{
    size_t p_len = number_size(key->pkey, OSSL_PKEY_PARAM_RSA_FACTOR1);
    size_t q_len = number_size(key->pkey, OSSL_PKEY_PARAM_RSA_FACTOR2);
    uint8_t *at = out + RSA_HEADER;

    memset(out, 0, key->info->serialized);
    /* q^-1 mod p is as long as p */
    if (RSA_HEADER + RSA_E + 2 * p_len + q_len > key->info->serialized)
        return AZIHSM_E_CRYPTO;
    memcpy(out, rsa_magic, sizeof(rsa_magic));
    put_u16(out + RSA_BITS_AT, key->info->bits);
    put_u16(out + RSA_P_LEN_AT, p_len);
    put_u16(out + RSA_Q_LEN_AT, q_len);
    if (!put_number(key->pkey, OSSL_PKEY_PARAM_RSA_E, at, RSA_E) ||
        !put_number(key->pkey, OSSL_PKEY_PARAM_RSA_FACTOR1, at + RSA_E, p_len) ||
        !put_number(key->pkey, OSSL_PKEY_PARAM_RSA_FACTOR2, at + RSA_E + p_len, q_len) ||
        !put_number(key->pkey, OSSL_PKEY_PARAM_RSA_COEFFICIENT1, at + RSA_E + p_len + q_len, p_len))
        return AZIHSM_E_CRYPTO;
    return AZIHSM_OK;
}

/* p, q, q^-1 mod p and e out of the compact form. */
static bool parse_rsa(const struct engine_kind *info, struct azihsm_bytes plain, BIGNUM *numbers[4])
{
    const uint8_t *at = plain.data + RSA_HEADER;
    size_t p_len = get_u16(plain.data + RSA_P_LEN_AT), q_len = get_u16(plain.data + RSA_Q_LEN_AT);
    bool complete;

    if (memcmp(plain.data, rsa_magic, sizeof(rsa_magic)) != 0 || get_u16(plain.data + RSA_BITS_AT) != info->bits ||
        RSA_HEADER + RSA_E + 2 * p_len + q_len > plain.len)
        return false;
    numbers[3] = BN_bin2bn(at, RSA_E, NULL);
    at += RSA_E;
    numbers[0] = BN_bin2bn(at, (int)p_len, BN_secure_new());
    at += p_len;
    numbers[1] = BN_bin2bn(at, (int)q_len, BN_secure_new());
    at += q_len;
    numbers[2] = BN_bin2bn(at, (int)p_len, BN_secure_new());
    complete = true;
    for (size_t i = 0; i < 4; i++)
        complete = complete && numbers[i] != NULL;
    return complete;
}

static azihsm_rc restore_rsa(struct engine *engine, const struct engine_kind *info, struct azihsm_bytes plain,
                             struct engine_key **out)
{
    BIGNUM *numbers[4] = {NULL};
    EVP_PKEY *pkey = NULL;

    if (parse_rsa(info, plain, numbers))
        pkey = engine_rsa_build(engine, numbers[0], numbers[1], numbers[2], numbers[3]);
    for (size_t i = 0; i < 4; i++)
        BN_clear_free(numbers[i]);
    if (pkey != NULL && EVP_PKEY_get_bits(pkey) != info->bits) {
        EVP_PKEY_free(pkey);
        pkey = NULL;
    }
    return pkey == NULL ? AZIHSM_STATUS_KEY_DECODE_FAILED : engine_key_new(engine, info->kind, pkey, NULL, out);
}

/* ---- any kind ---- */

size_t engine_serialized_size(const struct engine_key *key)
{
    return key->info->serialized != 0 ? key->info->serialized : key->raw->len;
}

azihsm_rc engine_key_serialize(const struct engine_key *key, uint8_t *out, size_t cap, size_t *len)
{
    azihsm_rc rc = AZIHSM_OK;

    *len = engine_serialized_size(key);
    if (*len > cap)
        return AZIHSM_E_ENCODE;
    if (key->info->family == ENGINE_RSA)
        rc = serialize_rsa(key, out);
    else if (key->info->family == ENGINE_ECC)
        rc = serialize_ecc(key, out);
    else
        memcpy(out, key->raw->data, key->raw->len);
    if (rc != AZIHSM_OK)
        OPENSSL_cleanse(out, *len);
    return rc;
}

azihsm_rc engine_key_restore(struct engine *engine, uint32_t kind, struct azihsm_bytes plain, struct engine_key **out)
{
    const struct engine_kind *info = engine_kind_find(kind);
    azihsm_rc rc;

    *out = NULL;
    if (info == NULL)
        return AZIHSM_STATUS_INVALID_KEY_TYPE;
    if (info->serialized != 0 && plain.len != info->serialized)
        return AZIHSM_STATUS_MASKED_KEY_DECODE_FAILED;
    if (info->family == ENGINE_RSA)
        return restore_rsa(engine, info, plain, out);
    if (info->family == ENGINE_ECC)
        return restore_ecc(engine, info, plain, out);
    rc = engine_key_from_raw(engine, kind, plain, out);
    return rc == AZIHSM_STATUS_INVALID_KEY_LENGTH ? AZIHSM_STATUS_MASKED_KEY_DECODE_FAILED : rc;
}
