/*
 * Life and listing of the stand-in: programs that end in all ways leave no daemon, socket or directory behind; the node
 * appears in listings as it would with the driver; a program may bring its own environment.
 *
 * The programs are this one again, with an argument.
 */
#include "door.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

extern char **environ;

enum { WAIT_MS = 10000 };

/* ---- the programs ---- */

static int open_and(const char *how)
{
    struct ioctl_info info = {.argsz = sizeof(info)};
    int fd = open(DOOR_PATH, O_RDWR | O_CLOEXEC);

    if (fd < 0 || ioctl(fd, IOCTL_INFO, &info) != 0)
        return 9;
    if (strcmp(how, "leave") == 0)
        return 0;
    if (strcmp(how, "close") == 0)
        return close(fd);
    if (strcmp(how, "_exit") == 0)
        _exit(0);
    if (strcmp(how, "abort") == 0)
        abort();
    if (strcmp(how, "kill") == 0)
        raise(SIGKILL);
    if (strcmp(how, "exec") == 0)
        execl("/bin/true", "true", (char *)NULL);
    if (strcmp(how, "child") == 0) { /* a child that outlives it and goes on using the device */
        pid_t child = fork();

        if (child == 0) {
            usleep(200000);
            fd = open(DOOR_PATH, O_RDWR | O_CLOEXEC);
            _exit(fd >= 0 && ioctl(fd, IOCTL_INFO, &info) == 0 ? 0 : 9);
        }
        return child < 0;
    }
    return 8;
}

/* ---- judging them ---- */

static char directory[] = "/tmp/azihsm-life.XXXXXX";

static unsigned entries(void)
{
    DIR *dir = opendir(directory);
    unsigned count = 0;
    struct dirent *entry;

    assert_non_null(dir);
    while ((entry = readdir(dir)) != NULL)
        count += entry->d_name[0] != '.';
    closedir(dir);
    return count;
}

/* Processes whose command line names our directory. */
static unsigned daemons(void)
{
    glob_t found;
    unsigned count = 0;

    assert_int_equal(glob("/proc/[0-9]*/cmdline", 0, NULL, &found), 0);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        char text[1024] = "";
        int fd = open(found.gl_pathv[i], O_RDONLY | O_CLOEXEC);
        ssize_t len = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);

        for (ssize_t at = 0; at < len; at++)
            text[at] = text[at] == '\0' ? ' ' : text[at];
        count += strstr(text, directory) != NULL;
        if (fd >= 0)
            close(fd);
    }
    globfree(&found);
    return count;
}

