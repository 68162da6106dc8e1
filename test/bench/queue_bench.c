/*
 * What a message through the queue costs, with nothing behind it or a stretch of work: round trips a second of P
 * processes with T threads each. The server is a process of its own, as azihsmd is.
 *
 * usage: queue_bench [processes [threads [work-microseconds [seconds]]]]
 */
#include "../unit/queue_fake.h"

#include <pthread.h>
#include <sys/mman.h>

enum { THREADS_MAX = 64 };

static struct fake fake;
static int64_t work_ns;
static int64_t end_ns;
static _Atomic long *total;

static void null_execute(void *ctx, void *handle, const struct queue_command *in, uint8_t *response,
                         struct queue_completion *out)
{
    int64_t until = clock_now() + work_ns;

    (void)ctx;
    (void)handle;
    while (work_ns != 0 && clock_now() < until)
        ;
    memcpy(response, in->request, in->request_len);
    out->response_len = in->request_len;
}

static void serve(void)
{
    struct queue_server_config config = {
        .backend = {&fake, fake_admit, fake_new_family, fake_free_family, fake_open, fake_close, null_execute,
                    fake_bulk, fake_info, fake_reset},
        .listeners = &fake.listener,
        .listener_count = 1,
    };

    if (queue_server_new(&config, &fake.server, NULL) != AZIHSM_OK ||
        queue_server_start(fake.server, NULL) != AZIHSM_OK)
        _exit(1);
    for (;;)
        pause();
}

static void *client(void *argument)
{
    struct azihsm_request *request;
    long count = 0;

    for (; clock_now() < end_ns; count++) {
        if (azihsm_request_acquire(argument, in_ms(10000), &request) != AZIHSM_OK)
            _exit(1);
        request->frame_len = 96; /* about an EccSign */
        request->frame[0] = 0;
        request->deadline_ns = in_ms(10000);
        if (azihsm_request_submit(request) != AZIHSM_OK || azihsm_request_wait(request) != AZIHSM_OK)
            _exit(1);
        azihsm_request_release(request);
    }
    atomic_fetch_add(total, count);
    return NULL;
}

static void run_process(struct azihsm_endpoint *endpoint, int threads)
{
    struct azihsm_device *device = open_device(endpoint);
    pthread_t ids[THREADS_MAX];

    for (int i = 0; i < threads; i++) {
        if (pthread_create(&ids[i], NULL, client, device) != 0)
            _exit(1);
    }
    for (int i = 0; i < threads; i++)
        pthread_join(ids[i], NULL);
    azihsm_device_close(device);
    _exit(0);
}

int main(int argc, char **argv)
{
    int processes = argc > 1 ? atoi(argv[1]) : 1;
    int threads = argc > 2 ? atoi(argv[2]) : 1;
    double seconds = argc > 4 ? atof(argv[4]) : 2;
    struct azihsm_endpoint *endpoint;
    int failed = 0, status;

    work_ns = argc > 3 ? (int64_t)(atof(argv[3]) * 1000) : 0;
    if (processes < 1 || threads < 1 || threads > THREADS_MAX || seconds <= 0)
        return 2;
    total = mmap(NULL, sizeof(*total), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    fake_make(&fake);
    fake_listen(&fake);
    fake.child = fork();
    if (fake.child == 0)
        serve();
    endpoint = endpoint_to(&fake);
    azihsm_endpoint_prepare(endpoint, 1000);
    end_ns = clock_now() + (int64_t)(seconds * 1e9);
    for (int i = 0; i < processes; i++) {
        if (fork() == 0)
            run_process(endpoint, threads);
    }
    for (int i = 0; i < processes; i++)
        failed |= waitpid(0, &status, 0) < 0 || status != 0;
    printf("%d x %d, work %.1f us: %.0f round trips/s, %.2f us each\n", processes, threads, (double)work_ns / 1e3,
           (double)*total / seconds, seconds * 1e6 * processes * threads / (double)*total);
    azihsm_endpoint_free(endpoint);
    fake_kill(&fake);
    fake_remove(&fake);
    return failed;
}
