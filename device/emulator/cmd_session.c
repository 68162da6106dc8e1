/*
 * GetSessionEncryptionKey, OpenSession, ReopenSession, CloseSession, ChangePin (device-behaviour 2.4, 3.3).
 */
#include "emulator/blob.h"
#include "emulator/dispatch.h"
#include "emulator/partition.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <string.h>

static azihsm_rc check_established(struct emu_device *device)
{
    bool provisioned;

    pthread_mutex_lock(&device->lock);
    provisioned = device->provisioned;
    pthread_mutex_unlock(&device->lock);
    if (!provisioned)
        return AZIHSM_STATUS_CREDENTIALS_NOT_ESTABLISHED;
    return device->session_key == NULL ? AZIHSM_STATUS_SESSION_ENCRYPTION_KEY_GENERATE_FAILED : AZIHSM_OK;
}

azihsm_rc cmd_get_session_key(struct command *cmd)
{
    azihsm_rc rc = check_established(cmd->device);
    if (rc != AZIHSM_OK)
        return rc;
    return partition_answer_encryption_key(cmd, engine_key_up_ref(cmd->device->session_key));
}

/* ---- what opening and reopening share ---- */

/* Nonce, client key, tag and credential; *seed is the session seed then. */
static azihsm_rc authenticate(struct emu_device *device, const struct azihsm_session_cred *cred,
                              const struct azihsm_pub_key *pub_key, uint8_t seed[AZIHSM_SEED_SIZE])
{
    struct credential_sealed sealed;
    struct credential_fields fields = {0};
    EVP_PKEY *client = NULL;
    azihsm_rc rc = partition_take_session_credential(device, cred, &sealed);

    if (rc == AZIHSM_OK)
        rc = partition_check_lockout(device);
    if (rc == AZIHSM_OK && device_is_virtual(device))
        rc = partition_check_nonce(device, cred->nonce);
    if (rc == AZIHSM_OK)
        rc = partition_client_key(device, pub_key, &client);
    if (rc == AZIHSM_OK && !device_is_virtual(device)) /* the firmware validates the key first */
        rc = partition_check_nonce(device, cred->nonce);
    if (rc == AZIHSM_OK)
        rc = partition_open_credential(device, CREDENTIAL_SESSION, device->session_key, client, &sealed, &fields);
    if (rc == AZIHSM_OK)
        rc = partition_login(device, &fields);
    if (rc == AZIHSM_OK)
        memcpy(seed, fields.seed, AZIHSM_SEED_SIZE);
    OPENSSL_cleanse(&fields, sizeof(fields));
    EVP_PKEY_free(client);
    return rc;
}

/* The session's own entry among the keys (1.3). */
static azihsm_rc store_entry(struct session *session)
{
    uint16_t id;
    azihsm_rc rc;
    struct vault_key *entry = vault_key_new(VAULT_SESSION, NULL, VAULT_SESSION_COST, 0);
    if (entry == NULL)
        return AZIHSM_E_NO_MEMORY;
    rc = vault_insert(session->ns->vault, entry, session, &id);
    vault_key_free(entry);
    return rc;
}

static azihsm_rc mask_smk(struct command *cmd, const uint8_t *session_bk, const struct session *session,
                          struct azihsm_bytes *out)
{
    out->data = cmd->scratch;
    return blob_mask_backup(cmd->device->engine, BLOB_SMK, session_bk, engine_key_raw(session->smk), cmd->scratch,
                            sizeof(cmd->scratch), &out->len);
}

/* ---- opening ---- */

azihsm_rc cmd_early_open_session(struct command *cmd)
{
    return check_established(cmd->device);
}

/* A session in the table with its entry; cmd->session refers to it. */
static azihsm_rc enter_session(struct command *cmd, struct engine_key *smk)
{
    struct session_table *table = &cmd->device->sessions;
    azihsm_rc rc;

    cmd->session = session_new(table, cmd->ns, smk);
    if (cmd->session == NULL)
        return AZIHSM_E_NO_MEMORY;
    rc = session_table_add(table, cmd->session);
    if (rc != AZIHSM_OK)
        return rc;
    rc = store_entry(cmd->session);
    if (rc != AZIHSM_OK)
        session_table_remove(table, cmd->session);
    return rc;
}

