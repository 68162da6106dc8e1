/*
 * State directory: see the header for the promises. The descriptor of the directory is kept, so that a rename of the
 * path while we run cannot make us write elsewhere.
 */
#include "state_dir.h"

#include "cbor_io.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { STATE_VERSION = 1, STATE_DIGEST_SIZE = 32, STATE_OVERHEAD = 256 };

struct state_dir {
    char *path;
    int fd;
    int lock_fd;
};

static azihsm_rc state_error(struct azihsm_error *err, const struct state_dir *dir, const char *name, const char *what)
{
    azihsm_rc rc = errno == EACCES || errno == EPERM || errno == ELOOP ? AZIHSM_E_PERMISSION : AZIHSM_E_IO;

    return azihsm_error_set(err, rc, "%s/%s: %s: %s", dir->path, name, what, strerror(errno));
}

/* ---- opening ---- */

static azihsm_rc state_dir_check(const struct state_dir *dir, struct azihsm_error *err)
{
    struct stat st;

    if (fstat(dir->fd, &st) != 0)
        return azihsm_error_set(err, AZIHSM_E_IO, "%s: %s", dir->path, strerror(errno));
    if (st.st_uid != geteuid())
        return azihsm_error_set(err, AZIHSM_E_PERMISSION, "state directory %s belongs to user %u, we are user %u",
                                dir->path, (unsigned)st.st_uid, (unsigned)geteuid());
    if ((st.st_mode & 077) != 0)
        return azihsm_error_set(err, AZIHSM_E_PERMISSION,
                                "state directory %s has mode %04o: others may enter it (chmod 0700)", dir->path,
                                (unsigned)st.st_mode & 07777);
    return AZIHSM_OK;
}

