/*
 * A queue server over a device that only echoes, for the tests of the queue; in this process or in a child.
 *
 * A request is echoed with every byte inverted; 'S' nnn first sleeps nnn milliseconds. The fake counts what is open.
 */
#ifndef QUEUE_FAKE_H
#define QUEUE_FAKE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>

#include <cmocka.h>

#include "daemon/queue_server.h"
#include "transport/futex.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

struct fake {
    char directory[64];
    char path[160];
    char address[176];
    int listener;
    struct queue_server *server;
    pid_t child;
    struct queue_limits limits;
    uint8_t ticket_key[QUEUE_TICKET_KEY_SIZE];
    uint64_t epoch;
    uid_t only_uid; /* 0 = everybody is admitted without a ticket */
    atomic_int handles, families, executed, resets, bulks;
    _Atomic(void *) last_family;
    atomic_bool hold; /* bulk operations with key 98 wait while it is set */
};

static const uint8_t fake_credential[QUEUE_CREDENTIAL_SIZE] = "0123456789abcdefFEDCBA987654321";

static inline azihsm_rc fake_admit(void *ctx, const struct queue_peer *peer, const char *partition,
                                   struct queue_admission *out)
{
    struct fake *fake = ctx;

    if (strcmp(partition, "default") != 0)
        return AZIHSM_E_NO_DEVICE;
    if (fake->only_uid != 0 && !peer->by_ticket && peer->uid != fake->only_uid - 1)
        return AZIHSM_E_PERMISSION;
    out->partition = fake;
    out->has_credential = true;
    memcpy(out->credential, fake_credential, sizeof(out->credential));
    return AZIHSM_OK;
}

static inline azihsm_rc fake_new_family(void *ctx, void *partition, uid_t uid, void **out)
{
    struct fake *fake = ctx;

    (void)partition;
    (void)uid;
    atomic_fetch_add(&fake->families, 1);
    *out = malloc(1);
    return AZIHSM_OK;
}

static inline void fake_free_family(void *ctx, void *family)
{
    struct fake *fake = ctx;

    free(family);
    atomic_fetch_sub(&fake->families, 1);
}

static inline azihsm_rc fake_open(void *ctx, void *partition, void *family, void **handle)
{
    struct fake *fake = ctx;

    (void)partition;
    atomic_fetch_add(&fake->handles, 1);
    atomic_store(&fake->last_family, family);
    *handle = fake;
    return AZIHSM_OK;
}

static inline void fake_close(void *ctx, void *handle)
{
    (void)handle;
    atomic_fetch_sub(&((struct fake *)ctx)->handles, 1);
}

static inline void fake_execute(void *ctx, void *handle, const struct queue_command *in, uint8_t *response,
                                struct queue_completion *out)
{
    (void)handle;
    atomic_fetch_add(&((struct fake *)ctx)->executed, 1);
    if (in->request_len > 0 && in->request[0] == 'S')
        usleep(1000 * (unsigned)atoi((const char *)in->request + 1));
    if (in->request_len > 1 && in->request[0] == 'X')
        out->ext_status = in->request[1];
    for (size_t i = 0; i < in->request_len; i++)
        response[i] = (uint8_t)~in->request[i];
    out->response_len = in->request_len;
}

static inline void fake_bulk(void *ctx, void *handle, struct queue_bulk *bulk)
{
    struct fake *fake = ctx;

    (void)handle;
    atomic_fetch_add(&fake->bulks, 1);
    while (bulk->key_id1 == 98 && atomic_load(&fake->hold))
        usleep(1000);
    for (size_t i = 0; i < bulk->len; i++)
        bulk->data[i] ^= 0x5a;
    for (size_t i = 0; i < sizeof(bulk->tag); i++)
        bulk->tag[i] = bulk->aad_len != 0 ? bulk->aad[i % bulk->aad_len] : 0;
    bulk->refused = bulk->key_id1 == 99;
    bulk->ext_status = bulk->refused ? 109 : 0;
    bulk->fips_approved = true;
}

static inline azihsm_rc fake_info(void *ctx, void *handle, struct azihsm_device_strings *out)
{
    (void)ctx;
    (void)handle;
    strcpy(out->driver_version, "1.2.3");
    strcpy(out->pci, "0000:00:00.0");
    return AZIHSM_OK;
}

static inline azihsm_rc fake_reset(void *ctx, void *handle)
{
    (void)handle;
    atomic_fetch_add(&((struct fake *)ctx)->resets, 1);
    return AZIHSM_OK;
}

