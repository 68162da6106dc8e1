/*
 * MBOR primitives. All bounds checks of the codec are the two functions take() and reserve(): nothing else touches
 * the buffers, so no input can be read, and no output written, past its end.
 */
#include "mbor.h"

#include <string.h>

enum {
    MARKER_BOOL = 0x14,
    MARKER_UINT = 0x18, /* plus log2 of the size */
    MARKER_BYTES = 0x80,
    MARKER_MAP = 0xA0,
    PAD_MASK = 0x03,
    COUNT_MASK = 0x1F,
};

void mbor_writer_init(struct mbor_writer *w, uint8_t *out, size_t cap)
{
    *w = (struct mbor_writer){.out = out, .cap = cap};
}

void mbor_writer_fail(struct mbor_writer *w, enum mbor_error error)
{
    if (w->error == MBOR_OK)
        w->error = error;
}

static uint8_t *reserve(struct mbor_writer *w, size_t len)
{
    uint8_t *at;

    if (w->error == MBOR_OK && w->cap - w->used < len)
        w->error = MBOR_BUFFER_OVERFLOW;
    if (w->error != MBOR_OK)
        return NULL;
    at = w->out + w->used;
    w->used += len;
    return at;
}

static void put_byte(struct mbor_writer *w, unsigned value)
{
    uint8_t *at = reserve(w, 1);

    if (at != NULL)
        *at = (uint8_t)value;
}

static void put_be(struct mbor_writer *w, size_t size, uint64_t value)
{
    uint8_t *at = reserve(w, size);

    for (size_t i = 0; at != NULL && i < size; i++)
        at[i] = (uint8_t)(value >> (8 * (size - 1 - i)));
}

void mbor_put_map(struct mbor_writer *w, size_t count)
{
    put_byte(w, MARKER_MAP | (count & COUNT_MASK));
}

void mbor_put_uint(struct mbor_writer *w, size_t size, uint64_t value)
{
    unsigned selector = size == 8 ? 3 : size == 4 ? 2 : size == 2 ? 1 : 0;

    put_byte(w, MARKER_UINT + selector);
    put_be(w, size, value);
}

void mbor_put_id(struct mbor_writer *w, uint8_t id)
{
    mbor_put_uint(w, 1, id);
}

void mbor_put_bool(struct mbor_writer *w, bool value)
{
    put_byte(w, MARKER_BOOL | (value ? 1u : 0u));
}

void mbor_put_fixed(struct mbor_writer *w, const uint8_t *data, size_t len)
{
    uint8_t *at;

    put_byte(w, MARKER_BYTES);
    put_be(w, 2, len);
    at = reserve(w, len);
    if (at != NULL)
        memcpy(at, data, len);
}

uint8_t *mbor_begin_bytes(struct mbor_writer *w, size_t *room)
{
    /* The marker and the length are three bytes; the data then stands at a multiple of four. */
    size_t pad = (4 - (w->used + 3) % 4) % 4;
    uint8_t *at;

    put_byte(w, MARKER_BYTES | (unsigned)pad);
    w->length_at = w->used;
    put_be(w, 2, 0);
    at = reserve(w, pad);
    if (at == NULL)
        return NULL;
    memset(at, 0, pad);
    *room = w->cap - w->used;
    return at + pad;
}

void mbor_end_bytes(struct mbor_writer *w, size_t len, size_t maximum)
{
    if (len > maximum || len > UINT16_MAX)
        mbor_writer_fail(w, MBOR_BUFFER_OVERFLOW);
    if (reserve(w, len) == NULL)
        return;
    w->out[w->length_at] = (uint8_t)(len >> 8);
    w->out[w->length_at + 1] = (uint8_t)len;
}

void mbor_put_bytes(struct mbor_writer *w, struct azihsm_bytes value, size_t maximum)
{
    size_t room;
    uint8_t *at = mbor_begin_bytes(w, &room);

    if (at != NULL && value.len > 0 && value.len <= room)
        memcpy(at, value.data, value.len);
    mbor_end_bytes(w, value.len, maximum);
}

