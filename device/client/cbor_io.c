/*
 * CBOR over libcbor's streaming encoder and decoder: no item tree, no allocation, no copy of a secret.
 */
#include "cbor_io.h"

#include <cbor.h>
#include <string.h>

enum { CBOR_DEPTH_MAX = 8 };

void cbor_write_init(struct cbor_writer *writer, uint8_t *buf, size_t cap)
{
    *writer = (struct cbor_writer){.buf = buf, .cap = cap};
}

/* libcbor returns how much it wrote, 0 when it did not fit. */
static void cbor_advance(struct cbor_writer *writer, size_t written)
{
    if (written == 0)
        writer->failed = true;
    writer->len += written;
}

static uint8_t *cbor_room(struct cbor_writer *writer)
{
    return writer->buf + writer->len;
}

static size_t cbor_left(const struct cbor_writer *writer)
{
    return writer->failed ? 0 : writer->cap - writer->len;
}

void cbor_write_map(struct cbor_writer *writer, size_t pairs)
{
    cbor_advance(writer, cbor_encode_map_start(pairs, cbor_room(writer), cbor_left(writer)));
}

void cbor_write_array(struct cbor_writer *writer, size_t items)
{
    cbor_advance(writer, cbor_encode_array_start(items, cbor_room(writer), cbor_left(writer)));
}

void cbor_write_uint(struct cbor_writer *writer, uint64_t value)
{
    cbor_advance(writer, cbor_encode_uint(value, cbor_room(writer), cbor_left(writer)));
}

void cbor_write_bool(struct cbor_writer *writer, bool value)
{
    cbor_advance(writer, cbor_encode_bool(value, cbor_room(writer), cbor_left(writer)));
}

static void cbor_write_content(struct cbor_writer *writer, const uint8_t *data, size_t len)
{
    if (cbor_left(writer) < len)
        writer->failed = true;
    if (writer->failed || len == 0)
        return;
    memcpy(cbor_room(writer), data, len);
    writer->len += len;
}

void cbor_write_bytes(struct cbor_writer *writer, const uint8_t *data, size_t len)
{
    cbor_advance(writer, cbor_encode_bytestring_start(len, cbor_room(writer), cbor_left(writer)));
    cbor_write_content(writer, data, len);
}

void cbor_write_text(struct cbor_writer *writer, const char *text)
{
    size_t len = strlen(text);

    cbor_advance(writer, cbor_encode_string_start(len, cbor_room(writer), cbor_left(writer)));
    cbor_write_content(writer, (const uint8_t *)text, len);
}

void cbor_write_pair_uint(struct cbor_writer *writer, const char *key, uint64_t value)
{
    cbor_write_text(writer, key);
    cbor_write_uint(writer, value);
}

void cbor_write_pair_bool(struct cbor_writer *writer, const char *key, bool value)
{
    cbor_write_text(writer, key);
    cbor_write_bool(writer, value);
}

void cbor_write_pair_bytes(struct cbor_writer *writer, const char *key, const uint8_t *data, size_t len)
{
    cbor_write_text(writer, key);
    cbor_write_bytes(writer, data, len);
}

void cbor_write_pair_text(struct cbor_writer *writer, const char *key, const char *text)
{
    cbor_write_text(writer, key);
    cbor_write_text(writer, text);
}

/* ---- reading: one callback per item kind we accept, all others leave the token empty ---- */

static void cbor_token_number(void *context, enum cbor_token_type type, uint64_t value)
{
    *(struct cbor_token *)context = (struct cbor_token){.type = type, .value = value};
}

static void cbor_on_uint8(void *context, uint8_t value)
{
    cbor_token_number(context, CBOR_TOKEN_UINT, value);
}

static void cbor_on_uint16(void *context, uint16_t value)
{
    cbor_token_number(context, CBOR_TOKEN_UINT, value);
}

static void cbor_on_uint32(void *context, uint32_t value)
{
    cbor_token_number(context, CBOR_TOKEN_UINT, value);
}

static void cbor_on_uint64(void *context, uint64_t value)
{
    cbor_token_number(context, CBOR_TOKEN_UINT, value);
}

static void cbor_on_negint8(void *context, uint8_t value)
{
    cbor_token_number(context, CBOR_TOKEN_NEGATIVE, value);
}

static void cbor_on_negint16(void *context, uint16_t value)
{
    cbor_token_number(context, CBOR_TOKEN_NEGATIVE, value);
}

static void cbor_on_negint32(void *context, uint32_t value)
{
    cbor_token_number(context, CBOR_TOKEN_NEGATIVE, value);
}

