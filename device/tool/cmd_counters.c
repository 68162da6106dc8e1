/*
 * azihsm counters: a line an opcode; with --json everything, histograms included.
 */
#include "commands.h"
#include "control_client.h"

#include <inttypes.h>
#include <stdio.h>

enum { BUCKETS_MAX = 64 };

/* Upper bound, in microseconds, of the bucket in which the given share of the operations is complete. */
static uint64_t counters_quantile(const uint64_t *buckets, size_t count, uint64_t total, unsigned percent)
{
    uint64_t sum = 0;
    size_t i;

    for (i = 0; i < count; i++) {
        sum += buckets[i];
        if (sum * 100 >= total * percent)
            break;
    }
    return UINT64_C(1) << i;
}

static bool counters_number(struct azihsm_bytes item, const char *key, uint64_t *out)
{
    struct cbor_token token;
    bool ok = cbor_map_find(item, key, CBOR_TOKEN_UINT, &token);

    *out = token.value;
    return ok;
}

/* Reads the array "buckets" of one counter. */
static size_t counters_buckets(struct azihsm_bytes item, uint64_t *buckets)
{
    struct cbor_reader reader;
    struct cbor_token token, head;
    size_t count = 0;

    cbor_read_init(&reader, item.data, item.len);
    if (!cbor_read_expect(&reader, CBOR_TOKEN_MAP, &head))
        return 0;
    while (cbor_read_expect(&reader, CBOR_TOKEN_TEXT, &token) && !cbor_text_equals(token.string, "buckets")) {
        if (!cbor_read_skip(&reader))
            return 0;
    }
    if (!cbor_read_expect(&reader, CBOR_TOKEN_ARRAY, &head))
        return 0;
    while (count < head.value && count < BUCKETS_MAX && cbor_read_expect(&reader, CBOR_TOKEN_UINT, &token))
        buckets[count++] = token.value;
    return count;
}

static bool counters_print_row(struct azihsm_bytes item)
{
    uint64_t operations, errors, total, buckets[BUCKETS_MAX];
    struct cbor_token op;
    size_t count = counters_buckets(item, buckets);

    if (count == 0 || !cbor_map_find(item, "op", CBOR_TOKEN_TEXT, &op) ||
        !counters_number(item, "operations", &operations) || !counters_number(item, "errors", &errors) ||
        !counters_number(item, "total-ns", &total) || operations == 0)
        return false;
    printf("%-28.*s %10" PRIu64 " %8" PRIu64 " %10.1f %8" PRIu64 " %8" PRIu64 "\n", (int)op.string.len,
           (const char *)op.string.data, operations, errors, (double)total / (double)operations / 1000,
           counters_quantile(buckets, count, operations, 50), counters_quantile(buckets, count, operations, 99));
    return true;
}

static bool counters_print(struct azihsm_bytes reply)
{
    struct cbor_reader reader;
    struct cbor_token list;
    bool ok;

    if (!cbor_map_find(reply, "counters", CBOR_TOKEN_ARRAY, &list))
        return false;
    /* Elements follow the array's head, which is the last entry of the reply. */
    cbor_read_init(&reader, reply.data, reply.len);
    ok = cbor_read_next(&reader, &list);
    while (ok && !(list.type == CBOR_TOKEN_ARRAY))
        ok = cbor_read_next(&reader, &list);
    printf("%-28s %10s %8s %10s %8s %8s\n", "COMMAND", "COUNT", "ERRORS", "MEAN us", "P50 <us", "P99 <us");
    for (; ok && list.value > 0; list.value--) {
        struct azihsm_bytes item = {reader.data, 0};

        ok = cbor_read_skip(&reader);
        item.len = (size_t)(reader.data - item.data);
        ok = ok && counters_print_row(item);
    }
    return ok;
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
        status = control_print(tool, &answer);
    else if (!counters_print(answer.map))
        status = tool_complain(TOOL_FAILED, "azihsmd sent a reply that is none");
    control_end(&answer);
    return status;
}