static int run(const char *argument)
{
    int status;
    pid_t child = fork();

    if (child == 0) {
        execl("/proc/self/exe", "test_door_life", argument, (char *)NULL);
        _exit(127);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void test_endings(void **state)
{
    static const struct {
        const char *how;
        int signal;
    } cases[] = {{"leave", 0}, {"close", 0},      {"_exit", 0}, {"abort", SIGABRT},
                 {"exec", 0},  {"kill", SIGKILL}, {"child", 0}};

    (void)state;
    assert_non_null(mkdtemp(directory));
    assert_int_equal(setenv("TMPDIR", directory, 1), 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int status = run(cases[i].how);

        if (cases[i].signal != 0)
            assert_true(WIFSIGNALED(status) && WTERMSIG(status) == cases[i].signal);
        else
            assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        for (int waited = 0; waited < WAIT_MS && (entries() != 0 || daemons() != 0); waited += 10)
            usleep(10000);
        assert_int_equal(entries(), 0);
        assert_int_equal(daemons(), 0);
    }
    assert_int_equal(rmdir(directory), 0);
}

static void test_no_daemon(void **state)
{
    (void)state;
    assert_int_equal(setenv("AZIHSM_PRELOAD_DAEMON", "/nonexistent/azihsmd", 1), 0);
    assert_int_equal(open(DOOR_PATH, O_RDWR), -1);
    assert_int_equal(errno, ENXIO);
    assert_int_equal(unsetenv("AZIHSM_PRELOAD_DAEMON"), 0);
    assert_int_equal(setenv("AZIHSM_PRELOAD_SOCKET", "/nonexistent/azihsmd.sock", 1), 0);
    assert_int_equal(open(DOOR_PATH, O_RDWR), -1);
    assert_int_equal(errno, ENXIO);
}

/* ---- listing (8.12) ---- */

static void expect_once(DIR *dir)
{
    struct dirent *entry;
    unsigned found = 0, all = 0;

    errno = 0;
    while ((entry = readdir(dir)) != NULL) {
        all++;
        if (strcmp(entry->d_name, "azihsm0") != 0)
            continue;
        assert_int_equal(entry->d_type, DT_CHR);
        found++;
    }
    assert_int_equal(errno, 0);
    assert_int_equal(found, 1);
    assert_true(all > 3);
}

static void test_readdir(void **state)
{
    DIR *dirs[100];

    (void)state;
    for (int i = 0; i < 100; i++) {
        dirs[i] = opendir(i % 2 == 0 ? "/dev" : "/dev/");
        assert_non_null(dirs[i]);
    }
    for (int i = 0; i < 100; i++) {
        expect_once(dirs[i]);
        assert_null(readdir(dirs[i]));
        rewinddir(dirs[i]);
        expect_once(dirs[i]);
        assert_int_equal(closedir(dirs[i]), 0);
    }
    /* from a descriptor */
    DIR *dir = fdopendir(open("/dev", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    assert_non_null(dir);
    expect_once(dir);
    closedir(dir);
    /* nowhere else */
    dir = opendir("/proc/self");
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
        assert_string_not_equal(entry->d_name, "azihsm0");
    closedir(dir);
}

static void *list_and_list(void *unused)
{
    for (int i = 0; i < 100; i++) {
        DIR *dir = opendir("/dev");

        expect_once(dir);
        closedir(dir);
    }
    return unused;
}

static void test_listing_threads(void **state)
{
    pthread_t threads[8];

    (void)state;
    for (int i = 0; i < 8; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, list_and_list, NULL), 0);
    for (int i = 0; i < 8; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
}

static void test_glob(void **state)
{
    static const char *const patterns[] = {"/dev/azihsm*", "/dev/azihsm0", "/dev/azihsm[0-9]", "/dev/a*0",
                                           "/*/azihsm?"};
    glob_t found;

    (void)state;
    for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++) {
        bool seen = false;

        assert_int_equal(glob(patterns[i], 0, NULL, &found), 0);
        for (size_t k = 0; k < found.gl_pathc; k++)
            seen = seen || strcmp(found.gl_pathv[k], DOOR_PATH) == 0;
        assert_true(seen);
        globfree(&found);
    }
    assert_int_equal(glob("/dev/azihsmX*", 0, NULL, &found), GLOB_NOMATCH);
    assert_int_equal(glob("/dev/AZIHSM*", 0, NULL, &found), GLOB_NOMATCH);
}

static int is_azihsm(const struct dirent *entry)
{
    return strncmp(entry->d_name, "azihsm", 6) == 0;
}

static void test_scandir(void **state)
{
    struct dirent **list;

    (void)state;
    assert_int_equal(scandir("/dev", &list, is_azihsm, alphasort), 1);
    assert_string_equal(list[0]->d_name, "azihsm0");
    free(list[0]);
    free(list);
}

static void test_stat(void **state)
{
    int fd = door_open_must(), other = open("/dev/null", O_RDONLY);
    struct stat status, null;

    (void)state;
    assert_int_equal(stat(DOOR_PATH, &status), 0);
    assert_true(S_ISCHR(status.st_mode));
    assert_int_equal(lstat(DOOR_PATH, &status), 0);
    assert_true(S_ISCHR(status.st_mode));
    assert_int_equal(access(DOOR_PATH, R_OK | W_OK), 0);
    assert_int_equal(stat("/dev/azihsm1", &status), -1);
    assert_int_equal(errno, ENOENT);
    assert_int_equal(stat("/dev/null", &null), 0);
    assert_int_equal(access("/dev/azihsm1", F_OK), -1);
    assert_int_equal(fstat(fd, &status), 0);
    assert_true(S_ISCHR(status.st_mode));
    assert_int_equal(fstatat(fd, "", &status, AT_EMPTY_PATH), 0);
    assert_true(S_ISCHR(status.st_mode));
    assert_int_equal(fstat(other, &status), 0);
    assert_int_equal(status.st_rdev, null.st_rdev);
    close(other);
    close(fd);
}

/* ---- what surrounds the calls ---- */

static volatile sig_atomic_t ticks;

static void tick(int number)
{
    (void)number;
    ticks++;
}

/* Signals interrupt nothing: the driver's waits never give EINTR (8). */
static void test_signals(void **state)
{
    struct sigaction action = {.sa_handler = tick};
    timer_t timer;
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    struct itimerspec every = {{0, 200000}, {0, 200000}};
    int fd = door_open_must();

    (void)state;
    sigaction(SIGUSR1, &action, NULL);
    assert_int_equal(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
    assert_int_equal(timer_settime(timer, 0, &every, NULL), 0);
    for (int i = 0; i < 3000 || ticks < 20; i++) {
        struct ioctl_info info = {.argsz = sizeof(info)};
        struct ioctl_reset reset = {.header.size = sizeof(reset), .abort_type = 1};
        int other = door_open_must();

        assert_int_equal(door_ioctl(other, IOCTL_INFO, &info), 0);
        if (i % 50 == 0)
            assert_int_equal(door_ioctl(fd, IOCTL_RESET, &reset), 0);
        assert_int_equal(close(other), 0);
    }
    timer_delete(timer);
    close(fd);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_endings), cmocka_unit_test(test_no_daemon),
        cmocka_unit_test(test_readdir), cmocka_unit_test(test_listing_threads),
        cmocka_unit_test(test_glob),    cmocka_unit_test(test_scandir),
        cmocka_unit_test(test_stat),    cmocka_unit_test(test_signals),
    };
    return argc > 1 ? open_and(argv[1]) : cmocka_run_group_tests(tests, NULL, NULL);
}
