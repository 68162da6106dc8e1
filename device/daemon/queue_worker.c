/*
 * The threads that serve slots.
 *
 * A thread is bound to one slot while that is busy and sleeps on the slot's word between its requests, so a message
 * costs one wake-up and no search. It follows its client's processor, because waking a sleeper there is ten times
 * cheaper than elsewhere; and it moves after the answer, when nobody waits for it. Asynchronous clients do not sleep
 * and are not followed. After an idle while the thread goes
 * back to the pool, and from there, unused, it ends. With every thread taken, slots stand in line and threads move on
 * after each request.
 */
#include "queue_internal.h"

#include "transport/futex.h"

#include <errno.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <signal.h>
#include <sys/socket.h>

enum { WORKER_STACK = 1 << 20, PARK_S = 10 };

bool queue_pool_init(struct queue_pool *pool)
{
    pthread_condattr_t attributes;

    pthread_mutex_init(&pool->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&pool->ended, &attributes);
    pthread_condattr_destroy(&attributes);
    return true;
}

void queue_pool_free(struct queue_pool *pool)
{
    pthread_cond_destroy(&pool->ended);
    pthread_mutex_destroy(&pool->lock);
}

/* ---- serving a slot ---- */

static void move_to(struct queue_worker *worker, uint32_t cpu, bool follow)
{
    struct queue_server *server = worker->server;
    cpu_set_t one;

    if (!follow) {
        if (worker->cpu >= 0)
            sched_setaffinity(0, sizeof(server->cpus), &server->cpus);
        worker->cpu = -1;
        return;
    }
    if (server->cpu_count < 2 || cpu >= CPU_SETSIZE || (int)cpu == worker->cpu || !CPU_ISSET(cpu, &server->cpus))
        return;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    if (sched_setaffinity(0, sizeof(one), &one) == 0)
        worker->cpu = (int)cpu;
}

/* Sleeps while the word stays; true when it did so for a whole idle time. */
static bool sleep_on(struct queue_server *server, struct queue_slot *slot, uint32_t word)
{
    struct timespec idle = clock_spec((int64_t)server->limits.idle_ms * NS_PER_MS);

    return syscall(SYS_futex, &slot->word, FUTEX_WAIT, word, &idle, NULL, 0) != 0 && errno == ETIMEDOUT;
}

static bool submitted(uint32_t word)
{
    return (word & QUEUE_STATE) == QUEUE_SUBMITTED;
}

/* The loop thread, which owns the connection, sees the end of the socket and does the rest. */
static void drop_client(struct queue_connection *connection)
{
    atomic_fetch_add(&connection->server->dropped, 1);
    atomic_store(&connection->dead, true);
    shutdown(connection->socket.fd, SHUT_RDWR);
}

enum serve_end { SERVE_IDLE, SERVE_CLOSED, SERVE_YIELD };

static enum serve_end serve_slot(struct queue_worker *worker, struct queue_binding *binding)
{
    struct queue_connection *connection = binding->connection;
    struct queue_slot *slot = &connection->shared->slot[binding->index];

