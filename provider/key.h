/*
 * The host key object behind every EVP_PKEY of ours: what keymgmt hands out as keydata.
 *
 * It is refcounted and, once handed to OpenSSL, immutable but for key_set_inner during import, template and generation
 * (where OpenSSL promises one thread). It holds
 *   inner   an EVP_PKEY of the private library context: the public half (device key), a complete software key
 *           (carried key), a bare public key or parameters only. NULL in an empty key.
 *   device  the azihsm_key, or two of them, in device keys only.
 * Everything public is computed on `inner`; only what needs the private half of a device key goes to the device.
 */
#ifndef AZIHSM_PROVIDER_KEY_H
#define AZIHSM_PROVIDER_KEY_H

#include "provider.h"
#include "signature_template.h"

#include <openssl/evp.h>

enum key_type { KEY_EC, KEY_RSA, KEY_RSA_PSS, KEY_TYPES };

struct key;

/*
 * A private key in the device, once for each use it has: the device gives a key one use. second is NULL in most keys;
 * label, tag and attestation are those of the first.
 */
struct device_keys {
    struct azihsm_key *first, *second;
};
void device_keys_free(struct device_keys *keys);

struct key *key_new(struct provider *provider, enum key_type type);
struct key *key_up_ref(struct key *key);
void key_free(struct key *key);

struct provider *key_provider(const struct key *key);
enum key_type key_type(const struct key *key);
const char *key_type_name(enum key_type type); /* "EC", "RSA", "RSA-PSS" */

/* True when the private half lives in the device. False: use inner for everything, as the default provider would. */
bool key_is_device(const struct key *key);
struct azihsm_key *key_device(const struct key *key); /* the first; NULL unless device key; borrowed */
/* The one for this use; the first when none is, and the device will say so. */
struct azihsm_key *key_device_for(const struct key *key, enum azihsm_usage usage);
struct azihsm_key *key_device_second(const struct key *key); /* NULL in most keys */
/* Uses of a device's key as it tells them itself: AZIHSM_USAGE_ bits; 0 when it does not (a key opened by tag). */
unsigned key_usages(const struct azihsm_key *device);
EVP_PKEY *key_inner(const struct key *key); /* NULL when empty; borrowed */
struct signature_templates *key_templates(struct key *key);

/* Whether all parts of an OSSL_KEYMGMT_SELECT_ mask are there. */
bool key_has(const struct key *key, int selection);

/* Facts of device keys, computed when the key was made. */
int key_bits(const struct key *key);                   /* 256, 384, 521; modulus bits; 0 when empty */
size_t key_size(const struct key *key);                /* field or modulus length in bytes: 32, 48, 66; 256, 384, 512 */
const char *key_group(const struct key *key);          /* "prime256v1" ...; NULL unless an EC device key */
const char *key_default_digest(const struct key *key); /* "SHA256", "SHA384", "SHA512" by strength */
struct azihsm_bytes key_label(const struct key *key);  /* of a device key; empty when there is none */
bool key_permits(const struct key *key, enum azihsm_usage usage); /* always true for carried keys */

/* Restrictions of an RSA-PSS key; restricted is false when there are none (and for other types). */
struct key_pss {
    bool restricted;
    char digest[32]; /* libcrypto's name */
    char mgf1_digest[32];
    int min_salt;
};
const struct key_pss *key_pss(const struct key *key);

/*
 * Attribute "this operation will use the private half": 1 when the key has one and usage permits it, else 0 with the
 * error raised. Called by every *_init that signs, decrypts or derives.
 */
int key_check_private(const struct key *key, enum azihsm_usage usage);
/* 1 when there is a public key to verify or encrypt with. */
int key_check_public(const struct key *key);

/*
 * A place for the secret that implicit rejection of PKCS#1 v1.5 depends on (asym_cipher_rsa.c): made from the device's
 * answer on first use, the same whoever makes it. False while there is none.
 */
bool key_get_rejection(const struct key *key, uint8_t secret[32]);
void key_set_rejection(struct key *key, const uint8_t secret[32]);

/* ---- for keymgmt, decoders and the store ---- */

/* Takes over inner (which may be NULL) and computes what it has. */
int key_set_inner(struct key *key, EVP_PKEY *inner);
/*
 * Makes it a device key. Takes over all; inner is the public half. device.first may be NULL: then broken says why, and
 * every use of the private half fails with it (loading a key never fails for want of a device or a good configuration).
 */
int key_set_device(struct key *key, EVP_PKEY *inner, struct device_keys device, const char *broken);
/* Makes it the same device key as from, with an inner key of its own. */
int key_share_device(struct key *key, EVP_PKEY *inner, const struct key *from);
/* SHA-256 that names the partition a device key belongs to (32 bytes), or NULL when nobody told. */
void key_set_hint(struct key *key, const uint8_t hint[32]);
const uint8_t *key_hint(const struct key *key);
/* A public key that is the device's own unwrapping key: it has no private half to be written, and is written as it is.
 */
void key_set_unwrapping(struct key *key);
bool key_is_unwrapping(const struct key *key);
/* enum azihsm_ecc_curve of a group name in any usual spelling; 0 when the device does not have it. */
int key_curve_by_group(const char *group, uint32_t *curve);

/*
 * Reference passed between our decoders or store and our keymgmt's load: the address of a `struct key *`, with its
 * size. load takes a reference of its own.
 */
struct key *key_from_reference(const void *reference, size_t size);

#endif