static inline void fake_listen(struct fake *fake)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    fake->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    assert_true(fake->listener >= 0);
    assert_true(strlen(fake->path) < sizeof(address.sun_path));
    memcpy(address.sun_path, fake->path, strlen(fake->path) + 1);
    unlink(fake->path);
    assert_int_equal(bind(fake->listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(chmod(fake->path, 0666), 0);
    assert_int_equal(listen(fake->listener, 64), 0);
}

static inline void fake_run(struct fake *fake)
{
    struct queue_server_config config = {
        .backend = {fake, fake_admit, fake_new_family, fake_free_family, fake_open, fake_close, fake_execute, fake_bulk,
                    fake_info, fake_reset},
        .tickets = {.epoch = fake->epoch, .lifetime_s = 3600},
        .limits = fake->limits,
        .listeners = &fake->listener,
        .listener_count = 1,
    };

    memcpy(config.tickets.key, fake->ticket_key, sizeof(config.tickets.key));
    assert_int_equal(queue_server_new(&config, &fake->server, NULL), AZIHSM_OK);
    assert_int_equal(queue_server_start(fake->server, NULL), AZIHSM_OK);
}

static inline void fake_make(struct fake *fake)
{
    memset(fake, 0, sizeof(*fake));
    strcpy(fake->directory, "/tmp/azihsm-queue-XXXXXX");
    assert_non_null(mkdtemp(fake->directory));
    assert_int_equal(chmod(fake->directory, 0755), 0);
    snprintf(fake->path, sizeof(fake->path), "%s/sock", fake->directory);
    snprintf(fake->address, sizeof(fake->address), "unix:%s", fake->path);
}

static inline void fake_start(struct fake *fake)
{
    fake_listen(fake);
    fake_run(fake);
}

static inline void fake_stop(struct fake *fake)
{
    assert_true(queue_server_stop(fake->server, 10000));
    queue_server_free(fake->server);
    close(fake->listener);
}

/* In a child, which serves until it is killed. */
static inline void fake_start_process(struct fake *fake)
{
    fake_listen(fake);
    fake->child = fork();
    assert_true(fake->child >= 0);
    if (fake->child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails leaves nothing behind */
        fake_run(fake);
        for (;;)
            pause();
    }
    close(fake->listener);
}

static inline void fake_kill(struct fake *fake)
{
    kill(fake->child, SIGKILL);
    waitpid(fake->child, NULL, 0);
    unlink(fake->path);
}

static inline void fake_remove(struct fake *fake)
{
    unlink(fake->path);
    rmdir(fake->directory);
}

/* ---- the client's side ---- */

static inline int64_t in_ms(int64_t ms)
{
    return clock_now() + ms * NS_PER_MS;
}

static inline struct azihsm_endpoint *endpoint_to(const struct fake *fake)
{
    struct azihsm_endpoint_config config = {.device = fake->address};
    struct azihsm_endpoint *endpoint;

    assert_int_equal(azihsm_endpoint_new(&config, &endpoint, NULL), AZIHSM_OK);
    return endpoint;
}

static inline struct azihsm_device *open_device(struct azihsm_endpoint *endpoint)
{
    struct azihsm_error err = {0};
    struct azihsm_device *device = NULL;

    if (azihsm_device_open(endpoint, in_ms(20000), &device, &err) != AZIHSM_OK)
        fail_msg("%s", err.text);
    return device;
}

/* One round trip; the answer is checked. No cmocka assertions, so that any thread or process may call it. */
static inline azihsm_rc echo(struct azihsm_device *device, const char *text, int64_t timeout_ms)
{
    struct azihsm_request *request;
    azihsm_rc rc = azihsm_request_acquire(device, in_ms(timeout_ms), &request);

    if (rc != AZIHSM_OK)
        return rc;
    request->frame_len = strlen(text) + 1;
    memcpy(request->frame, text, request->frame_len);
    request->deadline_ns = in_ms(timeout_ms);
    rc = azihsm_request_submit(request);
    if (rc == AZIHSM_OK)
        rc = azihsm_request_wait(request);
    if (rc == AZIHSM_OK) {
        if (request->response_len != strlen(text) + 1)
            rc = AZIHSM_E_MISMATCH;
        for (size_t i = 0; rc == AZIHSM_OK && i < request->response_len; i++) {
            if ((request->response[i] ^ (uint8_t)text[i]) != 0xff)
                rc = AZIHSM_E_MISMATCH;
        }
    }
    azihsm_request_release(request);
    return rc;
}

/* Waits up to five seconds for a counter. */
static inline void await_count(atomic_int *counter, int value)
{
    for (int i = 0; i < 5000 && atomic_load(counter) != value; i++)
        usleep(1000);
    assert_int_equal(atomic_load(counter), value);
}

static inline int child_status(pid_t child)
{
    int status = -1;

    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + status;
}

#endif
