/*
 * The software engine: where key operations happen. It knows keys and bytes; sessions, permissions, ids, tags and
 * blobs belong to the device above it.
 *
 * An engine_key is immutable and refcounted: an operation in flight keeps its own reference, so a key may be deleted
 * meanwhile. Everything is thread-safe; per-key libcrypto contexts are pooled without locks. An engine outlives its
 * keys.
 *
 * Byte strings that have two forms (public keys, digests, signatures, RSA integers, wrapped blobs: ddi-protocol 6.6)
 * are in the wire form of the engine's profile. Results are device statuses (> 0) as device-behaviour names them, or
 * AZIHSM_E_NO_MEMORY / AZIHSM_E_CRYPTO when libcrypto itself fails (to be answered as InternalError). Errors leave
 * libcrypto's error queue as it was and deliver nothing.
 */
#ifndef EMULATOR_ENGINE_H
#define EMULATOR_ENGINE_H

#include "emulator/engine_kind.h"

#include <openssl/types.h>

struct engine;
struct engine_key;

enum { ENGINE_SERIALIZED_MAX = 1051, ENGINE_SIGNATURE_MAX = 136, ENGINE_RSA_MAX = 512 };

/* libctx (default provider loaded) is borrowed and must live longer. kind selects the profile. */
azihsm_rc engine_new(OSSL_LIB_CTX *libctx, enum azihsm_device_kind kind, struct engine **out);
void engine_free(struct engine *engine);
OSSL_LIB_CTX *engine_libctx(const struct engine *engine);
enum azihsm_device_kind engine_profile(const struct engine *engine);
/* len random bytes; AZIHSM_STATUS_RNG_ERROR. */
azihsm_rc engine_random(const struct engine *engine, uint8_t *out, size_t len);

/* ---- keys ---- */
struct engine_key *engine_key_up_ref(struct engine_key *key);
/* Cleanses with the last reference. NULL is allowed. */
void engine_key_free(struct engine_key *key);
uint32_t engine_key_kind(const struct engine_key *key);
const struct engine_kind *engine_key_info(const struct engine_key *key);
/* Bytes of table storage it costs (device-behaviour 1.2). */
size_t engine_key_budget(const struct engine_key *key);
/* Public half in wire form: a view into the key; empty for symmetric kinds. */
struct azihsm_bytes engine_key_public(const struct engine_key *key);
/* Borrowed; NULL for symmetric kinds. For reports, certificates and the credential protocol. */
EVP_PKEY *engine_key_pkey(const struct engine_key *key);
/* Key bytes of a symmetric key, a view into the key (masking keys); empty for RSA and ECC. */
struct azihsm_bytes engine_key_raw(const struct engine_key *key);
/* Same kind of material, byte for byte (two XTS keys); constant time. */
bool engine_key_same(const struct engine_key *a, const struct engine_key *b);

/* curve: enum azihsm_ecc_curve. AZIHSM_STATUS_INVALID_ARG, _ECC_GENERATE_ERROR. */
azihsm_rc engine_generate_ecc(struct engine *engine, uint32_t curve, struct engine_key **out);
/* bits 2048, 3072, 4096, exponent 65537. AZIHSM_STATUS_INVALID_ARG, _RSA_GENERATE_ERROR. Takes its time. */
azihsm_rc engine_generate_rsa(struct engine *engine, unsigned bits, struct engine_key **out);
/* Random key of a symmetric kind of fixed length. AZIHSM_STATUS_INVALID_ARG, _AES_GENERATE_ERROR. */
azihsm_rc engine_generate_raw(struct engine *engine, uint32_t kind, struct engine_key **out);
/* Symmetric key of any kind from given bytes. AZIHSM_STATUS_INVALID_KEY_TYPE, _INVALID_KEY_LENGTH. */
azihsm_rc engine_key_from_raw(struct engine *engine, uint32_t kind, struct azihsm_bytes bytes, struct engine_key **out);

