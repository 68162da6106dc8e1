/*
 * What the tests of device/crypto and of the engine share: a private library context, with the process's default one
 * made useless, so that any use of it by the product fails the test; keys out of vectors; engines of both profiles.
 */
#ifndef TEST_CRYPTO_SUPPORT_H
#define TEST_CRYPTO_SUPPORT_H

#include "vectors.h"

#include "crypto/spki.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/provider.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static OSSL_LIB_CTX *libctx;
static OSSL_PROVIDER *null_provider, *default_provider;

static inline int setup_libctx(void **state)
{
    (void)state;
    /* an explicit provider keeps libcrypto from loading "default" into the default context behind our back */
    null_provider = OSSL_PROVIDER_load(NULL, "null");
    libctx = OSSL_LIB_CTX_new();
    default_provider = libctx == NULL ? NULL : OSSL_PROVIDER_load(libctx, "default");
    return null_provider != NULL && default_provider != NULL ? 0 : -1;
}

static inline int teardown_libctx(void **state)
{
    (void)state;
    OSSL_PROVIDER_unload(default_provider);
    OSSL_PROVIDER_unload(null_provider);
    OSSL_LIB_CTX_free(libctx);
    return 0;
}

static inline struct azihsm_bytes view(const void *data, size_t len)
{
    return (struct azihsm_bytes){data, len};
}

static inline uint32_t hash_by_name(const char *name)
{
    static const char *const names[] = {"sha1", "sha256", "sha384", "sha512"};

    for (uint32_t i = 0; i < COUNT(names); i++)
        if (strcmp(name, names[i]) == 0)
            return i + 1;
    fail_msg("unknown hash '%s'", name);
    return 0;
}

static inline uint32_t curve_by_name(const char *name)
{
    static const char *const names[] = {"p256", "p384", "p521"};

    for (uint32_t i = 0; i < COUNT(names); i++)
        if (strcmp(name, names[i]) == 0)
            return i + 1;
    fail_msg("unknown curve '%s'", name);
    return 0;
}

/* EC key pair from a hex scalar and its SubjectPublicKeyInfo. */
static inline EVP_PKEY *ec_private(const json_t *object, const char *scalar_field, const char *der_field)
{
    uint8_t scalar[66], native[66], point[SPKI_POINT_MAX];
    size_t scalar_len = vectors_hex(object, scalar_field, scalar, sizeof(scalar)), der_len, point_len;
    uint8_t *der = vectors_hex_dup(object, der_field, &der_len);
    EVP_PKEY *public_key, *pkey = NULL;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(libctx, "EC", NULL);
    OSSL_PARAM params[4];

    assert_int_equal(spki_decode(libctx, view(der, der_len), &public_key), AZIHSM_OK);
    assert_int_equal(spki_point(public_key, point, &point_len), AZIHSM_OK);
    azihsm_form_reverse(native, scalar, scalar_len);
    params[0] = OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME,
                                                 (char *)(uintptr_t)spki_curve_name(spki_curve(public_key)), 0);
    params[1] = OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, point_len);
    params[2] = OSSL_PARAM_construct_BN(OSSL_PKEY_PARAM_PRIV_KEY, native, scalar_len);
    params[3] = OSSL_PARAM_construct_end();
    assert_int_equal(EVP_PKEY_fromdata_init(ctx), 1);
    assert_int_equal(EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_KEYPAIR, params), 1);
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(public_key);
    free(der);
    return pkey;
}

/* PKCS#8 as libcrypto writes it; free with OPENSSL_free. */
static inline uint8_t *pkcs8_of(EVP_PKEY *pkey, size_t *len)
{
    PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(pkey);
    uint8_t *der = NULL;
    int der_len = i2d_PKCS8_PRIV_KEY_INFO(info, &der);

    assert_true(der_len > 0);
    *len = (size_t)der_len;
    PKCS8_PRIV_KEY_INFO_free(info);
    return der;
}

static inline EVP_PKEY *private_from_pkcs8(const json_t *object, const char *field)
{
    size_t len;
    uint8_t *der = vectors_hex_dup(object, field, &len);
    const unsigned char *p = der;
    PKCS8_PRIV_KEY_INFO *info = d2i_PKCS8_PRIV_KEY_INFO(NULL, &p, (long)len);
    EVP_PKEY *pkey = EVP_PKCS82PKEY_ex(info, libctx, NULL);

    assert_non_null(pkey);
    PKCS8_PRIV_KEY_INFO_free(info);
    free(der);
    return pkey;
}

#endif
