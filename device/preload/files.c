/*
 * Which descriptors are ours, and the open file behind each.
 *
 * A descriptor is a real one (a place-holder), so its number, close-on-exec, dup and resource limits are the kernel's.
 * The table maps numbers to open files; an entry holds a reference. The table's lock is held over a fork, so that a
 * child finds it free and the table whole.
 */
#include "preload.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { FILES_MAX = 65536, READY_FD = 512 };

static struct preload_file *files[FILES_MAX];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* The process whose table this is; 0 until the first open, so that no wrapper need look anything up until then. */
static _Atomic pid_t process;

static void before_fork(void)
{
    preload_backend_lock();
    pthread_mutex_lock(&lock);
}

static void after_fork_parent(void)
{
    pthread_mutex_unlock(&lock);
    preload_backend_unlock();
}

static void after_fork_child(void)
{
    atomic_store(&process, getpid());
    pthread_mutex_unlock(&lock);
    preload_backend_unlock();
    azihsm_device_atfork_child();
}

/*
 * A descriptor of another process that runs in this memory, between vfork (or a raw clone) and exec, is not in the
 * table: what that child closes on its way to exec must change nothing for its parent.
 */
static bool is_tracked(int fd)
{
    return atomic_load(&process) != 0 && fd >= 0 && fd < FILES_MAX && atomic_load(&process) == getpid();
}

static void register_fork(void)
{
    pthread_atfork(before_fork, after_fork_parent, after_fork_child);
}

struct preload_session preload_session(const struct preload_file *file)
{
    uint64_t word = atomic_load(&file->session);

    return (struct preload_session){.open = (word & 1) != 0,
                                    .has_app_id = (word & 2) != 0,
                                    .sess_id = (uint16_t)(word >> 16),
                                    .short_app_id = (uint8_t)(word >> 8)};
}

void preload_session_set(struct preload_file *file, const struct preload_session *session)
{
    atomic_store(&file->session, (session->open ? 1u : 0u) | (session->has_app_id ? 2u : 0u) |
                                     (uint64_t)session->short_app_id << 8 | (uint64_t)session->sess_id << 16);
}

static void unref(struct preload_file *file)
{
    if (atomic_fetch_sub(&file->refs, 1) != 1)
        return;
    /* The owner's close flushes the session; a child's only frees (device.h). */
    azihsm_device_close(file->device);
    free(file);
}

static void set(int fd, struct preload_file *file)
{
    struct preload_file *old;

    pthread_mutex_lock(&lock);
    old = files[fd];
    files[fd] = file;
    pthread_mutex_unlock(&lock);
    if (old != NULL)
        unref(old);
}

/*
 * The place-holder is an epoll descriptor, to which the kernel's answers are the driver's (8.1): EINVAL to read and
 * write, ENODEV to mmap. An eventfd that is always readable makes poll report it ready.
 */
static int ready = -1;

static void make_ready(void)
{
    int fd = eventfd(1, EFD_CLOEXEC);

    if (fd < 0)
        return;
    ready = fcntl(fd, F_DUPFD_CLOEXEC, READY_FD); /* out of the program's way, where there is such a number */
    if (ready < 0)
        ready = fd;
    else
        close(fd);
}

static int place_holder(int flags)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    int fd = epoll_create1((flags & O_CLOEXEC) != 0 ? EPOLL_CLOEXEC : 0);
    struct epoll_event event = {.events = EPOLLIN};

    pthread_once(&once, make_ready);
    if (fd >= 0 && ready >= 0)
        (void)epoll_ctl(fd, EPOLL_CTL_ADD, ready, &event); /* a program that closes what it does not know may have it */
    return fd;
}

/* Fails an open: gives back what there is and sets errno. */
static int open_failed(struct preload_file *file, int fd, int error)
{
    if (fd >= 0)
        close(fd);
    free(file);
    errno = error;
    return -1;
}

int preload_file_open(int flags)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct preload_file *file = calloc(1, sizeof(*file));
    azihsm_rc rc;
    int fd;

    pthread_once(&once, register_fork);
    if (file == NULL)
        return open_failed(NULL, -1, ENOMEM);
    fd = place_holder(flags);
    if (fd < 0 || fd >= FILES_MAX)
        return open_failed(file, fd, fd < 0 ? errno : EMFILE);
    rc = preload_backend_open(&file->device);
    if (rc != AZIHSM_OK)
        return open_failed(file, fd, rc == AZIHSM_E_PERMISSION ? EACCES : rc == AZIHSM_E_NO_MEMORY ? ENOMEM : ENXIO);
    atomic_init(&file->refs, 1);
    file->owner = getpid();
    atomic_store(&process, file->owner);
    set(fd, file);
    return fd;
}

struct preload_file *preload_file_get(int fd)
{
    struct preload_file *file;

    /* Also for a vfork child: the owner's check then tells it EACCES. */
    if (atomic_load(&process) == 0 || fd < 0 || fd >= FILES_MAX)
        return NULL;
    pthread_mutex_lock(&lock);
    file = files[fd];
    if (file != NULL)
        atomic_fetch_add(&file->refs, 1);
    pthread_mutex_unlock(&lock);
    return file;
}

void preload_file_put(struct preload_file *file)
{
    unref(file);
}

void preload_file_forget(int fd)
{
    if (is_tracked(fd))
        set(fd, NULL);
}

void preload_file_share(int old, int fd)
{
    if (!is_tracked(fd) || old == fd)
        return;
    set(fd, preload_file_get(old)); /* the entry keeps the reference; NULL forgets what fd was */
}
