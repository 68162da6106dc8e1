/*
 * The commands of the control socket: a table, one function each. A command writes its results as map entries and says
 * beforehand how many; a failure discards what it wrote.
 */
#include "client/cbor_io.h"
#include "control.h"
#include "metrics.h"
#include "partition.h"
#include "queue_server.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct control_call {
    struct daemon *daemon;
    struct azihsm_bytes request;
    struct partition *partition; /* named by the request, or the first */
    struct cbor_writer *out;
    struct azihsm_error err;
};

/* ---- reading arguments ---- */

static bool control_number(const struct control_call *call, const char *key, uint64_t max, uint64_t *out)
{
    struct cbor_token token;

    if (!cbor_map_find(call->request, key, CBOR_TOKEN_UINT, &token) || token.value > max)
        return false;
    *out = token.value;
    return true;
}

static azihsm_rc control_find_partition(struct control_call *call)
{
    struct cbor_token token;
    char name[CONFIG_NAME_MAX];

    call->partition = daemon_partition_at(call->daemon, 0);
    if (!cbor_map_find(call->request, "partition", CBOR_TOKEN_TEXT, &token))
        return AZIHSM_OK;
    snprintf(name, sizeof(name), "%.*s", (int)(token.string.len < sizeof(name) ? token.string.len : sizeof(name) - 1),
             (const char *)token.string.data);
    call->partition = daemon_partition(call->daemon, name);
    if (call->partition == NULL)
        return azihsm_error_set(&call->err, AZIHSM_E_ARGUMENT, "there is no partition \"%s\"", name);
    return AZIHSM_OK;
}

/* ---- status ---- */

static void control_write_device(struct control_call *call, struct partition *partition)
{
    const struct config_partition *config = config_find(daemon_config(call->daemon), partition_name(partition));
    struct emu_counters counters;

    partition_device_counters(partition, &counters);
    cbor_write_map(call->out, 16);
    cbor_write_pair_text(call->out, "name", partition_name(partition));
    cbor_write_pair_text(call->out, "kind", config->kind == AZIHSM_DEVICE_PHYSICAL ? "physical" : "virtual");
    cbor_write_pair_text(call->out, "limits", config->limits == CONFIG_LIMITS_HARDWARE ? "hardware" : "roomy");
    cbor_write_pair_text(call->out, "key-scope",
                         config->key_scope == CONFIG_SCOPE_PARTITION ? "partition" : "connection");
    cbor_write_pair_text(call->out, "login", config->login == CONFIG_LOGIN_PIN ? "pin" : "peer");
    cbor_write_pair_uint(call->out, "tables", config->tables);
    cbor_write_pair_bool(call->out, "provisioned", counters.provisioned);
    cbor_write_pair_uint(call->out, "handles", counters.handles);
    cbor_write_pair_uint(call->out, "sessions", counters.sessions);
    cbor_write_pair_uint(call->out, "sessions-flagged", counters.sessions_flagged);
    cbor_write_pair_uint(call->out, "keys", counters.keys);
    cbor_write_pair_uint(call->out, "key-bytes", counters.key_bytes);
    cbor_write_pair_uint(call->out, "bulk-keys", counters.bulk_keys);
    cbor_write_pair_uint(call->out, "commands", counters.commands);
    cbor_write_pair_uint(call->out, "errors", counters.errors);
    cbor_write_pair_uint(call->out, "resets", counters.resets);
}

/* Rounded up, as quantiles are: no quantile is above the maximum. */
static uint64_t control_us(uint64_t ns)
{
    return (ns + 999) / 1000;
}

/* One algorithm of one partition. */
struct control_row {
    struct partition *partition;
    unsigned activity;
    struct azihsm_latency latency;
};

/* The next row with operations, over all partitions; start with *cursor = 0. */
static bool control_next_row(const struct control_call *call, size_t *cursor, struct control_row *row)
{
    while ((row->partition = daemon_partition_at(call->daemon, *cursor / AZIHSM_ACTIVITIES)) != NULL) {
        row->activity = (unsigned)(*cursor % AZIHSM_ACTIVITIES);
        ++*cursor;
        counters_activity(partition_counters(row->partition), (enum azihsm_activity)row->activity, &row->latency);
        if (row->latency.operations > 0)
            return true;
    }
    return false;
}

