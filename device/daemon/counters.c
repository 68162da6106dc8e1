/*
 * Counters per opcode and per activity: fixed arrays of rows (client/latency.h).
 */
#include "counters.h"

#include "client/latency.h"

#include <azihsm/ddi.h>

#include <stdlib.h>
#include <string.h>

/* Rows: the assigned range of opcodes, our extensions, one for all unknown ones, one for the fast path. */
enum {
    ROW_FIRST_OP = AZIHSM_OP_INVALID,
    ROW_LAST_OP = AZIHSM_OP_SET_SEALED_BK3,
    ROW_EXTENSIONS = ROW_LAST_OP - ROW_FIRST_OP + 1,
    ROW_EXTENSION_COUNT = 8,
    ROW_UNKNOWN = ROW_EXTENSIONS + ROW_EXTENSION_COUNT,
    ROW_BULK,
    ROW_COUNT
};

_Static_assert((int)ROW_COUNT == (int)COUNTERS_ROWS, "the header tells the number of rows");

struct counters {
    struct latency_row ops[LATENCY_SHARDS][ROW_COUNT];
    struct latency_row activities[LATENCY_SHARDS][AZIHSM_ACTIVITIES];
};

/* Aligned, which OPENSSL_zalloc does not promise. */
struct counters *counters_new(void)
{
    struct counters *counters = aligned_alloc(LATENCY_LINE, sizeof(*counters));

    if (counters != NULL)
        memset(counters, 0, sizeof(*counters));
    return counters;
}

void counters_free(struct counters *counters)
{
    free(counters);
}

static size_t counters_row(uint32_t op)
{
    if (op == COUNTERS_BULK)
        return ROW_BULK;
    if (op >= ROW_FIRST_OP && op <= ROW_LAST_OP)
        return op - ROW_FIRST_OP;
    if (op >= AZIHSM_OP_GET_EXTENSIONS && op < AZIHSM_OP_GET_EXTENSIONS + ROW_EXTENSION_COUNT)
        return ROW_EXTENSIONS + op - AZIHSM_OP_GET_EXTENSIONS;
    return ROW_UNKNOWN;
}

const char *counters_row_name(size_t row)
{
    if (row == ROW_BULK)
        return "Bulk";
    if (row == ROW_UNKNOWN)
        return "Unknown";
    if (row >= ROW_EXTENSIONS)
        return azihsm_ddi_op_name((uint32_t)(AZIHSM_OP_GET_EXTENSIONS + row - ROW_EXTENSIONS));
    return azihsm_ddi_op_name((uint32_t)(ROW_FIRST_OP + row));
}

void counters_note(struct counters *counters, uint32_t op, enum azihsm_activity activity, bool error, uint64_t ns)
{
    unsigned shard = latency_shard();

    latency_note(&counters->ops[shard][counters_row(op)], error, ns);
    latency_note(&counters->activities[shard][activity], error, ns);
}

static bool unassigned(size_t row)
{
    return strcmp(counters_row_name(row), "?") == 0;
}

static void sum_row(const struct counters *counters, size_t row, struct azihsm_latency *sum)
{
    for (unsigned shard = 0; shard < LATENCY_SHARDS; shard++)
        latency_sum(&counters->ops[shard][row], sum);
}

/* Opcodes that nobody assigned are told as one, whatever any client may try: a reply has room for those with a name. */
bool counters_next(const struct counters *counters, size_t *cursor, struct counter_view *out)
{
    for (; *cursor < ROW_COUNT; ++*cursor) {
        out->latency = (struct azihsm_latency){0};
        if (!unassigned(*cursor))
            sum_row(counters, *cursor, &out->latency);
        for (size_t row = 0; *cursor == ROW_UNKNOWN && row < ROW_UNKNOWN; row++)
            if (unassigned(row))
                sum_row(counters, row, &out->latency);
        if (out->latency.operations == 0)
            continue;
        out->name = counters_row_name(*cursor);
        ++*cursor;
        return true;
    }
    return false;
}

void counters_activity(const struct counters *counters, enum azihsm_activity activity, struct azihsm_latency *out)
{
    *out = (struct azihsm_latency){0};
    for (unsigned shard = 0; shard < LATENCY_SHARDS; shard++)
        latency_sum(&counters->activities[shard][activity], out);
}

void counters_reset(struct counters *counters)
{
    for (unsigned shard = 0; shard < LATENCY_SHARDS; shard++) {
        for (size_t row = 0; row < ROW_COUNT; row++)
            latency_clear(&counters->ops[shard][row]);
        for (size_t row = 0; row < AZIHSM_ACTIVITIES; row++)
            latency_clear(&counters->activities[shard][row]);
    }
}

static uint32_t counters_u32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/*
 * Steps over the header map (ddi-protocol 2.1, 2.2) without decoding it a second time: id 1 is a revision of 15 bytes,
 * id 2 the opcode, id 3 a session id, id 4 the status.
 */
bool counters_peek(const uint8_t *frame, size_t len, uint32_t *op, uint32_t *status)
{
    static const size_t sizes[] = {0, 15, 5, 3, 5};
    size_t at = 4, fields, size;
    uint8_t id;

    *op = *status = 0;
    if (len < 5 || frame[2] != 0 || (frame[3] & 0xa0) != 0xa0)
        return false;
    for (fields = frame[3] & 0x1f; fields > 0; fields--) {
        if (at + 2 > len)
            return false;
        id = frame[at + 1];
        at += 2;
        if (id == 5) /* fips_approved ends a response header */
            break;
        size = id < sizeof(sizes) / sizeof(sizes[0]) ? sizes[id] : 0;
        if (size == 0 || at + size > len)
            return false;
        if (id == 2)
            *op = counters_u32(frame + at + 1);
        if (id == 4)
            *status = counters_u32(frame + at + 1);
        at += size;
    }
    return *op != 0;
}
