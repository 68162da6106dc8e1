/*
 * Clients that go away in the middle of a TLS handshake, in every phase of it: before the first byte, within and after
 * each of the client's flights; by FIN, by RST, by half-close; at once and while the server is at work.
 *
 * usage: tlsdrop -p PORT -n CONNECTIONS [-c CONCURRENCY] [-v 1.2|1.3] [-C CIPHERS] [-w WAIT-MS]
 * Prints how many connections ended in which phase. Exit status 0 when every phase was reached.
 */
#include <openssl/err.h>
#include <openssl/ssl.h>

#include <arpa/inet.h>
#include <netinet/tcp.h>
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

enum { CONCURRENCY_MAX = 64, FLIGHTS = 3, PIECE = 4096 };

/* How a connection ends in its flight. Flight 0 is the time before the ClientHello. */
enum end { END_HALF_SENT, END_RESET, END_CLOSE, END_RESET_LATER, END_CLOSE_LATER, END_HALF_CLOSE, ENDS };

static const char *const end_names[ENDS] = {"half sent",   "reset",        "closed",
                                            "reset later", "closed later", "half-closed"};
static SSL_CTX *context;
static int port, concurrency = 8, wait_ms = 10;
static long connections;
static atomic_long begun, reached[FLIGHTS][ENDS], short_of;

static int dial(void)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct timeval limit = {.tv_sec = 10};
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(fd, (struct sockaddr *)&to, sizeof to) == 0)
        return fd;
    close(fd);
    return -1;
}

static void pause_ms(int ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};
    nanosleep(&t, NULL);
}

static void end_connection(int fd, enum end end)
{
    struct linger reset = {.l_onoff = 1, .l_linger = 0};
    char piece[PIECE];
    if (end == END_RESET_LATER || end == END_CLOSE_LATER)
        pause_ms(wait_ms);
    if (end == END_RESET || end == END_RESET_LATER)
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    if (end == END_HALF_CLOSE) {
        shutdown(fd, SHUT_WR);
        while (recv(fd, piece, sizeof piece, 0) > 0)
            continue;
    }
    close(fd);
}

/* Sends what libssl wrote into its memory BIO, only half of it on request. */
static bool send_flight(int fd, BIO *out, bool half)
{
    char *data;
    long len = BIO_get_mem_data(out, &data);
    bool good = send(fd, data, (size_t)(half ? len / 2 : len), MSG_NOSIGNAL) >= 0;
    return good && BIO_reset(out) == 1;
}

/* Runs a handshake up to the given flight of the client; false when it ended before. */
static bool run_to(int fd, SSL *ssl, int flight, enum end end)
{
    BIO *out = SSL_get_wbio(ssl), *in = SSL_get_rbio(ssl);
    char piece[PIECE];
    for (int sent = 0; sent < flight;) {
        SSL_do_handshake(ssl);
        if (BIO_ctrl_pending(out) > 0) {
            sent++;
            if (!send_flight(fd, out, sent == flight && end == END_HALF_SENT))
                return false;
            continue;
        }
        ssize_t n = recv(fd, piece, sizeof piece, 0);
        if (n <= 0 || BIO_write(in, piece, (int)n) != n)
            return false;
    }
    return true;
}

static void drop(int flight, enum end end)
{
    int fd = dial();
    SSL *ssl = SSL_new(context);
    if (fd < 0 || ssl == NULL)
        abort();
    SSL_set_bio(ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_connect_state(ssl);
    atomic_fetch_add(run_to(fd, ssl, flight, end) ? &reached[flight][end] : &short_of, 1);
    end_connection(fd, end);
    SSL_free(ssl);
    ERR_clear_error();
}

static void *work(void *arg)
{
    long i;
    while ((i = atomic_fetch_add(&begun, 1)) < connections)
        drop((int)(i / ENDS % FLIGHTS), (enum end)(i % ENDS));
    return arg;
}

static bool parse(int argc, char **argv)
{
    int c, version = 0;
    const char *ciphers = NULL;
    while ((c = getopt(argc, argv, "p:n:c:v:C:w:")) != -1) {
        switch (c) {
        case 'p':
            port = atoi(optarg);
            break;
        case 'n':
            connections = atol(optarg);
            break;
        case 'c':
            concurrency = atoi(optarg);
            break;
        case 'v':
            version = strcmp(optarg, "1.2") == 0 ? TLS1_2_VERSION : TLS1_3_VERSION;
            break;
        case 'C':
            ciphers = optarg;
            break;
        case 'w':
            wait_ms = atoi(optarg);
            break;
        default:
            return false;
        }
    }
    context = SSL_CTX_new(TLS_client_method());
    return context != NULL && port > 0 && connections > 0 && concurrency > 0 && concurrency <= CONCURRENCY_MAX &&
           SSL_CTX_set_min_proto_version(context, version) && SSL_CTX_set_max_proto_version(context, version) &&
           (ciphers == NULL || SSL_CTX_set_cipher_list(context, ciphers));
}

int main(int argc, char **argv)
{
    pthread_t threads[CONCURRENCY_MAX];
    int missed = 0;
    if (!parse(argc, argv)) {
        fprintf(stderr, "usage: tlsdrop -p PORT -n CONNECTIONS [-c CONCURRENCY] [-v 1.2|1.3] [-C CIPHERS] [-w MS]\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    for (int i = 0; i < concurrency; i++)
        pthread_create(&threads[i], NULL, work, NULL);
    for (int i = 0; i < concurrency; i++)
        pthread_join(threads[i], NULL);
    for (int flight = 0; flight < FLIGHTS; flight++) {
        for (int end = 0; end < ENDS; end++) {
            printf("flight %d %s: %ld\n", flight, end_names[end], atomic_load(&reached[flight][end]));
            missed += atomic_load(&reached[flight][end]) == 0;
        }
    }
    printf("ended before: %ld\n", atomic_load(&short_of));
    SSL_CTX_free(context);
    return missed != 0;
}
