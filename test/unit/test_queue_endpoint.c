/* Reaching the server later: from children, from a chroot, as another user, after a restart, with a ticket. */
#include "queue_fake.h"

#include <fcntl.h>
#include <grp.h>

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

/* In a child: opens a handle of its own and uses it. Exit status 0 or the step that failed. */
static int child_uses(struct azihsm_endpoint *endpoint)
{
    struct azihsm_error err = {0};
    struct azihsm_device *device;

    if (azihsm_device_open(endpoint, in_ms(5000), &device, &err) != AZIHSM_OK) {
        fprintf(stderr, "child: %s\n", err.text);
        return 1;
    }
    if (echo(device, "child", 5000) != AZIHSM_OK)
        return 2;
    azihsm_device_close(device);
    return 0;
}

static void test_fork(void **state)
{
    struct azihsm_endpoint *endpoint;
    struct azihsm_device *device;
    struct azihsm_request *request;
    void *family;
    pid_t child;

    (void)state;
    fake_start(&fake);
    endpoint = endpoint_to(&fake);
    azihsm_endpoint_prepare(endpoint, 20000);
    device = open_device(endpoint);
    family = atomic_load(&fake.last_family);
    assert_int_equal(azihsm_request_acquire(device, in_ms(20000), &request), AZIHSM_OK);
    child = fork();
    if (child == 0) {
        struct azihsm_device_strings strings;
        int status;

        azihsm_device_atfork_child();
        if (echo(device, "stolen", 100) != AZIHSM_E_NOT_OWNER || azihsm_request_submit(request) != AZIHSM_E_NOT_OWNER ||
            azihsm_request_wait(request) != AZIHSM_E_NOT_OWNER || !azihsm_request_done(request) ||
            azihsm_request_event_fd(request) != -1 || azihsm_device_info(device, &strings) != AZIHSM_E_NOT_OWNER ||
            azihsm_device_reset(device, in_ms(100)) != AZIHSM_E_NOT_OWNER)
            _exit(10);
        azihsm_request_release(request);
        azihsm_device_close(device);
        status = child_uses(endpoint);
        azihsm_endpoint_free(endpoint);
        _exit(status);
    }
    assert_int_equal(child_status(child), 0);
    assert_ptr_equal(atomic_load(&fake.last_family), family); /* the child's handle was of the parent's family */
    assert_int_equal(atomic_load(&fake.families), 1);
    azihsm_request_release(request);
    assert_int_equal(echo(device, "parent goes on", 20000), AZIHSM_OK);
    azihsm_device_close(device);
    azihsm_endpoint_free(endpoint);
    await_count(&fake.families, 0);
    fake_stop(&fake);
}

static void test_many_children(void **state)
{
    struct azihsm_endpoint *endpoint;
    pid_t children[32];

    (void)state;
    fake_start(&fake);
    endpoint = endpoint_to(&fake);
    azihsm_endpoint_prepare(endpoint, 20000);
    for (int i = 0; i < 32; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            azihsm_device_atfork_child();
            _exit(child_uses(endpoint));
        }
    }
    for (int i = 0; i < 32; i++)
        assert_int_equal(child_status(children[i]), 0);
    await_count(&fake.handles, 0);
    assert_int_equal(atomic_load(&fake.families), 1);
    azihsm_endpoint_free(endpoint);
    fake_stop(&fake);
}

/* The opener dies while its child, forked without any handler, still holds the socket. */
static void test_opener_dies(void **state)
{
    struct azihsm_endpoint *endpoint;
    pid_t child, grandchild;
    int ends[2];

    (void)state;
    fake_start(&fake);
    assert_int_equal(pipe(ends), 0);
    child = fork();
    if (child == 0) {
        endpoint = endpoint_to(&fake);
        if (azihsm_device_open(endpoint, in_ms(5000), &(struct azihsm_device *){NULL}, NULL) != AZIHSM_OK)
            _exit(1);
        grandchild = fork();
        if (grandchild == 0) {
            for (;;)
                pause();
        }
        if (write(ends[1], &grandchild, sizeof(grandchild)) != sizeof(grandchild))
            _exit(2);
        for (;;)
            pause();
    }
    assert_int_equal(read(ends[0], &grandchild, sizeof(grandchild)), sizeof(grandchild));
    await_count(&fake.handles, 1);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    await_count(&fake.handles, 0);
    kill(grandchild, SIGKILL);
    await_count(&fake.families, 0);
    close(ends[0]);
    close(ends[1]);
    fake_stop(&fake);
}

static int drop_privileges(const char *root)
{
    if (chroot(root) != 0 || chdir("/") != 0 || setgroups(0, NULL) != 0 || setgid(65534) != 0 || setuid(65534) != 0)
        return -1;
    return access(fake.path, F_OK) == 0 ? -1 : 0; /* the path must be out of sight */
}

