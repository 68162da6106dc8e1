/*
 * Key files and blobs made into key objects: what decoders, the store and generation share.
 */
#ifndef AZIHSM_PROVIDER_KEYLOAD_H
#define AZIHSM_PROVIDER_KEYLOAD_H

#include "key.h"
#include "keyfile.h"

/*
 * The key of a key file. No device work: the client is told to get ready (azihsm_client_prepare) and no more; what is
 * wrong with device or configuration comes out when the key is used. NULL with an error raised when the file itself is.
 */
struct key *keyload_file(struct provider *provider, const struct keyfile *file, const struct device_choice *choice);
/* Key type named by the file's public key, without making anything; KEY_TYPES when it is none of ours. */
enum key_type keyload_type(const struct keyfile *file);

/* A bare masked blob, as the vendor's provider stores keys; its public half is asked from the device. */
struct key *keyload_blob(struct provider *provider, struct azihsm_bytes blob, const struct device_choice *choice);
/* A key named in the device. Device work. */
struct key *keyload_tag(struct provider *provider, uint16_t tag, const struct device_choice *choice);
/*
 * A key that the device just made or imported; takes over device. type may ask for KEY_RSA_PSS, then restrictions may
 * hold OSSL_PKEY_PARAM_RSA_ parameters for it (else NULL).
 */
struct key *keyload_device(struct provider *provider, enum key_type type, struct device_keys device,
                           const OSSL_PARAM *restrictions);

/*
 * Hands key to the callback of a decoder or loader, by reference (key_from_reference); the caller keeps its own.
 */
int keyload_deliver(struct key *key, OSSL_CALLBACK *callback, void *arg);

/* The key file of a device key: the caller clears *file, whose views point into it and the key. */
int keyload_describe(const struct key *key, struct keyfile *file);

#endif
