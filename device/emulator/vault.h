/*
 * Key storage (device-behaviour 1.2, 1.3): tables of 256 entries and 16384 bytes each, lowest free entry of the lowest
 * table with room, ids = table << 8 | entry. One vault per key namespace.
 *
 * A vault_key is refcounted: an operation takes a reference and works without any lock, so that a key may be deleted
 * or its session closed meanwhile. Its members do not change once it is stored, except the two atomic ones.
 */
#ifndef EMULATOR_VAULT_H
#define EMULATOR_VAULT_H

#include "emulator/engine.h"
#include "emulator/session.h"
#include "emulator/tag_space.h"

#include <stdatomic.h>

enum vault_role {
    VAULT_USER = 0,
    VAULT_UNWRAPPING, /* the one internal key that users may name */
    VAULT_INTERNAL,   /* other internal keys: counted, never usable */
    VAULT_SESSION,    /* a session's own entry */
};

enum { VAULT_SESSION_COST = 8, VAULT_UNWRAPPING_COST = 516, VAULT_INTERNAL_SLOTS = 4, VAULT_TABLES_MAX = 255 };

struct vault_key {
    _Atomic unsigned refs;
    _Atomic bool dead;                   /* a shared key that was deleted through another namespace */
    _Atomic(struct engine_key *) engine; /* NULL: a session, or an unwrapping key that was not needed yet */
    enum vault_role role;
    unsigned cost;
    uint64_t attributes; /* AZIHSM_ATTR_ bits */
    uint64_t session;    /* serial of the owning session; 0: app scope */
    uint16_t tag;        /* 0: none */
};

/* A key to be stored, with one reference. engine is consumed, also on failure (NULL). */
struct vault_key *vault_key_new(enum vault_role role, struct engine_key *engine, unsigned cost, uint64_t attributes);
struct vault_key *vault_key_up_ref(struct vault_key *key);
void vault_key_free(struct vault_key *key);
static inline struct engine_key *vault_key_engine(const struct vault_key *key)
{
    return atomic_load_explicit(&key->engine, memory_order_acquire);
}

struct vault;

/*
 * tags is borrowed. apart: the first VAULT_INTERNAL_SLOTS entries stay empty because their ids belong to the
 * partition's internal keys in every namespace.
 */
struct vault *vault_new(unsigned tables, struct tag_space *tags, bool apart);
void vault_free(struct vault *vault);

/*
 * Stores key; the vault takes a reference of its own. session, for a session key or the session's own entry, must not
 * have been closed: AZIHSM_STATUS_SESSION_NOT_FOUND. Then AZIHSM_STATUS_KEY_TAG_ALREADY_EXISTS, _NOT_ENOUGH_SPACE.
 */
azihsm_rc vault_insert(struct vault *vault, struct vault_key *key, struct session *session, uint16_t *id);

/* False when the id names a table the partition does not have. */
bool vault_in_range(const struct vault *vault, uint16_t id);
/* True when the id belongs to the partition's internal keys, to be looked up there (apart vaults only). */
bool vault_is_foreign(const struct vault *vault, uint16_t id);
/* New reference, or NULL when the entry is free. */
struct vault_key *vault_get(struct vault *vault, uint16_t id);
/* Frees the entry, if it still holds that key: AZIHSM_STATUS_KEY_NOT_FOUND. */
azihsm_rc vault_remove(struct vault *vault, uint16_t id, struct vault_key *key);
/* The key with that tag, with its id in this vault; new reference. AZIHSM_STATUS_KEY_NOT_FOUND, _NOT_ENOUGH_SPACE. */
azihsm_rc vault_open_tag(struct vault *vault, uint16_t tag, uint16_t *id, struct vault_key **key);

/* Deletes all keys of the session and its entry; later insertions for it fail. */
void vault_close_session(struct vault *vault, struct session *session);
/* Deletes everything. */
void vault_clear(struct vault *vault);
/* Adds to the counts: user keys, bytes of all entries, bulk keys. */
void vault_count(struct vault *vault, uint32_t *keys, uint32_t *bytes, uint32_t *bulk);

#endif
