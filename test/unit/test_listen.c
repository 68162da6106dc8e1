/*
 * Sockets of azihsmd: made, replaced when dead, refused when alive, handed over by systemd, readiness told.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/listen.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static char directory[64];

static int set_up(void **state)
{
    (void)state;
    strcpy(directory, "/tmp/azihsm-listen-XXXXXX");
    return mkdtemp(directory) == NULL;
}

static int tear_down(void **state)
{
    char command[128];

    (void)state;
    snprintf(command, sizeof(command), "rm -rf %s", directory);
    return system(command);
}

static void path_of(char *out, size_t size, const char *name)
{
    snprintf(out, size, "%s/%s", directory, name);
}

static int try_connect(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    int rc;

    strcpy(address.sun_path, path);
    rc = connect(fd, (struct sockaddr *)&address, sizeof(address));
    close(fd);
    return rc;
}

static void makes_a_socket_and_its_directory(void **state)
{
    struct listeners listeners = {.queue = -1, .control = -1};
    char path[96];
    struct stat st;

    (void)state;
    path_of(path, sizeof(path), "run/azihsmd.sock");
    assert_int_equal(listen_unix(path, 0640, &listeners.queue, NULL), AZIHSM_OK);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);
    assert_int_equal(try_connect(path), 0);
    listeners.queue_path = path;
    listen_close(&listeners);
    assert_int_equal(access(path, F_OK), -1);
}

static void replaces_a_dead_socket_and_respects_a_live_one(void **state)
{
    struct azihsm_error err = {0};
    char path[96];
    int first, second = -1;

    (void)state;
    path_of(path, sizeof(path), "azihsmd.sock");
    assert_int_equal(listen_unix(path, 0600, &first, NULL), AZIHSM_OK);
    assert_int_equal(listen_unix(path, 0600, &second, &err), AZIHSM_E_BUSY);
    assert_non_null(strstr(err.text, path));
    assert_int_equal(try_connect(path), 0);
    close(first);
    assert_int_equal(try_connect(path), -1);
    assert_int_equal(listen_unix(path, 0600, &second, NULL), AZIHSM_OK);
    assert_int_equal(try_connect(path), 0);
    close(second);
}

static void says_what_is_wrong(void **state)
{
    struct azihsm_error err = {0};
    char path[256];
    int fd;

    (void)state;
    memset(path, 'a', sizeof(path));
    path[0] = '/';
    path[200] = '\0';
    assert_int_equal(listen_unix(path, 0600, &fd, &err), AZIHSM_E_CONFIG);
    assert_non_null(strstr(err.text, "longer"));
    path_of(path, sizeof(path), "no/such/azihsmd.sock");
    assert_int_equal(listen_unix(path, 0600, &fd, &err), AZIHSM_E_IO);
    assert_non_null(strstr(err.text, path));
}

static int listening(const char *name)
{
    char path[96];
    int fd;

    path_of(path, sizeof(path), name);
    assert_int_equal(listen_unix(path, 0600, &fd, NULL), AZIHSM_OK);
    return fd;
}

/* systemd passes descriptors from 3 on to a process whose id is in LISTEN_PID: only a child can play that. */
static int inherit(int first, int second, const char *count, const char *names, struct listeners *out)
{
    char pid[16];

    dup2(first, 60);
    dup2(second, 61);
    dup2(60, 3);
    dup2(61, 4);
    snprintf(pid, sizeof(pid), "%ld", (long)getpid());
    setenv("LISTEN_PID", pid, 1);
    setenv("LISTEN_FDS", count, 1);
    if (names != NULL)
        setenv("LISTEN_FDNAMES", names, 1);
    else
        unsetenv("LISTEN_FDNAMES");
    return listen_inherited(out, NULL);
}

static int in_child(int (*body)(int first, int second), int first, int second)
{
    int status = 0;
    pid_t child = fork();

    if (child == 0)
        _exit(body(first, second));
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int named_in_any_order(int first, int second)
{
    struct listeners out;

    return inherit(first, second, "2", "control:queue", &out) == AZIHSM_OK && out.queue == 4 && out.control == 3 &&
           (fcntl(3, F_GETFD) & FD_CLOEXEC) != 0 && getenv("LISTEN_FDS") == NULL && out.queue_path == NULL;
}

static int without_names_by_position(int first, int second)
{
    struct listeners out;

    return inherit(first, second, "2", NULL, &out) == AZIHSM_OK && out.queue == 3 && out.control == 4;
}

static int only_the_first(int first, int second)
{
    struct listeners out;

    return inherit(first, second, "1", "queue", &out) == AZIHSM_OK && out.queue == 3 && out.control == -1;
}

static int twice_the_same_name(int first, int second)
{
    struct listeners out;

    return inherit(first, second, "2", "queue:queue", &out) == AZIHSM_E_CONFIG;
}

static int not_a_socket(int first, int second)
{
    struct listeners out;

    (void)second;
    return inherit(open("/dev/null", O_RDONLY), first, "2", "queue:control", &out) == AZIHSM_E_CONFIG;
}

static int for_another_process(int first, int second)
{
    struct listeners out;

    inherit(first, second, "2", NULL, &out);
    setenv("LISTEN_PID", "1", 1);
    setenv("LISTEN_FDS", "2", 1);
    return listen_inherited(&out, NULL) == AZIHSM_OK && out.queue == -1 && out.control == -1;
}

static void takes_what_systemd_hands_over(void **state)
{
    int (*const bodies[])(int, int) = {named_in_any_order, without_names_by_position,
                                       only_the_first,     twice_the_same_name,
                                       not_a_socket,       for_another_process};
    int first = listening("a.sock"), second = listening("b.sock");
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++)
        assert_int_equal(in_child(bodies[i], first, second), 1);
    close(first);
    close(second);
}

static void tells_that_it_is_ready(void **state)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char path[96], text[32] = "";
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    char abstract[64];

    (void)state;
    path_of(path, sizeof(path), "notify");
    strcpy(address.sun_path, path);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    setenv("NOTIFY_SOCKET", path, 1);
    listen_notify("READY=1");
    assert_int_equal(recv(fd, text, sizeof(text), MSG_DONTWAIT), 7);
    assert_string_equal(text, "READY=1");
    close(fd);
    listen_notify("READY=1"); /* nobody there: no harm */

    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    snprintf(abstract, sizeof(abstract), "@azihsm-test-%ld", (long)getpid());
    memset(&address.sun_path, 0, sizeof(address.sun_path));
    strcpy(address.sun_path + 1, abstract + 1);
    assert_int_equal(
        bind(fd, (struct sockaddr *)&address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(abstract))),
        0);
    setenv("NOTIFY_SOCKET", abstract, 1);
    listen_notify("STOPPING=1");
    assert_int_equal(recv(fd, text, sizeof(text), MSG_DONTWAIT), 10);
    close(fd);
    unsetenv("NOTIFY_SOCKET");
    listen_notify("READY=1");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(makes_a_socket_and_its_directory),
        TEST(replaces_a_dead_socket_and_respects_a_live_one),
        TEST(says_what_is_wrong),
        TEST(takes_what_systemd_hands_over),
        TEST(tells_that_it_is_ready),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
