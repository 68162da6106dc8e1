/*
 * The slow path: ioctl 'B' 3 with the driver's checks in the driver's order (ddi-protocol 8.3).
 */
#include "preload.h"

#include "transport/ioctl_abi.h"
#include "transport/queue_device.h"

#include <errno.h>

/* Checks on the structure alone; 0 or an extended status. */
static uint32_t check_arguments(const struct ioctl_generic *command)
{
    if (command->cmdset != 0)
        return IOCTL_EXT_COMMAND_SET;
    if (command->src_length > IOCTL_BUFFER_MAX)
        return IOCTL_EXT_SOURCE_TOO_LONG;
    if (command->dst_length > IOCTL_BUFFER_MAX)
        return IOCTL_EXT_DESTINATION_TOO_LONG;
    if ((command->src_length == 0) != (command->src_buf == 0))
        return IOCTL_EXT_SOURCE;
    return (command->dst_length == 0) != (command->dst_buf == 0) ? IOCTL_EXT_DESTINATION : 0;
}

static uint32_t check_session(const struct ioctl_generic *command, const struct preload_session *session)
{
    switch (command->session_control_flags & IOCTL_SESSION_KIND) {
    case AZIHSM_KIND_CLOSE:
    case AZIHSM_KIND_IN_SESSION:
        if (!session->open)
            return IOCTL_EXT_NO_SESSION;
        if ((command->session_control_flags & IOCTL_SESSION_ID_VALID) == 0 || command->session_id != session->sess_id)
            return IOCTL_EXT_SESSION_ID;
        return 0;
    case AZIHSM_KIND_OPEN:
        return session->open ? IOCTL_EXT_SESSION_LIMIT : 0;
    default:
        return 0;
    }
}

static uint32_t check_addresses(const struct ioctl_generic *command)
{
    if (!preload_user_range(command->src_buf, command->src_length))
        return IOCTL_EXT_SOURCE;
    return preload_user_range(command->dst_buf, command->dst_length) ? 0 : IOCTL_EXT_DESTINATION;
}

/* What a completion does to the record (3.3), read from the response message. */
static void note_completion(struct preload_file *file, const struct azihsm_request *request)
{
    struct preload_session session = {0};
    struct azihsm_session_resp opened;
    struct azihsm_resp_hdr hdr;

    if (request->session_kind == AZIHSM_KIND_OPEN) {
        if (azihsm_ddi_decode_response(AZIHSM_DEVICE_VIRTUAL, AZIHSM_OP_OPEN_SESSION, request->response,
                                       request->response_len, &hdr, &opened, NULL) != AZIHSM_OK)
            return;
        session = (struct preload_session){true, true, opened.sess_id, opened.short_app_id};
    } else if (request->session_kind != AZIHSM_KIND_CLOSE ||
               azihsm_ddi_decode_response(AZIHSM_DEVICE_VIRTUAL, AZIHSM_OP_CLOSE_SESSION, request->response,
                                          request->response_len, &hdr, NULL, NULL) != AZIHSM_OK) {
        return;
    }
    preload_session_set(file, &session);
}

static int refuse(struct ioctl_generic *command, uint32_t ext_status, int error)
{
    command->out_ext_status = ext_status;
    errno = error;
    return -1;
}

/* ---- what the device answers to a submission before it looks at the message (5.15) ---- */

enum {
    OPCODE_MASK = 0x3ff,
    CQE_INVALID_OPCODE = 0x001,
    CQE_INVALID_SOURCE_LENGTH = 0x0c1,
    CQE_INVALID_DESTINATION_LENGTH = 0x0c2,
    PHYSICAL_SOURCE_MAX = 4096,
};

/* Asks the device, as GetDeviceInfo does. */
static bool is_physical(const struct preload_file *file)
{
    static const struct azihsm_req_hdr hdr = {.has_rev = true, .rev = {1, 0}, .op = AZIHSM_OP_GET_DEVICE_INFO};
    struct azihsm_get_device_info_resp info = {.kind = AZIHSM_DEVICE_VIRTUAL};
    struct azihsm_request *request;
    struct azihsm_resp_hdr answered;
    azihsm_rc rc = azihsm_request_acquire(file->device, preload_deadline(), &request);

    if (rc != AZIHSM_OK)
        return false;
    rc = azihsm_ddi_encode_request(AZIHSM_DEVICE_VIRTUAL, &hdr, NULL, request->frame, AZIHSM_FRAME_MAX,
                                   &request->frame_len);
    if (rc == AZIHSM_OK)
        rc = azihsm_request_submit(request);
    if (rc == AZIHSM_OK)
        rc = azihsm_request_wait(request);
    if (rc == AZIHSM_OK)
        rc = azihsm_ddi_decode_response(AZIHSM_DEVICE_VIRTUAL, hdr.op, request->response, request->response_len,
                                        &answered, &info, NULL);
    azihsm_request_release(request);
    return rc == AZIHSM_OK && info.kind == AZIHSM_DEVICE_PHYSICAL;
}

