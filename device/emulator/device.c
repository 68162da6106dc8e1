/*
 * Power-on and power-off of the device, and the parts of bring-up that a reset repeats.
 */
#include "emulator/device.h"

#include <openssl/crypto.h>
#include <openssl/provider.h>

#include <stdlib.h>
#include <string.h>

const uint8_t device_internal_id[AZIHSM_CREDENTIAL_SIZE] = {0x5d, 0x1c, 0x83, 0x40, 0xb7, 0x9e, 0x4f, 0x26,
                                                            0x8a, 0x63, 0xd1, 0x0f, 0x72, 0xe5, 0x9b, 0x34};

/* ---- internal keys ---- */

/* Stores a reference of key as internal entry; the ids follow from the order of the calls (1.3). */
static azihsm_rc store_internal(struct emu_device *device, struct engine_key *key)
{
    uint16_t id;
    azihsm_rc rc;
    struct vault_key *entry =
        vault_key_new(VAULT_INTERNAL, engine_key_up_ref(key), (unsigned)engine_key_budget(key), 0);
    if (entry == NULL)
        return AZIHSM_E_NO_MEMORY;
    rc = vault_insert(device->own->vault, entry, NULL, &id);
    vault_key_free(entry);
    return rc;
}

static azihsm_rc make_internal_keys(struct emu_device *device)
{
    struct engine_key **const keys[] = {&device->credential_key, &device->session_key, &device->identity};
    azihsm_rc rc = AZIHSM_OK;

    for (size_t i = 0; rc == AZIHSM_OK && i < sizeof(keys) / sizeof(keys[0]); i++) {
        if (*keys[i] == NULL) /* the physical profile keeps its identity */
            rc = engine_generate_ecc(device->engine, AZIHSM_CURVE_P384, keys[i]);
        if (rc == AZIHSM_OK)
            rc = store_internal(device, *keys[i]);
    }
    return rc;
}

static void drop_key(struct engine_key **key)
{
    engine_key_free(*key);
    *key = NULL;
}

azihsm_rc device_bring_up(struct emu_device *device)
{
    azihsm_rc rc = engine_random(device->engine, device->nonce, sizeof(device->nonce));
    if (rc == AZIHSM_OK)
        rc = make_internal_keys(device);
    device->pending_calls = device->config.pending_key_calls;
    device->failed = rc != AZIHSM_OK;
    return rc;
}

void device_tear_down(struct emu_device *device)
{
    for (struct emu_namespace *ns = device->own; ns != NULL; ns = ns->next)
        vault_clear(ns->vault);
    for (struct tag_space *space = device->tags; space != NULL; space = space->next)
        tag_space_clear(space);
    device->provisioned = false;
    secret_free(device->provision);
    device->provision = NULL;
    drop_key(&device->mk);
    drop_key(&device->credential_key);
    drop_key(&device->session_key);
    device->lockout = (struct lockout){0};
    if (device_is_virtual(device)) {
        drop_key(&device->identity);
        certificate_chain_free(device->chain);
        device->chain = NULL;
    }
}

azihsm_rc device_chain(struct emu_device *device, struct certificate_chain **out)
{
    azihsm_rc rc = AZIHSM_OK;

    pthread_mutex_lock(&device->identity_lock);
    if (device->chain == NULL)
        rc = certificate_chain_new(device->engine, device->identity, device->partition_id, &device->chain);
    if (rc == AZIHSM_OK)
        *out = certificate_chain_up_ref(device->chain);
    pthread_mutex_unlock(&device->identity_lock);
    return rc;
}

void device_idle(struct emu_device *device)
{
    pthread_rwlock_wrlock(&device->gate);
    if (atomic_load(&device->handles) == 0) {
        device_tear_down(device);
        session_table_clear(&device->sessions);
        device->sealed_bk3_len = 0;
        device->bk3_initialized = false;
        device_bring_up(device);
    }
    pthread_rwlock_unlock(&device->gate);
}

/* ---- power-on ---- */

static azihsm_rc init_locks(struct emu_device *device)
{
    pthread_rwlockattr_t attr;
    pthread_mutex_t *const mutexes[] = {&device->identity_lock, &device->unwrapping_lock, &device->lock,
                                        &device->namespaces_lock};

    /* A stream of commands must not keep a reset waiting for ever. */
    if (pthread_rwlockattr_init(&attr) != 0)
        return AZIHSM_E_NO_MEMORY;
    pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&device->gate, &attr);
    pthread_rwlockattr_destroy(&attr);
    for (size_t i = 0; i < sizeof(mutexes) / sizeof(mutexes[0]); i++)
        pthread_mutex_init(mutexes[i], NULL);
    return AZIHSM_OK;
}

