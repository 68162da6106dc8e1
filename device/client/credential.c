/*
 * Reading and writing credential files. Buffers that held one are cleansed on every path; messages name files and
 * lines, never contents.
 */
#include "credential.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CREDENTIAL_FILE_MAX = 1024, CREDENTIAL_PATH_MAX = 1024 };

static const struct {
    const char *name;
    size_t offset;
} fields[] = {{"id", 0}, {"pin", AZIHSM_CREDENTIAL_SIZE}};

enum { FIELDS = sizeof(fields) / sizeof(fields[0]) };

static azihsm_rc credential_check(const char *path, int fd, struct azihsm_error *err)
{
    struct stat st;

    if (fstat(fd, &st) != 0)
        return azihsm_error_set(err, AZIHSM_E_IO, "credential file %s: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return azihsm_error_set(err, AZIHSM_E_PERMISSION, "credential file %s is not a regular file", path);
    if (st.st_uid != 0 && st.st_uid != geteuid())
        return azihsm_error_set(
            err, AZIHSM_E_PERMISSION,
            "credential file %s belongs to another user (uid %u): it must be root's or this user's own (chown)", path,
            (unsigned)st.st_uid);
    /* A group may read what root has given it to read; what a user calls his own is his alone. */
    if ((st.st_mode & (st.st_uid == 0 ? S_IWGRP | S_IRWXO : S_IRWXG | S_IRWXO)) != 0)
        return azihsm_error_set(
            err, AZIHSM_E_PERMISSION, "credential file %s is accessible by others (mode %03o): chmod 600 it%s", path,
            (unsigned)st.st_mode & 0777, st.st_uid == 0 ? ", or 640 with the group of those who shall use it" : "");
    return AZIHSM_OK;
}

static azihsm_rc credential_slurp(const char *path, char text[CREDENTIAL_FILE_MAX], size_t *len,
                                  struct azihsm_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    ssize_t got = 0;
    azihsm_rc rc;

    if (fd < 0)
        return azihsm_error_set(
            err, errno == EACCES ? AZIHSM_E_PERMISSION : AZIHSM_E_IO,
            "credential file %s: %s: correct 'pin-source', or have the file written (azihsm credential --out FILE)",
            path, strerror(errno));
    rc = credential_check(path, fd, err);
    for (*len = 0; rc == AZIHSM_OK && *len < CREDENTIAL_FILE_MAX; *len += (size_t)got) {
        got = read(fd, text + *len, CREDENTIAL_FILE_MAX - *len);
        if (got <= 0)
            break;
    }
    close(fd);
    if (rc == AZIHSM_OK && got < 0)
        rc = azihsm_error_set(err, AZIHSM_E_IO, "credential file %s cannot be read", path);
    else if (rc == AZIHSM_OK && *len == CREDENTIAL_FILE_MAX)
        rc = azihsm_error_set(err, AZIHSM_E_DECODE, "credential file %s is too long", path);
    return rc;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static void trim(const char **text, size_t *len)
{
    while (*len > 0 && is_space(**text)) {
        (*text)++;
        (*len)--;
    }
    while (*len > 0 && is_space((*text)[*len - 1]))
        (*len)--;
}

static int hex_digit(char c)
{
    static const char digits[] = "0123456789abcdef0123456789ABCDEF";
    const char *at = c == '\0' ? NULL : strchr(digits, c);

    return at == NULL ? -1 : (int)((at - digits) % 16);
}

static bool hex_decode(const char *text, size_t len, uint8_t out[AZIHSM_CREDENTIAL_SIZE])
{
    if (len != 2 * AZIHSM_CREDENTIAL_SIZE)
        return false;
    for (size_t i = 0; i < AZIHSM_CREDENTIAL_SIZE; i++) {
        int high = hex_digit(text[2 * i]), low = hex_digit(text[2 * i + 1]);

        if (high < 0 || low < 0)
            return false;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

/* One "name = value"; *seen collects a bit for each name. */
static bool credential_line(const char *line, size_t len, unsigned *seen, uint8_t out[CREDENTIAL_SIZE])
{
    const char *value = memchr(line, '=', len);
    size_t name_len, value_len;

    if (value == NULL)
        return false;
    name_len = (size_t)(value - line);
    value++;
    value_len = len - name_len - 1;
    trim(&line, &name_len);
    trim(&value, &value_len);
    for (unsigned i = 0; i < FIELDS; i++)
        if (name_len == strlen(fields[i].name) && memcmp(line, fields[i].name, name_len) == 0) {
            if ((*seen & 1u << i) != 0)
                return false;
            *seen |= 1u << i;
            return hex_decode(value, value_len, out + fields[i].offset);
        }
    return false;
}

static azihsm_rc credential_parse(const char *path, const char *text, size_t len, uint8_t out[CREDENTIAL_SIZE],
                                  struct azihsm_error *err)
{
    unsigned seen = 0;

    for (unsigned number = 1; len > 0; number++) {
        const char *end = memchr(text, '\n', len);
        size_t line_len = end == NULL ? len : (size_t)(end - text);
        const char *line = text;
        size_t step = end == NULL ? len : line_len + 1;

        trim(&line, &line_len);
        if (line_len > 0 && *line != '#' && !credential_line(line, line_len, &seen, out))
            return azihsm_error_set(err, AZIHSM_E_DECODE,
                                    "credential file %s, line %u: want \"id\" or \"pin\" = %d hex"
                                    " digits, each once; have it written anew (azihsm credential --out FILE)",
                                    path, number, 2 * AZIHSM_CREDENTIAL_SIZE);
        text += step;
        len -= step;
    }
    if (seen != (1u << FIELDS) - 1)
        return azihsm_error_set(err, AZIHSM_E_DECODE, "credential file %s lacks \"%s\"", path,
                                fields[(seen & 1) != 0 ? 1 : 0].name);
    return AZIHSM_OK;
}

azihsm_rc azihsm_credential_read(const char *path, uint8_t out[CREDENTIAL_SIZE], struct azihsm_error *err)
{
    char text[CREDENTIAL_FILE_MAX];
    size_t len = 0;
    azihsm_rc rc = credential_slurp(path, text, &len, err);

    if (rc == AZIHSM_OK)
        rc = credential_parse(path, text, len, out, err);
    OPENSSL_cleanse(text, sizeof(text));
    if (rc != AZIHSM_OK)
        OPENSSL_cleanse(out, CREDENTIAL_SIZE);
    return rc;
}

static bool write_all(int fd, const char *text, size_t len)
{
    while (len > 0) {
        ssize_t put = write(fd, text, len);

        if (put < 0 && errno != EINTR)
            return false;
        if (put > 0) {
            text += put;
            len -= (size_t)put;
        }
    }
    return fsync(fd) == 0;
}

static size_t credential_format(const uint8_t credential[CREDENTIAL_SIZE], char *text, size_t cap)
{
    static const char digits[] = "0123456789abcdef";
    size_t len = 0;

    for (unsigned i = 0; i < FIELDS; i++) {
        len += (size_t)snprintf(text + len, cap - len, "%s = ", fields[i].name);
        for (size_t j = 0; j < AZIHSM_CREDENTIAL_SIZE; j++) {
            text[len++] = digits[credential[fields[i].offset + j] >> 4];
            text[len++] = digits[credential[fields[i].offset + j] & 15];
        }
        text[len++] = '\n';
    }
    return len;
}

azihsm_rc azihsm_credential_write(const char *path, const uint8_t credential[CREDENTIAL_SIZE], struct azihsm_error *err)
{
    char text[128], temporary[CREDENTIAL_PATH_MAX];
    size_t len = credential_format(credential, text, sizeof(text));
    int n = snprintf(temporary, sizeof(temporary), "%s.%ld.new", path, (long)getpid());
    azihsm_rc rc = AZIHSM_OK;
    int fd = -1;

    if (n < 0 || (size_t)n >= sizeof(temporary)) {
        rc = azihsm_error_set(err, AZIHSM_E_ARGUMENT, "the path of the credential file is too long");
        goto done;
    }
    fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0 || !write_all(fd, text, len) || rename(temporary, path) != 0) {
        rc = azihsm_error_set(err, errno == EACCES ? AZIHSM_E_PERMISSION : AZIHSM_E_IO, "credential file %s: %s", path,
                              strerror(errno));
        if (fd >= 0)
            unlink(temporary);
    }
done:
    if (fd >= 0)
        close(fd);
    OPENSSL_cleanse(text, sizeof(text));
    return rc;
}
