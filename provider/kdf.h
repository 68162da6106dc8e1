/*
 * HKDF and KBKDF (SP 800-108, counter mode): what the dispatch functions (kdf.c) and the work with device keys
 * (kdf_device.c) share.
 *
 * With key bytes everything is the default provider's own context. Two things make the device derive instead:
 *   - "azihsm.key", the private key of a device key for key agreement, with "azihsm.peer" (SubjectPublicKeyInfo of the
 *     other side): ECDH and derivation are one
 *   - an opaque key that is a shared secret in the device (EVP_KDF_CTX_set_SKEY)
 * The result is a key of the device: an opaque one (EVP_KDF_derive_SKEY), or, into a buffer, a key file. Then
 * "azihsm.output" says where it goes (an azihsm: URI) and "azihsm.output_type" what it is; the buffer receives the URI,
 * never key bytes, so that nobody mistakes one for the other.
 */
#ifndef AZIHSM_PROVIDER_KDF_H
#define AZIHSM_PROVIDER_KDF_H

#include "skey.h"
#include "symkey.h"
#include "symkind.h"

#include <openssl/evp.h>

#define KDF_PARAM_PEER   "azihsm.peer"
#define KDF_PARAM_OUTPUT "azihsm.output"
#define KDF_PARAM_TYPE   "azihsm.output_type"

struct kdf_value {
    uint8_t *data; /* NULL: not set */
    size_t len;
};

enum { KDF_SALT, KDF_INFO, KDF_PEER, KDF_VALUES };

struct kdf {
    struct provider *provider;
    bool kbkdf;
    EVP_KDF_CTX *delegate;
    struct azihsm_key *key;    /* EC private key, or NULL */
    struct azihsm_key *secret; /* shared secret, or NULL; at most one of the two is there */
    struct kdf_value value[KDF_VALUES];
    uint32_t output_kind; /* 0: not set */
    char *output;
    char digest[64];
    unsigned odd; /* settings that the device does not have, a bit for each (kdf.c) */
};

/* Whether the device derives; else the delegate. */
static inline bool kdf_in_device(const struct kdf *ctx)
{
    return ctx->key != NULL || ctx->secret != NULL;
}

/* odd (struct kdf) after these parameters: a bit for each setting that the device does not have. */
unsigned kdf_device_odd(unsigned odd, const OSSL_PARAM params[]);
int kdf_device_derive(struct kdf *ctx, unsigned char *out, size_t outlen);
struct skey *kdf_device_derive_skey(struct kdf *ctx, const char *type, size_t len);

#endif
