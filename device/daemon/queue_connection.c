/*
 * Life of a connection: accepted or adopted, listened to, shut down, and freed by whoever lets go last.
 */
#include "queue_internal.h"

#include "transport/futex.h"
#include "transport/queue_message.h"

#include <errno.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>

enum { GREET_MS = 10000, READ_BURST = 16 };

/* ---- making ---- */

static bool watch(struct queue_server *server, struct queue_source *source, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = source};

    return epoll_ctl(server->epoll, EPOLL_CTL_ADD, source->fd, &event) == 0;
}

static bool too_many(struct queue_server *server, uid_t uid)
{
    unsigned count = 0;

    if (atomic_load(&server->connection_count) >= server->limits.connections)
        return true;
    if (uid == 0 || uid == geteuid())
        return false;
    pthread_mutex_lock(&server->lock);
    for (const struct queue_connection *at = server->connections; at != NULL; at = at->next)
        count += at->uid == uid;
    pthread_mutex_unlock(&server->lock);
    return count >= server->limits.connections_per_uid;
}

static void enlist(struct queue_server *server, struct queue_connection *connection)
{
    pthread_mutex_lock(&server->lock);
    connection->next = server->connections;
    connection->link = &server->connections;
    if (connection->next != NULL)
        connection->next->link = &connection->next;
    server->connections = connection;
    pthread_mutex_unlock(&server->lock);
    atomic_fetch_add(&server->connection_count, 1);
}

static void init_sources(struct queue_connection *connection, int fd)
{
    connection->socket = (struct queue_source){SOURCE_SOCKET, fd, connection};
    connection->doorbell = (struct queue_source){SOURCE_DOORBELL, -1, connection};
    connection->opener = (struct queue_source){SOURCE_OPENER, -1, connection};
}

static void refuse(struct queue_server *server, int fd, azihsm_rc status)
{
    struct queue_message welcome;

    queue_message_init(&welcome, QUEUE_WELCOME);
    welcome.status = status;
    queue_message_send(fd, &welcome, NULL, 0);
    atomic_fetch_add(&server->refused, 1);
    close(fd);
}

static bool is_our_kind(int fd)
{
    int domain = 0, type = 0;
    socklen_t len = sizeof(int);

    return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 && domain == AF_UNIX &&
           getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_SEQPACKET;
}

struct queue_connection *queue_connection_new(struct queue_server *server, int fd, struct queue_family *family)
{
    struct queue_connection *connection;
    struct ucred peer;
    socklen_t len = sizeof(peer);

    if (!is_our_kind(fd)) {
        atomic_fetch_add(&server->refused, 1);
        close(fd);
        return NULL;
    }
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0 || too_many(server, peer.uid)) {
        refuse(server, fd, AZIHSM_E_BUSY);
        return NULL;
    }
    connection = OPENSSL_zalloc(sizeof(*connection));
    if (connection == NULL) {
        refuse(server, fd, AZIHSM_E_NO_MEMORY);
        return NULL;
    }
    connection->server = server;
    connection->uid = peer.uid;
    connection->family = family;
    connection->greet_by = clock_now() + GREET_MS * NS_PER_MS;
    atomic_init(&connection->refs, 1);
    pthread_mutex_init(&connection->lock, NULL);
    init_sources(connection, fd);
    for (unsigned i = 0; i < QUEUE_SLOTS; i++) {
        connection->bindings[i].connection = connection;
        connection->bindings[i].index = i;
        atomic_init(&connection->bindings[i].notify_fd, -1);
    }
    if (!watch(server, &connection->socket, EPOLLIN | EPOLLRDHUP)) {
        pthread_mutex_destroy(&connection->lock);
        OPENSSL_free(connection);
        refuse(server, fd, AZIHSM_E_NO_MEMORY);
        return NULL;
    }
    server->ungreeted++;
    enlist(server, connection);
    atomic_fetch_add(&server->accepted, 1);
    return connection;
}

void queue_connection_accept(struct queue_server *server, const struct queue_source *listener)
{
    int fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd >= 0) {
        queue_connection_new(server, fd, NULL);
    } else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
        /* Nothing to accept with: let others wait in the backlog, and do not spin meanwhile. */
        struct timespec pause = {.tv_nsec = 10 * NS_PER_MS};

        nanosleep(&pause, NULL);
    }
}

/* ---- listening ---- */

