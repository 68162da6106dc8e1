/*
 * The control socket's commands on an ephemeral daemon that serves nobody: rubbish in, every command, every condition.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client/cbor_io.h"
#include "daemon/control.h"
#include "daemon/partition.h"

struct fixture {
    struct config config;
    struct daemon *daemon;
    uint8_t reply[CONTROL_REPLY_MAX];
    struct azihsm_bytes map;
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    struct azihsm_error err;

    config_init(&fixture->config);
    fixture->config.ephemeral = true;
    config_complete(&fixture->config);
    if (config_finish(&fixture->config, &err) != AZIHSM_OK ||
        daemon_new(&fixture->config, &fixture->daemon, &err) != AZIHSM_OK)
        return -1;
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    daemon_free(fixture->daemon);
    free(fixture);
    return 0;
}

static uint64_t ask_bytes(struct fixture *fixture, const uint8_t *request, size_t len)
{
    struct cbor_reader reader;
    struct cbor_token rc, text;
    size_t reply_len = 0;

    control_execute(fixture->daemon, (struct azihsm_bytes){request, len}, fixture->reply, &reply_len);
    fixture->map = (struct azihsm_bytes){fixture->reply, reply_len};
    cbor_read_init(&reader, fixture->reply, reply_len);
    assert_true(cbor_read_skip(&reader));
    assert_true(cbor_read_finished(&reader));
    assert_true(cbor_map_find(fixture->map, "rc", CBOR_TOKEN_UINT, &rc));
    if (rc.value != 0) {
        assert_true(cbor_map_find(fixture->map, "error", CBOR_TOKEN_TEXT, &text));
        assert_true(text.string.len > 0);
    }
    return rc.value;
}

struct extra {
    const char *key;
    uint64_t value;
};

static uint64_t ask(struct fixture *fixture, const char *command, const struct extra *extra, size_t count)
{
    struct cbor_writer writer;
    uint8_t buf[512];
    size_t i;

    cbor_write_init(&writer, buf, sizeof(buf));
    cbor_write_map(&writer, 1 + count);
    cbor_write_pair_text(&writer, "command", command);
    for (i = 0; i < count; i++)
        cbor_write_pair_uint(&writer, extra[i].key, extra[i].value);
    return ask_bytes(fixture, buf, writer.len);
}

static uint64_t result(struct fixture *fixture, const char *key)
{
    struct cbor_token token;

    assert_true(cbor_map_find(fixture->map, key, CBOR_TOKEN_UINT, &token));
    return token.value;
}

/* GetApiRev as in ddi-protocol 1.5.1, through the partition as the queue server would. */
static uint32_t send_get_api_rev(struct partition_handle *handle)
{
    static const uint8_t frame[] = {0xa2, 0x18, 0x00, 0xa1, 0x18, 0x02, 0x1a, 0x00, 0x00, 0x03, 0xea, 0x18, 0x01, 0xa0};
    const struct emu_submission in = {.request = frame, .request_len = sizeof(frame)};
    struct emu_completion out = {0};
    uint8_t response[AZIHSM_FRAME_MAX];
    uint32_t op, status;

    partition_execute(handle, &in, response, &out);
    assert_int_equal(out.ext_status, 0);
    assert_int_equal(out.cqe_status, 0);
    assert_true(counters_peek(response, out.response_len, &op, &status));
    assert_int_equal(op, AZIHSM_OP_GET_API_REV);
    return status;
}

static void answers_rubbish(void **state)
{
    static const uint8_t cases[][8] = {{0}, {0xff, 0xff}, {0xa1, 0x01}, {0xa0}, {0x80}, {0xa1, 0x61, 'x', 0x01}};
    struct fixture *fixture = *state;
    uint8_t buf[64];
    size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_not_equal(ask_bytes(fixture, cases[i], sizeof(cases[i])), 0);
    assert_int_not_equal(ask_bytes(fixture, NULL, 0), 0);
    for (i = 0; i < sizeof(buf); i++) {
        memset(buf, (int)(i * 37), sizeof(buf));
        assert_int_not_equal(ask_bytes(fixture, buf, i), 0);
    }
    assert_int_equal(ask(fixture, "no-such-command", NULL, 0), -AZIHSM_E_ARGUMENT);
}

