/*
 * DeleteKey, OpenKey, AttestKey, UnmaskKey, GetUnwrappingKey (device-behaviour 4.5, 5.2, 7).
 */
#include "crypto/masking.h"
#include "emulator/blob.h"
#include "emulator/create.h"
#include "emulator/report.h"

#include <string.h>

azihsm_rc cmd_delete_key(struct command *cmd)
{
    uint16_t id = cmd->req.delete_key.key_id;
    struct vault *vault = cmd->ns->vault;
    struct vault_key *key;

    if (!vault_in_range(vault, id))
        return command_is_virtual(cmd) ? AZIHSM_STATUS_INVALID_KEY_NUMBER : AZIHSM_STATUS_KEY_NOT_FOUND;
    if (vault_is_foreign(vault, id))
        return AZIHSM_STATUS_CANNOT_DELETE_INTERNAL_KEYS;
    key = cmd->hold = vault_get(vault, id);
    if (key == NULL || key->role == VAULT_SESSION)
        return AZIHSM_STATUS_KEY_NOT_FOUND;
    if (key->role != VAULT_USER)
        return AZIHSM_STATUS_CANNOT_DELETE_INTERNAL_KEYS;
    if (key->session != 0 && key->session != cmd->session->serial)
        return AZIHSM_STATUS_INVALID_PERMISSIONS;
    return vault_remove(vault, id, key);
}

azihsm_rc cmd_open_key(struct command *cmd)
{
    struct azihsm_open_key_resp *resp = &cmd->resp.open_key;
    uint16_t tag = cmd->req.open_key.key_tag, id;
    const struct engine_key *engine;
    const struct engine_kind *info;
    azihsm_rc rc;

    if (tag == 0)
        return AZIHSM_STATUS_KEY_NOT_FOUND;
    rc = vault_open_tag(cmd->ns->vault, tag, &id, &cmd->hold);
    if (rc != AZIHSM_OK)
        return rc;
    engine = vault_key_engine(cmd->hold);
    info = engine_key_info(engine);
    *resp = (struct azihsm_open_key_resp){
        .key_id = id,
        .key_kind = info->kind,
        .has_pub_key = info->public_kind != 0,
        .pub_key = {engine_key_public(engine), info->public_kind},
        .has_bulk_key_id = azihsm_key_kind_is_bulk(info->kind),
        .bulk_key_id = id,
    };
    return AZIHSM_OK;
}

/* ---- attestation ---- */

static bool is_pair(const struct vault_key *key)
{
    return engine_key_info(vault_key_engine(key))->public_kind != 0;
}

static azihsm_rc find_attested(struct command *cmd, struct vault_key **key)
{
    azihsm_rc rc = command_find_any_key(cmd, cmd->req.attest_key.key_id, key);
    /* the firmware checks the owner of key pairs only */
    if (rc == AZIHSM_OK && (command_is_virtual(cmd) || is_pair(*key)) && (*key)->session != 0 &&
        (*key)->session != cmd->session->serial)
        rc = AZIHSM_STATUS_INVALID_PERMISSIONS;
    if (rc == AZIHSM_OK && command_is_virtual(cmd) && !is_pair(*key))
        rc = AZIHSM_STATUS_INVALID_KEY_TYPE;
    return rc;
}

azihsm_rc cmd_attest_key(struct command *cmd)
{
    struct emu_device *device = cmd->device;
    struct azihsm_bytes data = cmd->req.attest_key.report_data;
    struct azihsm_bytes *report = &cmd->resp.attest_key.report;
    struct report_subject subject = {0};
    struct vault_key *key;
    azihsm_rc rc;

    if (!command_is_virtual(cmd) && data.len != sizeof(subject.report_data))
        return AZIHSM_STATUS_INVALID_ARG;
    rc = find_attested(cmd, &key);
    if (rc != AZIHSM_OK)
        return rc;
    if (device->identity == NULL)
        return AZIHSM_STATUS_ATTEST_KEY_INTERNAL_ERROR;
    subject.key = vault_key_engine(key);
    subject.attributes = key->attributes;
    memcpy(subject.app_uuid, device_provision(device)->id, sizeof(subject.app_uuid));
    memcpy(subject.vm_launch_id, device->launch_id, sizeof(subject.vm_launch_id));
    if (data.len > 0)
        memcpy(subject.report_data, data.data, data.len);
    report->data = cmd->scratch;
    return report_build(device->engine, device->identity, &subject, cmd->scratch, sizeof(cmd->scratch), &report->len);
}

/* ---- masked keys ---- */