static azihsm_rc open_session(struct command *cmd, const uint8_t seed[AZIHSM_SEED_SIZE])
{
    uint8_t session_bk[AZIHSM_MASKING_KEY_SIZE];
    struct azihsm_bytes bmk_session;
    struct engine_key *smk = NULL;
    azihsm_rc rc = partition_derive_session_bk(cmd->device, seed, session_bk);
    if (rc == AZIHSM_OK)
        rc = partition_new_masking_key(cmd->device, &smk);
    if (rc == AZIHSM_OK)
        rc = enter_session(cmd, smk);
    if (rc == AZIHSM_OK) {
        rc = mask_smk(cmd, session_bk, cmd->session, &bmk_session);
        if (rc != AZIHSM_OK)
            dispatch_close_session(cmd->device, cmd->session);
    }
    OPENSSL_cleanse(session_bk, sizeof(session_bk));
    if (rc != AZIHSM_OK)
        return rc;
    cmd->resp.session = (struct azihsm_session_resp){.sess_id = cmd->session->id, .bmk_session = bmk_session};
    cmd->sess_id = cmd->session->id;
    cmd->answer_sess_id = true;
    return AZIHSM_OK;
}

azihsm_rc cmd_open_session(struct command *cmd)
{
    uint8_t seed[AZIHSM_SEED_SIZE];
    azihsm_rc rc = check_established(cmd->device);
    if (rc == AZIHSM_OK)
        rc = authenticate(cmd->device, &cmd->req.open_session.cred, &cmd->req.open_session.pub_key, seed);
    if (rc == AZIHSM_OK)
        rc = open_session(cmd, seed);
    OPENSSL_cleanse(seed, sizeof(seed));
    return rc;
}

/* ---- reopening ---- */

/* Recovers the SMK and puts a live session into the place of the flagged one. */
static azihsm_rc revive(struct command *cmd, const uint8_t *session_bk, const uint8_t smk[AZIHSM_MASKING_KEY_SIZE])
{
    struct emu_device *device = cmd->device;
    struct session *flagged = cmd->session, *revived;
    struct engine_key *key = NULL;
    azihsm_rc rc = engine_key_from_raw(device->engine, AZIHSM_KEY_AES_CBC256_HMAC384,
                                       (struct azihsm_bytes){smk, AZIHSM_MASKING_KEY_SIZE}, &key);
    if (rc != AZIHSM_OK)
        return rc;
    revived = session_new(&device->sessions, cmd->ns, key);
    if (revived == NULL)
        return AZIHSM_E_NO_MEMORY;
    rc = store_entry(revived);
    if (rc == AZIHSM_OK && !device_is_virtual(device)) /* the firmware masks it anew */
        rc = mask_smk(cmd, session_bk, revived, &cmd->resp.session.bmk_session);
    if (rc == AZIHSM_OK && !session_table_replace(&device->sessions, flagged, revived))
        rc = device_is_virtual(device) ? AZIHSM_STATUS_INVALID_ARG : AZIHSM_STATUS_PROCESSED_IO_EVENT_IN_INVALID_STATE;
    if (rc != AZIHSM_OK)
        vault_close_session(cmd->ns->vault, revived);
    session_free(revived);
    return rc;
}

static azihsm_rc reopen_session(struct command *cmd, const uint8_t seed[AZIHSM_SEED_SIZE])
{
    struct emu_device *device = cmd->device;
    uint8_t session_bk[AZIHSM_MASKING_KEY_SIZE], smk[AZIHSM_MASKING_KEY_SIZE];
    struct azihsm_bytes blob = cmd->req.reopen_session.bmk_session;
    azihsm_rc rc = partition_derive_session_bk(device, seed, session_bk);

    cmd->resp.session = (struct azihsm_session_resp){.sess_id = cmd->session->id, .bmk_session = blob};
    if (rc == AZIHSM_OK) {
        rc = blob_open_backup(device->engine, BLOB_SMK, session_bk, blob, smk);
        if (rc > 0 && device_is_virtual(device))
            rc = AZIHSM_STATUS_INTERNAL_ERROR;
    }
    if (rc == AZIHSM_OK)
        rc = revive(cmd, session_bk, smk);
    OPENSSL_cleanse(session_bk, sizeof(session_bk));
    OPENSSL_cleanse(smk, sizeof(smk));
    return rc;
}

