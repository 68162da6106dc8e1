/*
 * All that a process holds of a device in one generation: the session it has now, the keys that are resident in it, a
 * libcrypto context. A child makes an era of its own on first use and never touches its parent's, whose locks may be
 * held for ever by threads that fork did not copy; it stays in memory, linked, until the last client goes.
 *
 * A link is one session on one open handle. The published link is used without a lock: a user takes a reference if the
 * count is not zero. The memory of a link lives as long as its era, so looking at a dead one is harmless; its handle is
 * closed when the last user lets go.
 */
#ifndef CLIENT_ERA_H
#define CLIENT_ERA_H

#include "crypto/secret.h"

#include <azihsm/device.h>
#include <openssl/types.h>
#include <pthread.h>
#include <stdatomic.h>

struct azihsm_key;

/* An open handle with what ReopenSession needs; shared by the links that one after the other were its session. */
struct line {
    _Atomic uint32_t refs;
    struct azihsm_device *device;
    struct secret *seed;
    size_t bmk_len;
    uint8_t bmk[AZIHSM_BACKUP_KEY_MAX];
};

struct link {
    _Atomic uint32_t refs; /* 0 = dead */
    uint32_t epoch;        /* names the link: grows with every session this process line opens */
    uint32_t lineage;      /* epoch of the OpenSession it began with: session keys live that long */
    uint32_t generation;
    struct line *line;
    struct azihsm_device *device; /* line's, for speed */
    uint16_t sess_id;
    uint8_t short_app_id;
    _Atomic bool renewed; /* its session was (or is being) reopened as another link: answers may be to foreign keys */
    _Atomic int64_t
        slow_until_ns;          /* the device did not answer in time: no courtesies such as deleting keys until then */
    _Atomic int64_t extensions; /* -1 = not asked yet */
    /* the device's unwrapping key, guarded by the era's lock; len 0 = not asked yet */
    uint16_t unwrapping_id;
    size_t unwrapping_len;
    uint8_t unwrapping_spki[AZIHSM_PUB_KEY_MAX];
    struct link *next;
};

struct era {
    uint32_t generation;
    _Atomic(struct link *) link; /* the published one, or NULL; owns a reference */
    _Atomic(OSSL_LIB_CTX *) libctx;
    pthread_mutex_t lock;   /* never held over a wait, a callback or a pause */
    pthread_cond_t changed; /* a login ended, a key was loaded */
    /* guarded by lock: */
    bool opening;
    struct line *revive; /* to be reopened instead of opening anew; owns a reference */
    uint32_t revive_lineage;
    uint16_t revive_session;
    int64_t next_attempt_ns;
    unsigned failures;
    azihsm_rc last_rc; /* why the last login failed; 0 = it did not */
    char last_text[sizeof(((struct azihsm_error *)0)->text)];
    struct link *links;
    struct azihsm_key *oldest, *newest; /* resident keys that may be evicted */
    struct era *previous;
};

/* NULL without memory. */
struct era *era_new(uint32_t generation);
/* Frees it and all before it. Only the current generation's handles are closed and its locks destroyed. */
void era_free(struct era *era);

/* libcrypto for this era: `default` only, no configuration. Made on first use; NULL when that failed. */
OSSL_LIB_CTX *era_libctx(struct era *era);

/* Takes over line; NULL without memory (line is then released). One reference, the caller's. */
struct link *era_link_new(struct era *era, struct line *line);
/* The published link with a reference, or NULL. */
struct link *era_link(struct era *era);
void era_publish(struct era *era, struct link *link);
/* Withdraws link if it is still the published one. revive: its session may be reopened on the same handle. */
void era_retire(struct era *era, struct link *link, bool revive);

void link_put(struct link *link);
struct line *line_new(struct azihsm_device *device);
struct line *line_up_ref(struct line *line);
void line_put(struct line *line);

#endif
