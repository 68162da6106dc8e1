/*
 * Forks, against a real azihsmd: children use and free what they inherited, drop privileges, outlive restarts of the
 * daemon, and a fork in the middle of anything hangs nobody.
 */
#include "client/client.h"
#include "daemon_process.h"
#include "judge.h"
#include "sanitizer.h"

#include <dirent.h>
#include <grp.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const struct azihsm_key_spec for_sign = {.usage = AZIHSM_USAGE_SIGN};
static const struct azihsm_key_spec for_session = {.usage = AZIHSM_USAGE_SIGN, .session = true};

static struct daemon_process daemon_process;
static struct azihsm_client *client;
static struct azihsm_key *key;

static int setup(void **state)
{
    (void)state;
    daemon_start(&daemon_process);
    client = daemon_client(&daemon_process, 120000);
    OK(azihsm_key_generate_ecc(client, AZIHSM_CURVE_P256, &for_sign, &key, WHY));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    azihsm_key_free(key);
    azihsm_client_free(client);
    daemon_end(&daemon_process);
    return 0;
}

/* In a child no assertion: its status says what happened. */
static bool signs(struct azihsm_key *with, int times)
{
    struct azihsm_error err = {0};

    while (times-- > 0)
        if (judge_sign(with, &err) != AZIHSM_OK) {
            fprintf(stderr, "child %d: %s\n", (int)getpid(), err.text);
            return false;
        }
    return true;
}

static pid_t spawn(bool (*body)(void))
{
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0)
        _exit(body() ? 0 : 1);
    return pid;
}

static void expect_ok(pid_t pid)
{
    int status = -1;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* ---- C-01 ---- */

enum { CHILDREN = 8, SIGNATURES = TIMES(1000) };

/* Inodes of this process's sockets. */
static unsigned own_sockets(char names[][64], unsigned max)
{
    char path[288];
    struct dirent *entry;
    unsigned count = 0;
    DIR *dir = opendir("/proc/self/fd");

    while (dir != NULL && count < max && (entry = readdir(dir)) != NULL) {
        ssize_t len;

        snprintf(path, sizeof(path), "/proc/self/fd/%s", entry->d_name);
        len = readlink(path, names[count], 63);
        names[count][len > 0 ? len : 0] = '\0';
        if (strncmp(names[count], "socket:", 7) == 0)
            count++;
    }
    if (dir != NULL)
        closedir(dir);
    return count;
}

static bool worker(void)
{
    return signs(key, SIGNATURES);
}

static void test_workers(void **state)
{
    unsigned before = daemon_sockets(&daemon_process);
    pid_t pids[CHILDREN];

    (void)state;
    for (int i = 0; i < CHILDREN; i++)
        pids[i] = spawn(worker);
    assert_true(signs(key, SIGNATURES));
    for (int i = 0; i < CHILDREN; i++)
        expect_ok(pids[i]);
    assert_true(signs(key, 1));
    for (int i = 0; i < 1000 && daemon_sockets(&daemon_process) > before; i++)
        usleep(50000);
    assert_int_equal(daemon_sockets(&daemon_process), before);
}

/* The connection a child opens is its own: of the parent's sockets it keeps at most the one that vouches for it. */
static bool uses_own_connection(void)
{
    static char inherited[16][64], mine[16][64];
    unsigned had = own_sockets(inherited, 16), have;
    bool fresh = false;

    if (!signs(key, 1))
        return false;
    have = own_sockets(mine, 16);
    for (unsigned i = 0; i < have; i++) {
        bool known = false;

        for (unsigned j = 0; j < had; j++)
            known = known || strcmp(mine[i], inherited[j]) == 0;
        fresh = fresh || !known;
    }
    return fresh && signs(key, 10);
}

static void test_own_connection(void **state)
{
    (void)state;
    expect_ok(spawn(uses_own_connection));
    assert_true(signs(key, 1));
}

/* ---- C-02 ---- */

enum { BARRIER_THREADS = 32 };

static pthread_barrier_t barrier;
static _Atomic unsigned failures;

static void *thread_body(void *arg)
{
    (void)arg;
    pthread_barrier_wait(&barrier);
    if (!signs(key, 20))
        atomic_fetch_add(&failures, 1);
    return NULL;
}

static bool threads_after_fork(void)
{
    static char before[16][64], after[16][64];
    pthread_t threads[BARRIER_THREADS];
    unsigned had = own_sockets(before, 16);

    pthread_barrier_init(&barrier, NULL, BARRIER_THREADS);
    for (int i = 0; i < BARRIER_THREADS; i++)
        if (pthread_create(&threads[i], NULL, thread_body, NULL) != 0)
            return false;
    for (int i = 0; i < BARRIER_THREADS; i++)
        pthread_join(threads[i], NULL);
    /* Exactly one new connection for all of them. */
    return atomic_load(&failures) == 0 && own_sockets(after, 16) == had + 1;
}

static void test_threads_after_fork(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++)
        expect_ok(spawn(threads_after_fork));
    assert_true(signs(key, 1));
}

