/*
 * ECDSA forms and whole-message signatures. The DER code knows just this one shape (SEQUENCE of two INTEGERs), so that
 * the sign path neither allocates nor builds bignums.
 */
#include "crypto/ecdsa.h"
#include "crypto/kdf.h"
#include "crypto/spki.h"

#include <openssl/evp.h>

#include <string.h>

/* Takes tag and length of one element off the front of in; its content must lie wholly within in. */
static bool take_element(struct azihsm_bytes *in, uint8_t tag, struct azihsm_bytes *content)
{
    size_t header = 2, len;

    if (in->len < 2 || in->data[0] != tag)
        return false;
    len = in->data[1];
    if (len == 0x81 && in->len >= 3) {
        len = in->data[2];
        header = 3;
    } else if (len >= 0x80) {
        return false;
    }
    if (in->len - header < len)
        return false;
    *content = (struct azihsm_bytes){in->data + header, len};
    in->data += header + len;
    in->len -= header + len;
    return true;
}

/* A non-negative INTEGER into exactly width bytes. */
static bool take_integer(struct azihsm_bytes *in, size_t width, uint8_t *out)
{
    struct azihsm_bytes value;

    if (!take_element(in, 0x02, &value) || value.len == 0 || (value.data[0] & 0x80) != 0)
        return false;
    while (value.len > 0 && value.data[0] == 0) {
        value.data++;
        value.len--;
    }
    if (value.len > width)
        return false;
    memset(out, 0, width - value.len);
    memcpy(out + width - value.len, value.data, value.len);
    return true;
}

azihsm_rc ecdsa_der_to_raw(struct azihsm_bytes der, size_t width, uint8_t *raw)
{
    struct azihsm_bytes content;

    if (!take_element(&der, 0x30, &content) || der.len != 0 || !take_integer(&content, width, raw) ||
        !take_integer(&content, width, raw + width) || content.len != 0)
        return AZIHSM_E_DECODE;
    return AZIHSM_OK;
}

static size_t put_integer(const uint8_t *value, size_t width, uint8_t *out)
{
    size_t sign, used = 0;

    while (width > 1 && value[0] == 0) {
        value++;
        width--;
    }
    sign = value[0] >> 7;
    out[used++] = 0x02;
    out[used++] = (uint8_t)(width + sign);
    if (sign)
        out[used++] = 0;
    memcpy(out + used, value, width);
    return used + width;
}

void ecdsa_raw_to_der(const uint8_t *raw, size_t width, uint8_t *der, size_t *der_len)
{
    uint8_t content[ECDSA_DER_MAX];
    size_t len = put_integer(raw, width, content), header = 0;

    len += put_integer(raw + width, width, content + len);
    der[header++] = 0x30;
    if (len >= 0x80)
        der[header++] = 0x81;
    der[header++] = (uint8_t)len;
    memcpy(der + header, content, len);
    *der_len = header + len;
}

azihsm_rc ecdsa_sign_message(OSSL_LIB_CTX *libctx, EVP_PKEY *key, uint32_t hash, struct azihsm_bytes message,
                             uint8_t *raw, size_t *raw_len)
{
    size_t width = azihsm_curve_coordinate_size(spki_curve(key)), der_len = ECDSA_DER_MAX;
    const char *digest = kdf_hash_name(hash);
    uint8_t der[ECDSA_DER_MAX];
    azihsm_rc rc = AZIHSM_E_CRYPTO;
    EVP_MD_CTX *ctx;

    if (width == 0 || digest == NULL)
        return AZIHSM_E_ARGUMENT;
    ctx = EVP_MD_CTX_new();
    if (ctx != NULL && EVP_DigestSignInit_ex(ctx, NULL, digest, libctx, NULL, key, NULL) == 1 &&
        EVP_DigestSign(ctx, der, &der_len, message.data, message.len) == 1)
        rc = ecdsa_der_to_raw((struct azihsm_bytes){der, der_len}, width, raw);
    if (rc == AZIHSM_OK)
        *raw_len = 2 * width;
    EVP_MD_CTX_free(ctx);
    return rc;
}

azihsm_rc ecdsa_verify_message(OSSL_LIB_CTX *libctx, EVP_PKEY *key, uint32_t hash, struct azihsm_bytes message,
                               struct azihsm_bytes raw)
{
    size_t width = azihsm_curve_coordinate_size(spki_curve(key)), der_len;
    const char *digest = kdf_hash_name(hash);
    uint8_t der[ECDSA_DER_MAX];
    azihsm_rc rc = AZIHSM_E_CRYPTO;
    EVP_MD_CTX *ctx;

    if (width == 0 || digest == NULL)
        return AZIHSM_E_ARGUMENT;
    if (raw.len != 2 * width)
        return AZIHSM_STATUS_ECC_VERIFY_FAILED;
    ecdsa_raw_to_der(raw.data, width, der, &der_len);
    ctx = EVP_MD_CTX_new();
    if (ctx != NULL && EVP_DigestVerifyInit_ex(ctx, NULL, digest, libctx, NULL, key, NULL) == 1)
        rc = EVP_DigestVerify(ctx, der, der_len, message.data, message.len) == 1 ? AZIHSM_OK
                                                                                 : AZIHSM_STATUS_ECC_VERIFY_FAILED;
    EVP_MD_CTX_free(ctx);
    return rc;
}
