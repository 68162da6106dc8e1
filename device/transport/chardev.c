/*
 * Reaching the device through the Linux driver's character device (ddi-protocol section 8).
 *
 * One open file is one handle with at most one session; the driver enforces that, and refuses every process but the
 * one that opened it.
 */
#include "chardev.h"

#include "endpoint.h"
#include "process.h"
#include "result.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

struct chardev_endpoint {
    struct azihsm_endpoint base;
    char path[ENDPOINT_PATH_MAX];
};

/* ---- handles ---- */

static const struct azihsm_transport chardev_transport;

static void chardev_endpoint_free(struct azihsm_endpoint *base)
{
    OPENSSL_free(base);
}

static azihsm_rc open_error(const char *path, int error, struct azihsm_error *err)
{
    switch (error) {
    case ENOENT:
    case ENXIO:
    case ENODEV:
        return azihsm_error_set(err, AZIHSM_E_NO_DEVICE,
                                "%s: no such device: load its driver, or set device = auto and start azihsmd", path);
    case EACCES:
    case EPERM:
        return azihsm_error_set(
            err, AZIHSM_E_PERMISSION,
            "%s: permission denied: give this user access to the node (chgrp, chmod g+rw, or a udev rule)", path);
    case ENOMEM:
        return azihsm_error_set(err, AZIHSM_E_NO_MEMORY, "%s: out of memory", path);
    default:
        return azihsm_error_set(err, AZIHSM_E_NO_DEVICE, "%s: error %d while opening it", path, error);
    }
}

static azihsm_rc chardev_open(struct azihsm_endpoint *base, int64_t deadline_ns, struct azihsm_device **out,
                              struct azihsm_error *err)
{
    const struct chardev_endpoint *endpoint = (const struct chardev_endpoint *)base;
    struct chardev_device *device = OPENSSL_zalloc(sizeof(*device));

    (void)deadline_ns;
    *out = NULL;
    if (device == NULL)
        return azihsm_error_set(err, AZIHSM_E_NO_MEMORY, "%s: out of memory", endpoint->path);
    do {
        device->fd = open(endpoint->path, O_RDWR | O_CLOEXEC);
    } while (device->fd < 0 && errno == EINTR);
    if (device->fd < 0) {
        int error = errno;

        OPENSSL_free(device);
        return open_error(endpoint->path, error, err);
    }
    device->base =
        (struct azihsm_device){.transport = &chardev_transport, .owner = process_self(), .kind = AZIHSM_DEVICE_VIRTUAL};
    atomic_init(&device->refs, 1);
    pthread_mutex_init(&device->lock, NULL);
    process_fd_add(device->fd);
    *out = &device->base;
    return AZIHSM_OK;
}

void chardev_device_unref(struct chardev_device *device)
{
    struct chardev_request *request;

    if (atomic_fetch_sub(&device->refs, 1) != 1)
        return;
    while ((request = device->free) != NULL) {
        device->free = request->next;
        OPENSSL_clear_free(request, sizeof(*request));
    }
    /* In a child the fork handler has closed the descriptor; its number may be somebody else's by now. */
    if (device->base.owner == process_self()) {
        process_fd_remove(device->fd);
        close(device->fd);
        pthread_mutex_destroy(&device->lock);
    }
    OPENSSL_free(device);
}

static void chardev_close(struct azihsm_device *base)
{
    chardev_device_unref((struct chardev_device *)base);
}

/* ---- requests ---- */

static azihsm_rc chardev_acquire(struct azihsm_device *base, int64_t deadline_ns, struct azihsm_request **out)
{
    struct chardev_device *device = (struct chardev_device *)base;
    struct chardev_request *request;

    (void)deadline_ns;
    pthread_mutex_lock(&device->lock);
    request = device->free;
    if (request != NULL)
        device->free = request->next;
    pthread_mutex_unlock(&device->lock);
    if (request == NULL)
        request = OPENSSL_zalloc(sizeof(*request));
    if (request == NULL)
        return AZIHSM_E_NO_MEMORY;
    request->base = (struct azihsm_request){
        .device = base, .frame = request->request_frame, .frame_cap = sizeof(request->request_frame)};
    request->event_fd = -1;
    atomic_store(&request->refs, 1);
    atomic_store(&request->state, CHARDEV_IDLE);
    atomic_fetch_add(&device->refs, 1);
    *out = &request->base;
    return AZIHSM_OK;
}

