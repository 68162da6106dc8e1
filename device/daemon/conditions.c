/*
 * Conditions for tests.
 */
#include "conditions.h"

#include <time.h>

void conditions_delay(struct conditions *conditions, uint32_t op)
{
    uint32_t ms = atomic_load_explicit(&conditions->delay_ms, memory_order_relaxed);
    uint32_t only = atomic_load_explicit(&conditions->delay_op, memory_order_relaxed);
    struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

    if (ms == 0 || (only != 0 && only != op))
        return;
    while (nanosleep(&left, &left) != 0)
        continue;
}

bool conditions_take_reset(struct conditions *conditions)
{
    uint64_t left = atomic_load_explicit(&conditions->reset_after, memory_order_relaxed);

    while (left > 0) {
        if (atomic_compare_exchange_weak(&conditions->reset_after, &left, left - 1))
            return left == 1;
    }
    return false;
}

bool conditions_take_failure(struct conditions *conditions, uint32_t op, uint32_t *status)
{
    uint32_t left = atomic_load_explicit(&conditions->fail_count, memory_order_relaxed);
    uint32_t only = atomic_load_explicit(&conditions->fail_op, memory_order_relaxed);

    if (left == 0 || (only != 0 && only != op))
        return false;
    *status = atomic_load(&conditions->fail_status);
    while (left > 0) {
        if (atomic_compare_exchange_weak(&conditions->fail_count, &left, left - 1))
            return true;
    }
    return false;
}

void conditions_clear(struct conditions *conditions)
{
    atomic_store(&conditions->delay_ms, 0);
    atomic_store(&conditions->delay_op, 0);
    atomic_store(&conditions->reset_after, 0);
    atomic_store(&conditions->fail_count, 0);
    atomic_store(&conditions->fail_op, 0);
    atomic_store(&conditions->fail_status, 0);
}
