/*
 * Prometheus text. Names and units follow its conventions: base unit seconds, cumulative buckets, _total for counters.
 */
#include "metrics.h"

#include "partition.h"
#include "queue_server.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* The names of a partition, an algorithm and an action, each shorter than this by far. */
enum { METRICS_LABELS_MAX = 256 };

struct metrics_text {
    char *out;
    size_t cap, len;
};

__attribute__((format(printf, 2, 3))) static void metrics_add(struct metrics_text *text, const char *format, ...)
{
    va_list args;
    int len;

    if (text->len >= text->cap)
        return;
    va_start(args, format);
    len = vsnprintf(text->out + text->len, text->cap - text->len, format, args);
    va_end(args);
    text->len += len > 0 ? (size_t)len : 0;
}

static void metrics_head(struct metrics_text *text, const char *name, const char *type, const char *help)
{
    metrics_add(text, "# HELP azihsm_%s %s\n# TYPE azihsm_%s %s\n", name, help, name, type);
}

/* ---- the device and its connections ---- */

struct metrics_gauge {
    const char *name, *help;
    uint64_t (*value)(const struct emu_counters *counters);
};

static uint64_t metrics_handles(const struct emu_counters *counters)
{
    return counters->handles;
}

static uint64_t metrics_sessions(const struct emu_counters *counters)
{
    return counters->sessions;
}

static uint64_t metrics_keys(const struct emu_counters *counters)
{
    return counters->keys;
}

static uint64_t metrics_key_bytes(const struct emu_counters *counters)
{
    return counters->key_bytes;
}

static uint64_t metrics_provisioned(const struct emu_counters *counters)
{
    return counters->provisioned ? 1 : 0;
}

static const struct metrics_gauge metrics_gauges[] = {
    {"handles", "Open device handles.", metrics_handles},
    {"sessions", "Sessions in the device.", metrics_sessions},
    {"keys", "Keys of clients in the device.", metrics_keys},
    {"key_bytes", "Key storage in use, the device's own keys included.", metrics_key_bytes},
    {"provisioned", "Whether a credential is established.", metrics_provisioned},
};

static void metrics_partitions(struct metrics_text *text, struct daemon *daemon)
{
    struct partition *partition;
    struct emu_counters counters;
    size_t row, i;

    for (row = 0; row < sizeof(metrics_gauges) / sizeof(metrics_gauges[0]); row++) {
        metrics_head(text, metrics_gauges[row].name, "gauge", metrics_gauges[row].help);
        for (i = 0; (partition = daemon_partition_at(daemon, i)) != NULL; i++) {
            partition_device_counters(partition, &counters);
            metrics_add(text, "azihsm_%s{partition=\"%s\"} %" PRIu64 "\n", metrics_gauges[row].name,
                        partition_name(partition), metrics_gauges[row].value(&counters));
        }
    }
    metrics_head(text, "resets_total", "counter", "Device resets.");
    for (i = 0; (partition = daemon_partition_at(daemon, i)) != NULL; i++) {
        partition_device_counters(partition, &counters);
        metrics_add(text, "azihsm_resets_total{partition=\"%s\"} %" PRIu64 "\n", partition_name(partition),
                    counters.resets);
    }
}

static void metrics_queue(struct metrics_text *text, struct daemon *daemon)
{
    struct queue_counters counters;

    daemon_queue_counters(daemon, &counters);
    metrics_head(text, "connections", "gauge", "Client connections.");
    metrics_add(text, "azihsm_connections %u\n", counters.connections);
    metrics_head(text, "connections_accepted_total", "counter", "Connections admitted.");
    metrics_add(text, "azihsm_connections_accepted_total %" PRIu64 "\n", counters.accepted);
    metrics_head(text, "connections_refused_total", "counter", "Connections refused.");
    metrics_add(text, "azihsm_connections_refused_total %" PRIu64 "\n", counters.refused);
    metrics_head(text, "connections_dropped_total", "counter", "Connections dropped for breaking the rules.");
    metrics_add(text, "azihsm_connections_dropped_total %" PRIu64 "\n", counters.dropped);
}

/* ---- commands ---- */

/* labels: without braces, e.g. partition="default",op="EccSign". */
static void metrics_histogram(struct metrics_text *text, const char *name, const char *labels,
                              const struct azihsm_latency *latency)
{
    uint64_t sum = 0, us = 1;
    int i;

    for (i = 0; i < AZIHSM_LATENCY_BUCKETS - 1; i++, us *= 2) {
        sum += latency->buckets[i];
        metrics_add(text, "azihsm_%s_bucket{%s,le=\"%.6f\"} %" PRIu64 "\n", name, labels, (double)us / 1e6, sum);
    }
    metrics_add(
        text, "azihsm_%s_bucket{%s,le=\"+Inf\"} %" PRIu64 "\nazihsm_%s_sum{%s} %.9f\nazihsm_%s_count{%s} %" PRIu64 "\n",
        name, labels, latency->operations, name, labels, (double)latency->total_ns / 1e9, name, labels,
        latency->operations);
}

