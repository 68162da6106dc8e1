/*
 * Measures one operation of a key through the EVP API, whatever provider the key comes from.
 *
 * usage: bench -k KEY [-o sign|pss|raw] [-d DIGEST] [-t THREADS] [-s SECONDS] [-p PID-OF-DAEMON] [-j JOBS] [-K COPIES]
 *        bench -k KEY[,TWEAK-KEY] -o CIPHER[-decrypt] -n BYTES [-t THREADS] [-s SECONDS] [-p PID-OF-DAEMON]
 * KEY is a PEM file or a URI; of a cipher a URI, or "bytes" for a key of the default provider. One key is shared by
 * all threads; with -K it is loaded that often, and sign and pss use the copies in turn: for the device they are keys
 * of their own. With -b the measurement begins at that CLOCK_MONOTONIC second, for processes that are to begin
 * together; every thread has made one operation by then. Prints one line of key=value pairs: operations a second,
 * latency percentiles in microseconds, errors, and CPU microseconds an operation of this process and of the daemon.
 */
#include "bench_cipher.h"

#include <openssl/async.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/store.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <time.h>
#include <unistd.h>

enum { SAMPLES_MAX = 1 << 20, JOBS_MAX = 256, THREADS_MAX = 256 };

struct options {
    const char *key, *op, *digest;
    int threads, seconds, jobs, bytes, copies;
    long daemon;
    double begin;
};

struct worker {
    pthread_t thread;
    uint64_t operations, errors, samples;
    float *latency; /* microseconds */
};

static struct options opt = {
    .op = "sign", .digest = "SHA256", .threads = 1, .seconds = 2, .jobs = 0, .copies = 1, .daemon = 0};
static EVP_PKEY **keys;
static atomic_uint next_key;
static atomic_bool go, stop;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* CPU seconds a process has used, all threads; 0 when it cannot be read. */
static double process_cpu(long pid)
{
    char path[64], line[1024];
    unsigned long user = 0, system = 0;
    snprintf(path, sizeof path, "/proc/%ld/stat", pid);
    FILE *f = fopen(path, "r");
    if (f == NULL)
        return 0;
    if (fgets(line, sizeof line, f) != NULL) {
        const char *after_name = strrchr(line, ')');
        if (after_name != NULL)
            sscanf(after_name + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system);
    }
    fclose(f);
    return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

static double own_cpu(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static EVP_PKEY *load_key(const char *name)
{
    EVP_PKEY *found = NULL;
    OSSL_STORE_CTX *store = OSSL_STORE_open(name, NULL, NULL, NULL, NULL);
    while (store != NULL && found == NULL && !OSSL_STORE_eof(store)) {
        OSSL_STORE_INFO *info = OSSL_STORE_load(store);
        if (info == NULL)
            continue;
        if (OSSL_STORE_INFO_get_type(info) == OSSL_STORE_INFO_PKEY)
            found = OSSL_STORE_INFO_get1_PKEY(info);
        OSSL_STORE_INFO_free(info);
    }
    OSSL_STORE_close(store);
    return found;
}

/* A fresh EVP_DigestSign per operation, as a TLS server does it. */
static int sign_once(int pss)
{
    static const unsigned char text[] = "thirty-two bytes of benchmark...";
    unsigned char signature[1024];
    size_t len = sizeof signature;
    EVP_PKEY_CTX *pctx = NULL;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY *which = keys[opt.copies > 1 ? atomic_fetch_add(&next_key, 1) % (unsigned)opt.copies : 0];
    int good = ctx != NULL && EVP_DigestSignInit_ex(ctx, &pctx, opt.digest, NULL, NULL, which, NULL) > 0 &&
               (!pss || (EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING) > 0 &&
                         EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, RSA_PSS_SALTLEN_DIGEST) > 0)) &&
               EVP_DigestSign(ctx, signature, &len, text, sizeof text - 1) > 0;
    EVP_MD_CTX_free(ctx);
    return good;
}

/* A context that is kept: EVP_PKEY_sign over a digest. */
static int raw_once(EVP_PKEY_CTX *ctx)
{
    static const unsigned char digest[32] = {1, 2, 3};
    unsigned char signature[1024];
    size_t len = sizeof signature;
    return EVP_PKEY_sign(ctx, signature, &len, digest, sizeof digest) > 0;
}

