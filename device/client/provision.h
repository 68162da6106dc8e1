/*
 * What the protocol asks of the host once per power cycle: turning a fresh or reset partition into one that accepts its
 * owner's credential and old masked keys (device-behaviour 2.3, 2.5, 2.6; ddi-protocol 3.5, 9).
 *
 * Works over any transport. azihsmd runs it for its own engine, `azihsm provision` for bare hardware; nobody else: a
 * client that finds a partition unprovisioned waits for the owner of the state.
 */
#ifndef CLIENT_PROVISION_H
#define CLIENT_PROVISION_H

#include "client/provision_state.h"

#include <azihsm/device.h>

/* Called whenever the state has changed, before the device is asked to rely on it. A failure ends the run. */
struct provision_keeper {
    azihsm_rc (*save)(void *arg, const struct provision_state *state, struct azihsm_error *err);
    void *arg;
};

enum provision_outcome {
    PROVISION_DONE,   /* this run provisioned the partition */
    PROVISION_ALREADY /* it was provisioned with our credential before */
};

/*
 * Brings the partition up. May be run at any time and by several processes of the same owner at once.
 * AZIHSM_E_PERMISSION: another owner's credential is established (a reset clears it). AZIHSM_E_MISMATCH: the device
 * does not accept the backup key in the state: it was made by another device or POTA key.
 */
azihsm_rc provision_run(struct azihsm_endpoint *endpoint, struct provision_state *state,
                        const struct provision_keeper *keeper, int64_t deadline_ns, enum provision_outcome *outcome,
                        struct azihsm_error *err);

/* Whether the partition has no credential (power-on or after a reset). */
azihsm_rc provision_needed(struct azihsm_endpoint *endpoint, int64_t deadline_ns, bool *needed,
                           struct azihsm_error *err);

/* Changes the PIN in the device and in the state. Open sessions stay open; masked keys do not depend on the PIN. */
azihsm_rc provision_change_pin(struct azihsm_endpoint *endpoint, struct provision_state *state,
                               const struct provision_keeper *keeper, const uint8_t pin[AZIHSM_CREDENTIAL_SIZE],
                               int64_t deadline_ns, struct azihsm_error *err);

#endif
