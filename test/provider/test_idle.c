/*
 * Nothing to do costs nothing (acceptance row C-33): after many asynchronous signatures neither the descriptor that an
 * event loop polls is ready, nor does this process or azihsmd use the processor. CPU time is counted, which does not
 * depend on what else the machine does.
 */
#include "support.h"

#include <openssl/async.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static OSSL_LIB_CTX *ctx;

static int sign_job(void *arg)
{
    (void)arg;
    return signs(device_key(ctx, "P-256"), ctx);
}

/* One signature in a job; the wait context stays, as that of a connection does. */
static void sign_async(ASYNC_WAIT_CTX *wait)
{
    ASYNC_JOB *job = NULL;
    int state, result = 0;

    while ((state = ASYNC_start_job(&job, wait, &result, sign_job, NULL, 0)) == ASYNC_PAUSE) {
        struct pollfd ready = {.events = POLLIN};
        size_t count = 1;

        good(ASYNC_WAIT_CTX_get_all_fds(wait, &ready.fd, &count));
        assert_int_equal(poll(&ready, 1, -1), 1);
    }
    assert_int_equal(state, ASYNC_FINISH);
    good(result);
}

static double cpu_of(const char *pid)
{
    char path[64], line[1024];
    unsigned long user, system;
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%s/stat", pid);
    file = fopen(path, "r");
    assert_non_null(file);
    assert_non_null(fgets(line, sizeof(line), file));
    fclose(file);
    assert_int_equal(
        sscanf(strrchr(line, ')') + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system), 2);
    return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

static void daemon_pid(char pid[16])
{
    char path[512];
    FILE *file;

    snprintf(path, sizeof(path), "%s/azihsmd.pid", getenv("AZIHSM_TEST_DIR"));
    file = fopen(path, "r");
    assert_non_null(file);
    assert_non_null(fgets(pid, 16, file));
    pid[strcspn(pid, "\n")] = '\0';
    fclose(file);
}

static void test_idle(void **state)
{
    ASYNC_WAIT_CTX *wait = ASYNC_WAIT_CTX_new();
    struct pollfd idle = {.fd = -1, .events = POLLIN};
    double own, daemon;
    size_t count = 0;
    char pid[16];

    (void)state;
    daemon_pid(pid);
    assert_true(signs(device_key(ctx, "P-256"), ctx));
    for (int i = 0; i < 200; i++)
        sign_async(wait);
    good(ASYNC_WAIT_CTX_get_all_fds(wait, NULL, &count));
    assert_true(count <= 1);
    if (count == 1)
        good(ASYNC_WAIT_CTX_get_all_fds(wait, &idle.fd, &count));
    own = cpu_of("self");
    daemon = cpu_of(pid);
    assert_int_equal(poll(&idle, 1, 3000), 0);
    own = cpu_of("self") - own;
    daemon = cpu_of(pid) - daemon;
    print_message("CPU seconds in 3 idle seconds: %.2f here, %.2f in azihsmd\n", own, daemon);
    assert_true(own < 0.3 && daemon < 0.3); /* who spins uses all of them */
    ASYNC_WAIT_CTX_free(wait);
}

static int begin(void **state)
{
    (void)state;
    ctx = order("default-first");
    if (!ASYNC_is_capable()) {
        print_message("skipped: this libcrypto has no ASYNC jobs\n");
        exit(77);
    }
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_idle)};

    return cmocka_run_group_tests(tests, begin, support_end);
}