static void control_write_row(struct control_call *call, const struct control_row *row)
{
    const struct azihsm_latency *latency = &row->latency;

    cbor_write_map(call->out, 9);
    cbor_write_pair_text(call->out, "partition", partition_name(row->partition));
    cbor_write_pair_text(call->out, "algorithm", azihsm_activity_algorithm(row->activity));
    cbor_write_pair_text(call->out, "action", azihsm_activity_action(row->activity));
    cbor_write_pair_uint(call->out, "operations", latency->operations);
    cbor_write_pair_uint(call->out, "errors", latency->errors);
    cbor_write_pair_uint(call->out, "mean-us", control_us(latency->total_ns / latency->operations));
    cbor_write_pair_uint(call->out, "p50-us", azihsm_latency_quantile_us(latency, 50));
    cbor_write_pair_uint(call->out, "p99-us", azihsm_latency_quantile_us(latency, 99));
    cbor_write_pair_uint(call->out, "max-us", control_us(latency->max_ns));
}

static void control_write_algorithms(struct control_call *call)
{
    struct control_row row;
    size_t cursor = 0, count = 0;

    while (control_next_row(call, &cursor, &row))
        count++;
    cbor_write_text(call->out, "algorithms");
    cbor_write_array(call->out, count);
    /* One first seen meanwhile waits for the next question. */
    for (cursor = 0; count > 0 && control_next_row(call, &cursor, &row); count--)
        control_write_row(call, &row);
}

static size_t control_partition_count(struct daemon *daemon)
{
    size_t count = 0;

    while (daemon_partition_at(daemon, count) != NULL)
        count++;
    return count;
}

static azihsm_rc control_status(struct control_call *call)
{
    struct queue_counters queue;
    size_t i, count = control_partition_count(call->daemon);

    daemon_queue_counters(call->daemon, &queue);
    cbor_write_pair_text(call->out, "version", AZIHSM_VERSION);
    cbor_write_pair_uint(call->out, "pid", (uint64_t)getpid());
    cbor_write_pair_uint(call->out, "uptime-s", daemon_uptime_s(call->daemon));
    cbor_write_pair_bool(call->out, "ephemeral", daemon_config(call->daemon)->ephemeral);
    cbor_write_pair_uint(call->out, "connections", queue.connections);
    cbor_write_pair_uint(call->out, "threads", queue.threads);
    cbor_write_pair_uint(call->out, "accepted", queue.accepted);
    cbor_write_pair_uint(call->out, "refused", queue.refused);
    cbor_write_pair_uint(call->out, "dropped", queue.dropped);
    cbor_write_pair_uint(call->out, "requests", queue.requests);
    cbor_write_pair_uint(call->out, "doorbells", queue.doorbells);
    cbor_write_text(call->out, "partitions");
    cbor_write_array(call->out, count);
    for (i = 0; i < count; i++)
        control_write_device(call, daemon_partition_at(call->daemon, i));
    control_write_algorithms(call);
    return AZIHSM_OK;
}

/* ---- counters ---- */

static void control_write_counter(struct control_call *call, const struct counter_view *view)
{
    int i;

    cbor_write_map(call->out, 6);
    cbor_write_pair_text(call->out, "op", view->name);
    cbor_write_pair_uint(call->out, "operations", view->latency.operations);
    cbor_write_pair_uint(call->out, "errors", view->latency.errors);
    cbor_write_pair_uint(call->out, "total-ns", view->latency.total_ns);
    cbor_write_pair_uint(call->out, "max-ns", view->latency.max_ns);
    cbor_write_text(call->out, "buckets");
    cbor_write_array(call->out, AZIHSM_LATENCY_BUCKETS);
    for (i = 0; i < AZIHSM_LATENCY_BUCKETS; i++)
        cbor_write_uint(call->out, view->latency.buckets[i]);
}

static azihsm_rc control_counters(struct control_call *call)
{
    const struct counters *counters = partition_counters(call->partition);
    struct counter_view view;
    size_t cursor = 0, count = 0;

    while (counters_next(counters, &cursor, &view))
        count++;
    cbor_write_text(call->out, "counters");
    cbor_write_array(call->out, count);
    /* An opcode first seen meanwhile waits for the next question. */
    for (cursor = 0; count > 0 && counters_next(counters, &cursor, &view); count--)
        control_write_counter(call, &view);
    return AZIHSM_OK;
}

