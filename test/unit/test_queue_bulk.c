/* Bulk operations through the queue's memory areas. */
#include "queue_fake.h"

#include "transport/queue_device.h"

#include <pthread.h>

/* What may be begun without waiting. */
enum { STEPS = QUEUE_BULK_AREAS - 1 };

static struct fake fake;
static struct azihsm_endpoint *endpoint;
static struct azihsm_device *device;

static int set_up(void **state)
{
    (void)state;
    fake_make(&fake);
    fake_start(&fake);
    endpoint = endpoint_to(&fake);
    device = open_device(endpoint);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    azihsm_device_close(device);
    azihsm_endpoint_free(endpoint);
    fake_stop(&fake);
    fake_remove(&fake);
    return 0;
}

/* 0 when the data came back as the fake makes it. */
static int run_bulk(size_t len, size_t aad_len)
{
    uint8_t *data = malloc(len + 1), *out = malloc(len + 1);
    uint8_t aad[40];
    struct azihsm_bulk bulk = {.key_id1 = 1, .aad = {aad, aad_len}, .src = data, .dst = out, .len = len};
    int bad = 0;

    memset(aad, 0x77, sizeof(aad));
    for (size_t i = 0; i < len; i++)
        data[i] = (uint8_t)(i * 7);
    bad = azihsm_device_bulk(device, &bulk, in_ms(30000), NULL) != AZIHSM_OK;
    for (size_t i = 0; !bad && i < len; i++)
        bad = out[i] != ((uint8_t)(i * 7) ^ 0x5a);
    bad |= !bulk.fips_approved || bulk.tag[3] != (aad_len != 0 ? 0x77 : 0);
    free(data);
    free(out);
    return bad;
}

static void test_sizes(void **state)
{
    static const size_t sizes[] = {1, 16, 4096, 65536 - 64, 65536, 1 << 20, (5 << 20) + 3, 64 << 20, 100};

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        assert_int_equal(run_bulk(sizes[i], i % 2 * 20), 0);
}

static void test_too_large(void **state)
{
    uint8_t byte;
    struct azihsm_bulk bulk = {.src = &byte, .dst = &byte, .len = QUEUE_BULK_MAX};

    (void)state;
    assert_int_equal(azihsm_device_bulk(device, &bulk, in_ms(20000), NULL), AZIHSM_E_ARGUMENT);
    bulk.len = SIZE_MAX - 10;
    assert_int_equal(azihsm_device_bulk(device, &bulk, in_ms(20000), NULL), AZIHSM_E_ARGUMENT);
}

static void test_refused(void **state)
{
    uint8_t data[4] = "abc";
    struct azihsm_bulk bulk = {.key_id1 = 99, .src = data, .dst = data, .len = 4};
    struct azihsm_error err;

    (void)state;
    assert_int_equal(azihsm_device_bulk(device, &bulk, in_ms(20000), &err), AZIHSM_E_FAST_PATH);
    assert_non_null(strstr(err.text, "109"));
    assert_memory_equal(data, "abc", 4);
}

static void *bulk_thread(void *argument)
{
    intptr_t bad = 0;

    for (size_t i = 0; i < 30; i++)
        bad += run_bulk(1000 * (i + 1) + (size_t)(intptr_t)argument, i % 3);
    return (void *)bad;
}

static void test_threads(void **state)
{
    pthread_t threads[12];
    void *bad;

    (void)state;
    for (intptr_t i = 0; i < 12; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, bulk_thread, (void *)i), 0);
    for (int i = 0; i < 12; i++) {
        pthread_join(threads[i], &bad);
        assert_null(bad);
    }
}

