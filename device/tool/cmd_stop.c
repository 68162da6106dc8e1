/*
 * azihsm stop: ends azihsmd in the ordinary way.
 */
#include "commands.h"
#include "control_client.h"

int cmd_stop(struct tool *tool, int argc, char **argv)
{
    int status = tool_parse(tool, argc, argv, NULL, NULL, 0, 0);

    return status == TOOL_OK ? control_run(tool, "stop") : status;
}
