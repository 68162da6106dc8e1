/*
 * Device discovery: /dev/azihsm0 appears in directory listings with no such file on disk (ddi-protocol 8.12).
 *
 * opendir and fdopendir remember streams of /dev; readdir adds the node at the end unless the directory had one of that
 * name. glob and scandir use internal functions of libc that cannot be interposed, so they are wrapped as a whole.
 */
#include "preload.h"

#include <errno.h>
#include <fnmatch.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define EXPORT __attribute__((visibility("default")))

enum { STREAMS_MAX = 1024 };

/* Listings of /dev in progress. */
static struct stream {
    DIR *dir;
    bool seen; /* the node has been returned, really or by us */
    union {
        struct dirent plain;
        struct dirent64 large;
    } entry;
} streams[STREAMS_MAX];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_uint listings; /* how many: usually none, and then there is nothing to look up */

static struct stream *find(const DIR *dir)
{
    struct stream *found = NULL;

    if (atomic_load(&listings) == 0)
        return NULL;
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < STREAMS_MAX && found == NULL; i++) {
        if (dir != NULL && streams[i].dir == dir)
            found = &streams[i];
    }
    pthread_mutex_unlock(&lock);
    return found;
}

static bool is_dev(const char *path)
{
    return strcmp(path, PRELOAD_DIRECTORY) == 0 || strcmp(path, PRELOAD_DIRECTORY "/") == 0;
}

static void remember(DIR *dir)
{
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < STREAMS_MAX; i++) {
        if (streams[i].dir != NULL)
            continue;
        streams[i].dir = dir;
        streams[i].seen = false;
        atomic_fetch_add(&listings, 1);
        break;
    }
    pthread_mutex_unlock(&lock);
}

EXPORT DIR *opendir(const char *path)
{
    DIR *(*real)(const char *) = NULL;
    void *address = preload_real("opendir");
    DIR *dir;

    memcpy(&real, &address, sizeof(real));
    dir = real(path);
    if (dir != NULL && is_dev(path))
        remember(dir);
    return dir;
}

/* Whether a descriptor is the directory's, errno kept. */
static bool is_dev_fd(int fd)
{
    struct stat dev, here;
    int before = errno;
    bool result = stat(PRELOAD_DIRECTORY, &dev) == 0 && fstat(fd, &here) == 0 && here.st_dev == dev.st_dev &&
                  here.st_ino == dev.st_ino;

    errno = before;
    return result;
}

EXPORT DIR *fdopendir(int fd)
{
    DIR *(*real)(int) = NULL;
    void *address = preload_real("fdopendir");
    DIR *dir;

    memcpy(&real, &address, sizeof(real));
    dir = real(fd);
    if (dir != NULL && is_dev_fd(fd))
        remember(dir);
    return dir;
}

EXPORT int closedir(DIR *dir)
{
    int (*real)(DIR *) = NULL;
    void *address = preload_real("closedir");
    struct stream *stream = find(dir);

    memcpy(&real, &address, sizeof(real));
    if (stream != NULL) {
        pthread_mutex_lock(&lock);
        stream->dir = NULL;
        pthread_mutex_unlock(&lock);
        atomic_fetch_sub(&listings, 1);
    }
    return real(dir);
}

EXPORT void rewinddir(DIR *dir)
{
    void (*real)(DIR *) = NULL;
    void *address = preload_real("rewinddir");
    struct stream *stream = find(dir);

    memcpy(&real, &address, sizeof(real));
    if (stream != NULL)
        stream->seen = false;
    real(dir);
}

