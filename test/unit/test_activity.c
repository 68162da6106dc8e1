/*
 * What a process counts of its operations: which activity a command is, quantiles, errors, children, threads.
 */
#include "client/activity.h"
#include "client/latency.h"
#include "software_device.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static struct software_device *device;
static struct azihsm_client *client;

static int setup(void **state)
{
    const struct software_options options = {.tables = 2, .extensions = true};

    (void)state;
    device = software_new(&options);
    client = software_client(device, 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    azihsm_client_free(client);
    software_free(device);
    return 0;
}

static uint64_t operations(enum azihsm_activity activity)
{
    struct azihsm_latency latency;

    azihsm_client_activity(activity, &latency);
    return latency.operations;
}

static uint64_t errors(enum azihsm_activity activity)
{
    struct azihsm_latency latency;

    azihsm_client_activity(activity, &latency);
    return latency.errors;
}

static void commands_have_their_activity(void **state)
{
    static const struct {
        uint32_t op, kind;
        bool decrypt;
        const char *algorithm, *action;
    } cases[] = {
        {AZIHSM_OP_ECC_SIGN, AZIHSM_KEY_ECC384_PRIVATE, false, "ecdsa-p384", "sign"},
        {AZIHSM_OP_RSA_MOD_EXP, AZIHSM_KEY_RSA4K_PRIVATE, false, "rsa-4096", "sign"},
        {AZIHSM_OP_RSA_MOD_EXP, AZIHSM_KEY_RSA3K_PRIVATE_CRT, true, "rsa-3072", "decrypt"},
        {AZIHSM_OP_ECDH_KEY_EXCHANGE, AZIHSM_KEY_SECRET521, false, "ecdh-p521", "derive"},
        {AZIHSM_OP_HKDF_DERIVE, AZIHSM_KEY_AES256, false, "hkdf", "derive"},
        {AZIHSM_OP_KBKDF_COUNTER_HMAC_DERIVE, 0, false, "kbkdf", "derive"},
        {AZIHSM_OP_HMAC, AZIHSM_KEY_VAR_HMAC512, false, "hmac-sha512", "mac"},
        {AZIHSM_OP_AES_ENCRYPT_DECRYPT, AZIHSM_KEY_AES192, false, "aes-192-cbc", "crypt"},
        {AZIHSM_OP_AES_ENCRYPT_DECRYPT, AZIHSM_KEY_AES_GCM_BULK256_UNAPPROVED, false, "aes-256-gcm", "crypt"},
        {AZIHSM_OP_AES_ENCRYPT_DECRYPT, AZIHSM_KEY_AES_XTS_BULK256, false, "aes-256-xts", "crypt"},
        {AZIHSM_OP_ECC_GENERATE_KEY_PAIR, AZIHSM_KEY_ECC521_PRIVATE, false, "ec-p521", "generate"},
        {AZIHSM_OP_RSA_GENERATE_KEY_PAIR, AZIHSM_KEY_RSA2K_PRIVATE, false, "rsa-2048", "generate"},
        {AZIHSM_OP_AES_GENERATE_KEY, AZIHSM_KEY_AES128, false, "aes", "generate"},
        {AZIHSM_OP_RSA_UNWRAP, AZIHSM_CLASS_ECC, false, "ec", "import"},
        {AZIHSM_OP_RSA_UNWRAP, AZIHSM_CLASS_RSA_CRT, false, "rsa", "import"},
        {AZIHSM_OP_RSA_UNWRAP, AZIHSM_CLASS_AES_GCM_BULK, false, "aes", "import"},
        {AZIHSM_OP_UNMASK_KEY, 0, false, "key", "load"},
        {AZIHSM_OP_REOPEN_SESSION, 0, false, "session", "open"},
        {AZIHSM_OP_ECC_SIGN, 0, false, "other", "command"},
        {AZIHSM_OP_ECC_SIGN, AZIHSM_KEY_RSA2K_PRIVATE, false, "other", "command"},
        {AZIHSM_OP_GET_API_REV, 0, false, "other", "command"},
        {0xffffffff, 0xffffffff, false, "other", "command"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        unsigned activity = azihsm_activity_of(cases[i].op, cases[i].kind, cases[i].decrypt);

        assert_string_equal(azihsm_activity_algorithm(activity), cases[i].algorithm);
        assert_string_equal(azihsm_activity_action(activity), cases[i].action);
    }
    assert_null(azihsm_activity_algorithm(AZIHSM_ACTIVITIES));
    assert_null(azihsm_activity_action(AZIHSM_ACTIVITIES));
}

static bool within(uint64_t value, uint64_t least, uint64_t most)
{
    return value >= least && value <= most;
}

static void quantiles_are_within_a_bucket(void **state)
{
    static struct latency_row row;
    struct azihsm_latency latency = {0};

    (void)state;
    assert_int_equal(azihsm_latency_quantile_us(&latency, 99), 0);
    for (int i = 0; i < 98; i++)
        latency_note(&row, false, 20000); /* 16 to 32 us */
    latency_note(&row, true, 900000);     /* 512 to 1024 us */
    latency_note(&row, false, UINT64_C(40000000000));
    latency_sum(&row, &latency);
    assert_int_equal(latency.operations, 100);
    assert_int_equal(latency.errors, 1);
    assert_int_equal(latency.max_ns, UINT64_C(40000000000));
    assert_int_equal(latency.total_ns, 98 * 20000 + 900000 + UINT64_C(40000000000));
    assert_true(within(azihsm_latency_quantile_us(&latency, 0), 16, 32));
    assert_true(within(azihsm_latency_quantile_us(&latency, 50), 16, 32));
    assert_true(within(azihsm_latency_quantile_us(&latency, 99), 512, 1024));
    assert_int_equal(azihsm_latency_quantile_us(&latency, 100), 40000000);
    latency_clear(&row);
    latency = (struct azihsm_latency){0};
    latency_note(&row, false, 17000);
    latency_sum(&row, &latency);
    assert_int_equal(azihsm_latency_quantile_us(&latency, 99), 17); /* never above the maximum */
}

static struct azihsm_key *make_p256(void)
{
    const struct azihsm_key_spec spec = {.usage = AZIHSM_USAGE_SIGN};
    struct azihsm_key *key = NULL;

    assert_int_equal(azihsm_key_generate_ecc(client, AZIHSM_CURVE_P256, &spec, &key, NULL), AZIHSM_OK);
    return key;
}

static azihsm_rc sign(struct azihsm_key *key)
{
    static const uint8_t digest[32] = {1};
    uint8_t sig[64];
    size_t len = sizeof(sig);

    return azihsm_key_ecc_sign(key, AZIHSM_HASH_SHA256, (struct azihsm_bytes){digest, 32}, sig, &len, NULL);
}

static void operations_and_errors_are_counted(void **state)
{
    struct azihsm_key *key = make_p256();
    uint64_t signed_before = operations(AZIHSM_ACTIVITY_ECDSA_P256_SIGN);
    uint64_t failed_before = errors(AZIHSM_ACTIVITY_ECDSA_P256_SIGN), loads = operations(AZIHSM_ACTIVITY_KEY_LOAD);
    struct azihsm_client_events before, after;

    (void)state;
    assert_true(operations(AZIHSM_ACTIVITY_EC_P256_GENERATE) >= 1);
    azihsm_client_get_events(&before);
    for (int i = 0; i < 3; i++)
        assert_int_equal(sign(key), AZIHSM_OK);
    assert_int_equal(operations(AZIHSM_ACTIVITY_KEY_LOAD), loads); /* it is where it was made */
    software_fail(device, AZIHSM_OP_ECC_SIGN, 1, AZIHSM_STATUS_ECC_SIGN_FAILED, true);
    assert_int_not_equal(sign(key), AZIHSM_OK);
    assert_int_equal(operations(AZIHSM_ACTIVITY_ECDSA_P256_SIGN), signed_before + 4);
    assert_int_equal(errors(AZIHSM_ACTIVITY_ECDSA_P256_SIGN), failed_before + 1);
    emu_device_reset(software_emulator(device));
    software_provision(device);
    assert_int_equal(sign(key), AZIHSM_OK);
    azihsm_client_get_events(&after);
    assert_int_equal(operations(AZIHSM_ACTIVITY_ECDSA_P256_SIGN), signed_before + 5);
    assert_int_equal(operations(AZIHSM_ACTIVITY_KEY_LOAD), loads + 1);
    assert_int_equal(after.resets_recovered, before.resets_recovered + 1);
    assert_true(after.repeats > before.repeats);
    assert_int_equal(after.sessions, before.sessions);
    software_down(device);
    software_up(device);
    assert_int_equal(sign(key), AZIHSM_OK);
    azihsm_client_get_events(&after);
    assert_int_equal(after.sessions, before.sessions + 1);
    assert_int_equal(after.reconnects, before.reconnects + 1);
    azihsm_key_free(key);
}

static void a_child_begins_at_zero(void **state)
{
    struct azihsm_client_events events;
    pid_t child;
    int status;

    (void)state;
    activity_note(AZIHSM_ACTIVITY_HKDF_DERIVE, false, 1000);
    activity_event(ACTIVITY_EVICTION, 1);
    child = fork();
    if (child == 0) {
        bool good = operations(AZIHSM_ACTIVITY_HKDF_DERIVE) == 0;

        activity_note(AZIHSM_ACTIVITY_HKDF_DERIVE, true, 1000);
        azihsm_client_get_events(&events);
        good = good && operations(AZIHSM_ACTIVITY_HKDF_DERIVE) == 1 && errors(AZIHSM_ACTIVITY_HKDF_DERIVE) == 1 &&
               events.evictions == 0;
        _exit(good ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    azihsm_client_get_events(&events);
    assert_true(events.evictions >= 1);
    assert_int_equal(operations(AZIHSM_ACTIVITY_HKDF_DERIVE), 1);
    assert_int_equal(errors(AZIHSM_ACTIVITY_HKDF_DERIVE), 0);
}

enum { THREADS = 4, NOTES = 10000 };

static void *note_many(void *arg)
{
    struct azihsm_latency latency;

    for (int i = 0; i < NOTES; i++) {
        activity_note(AZIHSM_ACTIVITY_KBKDF_DERIVE, i % 10 == 0, 1000 * i);
        if (i % 1000 == 0)
            azihsm_client_activity(AZIHSM_ACTIVITY_KBKDF_DERIVE, &latency);
    }
    return arg;
}

static void no_thread_loses_a_count(void **state)
{
    pthread_t threads[THREADS];
    struct azihsm_latency latency;

    (void)state;
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, note_many, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    azihsm_client_activity(AZIHSM_ACTIVITY_KBKDF_DERIVE, &latency);
    assert_int_equal(latency.operations, THREADS * NOTES);
    assert_int_equal(latency.errors, THREADS * NOTES / 10);
    assert_int_equal(latency.max_ns, 1000 * (NOTES - 1));
}

/* ---- the trace ---- */

static char traced[4096];

static void remember(void *arg, enum azihsm_trace_category category, const char *line)
{
    size_t used = strlen(traced);

    (void)arg;
    assert_null(strchr(line, '\n'));
    snprintf(traced + used, sizeof(traced) - used, "%u %s\n", (unsigned)category, line);
}

/* A label comes from whoever made the key file: it writes no line of its own, and moves no cursor. */
static void labels_are_told_on_one_line(void **state)
{
    const struct azihsm_client_config config = {.trace = remember, .trace_categories = AZIHSM_TRACE_KEY};
    const struct azihsm_key_spec spec = {.usage = AZIHSM_USAGE_SIGN, .label = "a\n2 forged\r\x1b[2J\x7f \xc3\xa9"};
    struct azihsm_client *loud = NULL;
    struct azihsm_key *key = NULL;

    (void)state;
    traced[0] = '\0';
    assert_int_equal(client_new_on(&config, software_endpoint(device, true), &loud, NULL), AZIHSM_OK);
    assert_int_equal(azihsm_key_generate_ecc(loud, AZIHSM_CURVE_P256, &spec, &key, NULL), AZIHSM_OK);
    assert_non_null(strstr(traced, "made key \"a?2 forged??[2J? \xc3\xa9\" (Ecc256Private)\n"));
    azihsm_key_free(key);
    azihsm_client_free(loud);
    traced[0] = '\0';
}

static void every_category_tells_its_events(void **state)
{
    const struct azihsm_client_config config = {.trace = remember};
    const struct azihsm_key_spec spec = {.usage = AZIHSM_USAGE_SIGN, .label = "www"};
    struct azihsm_client *quiet = NULL, *loud = NULL;
    const struct azihsm_client_config only_keys = {.trace = remember, .trace_categories = AZIHSM_TRACE_KEY};
    struct azihsm_key *key = NULL, *again = NULL;

    (void)state;
    assert_int_equal(client_new_on(&config, software_endpoint(device, true), &loud, NULL), AZIHSM_OK);
    assert_int_equal(azihsm_key_generate_ecc(loud, AZIHSM_CURVE_P256, &spec, &key, NULL), AZIHSM_OK);
    assert_int_equal(sign(key), AZIHSM_OK);
    assert_non_null(strstr(traced, "2 test:: login, partition default: Success, "));
    assert_non_null(strstr(traced, "4 EccGenerateKeyPair: the device made key \"www\" (Ecc256Private)\n"));
    assert_non_null(strstr(traced, "8 EccGenerateKeyPair (ec-p256.generate) on test:: Success, "));
    assert_non_null(strstr(traced, "8 EccSign (ecdsa-p256.sign) with key \"www\" (Ecc256Private) on test:: Success, "));
    emu_device_reset(software_emulator(device));
    software_provision(device);
    assert_int_equal(sign(key), AZIHSM_OK);
    assert_non_null(strstr(traced, "2 test:: session given up: SessionNeedsRenegotiation; it is reopened\n"));
    assert_non_null(strstr(traced, "8 EccSign: SessionNeedsRenegotiation, once more"));
    traced[0] = '\0';
    assert_int_equal(client_new_on(&only_keys, software_endpoint(device, true), &quiet, NULL), AZIHSM_OK);
    assert_int_equal(azihsm_key_from_blob(quiet, azihsm_key_blob(key), azihsm_key_spki(key), &again, NULL), AZIHSM_OK);
    assert_int_equal(sign(again), AZIHSM_OK);
    assert_memory_equal(traced, "4 load key \"www\" (Ecc256Private): Success, ", 43);
    assert_ptr_equal(strchr(traced, '\n'), traced + strlen(traced) - 1); /* one line */
    azihsm_key_free(key);
    azihsm_key_free(again);
    azihsm_client_free(loud);
    azihsm_client_free(quiet);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commands_have_their_activity),      cmocka_unit_test(quantiles_are_within_a_bucket),
        cmocka_unit_test(operations_and_errors_are_counted), cmocka_unit_test(a_child_begins_at_zero),
        cmocka_unit_test(no_thread_loses_a_count),           cmocka_unit_test(labels_are_told_on_one_line),
        cmocka_unit_test(every_category_tells_its_events),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
