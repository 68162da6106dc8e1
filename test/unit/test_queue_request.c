/* Slots when things go wrong or are not waited for: deadlines, abandoned slots, eventfds, a server that dies. */
#include "queue_fake.h"

#include "transport/queue_device.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/wait.h>

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

static struct azihsm_request *send_text(struct azihsm_device *device, const char *text, int64_t timeout_ms, int *fd)
{
    struct azihsm_request *request;

    assert_int_equal(azihsm_request_acquire(device, in_ms(20000), &request), AZIHSM_OK);
    if (fd != NULL)
        *fd = azihsm_request_event_fd(request);
    request->frame_len = strlen(text) + 1;
    memcpy(request->frame, text, request->frame_len);
    request->deadline_ns = in_ms(timeout_ms);
    assert_int_equal(azihsm_request_submit(request), AZIHSM_OK);
    return request;
}

static bool readable(int fd, int timeout_ms)
{
    struct pollfd event = {.fd = fd, .events = POLLIN};

    return poll(&event, 1, timeout_ms) == 1;
}

static void test_timeout_abandons(void **state)
{
    struct azihsm_endpoint *endpoint;
    struct azihsm_device *device;
    struct queue_device *inside;
    struct azihsm_request *request;

    (void)state;
    fake_start(&fake);
    endpoint = endpoint_to(&fake);
    device = open_device(endpoint);
    inside = (struct queue_device *)device;
    request = send_text(device, "S300", 60000, NULL);
    await_count(&fake.executed, 1);
    request->deadline_ns = in_ms(5);
    assert_int_equal(azihsm_request_wait(request), AZIHSM_E_TIMEOUT);
    assert_int_equal(azihsm_request_wait(request), AZIHSM_E_TIMEOUT);
    azihsm_request_release(request);
    /* The slot is the server's until it lets go, and other slots work meanwhile. */
    assert_int_not_equal(inside->abandoned, 0);
    assert_int_equal(inside->abandoned & inside->free, 0);
    for (int i = 0; i < 100; i++)
        assert_int_equal(echo(device, "meanwhile", 20000), AZIHSM_OK);
    for (int i = 0; i < 1000 && inside->abandoned != 0; i++) {
        usleep(10000);
        assert_int_equal(echo(device, "later", 20000), AZIHSM_OK);
    }
    assert_int_equal(inside->abandoned, 0);
    assert_true(inside->free == UINT64_MAX);
    azihsm_device_close(device);
    azihsm_endpoint_free(endpoint);
    fake_stop(&fake);
}

static void test_all_slots_busy(void **state)
{
    struct azihsm_endpoint *endpoint;
    struct azihsm_device *device;
    struct azihsm_request *requests[QUEUE_SLOTS], *more;

    (void)state;
    fake_start(&fake);
    endpoint = endpoint_to(&fake);
    device = open_device(endpoint);
    for (int i = 0; i < QUEUE_SLOTS; i++)
        requests[i] = send_text(device, "S100", 5000, NULL);
    assert_int_equal(azihsm_request_acquire(device, in_ms(10), &more), AZIHSM_E_BUSY);
    /* Given up without waiting: they come back when the server is through. */
    for (int i = 0; i < QUEUE_SLOTS; i++)
        azihsm_request_release(requests[i]);
    assert_int_equal(azihsm_request_acquire(device, in_ms(5000), &more), AZIHSM_OK);
    azihsm_request_release(more);
    azihsm_device_close(device);
    azihsm_endpoint_free(endpoint);
    fake_stop(&fake);
}

/* Requests that no thread of the server has begun can be withdrawn. */
static void test_withdraw(void **state)
{
    struct azihsm_endpoint *endpoint;
    struct azihsm_device *device;
    struct azihsm_request *first, *second;

    (void)state;
    fake.limits.threads = 1;
    fake_start(&fake);
    endpoint = endpoint_to(&fake);
    device = open_device(endpoint);
    first = send_text(device, "S1500", 60000, NULL);
    await_count(&fake.executed, 1);
    second = send_text(device, "never", 20, NULL);
    assert_int_equal(azihsm_request_wait(second), AZIHSM_E_TIMEOUT);
    azihsm_request_release(second);
    assert_int_equal(((struct queue_device *)device)->abandoned, 0);
    assert_int_equal(azihsm_request_wait(first), AZIHSM_OK);
    azihsm_request_release(first);
    assert_int_equal(echo(device, "next", 5000), AZIHSM_OK);
    assert_int_equal(atomic_load(&fake.executed), 2);
    azihsm_device_close(device);
    azihsm_endpoint_free(endpoint);
    fake_stop(&fake);
}

