/*
 * State files of a partition.
 *
 * Order at the very first start: owner, device, then (after provisioning) owner again with the backup key. So an owner
 * with a backup key and no device, or a device and no owner, is never a crash of ours but a loss, and refused.
 */
#include "partition_state.h"

#include <openssl/crypto.h>
#include <stdio.h>

enum { FILE_NAME_MAX = CONFIG_NAME_MAX + 16 };

static void partition_file(const struct partition_store *store, const char *what, char name[FILE_NAME_MAX])
{
    snprintf(name, FILE_NAME_MAX, "%s.%s", store->name, what);
}

/* *len 0: no file. The buffer is the caller's to cleanse and free, of *cap bytes. */
static azihsm_rc partition_read(const struct partition_store *store, const char *what, uint8_t **buf, size_t cap,
                                size_t *len, struct azihsm_error *err)
{
    char name[FILE_NAME_MAX];

    *len = 0;
    *buf = OPENSSL_malloc(cap);
    if (*buf == NULL)
        return azihsm_error_set(err, AZIHSM_E_NO_MEMORY, "partition %s: out of memory", store->name);
    if (store->dir == NULL)
        return AZIHSM_OK;
    partition_file(store, what, name);
    return state_dir_read(store->dir, name, *buf, cap, len, err);
}

static azihsm_rc partition_lost(const struct partition_store *store, const char *what, const char *other,
                                struct azihsm_error *err)
{
    return azihsm_error_set(err, AZIHSM_E_DECODE,
                            "%s has %s.%s but no %s.%s: restore it from a backup (azihsm restore), or remove both to "
                            "begin anew and lose all keys",
                            state_dir_path(store->dir), store->name, other, store->name, what);
}

/* Writes a file of the state directory: buf holds what was encoded into it (rc, len), and is cleansed and freed. */
static azihsm_rc partition_write(const struct partition_store *store, const char *suffix, azihsm_rc rc, uint8_t *buf,
                                 size_t cap, size_t len, struct azihsm_error *err)
{
    char name[FILE_NAME_MAX];

    partition_file(store, suffix, name);
    if (rc == AZIHSM_OK)
        rc = state_dir_write(store->dir, name, (struct azihsm_bytes){buf, len}, err);
    else
        rc = azihsm_error_set(err, rc, "partition %s: %s state cannot be encoded: %s", store->name, suffix,
                              azihsm_rc_name(rc));
    OPENSSL_clear_free(buf, cap);
    return rc;
}

/* ---- owner ---- */

azihsm_rc partition_save_owner(const struct partition_store *store, const struct provision_state *owner,
                               struct azihsm_error *err)
{
    uint8_t *buf;
    size_t len = 0;
    azihsm_rc rc;

    if (store->dir == NULL)
        return AZIHSM_OK;
    buf = OPENSSL_malloc(PROVISION_STATE_MAX);
    if (buf == NULL)
        return azihsm_error_set(err, AZIHSM_E_NO_MEMORY, "partition %s: out of memory", store->name);
    rc = provision_state_encode(owner, buf, PROVISION_STATE_MAX, &len);
    return partition_write(store, "owner", rc, buf, PROVISION_STATE_MAX, len, err);
}

static azihsm_rc partition_new_owner(const struct partition_store *store, struct provision_state **out,
                                     struct azihsm_error *err)
{
    uint8_t *device;
    size_t device_len = 0;
    azihsm_rc rc = partition_read(store, "device", &device, EMU_STATE_MAX, &device_len, err);

    OPENSSL_clear_free(device, EMU_STATE_MAX);
    if (rc != AZIHSM_OK)
        return rc;
    if (device_len > 0)
        return partition_lost(store, "owner", "device", err);
    rc = provision_state_generate(out, err);
    if (rc != AZIHSM_OK)
        return rc;
    rc = partition_save_owner(store, *out, err);
    if (rc != AZIHSM_OK) {
        provision_state_free(*out);
        *out = NULL;
    }
    return rc;
}

azihsm_rc partition_load_owner(const struct partition_store *store, struct provision_state **out,
                               struct azihsm_error *err)
{
    uint8_t *buf;
    size_t len = 0;
    azihsm_rc rc = partition_read(store, "owner", &buf, PROVISION_STATE_MAX, &len, err);

    *out = NULL;
    if (rc == AZIHSM_OK && len > 0) {
        rc = provision_state_decode((struct azihsm_bytes){buf, len}, out);
        if (rc != AZIHSM_OK)
            azihsm_error_set(err, rc, "%s/%s.owner is damaged: restore it from a backup", state_dir_path(store->dir),
                             store->name);
    }
    OPENSSL_clear_free(buf, PROVISION_STATE_MAX);
    return rc == AZIHSM_OK && *out == NULL ? partition_new_owner(store, out, err) : rc;
}

/* ---- device ---- */

azihsm_rc partition_save_device(const struct partition_store *store, struct emu_device *device,
                                struct azihsm_error *err)
{
    uint8_t *buf;
    size_t len = 0;
    azihsm_rc rc;

    if (store->dir == NULL)
        return AZIHSM_OK;
    buf = OPENSSL_malloc(EMU_STATE_MAX);
    if (buf == NULL)
        return azihsm_error_set(err, AZIHSM_E_NO_MEMORY, "partition %s: out of memory", store->name);
    rc = emu_device_save(device, buf, EMU_STATE_MAX, &len);
    return partition_write(store, "device", rc, buf, EMU_STATE_MAX, len, err);
}

static azihsm_rc partition_power_on(const struct partition_store *store, const struct emu_config *config,
                                    struct azihsm_bytes state, struct emu_device **out, struct azihsm_error *err)
{
    azihsm_rc rc = emu_device_new(config, state.len > 0 ? state.data : NULL, state.len, out);

    if (rc != AZIHSM_OK)
        return azihsm_error_set(err, rc, "partition %s: the device does not start%s: %s", store->name,
                                state.len > 0 ? " from its saved state" : "", azihsm_rc_name(rc));
    if (state.len > 0)
        return AZIHSM_OK;
    rc = partition_save_device(store, *out, err);
    if (rc != AZIHSM_OK) {
        emu_device_free(*out);
        *out = NULL;
    }
    return rc;
}

azihsm_rc partition_load_device(const struct partition_store *store, const struct emu_config *config,
                                const struct provision_state *owner, struct emu_device **out, struct azihsm_error *err)
{
    uint8_t *buf;
    size_t len = 0;
    azihsm_rc rc = partition_read(store, "device", &buf, EMU_STATE_MAX, &len, err);

    if (rc == AZIHSM_OK && len == 0 && store->dir != NULL && owner != NULL && owner->bmk.len > 0)
        rc = partition_lost(store, "device", "owner", err);
    if (rc == AZIHSM_OK)
        rc = partition_power_on(store, config, (struct azihsm_bytes){buf, len}, out, err);
    OPENSSL_clear_free(buf, EMU_STATE_MAX);
    return rc;
}