/* ---- apps.md 4.1: freeing what was inherited ---- */

static bool frees_unused(void)
{
    azihsm_key_free(key);
    azihsm_client_free(client);
    return true;
}

static bool frees_used(void)
{
    bool ok = signs(key, 3);

    azihsm_key_free(key);
    azihsm_client_free(client);
    return ok;
}

static bool evicts(void)
{
    return signs(key, 1) && azihsm_key_evict(key, NULL) == AZIHSM_OK && signs(key, 1);
}

static bool grandchild(void)
{
    pid_t pid;
    int status = -1;

    if (!signs(key, 3))
        return false;
    pid = fork();
    if (pid == 0)
        _exit(frees_used() ? 0 : 1);
    waitpid(pid, &status, 0);
    return status == 0 && signs(key, 3);
}

static void test_child_frees(void **state)
{
    static bool (*const bodies[])(void) = {frees_unused, frees_used, evicts, grandchild};
    pid_t sibling;

    (void)state;
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        sibling = spawn(worker);
        for (int j = 0; j < 4; j++)
            expect_ok(spawn(bodies[i]));
        assert_true(signs(key, 10));
        expect_ok(sibling);
    }
}

static bool exits_normally(void)
{
    if (!signs(key, 1))
        return false;
    exit(0); /* handlers and destructors of the parent's objects run in the child */
}

static void test_child_exits(void **state)
{
    (void)state;
    expect_ok(spawn(exits_normally));
    assert_true(signs(key, 3));
}

static struct azihsm_key *session_key;

static bool session_key_is_gone(void)
{
    struct azihsm_error err = {0};

    return judge_sign(session_key, &err) == AZIHSM_STATUS_KEY_NOT_FOUND && strstr(err.text, "session") != NULL &&
           signs(key, 1);
}

static void test_session_key(void **state)
{
    (void)state;
    OK(azihsm_key_generate_ecc(client, AZIHSM_CURVE_P256, &for_session, &session_key, WHY));
    expect_ok(spawn(session_key_is_gone));
    OK(judge_sign(session_key, WHY));
    azihsm_key_free(session_key);
}

/* ---- forks in the middle ---- */

static _Atomic bool stop;

static void *sign_on(void *arg)
{
    (void)arg;
    while (!atomic_load(&stop))
        if (!signs(key, 1))
            atomic_fetch_add(&failures, 1);
    return NULL;
}

/* Does not verify: that would take locks of libcrypto's default context, which are nobody's business here. */
static bool brief_worker(void)
{
    static const uint8_t digest[32] = {9};
    uint8_t sig[64];

    alarm(60);
    for (int i = 0; i < 5; i++) {
        size_t len = sizeof(sig);

        if (azihsm_key_ecc_sign(key, AZIHSM_HASH_SHA256, BYTES(digest, 32), sig, &len, NULL) != AZIHSM_OK)
            return false;
    }
    return true;
}

static void *churn(void *arg)
{
    (void)arg;
    while (!atomic_load(&stop)) {
        struct azihsm_key *made;

        if (azihsm_key_generate_ecc(client, AZIHSM_CURVE_P256, &for_sign, &made, NULL) != AZIHSM_OK)
            atomic_fetch_add(&failures, 1);
        else
            azihsm_key_free(made);
        azihsm_key_evict(key, NULL);
    }
    return NULL;
}

/* Whatever lock a thread of the parent holds at that instant, the child does not wait for it. */
static void test_fork_while_busy(void **state)
{
    pthread_t threads[4];

    (void)state;
    if (SANITIZED) {
        print_message("skipped: a sanitizer's allocator does not survive the fork of a process with threads\n");
        return;
    }
    atomic_store(&stop, false);
    atomic_store(&failures, 0);
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, i == 0 ? churn : sign_on, NULL);
    for (int i = 0; i < 100; i++)
        expect_ok(spawn(brief_worker));
    atomic_store(&stop, true);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&failures), 0);
}

/* C-03: forked inside a callback of ours. */
static pid_t callback_child;

static void fork_in_trace(void *arg, enum azihsm_trace_category category, const char *line)
{
    (void)arg;
    (void)category;
    (void)line;
    if (callback_child != 0)
        return;
    callback_child = -1;
    callback_child = fork();
    if (callback_child == 0) {
        alarm(60);
        callback_child = -1;
        _exit(signs(key, 1) ? 0 : 1);
    }
}

static void test_fork_in_callback(void **state)
{
    const struct azihsm_client_config config = {
        .device = daemon_process.device, .partition = "default", .trace = fork_in_trace};
    struct azihsm_client *talking;
    struct azihsm_key *file;

    (void)state;
    callback_child = 0;
    OK(azihsm_client_new(&config, &talking, WHY));
    OK(azihsm_key_from_blob(talking, azihsm_key_blob(key), azihsm_key_spki(key), &file, WHY));
    OK(judge_sign(file, WHY));
    assert_true(callback_child > 0);
    expect_ok(callback_child);
    azihsm_key_free(file);
    azihsm_client_free(talking);
}

