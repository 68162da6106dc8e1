/*
 * Process identity, the table of descriptors to close in a child, and the lock that survives fork: see process.h.
 */
#include "process.h"

#include "futex.h"

#include <stdatomic.h>
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

enum { FD_TABLE_SIZE = 4096 };

static _Atomic int fd_table[FD_TABLE_SIZE]; /* descriptor + 1; 0 = free */
static _Atomic unsigned fd_table_end;       /* entries at and above were never used */

static _Atomic(_Atomic pid_t *) pid_page;

/* Makes the wiped page once for the life of the process. NULL where the kernel has no MADV_WIPEONFORK. */
static _Atomic pid_t *pid_page_get(void)
{
    _Atomic pid_t *page = atomic_load_explicit(&pid_page, memory_order_acquire);
    _Atomic pid_t *expected = NULL;
    size_t size;

    if (page != NULL)
        return page;
    size = (size_t)sysconf(_SC_PAGESIZE);
    page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        return NULL;
    if (madvise((void *)page, size, MADV_WIPEONFORK) != 0) {
        munmap((void *)page, size);
        return NULL;
    }
    if (!atomic_compare_exchange_strong(&pid_page, &expected, page)) {
        munmap((void *)page, size);
        page = expected;
    }
    return page;
}

pid_t process_self(void)
{
    _Atomic pid_t *page = pid_page_get();
    pid_t pid;

    if (page == NULL)
        return getpid();
    pid = atomic_load_explicit(page, memory_order_relaxed);
    if (pid == 0) {
        pid = getpid();
        atomic_store_explicit(page, pid, memory_order_relaxed);
    }
    return pid;
}

void process_fd_add(int fd)
{
    for (unsigned i = 0; i < FD_TABLE_SIZE; i++) {
        int expected = 0;

        if (!atomic_compare_exchange_strong(&fd_table[i], &expected, fd + 1))
            continue;
        for (unsigned end = atomic_load(&fd_table_end); end <= i;) {
            if (atomic_compare_exchange_weak(&fd_table_end, &end, i + 1))
                break;
        }
        return;
    }
}

void process_fd_remove(int fd)
{
    unsigned end = atomic_load(&fd_table_end);

    for (unsigned i = 0; i < end; i++) {
        int expected = fd + 1;

        if (atomic_compare_exchange_strong(&fd_table[i], &expected, 0))
            return;
    }
}

void process_fd_close_all(void)
{
    unsigned end = atomic_load(&fd_table_end);

    for (unsigned i = 0; i < end; i++) {
        int entry = atomic_exchange(&fd_table[i], 0);

        if (entry != 0)
            close(entry - 1);
    }
}

bool process_lock_acquire(struct process_lock *lock, int64_t deadline_ns)
{
    uint32_t self = (uint32_t)process_self();

    for (;;) {
        uint32_t holder = __atomic_load_n(&lock->holder, __ATOMIC_ACQUIRE);
        int64_t now;

        /* Another process's number is a thread that fork did not copy: it will never release. */
        if (holder != self &&
            __atomic_compare_exchange_n(&lock->holder, &holder, self, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
            return true;
        now = clock_now();
        if (now >= deadline_ns)
            return false;
        futex_wait_until(&lock->holder, self, now + 10 * NS_PER_MS);
    }
}

void process_lock_release(struct process_lock *lock)
{
    __atomic_store_n(&lock->holder, 0, __ATOMIC_RELEASE);
    futex_wake(&lock->holder, 1);
}