static int operate(struct bench_cipher *cipher, EVP_PKEY_CTX *raw)
{
    if (cipher != NULL)
        return bench_cipher_once(cipher);
    if (raw != NULL)
        return raw_once(raw);
    return sign_once(strcmp(opt.op, "pss") == 0);
}

static void *work(void *arg)
{
    struct worker *w = arg;
    EVP_PKEY_CTX *raw = NULL;
    struct bench_cipher *cipher = NULL;
    if (opt.bytes > 0 && (cipher = bench_cipher_new(opt.key, opt.op, opt.bytes)) == NULL)
        w->errors++;
    if (strcmp(opt.op, "raw") == 0) {
        raw = EVP_PKEY_CTX_new(keys[0], NULL);
        if (raw == NULL || EVP_PKEY_sign_init(raw) <= 0)
            w->errors++;
    }
    w->errors += w->errors == 0 && !operate(cipher, raw);
    while (!atomic_load(&go))
        usleep(1000);
    while (w->errors == 0 && !atomic_load_explicit(&stop, memory_order_relaxed)) {
        double start = now();
        if (!operate(cipher, raw)) {
            w->errors++;
            break;
        }
        if (w->samples < SAMPLES_MAX)
            w->latency[w->samples++] = (float)((now() - start) * 1e6);
        w->operations++;
    }
    if (w->errors != 0)
        ERR_print_errors_fp(stderr);
    EVP_PKEY_CTX_free(raw);
    bench_cipher_free(cipher);
    return NULL;
}

static int job_body(void *arg)
{
    (void)arg;
    return sign_once(strcmp(opt.op, "pss") == 0);
}

struct fibre {
    ASYNC_JOB *job;
    ASYNC_WAIT_CTX *wait;
    bool waiting;
};

static void add_fds(struct fibre *f, fd_set *set, int *max)
{
    OSSL_ASYNC_FD fds[8];
    size_t n = 8;
    if (!ASYNC_WAIT_CTX_get_all_fds(f->wait, NULL, &n) || n > 8 || !ASYNC_WAIT_CTX_get_all_fds(f->wait, fds, &n))
        return;
    for (size_t i = 0; i < n; i++) {
        FD_SET(fds[i], set);
        if (fds[i] > *max)
            *max = fds[i];
    }
}

static bool any_ready(struct fibre *f, fd_set *set)
{
    OSSL_ASYNC_FD fds[8];
    size_t n = 8;
    if (!ASYNC_WAIT_CTX_get_all_fds(f->wait, NULL, &n) || n > 8 || !ASYNC_WAIT_CTX_get_all_fds(f->wait, fds, &n))
        return true;
    for (size_t i = 0; i < n; i++)
        if (FD_ISSET(fds[i], set))
            return true;
    return n == 0;
}

/* One application thread, many jobs in flight. */
static void *work_async(void *arg)
{
    struct worker *w = arg;
    static struct fibre fibres[JOBS_MAX];
    if (!ASYNC_init_thread((size_t)opt.jobs, (size_t)opt.jobs)) {
        w->errors++;
        return NULL;
    }
    for (int i = 0; i < opt.jobs; i++)
        fibres[i].wait = ASYNC_WAIT_CTX_new();
    while (!atomic_load(&go))
        usleep(1000);
    for (bool draining = false, busy = true; !draining || busy;) {
        fd_set set;
        int max = -1;
        FD_ZERO(&set);
        busy = false;
        draining = atomic_load_explicit(&stop, memory_order_relaxed);
        for (int i = 0; i < opt.jobs; i++)
            if (fibres[i].waiting)
                add_fds(&fibres[i], &set, &max);
        if (max >= 0)
            select(max + 1, &set, NULL, NULL, NULL);
        for (int i = 0; i < opt.jobs; i++) {
            struct fibre *f = &fibres[i];
            int result = 0;
            if ((f->waiting && !any_ready(f, &set)) || (!f->waiting && draining)) {
                busy |= f->waiting;
                continue;
            }
            int state = ASYNC_start_job(&f->job, f->wait, &result, job_body, NULL, 0);
            f->waiting = state == ASYNC_PAUSE;
            busy |= f->waiting;
            w->operations += state == ASYNC_FINISH && result == 1;
            w->errors += state == ASYNC_ERR || (state == ASYNC_FINISH && result != 1);
        }
    }
    for (int i = 0; i < opt.jobs; i++)
        ASYNC_WAIT_CTX_free(fibres[i].wait);
    ASYNC_cleanup_thread();
    return NULL;
}

