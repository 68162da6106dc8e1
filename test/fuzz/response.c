/*
 * Fuzz target: responses, as a client reads them, in both profiles. The opcode that the client expects is taken from
 * where a response without revision, and one with, carries it, so that bodies are reached.
 */
#include "fuzz.h"

#include <azihsm/ddi.h>

#include <stdlib.h>
#include <string.h>

/* Reads every byte that the decoded body points to, by writing it again. */
static size_t write_again(struct azihsm_resp_hdr *hdr, const union azihsm_any_body *body, uint8_t *out, size_t cap)
{
    size_t len = 0;

    PROMISE(azihsm_ddi_encode_response(hdr, body, out, cap, &len) == AZIHSM_OK);
    return len;
}

static void read_as(uint32_t op, const uint8_t *data, size_t len)
{
    uint8_t first[2 * AZIHSM_FRAME_MAX], second[2 * AZIHSM_FRAME_MAX];
    struct azihsm_resp_hdr hdr;
    union azihsm_any_body body;
    struct azihsm_scratch scratch;
    size_t first_len, second_len;

    if (azihsm_ddi_decode_response(AZIHSM_DEVICE_PHYSICAL, op, data, len, &hdr, &body, &scratch) == AZIHSM_OK) {
        PROMISE(scratch.used <= sizeof(scratch.buf));
        write_again(&hdr, &body, first, sizeof(first));
    }
    if (azihsm_ddi_decode_response(AZIHSM_DEVICE_VIRTUAL, op, data, len, &hdr, &body, NULL) != AZIHSM_OK)
        return;
    first_len = write_again(&hdr, &body, first, sizeof(first));
    PROMISE(azihsm_ddi_decode_response(AZIHSM_DEVICE_VIRTUAL, op, first, first_len, &hdr, &body, NULL) == AZIHSM_OK);
    second_len = write_again(&hdr, &body, second, sizeof(second));
    PROMISE(second_len == first_len && memcmp(first, second, first_len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const size_t op_at[] = {7, 24};

    for (size_t i = 0; i < sizeof(op_at) / sizeof(op_at[0]); i++)
        if (len >= op_at[i] + 4) {
            const uint8_t *op = data + op_at[i];

            read_as((uint32_t)op[0] << 24 | (uint32_t)op[1] << 16 | (uint32_t)op[2] << 8 | op[3], data, len);
        }
    return 0;
}