static void names_an_unknown_partition(void **state)
{
    struct fixture *fixture = *state;
    struct cbor_writer writer;
    uint8_t buf[128];

    cbor_write_init(&writer, buf, sizeof(buf));
    cbor_write_map(&writer, 2);
    cbor_write_pair_text(&writer, "command", "counters");
    cbor_write_pair_text(&writer, "partition", "another");
    assert_int_equal(ask_bytes(fixture, buf, writer.len), -AZIHSM_E_ARGUMENT);
}

/* Whether a line stands in one of the parts, the last of which says so. */
static bool metrics_have(const char *line, struct fixture *fixture)
{
    struct cbor_token more = {.value = 1}, text;
    bool found = false;

    for (uint64_t part = 0; more.value != 0; part++) {
        const struct extra which = {"part", part};

        assert_int_equal(ask(fixture, "metrics", &which, 1), 0);
        assert_true(cbor_map_find(fixture->map, "more", CBOR_TOKEN_BOOL, &more));
        assert_true(cbor_map_find(fixture->map, "text", CBOR_TOKEN_TEXT, &text));
        found = found || memmem(text.string.data, text.string.len, line, strlen(line)) != NULL;
    }
    return found;
}

/* Whatever numbers a client tries, those that nobody assigned are one row: a reply must hold all there can be. */
static void unassigned_opcodes_are_one_row(void **state)
{
    struct counters *counters = counters_new();
    struct counter_view view;
    unsigned noted = 0, unknown = 0, rows = 0;
    uint64_t told = 0;

    (void)state;
    assert_non_null(counters);
    for (uint32_t op = 900; op < 1300; op++, noted++)
        counters_note(counters, op, AZIHSM_ACTIVITY_OTHER, false, 1000);
    for (size_t cursor = 0; counters_next(counters, &cursor, &view); rows++) {
        assert_string_not_equal(view.name, "?");
        unknown += strcmp(view.name, "Unknown") == 0;
        told += view.latency.operations;
    }
    assert_int_equal(unknown, 1);
    assert_int_equal(told, noted);
    assert_true(rows < 60);
    counters_free(counters);
}

static void tells_status_counters_and_metrics(void **state)
{
    struct fixture *fixture = *state;
    struct partition *partition = daemon_partition(fixture->daemon, "default");
    struct partition_family *family = partition_family_new(partition, 4711);
    struct partition_handle *handle = partition_open(partition, family);
    struct cbor_token token;

    assert_int_equal(send_get_api_rev(handle), 0);
    assert_int_equal(ask(fixture, "status", NULL, 0), 0);
    assert_true(result(fixture, "pid") > 0);
    assert_true(result(fixture, "uptime-s") < 3600);
    assert_true(cbor_map_find(fixture->map, "algorithms", CBOR_TOKEN_ARRAY, &token));
    assert_int_equal(token.value, 1); /* GetApiRev has no algorithm: other.command */
    assert_non_null(memmem(fixture->map.data, fixture->map.len, "p99-us", 6));
    assert_int_equal(ask(fixture, "counters", NULL, 0), 0);
    assert_non_null(memmem(fixture->map.data, fixture->map.len, "GetApiRev", 9));
    assert_int_equal(ask(fixture, "connections", NULL, 0), 0);
    assert_non_null(memmem(fixture->map.data, fixture->map.len, "\x19\x12\x67", 3)); /* 4711 */
    assert_int_equal(ask(fixture, "metrics", NULL, 0), 0);
    assert_true(cbor_map_find(fixture->map, "text", CBOR_TOKEN_TEXT, &token));
    assert_non_null(memmem(token.string.data, token.string.len, "azihsm_commands_total{op=\"GetApiRev\"} 1\n", 40));
    assert_non_null(memmem(token.string.data, token.string.len,
                           "azihsm_operations_total{partition=\"default\",algorithm=\"other\",action=\"command\"} 1\n",
                           81));
    assert_true(cbor_map_find(fixture->map, "more", CBOR_TOKEN_BOOL, &token) && token.value != 0);
    assert_true(metrics_have("azihsm_command_seconds_count{partition=\"default\",op=\"GetApiRev\"} 1\n", fixture));
    assert_true(metrics_have("azihsm_operation_seconds_bucket{partition=\"default\",algorithm=\"other\","
                             "action=\"command\",le=\"+Inf\"} 1\n",
                             fixture));
    assert_int_equal(ask(fixture, "metrics", NULL, 0), 0);
    assert_true(cbor_map_find(fixture->map, "text", CBOR_TOKEN_TEXT, &token));
    assert_non_null(memmem(token.string.data, token.string.len, "azihsm_handles{partition=\"default\"} 1\n", 38));
    assert_int_equal(ask(fixture, "reset-counters", NULL, 0), 0);
    assert_int_equal(ask(fixture, "metrics", NULL, 0), 0);
    assert_null(memmem(fixture->map.data, fixture->map.len, "GetApiRev", 9));
    partition_close(handle);
    partition_family_free(family);
}

