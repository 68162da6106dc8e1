/*
 * One request: copied out of shared memory, checked, executed, its result put back.
 *
 * The client can change its memory at any moment. So every field is read once, into a variable of ours, and checked
 * there; request and response pass through the thread's own buffers. Only bulk data is worked on in place: its owner
 * can do no more by changing it than by sending something else.
 */
#include "queue_internal.h"

#include "transport/futex.h"

#include <string.h>
#include <sys/socket.h>

#define READ_ONCE(field)         __atomic_load_n(&(field), __ATOMIC_RELAXED)
#define WRITE_ONCE(field, value) __atomic_store_n(&(field), (value), __ATOMIC_RELAXED)

struct answer {
    azihsm_rc rc;
    struct queue_completion completion;
};

static bool serve_execute(struct queue_worker *worker, const struct queue_connection *connection,
                          const struct queue_slot *slot, struct answer *answer)
{
    const struct queue_backend *backend = &worker->server->backend;
    struct queue_command command = {
        .request = worker->request,
        .request_len = READ_ONCE(slot->request_len),
        .session_kind = (enum azihsm_session_kind)READ_ONCE(slot->session_kind),
        .has_sess_id = READ_ONCE(slot->has_sess_id) != 0,
        .sess_id = READ_ONCE(slot->sess_id),
    };
    const struct queue_frames *frames = &connection->shared->frames[slot - connection->shared->slot];

    /* None at all is a command too, which the device answers (ddi-protocol 8.3). */
    if (command.request_len > AZIHSM_FRAME_MAX || command.session_kind > AZIHSM_KIND_IN_SESSION)
        return false;
    memcpy(worker->request, frames->request, command.request_len);
    if (!connection->family->restricted ||
        queue_restrict(worker->request, command.request_len, worker->response, &answer->completion))
        backend->execute(backend->ctx, connection->handle, &command, worker->response, &answer->completion);
    return true;
}

static struct queue_bulk_memory *take_area(struct queue_connection *connection, unsigned index)
{
    struct queue_bulk_memory *memory;

    pthread_mutex_lock(&connection->lock);
    memory = connection->areas[index];
    if (memory != NULL)
        atomic_fetch_add(&memory->refs, 1);
    pthread_mutex_unlock(&connection->lock);
    return memory;
}

static bool bulk_fits(const struct queue_bulk_request *in, const struct queue_bulk_memory *memory, size_t *offset)
{
    if (in->aad_len > memory->size || in->len > memory->size)
        return false;
    *offset = ((size_t)in->aad_len + QUEUE_BULK_ALIGN - 1) / QUEUE_BULK_ALIGN * QUEUE_BULK_ALIGN;
    return *offset <= memory->size && in->len <= memory->size - *offset;
}

static bool serve_bulk(struct queue_worker *worker, struct queue_connection *connection, const struct queue_slot *slot,
                       struct answer *answer)
{
    const struct queue_backend *backend = &worker->server->backend;
    struct queue_bulk_response *out = (struct queue_bulk_response *)worker->response;
    struct queue_bulk_request in;
    struct queue_bulk_memory *memory;
    struct queue_bulk bulk = {0};
    size_t offset;
    bool ok = false;

