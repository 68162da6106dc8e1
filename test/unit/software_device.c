/*
 * An endpoint around the in-process one. It embeds the inner objects' duties one to one; the inner transport's table is
 * called through the public functions of the seam.
 */
#include "software_device.h"

#include "daemon/inproc.h"
#include "transport/futex.h"
#include "transport/transport.h"

#include <openssl/crypto.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>

enum { OP_FIRST = 1000, OP_COUNT = 120, OP_OTHER = OP_COUNT, OP_EXTENSIONS, OP_BULK, OP_SLOTS };

struct fault {
    _Atomic unsigned left;
    _Atomic azihsm_rc rc;
    _Atomic bool executed;
};

struct software_device {
    struct emu_device *emulator;
    struct provision_state *state;
    _Atomic unsigned counts[OP_SLOTS];
    struct fault faults[OP_SLOTS];
    _Atomic unsigned opens, early, open_requests, delay_ms, life;
    _Atomic bool down;
    void (*before_bulk)(void *arg);
    void *before_bulk_arg;
};

struct wrapped_endpoint {
    struct azihsm_endpoint base;
    struct software_device *device;
    struct azihsm_endpoint *inner;
};

struct wrapped_device {
    struct azihsm_device base;
    struct software_device *device;
    struct azihsm_device *inner;
    unsigned life;
};

struct wrapped_request {
    struct azihsm_request base;
    struct azihsm_request *inner;
    bool submitted;
    azihsm_rc rc;
    int64_t done_at;
    int timer;
};

static const struct azihsm_transport transport;

static unsigned op_index(uint32_t op)
{
    if (op >= OP_FIRST && op < OP_FIRST + OP_COUNT)
        return op - OP_FIRST;
    return op == 0x8001 ? OP_EXTENSIONS : op == SOFTWARE_BULK ? OP_BULK : OP_OTHER;
}

static bool lost(const struct wrapped_device *device)
{
    return atomic_load(&device->device->down) || device->life != atomic_load(&device->device->life);
}

/* ---- the transport ---- */

static void endpoint_free(struct azihsm_endpoint *base)
{
    azihsm_endpoint_free(((struct wrapped_endpoint *)base)->inner);
    free(base);
}

static azihsm_rc wrapped_open(struct azihsm_endpoint *base, int64_t deadline_ns, struct azihsm_device **out,
                              struct azihsm_error *err)
{
    struct wrapped_endpoint *endpoint = (struct wrapped_endpoint *)base;
    struct wrapped_device *device;
    azihsm_rc rc;

    if (atomic_load(&endpoint->device->down))
        return azihsm_error_set(err, AZIHSM_E_NO_DEVICE, "the test has switched the device off");
    device = calloc(1, sizeof(*device));
    rc = azihsm_device_open(endpoint->inner, deadline_ns, &device->inner, err);
    if (rc != AZIHSM_OK) {
        free(device);
        return rc;
    }
    atomic_fetch_add(&endpoint->device->opens, 1);
    device->base = (struct azihsm_device){&transport, device->inner->owner, AZIHSM_DEVICE_VIRTUAL};
    device->device = endpoint->device;
    device->life = atomic_load(&endpoint->device->life);
    *out = &device->base;
    return AZIHSM_OK;
}

static void wrapped_close(struct azihsm_device *base)
{
    azihsm_device_close(((struct wrapped_device *)base)->inner);
    free(base);
}

static bool wrapped_credential(const struct azihsm_device *base, uint8_t out[2 * AZIHSM_CREDENTIAL_SIZE])
{
    return azihsm_device_credential(((const struct wrapped_device *)base)->inner, out);
}

static azihsm_rc wrapped_acquire(struct azihsm_device *base, int64_t deadline_ns, struct azihsm_request **out)
{
    struct wrapped_device *device = (struct wrapped_device *)base;
    struct wrapped_request *request;
    azihsm_rc rc;

    if (lost(device))
        return AZIHSM_E_LOST;
    request = calloc(1, sizeof(*request));
    rc = azihsm_request_acquire(device->inner, deadline_ns, &request->inner);
    if (rc != AZIHSM_OK) {
        free(request);
        return rc;
    }
    request->base.device = base;
    request->base.frame = request->inner->frame;
    request->base.frame_cap = request->inner->frame_cap;
    request->timer = -1;
    atomic_fetch_add(&device->device->open_requests, 1);
    *out = &request->base;
    return AZIHSM_OK;
}

static bool take_fault(struct fault *fault)
{
    unsigned left = atomic_load(&fault->left);

    while (left > 0)
        if (atomic_compare_exchange_weak(&fault->left, &left, left - 1))
            return true;
    return false;
}

