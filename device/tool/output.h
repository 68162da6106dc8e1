/*
 * What a command prints: the same structure as indented text for people or as JSON for programs.
 *
 * Objects and lists nest; names are given inside objects and NULL inside lists. Nothing is printed before the first
 * call, so a command that fails early prints only its error.
 */
#ifndef TOOL_OUTPUT_H
#define TOOL_OUTPUT_H

#include <azihsm/ddi.h>

enum { OUTPUT_DEPTH_MAX = 8 };

struct output {
    bool json;
    unsigned depth;
    bool list[OUTPUT_DEPTH_MAX];      /* kind of each level */
    unsigned count[OUTPUT_DEPTH_MAX]; /* items so far in each level */
};

void output_begin(struct output *out, bool json);
void output_end(struct output *out);
void output_object(struct output *out, const char *name);
void output_list(struct output *out, const char *name);
void output_close(struct output *out);
void output_text(struct output *out, const char *name, const char *value);
void output_text_len(struct output *out, const char *name, struct azihsm_bytes value);
void output_number(struct output *out, const char *name, uint64_t value);
void output_bool(struct output *out, const char *name, bool value);
void output_hex(struct output *out, const char *name, struct azihsm_bytes value);
/* A CBOR item (the reply of the control socket): false when it is malformed. */
bool output_cbor(struct output *out, const char *name, struct azihsm_bytes item);

#endif
