/*
 * The engine object and the life of its keys. Operations are in the files beside this one, one per family.
 */
#include "emulator/engine_internal.h"

#include "crypto/spki.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include <stdlib.h>
#include <string.h>

static const char *const cbc_names[3] = {"AES-128-CBC", "AES-192-CBC", "AES-256-CBC"};

azihsm_rc engine_new(OSSL_LIB_CTX *libctx, enum azihsm_device_kind kind, struct engine **out)
{
    struct engine *engine = calloc(1, sizeof(*engine));
    bool complete;

    *out = NULL;
    if (engine == NULL)
        return AZIHSM_E_NO_MEMORY;
    engine->libctx = libctx;
    engine->profile = kind;
    engine->gcm = EVP_CIPHER_fetch(libctx, "AES-256-GCM", NULL);
    engine->xts = EVP_CIPHER_fetch(libctx, "AES-256-XTS", NULL);
    engine->xts_contexts = calloc(1, sizeof(*engine->xts_contexts));
    complete = engine->gcm != NULL && engine->xts != NULL && engine->xts_contexts != NULL;
    for (size_t i = 0; i < 3; i++) {
        engine->cbc[i] = EVP_CIPHER_fetch(libctx, cbc_names[i], NULL);
        complete = complete && engine->cbc[i] != NULL;
    }
    if (!complete) {
        engine_free(engine);
        return AZIHSM_E_CRYPTO;
    }
    *out = engine;
    return AZIHSM_OK;
}

void engine_free(struct engine *engine)
{
    if (engine == NULL)
        return;
    for (size_t i = 0; i < 3; i++)
        EVP_CIPHER_free(engine->cbc[i]);
    EVP_CIPHER_free(engine->gcm);
    EVP_CIPHER_free(engine->xts);
    free(engine->xts_contexts); /* empty: the keys are gone */
    free(engine);
}

OSSL_LIB_CTX *engine_libctx(const struct engine *engine)
{
    return engine->libctx;
}

enum azihsm_device_kind engine_profile(const struct engine *engine)
{
    return engine->profile;
}

azihsm_rc engine_random(const struct engine *engine, uint8_t *out, size_t len)
{
    return RAND_bytes_ex(engine->libctx, out, len, 0) == 1 ? AZIHSM_OK : AZIHSM_STATUS_RNG_ERROR;
}

/* ---- keys ---- */

static void release_pkey_ctx(void *context)
{
    EVP_PKEY_CTX_free(context);
}

static void release_cipher_ctx(void *context)
{
    EVP_CIPHER_CTX_free(context);
}

static azihsm_rc export_public(struct engine_key *key)
{
    uint8_t wire[AZIHSM_PUB_KEY_MAX];
    azihsm_rc rc = spki_encode_wire(key->engine->profile, key->pkey, wire, sizeof(wire), &key->public_len);

    if (rc != AZIHSM_OK)
        return rc;
    key->public_wire = malloc(key->public_len);
    if (key->public_wire == NULL)
        return AZIHSM_E_NO_MEMORY;
    memcpy(key->public_wire, wire, key->public_len);
    return AZIHSM_OK;
}

azihsm_rc engine_key_new(const struct engine *engine, uint32_t kind, EVP_PKEY *pkey, struct secret *raw,
                         struct engine_key **out)
{
    struct engine_key *key = calloc(1, sizeof(*key));
    azihsm_rc rc = AZIHSM_OK;

    *out = NULL;
    if (key == NULL || (pkey == NULL && raw == NULL)) {
        free(key);
        EVP_PKEY_free(pkey);
        secret_free(raw);
        return AZIHSM_E_NO_MEMORY;
    }
    atomic_init(&key->refs, 1);
    key->engine = engine;
    key->info = engine_kind_find(kind);
    key->pkey = pkey;
    key->raw = raw;
    key->pools = calloc(ENGINE_POOLS, sizeof(*key->pools));
    if (key->pools == NULL)
        rc = AZIHSM_E_NO_MEMORY;
    else if (pkey != NULL)
        rc = export_public(key);
    if (rc == AZIHSM_OK)
        *out = key;
    else
        engine_key_free(key);
    return rc;
}

struct engine_key *engine_key_up_ref(struct engine_key *key)
{
    atomic_fetch_add_explicit(&key->refs, 1, memory_order_relaxed);
    return key;
}

void engine_key_free(struct engine_key *key)
{
    void (*release)(void *);

    if (key == NULL || atomic_fetch_sub_explicit(&key->refs, 1, memory_order_acq_rel) > 1)
        return;
    if (key->info->kind == AZIHSM_KEY_AES_XTS_BULK256)
        engine_xts_forget(key->engine);
    release = key->pkey != NULL ? release_pkey_ctx : release_cipher_ctx;
    for (size_t i = 0; key->pools != NULL && i < ENGINE_POOLS; i++)
        engine_pool_drain(&key->pools[i], release);
    free(key->pools);
    EVP_PKEY_free(key->pkey);
    secret_free(key->raw);
    free(key->public_wire);
    free(key);
}

uint32_t engine_key_kind(const struct engine_key *key)
{
    return key->info->kind;
}

const struct engine_kind *engine_key_info(const struct engine_key *key)
{
    return key->info;
}

size_t engine_key_budget(const struct engine_key *key)
{
    return key->info->budget != 0 ? key->info->budget : key->raw->len;
}

struct azihsm_bytes engine_key_public(const struct engine_key *key)
{
    return (struct azihsm_bytes){key->public_wire, key->public_len};
}

EVP_PKEY *engine_key_pkey(const struct engine_key *key)
{
    return key->pkey;
}

struct azihsm_bytes engine_key_raw(const struct engine_key *key)
{
    return key->raw != NULL ? secret_view(key->raw) : (struct azihsm_bytes){NULL, 0};
}

bool engine_key_same(const struct engine_key *a, const struct engine_key *b)
{
    if (a->raw != NULL && b->raw != NULL)
        return a->raw->len == b->raw->len && CRYPTO_memcmp(a->raw->data, b->raw->data, a->raw->len) == 0;
    return a->pkey != NULL && b->pkey != NULL && EVP_PKEY_eq(a->pkey, b->pkey) == 1;
}

azihsm_rc engine_key_from_raw(struct engine *engine, uint32_t kind, struct azihsm_bytes bytes, struct engine_key **out)
{
    const struct engine_kind *info = engine_kind_find(kind);

    *out = NULL;
    if (info == NULL || info->min_len == 0)
        return AZIHSM_STATUS_INVALID_KEY_TYPE;
    if (bytes.len < info->min_len || bytes.len > info->max_len)
        return AZIHSM_STATUS_INVALID_KEY_LENGTH;
    return engine_key_new(engine, kind, NULL, secret_copy(bytes.data, bytes.len), out);
}

azihsm_rc engine_generate_raw(struct engine *engine, uint32_t kind, struct engine_key **out)
{
    const struct engine_kind *info = engine_kind_find(kind);
    struct secret *raw;

    *out = NULL;
    if (info == NULL || info->min_len == 0 || info->min_len != info->max_len)
        return AZIHSM_STATUS_INVALID_ARG;
    raw = secret_new(info->min_len);
    if (raw != NULL && RAND_priv_bytes_ex(engine->libctx, raw->data, raw->len, 0) != 1) {
        secret_free(raw);
        return AZIHSM_STATUS_AES_GENERATE_ERROR;
    }
    return engine_key_new(engine, kind, NULL, raw, out);
}
