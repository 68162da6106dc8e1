/*
 * The objects of the queue server, shared by its files and by nobody else.
 *
 * One thread (queue_server.c) owns the epoll set, accepts, reads sockets and notices deaths. Serving threads
 * (queue_worker.c) are bound to busy slots. A connection is counted by reference: the loop holds one from accept to
 * shutdown, every bound slot one; whoever drops the last one closes the backend's handle and frees it.
 */
#ifndef QUEUE_INTERNAL_H
#define QUEUE_INTERNAL_H

#include "queue_server.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

struct queue_connection;

enum queue_source_kind { SOURCE_LISTENER, SOURCE_WAKE, SOURCE_SOCKET, SOURCE_DOORBELL, SOURCE_OPENER };

/* What an epoll event points to. */
struct queue_source {
    enum queue_source_kind kind;
    int fd; /* -1 = none */
    struct queue_connection *connection;
};

/* A connection with all that was attached through it: one key namespace. */
struct queue_family {
    struct queue_server *server;
    atomic_uint refs;
    struct queue_admission admission;
    char partition[QUEUE_PARTITION_MAX];
    void *backend; /* new_family's */
    bool restricted;
};

/* A slot's place in the work of the server. */
struct queue_binding {
    struct queue_connection *connection;
    unsigned index;
    atomic_bool bound;          /* a thread serves it, or it waits in line for one */
    atomic_int notify_fd;       /* our end of the pair whose other end the client polls; -1 = never asked for */
    struct queue_binding *next; /* in line */
};

/* Bulk memory; a thread that works in it holds a reference, so that the client may ask for a larger one meanwhile. */
struct queue_bulk_memory {
    atomic_uint refs;
    uint8_t *data;
    size_t size;
};

struct queue_connection {
    struct queue_server *server;
    atomic_uint refs;
    struct queue_connection *next, **link; /* list of all, guarded by the server's lock */
    struct queue_connection *grave;        /* shut down in this round of the loop */
    struct queue_family *family;           /* NULL until HELLO, unless attached */
    struct queue_source socket, doorbell, opener;
    uid_t uid;
    int64_t greet_by; /* 0 = greeted */
    atomic_bool closing;
    atomic_bool dead; /* closing, and nobody is left who wants the answers */
    bool has_handle;
    void *handle;
    struct queue_shared *shared;
    struct queue_binding bindings[QUEUE_SLOTS];
    pthread_mutex_t lock; /* areas */
    struct queue_bulk_memory *areas[QUEUE_BULK_AREAS];
};

struct queue_worker {
    struct queue_server *server;
    pthread_cond_t wake;
    struct queue_binding *job;
    struct queue_worker *next; /* idle list */
    int cpu;                   /* follows a client there; -1 = anywhere */
    uint8_t request[AZIHSM_FRAME_MAX];
    uint8_t response[AZIHSM_FRAME_MAX];
};

struct queue_pool {
    pthread_mutex_t lock;
    pthread_cond_t ended; /* a thread did */
    struct queue_worker *idle;
    struct queue_binding *first, *last; /* in line for a thread */
    atomic_uint waiting;                /* how many */
    unsigned threads;
    bool stopping;
};

struct queue_server {
    struct queue_backend backend;
    struct queue_limits limits;
    struct queue_ticket_policy tickets;
    _Atomic uint64_t epoch;
    struct queue_source *listeners;
    size_t listener_count;
    struct queue_source wake;
    int epoll;
    bool started;
    pthread_t loop;
    atomic_bool stopping;
    pthread_mutex_t lock; /* connections */
    struct queue_connection *connections;
    atomic_uint connection_count;
    unsigned ungreeted;             /* loop thread only */
    struct queue_connection *grave; /* loop thread only */
    cpu_set_t cpus;                 /* where this process may run */
    int cpu_count;
    struct queue_pool pool;
    _Atomic uint64_t accepted, refused, dropped, requests, doorbells;
};

/* queue_connection.c; all on the loop thread, except unref */
void queue_connection_accept(struct queue_server *server, const struct queue_source *listener);
/* Something happened on the socket. */
void queue_connection_read(struct queue_connection *connection);
/* The doorbell rang: gives every submitted slot a thread. */
void queue_connection_scan(struct queue_connection *connection);
/* dead: drop what is not begun; else complete what was submitted. */
void queue_connection_shutdown(struct queue_connection *connection, bool dead);
struct queue_connection *queue_connection_ref(struct queue_connection *connection);
void queue_connection_unref(struct queue_connection *connection);

/* queue_greeting.c: HELLO, ATTACH and the questions. False: drop the connection. */
bool queue_greet(struct queue_connection *connection, const struct queue_message *hello);
bool queue_answer(struct queue_connection *connection, const struct queue_message *question);
void queue_family_unref(struct queue_family *family);
struct queue_connection *queue_connection_new(struct queue_server *server, int fd, struct queue_family *family);

/* queue_memory.c */
/* A sealed memfd of size bytes, mapped; -1 when it cannot be had. */
int queue_memory_new(const char *name, size_t size, void **data);
struct queue_bulk_memory *queue_bulk_memory_new(size_t size, int *fd);
void queue_bulk_memory_unref(struct queue_bulk_memory *memory);

/* queue_worker.c */
bool queue_pool_init(struct queue_pool *pool);
/* Finds a thread for a binding that the caller has marked bound and counted. */
void queue_pool_dispatch(struct queue_server *server, struct queue_binding *binding);
/* Ends idle threads; false when some still serve at the deadline. */
bool queue_pool_stop(struct queue_pool *pool, int64_t deadline_ns);
void queue_pool_free(struct queue_pool *pool);

/* queue_serve.c: one request of a slot that is RUNNING. False: the client broke the rules. */
bool queue_serve(struct queue_worker *worker, struct queue_binding *binding);

/* queue_restrict.c: writes the refusal and returns false when the command is not one for ticket holders. */
bool queue_restrict(const uint8_t *request, size_t request_len, uint8_t *response, struct queue_completion *out);

/* queue_ticket.c */
/* Length written to out (QUEUE_TICKET_MAX bytes), 0 when tickets are off. */
size_t queue_ticket_make(const struct queue_server *server, uid_t uid, gid_t gid, const char *partition, uint8_t *out);
bool queue_ticket_check(const struct queue_server *server, const uint8_t *ticket, size_t len, const char *partition,
                        uid_t *uid, gid_t *gid);

#endif
