/*
 * What the device knows about each kind of key: family, sizes, hash. One constant table.
 * Source: ddi-protocol 5.3, device-behaviour 1.2, 5.5. What a kind may be used for
 * is the device's business (usage.h).
 */
#ifndef EMULATOR_ENGINE_KIND_H
#define EMULATOR_ENGINE_KIND_H

#include <azihsm/ddi.h>

enum engine_family {
    ENGINE_RSA = 1,  /* private, CRT or not */
    ENGINE_ECC,      /* private */
    ENGINE_AES,      /* AES-CBC keys */
    ENGINE_AES_BULK, /* XTS, GCM */
    ENGINE_SECRET,   /* ECDH results */
    ENGINE_HMAC,     /* fixed length */
    ENGINE_VAR_HMAC, /* variable length */
    ENGINE_MASKING,  /* AES-CBC-256 + HMAC-384, 80 bytes; internal */
};

struct engine_kind {
    uint32_t kind; /* enum azihsm_key_kind */
    enum engine_family family;
    uint16_t bits;        /* RSA modulus; 0 otherwise */
    uint32_t curve;       /* ECC and secrets: enum azihsm_ecc_curve; 0 otherwise */
    uint32_t hash;        /* HMAC kinds: enum azihsm_hash; 0 otherwise */
    uint16_t min_len;     /* raw kinds: bytes of the key */
    uint16_t max_len;     /* equal to min_len except for variable-length HMAC */
    uint16_t serialized;  /* plaintext size inside a masked key; 0: the key's own length (variable-length HMAC) */
    uint16_t budget;      /* bytes of table storage; 0: the key's own length */
    uint32_t public_kind; /* 19..24 for RSA and ECC; 0 otherwise */
};

/* NULL for a kind the device does not store (public kinds, 0xFFFF, unknown). Static storage. */
const struct engine_kind *engine_kind_find(uint32_t kind);
/* Kind of a generated key; 0 for an unknown argument. */
uint32_t engine_kind_of_curve(uint32_t curve);
uint32_t engine_kind_of_aes_size(uint32_t aes_key_size);
uint32_t engine_kind_of_rsa_bits(unsigned bits, bool crt);
/* Secret kind that an ECDH on curve yields; 0 for an unknown curve. */
uint32_t engine_kind_of_secret(uint32_t curve);

#endif
