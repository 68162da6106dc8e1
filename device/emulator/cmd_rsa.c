/*
 * RsaModExp, RsaUnwrap (device-behaviour 5.6, 8) and, from our own range of opcodes, RsaGenerateKeyPair.
 */
#include "emulator/create.h"

azihsm_rc cmd_rsa_mod_exp(struct command *cmd)
{
    const struct azihsm_rsa_mod_exp_req *req = &cmd->req.rsa_mod_exp;
    struct azihsm_bytes *x = &cmd->resp.rsa_mod_exp.x;
    uint64_t needed = req->op_type == AZIHSM_RSA_SIGN ? AZIHSM_ATTR_SIGN : AZIHSM_ATTR_DECRYPT;
    struct vault_key *key;
    azihsm_rc rc;

    if (req->op_type != AZIHSM_RSA_SIGN && req->op_type != AZIHSM_RSA_DECRYPT)
        return AZIHSM_STATUS_INVALID_ARG;
    rc = command_find_key(cmd, req->key_id, &key);
    if (rc != AZIHSM_OK)
        return rc;
    if ((key->attributes & needed) == 0)
        return AZIHSM_STATUS_INVALID_PERMISSIONS;
    x->data = cmd->scratch;
    rc = engine_rsa_raw(cmd->device->engine, vault_key_engine(key), req->y, cmd->scratch, &x->len);
    cmd->scratch_used = rc == AZIHSM_OK ? x->len : 0;
    return rc;
}

/* ---- import ---- */

static bool hash_known(uint32_t hash)
{
    return azihsm_hash_size(hash) != 0;
}

/* The key that unwraps, and a blob long enough for it. */
static azihsm_rc check_kek(struct command *cmd, const struct vault_key *key)
{
    const struct azihsm_rsa_unwrap_req *req = &cmd->req.rsa_unwrap;
    const struct engine_kind *info = engine_key_info(vault_key_engine(key));
    bool plain_rsa = info->family == ENGINE_RSA && info->kind <= AZIHSM_KEY_RSA4K_PRIVATE;

    if (!plain_rsa || (!command_is_virtual(cmd) && key->role != VAULT_UNWRAPPING))
        return AZIHSM_STATUS_RSA_UNWRAP_INVALID_KEK;
    if (req->wrapped_blob.len < info->bits / 8u)
        return AZIHSM_STATUS_RSA_UNWRAP_INVALID_REQUEST;
    return req->padding == AZIHSM_PADDING_OAEP ? AZIHSM_OK : AZIHSM_STATUS_INVALID_ARG;
}

static azihsm_rc find_kek(struct command *cmd, struct vault_key **key)
{
    azihsm_rc rc = command_find_key(cmd, cmd->req.rsa_unwrap.key_id, key);
    if (rc == AZIHSM_OK && ((*key)->attributes & AZIHSM_ATTR_UNWRAP) == 0)
        rc = AZIHSM_STATUS_INVALID_PERMISSIONS;
    return rc;
}

static azihsm_rc check_properties(const struct command *cmd, struct usage *usage)
{
    const struct azihsm_rsa_unwrap_req *req = &cmd->req.rsa_unwrap;
    azihsm_rc rc = usage_parse(&req->key_props, usage);
    if (rc != AZIHSM_OK)
        return rc;
    return usage_allow_family(cmd->device->config.kind, engine_class_family(req->key_class), usage);
}

static azihsm_rc unwrap(struct command *cmd, const struct vault_key *kek, struct engine_key **out)
{
    const struct azihsm_rsa_unwrap_req *req = &cmd->req.rsa_unwrap;
    return engine_unwrap(cmd->device->engine, vault_key_engine(kek), req->hash, req->key_class, req->wrapped_blob, out);
}

