/*
 * The public functions of device.h, dispatched over a transport's table. Here, once for all transports: a handle is
 * refused to any process but the one that opened it.
 */
#include "process.h"
#include "transport.h"

#include <string.h>

static bool owned(const struct azihsm_device *device)
{
    return device->owner == process_self();
}

void azihsm_endpoint_free(struct azihsm_endpoint *endpoint)
{
    if (endpoint != NULL)
        endpoint->transport->endpoint_free(endpoint);
}

void azihsm_endpoint_prepare(struct azihsm_endpoint *endpoint, unsigned timeout_ms)
{
    if (endpoint->transport->prepare != NULL)
        endpoint->transport->prepare(endpoint, timeout_ms);
}

const char *azihsm_endpoint_name(const struct azihsm_endpoint *endpoint)
{
    return endpoint->transport->endpoint_name != NULL ? endpoint->transport->endpoint_name(endpoint) : endpoint->name;
}

void azihsm_device_atfork_child(void)
{
    process_fd_close_all();
}

azihsm_rc azihsm_device_open(struct azihsm_endpoint *endpoint, int64_t deadline_ns, struct azihsm_device **out,
                             struct azihsm_error *err)
{
    return endpoint->transport->open(endpoint, deadline_ns, out, err);
}

void azihsm_device_close(struct azihsm_device *device)
{
    if (device != NULL)
        device->transport->close(device);
}

bool azihsm_device_credential(const struct azihsm_device *device, uint8_t out[2 * AZIHSM_CREDENTIAL_SIZE])
{
    return device->transport->credential != NULL && device->transport->credential(device, out);
}

enum azihsm_device_kind azihsm_device_kind(const struct azihsm_device *device)
{
    return device->kind;
}

void azihsm_device_set_kind(struct azihsm_device *device, enum azihsm_device_kind kind)
{
    device->kind = kind;
}

azihsm_rc azihsm_request_acquire(struct azihsm_device *device, int64_t deadline_ns, struct azihsm_request **out)
{
    if (!owned(device))
        return AZIHSM_E_NOT_OWNER;
    return device->transport->acquire(device, deadline_ns, out);
}

azihsm_rc azihsm_request_submit(struct azihsm_request *request)
{
    if (!owned(request->device))
        return AZIHSM_E_NOT_OWNER;
    return request->device->transport->submit(request);
}

azihsm_rc azihsm_request_wait(struct azihsm_request *request)
{
    if (!owned(request->device))
        return AZIHSM_E_NOT_OWNER;
    return request->device->transport->wait(request);
}

bool azihsm_request_done(const struct azihsm_request *request)
{
    return !owned(request->device) || request->device->transport->done(request);
}

int azihsm_request_event_fd(struct azihsm_request *request)
{
    if (!owned(request->device) || request->device->transport->event_fd == NULL)
        return -1;
    return request->device->transport->event_fd(request);
}

void azihsm_request_release(struct azihsm_request *request)
{
    if (request != NULL)
        request->device->transport->release(request);
}

azihsm_rc azihsm_device_bulk(struct azihsm_device *device, struct azihsm_bulk *bulk, int64_t deadline_ns,
                             struct azihsm_error *err)
{
    if (!owned(device))
        return azihsm_error_set(err, AZIHSM_E_NOT_OWNER, "this device handle was opened by another process");
    return device->transport->bulk(device, bulk, deadline_ns, err);
}

azihsm_rc azihsm_device_bulk_begin(struct azihsm_device *device, const struct azihsm_bulk *bulk, int64_t deadline_ns,
                                   struct azihsm_request **out, struct azihsm_error *err)
{
    if (device->transport->bulk_begin == NULL)
        return AZIHSM_E_UNSUPPORTED;
    if (!owned(device))
        return AZIHSM_E_NOT_OWNER;
    return device->transport->bulk_begin(device, bulk, deadline_ns, out, err);
}

azihsm_rc azihsm_device_bulk_finish(struct azihsm_request *request, struct azihsm_bulk *bulk, struct azihsm_error *err)
{
    if (!owned(request->device))
        return AZIHSM_E_NOT_OWNER;
    return request->device->transport->bulk_finish(request, bulk, err);
}

azihsm_rc azihsm_device_info(struct azihsm_device *device, struct azihsm_device_strings *out)
{
    if (!owned(device))
        return AZIHSM_E_NOT_OWNER;
    memset(out, 0, sizeof(*out));
    return device->transport->info(device, out);
}

azihsm_rc azihsm_device_reset(struct azihsm_device *device, int64_t deadline_ns)
{
    if (!owned(device))
        return AZIHSM_E_NOT_OWNER;
    return device->transport->reset(device, deadline_ns);
}
