/*
 * What a client says on the socket: HELLO, and the questions for notifications and bulk memory.
 *
 * Admission: the peer's own credentials first; where the backend refuses those, a valid ticket admits as the user it
 * was made for, restricted. A connection that was attached has its family, and needs neither.
 */
#include "queue_internal.h"

#include "transport/queue_message.h"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

enum { BULK_MIN = 64 * 1024 };

/* ---- families ---- */

void queue_family_unref(struct queue_family *family)
{
    const struct queue_backend *backend;

    if (family == NULL || atomic_fetch_sub(&family->refs, 1) != 1)
        return;
    backend = &family->server->backend;
    backend->free_family(backend->ctx, family->backend);
    OPENSSL_clear_free(family, sizeof(*family));
}

static azihsm_rc admit(struct queue_server *server, const struct queue_connection *connection,
                       const struct queue_message *hello, struct queue_family *family, struct queue_peer *peer)
{
    const struct queue_backend *backend = &server->backend;
    struct ucred credentials;
    socklen_t len = sizeof(credentials);
    azihsm_rc rc;

    if (getsockopt(connection->socket.fd, SOL_SOCKET, SO_PEERCRED, &credentials, &len) != 0)
        return AZIHSM_E_PERMISSION;
    *peer = (struct queue_peer){.uid = credentials.uid, .gid = credentials.gid, .pid = credentials.pid};
    rc = backend->admit(backend->ctx, peer, family->partition, &family->admission);
    if (rc != AZIHSM_E_PERMISSION || hello->ticket_len == 0 || hello->ticket_len > QUEUE_TICKET_MAX)
        return rc;
    if (!queue_ticket_check(server, hello->ticket, hello->ticket_len, family->partition, &peer->uid, &peer->gid))
        return rc;
    peer->by_ticket = true;
    family->restricted = true;
    return backend->admit(backend->ctx, peer, family->partition, &family->admission);
}

static azihsm_rc family_new(struct queue_connection *connection, const struct queue_message *hello,
                            struct queue_message *welcome)
{
    struct queue_server *server = connection->server;
    struct queue_family *family = OPENSSL_zalloc(sizeof(*family));
    struct queue_peer peer;
    azihsm_rc rc;

    if (family == NULL)
        return AZIHSM_E_NO_MEMORY;
    family->server = server;
    atomic_init(&family->refs, 1);
    memcpy(family->partition, hello->partition, sizeof(family->partition));
    rc = admit(server, connection, hello, family, &peer);
    if (rc == AZIHSM_OK)
        rc = server->backend.new_family(server->backend.ctx, family->admission.partition, peer.uid, &family->backend);
    if (rc != AZIHSM_OK) {
        OPENSSL_clear_free(family, sizeof(*family));
        return rc;
    }
    /* A ticket makes no ticket, or it would never expire. */
    if (!peer.by_ticket)
        welcome->ticket_len =
            (uint32_t)queue_ticket_make(server, peer.uid, peer.gid, family->partition, welcome->ticket);
    connection->family = family;
    return AZIHSM_OK;
}

/* ---- HELLO ---- */

/* The opener's death ends the handle even when a child still holds the socket. Where processes cannot be seen, the
 * socket alone tells. */
static bool watch_opener(struct queue_connection *connection)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &connection->opener};
    struct ucred peer;
    socklen_t len = sizeof(int);
    int fd = -1;

    if (getsockopt(connection->socket.fd, SOL_SOCKET, SO_PEERPIDFD, &fd, &len) != 0) {
        len = sizeof(peer);
        if (getsockopt(connection->socket.fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0 || peer.pid <= 0)
            return true;
        fd = (int)syscall(SYS_pidfd_open, peer.pid, 0);
    }
    if (fd < 0)
        return true;
    connection->opener.fd = fd;
    return epoll_ctl(connection->server->epoll, EPOLL_CTL_ADD, fd, &event) == 0;
}

static azihsm_rc open_handle(struct queue_connection *connection, int *memory)
{
    const struct queue_backend *backend = &connection->server->backend;
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.ptr = &connection->doorbell};
    void *data;
    azihsm_rc rc;

    *memory = queue_memory_new("azihsm-queue", sizeof(struct queue_shared), &data);
    if (*memory < 0)
        return AZIHSM_E_NO_MEMORY;
    connection->shared = data;
    /* Edge-triggered and never read: the client shares the descriptor and could make a read of ours block. */
    connection->doorbell.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (connection->doorbell.fd < 0 ||
        epoll_ctl(connection->server->epoll, EPOLL_CTL_ADD, connection->doorbell.fd, &event) != 0 ||
        !watch_opener(connection))
        return AZIHSM_E_NO_MEMORY;
    rc = backend->open(backend->ctx, connection->family->admission.partition, connection->family->backend,
                       &connection->handle);
    connection->has_handle = rc == AZIHSM_OK;
    return rc;
}

static azihsm_rc greet(struct queue_connection *connection, const struct queue_message *hello,
                       struct queue_message *welcome, int *memory)
{
    azihsm_rc rc = AZIHSM_OK;