/* The firmware validates the properties first. */
static azihsm_rc unwrap_physical(struct command *cmd, struct usage *usage, struct engine_key **out)
{
    const struct azihsm_rsa_unwrap_req *req = &cmd->req.rsa_unwrap;
    struct vault_key *kek;
    azihsm_rc rc;

    if (engine_class_family(req->key_class) == 0)
        return AZIHSM_STATUS_INVALID_ARG;
    rc = check_properties(cmd, usage);
    if (rc == AZIHSM_OK)
        rc = usage_take_tag(usage, req->has_key_tag, req->key_tag, USAGE_ZERO_REFUSED);
    if (rc == AZIHSM_OK && !hash_known(req->hash))
        rc = AZIHSM_STATUS_INVALID_ARG;
    if (rc == AZIHSM_OK)
        rc = find_kek(cmd, &kek);
    if (rc == AZIHSM_OK)
        rc = check_kek(cmd, kek);
    return rc == AZIHSM_OK ? unwrap(cmd, kek, out) : rc;
}

/* Failures of the content, which the simulator finds only after it has looked at the usage. */
static bool is_import_error(azihsm_rc rc)
{
    return rc == AZIHSM_STATUS_KEY_DECODE_FAILED || rc == AZIHSM_STATUS_RSA_INVALID_KEY_LENGTH ||
           rc == AZIHSM_STATUS_AES_INVALID_KEY_LENGTH;
}

/* The simulator unwraps first, then looks at class, usage, content and a tag of 0. */
static azihsm_rc unwrap_virtual(struct command *cmd, struct usage *usage, struct engine_key **out)
{
    const struct azihsm_rsa_unwrap_req *req = &cmd->req.rsa_unwrap;
    bool session = (azihsm_tkp_bits(req->key_props.metadata) & AZIHSM_TKP_SESSION) != 0;
    azihsm_rc usage_rc;
    struct vault_key *kek;
    azihsm_rc rc = find_kek(cmd, &kek);
    if (rc == AZIHSM_OK && session && req->has_key_tag)
        rc = AZIHSM_STATUS_INVALID_ARG;
    if (rc == AZIHSM_OK && !hash_known(req->hash))
        rc = AZIHSM_STATUS_INVALID_ARG;
    if (rc == AZIHSM_OK)
        rc = check_kek(cmd, kek);
    if (rc == AZIHSM_OK)
        rc = unwrap(cmd, kek, out);
    usage_rc = check_properties(cmd, usage);
    if ((rc == AZIHSM_OK || is_import_error(rc)) && usage_rc != AZIHSM_OK)
        rc = usage_rc;
    if (rc == AZIHSM_OK)
        rc = usage_take_tag(usage, req->has_key_tag, req->key_tag, USAGE_ZERO_REFUSED);
    return rc;
}

azihsm_rc cmd_rsa_unwrap(struct command *cmd)
{
    struct engine_key *engine = NULL;
    struct usage usage;
    struct created created;
    azihsm_rc rc =
        command_is_virtual(cmd) ? unwrap_virtual(cmd, &usage, &engine) : unwrap_physical(cmd, &usage, &engine);
    if (rc != AZIHSM_OK) {
        engine_key_free(engine);
        return rc;
    }
    rc = create_key(cmd, engine, &usage, false, &created);
    if (rc != AZIHSM_OK)
        return rc;
    cmd->resp.rsa_unwrap = (struct azihsm_rsa_unwrap_resp){
        .key_id = created.id,
        .has_pub_key = created.pair,
        .pub_key = created.pub_key,
        .has_bulk_key_id = created.bulk,
        .bulk_key_id = created.id,
        .kind = created.kind,
        .masked_key = created.masked,
    };
    return AZIHSM_OK;
}

/* ---- generation (extension) ---- */

azihsm_rc cmd_rsa_generate(struct command *cmd)
{
    const struct azihsm_rsa_generate_req *req = &cmd->req.rsa_generate;
    const struct engine_kind *kind = engine_kind_find(engine_kind_of_rsa_bits(req->bits, false));
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
        rc = usage_take_tag(&usage, req->has_key_tag, req->key_tag, USAGE_ZERO_REFUSED);
    if (rc == AZIHSM_OK)
        rc = engine_generate_rsa(cmd->device->engine, req->bits, &engine);
    if (rc == AZIHSM_OK)
        rc = create_key(cmd, engine, &usage, true, &created);
    if (rc == AZIHSM_OK)
        cmd->resp.key_pair = (struct azihsm_key_pair_resp){created.id, created.pub_key, created.masked};
    return rc;
}
