/*
 * device = auto: the first device that is configured, up or down, decided when it is first needed.
 *
 * The choice is made once for the endpoint's life: a daemon that is down for a second must not make a second device.
 */
#include "endpoint.h"

#include <openssl/crypto.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct auto_endpoint {
    struct azihsm_endpoint base;
    bool autostart;
    bool has_partition;
    char partition[64];
    _Atomic(struct azihsm_endpoint *) chosen;
};

static const char kernel_node[] = "/dev/azihsm0";

static bool exists(const char *path, mode_t type)
{
    struct stat status;

    return stat(path, &status) == 0 && (status.st_mode & S_IFMT) == type;
}

/* Writes the address to choose, "" when nothing is configured. */
static void find_device(const struct auto_endpoint *endpoint, char *address, size_t cap, bool *own_daemon)
{
    char directory[ENDPOINT_PATH_MAX];

    address[0] = '\0';
    *own_daemon = false;
    if (exists(kernel_node, S_IFCHR)) {
        snprintf(address, cap, "%s", kernel_node);
    } else if (exists(ENDPOINT_SYSTEM_DIRECTORY, S_IFDIR)) {
        snprintf(address, cap, "unix:%s/%s", ENDPOINT_SYSTEM_DIRECTORY, ENDPOINT_SOCKET_NAME);
    } else if (endpoint_user_directory(directory, sizeof(directory)) &&
               (endpoint->autostart || exists(directory, S_IFDIR))) {
        snprintf(address, cap, "unix:%s/%s", directory, ENDPOINT_SOCKET_NAME);
        *own_daemon = endpoint->autostart;
    }
}

static azihsm_rc choose(struct auto_endpoint *endpoint, struct azihsm_endpoint **out, struct azihsm_error *err)
{
    struct azihsm_endpoint *chosen = atomic_load(&endpoint->chosen);
    struct azihsm_endpoint *fresh = NULL;
    char address[ENDPOINT_PATH_MAX + 32];
    bool own_daemon;
    azihsm_rc rc;

    *out = chosen;
    if (chosen != NULL)
        return AZIHSM_OK;
    find_device(endpoint, address, sizeof(address), &own_daemon);
    if (address[0] == '\0')
        return azihsm_error_set(err, AZIHSM_E_NO_DEVICE,
                                "neither %s nor %s nor a user's socket directory exists; start azihsmd "
                                "(systemctl start azihsmd, or azihsmd --user)",
                                kernel_node, ENDPOINT_SYSTEM_DIRECTORY);
    if (own_daemon) {
        rc = queue_endpoint_new(address + strlen("unix:"), endpoint->has_partition ? endpoint->partition : NULL, true,
                                &fresh, err);
    } else {
        struct azihsm_endpoint_config config = {.device = address,
                                                .partition = endpoint->has_partition ? endpoint->partition : NULL};

        rc = azihsm_endpoint_new(&config, &fresh, err);
    }
    if (rc != AZIHSM_OK)
        return rc;
    if (!atomic_compare_exchange_strong(&endpoint->chosen, &chosen, fresh)) {
        azihsm_endpoint_free(fresh);
        fresh = chosen;
    }
    *out = fresh;
    return AZIHSM_OK;
}

static void auto_free(struct azihsm_endpoint *base)
{
    struct auto_endpoint *endpoint = (struct auto_endpoint *)base;

    azihsm_endpoint_free(atomic_load(&endpoint->chosen));
    OPENSSL_free(endpoint);
}

static void auto_prepare(struct azihsm_endpoint *base, unsigned timeout_ms)
{
    struct azihsm_endpoint *chosen;

    if (choose((struct auto_endpoint *)base, &chosen, NULL) == AZIHSM_OK)
        azihsm_endpoint_prepare(chosen, timeout_ms);
}

static const char *auto_name(const struct azihsm_endpoint *base)
{
    struct azihsm_endpoint *chosen = atomic_load(&((const struct auto_endpoint *)base)->chosen);

    return chosen != NULL ? azihsm_endpoint_name(chosen) : base->name;
}

static azihsm_rc auto_open(struct azihsm_endpoint *base, int64_t deadline_ns, struct azihsm_device **out,
                           struct azihsm_error *err)
{
    struct azihsm_endpoint *chosen;
    azihsm_rc rc = choose((struct auto_endpoint *)base, &chosen, err);

    return rc == AZIHSM_OK ? azihsm_device_open(chosen, deadline_ns, out, err) : rc;
}

static const struct azihsm_transport auto_transport = {
    .name = "auto",
    .endpoint_free = auto_free,
    .endpoint_name = auto_name,
    .prepare = auto_prepare,
    .open = auto_open,
};

azihsm_rc auto_endpoint_new(const char *partition, bool autostart, struct azihsm_endpoint **out,
                            struct azihsm_error *err)
{
    struct auto_endpoint *endpoint = OPENSSL_zalloc(sizeof(*endpoint));

    if (endpoint == NULL)
        return azihsm_error_set(err, AZIHSM_E_NO_MEMORY, "making an endpoint: out of memory");
    if (partition != NULL && strlen(partition) >= sizeof(endpoint->partition)) {
        OPENSSL_free(endpoint);
        return azihsm_error_set(err, AZIHSM_E_CONFIG, "the partition's name is longer than 63 bytes");
    }
    endpoint->base.transport = &auto_transport;
    endpoint->base.name = "auto";
    endpoint->autostart = autostart;
    endpoint->has_partition = partition != NULL;
    if (partition != NULL)
        memcpy(endpoint->partition, partition, strlen(partition) + 1);
    *out = &endpoint->base;
    return AZIHSM_OK;
}