/*
 * Plaintext form inside masked keys: ECC is PKCS#8 of constant size, RSA a compact form of constant size, others raw.
 * serialize: out needs ENGINE_SERIALIZED_MAX bytes, secret. restore: AZIHSM_STATUS_INVALID_KEY_TYPE for a kind that
 * is not stored, _MASKED_KEY_DECODE_FAILED for another length, _KEY_DECODE_FAILED for a content that is no key.
 */
size_t engine_serialized_size(const struct engine_key *key);
azihsm_rc engine_key_serialize(const struct engine_key *key, uint8_t *out, size_t cap, size_t *len);
azihsm_rc engine_key_restore(struct engine *engine, uint32_t kind, struct azihsm_bytes plain, struct engine_key **out);

/*
 * RsaUnwrap: the target inside blob (wire form), unwrapped with an RSA key that is not CRT; the class decides its form.
 *   AZIHSM_STATUS_INVALID_ARG (hash or class), _RSA_UNWRAP_INVALID_KEK, _RSA_UNWRAP_INVALID_REQUEST,
 *   _RSA_UNWRAP_OAEP_DECODE_FAILED, _AES_INVALID_KEY_LENGTH, _RSA_UNWRAP_AES_UNWRAP_FAILED, then those of import.
 */
azihsm_rc engine_unwrap(struct engine *engine, const struct engine_key *kek, uint32_t hash, uint32_t key_class,
                        struct azihsm_bytes blob, struct engine_key **out);
/*
 * Plain import by class: PKCS#8 DER (RSA, RSA-CRT, ECC) or raw AES.
 *   AZIHSM_STATUS_INVALID_ARG (class), _KEY_DECODE_FAILED, _RSA_INVALID_KEY_LENGTH, _AES_INVALID_KEY_LENGTH; physical
 *   also _KEY_STRUCTURAL_VALIDATION_FAILED, _PCT_VALIDATION_RSA_UNWRAP_ECC_KEY_FAILED, _..._RSA_KEY_FAILED (virtual:
 *   KEY_DECODE_FAILED for all three).
 */
azihsm_rc engine_import(struct engine *engine, uint32_t key_class, struct azihsm_bytes plain, struct engine_key **out);
/* Family of what an import of that class becomes, for checks before unwrapping; 0: unknown class. */
enum engine_family engine_class_family(uint32_t key_class);

/* ---- operations; a key of the wrong family is AZIHSM_STATUS_INVALID_KEY_TYPE ---- */

/*
 * ECDSA. virtual: digest of 0..96 bytes, leftmost bits count; r || s big-endian, 64/96/132 bytes.
 * physical: digest is exactly 68 bytes little-endian (else INVALID_ARG); hash says its length when it exceeds the
 * order; r, s little-endian, 64/96/136 bytes. AZIHSM_STATUS_ECC_SIGN_FAILED.
 */
azihsm_rc engine_ecdsa_sign(struct engine *engine, const struct engine_key *key, struct azihsm_bytes digest,
                            uint32_t hash, uint8_t signature[ENGINE_SIGNATURE_MAX], size_t *signature_len);

/*
 * y^d mod n. virtual: a wrong length or y >= n is AZIHSM_STATUS_RSA_DECRYPT_FAILED. physical: a wrong length or not
 * 1 < y < n-1 is INVALID_ARG. x may not overlap y; it gets the modulus length.
 */
azihsm_rc engine_rsa_raw(struct engine *engine, const struct engine_key *key, struct azihsm_bytes y,
                         uint8_t x[ENGINE_RSA_MAX], size_t *x_len);

/*
 * ECDH with a peer key in wire form (statuses of spki_decode_peer, then _ECC_DERIVE_ERROR): a new key of the curve's
 * secret kind holding the x-coordinate at full width.
 */
azihsm_rc engine_ecdh(struct engine *engine, const struct engine_key *key, struct azihsm_bytes peer,
                      struct engine_key **out);

