/*
 * ECDH: the x-coordinate at full width, as credential protocol and EcdhKeyExchange need it.
 */
#ifndef CRYPTO_ECDH_H
#define CRYPTO_ECDH_H

#include <azihsm/ddi.h>

#include <openssl/types.h>

/*
 * secret receives exactly len bytes (the curve's coordinate size) big-endian, leading zeros included. peer must have
 * been checked to lie on the curve (spki_decode_peer does); the curves have cofactor 1, so no further check is needed.
 * AZIHSM_E_CRYPTO when libcrypto refuses, e.g. keys of two curves; secret is cleansed then.
 */
azihsm_rc ecdh_derive(OSSL_LIB_CTX *libctx, EVP_PKEY *private_key, EVP_PKEY *peer, uint8_t *secret, size_t len);

#endif
