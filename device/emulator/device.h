/*
 * Inside of an emu_device: one partition with what survives a reset and what does not.
 *
 * Locks, outermost first: a handle's busy lock, gate (commands share it, reset and power-off take it alone), lock
 * (partition variables; never held during cryptography), a vault's, a tag space's. identity_lock and unwrapping_lock
 * guard one lazily made object each and are held while it is made.
 */
#ifndef EMULATOR_DEVICE_H
#define EMULATOR_DEVICE_H

#include "crypto/secret.h"
#include "emulator/certificate.h"
#include "emulator/emulator.h"
#include "emulator/engine.h"
#include "emulator/session.h"
#include "emulator/vault.h"

#include <pthread.h>
#include <stdatomic.h>

enum { DEVICE_ID_SIZE = 16 };

/* Secrets of the device's making, never changed by a reset. Stored in a struct secret. */
struct device_roots {
    uint8_t bks1[EMU_BKS_SIZE];
    uint8_t bks2[EMU_BKS_SIZE];
    uint8_t bk_boot[AZIHSM_MASKING_KEY_SIZE];
};

/* What EstablishCredential leaves behind. Stored in a struct secret; id and the keys do not change until a reset. */
struct provision {
    uint8_t id[AZIHSM_CREDENTIAL_SIZE];
    uint8_t pin[AZIHSM_CREDENTIAL_SIZE]; /* under lock */
    uint8_t bk[AZIHSM_MASKING_KEY_SIZE];
    uint8_t bk3_session[AZIHSM_BK3_SIZE]; /* physical profile */
};

/* PIN lock-out (device-behaviour 3.4), only with emu_config.pin_lockout. */
struct lockout {
    bool locked;
    unsigned attempts;
    unsigned factor;
    int64_t not_before; /* CLOCK_MONOTONIC, seconds */
};

struct emu_namespace {
    struct emu_device *device;
    _Atomic unsigned refs;
    struct vault *vault;
    struct emu_namespace *next; /* list of the device */
};

struct emu_device {
    struct emu_config config; /* its secrets are in roots */
    OSSL_LIB_CTX *libctx;
    OSSL_PROVIDER *provider;
    struct engine *engine;
    pthread_rwlock_t gate;

    /* constant after power-on */
    struct secret *roots;
    uint8_t partition_id[DEVICE_ID_SIZE];
    uint8_t launch_id[DEVICE_ID_SIZE]; /* VM launch GUID */

    /* changed by a reset only */
    bool failed;                       /* no keys could be made: every command fails until the next reset */
    struct engine_key *identity;       /* signs reports; P-384 */
    struct engine_key *session_key;    /* for OpenSession, ReopenSession, ChangePin; P-384 */
    struct engine_key *credential_key; /* for EstablishCredential; P-384 */

    pthread_mutex_t identity_lock;
    struct certificate_chain *chain; /* made on first use */
    pthread_mutex_t unwrapping_lock;

    pthread_mutex_t lock;
    uint8_t nonce[AZIHSM_NONCE_SIZE];
    bool provisioned;
    struct secret *provision; /* struct provision */
    struct engine_key *mk;
    uint16_t unwrapping_id;
    unsigned pending_calls;
    struct lockout lockout;
    uint8_t sealed_bk3[AZIHSM_SEALED_BK3_MAX];
    size_t sealed_bk3_len; /* 0: not set */
    bool bk3_initialized;

    struct session_table sessions;

    pthread_mutex_t namespaces_lock;
    struct emu_namespace *own; /* the partition's namespace, first of the list */
    struct tag_space *tags;    /* the partition's space, then one per uid */

    _Atomic uint32_t handles;
    _Atomic uint64_t commands, errors, resets;
};

static inline bool device_is_virtual(const struct emu_device *device)
{
    return device->config.kind == AZIHSM_DEVICE_VIRTUAL;
}
static inline const struct device_roots *device_roots(const struct emu_device *device)
{
    return (const struct device_roots *)device->roots->data;
}
static inline struct provision *device_provision(const struct emu_device *device)
{
    return (struct provision *)device->provision->data;
}

/* Owner id of internal keys inside masked blobs; no credential has it. */
extern const uint8_t device_internal_id[AZIHSM_CREDENTIAL_SIZE];

/* New nonce, new internal keys, nothing provisioned. The gate is held exclusively, or nobody else has the device. */
azihsm_rc device_bring_up(struct emu_device *device);
/* Drops what a reset loses: provisioning, keys of all namespaces, the virtual profile's identity. Same condition. */
void device_tear_down(struct emu_device *device);
/* The chain, made on first use; new reference. */
azihsm_rc device_chain(struct emu_device *device, struct certificate_chain **out);

/* For emu_handle_close: power-on state when the last handle is gone, if so configured. */
void device_idle(struct emu_device *device);

/* state.c: from an earlier life, before the first bring-up; secrets still missing afterwards are drawn. */
azihsm_rc device_load_state(struct emu_device *device, const uint8_t *state, size_t state_len);

#endif
