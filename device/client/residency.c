/*
 * The residency of a key is one word: the epoch of the link it belongs to, a state, the number of users, the key id.
 * Signing changes it twice (one user more, one less) and takes no lock.
 *
 *     ABSENT --> LOADING --> RESIDENT --> ABSENT (evicted, users 0)
 *                               |
 *                               +--> STALE --> ABSENT (when the last user lets go)
 *
 * A word of an older epoch is as good as ABSENT; one of a newer epoch means that our link is out of date. An id is
 * deleted by whoever takes its word out of RESIDENT, once, and only on the link that made it: a child or a later
 * session never deletes another's key. While an id has users it is not evicted, so it cannot come to mean another key
 * under a request that is on its way.
 */
#include "residency.h"

#include "activity.h"
#include "call.h"
#include "client.h"
#include "key.h"
#include "transport/futex.h"

enum state { ABSENT, LOADING, RESIDENT, STALE };

enum { EVICT_BATCH = 8, USERS_MAX = 0x3fff };

static uint64_t word_make(uint32_t epoch, enum state state, uint32_t users, uint16_t key_id)
{
    return (uint64_t)epoch << 32 | (uint64_t)state << 30 | (uint64_t)users << 16 | key_id;
}

static uint32_t word_epoch(uint64_t word)
{
    return (uint32_t)(word >> 32);
}

static enum state word_state(uint64_t word)
{
    return (enum state)(word >> 30 & 3);
}

static uint32_t word_users(uint64_t word)
{
    return (uint32_t)(word >> 16) & USERS_MAX;
}

static uint16_t word_id(uint64_t word)
{
    return (uint16_t)word;
}

static bool word_change(struct azihsm_key *key, uint64_t *from, uint64_t to)
{
    return atomic_compare_exchange_weak_explicit(&key->word, from, to, memory_order_acq_rel, memory_order_acquire);
}

/* ---- the list of evictable keys, oldest first; under the era's lock ---- */

static void list_append(struct era *era, struct azihsm_key *key)
{
    key->listed = era;
    key->older = era->newest;
    key->newer = NULL;
    if (era->newest != NULL)
        era->newest->newer = key;
    else
        era->oldest = key;
    era->newest = key;
}

static void list_remove(struct era *era, struct azihsm_key *key)
{
    if (key->listed != era)
        return;
    if (key->older != NULL)
        key->older->newer = key->newer;
    else
        era->oldest = key->newer;
    if (key->newer != NULL)
        key->newer->older = key->older;
    else
        era->newest = key->older;
    key->listed = NULL;
    key->older = key->newer = NULL;
}

static void list_enter(struct era *era, struct azihsm_key *key)
{
    pthread_mutex_lock(&era->lock);
    if (key->listed == era)
        list_remove(era, key);
    if (key_is_evictable(key))
        list_append(era, key);
    pthread_cond_broadcast(&era->changed);
    pthread_mutex_unlock(&era->lock);
}

/* ---- loading ---- */

static azihsm_rc loaded(struct operation *operation, struct azihsm_key *key, uint32_t kind, bool has_public,
                        const struct azihsm_pub_key *pub_key)
{
    azihsm_rc rc = AZIHSM_OK;

    if (key->kind != 0 && kind != key->kind)
        return operation_fail(operation, AZIHSM_E_MISMATCH, "the device has a key of kind %s there, the file one of %s",
                              azihsm_key_kind_name(kind) != NULL ? azihsm_key_kind_name(kind) : "?",
                              azihsm_key_kind_name(key->kind));
    if (key_kind_is_asymmetric(kind)) {
        if (!has_public)
            return operation_fail(operation, AZIHSM_E_PROTOCOL, "the device returned no public key");
        rc = key_confirm_public(key, era_libctx(operation->era), pub_key->der);
    }
    if (rc == AZIHSM_E_MISMATCH)
        return operation_fail(operation, rc, "the device returned another public key than the key file holds");
    return rc;
}

