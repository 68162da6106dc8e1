/*
 * MBOR primitives (ddi-protocol 1.1 - 1.4): a writer that emits exactly the canonical encoding and a reader that is
 * strict about structure and lax about markers, as the devices are.
 *
 * Both keep the first error and do nothing afterwards, so a caller may check once at the end. Neither owns its buffer;
 * byte strings that were read are views into it.
 */
#ifndef AZIHSM_DDI_MBOR_H
#define AZIHSM_DDI_MBOR_H

#include <azihsm/ddi.h>

/* The codec's own error names (1.4); at the message layer they collapse to AZIHSM_E_DECODE and AZIHSM_E_ENCODE. */
enum mbor_error {
    MBOR_OK,
    MBOR_BUFFER_UNDERFLOW,
    MBOR_BUFFER_OVERFLOW,
    MBOR_EXPECTED_MAP,
    MBOR_EXPECTED_BOOL,
    MBOR_EXPECTED_U8, /* not a byte string, in the devices' words */
    MBOR_INVALID_PADDING,
    MBOR_INVALID_LEN,
    MBOR_INVALID_ID,
    MBOR_INVALID_KEY_DATA, /* the last two come from wire forms (6.6) */
    MBOR_DER_DECODE_FAILED,
};

/* out[0] is the reference point of all padding (1.2): the start of a message, or of a metadata blob. */
struct mbor_writer {
    uint8_t *out;
    size_t cap;
    size_t used;
    size_t length_at; /* of the byte string begun last */
    enum mbor_error error;
};

void mbor_writer_init(struct mbor_writer *w, uint8_t *out, size_t cap);
void mbor_put_map(struct mbor_writer *w, size_t count);
void mbor_put_id(struct mbor_writer *w, uint8_t id);
/* size is 1, 2, 4 or 8 */
void mbor_put_uint(struct mbor_writer *w, size_t size, uint64_t value);
void mbor_put_bool(struct mbor_writer *w, bool value);
void mbor_put_fixed(struct mbor_writer *w, const uint8_t *data, size_t len);
void mbor_put_bytes(struct mbor_writer *w, struct azihsm_bytes value, size_t maximum);
/* A byte string written in place: where its data goes and how much fits, then how much it was. NULL after an error. */
uint8_t *mbor_begin_bytes(struct mbor_writer *w, size_t *room);
void mbor_end_bytes(struct mbor_writer *w, size_t len, size_t maximum);
void mbor_writer_fail(struct mbor_writer *w, enum mbor_error error);

struct mbor_reader {
    const uint8_t *in;
    size_t len;
    size_t pos;
    enum mbor_error error;
};

void mbor_reader_init(struct mbor_reader *r, const uint8_t *in, size_t len);
/* Number of fields that the map announces. */
unsigned mbor_get_map(struct mbor_reader *r);
/* A required field: takes the id and counts it off. */
void mbor_get_id(struct mbor_reader *r, unsigned *remaining, uint8_t expected);
/* An optional field: takes the id when it is there. */
bool mbor_try_id(struct mbor_reader *r, unsigned *remaining, uint8_t expected);
void mbor_end_map(struct mbor_reader *r, unsigned remaining);
uint64_t mbor_get_uint(struct mbor_reader *r, size_t size);
bool mbor_get_bool(struct mbor_reader *r);
void mbor_get_fixed(struct mbor_reader *r, uint8_t *out, size_t len);
struct azihsm_bytes mbor_get_bytes(struct mbor_reader *r, size_t maximum);
void mbor_reader_fail(struct mbor_reader *r, enum mbor_error error);

#endif