/* In steps, without waiting: one after another takes an area, the last is left to who waits, and all come back. */
static void test_steps(void **state)
{
    uint8_t data[100], out[100];
    struct azihsm_bulk bulk = {.key_id1 = 1, .src = data, .dst = out, .len = sizeof(data)};
    struct azihsm_request *requests[STEPS], *one_more;
    struct pollfd ready = {.events = POLLIN};

    (void)state;
    memset(data, 3, sizeof(data));
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < STEPS; i++)
            assert_int_equal(azihsm_device_bulk_begin(device, &bulk, in_ms(20000), &requests[i], NULL), AZIHSM_OK);
        assert_int_equal(azihsm_device_bulk_begin(device, &bulk, in_ms(20000), &one_more, NULL), AZIHSM_E_BUSY);
        assert_null(one_more);
        assert_int_equal(run_bulk(1000, 0), 0); /* what blocks does not wait for jobs that its own thread must resume */
        assert_int_equal(azihsm_request_acquire(device, in_ms(20000), &one_more), AZIHSM_OK); /* slots are left */
        azihsm_request_release(one_more);
        for (int i = 0; i < STEPS - 1; i++) { /* the last is never submitted */
            ready.fd = azihsm_request_event_fd(requests[i]);
            assert_true(ready.fd >= 0);
            assert_int_equal(azihsm_request_submit(requests[i]), AZIHSM_OK);
            assert_int_equal(poll(&ready, 1, 20000), 1);
            assert_true(azihsm_request_done(requests[i]));
            memset(out, 0, sizeof(out));
            bulk.fips_approved = false;
            assert_int_equal(azihsm_device_bulk_finish(requests[i], &bulk, NULL), AZIHSM_OK);
            assert_true(bulk.fips_approved);
            for (size_t k = 0; k < sizeof(out); k++)
                assert_int_equal(out[k], 3 ^ 0x5a);
        }
        for (int i = 0; i < STEPS; i++)
            azihsm_request_release(requests[i]);
    }
}

/* Begins a request that the server holds until it is let go, and gives it up; its area. */
static int give_up_one(void)
{
    static uint8_t data[100];
    struct azihsm_bulk bulk = {.key_id1 = 98, .src = data, .dst = data, .len = sizeof(data)};
    struct azihsm_request *request;
    int area, before = atomic_load(&fake.bulks);

    assert_int_equal(azihsm_device_bulk_begin(device, &bulk, in_ms(20000), &request, NULL), AZIHSM_OK);
    area = ((struct queue_request *)request)->area;
    assert_int_equal(azihsm_request_submit(request), AZIHSM_OK);
    await_count(&fake.bulks, before + 1);
    azihsm_request_release(request);
    return area;
}

static void *let_go_later(void *arg)
{
    (void)arg;
    usleep(100000);
    atomic_store(&fake.hold, false);
    return NULL;
}

/* The area of a request given up is nobody's until the server has let go of it: it might work in another's data. */
static void test_given_up(void **state)
{
    const struct queue_device *inside = (const struct queue_device *)device;
    struct azihsm_bulk bulk = {.key_id1 = 98};
    uint8_t data[100] = {0};
    pthread_t thread;
    unsigned taken = 0;

    (void)state;
    atomic_store(&fake.hold, true);
    for (int i = 0; i < STEPS; i++) {
        int area = give_up_one();

        assert_true(inside->areas[area].busy);
        assert_int_equal(taken & 1U << area, 0);
        taken |= 1U << area;
        assert_int_equal(run_bulk(1000, 0), 0);
    }
    bulk.src = bulk.dst = data;
    bulk.len = sizeof(data);
    assert_int_equal(azihsm_device_bulk(device, &bulk, in_ms(100), NULL), AZIHSM_E_TIMEOUT);
    assert_int_equal(azihsm_device_bulk(device, &bulk, in_ms(20), NULL), AZIHSM_E_BUSY);
    assert_int_equal(pthread_create(&thread, NULL, let_go_later, NULL), 0);
    assert_int_equal(run_bulk(1000, 0), 0);
    pthread_join(thread, NULL);
    for (int i = 0; i < 1000 && inside->abandoned != 0; i++) {
        usleep(10000);
        assert_int_equal(run_bulk(1000, 0), 0);
    }
    for (int i = 0; i < QUEUE_BULK_AREAS; i++)
        assert_false(inside->areas[i].busy);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown(test_sizes, set_up, tear_down),
    cmocka_unit_test_setup_teardown(test_too_large, set_up, tear_down),
    cmocka_unit_test_setup_teardown(test_refused, set_up, tear_down),
    cmocka_unit_test_setup_teardown(test_threads, set_up, tear_down),
    cmocka_unit_test_setup_teardown(test_steps, set_up, tear_down),
    cmocka_unit_test_setup_teardown(test_given_up, set_up, tear_down),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
