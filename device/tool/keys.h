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

/* A private key in the device, once for each use that it has (the device gives a key one); second is mostly NULL. */
struct key_pair {
    struct azihsm_key *first, *second;
};

/* Writes the key file of a key that was just made, and says so. usages: AZIHSM_USAGE_ bits. */
int keys_save(struct tool *tool, const struct key_pair *keys, unsigned usages, const char *path);

/* Something failed after a key with a tag was made: it would stay in the device. NULL: it was not made. */
void keys_withdraw(struct azihsm_key *key);

/* "EC P-256", "RSA 2048", "AES 256": into out. */
void keys_describe(uint32_t kind, char *out, size_t size);
/* AZIHSM_USAGE_ bits of "sign", "decrypt", "derive", or two of them with a comma; 0 when it is none, with a message. */
unsigned keys_usages(const char *text);
/* enum azihsm_hash of sha1, sha256, sha384, sha512; 0 with a message. */
uint32_t keys_hash(const char *name);
/* What generate and import have in common in a key_spec: label and tag. */
bool keys_spec(const char *label, const char *tag, struct azihsm_key_spec *out);
/* Prints what a key file says, inside the current object. */
void keys_print(struct output *out, const struct keyfile *file);

#endif
