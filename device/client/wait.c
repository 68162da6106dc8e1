/*
 * In an ASYNC job the thread must go on with other jobs, which may hold the very thing that is waited for (slots, keys
 * in use): the job pauses on a timer. Where it cannot, the thread sleeps.
 */
#include "wait.h"

#include "client.h"
#include "transport/futex.h"

#include <errno.h>
#include <sys/timerfd.h>

static void sleep_until(int64_t when_ns)
{
    struct timespec until = clock_spec(when_ns);

    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
        ;
}

static int timer_at(int64_t when_ns)
{
    struct itimerspec setting = {.it_value = clock_spec(when_ns)};
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);

    if (fd >= 0 && timerfd_settime(fd, TFD_TIMER_ABSTIME, &setting, NULL) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

void wait_until(struct operation *operation, int64_t when_ns)
{
    if (operation->pausable && client_can_pause(operation->client))
        operation->timer_fd = timer_at(when_ns);
    while (operation->timer_fd >= 0 && clock_now() < when_ns)
        if (!client_pause(operation->client, operation->timer_fd, operation))
            break;
    if (operation->timer_fd >= 0)
        close(operation->timer_fd);
    operation->timer_fd = -1;
    sleep_until(when_ns);
}