void mbor_reader_init(struct mbor_reader *r, const uint8_t *in, size_t len)
{
    *r = (struct mbor_reader){.in = in, .len = len};
}

void mbor_reader_fail(struct mbor_reader *r, enum mbor_error error)
{
    if (r->error == MBOR_OK)
        r->error = error;
}

static const uint8_t *take(struct mbor_reader *r, size_t len)
{
    const uint8_t *at;

    if (r->error == MBOR_OK && r->len - r->pos < len)
        r->error = MBOR_BUFFER_UNDERFLOW;
    if (r->error != MBOR_OK)
        return NULL;
    at = r->in + r->pos;
    r->pos += len;
    return at;
}

static uint64_t get_be(struct mbor_reader *r, size_t size)
{
    const uint8_t *at = take(r, size);
    uint64_t value = 0;

    for (size_t i = 0; at != NULL && i < size; i++)
        value = value << 8 | at[i];
    return value;
}

unsigned mbor_get_map(struct mbor_reader *r)
{
    const uint8_t *at = take(r, 1);

    if (at == NULL)
        return 0;
    if ((*at & MARKER_MAP) != MARKER_MAP)
        mbor_reader_fail(r, MBOR_EXPECTED_MAP);
    return *at & COUNT_MASK;
}

void mbor_get_id(struct mbor_reader *r, unsigned *remaining, uint8_t expected)
{
    if (*remaining == 0) {
        mbor_reader_fail(r, MBOR_INVALID_ID);
        return;
    }
    if (mbor_get_uint(r, 1) != expected)
        mbor_reader_fail(r, MBOR_INVALID_ID);
    --*remaining;
}

bool mbor_try_id(struct mbor_reader *r, unsigned *remaining, uint8_t expected)
{
    if (r->error != MBOR_OK || *remaining == 0 || r->len - r->pos < 2 || r->in[r->pos + 1] != expected)
        return false;
    r->pos += 2;
    --*remaining;
    return true;
}

void mbor_end_map(struct mbor_reader *r, unsigned remaining)
{
    if (remaining != 0)
        mbor_reader_fail(r, MBOR_INVALID_LEN);
}

/* The marker is skipped unseen: the devices do not look at it either (1.4). */
uint64_t mbor_get_uint(struct mbor_reader *r, size_t size)
{
    take(r, 1);
    return get_be(r, size);
}

bool mbor_get_bool(struct mbor_reader *r)
{
    const uint8_t *at = take(r, 1);
    unsigned value = at == NULL ? 0 : *at & ~(unsigned)MARKER_BOOL;

    if (value > 1)
        mbor_reader_fail(r, MBOR_EXPECTED_BOOL);
    return value == 1;
}

static unsigned get_bytes_marker(struct mbor_reader *r)
{
    const uint8_t *at = take(r, 1);

    if (at == NULL)
        return 0;
    if ((*at & MARKER_BYTES) == 0)
        mbor_reader_fail(r, MBOR_EXPECTED_U8);
    return *at & PAD_MASK;
}

void mbor_get_fixed(struct mbor_reader *r, uint8_t *out, size_t len)
{
    const uint8_t *at;

    if (get_bytes_marker(r) != 0)
        mbor_reader_fail(r, MBOR_INVALID_PADDING);
    if (get_be(r, 2) != len)
        mbor_reader_fail(r, MBOR_INVALID_LEN);
    at = take(r, len);
    if (at != NULL)
        memcpy(out, at, len);
}

struct azihsm_bytes mbor_get_bytes(struct mbor_reader *r, size_t maximum)
{
    unsigned pad = get_bytes_marker(r);
    size_t len = (size_t)get_be(r, 2);
    struct azihsm_bytes value = {NULL, 0};

    if (len > maximum)
        mbor_reader_fail(r, MBOR_BUFFER_UNDERFLOW);
    take(r, pad);
    value.data = take(r, len);
    if (value.data != NULL)
        value.len = len;
    return value;
}
