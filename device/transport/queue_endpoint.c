/*
 * The address of an azihsmd and what is kept to reach it later: a control connection, the directory of its socket, a
 * ticket.
 *
 * Handles are attached through the control connection: a client makes a socket pair and passes one end over. So all
 * handles of a process and of its children are one family to the server, and a child needs no path, no privilege and
 * no answer from the control connection, which processes can therefore share. Only when the server has restarted does
 * a process connect anew, and then presents the ticket.
 */
#include "autostart.h"
#include "endpoint.h"
#include "futex.h"
#include "process.h"
#include "queue_connect.h"
#include "queue_device.h"
#include "queue_message.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

struct queue_endpoint {
    struct azihsm_endpoint base;
    char name[ENDPOINT_PATH_MAX + 8]; /* "unix:" and the path */
    const char *path;                 /* into name */
    char partition[QUEUE_PARTITION_MAX];
    bool autostart;
    /* guarded by lock, but see struct process_lock: one word each, or valid only with its length */
    struct process_lock lock;
    int control;   /* -1 = none */
    int directory; /* -1 = none */
    bool has_server;
    uid_t server; /* who answered first: nobody else may later */
    uint32_t ticket_len;
    uint8_t ticket[QUEUE_TICKET_MAX];
};

static void queue_endpoint_free(struct azihsm_endpoint *base)
{
    struct queue_endpoint *endpoint = (struct queue_endpoint *)base;

    if (endpoint->control >= 0)
        close(endpoint->control);
    if (endpoint->directory >= 0)
        close(endpoint->directory);
    OPENSSL_clear_free(endpoint, sizeof(*endpoint));
}

static bool control_alive(int control)
{
    struct pollfd event = {.fd = control, .events = POLLRDHUP};

    return control >= 0 && poll(&event, 1, 0) == 0;
}

/* Opens the socket's directory once, while it can be seen. */
static void keep_directory(struct queue_endpoint *endpoint)
{
    char directory[ENDPOINT_PATH_MAX];
    size_t len = (size_t)(strrchr(endpoint->path, '/') - endpoint->path);

    if (endpoint->directory >= 0)
        return;
    if (len == 0)
        len = 1;
    memcpy(directory, endpoint->path, len);
    directory[len] = '\0';
    endpoint->directory = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

static azihsm_rc connect_error(const struct queue_endpoint *endpoint, int error, struct azihsm_error *err)
{
    if (error == EACCES || error == EPERM)
        return azihsm_error_set(err, AZIHSM_E_PERMISSION,
                                "uid %lu has no permission to connect to %s: check the mode of the socket (socket-mode "
                                "in azihsmd.conf) and of its directories",
                                (unsigned long)geteuid(), endpoint->path);
    if (error == ETIMEDOUT)
        return azihsm_error_set(err, AZIHSM_E_TIMEOUT, "azihsmd does not accept connections on %s", endpoint->path);
    return azihsm_error_set(err, AZIHSM_E_NO_DEVICE,
                            "azihsmd does not listen on %s (%s); start it: systemctl start azihsmd, or azihsmd --user",
                            endpoint->path, strerror(error));
}

static azihsm_rc connect_socket(struct queue_endpoint *endpoint, int64_t deadline_ns, int *fd, struct azihsm_error *err)
{
    const char *name = strrchr(endpoint->path, '/') + 1;
    int error = queue_connect_path(endpoint->path, deadline_ns, fd);

    if (error != 0 && error != ETIMEDOUT && endpoint->directory >= 0) {
        int below = queue_connect_below(endpoint->directory, name, deadline_ns, fd);

        /* Of two failures report the one that tells more: a path hidden by a chroot says only "not found". */
        if (below == 0 || error == ENOENT || error == ENAMETOOLONG)
            error = below;
    }
    return error == 0 ? AZIHSM_OK : connect_error(endpoint, error, err);
}

/* A ticket is a secret: it goes only to the user that answered when we could still see the path. */
static azihsm_rc check_server(struct queue_endpoint *endpoint, int fd, struct azihsm_error *err)
{
    struct ucred peer;
    socklen_t len = sizeof(peer);

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0)
        return azihsm_error_set(err, AZIHSM_E_NO_DEVICE, "%s: %s", endpoint->path, strerror(errno));
    if (endpoint->has_server && endpoint->server != peer.uid)
        return azihsm_error_set(err, AZIHSM_E_PERMISSION, "%s now belongs to user %lu, before to %lu: not trusted",
                                endpoint->path, (unsigned long)peer.uid, (unsigned long)endpoint->server);
    endpoint->server = peer.uid;
    endpoint->has_server = true;
    return AZIHSM_OK;
}

