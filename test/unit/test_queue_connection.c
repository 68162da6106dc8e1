/* Clients that break the rules, or die: only they are dropped. */
#include "queue_fake.h"

#include "transport/queue_device.h"
#include "transport/queue_message.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>

static struct fake fake;
static struct azihsm_endpoint *endpoint;
static struct azihsm_device *honest;

static int set_up(void **state)
{
    (void)state;
    fake_make(&fake);
    fake_start(&fake);
    endpoint = endpoint_to(&fake);
    honest = open_device(endpoint);
    return 0;
}

/* Whatever the hostile client did: the honest one is served, a new one too, and nothing is left of the hostile. */
static int tear_down(void **state)
{
    struct azihsm_endpoint *another = endpoint_to(&fake);
    struct azihsm_device *device = open_device(another);

    (void)state;
    assert_int_equal(echo(device, "newcomer", 5000), AZIHSM_OK);
    azihsm_device_close(device);
    azihsm_endpoint_free(another);
    assert_int_equal(echo(honest, "still here", 5000), AZIHSM_OK);
    azihsm_device_close(honest);
    azihsm_endpoint_free(endpoint);
    await_count(&fake.handles, 0);
    await_count(&fake.families, 0);
    fake_stop(&fake);
    fake_remove(&fake);
    return 0;
}

static int raw_connect(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    strcpy(address.sun_path, fake.path);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

/* The server closes the connection, perhaps after an answer. */
static bool closed(int fd)
{
    char buffer[1024];
    ssize_t got;

    do {
        struct pollfd event = {.fd = fd, .events = POLLIN};

        if (poll(&event, 1, 5000) != 1)
            return false;
        got = recv(fd, buffer, sizeof(buffer), 0);
    } while (got > 0);
    return true;
}

static void test_bad_first_messages(void **state)
{
    struct queue_message message;
    uint8_t noise[3000];
    int fd;

    (void)state;
    for (size_t i = 0; i < sizeof(noise); i++)
        noise[i] = (uint8_t)(i * 31);
    for (size_t len = 1; len < sizeof(noise); len += 97) {
        fd = raw_connect();
        assert_int_equal(send(fd, noise, len, 0), len);
        assert_true(closed(fd));
        close(fd);
    }
    for (uint32_t type = 0; type < 10; type++) {
        fd = raw_connect();
        queue_message_init(&message, (enum queue_message_type)type);
        memset(message.partition, 'x', sizeof(message.partition)); /* no NUL */
        message.ticket_len = UINT32_MAX;
        message.index = UINT32_MAX;
        message.size = UINT64_MAX;
        assert_int_equal(queue_message_send(fd, &message, NULL, 0), 1);
        assert_true(closed(fd));
        close(fd);
    }
    fd = raw_connect();
    queue_message_init(&message, QUEUE_HELLO);
    message.version = 99;
    strcpy(message.partition, "default");
    assert_int_equal(queue_message_send(fd, &message, NULL, 0), 1);
    assert_true(closed(fd));
    close(fd);
}

/* Descriptors nobody asked for are closed; things that are no sockets are not adopted. */
static void test_unwanted_descriptors(void **state)
{
    struct queue_message message;
    struct queue_counters before, after;
    int pipes[2], fd;

    (void)state;
    assert_int_equal(pipe(pipes), 0);
    queue_server_counters(fake.server, &before);
    fd = raw_connect();
    queue_message_init(&message, QUEUE_HELLO);
    strcpy(message.partition, "default");
    assert_int_equal(queue_message_send(fd, &message, pipes, 2), 1);
    assert_true(closed(fd));
    close(fd);
    fd = raw_connect();
    message.flags = QUEUE_CONTROL;
    assert_int_equal(queue_message_send(fd, &message, NULL, 0), 1);
    for (int i = 0; i < 50; i++) {
        queue_message_init(&message, QUEUE_ATTACH);
        assert_int_equal(queue_message_send(fd, &message, &pipes[1], 1), 1);
    }
    usleep(100000);
    queue_server_counters(fake.server, &after);
    assert_true(after.connections <= before.connections + 1);
    close(fd);
    close(pipes[0]);
    close(pipes[1]);
}

/* Sends a client's own words into a slot. The device is lost afterwards. */
static void hostile_slot(void (*poison)(struct queue_slot *slot, uint8_t *frame))
{
    struct azihsm_device *device = open_device(endpoint);
    struct queue_device *inside = (struct queue_device *)device;
    uint64_t one = 1;

    assert_int_equal(echo(device, "innocent", 20000), AZIHSM_OK);
    for (unsigned i = 0; i < QUEUE_SLOTS; i++) {
        struct queue_slot *slot = &inside->shared->slot[i];

        slot->operation = QUEUE_EXECUTE;
        slot->request_len = 4;
        slot->cpu = 0xfffffff0;
        poison(slot, inside->shared->frames[i].request);
        __atomic_store_n(&slot->word, QUEUE_SUBMITTED, __ATOMIC_SEQ_CST);
        futex_wake(&slot->word, 1);
    }
    assert_int_equal(write(inside->doorbell, &one, sizeof(one)), sizeof(one));
    for (int i = 0; i < 5000 && !queue_check_lost(inside); i++)
        usleep(1000);
    assert_true(queue_check_lost(inside));
    azihsm_device_close(device);
}

static void long_request(struct queue_slot *slot, uint8_t *frame)
{
    (void)frame;
    slot->request_len = 8193;
}

static void huge_request(struct queue_slot *slot, uint8_t *frame)
{
    (void)frame;
    slot->request_len = UINT32_MAX;
}

static void bad_kind(struct queue_slot *slot, uint8_t *frame)
{
    (void)frame;
    slot->session_kind = 200;
}

static void bad_operation(struct queue_slot *slot, uint8_t *frame)
{
    (void)frame;
    slot->operation = 77;
}

static void bulk_without_area(struct queue_slot *slot, uint8_t *frame)
{
    struct queue_bulk_request request = {.area = 3, .len = 10};

    slot->operation = QUEUE_BULK;
    memcpy(frame, &request, sizeof(request));
}

static void bulk_area_number(struct queue_slot *slot, uint8_t *frame)
{
    struct queue_bulk_request request = {.area = 255, .len = 10};

    slot->operation = QUEUE_BULK;
    memcpy(frame, &request, sizeof(request));
}

static void test_hostile_slots(void **state)
{
    (void)state;
    hostile_slot(long_request);
    hostile_slot(huge_request);
    hostile_slot(bad_kind);
    hostile_slot(bad_operation);
    hostile_slot(bulk_without_area);
    hostile_slot(bulk_area_number);
}

/* Lengths that overrun a bulk area that exists. */
static void test_hostile_bulk(void **state)
{
    static const uint64_t lengths[][2] = {{0, UINT64_MAX}, {UINT64_MAX, 1}, {UINT64_MAX - 62, 64},
                                          {1, 65536},      {65536, 1},      {65473, 64}};
    uint8_t byte = 0;

    (void)state;
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        struct azihsm_device *device = open_device(endpoint);
        struct azihsm_bulk bulk = {.src = &byte, .dst = &byte, .len = 1};
        struct queue_bulk_request request = {.area = 0, .aad_len = lengths[i][0], .len = lengths[i][1]};
        struct azihsm_request *base;

        assert_int_equal(azihsm_device_bulk(device, &bulk, in_ms(20000), NULL), AZIHSM_OK);
        assert_int_equal(azihsm_request_acquire(device, in_ms(20000), &base), AZIHSM_OK);
        memcpy(base->frame, &request, sizeof(request));
        base->frame_len = sizeof(request);
        base->deadline_ns = in_ms(5000);
        ((struct queue_request *)base)->operation = QUEUE_BULK;
        assert_int_equal(azihsm_request_submit(base), AZIHSM_OK);
        assert_int_equal(azihsm_request_wait(base), AZIHSM_E_LOST);
        azihsm_request_release(base);
        azihsm_device_close(device);
    }
}

