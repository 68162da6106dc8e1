/*
 * AES contexts: what the dispatch functions (cipher.c) and the work with device keys (cipher_device.c) share.
 *
 * With key bytes everything is the default provider's own context. With "azihsm.key" (and "azihsm.tweak_key" for XTS)
 * the device works:
 *   CBC  any streaming; padding is added here, and removed without telling by time what was wrong
 *   GCM  associated data in any pieces, then the whole message in one update; decryption needs the tag before that.
 *        The device may replace the IV on encryption: "iv" and "updated-iv" tell the one that was used
 *   XTS  one update is one data unit
 */
#ifndef AZIHSM_PROVIDER_CIPHER_H
#define AZIHSM_PROVIDER_CIPHER_H

#include "symkey.h"

#include <openssl/core_dispatch.h>
#include <openssl/evp.h>

enum cipher_mode { CIPHER_CBC, CIPHER_GCM, CIPHER_XTS };

struct cipher_kind {
    const char *name; /* of the default provider's algorithm */
    enum cipher_mode mode;
    unsigned evp_mode; /* EVP_CIPH_ */
    size_t key_size, block_size, iv_size;
    bool aead, custom_iv;
    uint32_t fitting[3]; /* kinds of device keys, zero-terminated */
};

enum { CIPHER_BLOCK = 16, CIPHER_GCM_IV = 12, CIPHER_GCM_TAG = 16, CIPHER_AAD_MAX = 65536 };

struct cipher {
    struct provider *provider;
    const struct cipher_kind *kind;
    EVP_CIPHER_CTX *delegate;
    struct azihsm_key *key, *tweak; /* key NULL: key bytes, the delegate works */
    /* of the device's work */
    bool decrypt, padding, has_iv, has_tag;
    bool done, failed;           /* GCM, XTS: the message was handed in; any of it did not succeed */
    uint8_t iv[CIPHER_BLOCK];    /* as given at init */
    uint8_t chain[CIPHER_BLOCK]; /* CBC: for the next block; GCM: the IV that was used */
    uint8_t tag[CIPHER_GCM_TAG];
    uint8_t partial[CIPHER_BLOCK]; /* CBC */
    size_t used;                   /* bytes in partial */
    uint8_t *aad;                  /* GCM */
    size_t aadlen;
};

/* Starts over with the keys of the context; iv NULL: the one it had. */
int cipher_device_begin(struct cipher *ctx, bool decrypt, const uint8_t *iv, size_t ivlen);
/* Before a key is named: what is set may be meant for one of the device, and is kept for it. */
void cipher_device_note(struct cipher *ctx, bool decrypt, const uint8_t *iv, size_t ivlen, const OSSL_PARAM params[]);
int cipher_device_update(struct cipher *ctx, uint8_t *out, size_t *outl, size_t outsize, const uint8_t *in, size_t inl);
int cipher_device_final(struct cipher *ctx, uint8_t *out, size_t *outl, size_t outsize);
int cipher_device_get_params(struct cipher *ctx, OSSL_PARAM params[]);
int cipher_device_set_params(struct cipher *ctx, const OSSL_PARAM params[]);

#endif
