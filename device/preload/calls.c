/*
 * The interposed libc calls: every way to open, duplicate, close and ioctl a descriptor (ddi-protocol 8.12, 8.13).
 *
 * Each asks whether the path or descriptor is ours and otherwise is the real function, errno included.
 */
#include "preload.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

/* The fortified entry points have no prototypes of their own in the headers. */
int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);
int __openat_2(int directory, const char *path, int flags);
int __openat64_2(int directory, const char *path, int flags);

void *preload_real(const char *name)
{
    return dlsym(RTLD_NEXT, name);
}

/* A real function, looked up once; a race looks it up twice. */
#define REAL(name, type)                                                                                               \
    static _Atomic(void *) found;                                                                                      \
    void *address = atomic_load_explicit(&found, memory_order_relaxed);                                                \
    __typeof__(type) real;                                                                                             \
    if (address == NULL) {                                                                                             \
        address = preload_real(name);                                                                                  \
        atomic_store_explicit(&found, address, memory_order_relaxed);                                                  \
    }                                                                                                                  \
    memcpy(&real, &address, sizeof(real))

static bool is_node(const char *path)
{
    return path != NULL && strcmp(path, PRELOAD_PATH) == 0;
}

/* The node by a path relative to an open /dev, errno kept. */
static bool is_node_at(int directory, const char *path)
{
    struct stat dev, here;
    int before = errno;
    bool result;

    if (path == NULL || path[0] == '/' || strcmp(path, PRELOAD_NODE) != 0)
        return is_node(path);
    result = stat(PRELOAD_DIRECTORY, &dev) == 0 &&
             (directory == AT_FDCWD ? stat(".", &here) : fstat(directory, &here)) == 0 && here.st_dev == dev.st_dev &&
             here.st_ino == dev.st_ino;
    errno = before;
    return result;
}

static mode_t mode_argument(int flags, va_list arguments)
{
    return (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE ? va_arg(arguments, mode_t) : 0;
}

/* ---- open ---- */

#define DEFINE_OPEN(function)                                                                                          \
    EXPORT int function(const char *path, int flags, ...)                                                              \
    {                                                                                                                  \
        va_list arguments;                                                                                             \
        mode_t mode;                                                                                                   \
        REAL(#function, int (*)(const char *, int, ...));                                                              \
        if (is_node_at(AT_FDCWD, path))                                                                                \
            return preload_file_open(flags);                                                                           \
        va_start(arguments, flags);                                                                                    \
        mode = mode_argument(flags, arguments);                                                                        \
        va_end(arguments);                                                                                             \
        return real(path, flags, mode);                                                                                \
    }

#define DEFINE_OPENAT(function)                                                                                        \
    EXPORT int function(int directory, const char *path, int flags, ...)                                               \
    {                                                                                                                  \
        va_list arguments;                                                                                             \
        mode_t mode;                                                                                                   \
        REAL(#function, int (*)(int, const char *, int, ...));                                                         \
        if (is_node_at(directory, path))                                                                               \
            return preload_file_open(flags);                                                                           \
        va_start(arguments, flags);                                                                                    \
        mode = mode_argument(flags, arguments);                                                                        \
        va_end(arguments);                                                                                             \
        return real(directory, path, flags, mode);                                                                     \
    }

#define DEFINE_OPEN_2(function)                                                                                        \
    EXPORT int function(const char *path, int flags)                                                                   \
    {                                                                                                                  \
        REAL(#function, int (*)(const char *, int));                                                                   \
        return is_node_at(AT_FDCWD, path) ? preload_file_open(flags) : real(path, flags);                              \
    }

#define DEFINE_OPENAT_2(function)                                                                                      \
    EXPORT int function(int directory, const char *path, int flags)                                                    \
    {                                                                                                                  \
        REAL(#function, int (*)(int, const char *, int));                                                              \
        return is_node_at(directory, path) ? preload_file_open(flags) : real(directory, path, flags);                  \
    }

DEFINE_OPEN(open)
DEFINE_OPEN(open64)
DEFINE_OPENAT(openat)
DEFINE_OPENAT(openat64)
DEFINE_OPEN_2(__open_2)
DEFINE_OPEN_2(__open64_2)
DEFINE_OPENAT_2(__openat_2)
DEFINE_OPENAT_2(__openat64_2)

/* ---- close ---- */

EXPORT int close(int fd)
{
    REAL("close", int (*)(int));

    /* The record goes first: after the real close another thread may be given the number. */
    preload_file_forget(fd);
    return real(fd);
}

EXPORT int close_range(unsigned first, unsigned last, int flags)
{
    REAL("close_range", int (*)(unsigned, unsigned, int));

    if (real == NULL) {
        errno = ENOSYS;
        return -1;
    }
    if ((flags & ~(int)CLOSE_RANGE_UNSHARE) == 0) {
        for (unsigned fd = first; fd <= last && fd < 65536; fd++)
            preload_file_forget((int)fd);
    }
    return real(first, last, flags);
}

/* ---- dup ---- */

EXPORT int dup(int old)
{
    int fd;
    REAL("dup", int (*)(int));

    fd = real(old);
    if (fd >= 0)
        preload_file_share(old, fd);
    return fd;
}

EXPORT int dup2(int old, int new)
{
    int fd;
    REAL("dup2", int (*)(int, int));

    fd = real(old, new);
    if (fd >= 0)
        preload_file_share(old, fd);
    return fd;
}

EXPORT int dup3(int old, int new, int flags)
{
    int fd;
    REAL("dup3", int (*)(int, int, int));

    fd = real(old, new, flags);
    if (fd >= 0)
        preload_file_share(old, fd);
    return fd;
}

/* The third argument is passed on as a word: an int arrives in it unharmed on LP64. */
#define DEFINE_FCNTL(function)                                                                                         \
    EXPORT int function(int fd, int command, ...)                                                                      \
    {                                                                                                                  \
        va_list arguments;                                                                                             \
        void *argument;                                                                                                \
        int result;                                                                                                    \
        REAL(#function, int (*)(int, int, ...));                                                                       \
        va_start(arguments, command);                                                                                  \
        argument = va_arg(arguments, void *);                                                                          \
        va_end(arguments);                                                                                             \
        result = real(fd, command, argument);                                                                          \
        if (result >= 0 && (command == F_DUPFD || command == F_DUPFD_CLOEXEC))                                         \
            preload_file_share(fd, result);                                                                            \
        return result;                                                                                                 \
    }

DEFINE_FCNTL(fcntl)
DEFINE_FCNTL(fcntl64)

/* ---- ioctl ---- */

EXPORT int ioctl(int fd, unsigned long request, ...)
{
    struct preload_file *file = preload_file_get(fd);
    va_list arguments;
    void *argument;
    int result, error;
    REAL("ioctl", int (*)(int, unsigned long, ...));

    va_start(arguments, request);
    argument = va_arg(arguments, void *);
    va_end(arguments);
    if (file == NULL)
        return real(fd, request, argument);
    result = preload_ioctl(file, (unsigned)request, argument);
    error = errno;
    preload_file_put(file);
    errno = error;
    return result;
}
