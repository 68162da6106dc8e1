/*
 * The requests that are not messages: bulk AES, device information, reset.
 *
 * Bulk data goes through a memory area of the connection, made by the server on demand and kept. An area whose request
 * was given up is the server's for as long as the slot is: it may be read or written until then, and a thread of the
 * server that has not taken it yet takes whatever memory lies under its number.
 */
#include "futex.h"
#include "process.h"
#include "queue_device.h"
#include "queue_message.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

enum { INFO_MS = 5000, LOOK_MS = 10, AREA_KEEP = 4 << 20, NO_WAIT = 0 };

static void area_drop(struct queue_area *area)
{
    if (area->data != NULL)
        munmap(area->data, area->size);
    area->data = NULL;
    area->size = 0;
}

static azihsm_rc area_map(struct queue_area *area, int fd, size_t size)
{
    struct stat status;
    void *data = MAP_FAILED;

    if (fstat(fd, &status) == 0 && status.st_size >= (off_t)size)
        data = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (data == MAP_FAILED)
        return AZIHSM_E_NO_MEMORY;
    madvise(data, size, MADV_DONTFORK);
    area->data = data;
    area->size = size;
    return AZIHSM_OK;
}

static int area_find(struct queue_device *device, int first)
{
    for (int i = first; i < QUEUE_BULK_AREAS; i++) {
        if (!device->areas[i].busy) {
            device->areas[i].busy = true;
            return i;
        }
    }
    return -1;
}

/*
 * Claims an area that nobody uses, waiting for it until deadline_ns. Who does not wait may hold what it gets for long,
 * in a paused job, and its thread may block here for another: the first area is for those who wait.
 */
static azihsm_rc area_claim(struct queue_device *device, int64_t deadline_ns, int *index)
{
    int first = deadline_ns == NO_WAIT ? 1 : 0;

    for (;;) {
        int64_t now = clock_now();
        int64_t until = now + LOOK_MS * NS_PER_MS;
        struct timespec spec = clock_spec(until < deadline_ns ? until : deadline_ns);

        queue_reap_abandoned(device);
        pthread_mutex_lock(&device->areas_lock);
        *index = area_find(device, first);
        if (*index < 0 && now < deadline_ns &&
            pthread_cond_timedwait(&device->area_freed, &device->areas_lock, &spec) == 0)
            *index = area_find(device, first);
        pthread_mutex_unlock(&device->areas_lock);
        if (*index >= 0)
            return AZIHSM_OK;
        if (queue_check_lost(device))
            return AZIHSM_E_LOST;
        if (now >= deadline_ns)
            return AZIHSM_E_BUSY;
    }
}

void queue_area_give_back(struct queue_device *device, unsigned index)
{
    struct queue_area *area = &device->areas[index];

    if (area->size > AREA_KEEP) /* keep the mapping, not the memory */
        madvise(area->data, area->size, MADV_REMOVE);
    pthread_mutex_lock(&device->areas_lock);
    area->busy = false;
    pthread_cond_signal(&device->area_freed);
    pthread_mutex_unlock(&device->areas_lock);
}

/* Replaces a claimed area by one of size bytes or more. */
static azihsm_rc area_grow(struct queue_device *device, unsigned index, size_t size, int64_t deadline_ns)
{
    struct queue_area *area = &device->areas[index];
    struct queue_message message;
    azihsm_rc rc;
    int fd;

    area_drop(area);
    queue_message_init(&message, QUEUE_ASK_BULK);
    message.index = index;
    message.size = size;
    rc = queue_ask(device, QUEUE_ASK_BULK, QUEUE_GIVE_BULK, &message, deadline_ns, &fd);
    if (rc != AZIHSM_OK)
        return rc;
    if (message.size < size || message.size > 2 * QUEUE_BULK_MAX) {
        close(fd);
        return AZIHSM_E_PROTOCOL;
    }
    return area_map(area, fd, (size_t)message.size);
}

static void bulk_fill(struct queue_bulk_request *out, const struct azihsm_bulk *bulk, unsigned area)
{
    memset(out, 0, sizeof(*out));
    out->xts = bulk->xts;
    out->decrypt = bulk->decrypt;
    out->short_app_id = bulk->short_app_id;
    out->area = (uint8_t)area;
    out->sess_id = bulk->sess_id;
    out->key_id1 = bulk->key_id1;
    out->key_id2 = bulk->key_id2;
    out->data_unit = bulk->data_unit;
    out->aad_len = bulk->aad.len;
    out->len = bulk->len;
    memcpy(out->iv, bulk->iv, sizeof(out->iv));
    memcpy(out->tag, bulk->tag, sizeof(out->tag));
}

static azihsm_rc bulk_result(const struct queue_bulk_response *in, struct azihsm_bulk *bulk, struct azihsm_error *err)
{
    bulk->result = in->result;
    bulk->ext_status = in->ext_status;
    if (in->refused || in->result != 0 || in->ext_status != 0)
        return azihsm_error_set(err, AZIHSM_E_FAST_PATH, "bulk operation: result %u, extended status %u%s", in->result,
                                in->ext_status, in->refused ? " (refused)" : "");
    bulk->fips_approved = in->fips_approved != 0;
    if (!bulk->xts && !bulk->decrypt) {
        memcpy(bulk->iv, in->iv, sizeof(bulk->iv));
        memcpy(bulk->tag, in->tag, sizeof(bulk->tag));
    }
    return AZIHSM_OK;
}

static size_t data_offset(const struct azihsm_bulk *bulk)
{
    return (bulk->aad.len + QUEUE_BULK_ALIGN - 1) / QUEUE_BULK_ALIGN * QUEUE_BULK_ALIGN;
}

