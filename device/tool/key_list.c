/*
 * azihsm key list: the key files of the key directory, each with the URI that names it.
 */
#include "commands.h"
#include "keys.h"

#include <dirent.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Files that are no keys of ours are passed over in silence: it is a directory. */
static void list_one(struct tool *tool, const char *directory, const char *entry)
{
    struct keyfile file = {0};
    uint8_t *data = NULL;
    char path[768], why[128], name[256];
    size_t len = 0, stem = strlen(entry);

    snprintf(path, sizeof(path), "%s/%s", directory, entry);
    if (keyfile_read(path, &data, &len, why, sizeof(why)) != KEYFILE_OK)
        return;
    if (keyfile_parse((struct azihsm_bytes){data, len}, &file, why, sizeof(why)) == KEYFILE_OK) {
        if (stem > 4 && strcmp(entry + stem - 4, ".pem") == 0)
            stem -= 4;
        snprintf(name, sizeof(name), "azihsm://%.*s", (int)stem, entry);
        output_object(&tool->out, NULL);
        output_text(&tool->out, "uri", name);
        output_text(&tool->out, "file", path);
        keys_print(&tool->out, &file);
        output_close(&tool->out);
        keyfile_clear(&file);
    }
    OPENSSL_clear_free(data, len);
}

int key_list(struct tool *tool, int argc, char **argv)
{
    struct dirent **entries = NULL;
    char directory[512];
    int status = tool_parse(tool, argc, argv, NULL, NULL, 0, 0);
    int count, i;

    if (status != TOOL_OK)
        return status;
    if (!tool_key_directory(tool, directory, sizeof(directory)))
        return tool_complain(TOOL_USAGE, "the path is too long");
    count = scandir(directory, &entries, NULL, alphasort);
    if (count < 0 && errno != ENOENT)
        return tool_complain(TOOL_FAILED, "%s: %s", directory, strerror(errno));
    output_begin(&tool->out, tool->json);
    output_text(&tool->out, "directory", directory);
    output_list(&tool->out, "keys");
    for (i = 0; i < count; i++) {
        if (entries[i]->d_name[0] != '.')
            list_one(tool, directory, entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    output_close(&tool->out);
    output_end(&tool->out);
    return TOOL_OK;
}
