/*
 * Parsing of the provider's configuration: a table of keys, each with a parser and the place of its value.
 * The struct owns its strings. Nothing here touches a file.
 */
#include "config.h"

#include <azihsm/client.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { TIMEOUT_MS_DEFAULT = 10000, TIMEOUT_MS_MAX = 600000 };
static const char keys_default[] = "/etc/azihsm/keys";

struct key_row;
typedef const char *parse_fn(struct config *config, const struct key_row *row, const char *text);

struct key_row {
    const char *name;
    parse_fn *parse; /* NULL when good, else what is wrong */
    size_t offset;
    const char *const *words; /* of an enum, NULL-terminated, index = value */
};

static const char *const import_words[] = {"carry", "device", "refuse", NULL};
static const char *const rsa_words[] = {"auto", "device", "host", "forbid", NULL};
static const char *const bool_words[] = {"no", "yes", "off", "on", "0", "1", "false", "true", NULL};

static const struct {
    const char *word;
    unsigned bit;
} trace_words[] = {
    {"off", 0},
    {"config", AZIHSM_TRACE_CONFIG},
    {"session", AZIHSM_TRACE_SESSION},
    {"key", AZIHSM_TRACE_KEY},
    {"op", AZIHSM_TRACE_OP},
    {"all", AZIHSM_TRACE_ALL},
};

static char **string_at(struct config *config, const struct key_row *row)
{
    return (char **)(void *)((char *)config + row->offset);
}

static unsigned *number_at(struct config *config, const struct key_row *row)
{
    return (unsigned *)(void *)((char *)config + row->offset);
}

static const char *keep(char **where, const char *text)
{
    char *copy = strdup(text);
    if (copy == NULL)
        return "out of memory";
    free(*where);
    *where = copy;
    return NULL;
}

static const char *parse_string(struct config *config, const struct key_row *row, const char *text)
{
    return *text == '\0' ? "the value is empty" : keep(string_at(config, row), text);
}

static const char *parse_device(struct config *config, const struct key_row *row, const char *text)
{
    if (strcmp(text, "auto") != 0 && text[0] != '/' && strncmp(text, "unix:/", 6) != 0)
        return "expected auto, an absolute path of a device node, or unix:/path/of/socket";
    return keep(string_at(config, row), text);
}

static const char *parse_pin_source(struct config *config, const struct key_row *row, const char *text)
{
    if (strncmp(text, "file:/", 6) != 0)
        return "expected file:/path (a PIN itself does not belong into a configuration)";
    return keep(string_at(config, row), text);
}

static const char *parse_directory(struct config *config, const struct key_row *row, const char *text)
{
    if (text[0] != '/')
        return "expected an absolute path";
    return keep(string_at(config, row), text);
}

static const char *parse_enum(struct config *config, const struct key_row *row, const char *text)
{
    for (unsigned i = 0; row->words[i] != NULL; i++)
        if (strcasecmp(text, row->words[i]) == 0) {
            *number_at(config, row) = i;
            return NULL;
        }
    return "not one of the values this key can have";
}

static const char *parse_bool(struct config *config, const struct key_row *row, const char *text)
{
    const char *wrong = parse_enum(config, row, text);
    if (wrong == NULL)
        *number_at(config, row) &= 1u; /* the words alternate: no, yes */
    return wrong;
}

static const char *parse_timeout(struct config *config, const struct key_row *row, const char *text)
{
    static const char wrong[] = "expected milliseconds, 1 to 600000 (or seconds: 10s)";
    char *end;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (errno != 0 || end == text || text[0] < '0' || text[0] > '9')
        return wrong;
    if (strcmp(end, "s") == 0 && value <= TIMEOUT_MS_MAX)
        value *= 1000;
    else if (*end != '\0' && strcmp(end, "ms") != 0)
        return wrong;
    if (value < 1 || value > TIMEOUT_MS_MAX)
        return wrong;
    *number_at(config, row) = (unsigned)value;
    return NULL;
}

