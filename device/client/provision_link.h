/*
 * The provisioning module's own handle on a device: opening it, sealing the owner's credential to it, one session.
 *
 * Internal to provision*.c. struct provision_run lives on the stack of the entry function that fills it.
 */
#ifndef CLIENT_PROVISION_LINK_H
#define CLIENT_PROVISION_LINK_H

#include "client/exchange.h"
#include "client/provision.h"
#include "crypto/credential.h"

#include <openssl/types.h>

enum { PROVISION_ATTEMPTS = 16 };

struct provision_run {
    struct azihsm_device *device;
    struct provision_state *state;
    const struct provision_keeper *keeper;
    int64_t deadline_ns;
    struct azihsm_error *err;
    OSSL_LIB_CTX *libctx;
};

struct provision_sealed {
    struct credential_sealed sealed;
    uint8_t spki[CREDENTIAL_SPKI_SIZE];
};

/* Opens a handle, checks the revision, learns the kind. provision_close whatever it returns. */
azihsm_rc provision_open(struct provision_run *run, struct azihsm_endpoint *endpoint);
void provision_close(struct provision_run *run);

/* Names the command and the reason in run->err; returns rc. */
azihsm_rc provision_fail(struct provision_run *run, uint32_t op, azihsm_rc rc);
/* A request outside any session; always followed by exchange_end. */
azihsm_rc provision_call(struct provision_run *run, struct exchange *exchange, uint32_t op, const void *request,
                         void *response);

azihsm_rc provision_save(struct provision_run *run);
/* Stores what the device returned and, when that is news, has it saved. */
azihsm_rc provision_keep(struct provision_run *run, struct provision_blob *blob, struct azihsm_bytes bytes);

/* Seals our credential (and, for a session, a random seed; for a PIN change, the new PIN) to the device. */
azihsm_rc provision_seal(struct provision_run *run, enum credential_form form, const uint8_t *new_pin,
                         struct provision_sealed *out);
struct azihsm_pub_key provision_ephemeral(const struct provision_sealed *sealed);

azihsm_rc provision_open_session(struct provision_run *run, uint16_t *sess_id);
void provision_close_session(struct provision_run *run, uint16_t sess_id);

#endif
