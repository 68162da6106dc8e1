/*
 * Names of activities, the table that says which one a command is, and the counts of this process.
 *
 * The counts carry the number of the process they belong to. A child finds its parent's and clears them before it adds
 * its first: nothing has to be done when a process forks, and the lock that guards the clearing may be taken over from
 * a thread that fork did not copy.
 */
#include "activity.h"

#include "latency.h"
#include "transport/process.h"

#include <azihsm/ddi.h>

#define AZIHSM_ACTIVITY_X(constant, algorithm, action) {algorithm, action},
static const struct {
    const char *algorithm, *action;
} names[] = {
#include <azihsm/activity.def>
};
#undef AZIHSM_ACTIVITY_X

const char *azihsm_activity_algorithm(unsigned activity)
{
    return activity < AZIHSM_ACTIVITIES ? names[activity].algorithm : NULL;
}

const char *azihsm_activity_action(unsigned activity)
{
    return activity < AZIHSM_ACTIVITIES ? names[activity].action : NULL;
}

/* ---- which one ---- */

/* An activity of each kind of a range: the first kind is the first activity, and so on. */
static const struct {
    uint32_t op, first_kind, kinds;
    enum azihsm_activity activity;
    bool alike; /* one activity for the whole range */
} ranges[] = {
    {AZIHSM_OP_ECC_SIGN, AZIHSM_KEY_ECC256_PRIVATE, 3, AZIHSM_ACTIVITY_ECDSA_P256_SIGN, false},
    {AZIHSM_OP_RSA_MOD_EXP, AZIHSM_KEY_RSA2K_PRIVATE, 3, AZIHSM_ACTIVITY_RSA_2048_SIGN, false},
    {AZIHSM_OP_RSA_MOD_EXP, AZIHSM_KEY_RSA2K_PRIVATE_CRT, 3, AZIHSM_ACTIVITY_RSA_2048_SIGN, false},
    {AZIHSM_OP_ECDH_KEY_EXCHANGE, AZIHSM_KEY_ECC256_PRIVATE, 3, AZIHSM_ACTIVITY_ECDH_P256_DERIVE, false},
    {AZIHSM_OP_ECDH_KEY_EXCHANGE, AZIHSM_KEY_SECRET256, 3, AZIHSM_ACTIVITY_ECDH_P256_DERIVE, false},
    {AZIHSM_OP_HKDF_DERIVE, 0, UINT32_MAX, AZIHSM_ACTIVITY_HKDF_DERIVE, true},
    {AZIHSM_OP_KBKDF_COUNTER_HMAC_DERIVE, 0, UINT32_MAX, AZIHSM_ACTIVITY_KBKDF_DERIVE, true},
    {AZIHSM_OP_HMAC, AZIHSM_KEY_HMAC_SHA256, 3, AZIHSM_ACTIVITY_HMAC_SHA256_MAC, false},
    {AZIHSM_OP_HMAC, AZIHSM_KEY_VAR_HMAC256, 3, AZIHSM_ACTIVITY_HMAC_SHA256_MAC, false},
    {AZIHSM_OP_AES_ENCRYPT_DECRYPT, AZIHSM_KEY_AES128, 3, AZIHSM_ACTIVITY_AES_128_CBC_CRYPT, false},
    {AZIHSM_OP_AES_ENCRYPT_DECRYPT, AZIHSM_KEY_AES_GCM_BULK256, 2, AZIHSM_ACTIVITY_AES_256_GCM_CRYPT, true},
    {AZIHSM_OP_AES_ENCRYPT_DECRYPT, AZIHSM_KEY_AES_XTS_BULK256, 1, AZIHSM_ACTIVITY_AES_256_XTS_CRYPT, true},
    {AZIHSM_OP_ECC_GENERATE_KEY_PAIR, AZIHSM_KEY_ECC256_PRIVATE, 3, AZIHSM_ACTIVITY_EC_P256_GENERATE, false},
    {AZIHSM_OP_RSA_GENERATE_KEY_PAIR, AZIHSM_KEY_RSA2K_PRIVATE, 3, AZIHSM_ACTIVITY_RSA_2048_GENERATE, false},
    {AZIHSM_OP_RSA_GENERATE_KEY_PAIR, AZIHSM_KEY_RSA2K_PRIVATE_CRT, 3, AZIHSM_ACTIVITY_RSA_2048_GENERATE, false},
    {AZIHSM_OP_AES_GENERATE_KEY, 0, UINT32_MAX, AZIHSM_ACTIVITY_AES_GENERATE, true},
    {AZIHSM_OP_RSA_UNWRAP, AZIHSM_CLASS_ECC, 1, AZIHSM_ACTIVITY_EC_IMPORT, true},
    {AZIHSM_OP_RSA_UNWRAP, AZIHSM_CLASS_RSA, 2, AZIHSM_ACTIVITY_RSA_IMPORT, true},
    {AZIHSM_OP_RSA_UNWRAP, AZIHSM_CLASS_AES, 4, AZIHSM_ACTIVITY_AES_IMPORT, true},
    {AZIHSM_OP_UNMASK_KEY, 0, UINT32_MAX, AZIHSM_ACTIVITY_KEY_LOAD, true},
    {AZIHSM_OP_OPEN_KEY, 0, UINT32_MAX, AZIHSM_ACTIVITY_KEY_LOAD, true},
    {AZIHSM_OP_ATTEST_KEY, 0, UINT32_MAX, AZIHSM_ACTIVITY_KEY_ATTEST, true},
    {AZIHSM_OP_OPEN_SESSION, 0, UINT32_MAX, AZIHSM_ACTIVITY_SESSION_OPEN, true},
    {AZIHSM_OP_REOPEN_SESSION, 0, UINT32_MAX, AZIHSM_ACTIVITY_SESSION_OPEN, true},
};

