/*
 * The control socket's thread: it accepts, checks who asks, and executes one request after the other. Control is rare
 * and short; what takes longer (a reset) delays only other control requests.
 */
#include "control.h"

#include "log.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONTROL_CLIENTS_MAX = 16, CONTROL_STOP = 0, CONTROL_LISTENER = 1, CONTROL_CLIENTS = 2 };

struct control {
    struct daemon *daemon;
    pthread_t thread;
    struct pollfd polls[CONTROL_CLIENTS + CONTROL_CLIENTS_MAX]; /* clients: fd -1 = free */
    uint8_t request[CONTROL_REQUEST_MAX];
    uint8_t reply[CONTROL_REPLY_MAX];
};

static bool control_peer_allowed(int fd)
{
    struct ucred peer;
    socklen_t len = sizeof(peer);

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0)
        return false;
    if (peer.uid == 0 || peer.uid == geteuid())
        return true;
    log_line(LOG_LEVEL_WARNING, "refused user %u (process %ld) at the control socket", (unsigned)peer.uid,
             (long)peer.pid);
    return false;
}

static void control_accept(struct control *control)
{
    int size = CONTROL_REPLY_MAX + 4096;
    int fd = accept4(control->polls[CONTROL_LISTENER].fd, NULL, NULL, SOCK_CLOEXEC);
    size_t i;

    if (fd < 0)
        return;
    for (i = CONTROL_CLIENTS; i < CONTROL_CLIENTS + CONTROL_CLIENTS_MAX; i++) {
        if (control->polls[i].fd >= 0)
            continue;
        if (!control_peer_allowed(fd))
            break;
        /* A reply is one packet; without the room a long one fails with EMSGSIZE and the client sees the end. */
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
        control->polls[i] = (struct pollfd){.fd = fd, .events = POLLIN};
        return;
    }
    close(fd);
}

static void control_serve(struct control *control, struct pollfd *client)
{
    ssize_t got = recv(client->fd, control->request, sizeof(control->request), MSG_DONTWAIT | MSG_TRUNC);
    size_t len = 0;

    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got > 0 && (size_t)got <= sizeof(control->request)) {
        control_execute(control->daemon, (struct azihsm_bytes){control->request, (size_t)got}, control->reply, &len);
        got = send(client->fd, control->reply, len, MSG_NOSIGNAL | MSG_DONTWAIT);
        /* Either may have held a PIN. */
        OPENSSL_cleanse(control->request, sizeof(control->request));
        OPENSSL_cleanse(control->reply, len);
        if (got >= 0)
            return;
    }
    close(client->fd);
    client->fd = -1;
}

static void *control_run(void *arg)
{
    struct control *control = arg;
    size_t i;

    while (poll(control->polls, CONTROL_CLIENTS + CONTROL_CLIENTS_MAX, -1) >= 0 || errno == EINTR) {
        if (control->polls[CONTROL_STOP].revents != 0)
            break;
        for (i = CONTROL_CLIENTS; i < CONTROL_CLIENTS + CONTROL_CLIENTS_MAX; i++) {
            if (control->polls[i].fd >= 0 && control->polls[i].revents != 0)
                control_serve(control, &control->polls[i]);
        }
        if (control->polls[CONTROL_LISTENER].revents != 0)
            control_accept(control);
    }
    return NULL;
}

azihsm_rc control_start(struct daemon *daemon, int listener, struct control **out, struct azihsm_error *err)
{
    struct control *control = OPENSSL_zalloc(sizeof(*control));
    sigset_t all, before;
    size_t i;
    int rc;

    if (control == NULL)
        return azihsm_error_set(err, AZIHSM_E_NO_MEMORY, "out of memory");
    control->daemon = daemon;
    for (i = CONTROL_CLIENTS; i < CONTROL_CLIENTS + CONTROL_CLIENTS_MAX; i++)
        control->polls[i].fd = -1;
    control->polls[CONTROL_LISTENER] = (struct pollfd){.fd = listener, .events = POLLIN};
    control->polls[CONTROL_STOP] = (struct pollfd){.fd = eventfd(0, EFD_CLOEXEC), .events = POLLIN};
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    rc = control->polls[CONTROL_STOP].fd < 0 ? errno : pthread_create(&control->thread, NULL, control_run, control);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc != 0) {
        if (control->polls[CONTROL_STOP].fd >= 0)
            close(control->polls[CONTROL_STOP].fd);
        OPENSSL_free(control);
        return azihsm_error_set(err, AZIHSM_E_INTERNAL, "control thread: %s", strerror(rc));
    }
    *out = control;
    return AZIHSM_OK;
}

void control_stop(struct control *control)
{
    const uint64_t one = 1;
    size_t i;

    if (control == NULL)
        return;
    while (write(control->polls[CONTROL_STOP].fd, &one, sizeof(one)) < 0 && errno == EINTR)
        continue;
    pthread_join(control->thread, NULL);
    close(control->polls[CONTROL_STOP].fd);
    for (i = CONTROL_CLIENTS; i < CONTROL_CLIENTS + CONTROL_CLIENTS_MAX; i++) {
        if (control->polls[i].fd >= 0)
            close(control->polls[i].fd);
    }
    OPENSSL_clear_free(control, sizeof(*control));
}
