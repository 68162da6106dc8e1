/*
 * The messages of ddi-protocol section 4 as text, and the frame builder and judge that read it. Plain and slow on
 * purpose: this is the yardstick, not the product.
 */
#include "messages.h"

#include <stdlib.h>
#include <string.h>

#define REV                     "{1:u32 2:u32}"
#define PUB                     "{1:bytes768 2:u32}"
#define TKP                     "{1:{1:fixed16} 2:bytes128}"
#define EEC                     "{1:bytes16 2:bytes16 3:bytes16 4:fixed32 5:fixed48}"
#define ESC                     "{1:bytes16 2:bytes16 3:bytes48 4:bytes16 5:fixed32 6:fixed48}"
#define PIN                     "{2:bytes16 3:bytes16 4:fixed32 5:fixed48}"
#define NONE                    "{}"
#define KDF_REQUEST             "{1:u16 2:u32 ?3:bytes256 ?4:bytes256 5:u32 ?6:u16 7:" TKP " ?8:u8}"
#define KDF_RESPONSE            "{1:u16 2:bytes3072 ?3:u16}"
#define SESSION_RESPONSE        "{1:u16 2:u8 3:bytes1024}"
#define KEY_PAIR_RESPONSE       "{1:u16 2:" PUB " 3:bytes3072}"
#define IMPORT_RESPONSE         "{1:u16 ?2:" PUB " ?3:u16 4:u32 5:bytes3072}"
#define ENCRYPTION_KEY_RESPONSE "{1:" PUB " 2:fixed32 3:bytes192}"

#define REQ_HDR  "{?1:" REV " 2:u32 ?3:u16}"
#define RESP_HDR "{?1:" REV " 2:u32 ?3:u16 4:u32 5:bool}"

const struct message messages[] = {
    {1002, 0, "GetApiRev", NONE, "{1:" REV " 2:" REV "}"},
    {1003, 0, "GetDeviceInfo", NONE, "{1:u32 2:u8 3:bool}"},
    {1014, 3, "DeleteKey", "{1:u16}", NONE},
    {1015, 3, "OpenKey", "{1:u16}", "{1:u16 2:u32 ?3:" PUB " ?4:u16}"},
    {1016, 3, "AttestKey", "{1:u16 2:bytes128}", "{1:bytes834}"},
    {1031, 3, "RsaModExp", "{1:u16 2:bytes512 3:u32}", "{1:bytes512}"},
    {1035, 3, "RsaUnwrap", "{1:u16 2:bytes3072 3:u32 4:u32 5:u32 ?6:u16 7:" TKP "}", IMPORT_RESPONSE},
    {1051, 3, "GetUnwrappingKey", NONE, "{1:u16 2:" PUB " 3:bytes1024}"},
    {1061, 3, "EccGenerateKeyPair", "{1:u32 ?2:u16 3:" TKP "}", KEY_PAIR_RESPONSE},
    {1062, 3, "EccSign", "{1:u16 2:bytes96 3:u32}", "{1:bytes192}"},
    {1071, 3, "AesGenerateKey", "{1:u32 ?2:u16 3:" TKP "}", "{1:u16 ?2:u16 3:bytes3072}"},
    {1072, 3, "AesEncryptDecrypt", "{1:u16 2:u32 3:bytes1024 4:bytes16}", "{1:bytes1024 2:bytes16}"},
    {1074, 3, "EcdhKeyExchange", "{1:u16 2:bytes192 3:u32 ?4:u16 5:" TKP "}", "{1:u16 2:bytes3072}"},
    {1075, 3, "HkdfDerive", KDF_REQUEST, KDF_RESPONSE},
    {1076, 3, "KbkdfCounterHmacDerive", KDF_REQUEST, KDF_RESPONSE},
    {1077, 3, "Hmac", "{1:u16 2:bytes1024}", "{1:bytes64}"},
    {1101, 0, "GetEstablishCredEncryptionKey", NONE, ENCRYPTION_KEY_RESPONSE},
    {1102, 0, "EstablishCredential", "{1:" EEC " 2:" PUB " 3:bytes1024 4:bytes1024 5:bytes1024 6:bytes1024 7:" PUB "}",
     "{1:bytes1024}"},
    {1103, 0, "GetSessionEncryptionKey", NONE, ENCRYPTION_KEY_RESPONSE},
    {1104, 1, "OpenSession", "{1:" ESC " 2:" PUB "}", SESSION_RESPONSE},
    {1105, 2, "CloseSession", NONE, NONE},
    {1106, 3, "ChangePin", "{1:" PIN " 2:" PUB "}", NONE},
    {1107, 3, "UnmaskKey", "{1:bytes3072}", IMPORT_RESPONSE},
    {1108, 0, "GetCertChainInfo", "{1:u8}", "{1:u8 2:bytes32}"},
    {1109, 0, "GetCertificate", "{1:u8 2:u8}", "{1:bytes2048}"},
    {1110, 3, "ReopenSession", "{1:" ESC " 2:" PUB " 3:bytes1024}", SESSION_RESPONSE},
    {1111, 0, "InitBk3", "{1:bytes48}", "{1:bytes1024 2:fixed16}"},
    {1112, 0, "GetSealedBk3", NONE, "{1:bytes1024}"},
    {1113, 0, "SetSealedBk3", "{1:bytes1024}", NONE},
    {0x8000, 3, "GetExtensions", NONE, "{1:u64}"},
    {0x8001, 3, "RsaGenerateKeyPair", "{1:u32 ?2:u16 3:" TKP "}", KEY_PAIR_RESPONSE},
};
const size_t messages_count = sizeof(messages) / sizeof(messages[0]);

