/*
 * One request on the link of a running operation.
 */
#ifndef CLIENT_CALL_H
#define CLIENT_CALL_H

#include "exchange.h"
#include "recover.h"

/*
 * The operation's own request: pauses in an ASYNC job. request and response are the structs of op; views in response
 * live until call_end, which always follows. An answer that may concern another key than the one that was meant,
 * because the session was reopened meanwhile, is AZIHSM_STATUS_SESSION_NEEDS_RENEGOTIATION.
 */
azihsm_rc call_run(struct operation *operation, struct exchange *exchange, uint32_t op, const void *request,
                   void *response);

/* The same for requests that prepare the operation (loading a key): never pauses. */
azihsm_rc call_aside(struct operation *operation, struct exchange *exchange, uint32_t op, const void *request,
                     void *response);
void call_end(struct operation *operation, struct exchange *exchange);

/* The operation's own bulk work, in the same way. AZIHSM_E_FAST_PATH: bulk says what the device answered. */
azihsm_rc call_bulk(struct operation *operation, struct azihsm_bulk *bulk);

/* Deletes a key of this process on a link, as a courtesy: waits briefly, and not at all where that was too short just
 * before. */
void call_delete_key(struct link *link, uint16_t key_id);

/* False in an ASYNC job when all request slots are taken, perhaps by jobs of this very thread. */
bool call_slot_free(struct operation *operation);

#endif
