/*
 * From the key id of a request to the key (device-behaviour 5.0), for all commands.
 */
#include "emulator/command.h"

static azihsm_rc generate_unwrapping_key(struct emu_device *device, struct vault_key *entry)
{
    struct engine_key *key = NULL;
    azihsm_rc rc = engine_generate_rsa(device->engine, 2048, &key);
    if (rc == AZIHSM_OK)
        atomic_store_explicit(&entry->engine, key, memory_order_release);
    return rc;
}

azihsm_rc command_unwrapping_key(struct emu_device *device, struct vault_key *entry)
{
    azihsm_rc rc = AZIHSM_OK;

    if (vault_key_engine(entry) != NULL)
        return AZIHSM_OK;
    pthread_mutex_lock(&device->unwrapping_lock);
    if (vault_key_engine(entry) == NULL)
        rc = generate_unwrapping_key(device, entry);
    pthread_mutex_unlock(&device->unwrapping_lock);
    return rc;
}

azihsm_rc command_find_any_key(struct command *cmd, uint16_t id, struct vault_key **out)
{
    struct vault *vault = cmd->ns->vault;
    struct vault_key *key;

    if (!vault_in_range(vault, id))
        return command_is_virtual(cmd) ? AZIHSM_STATUS_INVALID_KEY_NUMBER : AZIHSM_STATUS_KEY_NOT_FOUND;
    if (vault_is_foreign(vault, id))
        vault = cmd->device->own->vault;
    key = vault_get(vault, id);
    if (key == NULL)
        return AZIHSM_STATUS_KEY_NOT_FOUND;
    vault_key_free(cmd->hold);
    cmd->hold = *out = key;
    if (key->role == VAULT_USER)
        return AZIHSM_OK;
    return key->role == VAULT_UNWRAPPING ? command_unwrapping_key(cmd->device, key) : AZIHSM_STATUS_KEY_NOT_FOUND;
}

azihsm_rc command_find_key(struct command *cmd, uint16_t id, struct vault_key **out)
{
    azihsm_rc rc = command_find_any_key(cmd, id, out);
    if (rc == AZIHSM_OK && (*out)->session != 0 && (*out)->session != cmd->session->serial)
        rc = AZIHSM_STATUS_INVALID_PERMISSIONS;
    return rc;
}
