/*
 * Servers' worst mornings, through the EVP API: a key loaded in the parent and used by eight children at once (C-01),
 * by two processes of four threads of which one is killed (C-04), and by 64 threads of which none has signed yet
 * (C-13). Connections are counted by azihsmd; inherited descriptors are looked up in /proc.
 */
#include "support.h"

#include <dirent.h>
#include <openssl/pem.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { WORKERS = 8, COLD_THREADS = 64, SOCKETS_MAX = 64 };

static const char *const kinds[] = {"P-256", "RSA-2048"};
enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };
static OSSL_LIB_CTX *ctx;
static EVP_PKEY *key;

/* A key as a server's master has it: read from its file, never used. */
static EVP_PKEY *read_from_file(const char *kind)
{
    BIO *file = BIO_new(BIO_s_mem());
    EVP_PKEY *read;

    good(PEM_write_bio_PrivateKey_ex(file, device_key(ctx, kind), NULL, NULL, 0, NULL, NULL, ctx, NULL));
    read = PEM_read_bio_PrivateKey_ex(file, NULL, NULL, NULL, ctx, NULL);
    BIO_free(file);
    good(read != NULL);
    return read;
}

/* ---- C-01 ---- */

static struct {
    ino_t inode[SOCKETS_MAX];
    size_t count;
} inherited;

/* Sockets, and the anonymous files of the transport (memfd, eventfd all share one inode, so only memfds tell). */
static size_t open_files(ino_t *inodes, size_t max)
{
    DIR *dir = opendir("/proc/self/fd");
    struct dirent *entry;
    struct stat info;
    size_t n = 0;

    while (dir != NULL && n < max && (entry = readdir(dir)) != NULL) {
        char path[300], target[64] = "";
        snprintf(path, sizeof(path), "/proc/self/fd/%s", entry->d_name);
        if (readlink(path, target, sizeof(target) - 1) > 0 && stat(path, &info) == 0 &&
            (S_ISSOCK(info.st_mode) || strncmp(target, "/memfd:", 7) == 0))
            inodes[n++] = info.st_ino;
    }
    if (dir != NULL)
        closedir(dir);
    return n;
}

/*
 * The one thing a child keeps of its parent is the socket over which it may ask azihsmd for a connection of its own (it
 * may have dropped the right to connect since); requests never go over that.
 */
static bool shares_too_much(void)
{
    ino_t now[SOCKETS_MAX];
    size_t count = open_files(now, SOCKETS_MAX), shared = 0;

    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < inherited.count; j++)
            shared += now[i] == inherited.inode[j];
    return shared > 1;
}

static bool sign_many(void)
{
    int times = EVP_PKEY_is_a(key, "EC") ? TIMES(1000) : TIMES(200); /* RSA takes its time */

    for (int i = 0; i < times; i++)
        if (!signs(key, ctx))
            return false;
    return true;
}

static bool work(void)
{
    if (!sign_many())
        return false;
    if (!shares_too_much())
        return true;
    fprintf(stderr, "a worker still holds a descriptor of its parent's connection\n");
    return false;
}

/* cold: the parent has not signed with it before the fork; else it has a connection that must not be shared. */
static void workers(const char *kind, bool cold)
{
    pid_t children[WORKERS];
    long before;

    key = read_from_file(kind);
    if (!cold)
        assert_true(signs(key, ctx));
    assert_true(signs(device_key(ctx, kind), ctx)); /* the process has its connection */
    inherited.count = open_files(inherited.inode, SOCKETS_MAX);
    assert_true(inherited.count > 1); /* that, and the connection */
    before = device_metric("azihsm_connections_accepted_total");
    for (int i = 0; i < WORKERS; i++)
        children[i] = spawn(work);
    assert_true(sign_many());
    for (int i = 0; i < WORKERS; i++)
        expect_ok(children[i]);
    assert_int_equal(device_metric("azihsm_connections_accepted_total"), before + WORKERS);
    EVP_PKEY_free(key);
}

