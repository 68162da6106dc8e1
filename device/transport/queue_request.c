/*
 * The client's half of the slot protocol: claim, submit, wait, give up, release.
 *
 * After the first message of a slot this costs one wake-up and one sleep a side. A thread tends to get the slot it had
 * before, because there a thread of the server already sleeps beside it.
 */
#include "futex.h"
#include "queue_device.h"
#include "result.h"

#include <poll.h>
#include <sched.h>
#include <string.h>

enum { FIRST_LOOK_MS = 10, NEXT_LOOK_MS = 100 };

static uint32_t next_hint;
static _Thread_local unsigned slot_hint; /* slot + 1; 0 = this thread has had none */

struct queue_slot *queue_request_slot(const struct queue_request *request)
{
    return &((struct queue_device *)request->base.device)->shared->slot[request->index];
}

struct queue_frames *queue_request_frames(const struct queue_request *request)
{
    return &((struct queue_device *)request->base.device)->shared->frames[request->index];
}

static uint32_t slot_word(const struct queue_request *request)
{
    return __atomic_load_n(&queue_request_slot(request)->word, __ATOMIC_ACQUIRE);
}

static bool word_change(struct queue_slot *slot, uint32_t *from, uint32_t to)
{
    return __atomic_compare_exchange_n(&slot->word, from, to, false, __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE);
}

static bool server_has(uint32_t word)
{
    return (word & QUEUE_STATE) == QUEUE_SUBMITTED || (word & QUEUE_STATE) == QUEUE_RUNNING;
}

bool queue_check_lost(struct queue_device *device)
{
    struct pollfd event = {.fd = device->socket, .events = POLLRDHUP};

    if (poll(&event, 1, 0) > 0 && (event.revents & (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL)) != 0)
        __atomic_store_n(&device->lost, 1, __ATOMIC_RELAXED);
    return __atomic_load_n(&device->lost, __ATOMIC_RELAXED) != 0;
}

/* Ends a request whose slot is ours again. */
static void let_go(struct queue_device *device, struct queue_request *request)
{
    if (request->area >= 0)
        queue_area_give_back(device, (unsigned)request->area);
    __atomic_fetch_or(&device->free, (uint64_t)1 << request->index, __ATOMIC_SEQ_CST);
}

void queue_reap_abandoned(struct queue_device *device)
{
    uint64_t left = __atomic_load_n(&device->abandoned, __ATOMIC_ACQUIRE);

    while (left != 0) {
        unsigned index = (unsigned)__builtin_ctzll(left);
        uint64_t bit = (uint64_t)1 << index;

        left &= ~bit;
        if (server_has(slot_word(&device->requests[index])))
            continue;
        if ((__atomic_fetch_and(&device->abandoned, ~bit, __ATOMIC_ACQ_REL) & bit) != 0)
            let_go(device, &device->requests[index]);
    }
}

/* Claims a free slot, this thread's own if it is. -1 when there is none. */
static int claim_slot(struct queue_device *device)
{
    uint64_t free = __atomic_load_n(&device->free, __ATOMIC_SEQ_CST);

    if (slot_hint == 0)
        slot_hint = __atomic_fetch_add(&next_hint, 1, __ATOMIC_RELAXED) % QUEUE_SLOTS + 1;
    while (free != 0) {
        unsigned start = slot_hint - 1;
        uint64_t turned = start == 0 ? free : (free >> start) | (free << (QUEUE_SLOTS - start));
        unsigned index = ((unsigned)__builtin_ctzll(turned) + start) % QUEUE_SLOTS;
        uint64_t bit = (uint64_t)1 << index;

        free = __atomic_fetch_and(&device->free, ~bit, __ATOMIC_SEQ_CST);
        if ((free & bit) != 0) {
            slot_hint = index + 1;
            return (int)index;
        }
        free &= ~bit;
    }
    return -1;
}

