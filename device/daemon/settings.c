/*
 * Strict "key = value" files.
 */
#include "settings.h"

#include <ctype.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SETTINGS_LINE_MAX = 1024 };

/* ---- values ---- */

static bool setting_text(const struct setting *row, void *member, const char *value)
{
    if (strlen(value) >= row->size)
        return false;
    snprintf(member, row->size, "%s", value);
    return true;
}

static bool setting_number(const struct setting *row, void *member, const char *value)
{
    char *end;
    unsigned long number;

    errno = 0;
    if (!isdigit((unsigned char)*value))
        return false;
    number = strtoul(value, &end, *value == '0' ? 8 : 10);
    if (errno != 0 || *end != '\0' || number < row->low || number > row->high)
        return false;
    *(unsigned *)member = (unsigned)number;
    return true;
}

static bool setting_bool(const struct setting *row, void *member, const char *value)
{
    (void)row;
    *(bool *)member = strcmp(value, "yes") == 0;
    return *(bool *)member || strcmp(value, "no") == 0;
}

static bool setting_choice(const struct setting *row, void *member, const char *value)
{
    const struct setting_choice *choice;

    for (choice = row->choices; choice->name != NULL; choice++) {
        if (strcmp(choice->name, value) == 0) {
            *(int *)member = choice->value;
            return true;
        }
    }
    return false;
}

static bool setting_hex(const struct setting *row, void *member, const char *value)
{
    size_t len = 0;

    return strlen(value) == 2 * row->size && OPENSSL_hexstr2buf_ex(member, row->size, &len, value, '\0') &&
           len == row->size;
}

/* What a value of this type must look like, for the message. */
static void setting_expected(const struct setting *row, char *out, size_t size)
{
    const struct setting_choice *choice;
    size_t used = 0;

    switch (row->type) {
    case SETTING_TEXT:
        snprintf(out, size, "at most %zu characters", row->size - 1);
        break;
    case SETTING_NUMBER:
        snprintf(out, size, "a number from %u to %u", row->low, row->high);
        break;
    case SETTING_BOOL:
        snprintf(out, size, "yes or no");
        break;
    case SETTING_HEX:
        snprintf(out, size, "%zu hexadecimal digits", 2 * row->size);
        break;
    case SETTING_CHOICE:
        for (choice = row->choices; choice->name != NULL && used < size; choice++)
            used += (size_t)snprintf(out + used, size - used, "%s%s", used > 0 ? " or " : "", choice->name);
        break;
    }
}

azihsm_rc setting_apply(const struct setting *table, void *base, const char *key, const char *value, const char *where,
                        struct azihsm_error *err)
{
    static bool (*const apply[])(const struct setting *, void *, const char *) = {
        [SETTING_TEXT] = setting_text,     [SETTING_NUMBER] = setting_number, [SETTING_BOOL] = setting_bool,
        [SETTING_CHOICE] = setting_choice, [SETTING_HEX] = setting_hex,
    };
    const struct setting *row;
    char expected[96];

    for (row = table; row->key != NULL; row++) {
        if (strcmp(row->key, key) != 0)
            continue;
        if (apply[row->type](row, (uint8_t *)base + row->offset, value))
            return AZIHSM_OK;
        setting_expected(row, expected, sizeof(expected));
        return azihsm_error_set(err, AZIHSM_E_CONFIG, "%s: %s must be %s", where, key, expected);
    }
    return azihsm_error_set(err, AZIHSM_E_CONFIG, "%s: unknown key \"%s\": azihsmd(8) lists the keys of each section",
                            where, key);
}

/* ---- lines ---- */

static char *settings_trim(char *text)
{
    size_t len;

    while (isspace((unsigned char)*text))
        text++;
    len = strlen(text);
    while (len > 0 && isspace((unsigned char)text[len - 1]))
        text[--len] = '\0';
    return text;
}

struct settings_reader {
    const char *path;
    unsigned line;
    struct settings_target target;
    settings_section_fn *section;
    void *arg;
    struct azihsm_error *err;
};

static azihsm_rc settings_enter(struct settings_reader *reader, char *line, const char *where)
{
    size_t len = strlen(line);
    char *type, *name;

    if (line[len - 1] != ']')
        return azihsm_error_set(reader->err, AZIHSM_E_CONFIG, "%s: a section ends with ]", where);
    line[len - 1] = '\0';
    type = settings_trim(line + 1);
    name = type + strcspn(type, " \t");
    if (*name != '\0')
        *name++ = '\0';
    if (reader->section == NULL)
        return azihsm_error_set(reader->err, AZIHSM_E_CONFIG, "%s: no sections here", where);
    return reader->section(reader->arg, type, settings_trim(name), where, &reader->target, reader->err);
}

static azihsm_rc settings_line(struct settings_reader *reader, char *text)
{
    char where[512];
    char *line, *value;

    snprintf(where, sizeof(where), "%s:%u", reader->path, reader->line);
    if (strchr(text, '\n') == NULL && strlen(text) == SETTINGS_LINE_MAX - 1)
        return azihsm_error_set(reader->err, AZIHSM_E_CONFIG, "%s: line too long", where);
    line = settings_trim(text);
    if (*line == '\0' || *line == '#')
        return AZIHSM_OK;
    if (*line == '[')
        return settings_enter(reader, line, where);
    value = strchr(line, '=');
    if (value == NULL)
        return azihsm_error_set(reader->err, AZIHSM_E_CONFIG, "%s: \"key = value\" expected", where);
    *value++ = '\0';
    return setting_apply(reader->target.table, reader->target.base, settings_trim(line), settings_trim(value), where,
                         reader->err);
}

azihsm_rc settings_read(const char *path, struct settings_target top, settings_section_fn *section, void *arg,
                        struct azihsm_error *err)
{
    struct settings_reader reader = {.path = path, .target = top, .section = section, .arg = arg, .err = err};
    char text[SETTINGS_LINE_MAX];
    azihsm_rc rc = AZIHSM_OK;
    FILE *file = fopen(path, "re");

    if (file == NULL)
        return azihsm_error_set(err, errno == EACCES ? AZIHSM_E_PERMISSION : AZIHSM_E_CONFIG, "%s: %s", path,
                                strerror(errno));
    while (rc == AZIHSM_OK && fgets(text, sizeof(text), file) != NULL) {
        reader.line++;
        rc = settings_line(&reader, text);
    }
    if (rc == AZIHSM_OK && ferror(file))
        rc = azihsm_error_set(err, AZIHSM_E_IO, "%s: cannot be read", path);
    fclose(file);
    /* The line may have been a device secret. */
    OPENSSL_cleanse(text, sizeof(text));
    return rc;
}

bool settings_next_item(const char **list, char *item, size_t size)
{
    const char *start = *list + strspn(*list, " \t,");
    size_t len = strcspn(start, " \t,");

    *list = start + len;
    if (len == 0)
        return false;
    snprintf(item, size, "%.*s", (int)len, start);
    return true;
}
