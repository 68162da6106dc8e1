/*
 * CBOR (RFC 8949) written to and read from the caller's own buffers, over libcbor's streaming interface.
 *
 * For state files and the control channel, whose contents may be secret: nothing is copied to memory we could not
 * cleanse. Only what we need is read: definite lengths, integers, byte and text strings, booleans, arrays and maps. A
 * writer or reader that failed once stays failed, so a sequence of calls needs one check at its end.
 */
#ifndef CLIENT_CBOR_IO_H
#define CLIENT_CBOR_IO_H

#include <azihsm/ddi.h>

struct cbor_writer {
    uint8_t *buf;
    size_t cap;
    size_t len;
    bool failed; /* something did not fit */
};

void cbor_write_init(struct cbor_writer *writer, uint8_t *buf, size_t cap);
void cbor_write_map(struct cbor_writer *writer, size_t pairs);
void cbor_write_array(struct cbor_writer *writer, size_t items);
void cbor_write_uint(struct cbor_writer *writer, uint64_t value);
void cbor_write_bool(struct cbor_writer *writer, bool value);
void cbor_write_bytes(struct cbor_writer *writer, const uint8_t *data, size_t len);
void cbor_write_text(struct cbor_writer *writer, const char *text);
/* A map entry with a text key. */
void cbor_write_pair_uint(struct cbor_writer *writer, const char *key, uint64_t value);
void cbor_write_pair_bool(struct cbor_writer *writer, const char *key, bool value);
void cbor_write_pair_bytes(struct cbor_writer *writer, const char *key, const uint8_t *data, size_t len);
void cbor_write_pair_text(struct cbor_writer *writer, const char *key, const char *text);

enum cbor_token_type {
    CBOR_TOKEN_NONE,
    CBOR_TOKEN_UINT,
    CBOR_TOKEN_NEGATIVE, /* -1 - value */
    CBOR_TOKEN_BOOL,
    CBOR_TOKEN_BYTES,
    CBOR_TOKEN_TEXT,
    CBOR_TOKEN_ARRAY, /* value items follow */
    CBOR_TOKEN_MAP    /* value pairs follow */
};

struct cbor_token {
    enum cbor_token_type type;
    uint64_t value;             /* number, boolean or count */
    struct azihsm_bytes string; /* view into the input; text is not NUL-terminated */
};

struct cbor_reader {
    const uint8_t *data;
    size_t len;
    bool failed;
};

void cbor_read_init(struct cbor_reader *reader, const uint8_t *data, size_t len);
/* The next item, entering arrays and maps; false at the end and on anything unexpected (then failed is set). */
bool cbor_read_next(struct cbor_reader *reader, struct cbor_token *out);
/* The next item must be of this type. */
bool cbor_read_expect(struct cbor_reader *reader, enum cbor_token_type type, struct cbor_token *out);
/* Steps over one whole item, nesting included (to a depth of 8). */
bool cbor_read_skip(struct cbor_reader *reader);
/* True when everything was read and nothing failed. */
bool cbor_read_finished(const struct cbor_reader *reader);

/* The value of a text key in the map at data; false when data is no map or has no such key. */
bool cbor_map_find(struct azihsm_bytes map, const char *key, enum cbor_token_type type, struct cbor_token *out);

bool cbor_text_equals(struct azihsm_bytes text, const char *expected);

#endif
