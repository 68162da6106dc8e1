/*
 * RSA-AES key wrap as RsaUnwrap takes it (device-behaviour 8, PKCS#11 CKM_RSA_AES_KEY_WRAP): RSA-OAEP of an ephemeral
 * AES key (MGF1 with the same hash, empty label), then RFC 5649 key wrap with padding of the target. Blobs are in API
 * form: the physical profile's reversal of the RSA part is the codec's and the engine's business.
 */
#ifndef CRYPTO_WRAP_H
#define CRYPTO_WRAP_H

#include "crypto/secret.h"

#include <openssl/types.h>

enum { WRAP_KEK_SIZE = 32 };

/* Client: wraps target to the RSA public key with a random AES-256 key. AZIHSM_E_ENCODE when cap is too small. */
azihsm_rc wrap_seal(OSSL_LIB_CTX *libctx, EVP_PKEY *wrapping_key, uint32_t hash, struct azihsm_bytes target,
                    uint8_t *out, size_t cap, size_t *len);

/*
 * Device: recovers the target. Failures, in this order: AZIHSM_STATUS_INVALID_ARG (hash),
 * _RSA_UNWRAP_INVALID_REQUEST (blob shorter than the modulus), _RSA_UNWRAP_OAEP_DECODE_FAILED,
 * _AES_INVALID_KEY_LENGTH (KEK not 16, 24 or 32 bytes), _RSA_UNWRAP_AES_UNWRAP_FAILED.
 */
azihsm_rc wrap_open(OSSL_LIB_CTX *libctx, EVP_PKEY *unwrapping_key, uint32_t hash, struct azihsm_bytes blob,
                    struct secret **target);

#endif
