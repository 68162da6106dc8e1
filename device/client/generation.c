/*
 * The generation word lives on a page that the kernel wipes in a child, so that also a bare clone() is noticed; where
 * the kernel cannot, the fork handler clears it. The last number drawn is in ordinary memory, which a child inherits.
 */
#include "generation.h"

#include "crypto/secret.h"

#include <azihsm/device.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

static _Atomic uint32_t fallback;
static _Atomic uint32_t *word = &fallback;
static _Atomic uint32_t last;
static bool hooked;

/* Only async-signal-safe work: the child has one thread, and any lock may have been held when it was forked. */
static void in_child(void)
{
    azihsm_device_atfork_child();
    atomic_store(word, 0);
}

azihsm_rc generation_open(void)
{
    size_t size = (size_t)sysconf(_SC_PAGESIZE);
    void *page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (page == MAP_FAILED)
        return AZIHSM_E_NO_MEMORY;
    if (madvise(page, size, MADV_WIPEONFORK) == 0)
        word = page;
    else
        munmap(page, size);
    if (!hooked && pthread_atfork(NULL, NULL, in_child) != 0) {
        generation_close();
        return AZIHSM_E_NO_MEMORY;
    }
    hooked = true;
    return AZIHSM_OK;
}

void generation_close(void)
{
    if (word != &fallback)
        munmap((void *)word, (size_t)sysconf(_SC_PAGESIZE));
    word = &fallback;
    atomic_store(word, 0);
}

/* The number is drawn before it is published: what is published is never above what a grandchild starts from. */
static uint32_t generation_begin(void)
{
    uint32_t none = 0, mine = atomic_fetch_add(&last, 1) + 1;

    if (!atomic_compare_exchange_strong(word, &none, mine))
        return none;
    secret_relock();
    return mine;
}

uint32_t generation_current(void)
{
    uint32_t now = atomic_load_explicit(word, memory_order_acquire);

    return now != 0 ? now : generation_begin();
}
