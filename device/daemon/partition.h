/*
 * One partition as azihsmd serves it: the emulated device, its state on disk, its owner's secrets, who may use it.
 *
 * Handles and families are the partition's view of what the queue server calls a client's open handle and a connection.
 * Thread-safe. A partition outlives its handles; partition_free comes when all are closed.
 */
#ifndef DAEMON_PARTITION_H
#define DAEMON_PARTITION_H

#include "access.h"
#include "client/state_dir.h"
#include "conditions.h"
#include "counters.h"
#include "emulator/emulator.h"

struct partition;
struct partition_family;
struct partition_handle;

/*
 * config and dir (NULL: nothing is kept) must outlive the partition. Makes the device, from its saved state when there
 * is one, and provisions it when the configuration says so.
 */
azihsm_rc partition_new(const struct config_partition *config, const struct config_secrets *secrets,
                        struct state_dir *dir, struct partition **out, struct azihsm_error *err);
void partition_free(struct partition *partition);

const char *partition_name(const struct partition *partition);
struct counters *partition_counters(struct partition *partition);
struct conditions *partition_conditions(struct partition *partition);
void partition_device_counters(struct partition *partition, struct emu_counters *out);

bool partition_allows(struct partition *partition, uid_t uid, gid_t gid);
/* New allow-users and allow-groups (SIGHUP). */
void partition_set_access(struct partition *partition, const struct access *access);
/* The credential for a peer we vouch for; false with login = pin or without provisioning. */
bool partition_vouch(struct partition *partition, uint8_t out[2 * AZIHSM_CREDENTIAL_SIZE]);
/* The same for the administrator, whatever login says. */
bool partition_credential(struct partition *partition, uint8_t out[2 * AZIHSM_CREDENTIAL_SIZE]);

/* uid: whose connection it is. */
struct partition_family *partition_family_new(struct partition *partition, uid_t uid);
void partition_family_free(struct partition_family *family);
/* Calls visit for each family (connection) there is; no partition function may be called from it. */
struct partition_family_view {
    uid_t uid;
    unsigned handles;
    uint64_t commands;
};
void partition_each_family(struct partition *partition,
                           void (*visit)(void *arg, const struct partition_family_view *view), void *arg);

struct partition_handle *partition_open(struct partition *partition, struct partition_family *family);
void partition_close(struct partition_handle *handle);
struct partition *partition_of(struct partition_handle *handle);
/* response needs AZIHSM_FRAME_MAX bytes. */
void partition_execute(struct partition_handle *handle, const struct emu_submission *in, uint8_t *response,
                       struct emu_completion *out);
void partition_bulk(struct partition_handle *handle, struct emu_bulk *bulk);

/* Device reset; the partition is provisioned again before this returns, when that is our business. */
azihsm_rc partition_reset(struct partition *partition, struct azihsm_error *err);
azihsm_rc partition_change_pin(struct partition *partition, const uint8_t pin[AZIHSM_CREDENTIAL_SIZE],
                               struct azihsm_error *err);

#endif
