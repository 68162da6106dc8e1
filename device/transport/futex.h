/*
 * The futex calls and clocks both ends of the queue use. Words in memory shared between processes: never the private
 * form. Absolute times are CLOCK_MONOTONIC nanoseconds, as everywhere at the transport seam.
 */
#ifndef FUTEX_H
#define FUTEX_H

#include <linux/futex.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_US ((int64_t)1000)
#define NS_PER_MS ((int64_t)1000000)
#define NS_PER_S  ((int64_t)1000000000)

static inline int64_t clock_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * NS_PER_S + now.tv_nsec;
}

static inline struct timespec clock_spec(int64_t ns)
{
    struct timespec spec = {0};

    if (ns > 0) {
        spec.tv_sec = (time_t)(ns / NS_PER_S);
        spec.tv_nsec = (long)(ns % NS_PER_S);
    }
    return spec;
}

/* Milliseconds from now until then, rounded up, for poll(); at most limit. */
static inline int clock_poll_ms(int64_t deadline_ns, int limit)
{
    int64_t left = deadline_ns - clock_now();

    if (left <= 0)
        return 0;
    left = (left + NS_PER_MS - 1) / NS_PER_MS;
    return left < limit ? (int)left : limit;
}

/* Sleeps while *word is value, at most until then. Returns for any reason: look at the word again. */
static inline void futex_wait_until(uint32_t *word, uint32_t value, int64_t deadline_ns)
{
    struct timespec until = clock_spec(deadline_ns);

    syscall(SYS_futex, word, FUTEX_WAIT_BITSET, value, &until, NULL, FUTEX_BITSET_MATCH_ANY);
}

static inline void futex_wake(uint32_t *word, int count)
{
    syscall(SYS_futex, word, FUTEX_WAKE, count, NULL, NULL, 0);
}

#endif
