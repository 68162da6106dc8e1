/*
 * The fast path: bulk AES ioctls 'B' 0xB and 0xC, checks in the order of ddi-protocol 8.7, buffers as 7.3 and 7.4.
 */
#include "preload.h"

#include "transport/ioctl_abi.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { RESULT_XTS = 1, XTS_TOO_LONG = 0xB };
enum { AAD_UNIT = 32, AAD_HALF = 16, GCM_IV_SIZE = 12, EXT_NO_MEMORY = 100, EXT_ABORTED = 1 };

/* Session checks; 0 or an extended status. "No session" leaves byte_count alone, later refusals clear it. */
static uint32_t check_session(struct ioctl_bulk *command, const struct preload_session *session)
{
    if (!session->open)
        return IOCTL_EXT_FP_NO_SESSION;
    command->out_byte_count = 0;
    if (!session->has_app_id)
        return IOCTL_EXT_FP_NO_APP_ID;
    if (command->session_id != session->sess_id)
        return IOCTL_EXT_FP_SESSION_ID;
    return command->short_app_id != session->short_app_id ? IOCTL_EXT_FP_APP_ID : 0;
}

/* Bytes of a data unit for a code of 0..3. */
static uint32_t data_unit(const struct ioctl_bulk *command)
{
    static const uint32_t units[] = {0, 512, 4096, 8192};
    uint16_t code = command->u.xts.data_unit_len;

    return code == 0 ? command->src.length : units[code & 3];
}

static uint32_t check_xts(const struct ioctl_bulk *command)
{
    if (command->dst.length < command->src.length || command->u.xts.data_unit_len > 3 || command->src.length == 0)
        return IOCTL_EXT_FP_XTS;
    return command->src.length % data_unit(command) != 0 ? IOCTL_EXT_FP_XTS : 0;
}

/* Where the AAD starts in the source (7.3): behind a front pad when rounding leaves room for one. */
static uint32_t aad_offset(const struct ioctl_gcm *gcm)
{
    uint32_t rest = gcm->actual_aad_len % AAD_UNIT;

    return gcm->enable_workaround && rest >= 1 && rest <= AAD_HALF ? AAD_HALF : 0;
}

static uint32_t payload_offset(const struct ioctl_gcm *gcm)
{
    return gcm->enable_workaround ? gcm->aligned_aad_len : gcm->actual_aad_len;
}

static uint32_t check_gcm(const struct ioctl_bulk *command)
{
    const struct ioctl_gcm *gcm = &command->u.gcm;

    if (gcm->actual_aad_len >= command->src.length)
        return IOCTL_EXT_FP_GCM;
    if (gcm->enable_workaround && (gcm->aligned_aad_len < gcm->actual_aad_len || gcm->aligned_aad_len % AAD_UNIT != 0 ||
                                   gcm->aligned_aad_len >= command->src.length ||
                                   (uint64_t)aad_offset(gcm) + gcm->actual_aad_len > gcm->aligned_aad_len))
        return IOCTL_EXT_FP_GCM;
    return command->dst.length < command->src.length - gcm->actual_aad_len ? IOCTL_EXT_FP_GCM : 0;
}

static uint32_t check_buffers(const struct ioctl_bulk *command)
{
    if (command->src.address == 0 || command->src.length == 0)
        return IOCTL_EXT_FP_SOURCE;
    if (command->dst.address == 0 || command->dst.length == 0)
        return IOCTL_EXT_FP_DESTINATION;
    if (!preload_user_range(command->src.address, command->src.length))
        return IOCTL_EXT_FP_SOURCE;
    return preload_user_range(command->dst.address, command->dst.length) ? 0 : IOCTL_EXT_FP_DESTINATION;
}

static uint32_t check_operation(const struct ioctl_bulk *command, bool xts)
{
    uint32_t refused;

    if (command->op_code > 1)
        return IOCTL_EXT_FP_OPCODE;
    if (command->cipher > 1 || (command->cipher == 1) != xts)
        return IOCTL_EXT_FP_CIPHER;
    refused = xts ? check_xts(command) : check_gcm(command);
    if (refused != 0)
        return refused;
    return command->frame_type != 1 ? IOCTL_EXT_FP_FRAME_TYPE : check_buffers(command);
}

