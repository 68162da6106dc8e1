/*
 * azihsm status: azihsmd's own view when we may ask for it, else what any client can learn from the device.
 */
#include "commands.h"
#include "control_client.h"

#include <string.h>

static int status_of_device(struct tool *tool)
{
    struct azihsm_client *client = tool_client(tool);
    struct azihsm_client_status status;
    azihsm_rc rc = tool->err.rc;

    if (client != NULL)
        rc = azihsm_client_get_status(client, &status, &tool->err);
    if (client == NULL || rc != AZIHSM_OK)
        return tool_fail(tool, rc);
    output_begin(&tool->out, tool->json);
    output_text(&tool->out, "device", azihsm_client_endpoint_name(client));
    output_text(&tool->out, "kind", status.kind == AZIHSM_DEVICE_PHYSICAL ? "physical" : "virtual");
    output_number(&tool->out, "revision-major", status.rev.major);
    output_number(&tool->out, "revision-minor", status.rev.minor);
    output_number(&tool->out, "tables", status.tables);
    output_bool(&tool->out, "fips-approved", status.fips_approved);
    output_bool(&tool->out, "generates-rsa", (status.extensions & AZIHSM_EXT_RSA_GENERATE) != 0);
    output_end(&tool->out);
    return TOOL_OK;
}

int cmd_status(struct tool *tool, int argc, char **argv)
{
    struct control_answer answer = {0};
    int status = tool_parse(tool, argc, argv, NULL, NULL, 0, 0);
    bool hardware = tool->device != NULL && tool->device[0] == '/';
    azihsm_rc rc;

    if (status != TOOL_OK)
        return status;
    if (hardware)
        return status_of_device(tool);
    rc = control_ask_simple(tool, "status", &answer);
    if (rc == AZIHSM_OK)
        status = control_print(tool, &answer);
    else if (rc == AZIHSM_E_PERMISSION || tool->control == NULL)
        status = status_of_device(tool);
    else
        status = tool_fail(tool, rc);
    control_end(&answer);
    return status;
}
