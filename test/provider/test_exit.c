/*
 * The ends of a process (acceptance row C-10). The program starts itself again for each way to go; a way that hangs is
 * ended by an alarm, one that crashes or leaks (sanitizers) shows in the exit status.
 */
#include "support.h"

#include <openssl/provider.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { HANGS = 120 /* seconds */, THREADS = 4 };

static const char *config_file(const char *name)
{
    static char path[512];

    snprintf(path, sizeof(path), "%s/%s.cnf", getenv("AZIHSM_TEST_DIR"), name);
    return path;
}

/* ---- the ways, each in a process of its own ---- */

static OSSL_LIB_CTX *ctx;
static EVP_PKEY *key; /* still there at the end, as in many a program */
static _Atomic unsigned signatures;

static bool sign(void)
{
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    uint8_t sig[128];
    size_t len = sizeof(sig);
    bool ok = EVP_DigestSignInit_ex(md, NULL, "SHA256", ctx, NULL, key, NULL) == 1 &&
              EVP_DigestSign(md, sig, &len, (const uint8_t *)"end", 3) == 1;

    EVP_MD_CTX_free(md);
    return ok;
}

static bool open_up(void)
{
    ctx = OSSL_LIB_CTX_new();
    key = OSSL_LIB_CTX_load_config(ctx, config_file("default-first"))
              ? EVP_PKEY_Q_keygen(ctx, "provider=azihsm", "EC", "P-256")
              : NULL;
    return key != NULL && sign();
}

static void *sign_on(void *arg)
{
    (void)arg;
    for (;;)
        if (sign())
            atomic_fetch_add(&signatures, 1);
    return NULL;
}

static bool begin_threads(void)
{
    pthread_t thread;

    if (!open_up())
        return false;
    for (int i = 0; i < THREADS; i++)
        if (pthread_create(&thread, NULL, sign_on, NULL) != 0)
            return false;
    while (atomic_load(&signatures) < 4 * THREADS)
        sched_yield();
    return true;
}

/* In the default context, configured by the environment: OPENSSL_cleanup unloads the provider after main. */
static int way_return(void)
{
    key = EVP_PKEY_Q_keygen(NULL, "provider=azihsm", "EC", "P-256");
    return key != NULL && sign() ? 0 : 1;
}

static int way_return_freed(void)
{
    if (!open_up())
        return 1;
    EVP_PKEY_free(key);
    OSSL_LIB_CTX_free(ctx);
    return 0;
}

/* Freed in the wrong order: the context before the key that lives in it. */
static int way_context_first(void)
{
    if (!open_up())
        return 1;
    OSSL_LIB_CTX_free(ctx);
    return 0;
}

static int way_return_threads(void)
{
    return begin_threads() ? 0 : 1;
}

static void *leave(void *arg)
{
    (void)arg;
    exit(0);
}

static int way_exit_thread(void)
{
    pthread_t thread;

    if (!begin_threads() || pthread_create(&thread, NULL, leave, NULL) != 0)
        return 1;
    pause();
    return 1;
}

static int way_quick_exit(void)
{
    if (!begin_threads())
        return 1;
    quick_exit(0);
}

/* The thread sanitizer cannot join the main thread. */
static void *leave_after_main(void *arg)
{
    char path[64], line[256] = "";

    (void)arg;
    snprintf(path, sizeof(path), "/proc/self/task/%d/stat", (int)getpid());
    while (strstr(line, ") Z ") == NULL) {
        FILE *file = fopen(path, "r");

        if (file == NULL || fgets(line, sizeof(line), file) == NULL)
            abort();
        fclose(file);
        sched_yield();
    }
    exit(0);
}

/* Main ends as a thread does; another one ends the process. */
static int way_main_leaves(void)
{
    pthread_t thread;

    if (!begin_threads() || pthread_create(&thread, NULL, leave_after_main, NULL) != 0)
        return 1;
    pthread_exit(NULL);
}

/* The configuration with our section not activated: known by name, loaded and unloaded by the program. */
static void write_inactive(const char *path)
{
    FILE *in = fopen(config_file("default-first"), "r"), *out = fopen(path, "w");
    bool ours = false;
    char line[512];

    while (in != NULL && out != NULL && fgets(line, sizeof(line), in) != NULL) {
        if (line[0] == '[')
            ours = strcmp(line, "[azihsm_section]\n") == 0;
        if (!ours || strncmp(line, "activate", 8) != 0)
            fputs(line, out);
    }
    if (in != NULL)
        fclose(in);
    if (out != NULL)
        fclose(out);
}