/* A server's worker: chroot, user nobody; attached through the inherited connection, then after a restart by ticket. */
static void test_chroot_and_ticket(void **state)
{
    struct azihsm_endpoint *endpoint;
    char jail[64] = "/tmp/azihsm-jail-XXXXXX";
    int go[2], done[2];
    pid_t child;
    char byte;

    (void)state;
    if (geteuid() != 0) {
        print_message("needs root: chroot and setuid are not tested\n");
        skip();
    }
    assert_non_null(mkdtemp(jail));
    assert_int_equal(pipe(go) | pipe(done), 0);
    fake.only_uid = 1; /* root only: nobody needs the ticket */
    fake_start_process(&fake);
    endpoint = endpoint_to(&fake);
    azihsm_endpoint_prepare(endpoint, 20000);
    child = fork();
    if (child == 0) {
        azihsm_device_atfork_child();
        if (drop_privileges(jail) != 0)
            _exit(20);
        if (child_uses(endpoint) != 0)
            _exit(21);
        if (write(done[1], "1", 1) != 1 || read(go[0], &byte, 1) != 1)
            _exit(22);
        _exit(child_uses(endpoint));
    }
    assert_int_equal(read(done[0], &byte, 1), 1);
    fake_kill(&fake);
    fake_start_process(&fake);
    assert_int_equal(write(go[1], "1", 1), 1);
    assert_int_equal(child_status(child), 0);
    azihsm_endpoint_free(endpoint);
    fake_kill(&fake);
    rmdir(jail);
    close(go[0]), close(go[1]), close(done[0]), close(done[1]);
}

static void test_revoked_ticket(void **state)
{
    struct azihsm_endpoint *endpoint;
    struct azihsm_device *device;
    struct azihsm_error err;
    pid_t child;

    (void)state;
    if (geteuid() != 0) {
        print_message("needs root: setuid is not tested\n");
        skip();
    }
    fake.only_uid = 1;
    fake_start_process(&fake);
    endpoint = endpoint_to(&fake);
    azihsm_endpoint_prepare(endpoint, 20000);
    fake_kill(&fake);
    fake.epoch++;
    fake_start_process(&fake);
    child = fork();
    if (child == 0) {
        if (setgroups(0, NULL) != 0 || setgid(65534) != 0 || setuid(65534) != 0)
            _exit(20);
        if (azihsm_device_open(endpoint, in_ms(2000), &device, &err) != AZIHSM_E_PERMISSION)
            _exit(21);
        _exit(strstr(err.text, fake.path) != NULL ? 0 : 22);
    }
    assert_int_equal(child_status(child), 0);
    azihsm_endpoint_free(endpoint);
    fake_kill(&fake);
}

static void test_errors_say_what_to_do(void **state)
{
    struct azihsm_endpoint_config config = {.device = fake.address, .partition = "other"};
    struct azihsm_endpoint *endpoint = endpoint_to(&fake);
    struct azihsm_device *device;
    struct azihsm_error err;

    (void)state;
    azihsm_endpoint_prepare(endpoint, 100); /* silent */
    assert_int_equal(azihsm_device_open(endpoint, in_ms(20000), &device, &err), AZIHSM_E_NO_DEVICE);
    assert_non_null(strstr(err.text, fake.path));
    assert_non_null(strstr(err.text, "azihsmd"));
    fake_start(&fake);
    device = open_device(endpoint); /* it came up meanwhile */
    azihsm_device_close(device);
    azihsm_endpoint_free(endpoint);
    assert_int_equal(azihsm_endpoint_new(&config, &endpoint, NULL), AZIHSM_OK);
    assert_int_equal(azihsm_device_open(endpoint, in_ms(20000), &device, &err), AZIHSM_E_NO_DEVICE);
    assert_non_null(strstr(err.text, "\"other\""));
    azihsm_endpoint_free(endpoint);
    fake_stop(&fake);
}

static int open_descriptors(void)
{
    int count = 0;

    for (int fd = 0; fd < 1024; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static void test_no_leaks(void **state)
{
    struct azihsm_endpoint *endpoint;
    struct azihsm_request *request;
    struct azihsm_device *device;
    int before = open_descriptors();

    (void)state;
    for (int i = 0; i < 20; i++) {
        fake_start(&fake);
        endpoint = endpoint_to(&fake);
        device = open_device(endpoint);
        assert_int_equal(azihsm_request_acquire(device, in_ms(20000), &request), AZIHSM_OK);
        assert_true(azihsm_request_event_fd(request) >= 0);
        azihsm_request_release(request);
        azihsm_device_close(device);
        azihsm_endpoint_free(endpoint);
        fake_stop(&fake);
    }
    assert_int_equal(open_descriptors(), before);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown(test_fork, set_up, tear_down),
    cmocka_unit_test_setup_teardown(test_many_children, set_up, tear_down),
    cmocka_unit_test_setup_teardown(test_opener_dies, set_up, tear_down),
    cmocka_unit_test_setup_teardown(test_chroot_and_ticket, set_up, tear_down),
    cmocka_unit_test_setup_teardown(test_revoked_ticket, set_up, tear_down),
    cmocka_unit_test_setup_teardown(test_errors_say_what_to_do, set_up, tear_down),
    cmocka_unit_test_setup_teardown(test_no_leaks, set_up, tear_down),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
