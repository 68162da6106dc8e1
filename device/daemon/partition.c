/*
 * A served partition: life cycle, login, reset.
 *
 * Locks: `life` serialises provisioning, resets and saves (slow things that talk to the device); `guard` protects the
 * small data below it and is never held while the device works. life before guard.
 */
#include "partition_internal.h"

#include "client/provision.h"
#include "inproc.h"
#include "log.h"
#include "partition_state.h"

#include <openssl/crypto.h>
#include <string.h>
#include <time.h>

enum { PARTITION_PROVISION_SECONDS = 30 };

static int64_t partition_deadline(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return ((int64_t)now.tv_sec + PARTITION_PROVISION_SECONDS) * 1000000000 + now.tv_nsec;
}

static struct partition_store partition_store(const struct partition *partition)
{
    return (struct partition_store){partition->dir, partition->config->name};
}

/* ---- provisioning ---- */

static azihsm_rc partition_keep_owner(void *arg, const struct provision_state *state, struct azihsm_error *err)
{
    struct partition_store store = partition_store(arg);

    return partition_save_owner(&store, state, err);
}

/* life is held, or nobody else knows the partition yet. */
static azihsm_rc partition_provision(struct partition *partition, struct azihsm_error *err)
{
    const struct provision_keeper keeper = {partition_keep_owner, partition};
    enum provision_outcome outcome;

    if (partition->owner == NULL)
        return AZIHSM_OK;
    return provision_run(partition->endpoint, partition->owner, &keeper, partition_deadline(), &outcome, err);
}

static azihsm_rc partition_save(struct partition *partition, struct azihsm_error *err)
{
    struct partition_store store = partition_store(partition);

    return partition_save_device(&store, partition->emulator, err);
}

void partition_note_persistent_change(struct partition *partition)
{
    struct azihsm_error err = {0};

    pthread_mutex_lock(&partition->life);
    if (partition_save(partition, &err) != AZIHSM_OK)
        log_line(LOG_LEVEL_ERROR, "%s", err.text);
    pthread_mutex_unlock(&partition->life);
}

azihsm_rc partition_reset(struct partition *partition, struct azihsm_error *err)
{
    azihsm_rc rc;

    pthread_mutex_lock(&partition->life);
    emu_device_reset(partition->emulator);
    rc = partition_provision(partition, err);
    pthread_mutex_unlock(&partition->life);
    return rc;
}

azihsm_rc partition_change_pin(struct partition *partition, const uint8_t pin[AZIHSM_CREDENTIAL_SIZE],
                               struct azihsm_error *err)
{
    const struct provision_keeper keeper = {partition_keep_owner, partition};
    azihsm_rc rc;

    if (partition->owner == NULL)
        return azihsm_error_set(err, AZIHSM_E_REFUSED, "partition %s is not provisioned by azihsmd",
                                partition->config->name);
    pthread_mutex_lock(&partition->life);
    rc = provision_change_pin(partition->endpoint, partition->owner, &keeper, pin, partition_deadline(), err);
    if (rc == AZIHSM_OK) {
        pthread_mutex_lock(&partition->guard);
        memcpy(partition->credential + AZIHSM_CREDENTIAL_SIZE, pin, AZIHSM_CREDENTIAL_SIZE);
        pthread_mutex_unlock(&partition->guard);
    }
    pthread_mutex_unlock(&partition->life);
    return rc;
}

/* ---- life cycle ---- */

static struct emu_config partition_emulator_config(const struct config_partition *config,
                                                   const struct config_secrets *secrets)
{
    struct emu_config emulator = {
        .kind = (enum azihsm_device_kind)config->kind,
        .tables = config->tables,
        .sessions_max = config->limits == CONFIG_LIMITS_HARDWARE ? AZIHSM_SESSIONS_MAX : PARTITION_ROOMY_SESSIONS,
        .extensions = config->extensions,
        .bk3_once = config->bk3_once,
        .pin_lockout = config->pin_lockout,
        .pending_key_calls = config->pending_key_calls,
        .power_off_when_idle = config->power_off_when_idle,
    };

    memcpy(emulator.bks1, secrets->bks1, sizeof(emulator.bks1));
    memcpy(emulator.bks2, secrets->bks2, sizeof(emulator.bks2));
    memcpy(emulator.bk_boot, secrets->boot_key, sizeof(emulator.bk_boot));
    return emulator;
}

