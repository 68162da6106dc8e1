/*
 * Validation (ddi-protocol 2.5, device-behaviour 5.0). The simulator looks at the body before the session, the
 * firmware at the session before the body; everything else is common.
 */
#include "emulator/dispatch.h"

#include "emulator/command.h"
#include "emulator/subject.h"

#include <openssl/crypto.h>

enum { CQE_INVALID_FIELD = 0x002, CQE_INTERNAL_ERROR = 0x007, CQE_INVALID_SOURCE_LENGTH = 0x0C1 };
enum { PHYSICAL_REQUEST_MAX = 4096, OP_RESET_FUNCTION = 2001 };

/*
 * early: what the firmware checks before it decodes the body. check: arguments that the simulator checks before the
 * session.
 */
struct command_row {
    uint32_t op;
    command_fn *handler;
    command_fn *early;
    command_fn *check;
    bool extension;
};

static const struct command_row rows[] = {
    {AZIHSM_OP_ECC_SIGN, cmd_ecc_sign, NULL, NULL, false},
    {AZIHSM_OP_RSA_MOD_EXP, cmd_rsa_mod_exp, NULL, NULL, false},
    {AZIHSM_OP_GET_API_REV, cmd_get_api_rev, NULL, NULL, false},
    {AZIHSM_OP_GET_DEVICE_INFO, cmd_get_device_info, NULL, NULL, false},
    {AZIHSM_OP_DELETE_KEY, cmd_delete_key, NULL, NULL, false},
    {AZIHSM_OP_OPEN_KEY, cmd_open_key, NULL, NULL, false},
    {AZIHSM_OP_ATTEST_KEY, cmd_attest_key, NULL, NULL, false},
    {AZIHSM_OP_RSA_UNWRAP, cmd_rsa_unwrap, NULL, NULL, false},
    {AZIHSM_OP_GET_UNWRAPPING_KEY, cmd_get_unwrapping_key, NULL, NULL, false},
    {AZIHSM_OP_ECC_GENERATE_KEY_PAIR, cmd_ecc_generate, NULL, NULL, false},
    {AZIHSM_OP_AES_GENERATE_KEY, cmd_aes_generate, NULL, NULL, false},
    {AZIHSM_OP_AES_ENCRYPT_DECRYPT, cmd_aes_crypt, NULL, cmd_check_aes_crypt, false},
    {AZIHSM_OP_ECDH_KEY_EXCHANGE, cmd_ecdh, NULL, NULL, false},
    {AZIHSM_OP_HKDF_DERIVE, cmd_hkdf, NULL, NULL, false},
    {AZIHSM_OP_KBKDF_COUNTER_HMAC_DERIVE, cmd_kbkdf, NULL, NULL, false},
    {AZIHSM_OP_HMAC, cmd_hmac, NULL, NULL, false},
    {AZIHSM_OP_GET_ESTABLISH_CRED_ENCRYPTION_KEY, cmd_get_establish_key, NULL, NULL, false},
    {AZIHSM_OP_ESTABLISH_CREDENTIAL, cmd_establish_credential, NULL, NULL, false},
    {AZIHSM_OP_GET_SESSION_ENCRYPTION_KEY, cmd_get_session_key, NULL, NULL, false},
    {AZIHSM_OP_OPEN_SESSION, cmd_open_session, cmd_early_open_session, NULL, false},
    {AZIHSM_OP_CLOSE_SESSION, cmd_close_session, NULL, NULL, false},
    {AZIHSM_OP_CHANGE_PIN, cmd_change_pin, NULL, NULL, false},
    {AZIHSM_OP_UNMASK_KEY, cmd_unmask_key, NULL, NULL, false},
    {AZIHSM_OP_GET_CERT_CHAIN_INFO, cmd_get_cert_chain_info, NULL, NULL, false},
    {AZIHSM_OP_GET_CERTIFICATE, cmd_get_certificate, NULL, NULL, false},
    {AZIHSM_OP_REOPEN_SESSION, cmd_reopen_session, NULL, NULL, false},
    {AZIHSM_OP_INIT_BK3, cmd_init_bk3, cmd_early_init_bk3, NULL, false},
    {AZIHSM_OP_GET_SEALED_BK3, cmd_get_sealed_bk3, NULL, NULL, false},
    {AZIHSM_OP_SET_SEALED_BK3, cmd_set_sealed_bk3, cmd_early_set_sealed_bk3, NULL, false},
    {AZIHSM_OP_GET_EXTENSIONS, cmd_get_extensions, NULL, NULL, true},
    {AZIHSM_OP_RSA_GENERATE_KEY_PAIR, cmd_rsa_generate, NULL, NULL, true},
};

