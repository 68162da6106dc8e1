/*
 * The loop around every operation, and the table that says what a failure asks for.
 *
 * Nothing is held between attempts. What creates a key is repeated like everything else: an orphan of the first attempt
 * goes with the connection or the reset that broke it. Only named keys are not (spec->once), because the first attempt
 * may have taken the name.
 */
#include "recover.h"

#include "activity.h"
#include "client.h"
#include "generation.h"
#include "key.h"
#include "residency.h"
#include "session.h"
#include "transport/futex.h"
#include "wait.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

enum cure {
    CURE_NONE,
    CURE_REVIVE,  /* reopen the session on its handle */
    CURE_REPLACE, /* a new handle */
    CURE_RELOAD,  /* the device does not have the key any more */
    CURE_ROOM,    /* evict idle keys */
    CURE_WAIT,
};

static const struct {
    azihsm_rc rc;
    enum cure cure;
} cures[] = {
    {AZIHSM_STATUS_SESSION_NEEDS_RENEGOTIATION, CURE_REVIVE},
    {AZIHSM_STATUS_PARTITION_NOT_PROVISIONED, CURE_REVIVE},
    {AZIHSM_STATUS_SESSION_NOT_FOUND, CURE_REPLACE},
    {AZIHSM_STATUS_FILE_HANDLE_NO_EXISTING_SESSION, CURE_REPLACE},
    {AZIHSM_STATUS_FILE_HANDLE_SESSION_ID_DOES_NOT_MATCH, CURE_REPLACE},
    {AZIHSM_E_LOST, CURE_REPLACE},
    {AZIHSM_E_NOT_OWNER, CURE_REPLACE},
    {AZIHSM_STATUS_KEY_NOT_FOUND, CURE_RELOAD},
    {AZIHSM_STATUS_INVALID_KEY_NUMBER, CURE_RELOAD},
    {AZIHSM_STATUS_NOT_ENOUGH_SPACE, CURE_ROOM},
    {AZIHSM_STATUS_REACHED_MAX_KEYS, CURE_ROOM},
    {AZIHSM_STATUS_REACHED_MAX_AES_BULK_KEYS, CURE_ROOM},
    {AZIHSM_E_BUSY, CURE_WAIT},
    {AZIHSM_E_ABORTED, CURE_WAIT},
    {AZIHSM_E_NOT_READY, CURE_WAIT},
    {AZIHSM_STATUS_PENDING_KEY_GENERATION, CURE_WAIT},
    {AZIHSM_STATUS_NONCE_MISMATCH, CURE_WAIT},
};

enum {
    AT_ONCE_MAX =
        4, /* repetitions without a wait: a device that always answers the same is not asked in a tight loop */
    RELOADS_MAX = 6,
    WAIT_MIN_MS = 1,
    WAIT_MAX_MS = 64,
};

static enum cure cure_for(azihsm_rc rc)
{
    for (size_t i = 0; i < sizeof(cures) / sizeof(cures[0]); i++)
        if (cures[i].rc == rc)
            return cures[i].cure;
    return CURE_NONE;
}

static bool outcome_unknown(azihsm_rc rc)
{
    return rc == AZIHSM_E_LOST || rc == AZIHSM_E_ABORTED || rc == AZIHSM_E_NOT_OWNER;
}

/* Lets go of all that an attempt took. In a child of the process that took it there is nothing to let go of. */
static void attempt_end(struct operation *operation)
{
    for (unsigned i = 0; i < OPERATION_KEYS; i++)
        if (operation->held[i])
            residency_release(operation->spec.keys[i], operation->link->epoch);
    memset(operation->held, 0, sizeof(operation->held));
    link_put(operation->link);
    operation->link = NULL;
}

/* What keeps client and keys alive for an operation that may be abandoned. */
static void operation_own(struct operation *operation)
{
    azihsm_client_up_ref(operation->client);
    for (unsigned i = 0; i < OPERATION_KEYS; i++)
        if (operation->spec.keys[i] != NULL)
            azihsm_key_up_ref(operation->spec.keys[i]);
}

