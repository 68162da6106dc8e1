/*
 * Histograms of latency. There is no count of operations: it is the sum of the buckets, so noting one is two additions
 * and, seldom, a new maximum.
 */
#include "latency.h"

#include <sched.h>

unsigned latency_shard(void)
{
    int cpu = sched_getcpu();

    return cpu < 0 ? 0 : (unsigned)cpu % LATENCY_SHARDS;
}

static unsigned bucket_of(uint64_t ns)
{
    uint64_t us = ns / 1000;
    unsigned bits = us == 0 ? 0 : 64u - (unsigned)__builtin_clzll(us);

    return bits < AZIHSM_LATENCY_BUCKETS ? bits : AZIHSM_LATENCY_BUCKETS - 1;
}

void latency_note(struct latency_row *row, bool error, uint64_t ns)
{
    uint64_t max = atomic_load_explicit(&row->max_ns, memory_order_relaxed);

    atomic_fetch_add_explicit(&row->buckets[bucket_of(ns)], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&row->total_ns, ns, memory_order_relaxed);
    if (error)
        atomic_fetch_add_explicit(&row->errors, 1, memory_order_relaxed);
    while (ns > max)
        if (atomic_compare_exchange_weak_explicit(&row->max_ns, &max, ns, memory_order_relaxed, memory_order_relaxed))
            break;
}

void latency_sum(const struct latency_row *row, struct azihsm_latency *sum)
{
    uint64_t max = atomic_load_explicit(&row->max_ns, memory_order_relaxed);

    for (unsigned i = 0; i < AZIHSM_LATENCY_BUCKETS; i++) {
        uint64_t count = atomic_load_explicit(&row->buckets[i], memory_order_relaxed);

        sum->buckets[i] += count;
        sum->operations += count;
    }
    sum->errors += atomic_load_explicit(&row->errors, memory_order_relaxed);
    sum->total_ns += atomic_load_explicit(&row->total_ns, memory_order_relaxed);
    sum->max_ns = max > sum->max_ns ? max : sum->max_ns;
}

void latency_clear(struct latency_row *row)
{
    for (unsigned i = 0; i < AZIHSM_LATENCY_BUCKETS; i++)
        atomic_store_explicit(&row->buckets[i], 0, memory_order_relaxed);
    atomic_store_explicit(&row->errors, 0, memory_order_relaxed);
    atomic_store_explicit(&row->total_ns, 0, memory_order_relaxed);
    atomic_store_explicit(&row->max_ns, 0, memory_order_relaxed);
}

uint64_t azihsm_latency_quantile_us(const struct azihsm_latency *latency, unsigned percent)
{
    uint64_t wanted = (latency->operations * percent + 99) / 100, below = 0, max_us = (latency->max_ns + 999) / 1000;

    wanted = wanted == 0 ? 1 : wanted;
    for (unsigned i = 0; i < AZIHSM_LATENCY_BUCKETS; i++) {
        uint64_t count = latency->buckets[i], low = i == 0 ? 0 : UINT64_C(1) << (i - 1), us;

        if (below + count < wanted) {
            below += count;
            continue;
        }
        us = low + ((UINT64_C(1) << i) - low) * (wanted - below) / count;
        return i == AZIHSM_LATENCY_BUCKETS - 1 || us > max_us ? max_us : us;
    }
    return latency->operations == 0 ? 0 : max_us;
}