static azihsm_rc welcome_error(const struct queue_endpoint *endpoint, azihsm_rc rc, struct azihsm_error *err)
{
    switch (rc) {
    case AZIHSM_E_PERMISSION:
        return azihsm_error_set(err, rc,
                                "azihsmd on %s refuses uid %lu the partition \"%s\": add the user to allow-users (or "
                                "its group to allow-groups) of [partition %s] in azihsmd.conf, then reload azihsmd",
                                endpoint->path, (unsigned long)geteuid(), endpoint->partition, endpoint->partition);
    case AZIHSM_E_NO_DEVICE:
        return azihsm_error_set(err, rc,
                                "azihsmd on %s has no partition \"%s\": correct 'partition', or add [partition %s] to "
                                "azihsmd.conf and restart azihsmd",
                                endpoint->path, endpoint->partition, endpoint->partition);
    case AZIHSM_E_BUSY:
        return azihsm_error_set(err, rc,
                                "azihsmd on %s has too many connections: close some, or raise connections or "
                                "connections-per-user in azihsmd.conf",
                                endpoint->path);
    case AZIHSM_E_PROTOCOL:
    case AZIHSM_E_UNSUPPORTED:
        return azihsm_error_set(err, rc,
                                "%s: what listens there does not speak this version of the protocol: install the same "
                                "version of azihsm and azihsmd, and restart azihsmd",
                                endpoint->path);
    case AZIHSM_E_TIMEOUT:
        return azihsm_error_set(
            err, rc,
            "azihsmd on %s did not answer in time: look at it with 'azihsm status' and in its log, or raise 'timeout'",
            endpoint->path);
    default:
        return azihsm_error_set(err, rc, "azihsmd on %s: %s", endpoint->path, azihsm_rc_name(rc));
    }
}

/* Sends HELLO, awaits WELCOME. The caller owns fds and cleanses the welcome. */
static azihsm_rc greet(struct queue_endpoint *endpoint, int fd, uint32_t flags, int64_t deadline_ns,
                       struct queue_message *welcome, int *fds, size_t *fd_count)
{
    struct queue_message hello;
    azihsm_rc rc;
    int sent;

    *fd_count = 0;
    queue_message_init(&hello, QUEUE_HELLO);
    hello.flags = flags;
    memcpy(hello.partition, endpoint->partition, sizeof(hello.partition));
    if ((flags & QUEUE_CONTROL) != 0) {
        hello.ticket_len = endpoint->ticket_len;
        memcpy(hello.ticket, endpoint->ticket, sizeof(hello.ticket));
    }
    sent = queue_message_send(fd, &hello, NULL, 0);
    OPENSSL_cleanse(&hello, sizeof(hello));
    if (sent != 1)
        return AZIHSM_E_LOST;
    rc = queue_message_await(fd, QUEUE_WELCOME, deadline_ns, welcome, fds, fd_count);
    if (rc == AZIHSM_OK && welcome->status != AZIHSM_OK)
        rc = welcome->status < 0 ? welcome->status : AZIHSM_E_PROTOCOL;
    return rc;
}

