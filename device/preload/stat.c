/*
 * What programs ask about the node, by path or by descriptor: stat, lstat, fstat, fstatat, statx, access and faccessat
 * say that it is a character device which everybody may read and write.
 */
#include "preload.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

enum { NODE_INODE = 1, NODE_MAJOR = 240, NODE_MODE = S_IFCHR | 0666, NODE_BLOCK = 4096 };

static bool is_node(const char *path)
{
    return path != NULL && strcmp(path, PRELOAD_PATH) == 0;
}

static bool is_node_fd(int fd)
{
    struct preload_file *file = preload_file_get(fd);

    if (file != NULL)
        preload_file_put(file);
    return file != NULL;
}

/* The node has its path only from the root: a relative one is the real function's. */
static bool is_node_at(int directory, const char *path, int flags)
{
    if (path != NULL && path[0] == '\0' && (flags & AT_EMPTY_PATH) != 0)
        return is_node_fd(directory);
    return is_node(path);
}

#define DEFINE_DESCRIBE(type)                                                                                          \
    static int describe_##type(struct type *out)                                                                       \
    {                                                                                                                  \
        memset(out, 0, sizeof(*out));                                                                                  \
        out->st_ino = NODE_INODE;                                                                                      \
        out->st_mode = NODE_MODE;                                                                                      \
        out->st_nlink = 1;                                                                                             \
        out->st_rdev = makedev(NODE_MAJOR, 0);                                                                         \
        out->st_blksize = NODE_BLOCK;                                                                                  \
        return 0;                                                                                                      \
    }

DEFINE_DESCRIBE(stat)
DEFINE_DESCRIBE(stat64)

#define DEFINE_STAT(function, type)                                                                                    \
    EXPORT int function(const char *restrict path, struct type *restrict out)                                          \
    {                                                                                                                  \
        int (*real)(const char *, struct type *) = NULL;                                                               \
        void *address = preload_real(#function);                                                                       \
        memcpy(&real, &address, sizeof(real));                                                                         \
        return is_node(path) ? describe_##type(out) : real(path, out);                                                 \
    }

DEFINE_STAT(stat, stat)
DEFINE_STAT(stat64, stat64)
DEFINE_STAT(lstat, stat)
DEFINE_STAT(lstat64, stat64)

#define DEFINE_FSTAT(function, type)                                                                                   \
    EXPORT int function(int fd, struct type *out)                                                                      \
    {                                                                                                                  \
        int (*real)(int, struct type *) = NULL;                                                                        \
        void *address = preload_real(#function);                                                                       \
        memcpy(&real, &address, sizeof(real));                                                                         \
        return is_node_fd(fd) ? describe_##type(out) : real(fd, out);                                                  \
    }

DEFINE_FSTAT(fstat, stat)
DEFINE_FSTAT(fstat64, stat64)

#define DEFINE_FSTATAT(function, type)                                                                                 \
    EXPORT int function(int directory, const char *restrict path, struct type *restrict out, int flags)                \
    {                                                                                                                  \
        int (*real)(int, const char *, struct type *, int) = NULL;                                                     \
        void *address = preload_real(#function);                                                                       \
        memcpy(&real, &address, sizeof(real));                                                                         \
        return is_node_at(directory, path, flags) ? describe_##type(out) : real(directory, path, out, flags);          \
    }

DEFINE_FSTATAT(fstatat, stat)
DEFINE_FSTATAT(fstatat64, stat64)

EXPORT int statx(int directory, const char *restrict path, int flags, unsigned mask, struct statx *restrict out)
{
    int (*real)(int, const char *, int, unsigned, struct statx *) = NULL;
    void *address = preload_real("statx");

    memcpy(&real, &address, sizeof(real));
    if (!is_node_at(directory, path, flags)) {
        if (real != NULL)
            return real(directory, path, flags, mask, out);
        errno = ENOSYS;
        return -1;
    }
    memset(out, 0, sizeof(*out));
    out->stx_mask = STATX_TYPE | STATX_MODE | STATX_NLINK | STATX_INO;
    out->stx_blksize = NODE_BLOCK;
    out->stx_nlink = 1;
    out->stx_mode = NODE_MODE;
    out->stx_ino = NODE_INODE;
    out->stx_rdev_major = NODE_MAJOR;
    return 0;
}

static int node_access(int mode)
{
    if ((mode & X_OK) == 0)
        return 0;
    errno = EACCES;
    return -1;
}

EXPORT int access(const char *path, int mode)
{
    int (*real)(const char *, int) = NULL;
    void *address = preload_real("access");

    memcpy(&real, &address, sizeof(real));
    return is_node(path) ? node_access(mode) : real(path, mode);
}

EXPORT int faccessat(int directory, const char *path, int mode, int flags)
{
    int (*real)(int, const char *, int, int) = NULL;
    void *address = preload_real("faccessat");

    memcpy(&real, &address, sizeof(real));
    return is_node(path) ? node_access(mode) : real(directory, path, mode, flags);
}
