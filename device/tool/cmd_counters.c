/*
 * azihsm counters: a line an opcode; with --json everything, histograms included.
 */
#include "commands.h"
#include "control_client.h"

#include <inttypes.h>
#include <stdio.h>

/* Reads the array "buckets" of one counter. */
static bool counters_buckets(struct azihsm_bytes item, struct azihsm_latency *out)
{
    const struct control_answer counter = {.map = item};
    struct control_items buckets;
    struct azihsm_bytes bucket;
    struct cbor_reader reader;
    struct cbor_token count;
    size_t i = 0;

    control_items(&counter, "buckets", &buckets);
    while (control_next_item(&buckets, &bucket)) {
        cbor_read_init(&reader, bucket.data, bucket.len);
        if (i == AZIHSM_LATENCY_BUCKETS || !cbor_read_expect(&reader, CBOR_TOKEN_UINT, &count))
            return false;
        out->buckets[i++] = count.value;
    }
    return !buckets.failed && i == AZIHSM_LATENCY_BUCKETS;
}

static bool counters_print_row(struct azihsm_bytes item)
{
    struct azihsm_latency latency = {0};
    struct cbor_token op;

    if (!counters_buckets(item, &latency) || !cbor_map_find(item, "op", CBOR_TOKEN_TEXT, &op) ||
        !control_item_number(item, "operations", &latency.operations) ||
        !control_item_number(item, "errors", &latency.errors) ||
        !control_item_number(item, "total-ns", &latency.total_ns) ||
        !control_item_number(item, "max-ns", &latency.max_ns) || latency.operations == 0)
        return false;
    printf("%-28.*s %10" PRIu64 " %8" PRIu64 " %10.1f %8" PRIu64 " %8" PRIu64 " %8" PRIu64 "\n", (int)op.string.len,
           (const char *)op.string.data, latency.operations, latency.errors,
           (double)latency.total_ns / (double)latency.operations / 1000, azihsm_latency_quantile_us(&latency, 50),
           azihsm_latency_quantile_us(&latency, 99), (latency.max_ns + 999) / 1000);
    return true;
}

static bool counters_print(const struct control_answer *answer)
{
    struct control_items items;
    struct azihsm_bytes item;

    control_items(answer, "counters", &items);
    printf("%-28s %10s %8s %10s %8s %8s %8s\n", "COMMAND", "COUNT", "ERRORS", "MEAN us", "P50 us", "P99 us", "MAX us");
    while (control_next_item(&items, &item))
        if (!counters_print_row(item))
            return false;
    return !items.failed;
}

int cmd_counters(struct tool *tool, int argc, char **argv)
{
    bool reset = false;
    const struct tool_option options[] = {{"reset", NULL, &reset}, {NULL, NULL, NULL}};
    struct control_answer answer = {0};
    int status = tool_parse(tool, argc, argv, options, NULL, 0, 0);
    azihsm_rc rc;

    if (status != TOOL_OK)
        return status;
    if (reset)
        return control_run(tool, "reset-counters");
    rc = control_ask_simple(tool, "counters", &answer);
    if (rc != AZIHSM_OK)
        status = tool_fail(tool, rc);
    else if (tool->json)
        status = control_print(tool, &answer, NULL);
    else if (!counters_print(&answer))
        status = tool_complain(TOOL_FAILED, "azihsmd sent a reply that is none");
    control_end(&answer);
    return status;
}
