/*
 * One private daemon for a user, started by whoever needs it first: see autostart.h.
 *
 * The host program must notice nothing: the daemon is a grandchild (no SIGCHLD, no zombie), in a session of its own,
 * with no descriptor of the program's but the readiness pipe. Between fork and exec only async-signal-safe calls.
 */
#include "autostart.h"

#include "endpoint.h"
#include "futex.h"
#include "queue_connect.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

#define READY_TEXT    "3"
#define LIFELINE_TEXT "4"
enum { READY_FD = 3, LIFELINE_FD = 4, HIGH_FD = 10 };

static const char *daemon_path(void)
{
    const char *path = secure_getenv("AZIHSM_DAEMON");

    return path != NULL && path[0] == '/' ? path : AZIHSM_DAEMON_PATH;
}

/* Makes the last two components of the directory: ~/.azihsm/run on a fresh account. */
static int make_directory(const char *directory)
{
    char parent[ENDPOINT_PATH_MAX];
    char *slash;

    if (mkdir(directory, 0700) == 0 || errno == EEXIST)
        return 0;
    if (errno != ENOENT)
        return errno;
    snprintf(parent, sizeof(parent), "%s", directory);
    slash = strrchr(parent, '/');
    if (slash == NULL || slash == parent)
        return ENOENT;
    *slash = '\0';
    if (mkdir(parent, 0700) != 0 && errno != EEXIST)
        return errno;
    return mkdir(directory, 0700) == 0 || errno == EEXIST ? 0 : errno;
}

/* The directory must be ours alone: whoever can write to it can put a socket of his own there. */
static int open_directory(const char *directory)
{
    struct stat status;
    int error = make_directory(directory);
    int fd;

    if (error != 0) {
        errno = error;
        return -1;
    }
    fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    if (fstat(fd, &status) != 0 || status.st_uid != geteuid() || (status.st_mode & 022) != 0) {
        close(fd);
        errno = EPERM;
        return -1;
    }
    return fd;
}

static int lock_directory(int fd, int64_t deadline_ns)
{
    while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        struct timespec pause = {.tv_nsec = 10 * NS_PER_MS};

        if (errno != EWOULDBLOCK && errno != EINTR)
            return errno;
        if (clock_now() >= deadline_ns)
            return ETIMEDOUT;
        nanosleep(&pause, NULL);
    }
    return 0;
}

static void close_from(int first)
{
    if (syscall(SYS_close_range, (unsigned)first, ~0U, 0U) == 0)
        return;
    for (int fd = first; fd < 65536; fd++)
        close(fd);
}

/* In the grandchild: descriptors 0-2 are /dev/null, READY_FD and LIFELINE_FD what they are called, no others. */
static void become_daemon(const char *path, char *const argv[], char *const environment[], int ready, int lifeline)
{
    int null = open("/dev/null", O_RDWR);
    int high_ready = fcntl(ready, F_DUPFD, HIGH_FD);
    int high_lifeline = lifeline < 0 ? -1 : fcntl(lifeline, F_DUPFD, HIGH_FD);
    sigset_t none;

    setsid();
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    for (int number = 1; number < NSIG; number++)
        signal(number, SIG_DFL);
    if (chdir("/") != 0 || null < 0 || high_ready < 0)
        _exit(127);
    for (int fd = 0; fd < 3; fd++)
        dup2(null, fd);
    dup2(high_ready, READY_FD);
    if (high_lifeline >= 0)
        dup2(high_lifeline, LIFELINE_FD);
    close_from(high_lifeline >= 0 ? LIFELINE_FD + 1 : READY_FD + 1);
    execve(path, argv, environment);
    _exit(127);
}

