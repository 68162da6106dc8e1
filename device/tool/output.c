/*
 * Text and JSON output. Text: "name: value" lines, two spaces a level, list items after a dash.
 */
#include "output.h"

#include "client/cbor_io.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- frame ---- */

static bool output_in_list(const struct output *out)
{
    return out->depth > 0 && out->list[out->depth - 1];
}

/* A C string as JSON string. Anything but printable ASCII becomes an escape; bytes of UTF-8 pass. */
static void output_json_string(const uint8_t *text, size_t len)
{
    size_t i;

    putchar('"');
    for (i = 0; i < len; i++) {
        if (text[i] == '"' || text[i] == '\\')
            printf("\\%c", text[i]);
        else if (text[i] < 0x20 || text[i] == 0x7f)
            printf("\\u%04x", text[i]);
        else
            putchar(text[i]);
    }
    putchar('"');
}

/* Everything up to the value. */
static void output_lead(struct output *out, const char *name)
{
    unsigned level = out->depth > 0 ? out->depth - 1 : 0;
    bool first = out->count[level] == 0;

    if (out->json) {
        if (out->depth > 0)
            printf("%s\n%*s", first ? "" : ",", (int)(2 * out->depth), "");
        if (name != NULL && !output_in_list(out)) {
            output_json_string((const uint8_t *)name, strlen(name));
            printf(": ");
        }
    } else if (out->depth > 0) {
        printf("%*s", (int)(2 * (out->depth - 1)), "");
        if (output_in_list(out))
            printf("-");
        else if (name != NULL)
            printf("%s:", name);
    }
    out->count[level]++;
}

static void output_open(struct output *out, const char *name, bool list)
{
    if (out->depth == OUTPUT_DEPTH_MAX)
        return;
    output_lead(out, name);
    if (out->json)
        putchar(list ? '[' : '{');
    else if (out->depth > 0)
        putchar('\n');
    out->list[out->depth] = list;
    out->count[out->depth] = 0;
    out->depth++;
}

void output_begin(struct output *out, bool json)
{
    *out = (struct output){.json = json};
    output_open(out, NULL, false);
}

void output_end(struct output *out)
{
    while (out->depth > 0)
        output_close(out);
    if (out->json)
        putchar('\n');
}

void output_object(struct output *out, const char *name)
{
    output_open(out, name, false);
}

void output_list(struct output *out, const char *name)
{
    output_open(out, name, true);
}

void output_close(struct output *out)
{
    if (out->depth == 0)
        return;
    out->depth--;
    if (!out->json)
        return;
    if (out->count[out->depth] > 0)
        printf("\n%*s", (int)(2 * out->depth), "");
    putchar(out->list[out->depth] ? ']' : '}');
}

/* ---- values ---- */

/* What stands between the lead and a value. */
static void output_value(struct output *out, const char *name)
{
    output_lead(out, name);
    if (!out->json && out->depth > 0)
        putchar(' ');
}

void output_text_len(struct output *out, const char *name, struct azihsm_bytes value)
{
    output_value(out, name);
    if (out->json)
        output_json_string(value.data, value.len);
    else
        printf("%.*s\n", (int)value.len, (const char *)value.data);
}

void output_text(struct output *out, const char *name, const char *value)
{
    output_text_len(out, name, (struct azihsm_bytes){(const uint8_t *)value, strlen(value)});
}

void output_number(struct output *out, const char *name, uint64_t value)
{
    output_value(out, name);
    printf("%" PRIu64 "%s", value, out->json ? "" : "\n");
}

void output_bool(struct output *out, const char *name, bool value)
{
    output_value(out, name);
    if (out->json)
        printf("%s", value ? "true" : "false");
    else
        printf("%s\n", value ? "yes" : "no");
}

void output_hex(struct output *out, const char *name, struct azihsm_bytes value)
{
    size_t i;

    output_value(out, name);
    if (out->json)
        putchar('"');
    for (i = 0; i < value.len; i++)
        printf("%02x", value.data[i]);
    printf("%s", out->json ? "\"" : "\n");
}

/* ---- CBOR ---- */

static bool output_cbor_item(struct output *out, const char *name, struct cbor_reader *reader);

static bool output_cbor_map(struct output *out, const char *name, struct cbor_reader *reader, uint64_t pairs)
{
    struct cbor_token key;
    char text[64];
    bool ok = true;

    output_object(out, name);
    for (; ok && pairs > 0; pairs--) {
        ok = cbor_read_expect(reader, CBOR_TOKEN_TEXT, &key) && key.string.len < sizeof(text);
        if (ok) {
            memcpy(text, key.string.data, key.string.len);
            text[key.string.len] = '\0';
            ok = output_cbor_item(out, text, reader);
        }
    }
    output_close(out);
    return ok;
}

static bool output_cbor_list(struct output *out, const char *name, struct cbor_reader *reader, uint64_t items)
{
    bool ok = true;

    output_list(out, name);
    for (; ok && items > 0; items--)
        ok = output_cbor_item(out, NULL, reader);
    output_close(out);
    return ok;
}

/* Recursion is bounded: cbor_read_skip has accepted the nesting before. */
static bool output_cbor_item(struct output *out, const char *name, struct cbor_reader *reader)
{
    struct cbor_token token;

    if (!cbor_read_next(reader, &token))
        return false;
    switch (token.type) {
    case CBOR_TOKEN_UINT:
        output_number(out, name, token.value);
        return true;
    case CBOR_TOKEN_BOOL:
        output_bool(out, name, token.value != 0);
        return true;
    case CBOR_TOKEN_BYTES:
        output_hex(out, name, token.string);
        return true;
    case CBOR_TOKEN_TEXT:
        output_text_len(out, name, token.string);
        return true;
    case CBOR_TOKEN_ARRAY:
        return output_cbor_list(out, name, reader, token.value);
    case CBOR_TOKEN_MAP:
        return output_cbor_map(out, name, reader, token.value);
    default:
        return false;
    }
}

bool output_cbor(struct output *out, const char *name, struct azihsm_bytes item)
{
    struct cbor_reader reader;

    cbor_read_init(&reader, item.data, item.len);
    if (!cbor_read_skip(&reader) || !cbor_read_finished(&reader))
        return false;
    cbor_read_init(&reader, item.data, item.len);
    return output_cbor_item(out, name, &reader);
}
