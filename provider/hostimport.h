/*
 * Software private keys into the device: wrapped to its unwrapping key by the client layer, from locked memory.
 */
#ifndef AZIHSM_PROVIDER_HOSTIMPORT_H
#define AZIHSM_PROVIDER_HOSTIMPORT_H

#include "key.h"

/*
 * Imports software, a complete key of type EC, RSA or RSA-PSS; the caller keeps it. crt: store RSA keys in their faster
 * form. NULL with an error raised.
 */
struct azihsm_key *hostimport(struct provider *provider, const EVP_PKEY *software, const struct azihsm_key_spec *spec,
                              bool crt);
/* keymgmt's import = device: key becomes the device key; takes over software. params may hold azihsm.* options. */
int hostimport_into(struct key *key, EVP_PKEY *software, const OSSL_PARAM params[]);

#endif
