/*
 * The encoder and the decoder over tables of fields. Every structure of the protocol, headers and masked-key metadata
 * included, goes through these two functions in both directions.
 */
#include "layout.h"

#include <string.h>

static bool is_present(const struct layout_row *row, const uint8_t *object)
{
    bool present;

    if (row->presence == FIELD_REQUIRED)
        return true;
    memcpy(&present, object + row->presence, sizeof(present));
    return present;
}

static size_t uint_size(enum field_kind kind)
{
    static const uint8_t sizes[] = {[FIELD_U8] = 1, [FIELD_U16] = 2, [FIELD_U32] = 4, [FIELD_U64] = 8};

    return sizes[kind];
}

static uint64_t load_uint(const uint8_t *at, enum field_kind kind)
{
    uint16_t u16;
    uint32_t u32;
    uint64_t u64;

    switch (kind) {
    case FIELD_U8:
        return *at;
    case FIELD_U16:
        memcpy(&u16, at, sizeof(u16));
        return u16;
    case FIELD_U32:
        memcpy(&u32, at, sizeof(u32));
        return u32;
    default:
        memcpy(&u64, at, sizeof(u64));
        return u64;
    }
}

static void store_uint(uint8_t *at, enum field_kind kind, uint64_t value)
{
    uint16_t u16 = (uint16_t)value;
    uint32_t u32 = (uint32_t)value;

    switch (kind) {
    case FIELD_U8:
        *at = (uint8_t)value;
        break;
    case FIELD_U16:
        memcpy(at, &u16, sizeof(u16));
        break;
    case FIELD_U32:
        memcpy(at, &u32, sizeof(u32));
        break;
    default:
        memcpy(at, &value, sizeof(value));
    }
}

static void encode_bytes(struct mbor_writer *w, const struct layout_row *row, const uint8_t *object,
                         enum azihsm_device_kind kind)
{
    struct azihsm_bytes value;
    enum mbor_error error;
    size_t room, len = 0;
    uint8_t *at;

    memcpy(&value, object + row->offset, sizeof(value));
    if (kind != AZIHSM_DEVICE_PHYSICAL || row->form == FORM_NONE || value.len > row->maximum) {
        mbor_put_bytes(w, value, row->maximum);
        return;
    }
    at = mbor_begin_bytes(w, &room);
    if (at == NULL)
        return;
    error = form_to_wire(row->form, object, value, at, room, &len);
    if (error != MBOR_OK)
        mbor_writer_fail(w, error);
    mbor_end_bytes(w, len, row->maximum);
}

static void encode_field(struct mbor_writer *w, const struct layout_row *row, const uint8_t *object,
                         enum azihsm_device_kind kind)
{
    const uint8_t *at = object + row->offset;
    bool flag;

    switch (row->kind) {
    case FIELD_BOOL:
        memcpy(&flag, at, sizeof(flag));
        mbor_put_bool(w, flag);
        break;
    case FIELD_FIXED:
        mbor_put_fixed(w, at, row->maximum);
        break;
    case FIELD_BYTES:
        encode_bytes(w, row, object, kind);
        break;
    case FIELD_MAP:
        layout_encode(w, row->nested, at, kind);
        break;
    default:
        mbor_put_uint(w, uint_size(row->kind), load_uint(at, row->kind));
    }
}

void layout_encode(struct mbor_writer *w, const struct layout *layout, const void *object, enum azihsm_device_kind kind)
{
    size_t present = 0;

    for (size_t i = 0; i < layout->count; i++)
        present += is_present(&layout->rows[i], object);
    mbor_put_map(w, present);
    for (size_t i = 0; i < layout->count && w->error == MBOR_OK; i++) {
        if (!is_present(&layout->rows[i], object))
            continue;
        mbor_put_id(w, layout->rows[i].id);
        encode_field(w, &layout->rows[i], object, kind);
    }
}

static void decode_field(struct mbor_reader *r, const struct layout_row *row, uint8_t *object,
                         enum azihsm_device_kind kind, struct azihsm_scratch *scratch)
{
    uint8_t *at = object + row->offset;
    struct azihsm_bytes bytes;
    bool flag;

    switch (row->kind) {
    case FIELD_BOOL:
        flag = mbor_get_bool(r);
        memcpy(at, &flag, sizeof(flag));
        break;
    case FIELD_FIXED:
        mbor_get_fixed(r, at, row->maximum);
        break;
    case FIELD_BYTES:
        bytes = mbor_get_bytes(r, row->maximum);
        memcpy(at, &bytes, sizeof(bytes));
        break;
    case FIELD_MAP:
        layout_decode(r, row->nested, at, kind, scratch);
        break;
    default:
        store_uint(at, row->kind, mbor_get_uint(r, uint_size(row->kind)));
    }
}

static bool decode_id(struct mbor_reader *r, const struct layout_row *row, uint8_t *object, unsigned *remaining)
{
    bool present;

    if (row->presence == FIELD_REQUIRED) {
        mbor_get_id(r, remaining, row->id);
        return true;
    }
    present = mbor_try_id(r, remaining, row->id);
    memcpy(object + row->presence, &present, sizeof(present));
    return present;
}

/* Only after the whole structure was read: a malformed frame is reported before a bad key (1.4). */
static void decode_forms(struct mbor_reader *r, const struct layout *layout, uint8_t *object,
                         struct azihsm_scratch *scratch)
{
    struct azihsm_bytes value;

    for (size_t i = 0; i < layout->count && r->error == MBOR_OK; i++) {
        const struct layout_row *row = &layout->rows[i];

        if (row->form == FORM_NONE || !is_present(row, object))
            continue;
        memcpy(&value, object + row->offset, sizeof(value));
        mbor_reader_fail(r, form_from_wire(row->form, object, &value, scratch));
        memcpy(object + row->offset, &value, sizeof(value));
    }
}

void layout_decode(struct mbor_reader *r, const struct layout *layout, void *object, enum azihsm_device_kind kind,
                   struct azihsm_scratch *scratch)
{
    unsigned remaining = mbor_get_map(r);

    for (size_t i = 0; i < layout->count && r->error == MBOR_OK; i++)
        if (decode_id(r, &layout->rows[i], object, &remaining))
            decode_field(r, &layout->rows[i], object, kind, scratch);
    mbor_end_map(r, remaining);
    if (kind == AZIHSM_DEVICE_PHYSICAL)
        decode_forms(r, layout, object, scratch);
}
