/*
 * The list of hubs and their credentials.
 *
 * The list is guarded by a lock that a forked child may take over; every change of the list is one store, so it is
 * whole at any instruction. No lock is held while an endpoint is made or freed.
 */
#include "registry.h"

#include "credential.h"
#include "generation.h"
#include "transport/futex.h"

#include <openssl/crypto.h>
#include <string.h>

static struct process_lock registry_lock;
static struct hub *hubs;
static unsigned hub_count;

static void registry_enter(void)
{
    process_lock_acquire(&registry_lock, INT64_MAX);
}

static void registry_leave(void)
{
    process_lock_release(&registry_lock);
}

/* ---- configurations ---- */

static bool same_text(const char *a, const char *b)
{
    return (a == NULL) == (b == NULL) && (a == NULL || strcmp(a, b) == 0);
}

static const char *config_device(const struct azihsm_client_config *config)
{
    return config->device != NULL ? config->device : "auto";
}

static const char *config_partition(const struct azihsm_client_config *config)
{
    return config->partition != NULL ? config->partition : "default";
}

static bool hub_matches(const struct hub *hub, const struct azihsm_client_config *config)
{
    return hub->autostart == config->autostart && same_text(hub->device, config_device(config)) &&
           same_text(hub->partition, config_partition(config)) && same_text(hub->pin_source, config->pin_source);
}

static const char pin_scheme[] = "file:";

static azihsm_rc config_check(const struct azihsm_client_config *config, struct azihsm_error *err)
{
    const char *path = config->pin_source;

    if (path == NULL)
        return AZIHSM_OK;
    if (strncmp(path, pin_scheme, sizeof(pin_scheme) - 1) != 0)
        /* Not repeated: it may be the PIN itself. */
        return azihsm_error_set(err, AZIHSM_E_CONFIG, "pin-source: only file:/path is supported");
    path += sizeof(pin_scheme) - 1;
    if (*path != '/')
        return azihsm_error_set(err, AZIHSM_E_CONFIG, "pin-source: the path must be absolute: file:/path");
    return AZIHSM_OK;
}

/* ---- making and finding ---- */

static void hub_destroy(struct hub *hub)
{
    era_free(hub->era);
    azihsm_endpoint_free(hub->endpoint);
    secret_free(hub->credential);
    OPENSSL_free(hub->device);
    OPENSSL_free(hub->partition);
    OPENSSL_free(hub->pin_source);
    OPENSSL_free(hub);
}

static azihsm_rc hub_new(const struct azihsm_client_config *config, struct azihsm_endpoint *endpoint, struct hub **out,
                         struct azihsm_error *err)
{
    struct azihsm_endpoint_config address = {
        .device = config_device(config), .partition = config_partition(config), .autostart = config->autostart};
    struct hub *hub = OPENSSL_zalloc(sizeof(*hub));
    azihsm_rc rc = AZIHSM_OK;

    if (hub == NULL) {
        azihsm_endpoint_free(endpoint);
        return azihsm_error_set(err, AZIHSM_E_NO_MEMORY, "out of memory");
    }
    hub->refs = 1;
    hub->endpoint = endpoint;
    hub->autostart = config->autostart;
    hub->device = OPENSSL_strdup(address.device);
    hub->partition = OPENSSL_strdup(address.partition);
    hub->pin_source = config->pin_source == NULL ? NULL : OPENSSL_strdup(config->pin_source);
    hub->credential = secret_new(CREDENTIAL_SIZE);
    if (hub->device == NULL || hub->partition == NULL || hub->credential == NULL ||
        (config->pin_source != NULL && hub->pin_source == NULL))
        rc = azihsm_error_set(err, AZIHSM_E_NO_MEMORY, "out of memory");
    else if (endpoint == NULL)
        rc = azihsm_endpoint_new(&address, &hub->endpoint, err);
    if (rc == AZIHSM_OK)
        *out = hub;
    else
        hub_destroy(hub);
    return rc;
}

/* Under the registry's lock. A hub whose count is zero is on its way out. */
static struct hub *hub_find(const struct azihsm_client_config *config)
{
    for (struct hub *hub = hubs; hub != NULL; hub = hub->next) {
        uint32_t refs = atomic_load(&hub->refs);

        while (refs != 0 && hub_matches(hub, config))
            if (atomic_compare_exchange_weak(&hub->refs, &refs, refs + 1))
                return hub;
    }
    return NULL;
}

/* Under the registry's lock: counts a new hub and lists it when it may be shared. */
static azihsm_rc hub_enter(struct hub *hub, bool listed)
{
    azihsm_rc rc = hub_count == 0 ? generation_open() : AZIHSM_OK;

    if (rc != AZIHSM_OK)
        return rc;
    hub_count++;
    if (listed) {
        hub->next = hubs;
        hubs = hub;
    }
    return AZIHSM_OK;
}

azihsm_rc hub_get_endpoint(const struct azihsm_client_config *config, struct azihsm_endpoint *endpoint,
                           struct hub **out, struct azihsm_error *err)
{
    azihsm_rc rc = config_check(config, err);
    struct hub *hub;