void chardev_request_unref(struct chardev_request *request)
{
    struct chardev_device *device = (struct chardev_device *)request->base.device;

    if (atomic_fetch_sub(&request->refs, 1) != 1)
        return;
    if (device->base.owner != process_self()) {
        OPENSSL_clear_free(request, sizeof(*request));
        chardev_device_unref(device);
        return;
    }
    if (request->event_fd >= 0)
        close(request->event_fd);
    pthread_mutex_lock(&device->lock);
    request->next = device->free;
    device->free = request;
    pthread_mutex_unlock(&device->lock);
    chardev_device_unref(device);
}

static void chardev_release(struct azihsm_request *base)
{
    chardev_request_unref((struct chardev_request *)base);
}

azihsm_rc chardev_ioctl(int fd, unsigned long code, void *argument, const uint32_t *ext_status)
{
    azihsm_rc rc;

    if (ioctl(fd, code, argument) != -1)
        return AZIHSM_OK;
    rc = ext_status != NULL && *ext_status != 0 ? transport_result(*ext_status, 0, 0) : AZIHSM_E_TRANSPORT;
    if (rc != AZIHSM_E_TRANSPORT)
        return rc;
    switch (errno) {
    case EACCES:
        return AZIHSM_E_NOT_OWNER;
    case EAGAIN:
    case ENOTTY:
        return AZIHSM_E_NOT_READY;
    case ENOMEM:
        return AZIHSM_E_NO_MEMORY;
    case ENODEV:
    case EBADF:
        return AZIHSM_E_LOST;
    default:
        return AZIHSM_E_TRANSPORT;
    }
}

void chardev_execute(struct chardev_request *request)
{
    const struct chardev_device *device = (const struct chardev_device *)request->base.device;
    struct ioctl_generic command = {
        .header = {sizeof(command), IOCTL_APP_COMMAND_ID, IOCTL_TIMEOUT_MS, 0},
        .src_length = (uint32_t)request->base.frame_len,
        .src_buf = (uintptr_t)request->request_frame,
        .dst_length = sizeof(request->response_frame),
        .dst_buf = (uintptr_t)request->response_frame,
        .session_control_flags =
            (uint8_t)((unsigned)request->base.session_kind | (request->base.has_sess_id ? IOCTL_SESSION_ID_VALID : 0u)),
        .session_id = request->base.has_sess_id ? request->base.sess_id : 0,
    };

    request->rc = chardev_ioctl(device->fd, IOCTL_GENERIC, &command, &command.out_ext_status);
    if (request->rc == AZIHSM_OK)
        request->rc = transport_result(0, command.out_status, command.out_byte_count);
    request->response_len = request->rc == AZIHSM_OK ? command.out_byte_count : 0;
}

static azihsm_rc chardev_submit(struct azihsm_request *base)
{
    struct chardev_request *request = (struct chardev_request *)base;

    if (base->frame_len == 0 || base->frame_len > base->frame_cap)
        return AZIHSM_E_ARGUMENT;
    atomic_store(&request->state, CHARDEV_SUBMITTED);
    if (request->event_fd < 0)
        return AZIHSM_OK;
    atomic_store(&request->state, CHARDEV_QUEUED);
    atomic_fetch_add(&request->refs, 1);
    if (!chardev_pool_submit(request)) {
        /* No thread to be had: as without a descriptor, but one that is readable at once. */
        chardev_request_unref(request);
        atomic_store(&request->state, CHARDEV_SUBMITTED);
        eventfd_write(request->event_fd, 1);
    }
    return AZIHSM_OK;
}

