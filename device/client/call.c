/*
 * Sending requests of an operation.
 *
 * In an ASYNC job a slot is never waited for in the thread: all of them may be held by paused jobs of this very thread.
 * None free is then AZIHSM_E_BUSY, and the operation backs off by pausing.
 */
#include "call.h"

#include "client.h"
#include "generation.h"
#include "transport/futex.h"

enum { COURTESY_MS = 20, SLOW_MS = 1000 };

static azihsm_rc call_begin(struct operation *operation, struct exchange *exchange, uint32_t op, const void *request)
{
    return exchange_begin(
        exchange, operation->link->device, operation->pausable ? 0 : operation->deadline_ns, operation->deadline_ns, op,
        azihsm_ddi_session_kind(op) == AZIHSM_KIND_IN_SESSION ? operation->link->sess_id : EXCHANGE_NO_SESSION,
        request);
}

/* Returns when the request is done, or when it has to be waited for in the thread. */
static void call_pause(struct operation *operation, struct azihsm_request *request, int fd)
{
    operation->request = request;
    while (!azihsm_request_done(request))
        if (!client_pause(operation->client, fd, operation))
            break;
    operation->request = NULL;
}

azihsm_rc call_run(struct operation *operation, struct exchange *exchange, uint32_t op, const void *request,
                   void *response)
{
    azihsm_rc rc = call_begin(operation, exchange, op, request);
    int fd = -1;

    if (rc != AZIHSM_OK)
        return rc;
    if (operation->pausable && client_can_pause(operation->client))
        fd = azihsm_request_event_fd(exchange->request);
    rc = azihsm_request_submit(exchange->request);
    if (rc != AZIHSM_OK)
        return rc;
    operation->spent = true;
    if (fd >= 0)
        call_pause(operation, exchange->request, fd);
    rc = exchange_finish(exchange, op, response);
    if (operation->spec.keys[0] != NULL && atomic_load(&operation->link->renewed))
        rc = AZIHSM_STATUS_SESSION_NEEDS_RENEGOTIATION;
    return rc;
}

azihsm_rc call_aside(struct operation *operation, struct exchange *exchange, uint32_t op, const void *request,
                     void *response)
{
    azihsm_rc rc = call_begin(operation, exchange, op, request);

    if (rc == AZIHSM_OK)
        rc = azihsm_request_submit(exchange->request);
    if (rc == AZIHSM_OK)
        rc = exchange_finish(exchange, op, response);
    return rc;
}

/* A request that was made before a fork is the parent's: its memory may not even be mapped here. */
void call_end(struct operation *operation, struct exchange *exchange)
{
    if (operation->link->generation != generation_current())
        exchange->request = NULL;
    exchange_end(exchange);
}

static azihsm_rc bulk_pausing(struct operation *operation, struct azihsm_request *request, struct azihsm_bulk *bulk)
{
    int fd = azihsm_request_event_fd(request);
    azihsm_rc rc = azihsm_request_submit(request);

    if (rc != AZIHSM_OK)
        return rc;
    if (fd >= 0)
        call_pause(operation, request, fd);
    return azihsm_device_bulk_finish(request, bulk, operation->err);
}

azihsm_rc call_bulk(struct operation *operation, struct azihsm_bulk *bulk)
{
    struct azihsm_device *device = operation->link->device;
    struct azihsm_request *request = NULL;
    azihsm_rc rc = AZIHSM_E_UNSUPPORTED;

    if (operation->pausable && client_can_pause(operation->client))
        rc = azihsm_device_bulk_begin(device, bulk, operation->deadline_ns, &request, operation->err);
    if (rc == AZIHSM_E_UNSUPPORTED)
        rc = azihsm_device_bulk(device, bulk, operation->deadline_ns, operation->err);
    else if (rc == AZIHSM_OK)
        rc = bulk_pausing(operation, request, bulk);
    operation->spent = bulk->written;
    /* As in call_end. */
    if (request != NULL && operation->link->generation == generation_current())
        azihsm_request_release(request);
    return rc;
}

void call_delete_key(struct link *link, uint16_t key_id)
{
    struct azihsm_delete_key_req request = {.key_id = key_id};
    int64_t now = clock_now();
    struct exchange exchange;
    azihsm_rc rc;

    if (now < atomic_load(&link->slow_until_ns) || atomic_load(&link->renewed))
        return;
    rc = exchange_run(&exchange, link->device, now + COURTESY_MS * NS_PER_MS, AZIHSM_OP_DELETE_KEY, link->sess_id,
                      &request, NULL);
    if (rc == AZIHSM_E_TIMEOUT)
        atomic_store(&link->slow_until_ns, now + SLOW_MS * NS_PER_MS);
    exchange_end(&exchange);
}

bool call_slot_free(struct operation *operation)
{
    struct azihsm_request *request;

    if (!operation->pausable)
        return true;
    if (azihsm_request_acquire(operation->link->device, 0, &request) != AZIHSM_OK)
        return false;
    azihsm_request_release(request);
    return true;
}
