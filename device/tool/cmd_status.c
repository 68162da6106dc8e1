/*
 * azihsm status: azihsmd's own view when we may ask for it, else what any client can learn from the device.
 */
#include "commands.h"
#include "control_client.h"

#include <inttypes.h>
#include <stdio.h>
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

static bool status_print_row(struct azihsm_bytes item)
{
    static const char *const columns[] = {"operations", "errors", "mean-us", "p50-us", "p99-us", "max-us"};
    struct cbor_token partition, algorithm, action;
    uint64_t value;

    if (!cbor_map_find(item, "partition", CBOR_TOKEN_TEXT, &partition) ||
        !cbor_map_find(item, "algorithm", CBOR_TOKEN_TEXT, &algorithm) ||
        !cbor_map_find(item, "action", CBOR_TOKEN_TEXT, &action))
        return false;
    printf("%-12.*s %-12.*s %-9.*s", (int)partition.string.len, (const char *)partition.string.data,
           (int)algorithm.string.len, (const char *)algorithm.string.data, (int)action.string.len,
           (const char *)action.string.data);
    for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++) {
        if (!control_item_number(item, columns[i], &value))
            return false;
        printf(" %9" PRIu64, value);
    }
    putchar('\n');
    return true;
}

/* The daemon's answer: names and values, then a table with a line for each algorithm that was used. */
static int status_of_daemon(struct tool *tool, const struct control_answer *answer)
{
    struct control_items items;
    struct azihsm_bytes item;
    int status;

    if (tool->json)
        return control_print(tool, answer, NULL);
    status = control_print(tool, answer, "algorithms");
    if (status != TOOL_OK)
        return status;
    printf("\n%-12s %-12s %-9s %9s %9s %9s %9s %9s %9s\n", "PARTITION", "ALGORITHM", "ACTION", "COUNT", "ERRORS",
           "MEAN us", "P50 us", "P99 us", "MAX us");
    control_items(answer, "algorithms", &items);
    while (control_next_item(&items, &item))
        if (!status_print_row(item))
            items.failed = true;
    return items.failed ? tool_complain(TOOL_FAILED, "azihsmd sent a reply that is none") : TOOL_OK;
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
        status = status_of_daemon(tool, &answer);
    else if (rc == AZIHSM_E_PERMISSION || tool->control == NULL)
        status = status_of_device(tool);
    else
        status = tool_fail(tool, rc);
    control_end(&answer);
    return status;
}
