/*
 * Making and freeing clients, and calling out to their owners.
 */
#include "client.h"

#include <openssl/crypto.h>
#include <stdarg.h>
#include <stdio.h>

enum { TIMEOUT_DEFAULT_MS = 10000, PREPARE_MS = 100, TRACE_LINE_MAX = 512 };

/* Takes over the hub's reference. */
static azihsm_rc client_on_hub(const struct azihsm_client_config *config, struct hub *hub, struct azihsm_client **out,
                               struct azihsm_error *err)
{
    struct azihsm_client *client = OPENSSL_zalloc(sizeof(*client));

    if (client == NULL) {
        hub_put(hub);
        return azihsm_error_set(err, AZIHSM_E_NO_MEMORY, "out of memory");
    }
    client->refs = 1;
    client->hub = hub;
    client->timeout_ms = config->timeout_ms != 0 ? config->timeout_ms : TIMEOUT_DEFAULT_MS;
    client->async = config->async;
    client->trace = config->trace;
    client->trace_arg = config->trace_arg;
    client->trace_categories = config->trace_categories != 0 ? config->trace_categories : AZIHSM_TRACE_ALL;
    *out = client;
    return AZIHSM_OK;
}

azihsm_rc azihsm_client_new(const struct azihsm_client_config *config, struct azihsm_client **out,
                            struct azihsm_error *err)
{
    struct hub *hub;
    azihsm_rc rc = hub_get(config, &hub, err);

    return rc != AZIHSM_OK ? rc : client_on_hub(config, hub, out, err);
}

azihsm_rc client_new_on(const struct azihsm_client_config *config, struct azihsm_endpoint *endpoint,
                        struct azihsm_client **out, struct azihsm_error *err)
{
    struct hub *hub;
    azihsm_rc rc = hub_get_endpoint(config, endpoint, &hub, err);

    return rc != AZIHSM_OK ? rc : client_on_hub(config, hub, out, err);
}

struct azihsm_client *azihsm_client_up_ref(struct azihsm_client *client)
{
    atomic_fetch_add(&client->refs, 1);
    return client;
}

void azihsm_client_free(struct azihsm_client *client)
{
    if (client == NULL || atomic_fetch_sub(&client->refs, 1) != 1)
        return;
    hub_put(client->hub);
    OPENSSL_free(client);
}

void azihsm_client_prepare(struct azihsm_client *client)
{
    hub_credential_prepare(client->hub);
    azihsm_endpoint_prepare(client->hub->endpoint, PREPARE_MS);
}

const char *azihsm_client_endpoint_name(struct azihsm_client *client)
{
    return azihsm_endpoint_name(client->hub->endpoint);
}

bool client_can_pause(const struct azihsm_client *client)
{
    return client->async.pause != NULL && client->async.can_pause != NULL && client->async.can_pause(client->async.arg);
}

bool client_pause(const struct azihsm_client *client, int fd, struct operation *operation)
{
    return client->async.pause(client->async.arg, fd, operation_abandon, operation);
}

void client_trace(const struct azihsm_client *client, enum azihsm_trace_category category, const char *format, ...)
{
    char line[TRACE_LINE_MAX];
    va_list args;

    if (!client_traces(client, category))
        return;
    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    client->trace(client->trace_arg, category, line);
}
