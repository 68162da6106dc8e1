/*
 * azihsm reset: through the control socket (azihsmd provisions again at once), or on bare hardware by the driver.
 */
#include "commands.h"
#include "control_client.h"

#include <azihsm/device.h>

int cmd_reset(struct tool *tool, int argc, char **argv)
{
    int status = tool_parse(tool, argc, argv, NULL, NULL, 0, 0);
    struct azihsm_client *client;
    azihsm_rc rc;

    if (status != TOOL_OK)
        return status;
    if (tool->device == NULL || tool->device[0] != '/')
        return control_run(tool, "reset");
    client = tool_client(tool);
    rc = client != NULL ? azihsm_client_reset(client, &tool->err) : tool->err.rc;
    return rc == AZIHSM_OK ? TOOL_OK : tool_fail(tool, rc);
}
