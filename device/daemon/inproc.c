/*
 * Transport over an emulator partition of this process.
 *
 * Everything happens in submit; wait only reports. A request is one allocation, freed by release: whoever needs speed
 * uses the queue. The descriptor for asynchronous callers is readable from the start, because a submitted request is
 * always complete.
 */
#include "inproc.h"

#include "emulator/emulator.h"
#include "transport/result.h"
#include "transport/transport.h"

#include <openssl/crypto.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct inproc_endpoint {
    struct azihsm_endpoint base;
    struct emu_device *emulator;
    bool has_credential;
    uint8_t credential[2 * AZIHSM_CREDENTIAL_SIZE];
};

struct inproc_device {
    struct azihsm_device base;
    struct emu_device *emulator;
    struct emu_handle *handle;
    bool has_credential;
    uint8_t credential[2 * AZIHSM_CREDENTIAL_SIZE];
};

struct inproc_request {
    struct azihsm_request base;
    azihsm_rc rc;
    bool done;
    int event_fd;
    uint8_t frame[AZIHSM_FRAME_MAX];
    uint8_t answer[AZIHSM_FRAME_MAX];
};

static const struct azihsm_transport inproc_transport;

static void inproc_endpoint_free(struct azihsm_endpoint *endpoint)
{
    OPENSSL_clear_free(endpoint, sizeof(struct inproc_endpoint));
}

static azihsm_rc inproc_open(struct azihsm_endpoint *endpoint, int64_t deadline_ns, struct azihsm_device **out,
                             struct azihsm_error *err)
{
    const struct inproc_endpoint *from = (const struct inproc_endpoint *)endpoint;
    struct inproc_device *device = OPENSSL_zalloc(sizeof(*device));

    (void)deadline_ns;
    if (device == NULL)
        return azihsm_error_set(err, AZIHSM_E_NO_MEMORY, "opening a handle: out of memory");
    device->base.transport = &inproc_transport;
    device->base.owner = getpid();
    device->base.kind = AZIHSM_DEVICE_VIRTUAL;
    device->emulator = from->emulator;
    device->has_credential = from->has_credential;
    memcpy(device->credential, from->credential, sizeof(device->credential));
    device->handle = emu_handle_open(from->emulator, NULL);
    if (device->handle == NULL) {
        OPENSSL_clear_free(device, sizeof(*device));
        return azihsm_error_set(err, AZIHSM_E_NO_MEMORY, "opening a handle: out of memory");
    }
    *out = &device->base;
    return AZIHSM_OK;
}

static void inproc_close(struct azihsm_device *base)
{
    struct inproc_device *device = (struct inproc_device *)base;

    /* A child's copy of the emulator dies with the child; the parent's handle is not the child's to flush. */
    if (base->owner == getpid())
        emu_handle_close(device->handle);
    OPENSSL_clear_free(device, sizeof(*device));
}

static bool inproc_credential(const struct azihsm_device *base, uint8_t out[2 * AZIHSM_CREDENTIAL_SIZE])
{
    const struct inproc_device *device = (const struct inproc_device *)base;

    if (device->has_credential)
        memcpy(out, device->credential, sizeof(device->credential));
    return device->has_credential;
}

static azihsm_rc inproc_acquire(struct azihsm_device *device, int64_t deadline_ns, struct azihsm_request **out)
{
    struct inproc_request *request = OPENSSL_zalloc(sizeof(*request));

    (void)deadline_ns;
    if (request == NULL)
        return AZIHSM_E_NO_MEMORY;
    request->base.device = device;
    request->base.frame = request->frame;
    request->base.frame_cap = sizeof(request->frame);
    request->event_fd = -1;
    *out = &request->base;
    return AZIHSM_OK;
}

static azihsm_rc inproc_submit(struct azihsm_request *base)
{
    struct inproc_request *request = (struct inproc_request *)base;
    struct inproc_device *device = (struct inproc_device *)base->device;
    struct emu_submission submission = {.request = base->frame,
                                        .request_len = base->frame_len,
                                        .session_kind = base->session_kind,
                                        .has_sess_id = base->has_sess_id,
                                        .sess_id = base->sess_id};
    struct emu_completion completion = {0};

    if (device->base.owner != getpid())
        return AZIHSM_E_NOT_OWNER;
    emu_handle_execute(device->handle, &submission, request->answer, &completion);
    request->rc = transport_result(completion.ext_status, completion.cqe_status, completion.response_len);
    base->response = request->answer;
    base->response_len = request->rc == AZIHSM_OK ? completion.response_len : 0;
    request->done = true;
    return AZIHSM_OK;
}

