/*
 * Device addresses: parsing, and the well-known places. Which transport serves which form of address is the table
 * below; nothing here touches the file system.
 */
#include "endpoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KERNEL_PREFIX "/dev/azihsm"
#define UNIX_PREFIX   "unix:"

static azihsm_rc new_kernel(const struct azihsm_endpoint_config *config, struct azihsm_endpoint **out,
                            struct azihsm_error *err)
{
    return chardev_endpoint_new(config->device, out, err);
}

static azihsm_rc new_queue(const struct azihsm_endpoint_config *config, struct azihsm_endpoint **out,
                           struct azihsm_error *err)
{
    const char *path = config->device + strlen(UNIX_PREFIX);

    if (path[0] != '/')
        return azihsm_error_set(err, AZIHSM_E_CONFIG, "device = %s: the socket's path must be absolute",
                                config->device);
    return queue_endpoint_new(path, config->partition, false, out, err);
}

static azihsm_rc new_auto(const struct azihsm_endpoint_config *config, struct azihsm_endpoint **out,
                          struct azihsm_error *err)
{
    return auto_endpoint_new(config->partition, config->autostart, out, err);
}

static const struct {
    const char *text;
    bool prefix; /* else the whole address */
    azihsm_rc (*make)(const struct azihsm_endpoint_config *config, struct azihsm_endpoint **out,
                      struct azihsm_error *err);
} forms[] = {
    {"auto", false, new_auto},
    {KERNEL_PREFIX, true, new_kernel},
    {UNIX_PREFIX, true, new_queue},
};

azihsm_rc azihsm_endpoint_new(const struct azihsm_endpoint_config *config, struct azihsm_endpoint **out,
                              struct azihsm_error *err)
{
    const char *device = config->device;

    *out = NULL;
    if (device == NULL)
        return azihsm_error_set(err, AZIHSM_E_CONFIG, "no device is configured");
    if (config->partition != NULL && config->partition[0] == '\0')
        return azihsm_error_set(err, AZIHSM_E_CONFIG, "the partition's name is empty");
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        if (forms[i].prefix ? strncmp(device, forms[i].text, strlen(forms[i].text)) == 0
                            : strcmp(device, forms[i].text) == 0)
            return forms[i].make(config, out, err);
    }
    return azihsm_error_set(err, AZIHSM_E_CONFIG,
                            "device = %s: expected auto, /dev/azihsmN or unix:/path/of/the/socket", device);
}

static bool is_directory(const char *path)
{
    struct stat status;

    return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

bool endpoint_user_directory(char *out, size_t cap)
{
    const char *runtime = secure_getenv("XDG_RUNTIME_DIR");
    const char *home = secure_getenv("HOME");
    int len;

    if (runtime != NULL && runtime[0] == '/') {
        len = snprintf(out, cap, "%s/azihsm", runtime);
        return len > 0 && (size_t)len < cap;
    }
    len = snprintf(out, cap, "/run/user/%lu", (unsigned long)geteuid());
    if (len > 0 && (size_t)len + sizeof("/azihsm") <= cap && is_directory(out)) {
        memcpy(out + len, "/azihsm", sizeof("/azihsm"));
        return true;
    }
    if (home == NULL || home[0] != '/')
        return false;
    len = snprintf(out, cap, "%s/.azihsm/run", home);
    return len > 0 && (size_t)len < cap;
}
