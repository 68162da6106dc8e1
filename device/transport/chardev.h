/*
 * The chardev transport's own parts: a handle on the kernel driver's node, its requests, and the pool for async jobs.
 *
 * A command is one blocking ioctl in the caller's own thread (in wait). Only a request that was asked for a pollable
 * descriptor goes to the pool. The device is refcounted because a pool thread may still be inside the driver when the
 * handle is closed; the descriptor, and with it the driver's flush, ends with the last reference.
 */
#ifndef CHARDEV_H
#define CHARDEV_H

#include "ioctl_abi.h"
#include "transport.h"

#include <pthread.h>
#include <stdatomic.h>

struct chardev_device {
    struct azihsm_device base;
    int fd;
    atomic_uint refs;
    pthread_mutex_t lock;
    struct chardev_request *free; /* kept for the next acquire */
};

enum chardev_state { CHARDEV_IDLE, CHARDEV_SUBMITTED, CHARDEV_QUEUED, CHARDEV_DONE };

struct chardev_request {
    struct azihsm_request base;
    struct chardev_request *next; /* in the free list or the pool's queue */
    atomic_uint refs;             /* caller, pool */
    atomic_int state;             /* enum chardev_state */
    int event_fd;                 /* -1: synchronous */
    azihsm_rc rc;                 /* once CHARDEV_DONE */
    size_t response_len;
    uint8_t request_frame[AZIHSM_FRAME_MAX];
    uint8_t response_frame[AZIHSM_FRAME_MAX];
};

void chardev_device_unref(struct chardev_device *device);
void chardev_request_unref(struct chardev_request *request);
/* Issues the ioctl of a slow-path command and records its outcome in the request. */
void chardev_execute(struct chardev_request *request);
/* Queues a request (which the pool holds a reference to) for a thread of the pool; false when no thread can be had. */
bool chardev_pool_submit(struct chardev_request *request);
/* Waits until the pool has executed it; AZIHSM_E_TIMEOUT when the deadline passes first. */
azihsm_rc chardev_pool_wait(struct chardev_request *request);
/* ioctl with the errors of the driver as result codes; ext_status is the structure's own field for it, or NULL. */
azihsm_rc chardev_ioctl(int fd, unsigned long code, void *argument, const uint32_t *ext_status);

/* chardev_bulk.c */
azihsm_rc chardev_bulk(struct azihsm_device *base, struct azihsm_bulk *bulk, int64_t deadline_ns,
                       struct azihsm_error *err);

#endif