static azihsm_rc bulk_failed(azihsm_rc rc, struct azihsm_error *err)
{
    return azihsm_error_set(err, rc, "bulk operation: %s", azihsm_rc_name(rc));
}

/* Takes slot and area, waiting for them until wait_ns, and copies the data in. */
static azihsm_rc bulk_prepare(struct queue_device *device, const struct azihsm_bulk *bulk, int64_t wait_ns,
                              int64_t deadline_ns, struct azihsm_request **out, struct azihsm_error *err)
{
    size_t size = bulk->aad.len + bulk->len + QUEUE_BULK_ALIGN;
    struct queue_request *request;
    struct queue_area *area;
    azihsm_rc rc;
    int index;

    if (bulk->len > QUEUE_BULK_MAX || bulk->aad.len > QUEUE_BULK_MAX || size > QUEUE_BULK_MAX)
        return azihsm_error_set(err, AZIHSM_E_ARGUMENT, "bulk operation: more than %u MiB in one request",
                                (unsigned)(QUEUE_BULK_MAX >> 20) - 1);
    if (err != NULL)
        err->text[0] = '\0';
    rc = area_claim(device, wait_ns, &index);
    if (rc == AZIHSM_E_BUSY)
        return azihsm_error_set(err, rc, "bulk operation: no memory area became free in time");
    if (rc != AZIHSM_OK)
        return bulk_failed(rc, err);
    rc = queue_acquire(&device->base, wait_ns, out);
    if (rc != AZIHSM_OK) {
        queue_area_give_back(device, (unsigned)index);
        return bulk_failed(rc, err);
    }
    request = (struct queue_request *)*out;
    request->base.deadline_ns = deadline_ns;
    request->operation = QUEUE_BULK;
    request->area = index;
    area = &device->areas[index];
    if (area->size < size && (rc = area_grow(device, (unsigned)index, size, deadline_ns)) != AZIHSM_OK)
        return bulk_failed(rc, err);
    if (bulk->aad.len != 0)
        memcpy(area->data, bulk->aad.data, bulk->aad.len);
    if (bulk->len != 0)
        memcpy(area->data + data_offset(bulk), bulk->src, bulk->len);
    bulk_fill((struct queue_bulk_request *)request->base.frame, bulk, (unsigned)index);
    request->base.frame_len = sizeof(struct queue_bulk_request);
    return AZIHSM_OK;
}

azihsm_rc queue_bulk_begin(struct azihsm_device *base, const struct azihsm_bulk *bulk, int64_t deadline_ns,
                           struct azihsm_request **out, struct azihsm_error *err)
{
    azihsm_rc rc;

    *out = NULL;
    rc = bulk_prepare((struct queue_device *)base, bulk, NO_WAIT, deadline_ns, out, err);
    if (rc != AZIHSM_OK && *out != NULL) {
        queue_release(*out);
        *out = NULL;
    }
    return rc;
}

azihsm_rc queue_bulk_finish(struct azihsm_request *base, struct azihsm_bulk *bulk, struct azihsm_error *err)
{
    struct queue_request *request = (struct queue_request *)base;
    const struct queue_device *device = (const struct queue_device *)base->device;
    azihsm_rc rc = queue_wait_done(request);

    if (rc != AZIHSM_OK)
        return bulk_failed(rc, err);
    rc = bulk_result((const struct queue_bulk_response *)queue_request_frames(request)->response, bulk, err);
    if (rc == AZIHSM_OK && bulk->len != 0) {
        bulk->written = true;
        memcpy(bulk->dst, device->areas[request->area].data + data_offset(bulk), bulk->len);
    }
    return rc;
}

azihsm_rc queue_bulk(struct azihsm_device *base, struct azihsm_bulk *bulk, int64_t deadline_ns,
                     struct azihsm_error *err)
{
    struct azihsm_request *request = NULL;
    azihsm_rc rc = bulk_prepare((struct queue_device *)base, bulk, deadline_ns, deadline_ns, &request, err);

    if (rc == AZIHSM_OK && (rc = queue_submit(request)) != AZIHSM_OK)
        rc = bulk_failed(rc, err);
    if (rc == AZIHSM_OK)
        rc = queue_bulk_finish(request, bulk, err);
    if (request != NULL)
        queue_release(request);
    return rc;
}

/* A request without arguments; its answer, if any, is copied out. */
static azihsm_rc plain(struct azihsm_device *base, enum queue_operation operation, int64_t deadline_ns, void *answer,
                       size_t answer_len)
{
    struct azihsm_request *request;
    azihsm_rc rc = queue_acquire(base, deadline_ns, &request);

    if (rc != AZIHSM_OK)
        return rc;
    ((struct queue_request *)request)->operation = operation;
    rc = queue_submit(request);
    if (rc == AZIHSM_OK)
        rc = queue_wait_done((struct queue_request *)request);
    if (rc == AZIHSM_OK && answer_len != 0)
        memcpy(answer, queue_request_frames((struct queue_request *)request)->response, answer_len);
    queue_release(request);
    return rc;
}

azihsm_rc queue_info(struct azihsm_device *base, struct azihsm_device_strings *out)
{
    azihsm_rc rc = plain(base, QUEUE_INFO, clock_now() + INFO_MS * NS_PER_MS, out, sizeof(*out));

    out->driver_version[sizeof(out->driver_version) - 1] = '\0';
    out->firmware_version[sizeof(out->firmware_version) - 1] = '\0';
    out->hardware_version[sizeof(out->hardware_version) - 1] = '\0';
    out->pci[sizeof(out->pci) - 1] = '\0';
    return rc;
}

azihsm_rc queue_reset(struct azihsm_device *base, int64_t deadline_ns)
{
    return plain(base, QUEUE_RESET, deadline_ns, NULL, 0);
}