static void operation_disown(struct operation *operation)
{
    for (unsigned i = 0; i < OPERATION_KEYS; i++)
        azihsm_key_free(operation->spec.keys[i]);
    azihsm_client_free(operation->client);
    OPENSSL_free(operation);
}

void operation_abandon(void *arg)
{
    struct operation *operation = arg;

    if (operation->timer_fd >= 0)
        close(operation->timer_fd);
    if (operation->request != NULL && operation->link->generation == generation_current())
        azihsm_request_release(operation->request);
    attempt_end(operation);
    activity_event(ACTIVITY_ABANDONED, 1);
    operation_disown(operation);
}

static azihsm_rc attempt_once(struct operation *operation, operation_fn *fn, void *arg)
{
    azihsm_rc rc = session_get(operation);

    operation->spent = false;
    operation->running = false;
    for (unsigned i = 0; rc == AZIHSM_OK && i < OPERATION_KEYS; i++)
        if (operation->spec.keys[i] != NULL)
            rc = residency_hold(operation, i);
    if (rc != AZIHSM_OK)
        return rc;
    operation->running = true;
    return fn(operation, arg);
}

/* True when the operation is to be run again; *wait says whether not at once. */
static bool cure(struct operation *operation, azihsm_rc rc, unsigned *reloads, bool *wait)
{
    enum cure how = cure_for(rc);
    bool once_more = !operation->spec.once || !operation->spent || !outcome_unknown(rc);

    /* Without a link it was the login that failed, and that has waited already. */
    if (how == CURE_NONE || operation->link == NULL)
        return false;
    switch (how) {
    case CURE_REVIVE:
    case CURE_REPLACE:
        client_trace(operation->client, AZIHSM_TRACE_SESSION, "%s: session given up: %s; %s",
                     azihsm_client_endpoint_name(operation->client), azihsm_rc_name(rc),
                     how == CURE_REVIVE ? "it is reopened" : "another is opened");
        era_retire(operation->era, operation->link, how == CURE_REVIVE); /* also for the operations after this one */
        return once_more;
    case CURE_RELOAD:
        /* A key that cannot even be loaded is not there. */
        if (!operation->running || ++*reloads > RELOADS_MAX)
            return false;
        for (unsigned i = 0; i < OPERATION_KEYS; i++)
            if (operation->held[i])
                residency_forget(operation->spec.keys[i], operation->link->epoch, operation->key_id[i]);
        return operation->held[0];
    case CURE_ROOM:
        *wait = !residency_make_room(operation);
        return true;
    default:
        *wait = true;
        return once_more;
    }
}

static int64_t wait_ns(unsigned waits)
{
    int64_t ms = waits < 6 ? WAIT_MIN_MS << waits : WAIT_MAX_MS;

    return ms * NS_PER_MS;
}

static azihsm_rc attempts(struct operation *operation, operation_fn *fn, void *arg)
{
    unsigned reloads = 0, waits = 0;

    for (unsigned tries = 1;; tries++) {
        azihsm_rc rc = attempt_once(operation, fn, arg);
        bool wait = tries > AT_ONCE_MAX, again = false;
        int64_t when;

        if (rc != AZIHSM_OK)
            again = cure(operation, rc, &reloads, &wait);
        attempt_end(operation);
        if (!again || operation->spec.hasty)
            return rc;
        when = wait ? clock_now() + wait_ns(waits++) : clock_now();
        /* A last attempt without the time for an answer would only turn a cause that is known into an unknown one. */
        if (when >= operation->deadline_ns - (wait ? (operation->deadline_ns - operation->started_ns) / 8 : 0))
            return rc;
        activity_event(ACTIVITY_REPEAT, 1);
        client_trace(operation->client, AZIHSM_TRACE_OP, "%s: %s, once more%s", azihsm_ddi_op_name(operation->spec.op),
                     azihsm_rc_name(rc), wait ? " after a wait" : "");
        if (wait)
            wait_until(operation, when);
    }
}

