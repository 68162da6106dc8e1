/*
 * Counters per opcode: a fixed array of atomics, one row an opcode.
 */
#include "counters.h"

#include <azihsm/ddi.h>

#include <openssl/crypto.h>
#include <stdatomic.h>
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

struct counter_row {
    _Atomic uint64_t operations;
    _Atomic uint64_t errors;
    _Atomic uint64_t total_ns;
    _Atomic uint64_t buckets[COUNTERS_BUCKETS];
};

struct counters {
    struct counter_row rows[ROW_COUNT];
};

struct counters *counters_new(void)
{
    return OPENSSL_zalloc(sizeof(struct counters));
}

void counters_free(struct counters *counters)
{
    OPENSSL_free(counters);
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

static size_t counters_bucket(uint64_t ns)
{
    uint64_t us = ns / 1000;
    size_t bucket = 0;

    while (us > 0 && bucket < COUNTERS_BUCKETS - 1) {
        us >>= 1;
        bucket++;
    }
    return bucket;
}

static void counters_add(_Atomic uint64_t *counter, uint64_t value)
{
    atomic_fetch_add_explicit(counter, value, memory_order_relaxed);
}

void counters_note(struct counters *counters, uint32_t op, bool error, uint64_t ns)
{
    struct counter_row *row = &counters->rows[counters_row(op)];

    counters_add(&row->operations, 1);
    if (error)
        counters_add(&row->errors, 1);
    counters_add(&row->total_ns, ns);
    counters_add(&row->buckets[counters_bucket(ns)], 1);
}

bool counters_next(const struct counters *counters, size_t *cursor, struct counter_view *out)
{
    size_t i;

    for (; *cursor < ROW_COUNT; ++*cursor) {
        const struct counter_row *row = &counters->rows[*cursor];

        out->operations = atomic_load_explicit(&row->operations, memory_order_relaxed);
        if (out->operations == 0)
            continue;
        out->name = counters_row_name(*cursor);
        out->errors = atomic_load_explicit(&row->errors, memory_order_relaxed);
        out->total_ns = atomic_load_explicit(&row->total_ns, memory_order_relaxed);
        for (i = 0; i < COUNTERS_BUCKETS; i++)
            out->buckets[i] = atomic_load_explicit(&row->buckets[i], memory_order_relaxed);
        ++*cursor;
        return true;
    }
    return false;
}

void counters_reset(struct counters *counters)
{
    size_t row, i;

    for (row = 0; row < ROW_COUNT; row++) {
        atomic_store(&counters->rows[row].operations, 0);
        atomic_store(&counters->rows[row].errors, 0);
        atomic_store(&counters->rows[row].total_ns, 0);
        for (i = 0; i < COUNTERS_BUCKETS; i++)
            atomic_store(&counters->rows[row].buckets[i], 0);
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
