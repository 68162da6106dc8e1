/*
 * azihsm key delete: removes a key file, which is all there is of a key outside the device. Without the file nobody can
 * use the key again; the device's own copy, if it has one, goes with the last program that uses it.
 */
#include "commands.h"
#include "keys.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

int key_delete(struct tool *tool, int argc, char **argv)
{
    const char *name = NULL;
    struct keyfile file = {0};
    char path[512];
    int status = tool_parse(tool, argc, argv, NULL, &name, 1, 1);

    if (status == TOOL_OK)
        status = keys_path(tool, name, path, sizeof(path));
    /* Only what really is a key file of ours. */
    if (status == TOOL_OK)
        status = keys_read(path, &file);
    if (status != TOOL_OK)
        return status;
    keyfile_clear(&file);
    if (unlink(path) != 0)
        return tool_complain(TOOL_FAILED, "%s: %s", path, strerror(errno));
    return TOOL_OK;
}