static bool load_and_unload(void)
{
    OSSL_PROVIDER *provider = OSSL_PROVIDER_load(ctx, "azihsm");
    bool ok = provider != NULL;

    key = ok ? EVP_PKEY_Q_keygen(ctx, "provider=azihsm", "EC", "P-256") : NULL;
    ok = key != NULL && sign();
    EVP_PKEY_free(key);
    key = NULL;
    return OSSL_PROVIDER_unload(provider) && ok;
}

static int way_reload(void)
{
    char path[512];
    bool ok = true;

    snprintf(path, sizeof(path), "%s/inactive.cnf", getenv("AZIHSM_TEST_DIR"));
    write_inactive(path);
    ctx = OSSL_LIB_CTX_new();
    ok = OSSL_LIB_CTX_load_config(ctx, path) == 1 && !OSSL_PROVIDER_available(ctx, "azihsm");
    for (int i = 0; ok && i < 100; i++)
        ok = load_and_unload();
    OSSL_LIB_CTX_free(ctx);
    return ok ? 0 : 1;
}

/* A context, and with it the provider, comes and goes while another is in use. */
static int way_contexts(void)
{
    OSSL_LIB_CTX *first;
    EVP_PKEY *first_key;
    bool ok = open_up();

    first = ctx;
    first_key = key;
    for (int i = 0; ok && i < 25; i++) {
        ok = open_up();
        EVP_PKEY_free(key);
        OSSL_LIB_CTX_free(ctx);
        ctx = first;
        key = first_key;
        ok = ok && sign();
    }
    EVP_PKEY_free(first_key);
    OSSL_LIB_CTX_free(first);
    return ok ? 0 : 1;
}

static int way_dlclose(void)
{
    execl(EXIT_HOST, EXIT_HOST, EXIT_USER, config_file("default-first"), (char *)NULL);
    return 1;
}

static const struct way {
    const char *name;
    int (*go)(void);
    int times; /* what is a race is tried more than once */
} ways[] = {
    {"return", way_return, 1},
    {"return-freed", way_return_freed, 1},
    {"context-first", way_context_first, 1},
    {"return-threads", way_return_threads, 20},
    {"exit-thread", way_exit_thread, 20},
    {"quick-exit", way_quick_exit, 20},
    {"main-leaves", way_main_leaves, 20},
    {"reload", way_reload, 1},
    {"contexts", way_contexts, 1},
    {"dlclose", way_dlclose, 1},
};
enum { WAYS = sizeof(ways) / sizeof(ways[0]) };

/* ---- the test ---- */

static int go(const char *name)
{
    for (size_t i = 0; i < WAYS; i++)
        if (strcmp(ways[i].name, name) == 0) {
            alarm(HANGS);
            return ways[i].go();
        }
    return 2;
}

/* What libcrypto's own cleanup does to threads that go on using it is no race of ours: there, only the end counts. */
static void expect_end(const struct way *way)
{
    const char *name = way->name;
    pid_t pid = fork();
    int status = -1;

    if (pid == 0) {
        if (way->times > 1)
            setenv("TSAN_OPTIONS", "report_bugs=0", 1);
        setenv("OPENSSL_CONF", config_file("default-first"), 1);
        execl("/proc/self/exe", "provider_exit", name, (char *)NULL);
        _exit(127);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (status != 0)
        print_error("%s: %s %d\n", name, WIFSIGNALED(status) ? "signal" : "exit status",
                    WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    assert_int_equal(status, 0);
}

static void test_way(void **state)
{
    const struct way *way = *state;

    for (int i = 0; i < (way->times == 1 ? 1 : TIMES(way->times)); i++)
        expect_end(way);
}

int main(int argc, char **argv)
{
    struct CMUnitTest tests[WAYS];

    if (argc == 2)
        return go(argv[1]);
    for (size_t i = 0; i < WAYS; i++)
        tests[i] = (struct CMUnitTest){ways[i].name, test_way, NULL, NULL, (void *)&ways[i]};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