static azihsm_rc chardev_wait(struct azihsm_request *base)
{
    struct chardev_request *request = (struct chardev_request *)base;
    azihsm_rc rc = AZIHSM_OK;

    switch (atomic_load(&request->state)) {
    case CHARDEV_IDLE:
        return AZIHSM_E_ARGUMENT;
    case CHARDEV_SUBMITTED:
        chardev_execute(request);
        atomic_store(&request->state, CHARDEV_DONE);
        break;
    case CHARDEV_QUEUED:
        rc = chardev_pool_wait(request);
        break;
    default:
        break;
    }
    if (rc != AZIHSM_OK)
        return rc;
    base->response = request->response_frame;
    base->response_len = request->response_len;
    return request->rc;
}

static bool chardev_done(const struct azihsm_request *base)
{
    return atomic_load(&((const struct chardev_request *)base)->state) == CHARDEV_DONE;
}

static int chardev_event_fd(struct azihsm_request *base)
{
    struct chardev_request *request = (struct chardev_request *)base;

    if (request->event_fd < 0)
        request->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return request->event_fd;
}

/* ---- information and reset ---- */

static void copy_text(char *out, size_t cap, const char *in, size_t len)
{
    size_t used = strnlen(in, len < cap ? len : cap - 1);

    while (used > 0 && in[used - 1] == ' ')
        used--;
    memcpy(out, in, used);
    out[used] = '\0';
}

static azihsm_rc chardev_info(struct azihsm_device *base, struct azihsm_device_strings *out)
{
    struct ioctl_info info = {.argsz = sizeof(info)};
    azihsm_rc rc = chardev_ioctl(((struct chardev_device *)base)->fd, IOCTL_INFO, &info, NULL);

    if (rc != AZIHSM_OK)
        return rc;
    copy_text(out->driver_version, sizeof(out->driver_version), info.driver, sizeof(info.driver));
    copy_text(out->firmware_version, sizeof(out->firmware_version), info.firmware, sizeof(info.firmware));
    copy_text(out->hardware_version, sizeof(out->hardware_version), info.serial, sizeof(info.serial));
    copy_text(out->pci, sizeof(out->pci), info.pci, sizeof(info.pci));
    return AZIHSM_OK;
}

static azihsm_rc chardev_reset(struct azihsm_device *base, int64_t deadline_ns)
{
    struct ioctl_reset reset = {
        .header = {sizeof(reset), IOCTL_APP_COMMAND_ID, IOCTL_TIMEOUT_MS, 0},
        .abort_type = IOCTL_ABORT_SUBSYSTEM,
    };
    azihsm_rc rc = chardev_ioctl(((struct chardev_device *)base)->fd, IOCTL_RESET, &reset, NULL);

    (void)deadline_ns;
    if (rc == AZIHSM_E_TRANSPORT && reset.abort_status == IOCTL_ABORT_IN_PROGRESS)
        return AZIHSM_E_ABORTED;
    return rc == AZIHSM_OK && reset.abort_status != IOCTL_ABORT_OK ? AZIHSM_E_TRANSPORT : rc;
}

static const struct azihsm_transport chardev_transport = {
    .name = "chardev",
    .endpoint_free = chardev_endpoint_free,
    .open = chardev_open,
    .close = chardev_close,
    .acquire = chardev_acquire,
    .submit = chardev_submit,
    .wait = chardev_wait,
    .done = chardev_done,
    .event_fd = chardev_event_fd,
    .release = chardev_release,
    .bulk = chardev_bulk,
    .info = chardev_info,
    .reset = chardev_reset,
};

azihsm_rc chardev_endpoint_new(const char *path, struct azihsm_endpoint **out, struct azihsm_error *err)
{
    struct chardev_endpoint *endpoint;

    *out = NULL;
    if (strlen(path) >= sizeof(endpoint->path))
        return azihsm_error_set(err, AZIHSM_E_CONFIG, "device: the path of the node is too long");
    endpoint = OPENSSL_zalloc(sizeof(*endpoint));
    if (endpoint == NULL)
        return azihsm_error_set(err, AZIHSM_E_NO_MEMORY, "making an endpoint: out of memory");
    memcpy(endpoint->path, path, strlen(path) + 1);
    endpoint->base = (struct azihsm_endpoint){.transport = &chardev_transport, .name = endpoint->path};
    *out = &endpoint->base;
    return AZIHSM_OK;
}