/*
 * Key derivation from a secret into a new symmetric key. length counts only for variable-length HMAC targets, 0 =
 * absent. AZIHSM_STATUS_INVALID_KEY_TYPE (target kind, source kind, missing length), _INVALID_KEY_LENGTH,
 * _INVALID_ARG (hash), _HKDF_INVALID_INPUT_PARAM / _KBKDF_INVALID_INPUT_PARAM (inputs over 256), _HKDF_ERROR /
 * _KBKDF_ERROR. Whether bulk targets are allowed is the caller's decision.
 */
azihsm_rc engine_hkdf(struct engine *engine, const struct engine_key *secret, uint32_t hash, struct azihsm_bytes salt,
                      struct azihsm_bytes info, uint32_t target_kind, size_t length, struct engine_key **out);
azihsm_rc engine_kbkdf(struct engine *engine, const struct engine_key *secret, uint32_t hash, struct azihsm_bytes label,
                       struct azihsm_bytes context, uint32_t target_kind, size_t length, struct engine_key **out);
/* The checks of target kind and length alone, for callers that must make them before the key lookup. */
azihsm_rc engine_check_target(uint32_t target_kind, size_t length);

/* Full tag by the hash of the key's kind; tag needs 64 bytes. AZIHSM_STATUS_HMAC_ERROR. */
azihsm_rc engine_hmac(struct engine *engine, const struct engine_key *key, struct azihsm_bytes message, uint8_t *tag,
                      size_t *tag_len);

/*
 * AES-CBC without padding; kinds AES128/192/256. iv is replaced by the last ciphertext block. out may equal in.
 * A length that is not a multiple of 16: virtual AES_ENCRYPT_FAILED / AES_DECRYPT_FAILED, physical INVALID_ARG.
 */
azihsm_rc engine_aes_cbc(struct engine *engine, const struct engine_key *key, bool decrypt, uint8_t iv[AZIHSM_IV_SIZE],
                         const uint8_t *in, uint8_t *out, size_t len);

enum { ENGINE_GCM_IV_SIZE = 12, ENGINE_GCM_TAG_SIZE = 16, ENGINE_XTS_TWEAK_SIZE = 16 };

/*
 * AES-GCM; kinds AES_GCM_BULK256 (both). tag is written on encryption, compared on decryption; on a mismatch
 * (AZIHSM_STATUS_AES_DECRYPT_FAILED) out is untouched, or, when it is in, the ciphertext again (wiped where that
 * fails). out may equal in but not overlap otherwise. len may be 0.
 */
azihsm_rc engine_aes_gcm(struct engine *engine, const struct engine_key *key, bool decrypt,
                         const uint8_t iv[ENGINE_GCM_IV_SIZE], struct azihsm_bytes aad, const uint8_t *in, uint8_t *out,
                         size_t len, uint8_t tag[ENGINE_GCM_TAG_SIZE]);

/*
 * AES-XTS; kind AES_XTS_BULK256 for both. The tweak is a 128-bit little-endian number that grows by one a data unit.
 * len is a multiple of unit, unit a multiple of 16 from 16 to 16 MiB, else AZIHSM_STATUS_AES_XTS_INVALID_DUL. Keys of
 * equal material: AES_ENCRYPT_FAILED / AES_DECRYPT_FAILED. out may equal in but not overlap otherwise.
 */
azihsm_rc engine_aes_xts(struct engine *engine, const struct engine_key *key1, const struct engine_key *key2,
                         bool decrypt, const uint8_t tweak[ENGINE_XTS_TWEAK_SIZE], size_t unit, const uint8_t *in,
                         uint8_t *out, size_t len);

/*
 * Signature of the partition identity over a device encryption key (physical profile, device-behaviour 2.3): ECDSA
 * P-384/SHA-384 over its 96 wire bytes, each half little-endian, 96 bytes.
 */
azihsm_rc engine_sign_public(struct engine *engine, const struct engine_key *identity, const struct engine_key *subject,
                             uint8_t signature[96]);

#endif