/* A decoded request on its way. */
struct request {
    const struct emu_submission *in;
    enum azihsm_session_kind kind; /* by the opcode */
    const struct command_row *row; /* NULL: unknown opcode */
    size_t body_offset;
};

static const struct command_row *find_row(const struct emu_device *device, uint32_t op)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (rows[i].op == op)
            return !rows[i].extension || device->config.extensions ? &rows[i] : NULL;
    return NULL;
}

/*
 * By the opcode (3.1). A test build's ResetFunction is a close command to some and an unknown one to others: as it is
 * unsupported here, either may ask.
 */
static enum azihsm_session_kind kind_of(uint32_t op, enum azihsm_session_kind beside)
{
    if (op == OP_RESET_FUNCTION && beside == AZIHSM_KIND_CLOSE)
        return beside;
    return azihsm_ddi_session_kind(op);
}

static bool op_takes_flagged(uint32_t op)
{
    return op == AZIHSM_OP_REOPEN_SESSION || op == AZIHSM_OP_CLOSE_SESSION;
}

static bool kind_has_session(enum azihsm_session_kind kind)
{
    return kind == AZIHSM_KIND_CLOSE || kind == AZIHSM_KIND_IN_SESSION;
}

/* ---- steps shared by both orders ---- */

/* A session of another namespace cannot be named: the driver compares the id with the handle's own. */
static void find_session(struct command *cmd)
{
    cmd->session = session_table_get(&cmd->device->sessions, cmd->hdr.sess_id);
    if (cmd->session != NULL && cmd->session->ns != cmd->ns) {
        session_free(cmd->session);
        cmd->session = NULL;
    }
}

static azihsm_rc check_session(const struct command *cmd)
{
    if (cmd->session == NULL)
        return command_is_virtual(cmd) ? AZIHSM_STATUS_INVALID_ARG : AZIHSM_STATUS_SESSION_NOT_FOUND;
    if (cmd->session->flagged && !op_takes_flagged(cmd->hdr.op))
        return AZIHSM_STATUS_SESSION_NEEDS_RENEGOTIATION;
    return AZIHSM_OK;
}

static azihsm_rc check_range(const struct command *cmd)
{
    bool ok = cmd->hdr.op == AZIHSM_OP_GET_API_REV ? !cmd->hdr.has_rev : command_revision_ok(cmd);
    return ok ? AZIHSM_OK : AZIHSM_STATUS_UNSUPPORTED_REVISION;
}

static azihsm_rc decode_body(struct command *cmd, const struct request *request)
{
    azihsm_rc rc = azihsm_ddi_decode_request_body(cmd->hdr.op, request->in->request, request->in->request_len,
                                                  request->body_offset, &cmd->req);
    cmd->decoded = rc == AZIHSM_OK;
    return cmd->decoded ? AZIHSM_OK : AZIHSM_STATUS_DDI_DECODE_FAILED;
}

/* ---- the simulator's order ---- */

/* Failures of the simulator's transport: there is no message then. */
static bool virtual_transport_ok(const struct command *cmd, const struct request *request)
{
    const struct emu_submission *in = request->in;
    bool has_beside = in->has_sess_id && in->session_kind != AZIHSM_KIND_NO_SESSION; /* the driver drops it (3.3) */

    if (in->session_kind != request->kind)
        return false;
    if (request->kind == AZIHSM_KIND_NO_SESSION && cmd->hdr.has_sess_id)
        return false;
    return has_beside == cmd->hdr.has_sess_id && (!has_beside || in->sess_id == cmd->hdr.sess_id);
}

