/*
 * Public keys between EVP_PKEY, SubjectPublicKeyInfo and the physical profile's raw form (ddi-protocol 6.5, 6.6).
 * Strict: named curves P-256, P-384, P-521 and RSA of 2048, 3072, 4096 bits, nothing else.
 *
 * Every EVP_PKEY handed out belongs to the caller (EVP_PKEY_free) and carries only a public half.
 */
#ifndef CRYPTO_SPKI_H
#define CRYPTO_SPKI_H

#include <azihsm/ddi.h>

#include <openssl/types.h>

/* Public kind (19..24) of a key of ours, with or without private half, or 0. */
uint32_t spki_public_kind(const EVP_PKEY *pkey);

/* AZIHSM_STATUS_KEY_DECODE_FAILED (not a key, trailing bytes, bad point) or _DER_AND_KEY_TYPE_MISMATCH (a key, but of
 * no size or curve of ours). */
azihsm_rc spki_decode(OSSL_LIB_CTX *libctx, struct azihsm_bytes der, EVP_PKEY **out);

/* SubjectPublicKeyInfo, uncompressed point; out needs AZIHSM_PUB_KEY_MAX bytes at most. */
azihsm_rc spki_encode(const EVP_PKEY *pkey, uint8_t *out, size_t cap, size_t *len);

/* Raw form: n and 4 bytes of e, or x and y, each little-endian. */
azihsm_rc spki_encode_raw(const EVP_PKEY *pkey, uint8_t *out, size_t cap, size_t *len);

/* Wire form of a profile: SPKI (virtual) or raw (physical). */
azihsm_rc spki_encode_wire(enum azihsm_device_kind kind, const EVP_PKEY *pkey, uint8_t *out, size_t cap, size_t *len);

/*
 * A peer's EC public key in wire form, with the checks of the profile (device-behaviour 2.3, 5.4):
 *   virtual:  AZIHSM_STATUS_KEY_DECODE_FAILED, _DER_AND_KEY_TYPE_MISMATCH (another curve or algorithm)
 *   physical: AZIHSM_STATUS_ECC_DER_KEY_SHORTER_THAN_CURVE, _ECC_PUBLIC_KEY_VALIDATION_FAILED (too long, or x or y not
 *             below the field prime), _ECC_POINT_VALIDATION_FAILED (not on the curve)
 */
azihsm_rc spki_decode_peer(OSSL_LIB_CTX *libctx, enum azihsm_device_kind kind, uint32_t curve,
                           struct azihsm_bytes encoded, EVP_PKEY **out);

/* From coordinates, each azihsm_curve_coordinate_size bytes big-endian. AZIHSM_STATUS_ECC_POINT_VALIDATION_FAILED. */
azihsm_rc spki_from_point(OSSL_LIB_CTX *libctx, uint32_t curve, const uint8_t *x, const uint8_t *y, EVP_PKEY **out);

/* Uncompressed point 04 || x || y of an EC key, 65, 97 or 133 bytes; out needs SPKI_POINT_MAX bytes. */
enum { SPKI_POINT_MAX = 133 };
azihsm_rc spki_point(const EVP_PKEY *pkey, uint8_t *out, size_t *len);

/* Curve of an EC key (enum azihsm_ecc_curve) or 0, and libcrypto's name of a curve ("P-256") or NULL. */
uint32_t spki_curve(const EVP_PKEY *pkey);
const char *spki_curve_name(uint32_t curve);

#endif
