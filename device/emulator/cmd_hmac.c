/*
 * Hmac (device-behaviour 5.5). The kind is checked before the permission.
 */
#include "emulator/command.h"

azihsm_rc cmd_hmac(struct command *cmd)
{
    struct azihsm_bytes *tag = &cmd->resp.hmac.tag;
    const struct engine_kind *info;
    struct vault_key *key;
    azihsm_rc rc = command_find_key(cmd, cmd->req.hmac.key_id, &key);
    if (rc != AZIHSM_OK)
        return rc;
    info = engine_key_info(vault_key_engine(key));
    if (info->family != ENGINE_HMAC && info->family != ENGINE_VAR_HMAC)
        return AZIHSM_STATUS_INVALID_KEY_TYPE;
    if ((key->attributes & AZIHSM_ATTR_SIGN) == 0)
        return command_is_virtual(cmd) ? AZIHSM_STATUS_INTERNAL_ERROR : AZIHSM_STATUS_INVALID_PERMISSIONS;
    tag->data = cmd->scratch;
    return engine_hmac(cmd->device->engine, vault_key_engine(key), cmd->req.hmac.msg, cmd->scratch, &tag->len);
}
