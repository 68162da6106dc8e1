/*
 * One request and its response, synchronously.
 */
#include "exchange.h"

#include <openssl/crypto.h>

static azihsm_rc exchange_encode(struct exchange *exchange, uint32_t op, int32_t sess_id, const void *body)
{
    struct azihsm_request *request = exchange->request;
    struct azihsm_req_hdr hdr = {.has_rev = op != AZIHSM_OP_GET_API_REV,
                                 .rev = {1, 0},
                                 .op = op,
                                 .has_sess_id = sess_id >= 0,
                                 .sess_id = (uint16_t)(sess_id >= 0 ? sess_id : 0)};

    request->session_kind = azihsm_ddi_session_kind(op);
    request->has_sess_id = hdr.has_sess_id;
    request->sess_id = hdr.sess_id;
    return azihsm_ddi_encode_request(azihsm_device_kind(request->device), &hdr, body, request->frame,
                                     request->frame_cap, &request->frame_len);
}

azihsm_rc exchange_begin(struct exchange *exchange, struct azihsm_device *device, int64_t slot_deadline_ns,
                         int64_t deadline_ns, uint32_t op, int32_t sess_id, const void *request)
{
    azihsm_rc rc;

    exchange->request = NULL;
    exchange->scratch.used = 0;
    rc = azihsm_request_acquire(device, slot_deadline_ns, &exchange->request);
    if (rc != AZIHSM_OK)
        return rc;
    exchange->request->deadline_ns = deadline_ns;
    return exchange_encode(exchange, op, sess_id, request);
}

azihsm_rc exchange_finish(struct exchange *exchange, uint32_t op, void *response)
{
    struct azihsm_request *request = exchange->request;
    azihsm_rc rc = azihsm_request_wait(request);

    if (rc != AZIHSM_OK)
        return rc;
    return azihsm_ddi_decode_response(azihsm_device_kind(request->device), op, request->response, request->response_len,
                                      &exchange->hdr, response, &exchange->scratch);
}

azihsm_rc exchange_run(struct exchange *exchange, struct azihsm_device *device, int64_t deadline_ns, uint32_t op,
                       int32_t sess_id, const void *request, void *response)
{
    azihsm_rc rc = exchange_begin(exchange, device, deadline_ns, deadline_ns, op, sess_id, request);

    if (rc == AZIHSM_OK)
        rc = azihsm_request_submit(exchange->request);
    if (rc == AZIHSM_OK)
        rc = exchange_finish(exchange, op, response);
    return rc;
}

void exchange_end(struct exchange *exchange)
{
    if (exchange->request != NULL)
        azihsm_request_release(exchange->request);
    exchange->request = NULL;
    OPENSSL_cleanse(exchange->scratch.buf, exchange->scratch.used);
}
