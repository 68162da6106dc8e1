/*
 * One request and its response on an open handle: encode, submit, wait, decode.
 *
 * The decoded body holds views into the response, so the exchange owns the request until exchange_end. On the stack of
 * its user; one exchange at a time per struct.
 */
#ifndef CLIENT_EXCHANGE_H
#define CLIENT_EXCHANGE_H

#include <azihsm/device.h>

enum { EXCHANGE_NO_SESSION = -1 };

struct exchange {
    struct azihsm_request *request;
    struct azihsm_resp_hdr hdr;
    struct azihsm_scratch scratch;
};

/*
 * request and response: the structs of op in ddi.h, or NULL. sess_id: the header's session id, or EXCHANGE_NO_SESSION.
 * Returns the transport's failure, the device's status, or a codec error. Always followed by exchange_end.
 */
azihsm_rc exchange_run(struct exchange *exchange, struct azihsm_device *device, int64_t deadline_ns, uint32_t op,
                       int32_t sess_id, const void *request, void *response);
void exchange_end(struct exchange *exchange);

/*
 * The same in steps, for callers that do something between them: begin takes a request slot (waiting for one until
 * slot_deadline_ns) and encodes; the caller submits exchange->request; finish waits and decodes.
 */
azihsm_rc exchange_begin(struct exchange *exchange, struct azihsm_device *device, int64_t slot_deadline_ns,
                         int64_t deadline_ns, uint32_t op, int32_t sess_id, const void *request);
azihsm_rc exchange_finish(struct exchange *exchange, uint32_t op, void *response);

#endif