static azihsm_rc unmask(struct operation *operation, struct azihsm_key *key, uint16_t *id, uint16_t *bulk_id)
{
    struct azihsm_unmask_key_req request = {.masked_key = key->blob};
    struct azihsm_unmask_key_resp response;
    struct exchange exchange;
    azihsm_rc rc = call_aside(operation, &exchange, AZIHSM_OP_UNMASK_KEY, &request, &response);

    if (rc == AZIHSM_OK) {
        *id = response.key_id;
        *bulk_id = response.has_bulk_key_id ? response.bulk_key_id : response.key_id;
        rc = loaded(operation, key, response.kind, response.has_pub_key, &response.pub_key);
        if (rc != AZIHSM_OK)
            call_delete_key(operation->link, response.key_id);
    }
    call_end(operation, &exchange);
    return rc;
}

/* A key from a tag learns here what it is; kind and flags are then constant. */
static azihsm_rc open_named(struct operation *operation, struct azihsm_key *key, uint16_t *id, uint16_t *bulk_id)
{
    struct azihsm_open_key_req request = {.key_tag = key->tag};
    struct azihsm_open_key_resp response;
    struct exchange exchange;
    azihsm_rc rc = call_aside(operation, &exchange, AZIHSM_OP_OPEN_KEY, &request, &response);

    if (rc == AZIHSM_OK) {
        *id = response.key_id;
        *bulk_id = response.has_bulk_key_id ? response.bulk_key_id : response.key_id;
        rc = loaded(operation, key, response.key_kind, response.has_pub_key, &response.pub_key);
        if (rc == AZIHSM_OK && key->kind == 0)
            key->kind = response.key_kind;
    } else if (rc == AZIHSM_STATUS_KEY_NOT_FOUND) {
        operation_fail(operation, rc,
                       "the device has no key with tag 0x%x: it was never made, or is gone since a restart or reset of "
                       "the device; load the key from its file",
                       key->tag);
    }
    call_end(operation, &exchange);
    return rc;
}

/*
 * A named key may still be in the device from an earlier life of this or another process. Its public key tells that it
 * is the one; of a symmetric key nothing would.
 */
static azihsm_rc load(struct operation *operation, struct azihsm_key *key, uint16_t *id, uint16_t *bulk_id)
{
    azihsm_rc rc;

    if (key_is_session(key) && key->lineage != operation->link->lineage)
        return operation_fail(operation, AZIHSM_STATUS_KEY_NOT_FOUND,
                              "this is a session key and its session has ended");
    if (key->blob.len == 0)
        return open_named(operation, key, id, bulk_id);
    rc = unmask(operation, key, id, bulk_id);
    if (rc == AZIHSM_STATUS_KEY_TAG_ALREADY_EXISTS && key_kind_is_asymmetric(key->kind))
        rc = open_named(operation, key, id, bulk_id);
    return rc;
}

static azihsm_rc load_counted(struct operation *operation, struct azihsm_key *key, uint16_t *id, uint16_t *bulk_id)
{
    int64_t started_ns = clock_now(), took_ns;
    char text[KEY_TEXT_MAX];
    azihsm_rc rc = load(operation, key, id, bulk_id);

    took_ns = clock_now() - started_ns;
    activity_note(AZIHSM_ACTIVITY_KEY_LOAD, rc != AZIHSM_OK, took_ns);
    if (client_traces(operation->client, AZIHSM_TRACE_KEY))
        client_trace(operation->client, AZIHSM_TRACE_KEY, "load %s: %s, %lld us", key_text(key, text),
                     azihsm_rc_name(rc), (long long)(took_ns / NS_PER_US));
    return rc;
}

