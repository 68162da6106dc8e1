/*
 * The server object and its loop: see queue_server.h for the contract, queue_internal.h for who owns what.
 */
#include "queue_internal.h"

#include "transport/futex.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>

enum { EVENT_BATCH = 64, GREET_LOOK_MS = 1000 };

static const struct queue_limits default_limits = {
    .threads = 1024, .connections = 4096, .connections_per_uid = 1024, .idle_ms = 2000};

static void fill_limits(struct queue_limits *limits)
{
    if (limits->threads == 0)
        limits->threads = default_limits.threads;
    if (limits->connections == 0)
        limits->connections = default_limits.connections;
    if (limits->connections_per_uid == 0)
        limits->connections_per_uid = default_limits.connections_per_uid;
    if (limits->idle_ms == 0)
        limits->idle_ms = default_limits.idle_ms;
}

static bool watch(struct queue_server *server, struct queue_source *source)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = source};

    return epoll_ctl(server->epoll, EPOLL_CTL_ADD, source->fd, &event) == 0;
}

static bool watch_listeners(struct queue_server *server, const struct queue_server_config *config)
{
    server->listeners = OPENSSL_zalloc((config->listener_count + 1) * sizeof(*server->listeners));
    if (server->listeners == NULL)
        return false;
    server->listener_count = config->listener_count;
    for (size_t i = 0; i < config->listener_count; i++) {
        int fd = config->listeners[i];

        server->listeners[i] = (struct queue_source){SOURCE_LISTENER, fd, NULL};
        /* A client that gives up between the event and accept must not make us wait for the next one. */
        if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) != 0 || !watch(server, &server->listeners[i]))
            return false;
    }
    return true;
}

azihsm_rc queue_server_new(const struct queue_server_config *config, struct queue_server **out,
                           struct azihsm_error *err)
{
    struct queue_server *server = OPENSSL_zalloc(sizeof(*server));

    if (server == NULL)
        return azihsm_error_set(err, AZIHSM_E_NO_MEMORY, "queue server: out of memory");
    server->backend = config->backend;
    server->limits = config->limits;
    server->tickets = config->tickets;
    fill_limits(&server->limits);
    atomic_init(&server->epoch, config->tickets.epoch);
    pthread_mutex_init(&server->lock, NULL);
    queue_pool_init(&server->pool);
    if (sched_getaffinity(0, sizeof(server->cpus), &server->cpus) == 0)
        server->cpu_count = CPU_COUNT(&server->cpus);
    server->epoll = epoll_create1(EPOLL_CLOEXEC);
    server->wake = (struct queue_source){SOURCE_WAKE, eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), NULL};
    if (server->epoll < 0 || server->wake.fd < 0 || !watch(server, &server->wake) || !watch_listeners(server, config)) {
        azihsm_rc rc = azihsm_error_set(err, AZIHSM_E_NO_MEMORY, "queue server: %s", strerror(errno));

        queue_server_free(server);
        return rc;
    }
    *out = server;
    return AZIHSM_OK;
}

/* ---- the loop ---- */

static void handle_event(struct queue_server *server, const struct queue_source *source)
{
    struct queue_connection *connection = source->connection;

    /* Shut down earlier in this round: its memory is still there, but nothing of it is of interest. */
    if (connection != NULL && atomic_load(&connection->closing))
        return;
    switch (source->kind) {
    case SOURCE_LISTENER:
        if (!atomic_load(&server->stopping))
            queue_connection_accept(server, source);
        break;
    case SOURCE_WAKE:
        break;
    case SOURCE_SOCKET:
        queue_connection_read(connection);
        break;
    case SOURCE_DOORBELL:
        atomic_fetch_add_explicit(&server->doorbells, 1, memory_order_relaxed);
        queue_connection_scan(connection);
        break;
    case SOURCE_OPENER:
        queue_connection_shutdown(connection, true);
        break;
    }
}

static void bury(struct queue_server *server)
{
    while (server->grave != NULL) {
        struct queue_connection *connection = server->grave;

        server->grave = connection->grave;
        queue_connection_unref(connection);
    }
}

/* Shuts down the connections for which the test holds. The list changes only by other threads' unref, never while a
 * reference is ours; entries are added by this thread. */
