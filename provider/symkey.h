/*
 * Symmetric keys of the device, and the parameters that name them in operations which OpenSSL (before its EVP_SKEY)
 * only gives key bytes: "azihsm.key" with an azihsm: URI of a secret key file or tag. Key bytes never appear here.
 */
#ifndef AZIHSM_PROVIDER_SYMKEY_H
#define AZIHSM_PROVIDER_SYMKEY_H

#include "provider.h"

#include <openssl/params.h>

#define SYMKEY_PARAM       "azihsm.key"       /* the key */
#define SYMKEY_PARAM_TWEAK "azihsm.tweak_key" /* second key of AES-XTS */

/* Any key by URI, also the private key of an EC key file. No device work but for tags. NULL with an error raised. */
struct azihsm_key *symkey_load(struct provider *provider, const char *uri);

/*
 * Replaces *key by the one that the parameter names, when it is there; 1 also when it is not. kinds: kinds that fit,
 * zero-terminated; the error names what was found and `purpose`.
 */
int symkey_from_params(struct provider *provider, const OSSL_PARAM params[], const char *name, const uint32_t *kinds,
                       const char *purpose, struct azihsm_key **key);

/* What a kind is called in messages and in "azihsm.output_type": "AES-256", "HMAC-SHA384" ... */
const char *symkey_kind_name(uint32_t kind);
/* The other way round, for kinds that can be derived; 0 for anything else. */
uint32_t symkey_derivable_kind(const char *name);

/* Writes a key file into the key directory (or to the path of the URI), replacing what is there. */
int symkey_save(struct provider *provider, struct azihsm_key *key, const char *uri);

#endif
