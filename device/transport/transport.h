/*
 * One vtable for every way to reach a device. device/transport/device.c dispatches the public functions of device.h
 * over it; a transport embeds struct azihsm_device (and azihsm_endpoint, azihsm_request) as its first member.
 */
#ifndef TRANSPORT_H
#define TRANSPORT_H

#include <azihsm/device.h>

#include <sys/types.h>

struct azihsm_endpoint {
    const struct azihsm_transport *transport;
    const char *name;
};

struct azihsm_device {
    const struct azihsm_transport *transport;
    pid_t owner;
    enum azihsm_device_kind kind;
};

struct azihsm_transport {
    const char *name;
    void (*endpoint_free)(struct azihsm_endpoint *endpoint);
    const char *(*endpoint_name)(const struct azihsm_endpoint *endpoint);   /* NULL: the name in the struct */
    void (*prepare)(struct azihsm_endpoint *endpoint, unsigned timeout_ms); /* may be NULL */
    azihsm_rc (*open)(struct azihsm_endpoint *endpoint, int64_t deadline_ns, struct azihsm_device **out,
                      struct azihsm_error *err);
    void (*close)(struct azihsm_device *device);
    bool (*credential)(const struct azihsm_device *device, uint8_t out[2 * AZIHSM_CREDENTIAL_SIZE]); /* may be NULL */
    azihsm_rc (*acquire)(struct azihsm_device *device, int64_t deadline_ns, struct azihsm_request **out);
    azihsm_rc (*submit)(struct azihsm_request *request);
    azihsm_rc (*wait)(struct azihsm_request *request);
    bool (*done)(const struct azihsm_request *request);
    int (*event_fd)(struct azihsm_request *request); /* may be NULL: no async */
    void (*release)(struct azihsm_request *request);
    azihsm_rc (*bulk)(struct azihsm_device *device, struct azihsm_bulk *bulk, int64_t deadline_ns,
                      struct azihsm_error *err);
    azihsm_rc (*bulk_begin)(struct azihsm_device *device, const struct azihsm_bulk *bulk, int64_t deadline_ns,
                            struct azihsm_request **out, struct azihsm_error *err); /* may be NULL: bulk only blocks */
    azihsm_rc (*bulk_finish)(struct azihsm_request *request, struct azihsm_bulk *bulk, struct azihsm_error *err);
    azihsm_rc (*info)(struct azihsm_device *device, struct azihsm_device_strings *out);
    azihsm_rc (*reset)(struct azihsm_device *device, int64_t deadline_ns);
};

#endif
