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

/*
 * Whether the key is of one of the kinds (zero-terminated); 0 with an error that names the key by its URI (NULL when it
 * has none), its kind and the purpose.
 */
int symkey_fits(const struct provider *provider, const struct azihsm_key *key, const char *uri, const uint32_t *kinds,
                const char *purpose);

/* The one use a key of this kind has: HMAC keys sign, all others decrypt (and encrypt). */
enum azihsm_usage symkey_usage(uint32_t kind);

/*
 * Writes a key file into the key directory (or to the path of the URI). replace: over one that exists, as a derivation
 * does, which gives the same key again; a key that was generated goes to a new name only.
 */
int symkey_save(struct provider *provider, struct azihsm_key *key, const char *uri, bool replace);

#endif
