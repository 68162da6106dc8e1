/*
 * A software private key as PKCS#8 DER in locked memory: what the device imports (wrapped). libcrypto's own encoders
 * would leave copies in ordinary memory.
 */
#ifndef AZIHSM_PROVIDER_PKCS8_H
#define AZIHSM_PROVIDER_PKCS8_H

#include "crypto/secret.h"

#include <openssl/evp.h>

/* EC keys on the device's curves (group as libcrypto names it) and two-prime RSA keys; NULL for others. */
struct secret *pkcs8_encode(const EVP_PKEY *key);

#endif
