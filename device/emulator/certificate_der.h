/*
 * A DER writer that fills its buffer from the end: content is there before its header, so every length is known when
 * it is written. For the fixed shapes of the device's certificates; libcrypto's own builder would look the public key
 * up in its default context.
 */
#ifndef EMULATOR_CERTIFICATE_DER_H
#define EMULATOR_CERTIFICATE_DER_H

#include <azihsm/ddi.h>

enum der_tag {
    DER_BOOLEAN = 0x01,
    DER_INTEGER = 0x02,
    DER_BIT_STRING = 0x03,
    DER_OCTET_STRING = 0x04,
    DER_UTF8_STRING = 0x0c,
    DER_UTC_TIME = 0x17,
    DER_GENERALIZED_TIME = 0x18,
    DER_SEQUENCE = 0x30,
    DER_SET = 0x31,
    DER_CONTEXT_0 = 0x80,
    DER_EXPLICIT_0 = 0xa0,
    DER_EXPLICIT_3 = 0xa3,
};

struct der_writer {
    uint8_t *buf;
    size_t start; /* first byte in use */
    size_t end;   /* size of buf */
    bool full;
};

struct der_writer der_writer_new(uint8_t *buf, size_t cap);
/* Where the content of an element ends; give it to der_header when the content has been written. */
size_t der_mark(const struct der_writer *w);
void der_bytes(struct der_writer *w, const void *data, size_t len);
/* Puts tag and length before everything that was written since mark. */
void der_header(struct der_writer *w, enum der_tag tag, size_t mark);
/* An element whose content is at hand. */
void der_element(struct der_writer *w, enum der_tag tag, const void *data, size_t len);
struct azihsm_bytes der_result(const struct der_writer *w);

#endif