static void test_event_fd(void **state)
{
    struct azihsm_endpoint *endpoint;
    struct azihsm_device *device;
    struct azihsm_request *requests[16];
    int fds[16];

    (void)state;
    fake_start(&fake);
    endpoint = endpoint_to(&fake);
    device = open_device(endpoint);
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 16; i++) {
            requests[i] = send_text(device, i % 2 == 0 ? "S20" : "now", 5000, &fds[i]);
            assert_true(fds[i] >= 0);
        }
        for (int i = 0; i < 16; i++) {
            while (!azihsm_request_done(requests[i]))
                assert_true(readable(fds[i], 5000));
            assert_true(readable(fds[i], 5000));
            assert_int_equal(azihsm_request_wait(requests[i]), AZIHSM_OK);
            assert_int_equal(requests[i]->response[0], i % 2 == 0 ? 0xff & ~'S' : 0xff & ~'n');
            azihsm_request_release(requests[i]);
        }
    }
    azihsm_device_close(device);
    azihsm_endpoint_free(endpoint);
    fake_stop(&fake);
}

/* The descriptor also tells of the deadline, and a slot's earlier user leaves no false news. */
static void test_event_fd_deadline(void **state)
{
    struct azihsm_endpoint *endpoint;
    struct azihsm_device *device;
    struct azihsm_request *request;
    int fd;

    (void)state;
    fake_start(&fake);
    endpoint = endpoint_to(&fake);
    device = open_device(endpoint);
    request = send_text(device, "S500", 30, &fd);
    assert_true(readable(fd, 5000));
    assert_true(azihsm_request_done(request));
    assert_int_equal(azihsm_request_wait(request), AZIHSM_E_TIMEOUT);
    azihsm_request_release(request);
    for (int i = 0; i < QUEUE_SLOTS; i++) { /* every slot, the abandoned one too */
        request = send_text(device, "S5", 5000, &fd);
        while (!azihsm_request_done(request))
            assert_true(readable(fd, 5000));
        assert_int_equal(azihsm_request_wait(request), AZIHSM_OK);
        azihsm_request_release(request);
    }
    azihsm_device_close(device);
    azihsm_endpoint_free(endpoint);
    fake_stop(&fake);
}

static void *late_kill(void *argument)
{
    usleep(50000);
    kill(*(pid_t *)argument, SIGKILL);
    return NULL;
}

static void test_server_dies(void **state)
{
    struct azihsm_endpoint *endpoint;
    struct azihsm_device *device;
    struct azihsm_request *waiting, *polled;
    pthread_t thread;
    int fd;

    (void)state;
    fake_start_process(&fake);
    endpoint = endpoint_to(&fake);
    device = open_device(endpoint);
    assert_int_equal(echo(device, "alive", 20000), AZIHSM_OK);
    waiting = send_text(device, "S60000", 60000, NULL);
    polled = send_text(device, "S60000", 60000, &fd);
    assert_int_equal(pthread_create(&thread, NULL, late_kill, &fake.child), 0);
    assert_int_equal(azihsm_request_wait(waiting), AZIHSM_E_LOST);
    pthread_join(thread, NULL);
    assert_true(readable(fd, 5000));
    assert_true(azihsm_request_done(polled));
    assert_int_equal(azihsm_request_wait(polled), AZIHSM_E_LOST);
    azihsm_request_release(waiting);
    azihsm_request_release(polled);
    assert_int_equal(echo(device, "dead", 1000), AZIHSM_E_LOST);
    azihsm_device_close(device);
    fake_kill(&fake);
    /* The same endpoint reaches the next daemon. */
    assert_int_equal(azihsm_device_open(endpoint, in_ms(20000), &device, NULL), AZIHSM_E_NO_DEVICE);
    fake_start_process(&fake);
    device = open_device(endpoint);
    assert_int_equal(echo(device, "again", 20000), AZIHSM_OK);
    azihsm_device_close(device);
    azihsm_endpoint_free(endpoint);
    fake_kill(&fake);
}

/*
 * An answer that comes too late spoils the questions after it. The connection then takes no more requests, so that its
 * user gets another; what runs is served.
 */
