/*
 * Tables are made when first used. Lookups share the vault's lock, changes exclude; no cryptography happens under it.
 */
#include "emulator/vault.h"

#include <stdlib.h>

struct table {
    struct vault_key *entries[AZIHSM_TABLE_ENTRIES];
    unsigned used;  /* entries */
    unsigned bytes; /* of AZIHSM_TABLE_BYTES */
};

struct vault {
    pthread_rwlock_t lock;
    struct tag_space *tags;
    bool apart;
    unsigned count;
    struct table *tables[];
};

/* What the internal keys take of the first table: unwrapping, session ECDH, attestation and masking key. */
enum { INTERNAL_COST = VAULT_UNWRAPPING_COST + 48 + 48 + 80 };

/* ---- keys ---- */

struct vault_key *vault_key_new(enum vault_role role, struct engine_key *engine, unsigned cost, uint64_t attributes)
{
    struct vault_key *key = calloc(1, sizeof(*key));
    if (key == NULL) {
        engine_key_free(engine);
        return NULL;
    }
    key->refs = 1;
    key->role = role;
    key->engine = engine;
    key->cost = cost;
    key->attributes = attributes;
    return key;
}

struct vault_key *vault_key_up_ref(struct vault_key *key)
{
    atomic_fetch_add_explicit(&key->refs, 1, memory_order_relaxed);
    return key;
}

void vault_key_free(struct vault_key *key)
{
    if (key == NULL || atomic_fetch_sub(&key->refs, 1) != 1)
        return;
    engine_key_free(key->engine);
    free(key);
}

/* ---- the vault ---- */

struct vault *vault_new(unsigned tables, struct tag_space *tags, bool apart)
{
    struct vault *vault = calloc(1, sizeof(*vault) + tables * sizeof(struct table *));
    if (vault == NULL)
        return NULL;
    vault->tags = tags;
    vault->apart = apart;
    vault->count = tables;
    if (pthread_rwlock_init(&vault->lock, NULL) != 0) {
        free(vault);
        return NULL;
    }
    return vault;
}

void vault_free(struct vault *vault)
{
    if (vault == NULL)
        return;
    vault_clear(vault);
    pthread_rwlock_destroy(&vault->lock);
    free(vault);
}

static bool table_is_first_apart(const struct vault *vault, unsigned number)
{
    return vault->apart && number == 0;
}

/* The table, made when it is missing; NULL without memory. */
static struct table *table_make(struct vault *vault, unsigned number)
{
    struct table *table = vault->tables[number];
    if (table != NULL)
        return table;
    table = calloc(1, sizeof(*table));
    if (table != NULL && table_is_first_apart(vault, number)) {
        table->used = VAULT_INTERNAL_SLOTS;
        table->bytes = INTERNAL_COST;
    }
    vault->tables[number] = table;
    return table;
}

static void entry_clear(struct table *table, unsigned entry)
{
    struct vault_key *key = table->entries[entry];
    table->entries[entry] = NULL;
    table->used--;
    table->bytes -= key->cost;
    vault_key_free(key);
}

/* Gives entries back whose key was deleted through another namespace. */
static void vault_reap(struct vault *vault)
{
    for (unsigned number = 0; number < vault->count; number++) {
        struct table *table = vault->tables[number];
        for (unsigned entry = 0; table != NULL && entry < AZIHSM_TABLE_ENTRIES; entry++)
            if (table->entries[entry] != NULL && atomic_load(&table->entries[entry]->dead))
                entry_clear(table, entry);
    }
}

static bool vault_place_once(struct vault *vault, struct vault_key *key, uint16_t *id)
{
    for (unsigned number = 0; number < vault->count; number++) {
        struct table *table = table_make(vault, number);
        if (table == NULL || table->used == AZIHSM_TABLE_ENTRIES || table->bytes + key->cost > AZIHSM_TABLE_BYTES)
            continue;
        unsigned entry = table_is_first_apart(vault, number) ? VAULT_INTERNAL_SLOTS : 0;
        while (table->entries[entry] != NULL)
            entry++;
        table->entries[entry] = vault_key_up_ref(key);
        table->used++;
        table->bytes += key->cost;
        *id = (uint16_t)(number << 8 | entry);
        return true;
    }
    return false;
}

static azihsm_rc vault_place(struct vault *vault, struct vault_key *key, uint16_t *id)
{
    if (vault_place_once(vault, key, id))
        return AZIHSM_OK;
    vault_reap(vault);
    return vault_place_once(vault, key, id) ? AZIHSM_OK : AZIHSM_STATUS_NOT_ENOUGH_SPACE;
}

static azihsm_rc insert_locked(struct vault *vault, struct vault_key *key, struct session *session, uint16_t *id)
{
    azihsm_rc rc;

    if (session != NULL && session->closed)
        return AZIHSM_STATUS_SESSION_NOT_FOUND;
    if (key->tag != 0) {
        rc = tag_space_add(vault->tags, key->tag, key);
        if (rc != AZIHSM_OK)
            return rc;
    }
    rc = vault_place(vault, key, id);
    if (rc != AZIHSM_OK && key->tag != 0)
        tag_space_remove(vault->tags, key->tag, key);
    if (rc == AZIHSM_OK && session != NULL)
        session->keys++;
    return rc;
}

