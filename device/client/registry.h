/*
 * The devices this process uses: one hub for each distinct configuration, shared by all clients with that configuration
 * (several provider instances in several library contexts), counted, gone with the last.
 */
#ifndef CLIENT_REGISTRY_H
#define CLIENT_REGISTRY_H

#include "era.h"
#include "transport/process.h"

#include <azihsm/client.h>

struct hub {
    _Atomic uint32_t refs;
    struct azihsm_endpoint *endpoint;
    _Atomic(struct era *) era; /* newest */
    _Atomic bool reached;      /* a session was opened once, by us or by the process we were forked from */
    /* what it was made from */
    char *device, *partition, *pin_source;
    bool autostart;
    /* credential from pin_source, guarded by lock (taken over from a thread that fork did not copy) */
    struct process_lock lock;
    struct secret *credential;
    bool has_credential;
    struct hub *next;
};

/* The hub of a configuration, with a reference. AZIHSM_E_CONFIG names the wrong value. */
azihsm_rc hub_get(const struct azihsm_client_config *config, struct hub **out, struct azihsm_error *err);
/* A hub on an endpoint made elsewhere (taken over in any case), shared with nobody. */
azihsm_rc hub_get_endpoint(const struct azihsm_client_config *config, struct azihsm_endpoint *endpoint,
                           struct hub **out, struct azihsm_error *err);
void hub_put(struct hub *hub);

/* The era of this generation, made if need be; NULL without memory. */
struct era *hub_era(struct hub *hub);
/* The same, but NULL when this generation has none yet. */
struct era *hub_era_if_any(struct hub *hub);

/*
 * The credential for a session on device: from pin_source (cached; again from the file when refresh), or what the
 * daemon handed out. The caller cleanses out.
 */
azihsm_rc hub_credential(struct hub *hub, const struct azihsm_device *device, bool refresh, uint8_t *out,
                         struct azihsm_error *err);
/* Reads pin_source into the cache if it is not there yet; silent. */
void hub_credential_prepare(struct hub *hub);
/* After ChangePin: sessions opened from now on use the new PIN. No effect without pin_source. */
void hub_credential_set_pin(struct hub *hub, const uint8_t pin[AZIHSM_CREDENTIAL_SIZE]);

#endif