static void keep_ticket(struct queue_endpoint *endpoint, const struct queue_message *welcome)
{
    if (welcome->ticket_len == 0 || welcome->ticket_len > QUEUE_TICKET_MAX)
        return;
    __atomic_store_n(&endpoint->ticket_len, 0, __ATOMIC_RELEASE);
    memcpy(endpoint->ticket, welcome->ticket, welcome->ticket_len);
    __atomic_store_n(&endpoint->ticket_len, welcome->ticket_len, __ATOMIC_RELEASE);
}

/* With the lock held: a fresh control connection in place of the old. */
static azihsm_rc control_connect(struct queue_endpoint *endpoint, int64_t deadline_ns, struct azihsm_error *err)
{
    struct queue_message welcome;
    int fds[QUEUE_MESSAGE_FDS];
    size_t fd_count = 0;
    azihsm_rc rc;
    int old;
    int fd;

    keep_directory(endpoint);
    rc = connect_socket(endpoint, deadline_ns, &fd, err);
    if (rc != AZIHSM_OK)
        return rc;
    rc = check_server(endpoint, fd, err);
    if (rc != AZIHSM_OK)
        goto out;
    rc = greet(endpoint, fd, QUEUE_CONTROL, deadline_ns, &welcome, fds, &fd_count);
    queue_close_fds(fds, fd_count);
    if (rc == AZIHSM_OK) {
        keep_ticket(endpoint, &welcome);
        old = endpoint->control;
        endpoint->control = fd;
        fd = old;
    } else {
        welcome_error(endpoint, rc, err);
    }
    OPENSSL_cleanse(&welcome, sizeof(welcome));
out:
    if (fd >= 0)
        close(fd);
    return rc;
}

/* A descriptor of a live control connection, the caller's to close. */
static azihsm_rc control_get(struct queue_endpoint *endpoint, int64_t deadline_ns, int *control,
                             struct azihsm_error *err)
{
    azihsm_rc rc = AZIHSM_OK;

    if (!process_lock_acquire(&endpoint->lock, deadline_ns))
        return azihsm_error_set(err, AZIHSM_E_TIMEOUT, "azihsmd on %s did not answer in time", endpoint->path);
    if (!control_alive(endpoint->control)) {
        rc = control_connect(endpoint, deadline_ns, err);
        if (rc == AZIHSM_E_NO_DEVICE && endpoint->autostart) {
            rc = autostart_daemon(endpoint->path, deadline_ns, err);
            if (rc == AZIHSM_OK)
                rc = control_connect(endpoint, deadline_ns, err);
        }
    }
    if (rc == AZIHSM_OK) {
        *control = fcntl(endpoint->control, F_DUPFD_CLOEXEC, 0);
        if (*control < 0)
            rc = azihsm_error_set(err, AZIHSM_E_NO_MEMORY, "no descriptor for a device handle: %s", strerror(errno));
    }
    process_lock_release(&endpoint->lock);
    return rc;
}

static void queue_prepare(struct azihsm_endpoint *base, unsigned timeout_ms)
{
    struct queue_endpoint *endpoint = (struct queue_endpoint *)base;
    int64_t deadline = clock_now() + (int64_t)timeout_ms * NS_PER_MS;

    if (!process_lock_acquire(&endpoint->lock, deadline))
        return;
    keep_directory(endpoint);
    if (!control_alive(endpoint->control))
        control_connect(endpoint, deadline, NULL);
    process_lock_release(&endpoint->lock);
}

/* Passes one end of a new pair over the control connection. */
static azihsm_rc attach(int control, int64_t deadline_ns, int *out)
{
    struct queue_message message;
    int pair[2];
    int sent;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0)
        return AZIHSM_E_NO_MEMORY;
    queue_message_init(&message, QUEUE_ATTACH);
    while ((sent = queue_message_send(control, &message, &pair[1], 1)) == 0) {
        struct pollfd event = {.fd = control, .events = POLLOUT};

        if (clock_now() >= deadline_ns)
            break;
        poll(&event, 1, clock_poll_ms(deadline_ns, 100));
    }
    close(pair[1]);
    if (sent != 1) {
        close(pair[0]);
        return sent == 0 ? AZIHSM_E_TIMEOUT : AZIHSM_E_LOST;
    }
    *out = pair[0];
    return AZIHSM_OK;
}

