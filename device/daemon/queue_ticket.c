/*
 * Tickets: what lets a process that lost its privileges come back after azihsmd restarted.
 *
 * A ticket is a MAC under a key of the state directory over who it was made for, the partition, an epoch and an expiry.
 * Whoever holds it is admitted as that user, but restricted (queue_restrict.c). Raising the epoch revokes all of them.
 */
#include "queue_internal.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <string.h>
#include <time.h>

enum { TICKET_VERSION = 1, TICKET_MAC_SIZE = 32 };

/* Opaque to clients, written and read by daemons of one machine. */
struct ticket {
    uint32_t version;
    uint32_t uid;
    uint32_t gid;
    uint32_t reserved;
    uint64_t epoch;
    int64_t expires; /* seconds of the wall clock: tickets outlive a restart */
    char partition[QUEUE_PARTITION_MAX];
    uint8_t mac[TICKET_MAC_SIZE];
};

_Static_assert(sizeof(struct ticket) <= QUEUE_TICKET_MAX, "a ticket fits its message");

static bool ticket_mac(const struct queue_server *server, const struct ticket *ticket, uint8_t mac[TICKET_MAC_SIZE])
{
    char digest[] = "SHA256";
    OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
                           OSSL_PARAM_construct_end()};
    EVP_MAC *hmac = EVP_MAC_fetch(server->tickets.libctx, "HMAC", NULL);
    EVP_MAC_CTX *ctx = EVP_MAC_CTX_new(hmac);
    size_t len = 0;
    bool ok = ctx != NULL && EVP_MAC_init(ctx, server->tickets.key, sizeof(server->tickets.key), params) == 1 &&
              EVP_MAC_update(ctx, (const unsigned char *)ticket, offsetof(struct ticket, mac)) == 1 &&
              EVP_MAC_final(ctx, mac, &len, TICKET_MAC_SIZE) == 1 && len == TICKET_MAC_SIZE;

    EVP_MAC_CTX_free(ctx);
    EVP_MAC_free(hmac);
    return ok;
}

size_t queue_ticket_make(const struct queue_server *server, uid_t uid, gid_t gid, const char *partition, uint8_t *out)
{
    struct ticket ticket = {.version = TICKET_VERSION, .uid = uid, .gid = gid};

    if (server->tickets.lifetime_s == 0)
        return 0;
    ticket.epoch = atomic_load(&server->epoch);
    ticket.expires = (int64_t)time(NULL) + server->tickets.lifetime_s;
    memcpy(ticket.partition, partition, strlen(partition));
    if (!ticket_mac(server, &ticket, ticket.mac))
        return 0;
    memcpy(out, &ticket, sizeof(ticket));
    OPENSSL_cleanse(&ticket, sizeof(ticket));
    return sizeof(struct ticket);
}

bool queue_ticket_check(const struct queue_server *server, const uint8_t *data, size_t len, const char *partition,
                        uid_t *uid, gid_t *gid)
{
    uint8_t mac[TICKET_MAC_SIZE];
    struct ticket ticket;
    bool ok;

    if (server->tickets.lifetime_s == 0 || len != sizeof(ticket))
        return false;
    memcpy(&ticket, data, sizeof(ticket));
    ok = ticket_mac(server, &ticket, mac) && CRYPTO_memcmp(mac, ticket.mac, sizeof(mac)) == 0 &&
         ticket.version == TICKET_VERSION && ticket.epoch == atomic_load(&server->epoch) &&
         ticket.expires >= (int64_t)time(NULL) && strncmp(ticket.partition, partition, QUEUE_PARTITION_MAX) == 0;
    *uid = ticket.uid;
    *gid = ticket.gid;
    OPENSSL_cleanse(mac, sizeof(mac));
    OPENSSL_cleanse(&ticket, sizeof(ticket));
    return ok;
}
