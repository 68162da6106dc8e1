/*
 * InitBk3 and the sealed-BK3 slot (device-behaviour 2.3). The boot key never changes, so InitBk3 has no state, except
 * with the bk3_once option.
 */
#include "emulator/blob.h"
#include "emulator/command.h"

#include <string.h>

azihsm_rc cmd_early_init_bk3(struct command *cmd)
{
    struct emu_device *device = cmd->device;
    bool refused;

    pthread_mutex_lock(&device->lock);
    refused = device->config.bk3_once && device->bk3_initialized;
    pthread_mutex_unlock(&device->lock);
    return refused ? AZIHSM_STATUS_BK3_ALREADY_INITIALIZED : AZIHSM_OK;
}

azihsm_rc cmd_init_bk3(struct command *cmd)
{
    struct emu_device *device = cmd->device;
    struct azihsm_init_bk3_resp *resp = &cmd->resp.init_bk3;
    struct azihsm_bytes bk3 = cmd->req.init_bk3.bk3;
    size_t len;
    azihsm_rc rc = cmd_early_init_bk3(cmd); /* the option holds in the virtual profile too */

    if (rc == AZIHSM_OK && bk3.len != AZIHSM_BK3_SIZE)
        rc = AZIHSM_STATUS_INVALID_ARG;
    if (rc == AZIHSM_OK)
        rc = blob_mask_backup(device->engine, BLOB_BK3, device_roots(device)->bk_boot, bk3, cmd->scratch,
                              sizeof(cmd->scratch), &len);
    if (rc != AZIHSM_OK)
        return rc;
    pthread_mutex_lock(&device->lock);
    device->bk3_initialized = true;
    pthread_mutex_unlock(&device->lock);
    resp->masked_bk3 = (struct azihsm_bytes){cmd->scratch, len};
    memcpy(resp->vm_launch_guid, device->launch_id, sizeof(resp->vm_launch_guid));
    return AZIHSM_OK;
}

azihsm_rc cmd_get_sealed_bk3(struct command *cmd)
{
    struct emu_device *device = cmd->device;
    size_t len;

    pthread_mutex_lock(&device->lock);
    len = device->sealed_bk3_len;
    memcpy(cmd->scratch, device->sealed_bk3, len);
    pthread_mutex_unlock(&device->lock);
    cmd->resp.sealed_bk3.sealed_bk3 = (struct azihsm_bytes){cmd->scratch, len};
    return len == 0 ? AZIHSM_STATUS_SEALED_BK3_NOT_PRESENT : AZIHSM_OK;
}

azihsm_rc cmd_early_set_sealed_bk3(struct command *cmd)
{
    bool set;

    pthread_mutex_lock(&cmd->device->lock);
    set = cmd->device->sealed_bk3_len != 0;
    pthread_mutex_unlock(&cmd->device->lock);
    return set ? AZIHSM_STATUS_SEALED_BK3_ALREADY_SET : AZIHSM_OK;
}

azihsm_rc cmd_set_sealed_bk3(struct command *cmd)
{
    struct emu_device *device = cmd->device;
    struct azihsm_bytes blob = cmd->req.sealed_bk3.sealed_bk3;
    azihsm_rc rc = AZIHSM_OK;

    if (blob.len > AZIHSM_SEALED_BK3_MAX)
        return AZIHSM_STATUS_SEALED_BK3_TOO_LARGE;
    pthread_mutex_lock(&device->lock);
    if (device->sealed_bk3_len != 0) {
        rc = device_is_virtual(device) ? AZIHSM_STATUS_KEY_TAG_ALREADY_EXISTS : AZIHSM_STATUS_SEALED_BK3_ALREADY_SET;
    } else if (blob.len > 0) { /* an empty one leaves the slot free */
        memcpy(device->sealed_bk3, blob.data, blob.len);
        device->sealed_bk3_len = blob.len;
    }
    pthread_mutex_unlock(&device->lock);
    return rc;
}