/* The word is LOADING with our epoch, by us. */
static azihsm_rc load_and_hold(struct operation *operation, struct azihsm_key *key, unsigned index)
{
    uint32_t epoch = operation->link->epoch;
    uint64_t from = word_make(epoch, LOADING, 0, 0);
    uint16_t id = 0, bulk_id = 0;
    azihsm_rc rc = load_counted(operation, key, &id, &bulk_id);
    uint64_t to = rc == AZIHSM_OK ? word_make(epoch, RESIDENT, 1, id) : word_make(epoch, ABSENT, 0, 0);
    bool mine;

    if (rc == AZIHSM_OK)
        atomic_store(&key->bulk_id, bulk_id);
    mine = atomic_compare_exchange_strong(&key->word, &from, to);
    if (rc == AZIHSM_OK && mine)
        list_enter(operation->era, key);
    pthread_mutex_lock(&operation->era->lock);
    pthread_cond_broadcast(&operation->era->changed);
    pthread_mutex_unlock(&operation->era->lock);
    if (rc != AZIHSM_OK)
        return rc;
    /* Somebody with a newer link took the key over: ours went with the old session. */
    if (!mine)
        return AZIHSM_STATUS_SESSION_NEEDS_RENEGOTIATION;
    operation->key_id[index] = id;
    operation->bulk_id[index] = bulk_id;
    operation->held[index] = true;
    return AZIHSM_OK;
}

static azihsm_rc wait_for_load(struct operation *operation, struct azihsm_key *key, uint64_t word)
{
    struct timespec deadline = clock_spec(operation->deadline_ns);
    azihsm_rc rc = AZIHSM_OK;

    pthread_mutex_lock(&operation->era->lock);
    while (atomic_load(&key->word) == word)
        if (pthread_cond_timedwait(&operation->era->changed, &operation->era->lock, &deadline) != 0) {
            rc = AZIHSM_E_TIMEOUT;
            break;
        }
    pthread_mutex_unlock(&operation->era->lock);
    return rc;
}

azihsm_rc residency_hold(struct operation *operation, unsigned index)
{
    struct azihsm_key *key = operation->spec.keys[index];
    uint32_t epoch = operation->link->epoch;
    uint64_t word = atomic_load_explicit(&key->word, memory_order_acquire);
    azihsm_rc rc = AZIHSM_OK;

    while (rc == AZIHSM_OK) {
        enum state state = word_epoch(word) == epoch ? word_state(word) : ABSENT;

        if (word_epoch(word) > epoch)
            return AZIHSM_STATUS_SESSION_NEEDS_RENEGOTIATION;
        if (state == STALE || (state == RESIDENT && word_users(word) == USERS_MAX))
            return AZIHSM_E_BUSY;
        if (state == RESIDENT) {
            if (!word_change(key, &word, word_make(epoch, RESIDENT, word_users(word) + 1, word_id(word))))
                continue;
            operation->key_id[index] = word_id(word);
            operation->bulk_id[index] = atomic_load(&key->bulk_id);
            operation->held[index] = true;
            if (!atomic_load_explicit(&key->used, memory_order_relaxed))
                atomic_store_explicit(&key->used, true, memory_order_relaxed);
            return AZIHSM_OK;
        }
        if (state == LOADING)
            rc = wait_for_load(operation, key, word);
        else if (word_change(key, &word, word_make(epoch, LOADING, 0, 0)))
            return load_and_hold(operation, key, index);
        word = atomic_load_explicit(&key->word, memory_order_acquire);
    }
    return rc;
}

/* ---- letting go ---- */

void residency_release(struct azihsm_key *key, uint32_t epoch)
{
    uint64_t word = atomic_load_explicit(&key->word, memory_order_acquire);
    uint64_t to;

    do {
        enum state state = word_state(word);
        uint32_t users = word_users(word);

        if (word_epoch(word) != epoch || users == 0 || (state != RESIDENT && state != STALE))
            return;
        if (state == STALE && users == 1)
            to = word_make(epoch, ABSENT, 0, 0);
        else
            to = word_make(epoch, state, users - 1, word_id(word));
    } while (!word_change(key, &word, to));
}

