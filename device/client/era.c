/*
 * Eras, links and lines: who holds what is in era.h.
 */
#include "era.h"

#include "generation.h"

#include <openssl/crypto.h>

static _Atomic uint32_t last_epoch;

struct line *line_new(struct azihsm_device *device)
{
    struct line *line = OPENSSL_zalloc(sizeof(*line));

    if (line == NULL)
        return NULL;
    line->refs = 1;
    line->device = device;
    return line;
}

struct line *line_up_ref(struct line *line)
{
    atomic_fetch_add(&line->refs, 1);
    return line;
}

void line_put(struct line *line)
{
    if (line == NULL || atomic_fetch_sub(&line->refs, 1) != 1)
        return;
    azihsm_device_close(line->device);
    secret_free(line->seed);
    OPENSSL_free(line);
}

struct link *era_link_new(struct era *era, struct line *line)
{
    struct link *link = OPENSSL_zalloc(sizeof(*link));

    if (link == NULL) {
        line_put(line);
        return NULL;
    }
    link->refs = 1;
    link->epoch = atomic_fetch_add(&last_epoch, 1) + 1;
    link->lineage = link->epoch;
    link->generation = era->generation;
    link->line = line;
    link->device = line->device;
    link->extensions = -1;
    pthread_mutex_lock(&era->lock);
    link->next = era->links;
    era->links = link;
    pthread_mutex_unlock(&era->lock);
    return link;
}

static bool link_up_ref(struct link *link)
{
    uint32_t refs = atomic_load_explicit(&link->refs, memory_order_relaxed);

    while (refs != 0)
        if (atomic_compare_exchange_weak_explicit(&link->refs, &refs, refs + 1, memory_order_acquire,
                                                  memory_order_relaxed))
            return true;
    return false;
}

/* In a child the line is its parent's: closing would be harmless, but the count may never get there. */
void link_put(struct link *link)
{
    if (link != NULL && atomic_fetch_sub_explicit(&link->refs, 1, memory_order_acq_rel) == 1)
        line_put(link->line);
}

struct link *era_link(struct era *era)
{
    struct link *link = atomic_load_explicit(&era->link, memory_order_acquire);

    return link != NULL && link_up_ref(link) ? link : NULL;
}

void era_publish(struct era *era, struct link *link)
{
    struct link *before;

    atomic_fetch_add(&link->refs, 1);
    pthread_mutex_lock(&era->lock);
    before = atomic_exchange(&era->link, link);
    pthread_mutex_unlock(&era->lock);
    link_put(before);
}

/* renewed is set before anybody can reopen the session: an answer that came after that is not believed. */
void era_retire(struct era *era, struct link *link, bool revive)
{
    struct line *unwanted = NULL;
    bool mine;

    pthread_mutex_lock(&era->lock);
    mine = atomic_load(&era->link) == link;
    if (mine && revive) {
        atomic_store(&link->renewed, true);
        unwanted = era->revive;
        era->revive = line_up_ref(link->line);
        era->revive_lineage = link->lineage;
        era->revive_session = link->sess_id;
    }
    if (mine)
        atomic_store(&era->link, NULL);
    pthread_mutex_unlock(&era->lock);
    line_put(unwanted);
    if (mine)
        link_put(link);
}

/*
 * A context that nobody configures holds `default` from its first fetch on; loading it by hand would want a reference
 * to be given back before the context is freed.
 */
OSSL_LIB_CTX *era_libctx(struct era *era)
{
    OSSL_LIB_CTX *libctx = atomic_load(&era->libctx), *expected = NULL;

    if (libctx != NULL)
        return libctx;
    libctx = OSSL_LIB_CTX_new();
    if (libctx == NULL || atomic_compare_exchange_strong(&era->libctx, &expected, libctx))
        return libctx;
    OSSL_LIB_CTX_free(libctx);
    return expected;
}

static bool cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t attr;
    bool ok;

    if (pthread_condattr_init(&attr) != 0)
        return false;
    ok = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0 && pthread_cond_init(cond, &attr) == 0;
    pthread_condattr_destroy(&attr);
    return ok;
}

struct era *era_new(uint32_t generation)
{
    struct era *era = OPENSSL_zalloc(sizeof(*era));

    if (era == NULL)
        return NULL;
    era->generation = generation;
    if (pthread_mutex_init(&era->lock, NULL) == 0) {
        if (cond_init(&era->changed))
            return era;
        pthread_mutex_destroy(&era->lock);
    }
    OPENSSL_free(era);
    return NULL;
}

/*
 * Of an inherited era only the memory of the lines is given back (closing a handle in a process that does not own it
 * frees). Its libcrypto context stays: a lock in it may have been held when we were forked.
 */
static void era_free_one(struct era *era, bool inherited)
{
    link_put(atomic_exchange(&era->link, NULL));
    line_put(era->revive);
    while (era->links != NULL) {
        struct link *link = era->links;

        era->links = link->next;
        OPENSSL_free(link);
    }
    if (!inherited) {
        OSSL_LIB_CTX_free(era->libctx);
        pthread_cond_destroy(&era->changed);
        pthread_mutex_destroy(&era->lock);
        OPENSSL_free(era);
    }
}

/* Inherited eras are kept reachable, so that leak checkers see what was left on purpose. */
static struct era *left_behind;

void era_free(struct era *era)
{
    uint32_t generation = generation_current();

    while (era != NULL) {
        struct era *previous = era->previous;
        bool inherited = era->generation != generation;

        era_free_one(era, inherited);
        if (inherited) {
            era->previous = left_behind;
            left_behind = era;
        }
        era = previous;
    }
}