static azihsm_rc virtual_revision(struct command *cmd, const struct request *request)
{
    if (!kind_has_session(request->kind))
        return check_range(cmd);
    if (!cmd->hdr.has_sess_id)
        return AZIHSM_STATUS_SESSION_EXPECTED;
    find_session(cmd);
    /* a flagged session is reported before its revision is looked at; closing it needs none */
    if (cmd->session != NULL && cmd->session->flagged && cmd->hdr.op != AZIHSM_OP_REOPEN_SESSION)
        return AZIHSM_OK;
    return check_range(cmd);
}

static azihsm_rc run_virtual(struct command *cmd, const struct request *request)
{
    azihsm_rc rc = virtual_revision(cmd, request);
    if (rc == AZIHSM_OK && request->row == NULL)
        rc = AZIHSM_STATUS_UNSUPPORTED_CMD;
    if (rc == AZIHSM_OK)
        rc = decode_body(cmd, request);
    if (rc == AZIHSM_OK && request->row->check != NULL)
        rc = request->row->check(cmd);
    if (rc == AZIHSM_OK && request->kind == AZIHSM_KIND_OPEN && cmd->hdr.has_sess_id)
        rc = AZIHSM_STATUS_SESSION_NOT_EXPECTED;
    if (rc == AZIHSM_OK && kind_has_session(request->kind))
        rc = check_session(cmd);
    return rc == AZIHSM_OK ? request->row->handler(cmd) : rc;
}

/* ---- the firmware's order ---- */

static azihsm_rc physical_hijack(const struct command *cmd, const struct request *request)
{
    const struct emu_submission *in = request->in;
    bool has_beside = in->has_sess_id && in->session_kind != AZIHSM_KIND_NO_SESSION;

    if (in->session_kind != request->kind)
        return AZIHSM_STATUS_INVALID_ARG;
    if (request->kind == AZIHSM_KIND_OPEN && cmd->hdr.has_sess_id)
        return AZIHSM_STATUS_SESSION_NOT_EXPECTED;
    if (kind_has_session(request->kind) != cmd->hdr.has_sess_id)
        return AZIHSM_STATUS_INVALID_ARG;
    if (has_beside != cmd->hdr.has_sess_id || (has_beside && in->sess_id != cmd->hdr.sess_id))
        return AZIHSM_STATUS_INVALID_ARG;
    return AZIHSM_OK;
}

static azihsm_rc physical_session(struct command *cmd, const struct request *request)
{
    azihsm_rc rc;

    if (!kind_has_session(request->kind) || cmd->hdr.op == AZIHSM_OP_INVALID)
        return check_range(cmd);
    find_session(cmd);
    rc = check_session(cmd);
    if (rc != AZIHSM_OK || cmd->session->flagged)
        return rc;
    return check_range(cmd);
}

static azihsm_rc physical_provisioned(struct command *cmd, const struct request *request)
{
    bool provisioned;

    if (request->kind != AZIHSM_KIND_IN_SESSION || (cmd->session != NULL && !cmd->session->flagged))
        return AZIHSM_OK; /* a live session proves it */
    pthread_mutex_lock(&cmd->device->lock);
    provisioned = cmd->device->provisioned;
    pthread_mutex_unlock(&cmd->device->lock);
    if (provisioned)
        return AZIHSM_OK;
    cmd->answer_sess_id = false;
    return AZIHSM_STATUS_PARTITION_NOT_PROVISIONED;
}

static azihsm_rc run_physical(struct command *cmd, const struct request *request)
{
    azihsm_rc rc = physical_hijack(cmd, request);
    if (rc == AZIHSM_OK)
        rc = physical_session(cmd, request);
    if (rc == AZIHSM_OK)
        rc = physical_provisioned(cmd, request);
    if (rc == AZIHSM_OK && request->row == NULL)
        rc = AZIHSM_STATUS_UNSUPPORTED_CMD;
    if (rc == AZIHSM_OK && request->row->early != NULL)
        rc = request->row->early(cmd);
    if (rc == AZIHSM_OK)
        rc = decode_body(cmd, request);
    if (rc == AZIHSM_OK && request->row->check != NULL)
        rc = request->row->check(cmd);
    return rc == AZIHSM_OK ? request->row->handler(cmd) : rc;
}

/* ---- answers ---- */

