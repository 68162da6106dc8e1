/*
 * A handle on azihsmd, shared by the files of the queue client: the connection, the slots, the bulk areas.
 *
 * Threads of the process share the bitmap of free slots and nothing else. A slot whose request timed out while the
 * server ran it is abandoned: it returns to the free ones, as its bulk area does, when the server has let go.
 */
#ifndef QUEUE_DEVICE_H
#define QUEUE_DEVICE_H

#include "queue_abi.h"
#include "transport.h"

#include <pthread.h>

struct queue_request {
    struct azihsm_request base;
    unsigned index;
    bool submitted;
    enum queue_operation operation;
    int area; /* of a bulk request; -1: none */
    /* asynchronous notification, made on first use of the slot for it and kept */
    bool notify;
    int notify_fd; /* the server writes a byte to it */
    int timer_fd;  /* fires at the deadline */
    int poll_fd;   /* epoll over both and the connection: what the caller polls */
    int64_t timer_at;
};

struct queue_area { /* its user's while busy */
    bool busy;
    uint8_t *data;
    size_t size;
};

struct queue_device {
    struct azihsm_device base;
    int socket;
    int doorbell;
    struct queue_shared *shared;
    bool has_credential;
    uint8_t credential[QUEUE_CREDENTIAL_SIZE];
    uint32_t lost;        /* 1: the server is gone, or said so */
    uint64_t free;        /* bit n: slot n */
    uint64_t abandoned;   /* bit n: given up by its caller, still the server's */
    uint32_t freed;       /* futex: counts releases while somebody waits */
    uint32_t waiters;     /* threads waiting for a slot */
    pthread_mutex_t asks; /* one question on the socket at a time */
    uint32_t worn;        /* 1: an answer is outstanding that nobody waits for; no more requests */
    struct queue_request requests[QUEUE_SLOTS];
    pthread_mutex_t areas_lock; /* the busy flags */
    pthread_cond_t area_freed;
    struct queue_area areas[QUEUE_BULK_AREAS];
};

/* queue_request.c: the slots */
azihsm_rc queue_acquire(struct azihsm_device *base, int64_t deadline_ns, struct azihsm_request **out);
azihsm_rc queue_submit(struct azihsm_request *base);
azihsm_rc queue_wait(struct azihsm_request *base);
/* As wait, without reading the outcome as a command's. */
azihsm_rc queue_wait_done(struct queue_request *request);
bool queue_done(const struct azihsm_request *base);
void queue_release(struct azihsm_request *base);
/* Abandoned slots that the server has let go of become free again, with their areas. */
void queue_reap_abandoned(struct queue_device *device);
struct queue_slot *queue_request_slot(const struct queue_request *request);
struct queue_frames *queue_request_frames(const struct queue_request *request);
/* True when the connection is closed at the other end; asks the kernel. */
bool queue_check_lost(struct queue_device *device);

/* queue_event.c: asynchronous notification */
int queue_event_fd(struct azihsm_request *base);
void queue_event_arm(struct queue_request *request);
/* Takes back a notification that came for nothing. */
void queue_event_drain(struct queue_request *request);
void queue_event_free(struct queue_request *request);

/* queue_bulk.c */
azihsm_rc queue_bulk(struct azihsm_device *base, struct azihsm_bulk *bulk, int64_t deadline_ns,
                     struct azihsm_error *err);
azihsm_rc queue_bulk_begin(struct azihsm_device *base, const struct azihsm_bulk *bulk, int64_t deadline_ns,
                           struct azihsm_request **out, struct azihsm_error *err);
azihsm_rc queue_bulk_finish(struct azihsm_request *base, struct azihsm_bulk *bulk, struct azihsm_error *err);
/* When the server has let go of the slot that used it. */
void queue_area_give_back(struct queue_device *device, unsigned index);
azihsm_rc queue_info(struct azihsm_device *base, struct azihsm_device_strings *out);
azihsm_rc queue_reset(struct azihsm_device *base, int64_t deadline_ns);

/* queue_device.c */
/* From a welcomed connection; takes over socket and descriptors, whatever happens. */
azihsm_rc queue_device_new(int socket, const struct queue_message *welcome, const int fds[2],
                           struct azihsm_device **out, struct azihsm_error *err);
/* Sends a question and awaits its answer with one descriptor. An answer that is overdue, or is not one, wears the
 * connection out: requests that run are served, others get AZIHSM_E_LOST. AZIHSM_E_NO_MEMORY: the answer came, but
 * there was no room for its descriptor, which harms nothing else. */
azihsm_rc queue_ask(struct queue_device *device, enum queue_message_type ask, enum queue_message_type answer,
                    struct queue_message *message, int64_t deadline_ns, int *fd);

#endif
