/*
 * Sessions of a partition (device-behaviour 2.4): the table of virtual ids and what a session is.
 *
 * A session object is refcounted and immutable while it is in the table, except that a reset, which excludes all
 * commands, turns it into a reservation of its id ("flagged": needs renegotiation). Reopening puts a new object into
 * its place. The table owns one reference of each.
 */
#ifndef EMULATOR_SESSION_H
#define EMULATOR_SESSION_H

#include "emulator/engine.h"

#include <pthread.h>
#include <stdatomic.h>

struct emu_namespace;

struct session {
    _Atomic unsigned refs;
    uint16_t id;
    bool flagged;             /* written only while a reset excludes commands */
    uint64_t serial;          /* names this life of the session; owner mark of its keys */
    struct emu_namespace *ns; /* borrowed from the handle, which outlives its session */
    struct engine_key *smk;   /* session masking key; NULL when flagged */
    /* under the lock of the namespace's vault */
    bool closed;
    unsigned keys; /* at most so many entries belong to it (its own included) */
};

struct session_table {
    pthread_rwlock_t lock;
    struct session **slots;
    unsigned max;
    unsigned lowest; /* no free slot below */
    _Atomic uint64_t serials;
};

azihsm_rc session_table_init(struct session_table *table, unsigned max);
void session_table_destroy(struct session_table *table);

/* A session not yet in the table, owned by the caller. smk is consumed, also on failure (NULL). */
struct session *session_new(struct session_table *table, struct emu_namespace *ns, struct engine_key *smk);
void session_free(struct session *session);

/* Gives it the lowest free id; the table takes a reference. AZIHSM_STATUS_VAULT_SESSION_LIMIT_REACHED. */
azihsm_rc session_table_add(struct session_table *table, struct session *session);
/* New reference, or NULL when the id is not allocated. */
struct session *session_table_get(struct session_table *table, uint16_t id);
/* Frees the id, if it still belongs to that session. */
bool session_table_remove(struct session_table *table, struct session *session);
/* Puts revived into the place of flagged, under its id, if that is still there. */
bool session_table_replace(struct session_table *table, struct session *flagged, struct session *revived);

/* For a reset: every id stays reserved and is flagged. No command may be running. */
void session_table_flag_all(struct session_table *table);
/* For a power cycle: forgets everything. No command may be running. */
void session_table_clear(struct session_table *table);
void session_table_count(struct session_table *table, uint32_t *open, uint32_t *flagged);

#endif