    for (;;) {
        /* In this order: once closing is seen, the word already has CLOSING and takes no more. */
        bool closing = atomic_load(&connection->closing);
        uint32_t word = __atomic_load_n(&slot->word, __ATOMIC_ACQUIRE);

        if (atomic_load_explicit(&connection->dead, memory_order_relaxed))
            return SERVE_CLOSED;
        if (submitted(word)) {
            if (!__atomic_compare_exchange_n(&slot->word, &word, (word & ~(uint32_t)QUEUE_STATE) | QUEUE_RUNNING, false,
                                             __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
                continue;
            if (!queue_serve(worker, binding)) {
                drop_client(connection);
                return SERVE_CLOSED;
            }
            move_to(worker, __atomic_load_n(&slot->cpu, __ATOMIC_RELAXED),
                    (__atomic_load_n(&slot->flags, __ATOMIC_RELAXED) & QUEUE_NOTIFY) == 0);
            if (closing)
                return SERVE_CLOSED;
            if (atomic_load_explicit(&worker->server->pool.waiting, memory_order_relaxed) != 0)
                return SERVE_YIELD;
            continue;
        }
        if (closing)
            return SERVE_CLOSED;
        if (sleep_on(worker->server, slot, word))
            return SERVE_IDLE;
    }
}

static void stand_in_line(struct queue_pool *pool, struct queue_binding *binding)
{
    binding->next = NULL;
    if (pool->first == NULL)
        pool->first = binding;
    else
        pool->last->next = binding;
    pool->last = binding;
    atomic_fetch_add(&pool->waiting, 1);
}

/*
 * Serves until the slot is idle, the connection ends or others wait. The client rings the doorbell only when it sees
 * the word without BOUND, so whatever it submitted up to then must not be left behind.
 */
static void serve_binding(struct queue_worker *worker, struct queue_binding *binding)
{
    struct queue_connection *connection = binding->connection;
    struct queue_slot *slot = &connection->shared->slot[binding->index];
    struct queue_pool *pool = &worker->server->pool;

    for (;;) {
        bool expected = false;
        enum serve_end end;
        uint32_t word;

        __atomic_fetch_or(&slot->word, QUEUE_BOUND, __ATOMIC_SEQ_CST);
        end = serve_slot(worker, binding);
        word = __atomic_fetch_and(&slot->word, ~(uint32_t)QUEUE_BOUND, __ATOMIC_SEQ_CST);
        if (end == SERVE_CLOSED)
            break;
        if (submitted(word) && end == SERVE_IDLE)
            continue;
        if (submitted(word)) {
            pthread_mutex_lock(&pool->lock);
            stand_in_line(pool, binding);
            pthread_mutex_unlock(&pool->lock);
            return;
        }
        atomic_store(&binding->bound, false);
        word = __atomic_load_n(&slot->word, __ATOMIC_SEQ_CST);
        if (!submitted(word) || !atomic_compare_exchange_strong(&binding->bound, &expected, true))
            goto out;
    }
    atomic_store(&binding->bound, false);
out:
    OPENSSL_cleanse(worker->request, sizeof(worker->request));
    OPENSSL_cleanse(worker->response, sizeof(worker->response));
    queue_connection_unref(connection);
}

/* ---- the pool ---- */

static void remove_idle(struct queue_pool *pool, const struct queue_worker *worker)
{
    struct queue_worker **link = &pool->idle;

    while (*link != worker)
        link = &(*link)->next;
    *link = worker->next;
}

/* With the lock held: a binding to serve, or NULL to end. */
static struct queue_binding *next_job(struct queue_worker *worker)
{
    struct queue_pool *pool = &worker->server->pool;
    struct timespec until = clock_spec(clock_now() + PARK_S * NS_PER_S);
    struct queue_binding *job = worker->job;

    worker->job = NULL;
    if (job == NULL && pool->first != NULL) {
        job = pool->first;
        pool->first = job->next;
        atomic_fetch_sub(&pool->waiting, 1);
    }
    if (job != NULL || pool->stopping)
        return job;
    worker->next = pool->idle;
    pool->idle = worker;
    while (worker->job == NULL && !pool->stopping) {
        if (pthread_cond_timedwait(&worker->wake, &pool->lock, &until) == ETIMEDOUT)
            break;
    }
    job = worker->job;
    worker->job = NULL;
    if (job == NULL)
        remove_idle(pool, worker);
    return job;
}

static void *worker_main(void *argument)
{
    struct queue_worker *worker = argument;
    struct queue_pool *pool = &worker->server->pool;
    struct queue_binding *job;

    pthread_mutex_lock(&pool->lock);
    while ((job = next_job(worker)) != NULL) {
        pthread_mutex_unlock(&pool->lock);
        serve_binding(worker, job);
        pthread_mutex_lock(&pool->lock);
    }
    pthread_mutex_unlock(&pool->lock);
    pthread_cond_destroy(&worker->wake);
    OPENSSL_free(worker);
    /*
     * Nobody joins this thread, so its thread-local data in libcrypto must be gone before it counts as ended: the
     * destructors would otherwise race with the library contexts and with the end of the process.
     */
    OPENSSL_thread_stop();
    pthread_mutex_lock(&pool->lock);
    pool->threads--;
    pthread_cond_signal(&pool->ended);
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

static bool start_worker(struct queue_server *server, struct queue_binding *binding)
{
    struct queue_worker *worker = OPENSSL_zalloc(sizeof(*worker));
    pthread_condattr_t clock;
    pthread_attr_t attributes;
    sigset_t all, before;
    pthread_t thread;
    int error;

    if (worker == NULL)
        return false;
    worker->server = server;
    worker->job = binding;
    worker->cpu = -1;
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&worker->wake, &clock);
    pthread_condattr_destroy(&clock);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, WORKER_STACK);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(&thread, &attributes, worker_main, worker);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    if (error != 0) {
        pthread_cond_destroy(&worker->wake);
        OPENSSL_free(worker);
    }
    return error == 0;
}

void queue_pool_dispatch(struct queue_server *server, struct queue_binding *binding)
{
    struct queue_pool *pool = &server->pool;
    struct queue_worker *worker;

    pthread_mutex_lock(&pool->lock);
    worker = pool->idle;
    if (worker != NULL) {
        pool->idle = worker->next;
        worker->job = binding;
        pthread_cond_signal(&worker->wake);
    } else if (pool->threads < server->limits.threads && start_worker(server, binding)) {
        pool->threads++;
    } else {
        stand_in_line(pool, binding);
    }
    pthread_mutex_unlock(&pool->lock);
}

bool queue_pool_stop(struct queue_pool *pool, int64_t deadline_ns)
{
    struct timespec until = clock_spec(deadline_ns);
    bool ended;

    pthread_mutex_lock(&pool->lock);
    pool->stopping = true;
    for (struct queue_worker *worker = pool->idle; worker != NULL; worker = worker->next)
        pthread_cond_signal(&worker->wake);
    while (pool->threads != 0) {
        if (pthread_cond_timedwait(&pool->ended, &pool->lock, &until) == ETIMEDOUT)
            break;
    }
    ended = pool->threads == 0;
    pthread_mutex_unlock(&pool->lock);
    return ended;
}
