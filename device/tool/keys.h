/*
 * What the key commands share: key files by name or path, and what a key file says in words.
 */
#ifndef TOOL_KEYS_H
#define TOOL_KEYS_H

#include "tool.h"

#include "provider/keyfile.h"

/* Where a command puts the key it makes: --out FILE, or a NAME in the key directory. */
struct key_target {
    const char *out;  /* --out */
    const char *name; /* argument */
    bool force;       /* may replace a file */
};

/* Path of a name ("web") or of a file ("./web.pem", anything with a slash or that exists). */
int keys_path(const struct tool *tool, const char *name, char *path, size_t size);
/* Path to write to; makes the key directory (0755) when it is missing; refuses to replace without --force. */
int keys_target(const struct tool *tool, const struct key_target *target, char *path, size_t size);

/* Reads and parses a key file. keyfile_clear when TOOL_OK. */
int keys_read(const char *path, struct keyfile *out);
/* The key file as a key of the device; azihsm_key_free when TOOL_OK. */
int keys_open(struct tool *tool, const char *name, struct azihsm_key **out);

/* Writes the key file of a key that was just made, and says so. */
int keys_save(struct tool *tool, struct azihsm_key *key, enum azihsm_usage usage, const char *path);

/* "EC P-256", "RSA 2048", "AES 256": into out. */
void keys_describe(uint32_t kind, char *out, size_t size);
/* "sign", "decrypt", "derive"; 0 when it is none of them, with a message. */
enum azihsm_usage keys_usage(const char *text);
/* enum azihsm_hash of sha1, sha256, sha384, sha512; 0 with a message. */
uint32_t keys_hash(const char *name);
/* The values of key_spec common to generate and import: usage, label, tag. */
bool keys_spec(const char *usage, const char *label, const char *tag, struct azihsm_key_spec *out);
/* Prints what a key file says, inside the current object. */
void keys_print(struct output *out, const struct keyfile *file);

#endif