void residency_forget(struct azihsm_key *key, uint32_t epoch, uint16_t key_id)
{
    uint64_t word = atomic_load(&key->word);

    while (word_epoch(word) == epoch && word_state(word) == RESIDENT && word_id(word) == key_id)
        if (word_change(key, &word, word_make(epoch, STALE, word_users(word), key_id)))
            return;
}

void residency_enter(struct operation *operation, struct azihsm_key *key, uint16_t key_id, uint16_t bulk_id)
{
    atomic_store(&key->bulk_id, bulk_id);
    atomic_store(&key->word, word_make(operation->link->epoch, RESIDENT, 0, key_id));
    list_enter(operation->era, key);
}

/* Takes an idle key out of the device's hands; true when its id is now ours to delete. */
static bool take_idle(struct azihsm_key *key, uint32_t epoch, uint16_t *id)
{
    uint64_t word = atomic_load(&key->word);

    while (word_epoch(word) == epoch && word_state(word) == RESIDENT && word_users(word) == 0)
        if (word_change(key, &word, word_make(epoch, ABSENT, 0, 0))) {
            *id = word_id(word);
            return true;
        }
    return false;
}

static void unlist(struct era *era, struct azihsm_key *key)
{
    pthread_mutex_lock(&era->lock);
    list_remove(era, key);
    pthread_mutex_unlock(&era->lock);
}

/* Without an era or a link of this generation there is nothing of ours in the device. */
static bool drop(struct azihsm_key *key)
{
    struct era *era = hub_era_if_any(key->client->hub);
    struct link *link = era == NULL ? NULL : era_link(era);
    uint16_t id;
    bool idle = true;

    if (era != NULL)
        unlist(era, key);
    if (link != NULL) {
        uint64_t word = atomic_load(&key->word);

        if (take_idle(key, link->epoch, &id))
            call_delete_key(link, id);
        else
            idle = word_epoch(word) != link->epoch || word_state(word) == ABSENT;
    }
    link_put(link);
    return idle;
}

/* A named key stays in the device: others may know it by its name. */
void residency_leave(struct azihsm_key *key)
{
    if (key_is_evictable(key))
        drop(key);
}

bool residency_evict(struct azihsm_key *key)
{
    struct era *era = hub_era_if_any(key->client->hub);
    bool idle = drop(key);

    if (!idle && era != NULL)
        list_enter(era, key);
    return idle;
}

/*
 * Second chance: from the oldest on, a key that was used since we last looked goes to the end of the list, one that is
 * in use too. Under the era's lock.
 */
static unsigned choose_idle(struct era *era, uint32_t epoch, uint16_t ids[EVICT_BATCH])
{
    unsigned count = 0;

    for (unsigned round = 0; round < 2 && count == 0; round++) {
        const struct azihsm_key *last = era->newest;

        for (struct azihsm_key *key = era->oldest, *next; key != NULL && count < EVICT_BATCH; key = next) {
            next = key == last ? NULL : key->newer;
            list_remove(era, key);
            if (word_epoch(atomic_load(&key->word)) < epoch)
                continue;
            if (atomic_exchange(&key->used, false) || !take_idle(key, epoch, &ids[count]))
                list_append(era, key);
            else
                count++;
        }
    }
    return count;
}

bool residency_make_room(struct operation *operation)
{
    struct link *link = operation->link;
    uint16_t ids[EVICT_BATCH];
    unsigned count;

    if (!call_slot_free(operation))
        return false;
    pthread_mutex_lock(&operation->era->lock);
    count = choose_idle(operation->era, link->epoch, ids);
    pthread_mutex_unlock(&operation->era->lock);
    for (unsigned i = 0; i < count; i++)
        call_delete_key(link, ids[i]);
    activity_event(ACTIVITY_EVICTION, count);
    if (count > 0)
        client_trace(operation->client, AZIHSM_TRACE_KEY, "device full: evicted %u idle keys", count);
    return count > 0;
}
