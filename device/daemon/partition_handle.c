/*
 * Serving a partition: families, handles, and each command between counters and test conditions.
 */
#include "partition_internal.h"

#include "log.h"

#include <openssl/crypto.h>
#include <stdatomic.h>
#include <time.h>

struct partition_handle {
    struct partition *partition;
    struct partition_family *family; /* may be NULL */
    struct emu_handle *handle;
};

/* ---- families ---- */

struct partition_family *partition_family_new(struct partition *partition, uid_t uid)
{
    struct partition_family *family = OPENSSL_zalloc(sizeof(*family));

    if (family == NULL)
        return NULL;
    family->partition = partition;
    family->uid = uid;
    if (partition->config->key_scope == CONFIG_SCOPE_CONNECTION) {
        family->keys = emu_namespace_new(partition->emulator, uid);
        if (family->keys == NULL) {
            OPENSSL_free(family);
            return NULL;
        }
    }
    pthread_mutex_lock(&partition->guard);
    family->next = partition->families;
    family->link = &partition->families;
    if (family->next != NULL)
        family->next->link = &family->next;
    partition->families = family;
    pthread_mutex_unlock(&partition->guard);
    return family;
}

void partition_family_free(struct partition_family *family)
{
    struct partition *partition;

    if (family == NULL)
        return;
    partition = family->partition;
    pthread_mutex_lock(&partition->guard);
    *family->link = family->next;
    if (family->next != NULL)
        family->next->link = family->link;
    pthread_mutex_unlock(&partition->guard);
    emu_namespace_free(family->keys);
    OPENSSL_free(family);
}

void partition_each_family(struct partition *partition,
                           void (*visit)(void *arg, const struct partition_family_view *view), void *arg)
{
    const struct partition_family *family;

    pthread_mutex_lock(&partition->guard);
    for (family = partition->families; family != NULL; family = family->next) {
        struct partition_family_view view = {
            .uid = family->uid, .handles = atomic_load(&family->handles), .commands = atomic_load(&family->commands)};

        visit(arg, &view);
    }
    pthread_mutex_unlock(&partition->guard);
}

/* ---- handles ---- */

struct partition_handle *partition_open(struct partition *partition, struct partition_family *family)
{
    struct partition_handle *handle = OPENSSL_zalloc(sizeof(*handle));

    if (handle == NULL)
        return NULL;
    handle->partition = partition;
    handle->family = family;
    handle->handle = emu_handle_open(partition->emulator, family != NULL ? family->keys : NULL);
    if (handle->handle == NULL) {
        OPENSSL_free(handle);
        return NULL;
    }
    if (family != NULL)
        atomic_fetch_add(&family->handles, 1);
    return handle;
}

void partition_close(struct partition_handle *handle)
{
    emu_handle_close(handle->handle);
    if (handle->family != NULL)
        atomic_fetch_sub(&handle->family->handles, 1);
    OPENSSL_free(handle);
}

struct partition *partition_of(struct partition_handle *handle)
{
    return handle->partition;
}

/* ---- commands ---- */

static uint64_t partition_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* The answer of a device that failed: an error response to this request. */
static void partition_fail(const struct emu_submission *in, uint32_t status, uint8_t *response,
                           struct emu_completion *out)
{
    struct azihsm_req_hdr request = {.op = AZIHSM_OP_INVALID};
    struct azihsm_resp_hdr hdr = {0};
    size_t body;

    (void)azihsm_ddi_decode_request_header(in->request, in->request_len, &request, &body);
    hdr.has_rev = request.has_rev;
    hdr.rev = request.rev;
    hdr.op = request.op;
    hdr.has_sess_id = request.has_sess_id;
    hdr.sess_id = request.sess_id;
    hdr.status = status;
    *out = (struct emu_completion){0};
    if (azihsm_ddi_encode_response(&hdr, NULL, response, AZIHSM_FRAME_MAX, &out->response_len) != AZIHSM_OK)
        out->cqe_status = 7;
}

static void partition_apply_reset(struct partition *partition)
{
    struct azihsm_error err = {0};

    if (!conditions_take_reset(&partition->conditions))
        return;
    if (partition_reset(partition, &err) != AZIHSM_OK)
        log_line(LOG_LEVEL_ERROR, "%s", err.text);
}

/* Commands after which the device must be saved. */
static bool partition_persists(uint32_t op)
{
    return op == AZIHSM_OP_INIT_BK3 || op == AZIHSM_OP_SET_SEALED_BK3;
}

void partition_execute(struct partition_handle *handle, const struct emu_submission *in, uint8_t *response,
                       struct emu_completion *out)
{
    struct partition *partition = handle->partition;
    uint64_t start = partition_now();
    uint32_t op, status, answered;
    bool failed;

    (void)counters_peek(in->request, in->request_len, &op, &status);
    if (handle->family != NULL)
        atomic_fetch_add_explicit(&handle->family->commands, 1, memory_order_relaxed);
    partition_apply_reset(partition);
    conditions_delay(&partition->conditions, op);
    if (conditions_take_failure(&partition->conditions, op, &status))
        partition_fail(in, status, response, out);
    else
        emu_handle_execute(handle->handle, in, response, out);
    failed = out->ext_status != 0 || out->cqe_status != 0 ||
             !counters_peek(response, out->response_len, &answered, &status) || status != 0;
    if (!failed && partition_persists(op))
        partition_note_persistent_change(partition);
    counters_note(partition->counters, op, azihsm_activity_of(op, out->subject.kind, out->subject.decrypt), failed,
                  partition_now() - start);
}

void partition_bulk(struct partition_handle *handle, struct emu_bulk *bulk)
{
    uint64_t start = partition_now();

    partition_apply_reset(handle->partition);
    conditions_delay(&handle->partition->conditions, COUNTERS_BULK);
    emu_handle_bulk(handle->handle, bulk);
    counters_note(handle->partition->counters, COUNTERS_BULK,
                  bulk->xts ? AZIHSM_ACTIVITY_AES_256_XTS_CRYPT : AZIHSM_ACTIVITY_AES_256_GCM_CRYPT,
                  bulk->refused || bulk->result != 0 || bulk->ext_status != 0, partition_now() - start);
}