/* A client scribbles over its control memory without end while others work. */
static void test_scribbler(void **state)
{
    struct azihsm_device *device = open_device(endpoint);
    struct queue_device *inside = (struct queue_device *)device;
    int64_t end = in_ms(300);
    uint32_t noise = 12345;
    uint64_t one = 1;

    (void)state;
    while (clock_now() < end) {
        for (unsigned i = 0; i < QUEUE_SLOTS; i++) {
            struct queue_slot *slot = &inside->shared->slot[i];

            noise = noise * 1103515245u + 12345u;
            __atomic_store_n(&slot->word, (noise >> 16) & 0x7ff, __ATOMIC_SEQ_CST);
            slot->operation = (noise >> 8) & 1 ? QUEUE_EXECUTE : (uint8_t)(noise >> 9);
            slot->request_len = noise >> 20;
            if (i % 8 == 0)
                futex_wake(&slot->word, 1);
        }
        if (write(inside->doorbell, &one, sizeof(one)) < 0)
            break;
        assert_int_equal(echo(honest, "x", 5000), AZIHSM_OK);
    }
    azihsm_device_close(device);
}

static void submit_notified(struct azihsm_request *base)
{
    assert_true(azihsm_request_event_fd(base) >= 0);
    base->frame[0] = 'x';
    base->frame_len = 1;
    base->deadline_ns = in_ms(5000);
    assert_int_equal(azihsm_request_submit(base), AZIHSM_OK);
    assert_int_equal(azihsm_request_wait(base), AZIHSM_OK);
}

/*
 * A client that lets its descriptor wait and fills it (an eventfd by one write, a socket by leaving unread what it is
 * sent) holds no thread of the server: the same slot is served on and on.
 */