void queue_connection_read(struct queue_connection *connection)
{
    struct queue_message message;
    int fds[QUEUE_MESSAGE_FDS];
    size_t fd_count = 0;
    bool ok = true;
    int got = 1;

    for (int i = 0; ok && i < READ_BURST && !atomic_load(&connection->closing); i++) {
        got = queue_message_receive(connection->socket.fd, &message, fds, &fd_count);
        if (got <= 0)
            break;
        if (message.type == QUEUE_ATTACH && connection->greet_by == 0 && fd_count == 1) {
            atomic_fetch_add(&connection->family->refs, 1);
            if (queue_connection_new(connection->server, fds[0], connection->family) == NULL)
                queue_family_unref(connection->family);
            continue;
        }
        queue_close_fds(fds, fd_count);
        ok = fd_count == 0 &&
             (message.type == QUEUE_HELLO ? queue_greet(connection, &message) : queue_answer(connection, &message));
    }
    OPENSSL_cleanse(&message, sizeof(message));
    if (got < 0 || !ok) {
        if (!ok)
            atomic_fetch_add(&connection->server->dropped, 1);
        queue_connection_shutdown(connection, true);
    }
}

void queue_connection_scan(struct queue_connection *connection)
{
    for (unsigned i = 0; i < QUEUE_SLOTS; i++) {
        struct queue_binding *binding = &connection->bindings[i];
        bool expected = false;

        if ((__atomic_load_n(&connection->shared->slot[i].word, __ATOMIC_SEQ_CST) & QUEUE_STATE) != QUEUE_SUBMITTED)
            continue;
        if (!atomic_compare_exchange_strong(&binding->bound, &expected, true))
            continue;
        queue_connection_ref(connection);
        queue_pool_dispatch(connection->server, binding);
    }
}

/* ---- ending ---- */

static void unwatch(struct queue_server *server, const struct queue_source *source)
{
    if (source->fd >= 0)
        epoll_ctl(server->epoll, EPOLL_CTL_DEL, source->fd, NULL);
}

/* Every thread of either side that sleeps on a slot looks up. */
static void close_slots(struct queue_connection *connection)
{
    for (unsigned i = 0; i < QUEUE_SLOTS; i++)
        __atomic_fetch_or(&connection->shared->slot[i].word, QUEUE_CLOSING, __ATOMIC_SEQ_CST);
    atomic_store(&connection->closing, true);
    for (unsigned i = 0; i < QUEUE_SLOTS; i++)
        futex_wake(&connection->shared->slot[i].word, INT_MAX);
}

void queue_connection_shutdown(struct queue_connection *connection, bool dead)
{
    struct queue_server *server = connection->server;

    if (dead)
        atomic_store(&connection->dead, true);
    if (atomic_load(&connection->closing))
        return;
    unwatch(server, &connection->socket);
    unwatch(server, &connection->doorbell);
    unwatch(server, &connection->opener);
    if (connection->greet_by != 0)
        server->ungreeted--;
    if (connection->shared != NULL) {
        close_slots(connection);
        if (!dead)
            queue_connection_scan(connection);
    }
    atomic_store(&connection->closing, true);
    connection->grave = server->grave;
    server->grave = connection;
}

struct queue_connection *queue_connection_ref(struct queue_connection *connection)
{
    atomic_fetch_add(&connection->refs, 1);
    return connection;
}

static void delist(struct queue_connection *connection)
{
    struct queue_server *server = connection->server;

    pthread_mutex_lock(&server->lock);
    *connection->link = connection->next;
    if (connection->next != NULL)
        connection->next->link = connection->link;
    pthread_mutex_unlock(&server->lock);
}

void queue_connection_unref(struct queue_connection *connection)
{
    struct queue_server *server = connection->server;

    if (atomic_fetch_sub(&connection->refs, 1) != 1)
        return;
    delist(connection);
    if (connection->has_handle)
        server->backend.close(server->backend.ctx, connection->handle);
    queue_family_unref(connection->family);
    if (connection->shared != NULL)
        munmap(connection->shared, sizeof(*connection->shared));
    for (unsigned i = 0; i < QUEUE_BULK_AREAS; i++)
        queue_bulk_memory_unref(connection->areas[i]);
    for (unsigned i = 0; i < QUEUE_SLOTS; i++) {
        if (atomic_load(&connection->bindings[i].notify_fd) >= 0)
            close(atomic_load(&connection->bindings[i].notify_fd));
    }
    if (connection->opener.fd >= 0)
        close(connection->opener.fd);
    if (connection->doorbell.fd >= 0)
        close(connection->doorbell.fd);
    close(connection->socket.fd); /* last: the client waits for it in close */
    pthread_mutex_destroy(&connection->lock);
    OPENSSL_free(connection);
    atomic_fetch_sub(&server->connection_count, 1); /* stop waits for it: touch the server no more */
}