static void test_workers(void **state)
{
    (void)state;
    for (size_t i = 0; i < KINDS; i++) {
        workers(kinds[i], true);
        workers(kinds[i], false);
    }
}

/* ---- C-04 ---- */

static atomic_bool *told_to_stop;

static void *sign_until_told(void *arg)
{
    _Atomic unsigned *failures = arg;

    while (!atomic_load(told_to_stop))
        if (!signs(key, ctx)) {
            ERR_print_errors_fp(stderr);
            atomic_fetch_add(failures, 1);
        }
    return NULL;
}

static void end(int signal)
{
    (void)signal;
    atomic_store(told_to_stop, true);
}

static bool four_threads(void)
{
    static atomic_bool stopped;
    _Atomic unsigned failures = 0;
    pthread_t threads[4];

    told_to_stop = &stopped;
    signal(SIGTERM, end);
    for (int i = 0; i < 4; i++)
        if (pthread_create(&threads[i], NULL, sign_until_told, &failures) != 0)
            return false;
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    return failures == 0;
}

/* Waits until the device has made n more signatures. */
static void await_signatures(const char *kind, long n)
{
    const char *command = is_rsa(kind) ? "RsaModExp" : "EccSign";
    long until = device_requests(command) + n;

    while (device_requests(command) < until)
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
}

static void test_killed_worker(void **state)
{
    (void)state;
    for (size_t i = 0; i < KINDS; i++) {
        pid_t children[2];
        int status;
        key = read_from_file(kinds[i]);
        for (int w = 0; w < 2; w++)
            children[w] = spawn(four_threads);
        for (int kill_again = 0; kill_again < 5; kill_again++) {
            await_signatures(kinds[i], TIMES(500));
            kill(children[0], SIGKILL); /* in the middle: it does nothing but sign */
            assert_int_equal(waitpid(children[0], &status, 0), children[0]);
            assert_true(WIFSIGNALED(status));
            await_signatures(kinds[i], TIMES(200)); /* the other one goes on */
            children[0] = spawn(four_threads);
        }
        await_signatures(kinds[i], TIMES(500));
        for (int w = 0; w < 2; w++)
            kill(children[w], SIGTERM);
        for (int w = 0; w < 2; w++)
            expect_ok(children[w]);
        EVP_PKEY_free(key);
    }
}

/* ---- C-13 ---- */

static pthread_barrier_t barrier;

static void *sign_first(void *arg)
{
    _Atomic unsigned *good_ones = arg;

    pthread_barrier_wait(&barrier);
    if (signs(key, ctx))
        atomic_fetch_add(good_ones, 1);
    else
        ERR_print_errors_fp(stderr);
    return NULL;
}

static bool threads_sign_first(void)
{
    _Atomic unsigned good_ones = 0;
    pthread_t threads[COLD_THREADS];

    pthread_barrier_init(&barrier, NULL, COLD_THREADS);
    for (int i = 0; i < COLD_THREADS; i++)
        if (pthread_create(&threads[i], NULL, sign_first, &good_ones) != 0)
            return false;
    for (int i = 0; i < COLD_THREADS; i++)
        pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&barrier);
    return good_ones == COLD_THREADS;
}

/* Each repeat is a process of its own, with neither connection nor session nor resident key. */
static void test_cold_threads(void **state)
{
    (void)state;
    for (int repeat = 0; repeat < TIMES(100); repeat++) {
        key = read_from_file(kinds[repeat % KINDS]);
        expect_ok(spawn(threads_sign_first));
        EVP_PKEY_free(key);
    }
}

static int begin(void **state)
{
    (void)state;
    ctx = order("default-first");
    software();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_workers),
        cmocka_unit_test(test_killed_worker),
        cmocka_unit_test(test_cold_threads),
    };

    return cmocka_run_group_tests(tests, begin, support_end);
}