    if (hello->version != QUEUE_VERSION)
        return AZIHSM_E_UNSUPPORTED;
    if (memchr(hello->partition, '\0', sizeof(hello->partition)) == NULL)
        return AZIHSM_E_PROTOCOL;
    if (connection->family == NULL)
        rc = family_new(connection, hello, welcome);
    else if (strcmp(connection->family->partition, hello->partition) != 0)
        rc = AZIHSM_E_NO_DEVICE;
    if (rc == AZIHSM_OK && (hello->flags & QUEUE_CONTROL) == 0)
        rc = open_handle(connection, memory);
    return rc;
}

bool queue_greet(struct queue_connection *connection, const struct queue_message *hello)
{
    const struct queue_admission *admission;
    struct queue_message welcome;
    int fds[QUEUE_MESSAGE_FDS] = {-1, -1};
    bool ok;

    if (connection->greet_by == 0)
        return false;
    queue_message_init(&welcome, QUEUE_WELCOME);
    welcome.status = greet(connection, hello, &welcome, &fds[0]);
    if (welcome.status == AZIHSM_OK) {
        connection->greet_by = 0;
        connection->server->ungreeted--;
        admission = &connection->family->admission;
        welcome.flags = (admission->has_credential ? QUEUE_HAS_CREDENTIAL : 0) |
                        (connection->family->restricted ? QUEUE_RESTRICTED : 0);
        if (admission->has_credential && connection->has_handle)
            memcpy(welcome.credential, admission->credential, sizeof(welcome.credential));
    } else {
        atomic_fetch_add(&connection->server->refused, 1);
    }
    fds[1] = connection->doorbell.fd;
    ok = queue_message_send(connection->socket.fd, &welcome, fds, connection->has_handle ? 2 : 0) == 1 &&
         welcome.status == AZIHSM_OK;
    if (fds[0] >= 0)
        close(fds[0]);
    OPENSSL_cleanse(&welcome, sizeof(welcome));
    return ok;
}

/* ---- questions ---- */

/* Keeps our end under the number that a serving thread may be using just now. */
static bool keep_notify(struct queue_binding *binding, int fd)
{
    int kept = atomic_load(&binding->notify_fd);
    bool ok;

    if (kept < 0) {
        atomic_store(&binding->notify_fd, fd);
        return true;
    }
    ok = dup3(fd, kept, O_CLOEXEC) == kept;
    close(fd);
    return ok;
}

/*
 * A pair of sockets, because a call can be told not to wait in one. O_NONBLOCK belongs to the open file: on an eventfd,
 * whose open file is the client's too, the client could take it away again, fill the counter and so hold our thread.
 * A pipe has two open files but one mutex, which a reader holds while its memory is paged in.
 */
static int give_notify(struct queue_connection *connection, struct queue_message *answer)
{
    const int least = 1; /* the kernel makes it the least it allows: one byte unread is as good as many */
    int ends[2];

    answer->type = QUEUE_GIVE_NOTIFY;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) {
        answer->status = AZIHSM_E_NO_MEMORY;
        return -1;
    }
    setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &least, sizeof(least));
    if (keep_notify(&connection->bindings[answer->index], ends[0]))
        return ends[1];
    answer->status = AZIHSM_E_NO_MEMORY;
    close(ends[1]);
    return -1;
}

static int give_bulk(struct queue_connection *connection, struct queue_message *answer)
{
    struct queue_bulk_memory *memory = NULL;
    struct queue_bulk_memory *before;
    size_t size = BULK_MIN;
    int fd = -1;

    answer->type = QUEUE_GIVE_BULK;
    while (size < answer->size)
        size *= 2;
    memory = queue_bulk_memory_new(size, &fd);
    if (memory == NULL) {
        answer->status = AZIHSM_E_NO_MEMORY;
        return -1;
    }
    answer->size = size;
    pthread_mutex_lock(&connection->lock);
    before = connection->areas[answer->index];
    connection->areas[answer->index] = memory;
    pthread_mutex_unlock(&connection->lock);
    queue_bulk_memory_unref(before);
    return fd;
}

/* give_notify and give_bulk return the client's descriptor, which is closed here once it is sent. */
bool queue_answer(struct queue_connection *connection, const struct queue_message *question)
{
    struct queue_message answer;
    bool ok;
    int fd;

    if (!connection->has_handle)
        return false;
    queue_message_init(&answer, QUEUE_GIVE_NOTIFY);
    answer.index = question->index;
    answer.size = question->size;
    if (question->type == QUEUE_ASK_NOTIFY && question->index < QUEUE_SLOTS)
        fd = give_notify(connection, &answer);
    else if (question->type == QUEUE_ASK_BULK && question->index < QUEUE_BULK_AREAS && question->size <= QUEUE_BULK_MAX)
        fd = give_bulk(connection, &answer);
    else
        return false;
    ok = queue_message_send(connection->socket.fd, &answer, &fd, fd >= 0 ? 1 : 0) == 1;
    if (fd >= 0)
        close(fd);
    return ok;
}