static void fill(struct azihsm_bulk *bulk, const struct ioctl_bulk *command, uint8_t *copy)
{
    uint32_t offset = command->cipher == 1 ? 0 : payload_offset(&command->u.gcm);

    bulk->xts = command->cipher == 1;
    bulk->decrypt = command->op_code == 1;
    bulk->sess_id = command->session_id;
    bulk->short_app_id = command->short_app_id;
    bulk->src = copy + offset;
    bulk->dst = copy + offset;
    bulk->len = command->src.length - offset;
    if (bulk->xts) {
        bulk->key_id1 = command->u.xts.key_id1;
        bulk->key_id2 = command->u.xts.key_id2;
        bulk->data_unit = data_unit(command);
        memcpy(bulk->iv, command->u.xts.tweak, sizeof(bulk->iv));
        return;
    }
    bulk->key_id1 = command->u.gcm.key_id;
    bulk->aad = (struct azihsm_bytes){copy + aad_offset(&command->u.gcm), command->u.gcm.actual_aad_len};
    memcpy(bulk->iv, command->u.gcm.iv, GCM_IV_SIZE);
    memcpy(bulk->tag, command->u.gcm.tag, sizeof(bulk->tag));
}

/* More than azihsmd takes at once (65 MiB) is memory that cannot be mapped. */
static uint32_t ext_status(const struct azihsm_bulk *bulk, azihsm_rc rc)
{
    switch (rc) {
    case AZIHSM_OK:
        return 0;
    case AZIHSM_E_FAST_PATH:
        return bulk->ext_status;
    case AZIHSM_E_NO_MEMORY:
    case AZIHSM_E_ARGUMENT:
        return EXT_NO_MEMORY;
    default:
        return EXT_ABORTED;
    }
}

/* The outcome of an operation that passed validation: the ioctl succeeds whatever came of it (8.7). */
static void report(struct ioctl_bulk *command, const struct azihsm_bulk *bulk, azihsm_rc rc)
{
    command->out_byte_count = rc == AZIHSM_OK ? command->src.length : 0;
    command->out_fips_approved = rc == AZIHSM_OK && bulk->fips_approved ? 1 : 0;
    command->out_result = rc == AZIHSM_E_FAST_PATH ? bulk->result : 0;
    command->out_ext_status = ext_status(bulk, rc);
    if (rc == AZIHSM_OK && !bulk->xts && !bulk->decrypt) {
        memcpy(command->out_cmd_spec, bulk->tag, sizeof(command->out_cmd_spec));
        memcpy(command->out_iv, bulk->iv, sizeof(command->out_iv));
    }
}

static void execute(struct preload_file *file, struct ioctl_bulk *command)
{
    size_t len = command->src.length;
    struct azihsm_bulk bulk = {0};
    azihsm_rc rc = AZIHSM_E_NO_MEMORY;
    uint64_t to = command->dst.address;
    uint8_t *copy = malloc(len);

    if (copy != NULL && preload_copy_in(copy, command->src.address, len)) {
        fill(&bulk, command, copy);
        rc = azihsm_device_bulk(file->device, &bulk, preload_deadline(), NULL);
        if (rc == AZIHSM_E_ARGUMENT && bulk.xts) {
            /* more than azihsmd takes at once, hence more than the hardware does: the hardware has a code for that */
            bulk.result = RESULT_XTS;
            bulk.ext_status = XTS_TOO_LONG;
            rc = AZIHSM_E_FAST_PATH;
        }
        /* The payload lies in the destination where it lay in the source, unless there is room only for itself. */
        if (command->dst.length >= len)
            to += (uint64_t)(bulk.dst - copy);
        if (rc == AZIHSM_OK && !preload_copy_out(to, bulk.dst, bulk.len))
            rc = AZIHSM_E_NO_MEMORY;
    }
    report(command, &bulk, rc);
    if (copy != NULL)
        explicit_bzero(copy, len);
    free(copy);
}

int preload_fast(struct preload_file *file, unsigned code, void *argument)
{
    struct preload_session session = preload_session(file);
    struct ioctl_bulk command = {0};
    uint32_t refused;

    if (!preload_copy_in(&command, (uintptr_t)argument, sizeof(command.header)) ||
        command.header.size < sizeof(command) || !preload_copy_in(&command, (uintptr_t)argument, sizeof(command))) {
        errno = EINVAL;
        return -1;
    }
    refused = check_session(&command, &session);
    if (refused == 0)
        refused = check_operation(&command, code == IOCTL_XTS);
    if (refused != 0)
        command.out_ext_status = refused;
    else
        execute(file, &command);
    if (!preload_copy_out((uintptr_t)argument, &command, sizeof(command))) {
        errno = EFAULT;
        return -1;
    }
    errno = EINVAL;
    return refused != 0 ? -1 : 0;
}
