/*
 * Reading the project's test vectors (JSON) in unit tests. They live beside the project, in ../shared/vectors, or
 * where AZIHSM_VECTORS points, and are not part of it: a test that needs them starts with
 *
 *     json_t *file = vectors_load("ddi/kbkdf.json");
 *     if (file == NULL)
 *         skip();
 *
 * A field that is missing or malformed fails the test at once. The file belongs to the caller: json_decref(file).
 */
#ifndef TEST_VECTORS_H
#define TEST_VECTORS_H

#include <jansson.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* NULL, after a visible line, when the file is not there. */
json_t *vectors_load(const char *name);

/* Objects and arrays inside an object; the object of an array whose "name" is name. Borrowed. */
const json_t *vectors_get(const json_t *object, const char *field);
const json_t *vectors_named(const json_t *array, const char *name);

/* false for a field that is absent or null */
bool vectors_has(const json_t *object, const char *field);
const char *vectors_string(const json_t *object, const char *field);
int64_t vectors_number(const json_t *object, const char *field);

/* The bytes of a hex field, and how many. */
size_t vectors_hex(const json_t *object, const char *field, uint8_t *out, size_t cap);
/* The same in memory of exactly that size, so that a sanitizer sees the first byte too many. Free with free(). */
uint8_t *vectors_hex_dup(const json_t *object, const char *field, size_t *len);

/* Bytes of a hex text; spaces and newlines between them are skipped. */
size_t hex_decode(const char *text, uint8_t *out, size_t cap);

#endif
