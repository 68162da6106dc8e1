/*
 * Results of fixed or bounded size into the caller's buffer.
 */
#ifndef CLIENT_OUTPUT_H
#define CLIENT_OUTPUT_H

#include <azihsm/ddi.h>
#include <azihsm/error.h>
#include <string.h>

struct output {
    uint8_t *data;
    size_t *len; /* room, then what was written */
    size_t room;
};

static inline struct output output_to(uint8_t *data, size_t *len)
{
    return (struct output){data, len, *len};
}

static inline azihsm_rc output_put(const struct output *out, struct azihsm_bytes bytes, struct azihsm_error *err)
{
    if (bytes.len > out->room)
        return azihsm_error_set(err, AZIHSM_E_ARGUMENT, "the result has %zu bytes, there is room for %zu", bytes.len,
                                out->room);
    memcpy(out->data, bytes.data, bytes.len);
    *out->len = bytes.len;
    return AZIHSM_OK;
}

#endif
