/*
 * What the engine's source files share and nobody else sees: the structs, the context pool, building of keys.
 */
#ifndef EMULATOR_ENGINE_INTERNAL_H
#define EMULATOR_ENGINE_INTERNAL_H

#include "crypto/secret.h"
#include "emulator/engine.h"

#include <stdatomic.h>

/*
 * Ready-made libcrypto contexts of one key, for whichever thread comes. Taking and giving are one atomic exchange;
 * when all are out, the taker makes a new one, and a giver that finds no free slot drops its own.
 */
enum { ENGINE_POOL_SLOTS = 8, ENGINE_POOLS = 2 };
enum { ENGINE_POOL_SIGN = 0, ENGINE_POOL_ENCRYPT = 0, ENGINE_POOL_DECRYPT = 1 };
struct engine_pool {
    _Atomic(void *) slots[ENGINE_POOL_SLOTS];
};
void *engine_pool_take(struct engine_pool *pool);
/* false: no room, the caller frees the context. */
bool engine_pool_give(struct engine_pool *pool, void *context);
/* Takes all that is there now and releases it. */
void engine_pool_drain(struct engine_pool *pool, void (*release)(void *context));

struct engine {
    OSSL_LIB_CTX *libctx;
    enum azihsm_device_kind profile;
    EVP_CIPHER *cbc[3]; /* AES-128, 192, 256 */
    EVP_CIPHER *gcm;
    EVP_CIPHER *xts;
    struct engine_pool *xts_contexts; /* engine_xts.c */
};

struct engine_key {
    atomic_uint refs;
    const struct engine *engine;
    const struct engine_kind *info;
    EVP_PKEY *pkey;       /* RSA, ECC */
    struct secret *raw;   /* all others */
    uint8_t *public_wire; /* RSA, ECC */
    size_t public_len;
    struct engine_pool
        *pools; /* ENGINE_POOLS; RSA, ECC: EVP_PKEY_CTX in the first; AES: EVP_CIPHER_CTX to encrypt, to decrypt */
};

/* Takes over pkey or raw, also on failure. */
azihsm_rc engine_key_new(const struct engine *engine, uint32_t kind, EVP_PKEY *pkey, struct secret *raw,
                         struct engine_key **out);

/* ---- engine_aes.c ---- */
/* EVP_CipherUpdate for any length; out NULL is additional data. */
bool engine_cipher_update(EVP_CIPHER_CTX *ctx, uint8_t *out, const uint8_t *in, size_t len);
static inline azihsm_rc engine_aes_failed(bool decrypt)
{
    return decrypt ? AZIHSM_STATUS_AES_DECRYPT_FAILED : AZIHSM_STATUS_AES_ENCRYPT_FAILED;
}

/* ---- engine_xts.c ---- */
/* An XTS key ends: no pooled context may keep it. */
void engine_xts_forget(const struct engine *engine);

/* ---- engine_ecc.c ---- */
struct engine_ecc_numbers {
    uint8_t d[66], x[66], y[66]; /* big-endian, the curve's coordinate size */
};
/* A private key as given, unchecked except that the point is on the curve. NULL when libcrypto refuses. */
EVP_PKEY *engine_ecc_build(const struct engine *engine, uint32_t curve, const struct engine_ecc_numbers *numbers);
azihsm_rc engine_ecc_numbers(const EVP_PKEY *pkey, uint32_t curve, struct engine_ecc_numbers *numbers);

/* ---- engine_rsa.c ---- */
/*
 * A private key from its primes, q^-1 mod p and the public exponent (odd, at most 64 bits); the rest is computed. NULL
 * when there is no such key.
 */
EVP_PKEY *engine_rsa_build(const struct engine *engine, const BIGNUM *p, const BIGNUM *q, const BIGNUM *qinv,
                           const BIGNUM *e);
/* Signs and verifies a fixed pattern (pairwise consistency). */
bool engine_rsa_pairwise(const struct engine *engine, EVP_PKEY *pkey);

/* ---- engine_serialize.c ---- */
/* The PKCS#8 forms that libcrypto writes for our curves, with the public key. false when der is none of them. */
bool engine_ecc_parse_pkcs8(struct azihsm_bytes der, uint32_t *curve, struct engine_ecc_numbers *numbers);

#endif
