/*
 * Software private keys into the device: wrapped to its unwrapping key by the client layer, from locked memory.
 */
#ifndef AZIHSM_PROVIDER_HOSTIMPORT_H
#define AZIHSM_PROVIDER_HOSTIMPORT_H

#include "genoptions.h"

/*
 * Imports software, a complete key of type EC, RSA or RSA-PSS, once for each of the usages (AZIHSM_USAGE_ bits, at most
 * two); the caller keeps it. RSA keys go in their faster form (CRT), unless their masked key is asked for, which the
 * vendor's provider must understand. 0 with an error raised.
 */
int hostimport(struct provider *provider, const EVP_PKEY *software, const struct genoptions *options, unsigned usages,
               struct device_keys *out);
/* keymgmt's import = device: key becomes the device key; takes over software. params may hold azihsm.* options. */
int hostimport_into(struct key *key, EVP_PKEY *software, const OSSL_PARAM params[]);

#endif
