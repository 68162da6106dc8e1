/*
 * Parsing of azihsm: URIs, and of the pkcs11: URIs that can mean the same. The struct owns its strings.
 */
#include "uri.h"

#include "keyfile.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* A decoded copy of text up to end; NULL when an escape is malformed or stands for a zero byte. */
static char *decode(const char *text, const char *end)
{
    char *copy = malloc((size_t)(end - text) + 1), *out = copy;
    for (; copy != NULL && text < end; text++) {
        int c = (unsigned char)*text;
        if (c == '%') {
            int high = end - text > 2 ? hex(text[1]) : -1, low = high >= 0 ? hex(text[2]) : -1;
            c = low < 0 ? 0 : high * 16 + low;
            text += 2;
        }
        if (c == 0) {
            free(copy);
            return NULL;
        }
        *out++ = (char)c;
    }
    if (copy != NULL)
        *out = '\0';
    return copy;
}

static const char *set_string(char **where, char *value)
{
    if (*where != NULL || *value == '\0') {
        free(value);
        return *where != NULL ? "is given twice" : "is empty";
    }
    *where = value;
    return NULL;
}

static const char *set_type(struct uri *uri, char *value)
{
    if (strcasecmp(value, "ec") == 0 || strcasecmp(value, "rsa") == 0 || strcasecmp(value, "rsa-pss") == 0)
        return set_string(&uri->type, value);
    free(value);
    return "must be ec, rsa or rsa-pss";
}

static const char *set_tag(struct uri *uri, char *value)
{
    char *end;
    errno = 0;
    unsigned long tag = value[0] >= '0' && value[0] <= '9' ? strtoul(value, &end, 0) : 0;
    bool good = tag > 0 && tag <= UINT16_MAX && *end == '\0' && errno == 0;
    free(value);
    if (!good)
        return "must be a number from 1 to 0xffff";
    if (uri->tag != 0)
        return "is given twice";
    uri->tag = (uint16_t)tag;
    return NULL;
}

static const char *set_device(struct uri *uri, char *value)
{
    return set_string(&uri->device, value);
}

static const char *set_partition(struct uri *uri, char *value)
{
    return set_string(&uri->partition, value);
}

static const char *set_pin_source(struct uri *uri, char *value)
{
    if (strncmp(value, "file:/", 6) == 0)
        return set_string(&uri->pin_source, value);
    free(value);
    return "must be file:/path";
}

/* Rows end with one without a name; `set` of that says what an unknown name is told. */
struct attribute {
    const char *name;
    const char *(*set)(struct uri *uri, char *value); /* takes over value; NULL or what is wrong */
};

static const char *unknown(struct uri *uri, char *value)
{
    (void)uri;
    free(value);
    return "is not an attribute of azihsm: URIs (type, tag, device, partition, pin-source)";
}

static const struct attribute attributes[] = {
    {"type", set_type},
    {"tag", set_tag},
    {"device", set_device},
    {"partition", set_partition},
    {"pin-source", set_pin_source},
    {NULL, unknown},
};

static bool attribute(struct uri *uri, const struct attribute *row, const char *text, const char *end, char *why,
                      size_t why_size)
{
    const char *equals = memchr(text, '=', (size_t)(end - text));
    size_t name = (size_t)((equals == NULL ? end : equals) - text);
    char *value = equals == NULL ? NULL : decode(equals + 1, end);
    const char *wrong = "has no value, or one with a malformed escape";

    while (row->name != NULL && (strlen(row->name) != name || memcmp(row->name, text, name) != 0))
        row++;
    if (value != NULL || row->name == NULL)
        wrong = row->set(uri, value);
    if (wrong != NULL)
        snprintf(why, why_size, "'%.*s' %s", name > 40 ? 40 : (int)name, text, wrong);
    return wrong == NULL;
}

/* [?;&]name=value ... to the end */
static bool parse_attributes(struct uri *uri, const char *text, char *why, size_t why_size)
{
    while (*text != '\0') {
        size_t len = strcspn(++text, "?;&");
        if (len == 0 && *text == '\0')
            break;
        if (!attribute(uri, attributes, text, text + len, why, why_size))
            return false;
        text += len;
    }
    return true;
}

/* Everything before the attributes. */
static const char *parse_target(struct uri *uri, const char *text, const char *end)
{
    bool authority = end - text >= 2 && text[0] == '/' && text[1] == '/';
    if (authority) {
        text += 2;
        /* azihsm://./x: a path from here; the vendor writes azihsm://.//abs for an absolute one */
        if (end - text >= 2 && text[0] == '.' && text[1] == '/') {
            uri->kind = URI_PATH;
            text += end - text >= 3 && text[2] == '/' ? 2 : 0;
        }
    }
    if (text == end)
        return NULL;
    if (*text == '/')
        uri->kind = URI_PATH;
    uri->target = decode(text, end);
    if (uri->target == NULL)
        return "a percent escape in it is malformed";
    if (uri->kind == URI_PATH)
        return uri->target[0] == '\0' ? "it names no file" : NULL;
    uri->kind = URI_NAME;
    if (!keyfile_name_valid(uri->target))
        return "a key name has no slash and no leading dot (azihsm:/path names a file elsewhere)";
    return NULL;
}

