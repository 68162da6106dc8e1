/*
 * Discovery: GetApiRev, GetDeviceInfo and, from our own range of opcodes, GetExtensions.
 */
#include "emulator/command.h"

azihsm_rc cmd_get_api_rev(struct command *cmd)
{
    cmd->resp.api_rev = (struct azihsm_get_api_rev_resp){.min = {1, 0}, .max = {1, 0}};
    return AZIHSM_OK;
}

azihsm_rc cmd_get_device_info(struct command *cmd)
{
    cmd->resp.device_info = (struct azihsm_get_device_info_resp){
        .kind = cmd->device->config.kind,
        .tables = (uint8_t)cmd->device->config.tables,
        .fips_approved = false,
    };
    return AZIHSM_OK;
}

azihsm_rc cmd_get_extensions(struct command *cmd)
{
    cmd->resp.extensions.features = AZIHSM_EXT_RSA_GENERATE;
    return AZIHSM_OK;
}