static void metrics_commands(struct metrics_text *text, struct partition *partition)
{
    struct counter_view view;
    char labels[METRICS_LABELS_MAX];
    size_t cursor = 0;

    while (counters_next(partition_counters(partition), &cursor, &view)) {
        snprintf(labels, sizeof(labels), "partition=\"%s\",op=\"%s\"", partition_name(partition), view.name);
        metrics_histogram(text, "command_seconds", labels, &view.latency);
    }
}

/* ---- algorithms ---- */

typedef void metrics_activity_fn(struct metrics_text *text, const char *labels, const struct azihsm_latency *latency);

static void metrics_each_activity(struct metrics_text *text, struct partition *partition, metrics_activity_fn *write)
{
    struct azihsm_latency latency;
    char labels[METRICS_LABELS_MAX];

    for (unsigned activity = 0; activity < AZIHSM_ACTIVITIES; activity++) {
        counters_activity(partition_counters(partition), (enum azihsm_activity)activity, &latency);
        if (latency.operations == 0)
            continue;
        snprintf(labels, sizeof(labels), "partition=\"%s\",algorithm=\"%s\",action=\"%s\"", partition_name(partition),
                 azihsm_activity_algorithm(activity), azihsm_activity_action(activity));
        write(text, labels, &latency);
    }
}

static void metrics_operations(struct metrics_text *text, const char *labels, const struct azihsm_latency *latency)
{
    metrics_add(text, "azihsm_operations_total{%s} %" PRIu64 "\n", labels, latency->operations);
}

static void metrics_operation_errors(struct metrics_text *text, const char *labels,
                                     const struct azihsm_latency *latency)
{
    metrics_add(text, "azihsm_operation_errors_total{%s} %" PRIu64 "\n", labels, latency->errors);
}

static void metrics_operation_seconds(struct metrics_text *text, const char *labels,
                                      const struct azihsm_latency *latency)
{
    metrics_histogram(text, "operation_seconds", labels, latency);
}

static void metrics_activities(struct metrics_text *text, struct daemon *daemon)
{
    struct partition *partition;
    size_t i;

    metrics_head(text, "operations_total", "counter", "Operations of clients by algorithm and size.");
    for (i = 0; (partition = daemon_partition_at(daemon, i)) != NULL; i++)
        metrics_each_activity(text, partition, metrics_operations);
    metrics_head(text, "operation_errors_total", "counter", "Operations of clients that failed.");
    for (i = 0; (partition = daemon_partition_at(daemon, i)) != NULL; i++)
        metrics_each_activity(text, partition, metrics_operation_errors);
}

/* Over all partitions: one line an opcode. */
static void metrics_totals(struct metrics_text *text, struct daemon *daemon, const char *name, bool errors)
{
    struct partition *partition;
    struct counter_view view;
    size_t row, i;

    for (row = 0; row < COUNTERS_ROWS; row++) {
        uint64_t operations = 0, failed = 0;

        for (i = 0; (partition = daemon_partition_at(daemon, i)) != NULL; i++) {
            size_t cursor = row;

            if (!counters_next(partition_counters(partition), &cursor, &view) || cursor != row + 1)
                continue;
            operations += view.latency.operations;
            failed += view.latency.errors;
        }
        if (operations > 0)
            metrics_add(text, "azihsm_%s{op=\"%s\"} %" PRIu64 "\n", name, counters_row_name(row),
                        errors ? failed : operations);
    }
}

static void metrics_all_but_histograms(struct metrics_text *text, struct daemon *daemon)
{
    metrics_head(text, "uptime_seconds", "gauge", "Since azihsmd began to serve.");
    metrics_add(text, "azihsm_uptime_seconds %" PRIu64 "\n", daemon_uptime_s(daemon));
    metrics_partitions(text, daemon);
    metrics_queue(text, daemon);
    metrics_head(text, "commands_total", "counter", "Commands of clients.");
    metrics_totals(text, daemon, "commands_total", false);
    metrics_head(text, "command_errors_total", "counter", "Commands of clients that were answered with an error.");
    metrics_totals(text, daemon, "command_errors_total", true);
    metrics_activities(text, daemon);
}

/* Part 0, then a part for the command histograms of each partition, then one for each one's operation histograms. */
bool metrics_write(struct daemon *daemon, uint64_t part, char *out, size_t cap, bool *more)
{
    struct metrics_text text = {.out = out, .cap = cap};
    size_t partitions = 0;

    while (daemon_partition_at(daemon, partitions) != NULL)
        partitions++;
    *more = part < 2 * partitions;
    out[0] = '\0';
    if (part == 0)
        metrics_all_but_histograms(&text, daemon);
    if (part == 1)
        metrics_head(&text, "command_seconds", "histogram", "Time a command took inside azihsmd.");
    if (part == partitions + 1)
        metrics_head(&text, "operation_seconds", "histogram", "Time an operation took inside azihsmd.");
    if (part >= 1 && part <= partitions)
        metrics_commands(&text, daemon_partition_at(daemon, part - 1));
    if (part > partitions && part <= 2 * partitions)
        metrics_each_activity(&text, daemon_partition_at(daemon, part - partitions - 1), metrics_operation_seconds);
    return text.len < text.cap;
}
