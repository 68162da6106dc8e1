/*
 * The session a process has: found without a lock when there is one, else opened by one thread while the others wait.
 *
 * A login attempt blocks and never pauses, so a fibre of the same thread can never wait for it; between attempts
 * nothing is held, and an ASYNC job pauses. After a failure nobody tries again before the back-off is over, however
 * many threads ask: a wrong PIN is not tried a thousand times a second.
 */
#include "session.h"

#include "activity.h"
#include "client.h"
#include "login.h"
#include "transport/futex.h"
#include "wait.h"

#include <string.h>

enum {
    BACKOFF_MIN_MS = 10,
    BACKOFF_MAX_MS = 100,
    FATAL_HOLD_MS = 500,  /* how long a failure that waiting does not cure is repeated without asking */
    FIRST_REACH_MS = 1000 /* how long a device that was never reached is waited for */
};

/* What waiting can cure. reached_only: only when the device was there before, or for FIRST_REACH_MS. */
static const struct {
    azihsm_rc rc;
    bool reached_only;
} curable[] = {
    {AZIHSM_E_NO_DEVICE, true},
    {AZIHSM_E_PERMISSION, true}, /* a socket that its server is just making */
    {AZIHSM_E_LOST, true},
    {AZIHSM_E_ABORTED, false},
    {AZIHSM_E_NOT_READY, false},
    {AZIHSM_E_BUSY, false},
    {AZIHSM_STATUS_CREDENTIALS_NOT_ESTABLISHED, false},
    {AZIHSM_STATUS_PARTITION_NOT_PROVISIONED, false},
    {AZIHSM_STATUS_NONCE_MISMATCH, false},
    {AZIHSM_STATUS_VAULT_SESSION_LIMIT_REACHED, false},
    {AZIHSM_STATUS_NOT_ENOUGH_SPACE, false},
    {AZIHSM_STATUS_PENDING_KEY_GENERATION, false},
};

static bool is_curable(const struct operation *operation, azihsm_rc rc)
{
    int64_t waited = clock_now() - operation->started_ns;

    if (operation->spec.hasty)
        return false;
    for (size_t i = 0; i < sizeof(curable) / sizeof(curable[0]); i++)
        if (curable[i].rc == rc)
            return !curable[i].reached_only || waited < FIRST_REACH_MS * NS_PER_MS ||
                   (rc != AZIHSM_E_PERMISSION && atomic_load(&operation->hub->reached));
    return false;
}

static int64_t backoff_ns(unsigned failures)
{
    int64_t ms = BACKOFF_MIN_MS;

    while (failures-- > 1 && ms < BACKOFF_MAX_MS)
        ms *= 2;
    return (ms < BACKOFF_MAX_MS ? ms : BACKOFF_MAX_MS) * NS_PER_MS;
}

/* Reopening is for a device that was reset under us. When it cannot be had, the old handle is dropped. */
static azihsm_rc reopen(struct login *login, struct line *line, uint16_t sess_id, uint32_t lineage, struct link **out,
                        bool *later)
{
    azihsm_rc rc = login_again(login, line, sess_id, lineage, out);

    *later = rc == AZIHSM_STATUS_CREDENTIALS_NOT_ESTABLISHED || rc == AZIHSM_STATUS_PARTITION_NOT_PROVISIONED ||
             rc == AZIHSM_STATUS_NONCE_MISMATCH || rc == AZIHSM_E_ABORTED || rc == AZIHSM_E_NOT_READY;
    return rc;
}

static azihsm_rc attempt(struct operation *operation, struct era *era, struct azihsm_error *err, struct link **out)
{
    struct login login = {.hub = operation->hub, .era = era, .deadline_ns = operation->deadline_ns, .err = err};
    struct line *line, *back = NULL;
    uint16_t sess_id;
    uint32_t lineage;
    bool later = false, before;
    azihsm_rc rc = AZIHSM_E_LOST;

    pthread_mutex_lock(&era->lock);
    line = era->revive;
    sess_id = era->revive_session;
    lineage = era->revive_lineage;
    before = era->links != NULL;
    era->revive = NULL;
    pthread_mutex_unlock(&era->lock);
    if (line != NULL)
        rc = reopen(&login, line, sess_id, lineage, out, &later);
    if (later) {
        pthread_mutex_lock(&era->lock);
        back = era->revive;
        era->revive = line;
        pthread_mutex_unlock(&era->lock);
        line = back;
    }
    line_put(line);
    if (rc == AZIHSM_OK)
        activity_event(ACTIVITY_RESET, 1);
    if (rc == AZIHSM_OK || later)
        return rc;
    err->text[0] = '\0';
    rc = login_new(&login, out);
    if (rc == AZIHSM_OK) {
        activity_event(ACTIVITY_SESSION, 1);
        activity_event(ACTIVITY_RECONNECT, before ? 1 : 0);
    }
    return rc;
}

