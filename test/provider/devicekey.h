/*
 * Keys of the device whose value the test knows: wrapped in software, imported by the tool `azihsm` into the key
 * directory of the test; and what they agree on.
 */
#ifndef AZIHSM_TEST_DEVICEKEY_H
#define AZIHSM_TEST_DEVICEKEY_H

#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Runs `azihsm WORDS` in the directory of the test; fails the test when it fails. */
void tool(const char *words);
/* A public key in PEM, from that directory, in the software-only context. */
EVP_PKEY *read_public(const char *name);
/* The key becomes azihsm://NAME; class as in `azihsm key import --class`. */
void import_key(const char *name, const char *class, const uint8_t *key, size_t keylen);
/*
 * The shared secret of a device key is not given out, but used: whether HKDF and HMAC in the device, with the private
 * key at uri, give what they give in software with this secret.
 */
bool agrees(const char *uri, EVP_PKEY *peer, const uint8_t *secret, size_t secretlen);

#endif