azihsm_rc vault_insert(struct vault *vault, struct vault_key *key, struct session *session, uint16_t *id)
{
    azihsm_rc rc;

    if (session != NULL)
        key->session = session->serial;
    pthread_rwlock_wrlock(&vault->lock);
    rc = insert_locked(vault, key, session, id);
    pthread_rwlock_unlock(&vault->lock);
    return rc;
}

bool vault_in_range(const struct vault *vault, uint16_t id)
{
    return (unsigned)(id >> 8) < vault->count;
}

bool vault_is_foreign(const struct vault *vault, uint16_t id)
{
    return vault->apart && id < VAULT_INTERNAL_SLOTS;
}

/* The key stored under id, or NULL; the lock is held. */
static struct vault_key *vault_peek(const struct vault *vault, uint16_t id)
{
    const struct table *table = vault_in_range(vault, id) ? vault->tables[id >> 8] : NULL;
    return table == NULL ? NULL : table->entries[id & 0xFF];
}

struct vault_key *vault_get(struct vault *vault, uint16_t id)
{
    struct vault_key *key;

    pthread_rwlock_rdlock(&vault->lock);
    key = vault_peek(vault, id);
    if (key != NULL && atomic_load_explicit(&key->dead, memory_order_relaxed))
        key = NULL;
    if (key != NULL)
        vault_key_up_ref(key);
    pthread_rwlock_unlock(&vault->lock);
    return key;
}

static void remove_locked(struct vault *vault, unsigned number, unsigned entry)
{
    struct vault_key *key = vault->tables[number]->entries[entry];
    if (key->tag != 0) {
        atomic_store(&key->dead, true);
        tag_space_remove(vault->tags, key->tag, key);
    }
    entry_clear(vault->tables[number], entry);
}

azihsm_rc vault_remove(struct vault *vault, uint16_t id, struct vault_key *key)
{
    azihsm_rc rc = AZIHSM_STATUS_KEY_NOT_FOUND;

    pthread_rwlock_wrlock(&vault->lock);
    if (vault_peek(vault, id) == key) {
        remove_locked(vault, id >> 8, id & 0xFF);
        rc = AZIHSM_OK;
    }
    pthread_rwlock_unlock(&vault->lock);
    return rc;
}

static bool find_locked(const struct vault *vault, const struct vault_key *key, uint16_t *id)
{
    for (unsigned number = 0; number < vault->count; number++) {
        const struct table *table = vault->tables[number];
        for (unsigned entry = 0; table != NULL && entry < AZIHSM_TABLE_ENTRIES; entry++) {
            if (table->entries[entry] == key) {
                *id = (uint16_t)(number << 8 | entry);
                return true;
            }
        }
    }
    return false;
}

azihsm_rc vault_open_tag(struct vault *vault, uint16_t tag, uint16_t *id, struct vault_key **key)
{
    azihsm_rc rc = AZIHSM_OK;

    pthread_rwlock_wrlock(&vault->lock);
    *key = tag_space_get(vault->tags, tag);
    if (*key == NULL)
        rc = AZIHSM_STATUS_KEY_NOT_FOUND;
    else if (!find_locked(vault, *key, id))
        rc = vault_place(vault, *key, id); /* made in another namespace of the same user */
    pthread_rwlock_unlock(&vault->lock);
    if (rc != AZIHSM_OK) {
        vault_key_free(*key);
        *key = NULL;
    }
    return rc;
}

void vault_close_session(struct vault *vault, struct session *session)
{
    pthread_rwlock_wrlock(&vault->lock);
    session->closed = true;
    for (unsigned number = 0; number < vault->count && session->keys > 0; number++) {
        const struct table *table = vault->tables[number];
        for (unsigned entry = 0; table != NULL && session->keys > 0 && entry < AZIHSM_TABLE_ENTRIES; entry++) {
            if (table->entries[entry] != NULL && table->entries[entry]->session == session->serial) {
                remove_locked(vault, number, entry);
                session->keys--;
            }
        }
    }
    pthread_rwlock_unlock(&vault->lock);
}

void vault_clear(struct vault *vault)
{
    pthread_rwlock_wrlock(&vault->lock);
    for (unsigned number = 0; number < vault->count; number++) {
        struct table *table = vault->tables[number];
        for (unsigned entry = 0; table != NULL && entry < AZIHSM_TABLE_ENTRIES; entry++)
            if (table->entries[entry] != NULL)
                entry_clear(table, entry);
        free(table);
        vault->tables[number] = NULL;
    }
    pthread_rwlock_unlock(&vault->lock);
}

void vault_count(struct vault *vault, uint32_t *keys, uint32_t *bytes, uint32_t *bulk)
{
    pthread_rwlock_rdlock(&vault->lock);
    for (unsigned number = 0; number < vault->count; number++) {
        const struct table *table = vault->tables[number];
        if (table == NULL)
            continue;
        *bytes += table->bytes;
        for (unsigned entry = 0; entry < AZIHSM_TABLE_ENTRIES; entry++) {
            const struct vault_key *key = table->entries[entry];
            if (key == NULL || key->role != VAULT_USER || atomic_load(&key->dead))
                continue;
            ++*keys;
            *bulk += azihsm_key_kind_is_bulk(engine_key_kind(vault_key_engine(key)));
        }
    }
    pthread_rwlock_unlock(&vault->lock);
}
