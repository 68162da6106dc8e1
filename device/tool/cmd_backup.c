/*
 * azihsm backup: copies a state directory, also of a running daemon: every file is replaced as a whole, so what is read
 * is whole, and each is checked before it goes into the backup.
 */
#include "backup.h"
#include "commands.h"

#include "client/cbor_io.h"
#include "client/state_dir.h"

#include <dirent.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool backup_is_state_file(const char *name)
{
    size_t len = strlen(name);

    return name[0] != '.' && len < BACKUP_NAME_MAX && strcmp(name, "lock") != 0;
}

static int backup_add(struct cbor_writer *writer, const char *directory, const char *name)
{
    struct azihsm_bytes payload;
    uint8_t *image = OPENSSL_malloc(STATE_FILE_MAX);
    char path[1024];
    size_t len = 0;
    int status;

    if (image == NULL)
        return tool_complain(TOOL_FAILED, "out of memory");
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    status = tool_read_file(path, image, STATE_FILE_MAX, &len);
    if (status == TOOL_OK && !state_envelope_open(name, (struct azihsm_bytes){image, len}, &payload))
        status = tool_complain(TOOL_FAILED, "%s is damaged: no backup is made", path);
    if (status == TOOL_OK)
        cbor_write_pair_bytes(writer, name, image, len);
    OPENSSL_clear_free(image, STATE_FILE_MAX);
    return status;
}

static int backup_collect(struct cbor_writer *writer, const char *directory)
{
    struct dirent **entries = NULL;
    size_t files = 0;
    int status = TOOL_OK, i;
    int count = scandir(directory, &entries, NULL, alphasort);

    if (count < 0)
        return tool_complain(TOOL_FAILED, "%s: %s", directory, strerror(errno));
    for (i = 0; i < count; i++)
        files += backup_is_state_file(entries[i]->d_name);
    if (files == 0)
        status = tool_complain(TOOL_FAILED, "%s holds no state", directory);
    cbor_write_map(writer, 2);
    cbor_write_pair_uint(writer, "azihsm-backup", BACKUP_VERSION);
    cbor_write_text(writer, "files");
    cbor_write_map(writer, files);
    for (i = 0; i < count; i++) {
        if (status == TOOL_OK && backup_is_state_file(entries[i]->d_name))
            status = backup_add(writer, directory, entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    if (status == TOOL_OK && writer->failed)
        status = tool_complain(TOOL_FAILED, "the state is larger than a backup may be");
    return status;
}

int cmd_backup(struct tool *tool, int argc, char **argv)
{
    const char *directory = NULL, *out = NULL;
    const struct tool_option options[] = {{"state-dir", &directory, NULL}, {"out", &out, NULL}, {NULL, NULL, NULL}};
    struct cbor_writer writer;
    uint8_t *buf;
    int status = tool_parse(tool, argc, argv, options, NULL, 0, 0);

    if (status != TOOL_OK)
        return status;
    if (directory == NULL || out == NULL)
        return tool_complain(TOOL_USAGE, "backup: --state-dir DIR and --out FILE are needed");
    buf = OPENSSL_malloc(BACKUP_MAX);
    if (buf == NULL)
        return tool_complain(TOOL_FAILED, "out of memory");
    cbor_write_init(&writer, buf, BACKUP_MAX);
    status = backup_collect(&writer, directory);
    if (status == TOOL_OK)
        status = tool_write_file(out, (struct azihsm_bytes){buf, writer.len}, true);
    OPENSSL_clear_free(buf, BACKUP_MAX);
    return status;
}