/* Double fork through a child that shares nothing of the parent's signal handling: it only forks again. */
static int spawn_daemon(const char *path, char *const argv[], char *const environment[], int ready, int lifeline)
{
    sigset_t all, before;
    int status = 0;
    pid_t child;

    if (access(path, X_OK) != 0)
        return errno;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    /* No exit signal: the program's SIGCHLD handler and its wait() see nothing; we wait with __WCLONE. */
    child = (pid_t)syscall(SYS_clone, 0UL, NULL, NULL, NULL, 0UL);
    if (child == 0) {
        pid_t grandchild = (pid_t)syscall(SYS_clone, (unsigned long)SIGCHLD, NULL, NULL, NULL, 0UL);

        if (grandchild == 0)
            become_daemon(path, argv, environment, ready, lifeline);
        _exit(grandchild < 0 ? 1 : 0);
    }
    if (child > 0) {
        while (waitpid(child, &status, (int)__WCLONE) < 0 && errno == EINTR)
            ;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return child > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : EAGAIN;
}

int autostart_run(const char *path, char *argv[], char *const environment[], int lifeline, int64_t deadline_ns)
{
    struct pollfd event = {.events = POLLIN};
    size_t argc = 0;
    int ready[2];
    char byte;
    int error;

    while (argv[argc] != NULL)
        argc++;
    argv[argc++] = (char *)(uintptr_t) "--ready-fd";
    argv[argc++] = (char *)(uintptr_t)READY_TEXT;
    if (lifeline >= 0) {
        argv[argc++] = (char *)(uintptr_t) "--lifeline-fd";
        argv[argc++] = (char *)(uintptr_t)LIFELINE_TEXT;
    }
    argv[argc] = NULL;
    if (pipe2(ready, O_CLOEXEC) != 0)
        return errno;
    error = spawn_daemon(path != NULL ? path : daemon_path(), argv, environment, ready[1], lifeline);
    close(ready[1]);
    event.fd = ready[0];
    while (error == 0 && poll(&event, 1, clock_poll_ms(deadline_ns, 1000)) <= 0) {
        if (clock_now() >= deadline_ns)
            error = ETIMEDOUT;
    }
    if (error == 0 && read(ready[0], &byte, 1) != 1)
        error = ECHILD; /* it ended before it listened */
    close(ready[0]);
    return error;
}

/* 0 when the daemon said it listens. */
static int start_and_wait(const char *socket_path, int64_t deadline_ns)
{
    char *argv[16] = {(char *)(uintptr_t) "azihsmd", (char *)(uintptr_t) "--user", (char *)(uintptr_t) "--socket",
                      (char *)(uintptr_t)socket_path};

    return autostart_run(NULL, argv, environ, -1, deadline_ns);
}

azihsm_rc autostart_daemon(const char *socket_path, int64_t deadline_ns, struct azihsm_error *err)
{
    char directory[ENDPOINT_PATH_MAX];
    const char *slash = strrchr(socket_path, '/');
    int fd, error, probe;

    if (slash == NULL || (size_t)(slash - socket_path) >= sizeof(directory))
        return azihsm_error_set(err, AZIHSM_E_CONFIG, "autostart: bad socket path %s", socket_path);
    memcpy(directory, socket_path, (size_t)(slash - socket_path));
    directory[slash - socket_path] = '\0';
    fd = open_directory(directory);
    if (fd < 0)
        return azihsm_error_set(err, AZIHSM_E_PERMISSION,
                                "autostart: %s: %s; it must be a directory of this user's alone", directory,
                                strerror(errno));
    error = lock_directory(fd, deadline_ns);
    if (error == 0 && queue_connect_path(socket_path, deadline_ns, &probe) == 0)
        close(probe); /* another process started it while we waited for the lock */
    else if (error == 0)
        error = start_and_wait(socket_path, deadline_ns);
    close(fd);
    if (error != 0)
        return azihsm_error_set(err, AZIHSM_E_NO_DEVICE, "autostart: %s did not start: %s", daemon_path(),
                                error == ECHILD ? "it ended at once; run it by hand with --user to see why"
                                                : strerror(error));
    return AZIHSM_OK;
}
