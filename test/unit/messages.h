/*
 * A second, independent reading of ddi-protocol section 4, for tests only: every message as a line of text, a builder
 * that makes frames from it and a judge that says what a decoder must accept (1.4). It shares nothing with the
 * product's tables, so a slip in one of the two shows.
 *
 * A layout is "{1:u16 ?2:bytes96 3:{...}}": id, then kind; ? marks an optional field.
 */
#ifndef TEST_MESSAGES_H
#define TEST_MESSAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct message {
    uint32_t op;
    unsigned session_kind;
    const char *name;
    const char *request;
    const char *response;
};

extern const struct message messages[];
extern const size_t messages_count;
const struct message *message_find(uint32_t op);

/* Number of optional fields of a layout. */
unsigned message_optionals(const char *layout);

struct frame_shape {
    bool is_response;
    bool has_rev;
    bool has_sess_id;
    unsigned mask;     /* bit n: the n-th optional field of the body is there */
    size_t string_len; /* of every byte string; cut to what the field may hold */
};

size_t message_build(const struct message *message, const struct frame_shape *shape, uint8_t *out, size_t cap);

enum verdict { ACCEPTED, REFUSED, UNKNOWN_OP };
/* What decoding must say of a frame: a request on the device side, a response to op on the client side. */
enum verdict message_judge_request(const uint8_t *in, size_t len);
/* REFUSED also when the opcode is another one; *status is what a readable header carries. */
enum verdict message_judge_response(uint32_t op, const uint8_t *in, size_t len, uint32_t *status);

#endif
