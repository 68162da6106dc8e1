/*
 * Masked keys (ddi-protocol 6.4, device-behaviour 4.3): AES-256-CBC under the first 32 bytes of a masking key, then
 * HMAC-SHA384 under its last 48 over everything before the tag. Layout and parsing belong to the codec (ddi.h).
 */
#ifndef CRYPTO_MASKING_H
#define CRYPTO_MASKING_H

#include <azihsm/ddi.h>

#include <openssl/types.h>

/*
 * Seals plain (1 byte and more) under key with a fresh IV. metadata->key_length is written as given; it should be
 * plain.len. out may have AZIHSM_MASKED_KEY_MAX bytes of room. AZIHSM_E_ENCODE when cap is too small.
 */
azihsm_rc masking_seal(OSSL_LIB_CTX *libctx, const uint8_t key[AZIHSM_MASKING_KEY_SIZE],
                       const struct azihsm_masked_metadata *metadata, struct azihsm_bytes plain, uint8_t *out,
                       size_t cap, size_t *len);

/* First step of opening a parsed blob: its tag, in constant time. AZIHSM_STATUS_MASKED_KEY_DECODE_FAILED. */
azihsm_rc masking_verify(OSSL_LIB_CTX *libctx, const uint8_t key[AZIHSM_MASKING_KEY_SIZE],
                         const struct azihsm_masked_key *masked);

/*
 * Second step, after masking_verify: decrypts. The ciphertext must be expected_len rounded up to 16 and the padding
 * zero, else AZIHSM_STATUS_MASKED_KEY_DECODE_FAILED. out receives expected_len bytes.
 */
azihsm_rc masking_decrypt(OSSL_LIB_CTX *libctx, const uint8_t key[AZIHSM_MASKING_KEY_SIZE],
                          const struct azihsm_masked_key *masked, size_t expected_len, uint8_t *out);

/* Parse, verify and decrypt at once, for blobs whose length is known (BK3, BMK, bmk_session). Same status for all. */
azihsm_rc masking_open(OSSL_LIB_CTX *libctx, const uint8_t key[AZIHSM_MASKING_KEY_SIZE], struct azihsm_bytes blob,
                       size_t expected_len, uint8_t *out);

#endif