/* ---- privileges ---- */

static bool drop_privileges(const char *root)
{
    if (root != NULL && (chroot(root) != 0 || chdir("/") != 0))
        return false;
    return setgroups(0, NULL) == 0 && setgid(65534) == 0 && setuid(65534) == 0;
}

static char chroot_dir[] = "/tmp/azihsm-chroot-XXXXXX";

static bool in_chroot(void)
{
    return drop_privileges(chroot_dir) && signs(key, 10);
}

/* Loads in the parent as servers do: prepare, never sign; then a child that can reach nothing any more. */
static void test_chroot(void **state)
{
    struct azihsm_key *file;
    struct azihsm_client *master;
    struct azihsm_key *original = key;

    (void)state;
    if (geteuid() != 0) {
        print_message("skipped: only root can chroot\n");
        return;
    }
    assert_non_null(mkdtemp(chroot_dir));
    chmod(daemon_process.dir, 0700);
    master = daemon_client(&daemon_process, 120000);
    azihsm_client_prepare(master);
    OK(azihsm_key_from_blob(master, azihsm_key_blob(key), azihsm_key_spki(key), &file, WHY));
    key = file;
    expect_ok(spawn(in_chroot));
    expect_ok(spawn(in_chroot));
    key = original;
    azihsm_key_free(file);
    azihsm_client_free(master);
    rmdir(chroot_dir);
}

static int to_child[2], from_child[2];

static bool outlives_restart(void)
{
    char byte;

    if (!drop_privileges(chroot_dir) || !signs(key, 1) || write(from_child[1], "1", 1) != 1 ||
        read(to_child[0], &byte, 1) != 1)
        return false;
    return signs(key, 10);
}

/* A worker in its chroot, without rights, when azihsmd is killed and comes back. */
static void test_chroot_restart(void **state)
{
    struct azihsm_key *original = key, *file;
    struct azihsm_client *master;
    pid_t pid;
    char byte;

    (void)state;
    if (geteuid() != 0) {
        print_message("skipped: only root can chroot\n");
        return;
    }
    strcpy(chroot_dir, "/tmp/azihsm-chroot-XXXXXX");
    assert_non_null(mkdtemp(chroot_dir));
    assert_int_equal(pipe(to_child), 0);
    assert_int_equal(pipe(from_child), 0);
    master = daemon_client(&daemon_process, 120000);
    azihsm_client_prepare(master);
    OK(azihsm_key_from_blob(master, azihsm_key_blob(key), azihsm_key_spki(key), &file, WHY));
    key = file;
    pid = spawn(outlives_restart);
    key = original;
    assert_int_equal(read(from_child[0], &byte, 1), 1);
    daemon_kill(&daemon_process);
    daemon_start(&daemon_process);
    assert_int_equal(write(to_child[1], "1", 1), 1);
    expect_ok(pid);
    azihsm_key_free(file);
    azihsm_client_free(master);
    rmdir(chroot_dir);
    close(to_child[0]);
    close(to_child[1]);
    close(from_child[0]);
    close(from_child[1]);
}

/* ---- the daemon dies ---- */

static double seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void test_restart(void **state)
{
    pid_t pids[4];
    pthread_t threads[4];

    (void)state;
    atomic_store(&stop, false);
    atomic_store(&failures, 0);
    for (int i = 0; i < 4; i++)
        pids[i] = spawn(worker);
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, sign_on, NULL);
    for (int i = 0; i < 5; i++) {
        double begin;

        usleep(100000);
        daemon_kill(&daemon_process);
        daemon_start(&daemon_process);
        begin = seconds();
        assert_true(signs(key, 1));
        print_message("signed again %.0f ms after the restart\n", (seconds() - begin) * 1000);
    }
    atomic_store(&stop, true);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < 4; i++)
        expect_ok(pids[i]);
    assert_int_equal(atomic_load(&failures), 0);
}

/* C-04: a worker killed in the middle disturbs nobody, and leaves nothing open. */
static void test_killed_worker(void **state)
{
    unsigned before = daemon_sockets(&daemon_process);
    pid_t victims[4];

    (void)state;
    for (int i = 0; i < 4; i++)
        victims[i] = spawn(worker);
    usleep(30000);
    for (int i = 0; i < 4; i++)
        kill(victims[i], SIGKILL);
    assert_true(signs(key, 100));
    for (int i = 0; i < 4; i++)
        waitpid(victims[i], NULL, 0);
    for (int i = 0; i < 1000 && daemon_sockets(&daemon_process) > before; i++)
        usleep(50000);
    assert_int_equal(daemon_sockets(&daemon_process), before);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_workers),         TEST(test_own_connection),   TEST(test_threads_after_fork),
        TEST(test_child_frees),     TEST(test_child_exits),      TEST(test_session_key),
        TEST(test_fork_while_busy), TEST(test_fork_in_callback), TEST(test_chroot),
        TEST(test_chroot_restart),  TEST(test_restart),          TEST(test_killed_worker),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