const struct message *message_find(uint32_t op)
{
    for (size_t i = 0; i < messages_count; i++)
        if (messages[i].op == op)
            return &messages[i];
    return NULL;
}

unsigned message_optionals(const char *layout)
{
    unsigned count = 0;

    for (; *layout != '\0'; layout++)
        count += *layout == '?';
    return count;
}

/* ---- reading a layout ---- */

struct field {
    bool optional;
    unsigned id;
    const char *value; /* where the kind starts */
};

/* Past one value: a map with its braces, or a word. */
static const char *skip_value(const char *s)
{
    unsigned depth = 0;

    for (;; s++) {
        if (*s == '{')
            depth++;
        if (*s == '}' && depth-- == 0)
            return s;
        if (depth == 0 && (*s == ' ' || *s == '}'))
            return *s == '}' ? s + 1 : s;
    }
}

/* The next field of a map, or false at its end; *s moves to the field's value. */
static bool next_field(const char **s, struct field *field)
{
    char *end;

    while (**s == ' ' || **s == '{')
        ++*s;
    if (**s == '}')
        return false;
    field->optional = **s == '?';
    field->id = (unsigned)strtoul(*s + field->optional, &end, 10);
    if (*end != ':')
        abort();
    field->value = end + 1;
    *s = field->value;
    return true;
}

static bool starts(const char *value, const char *word)
{
    return strncmp(value, word, strlen(word)) == 0;
}

static size_t uint_size(const char *value)
{
    return *value == 'u' ? (size_t)atoi(value + 1) / 8 : 0;
}

/* ---- building ---- */

struct builder {
    uint8_t *out;
    size_t cap, len;
    unsigned mask;
    size_t string_len;
    uint8_t next; /* data bytes count up, so no two fields are alike */
};

static void put(struct builder *b, unsigned value)
{
    if (b->len >= b->cap)
        abort();
    b->out[b->len++] = (uint8_t)value;
}

static void put_be(struct builder *b, uint64_t value, size_t size)
{
    static const uint8_t markers[] = {[1] = 0x18, [2] = 0x19, [4] = 0x1A, [8] = 0x1B};

    put(b, markers[size]);
    for (size_t i = size; i-- > 0;)
        put(b, (unsigned)(value >> (8 * i)) & 0xFF);
}

static uint64_t fresh(struct builder *b, size_t size)
{
    uint64_t value = 0;

    while (size-- > 0)
        value = value << 8 | b->next++;
    return value;
}

static void put_string(struct builder *b, size_t len, unsigned pad)
{
    put(b, 0x80 | pad);
    put(b, (unsigned)(len >> 8));
    put(b, len & 0xFF);
    while (pad-- > 0)
        put(b, 0);
    while (len-- > 0)
        put(b, b->next++);
}

static void build_map(struct builder *b, const char *layout);

static void build_value(struct builder *b, const char *value)
{
    size_t max;

    if (*value == '{') {
        build_map(b, value);
    } else if (starts(value, "bool")) {
        put(b, 0x14 | (b->next++ & 1));
    } else if (starts(value, "fixed")) {
        put_string(b, (size_t)atoi(value + 5), 0);
    } else if (starts(value, "bytes")) {
        max = (size_t)atoi(value + 5);
        put_string(b, b->string_len < max ? b->string_len : max, (unsigned)(-(b->len + 3) & 3));
    } else {
        put_be(b, fresh(b, uint_size(value)), uint_size(value));
    }
}

static void build_map(struct builder *b, const char *layout)
{
    size_t count_at = b->len;
    struct field field;

    put(b, 0xA0);
    for (const char *s = layout + 1; next_field(&s, &field); s = skip_value(field.value)) {
        bool present = true;

        if (field.optional) {
            present = b->mask & 1;
            b->mask >>= 1;
        }
        if (!present)
            continue;
        b->out[count_at]++;
        put_be(b, field.id, 1);
        build_value(b, field.value);
    }
}

