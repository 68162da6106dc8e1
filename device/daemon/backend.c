/*
 * Backend of the queue server. Handles and families are the partition's own, passed through as void pointers.
 */
#include "backend.h"

#include "inproc.h"
#include "log.h"
#include "partition.h"

#include <string.h>

static azihsm_rc backend_admit(void *ctx, const struct queue_peer *peer, const char *name, struct queue_admission *out)
{
    struct partition *partition = daemon_partition(ctx, name);

    if (partition == NULL)
        return AZIHSM_E_NO_DEVICE;
    if (!partition_allows(partition, peer->uid, peer->gid)) {
        log_line(LOG_LEVEL_WARNING, "refused user %u (process %ld) at partition %s", (unsigned)peer->uid,
                 (long)peer->pid, partition_name(partition));
        return AZIHSM_E_PERMISSION;
    }
    out->partition = partition;
    out->has_credential = partition_vouch(partition, out->credential);
    return AZIHSM_OK;
}

static azihsm_rc backend_new_family(void *ctx, void *partition, uid_t uid, void **out)
{
    (void)ctx;
    *out = partition_family_new(partition, uid);
    return *out != NULL ? AZIHSM_OK : AZIHSM_E_NO_MEMORY;
}

static void backend_free_family(void *ctx, void *family)
{
    (void)ctx;
    partition_family_free(family);
}

static azihsm_rc backend_open(void *ctx, void *partition, void *family, void **handle)
{
    (void)ctx;
    *handle = partition_open(partition, family);
    return *handle != NULL ? AZIHSM_OK : AZIHSM_E_NO_MEMORY;
}

static void backend_close(void *ctx, void *handle)
{
    (void)ctx;
    partition_close(handle);
}

static void backend_execute(void *ctx, void *handle, const struct queue_command *in, uint8_t *response,
                            struct queue_completion *out)
{
    struct emu_submission submission = {.request = in->request,
                                        .request_len = in->request_len,
                                        .session_kind = in->session_kind,
                                        .has_sess_id = in->has_sess_id,
                                        .sess_id = in->sess_id};
    struct emu_completion completion = {0};

    (void)ctx;
    partition_execute(handle, &submission, response, &completion);
    out->ext_status = completion.ext_status;
    out->cqe_status = completion.cqe_status;
    out->response_len = completion.response_len;
}

static void backend_bulk(void *ctx, void *handle, struct queue_bulk *bulk)
{
    struct emu_bulk work = {.xts = bulk->xts,
                            .decrypt = bulk->decrypt,
                            .sess_id = bulk->sess_id,
                            .short_app_id = bulk->short_app_id,
                            .key_id1 = bulk->key_id1,
                            .key_id2 = bulk->key_id2,
                            .aad = bulk->aad,
                            .aad_len = bulk->aad_len,
                            .data_unit = bulk->data_unit,
                            .src = bulk->data,
                            .dst = bulk->data,
                            .len = bulk->len};

    (void)ctx;
    memcpy(work.iv, bulk->iv, sizeof(work.iv));
    memcpy(work.tag, bulk->tag, sizeof(work.tag));
    partition_bulk(handle, &work);
    memcpy(bulk->iv, work.iv, sizeof(bulk->iv));
    memcpy(bulk->tag, work.tag, sizeof(bulk->tag));
    bulk->result = work.result;
    bulk->ext_status = work.ext_status;
    bulk->refused = work.refused;
    bulk->fips_approved = work.fips_approved;
}

static azihsm_rc backend_info(void *ctx, void *handle, struct azihsm_device_strings *out)
{
    (void)ctx;
    (void)handle;
    *out = *inproc_device_strings();
    return AZIHSM_OK;
}

static azihsm_rc backend_reset(void *ctx, void *handle)
{
    struct azihsm_error err = {0};
    azihsm_rc rc = partition_reset(partition_of(handle), &err);

    (void)ctx;
    if (rc != AZIHSM_OK)
        log_line(LOG_LEVEL_ERROR, "%s", err.text);
    return rc;
}

struct queue_backend backend_for(struct daemon *daemon)
{
    return (struct queue_backend){
        .ctx = daemon,
        .admit = backend_admit,
        .new_family = backend_new_family,
        .free_family = backend_free_family,
        .open = backend_open,
        .close = backend_close,
        .execute = backend_execute,
        .bulk = backend_bulk,
        .info = backend_info,
        .reset = backend_reset,
    };
}
