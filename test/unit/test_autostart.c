/* Starting a private daemon. The daemon here is this program again, called with --user. */
#include "queue_fake.h"

#include "transport/autostart.h"

#include <dirent.h>
#include <fcntl.h>

static struct fake fake;

/* ---- as the daemon: azihsmd --user --socket PATH --ready-fd N ---- */

static int open_descriptors(void)
{
    int count = 0;

    for (int fd = 0; fd < 1024; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

/* Leaves "pid descriptors session-leader" beside the socket, serves for ten seconds at most. */
static int daemon_main(int argc, char **argv)
{
    char note[256];
    FILE *file;

    if (argc != 6 || strcmp(argv[2], "--socket") != 0 || strcmp(argv[4], "--ready-fd") != 0)
        return 1;
    snprintf(note, sizeof(note), "%s.note", argv[3]);
    memset(&fake, 0, sizeof(fake));
    snprintf(fake.path, sizeof(fake.path), "%s", argv[3]);
    if (getenv("TEST_DAEMON_FAILS") != NULL)
        return 3;
    int fds = open_descriptors();

    fake_start(&fake);
    file = fopen(note, "a");
    fprintf(file, "%d %d %d\n", (int)getpid(), fds, getsid(0) == getpid());
    fclose(file);
    if (write(atoi(argv[5]), "\n", 1) != 1)
        return 2;
    close(atoi(argv[5]));
    sleep(10);
    return 0;
}

/* ---- the tests ---- */

static int set_up(void **state)
{
    (void)state;
    fake_make(&fake);
    assert_int_equal(chmod(fake.directory, 0700), 0);
    return 0;
}

static int read_note(int *pid, int *fds, int *leader)
{
    char note[256];
    FILE *file;
    int lines = 0;

    snprintf(note, sizeof(note), "%s.note", fake.path);
    file = fopen(note, "r");
    while (file != NULL && fscanf(file, "%d %d %d", pid, fds, leader) == 3)
        lines++;
    if (file != NULL)
        fclose(file);
    return lines;
}

static int tear_down(void **state)
{
    char note[256];
    int pid, fds, leader;

    (void)state;
    if (read_note(&pid, &fds, &leader) > 0)
        kill(pid, SIGKILL);
    snprintf(note, sizeof(note), "%s.note", fake.path);
    unlink(note);
    fake_remove(&fake);
    return 0;
}

static volatile sig_atomic_t child_signals;

static void count_signal(int number)
{
    (void)number;
    child_signals++;
}

static void test_start(void **state)
{
    struct azihsm_endpoint *endpoint = endpoint_to(&fake);
    struct azihsm_device *device;
    struct azihsm_error err = {0};
    int pid, fds, leader;

    (void)state;
    signal(SIGCHLD, count_signal);
    if (autostart_daemon(fake.path, in_ms(10000), &err) != AZIHSM_OK)
        fail_msg("%s", err.text);
    device = open_device(endpoint);
    assert_int_equal(echo(device, "started", 5000), AZIHSM_OK);
    azihsm_device_close(device);
    azihsm_endpoint_free(endpoint);
    assert_int_equal(read_note(&pid, &fds, &leader), 1);
    assert_int_equal(fds, 4); /* stdin, stdout, stderr, readiness */
    assert_int_equal(leader, 1);
    assert_int_equal(child_signals, 0);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no child of ours */
    signal(SIGCHLD, SIG_DFL);
}

static void test_one_starter(void **state)
{
    pid_t children[8];
    int pid, fds, leader;

    (void)state;
    for (int i = 0; i < 8; i++) {
        children[i] = fork();
        if (children[i] == 0)
            _exit(autostart_daemon(fake.path, in_ms(10000), NULL) != AZIHSM_OK);
    }
    for (int i = 0; i < 8; i++)
        assert_int_equal(child_status(children[i]), 0);
    assert_int_equal(read_note(&pid, &fds, &leader), 1);
}

static void test_failures(void **state)
{
    struct azihsm_error err;

    (void)state;
    setenv("TEST_DAEMON_FAILS", "1", 1);
    assert_int_equal(autostart_daemon(fake.path, in_ms(10000), &err), AZIHSM_E_NO_DEVICE);
    unsetenv("TEST_DAEMON_FAILS");
    /* A directory others can write to is no place for a socket. */
    assert_int_equal(chmod(fake.directory, 0777), 0);
    assert_int_equal(autostart_daemon(fake.path, in_ms(10000), &err), AZIHSM_E_PERMISSION);
    assert_non_null(strstr(err.text, fake.directory));
}

static void test_no_program(void **state)
{
    struct azihsm_error err;

    (void)state;
    setenv("AZIHSM_DAEMON", "/nonexistent/azihsmd", 1);
    assert_int_equal(autostart_daemon(fake.path, in_ms(10000), &err), AZIHSM_E_NO_DEVICE);
    assert_non_null(strstr(err.text, "/nonexistent/azihsmd"));
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown(test_start, set_up, tear_down),
    cmocka_unit_test_setup_teardown(test_one_starter, set_up, tear_down),
    cmocka_unit_test_setup_teardown(test_failures, set_up, tear_down),
    cmocka_unit_test_setup_teardown(test_no_program, set_up, tear_down),
};

int main(int argc, char **argv)
{
    char self[4096] = "";

    if (argc > 1 && strcmp(argv[1], "--user") == 0)
        return daemon_main(argc, argv);
    if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
        return 1;
    setenv("AZIHSM_DAEMON", self, 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
