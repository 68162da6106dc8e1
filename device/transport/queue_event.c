/*
 * Pollable completion of a slot, for callers that must not block.
 *
 * What the caller polls is an epoll descriptor over three: the slot's socket, to which the server writes a byte when it
 * is done, a timer for the deadline, and the connection, so that a dead server or an overdue answer wakes the caller
 * too. All are kept with the slot. Three descriptors a slot are many: they are numbered out of the program's way, and
 * where there is no such number the caller blocks instead.
 */
#include "futex.h"
#include "process.h"
#include "queue_device.h"
#include "queue_message.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/timerfd.h>

enum { ASK_MS = 1000, ASIDE = 768 };

/*
 * Gives a descriptor a number in the last quarter of the process's (from 768 on where there are more than 1024). The
 * low ones are the program's: one that counts its connections, as haproxy does, has tables for no others.
 */
static int aside(int fd)
{
    struct rlimit limit;
    int from = ASIDE, moved;

    if (fd < 0)
        return -1;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur / 4 * 3 < ASIDE)
        from = (int)(limit.rlim_cur / 4 * 3);
    moved = fcntl(fd, F_DUPFD_CLOEXEC, from);
    close(fd);
    if (moved >= 0)
        process_fd_add(moved);
    return moved;
}

static void forget(int *fd)
{
    if (*fd < 0)
        return;
    process_fd_remove(*fd);
    close(*fd);
    *fd = -1;
}

void queue_event_free(struct queue_request *request)
{
    forget(&request->poll_fd);
    forget(&request->timer_fd);
    forget(&request->notify_fd);
}

static bool watch(int poll_fd, int fd, uint32_t events)
{
    struct epoll_event event = {.events = events};

    return epoll_ctl(poll_fd, EPOLL_CTL_ADD, fd, &event) == 0;
}

static bool event_make(struct queue_request *request)
{
    struct queue_device *device = (struct queue_device *)request->base.device;
    struct queue_message message;

    queue_message_init(&message, QUEUE_ASK_NOTIFY);
    message.index = request->index;
    if (queue_ask(device, QUEUE_ASK_NOTIFY, QUEUE_GIVE_NOTIFY, &message, clock_now() + ASK_MS * NS_PER_MS,
                  &request->notify_fd) != AZIHSM_OK)
        return false;
    request->timer_at = 0;
    request->notify_fd = aside(request->notify_fd);
    request->timer_fd = aside(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
    request->poll_fd = aside(epoll_create1(EPOLL_CLOEXEC));
    if (request->notify_fd >= 0 && request->timer_fd >= 0 && request->poll_fd >= 0 &&
        watch(request->poll_fd, request->notify_fd, EPOLLIN) && watch(request->poll_fd, request->timer_fd, EPOLLIN) &&
        watch(request->poll_fd, device->socket, EPOLLRDHUP))
        return true;
    queue_event_free(request);
    return false;
}

/* Takes back all notifications that are there. Not by recv: what an older azihsmd gives is an eventfd. Neither waits.
 */
static void swallow(int fd)
{
    uint8_t bytes[64];

    while (read(fd, bytes, sizeof(bytes)) == (ssize_t)sizeof(bytes))
        ;
}

int queue_event_fd(struct azihsm_request *base)
{
    struct queue_request *request = (struct queue_request *)base;

    if (request->poll_fd < 0 && !event_make(request))
        return -1;
    swallow(request->notify_fd); /* what the slot's previous user left: it need not have read it */
    request->notify = true;
    return request->poll_fd;
}

/*
 * The timer is set again only when it would fire too late: with equal timeouts that is one call a timeout, not one a
 * request. A timer that fires early is put right by queue_event_drain.
 */
void queue_event_arm(struct queue_request *request)
{
    int64_t deadline = request->base.deadline_ns;
    struct itimerspec setting = {.it_value = clock_spec(deadline > 0 ? deadline : 1)};

    if (request->timer_at > clock_now() && request->timer_at <= deadline)
        return;
    if (timerfd_settime(request->timer_fd, TFD_TIMER_ABSTIME, &setting, NULL) == 0)
        request->timer_at = deadline;
}

void queue_event_drain(struct queue_request *request)
{
    swallow(request->notify_fd);
    if (request->timer_at < request->base.deadline_ns)
        queue_event_arm(request);
}
