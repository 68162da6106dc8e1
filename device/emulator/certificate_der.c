/*
 * The DER writer: bytes, headers, nothing else.
 */
#include "emulator/certificate_der.h"

#include <string.h>

struct der_writer der_writer_new(uint8_t *buf, size_t cap)
{
    return (struct der_writer){buf, cap, cap, false};
}

size_t der_mark(const struct der_writer *w)
{
    return w->start;
}

void der_bytes(struct der_writer *w, const void *data, size_t len)
{
    if (len > w->start) {
        w->full = true;
        return;
    }
    w->start -= len;
    memcpy(w->buf + w->start, data, len);
}

void der_header(struct der_writer *w, enum der_tag tag, size_t mark)
{
    size_t len = mark - w->start;
    uint8_t header[4] = {(uint8_t)tag, (uint8_t)len};

    if (len < 0x80) {
        der_bytes(w, header, 2);
    } else if (len < 0x100) {
        header[1] = 0x81;
        header[2] = (uint8_t)len;
        der_bytes(w, header, 3);
    } else {
        header[1] = 0x82;
        header[2] = (uint8_t)(len >> 8);
        header[3] = (uint8_t)len;
        der_bytes(w, header, 4);
    }
}

void der_element(struct der_writer *w, enum der_tag tag, const void *data, size_t len)
{
    size_t mark = der_mark(w);

    der_bytes(w, data, len);
    der_header(w, tag, mark);
}

struct azihsm_bytes der_result(const struct der_writer *w)
{
    return (struct azihsm_bytes){w->buf + w->start, w->end - w->start};
}