static void encode(struct command *cmd, azihsm_rc rc, uint8_t *response, struct dispatch_result *out)
{
    struct azihsm_resp_hdr hdr = {
        .has_rev = cmd->hdr.has_rev,
        .rev = cmd->hdr.rev,
        .op = cmd->hdr.op,
        .has_sess_id = cmd->answer_sess_id,
        .sess_id = cmd->sess_id,
        .status = rc >= 0 ? (uint32_t)rc : AZIHSM_STATUS_INTERNAL_ERROR,
    };
    if (azihsm_ddi_encode_response(&hdr, &cmd->resp, response, AZIHSM_FRAME_MAX, &out->len) == AZIHSM_OK)
        return;
    if (cmd->created && cmd->hold != NULL)
        vault_remove(cmd->ns->vault, cmd->created_id, cmd->hold);
    hdr.status = AZIHSM_STATUS_DDI_ENCODE_FAILED;
    azihsm_ddi_encode_response(&hdr, NULL, response, AZIHSM_FRAME_MAX, &out->len);
}

static void release(struct command *cmd)
{
    vault_key_free(cmd->hold);
    engine_key_free(cmd->hold_engine);
    certificate_chain_free(cmd->hold_chain);
    session_free(cmd->session);
    OPENSSL_cleanse(cmd->scratch, cmd->scratch_used);
}

static void answer_undecodable(uint8_t *response, struct dispatch_result *out)
{
    const struct azihsm_resp_hdr hdr = {.op = AZIHSM_OP_INVALID, .status = AZIHSM_STATUS_DDI_DECODE_FAILED};
    azihsm_ddi_encode_response(&hdr, NULL, response, AZIHSM_FRAME_MAX, &out->len);
}

static void execute(struct command *cmd, const struct request *request, uint8_t *response, struct dispatch_result *out)
{
    azihsm_rc rc;

    cmd->sess_id = cmd->hdr.sess_id;
    cmd->answer_sess_id = cmd->hdr.has_sess_id;
    rc = command_is_virtual(cmd) ? run_virtual(cmd, request) : run_physical(cmd, request);
    if (rc == AZIHSM_OK && request->kind == AZIHSM_KIND_OPEN) {
        out->opened = true;
        out->sess_id = cmd->sess_id;
        out->short_app_id = cmd->resp.session.short_app_id;
    }
    out->closed = rc == AZIHSM_OK && request->kind == AZIHSM_KIND_CLOSE;
    encode(cmd, rc, response, out);
    out->subject = subject_of(cmd);
    if (rc != AZIHSM_OK)
        atomic_fetch_add_explicit(&cmd->device->errors, 1, memory_order_relaxed);
    release(cmd);
}

void dispatch(struct emu_device *device, struct emu_namespace *ns, const struct emu_submission *in, uint8_t *response,
              struct dispatch_result *out)
{
    struct command cmd; /* large: only what must be set is */
    struct request request = {.in = in};

    atomic_fetch_add_explicit(&device->commands, 1, memory_order_relaxed);
    if (!device_is_virtual(device) && (in->request_len == 0 || in->request_len > PHYSICAL_REQUEST_MAX)) {
        out->cqe_status = CQE_INVALID_SOURCE_LENGTH;
        return;
    }
    if (device->failed) {
        out->cqe_status = CQE_INTERNAL_ERROR;
        return;
    }
    cmd.device = device;
    cmd.ns = ns;
    cmd.session = NULL;
    cmd.hold = NULL;
    cmd.hold_engine = NULL;
    cmd.hold_chain = NULL;
    cmd.created = false;
    cmd.decoded = false;
    cmd.scratch_used = 0;
    cmd.hdr = (struct azihsm_req_hdr){0};
    if (azihsm_ddi_decode_request_header(in->request, in->request_len, &cmd.hdr, &request.body_offset) != AZIHSM_OK) {
        answer_undecodable(response, out);
        return;
    }
    request.kind = kind_of(cmd.hdr.op, in->session_kind);
    request.row = find_row(device, cmd.hdr.op);
    if (device_is_virtual(device) && !virtual_transport_ok(&cmd, &request)) {
        out->cqe_status = CQE_INVALID_FIELD;
        return;
    }
    execute(&cmd, &request, response, out);
}

bool dispatch_close_session(struct emu_device *device, struct session *session)
{
    if (!session_table_remove(&device->sessions, session))
        return false;
    vault_close_session(session->ns->vault, session);
    return true;
}
