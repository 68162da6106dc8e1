/*
 * Fuzz target: requests, as a device reads them. What is accepted must be writable again, in the canonical encoding,
 * and that must read as the same message.
 */
#include "fuzz.h"

#include <azihsm/ddi.h>

#include <stdlib.h>
#include <string.h>

struct request {
    struct azihsm_req_hdr hdr;
    union azihsm_any_body body;
};

static azihsm_rc read_request(const uint8_t *in, size_t len, struct request *request)
{
    size_t offset;
    azihsm_rc rc;

    memset(request, 0, sizeof(*request));
    rc = azihsm_ddi_decode_request_header(in, len, &request->hdr, &offset);
    PROMISE(offset <= len);
    return rc != AZIHSM_OK ? rc : azihsm_ddi_decode_request_body(request->hdr.op, in, len, offset, &request->body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    uint8_t first[2 * AZIHSM_FRAME_MAX], second[2 * AZIHSM_FRAME_MAX];
    struct request request;
    size_t first_len, second_len;

    if (read_request(data, len, &request) != AZIHSM_OK)
        return 0;
    PROMISE(azihsm_ddi_encode_request(AZIHSM_DEVICE_VIRTUAL, &request.hdr, &request.body, first, sizeof(first),
                                      &first_len) == AZIHSM_OK);
    /* The physical form may be refused, never be longer than its buffer. */
    azihsm_ddi_encode_request(AZIHSM_DEVICE_PHYSICAL, &request.hdr, &request.body, second, len, &second_len);
    PROMISE(read_request(first, first_len, &request) == AZIHSM_OK);
    PROMISE(azihsm_ddi_encode_request(AZIHSM_DEVICE_VIRTUAL, &request.hdr, &request.body, second, first_len,
                                      &second_len) == AZIHSM_OK);
    PROMISE(second_len == first_len && memcmp(first, second, first_len) == 0);
    return 0;
}