/* category[,category...][@/path] */
static const char *parse_trace(struct config *config, const struct key_row *row, const char *text)
{
    const char *file = strchr(text, '@');
    size_t length = file == NULL ? strlen(text) : (size_t)(file - text);
    unsigned bits = 0;
    while (length > 0) {
        const char *comma = memchr(text, ',', length);
        size_t word = comma == NULL ? length : (size_t)(comma - text);
        size_t i = 0, count = sizeof(trace_words) / sizeof(trace_words[0]);
        while (i < count && (strlen(trace_words[i].word) != word || strncasecmp(trace_words[i].word, text, word) != 0))
            i++;
        if (i == count)
            return "expected off, all, or some of config,session,key,op, then perhaps @/path of a file";
        bits |= trace_words[i].bit;
        text += word + (comma != NULL);
        length -= word + (comma != NULL);
    }
    *number_at(config, row) = bits;
    if (file == NULL)
        return NULL;
    return file[1] == '/' ? keep(&config->trace_file, file + 1) : "the trace file needs an absolute path";
}

#define AT(member) offsetof(struct config, member)

static const struct key_row rows[] = {
    {"trace", parse_trace, AT(trace), NULL}, /* first: what follows may want to be traced */
    {"device", parse_device, AT(device), NULL},
    {"partition", parse_string, AT(partition), NULL},
    {"pin-source", parse_pin_source, AT(pin_source), NULL},
    {"keys", parse_directory, AT(keys), NULL},
    {"import", parse_enum, AT(import), import_words},
    {"rsa-generate", parse_enum, AT(rsa_generate), rsa_words},
    {"symmetric", parse_bool, AT(symmetric), bool_words},
    {"async", parse_bool, AT(async), bool_words},
    {"timeout", parse_timeout, AT(timeout_ms), NULL},
    {"autostart", parse_bool, AT(autostart), bool_words},
    {"pkcs11-uris", parse_bool, AT(pkcs11), bool_words},
};
enum { ROWS = sizeof(rows) / sizeof(rows[0]) };

static void describe(const struct key_row *row, const char *text, const char *wrong, char *why, size_t size)
{
    /* What stands where a path to the PIN should may be the PIN. */
    bool secret = row->parse == parse_pin_source;
    int used = snprintf(why, size, "%s = %.60s: %s", row->name, secret ? "..." : text, wrong);
    for (unsigned i = 0; row->words != NULL && row->words[i] != NULL && used > 0 && (size_t)used < size; i++)
        used += snprintf(why + used, size - (size_t)used, "%s%s", i == 0 ? ": " : ", ", row->words[i]);
}

bool config_parse(struct config *config, config_lookup *lookup, void *arg, char *why, size_t why_size)
{
    bool good = true;
    *config = (struct config){.async = 1, .timeout_ms = TIMEOUT_MS_DEFAULT};
    config->keys = strdup(keys_default);
    if (config->keys == NULL) {
        snprintf(why, why_size, "out of memory");
        return false;
    }
    for (size_t i = 0; i < ROWS; i++) {
        const char *text = lookup(arg, rows[i].name);
        const char *wrong = text == NULL ? NULL : rows[i].parse(config, &rows[i], text);
        if (wrong != NULL && good)
            describe(&rows[i], text, wrong, why, why_size);
        good = good && wrong == NULL;
    }
    return good;
}

void config_free(struct config *config)
{
    free(config->device);
    free(config->partition);
    free(config->pin_source);
    free(config->keys);
    free(config->trace_file);
    *config = (struct config){0};
}

bool config_is_known(const char *name)
{
    static const char *const core[] = {"module", "activate", "identity", "soft_load"};
    for (size_t i = 0; i < ROWS; i++)
        if (strcmp(name, rows[i].name) == 0)
            return true;
    for (size_t i = 0; i < sizeof(core) / sizeof(core[0]); i++)
        if (strcmp(name, core[i]) == 0)
            return true;
    return false;
}

void config_names(char *out, size_t size)
{
    int used = 0;
    for (size_t i = 0; i < ROWS && used >= 0 && (size_t)used < size; i++)
        used += snprintf(out + used, size - (size_t)used, "%s%s", i == 0 ? "" : ", ", rows[i].name);
}

/* The same letters with other punctuation or case, or one that begins the other: pin_source, Timeout, timeout-ms. */
const char *config_similar(const char *name)
{
    for (size_t i = 0; i < ROWS; i++) {
        const char *a = name, *b = rows[i].name;
        while (*a != '\0' && *b != '\0' && ((*a | 0x20) == (*b | 0x20) || (*a == '_' && *b == '-')))
            a++, b++;
        if (*b == '\0' || (*a == '\0' && a - name > 2))
            return rows[i].name;
    }
    return NULL;
}
