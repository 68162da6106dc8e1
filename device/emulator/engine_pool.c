/*
 * The pool of contexts. Threads start looking at different slots, so that with few threads each finds its own context
 * again, warm in its cache, and hardly ever meets another thread on a slot.
 */
#include "emulator/engine_internal.h"

static unsigned first_slot(void)
{
    static atomic_uint threads;
    static _Thread_local unsigned mine;

    if (mine == 0)
        mine = 1 + atomic_fetch_add(&threads, 1) % ENGINE_POOL_SLOTS;
    return mine - 1;
}

void *engine_pool_take(struct engine_pool *pool)
{
    unsigned first = first_slot();

    for (unsigned i = 0; i < ENGINE_POOL_SLOTS; i++) {
        _Atomic(void *) *slot = &pool->slots[(first + i) % ENGINE_POOL_SLOTS];
        void *context;

        if (atomic_load_explicit(slot, memory_order_relaxed) == NULL)
            continue;
        context = atomic_exchange_explicit(slot, NULL, memory_order_acquire);
        if (context != NULL)
            return context;
    }
    return NULL;
}

bool engine_pool_give(struct engine_pool *pool, void *context)
{
    unsigned first = first_slot();

    for (unsigned i = 0; i < ENGINE_POOL_SLOTS; i++) {
        void *empty = NULL;

        if (atomic_compare_exchange_strong_explicit(&pool->slots[(first + i) % ENGINE_POOL_SLOTS], &empty, context,
                                                    memory_order_release, memory_order_relaxed))
            return true;
    }
    return false;
}

void engine_pool_drain(struct engine_pool *pool, void (*release)(void *context))
{
    void *context;

    while ((context = engine_pool_take(pool)) != NULL)
        release(context);
}
