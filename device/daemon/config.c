/*
 * Configuration of azihsmd: the tables of keys, defaults, and the checks across keys.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

static const struct setting_choice kinds[] = {
    {"virtual", AZIHSM_DEVICE_VIRTUAL}, {"physical", AZIHSM_DEVICE_PHYSICAL}, {0}};
static const struct setting_choice limits[] = {
    {"hardware", CONFIG_LIMITS_HARDWARE}, {"roomy", CONFIG_LIMITS_ROOMY}, {0}};
static const struct setting_choice scopes[] = {
    {"connection", CONFIG_SCOPE_CONNECTION}, {"partition", CONFIG_SCOPE_PARTITION}, {0}};
static const struct setting_choice logins[] = {{"peer", CONFIG_LOGIN_PEER}, {"pin", CONFIG_LOGIN_PIN}, {0}};
static const struct setting_choice seccomps[] = {
    {"off", CONFIG_SECCOMP_OFF}, {"errno", CONFIG_SECCOMP_ERRNO}, {"kill", CONFIG_SECCOMP_KILL}, {0}};

#define MEMBER(type, member) offsetof(struct type, member), sizeof(((struct type *)0)->member)

static const struct setting global_settings[] = {
    {"socket", SETTING_TEXT, MEMBER(config, socket), 0, 0, NULL},
    {"control-socket", SETTING_TEXT, MEMBER(config, control_socket), 0, 0, NULL},
    {"state-dir", SETTING_TEXT, MEMBER(config, state_dir), 0, 0, NULL},
    {"user", SETTING_TEXT, MEMBER(config, user), 0, 0, NULL},
    {"socket-mode", SETTING_NUMBER, MEMBER(config, socket_mode), 0, 0777, NULL},
    {"threads", SETTING_NUMBER, MEMBER(config, threads), 1, 65536, NULL},
    {"connections", SETTING_NUMBER, MEMBER(config, connections), 1, 1000000, NULL},
    {"connections-per-user", SETTING_NUMBER, MEMBER(config, connections_per_uid), 1, 1000000, NULL},
    {"ticket-lifetime", SETTING_NUMBER, MEMBER(config, ticket_lifetime), 0, 10 * 365 * 86400, NULL},
    {"drain", SETTING_NUMBER, MEMBER(config, drain_ms), 0, 3600000, NULL},
    {"idle-exit", SETTING_NUMBER, MEMBER(config, idle_exit), 0, 365 * 86400, NULL},
    {"seccomp", SETTING_CHOICE, MEMBER(config, seccomp), 0, 0, seccomps},
    {0},
};

static const struct setting partition_settings[] = {
    {"kind", SETTING_CHOICE, MEMBER(config_partition, kind), 0, 0, kinds},
    {"limits", SETTING_CHOICE, MEMBER(config_partition, limits), 0, 0, limits},
    {"tables", SETTING_NUMBER, MEMBER(config_partition, tables), 1, 255, NULL},
    {"key-scope", SETTING_CHOICE, MEMBER(config_partition, key_scope), 0, 0, scopes},
    {"login", SETTING_CHOICE, MEMBER(config_partition, login), 0, 0, logins},
    {"allow-users", SETTING_TEXT, MEMBER(config_partition, allow_users), 0, 0, NULL},
    {"allow-groups", SETTING_TEXT, MEMBER(config_partition, allow_groups), 0, 0, NULL},
    {"provision", SETTING_BOOL, MEMBER(config_partition, provision), 0, 0, NULL},
    {"extensions", SETTING_BOOL, MEMBER(config_partition, extensions), 0, 0, NULL},
    {"bk3-once", SETTING_BOOL, MEMBER(config_partition, bk3_once), 0, 0, NULL},
    {"pin-lockout", SETTING_BOOL, MEMBER(config_partition, pin_lockout), 0, 0, NULL},
    {"pending-key-calls", SETTING_NUMBER, MEMBER(config_partition, pending_key_calls), 0, 1000000, NULL},
    {"power-off-when-idle", SETTING_BOOL, MEMBER(config_partition, power_off_when_idle), 0, 0, NULL},
    {0},
};

static const struct setting secret_settings[] = {
    {"bks1", SETTING_HEX, MEMBER(config_secrets, bks1), 0, 0, NULL},
    {"bks2", SETTING_HEX, MEMBER(config_secrets, bks2), 0, 0, NULL},
    {"boot-key", SETTING_HEX, MEMBER(config_secrets, boot_key), 0, 0, NULL},
    {0},
};

void config_init(struct config *config)
{
    *config = (struct config){
        .socket = "/run/azihsm/azihsmd.sock",
        .control_socket = "/run/azihsm/control.sock",
        .state_dir = "/var/lib/azihsm",
        .socket_mode = 0666,
        .threads = 1024,
        .connections = 4096,
        .connections_per_uid = 1024,
        .ticket_lifetime = 30 * 86400,
        .drain_ms = 5000,
        .seccomp = CONFIG_SECCOMP_ERRNO,
    };
}

/* ---- partitions ---- */

