/*
 * An operation of a client from beginning to end: get a session, make the keys resident, run, and on a failure that a
 * new session, another attempt or more room in the device can cure, do that and run again, until the deadline.
 */
#ifndef CLIENT_RECOVER_H
#define CLIENT_RECOVER_H

#include "era.h"
#include "registry.h"

#include <azihsm/client.h>

enum { OPERATION_KEYS = 2 };

struct operation_spec {
    uint32_t op; /* for messages, e.g. AZIHSM_OP_ECC_SIGN */
    struct azihsm_client *client;
    struct azihsm_key *keys[OPERATION_KEYS]; /* made resident before; NULL = none */
    uint32_t kind;                           /* for the counts (azihsm_activity_of); 0 = that of keys[0] */
    bool decrypt;                            /* likewise */
    bool uncounted;                          /* all that it does is counted by itself: loading a key */
    bool once;         /* may not be repeated when it is not known whether it was executed (named keys, PIN, reset) */
    bool hasty;        /* one attempt: no waiting for a device that is not ready */
    unsigned patience; /* times the client's timeout, for what may take the device long; 0 = 1 */
};

/* While it runs. On the heap when it may pause, because a job that is thrown away takes its stack along. */
struct operation {
    struct operation_spec spec; /* a copy: an abandoned operation outlives its caller's stack */
    struct azihsm_client *client;
    struct hub *hub;
    struct azihsm_error *err;
    int64_t started_ns, deadline_ns;
    bool pausable;
    bool spent;   /* the attempt may have used up what spec.once is about: a name, or an input that dst overlaps */
    bool running; /* failures now are the operation's, not the session's or a key's loading */
    struct era *era;
    struct link *link;
    bool held[OPERATION_KEYS];
    uint16_t key_id[OPERATION_KEYS];
    uint32_t bulk_id[OPERATION_KEYS];
    /* held while paused, for operation_abandon */
    struct azihsm_request *request;
    int timer_fd;
};

/* The part that is repeated: sends requests by call_run on operation->link and copies the results out. */
typedef azihsm_rc operation_fn(struct operation *operation, void *arg);

/* err gets operation, endpoint, status and hint. */
azihsm_rc operation_run(const struct operation_spec *spec, operation_fn *fn, void *arg, struct azihsm_error *err);

/* For azihsm_async_hooks.pause: gives up all that a paused operation holds. */
void operation_abandon(void *operation);

/* A failure with its own words, e.g. that a key's session ended; operation_run puts the operation's name before them.
 */
#define operation_fail(operation, rc, ...) azihsm_error_set((operation)->err, (rc), __VA_ARGS__)

#endif
