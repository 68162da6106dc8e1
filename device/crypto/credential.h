/*
 * Credential encryption (ddi-protocol 4.0, device-behaviour 3): how id, PIN and session seed travel to the device.
 *
 * P-384 ECDH, HKDF-SHA384 over the device nonce, AES-256-CBC as one chain over the fields, HMAC-SHA384. Both sides
 * are here. Which fields take part follows from the command; all values are in API form (big-endian).
 */
#ifndef CRYPTO_CREDENTIAL_H
#define CRYPTO_CREDENTIAL_H

#include <azihsm/ddi.h>

#include <openssl/types.h>

/* Fields of a command: EstablishCredential ID|PIN, OpenSession and ReopenSession ID|PIN|SEED, ChangePin PIN. */
enum credential_form {
    CREDENTIAL_ESTABLISH = 1,
    CREDENTIAL_SESSION = 2,
    CREDENTIAL_CHANGE_PIN = 3,
};

/* Plain fields; those a form does not have are ignored on sealing and zero after opening. Secret: cleanse after use. */
struct credential_fields {
    uint8_t id[AZIHSM_CREDENTIAL_SIZE];
    uint8_t pin[AZIHSM_CREDENTIAL_SIZE];
    uint8_t seed[AZIHSM_SEED_SIZE];
};

/* What travels, beside the client's public key. */
struct credential_sealed {
    struct credential_fields encrypted;
    uint8_t iv[AZIHSM_IV_SIZE];
    uint8_t nonce[AZIHSM_NONCE_SIZE];
    uint8_t tag[AZIHSM_CREDENTIAL_TAG_SIZE];
};

enum { CREDENTIAL_SPKI_SIZE = 120 };

/*
 * Client: draws an ephemeral key and an IV and seals fields to the device's public key (P-384). client_spki receives
 * the ephemeral public key as SubjectPublicKeyInfo. AZIHSM_E_ARGUMENT when device_key is no P-384 key.
 */
azihsm_rc credential_seal(OSSL_LIB_CTX *libctx, enum credential_form form, EVP_PKEY *device_key,
                          const uint8_t nonce[AZIHSM_NONCE_SIZE], const struct credential_fields *fields,
                          struct credential_sealed *out, uint8_t client_spki[CREDENTIAL_SPKI_SIZE]);

/*
 * Device: nonce is its own current one (that the message carries the same was checked before: NonceMismatch). The tag
 * is verified first, in constant time: AZIHSM_STATUS_PIN_DECRYPTION_FAILED and *out zero. On AZIHSM_OK the caller
 * rotates the nonce and looks at the fields.
 */
azihsm_rc credential_open(OSSL_LIB_CTX *libctx, enum credential_form form, EVP_PKEY *device_private,
                          EVP_PKEY *client_public, const uint8_t nonce[AZIHSM_NONCE_SIZE],
                          const struct credential_sealed *sealed, struct credential_fields *out);

/* Whether all 16 bytes are zero (refused as id and as PIN); constant time. */
bool credential_is_zero(const uint8_t value[AZIHSM_CREDENTIAL_SIZE]);

#endif
