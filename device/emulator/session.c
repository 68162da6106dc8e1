/*
 * The session table. Lookups share a lock, changes of the table exclude; the lock is never held for longer than that.
 */
#include "emulator/session.h"

#include <stdlib.h>

azihsm_rc session_table_init(struct session_table *table, unsigned max)
{
    *table = (struct session_table){.max = max, .serials = 1};
    table->slots = calloc(max, sizeof(struct session *));
    if (table->slots == NULL)
        return AZIHSM_E_NO_MEMORY;
    if (pthread_rwlock_init(&table->lock, NULL) != 0) {
        free(table->slots);
        table->slots = NULL;
        return AZIHSM_E_NO_MEMORY;
    }
    return AZIHSM_OK;
}

void session_table_destroy(struct session_table *table)
{
    if (table->slots == NULL)
        return;
    session_table_clear(table);
    pthread_rwlock_destroy(&table->lock);
    free(table->slots);
    table->slots = NULL;
}

struct session *session_new(struct session_table *table, struct emu_namespace *ns, struct engine_key *smk)
{
    struct session *session = calloc(1, sizeof(*session));
    if (session == NULL) {
        engine_key_free(smk);
        return NULL;
    }
    session->refs = 1;
    session->serial = atomic_fetch_add(&table->serials, 1);
    session->ns = ns;
    session->smk = smk;
    return session;
}

void session_free(struct session *session)
{
    if (session == NULL || atomic_fetch_sub(&session->refs, 1) != 1)
        return;
    engine_key_free(session->smk);
    free(session);
}

azihsm_rc session_table_add(struct session_table *table, struct session *session)
{
    azihsm_rc rc = AZIHSM_STATUS_VAULT_SESSION_LIMIT_REACHED;

    pthread_rwlock_wrlock(&table->lock);
    unsigned id = table->lowest;
    while (id < table->max && table->slots[id] != NULL)
        id++;
    table->lowest = id;
    if (id < table->max) {
        session->id = (uint16_t)id;
        atomic_fetch_add(&session->refs, 1);
        table->slots[id] = session;
        rc = AZIHSM_OK;
    }
    pthread_rwlock_unlock(&table->lock);
    return rc;
}

struct session *session_table_get(struct session_table *table, uint16_t id)
{
    struct session *session = NULL;

    if (id >= table->max)
        return NULL;
    pthread_rwlock_rdlock(&table->lock);
    session = table->slots[id];
    if (session != NULL)
        atomic_fetch_add(&session->refs, 1);
    pthread_rwlock_unlock(&table->lock);
    return session;
}

bool session_table_remove(struct session_table *table, struct session *session)
{
    bool found;

    pthread_rwlock_wrlock(&table->lock);
    found = table->slots[session->id] == session;
    if (found) {
        table->slots[session->id] = NULL;
        if (session->id < table->lowest)
            table->lowest = session->id;
    }
    pthread_rwlock_unlock(&table->lock);
    if (found)
        session_free(session);
    return found;
}

bool session_table_replace(struct session_table *table, struct session *flagged, struct session *revived)
{
    bool found;

    pthread_rwlock_wrlock(&table->lock);
    found = table->slots[flagged->id] == flagged;
    if (found) {
        revived->id = flagged->id;
        atomic_fetch_add(&revived->refs, 1);
        table->slots[flagged->id] = revived;
    }
    pthread_rwlock_unlock(&table->lock);
    if (found)
        session_free(flagged);
    return found;
}

void session_table_flag_all(struct session_table *table)
{
    pthread_rwlock_wrlock(&table->lock);
    for (unsigned id = 0; id < table->max; id++) {
        struct session *session = table->slots[id];
        if (session == NULL)
            continue;
        session->flagged = true;
        engine_key_free(session->smk);
        session->smk = NULL;
    }
    pthread_rwlock_unlock(&table->lock);
}

void session_table_clear(struct session_table *table)
{
    for (unsigned id = 0; id < table->max; id++) {
        session_free(table->slots[id]);
        table->slots[id] = NULL;
    }
    table->lowest = 0;
}

void session_table_count(struct session_table *table, uint32_t *open, uint32_t *flagged)
{
    *open = *flagged = 0;
    pthread_rwlock_rdlock(&table->lock);
    for (unsigned id = 0; id < table->max; id++) {
        const struct session *session = table->slots[id];
        if (session != NULL)
            ++*(session->flagged ? flagged : open);
    }
    pthread_rwlock_unlock(&table->lock);
}