static void test_full_notification(void **state)
{
    struct azihsm_device *device = open_device(endpoint);
    struct azihsm_request *base;
    struct queue_request *request;
    uint64_t full = UINT64_MAX - 1;

    (void)state;
    assert_int_equal(azihsm_request_acquire(device, in_ms(20000), &base), AZIHSM_OK);
    request = (struct queue_request *)base;
    submit_notified(base);
    assert_int_equal(fcntl(request->notify_fd, F_SETFL, 0), 0);
    assert_int_equal(write(request->notify_fd, &full, sizeof(full)), sizeof(full));
    for (int i = 0; i < 2000; i++) {
        base->deadline_ns = in_ms(5000);
        assert_int_equal(queue_submit(base), AZIHSM_OK);
        assert_int_equal(queue_wait_done(request), AZIHSM_OK);
    }
    azihsm_request_release(base);
    azihsm_device_close(device);
}

/* Asking again for a slot replaces the socket; the old one only hangs up. */
static void test_notification_again(void **state)
{
    struct azihsm_device *device = open_device(endpoint);
    struct azihsm_request *base;
    struct queue_request *request;
    struct pollfd event;
    int first;

    (void)state;
    assert_int_equal(azihsm_request_acquire(device, in_ms(20000), &base), AZIHSM_OK);
    request = (struct queue_request *)base;
    submit_notified(base);
    first = dup(request->notify_fd);
    queue_event_free(request);
    submit_notified(base);
    event = (struct pollfd){.fd = request->notify_fd, .events = POLLIN};
    assert_int_equal(poll(&event, 1, 5000), 1);
    assert_int_equal(event.revents, POLLIN);
    event.fd = first;
    assert_int_equal(poll(&event, 1, 5000), 1);
    assert_true((event.revents & POLLHUP) != 0);
    close(first);
    azihsm_request_release(base);
    azihsm_device_close(device);
}

/* The doorbell made blocking, rung without end, and drained by the client. */
static void test_doorbell_flood(void **state)
{
    struct azihsm_device *device = open_device(endpoint);
    struct queue_device *inside = (struct queue_device *)device;
    int64_t end = in_ms(200);
    uint64_t value = 1;

    (void)state;
    assert_int_equal(fcntl(inside->doorbell, F_SETFL, 0), 0);
    while (clock_now() < end) {
        for (int i = 0; i < 100; i++) {
            assert_int_equal(write(inside->doorbell, &value, sizeof(value)), sizeof(value));
            assert_int_equal(read(inside->doorbell, &value, sizeof(value)), sizeof(value));
            value = 1;
        }
        assert_int_equal(echo(honest, "x", 5000), AZIHSM_OK);
    }
    assert_int_equal(write(inside->doorbell, &value, sizeof(value)), sizeof(value));
    azihsm_device_close(device);
}

/* The memory is sealed: nobody can cut it short under the server. */
static void test_sealed(void **state)
{
    struct queue_message message;
    int fds[QUEUE_MESSAGE_FDS], fd = raw_connect();
    size_t fd_count;

    (void)state;
    queue_message_init(&message, QUEUE_HELLO);
    strcpy(message.partition, "default");
    assert_int_equal(queue_message_send(fd, &message, NULL, 0), 1);
    assert_int_equal(queue_message_await(fd, QUEUE_WELCOME, in_ms(5000), &message, fds, &fd_count), AZIHSM_OK);
    assert_int_equal(fd_count, 2);
    assert_int_equal(ftruncate(fds[0], 0), -1);
    assert_int_equal(ftruncate(fds[0], 1 << 24), -1);
    assert_int_equal(fcntl(fds[0], F_ADD_SEALS, F_SEAL_WRITE), -1);
    queue_close_fds(fds, fd_count);
    close(fd);
}

static void test_killed_clients(void **state)
{
    (void)state;
    for (int i = 0; i < 10; i++) {
        pid_t child = fork();

        if (child == 0) {
            struct azihsm_endpoint *own = endpoint_to(&fake);
            struct azihsm_device *device = open_device(own);
            struct azihsm_request *request;

            if (azihsm_request_acquire(device, in_ms(20000), &request) != AZIHSM_OK)
                _exit(1);
            strcpy((char *)request->frame, "S30");
            request->frame_len = 4;
            request->deadline_ns = in_ms(5000);
            azihsm_request_submit(request);
            kill(getpid(), SIGKILL);
        }
        child_status(child);
    }
    await_count(&fake.handles, 1);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown(test_bad_first_messages, set_up, tear_down),
    cmocka_unit_test_setup_teardown(test_unwanted_descriptors, set_up, tear_down),
    cmocka_unit_test_setup_teardown(test_hostile_slots, set_up, tear_down),
    cmocka_unit_test_setup_teardown(test_hostile_bulk, set_up, tear_down),
    cmocka_unit_test_setup_teardown(test_scribbler, set_up, tear_down),
    cmocka_unit_test_setup_teardown(test_full_notification, set_up, tear_down),
    cmocka_unit_test_setup_teardown(test_notification_again, set_up, tear_down),
    cmocka_unit_test_setup_teardown(test_doorbell_flood, set_up, tear_down),
    cmocka_unit_test_setup_teardown(test_sealed, set_up, tear_down),
    cmocka_unit_test_setup_teardown(test_killed_clients, set_up, tear_down),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
