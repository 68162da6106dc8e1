/*
 * What messages look like: one row a field, one table a structure (ddi-protocol section 4), and the one encoder and
 * the one decoder that run over all of them. Adding a message is adding a table in layout.c or layouts_*.c.
 */
#ifndef AZIHSM_DDI_LAYOUT_H
#define AZIHSM_DDI_LAYOUT_H

#include "form.h"
#include "mbor.h"

enum field_kind {
    FIELD_U8,
    FIELD_U16,
    FIELD_U32,
    FIELD_U64,
    FIELD_BOOL,
    FIELD_FIXED, /* uint8_t[maximum] in the struct */
    FIELD_BYTES, /* struct azihsm_bytes in the struct */
    FIELD_MAP,   /* nested layout; the nested struct is inside the outer one */
};

#define FIELD_REQUIRED UINT16_MAX /* as presence: the field has no bool member */

struct layout_row {
    uint8_t id;
    enum field_kind kind;
    enum form_kind form;
    uint16_t offset;
    uint16_t presence; /* offset of the has_ member */
    uint16_t maximum;
    const struct layout *nested;
};

struct layout {
    const struct layout_row *rows;
    size_t count;
    size_t size; /* of the struct */
};

/* scratch is NULL where byte strings pass in wire form. */
void layout_encode(struct mbor_writer *w, const struct layout *layout, const void *object,
                   enum azihsm_device_kind kind);
void layout_decode(struct mbor_reader *r, const struct layout *layout, void *object, enum azihsm_device_kind kind,
                   struct azihsm_scratch *scratch);

/* One row an opcode. A NULL layout is the empty map. */
struct operation {
    uint32_t op;
    enum azihsm_session_kind session;
    const char *name;
    const struct layout *request;
    const struct layout *response;
};

/* NULL for an opcode without a layout. */
const struct operation *operation_find(uint32_t op);

extern const struct layout layout_req_hdr;
extern const struct layout layout_resp_hdr;
extern const struct layout layout_masked_metadata;

#endif
