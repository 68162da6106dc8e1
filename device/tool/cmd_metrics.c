/*
 * azihsm metrics: Prometheus text, as azihsmd wrote it, which comes in parts.
 */
#include "commands.h"
#include "control_client.h"

#include <stdio.h>

/* One part; *more says whether another follows. */
static int metrics_part(struct tool *tool, uint64_t part, bool *more)
{
    struct control_answer answer = {0};
    struct cbor_token text = {0}, another = {0};
    struct cbor_writer request;
    int status = TOOL_OK;
    uint8_t buf[256];
    azihsm_rc rc;

    control_request(tool, &request, buf, sizeof(buf), "metrics", 1);
    cbor_write_pair_uint(&request, "part", part);
    rc = control_ask(tool, &request, &answer);
    if (rc != AZIHSM_OK)
        status = tool_fail(tool, rc);
    else if (!cbor_map_find(answer.map, "text", CBOR_TOKEN_TEXT, &text) ||
             !cbor_map_find(answer.map, "more", CBOR_TOKEN_BOOL, &another))
        status = tool_complain(TOOL_FAILED, "azihsmd sent a reply that is none");
    else
        fwrite(text.string.data, 1, text.string.len, stdout);
    *more = status == TOOL_OK && another.value != 0;
    control_end(&answer);
    return status;
}

int cmd_metrics(struct tool *tool, int argc, char **argv)
{
    int status = tool_parse(tool, argc, argv, NULL, NULL, 0, 0);
    bool more = status == TOOL_OK;

    for (uint64_t part = 0; more; part++)
        status = metrics_part(tool, part, &more);
    return status;
}