enum azihsm_activity azihsm_activity_of(uint32_t op, uint32_t kind, bool decrypt)
{
    for (unsigned i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
        unsigned activity = ranges[i].activity;

        if (ranges[i].op != op || kind < ranges[i].first_kind || kind - ranges[i].first_kind >= ranges[i].kinds)
            continue;
        if (!ranges[i].alike)
            activity += kind - ranges[i].first_kind;
        if (op == AZIHSM_OP_RSA_MOD_EXP && decrypt)
            activity += AZIHSM_ACTIVITY_RSA_2048_DECRYPT - AZIHSM_ACTIVITY_RSA_2048_SIGN;
        return (enum azihsm_activity)activity;
    }
    return AZIHSM_ACTIVITY_OTHER;
}

/* ---- the counts ---- */

static struct latency_row rows[LATENCY_SHARDS][AZIHSM_ACTIVITIES];
static _Atomic uint64_t events[ACTIVITY_EVENTS];
static _Atomic pid_t counted; /* the process all this belongs to; 0 = none yet */
static struct process_lock clearing;

static void begin(pid_t self)
{
    process_lock_acquire(&clearing, INT64_MAX);
    if (atomic_load(&counted) != self) {
        for (unsigned shard = 0; shard < LATENCY_SHARDS; shard++)
            for (unsigned i = 0; i < AZIHSM_ACTIVITIES; i++)
                latency_clear(&rows[shard][i]);
        for (unsigned i = 0; i < ACTIVITY_EVENTS; i++)
            atomic_store(&events[i], 0);
        atomic_store(&counted, self);
    }
    process_lock_release(&clearing);
}

static void ready(void)
{
    pid_t self = process_self();

    if (atomic_load_explicit(&counted, memory_order_acquire) != self)
        begin(self);
}

void activity_note(enum azihsm_activity activity, bool error, int64_t ns)
{
    ready();
    latency_note(&rows[latency_shard()][activity], error, ns > 0 ? (uint64_t)ns : 0);
}

void activity_event(enum activity_event event, unsigned count)
{
    ready();
    atomic_fetch_add_explicit(&events[event], count, memory_order_relaxed);
}

void azihsm_client_activity(enum azihsm_activity activity, struct azihsm_latency *out)
{
    *out = (struct azihsm_latency){0};
    ready();
    for (unsigned shard = 0; (unsigned)activity < AZIHSM_ACTIVITIES && shard < LATENCY_SHARDS; shard++)
        latency_sum(&rows[shard][activity], out);
}

void azihsm_client_get_events(struct azihsm_client_events *out)
{
    uint64_t *const numbers[ACTIVITY_EVENTS] = {
        [ACTIVITY_SESSION] = &out->sessions,       [ACTIVITY_RECONNECT] = &out->reconnects,
        [ACTIVITY_RESET] = &out->resets_recovered, [ACTIVITY_REPEAT] = &out->repeats,
        [ACTIVITY_EVICTION] = &out->evictions,     [ACTIVITY_ABANDONED] = &out->abandoned,
    };

    ready();
    for (unsigned i = 0; i < ACTIVITY_EVENTS; i++)
        *numbers[i] = atomic_load_explicit(&events[i], memory_order_relaxed);
}