static void cbor_on_negint64(void *context, uint64_t value)
{
    cbor_token_number(context, CBOR_TOKEN_NEGATIVE, value);
}

static void cbor_on_bool(void *context, bool value)
{
    cbor_token_number(context, CBOR_TOKEN_BOOL, value);
}

static void cbor_on_array(void *context, size_t count)
{
    cbor_token_number(context, CBOR_TOKEN_ARRAY, count);
}

static void cbor_on_map(void *context, size_t count)
{
    cbor_token_number(context, CBOR_TOKEN_MAP, count);
}

static void cbor_on_bytes(void *context, cbor_data data, size_t len)
{
    *(struct cbor_token *)context = (struct cbor_token){.type = CBOR_TOKEN_BYTES, .string = {data, len}};
}

static void cbor_on_text(void *context, cbor_data data, size_t len)
{
    *(struct cbor_token *)context = (struct cbor_token){.type = CBOR_TOKEN_TEXT, .string = {data, len}};
}

void cbor_read_init(struct cbor_reader *reader, const uint8_t *data, size_t len)
{
    *reader = (struct cbor_reader){.data = data, .len = len};
}

bool cbor_read_next(struct cbor_reader *reader, struct cbor_token *out)
{
    struct cbor_callbacks callbacks = cbor_empty_callbacks;
    struct cbor_decoder_result result;

    callbacks.uint8 = cbor_on_uint8;
    callbacks.uint16 = cbor_on_uint16;
    callbacks.uint32 = cbor_on_uint32;
    callbacks.uint64 = cbor_on_uint64;
    callbacks.negint8 = cbor_on_negint8;
    callbacks.negint16 = cbor_on_negint16;
    callbacks.negint32 = cbor_on_negint32;
    callbacks.negint64 = cbor_on_negint64;
    callbacks.boolean = cbor_on_bool;
    callbacks.array_start = cbor_on_array;
    callbacks.map_start = cbor_on_map;
    callbacks.byte_string = cbor_on_bytes;
    callbacks.string = cbor_on_text;
    *out = (struct cbor_token){.type = CBOR_TOKEN_NONE};
    if (reader->failed || reader->len == 0)
        return false;
    result = cbor_stream_decode(reader->data, reader->len, &callbacks, out);
    if (result.status != CBOR_DECODER_FINISHED || out->type == CBOR_TOKEN_NONE) {
        reader->failed = true;
        return false;
    }
    reader->data += result.read;
    reader->len -= result.read;
    return true;
}

bool cbor_read_expect(struct cbor_reader *reader, enum cbor_token_type type, struct cbor_token *out)
{
    if (!cbor_read_next(reader, out) || out->type != type)
        reader->failed = true;
    return !reader->failed;
}

/* Items still to come at each level of nesting; a map counts its keys and its values. */
bool cbor_read_skip(struct cbor_reader *reader)
{
    uint64_t pending[CBOR_DEPTH_MAX] = {1};
    unsigned depth = 0;
    struct cbor_token token;

    for (;;) {
        while (depth > 0 && pending[depth] == 0)
            depth--;
        if (depth == 0 && pending[0] == 0)
            return true;
        pending[depth]--;
        if (!cbor_read_next(reader, &token))
            break;
        if (token.type != CBOR_TOKEN_ARRAY && token.type != CBOR_TOKEN_MAP)
            continue;
        if (depth + 1 == CBOR_DEPTH_MAX || token.value > reader->len)
            break;
        pending[++depth] = token.type == CBOR_TOKEN_MAP ? 2 * token.value : token.value;
    }
    reader->failed = true;
    return false;
}

bool cbor_read_finished(const struct cbor_reader *reader)
{
    return !reader->failed && reader->len == 0;
}

bool cbor_map_find(struct azihsm_bytes map, const char *key, enum cbor_token_type type, struct cbor_token *out)
{
    struct cbor_reader reader;
    struct cbor_token head, name;
    uint64_t i;

    cbor_read_init(&reader, map.data, map.len);
    if (!cbor_read_expect(&reader, CBOR_TOKEN_MAP, &head))
        return false;
    for (i = 0; i < head.value; i++) {
        if (!cbor_read_expect(&reader, CBOR_TOKEN_TEXT, &name))
            return false;
        if (cbor_text_equals(name.string, key))
            return cbor_read_expect(&reader, type, out);
        if (!cbor_read_skip(&reader))
            return false;
    }
    return false;
}

bool cbor_text_equals(struct azihsm_bytes text, const char *expected)
{
    return text.len == strlen(expected) && memcmp(text.data, expected, text.len) == 0;
}
