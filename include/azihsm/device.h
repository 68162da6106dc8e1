/*
 * The seam between everything that uses a device and the ways to reach one (chardev, queue, in-process).
 *
 * An endpoint is an address with whatever must be kept to reach it later from a child or a chroot; it may outlive
 * forks. A device is one open handle: at most one session (ddi-protocol 3.3), usable by all threads of the process
 * that opened it and by no other. A request comes from its handle's pool, is encoded in place, and belongs to the
 * caller between acquire and release. All deadlines are absolute CLOCK_MONOTONIC times in nanoseconds.
 */
#ifndef AZIHSM_DEVICE_H
#define AZIHSM_DEVICE_H

#include <azihsm/ddi.h>
#include <azihsm/error.h>

struct azihsm_endpoint;
struct azihsm_device;
struct azihsm_transport; /* device/transport/transport.h */

/* ---- endpoints ---- */

struct azihsm_endpoint_config {
    const char *device;    /* "auto", "/dev/azihsm0", "unix:/path/of/socket" */
    const char *partition; /* name for azihsmd, NULL = "default"; chardev ignores it */
    bool autostart;        /* auto may start a private azihsmd --user; only the client layer sets it */
};

/* Parses the address; touches nothing outside the process. AZIHSM_E_CONFIG names what is wrong. */
azihsm_rc azihsm_endpoint_new(const struct azihsm_endpoint_config *config, struct azihsm_endpoint **out,
                              struct azihsm_error *err);
void azihsm_endpoint_free(struct azihsm_endpoint *endpoint);

/*
 * Keeps what later opens will need when privileges are gone: descriptor of the socket's directory, a control
 * connection, a ticket. Silent: a failure is remembered and reported by open. Idempotent, cheap when done; at most
 * timeout_ms.
 */
void azihsm_endpoint_prepare(struct azihsm_endpoint *endpoint, unsigned timeout_ms);

/* What "auto" resolved to, e.g. "unix:/run/azihsm/azihsmd.sock"; for messages. Static while the endpoint lives. */
const char *azihsm_endpoint_name(const struct azihsm_endpoint *endpoint);

/* Child side of fork: closes inherited device descriptors that must not outlive their owner. Async-signal-safe. */
void azihsm_device_atfork_child(void);

/* ---- handles ---- */

azihsm_rc azihsm_device_open(struct azihsm_endpoint *endpoint, int64_t deadline_ns, struct azihsm_device **out,
                             struct azihsm_error *err);
/* Flushes the session (the device deletes it with its session keys) and frees. In a process that is not the owner:
 * frees only. */
void azihsm_device_close(struct azihsm_device *device);

/* True when the daemon vouches for us by our peer credentials and handed out the partition's credential (id, then PIN).
 */
bool azihsm_device_credential(const struct azihsm_device *device, uint8_t out[2 * AZIHSM_CREDENTIAL_SIZE]);

/* Device kind for request encoding; virtual until azihsm_device_set_kind. */
enum azihsm_device_kind azihsm_device_kind(const struct azihsm_device *device);
void azihsm_device_set_kind(struct azihsm_device *device, enum azihsm_device_kind kind);

/* ---- requests ---- */

struct azihsm_request {
    struct azihsm_device *device;
    uint8_t *frame; /* encode here, at most frame_cap bytes */
    size_t frame_cap;
    /* set before submit */
    size_t frame_len;
    enum azihsm_session_kind session_kind;
    bool has_sess_id;
    uint16_t sess_id;
    int64_t deadline_ns;
    /* valid after wait returned AZIHSM_OK */
    const uint8_t *response;
    size_t response_len;
};

/* Takes a free request, waiting for one until the deadline (AZIHSM_E_BUSY after it). */
azihsm_rc azihsm_request_acquire(struct azihsm_device *device, int64_t deadline_ns, struct azihsm_request **out);
/* Hands the frame to the device; does not block on queue transports. */
azihsm_rc azihsm_request_submit(struct azihsm_request *request);
/*
 * Waits for completion. AZIHSM_OK: response holds a message (whose own status may be an error).
 * Positive: a driver-level refusal as DDI status (3.3). Negative: see rc.h; after AZIHSM_E_TIMEOUT the request stays
 * with the transport until the device lets go, and release only gives up the caller's reference.
 */
azihsm_rc azihsm_request_wait(struct azihsm_request *request);
/* Non-blocking: true when wait would return at once. */
bool azihsm_request_done(const struct azihsm_request *request);
/*
 * Asks for a pollable notification; call between acquire and submit. Returns a descriptor that becomes readable on
 * completion (owned by the transport, valid until release), or -1: then wait synchronously.
 */
int azihsm_request_event_fd(struct azihsm_request *request);
void azihsm_request_release(struct azihsm_request *request);

/* ---- bulk AES (section 7) ---- */

struct azihsm_bulk {
    bool xts; /* else GCM */
    bool decrypt;
    uint16_t sess_id;
    uint8_t short_app_id;
    uint32_t key_id1; /* GCM key, or XTS data key */
    uint32_t key_id2; /* XTS tweak key */
    uint8_t iv[16];   /* GCM: first 12 bytes; XTS: tweak. Out, GCM encrypt: the IV that was used */
    uint8_t tag[16];  /* GCM: in on decrypt, out on encrypt */
    struct azihsm_bytes aad;
    uint32_t data_unit; /* XTS: bytes of a data unit: whole length, 512, 4096 or 8192 */
    const uint8_t *src;
    uint8_t *dst; /* len bytes; may equal src */
    size_t len;
    bool fips_approved; /* out */
    bool written;       /* out, also of a failure: dst may hold something else than before */
    /* out, with AZIHSM_E_FAST_PATH: 7.5, or 8.7 when the driver's own checks refused (result is 0 then) */
    uint32_t result;
    uint32_t ext_status;
};
/* AZIHSM_E_FAST_PATH with "result/extended status" in err when the device refuses. Blocking. */
azihsm_rc azihsm_device_bulk(struct azihsm_device *device, struct azihsm_bulk *bulk, int64_t deadline_ns,
                             struct azihsm_error *err);
/*
 * The same in steps, for callers that must not block: begin takes a request and memory of the transport, neither waited
 * for (AZIHSM_E_BUSY), and copies the data in; azihsm_request_event_fd and _submit follow as for a message, then
 * finish, which waits and copies the result out; _release always. AZIHSM_E_UNSUPPORTED: this transport can only block.
 */
azihsm_rc azihsm_device_bulk_begin(struct azihsm_device *device, const struct azihsm_bulk *bulk, int64_t deadline_ns,
                                   struct azihsm_request **out, struct azihsm_error *err);
azihsm_rc azihsm_device_bulk_finish(struct azihsm_request *request, struct azihsm_bulk *bulk, struct azihsm_error *err);

/* ---- device information and reset ---- */

struct azihsm_device_strings { /* NUL-terminated, trimmed */
    char driver_version[17];
    char firmware_version[34];
    char hardware_version[34];
    char pci[34];
};
azihsm_rc azihsm_device_info(struct azihsm_device *device, struct azihsm_device_strings *out);
azihsm_rc azihsm_device_reset(struct azihsm_device *device, int64_t deadline_ns);

#endif