static void build_header(struct builder *b, const struct message *message, const struct frame_shape *shape)
{
    put(b, 0xA0u + shape->has_rev + 1 + shape->has_sess_id + (shape->is_response ? 2 : 0));
    if (shape->has_rev) {
        put_be(b, 1, 1);
        build_map(b, REV);
    }
    put_be(b, 2, 1);
    put_be(b, message->op, 4);
    if (shape->has_sess_id) {
        put_be(b, 3, 1);
        put_be(b, fresh(b, 2), 2);
    }
    if (shape->is_response) {
        put_be(b, 4, 1);
        put_be(b, 0, 4);
        put_be(b, 5, 1);
        put(b, 0x15);
    }
}

size_t message_build(const struct message *message, const struct frame_shape *shape, uint8_t *out, size_t cap)
{
    struct builder b = {.out = out, .cap = cap, .mask = shape->mask, .string_len = shape->string_len, .next = 1};

    put(&b, 0xA2);
    put_be(&b, 0, 1);
    build_header(&b, message, shape);
    put_be(&b, 1, 1);
    build_map(&b, shape->is_response ? message->response : message->request);
    return b.len;
}

/* ---- judging ---- */

struct judge {
    const uint8_t *in;
    size_t len, pos;
    bool refused;
    uint32_t seen[32]; /* last u32 by field id: the header's opcode and status */
};

static bool have(struct judge *j, size_t count)
{
    if (!j->refused && j->len - j->pos < count)
        j->refused = true;
    return !j->refused;
}

static unsigned next_byte(struct judge *j)
{
    return have(j, 1) ? j->in[j->pos++] : 0;
}

static void judge_string(struct judge *j, const char *value)
{
    bool fixed = *value == 'f';
    size_t limit = (size_t)atoi(value + 5), len;
    unsigned marker = next_byte(j);

    len = next_byte(j) << 8;
    len += next_byte(j);
    if ((marker & 0x80) == 0 || (fixed && ((marker & 3) != 0 || len != limit)) || len > limit)
        j->refused = true;
    len += marker & 3;
    if (have(j, len))
        j->pos += len;
}

static void judge_map(struct judge *j, const char *layout);

static void judge_value(struct judge *j, unsigned id, const char *value)
{
    uint64_t number = 0;
    unsigned byte;

    if (*value == '{') {
        judge_map(j, value);
    } else if (starts(value, "bool")) {
        byte = next_byte(j) & ~0x14u;
        j->refused |= byte != 0 && byte != 1;
    } else if (*value == 'u') {
        next_byte(j);
        for (size_t i = 0; i < uint_size(value); i++)
            number = number << 8 | next_byte(j);
        j->seen[id] = (uint32_t)number;
    } else {
        judge_string(j, value);
    }
}

static void judge_map(struct judge *j, const char *layout)
{
    unsigned marker = next_byte(j), remaining = marker & 0x1F;
    struct field field;

    if ((marker & 0x80) == 0 || (marker & 0x20) == 0)
        j->refused = true;
    for (const char *s = layout + 1; !j->refused && next_field(&s, &field); s = skip_value(field.value)) {
        bool there = remaining > 0 && j->len - j->pos >= 2 && j->in[j->pos + 1] == field.id;

        if (there) {
            j->pos += 2;
            remaining--;
            judge_value(j, field.id, field.value);
        } else if (!field.optional) {
            j->refused = true;
        }
    }
    if (remaining != 0)
        j->refused = true;
}

static void judge_top(struct judge *j, const char *header)
{
    unsigned marker = next_byte(j);

    if ((marker & 0xA0) != 0xA0 || (marker & 0x1F) != 2)
        j->refused = true;
    next_byte(j);
    if (next_byte(j) != 0)
        j->refused = true;
    judge_map(j, header);
}

static void judge_body(struct judge *j, const char *layout)
{
    next_byte(j);
    if (next_byte(j) != 1)
        j->refused = true;
    judge_map(j, layout);
}

enum verdict message_judge_request(const uint8_t *in, size_t len)
{
    struct judge j = {.in = in, .len = len};
    const struct message *message;

    judge_top(&j, REQ_HDR);
    if (j.refused)
        return REFUSED;
    message = message_find(j.seen[2]);
    if (message == NULL)
        return UNKNOWN_OP;
    judge_body(&j, message->request);
    return j.refused || j.pos != len ? REFUSED : ACCEPTED;
}

enum verdict message_judge_response(uint32_t op, const uint8_t *in, size_t len, uint32_t *status)
{
    struct judge j = {.in = in, .len = len};

    *status = 0;
    judge_top(&j, RESP_HDR);
    if (j.refused)
        return REFUSED;
    *status = j.seen[4];
    if (*status != 0)
        return ACCEPTED;
    if (j.seen[2] != op)
        return REFUSED;
    judge_body(&j, message_find(op)->response);
    return j.refused ? REFUSED : ACCEPTED;
}
