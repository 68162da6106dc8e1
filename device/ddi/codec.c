/*
 * Frames (ddi-protocol section 2): a map of exactly two fields, header and body, in both directions. The detailed
 * errors of the primitives end here as one decode or encode error; what a device answers to them is its own affair.
 */
#include "layout.h"

#include <string.h>

enum { FRAME_HDR = 0, FRAME_DATA = 1, FRAME_FIELDS = 2 };

static const struct layout empty = {NULL, 0, 0};

static const struct layout *or_empty(const struct layout *layout)
{
    return layout != NULL ? layout : &empty;
}

enum azihsm_session_kind azihsm_ddi_session_kind(uint32_t op)
{
    const struct operation *operation = operation_find(op);

    return operation != NULL ? operation->session : AZIHSM_KIND_IN_SESSION;
}

const char *azihsm_ddi_op_name(uint32_t op)
{
    const struct operation *operation = operation_find(op);

    if (operation != NULL)
        return operation->name;
    return op == AZIHSM_OP_INVALID ? "Invalid" : "?";
}

static azihsm_rc encode_frame(enum azihsm_device_kind kind, const struct layout *hdr_layout, const void *hdr,
                              const struct layout *body_layout, const void *body, struct mbor_writer *w, size_t *len)
{
    mbor_put_map(w, FRAME_FIELDS);
    mbor_put_id(w, FRAME_HDR);
    layout_encode(w, hdr_layout, hdr, AZIHSM_DEVICE_VIRTUAL);
    mbor_put_id(w, FRAME_DATA);
    layout_encode(w, body_layout, body, kind);
    if (w->error != MBOR_OK)
        return AZIHSM_E_ENCODE;
    *len = w->used;
    return AZIHSM_OK;
}

azihsm_rc azihsm_ddi_encode_request(enum azihsm_device_kind kind, const struct azihsm_req_hdr *hdr, const void *body,
                                    uint8_t *out, size_t cap, size_t *len)
{
    const struct operation *operation = operation_find(hdr->op);
    struct mbor_writer w;

    if (operation == NULL || (operation->request != NULL && body == NULL))
        return AZIHSM_E_ARGUMENT;
    mbor_writer_init(&w, out, cap);
    return encode_frame(kind, &layout_req_hdr, hdr, or_empty(operation->request), body, &w, len);
}

azihsm_rc azihsm_ddi_encode_response(const struct azihsm_resp_hdr *hdr, const void *body, uint8_t *out, size_t cap,
                                     size_t *len)
{
    const struct layout *layout = &empty;
    struct mbor_writer w;

    if (hdr->status == AZIHSM_STATUS_SUCCESS && body != NULL) {
        const struct operation *operation = operation_find(hdr->op);

        if (operation == NULL)
            return AZIHSM_E_ARGUMENT;
        layout = or_empty(operation->response);
    }
    mbor_writer_init(&w, out, cap);
    return encode_frame(AZIHSM_DEVICE_VIRTUAL, &layout_resp_hdr, hdr, layout, body, &w, len);
}

/* The top map and the header. Any count but two is refused: nobody sends the optional third field (2.1, 2.2). */
static azihsm_rc decode_header(struct mbor_reader *r, const struct layout *layout, void *hdr)
{
    unsigned remaining = mbor_get_map(r);

    memset(hdr, 0, layout->size);
    if (remaining != FRAME_FIELDS)
        mbor_reader_fail(r, MBOR_INVALID_LEN);
    mbor_get_id(r, &remaining, FRAME_HDR);
    layout_decode(r, layout, hdr, AZIHSM_DEVICE_VIRTUAL, NULL);
    return r->error == MBOR_OK ? AZIHSM_OK : AZIHSM_E_DECODE;
}

static azihsm_rc decode_body(struct mbor_reader *r, const struct layout *layout, void *body,
                             enum azihsm_device_kind kind, struct azihsm_scratch *scratch)
{
    unsigned remaining = 1;

    mbor_get_id(r, &remaining, FRAME_DATA);
    if (layout->size > 0)
        memset(body, 0, layout->size);
    layout_decode(r, layout, body, kind, scratch);
    return r->error == MBOR_OK ? AZIHSM_OK : AZIHSM_E_DECODE;
}

azihsm_rc azihsm_ddi_decode_response(enum azihsm_device_kind kind, uint32_t expected_op, const uint8_t *in, size_t len,
                                     struct azihsm_resp_hdr *hdr, void *body, struct azihsm_scratch *scratch)
{
    const struct operation *operation = operation_find(expected_op);
    struct mbor_reader r;

    if (operation == NULL || (operation->response != NULL && body == NULL) ||
        (kind == AZIHSM_DEVICE_PHYSICAL && scratch == NULL))
        return AZIHSM_E_ARGUMENT;
    mbor_reader_init(&r, in, len);
    if (decode_header(&r, &layout_resp_hdr, hdr) != AZIHSM_OK)
        return AZIHSM_E_DECODE;
    /* Negative results are ours: no device can make us believe one. */
    if (hdr->status > INT32_MAX)
        return AZIHSM_E_PROTOCOL;
    /* Before the opcode: an undecodable request is answered with opcode Invalid. */
    if (hdr->status != AZIHSM_STATUS_SUCCESS)
        return (azihsm_rc)hdr->status;
    if (hdr->op != expected_op)
        return AZIHSM_E_DECODE;
    if (scratch != NULL)
        scratch->used = 0;
    return decode_body(&r, or_empty(operation->response), body, kind, scratch);
}

azihsm_rc azihsm_ddi_decode_request_header(const uint8_t *in, size_t len, struct azihsm_req_hdr *hdr,
                                           size_t *body_offset)
{
    struct mbor_reader r;
    azihsm_rc rc;

    mbor_reader_init(&r, in, len);
    rc = decode_header(&r, &layout_req_hdr, hdr);
    *body_offset = r.pos;
    return rc;
}

azihsm_rc azihsm_ddi_decode_request_body(uint32_t op, const uint8_t *in, size_t len, size_t body_offset, void *body)
{
    const struct operation *operation = operation_find(op);
    struct mbor_reader r;
    azihsm_rc rc;

    if (operation == NULL || (operation->request != NULL && body == NULL))
        return AZIHSM_E_ARGUMENT;
    if (body_offset > len)
        return AZIHSM_E_DECODE;
    mbor_reader_init(&r, in, len);
    r.pos = body_offset;
    rc = decode_body(&r, or_empty(operation->request), body, AZIHSM_DEVICE_VIRTUAL, NULL);
    if (rc == AZIHSM_OK && r.pos != len)
        rc = AZIHSM_E_DECODE;
    return rc;
}
