/*
 * The device in software, as azihsmd and the tests drive it: one emu_device is one partition.
 *
 * Thread-safe: any number of threads may execute on any handles. Commands share, a reset excludes all others and waits
 * for those in flight. The emulator knows no sockets, no files and no processes; who may use a handle is its caller's
 * business. Behaviour: device-behaviour.md; driver-side session rules: ddi-protocol 3.3; bulk path: section 7.
 */
#ifndef EMULATOR_H
#define EMULATOR_H

#include <azihsm/ddi.h>

struct emu_device;
struct emu_handle;
struct emu_namespace;

enum { EMU_BKS_SIZE = 32, EMU_STATE_MAX = 65536 };

struct emu_config {
    enum azihsm_device_kind kind;
    unsigned tables;       /* 1..255 */
    unsigned sessions_max; /* 8 in the hardware profile; at most 65535 */
    bool extensions;       /* answer opcodes from 0x8000 on */
    /* options that are off by default (device-behaviour: EMU) */
    bool bk3_once;              /* InitBk3 a second time: Bk3AlreadyInitialized */
    bool pin_lockout;           /* 3.4 */
    unsigned pending_key_calls; /* GetUnwrappingKey answers PendingKeyGeneration that many times */
    bool power_off_when_idle;   /* virtual kind: power-on state when the last handle closes */
    /* device secrets; all zero = drawn at random at power-on (then persisted through emu_device_save) */
    uint8_t bks1[EMU_BKS_SIZE];
    uint8_t bks2[EMU_BKS_SIZE];
    uint8_t bk_boot[AZIHSM_MASKING_KEY_SIZE];
};

/* state: what emu_device_save wrote in an earlier life, or NULL for a factory-fresh device. AZIHSM_E_DECODE when it is
 * corrupt. */
azihsm_rc emu_device_new(const struct emu_config *config, const uint8_t *state, size_t state_len,
                         struct emu_device **out);
/* All handles must be closed. Cleanses every secret. */
void emu_device_free(struct emu_device *device);
/* What survives a power cycle (device secrets, sealed BK3, physical identity), CBOR; secret. buf of EMU_STATE_MAX
 * suffices. */
azihsm_rc emu_device_save(struct emu_device *device, uint8_t *buf, size_t cap, size_t *len);

/*
 * Key namespaces (key-scope). NULL at emu_handle_open means the partition's own namespace: the protocol's rule, every
 * session uses every app key. A namespace of its own holds its keys apart (ids are per namespace); handles hold
 * references. uid: tags are shared among namespaces of one uid.
 */
struct emu_namespace *emu_namespace_new(struct emu_device *device, uint32_t uid);
struct emu_namespace *emu_namespace_up_ref(struct emu_namespace *ns);
void emu_namespace_free(struct emu_namespace *ns);

struct emu_handle *emu_handle_open(struct emu_device *device, struct emu_namespace *ns);
/* The driver's flush: deletes a live session with its session keys. Waits for commands in flight on this handle. */
void emu_handle_close(struct emu_handle *handle);

struct emu_submission {
    const uint8_t *request;
    size_t request_len;
    enum azihsm_session_kind session_kind; /* beside the message, 3.2 */
    bool has_sess_id;
    uint16_t sess_id;
};
/* What a command was about, for counting; zero when it failed before that was known. */
struct emu_subject {
    uint32_t kind; /* of the key used, made or loaded; of RsaUnwrap the class asked for */
    bool decrypt;  /* RsaModExp */
};
struct emu_completion {
    uint32_t ext_status; /* driver refusal 11, 12, 14 (8.3); 0 = reached the device */
    uint32_t cqe_status; /* 5.15; non-zero: no message */
    size_t response_len;
    struct emu_subject subject;
};
/* response needs AZIHSM_FRAME_MAX bytes. request must not change while this runs (copy it out of shared memory first).
 */
void emu_handle_execute(struct emu_handle *handle, const struct emu_submission *in, uint8_t *response,
                        struct emu_completion *out);

/* Fast path, after argument checks of the driver's own (8.7) were made by the caller except those that need the handle.
 */
struct emu_bulk {
    bool xts;
    bool decrypt;
    uint16_t sess_id;
    uint8_t short_app_id;
    uint32_t key_id1, key_id2;
    uint8_t iv[16]; /* GCM: 12 bytes in/out; XTS: tweak */
    uint8_t tag[16];
    const uint8_t *aad;
    size_t aad_len;
    uint32_t data_unit; /* bytes */
    const uint8_t *src;
    uint8_t *dst; /* may equal src; after a tag mismatch it is as it was */
    size_t len;
    /* out */
    uint32_t result;     /* device_status, 7.5 */
    uint32_t ext_status; /* 107..110 (handle checks) or the code that goes with result */
    bool refused;        /* true: handle check failed, ioctl would be EINVAL */
    bool fips_approved;
};
void emu_handle_bulk(struct emu_handle *handle, struct emu_bulk *bulk);

/* Session a handle believes to have (driver record): false when none. */
bool emu_handle_session(const struct emu_handle *handle, uint16_t *sess_id, uint8_t *short_app_id);

/* Subsystem reset / simulated migration (2.5). Returns after commands in flight finished. */
void emu_device_reset(struct emu_device *device);

struct emu_counters {
    uint64_t commands, errors, resets;
    uint32_t handles, sessions, sessions_flagged, keys, key_bytes, bulk_keys;
    bool provisioned;
};
void emu_device_counters(struct emu_device *device, struct emu_counters *out);

#endif