static void test_late_answer(void **state)
{
    uint8_t data[100] = {0};
    struct azihsm_bulk bulk = {.key_id1 = 1, .src = data, .dst = data, .len = sizeof(data)};
    struct azihsm_endpoint *endpoint;
    struct azihsm_device *device, *other;
    struct azihsm_request *running, *held;
    int status;

    (void)state;
    fake_start_process(&fake);
    endpoint = endpoint_to(&fake);
    device = open_device(endpoint);
    running = send_text(device, "S300", 60000, NULL);
    assert_int_equal(azihsm_request_acquire(device, in_ms(20000), &held), AZIHSM_OK);
    assert_int_equal(kill(fake.child, SIGSTOP), 0);
    assert_int_equal(waitpid(fake.child, &status, WUNTRACED), fake.child); /* it stands still now */
    assert_int_equal(azihsm_device_bulk(device, &bulk, in_ms(50), NULL), AZIHSM_E_TIMEOUT);
    assert_int_equal(kill(fake.child, SIGCONT), 0);
    assert_int_equal(azihsm_device_bulk(device, &bulk, in_ms(20000), NULL), AZIHSM_E_LOST);
    assert_int_equal(echo(device, "more", 20000), AZIHSM_E_LOST);
    assert_int_equal(azihsm_request_event_fd(held), -1);
    azihsm_request_release(held);
    other = open_device(endpoint);
    assert_int_equal(azihsm_device_bulk(other, &bulk, in_ms(20000), NULL), AZIHSM_OK);
    azihsm_device_close(other);
    assert_int_equal(azihsm_request_wait(running), AZIHSM_OK);
    azihsm_request_release(running);
    azihsm_device_close(device);
    azihsm_endpoint_free(endpoint);
    fake_kill(&fake);
}

/* An azihsmd from before the sockets gives an eventfd: what is in it must go, or its poller would spin. */
static void test_event_of_old(void **state)
{
    const uint64_t one = 1;
    struct azihsm_endpoint *endpoint;
    struct azihsm_device *device;
    struct azihsm_request *request;
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

    (void)state;
    fake_start(&fake);
    endpoint = endpoint_to(&fake);
    device = open_device(endpoint);
    assert_int_equal(azihsm_request_acquire(device, in_ms(20000), &request), AZIHSM_OK);
    assert_true(azihsm_request_event_fd(request) >= 0);
    assert_true(dup3(fd, ((struct queue_request *)request)->notify_fd, O_CLOEXEC) >= 0);
    assert_int_equal(write(fd, &one, sizeof(one)), sizeof(one));
    assert_true(readable(fd, 0));
    assert_true(azihsm_request_event_fd(request) >= 0);
    assert_false(readable(fd, 0));
    azihsm_request_release(request);
    close(fd);
    azihsm_device_close(device);
    azihsm_endpoint_free(endpoint);
    fake_stop(&fake);
}

/* A stop completes what was submitted, and tells the clients. */
static void test_drain(void **state)
{
    struct azihsm_endpoint *endpoint;
    struct azihsm_device *device;
    struct azihsm_request *requests[8];

    (void)state;
    fake_start(&fake);
    endpoint = endpoint_to(&fake);
    device = open_device(endpoint);
    for (int i = 0; i < 8; i++)
        requests[i] = send_text(device, "S100", 5000, NULL);
    fake_stop(&fake);
    assert_int_equal(atomic_load(&fake.executed), 8);
    assert_int_equal(atomic_load(&fake.handles), 0);
    for (int i = 0; i < 8; i++) {
        assert_int_equal(azihsm_request_wait(requests[i]), AZIHSM_OK);
        azihsm_request_release(requests[i]);
    }
    assert_int_equal(echo(device, "late", 1000), AZIHSM_E_LOST);
    azihsm_device_close(device);
    azihsm_endpoint_free(endpoint);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown(test_timeout_abandons, set_up, tear_down),
    cmocka_unit_test_setup_teardown(test_all_slots_busy, set_up, tear_down),
    cmocka_unit_test_setup_teardown(test_withdraw, set_up, tear_down),
    cmocka_unit_test_setup_teardown(test_event_fd, set_up, tear_down),
    cmocka_unit_test_setup_teardown(test_event_fd_deadline, set_up, tear_down),
    cmocka_unit_test_setup_teardown(test_server_dies, set_up, tear_down),
    cmocka_unit_test_setup_teardown(test_late_answer, set_up, tear_down),
    cmocka_unit_test_setup_teardown(test_event_of_old, set_up, tear_down),
    cmocka_unit_test_setup_teardown(test_drain, set_up, tear_down),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
