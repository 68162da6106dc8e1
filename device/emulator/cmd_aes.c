/*
 * AesGenerateKey and AesEncryptDecrypt (device-behaviour 5.3).
 */
#include "emulator/create.h"

#include <string.h>

azihsm_rc cmd_aes_generate(struct command *cmd)
{
    const struct azihsm_aes_generate_req *req = &cmd->req.aes_generate;
    const struct engine_kind *kind = engine_kind_find(engine_kind_of_aes_size(req->key_size));
    struct engine_key *engine = NULL;
    struct usage usage;
    struct created created;
    azihsm_rc rc;

    if (kind == NULL)
        return AZIHSM_STATUS_INVALID_ARG;
    rc = usage_parse(&req->key_props, &usage);
    if (rc == AZIHSM_OK)
        rc = usage_allow(cmd->device->config.kind, kind, &usage);
    if (rc == AZIHSM_OK)
        rc = usage_take_tag(&usage, req->has_key_tag, req->key_tag,
                            command_is_virtual(cmd) ? USAGE_ZERO_IS_NONE : USAGE_ZERO_REFUSED);
    if (rc == AZIHSM_OK)
        rc = engine_generate_raw(cmd->device->engine, kind->kind, &engine);
    if (rc == AZIHSM_OK)
        rc = create_key(cmd, engine, &usage, true, &created);
    if (rc == AZIHSM_OK)
        cmd->resp.aes_generate =
            (struct azihsm_aes_generate_resp){created.id, created.bulk, created.id, created.masked};
    return rc;
}

azihsm_rc cmd_check_aes_crypt(struct command *cmd)
{
    return cmd->req.aes_crypt.msg.len == 0 ? AZIHSM_STATUS_INVALID_ARG : AZIHSM_OK;
}

azihsm_rc cmd_aes_crypt(struct command *cmd)
{
    const struct azihsm_aes_crypt_req *req = &cmd->req.aes_crypt;
    uint8_t *iv = cmd->scratch + AZIHSM_CBC_MSG_MAX;
    struct vault_key *key;
    azihsm_rc rc;

    if ((req->op != AZIHSM_AES_ENCRYPT && req->op != AZIHSM_AES_DECRYPT) || req->iv.len != AZIHSM_IV_SIZE)
        return AZIHSM_STATUS_INVALID_ARG;
    rc = command_find_key(cmd, req->key_id, &key);
    if (rc != AZIHSM_OK)
        return rc;
    if ((key->attributes & (req->op == AZIHSM_AES_ENCRYPT ? AZIHSM_ATTR_ENCRYPT : AZIHSM_ATTR_DECRYPT)) == 0)
        return AZIHSM_STATUS_INVALID_PERMISSIONS;
    memcpy(iv, req->iv.data, AZIHSM_IV_SIZE);
    rc = engine_aes_cbc(cmd->device->engine, vault_key_engine(key), req->op == AZIHSM_AES_DECRYPT, iv, req->msg.data,
                        cmd->scratch, req->msg.len);
    if (rc != AZIHSM_OK)
        return rc;
    cmd->scratch_used = req->msg.len;
    cmd->resp.aes_crypt = (struct azihsm_aes_crypt_resp){{cmd->scratch, req->msg.len}, {iv, AZIHSM_IV_SIZE}};
    return AZIHSM_OK;
}
