/*
 * What a partition keeps in the state directory: the device's own secrets ("NAME.device") and its owner's
 * ("NAME.owner"). Without a directory everything is fresh and nothing is kept.
 */
#ifndef DAEMON_PARTITION_STATE_H
#define DAEMON_PARTITION_STATE_H

#include "client/provision_state.h"
#include "client/state_dir.h"
#include "config.h"
#include "emulator/emulator.h"

struct partition_store {
    struct state_dir *dir; /* NULL: ephemeral */
    const char *name;
};

/*
 * Reads or makes the owner's secrets. *out is never NULL on AZIHSM_OK. One of the two files without the other is
 * refused: making the missing one anew would cut off every key.
 */
azihsm_rc partition_load_owner(const struct partition_store *store, struct provision_state **out,
                               struct azihsm_error *err);
azihsm_rc partition_save_owner(const struct partition_store *store, const struct provision_state *owner,
                               struct azihsm_error *err);
/* Powers the device on from its saved state, or a new one, which is saved. owner: NULL when the partition has none. */
azihsm_rc partition_load_device(const struct partition_store *store, const struct emu_config *config,
                                const struct provision_state *owner, struct emu_device **out, struct azihsm_error *err);
azihsm_rc partition_save_device(const struct partition_store *store, struct emu_device *device,
                                struct azihsm_error *err);

#endif