    memcpy(&in, connection->shared->frames[slot - connection->shared->slot].request, sizeof(in));
    if (in.area >= QUEUE_BULK_AREAS || (memory = take_area(connection, in.area)) == NULL)
        return false;
    if (!bulk_fits(&in, memory, &offset))
        goto out;
    bulk.xts = in.xts != 0;
    bulk.decrypt = in.decrypt != 0;
    bulk.sess_id = in.sess_id;
    bulk.short_app_id = in.short_app_id;
    bulk.key_id1 = in.key_id1;
    bulk.key_id2 = in.key_id2;
    bulk.data_unit = in.data_unit;
    memcpy(bulk.iv, in.iv, sizeof(bulk.iv));
    memcpy(bulk.tag, in.tag, sizeof(bulk.tag));
    bulk.aad = memory->data;
    bulk.aad_len = (size_t)in.aad_len;
    bulk.data = memory->data + offset;
    bulk.len = (size_t)in.len;
    backend->bulk(backend->ctx, connection->handle, &bulk);
    memset(out, 0, sizeof(*out));
    memcpy(out->iv, bulk.iv, sizeof(out->iv));
    memcpy(out->tag, bulk.tag, sizeof(out->tag));
    out->result = bulk.result;
    out->ext_status = bulk.ext_status;
    out->refused = bulk.refused;
    out->fips_approved = bulk.fips_approved;
    answer->completion.response_len = sizeof(*out);
    ok = true;
out:
    queue_bulk_memory_unref(memory);
    return ok;
}

static bool serve_operation(struct queue_worker *worker, struct queue_connection *connection, struct queue_slot *slot,
                            struct answer *answer)
{
    const struct queue_backend *backend = &worker->server->backend;
    struct azihsm_device_strings strings = {0};

    switch (READ_ONCE(slot->operation)) {
    case QUEUE_EXECUTE:
        return serve_execute(worker, connection, slot, answer);
    case QUEUE_BULK:
        return serve_bulk(worker, connection, slot, answer);
    case QUEUE_INFO:
        answer->rc = backend->info(backend->ctx, connection->handle, &strings);
        memcpy(worker->response, &strings, sizeof(strings));
        answer->completion.response_len = sizeof(strings);
        return true;
    case QUEUE_RESET:
        answer->rc =
            connection->family->restricted ? AZIHSM_E_PERMISSION : backend->reset(backend->ctx, connection->handle);
        return true;
    default:
        return false;
    }
}

static void put_answer(struct queue_connection *connection, struct queue_slot *slot, const struct answer *answer,
                       const uint8_t *response)
{
    size_t len = answer->completion.response_len;

    if (len > AZIHSM_FRAME_MAX)
        len = AZIHSM_FRAME_MAX;
    memcpy(connection->shared->frames[slot - connection->shared->slot].response, response, len);
    WRITE_ONCE(slot->rc, answer->rc);
    WRITE_ONCE(slot->ext_status, answer->completion.ext_status);
    WRITE_ONCE(slot->cqe_status, answer->completion.cqe_status);
    WRITE_ONCE(slot->response_len, (uint32_t)len);
}

/* RUNNING to DONE. False when the client has meddled with the word. */
static bool finish(struct queue_binding *binding, struct queue_slot *slot, bool notify)
{
    uint32_t word = __atomic_load_n(&slot->word, __ATOMIC_RELAXED);
    int fd;

    do {
        if ((word & QUEUE_STATE) != QUEUE_RUNNING)
            return false;
    } while (!__atomic_compare_exchange_n(&slot->word, &word, QUEUE_DONE | (word & (QUEUE_BOUND | QUEUE_CLOSING)),
                                          false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED));
    if ((word & QUEUE_WAITER) != 0)
        futex_wake(&slot->word, 1);
    fd = atomic_load(&binding->notify_fd);
    if (notify && fd >= 0 && send(fd, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        return true; /* full, then it is readable already; or the client has closed its end */
    return true;
}

bool queue_serve(struct queue_worker *worker, struct queue_binding *binding)
{
    struct queue_connection *connection = binding->connection;
    struct queue_slot *slot = &connection->shared->slot[binding->index];
    bool notify = (READ_ONCE(slot->flags) & QUEUE_NOTIFY) != 0;
    struct answer answer = {0};

    atomic_fetch_add_explicit(&worker->server->requests, 1, memory_order_relaxed);
    if (!serve_operation(worker, connection, slot, &answer))
        return false;
    put_answer(connection, slot, &answer, worker->response);
    return finish(binding, slot, notify);
}