static void shutdown_where(struct queue_server *server, bool (*test)(const struct queue_connection *connection),
                           bool dead)
{
    struct queue_connection *found[EVENT_BATCH];
    size_t count;

    do {
        count = 0;
        pthread_mutex_lock(&server->lock);
        for (struct queue_connection *at = server->connections; at != NULL && count < EVENT_BATCH; at = at->next) {
            if (!atomic_load(&at->closing) && test(at))
                found[count++] = at; /* not closing: the loop's own reference keeps it */
        }
        pthread_mutex_unlock(&server->lock);
        for (size_t i = 0; i < count; i++)
            queue_connection_shutdown(found[i], dead);
        bury(server);
    } while (count == EVENT_BATCH);
}

static bool is_any(const struct queue_connection *connection)
{
    (void)connection;
    return true;
}

static bool is_overdue(const struct queue_connection *connection)
{
    return connection->greet_by != 0 && clock_now() >= connection->greet_by;
}

static void stop_listening(struct queue_server *server)
{
    for (size_t i = 0; i < server->listener_count; i++)
        epoll_ctl(server->epoll, EPOLL_CTL_DEL, server->listeners[i].fd, NULL);
    epoll_ctl(server->epoll, EPOLL_CTL_DEL, server->wake.fd, NULL);
}

static void *loop_main(void *argument)
{
    struct queue_server *server = argument;
    struct epoll_event events[EVENT_BATCH];

    while (!atomic_load(&server->stopping)) {
        int count = epoll_wait(server->epoll, events, EVENT_BATCH, server->ungreeted != 0 ? GREET_LOOK_MS : -1);

        for (int i = 0; i < count; i++)
            handle_event(server, events[i].data.ptr);
        bury(server);
        if (server->ungreeted != 0)
            shutdown_where(server, is_overdue, true);
    }
    stop_listening(server);
    shutdown_where(server, is_any, false);
    return NULL;
}

/* Three descriptors a handle: the usual soft limit of 1024 would end at 340. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= limit.rlim_max)
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

azihsm_rc queue_server_start(struct queue_server *server, struct azihsm_error *err)
{
    sigset_t all, before;
    int error;

    raise_descriptor_limit();
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(&server->loop, NULL, loop_main, server);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error != 0)
        return azihsm_error_set(err, AZIHSM_E_NO_MEMORY, "queue server: no thread: %s", strerror(error));
    server->started = true;
    return AZIHSM_OK;
}

bool queue_server_stop(struct queue_server *server, unsigned drain_ms)
{
    int64_t deadline = clock_now() + (int64_t)drain_ms * NS_PER_MS;
    uint64_t one = 1;

    if (!server->started)
        return true;
    atomic_store(&server->stopping, true);
    if (write(server->wake.fd, &one, sizeof(one)) < 0)
        one = 0;
    pthread_join(server->loop, NULL);
    while (atomic_load(&server->connection_count) != 0 && clock_now() < deadline) {
        struct timespec pause = {.tv_nsec = NS_PER_MS};

        nanosleep(&pause, NULL);
    }
    return queue_pool_stop(&server->pool, deadline) && atomic_load(&server->connection_count) == 0;
}

void queue_server_free(struct queue_server *server)
{
    if (server == NULL)
        return;
    if (server->epoll >= 0)
        close(server->epoll);
    if (server->wake.fd >= 0)
        close(server->wake.fd);
    queue_pool_free(&server->pool);
    pthread_mutex_destroy(&server->lock);
    OPENSSL_free(server->listeners);
    OPENSSL_clear_free(server, sizeof(*server));
}

void queue_server_set_epoch(struct queue_server *server, uint64_t epoch)
{
    atomic_store(&server->epoch, epoch);
}

void queue_server_counters(struct queue_server *server, struct queue_counters *out)
{
    *out = (struct queue_counters){
        .accepted = atomic_load(&server->accepted),
        .refused = atomic_load(&server->refused),
        .dropped = atomic_load(&server->dropped),
        .requests = atomic_load(&server->requests),
        .doorbells = atomic_load(&server->doorbells),
        .connections = atomic_load(&server->connection_count),
    };
    pthread_mutex_lock(&server->pool.lock);
    out->threads = server->pool.threads;
    pthread_mutex_unlock(&server->pool.lock);
}
