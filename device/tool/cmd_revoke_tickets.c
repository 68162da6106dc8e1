/*
 * azihsm revoke-tickets: every ticket made until now becomes void.
 */
#include "commands.h"
#include "control_client.h"

int cmd_revoke_tickets(struct tool *tool, int argc, char **argv)
{
    int status = tool_parse(tool, argc, argv, NULL, NULL, 0, 0);

    return status == TOOL_OK ? control_run(tool, "revoke-tickets") : status;
}
