/*
 * Key derivation and hashing of the protocol over libcrypto: KBKDF (SP 800-108 counter mode), HKDF (RFC 5869), HMAC.
 *
 * hash is an enum azihsm_hash throughout; an unknown one is AZIHSM_E_ARGUMENT, a failure of libcrypto AZIHSM_E_CRYPTO.
 * On failure the output is cleansed. Absent inputs are views of length 0.
 */
#ifndef CRYPTO_KDF_H
#define CRYPTO_KDF_H

#include <azihsm/ddi.h>

#include <openssl/types.h>

/* libcrypto's name of a hash ("SHA2-256"), or NULL. */
const char *kdf_hash_name(uint32_t hash);

/*
 * K(i) = HMAC(key, i (u32 BE, from 1) || label || 00 || context || L in bits (u32 BE)); separator and L are always
 * there (ddi-protocol 4.15, 9.2). out_len at most 8192.
 */
azihsm_rc kdf_kbkdf(OSSL_LIB_CTX *libctx, uint32_t hash, struct azihsm_bytes key, struct azihsm_bytes label,
                    struct azihsm_bytes context, uint8_t *out, size_t out_len);

/* RFC 5869 extract-then-expand. An empty salt is the RFC's default (HashLen zeros). out_len at most 255 * HashLen. */
azihsm_rc kdf_hkdf(OSSL_LIB_CTX *libctx, uint32_t hash, struct azihsm_bytes key, struct azihsm_bytes salt,
                   struct azihsm_bytes info, uint8_t *out, size_t out_len);

/* HMAC over the concatenation of count parts; out receives azihsm_hash_size(hash) bytes. */
azihsm_rc kdf_hmac(OSSL_LIB_CTX *libctx, uint32_t hash, struct azihsm_bytes key, const struct azihsm_bytes *parts,
                   size_t count, uint8_t *out);

/* Digest over the concatenation of count parts; out receives azihsm_hash_size(hash) bytes. */
azihsm_rc kdf_digest(OSSL_LIB_CTX *libctx, uint32_t hash, const struct azihsm_bytes *parts, size_t count, uint8_t *out);

#endif
