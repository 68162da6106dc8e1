/*
 * ECDH over libcrypto. One small function with two users: the credential protocol and the engine.
 */
#include "crypto/ecdh.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

azihsm_rc ecdh_derive(OSSL_LIB_CTX *libctx, EVP_PKEY *private_key, EVP_PKEY *peer, uint8_t *secret, size_t len)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(libctx, private_key, NULL);
    size_t got = len;
    azihsm_rc rc = AZIHSM_OK;

    if (ctx == NULL || EVP_PKEY_derive_init(ctx) != 1 || EVP_PKEY_derive_set_peer_ex(ctx, peer, 0) != 1 ||
        EVP_PKEY_derive(ctx, secret, &got) != 1 || got != len) {
        OPENSSL_cleanse(secret, len);
        rc = AZIHSM_E_CRYPTO;
    }
    EVP_PKEY_CTX_free(ctx);
    return rc;
}
