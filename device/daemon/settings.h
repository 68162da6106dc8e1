/*
 * Strict "key = value" files: the one reader behind azihsmd's configuration and its device secrets.
 *
 * A file is lines of `key = value`, `[section name]`, blank lines and # comments. What a key means is a row of the
 * caller's table; an unknown key, section or value is an error that names file, line and key. Nothing is guessed.
 */
#ifndef DAEMON_SETTINGS_H
#define DAEMON_SETTINGS_H

#include <azihsm/error.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum setting_type {
    SETTING_TEXT,   /* char[size] member, must fit with its NUL */
    SETTING_NUMBER, /* unsigned member, low..high, decimal, or octal with a leading 0 */
    SETTING_BOOL,   /* bool member: yes or no */
    SETTING_CHOICE, /* int member: value is looked up in choices */
    SETTING_HEX,    /* uint8_t[size] member: exactly 2 * size hex digits */
};

struct setting_choice {
    const char *name; /* NULL ends the list */
    int value;
};

struct setting {
    const char *key; /* NULL ends the table */
    enum setting_type type;
    size_t offset;
    size_t size;
    unsigned low, high;
    const struct setting_choice *choices;
};

/* One value into the struct at base. where (e.g. "azihsmd.conf:12") stands in front of every message. */
azihsm_rc setting_apply(const struct setting *table, void *base, const char *key, const char *value, const char *where,
                        struct azihsm_error *err);

/*
 * section is called for every "[type name]" line (name "" when absent) and returns the struct that the following keys
 * belong to with its table, or an error it has set with `where` in front.
 */
struct settings_target {
    const struct setting *table;
    void *base;
};
typedef azihsm_rc settings_section_fn(void *arg, const char *type, const char *name, const char *where,
                                      struct settings_target *out, struct azihsm_error *err);

/* top: what keys before the first section belong to. section NULL: sections are errors. */
azihsm_rc settings_read(const char *path, struct settings_target top, settings_section_fn *section, void *arg,
                        struct azihsm_error *err);

/* "root, alice" one after the other: *list moves on; false at the end. An item is cut to size - 1 characters. */
bool settings_next_item(const char **list, char *item, size_t size);

#endif