/*
 * A completion status, or 0: the request is to be executed. Opcode 1, the flush, is the driver's own. Firmware has no
 * use for a command without room for the answer; the simulator knows no lengths.
 */
static uint32_t check_submission(const struct preload_file *file, const struct ioctl_generic *command)
{
    if ((command->opc & OPCODE_MASK) != 0)
        return CQE_INVALID_OPCODE;
    if (command->dst_length != 0 || !is_physical(file))
        return 0;
    return command->src_length == 0 || command->src_length > PHYSICAL_SOURCE_MAX ? CQE_INVALID_SOURCE_LENGTH
                                                                                 : CQE_INVALID_DESTINATION_LENGTH;
}

/* Reads the outcome of a request that was submitted; 0, or -1 with errno. */
static int finish(struct preload_file *file, struct ioctl_generic *command, struct azihsm_request *request,
                  azihsm_rc rc)
{
    const struct queue_slot *slot = queue_request_slot((struct queue_request *)request);

    if (rc == AZIHSM_E_LOST || rc == AZIHSM_E_TIMEOUT)
        return refuse(command, IOCTL_EXT_ABORTED, EAGAIN);
    if (rc != AZIHSM_OK && slot->ext_status != 0)
        return refuse(command, slot->ext_status, EINVAL);
    command->out_status = rc == AZIHSM_OK ? 0 : slot->cqe_status;
    command->out_byte_count = 0;
    if (rc != AZIHSM_OK)
        return 0;
    note_completion(file, request);
    if (!preload_copy_out(command->dst_buf, request->response,
                          request->response_len < command->dst_length ? request->response_len : command->dst_length))
        return refuse(command, IOCTL_EXT_DESTINATION, EINVAL);
    command->out_byte_count =
        request->response_len < command->dst_length ? (uint32_t)request->response_len : command->dst_length;
    return 0;
}

/* Submits the frame that was copied in, unless the device refuses the submission. */
static int submit(struct preload_file *file, struct ioctl_generic *command, struct azihsm_request *request,
                  uint32_t refused)
{
    azihsm_rc rc;

    if (refused != 0) {
        command->out_status = refused;
        command->out_byte_count = 0;
        return 0;
    }
    rc = azihsm_request_submit(request);
    if (rc == AZIHSM_OK)
        rc = azihsm_request_wait(request);
    return finish(file, command, request, rc);
}

static int execute(struct preload_file *file, struct ioctl_generic *command)
{
    bool with_id = (command->session_control_flags & IOCTL_SESSION_ID_VALID) != 0;
    uint32_t refused = check_submission(file, command); /* it may send a request: before we hold one */
    struct azihsm_request *request;
    azihsm_rc rc = azihsm_request_acquire(file->device, preload_deadline(), &request);
    int result;

    if (rc != AZIHSM_OK)
        return refuse(command, rc == AZIHSM_E_LOST ? IOCTL_EXT_ABORTED : IOCTL_EXT_ABORT_IN_PROGRESS, EAGAIN);
    request->frame_len = command->src_length;
    request->session_kind = (enum azihsm_session_kind)(command->session_control_flags & IOCTL_SESSION_KIND);
    /* NoSession: the caller's id is not forwarded (3.3). */
    request->has_sess_id = with_id && request->session_kind != AZIHSM_KIND_NO_SESSION;
    request->sess_id = request->has_sess_id ? command->session_id : 0;
    request->deadline_ns = preload_deadline();
    if (preload_copy_in(request->frame, command->src_buf, command->src_length))
        result = submit(file, command, request, refused);
    else
        result = refuse(command, IOCTL_EXT_SOURCE, EINVAL);
    azihsm_request_release(request);
    return result;
}

/* The driver's answer to a structure it cannot read: zeros (8.3). */
static int unreadable(void *argument)
{
    struct ioctl_generic zeros = {0};

    preload_copy_out((uintptr_t)argument, &zeros, sizeof(zeros));
    errno = EINVAL;
    return -1;
}

int preload_slow(struct preload_file *file, void *argument)
{
    struct preload_session session = preload_session(file);
    struct ioctl_generic command = {0};
    uint32_t refused;
    int result, error;

    if (!preload_copy_in(&command, (uintptr_t)argument, sizeof(command.header)) ||
        command.header.size < sizeof(command) || !preload_copy_in(&command, (uintptr_t)argument, sizeof(command)))
        return unreadable(argument);
    refused = check_arguments(&command);
    if (refused == 0) {
        command.out_ctxt = command.ctxt;
        refused = check_session(&command, &session);
    }
    if (refused == 0)
        refused = check_addresses(&command);
    result = refused != 0 ? refuse(&command, refused, EINVAL) : execute(file, &command);
    error = errno;
    if (!preload_copy_out((uintptr_t)argument, &command, sizeof(command))) {
        error = EFAULT;
        result = -1;
    }
    errno = error;
    return result;
}
