/*
 * Threads that sit in the driver on behalf of paused async jobs.
 *
 * Made on first use in each process (threads do not survive a fork, so a child starts with an empty pool of its own),
 * at most POOL_THREADS of them, never more than there are requests waiting. They block all signals and end after
 * POOL_IDLE_S without work.
 */
#include "chardev.h"
#include "futex.h"
#include "process.h"

#include <openssl/crypto.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <time.h>

enum { POOL_THREADS = 32, POOL_IDLE_S = 10, POOL_STACK = 128 * 1024 };

struct pool {
    pid_t owner;
    pthread_mutex_t lock;
    pthread_cond_t work;
    pthread_cond_t done;
    struct chardev_request *first, **last;
    unsigned threads, idle;
};

static struct process_lock pool_creation;
static _Atomic(struct pool *) current;

static struct pool *pool_new(void)
{
    struct pool *pool = OPENSSL_zalloc(sizeof(*pool));
    pthread_condattr_t monotonic;

    if (pool == NULL)
        return NULL;
    pool->owner = process_self();
    pool->last = &pool->first;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->work, &monotonic);
    pthread_cond_init(&pool->done, &monotonic);
    pthread_condattr_destroy(&monotonic);
    return pool;
}

/* This process's pool. One that was inherited over a fork is abandoned: its locks may be held for ever. */
static struct pool *pool_get(void)
{
    struct pool *pool = atomic_load(&current);

    if (pool != NULL && pool->owner == process_self())
        return pool;
    if (!process_lock_acquire(&pool_creation, clock_now() + 1000000000))
        return NULL;
    pool = atomic_load(&current);
    if (pool == NULL || pool->owner != process_self()) {
        pool = pool_new();
        if (pool != NULL)
            atomic_store(&current, pool);
    }
    process_lock_release(&pool_creation);
    return pool;
}

/* The next request, or NULL when the thread should end. Called with the lock held. */
static struct chardev_request *pool_next(struct pool *pool)
{
    struct timespec until = clock_spec(clock_now() + POOL_IDLE_S * INT64_C(1000000000));
    struct chardev_request *request;

    while (pool->first == NULL) {
        int late;

        pool->idle++;
        late = pthread_cond_timedwait(&pool->work, &pool->lock, &until);
        pool->idle--;
        if (late != 0 && pool->first == NULL)
            return NULL;
    }
    request = pool->first;
    pool->first = request->next;
    if (pool->first == NULL)
        pool->last = &pool->first;
    return request;
}

static void *pool_thread(void *arg)
{
    struct pool *pool = arg;
    struct chardev_request *request;

    pthread_mutex_lock(&pool->lock);
    while ((request = pool_next(pool)) != NULL) {
        pthread_mutex_unlock(&pool->lock);
        chardev_execute(request);
        pthread_mutex_lock(&pool->lock);
        atomic_store(&request->state, CHARDEV_DONE);
        pthread_cond_broadcast(&pool->done);
        pthread_mutex_unlock(&pool->lock);
        eventfd_write(request->event_fd, 1);
        chardev_request_unref(request);
        pthread_mutex_lock(&pool->lock);
    }
    pool->threads--;
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

static bool start_thread(struct pool *pool)
{
    pthread_attr_t attributes;
    pthread_t thread;
    sigset_t all, before;
    bool started;

    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, POOL_STACK);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    started = pthread_create(&thread, &attributes, pool_thread, pool) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return started;
}

bool chardev_pool_submit(struct chardev_request *request)
{
    struct pool *pool = pool_get();
    bool accepted = true;

    if (pool == NULL)
        return false;
    pthread_mutex_lock(&pool->lock);
    if (pool->idle == 0 && pool->threads < POOL_THREADS) {
        if (start_thread(pool))
            pool->threads++;
        accepted = pool->threads > 0;
    }
    if (accepted) {
        request->next = NULL;
        *pool->last = request;
        pool->last = &request->next;
        pthread_cond_signal(&pool->work);
    }
    pthread_mutex_unlock(&pool->lock);
    return accepted;
}

azihsm_rc chardev_pool_wait(struct chardev_request *request)
{
    struct timespec until = clock_spec(request->base.deadline_ns);
    struct pool *pool = pool_get();
    azihsm_rc rc = AZIHSM_OK;

    if (pool == NULL)
        return AZIHSM_E_NO_MEMORY;
    pthread_mutex_lock(&pool->lock);
    while (atomic_load(&request->state) != CHARDEV_DONE && rc == AZIHSM_OK) {
        if (pthread_cond_timedwait(&pool->done, &pool->lock, &until) != 0 &&
            atomic_load(&request->state) != CHARDEV_DONE)
            rc = AZIHSM_E_TIMEOUT;
    }
    pthread_mutex_unlock(&pool->lock);
    return rc;
}
