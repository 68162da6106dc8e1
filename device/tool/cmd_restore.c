/*
 * azihsm restore: makes a state directory from a backup. An existing state is never touched: move it away first.
 */
#include "backup.h"
#include "commands.h"

#include "client/cbor_io.h"
#include "client/state_dir.h"

#include <dirent.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

struct restore_file {
    char name[BACKUP_NAME_MAX];
    struct azihsm_bytes payload;
};

/* The next file of the backup; false when it is damaged. */
static bool restore_next(struct cbor_reader *reader, struct restore_file *out)
{
    struct cbor_token name, image;

    if (!cbor_read_expect(reader, CBOR_TOKEN_TEXT, &name) || !cbor_read_expect(reader, CBOR_TOKEN_BYTES, &image) ||
        name.string.len == 0 || name.string.len >= sizeof(out->name))
        return false;
    memcpy(out->name, name.string.data, name.string.len);
    out->name[name.string.len] = '\0';
    return strchr(out->name, '/') == NULL && backup_is_state_file(out->name) &&
           state_envelope_open(out->name, image.string, &out->payload);
}

/* Positions the reader at the first file. */
static bool restore_open(struct azihsm_bytes backup, struct cbor_reader *reader, uint64_t *files)
{
    struct cbor_token token;

    cbor_read_init(reader, backup.data, backup.len);
    if (!cbor_read_expect(reader, CBOR_TOKEN_MAP, &token) || token.value != 2 ||
        !cbor_read_expect(reader, CBOR_TOKEN_TEXT, &token) || !cbor_text_equals(token.string, "azihsm-backup") ||
        !cbor_read_expect(reader, CBOR_TOKEN_UINT, &token) || token.value != BACKUP_VERSION ||
        !cbor_read_expect(reader, CBOR_TOKEN_TEXT, &token) || !cbor_text_equals(token.string, "files") ||
        !cbor_read_expect(reader, CBOR_TOKEN_MAP, &token) || token.value == 0)
        return false;
    *files = token.value;
    return true;
}

/* Everything is checked before anything is written. */
static bool restore_check(struct azihsm_bytes backup)
{
    struct cbor_reader reader;
    struct restore_file file;
    uint64_t files;
    bool ok = restore_open(backup, &reader, &files);

    for (; ok && files > 0; files--)
        ok = restore_next(&reader, &file);
    return ok && cbor_read_finished(&reader);
}

static bool restore_is_empty(const char *directory)
{
    DIR *dir = opendir(directory);
    const struct dirent *entry;
    bool empty = true;

    while (dir != NULL && empty && (entry = readdir(dir)) != NULL)
        empty = !backup_is_state_file(entry->d_name);
    if (dir != NULL)
        closedir(dir);
    return empty;
}

static azihsm_rc restore_write(struct tool *tool, struct azihsm_bytes backup, const char *directory)
{
    struct state_dir *dir = NULL;
    struct cbor_reader reader;
    struct restore_file file;
    uint64_t files = 0;
    azihsm_rc rc;

    if (!restore_is_empty(directory))
        return azihsm_error_set(&tool->err, AZIHSM_E_REFUSED, "%s holds a state already: move it away first",
                                directory);
    rc = state_dir_open(directory, &dir, &tool->err);
    if (rc == AZIHSM_OK && !restore_open(backup, &reader, &files))
        rc = AZIHSM_E_DECODE;
    for (; rc == AZIHSM_OK && files > 0; files--) {
        rc = AZIHSM_E_DECODE;
        if (restore_next(&reader, &file))
            rc = state_dir_write(dir, file.name, file.payload, &tool->err);
    }
    state_dir_close(dir);
    return rc;
}

int cmd_restore(struct tool *tool, int argc, char **argv)
{
    const char *in = NULL, *directory = NULL;
    const struct tool_option options[] = {{"in", &in, NULL}, {"state-dir", &directory, NULL}, {NULL, NULL, NULL}};
    uint8_t *buf;
    size_t len = 0;
    azihsm_rc rc;
    int status = tool_parse(tool, argc, argv, options, NULL, 0, 0);

    if (status != TOOL_OK)
        return status;
    if (in == NULL || directory == NULL)
        return tool_complain(TOOL_USAGE, "restore: --in FILE and --state-dir DIR are needed");
    buf = OPENSSL_malloc(BACKUP_MAX);
    if (buf == NULL)
        return tool_complain(TOOL_FAILED, "out of memory");
    status = tool_read_file(in, buf, BACKUP_MAX, &len);
    if (status == TOOL_OK && !restore_check((struct azihsm_bytes){buf, len}))
        status = tool_complain(TOOL_INVALID, "%s is no backup, or damaged; nothing was written", in);
    if (status == TOOL_OK) {
        rc = restore_write(tool, (struct azihsm_bytes){buf, len}, directory);
        status = rc == AZIHSM_OK ? TOOL_OK : tool_fail(tool, rc);
    }
    OPENSSL_clear_free(buf, BACKUP_MAX);
    return status;
}