static azihsm_rc control_reset_counters(struct control_call *call)
{
    counters_reset(partition_counters(call->partition));
    return AZIHSM_OK;
}

static azihsm_rc control_metrics(struct control_call *call)
{
    size_t cap = CONTROL_REPLY_MAX - 64;
    char *text = OPENSSL_malloc(cap);
    uint64_t part = 0;
    azihsm_rc rc = AZIHSM_OK;
    bool more;

    if (text == NULL)
        return azihsm_error_set(&call->err, AZIHSM_E_NO_MEMORY, "out of memory");
    (void)control_number(call, "part", UINT64_MAX, &part);
    if (metrics_write(call->daemon, part, text, cap, &more)) {
        cbor_write_pair_bool(call->out, "more", more);
        cbor_write_pair_text(call->out, "text", text);
    } else
        rc = azihsm_error_set(&call->err, AZIHSM_E_INTERNAL, "the metrics do not fit a reply");
    OPENSSL_free(text);
    return rc;
}

/* ---- connections ---- */

static void control_count_family(void *arg, const struct partition_family_view *view)
{
    (void)view;
    ++*(size_t *)arg;
}

struct control_families {
    struct control_call *call;
    size_t left;
};

static void control_write_family(void *arg, const struct partition_family_view *view)
{
    struct control_families *families = arg;
    struct cbor_writer *out = families->call->out;

    if (families->left == 0)
        return;
    families->left--;
    cbor_write_map(out, 3);
    cbor_write_pair_uint(out, "uid", view->uid);
    cbor_write_pair_uint(out, "handles", view->handles);
    cbor_write_pair_uint(out, "commands", view->commands);
}

static azihsm_rc control_connections(struct control_call *call)
{
    struct control_families families = {.call = call};
    size_t count = 0;

    partition_each_family(call->partition, control_count_family, &count);
    families.left = count;
    cbor_write_text(call->out, "connections");
    cbor_write_array(call->out, count);
    partition_each_family(call->partition, control_write_family, &families);
    /* Those that went in between. */
    while (families.left > 0)
        control_write_family(&families, &(struct partition_family_view){0});
    return AZIHSM_OK;
}

/* ---- the device ---- */

static azihsm_rc control_reset(struct control_call *call)
{
    return partition_reset(call->partition, &call->err);
}

static azihsm_rc control_conditions(struct control_call *call)
{
    struct conditions *conditions = partition_conditions(call->partition);
    struct cbor_token clear;
    uint64_t value;

    if (cbor_map_find(call->request, "clear", CBOR_TOKEN_BOOL, &clear) && clear.value != 0)
        conditions_clear(conditions);
    if (control_number(call, "delay-op", UINT32_MAX, &value))
        atomic_store(&conditions->delay_op, (uint32_t)value);
    if (control_number(call, "delay-ms", 60000, &value))
        atomic_store(&conditions->delay_ms, (uint32_t)value);
    if (control_number(call, "reset-after", UINT64_MAX, &value))
        atomic_store(&conditions->reset_after, value);
    if (control_number(call, "fail-op", UINT32_MAX, &value))
        atomic_store(&conditions->fail_op, (uint32_t)value);
    if (control_number(call, "fail-status", UINT32_MAX, &value))
        atomic_store(&conditions->fail_status, (uint32_t)value);
    if (control_number(call, "fail-count", UINT32_MAX, &value))
        atomic_store(&conditions->fail_count, (uint32_t)value);
    cbor_write_pair_uint(call->out, "delay-ms", atomic_load(&conditions->delay_ms));
    cbor_write_pair_uint(call->out, "reset-after", atomic_load(&conditions->reset_after));
    cbor_write_pair_uint(call->out, "fail-count", atomic_load(&conditions->fail_count));
    return AZIHSM_OK;
}

static azihsm_rc control_revoke_tickets(struct control_call *call)
{
    uint64_t epoch = 0;
    azihsm_rc rc = daemon_revoke_tickets(call->daemon, &epoch, &call->err);

    cbor_write_pair_uint(call->out, "epoch", epoch);
    return rc;
}

