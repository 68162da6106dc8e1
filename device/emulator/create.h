/*
 * The last steps common to all commands that make a key: mask it, store it under a new id.
 */
#ifndef EMULATOR_CREATE_H
#define EMULATOR_CREATE_H

#include "emulator/command.h"
#include "emulator/usage.h"

struct created {
    uint16_t id;
    bool bulk; /* a bulk id, equal to id, goes into the response */
    bool pair; /* pub_key is valid */
    uint32_t kind;
    struct azihsm_pub_key pub_key; /* view into the key, which the command holds */
    struct azihsm_bytes masked;    /* in the command's scratch */
};

/*
 * engine is consumed. local: generated inside (attribute bit 5).
 * AZIHSM_STATUS_KEY_TAG_ALREADY_EXISTS, _NOT_ENOUGH_SPACE.
 */
azihsm_rc create_key(struct command *cmd, struct engine_key *engine, const struct usage *usage, bool local,
                     struct created *out);
/* Stores a key that has its blob already (UnmaskKey): no masking, attributes as given. */
azihsm_rc create_stored(struct command *cmd, struct engine_key *engine, uint64_t attributes, uint16_t tag,
                        struct created *out);
/* Masks a stored key of the caller's namespace into the scratch area: under SMK or MK by its session attribute. */
azihsm_rc create_blob(struct command *cmd, const struct engine_key *engine, uint64_t attributes, uint16_t tag,
                      struct azihsm_bytes label, struct azihsm_bytes *masked);

#endif
