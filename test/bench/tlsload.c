/*
 * TLS load: counts full handshakes against a server on the loopback and refuses resumption.
 *
 * usage: tlsload [-a ADDRESS] -p PORT [-n HANDSHAKES | -s SECONDS] [-c CONCURRENCY] [-v 1.2|1.3] [-g SIGALGS] [-C
 * CIPHERS]
 *                [-f CA-FILE] [-r]
 * With -r the page "/" is fetched too and must be answered with 200. The server's certificate is checked against
 * CA-FILE. Prints handshakes=N failed=N per_second=R; exit status 0 only when none failed. Software keys only: this is
 * the peer.
 */
#include <openssl/err.h>
#include <openssl/ssl.h>

#include <arpa/inet.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CONCURRENCY_MAX = 256 };

static struct {
    const char *address, *version, *sigalgs, *ciphers, *ca;
    int port, concurrency;
    long handshakes, seconds;
    bool fetch;
} opt = {.address = "127.0.0.1", .concurrency = 1, .handshakes = 0};

static SSL_CTX *context;
static atomic_long begun, done, failed;
static double deadline;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int dial(void)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)opt.port)};
    struct timeval limit = {.tv_sec = 20};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || inet_pton(AF_INET, opt.address, &to.sin_addr) != 1)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    if (connect(fd, (struct sockaddr *)&to, sizeof to) == 0)
        return fd;
    close(fd);
    return -1;
}

static bool fetch_page(SSL *ssl)
{
    static const char request[] = "GET / HTTP/1.0\r\nHost: localhost\r\n\r\n";
    char answer[64];
    if (SSL_write(ssl, request, sizeof request - 1) <= 0)
        return false;
    int n = SSL_read(ssl, answer, sizeof answer - 1);
    if (n < 12)
        return false;
    answer[n] = 0;
    return strncmp(answer, "HTTP/1.", 7) == 0 && strncmp(answer + 9, "200", 3) == 0;
}

static bool handshake(void)
{
    bool good = false;
    SSL *ssl = NULL;
    int fd = dial();
    if (fd < 0)
        return false;
    ssl = SSL_new(context);
    if (ssl != NULL && SSL_set_fd(ssl, fd) == 1 && SSL_connect(ssl) == 1 && !SSL_session_reused(ssl))
        good = !opt.fetch || fetch_page(ssl);
    if (ssl != NULL && good)
        SSL_shutdown(ssl);
    SSL_free(ssl);
    close(fd);
    return good;
}

static void *work(void *arg)
{
    (void)arg;
    for (;;) {
        if (opt.handshakes > 0 ? atomic_fetch_add(&begun, 1) >= opt.handshakes : now() >= deadline)
            return NULL;
        if (handshake())
            atomic_fetch_add(&done, 1);
        else if (atomic_fetch_add(&failed, 1) == 0)
            ERR_print_errors_fp(stderr);
    }
}

static bool set_up(void)
{
    context = SSL_CTX_new(TLS_client_method());
    if (context == NULL)
        return false;
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
    int version = opt.version == NULL ? 0 : strcmp(opt.version, "1.2") == 0 ? TLS1_2_VERSION : TLS1_3_VERSION;
    if (version != 0 &&
        (!SSL_CTX_set_min_proto_version(context, version) || !SSL_CTX_set_max_proto_version(context, version)))
        return false;
    if (opt.sigalgs != NULL && !SSL_CTX_set1_sigalgs_list(context, opt.sigalgs))
        return false;
    if (opt.ciphers != NULL && !SSL_CTX_set_cipher_list(context, opt.ciphers))
        return false;
    if (opt.ca != NULL) {
        SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
        return SSL_CTX_load_verify_locations(context, opt.ca, NULL) == 1;
    }
    return true;
}

static bool parse(int argc, char **argv)
{
    int c;
    while ((c = getopt(argc, argv, "a:p:n:s:c:v:g:C:f:r")) != -1) {
        switch (c) {
        case 'a':
            opt.address = optarg;
            break;
        case 'p':
            opt.port = atoi(optarg);
            break;
        case 'n':
            opt.handshakes = atol(optarg);
            break;
        case 's':
            opt.seconds = atol(optarg);
            break;
        case 'c':
            opt.concurrency = atoi(optarg);
            break;
        case 'v':
            opt.version = optarg;
            break;
        case 'g':
            opt.sigalgs = optarg;
            break;
        case 'C':
            opt.ciphers = optarg;
            break;
        case 'f':
            opt.ca = optarg;
            break;
        case 'r':
            opt.fetch = true;
            break;
        default:
            return false;
        }
    }
    return opt.port > 0 && opt.concurrency >= 1 && opt.concurrency <= CONCURRENCY_MAX &&
           (opt.handshakes > 0 || opt.seconds > 0);
}

int main(int argc, char **argv)
{
    pthread_t threads[CONCURRENCY_MAX];
    if (!parse(argc, argv)) {
        fprintf(
            stderr,
            "usage: tlsload [-a ADDRESS] -p PORT -n HANDSHAKES|-s SECONDS [-c CONCURRENCY] [-v 1.2|1.3] [-g SIGALGS] "
            "[-C CIPHERS] [-f CA-FILE] [-r]\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    if (!set_up()) {
        ERR_print_errors_fp(stderr);
        return 2;
    }
    double start = now();
    deadline = start + (double)opt.seconds;
    for (int i = 0; i < opt.concurrency; i++)
        pthread_create(&threads[i], NULL, work, NULL);
    for (int i = 0; i < opt.concurrency; i++)
        pthread_join(threads[i], NULL);
    printf("handshakes=%ld failed=%ld per_second=%.1f\n", atomic_load(&done), atomic_load(&failed),
           (double)atomic_load(&done) / (now() - start));
    SSL_CTX_free(context);
    return atomic_load(&failed) != 0 || atomic_load(&done) == 0;
}