static azihsm_rc control_credential(struct control_call *call)
{
    uint8_t credential[2 * AZIHSM_CREDENTIAL_SIZE];

    if (!partition_credential(call->partition, credential))
        return azihsm_error_set(&call->err, AZIHSM_E_REFUSED, "partition %s is not provisioned by azihsmd",
                                partition_name(call->partition));
    cbor_write_pair_bytes(call->out, "credential", credential, sizeof(credential));
    OPENSSL_cleanse(credential, sizeof(credential));
    return AZIHSM_OK;
}

static azihsm_rc control_change_pin(struct control_call *call)
{
    struct cbor_token pin;

    if (!cbor_map_find(call->request, "pin", CBOR_TOKEN_BYTES, &pin) || pin.string.len != AZIHSM_CREDENTIAL_SIZE)
        return azihsm_error_set(&call->err, AZIHSM_E_ARGUMENT, "a PIN has %d bytes", AZIHSM_CREDENTIAL_SIZE);
    return partition_change_pin(call->partition, pin.string.data, &call->err);
}

static azihsm_rc control_stop_daemon(struct control_call *call)
{
    daemon_request_stop(call->daemon);
    return AZIHSM_OK;
}

static const struct control_command {
    const char *name;
    size_t results; /* entries it writes */
    azihsm_rc (*run)(struct control_call *call);
} control_commands[] = {
    {"status", 13, control_status},
    {"counters", 1, control_counters},
    {"reset-counters", 0, control_reset_counters},
    {"metrics", 2, control_metrics},
    {"connections", 1, control_connections},
    {"reset", 0, control_reset},
    {"conditions", 3, control_conditions},
    {"revoke-tickets", 1, control_revoke_tickets},
    {"credential", 1, control_credential},
    {"change-pin", 0, control_change_pin},
    {"stop", 0, control_stop_daemon},
};

/* ---- dispatch ---- */

static azihsm_rc control_dispatch(struct control_call *call)
{
    struct cbor_token name;
    struct cbor_reader whole;
    azihsm_rc rc;
    size_t i;

    cbor_read_init(&whole, call->request.data, call->request.len);
    if (!cbor_read_skip(&whole) || !cbor_read_finished(&whole) ||
        !cbor_map_find(call->request, "command", CBOR_TOKEN_TEXT, &name))
        return azihsm_error_set(&call->err, AZIHSM_E_DECODE, "the request is not a CBOR map with a command");
    rc = control_find_partition(call);
    for (i = 0; rc == AZIHSM_OK && i < sizeof(control_commands) / sizeof(control_commands[0]); i++) {
        if (!cbor_text_equals(name.string, control_commands[i].name))
            continue;
        cbor_write_map(call->out, 1 + control_commands[i].results);
        cbor_write_pair_uint(call->out, "rc", 0);
        rc = control_commands[i].run(call);
        if (rc == AZIHSM_OK && call->out->failed)
            rc = azihsm_error_set(&call->err, AZIHSM_E_INTERNAL, "the reply is too long");
        return rc;
    }
    return rc != AZIHSM_OK
               ? rc
               : azihsm_error_set(&call->err, AZIHSM_E_ARGUMENT, "unknown command \"%.*s\"",
                                  (int)(name.string.len < 64 ? name.string.len : 64), (const char *)name.string.data);
}

void control_execute(struct daemon *daemon, struct azihsm_bytes request, uint8_t *reply, size_t *len)
{
    struct cbor_writer out;
    struct control_call call = {.daemon = daemon, .request = request, .out = &out};
    azihsm_rc rc;

    cbor_write_init(&out, reply, CONTROL_REPLY_MAX);
    rc = control_dispatch(&call);
    if (rc != AZIHSM_OK) {
        cbor_write_init(&out, reply, CONTROL_REPLY_MAX);
        cbor_write_map(&out, 2);
        cbor_write_pair_uint(&out, "rc", (uint64_t)(rc < 0 ? -(int64_t)rc : rc));
        cbor_write_pair_text(&out, "error", call.err.text);
    }
    *len = out.len;
}