static azihsm_rc open_once(struct queue_endpoint *endpoint, int64_t deadline_ns, struct azihsm_device **out,
                           struct azihsm_error *err)
{
    struct queue_message welcome = {0};
    int fds[QUEUE_MESSAGE_FDS];
    size_t fd_count = 0;
    int control = -1;
    int fd = -1;
    azihsm_rc rc = control_get(endpoint, deadline_ns, &control, err);

    if (rc != AZIHSM_OK)
        return rc;
    rc = attach(control, deadline_ns, &fd);
    close(control);
    if (rc == AZIHSM_OK)
        rc = greet(endpoint, fd, 0, deadline_ns, &welcome, fds, &fd_count);
    if (rc == AZIHSM_OK && (fd_count != 2 || welcome.version != QUEUE_VERSION))
        rc = AZIHSM_E_PROTOCOL;
    if (rc == AZIHSM_OK) {
        rc = queue_device_new(fd, &welcome, fds, out, err);
    } else {
        queue_close_fds(fds, fd_count);
        if (fd >= 0)
            close(fd);
        welcome_error(endpoint, rc, err);
    }
    OPENSSL_cleanse(&welcome, sizeof(welcome));
    return rc;
}

static azihsm_rc queue_open(struct azihsm_endpoint *base, int64_t deadline_ns, struct azihsm_device **out,
                            struct azihsm_error *err)
{
    struct queue_endpoint *endpoint = (struct queue_endpoint *)base;
    azihsm_rc rc = open_once(endpoint, deadline_ns, out, err);

    /* The control connection may have died between our look at it and its use: connect anew, once. */
    if (rc == AZIHSM_E_LOST)
        rc = open_once(endpoint, deadline_ns, out, err);
    return rc;
}

static const struct azihsm_transport queue_transport = {
    .name = "queue",
    .endpoint_free = queue_endpoint_free,
    .prepare = queue_prepare,
    .open = queue_open,
};

azihsm_rc queue_endpoint_new(const char *address, const char *partition, bool autostart, struct azihsm_endpoint **out,
                             struct azihsm_error *err)
{
    const char *wanted = partition != NULL ? partition : "default";
    struct queue_endpoint *endpoint;
    int len;

    if (strlen(wanted) >= QUEUE_PARTITION_MAX)
        return azihsm_error_set(err, AZIHSM_E_CONFIG, "the partition's name is longer than %d bytes",
                                QUEUE_PARTITION_MAX - 1);
    endpoint = OPENSSL_zalloc(sizeof(*endpoint));
    if (endpoint == NULL)
        return azihsm_error_set(err, AZIHSM_E_NO_MEMORY, "making an endpoint: out of memory");
    len = snprintf(endpoint->name, sizeof(endpoint->name), "unix:%s", address);
    if (len < 0 || (size_t)len >= ENDPOINT_PATH_MAX || address[strlen(address) - 1] == '/') {
        OPENSSL_free(endpoint);
        return azihsm_error_set(err, AZIHSM_E_CONFIG, "unix:%s: not the path of a socket", address);
    }
    endpoint->path = endpoint->name + strlen("unix:");
    memcpy(endpoint->partition, wanted, strlen(wanted) + 1);
    endpoint->autostart = autostart;
    endpoint->control = -1;
    endpoint->directory = -1;
    endpoint->base.transport = &queue_transport;
    endpoint->base.name = endpoint->name;
    *out = &endpoint->base;
    return AZIHSM_OK;
}
