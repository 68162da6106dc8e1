/*
 * KBKDF, HKDF, HMAC and digests over libcrypto. EVP_KDF fits the protocol exactly, absent inputs included (tested
 * against the vectors), so nothing here computes a derivation by hand. Parameters point at the caller's bytes;
 * libcrypto keeps and cleanses its own copies.
 */
#include "crypto/kdf.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

static const char *const hash_names[] = {
    [AZIHSM_HASH_SHA1] = "SHA1",
    [AZIHSM_HASH_SHA256] = "SHA2-256",
    [AZIHSM_HASH_SHA384] = "SHA2-384",
    [AZIHSM_HASH_SHA512] = "SHA2-512",
};

const char *kdf_hash_name(uint32_t hash)
{
    return hash < sizeof(hash_names) / sizeof(hash_names[0]) ? hash_names[hash] : NULL;
}

/* libcrypto does not take NULL data with length 0 everywhere, and its parameters are not const. */
static OSSL_PARAM octets(const char *key, struct azihsm_bytes bytes)
{
    static uint8_t nothing;

    return OSSL_PARAM_construct_octet_string(key, bytes.len > 0 ? (uint8_t *)(uintptr_t)bytes.data : &nothing,
                                             bytes.len);
}

static OSSL_PARAM text(const char *key, const char *value)
{
    return OSSL_PARAM_construct_utf8_string(key, (char *)(uintptr_t)value, 0);
}

static azihsm_rc derive(OSSL_LIB_CTX *libctx, const char *algorithm, const OSSL_PARAM *params, uint8_t *out,
                        size_t out_len)
{
    EVP_KDF *kdf = EVP_KDF_fetch(libctx, algorithm, NULL);
    EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(kdf);
    azihsm_rc rc = AZIHSM_OK;

    if (ctx == NULL || EVP_KDF_derive(ctx, out, out_len, params) != 1) {
        OPENSSL_cleanse(out, out_len);
        rc = AZIHSM_E_CRYPTO;
    }
    EVP_KDF_CTX_free(ctx);
    EVP_KDF_free(kdf);
    return rc;
}

azihsm_rc kdf_kbkdf(OSSL_LIB_CTX *libctx, uint32_t hash, struct azihsm_bytes key, struct azihsm_bytes label,
                    struct azihsm_bytes context, uint8_t *out, size_t out_len)
{
    const char *digest = kdf_hash_name(hash);
    OSSL_PARAM params[7], *p = params;

    if (digest == NULL)
        return AZIHSM_E_ARGUMENT;
    *p++ = text(OSSL_KDF_PARAM_MODE, "counter");
    *p++ = text(OSSL_KDF_PARAM_MAC, "HMAC");
    *p++ = text(OSSL_KDF_PARAM_DIGEST, digest);
    *p++ = octets(OSSL_KDF_PARAM_KEY, key);
    if (label.len > 0)
        *p++ = octets(OSSL_KDF_PARAM_SALT, label);
    if (context.len > 0)
        *p++ = octets(OSSL_KDF_PARAM_INFO, context);
    *p = OSSL_PARAM_construct_end();
    return derive(libctx, "KBKDF", params, out, out_len);
}

azihsm_rc kdf_hkdf(OSSL_LIB_CTX *libctx, uint32_t hash, struct azihsm_bytes key, struct azihsm_bytes salt,
                   struct azihsm_bytes info, uint8_t *out, size_t out_len)
{
    const char *digest = kdf_hash_name(hash);
    OSSL_PARAM params[5], *p = params;

    if (digest == NULL)
        return AZIHSM_E_ARGUMENT;
    *p++ = text(OSSL_KDF_PARAM_DIGEST, digest);
    *p++ = octets(OSSL_KDF_PARAM_KEY, key);
    if (salt.len > 0)
        *p++ = octets(OSSL_KDF_PARAM_SALT, salt);
    if (info.len > 0)
        *p++ = octets(OSSL_KDF_PARAM_INFO, info);
    *p = OSSL_PARAM_construct_end();
    return derive(libctx, "HKDF", params, out, out_len);
}

azihsm_rc kdf_hmac(OSSL_LIB_CTX *libctx, uint32_t hash, struct azihsm_bytes key, const struct azihsm_bytes *parts,
                   size_t count, uint8_t *out)
{
    const char *digest = kdf_hash_name(hash);
    EVP_MAC *mac = EVP_MAC_fetch(libctx, "HMAC", NULL);
    EVP_MAC_CTX *ctx = EVP_MAC_CTX_new(mac);
    OSSL_PARAM params[2] = {OSSL_PARAM_construct_end(), OSSL_PARAM_construct_end()};
    azihsm_rc rc = AZIHSM_E_CRYPTO;
    size_t len;

    if (digest == NULL) {
        rc = AZIHSM_E_ARGUMENT;
        goto done;
    }
    params[0] = text(OSSL_MAC_PARAM_DIGEST, digest);
    if (ctx == NULL || EVP_MAC_init(ctx, key.data, key.len, params) != 1)
        goto done;
    for (size_t i = 0; i < count; i++)
        if (parts[i].len > 0 && EVP_MAC_update(ctx, parts[i].data, parts[i].len) != 1)
            goto done;
    if (EVP_MAC_final(ctx, out, &len, azihsm_hash_size(hash)) == 1)
        rc = AZIHSM_OK;
done:
    EVP_MAC_CTX_free(ctx);
    EVP_MAC_free(mac);
    return rc;
}

azihsm_rc kdf_digest(OSSL_LIB_CTX *libctx, uint32_t hash, const struct azihsm_bytes *parts, size_t count, uint8_t *out)
{
    const char *digest = kdf_hash_name(hash);
    EVP_MD *md = digest == NULL ? NULL : EVP_MD_fetch(libctx, digest, NULL);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    azihsm_rc rc = digest == NULL ? AZIHSM_E_ARGUMENT : AZIHSM_E_CRYPTO;

    if (md == NULL || ctx == NULL || EVP_DigestInit_ex2(ctx, md, NULL) != 1)
        goto done;
    for (size_t i = 0; i < count; i++)
        if (parts[i].len > 0 && EVP_DigestUpdate(ctx, parts[i].data, parts[i].len) != 1)
            goto done;
    if (EVP_DigestFinal_ex(ctx, out, NULL) == 1)
        rc = AZIHSM_OK;
done:
    EVP_MD_CTX_free(ctx);
    EVP_MD_free(md);
    return rc;
}
