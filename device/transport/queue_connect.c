/*
 * Connecting a SOCK_SEQPACKET socket: see queue_connect.h.
 *
 * sun_path cannot be relative to a descriptor, and /proc/self/fd may be missing in a chroot. So a thread of its own
 * gives itself a working directory of its own and connects by relative name; the program's threads notice nothing.
 */
#include "queue_connect.h"

#include "futex.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

enum { CONNECT_STACK = 128 * 1024 };

struct below {
    int directory;
    const char *name;
    int64_t deadline_ns;
    int fd;
    int error;
};

int queue_connect_path(const char *path, int64_t deadline_ns, int *out)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int error;
    int fd;

    if (strlen(path) >= sizeof(address.sun_path))
        return ENAMETOOLONG;
    memcpy(address.sun_path, path, strlen(path) + 1);
    fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return errno;
    while (connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0) {
        struct timespec pause = {.tv_nsec = NS_PER_MS};

        error = errno;
        if ((error != EAGAIN && error != EINTR) || clock_now() >= deadline_ns) {
            close(fd);
            return error == EAGAIN ? ETIMEDOUT : error;
        }
        nanosleep(&pause, NULL);
    }
    *out = fd;
    return 0;
}

static void *below_main(void *argument)
{
    struct below *job = argument;

    if (unshare(CLONE_FS) != 0 || fchdir(job->directory) != 0)
        job->error = errno;
    else
        job->error = queue_connect_path(job->name, job->deadline_ns, &job->fd);
    return NULL;
}

/*
 * Where no thread may be made (haproxy forbids its workers any by RLIMIT_NPROC): in this one, which keeps a working
 * directory of its own from then on and gets it back as it was.
 */
static void below_here(struct below *job)
{
    int before = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);

    if (before < 0) {
        job->error = errno;
        return;
    }
    below_main(job);
    if (fchdir(before) != 0 && job->error == 0) {
        job->error = errno;
        close(job->fd);
    }
    close(before);
}

int queue_connect_below(int directory, const char *name, int64_t deadline_ns, int *out)
{
    struct below job = {.directory = directory, .name = name, .deadline_ns = deadline_ns, .fd = -1};
    pthread_attr_t attributes;
    sigset_t all, before;
    pthread_t thread;
    int error;

    if (pthread_attr_init(&attributes) != 0)
        return ENOMEM;
    pthread_attr_setstacksize(&attributes, CONNECT_STACK);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(&thread, &attributes, below_main, &job);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    if (error == 0)
        pthread_join(thread, NULL);
    else
        below_here(&job);
    if (job.error == 0)
        *out = job.fd;
    return job.error;
}