/* The node's own entry, at the end of the real ones. */
#define DEFINE_READDIR(function, type, member)                                                                         \
    EXPORT struct type *function(DIR *dir)                                                                             \
    {                                                                                                                  \
        struct type *(*real)(DIR *) = NULL;                                                                            \
        void *address = preload_real(#function);                                                                       \
        struct stream *stream = find(dir);                                                                             \
        struct type *entry;                                                                                            \
        int before = errno;                                                                                            \
        memcpy(&real, &address, sizeof(real));                                                                         \
        errno = 0;                                                                                                     \
        entry = real(dir);                                                                                             \
        if (entry == NULL && errno != 0)                                                                               \
            return NULL;                                                                                               \
        errno = before;                                                                                                \
        if (stream == NULL || stream->seen)                                                                            \
            return entry;                                                                                              \
        stream->seen = entry == NULL || strcmp(entry->d_name, PRELOAD_NODE) == 0;                                      \
        if (entry != NULL)                                                                                             \
            return entry;                                                                                              \
        entry = &stream->entry.member;                                                                                 \
        memset(entry, 0, sizeof(*entry));                                                                              \
        entry->d_ino = 1;                                                                                              \
        entry->d_reclen = sizeof(*entry);                                                                              \
        entry->d_type = DT_CHR;                                                                                        \
        memcpy(entry->d_name, PRELOAD_NODE, sizeof(PRELOAD_NODE));                                                     \
        return entry;                                                                                                  \
    }

DEFINE_READDIR(readdir, dirent, plain)
DEFINE_READDIR(readdir64, dirent64, large)

/* ---- glob ---- */

static bool wants_node(const char *pattern)
{
    return fnmatch(pattern, PRELOAD_PATH, FNM_PATHNAME | FNM_PERIOD) == 0;
}

/* Adds the node behind what the real call found, as a name that is taken without looking. */
#define DEFINE_GLOB(function, type)                                                                                    \
    EXPORT int function(const char *pattern, int flags, int (*errfunc)(const char *, int), type *found)                \
    {                                                                                                                  \
        int (*real)(const char *, int, int (*)(const char *, int), type *) = NULL;                                     \
        void *address = preload_real(#function);                                                                       \
        int result;                                                                                                    \
        memcpy(&real, &address, sizeof(real));                                                                         \
        if (!wants_node(pattern))                                                                                      \
            return real(pattern, flags, errfunc, found);                                                               \
        result = real(pattern, flags & ~(GLOB_NOCHECK | GLOB_NOMAGIC), errfunc, found);                                \
        if (result != 0 && result != GLOB_NOMATCH)                                                                     \
            return result;                                                                                             \
        for (size_t i = 0; result == 0 && i < found->gl_pathc; i++) {                                                  \
            if (strcmp(found->gl_pathv[found->gl_offs * ((flags & GLOB_DOOFFS) != 0) + i], PRELOAD_PATH) == 0)         \
                return 0;                                                                                              \
        }                                                                                                              \
        return real(PRELOAD_PATH, flags | GLOB_NOCHECK | (result == 0 ? GLOB_APPEND : 0), errfunc, found);             \
    }

DEFINE_GLOB(glob, glob_t)
DEFINE_GLOB(glob64, glob64_t)

/* ---- scandir ---- */

#define DEFINE_SCANDIR(function, type, next)                                                                           \
    EXPORT int function(const char *path, struct type ***list, int (*select)(const struct type *),                     \
                        int (*compare)(const struct type **, const struct type **))                                    \
    {                                                                                                                  \
        int (*real)(const char *, struct type ***, int (*)(const struct type *),                                       \
                    int (*)(const struct type **, const struct type **)) = NULL;                                       \
        void *address = preload_real(#function);                                                                       \
        struct type **entries = NULL, **grown, *entry;                                                                 \
        int count = 0;                                                                                                 \
        DIR *dir;                                                                                                      \
        memcpy(&real, &address, sizeof(real));                                                                         \
        if (!is_dev(path))                                                                                             \
            return real(path, list, select, compare);                                                                  \
        dir = opendir(path);                                                                                           \
        while (dir != NULL && (entry = next(dir)) != NULL) {                                                           \
            if (select != NULL && !select(entry))                                                                      \
                continue;                                                                                              \
            grown = realloc(entries, ((size_t)count + 1) * sizeof(struct type *));                                     \
            if (grown == NULL)                                                                                         \
                break;                                                                                                 \
            entries = grown;                                                                                           \
            entries[count] = malloc(sizeof(*entry));                                                                   \
            if (entries[count] == NULL)                                                                                \
                break;                                                                                                 \
            memcpy(entries[count++], entry, entry->d_reclen < sizeof(*entry) ? entry->d_reclen : sizeof(*entry));      \
        }                                                                                                              \
        if (dir == NULL)                                                                                               \
            return -1;                                                                                                 \
        closedir(dir);                                                                                                 \
        if (compare != NULL && count > 0)                                                                              \
            qsort(entries, (size_t)count, sizeof(struct type *), (int (*)(const void *, const void *))compare);        \
        *list = entries;                                                                                               \
        return count;                                                                                                  \
    }

DEFINE_SCANDIR(scandir, dirent, readdir)
DEFINE_SCANDIR(scandir64, dirent64, readdir64)
