/*
 * HkdfDerive and KbkdfCounterHmacDerive (device-behaviour 5.5): the same checks, two engine calls.
 */
#include "emulator/create.h"

/* Kind and length of the target; bulk keys can be derived in the physical profile only. */
static azihsm_rc check_target(const struct command *cmd, const struct azihsm_kdf_req *req)
{
    azihsm_rc rc = engine_check_target(req->key_type, req->has_key_length ? req->key_length : 0);
    if (azihsm_key_kind_is_bulk(req->key_type) && command_is_virtual(cmd))
        return AZIHSM_STATUS_INVALID_KEY_TYPE;
    if (rc == AZIHSM_STATUS_INVALID_KEY_TYPE && req->has_key_length && req->key_length == 0 &&
        engine_check_target(req->key_type, 1) == AZIHSM_STATUS_INVALID_KEY_LENGTH)
        return AZIHSM_STATUS_INVALID_KEY_LENGTH; /* present, but out of range */
    return rc;
}

static azihsm_rc check_source(const struct command *cmd, const struct vault_key *key)
{
    if (engine_key_info(vault_key_engine(key))->family != ENGINE_SECRET)
        return AZIHSM_STATUS_INVALID_KEY_TYPE;
    if ((key->attributes & AZIHSM_ATTR_DERIVE) == 0)
        return command_is_virtual(cmd) ? AZIHSM_STATUS_INTERNAL_ERROR : AZIHSM_STATUS_INVALID_PERMISSIONS;
    return AZIHSM_OK;
}

static azihsm_rc check(struct command *cmd, const struct azihsm_kdf_req *req, struct usage *usage,
                       struct vault_key **key)
{
    azihsm_rc rc = check_target(cmd, req);
    if (rc == AZIHSM_OK)
        rc = usage_parse(&req->key_props, usage);
    if (rc == AZIHSM_OK)
        rc = usage_allow(cmd->device->config.kind, engine_kind_find(req->key_type), usage);
    if (rc == AZIHSM_OK)
        rc = command_find_key(cmd, req->key_id, key);
    if (rc == AZIHSM_OK)
        rc = check_source(cmd, *key);
    if (rc == AZIHSM_OK)
        rc = usage_take_tag(usage, req->has_key_tag, req->key_tag, USAGE_ZERO_REFUSED);
    return rc;
}

typedef azihsm_rc kdf_fn(struct engine *engine, const struct engine_key *secret, uint32_t hash,
                         struct azihsm_bytes first, struct azihsm_bytes second, uint32_t target_kind, size_t length,
                         struct engine_key **out);

static azihsm_rc derive(struct command *cmd, kdf_fn *kdf)
{
    const struct azihsm_kdf_req *req = &cmd->req.kdf;
    const struct azihsm_bytes none = {NULL, 0};
    struct engine_key *derived = NULL;
    struct vault_key *key;
    struct usage usage;
    struct created created;
    azihsm_rc rc = check(cmd, req, &usage, &key);
    if (rc == AZIHSM_OK)
        rc = kdf(cmd->device->engine, vault_key_engine(key), req->hash, req->has_first ? req->first : none,
                 req->has_second ? req->second : none, req->key_type, req->has_key_length ? req->key_length : 0,
                 &derived);
    if (rc == AZIHSM_OK)
        rc = create_key(cmd, derived, &usage, !command_is_virtual(cmd), &created);
    if (rc == AZIHSM_OK)
        cmd->resp.kdf = (struct azihsm_kdf_resp){created.id, created.masked, created.bulk, created.id};
    return rc;
}

azihsm_rc cmd_hkdf(struct command *cmd)
{
    return derive(cmd, engine_hkdf);
}

azihsm_rc cmd_kbkdf(struct command *cmd)
{
    return derive(cmd, engine_kbkdf);
}