static int claim_or_wait(struct queue_device *device, int64_t deadline_ns, azihsm_rc *rc)
{
    int index;

    *rc = AZIHSM_OK;
    __atomic_fetch_add(&device->waiters, 1, __ATOMIC_SEQ_CST);
    for (;;) {
        uint32_t seen = __atomic_load_n(&device->freed, __ATOMIC_SEQ_CST);
        int64_t now = clock_now();
        int64_t until = now + FIRST_LOOK_MS * NS_PER_MS;

        queue_reap_abandoned(device);
        index = claim_slot(device);
        if (index >= 0)
            break;
        *rc = now >= deadline_ns ? AZIHSM_E_BUSY : queue_check_lost(device) ? AZIHSM_E_LOST : AZIHSM_OK;
        if (*rc != AZIHSM_OK)
            break;
        futex_wait_until(&device->freed, seen, until < deadline_ns ? until : deadline_ns);
    }
    __atomic_fetch_sub(&device->waiters, 1, __ATOMIC_SEQ_CST);
    return index;
}

azihsm_rc queue_acquire(struct azihsm_device *base, int64_t deadline_ns, struct azihsm_request **out)
{
    struct queue_device *device = (struct queue_device *)base;
    struct queue_request *request;
    azihsm_rc rc;
    int index;

    if (__atomic_load_n(&device->lost, __ATOMIC_RELAXED) != 0 || __atomic_load_n(&device->worn, __ATOMIC_RELAXED) != 0)
        return AZIHSM_E_LOST;
    queue_reap_abandoned(device);
    index = claim_slot(device);
    if (index < 0) {
        index = claim_or_wait(device, deadline_ns, &rc);
        if (index < 0)
            return rc;
    }
    request = &device->requests[index];
    request->submitted = false;
    request->operation = QUEUE_EXECUTE;
    request->area = -1;
    request->notify = false;
    request->base.frame_len = 0;
    request->base.has_sess_id = false;
    request->base.sess_id = 0;
    request->base.session_kind = AZIHSM_KIND_NO_SESSION;
    request->base.deadline_ns = deadline_ns;
    request->base.response = NULL;
    request->base.response_len = 0;
    *out = &request->base;
    return AZIHSM_OK;
}

/* Hands the slot over; true when the server needs the doorbell, *lost when it wants no more. */
static bool hand_over(struct queue_slot *slot, bool *lost)
{
    uint32_t word = __atomic_load_n(&slot->word, __ATOMIC_ACQUIRE);

    do {
        *lost = (word & QUEUE_CLOSING) != 0;
        if (*lost)
            return false;
    } while (!word_change(slot, &word, QUEUE_SUBMITTED | (word & QUEUE_BOUND)));
    return (word & QUEUE_BOUND) == 0;
}

azihsm_rc queue_submit(struct azihsm_request *base)
{
    struct queue_request *request = (struct queue_request *)base;
    struct queue_device *device = (struct queue_device *)base->device;
    struct queue_slot *slot = queue_request_slot(request);
    int cpu = sched_getcpu();
    uint64_t one = 1;
    bool lost;

    if (request->base.frame_len > AZIHSM_FRAME_MAX)
        return AZIHSM_E_ARGUMENT;
    slot->cpu = cpu >= 0 ? (uint32_t)cpu : UINT32_MAX;
    slot->operation = (uint8_t)request->operation;
    slot->flags = request->notify ? QUEUE_NOTIFY : 0;
    slot->session_kind = (uint8_t)request->base.session_kind;
    slot->has_sess_id = request->base.has_sess_id;
    slot->sess_id = request->base.sess_id;
    slot->request_len = (uint32_t)request->base.frame_len;
    if (request->notify)
        queue_event_arm(request);
    if (hand_over(slot, &lost)) {
        /* A full counter means that the doorbell has been ringing for a long time: the server is gone. */
        if (write(device->doorbell, &one, sizeof(one)) != (ssize_t)sizeof(one))
            queue_check_lost(device);
    } else if (!lost) {
        futex_wake(&slot->word, 1);
    }
    if (lost) {
        __atomic_store_n(&device->lost, 1, __ATOMIC_RELAXED);
        return AZIHSM_E_LOST;
    }
    request->submitted = true;
    return AZIHSM_OK;
}