static azihsm_rc state_dir_lock(struct state_dir *dir, struct azihsm_error *err)
{
    dir->lock_fd = openat(dir->fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (dir->lock_fd < 0)
        return state_error(err, dir, "lock", "open");
    if (flock(dir->lock_fd, LOCK_EX | LOCK_NB) == 0)
        return AZIHSM_OK;
    if (errno != EWOULDBLOCK)
        return state_error(err, dir, "lock", "flock");
    return azihsm_error_set(err, AZIHSM_E_BUSY,
                            "another process uses the state directory %s: stop that azihsmd (azihsm stop), or give "
                            "this one another --state-dir",
                            dir->path);
}

azihsm_rc state_dir_open(const char *path, struct state_dir **out, struct azihsm_error *err)
{
    struct state_dir *dir = OPENSSL_zalloc(sizeof(*dir));
    azihsm_rc rc = AZIHSM_E_NO_MEMORY;

    if (dir == NULL || (dir->path = OPENSSL_strdup(path)) == NULL) {
        OPENSSL_free(dir);
        return azihsm_error_set(err, AZIHSM_E_NO_MEMORY, "state directory: out of memory");
    }
    dir->fd = dir->lock_fd = -1;
    if (mkdir(path, 0700) != 0 && errno != EEXIST) {
        rc = azihsm_error_set(err, errno == EACCES ? AZIHSM_E_PERMISSION : AZIHSM_E_IO,
                              "cannot make the state directory %s: %s", path, strerror(errno));
        goto end;
    }
    dir->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (dir->fd < 0) {
        rc = azihsm_error_set(err, errno == EACCES ? AZIHSM_E_PERMISSION : AZIHSM_E_IO,
                              "cannot open the state directory %s: %s", path, strerror(errno));
        goto end;
    }
    rc = state_dir_check(dir, err);
    if (rc == AZIHSM_OK)
        rc = state_dir_lock(dir, err);
end:
    if (rc == AZIHSM_OK)
        *out = dir;
    else
        state_dir_close(dir);
    return rc;
}

void state_dir_close(struct state_dir *dir)
{
    if (dir == NULL)
        return;
    if (dir->lock_fd >= 0)
        close(dir->lock_fd);
    if (dir->fd >= 0)
        close(dir->fd);
    OPENSSL_free(dir->path);
    OPENSSL_free(dir);
}

const char *state_dir_path(const struct state_dir *dir)
{
    return dir->path;
}

/* ---- the envelope: {"file": name, "version": 1, "payload": bytes, "sha256": of the payload} ---- */

static bool state_digest(struct azihsm_bytes payload, uint8_t out[STATE_DIGEST_SIZE])
{
    OSSL_LIB_CTX *libctx = OSSL_LIB_CTX_new();
    size_t len = 0;
    bool ok = libctx != NULL && EVP_Q_digest(libctx, "SHA256", NULL, payload.data, payload.len, out, &len) &&
              len == STATE_DIGEST_SIZE;

    OSSL_LIB_CTX_free(libctx);
    return ok;
}

bool state_envelope_open(const char *name, struct azihsm_bytes image, struct azihsm_bytes *payload)
{
    struct cbor_token file, version, content, digest;
    struct cbor_reader whole;
    uint8_t expected[STATE_DIGEST_SIZE];

    cbor_read_init(&whole, image.data, image.len);
    if (!cbor_read_skip(&whole) || !cbor_read_finished(&whole))
        return false;
    if (!cbor_map_find(image, "file", CBOR_TOKEN_TEXT, &file) || !cbor_text_equals(file.string, name) ||
        !cbor_map_find(image, "version", CBOR_TOKEN_UINT, &version) || version.value != STATE_VERSION ||
        !cbor_map_find(image, "payload", CBOR_TOKEN_BYTES, &content) || content.string.len == 0 ||
        !cbor_map_find(image, "sha256", CBOR_TOKEN_BYTES, &digest) || digest.string.len != sizeof(expected))
        return false;
    if (!state_digest(content.string, expected) || memcmp(expected, digest.string.data, sizeof(expected)) != 0)
        return false;
    *payload = content.string;
    return true;
}

static bool state_envelope_seal(const char *name, struct azihsm_bytes payload, uint8_t *buf, size_t cap, size_t *len)
{
    struct cbor_writer writer;
    uint8_t digest[STATE_DIGEST_SIZE];

    if (!state_digest(payload, digest))
        return false;
    cbor_write_init(&writer, buf, cap);
    cbor_write_map(&writer, 4);
    cbor_write_pair_text(&writer, "file", name);
    cbor_write_pair_uint(&writer, "version", STATE_VERSION);
    cbor_write_pair_bytes(&writer, "payload", payload.data, payload.len);
    cbor_write_pair_bytes(&writer, "sha256", digest, sizeof(digest));
    *len = writer.len;
    return !writer.failed;
}

/* ---- reading ---- */

/* Reads to the end of the file; -1 with errno, EFBIG when it does not end within cap. */
static ssize_t state_read_all(int fd, uint8_t *buf, size_t cap)
{
    size_t have = 0;

    while (have < cap) {
        ssize_t got = read(fd, buf + have, cap - have);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (got == 0)
            return (ssize_t)have;
        have += (size_t)got;
    }
    errno = EFBIG;
    return -1;
}

static azihsm_rc state_damaged(struct azihsm_error *err, const struct state_dir *dir, const char *name)
{
    return azihsm_error_set(
        err, AZIHSM_E_DECODE,
        "%s/%s is empty, damaged or of another version: restore it from a backup (azihsm restore); it is left as it "
        "is, because without it no existing key can be used",
        dir->path, name);
}

static azihsm_rc state_read_fd(struct state_dir *dir, const char *name, int fd, uint8_t *buf, size_t cap, size_t *len,
                               struct azihsm_error *err)
{
    uint8_t *image = OPENSSL_malloc(STATE_FILE_MAX);
    struct azihsm_bytes payload;
    azihsm_rc rc = AZIHSM_OK;
    ssize_t got;

    if (image == NULL)
        return azihsm_error_set(err, AZIHSM_E_NO_MEMORY, "reading %s: out of memory", name);
    got = state_read_all(fd, image, STATE_FILE_MAX);
    if (got < 0)
        rc = state_error(err, dir, name, "read");
    else if (!state_envelope_open(name, (struct azihsm_bytes){image, (size_t)got}, &payload) || payload.len > cap)
        rc = state_damaged(err, dir, name);
    else
        memcpy(buf, payload.data, *len = payload.len);
    OPENSSL_clear_free(image, STATE_FILE_MAX);
    return rc;
}

azihsm_rc state_dir_read(struct state_dir *dir, const char *name, uint8_t *buf, size_t cap, size_t *len,
                         struct azihsm_error *err)
{
    int fd = openat(dir->fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    azihsm_rc rc;

    *len = 0;
    if (fd < 0)
        return errno == ENOENT ? AZIHSM_OK : state_error(err, dir, name, "open");
    rc = state_read_fd(dir, name, fd, buf, cap, len, err);
    close(fd);
    return rc;
}

/* ---- writing ---- */

static bool state_write_all(int fd, const uint8_t *data, size_t len)
{
    while (len > 0) {
        ssize_t put = write(fd, data, len);

        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return false;
        data += put;
        len -= (size_t)put;
    }
    return true;
}

static azihsm_rc state_replace(struct state_dir *dir, const char *name, const uint8_t *image, size_t len,
                               struct azihsm_error *err)
{
    char temp[128];
    azihsm_rc rc = AZIHSM_OK;
    int fd;

    snprintf(temp, sizeof(temp), ".%s.new", name);
    unlinkat(dir->fd, temp, 0);
    fd = openat(dir->fd, temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return state_error(err, dir, temp, "create");
    if (!state_write_all(fd, image, len) || fsync(fd) != 0)
        rc = state_error(err, dir, temp, "write");
    if (close(fd) != 0 && rc == AZIHSM_OK)
        rc = state_error(err, dir, temp, "close");
    if (rc == AZIHSM_OK && renameat(dir->fd, temp, dir->fd, name) != 0)
        rc = state_error(err, dir, name, "rename");
    if (rc == AZIHSM_OK && fsync(dir->fd) != 0)
        rc = state_error(err, dir, name, "flush of the directory");
    if (rc != AZIHSM_OK)
        unlinkat(dir->fd, temp, 0);
    return rc;
}

azihsm_rc state_dir_write(struct state_dir *dir, const char *name, struct azihsm_bytes payload,
                          struct azihsm_error *err)
{
    size_t cap = payload.len + STATE_OVERHEAD;
    uint8_t *image;
    size_t len = 0;
    azihsm_rc rc;

    if (payload.len == 0 || cap > STATE_FILE_MAX)
        return azihsm_error_set(err, AZIHSM_E_ARGUMENT, "state file %s: %zu bytes", name, payload.len);
    image = OPENSSL_malloc(cap);
    if (image == NULL)
        return azihsm_error_set(err, AZIHSM_E_NO_MEMORY, "writing %s: out of memory", name);
    if (state_envelope_seal(name, payload, image, cap, &len))
        rc = state_replace(dir, name, image, len, err);
    else
        rc = azihsm_error_set(err, AZIHSM_E_CRYPTO, "state file %s: cannot be sealed", name);
    OPENSSL_clear_free(image, cap);
    return rc;
}
