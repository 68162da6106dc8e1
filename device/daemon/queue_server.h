/*
 * The server end of the queue transport: connections, slots and the threads that serve them.
 *
 * It knows the shared memory and the sockets, and nothing of the device behind: that is a struct queue_backend, filled
 * in by azihsmd over the emulator and by tests over a fake. All backend functions may be called by any number of
 * threads at once, but after close(handle) none is called with that handle, and free_family comes after the close of
 * the family's last handle. Design: device/transport/README.md.
 */
#ifndef QUEUE_SERVER_H
#define QUEUE_SERVER_H

#include "transport/queue_abi.h"
#include <azihsm/device.h>

#include <openssl/types.h>
#include <sys/types.h>

/* Who asks for a connection. With a ticket: uid and gid are those the ticket was made for. */
struct queue_peer {
    uid_t uid;
    gid_t gid;
    pid_t pid; /* of the process at the other end, 0 when it cannot be seen from here */
    bool by_ticket;
};

/* What the backend decides about a connection. */
struct queue_admission {
    void *partition; /* the backend's own; must outlive the server's connections */
    bool has_credential;
    uint8_t credential[QUEUE_CREDENTIAL_SIZE]; /* id, PIN; cleansed by the server after use */
};

/* One slow-path command; request is private memory of the server. */
struct queue_command {
    const uint8_t *request;
    size_t request_len;
    enum azihsm_session_kind session_kind;
    bool has_sess_id;
    uint16_t sess_id;
};

struct queue_completion {
    uint32_t ext_status;
    uint32_t cqe_status;
    size_t response_len; /* at most AZIHSM_FRAME_MAX */
};

/* One fast-path command. aad and data lie in memory the client can change meanwhile: read each byte as if it were
 * fresh. */
struct queue_bulk {
    bool xts, decrypt;
    uint16_t sess_id;
    uint8_t short_app_id;
    uint32_t key_id1, key_id2;
    uint32_t data_unit;
    uint8_t iv[16], tag[16]; /* in and out */
    const uint8_t *aad;
    size_t aad_len;
    uint8_t *data; /* in place */
    size_t len;
    /* out */
    uint32_t result, ext_status;
    bool refused, fips_approved;
};

struct queue_backend {
    void *ctx;
    /* AZIHSM_OK, AZIHSM_E_PERMISSION, AZIHSM_E_NO_DEVICE (no such partition). */
    azihsm_rc (*admit)(void *ctx, const struct queue_peer *peer, const char *partition, struct queue_admission *out);
    /* The key namespace of a connection and all that is attached through it; NULL is a valid family. */
    azihsm_rc (*new_family)(void *ctx, void *partition, uid_t uid, void **out);
    void (*free_family)(void *ctx, void *family);
    azihsm_rc (*open)(void *ctx, void *partition, void *family, void **handle);
    void (*close)(void *ctx, void *handle);
    void (*execute)(void *ctx, void *handle, const struct queue_command *in, uint8_t *response,
                    struct queue_completion *out);
    void (*bulk)(void *ctx, void *handle, struct queue_bulk *bulk);
    azihsm_rc (*info)(void *ctx, void *handle, struct azihsm_device_strings *out);
    azihsm_rc (*reset)(void *ctx, void *handle);
};

enum { QUEUE_TICKET_KEY_SIZE = 32 };

/* How tickets are made: the key lives in the state directory, so that they survive a restart. */
struct queue_ticket_policy {
    uint8_t key[QUEUE_TICKET_KEY_SIZE];
    uint64_t epoch;       /* raised to revoke every ticket made before */
    uint32_t lifetime_s;  /* 0: no tickets are made or accepted */
    OSSL_LIB_CTX *libctx; /* borrowed */
};

struct queue_limits {             /* 0 = the default in brackets */
    unsigned threads;             /* [1024] serving threads */
    unsigned connections;         /* [4096] */
    unsigned connections_per_uid; /* [1024]; root and the daemon's own user are not limited */
    unsigned idle_ms;             /* [2000] a thread stays with an idle slot so long */
};

struct queue_server;

struct queue_server_config {
    struct queue_backend backend;
    struct queue_ticket_policy tickets;
    struct queue_limits limits;
    const int *listeners; /* bound and listening SOCK_SEQPACKET sockets, borrowed: keep them open until stop */
    size_t listener_count;
};

/* Copies the configuration; makes no thread. */
azihsm_rc queue_server_new(const struct queue_server_config *config, struct queue_server **out,
                           struct azihsm_error *err);
/* Makes the thread that accepts and dispatches; threads inherit the caller's mask with every signal blocked. */
azihsm_rc queue_server_start(struct queue_server *server, struct azihsm_error *err);
/*
 * Accepts no more, completes what was submitted, closes every connection and ends every thread. False when requests
 * were still running after drain_ms: the server must then not be freed.
 */
bool queue_server_stop(struct queue_server *server, unsigned drain_ms);
/* After a stop that returned true, or when it never was started. NULL is fine. */
void queue_server_free(struct queue_server *server);

/* Revokes the tickets of earlier epochs, at once. */
void queue_server_set_epoch(struct queue_server *server, uint64_t epoch);

struct queue_counters {
    uint64_t accepted, refused, dropped, requests, doorbells;
    unsigned connections, threads;
};
void queue_server_counters(struct queue_server *server, struct queue_counters *out);

#endif
