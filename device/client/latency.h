/*
 * Counting operations on the way of every operation: rows of relaxed atomics, several copies (shards) of each so that
 * threads on different CPUs hardly ever write the same cache line. A reader adds the shards up.
 */
#ifndef CLIENT_LATENCY_H
#define CLIENT_LATENCY_H

#include <azihsm/activity.h>

#include <stdatomic.h>

enum { LATENCY_SHARDS = 8, LATENCY_LINE = 64 };

struct latency_row {
    _Alignas(LATENCY_LINE) _Atomic uint64_t buckets[AZIHSM_LATENCY_BUCKETS];
    _Atomic uint64_t errors, total_ns, max_ns;
};

/* The calling thread's shard, by the CPU it runs on. */
unsigned latency_shard(void);

void latency_note(struct latency_row *row, bool error, uint64_t ns);
/* Adds one shard's row to *sum, which the caller has zeroed before the first. */
void latency_sum(const struct latency_row *row, struct azihsm_latency *sum);
void latency_clear(struct latency_row *row);

#endif