/* Takes back a request that no thread of the server has begun. */
static bool withdraw(struct queue_request *request)
{
    struct queue_slot *slot = queue_request_slot(request);
    uint32_t word = __atomic_load_n(&slot->word, __ATOMIC_ACQUIRE);

    while ((word & QUEUE_STATE) == QUEUE_SUBMITTED) {
        if (word_change(slot, &word, QUEUE_IDLE | (word & (QUEUE_BOUND | QUEUE_CLOSING))))
            return true;
    }
    return false;
}

/*
 * Hands the processor to the server's thread, which was just woken beside us: as a rule it has answered when we run
 * again. One yield, then we sleep. To sleep at once would cost more than the second wake-up: the kernel moves a woken
 * thread to an idle processor, away from the server's thread, and waking across processors is ten times as dear.
 */
static uint32_t give_way(const struct queue_request *request, uint32_t word)
{
    if ((word & QUEUE_STATE) == QUEUE_DONE || (word & QUEUE_BOUND) == 0 || request->notify)
        return word;
    sched_yield();
    return slot_word(request);
}

azihsm_rc queue_wait_done(struct queue_request *request)
{
    struct queue_device *device = (struct queue_device *)request->base.device;
    struct queue_slot *slot = queue_request_slot(request);
    uint32_t word = slot_word(request);
    int64_t look_ms = FIRST_LOOK_MS;
    int64_t now = clock_now();
    int64_t look_at = now + look_ms * NS_PER_MS;

    if (!request->submitted)
        return AZIHSM_E_ARGUMENT;
    word = give_way(request, word);
    while ((word & QUEUE_STATE) != QUEUE_DONE) {
        if (now >= request->base.deadline_ns)
            return AZIHSM_E_TIMEOUT;
        if (now >= look_at || (word & QUEUE_CLOSING) != 0) {
            /* The answer may have come before the end. */
            if (queue_check_lost(device) && (slot_word(request) & QUEUE_STATE) != QUEUE_DONE)
                return AZIHSM_E_LOST;
            look_ms = NEXT_LOOK_MS;
            look_at = now + look_ms * NS_PER_MS;
        }
        if ((word & QUEUE_WAITER) != 0 || word_change(slot, &word, word | QUEUE_WAITER))
            futex_wait_until(&slot->word, word | QUEUE_WAITER,
                             look_at < request->base.deadline_ns ? look_at : request->base.deadline_ns);
        word = slot_word(request);
        if ((word & QUEUE_STATE) != QUEUE_DONE)
            now = clock_now();
    }
    return slot->rc;
}

azihsm_rc queue_wait(struct azihsm_request *base)
{
    struct queue_request *request = (struct queue_request *)base;
    const struct queue_slot *slot = queue_request_slot(request);
    azihsm_rc rc = queue_wait_done(request);
    uint32_t len;

    if (rc != AZIHSM_OK)
        return rc;
    len = slot->response_len;
    rc = transport_result(slot->ext_status, slot->cqe_status, len);
    if (rc != AZIHSM_OK)
        return rc;
    base->response = queue_request_frames(request)->response;
    base->response_len = len;
    return AZIHSM_OK;
}

bool queue_done(const struct azihsm_request *base)
{
    struct queue_request *request = (struct queue_request *)(uintptr_t)base;
    struct queue_device *device = (struct queue_device *)base->device;

    if (!request->submitted || (slot_word(request) & QUEUE_STATE) == QUEUE_DONE)
        return true;
    if (request->notify)
        queue_event_drain(request);
    return (slot_word(request) & QUEUE_STATE) == QUEUE_DONE || queue_check_lost(device) ||
           clock_now() >= base->deadline_ns;
}

void queue_release(struct azihsm_request *base)
{
    struct queue_request *request = (struct queue_request *)base;
    struct queue_device *device = (struct queue_device *)base->device;

    if (!request->submitted || !server_has(slot_word(request)) || withdraw(request))
        let_go(device, request);
    else
        __atomic_fetch_or(&device->abandoned, (uint64_t)1 << request->index, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&device->waiters, __ATOMIC_SEQ_CST) != 0) {
        __atomic_fetch_add(&device->freed, 1, __ATOMIC_SEQ_CST);
        futex_wake(&device->freed, 1);
    }
}
