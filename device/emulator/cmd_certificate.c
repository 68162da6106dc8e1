/*
 * GetCertChainInfo and GetCertificate (device-behaviour 7.4). Both work at any time, without a session.
 */
#include "emulator/command.h"

azihsm_rc cmd_get_cert_chain_info(struct command *cmd)
{
    azihsm_rc rc;

    if (!command_is_virtual(cmd) && cmd->req.chain_info.slot_id != 0)
        return AZIHSM_STATUS_INVALID_ARG;
    rc = device_chain(cmd->device, &cmd->hold_chain);
    if (rc != AZIHSM_OK)
        return rc;
    cmd->resp.chain_info = (struct azihsm_cert_chain_info_resp){
        .num_certs = (uint8_t)certificate_chain_count(cmd->hold_chain),
        .thumbprint = {certificate_chain_thumbprint(cmd->hold_chain), CERTIFICATE_THUMBPRINT_SIZE},
    };
    return AZIHSM_OK;
}

azihsm_rc cmd_get_certificate(struct command *cmd)
{
    const struct azihsm_certificate_req req = cmd->req.certificate;
    azihsm_rc rc;

    if (req.slot_id != 0)
        return AZIHSM_STATUS_INVALID_ARG;
    rc = device_chain(cmd->device, &cmd->hold_chain);
    if (rc != AZIHSM_OK)
        return rc;
    if (req.cert_id >= certificate_chain_count(cmd->hold_chain))
        return command_is_virtual(cmd) ? AZIHSM_STATUS_INVALID_ARG : AZIHSM_STATUS_INVALID_CERTIFICATE;
    cmd->resp.certificate.certificate = certificate_chain_get(cmd->hold_chain, req.cert_id);
    return AZIHSM_OK;
}
