/*
 * The login protocol on one handle (device-behaviour 2.4, 3): revision, kind, encryption key, sealed credential.
 */
#ifndef CLIENT_LOGIN_H
#define CLIENT_LOGIN_H

#include "crypto/credential.h"
#include "registry.h"

#include <azihsm/client.h>

struct login {
    struct hub *hub;
    struct era *era;
    int64_t deadline_ns;
    struct azihsm_error *err;
};

/* Opens a handle, checks the revision and learns the kind. The caller closes it. */
azihsm_rc login_open_handle(struct azihsm_endpoint *endpoint, int64_t deadline_ns, struct azihsm_device **out,
                            struct azihsm_error *err);

/* Fetches the session encryption key and seals fields to it. */
azihsm_rc login_seal(struct login *login, struct azihsm_device *device, enum credential_form form,
                     const struct credential_fields *fields, struct credential_sealed *out,
                     uint8_t spki[CREDENTIAL_SPKI_SIZE]);

/* A new handle with a new session, as a link with a reference. */
azihsm_rc login_new(struct login *login, struct link **out);

/* The session that line had before the device was reset, reopened as a new link. line stays the caller's. */
azihsm_rc login_again(struct login *login, struct line *line, uint16_t sess_id, uint32_t lineage, struct link **out);

#endif