static int by_value(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static void report(struct worker *workers, double seconds, double cpu, double daemon_cpu)
{
    uint64_t operations = 0, errors = 0, samples = 0;
    for (int i = 0; i < opt.threads; i++)
        samples += workers[i].samples;
    float *all = malloc((samples + 1) * sizeof *all);
    samples = 0;
    for (int i = 0; i < opt.threads; i++) {
        operations += workers[i].operations;
        errors += workers[i].errors;
        memcpy(all + samples, workers[i].latency, workers[i].samples * sizeof *all);
        samples += workers[i].samples;
    }
    qsort(all, samples, sizeof *all, by_value);
    double per = operations > 0 ? 1e6 / (double)operations : 0;
    printf("ops=%.1f p50=%.1f p99=%.1f p999=%.1f errors=%llu cpu_us=%.2f daemon_cpu_us=%.2f\n",
           (double)operations / seconds, samples ? all[samples / 2] : 0, samples ? all[samples * 99 / 100] : 0,
           samples ? all[samples * 999 / 1000] : 0, (unsigned long long)errors, cpu * per, daemon_cpu * per);
    free(all);
}

static int parse(int argc, char **argv)
{
    int c;
    while ((c = getopt(argc, argv, "k:o:d:t:s:p:j:n:K:b:")) != -1) {
        switch (c) {
        case 'k':
            opt.key = optarg;
            break;
        case 'o':
            opt.op = optarg;
            break;
        case 'd':
            opt.digest = optarg;
            break;
        case 't':
            opt.threads = atoi(optarg);
            break;
        case 's':
            opt.seconds = atoi(optarg);
            break;
        case 'p':
            opt.daemon = atol(optarg);
            break;
        case 'j':
            opt.jobs = atoi(optarg);
            break;
        case 'b':
            opt.begin = atof(optarg);
            break;
        case 'K':
            opt.copies = atoi(optarg);
            break;
        case 'n':
            opt.bytes = atoi(optarg);
            break;
        default:
            return 0;
        }
    }
    return opt.key != NULL && opt.threads >= 1 && opt.threads <= THREADS_MAX && opt.seconds >= 1 &&
           opt.jobs <= JOBS_MAX && opt.bytes >= 0 && opt.copies >= 1;
}

int main(int argc, char **argv)
{
    static struct worker workers[THREADS_MAX];
    if (!parse(argc, argv)) {
        fprintf(stderr,
                "usage: bench -k KEY [-o sign|pss|raw] [-d DIGEST] [-t THREADS] [-s SECONDS] [-p PID] [-j JOBS] [-K "
                "COPIES]\n"
                "       bench -k KEY[,TWEAK-KEY] -o CIPHER[-decrypt] -n BYTES [-t THREADS] [-s SECONDS] [-p PID]\n");
        return 2;
    }
    keys = calloc((size_t)opt.copies, sizeof(*keys));
    for (int i = 0; opt.bytes == 0 && i < opt.copies; i++) {
        keys[i] = load_key(opt.key);
        if (keys[i] == NULL) {
            ERR_print_errors_fp(stderr);
            fprintf(stderr, "bench: no private key in '%s'\n", opt.key);
            return 1;
        }
    }
    if (opt.jobs > 0)
        opt.threads = 1;
    for (int i = 0; i < opt.threads; i++) {
        workers[i].latency = malloc(SAMPLES_MAX * sizeof(float));
        pthread_create(&workers[i].thread, NULL, opt.jobs > 0 ? work_async : work, &workers[i]);
    }
    while (now() < opt.begin)
        usleep(1000);
    double cpu = own_cpu(), daemon_cpu = opt.daemon ? process_cpu(opt.daemon) : 0, start = now();
    atomic_store(&go, true);
    sleep((unsigned)opt.seconds);
    atomic_store(&stop, true);
    for (int i = 0; i < opt.threads; i++)
        pthread_join(workers[i].thread, NULL);
    double seconds = now() - start;
    report(workers, seconds, own_cpu() - cpu, opt.daemon ? process_cpu(opt.daemon) - daemon_cpu : 0);
    int bad = 0;
    for (int i = 0; i < opt.threads; i++) {
        bad |= workers[i].errors != 0;
        free(workers[i].latency);
    }
    for (int i = 0; i < opt.copies; i++)
        EVP_PKEY_free(keys[i]);
    free(keys);
    return bad;
}