/* "EccSign on unix:/run/azihsm.sock: KeyNotFound: <own words or hint>" */
static azihsm_rc report(const struct operation_spec *spec, azihsm_rc rc, struct azihsm_error *err)
{
    struct azihsm_error own;
    const char *words = azihsm_rc_hint(rc);

    if (err == NULL)
        return rc;
    if (err->rc == rc && err->text[0] != '\0') {
        own = *err;
        words = own.text;
    }
    return azihsm_error_set(err, rc, "%s on %s: %s%s%s", azihsm_ddi_op_name(spec->op),
                            azihsm_client_endpoint_name(spec->client), azihsm_rc_name(rc), words != NULL ? ": " : "",
                            words != NULL ? words : "");
}

static void operation_init(struct operation *operation, const struct operation_spec *spec, int64_t started_ns,
                           struct azihsm_error *err)
{
    memset(operation, 0, sizeof(*operation));
    operation->spec = *spec;
    operation->client = spec->client;
    operation->hub = spec->client->hub;
    operation->err = err;
    operation->started_ns = started_ns;
    operation->deadline_ns = operation->started_ns +
                             (int64_t)spec->client->timeout_ms * NS_PER_MS * (spec->patience != 0 ? spec->patience : 1);
    operation->timer_fd = -1;
}

static azihsm_rc run_pausable(const struct operation_spec *spec, int64_t started_ns, operation_fn *fn, void *arg,
                              struct azihsm_error *err)
{
    struct operation *operation = OPENSSL_malloc(sizeof(*operation));
    azihsm_rc rc;

    if (operation == NULL)
        return AZIHSM_E_NO_MEMORY;
    operation_init(operation, spec, started_ns, err);
    operation->pausable = true;
    operation_own(operation);
    rc = attempts(operation, fn, arg);
    operation_disown(operation);
    return rc;
}

/* "EccSign (ecdsa-p256.sign) with key "www" (Ecc256Private) on unix:/run/azihsm.sock: Success, 18 us" */
static void account(const struct operation_spec *spec, azihsm_rc rc, int64_t ns)
{
    const struct azihsm_key *key = spec->keys[0];
    enum azihsm_activity activity =
        azihsm_activity_of(spec->op, spec->kind != 0 || key == NULL ? spec->kind : key->kind, spec->decrypt);
    char text[KEY_TEXT_MAX];

    activity_note(activity, rc != AZIHSM_OK, ns);
    if (client_traces(spec->client, AZIHSM_TRACE_OP))
        client_trace(spec->client, AZIHSM_TRACE_OP, "%s (%s.%s)%s%s on %s: %s, %lld us", azihsm_ddi_op_name(spec->op),
                     azihsm_activity_algorithm(activity), azihsm_activity_action(activity), key != NULL ? " with " : "",
                     key != NULL ? key_text(key, text) : "", azihsm_client_endpoint_name(spec->client),
                     azihsm_rc_name(rc), (long long)(ns / NS_PER_US));
}

azihsm_rc operation_run(const struct operation_spec *spec, operation_fn *fn, void *arg, struct azihsm_error *err)
{
    int64_t started_ns = clock_now();
    struct operation operation;
    azihsm_rc rc;

    if (err != NULL)
        memset(err, 0, sizeof(*err));
    if (client_can_pause(spec->client)) {
        rc = run_pausable(spec, started_ns, fn, arg, err);
    } else {
        operation_init(&operation, spec, started_ns, err);
        rc = attempts(&operation, fn, arg);
    }
    if (!spec->uncounted)
        account(spec, rc, clock_now() - started_ns);
    return rc == AZIHSM_OK ? rc : report(spec, rc, err);
}