static azihsm_rc partition_power_up(struct partition *partition, const struct config_secrets *secrets,
                                    struct azihsm_error *err)
{
    struct partition_store store = partition_store(partition);
    struct emu_config emulator = partition_emulator_config(partition->config, secrets);
    azihsm_rc rc = AZIHSM_OK;

    if (partition->config->provision)
        rc = partition_load_owner(&store, &partition->owner, err);
    if (rc == AZIHSM_OK)
        rc = partition_load_device(&store, &emulator, partition->owner, &partition->emulator, err);
    OPENSSL_cleanse(&emulator, sizeof(emulator));
    if (rc != AZIHSM_OK)
        return rc;
    rc = inproc_endpoint_new(partition->emulator, NULL, &partition->endpoint);
    if (rc != AZIHSM_OK)
        return azihsm_error_set(err, rc, "partition %s: out of memory", partition->config->name);
    if (partition->owner != NULL)
        memcpy(partition->credential, partition->owner->credential, sizeof(partition->credential));
    return partition_provision(partition, err);
}

azihsm_rc partition_new(const struct config_partition *config, const struct config_secrets *secrets,
                        struct state_dir *dir, struct partition **out, struct azihsm_error *err)
{
    struct partition *partition = OPENSSL_zalloc(sizeof(*partition));
    azihsm_rc rc;

    if (partition == NULL)
        return azihsm_error_set(err, AZIHSM_E_NO_MEMORY, "partition %s: out of memory", config->name);
    partition->config = config;
    partition->dir = dir;
    pthread_mutex_init(&partition->life, NULL);
    pthread_mutex_init(&partition->guard, NULL);
    rc = access_resolve(config, &partition->access, err);
    if (rc == AZIHSM_OK && (partition->counters = counters_new()) == NULL)
        rc = azihsm_error_set(err, AZIHSM_E_NO_MEMORY, "partition %s: out of memory", config->name);
    if (rc == AZIHSM_OK)
        rc = partition_power_up(partition, secrets, err);
    if (rc == AZIHSM_OK)
        *out = partition;
    else
        partition_free(partition);
    return rc;
}

void partition_free(struct partition *partition)
{
    if (partition == NULL)
        return;
    if (partition->endpoint != NULL)
        azihsm_endpoint_free(partition->endpoint);
    if (partition->emulator != NULL)
        emu_device_free(partition->emulator);
    provision_state_free(partition->owner);
    counters_free(partition->counters);
    pthread_mutex_destroy(&partition->guard);
    pthread_mutex_destroy(&partition->life);
    OPENSSL_clear_free(partition, sizeof(*partition));
}

/* ---- who may use it ---- */

const char *partition_name(const struct partition *partition)
{
    return partition->config->name;
}

struct counters *partition_counters(struct partition *partition)
{
    return partition->counters;
}

struct conditions *partition_conditions(struct partition *partition)
{
    return &partition->conditions;
}

void partition_device_counters(struct partition *partition, struct emu_counters *out)
{
    emu_device_counters(partition->emulator, out);
}

bool partition_allows(struct partition *partition, uid_t uid, gid_t gid)
{
    bool allowed;

    pthread_mutex_lock(&partition->guard);
    allowed = access_allows(&partition->access, uid, gid);
    pthread_mutex_unlock(&partition->guard);
    return allowed;
}

void partition_set_access(struct partition *partition, const struct access *access)
{
    pthread_mutex_lock(&partition->guard);
    partition->access = *access;
    pthread_mutex_unlock(&partition->guard);
}

bool partition_credential(struct partition *partition, uint8_t out[2 * AZIHSM_CREDENTIAL_SIZE])
{
    if (partition->owner == NULL)
        return false;
    pthread_mutex_lock(&partition->guard);
    memcpy(out, partition->credential, sizeof(partition->credential));
    pthread_mutex_unlock(&partition->guard);
    return true;
}

bool partition_vouch(struct partition *partition, uint8_t out[2 * AZIHSM_CREDENTIAL_SIZE])
{
    return partition->config->login == CONFIG_LOGIN_PEER && partition_credential(partition, out);
}