    if (rc != AZIHSM_OK) {
        azihsm_endpoint_free(endpoint);
        return rc;
    }
    rc = hub_new(config, endpoint, &hub, err);
    if (rc != AZIHSM_OK)
        return rc;
    registry_enter();
    rc = hub_enter(hub, false);
    registry_leave();
    if (rc == AZIHSM_OK)
        *out = hub;
    else
        hub_destroy(hub);
    return rc;
}

azihsm_rc hub_get(const struct azihsm_client_config *config, struct hub **out, struct azihsm_error *err)
{
    azihsm_rc rc = config_check(config, err);
    struct hub *made = NULL;

    if (rc != AZIHSM_OK)
        return rc;
    registry_enter();
    *out = hub_find(config);
    registry_leave();
    if (*out != NULL)
        return AZIHSM_OK;
    rc = hub_new(config, NULL, &made, err);
    if (rc != AZIHSM_OK)
        return rc;
    registry_enter();
    *out = hub_find(config);
    if (*out == NULL) {
        rc = hub_enter(made, true);
        if (rc == AZIHSM_OK) {
            *out = made;
            made = NULL;
        }
    }
    registry_leave();
    if (made != NULL)
        hub_destroy(made);
    return rc;
}

void hub_put(struct hub *hub)
{
    if (atomic_fetch_sub(&hub->refs, 1) != 1)
        return;
    registry_enter();
    for (struct hub **at = &hubs; *at != NULL; at = &(*at)->next)
        if (*at == hub) {
            *at = hub->next;
            break;
        }
    registry_leave();
    hub_destroy(hub);
    registry_enter();
    if (--hub_count == 0)
        generation_close();
    registry_leave();
}

/* ---- eras ---- */

struct era *hub_era_if_any(struct hub *hub)
{
    struct era *era = atomic_load_explicit(&hub->era, memory_order_acquire);

    return era != NULL && era->generation == generation_current() ? era : NULL;
}

struct era *hub_era(struct hub *hub)
{
    uint32_t generation = generation_current();
    struct era *newest = atomic_load_explicit(&hub->era, memory_order_acquire);
    struct era *mine;

    if (newest != NULL && newest->generation == generation)
        return newest;
    mine = era_new(generation);
    if (mine == NULL)
        return NULL;
    mine->previous = newest;
    if (atomic_compare_exchange_strong(&hub->era, &newest, mine))
        return mine;
    mine->previous = NULL;
    era_free(mine);
    return newest;
}

/* ---- credentials ---- */

/* has_credential is cleared first and set last: a child forked in between reads the file again. */
static void credential_store(struct hub *hub, const uint8_t *credential)
{
    process_lock_acquire(&hub->lock, INT64_MAX);
    hub->has_credential = false;
    memcpy(hub->credential->data, credential, CREDENTIAL_SIZE);
    hub->has_credential = true;
    process_lock_release(&hub->lock);
}

static bool credential_cached(struct hub *hub, uint8_t *out)
{
    bool has;

    process_lock_acquire(&hub->lock, INT64_MAX);
    has = hub->has_credential;
    if (has)
        memcpy(out, hub->credential->data, CREDENTIAL_SIZE);
    process_lock_release(&hub->lock);
    return has;
}

/* A file that cannot be read any more (privileges dropped, chroot) leaves what was read before. */
azihsm_rc hub_credential(struct hub *hub, const struct azihsm_device *device, bool refresh, uint8_t *out,
                         struct azihsm_error *err)
{
    azihsm_rc rc;

    if (hub->pin_source == NULL) {
        if (azihsm_device_credential(device, out))
            return AZIHSM_OK;
        return azihsm_error_set(err, AZIHSM_E_CONFIG,
                                "the device asks for a credential and pin-source is not configured");
    }
    if (!refresh && credential_cached(hub, out))
        return AZIHSM_OK;
    rc = azihsm_credential_read(hub->pin_source + sizeof(pin_scheme) - 1, out, err);
    if (rc == AZIHSM_OK)
        credential_store(hub, out);
    else if (credential_cached(hub, out))
        rc = AZIHSM_OK;
    return rc;
}

void hub_credential_prepare(struct hub *hub)
{
    uint8_t credential[CREDENTIAL_SIZE];

    if (hub->pin_source == NULL || credential_cached(hub, credential))
        goto done;
    if (azihsm_credential_read(hub->pin_source + sizeof(pin_scheme) - 1, credential, NULL) == AZIHSM_OK)
        credential_store(hub, credential);
done:
    OPENSSL_cleanse(credential, sizeof(credential));
}

void hub_credential_set_pin(struct hub *hub, const uint8_t pin[AZIHSM_CREDENTIAL_SIZE])
{
    uint8_t credential[CREDENTIAL_SIZE];

    if (hub->pin_source != NULL && credential_cached(hub, credential)) {
        memcpy(credential + AZIHSM_CREDENTIAL_SIZE, pin, AZIHSM_CREDENTIAL_SIZE);
        credential_store(hub, credential);
    }
    OPENSSL_cleanse(credential, sizeof(credential));
}
