/*
 * Pausing an ASYNC_JOB while the device works.
 *
 * Each wait context of the application gets one descriptor of ours, once, and keeps it until it is freed: servers put
 * it into their poll sets, where a number that comes and goes would sooner or later hit a stranger's file. It is an
 * epoll instance, which is itself pollable; the request that is waited for is put into it for the time of the pause.
 * Whatever cannot be had (descriptor, memory, job) means "block", never an error.
 */
#include "async.h"

#include <openssl/async.h>
#include <openssl/crypto.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

/*
 * Owned by the wait context; freed by its cleanup. While `abandon` is set the job is paused: when the context is freed
 * at such a moment its connection was dropped, nobody will ever resume the job, and the operation is given up here.
 */
struct waiter {
    int epoll;
    void (*abandon)(void *state);
    void *state;
};

static const char waiter_key; /* its address names our descriptor among others in a wait context */

static void waiter_cleanup(ASYNC_WAIT_CTX *wait, const void *key, OSSL_ASYNC_FD fd, void *data)
{
    struct waiter *waiter = data;

    (void)wait;
    (void)key;
    (void)fd;
    close(waiter->epoll);
    if (waiter->abandon != NULL)
        waiter->abandon(waiter->state);
    OPENSSL_free(waiter);
}

/*
 * A process keeps the last quarter of its descriptors: without them it could accept no connection, and haproxy, which
 * does not count ours, ends when it is given a number beyond its own reckoning.
 */
static int waiter_descriptor(void)
{
    struct rlimit limit;
    int fd = epoll_create1(EPOLL_CLOEXEC);

    if (fd < 0 || getrlimit(RLIMIT_NOFILE, &limit) != 0 || (rlim_t)fd < limit.rlim_cur / 4 * 3)
        return fd;
    close(fd);
    return -1;
}

static struct waiter *waiter_new(ASYNC_WAIT_CTX *wait)
{
    struct waiter *waiter = OPENSSL_zalloc(sizeof(*waiter));

    if (waiter == NULL)
        return NULL;
    waiter->epoll = waiter_descriptor();
    if (waiter->epoll >= 0) {
        if (ASYNC_WAIT_CTX_set_wait_fd(wait, &waiter_key, waiter->epoll, waiter, waiter_cleanup))
            return waiter;
        close(waiter->epoll);
    }
    OPENSSL_free(waiter);
    return NULL;
}

static struct waiter *waiter_of(ASYNC_WAIT_CTX *wait)
{
    OSSL_ASYNC_FD fd;
    void *data = NULL;

    if (ASYNC_WAIT_CTX_get_fd(wait, &waiter_key, &fd, &data))
        return data;
    return waiter_new(wait);
}

/*
 * An application that asked for callbacks does not poll; our completions come from another process and cannot call it.
 */
static ASYNC_WAIT_CTX *current_wait(void)
{
    ASYNC_JOB *job = ASYNC_get_current_job();
    ASYNC_WAIT_CTX *wait = job == NULL ? NULL : ASYNC_get_wait_ctx(job);
    ASYNC_callback_fn callback = NULL;
    void *arg = NULL;

    if (wait != NULL && ASYNC_WAIT_CTX_get_callback(wait, &callback, &arg) && callback != NULL)
        return NULL;
    return wait;
}

static bool can_pause(void *arg)
{
    (void)arg;
    return current_wait() != NULL;
}

/*
 * The descriptor goes in before and out after, so that a finished request does not keep the poll set awake. The short
 * poll afterwards is for jobs that may not pause just now (ASYNC_block_pause): libcrypto then returns at once, and the
 * caller's loop would spin.
 */
static bool pause_job(void *arg, int fd, void (*abandon)(void *state), void *state)
{
    ASYNC_WAIT_CTX *wait = fd < 0 ? NULL : current_wait();
    struct waiter *waiter = wait == NULL ? NULL : waiter_of(wait);
    struct epoll_event event = {.events = EPOLLIN};
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    int paused;

    (void)arg;
    if (waiter == NULL || waiter->abandon != NULL || epoll_ctl(waiter->epoll, EPOLL_CTL_ADD, fd, &event) != 0)
        return false;
    waiter->state = state;
    waiter->abandon = abandon;
    paused = ASYNC_pause_job();
    waiter->abandon = NULL;
    epoll_ctl(waiter->epoll, EPOLL_CTL_DEL, fd, NULL);
    poll(&ready, 1, 1);
    return paused == 1;
}

const struct azihsm_async_hooks async_hooks = {.can_pause = can_pause, .pause = pause_job, .arg = NULL};
