/*
 * What the engine's tests share: an engine of each profile, and engine keys out of libcrypto's.
 */
#ifndef TEST_ENGINE_SUPPORT_H
#define TEST_ENGINE_SUPPORT_H

#include "crypto_support.h"

#include "emulator/engine.h"

static struct engine *virtual_engine, *physical_engine;

static inline int setup_engines(void **state)
{
    if (setup_libctx(state) != 0)
        return -1;
    return engine_new(libctx, AZIHSM_DEVICE_VIRTUAL, &virtual_engine) == AZIHSM_OK &&
                   engine_new(libctx, AZIHSM_DEVICE_PHYSICAL, &physical_engine) == AZIHSM_OK
               ? 0
               : -1;
}

static inline int teardown_engines(void **state)
{
    engine_free(virtual_engine);
    engine_free(physical_engine);
    return teardown_libctx(state);
}

/* Imports a libcrypto key pair; frees pkey. */
static inline struct engine_key *import_pkey(struct engine *engine, uint32_t key_class, EVP_PKEY *pkey)
{
    struct engine_key *key = NULL;
    size_t len;
    uint8_t *der = pkcs8_of(pkey, &len);

    assert_int_equal(engine_import(engine, key_class, view(der, len), &key), AZIHSM_OK);
    OPENSSL_free(der);
    EVP_PKEY_free(pkey);
    return key;
}

static inline struct engine_key *raw_key(struct engine *engine, uint32_t kind, const uint8_t *bytes, size_t len)
{
    struct engine_key *key = NULL;

    assert_int_equal(engine_key_from_raw(engine, kind, view(bytes, len), &key), AZIHSM_OK);
    return key;
}

#endif
