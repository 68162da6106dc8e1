/*
 * What a connection admitted by ticket may do: open a session, unmask, use and drop keys. It may not make keys, change
 * the PIN, provision or reset.
 */
#include "queue_internal.h"

static const uint32_t allowed[] = {
    AZIHSM_OP_GET_API_REV,
    AZIHSM_OP_GET_DEVICE_INFO,
    AZIHSM_OP_GET_SESSION_ENCRYPTION_KEY,
    AZIHSM_OP_OPEN_SESSION,
    AZIHSM_OP_REOPEN_SESSION,
    AZIHSM_OP_CLOSE_SESSION,
    AZIHSM_OP_GET_EXTENSIONS,
    AZIHSM_OP_UNMASK_KEY,
    AZIHSM_OP_OPEN_KEY,
    AZIHSM_OP_DELETE_KEY,
    AZIHSM_OP_ECC_SIGN,
    AZIHSM_OP_RSA_MOD_EXP,
    AZIHSM_OP_AES_ENCRYPT_DECRYPT,
    AZIHSM_OP_HMAC,
    AZIHSM_OP_ECDH_KEY_EXCHANGE,
    AZIHSM_OP_HKDF_DERIVE,
    AZIHSM_OP_KBKDF_COUNTER_HMAC_DERIVE,
};

enum { CQE_INTERNAL_ERROR = 7 };

static bool is_allowed(uint32_t op)
{
    for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++) {
        if (allowed[i] == op)
            return true;
    }
    return false;
}

bool queue_restrict(const uint8_t *request, size_t request_len, uint8_t *response, struct queue_completion *out)
{
    struct azihsm_req_hdr header;
    struct azihsm_resp_hdr refusal = {.status = AZIHSM_STATUS_INVALID_PERMISSIONS};
    size_t body;

    /* What has no readable header cannot do anything; the device answers it in its own way. */
    if (azihsm_ddi_decode_request_header(request, request_len, &header, &body) != AZIHSM_OK || is_allowed(header.op))
        return true;
    refusal.has_rev = header.has_rev;
    refusal.rev = header.rev;
    refusal.op = header.op;
    refusal.has_sess_id = header.has_sess_id;
    refusal.sess_id = header.sess_id;
    *out = (struct queue_completion){0};
    if (azihsm_ddi_encode_response(&refusal, NULL, response, AZIHSM_FRAME_MAX, &out->response_len) != AZIHSM_OK)
        out->cqe_status = CQE_INTERNAL_ERROR;
    return false;
}