bool uri_parse(const char *text, struct uri *uri, char *why, size_t why_size)
{
    static const char scheme[] = "azihsm:";
    *uri = (struct uri){.kind = URI_LIST};
    if (strncasecmp(text, scheme, sizeof(scheme) - 1) != 0) {
        snprintf(why, why_size, "it does not begin with azihsm:");
        return false;
    }
    text += sizeof(scheme) - 1;
    const char *end = text + strcspn(text, "?;");
    const char *wrong = parse_target(uri, text, end);
    if (wrong != NULL)
        snprintf(why, why_size, "%s", wrong);
    bool good = wrong == NULL && parse_attributes(uri, end, why, why_size);
    if (good && uri->tag != 0) {
        good = uri->kind == URI_LIST;
        uri->kind = URI_TAG;
        if (!good)
            snprintf(why, why_size, "'tag' names a key in the device; a file name cannot go with it");
    }
    if (!good)
        uri_clear(uri);
    return good;
}

/* ---- pkcs11: (RFC 7512) ---- */

static const char *set_object(struct uri *uri, char *value)
{
    if (*value != '\0' && !keyfile_name_valid(value)) {
        free(value);
        return "must be the name of a key: no slash and no leading dot";
    }
    return set_string(&uri->target, value);
}

static const char *set_class(struct uri *uri, char *value)
{
    if (strcmp(value, "private") == 0)
        return set_string(&uri->type, value);
    free(value);
    return "must be private: there are no other objects here";
}

static const char *unknown_path(struct uri *uri, char *value)
{
    (void)uri;
    free(value);
    return "is not an attribute of pkcs11: URIs that this provider knows (object, type, token; after '?' pin-source)";
}

static const char *unknown_query(struct uri *uri, char *value)
{
    (void)uri;
    free(value);
    return "is not a query attribute of pkcs11: URIs that this provider knows (pin-source)";
}

static const struct attribute pkcs11_path[] = {
    {"object", set_object}, {"type", set_class}, {"token", set_partition}, {NULL, unknown_path}};
static const struct attribute pkcs11_query[] = {{"pin-source", set_pin_source}, {NULL, unknown_query}};

/* name=value, separated by the separator, up to end. */
static bool parse_sequence(struct uri *uri, const struct attribute *rows, const char *text, const char *end,
                           char separator, char *why, size_t why_size)
{
    while (text < end) {
        const char *next = memchr(text, separator, (size_t)(end - text));
        const char *last = next == NULL ? end : next;
        if (!attribute(uri, rows, text, last, why, why_size))
            return false;
        text = next == NULL ? end : next + 1;
    }
    return true;
}

bool uri_parse_pkcs11(const char *text, struct uri *uri, char *why, size_t why_size)
{
    static const char scheme[] = "pkcs11:";
    *uri = (struct uri){.kind = URI_NAME};
    if (strncasecmp(text, scheme, sizeof(scheme) - 1) != 0) {
        snprintf(why, why_size, "it does not begin with pkcs11:");
        return false;
    }
    text += sizeof(scheme) - 1;
    const char *end = text + strlen(text), *query = memchr(text, '?', (size_t)(end - text));
    bool good = parse_sequence(uri, pkcs11_path, text, query == NULL ? end : query, ';', why, why_size) &&
                (query == NULL || parse_sequence(uri, pkcs11_query, query + 1, end, '&', why, why_size));
    if (good && uri->target == NULL) {
        snprintf(why, why_size, "it names no key: object=NAME is missing");
        good = false;
    }
    /* a class of objects, not a type of keys: it has said what it could */
    free(uri->type);
    uri->type = NULL;
    if (!good)
        uri_clear(uri);
    return good;
}

void uri_clear(struct uri *uri)
{
    free(uri->target);
    free(uri->type);
    free(uri->device);
    free(uri->partition);
    free(uri->pin_source);
    *uri = (struct uri){.kind = URI_LIST};
}

int uri_shown(const char *text)
{
    /* of a pkcs11: URI everything is attributes */
    size_t len = strncasecmp(text, "pkcs11:", 7) == 0 ? 7 : strcspn(text, "?;");
    return len < 100 ? (int)len : 100;
}

bool uri_of_name(const char *name, char *out, size_t out_size)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";
    size_t used = (size_t)snprintf(out, out_size, "azihsm://");
    for (; *name != '\0' && used + 4 <= out_size; name++)
        used += (size_t)snprintf(out + used, out_size - used, strchr(plain, *name) != NULL ? "%c" : "%%%02X",
                                 (unsigned char)*name);
    return *name == '\0';
}
