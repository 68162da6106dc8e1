/* The queue end to end over an echoing device: round trips, threads, bulk, asynchronous completion, forks, loss. */
#include "queue_fake.h"

#include <pthread.h>

static struct fake fake;

static int set_up(void **state)
{
    (void)state;
    fake_make(&fake);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    fake_remove(&fake);
    return 0;
}

static void test_round_trip(void **state)
{
    struct azihsm_endpoint *endpoint;
    struct azihsm_device *device;
    struct azihsm_device_strings strings;
    uint8_t credential[QUEUE_CREDENTIAL_SIZE];

    (void)state;
    fake_start(&fake);
    endpoint = endpoint_to(&fake);
    device = open_device(endpoint);
    assert_true(azihsm_device_credential(device, credential));
    assert_memory_equal(credential, fake_credential, sizeof(credential));
    for (int i = 0; i < 1000; i++)
        assert_int_equal(echo(device, "hello", 20000), AZIHSM_OK);
    assert_int_equal(echo(device, "X\x0b", 1000), AZIHSM_STATUS_FILE_HANDLE_SESSION_LIMIT_REACHED);
    assert_int_equal(azihsm_device_info(device, &strings), AZIHSM_OK);
    assert_string_equal(strings.driver_version, "1.2.3");
    assert_int_equal(azihsm_device_reset(device, in_ms(20000)), AZIHSM_OK);
    assert_int_equal(atomic_load(&fake.resets), 1);
    azihsm_device_close(device);
    assert_int_equal(atomic_load(&fake.handles), 0); /* close waits for the server */
    azihsm_endpoint_free(endpoint);
    await_count(&fake.families, 0);
    fake_stop(&fake);
}

enum { THREADS = 64, ROUNDS = 200 };

static void *echo_thread(void *argument)
{
    char text[32];
    intptr_t failed = 0;

    for (int i = 0; i < ROUNDS; i++) {
        snprintf(text, sizeof(text), "%p %d", (void *)&text, i);
        failed += echo(argument, text, 20000) != AZIHSM_OK;
    }
    return (void *)failed;
}

static void run_threads(struct azihsm_device *device, unsigned count)
{
    pthread_t threads[2 * THREADS];
    void *failed;

    for (unsigned i = 0; i < count; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, echo_thread, device), 0);
    for (unsigned i = 0; i < count; i++) {
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
}

static void test_threads(void **state)
{
    struct azihsm_endpoint *endpoint;
    struct azihsm_device *device;

    (void)state;
    fake_start(&fake);
    endpoint = endpoint_to(&fake);
    device = open_device(endpoint);
    run_threads(device, THREADS);
    run_threads(device, 2 * THREADS); /* more than slots */
    assert_int_equal(atomic_load(&fake.executed), 3 * THREADS * ROUNDS);
    azihsm_device_close(device);
    azihsm_endpoint_free(endpoint);
    fake_stop(&fake);
}

/* Slots stand in line for threads. */
static void test_few_server_threads(void **state)
{
    struct azihsm_endpoint *endpoint;
    struct azihsm_device *device;
    struct queue_counters counters;

    (void)state;
    fake.limits.threads = 2;
    fake_start(&fake);
    endpoint = endpoint_to(&fake);
    device = open_device(endpoint);
    run_threads(device, THREADS);
    queue_server_counters(fake.server, &counters);
    assert_true(counters.threads <= 2);
    azihsm_device_close(device);
    azihsm_endpoint_free(endpoint);
    fake_stop(&fake);
}

/* Threads unbind while clients submit: nothing may be left behind. */
static void test_idle_threads(void **state)
{
    struct azihsm_endpoint *endpoint;
    struct azihsm_device *device;

    (void)state;
    fake.limits.idle_ms = 1;
    fake_start(&fake);
    endpoint = endpoint_to(&fake);
    device = open_device(endpoint);
    for (int i = 0; i < 500; i++) {
        assert_int_equal(echo(device, "idle", 5000), AZIHSM_OK);
        usleep(900 + (unsigned)i % 300);
    }
    azihsm_device_close(device);
    azihsm_endpoint_free(endpoint);
    fake_stop(&fake);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown(test_round_trip, set_up, tear_down),
    cmocka_unit_test_setup_teardown(test_threads, set_up, tear_down),
    cmocka_unit_test_setup_teardown(test_few_server_threads, set_up, tear_down),
    cmocka_unit_test_setup_teardown(test_idle_threads, set_up, tear_down),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
