/*
 * The driver's part of a handle: session rules before a command reaches the device, what its completion changes, and
 * the flush at close.
 */
#include "emulator/handle.h"

#include "emulator/dispatch.h"

#include <stdlib.h>

struct emu_handle *emu_handle_open(struct emu_device *device, struct emu_namespace *ns)
{
    struct emu_handle *handle = calloc(1, sizeof(*handle));
    if (handle == NULL)
        return NULL;
    handle->device = device;
    handle->ns = ns == NULL ? device->own : emu_namespace_up_ref(ns);
    pthread_rwlock_init(&handle->busy, NULL);
    pthread_mutex_init(&handle->opening, NULL);
    atomic_fetch_add(&device->handles, 1);
    return handle;
}

/* Flush: like CloseSession, without a message; an id that needs renegotiation is freed too. */
static void flush(struct emu_handle *handle)
{
    struct emu_device *device = handle->device;
    uint32_t record = atomic_exchange(&handle->record, HANDLE_NO_SESSION);
    struct session *session;

    if ((record & HANDLE_HAS_SESSION) == 0)
        return;
    pthread_rwlock_rdlock(&device->gate);
    session = session_table_get(&device->sessions, handle_sess_id(record));
    if (session != NULL && session->ns == handle->ns)
        dispatch_close_session(device, session);
    session_free(session);
    pthread_rwlock_unlock(&device->gate);
}

void emu_handle_close(struct emu_handle *handle)
{
    struct emu_device *device;

    if (handle == NULL)
        return;
    device = handle->device;
    pthread_rwlock_wrlock(&handle->busy);
    flush(handle);
    pthread_rwlock_unlock(&handle->busy);
    if (handle->ns != device->own)
        emu_namespace_free(handle->ns);
    pthread_mutex_destroy(&handle->opening);
    pthread_rwlock_destroy(&handle->busy);
    free(handle);
    if (atomic_fetch_sub(&device->handles, 1) == 1 && device->config.power_off_when_idle && device_is_virtual(device))
        device_idle(device);
}

/* 8.3: extended status when the driver refuses, else 0. */
static uint32_t check_session(uint32_t record, const struct emu_submission *in)
{
    bool has_session = (record & HANDLE_HAS_SESSION) != 0;

    switch (in->session_kind) {
    case AZIHSM_KIND_OPEN:
        return has_session ? 11 : 0;
    case AZIHSM_KIND_CLOSE:
    case AZIHSM_KIND_IN_SESSION:
        if (!has_session)
            return 12;
        return in->has_sess_id && in->sess_id == handle_sess_id(record) ? 0 : 14;
    default:
        return 0;
    }
}

static void update_record(struct emu_handle *handle, uint32_t before, const struct dispatch_result *result)
{
    if (result->opened)
        atomic_store(&handle->record, HANDLE_HAS_SESSION | (uint32_t)result->short_app_id << 16 | result->sess_id);
    else if (result->closed) /* not a session that was opened meanwhile */
        atomic_compare_exchange_strong(&handle->record, &before, HANDLE_NO_SESSION);
}

void emu_handle_execute(struct emu_handle *handle, const struct emu_submission *in, uint8_t *response,
                        struct emu_completion *out)
{
    struct emu_device *device = handle->device;
    bool open = in->session_kind == AZIHSM_KIND_OPEN;
    struct dispatch_result result = {0};
    uint32_t record;

    *out = (struct emu_completion){0};
    pthread_rwlock_rdlock(&handle->busy);
    if (open)
        pthread_mutex_lock(&handle->opening);
    record = atomic_load(&handle->record);
    out->ext_status = check_session(record, in);
    if (out->ext_status == 0) {
        pthread_rwlock_rdlock(&device->gate);
        dispatch(device, handle->ns, in, response, &result);
        pthread_rwlock_unlock(&device->gate);
        update_record(handle, record, &result);
        out->cqe_status = result.cqe_status;
        out->response_len = result.len;
        out->subject = result.subject;
    }
    if (open)
        pthread_mutex_unlock(&handle->opening);
    pthread_rwlock_unlock(&handle->busy);
}

bool emu_handle_session(const struct emu_handle *handle, uint16_t *sess_id, uint8_t *short_app_id)
{
    uint32_t record = atomic_load(&handle->record);
    if ((record & HANDLE_HAS_SESSION) == 0)
        return false;
    *sess_id = handle_sess_id(record);
    *short_app_id = handle_short_app_id(record);
    return true;
}