static azihsm_rc check_session_of_blob(const struct command *cmd, const struct azihsm_masked_metadata *metadata)
{
    if ((azihsm_attributes_flags(metadata->attributes) & AZIHSM_ATTR_SESSION) == 0)
        return AZIHSM_OK;
    if (command_is_virtual(cmd))
        return blob_owner_number(metadata) == cmd->session->id ? AZIHSM_OK : AZIHSM_STATUS_SESSION_NOT_FOUND;
    return metadata->has_key_tag ? AZIHSM_STATUS_INVALID_ARG : AZIHSM_OK;
}

static azihsm_rc check_owner_of_blob(const struct command *cmd, const struct azihsm_masked_metadata *metadata)
{
    const uint8_t *owner = blob_owner(metadata);

    if (!command_is_virtual(cmd) && memcmp(owner, device_internal_id, AZIHSM_CREDENTIAL_SIZE) == 0)
        return AZIHSM_STATUS_UNMASK_UNWRAPPING_KEY_NOT_ALLOWED;
    if (memcmp(owner, device_provision(cmd->device)->id, AZIHSM_CREDENTIAL_SIZE) != 0)
        return AZIHSM_STATUS_APP_NOT_FOUND;
    return AZIHSM_OK;
}

static azihsm_rc unmask(struct command *cmd, const struct azihsm_masked_key *masked, struct created *created)
{
    struct emu_device *device = cmd->device;
    uint64_t attributes = azihsm_attributes_flags(masked->metadata.attributes);
    bool session = (attributes & AZIHSM_ATTR_SESSION) != 0;
    const struct engine_key *masking_key = session ? cmd->session->smk : device->mk;
    struct engine_key *engine = NULL;
    uint16_t tag = session ? 0 : blob_owner_number(&masked->metadata);
    azihsm_rc rc = masking_verify(device->libctx, engine_key_raw(masking_key).data, masked);
    if (rc == AZIHSM_OK)
        rc = check_session_of_blob(cmd, &masked->metadata);
    if (rc == AZIHSM_OK)
        rc = check_owner_of_blob(cmd, &masked->metadata);
    if (rc == AZIHSM_OK)
        rc = blob_restore_key(device->engine, masking_key, masked, &engine);
    if (rc == AZIHSM_OK && !command_is_virtual(cmd))
        rc = create_blob(cmd, engine, attributes, tag, masked->metadata.key_label, &created->masked);
    if (rc != AZIHSM_OK) {
        engine_key_free(engine);
        return rc;
    }
    return create_stored(cmd, engine, attributes, tag, created);
}

azihsm_rc cmd_unmask_key(struct command *cmd)
{
    struct azihsm_bytes blob = cmd->req.unmask_key.masked_key;
    struct created created = {.masked = blob}; /* virtual: echoed */
    struct azihsm_masked_key masked;
    azihsm_rc rc;

    if (azihsm_masked_key_parse(blob, &masked) != AZIHSM_OK || masked.version != 1)
        return AZIHSM_STATUS_MASKED_KEY_DECODE_FAILED;
    rc = unmask(cmd, &masked, &created);
    if (rc != AZIHSM_OK)
        return rc;
    cmd->resp.unmask_key = (struct azihsm_unmask_key_resp){
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

/* ---- the unwrapping key ---- */

static bool still_pending(struct emu_device *device)
{
    bool pending;

    pthread_mutex_lock(&device->lock);
    pending = device->pending_calls > 0;
    if (pending)
        device->pending_calls--;
    pthread_mutex_unlock(&device->lock);
    return pending;
}

azihsm_rc cmd_get_unwrapping_key(struct command *cmd)
{
    struct emu_device *device = cmd->device;
    struct azihsm_get_unwrapping_key_resp *resp = &cmd->resp.unwrapping_key;
    const struct engine_key *engine;
    struct blob_info info;
    struct vault_key *key;
    azihsm_rc rc;

    if (still_pending(device))
        return AZIHSM_STATUS_PENDING_KEY_GENERATION;
    rc = command_find_any_key(cmd, device->unwrapping_id, &key);
    if (rc != AZIHSM_OK)
        return rc;
    engine = vault_key_engine(key);
    info = (struct blob_info){.attributes = key->attributes, .owner = device_internal_id};
    resp->masked_key.data = cmd->scratch;
    rc = blob_mask_key(device->engine, device->mk, engine, &info, cmd->scratch, sizeof(cmd->scratch),
                       &resp->masked_key.len);
    resp->key_id = device->unwrapping_id;
    resp->pub_key = (struct azihsm_pub_key){engine_key_public(engine), AZIHSM_KEY_RSA2K_PUBLIC};
    return rc;
}
