/*
 * EccGenerateKeyPair, EccSign, EcdhKeyExchange (device-behaviour 5.4).
 */
#include "emulator/create.h"

azihsm_rc cmd_ecc_generate(struct command *cmd)
{
    const struct azihsm_ecc_generate_req *req = &cmd->req.ecc_generate;
    enum azihsm_device_kind profile = cmd->device->config.kind;
    const struct engine_kind *kind = engine_kind_find(engine_kind_of_curve(req->curve));
    struct engine_key *engine = NULL;
    struct usage usage;
    struct created created;
    azihsm_rc rc;

    if (kind == NULL)
        return AZIHSM_STATUS_INVALID_ARG;
    rc = usage_parse(&req->key_props, &usage);
    if (rc == AZIHSM_OK)
        rc = usage_allow(profile, kind, &usage);
    if (rc == AZIHSM_OK)
        rc = usage_take_tag(&usage, req->has_key_tag, req->key_tag,
                            command_is_virtual(cmd) ? USAGE_ZERO_IS_NONE : USAGE_ZERO_REFUSED);
    if (rc == AZIHSM_OK)
        rc = engine_generate_ecc(cmd->device->engine, req->curve, &engine);
    if (rc == AZIHSM_OK)
        rc = create_key(cmd, engine, &usage, true, &created);
    if (rc == AZIHSM_OK)
        cmd->resp.key_pair = (struct azihsm_key_pair_resp){created.id, created.pub_key, created.masked};
    return rc;
}

azihsm_rc cmd_ecc_sign(struct command *cmd)
{
    const struct azihsm_ecc_sign_req *req = &cmd->req.ecc_sign;
    struct azihsm_bytes *signature = &cmd->resp.ecc_sign.signature;
    struct vault_key *key;
    azihsm_rc rc = command_find_key(cmd, req->key_id, &key);
    if (rc != AZIHSM_OK)
        return rc;
    if ((key->attributes & AZIHSM_ATTR_SIGN) == 0)
        return AZIHSM_STATUS_INVALID_PERMISSIONS;
    signature->data = cmd->scratch;
    return engine_ecdsa_sign(cmd->device->engine, vault_key_engine(key), req->digest, req->digest_algo, cmd->scratch,
                             &signature->len);
}

/* Target kind, usage, tag, then the private key, its permission, its curve (order of 5.4). */
static azihsm_rc check_ecdh(struct command *cmd, const struct azihsm_ecdh_req *req, struct usage *usage,
                            struct vault_key **key)
{
    const struct engine_kind *target = engine_kind_find(req->key_type);
    const struct engine_kind *source;
    azihsm_rc rc;

    if (target == NULL || target->family != ENGINE_SECRET)
        return AZIHSM_STATUS_INVALID_KEY_TYPE;
    rc = usage_parse(&req->key_props, usage);
    if (rc == AZIHSM_OK)
        rc = usage_allow(cmd->device->config.kind, target, usage);
    if (rc == AZIHSM_OK)
        rc = usage_take_tag(usage, req->has_key_tag, req->key_tag, USAGE_ZERO_REFUSED);
    if (rc == AZIHSM_OK)
        rc = command_find_key(cmd, req->priv_key_id, key);
    if (rc != AZIHSM_OK)
        return rc;
    if (((*key)->attributes & AZIHSM_ATTR_DERIVE) == 0)
        return AZIHSM_STATUS_INVALID_PERMISSIONS;
    source = engine_key_info(vault_key_engine(*key));
    return source->family == ENGINE_ECC && source->curve == target->curve ? AZIHSM_OK : AZIHSM_STATUS_INVALID_KEY_TYPE;
}

azihsm_rc cmd_ecdh(struct command *cmd)
{
    const struct azihsm_ecdh_req *req = &cmd->req.ecdh;
    struct engine_key *secret = NULL;
    struct vault_key *key;
    struct usage usage;
    struct created created;
    azihsm_rc rc = check_ecdh(cmd, req, &usage, &key);
    if (rc == AZIHSM_OK)
        rc = engine_ecdh(cmd->device->engine, vault_key_engine(key), req->pub_key_der, &secret);
    if (rc == AZIHSM_OK)
        rc = create_key(cmd, secret, &usage, !command_is_virtual(cmd), &created);
    if (rc == AZIHSM_OK)
        cmd->resp.ecdh = (struct azihsm_ecdh_resp){created.id, created.masked};
    return rc;
}