/* Under the era's lock. */
static void note_result(struct era *era, azihsm_rc rc, bool cured_by_waiting, const struct azihsm_error *err)
{
    era->opening = false;
    era->last_rc = rc;
    era->failures = rc == AZIHSM_OK ? 0 : era->failures + 1;
    era->next_attempt_ns =
        rc == AZIHSM_OK ? 0 : clock_now() + (cured_by_waiting ? backoff_ns(era->failures) : FATAL_HOLD_MS * NS_PER_MS);
    memcpy(era->last_text, err->text, sizeof(era->last_text));
}

static azihsm_rc log_in(struct operation *operation, struct era *era, struct link **out)
{
    struct azihsm_error err = {0};
    struct link *link = NULL;
    int64_t started_ns = clock_now(), took_ns;
    azihsm_rc rc = attempt(operation, era, &err, &link);

    took_ns = clock_now() - started_ns;
    activity_note(AZIHSM_ACTIVITY_SESSION_OPEN, rc != AZIHSM_OK, took_ns);

    if (rc == AZIHSM_OK) {
        atomic_store(&operation->hub->reached, true);
        era_publish(era, link);
    }
    pthread_mutex_lock(&era->lock);
    note_result(era, rc, is_curable(operation, rc), &err);
    pthread_cond_broadcast(&era->changed);
    pthread_mutex_unlock(&era->lock);
    client_trace(operation->client, AZIHSM_TRACE_SESSION, "%s: login, partition %s: %s, %lld us%s%s",
                 azihsm_client_endpoint_name(operation->client), operation->hub->partition, azihsm_rc_name(rc),
                 (long long)(took_ns / NS_PER_US), err.text[0] != '\0' ? ": " : "", err.text);
    *out = link;
    return rc;
}

enum turn { TURN_LINK, TURN_MINE, TURN_WAIT, TURN_FAILED };

/* What this thread is to do now: use a link, log in, wait until *when, or fail as the last attempt did. */
static enum turn take_turn(struct operation *operation, struct era *era, struct link **link, int64_t *when,
                           azihsm_rc *rc)
{
    struct timespec deadline = clock_spec(operation->deadline_ns);
    enum turn turn = TURN_MINE;

    pthread_mutex_lock(&era->lock);
    while (era->opening && (*link = era_link(era)) == NULL)
        if (pthread_cond_timedwait(&era->changed, &era->lock, &deadline) != 0)
            break;
    if (*link == NULL)
        *link = era_link(era);
    *rc = era->last_rc;
    *when = era->next_attempt_ns;
    if (*link != NULL)
        turn = TURN_LINK;
    else if (era->opening)
        *rc = AZIHSM_E_TIMEOUT;
    if (turn == TURN_MINE && (era->opening || (*rc != AZIHSM_OK && clock_now() < *when)))
        turn = !era->opening && is_curable(operation, *rc) && *when < operation->deadline_ns ? TURN_WAIT : TURN_FAILED;
    if (turn == TURN_FAILED && !era->opening && era->last_text[0] != '\0')
        operation_fail(operation, *rc, "%s", era->last_text);
    if (turn == TURN_MINE)
        era->opening = true;
    pthread_mutex_unlock(&era->lock);
    return turn;
}

azihsm_rc session_get(struct operation *operation)
{
    for (;;) {
        struct era *era = hub_era(operation->hub);
        struct link *link;
        int64_t when = 0;
        azihsm_rc rc;

        if (era == NULL)
            return AZIHSM_E_NO_MEMORY;
        operation->era = era;
        link = era_link(era);
        if (link == NULL) {
            switch (take_turn(operation, era, &link, &when, &rc)) {
            case TURN_MINE:
                rc = log_in(operation, era, &link);
                if (rc != AZIHSM_OK)
                    continue;
                break;
            case TURN_WAIT:
                wait_until(operation, when);
                continue;
            case TURN_FAILED:
                return rc;
            case TURN_LINK:
                break;
            }
        }
        operation->link = link;
        return AZIHSM_OK;
    }
}
