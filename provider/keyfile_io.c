/*
 * Key files on disk: bounded reads of regular files, writes that either replace the file whole or leave it alone.
 */
#include "keyfile.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_SIZE = 1024, NAME_MAX_LEN = 200 };

static enum keyfile_result complain(char *why, size_t why_size, const char *path, const char *what)
{
    snprintf(why, why_size, "%.140s: %s", path, what);
    return KEYFILE_FAILED;
}

static bool read_all(int fd, uint8_t *data, size_t len)
{
    size_t done = 0;
    while (done < len) {
        ssize_t got = read(fd, data + done, len - done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        done += (size_t)got;
    }
    return true;
}

enum keyfile_result keyfile_read(const char *path, uint8_t **data, size_t *len, char *why, size_t why_size)
{
    struct stat info;
    const char *wrong = NULL;
    /* O_NONBLOCK: a FIFO must not hang us before fstat could tell */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

    *data = NULL;
    if (fd < 0)
        return complain(why, why_size, path, strerror(errno));
    if (fstat(fd, &info) != 0)
        wrong = strerror(errno);
    else if (!S_ISREG(info.st_mode))
        wrong = "not a regular file";
    else if (info.st_size <= 0 || info.st_size > KEYFILE_SIZE_MAX)
        wrong = info.st_size <= 0 ? "the file is empty" : "too large for a key file";
    else if ((*data = OPENSSL_malloc((size_t)info.st_size)) == NULL)
        wrong = "out of memory";
    else if (!read_all(fd, *data, (size_t)info.st_size))
        wrong = "could not be read to its end";
    close(fd);
    if (wrong == NULL) {
        *len = (size_t)info.st_size;
        return KEYFILE_OK;
    }
    if (*data != NULL)
        OPENSSL_clear_free(*data, (size_t)info.st_size);
    *data = NULL;
    return complain(why, why_size, path, wrong);
}

static bool write_all(int fd, struct azihsm_bytes data)
{
    size_t done = 0;
    while (done < data.len) {
        ssize_t put = write(fd, data.data + done, data.len - done);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return false;
        done += (size_t)put;
    }
    return fsync(fd) == 0;
}

/* The rename itself is safe on disk only when the directory is. Best effort: some file systems cannot. */
static void sync_directory(const char *path)
{
    char directory[PATH_SIZE];
    const char *slash = strrchr(path, '/');
    int len = slash == NULL
                  ? snprintf(directory, sizeof(directory), ".")
                  : snprintf(directory, sizeof(directory), "%.*s", slash == path ? 1 : (int)(slash - path), path);
    int fd = len > 0 && (size_t)len < sizeof(directory) ? open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (fd >= 0) {
        (void)fsync(fd);
        close(fd);
    }
}

/* A new file without the detour: the name is ours from the start, and is given back when the rest fails. */
static bool write_new(const char *path, struct azihsm_bytes data)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, S_IRUSR | S_IWUSR), saved;
    bool ok;

    if (fd < 0)
        return false;
    ok = write_all(fd, data);
    saved = errno;
    if (close(fd) != 0 && ok) {
        ok = false;
        saved = errno;
    }
    if (!ok)
        unlink(path);
    errno = saved;
    return ok;
}

/* Whether a file system, or what guards the system's calls, has not got it at all. */
static bool not_possible(int error)
{
    return error == EPERM || error == EOPNOTSUPP || error == ENOSYS || error == EMLINK || error == EINVAL;
}

/* Into its place in one step; a name that must be new is linked, which fails when somebody has it. */
static bool put_in_place(const char *temporary, const char *path, struct azihsm_bytes data, bool replace)
{
    bool ok;

    if (replace)
        return rename(temporary, path) == 0;
    ok = link(temporary, path) == 0;
    if (!ok && not_possible(errno)) {
        if (renameat2(AT_FDCWD, temporary, AT_FDCWD, path, RENAME_NOREPLACE) == 0)
            return true;
        ok = not_possible(errno) && write_new(path, data);
    }
    if (ok)
        unlink(temporary);
    return ok;
}

static bool write_file(const char *path, struct azihsm_bytes data, bool replace, char *why, size_t why_size)
{
    char temporary[PATH_SIZE];
    int saved;
    int fd = -1;
    struct stat info;

    if (snprintf(temporary, sizeof(temporary), "%s.XXXXXX", path) >= (int)sizeof(temporary)) {
        complain(why, why_size, path, "the path is too long");
        return false;
    }
    if (lstat(path, &info) == 0 && !S_ISREG(info.st_mode)) {
        complain(why, why_size, path, "exists and is not a regular file");
        return false;
    }
    fd = mkostemp(temporary, O_CLOEXEC); /* O_EXCL, mode 0600 */
    if (fd < 0) {
        complain(why, why_size, path, strerror(errno));
        return false;
    }
    bool ok = write_all(fd, data);
    saved = errno;
    if (close(fd) != 0 && ok) {
        ok = false;
        saved = errno;
    }
    if (ok && !put_in_place(temporary, path, data, replace)) {
        ok = false;
        saved = errno;
    }
    if (ok)
        sync_directory(path);
    else {
        unlink(temporary);
        complain(why, why_size, path, strerror(saved));
    }
    return ok;
}

bool keyfile_write(const char *path, struct azihsm_bytes data, char *why, size_t why_size)
{
    return write_file(path, data, true, why, why_size);
}

bool keyfile_create(const char *path, struct azihsm_bytes data, char *why, size_t why_size)
{
    return write_file(path, data, false, why, why_size);
}

bool keyfile_remove(const char *path, char *why, size_t why_size)
{
    struct stat info;
    const char *wrong = NULL;

    if (lstat(path, &info) != 0)
        wrong = strerror(errno);
    else if (!S_ISREG(info.st_mode))
        wrong = "not a regular file";
    else if (unlink(path) != 0)
        wrong = strerror(errno);
    if (wrong != NULL)
        complain(why, why_size, path, wrong);
    else
        sync_directory(path);
    return wrong == NULL;
}

bool keyfile_name_valid(const char *name)
{
    size_t len = strlen(name);
    return len > 0 && len <= NAME_MAX_LEN && name[0] != '.' && strchr(name, '/') == NULL;
}

bool keyfile_locate(const char *directory, const char *name, char *path, size_t path_size)
{
    static const char suffix[] = ".pem";
    struct stat info;
    size_t len = strlen(name), end = sizeof(suffix) - 1;
    bool suffixed = len > end && strcmp(name + len - end, suffix) == 0;
    int plain = snprintf(path, path_size, "%s/%s", directory, name);
    if (plain < 0 || (size_t)plain >= path_size)
        return false;
    if (suffixed || stat(path, &info) == 0)
        return true;
    return snprintf(path, path_size, "%s/%s%s", directory, name, suffix) < (int)path_size;
}