static azihsm_rc inproc_wait(struct azihsm_request *base)
{
    const struct inproc_request *request = (const struct inproc_request *)base;

    return request->done ? request->rc : AZIHSM_E_ARGUMENT;
}

static bool inproc_done(const struct azihsm_request *base)
{
    return ((const struct inproc_request *)base)->done;
}

static int inproc_event_fd(struct azihsm_request *base)
{
    struct inproc_request *request = (struct inproc_request *)base;

    if (request->event_fd < 0)
        request->event_fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
    return request->event_fd;
}

static void inproc_release(struct azihsm_request *base)
{
    struct inproc_request *request = (struct inproc_request *)base;

    if (request->event_fd >= 0)
        close(request->event_fd);
    OPENSSL_clear_free(request, sizeof(*request));
}

static azihsm_rc inproc_bulk(struct azihsm_device *base, struct azihsm_bulk *bulk, int64_t deadline_ns,
                             struct azihsm_error *err)
{
    struct inproc_device *device = (struct inproc_device *)base;
    struct emu_bulk work = {.xts = bulk->xts,
                            .decrypt = bulk->decrypt,
                            .sess_id = bulk->sess_id,
                            .short_app_id = bulk->short_app_id,
                            .key_id1 = bulk->key_id1,
                            .key_id2 = bulk->key_id2,
                            .aad = bulk->aad.data,
                            .aad_len = bulk->aad.len,
                            .data_unit = bulk->data_unit,
                            .src = bulk->src,
                            .dst = bulk->dst,
                            .len = bulk->len};

    (void)deadline_ns;
    if (base->owner != getpid())
        return azihsm_error_set(err, AZIHSM_E_NOT_OWNER, "the handle belongs to another process");
    memcpy(work.iv, bulk->iv, sizeof(work.iv));
    memcpy(work.tag, bulk->tag, sizeof(work.tag));
    bulk->written = true;
    emu_handle_bulk(device->handle, &work);
    bulk->result = work.result;
    bulk->ext_status = work.ext_status;
    if (work.refused || work.result != 0 || work.ext_status != 0)
        return azihsm_error_set(err, AZIHSM_E_FAST_PATH, "bulk operation failed: result %u, extended status %u",
                                work.result, work.ext_status);
    memcpy(bulk->iv, work.iv, sizeof(bulk->iv));
    memcpy(bulk->tag, work.tag, sizeof(bulk->tag));
    bulk->fips_approved = work.fips_approved;
    return AZIHSM_OK;
}

const struct azihsm_device_strings *inproc_device_strings(void)
{
    static const struct azihsm_device_strings strings = {.driver_version = "3.2.0",
                                                         .firmware_version = "azihsm " AZIHSM_VERSION,
                                                         .hardware_version = "azihsm software device",
                                                         .pci = "0000:00:00.0"};
    return &strings;
}

static azihsm_rc inproc_info(struct azihsm_device *device, struct azihsm_device_strings *out)
{
    (void)device;
    *out = *inproc_device_strings();
    return AZIHSM_OK;
}

static azihsm_rc inproc_reset(struct azihsm_device *base, int64_t deadline_ns)
{
    (void)deadline_ns;
    emu_device_reset(((struct inproc_device *)base)->emulator);
    return AZIHSM_OK;
}

static const struct azihsm_transport inproc_transport = {
    .name = "inproc",
    .endpoint_free = inproc_endpoint_free,
    .open = inproc_open,
    .close = inproc_close,
    .credential = inproc_credential,
    .acquire = inproc_acquire,
    .submit = inproc_submit,
    .wait = inproc_wait,
    .done = inproc_done,
    .event_fd = inproc_event_fd,
    .release = inproc_release,
    .bulk = inproc_bulk,
    .info = inproc_info,
    .reset = inproc_reset,
};

azihsm_rc inproc_endpoint_new(struct emu_device *device, const uint8_t credential[2 * AZIHSM_CREDENTIAL_SIZE],
                              struct azihsm_endpoint **out)
{
    struct inproc_endpoint *endpoint = OPENSSL_zalloc(sizeof(*endpoint));

    if (endpoint == NULL)
        return AZIHSM_E_NO_MEMORY;
    endpoint->base.transport = &inproc_transport;
    endpoint->base.name = "inproc:";
    endpoint->emulator = device;
    if (credential != NULL) {
        memcpy(endpoint->credential, credential, sizeof(endpoint->credential));
        endpoint->has_credential = true;
    }
    *out = &endpoint->base;
    return AZIHSM_OK;
}
