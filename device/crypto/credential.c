/*
 * Both sides of the credential protocol. A form is a row of three flags; sealing and opening walk the same row, so
 * the order of the fields in the CBC chain and in the tag cannot differ between the sides.
 */
#include "crypto/credential.h"
#include "crypto/ecdh.h"
#include "crypto/kdf.h"
#include "crypto/spki.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include <string.h>

enum { AES_KEY = 32, MAC_KEY = 48, KEYS = AES_KEY + MAC_KEY, Z_SIZE = 48 };

/* Consecutive fields of struct credential_fields that a form uses: [offset, offset + len). */
struct form {
    size_t offset;
    size_t len;
};

_Static_assert(sizeof(struct credential_fields) == 2 * AZIHSM_CREDENTIAL_SIZE + AZIHSM_SEED_SIZE,
               "the fields form one stream");

static const struct form forms[] = {
    [CREDENTIAL_ESTABLISH] = {offsetof(struct credential_fields, id), 2 * AZIHSM_CREDENTIAL_SIZE},
    [CREDENTIAL_SESSION] = {offsetof(struct credential_fields, id), 2 * AZIHSM_CREDENTIAL_SIZE + AZIHSM_SEED_SIZE},
    [CREDENTIAL_CHANGE_PIN] = {offsetof(struct credential_fields, pin), AZIHSM_CREDENTIAL_SIZE},
};

/* AES key, then HMAC key, from the two parties' keys and the device nonce. */
static azihsm_rc derive_keys(OSSL_LIB_CTX *libctx, EVP_PKEY *own, EVP_PKEY *peer, const uint8_t *nonce, uint8_t *keys)
{
    const struct azihsm_bytes none = {NULL, 0}, info = {nonce, AZIHSM_NONCE_SIZE};
    uint8_t z[Z_SIZE];
    azihsm_rc rc = ecdh_derive(libctx, own, peer, z, sizeof(z));

    if (rc == AZIHSM_OK)
        rc = kdf_hkdf(libctx, AZIHSM_HASH_SHA384, (struct azihsm_bytes){z, sizeof(z)}, none, info, keys, KEYS);
    OPENSSL_cleanse(z, sizeof(z));
    return rc;
}

/* The form's fields as one CBC stream from in to out. */
static azihsm_rc crypt_fields(OSSL_LIB_CTX *libctx, const struct form *form, const uint8_t *key, const uint8_t *iv,
                              int encrypt, const struct credential_fields *in, struct credential_fields *out)
{
    EVP_CIPHER *cipher = EVP_CIPHER_fetch(libctx, "AES-256-CBC", NULL);
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    azihsm_rc rc = AZIHSM_E_CRYPTO;
    int len = 0;

    memset(out, 0, sizeof(*out));
    if (cipher != NULL && ctx != NULL && EVP_CipherInit_ex2(ctx, cipher, key, iv, encrypt, NULL) == 1 &&
        EVP_CIPHER_CTX_set_padding(ctx, 0) == 1 &&
        EVP_CipherUpdate(ctx, (uint8_t *)out + form->offset, &len, (const uint8_t *)in + form->offset,
                         (int)form->len) == 1 &&
        (size_t)len == form->len)
        rc = AZIHSM_OK;
    EVP_CIPHER_CTX_free(ctx);
    EVP_CIPHER_free(cipher);
    return rc;
}

static azihsm_rc compute_tag(OSSL_LIB_CTX *libctx, const struct form *form, const uint8_t *keys,
                             const struct credential_sealed *sealed, const uint8_t *nonce, uint8_t *tag)
{
    const struct azihsm_bytes mac_key = {keys + AES_KEY, MAC_KEY};
    const struct azihsm_bytes parts[] = {
        {(const uint8_t *)&sealed->encrypted + form->offset, form->len},
        {sealed->iv, sizeof(sealed->iv)},
        {nonce, AZIHSM_NONCE_SIZE},
    };

    return kdf_hmac(libctx, AZIHSM_HASH_SHA384, mac_key, parts, sizeof(parts) / sizeof(parts[0]), tag);
}

azihsm_rc credential_seal(OSSL_LIB_CTX *libctx, enum credential_form form, EVP_PKEY *device_key,
                          const uint8_t nonce[AZIHSM_NONCE_SIZE], const struct credential_fields *fields,
                          struct credential_sealed *out, uint8_t client_spki[CREDENTIAL_SPKI_SIZE])
{
    EVP_PKEY *ephemeral = NULL;
    uint8_t keys[KEYS];
    size_t spki_len;
    azihsm_rc rc = AZIHSM_E_CRYPTO;

    if (spki_curve(device_key) != AZIHSM_CURVE_P384)
        return AZIHSM_E_ARGUMENT;
    ephemeral = EVP_PKEY_Q_keygen(libctx, NULL, "EC", spki_curve_name(AZIHSM_CURVE_P384));
    if (ephemeral == NULL || RAND_bytes_ex(libctx, out->iv, sizeof(out->iv), 0) != 1)
        goto done;
    memcpy(out->nonce, nonce, AZIHSM_NONCE_SIZE);
    rc = spki_encode(ephemeral, client_spki, CREDENTIAL_SPKI_SIZE, &spki_len);
    if (rc == AZIHSM_OK)
        rc = derive_keys(libctx, ephemeral, device_key, nonce, keys);
    if (rc == AZIHSM_OK)
        rc = crypt_fields(libctx, &forms[form], keys, out->iv, 1, fields, &out->encrypted);
    if (rc == AZIHSM_OK)
        rc = compute_tag(libctx, &forms[form], keys, out, nonce, out->tag);
done:
    OPENSSL_cleanse(keys, sizeof(keys));
    EVP_PKEY_free(ephemeral);
    return rc;
}

azihsm_rc credential_open(OSSL_LIB_CTX *libctx, enum credential_form form, EVP_PKEY *device_private,
                          EVP_PKEY *client_public, const uint8_t nonce[AZIHSM_NONCE_SIZE],
                          const struct credential_sealed *sealed, struct credential_fields *out)
{
    uint8_t keys[KEYS], tag[AZIHSM_CREDENTIAL_TAG_SIZE];
    azihsm_rc rc;

    memset(out, 0, sizeof(*out));
    rc = derive_keys(libctx, device_private, client_public, nonce, keys);
    if (rc == AZIHSM_OK)
        rc = compute_tag(libctx, &forms[form], keys, sealed, nonce, tag);
    if (rc == AZIHSM_OK && CRYPTO_memcmp(tag, sealed->tag, sizeof(tag)) != 0)
        rc = AZIHSM_STATUS_PIN_DECRYPTION_FAILED;
    if (rc == AZIHSM_OK)
        rc = crypt_fields(libctx, &forms[form], keys, sealed->iv, 0, &sealed->encrypted, out);
    OPENSSL_cleanse(keys, sizeof(keys));
    OPENSSL_cleanse(tag, sizeof(tag));
    return rc;
}

bool credential_is_zero(const uint8_t value[AZIHSM_CREDENTIAL_SIZE])
{
    uint8_t bits = 0;

    for (size_t i = 0; i < AZIHSM_CREDENTIAL_SIZE; i++)
        bits |= value[i];
    return bits == 0;
}
