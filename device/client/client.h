/*
 * A client: one user's view of a hub, with the user's own deadline, hooks and trace.
 */
#ifndef CLIENT_CLIENT_H
#define CLIENT_CLIENT_H

#include "recover.h"

struct azihsm_client {
    _Atomic uint32_t refs;
    struct hub *hub;
    unsigned timeout_ms;
    struct azihsm_async_hooks async;
    void (*trace)(void *arg, enum azihsm_trace_category category, const char *line);
    void *trace_arg;
    unsigned trace_categories;
};

/*
 * A client on an endpoint made elsewhere (taken over in any case), for tests and programs with a device of their own.
 * config->device is not looked at.
 */
azihsm_rc client_new_on(const struct azihsm_client_config *config, struct azihsm_endpoint *endpoint,
                        struct azihsm_client **out, struct azihsm_error *err);

bool client_can_pause(const struct azihsm_client *client);
bool client_pause(const struct azihsm_client *client, int fd, struct operation *operation);

static inline bool client_traces(const struct azihsm_client *client, enum azihsm_trace_category category)
{
    return client->trace != NULL && (client->trace_categories & (unsigned)category) != 0;
}

/* No effect when this category is not wanted; never called with a lock held. */
__attribute__((format(printf, 3, 4))) void client_trace(const struct azihsm_client *client,
                                                        enum azihsm_trace_category category, const char *format, ...);

#endif
