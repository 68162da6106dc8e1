/*
 * What a partition did: operations, errors and latency of every opcode, and of every algorithm with its size
 * (azihsm/activity.h). Lock-free; any thread notes, any thread reads.
 */
#ifndef DAEMON_COUNTERS_H
#define DAEMON_COUNTERS_H

#include <azihsm/activity.h>

#include <stddef.h>

enum { COUNTERS_ROWS = 123 };
#define COUNTERS_BULK UINT32_MAX

struct counters;

struct counter_view {
    const char *name; /* "EccSign"; static storage */
    struct azihsm_latency latency;
};

struct counters *counters_new(void);
void counters_free(struct counters *counters);
/* op: an opcode, or COUNTERS_BULK for the fast path. */
void counters_note(struct counters *counters, uint32_t op, enum azihsm_activity activity, bool error, uint64_t ns);
void counters_activity(const struct counters *counters, enum azihsm_activity activity, struct azihsm_latency *out);
/* Walks over the opcodes that were seen: start with *cursor = 0; false at the end. */
bool counters_next(const struct counters *counters, size_t *cursor, struct counter_view *out);
/* Name of the i-th of COUNTERS_ROWS rows, which is what cursor counts. */
const char *counters_row_name(size_t row);
void counters_reset(struct counters *counters);

/* Opcode and status of a frame as our own codec writes it; status is 0 for requests. False when it is something else.
 */
bool counters_peek(const uint8_t *frame, size_t len, uint32_t *op, uint32_t *status);

#endif