static azihsm_rc open_engine(struct emu_device *device)
{
    device->libctx = OSSL_LIB_CTX_new();
    if (device->libctx == NULL)
        return AZIHSM_E_NO_MEMORY;
    device->provider = OSSL_PROVIDER_load(device->libctx, "default");
    if (device->provider == NULL)
        return AZIHSM_E_CRYPTO;
    return engine_new(device->libctx, device->config.kind, &device->engine);
}

static azihsm_rc take_config(struct emu_device *device, const struct emu_config *config)
{
    struct device_roots *roots;

    if ((config->kind != AZIHSM_DEVICE_VIRTUAL && config->kind != AZIHSM_DEVICE_PHYSICAL) || config->tables == 0 ||
        config->tables > VAULT_TABLES_MAX || config->sessions_max == 0 || config->sessions_max > UINT16_MAX)
        return AZIHSM_E_ARGUMENT;
    device->config = *config;
    device->roots = secret_new(sizeof(struct device_roots));
    if (device->roots == NULL)
        return AZIHSM_E_NO_MEMORY;
    roots = (struct device_roots *)device->roots->data;
    memcpy(roots->bks1, config->bks1, sizeof(roots->bks1));
    memcpy(roots->bks2, config->bks2, sizeof(roots->bks2));
    memcpy(roots->bk_boot, config->bk_boot, sizeof(roots->bk_boot));
    OPENSSL_cleanse(device->config.bks1, sizeof(device->config.bks1));
    OPENSSL_cleanse(device->config.bks2, sizeof(device->config.bks2));
    OPENSSL_cleanse(device->config.bk_boot, sizeof(device->config.bk_boot));
    return AZIHSM_OK;
}

static azihsm_rc make_own_namespace(struct emu_device *device)
{
    device->tags = tag_space_new(UINT32_MAX);
    device->own = calloc(1, sizeof(*device->own));
    if (device->tags == NULL || device->own == NULL)
        return AZIHSM_E_NO_MEMORY;
    device->own->device = device;
    device->own->refs = 1;
    device->own->vault = vault_new(device->config.tables, device->tags, false);
    return device->own->vault == NULL ? AZIHSM_E_NO_MEMORY : AZIHSM_OK;
}

azihsm_rc emu_device_new(const struct emu_config *config, const uint8_t *state, size_t state_len,
                         struct emu_device **out)
{
    azihsm_rc rc;
    struct emu_device *device = calloc(1, sizeof(*device));
    if (device == NULL)
        return AZIHSM_E_NO_MEMORY;
    rc = init_locks(device);
    if (rc == AZIHSM_OK)
        rc = take_config(device, config);
    if (rc == AZIHSM_OK)
        rc = session_table_init(&device->sessions, config->sessions_max);
    if (rc == AZIHSM_OK)
        rc = make_own_namespace(device);
    if (rc == AZIHSM_OK)
        rc = open_engine(device);
    if (rc == AZIHSM_OK)
        rc = device_load_state(device, state, state_len);
    if (rc == AZIHSM_OK)
        rc = device_bring_up(device);
    if (rc != AZIHSM_OK) {
        emu_device_free(device);
        return rc;
    }
    *out = device;
    return AZIHSM_OK;
}

static void free_namespaces(struct emu_device *device)
{
    if (device->own != NULL)
        vault_free(device->own->vault);
    free(device->own);
    while (device->tags != NULL) {
        struct tag_space *space = device->tags;
        device->tags = space->next;
        tag_space_free(space);
    }
}

void emu_device_free(struct emu_device *device)
{
    if (device == NULL)
        return;
    session_table_destroy(&device->sessions);
    if (device->own != NULL)
        device_tear_down(device);
    free_namespaces(device);
    drop_key(&device->identity);
    certificate_chain_free(device->chain);
    secret_free(device->roots);
    engine_free(device->engine);
    if (device->provider != NULL)
        OSSL_PROVIDER_unload(device->provider);
    OSSL_LIB_CTX_free(device->libctx);
    pthread_mutex_destroy(&device->namespaces_lock);
    pthread_mutex_destroy(&device->lock);
    pthread_mutex_destroy(&device->unwrapping_lock);
    pthread_mutex_destroy(&device->identity_lock);
    pthread_rwlock_destroy(&device->gate);
    OPENSSL_cleanse(device, sizeof(*device));
    free(device);
}