static void execute(struct wrapped_request *request, uint32_t op)
{
    struct wrapped_device *device = (struct wrapped_device *)request->base.device;
    struct fault *fault = &device->device->faults[op_index(op)];
    bool failing = take_fault(fault);

    if (!failing || fault->executed) {
        azihsm_request_submit(request->inner);
        request->rc = azihsm_request_wait(request->inner);
        request->base.response = request->inner->response;
        request->base.response_len = request->inner->response_len;
    }
    if (failing)
        request->rc = fault->rc;
}

static azihsm_rc wrapped_submit(struct azihsm_request *base)
{
    struct wrapped_request *request = (struct wrapped_request *)base;
    struct wrapped_device *device = (struct wrapped_device *)base->device;
    struct azihsm_req_hdr hdr = {0};
    size_t offset;

    if (lost(device))
        return AZIHSM_E_LOST;
    assert_int_equal(azihsm_ddi_decode_request_header(base->frame, base->frame_len, &hdr, &offset), AZIHSM_OK);
    atomic_fetch_add(&device->device->counts[op_index(hdr.op)], 1);
    request->inner->frame_len = base->frame_len;
    request->inner->session_kind = base->session_kind;
    request->inner->has_sess_id = base->has_sess_id;
    request->inner->sess_id = base->sess_id;
    request->inner->deadline_ns = base->deadline_ns;
    execute(request, hdr.op);
    request->done_at = clock_now() + (int64_t)atomic_load(&device->device->delay_ms) * NS_PER_MS;
    if (request->timer >= 0) {
        struct itimerspec at = {.it_value = clock_spec(request->done_at)};

        timerfd_settime(request->timer, TFD_TIMER_ABSTIME, &at, NULL);
    }
    request->submitted = true;
    return AZIHSM_OK;
}

static bool wrapped_done(const struct azihsm_request *base)
{
    return clock_now() >= ((const struct wrapped_request *)base)->done_at;
}

static azihsm_rc wrapped_wait(struct azihsm_request *base)
{
    struct wrapped_request *request = (struct wrapped_request *)base;
    int64_t until = request->done_at < base->deadline_ns ? request->done_at : base->deadline_ns;
    struct timespec spec = clock_spec(until);

    while (clock_now() < until)
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &spec, NULL);
    if (!wrapped_done(base))
        return AZIHSM_E_TIMEOUT;
    return lost((struct wrapped_device *)base->device) ? AZIHSM_E_LOST : request->rc;
}

static int wrapped_event_fd(struct azihsm_request *base)
{
    struct wrapped_request *request = (struct wrapped_request *)base;

    request->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    return request->timer;
}

static void wrapped_release(struct azihsm_request *base)
{
    struct wrapped_request *request = (struct wrapped_request *)base;
    struct software_device *device = ((struct wrapped_device *)base->device)->device;

    if (request->submitted && !wrapped_done(base))
        atomic_fetch_add(&device->early, 1);
    atomic_fetch_sub(&device->open_requests, 1);
    if (request->timer >= 0)
        close(request->timer);
    azihsm_request_release(request->inner);
    free(request);
}

static azihsm_rc wrapped_bulk(struct azihsm_device *base, struct azihsm_bulk *bulk, int64_t deadline_ns,
                              struct azihsm_error *err)
{
    struct wrapped_device *device = (struct wrapped_device *)base;
    struct software_device *software = device->device;
    struct fault *fault = &software->faults[OP_BULK];
    void (*before)(void *arg) = software->before_bulk;
    azihsm_rc rc = AZIHSM_OK;
    bool failing;

    software->before_bulk = NULL;
    if (before != NULL)
        before(software->before_bulk_arg);
    if (lost(device))
        return AZIHSM_E_LOST;
    atomic_fetch_add(&software->counts[OP_BULK], 1);
    failing = take_fault(fault);
    if (!failing || fault->executed)
        rc = azihsm_device_bulk(device->inner, bulk, deadline_ns, err);
    return failing ? fault->rc : rc;
}

static azihsm_rc wrapped_info(struct azihsm_device *base, struct azihsm_device_strings *out)
{
    return azihsm_device_info(((struct wrapped_device *)base)->inner, out);
}

static azihsm_rc wrapped_reset(struct azihsm_device *base, int64_t deadline_ns)
{
    return azihsm_device_reset(((struct wrapped_device *)base)->inner, deadline_ns);
}

