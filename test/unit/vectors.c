/*
 * Reading the project's test vectors. Everything that cannot be right in a file of vectors ends the test, with the
 * name of the field: a vector that silently reads as nothing would be a test that cannot fail.
 */
#include "vectors.h"

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

json_t *vectors_load(const char *name)
{
    const char *root = getenv("AZIHSM_VECTORS");
    json_error_t error;
    char path[4096];
    json_t *file;

    if (root != NULL)
        snprintf(path, sizeof(path), "%s/%s", root, name);
    else
        snprintf(path, sizeof(path), "%s/../shared/vectors/%s", PROJECT_ROOT, name);
    if (access(path, R_OK) != 0) {
        print_message("SKIP: test vectors are not here: %s\n", path);
        return NULL;
    }
    file = json_load_file(path, 0, &error);
    if (file == NULL)
        fail_msg("%s:%d: %s", path, error.line, error.text);
    return file;
}

const json_t *vectors_get(const json_t *object, const char *field)
{
    const json_t *value = json_object_get(object, field);

    if (value == NULL)
        fail_msg("vectors: no field '%s'", field);
    return value;
}

const json_t *vectors_named(const json_t *array, const char *name)
{
    const json_t *found = NULL, *element;
    size_t i;

    json_array_foreach(array, i, element)
    {
        if (strcmp(vectors_string(element, "name"), name) == 0)
            found = element;
    }
    if (found == NULL)
        fail_msg("vectors: nothing is named '%s'", name);
    return found;
}

bool vectors_has(const json_t *object, const char *field)
{
    const json_t *value = json_object_get(object, field);

    return value != NULL && !json_is_null(value);
}

const char *vectors_string(const json_t *object, const char *field)
{
    const json_t *value = vectors_get(object, field);

    if (!json_is_string(value))
        fail_msg("vectors: field '%s' is not a string", field);
    return json_string_value(value);
}

int64_t vectors_number(const json_t *object, const char *field)
{
    const json_t *value = vectors_get(object, field);

    if (!json_is_integer(value))
        fail_msg("vectors: field '%s' is not a number", field);
    return json_integer_value(value);
}

static int hex_digit(char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *at = strchr(digits, tolower((unsigned char)c));

    return c == '\0' || at == NULL ? -1 : (int)(at - digits);
}

size_t hex_decode(const char *text, uint8_t *out, size_t cap)
{
    size_t len = 0;

    for (; *text != '\0'; text += 2) {
        while (isspace((unsigned char)*text))
            text++;
        if (*text == '\0')
            break;
        if (hex_digit(text[0]) < 0 || hex_digit(text[1]) < 0)
            fail_msg("not hex: '%.16s'", text);
        if (len == cap)
            fail_msg("hex text is longer than %zu bytes", cap);
        out[len++] = (uint8_t)(hex_digit(text[0]) << 4 | hex_digit(text[1]));
    }
    return len;
}

size_t vectors_hex(const json_t *object, const char *field, uint8_t *out, size_t cap)
{
    return hex_decode(vectors_string(object, field), out, cap);
}

uint8_t *vectors_hex_dup(const json_t *object, const char *field, size_t *len)
{
    size_t cap = strlen(vectors_string(object, field)) / 2;
    uint8_t *data = malloc(cap > 0 ? cap : 1);

    if (data == NULL)
        fail_msg("out of memory");
    *len = vectors_hex(object, field, data, cap);
    return data;
}