static void failures_come_as_ordered(void **state)
{
    const struct extra order[] = {
        {"fail-count", 2}, {"fail-op", AZIHSM_OP_GET_API_REV}, {"fail-status", AZIHSM_STATUS_INTERNAL_ERROR}};
    const struct extra other[] = {{"fail-count", 1}, {"fail-op", AZIHSM_OP_ECC_SIGN}, {"fail-status", 1}};
    struct fixture *fixture = *state;
    struct partition_handle *handle = partition_open(daemon_partition_at(fixture->daemon, 0), NULL);

    assert_int_equal(ask(fixture, "conditions", order, 3), 0);
    assert_int_equal(result(fixture, "fail-count"), 2);
    assert_int_equal(send_get_api_rev(handle), AZIHSM_STATUS_INTERNAL_ERROR);
    assert_int_equal(send_get_api_rev(handle), AZIHSM_STATUS_INTERNAL_ERROR);
    assert_int_equal(send_get_api_rev(handle), 0);
    assert_int_equal(ask(fixture, "conditions", other, 3), 0);
    assert_int_equal(send_get_api_rev(handle), 0); /* not an EccSign */
    partition_close(handle);
}

static void resets_before_the_nth_command(void **state)
{
    const struct extra order[] = {{"reset-after", 3}};
    struct fixture *fixture = *state;
    struct partition *partition = daemon_partition_at(fixture->daemon, 0);
    struct partition_handle *handle = partition_open(partition, NULL);
    struct emu_counters counters;
    int i;

    assert_int_equal(ask(fixture, "conditions", order, 1), 0);
    for (i = 1; i <= 5; i++) {
        assert_int_equal(send_get_api_rev(handle), 0);
        partition_device_counters(partition, &counters);
        assert_int_equal(counters.resets, i < 3 ? 0 : 1);
    }
    assert_int_equal(ask(fixture, "reset", NULL, 0), 0);
    partition_device_counters(partition, &counters);
    assert_int_equal(counters.resets, 2);
    partition_close(handle);
}

static void clears_conditions(void **state)
{
    const struct extra order[] = {{"fail-count", 9}, {"fail-status", 1}, {"reset-after", 7}, {"delay-ms", 1}};
    struct fixture *fixture = *state;
    struct cbor_writer writer;
    uint8_t buf[64];

    assert_int_equal(ask(fixture, "conditions", order, 4), 0);
    cbor_write_init(&writer, buf, sizeof(buf));
    cbor_write_map(&writer, 2);
    cbor_write_pair_text(&writer, "command", "conditions");
    cbor_write_pair_bool(&writer, "clear", true);
    assert_int_equal(ask_bytes(fixture, buf, writer.len), 0);
    assert_int_equal(result(fixture, "fail-count") + result(fixture, "reset-after") + result(fixture, "delay-ms"), 0);
}

static void keeps_no_credential_it_does_not_have(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(ask(fixture, "credential", NULL, 0), 0);
    assert_int_equal(ask(fixture, "change-pin", NULL, 0), -AZIHSM_E_ARGUMENT);
}

static void a_long_list_of_connections_is_an_error_not_a_crash(void **state)
{
    struct fixture *fixture = *state;
    struct partition *partition = daemon_partition_at(fixture->daemon, 0);
    struct partition_family *families[12000];
    size_t i;

    for (i = 0; i < 12000; i++)
        assert_non_null(families[i] = partition_family_new(partition, 100000 + (uid_t)i));
    assert_int_equal(ask(fixture, "connections", NULL, 0), -AZIHSM_E_INTERNAL);
    for (i = 0; i < 12000; i++)
        partition_family_free(families[i]);
    assert_int_equal(ask(fixture, "connections", NULL, 0), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(answers_rubbish),
        TEST(names_an_unknown_partition),
        cmocka_unit_test(unassigned_opcodes_are_one_row),
        TEST(tells_status_counters_and_metrics),
        TEST(failures_come_as_ordered),
        TEST(resets_before_the_nth_command),
        TEST(clears_conditions),
        TEST(keeps_no_credential_it_does_not_have),
        TEST(a_long_list_of_connections_is_an_error_not_a_crash),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
