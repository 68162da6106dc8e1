/*
 * Life of a queue handle: mapping what the server sent, questions on the socket, closing.
 */
#include "queue_device.h"

#include "futex.h"
#include "process.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "queue_message.h"

enum { CLOSE_WAIT_MS = 1000 };

/* Tells the server and waits until it has dropped the handle, so that the session is gone when close returns. */
static void say_goodbye(struct queue_device *device)
{
    int64_t deadline = clock_now() + CLOSE_WAIT_MS * NS_PER_MS;
    struct queue_message message;
    int fds[QUEUE_MESSAGE_FDS];
    size_t fd_count;
    int got;

    shutdown(device->socket, SHUT_WR);
    do {
        struct pollfd event = {.fd = device->socket, .events = POLLIN};

        poll(&event, 1, clock_poll_ms(deadline, CLOSE_WAIT_MS));
        got = queue_message_receive(device->socket, &message, fds, &fd_count);
        queue_close_fds(fds, fd_count);
    } while (got >= 0 && clock_now() < deadline);
}

static void device_free(struct queue_device *device)
{
    pthread_cond_destroy(&device->area_freed);
    pthread_mutex_destroy(&device->areas_lock);
    pthread_mutex_destroy(&device->asks);
    OPENSSL_clear_free(device, sizeof(*device));
}

static void queue_close(struct azihsm_device *base)
{
    struct queue_device *device = (struct queue_device *)base;

    /* In a child the mappings are not there, and the numbers of the descriptors may mean something else by now. */
    if (base->owner == process_self()) {
        say_goodbye(device);
        for (unsigned i = 0; i < QUEUE_SLOTS; i++)
            queue_event_free(&device->requests[i]);
        for (unsigned i = 0; i < QUEUE_BULK_AREAS; i++) {
            if (device->areas[i].data != NULL)
                munmap(device->areas[i].data, device->areas[i].size);
        }
        munmap(device->shared, sizeof(*device->shared));
        process_fd_remove(device->doorbell);
        process_fd_remove(device->socket);
        close(device->doorbell);
        close(device->socket);
    }
    device_free(device);
}

static bool queue_credential(const struct azihsm_device *base, uint8_t out[2 * AZIHSM_CREDENTIAL_SIZE])
{
    const struct queue_device *device = (const struct queue_device *)base;

    if (device->has_credential)
        memcpy(out, device->credential, sizeof(device->credential));
    return device->has_credential;
}

azihsm_rc queue_ask(struct queue_device *device, enum queue_message_type ask, enum queue_message_type answer,
                    struct queue_message *message, int64_t deadline_ns, int *fd)
{
    int fds[QUEUE_MESSAGE_FDS];
    size_t fd_count = 0;
    azihsm_rc rc;

    message->type = (uint32_t)ask;
    pthread_mutex_lock(&device->asks);
    if (device->worn != 0) {
        rc = AZIHSM_E_LOST;
    } else if (queue_message_send(device->socket, message, NULL, 0) != 1) {
        rc = AZIHSM_E_LOST;
    } else {
        rc = queue_message_await(device->socket, answer, deadline_ns, message, fds, &fd_count);
        if (rc != AZIHSM_OK && rc != AZIHSM_E_NO_MEMORY)
            __atomic_store_n(&device->worn, 1, __ATOMIC_RELAXED);
    }
    pthread_mutex_unlock(&device->asks);
    if (rc == AZIHSM_OK && message->status != AZIHSM_OK)
        rc = message->status;
    if (rc == AZIHSM_OK && fd_count != 1)
        rc = AZIHSM_E_PROTOCOL;
    if (rc != AZIHSM_OK)
        queue_close_fds(fds, fd_count);
    else
        *fd = fds[0];
    return rc;
}

static const struct azihsm_transport queue_device_transport = {
    .name = "queue",
    .close = queue_close,
    .credential = queue_credential,
    .acquire = queue_acquire,
    .submit = queue_submit,
    .wait = queue_wait,
    .done = queue_done,
    .event_fd = queue_event_fd,
    .release = queue_release,
    .bulk = queue_bulk,
    .bulk_begin = queue_bulk_begin,
    .bulk_finish = queue_bulk_finish,
    .info = queue_info,
    .reset = queue_reset,
};

static void device_init(struct queue_device *device, const struct queue_message *welcome)
{
    pthread_condattr_t monotonic;

    device->base.transport = &queue_device_transport;
    device->base.owner = process_self();
    device->base.kind = AZIHSM_DEVICE_VIRTUAL;
    device->has_credential = (welcome->flags & QUEUE_HAS_CREDENTIAL) != 0;
    if (device->has_credential)
        memcpy(device->credential, welcome->credential, sizeof(device->credential));
    device->free = UINT64_MAX;
    pthread_mutex_init(&device->asks, NULL);
    pthread_mutex_init(&device->areas_lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&device->area_freed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    for (unsigned i = 0; i < QUEUE_SLOTS; i++) {
        struct queue_request *request = &device->requests[i];

        request->base.device = &device->base;
        request->base.frame = device->shared->frames[i].request;
        request->base.frame_cap = AZIHSM_FRAME_MAX;
        request->index = i;
        request->notify_fd = request->timer_fd = request->poll_fd = -1;
    }
}

/* The memory must be as large as we shall touch, or a page of it could raise SIGBUS in the host program. */
static struct queue_shared *map_shared(int fd)
{
    struct queue_shared *shared;
    struct stat status;

    if (fstat(fd, &status) != 0 || status.st_size != (off_t)sizeof(*shared))
        return NULL;
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (shared == MAP_FAILED)
        return NULL;
    madvise(shared, sizeof(*shared), MADV_DONTFORK);
    return shared;
}

azihsm_rc queue_device_new(int socket, const struct queue_message *welcome, const int fds[2],
                           struct azihsm_device **out, struct azihsm_error *err)
{
    struct queue_device *device = OPENSSL_zalloc(sizeof(*device));

    if (device != NULL)
        device->shared = map_shared(fds[0]);
    close(fds[0]);
    if (device == NULL || device->shared == NULL) {
        close(fds[1]);
        close(socket);
        OPENSSL_free(device);
        return azihsm_error_set(err, AZIHSM_E_NO_MEMORY, "opening a handle: cannot map the queue's memory");
    }
    device->socket = socket;
    device->doorbell = fds[1];
    process_fd_add(socket);
    process_fd_add(fds[1]);
    device_init(device, welcome);
    *out = &device->base;
    return AZIHSM_OK;
}
