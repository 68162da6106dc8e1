/*
 * Sockets of azihsmd.
 */
#include "listen.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { LISTEN_FIRST_FD = 3, LISTEN_BACKLOG = 512 };

/* ---- handed over by systemd ---- */

static bool listen_is_seqpacket(int fd)
{
    int type = 0, accepting = 0;
    socklen_t len = sizeof(type);

    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) != 0 || type != SOCK_SEQPACKET)
        return false;
    len = sizeof(accepting);
    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &accepting, &len) == 0 && accepting != 0;
}

/* Name number i in "a:b:c", or "" */
static void listen_name(const char *names, int i, char *out, size_t size)
{
    while (names != NULL && i > 0) {
        names = strchr(names, ':');
        if (names != NULL)
            names++;
        i--;
    }
    snprintf(out, size, "%.*s", names != NULL ? (int)strcspn(names, ":") : 0, names != NULL ? names : "");
}

static azihsm_rc listen_take(struct listeners *out, int fd, const char *name, int position, struct azihsm_error *err)
{
    bool control = strcmp(name, "control") == 0 || (strcmp(name, "queue") != 0 && position == 1);
    int *slot = control ? &out->control : &out->queue;

    if (*slot >= 0 || !listen_is_seqpacket(fd))
        return azihsm_error_set(err, AZIHSM_E_CONFIG,
                                "socket %d (\"%s\") from systemd is not a listening SOCK_SEQPACKET socket of its own",
                                fd, name);
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    *slot = fd;
    return AZIHSM_OK;
}

azihsm_rc listen_inherited(struct listeners *out, struct azihsm_error *err)
{
    const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS"), *names = getenv("LISTEN_FDNAMES");
    azihsm_rc rc = AZIHSM_OK;
    char name[32];
    int i, fds;

    *out = (struct listeners){.queue = -1, .control = -1};
    if (pid == NULL || count == NULL || atol(pid) != (long)getpid())
        return AZIHSM_OK;
    fds = atoi(count);
    for (i = 0; i < fds && rc == AZIHSM_OK; i++) {
        listen_name(names, i, name, sizeof(name));
        rc = listen_take(out, LISTEN_FIRST_FD + i, name, i, err);
    }
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    return rc;
}

/* ---- made by us ---- */

static bool listen_address(const char *path, struct sockaddr_un *address)
{
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(address->sun_path))
        return false;
    memcpy(address->sun_path, path, strlen(path));
    return true;
}

static bool listen_is_alive(const struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool alive = fd >= 0 && (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 || errno == EAGAIN);

    if (fd >= 0)
        close(fd);
    return alive;
}

static void listen_make_directory(const char *path)
{
    char directory[sizeof(((struct sockaddr_un *)0)->sun_path)];
    char *slash;

    snprintf(directory, sizeof(directory), "%s", path);
    slash = strrchr(directory, '/');
    if (slash != NULL && slash != directory) {
        *slash = '\0';
        /* When this fails, bind says so. */
        if (mkdir(directory, 0755) == 0 && chmod(directory, 0755) != 0)
            rmdir(directory);
    }
}

static int listen_bind(const struct sockaddr_un *address, mode_t mode)
{
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int error;

    if (fd < 0)
        return -1;
    if (bind(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 && chmod(address->sun_path, mode) == 0 &&
        listen(fd, LISTEN_BACKLOG) == 0)
        return fd;
    error = errno;
    close(fd);
    errno = error;
    return -1;
}

azihsm_rc listen_unix(const char *path, mode_t mode, int *out, struct azihsm_error *err)
{
    struct sockaddr_un address;

    if (!listen_address(path, &address))
        return azihsm_error_set(err, AZIHSM_E_CONFIG, "socket path %s is longer than %zu characters", path,
                                sizeof(address.sun_path) - 1);
    if (listen_is_alive(&address))
        return azihsm_error_set(err, AZIHSM_E_BUSY,
                                "another azihsmd listens on %s: stop that one (azihsm stop), or give this one a "
                                "--socket and a --state-dir of its own",
                                path);
    listen_make_directory(path);
    if (unlink(path) != 0 && errno != ENOENT)
        return azihsm_error_set(err, AZIHSM_E_IO, "%s: cannot replace the old socket: %s", path, strerror(errno));
    *out = listen_bind(&address, mode);
    if (*out < 0)
        return azihsm_error_set(err, errno == EACCES ? AZIHSM_E_PERMISSION : AZIHSM_E_IO, "cannot listen on %s: %s",
                                path, strerror(errno));
    return AZIHSM_OK;
}

static void listen_remove_directory(const char *path)
{
    struct sockaddr_un address;
    char *slash;

    if (!listen_address(path, &address))
        return;
    slash = strrchr(address.sun_path, '/');
    if (slash == NULL || slash == address.sun_path)
        return;
    *slash = '\0';
    rmdir(address.sun_path);
}

void listen_close(struct listeners *listeners)
{
    if (listeners->queue_path != NULL)
        unlink(listeners->queue_path);
    if (listeners->control_path != NULL)
        unlink(listeners->control_path);
    if (listeners->queue_path != NULL && listeners->remove_directory)
        listen_remove_directory(listeners->queue_path);
    if (listeners->queue >= 0)
        close(listeners->queue);
    if (listeners->control >= 0)
        close(listeners->control);
    *listeners = (struct listeners){.queue = -1, .control = -1};
}

/* ---- readiness ---- */

void listen_notify(const char *message)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address;
    socklen_t len;
    int fd;

    if (path == NULL || (path[0] != '/' && path[0] != '@') || !listen_address(path, &address))
        return;
    len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
    if (path[0] == '@')
        address.sun_path[0] = '\0'; /* abstract: the length counts, no NUL */
    else
        len++;
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    /* systemd that does not listen any more has no use for the news either. */
    (void)!sendto(fd, message, strlen(message), MSG_NOSIGNAL, (const struct sockaddr *)&address, len);
    close(fd);
}
