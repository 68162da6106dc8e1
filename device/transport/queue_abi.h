/*
 * What a client and azihsmd share: the layout of the slot memory and the messages on the socket.
 *
 * The memory is one sealed memfd made by the server, one for each open handle. A slot belongs to the client until it
 * writes SUBMITTED and to the server from there until DONE; its word is the futex both sleep on. The server copies
 * what it needs out of a slot once and believes nothing it has not checked; the client trusts the server's lengths no
 * further than the size of the response area. Both run on one machine: native byte order, LP64.
 */
#ifndef QUEUE_ABI_H
#define QUEUE_ABI_H

#include <azihsm/ddi.h>

#define QUEUE_MAGIC    0x51485a41u /* "AZHQ" */
#define QUEUE_BULK_MAX ((uint64_t)65 << 20)

enum {
    QUEUE_VERSION = 1,
    QUEUE_SLOTS = 64,
    QUEUE_BULK_AREAS = 4,
    QUEUE_BULK_ALIGN = 64,
    QUEUE_PARTITION_MAX = 64, /* with the NUL */
    QUEUE_TICKET_MAX = 192,
    QUEUE_CREDENTIAL_SIZE = 2 * AZIHSM_CREDENTIAL_SIZE,
};

/* ---- slots ---- */

/* The word of a slot: a state in the low byte, and flags. */
enum queue_word {
    QUEUE_IDLE = 0, /* as the memory comes: never used */
    QUEUE_SUBMITTED = 1,
    QUEUE_RUNNING = 2,
    QUEUE_DONE = 3, /* the client may use the slot again */
    QUEUE_STATE = 0xff,
    QUEUE_BOUND = 0x100,   /* server: a thread sleeps on this word; else submitting needs the doorbell */
    QUEUE_WAITER = 0x200,  /* client: somebody sleeps on this word; else completing needs no wake-up */
    QUEUE_CLOSING = 0x400, /* server: what is submitted now will not be served */
};

enum queue_operation { QUEUE_EXECUTE = 1, QUEUE_BULK = 2, QUEUE_INFO = 3, QUEUE_RESET = 4 };

enum queue_flag {
    QUEUE_NOTIFY = 1, /* write to the slot's socket on completion; the thread need not follow the client's processor */
};

struct queue_slot {
    uint32_t word;
    /* client, before SUBMITTED */
    uint32_t cpu; /* where the client runs, a hint */
    uint8_t operation;
    uint8_t flags;
    uint8_t session_kind;
    uint8_t has_sess_id;
    uint16_t sess_id;
    uint16_t reserved;
    uint32_t request_len;
    /* server, before DONE */
    int32_t rc;          /* AZIHSM_OK when the request reached the device */
    uint32_t ext_status; /* as the driver's, ddi-protocol 8.3 */
    uint32_t cqe_status; /* 5.15 */
    uint32_t response_len;
    uint8_t pad[92]; /* two cache lines a slot: neighbours are prefetched in pairs */
};

struct queue_frames {
    uint8_t request[AZIHSM_FRAME_MAX];
    uint8_t response[AZIHSM_FRAME_MAX];
};

struct queue_shared {
    struct queue_slot slot[QUEUE_SLOTS];
    struct queue_frames frames[QUEUE_SLOTS];
};

_Static_assert(sizeof(struct queue_slot) == 128, "a slot fills its cache lines");
_Static_assert(sizeof(struct queue_shared) % 4096 == 0, "the shared memory is whole pages");

/*
 * Request of QUEUE_BULK. The AAD lies at the start of the bulk area, the data after it at the next multiple of
 * QUEUE_BULK_ALIGN; the result takes the place of the data.
 */
struct queue_bulk_request {
    uint8_t xts;
    uint8_t decrypt;
    uint8_t short_app_id;
    uint8_t area;
    uint16_t sess_id;
    uint16_t reserved;
    uint32_t key_id1;
    uint32_t key_id2;
    uint32_t data_unit;
    uint32_t reserved2;
    uint64_t aad_len;
    uint64_t len;
    uint8_t iv[16];
    uint8_t tag[16];
};

/* Response of QUEUE_BULK. */
struct queue_bulk_response {
    uint8_t iv[16];
    uint8_t tag[16];
    uint32_t result;     /* 7.5 */
    uint32_t ext_status; /* 7.5, or 8.7 when refused */
    uint8_t refused;
    uint8_t fips_approved;
    uint8_t reserved[6];
};

/* ---- messages: every one is a whole struct queue_message in one packet of a SOCK_SEQPACKET socket ---- */

enum queue_message_type {
    QUEUE_HELLO = 1,       /* client: partition, flags, ticket. First message of a connection */
    QUEUE_WELCOME = 2,     /* server: status, credential, ticket; descriptors of memory and doorbell */
    QUEUE_ATTACH = 3,      /* client: a socket that becomes a connection of the same family. No answer */
    QUEUE_ASK_NOTIFY = 4,  /* client: a socket that becomes readable when slot index is done; replaces an earlier one */
    QUEUE_ASK_BULK = 5,    /* client: bulk area index of at least size bytes */
    QUEUE_GIVE_NOTIFY = 6, /* server: status, index, descriptor */
    QUEUE_GIVE_BULK = 7,   /* server: status, index, size, descriptor */
};

enum queue_message_flag {
    QUEUE_CONTROL = 1,        /* HELLO: no handle wanted, the connection only passes on its authority */
    QUEUE_HAS_CREDENTIAL = 2, /* WELCOME */
    QUEUE_RESTRICTED = 4,     /* WELCOME: admitted by ticket, may use its keys and no more */
};

struct queue_message {
    uint32_t magic;
    uint32_t version;
    uint32_t type;
    uint32_t flags;
    uint32_t index;
    int32_t status; /* azihsm_rc */
    uint64_t size;
    char partition[QUEUE_PARTITION_MAX];
    uint8_t credential[QUEUE_CREDENTIAL_SIZE];
    uint32_t ticket_len;
    uint8_t ticket[QUEUE_TICKET_MAX];
    uint32_t reserved;
};

#endif
