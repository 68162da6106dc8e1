/*
 * azihsm connections: who is connected to azihsmd.
 */
#include "commands.h"
#include "control_client.h"

int cmd_connections(struct tool *tool, int argc, char **argv)
{
    int status = tool_parse(tool, argc, argv, NULL, NULL, 0, 0);

    return status == TOOL_OK ? control_run(tool, "connections") : status;
}
