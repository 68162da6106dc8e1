/*
 * azihsm metrics: Prometheus text, as azihsmd wrote it.
 */
#include "commands.h"
#include "control_client.h"

#include <stdio.h>

int cmd_metrics(struct tool *tool, int argc, char **argv)
{
    struct control_answer answer = {0};
    struct cbor_token text;
    int status = tool_parse(tool, argc, argv, NULL, NULL, 0, 0);
    azihsm_rc rc;

    if (status != TOOL_OK)
        return status;
    rc = control_ask_simple(tool, "metrics", &answer);
    if (rc != AZIHSM_OK)
        status = tool_fail(tool, rc);
    else if (!cbor_map_find(answer.map, "text", CBOR_TOKEN_TEXT, &text))
        status = tool_complain(TOOL_FAILED, "azihsmd sent a reply that is none");
    else
        fwrite(text.string.data, 1, text.string.len, stdout);
    control_end(&answer);
    return status;
}