static void config_init_partition(struct config_partition *partition, const char *name)
{
    *partition = (struct config_partition){
        .kind = AZIHSM_DEVICE_VIRTUAL,
        .limits = CONFIG_LIMITS_ROOMY,
        .key_scope = CONFIG_SCOPE_CONNECTION,
        .login = CONFIG_LOGIN_PEER,
        .provision = true,
        .extensions = true,
    };
    snprintf(partition->name, sizeof(partition->name), "%s", name);
}

/* Names become parts of file names. */
static bool config_name_is_valid(const char *name)
{
    size_t len = strlen(name);

    return len > 0 && len < CONFIG_NAME_MAX && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-_") == len;
}

const struct config_partition *config_find(const struct config *config, const char *name)
{
    size_t i;

    for (i = 0; i < config->partition_count; i++) {
        if (strcmp(config->partitions[i].name, name) == 0)
            return &config->partitions[i];
    }
    return NULL;
}

static azihsm_rc config_enter(void *arg, const char *type, const char *name, const char *where,
                              struct settings_target *out, struct azihsm_error *err)
{
    struct config *config = arg;
    struct config_partition *partition;

    if (strcmp(type, "partition") != 0)
        return azihsm_error_set(err, AZIHSM_E_CONFIG, "%s: unknown section \"%s\"", where, type);
    if (!config_name_is_valid(name))
        return azihsm_error_set(err, AZIHSM_E_CONFIG,
                                "%s: a partition's name is 1 to %d characters of a-z, 0-9, - and _", where,
                                CONFIG_NAME_MAX - 1);
    if (config_find(config, name) != NULL)
        return azihsm_error_set(err, AZIHSM_E_CONFIG, "%s: partition \"%s\" again", where, name);
    if (config->partition_count == CONFIG_PARTITIONS_MAX)
        return azihsm_error_set(err, AZIHSM_E_CONFIG, "%s: more than %d partitions", where, CONFIG_PARTITIONS_MAX);
    partition = &config->partitions[config->partition_count++];
    config_init_partition(partition, name);
    *out = (struct settings_target){partition_settings, partition};
    return AZIHSM_OK;
}

/* ---- reading ---- */

azihsm_rc config_read(struct config *config, const char *path, struct azihsm_error *err)
{
    return settings_read(path, (struct settings_target){global_settings, config}, config_enter, config, err);
}

azihsm_rc config_read_secrets(struct config *config, const char *path, struct azihsm_error *err)
{
    return settings_read(path, (struct settings_target){secret_settings, &config->secrets}, NULL, NULL, err);
}

void config_complete(struct config *config)
{
    if (config->partition_count == 0)
        config_init_partition(&config->partitions[config->partition_count++], "default");
}

static bool config_is_key(const struct setting *table, const char *key)
{
    while (table->key != NULL && strcmp(table->key, key) != 0)
        table++;
    return table->key != NULL;
}

azihsm_rc config_override(struct config *config, const char *key, const char *value, const char *where,
                          struct azihsm_error *err)
{
    azihsm_rc rc = AZIHSM_OK;
    size_t i;

    if (!config_is_key(partition_settings, key))
        return setting_apply(global_settings, config, key, value, where, err);
    for (i = 0; i < config->partition_count && rc == AZIHSM_OK; i++)
        rc = setting_apply(partition_settings, &config->partitions[i], key, value, where, err);
    return rc;
}

static azihsm_rc config_check_path(const char *key, const char *path, struct azihsm_error *err)
{
    if (path[0] == '/')
        return AZIHSM_OK;
    return azihsm_error_set(err, AZIHSM_E_CONFIG, "%s must be an absolute path, not \"%s\"", key, path);
}

azihsm_rc config_finish(struct config *config, struct azihsm_error *err)
{
    size_t i;

    for (i = 0; i < config->partition_count; i++) {
        struct config_partition *partition = &config->partitions[i];

        if (partition->tables == 0)
            partition->tables = partition->limits == CONFIG_LIMITS_HARDWARE ? 1 : 64;
        if (partition->power_off_when_idle && partition->kind != AZIHSM_DEVICE_VIRTUAL)
            return azihsm_error_set(err, AZIHSM_E_CONFIG, "partition %s: power-off-when-idle is for kind = virtual",
                                    partition->name);
    }
    if (config_check_path("socket", config->socket, err) != AZIHSM_OK ||
        config_check_path("control-socket", config->control_socket, err) != AZIHSM_OK ||
        (!config->ephemeral && config_check_path("state-dir", config->state_dir, err) != AZIHSM_OK))
        return AZIHSM_E_CONFIG;
    return AZIHSM_OK;
}