azihsm_rc cmd_reopen_session(struct command *cmd)
{
    const struct azihsm_reopen_session_req *req = &cmd->req.reopen_session;
    uint8_t seed[AZIHSM_SEED_SIZE];
    azihsm_rc rc;

    if (check_established(cmd->device) != AZIHSM_OK)
        return AZIHSM_STATUS_PARTITION_NOT_PROVISIONED;
    if (!command_revision_ok(cmd))
        return AZIHSM_STATUS_UNSUPPORTED_REVISION;
    if (!command_is_virtual(cmd) && (req->bmk_session.len == 0 || !cmd->session->flagged))
        return AZIHSM_STATUS_PROCESSED_IO_EVENT_IN_INVALID_STATE;
    if (!cmd->session->flagged)
        return AZIHSM_STATUS_INVALID_ARG;
    rc = authenticate(cmd->device, &req->cred, &req->pub_key, seed);
    if (rc == AZIHSM_OK)
        rc = reopen_session(cmd, seed);
    OPENSSL_cleanse(seed, sizeof(seed));
    return rc;
}

/* ---- closing ---- */

azihsm_rc cmd_close_session(struct command *cmd)
{
    if (dispatch_close_session(cmd->device, cmd->session))
        return AZIHSM_OK;
    return command_is_virtual(cmd) ? AZIHSM_STATUS_INVALID_ARG : AZIHSM_STATUS_SESSION_NOT_FOUND;
}

/* ---- the PIN ---- */

static azihsm_rc take_pin(const struct emu_device *device, const struct azihsm_encrypted_pin *pin,
                          struct credential_sealed *out)
{
    bool exact = partition_take_field(pin->encrypted_pin, out->encrypted.pin, sizeof(out->encrypted.pin));
    exact &= partition_take_field(pin->iv, out->iv, sizeof(out->iv));
    memcpy(out->nonce, pin->nonce, sizeof(out->nonce));
    memcpy(out->tag, pin->tag, sizeof(out->tag));
    return exact || device_is_virtual(device) ? AZIHSM_OK : AZIHSM_STATUS_INVALID_ARG;
}

/* The firmware does not look at the client's point here; one that is none gives a tag that is wrong. */
static azihsm_rc client_key_of_pin(struct emu_device *device, const struct azihsm_pub_key *pub_key, EVP_PKEY **out)
{
    azihsm_rc rc = partition_client_key(device, pub_key, out);
    if (rc == AZIHSM_STATUS_ECC_PUBLIC_KEY_VALIDATION_FAILED || rc == AZIHSM_STATUS_ECC_POINT_VALIDATION_FAILED)
        return AZIHSM_STATUS_PIN_DECRYPTION_FAILED;
    return rc;
}

azihsm_rc cmd_change_pin(struct command *cmd)
{
    struct emu_device *device = cmd->device;
    const struct azihsm_change_pin_req *req = &cmd->req.change_pin;
    struct credential_sealed sealed = {0};
    struct credential_fields fields = {0};
    EVP_PKEY *client = NULL;
    azihsm_rc rc = partition_check_nonce(device, req->new_pin.nonce);
    if (rc == AZIHSM_OK)
        rc = take_pin(device, &req->new_pin, &sealed);
    if (rc == AZIHSM_OK)
        rc = client_key_of_pin(device, &req->pub_key, &client);
    if (rc == AZIHSM_OK)
        rc = partition_open_credential(device, CREDENTIAL_CHANGE_PIN, device->session_key, client, &sealed, &fields);
    if (rc == AZIHSM_OK && credential_is_zero(fields.pin))
        rc = AZIHSM_STATUS_INVALID_APP_CREDENTIALS;
    if (rc == AZIHSM_OK) {
        pthread_mutex_lock(&device->lock);
        memcpy(device_provision(device)->pin, fields.pin, sizeof(fields.pin));
        pthread_mutex_unlock(&device->lock);
    }
    OPENSSL_cleanse(&fields, sizeof(fields));
    EVP_PKEY_free(client);
    return rc;
}