static const struct azihsm_transport transport = {
    .name = "test",
    .endpoint_free = endpoint_free,
    .open = wrapped_open,
    .close = wrapped_close,
    .credential = wrapped_credential,
    .acquire = wrapped_acquire,
    .submit = wrapped_submit,
    .wait = wrapped_wait,
    .done = wrapped_done,
    .event_fd = wrapped_event_fd,
    .release = wrapped_release,
    .bulk = wrapped_bulk,
    .info = wrapped_info,
    .reset = wrapped_reset,
};

/* ---- the device ---- */

static azihsm_rc keep(void *arg, const struct provision_state *state, struct azihsm_error *err)
{
    (void)arg;
    (void)state;
    (void)err;
    return AZIHSM_OK;
}

void software_provision(struct software_device *device)
{
    const struct provision_keeper keeper = {.save = keep};
    struct azihsm_error err = {0};
    struct azihsm_endpoint *endpoint;
    enum provision_outcome outcome;

    assert_int_equal(inproc_endpoint_new(device->emulator, NULL, &endpoint), AZIHSM_OK);
    if (provision_run(endpoint, device->state, &keeper, clock_now() + 30 * NS_PER_S, &outcome, &err) != AZIHSM_OK)
        fail_msg("provisioning: %s", err.text);
    azihsm_endpoint_free(endpoint);
}

struct software_device *software_new(const struct software_options *options)
{
    struct emu_config config = {.kind = options->kind != 0 ? options->kind : AZIHSM_DEVICE_VIRTUAL,
                                .tables = options->tables != 0 ? options->tables : 1,
                                .sessions_max = options->sessions != 0 ? options->sessions : AZIHSM_SESSIONS_MAX,
                                .extensions = options->extensions};
    struct software_device *device = calloc(1, sizeof(*device));

    assert_int_equal(emu_device_new(&config, NULL, 0, &device->emulator), AZIHSM_OK);
    assert_int_equal(provision_state_generate(&device->state, NULL), AZIHSM_OK);
    if (!options->unprovisioned)
        software_provision(device);
    return device;
}

void software_free(struct software_device *device)
{
    emu_device_free(device->emulator);
    provision_state_free(device->state);
    free(device);
}

struct emu_device *software_emulator(struct software_device *device)
{
    return device->emulator;
}

const uint8_t *software_credential(const struct software_device *device)
{
    return device->state->credential;
}

struct azihsm_endpoint *software_endpoint(struct software_device *device, bool with_credential)
{
    struct wrapped_endpoint *endpoint = calloc(1, sizeof(*endpoint));

    endpoint->base = (struct azihsm_endpoint){&transport, "test:"};
    endpoint->device = device;
    assert_int_equal(
        inproc_endpoint_new(device->emulator, with_credential ? device->state->credential : NULL, &endpoint->inner),
        AZIHSM_OK);
    return &endpoint->base;
}

struct azihsm_client *software_client(struct software_device *device, unsigned timeout_ms)
{
    const struct azihsm_client_config config = {.timeout_ms = timeout_ms != 0 ? timeout_ms : 120000};
    struct azihsm_client *client;

    assert_int_equal(client_new_on(&config, software_endpoint(device, true), &client, NULL), AZIHSM_OK);
    return client;
}

unsigned software_count(const struct software_device *device, uint32_t op)
{
    return atomic_load(&device->counts[op_index(op)]);
}

unsigned software_total(const struct software_device *device)
{
    unsigned total = 0;

    for (unsigned i = 0; i < OP_SLOTS; i++)
        total += atomic_load(&device->counts[i]);
    return total;
}

unsigned software_opens(const struct software_device *device)
{
    return atomic_load(&device->opens);
}

void software_forget_counts(struct software_device *device)
{
    for (unsigned i = 0; i < OP_SLOTS; i++)
        atomic_store(&device->counts[i], 0);
    atomic_store(&device->opens, 0);
}

void software_fail(struct software_device *device, uint32_t op, unsigned count, azihsm_rc rc, bool executed)
{
    struct fault *fault = &device->faults[op_index(op)];

    fault->rc = rc;
    fault->executed = executed;
    atomic_store(&fault->left, count);
}

void software_before_bulk(struct software_device *device, void (*fn)(void *arg), void *arg)
{
    device->before_bulk_arg = arg;
    device->before_bulk = fn;
}

void software_down(struct software_device *device)
{
    atomic_fetch_add(&device->life, 1);
    atomic_store(&device->down, true);
}

void software_up(struct software_device *device)
{
    atomic_store(&device->down, false);
}

void software_set_delay_ms(struct software_device *device, unsigned delay_ms)
{
    atomic_store(&device->delay_ms, delay_ms);
}

unsigned software_released_early(const struct software_device *device)
{
    return atomic_load(&device->early);
}

unsigned software_open_requests(const struct software_device *device)
{
    return atomic_load(&device->open_requests);
}
