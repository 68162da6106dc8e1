/*
 * Masking comes before storing, so that nothing has to be taken back when it fails.
 */
#include "emulator/create.h"

#include "emulator/blob.h"

azihsm_rc create_blob(struct command *cmd, const struct engine_key *engine, uint64_t attributes, uint16_t tag,
                      struct azihsm_bytes label, struct azihsm_bytes *masked)
{
    bool session = (attributes & AZIHSM_ATTR_SESSION) != 0;
    const struct blob_info info = {
        .attributes = attributes,
        .owner_number = session ? cmd->session->id : tag,
        .owner = device_provision(cmd->device)->id,
        .label = label,
    };
    masked->data = cmd->scratch;
    return blob_mask_key(cmd->device->engine, session ? cmd->session->smk : cmd->device->mk, engine, &info,
                         cmd->scratch, sizeof(cmd->scratch), &masked->len);
}

azihsm_rc create_stored(struct command *cmd, struct engine_key *engine, uint64_t attributes, uint16_t tag,
                        struct created *out)
{
    struct session *session = (attributes & AZIHSM_ATTR_SESSION) != 0 ? cmd->session : NULL;
    const struct engine_kind *info = engine_key_info(engine);
    struct vault_key *key = vault_key_new(VAULT_USER, engine, (unsigned)engine_key_budget(engine), attributes);
    azihsm_rc rc;

    if (key == NULL)
        return AZIHSM_E_NO_MEMORY;
    key->tag = tag;
    rc = vault_insert(cmd->ns->vault, key, session, &out->id);
    if (rc != AZIHSM_OK) {
        vault_key_free(key);
        return rc;
    }
    vault_key_free(cmd->hold);
    cmd->hold = key;
    cmd->created = true;
    cmd->created_id = out->id;
    out->kind = info->kind;
    out->bulk = azihsm_key_kind_is_bulk(info->kind);
    out->pair = info->public_kind != 0;
    if (out->pair)
        out->pub_key = (struct azihsm_pub_key){engine_key_public(engine), info->public_kind};
    return AZIHSM_OK;
}

azihsm_rc create_key(struct command *cmd, struct engine_key *engine, const struct usage *usage, bool local,
                     struct created *out)
{
    uint64_t attributes = usage->attributes | (local ? AZIHSM_ATTR_LOCAL : 0);
    azihsm_rc rc = create_blob(cmd, engine, attributes, usage->tag, usage->label, &out->masked);
    if (rc != AZIHSM_OK) {
        engine_key_free(engine);
        return rc;
    }
    return create_stored(cmd, engine, attributes, usage->tag, out);
}
