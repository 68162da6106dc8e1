/*
 * EstablishCredential (device-behaviour 2.3): the credential is taken and the partition provisioned in one step.
 *
 * Everything is computed first and taken over under the partition's lock at the end. A failure on the way therefore
 * leaves nothing to roll back but the nonce, which stays rotated.
 */
#include "crypto/ecdsa.h"
#include "crypto/masking.h"
#include "crypto/spki.h"
#include "emulator/blob.h"
#include "emulator/partition.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <string.h>

enum { POTA_SIGNATURE_SIZE = 96, UNWRAPPING_ATTRIBUTES = AZIHSM_ATTR_LOCAL | AZIHSM_ATTR_WRAP | AZIHSM_ATTR_UNWRAP };

/* Results on their way to being taken over. */
struct establishment {
    struct engine_key *credential_key;
    struct credential_sealed sealed;
    struct credential_fields fields;
    EVP_PKEY *client;
    struct secret *provision;
    struct engine_key *mk;
    struct engine_key *unwrapping; /* NULL: to be generated when needed */
    struct azihsm_bytes bmk;
};

/* New reference of the credential key, or what a second establishment is told. */
static azihsm_rc get_credential_key(struct emu_device *device, struct engine_key **out)
{
    azihsm_rc rc = AZIHSM_OK;

    pthread_mutex_lock(&device->lock);
    if (device->provisioned || device->credential_key == NULL)
        rc = device_is_virtual(device) ? AZIHSM_STATUS_KEY_NOT_FOUND : AZIHSM_STATUS_VAULT_APP_LIMIT_REACHED;
    else
        *out = engine_key_up_ref(device->credential_key);
    pthread_mutex_unlock(&device->lock);
    return rc;
}

azihsm_rc cmd_get_establish_key(struct command *cmd)
{
    struct engine_key *key;
    azihsm_rc rc = get_credential_key(cmd->device, &key);
    return rc == AZIHSM_OK ? partition_answer_encryption_key(cmd, key) : rc;
}

/* ---- endorsement ---- */

/* Both halves of a physical signature are little-endian. */
static struct azihsm_bytes signature_to_api(const struct emu_device *device, struct azihsm_bytes sig, uint8_t *buf)
{
    if (device_is_virtual(device) || sig.len != POTA_SIGNATURE_SIZE)
        return sig;
    azihsm_form_reverse(buf, sig.data, POTA_SIGNATURE_SIZE / 2);
    azihsm_form_reverse(buf + POTA_SIGNATURE_SIZE / 2, sig.data + POTA_SIGNATURE_SIZE / 2, POTA_SIGNATURE_SIZE / 2);
    return (struct azihsm_bytes){buf, POTA_SIGNATURE_SIZE};
}

static azihsm_rc verify_pota(struct emu_device *device, const struct azihsm_establish_credential_req *req)
{
    uint8_t point[SPKI_POINT_MAX], reversed[POTA_SIGNATURE_SIZE];
    size_t point_len;
    EVP_PKEY *owner = NULL;
    azihsm_rc rc =
        spki_decode_peer(device->libctx, device->config.kind, AZIHSM_CURVE_P384, req->pota_pub_key.der, &owner);
    if (rc != AZIHSM_OK) /* the simulator does not say why */
        return rc > 0 && device_is_virtual(device) ? AZIHSM_STATUS_INVALID_ARG : rc;
    rc = spki_point(engine_key_pkey(device->identity), point, &point_len);
    if (rc == AZIHSM_OK)
        rc = ecdsa_verify_message(device->libctx, owner, AZIHSM_HASH_SHA384, (struct azihsm_bytes){point, point_len},
                                  signature_to_api(device, req->pota_sig, reversed));
    if (rc > 0 && device_is_virtual(device))
        rc = AZIHSM_STATUS_INVALID_ARG;
    EVP_PKEY_free(owner);
    return rc;
}

/* ---- the two orders of checks before the tag ---- */

static bool take_credential(const struct azihsm_establish_cred *cred, struct credential_sealed *out)
{
    bool exact = partition_take_field(cred->encrypted_id, out->encrypted.id, sizeof(out->encrypted.id));
    exact &= partition_take_field(cred->encrypted_pin, out->encrypted.pin, sizeof(out->encrypted.pin));
    exact &= partition_take_field(cred->iv, out->iv, sizeof(out->iv));
    memcpy(out->nonce, cred->nonce, sizeof(out->nonce));
    memcpy(out->tag, cred->tag, sizeof(out->tag));
    return exact;
}

static azihsm_rc check_virtual(struct emu_device *device, const struct azihsm_establish_credential_req *req,
                               struct establishment *e)
{
    azihsm_rc rc;

    take_credential(&req->cred, &e->sealed);
    if (req->masked_bk3.len == 0 || req->pota_pub_key.key_kind != AZIHSM_KEY_ECC384_PUBLIC)
        return AZIHSM_STATUS_INVALID_ARG;
    rc = verify_pota(device, req);
    if (rc == AZIHSM_OK)
        rc = get_credential_key(device, &e->credential_key);
    if (rc == AZIHSM_OK)
        rc = partition_check_nonce(device, req->cred.nonce);
    if (rc == AZIHSM_OK)
        rc = partition_client_key(device, &req->pub_key, &e->client);
    return rc;
}

static azihsm_rc check_physical(struct emu_device *device, const struct azihsm_establish_credential_req *req,
                                struct establishment *e)
{
    azihsm_rc rc = get_credential_key(device, &e->credential_key);
    if (rc == AZIHSM_OK)
        rc = partition_check_nonce(device, req->cred.nonce);
    if (rc != AZIHSM_OK)
        return rc;
    if (!take_credential(&req->cred, &e->sealed) || req->masked_bk3.len == 0 ||
        req->pota_pub_key.key_kind != AZIHSM_KEY_ECC384_PUBLIC)
        return AZIHSM_STATUS_INVALID_ARG;
    rc = partition_client_key(device, &req->pub_key, &e->client);
    if (rc == AZIHSM_OK)
        rc = verify_pota(device, req);
    return rc;
}

/* ---- provisioning ---- */

static azihsm_rc make_provision(struct emu_device *device, const struct azihsm_establish_credential_req *req,
                                struct establishment *e)
{
    uint8_t bk3[AZIHSM_BK3_SIZE];
    struct provision *provision;
    azihsm_rc rc;

    e->provision = secret_new(sizeof(struct provision));
    if (e->provision == NULL)
        return AZIHSM_E_NO_MEMORY;
    provision = (struct provision *)e->provision->data;
    memcpy(provision->id, e->fields.id, sizeof(provision->id));
    memcpy(provision->pin, e->fields.pin, sizeof(provision->pin));
    rc = blob_open_backup(device->engine, BLOB_BK3, device_roots(device)->bk_boot, req->masked_bk3, bk3);
    if (rc == AZIHSM_OK)
        rc = partition_derive_bk(device, bk3, req->pota_pub_key.der, provision);
    OPENSSL_cleanse(bk3, sizeof(bk3));
    return rc;
}

/* Restores MK from a BMK, which is then returned unchanged, or draws one. */
static azihsm_rc make_mk(struct command *cmd, struct establishment *e)
{
    struct emu_device *device = cmd->device;
    const struct provision *provision = (const struct provision *)e->provision->data;
    uint8_t mk[AZIHSM_MASKING_KEY_SIZE];
    azihsm_rc rc;

    e->bmk = cmd->req.establish.bmk;
    if (e->bmk.len > 0) {
        rc = blob_open_backup(device->engine, BLOB_BMK, provision->bk, e->bmk, mk);
        if (rc == AZIHSM_OK)
            rc = engine_key_from_raw(device->engine, AZIHSM_KEY_AES_CBC256_HMAC384,
                                     (struct azihsm_bytes){mk, sizeof(mk)}, &e->mk);
        OPENSSL_cleanse(mk, sizeof(mk));
        return rc;
    }
    e->bmk.data = cmd->scratch;
    rc = partition_new_masking_key(device, &e->mk);
    if (rc == AZIHSM_OK)
        rc = blob_mask_backup(device->engine, BLOB_BMK, provision->bk, engine_key_raw(e->mk), cmd->scratch,
                              sizeof(cmd->scratch), &e->bmk.len);
    return rc;
}

static azihsm_rc restore_unwrapping_key(struct emu_device *device, struct azihsm_bytes muk, struct establishment *e)
{
    struct azihsm_masked_key masked;
    azihsm_rc rc;

    if (muk.len == 0)
        return AZIHSM_OK;
    if (azihsm_masked_key_parse(muk, &masked) != AZIHSM_OK)
        return AZIHSM_STATUS_MASKED_KEY_DECODE_FAILED;
    rc = masking_verify(device->libctx, engine_key_raw(e->mk).data, &masked);
    if (rc != AZIHSM_OK)
        return rc;
    if (memcmp(blob_owner(&masked.metadata), device_internal_id, AZIHSM_CREDENTIAL_SIZE) != 0)
        return AZIHSM_STATUS_APP_NOT_FOUND;
    if (masked.metadata.key_type != AZIHSM_KEY_RSA2K_PRIVATE)
        return AZIHSM_STATUS_INVALID_KEY_TYPE;
    return blob_restore_key(device->engine, e->mk, &masked, &e->unwrapping);
}

/* ---- taking over ---- */

static azihsm_rc store_entry(struct emu_device *device, struct vault_key *entry, uint16_t *id)
{
    azihsm_rc rc = entry == NULL ? AZIHSM_E_NO_MEMORY : vault_insert(device->own->vault, entry, NULL, id);
    vault_key_free(entry);
    return rc;
}

/*
 * The credential key's entry (the first) becomes free, the unwrapping key takes it, then the masking key takes the
 * next free one (1.3).
 */
static azihsm_rc store_keys(struct emu_device *device, const struct establishment *e)
{
    struct vault *vault = device->own->vault;
    struct vault_key *old = vault_get(vault, 0);
    struct engine_key *unwrapping = e->unwrapping == NULL ? NULL : engine_key_up_ref(e->unwrapping);
    uint16_t mk_id;
    azihsm_rc rc;

    if (old != NULL)
        vault_remove(vault, 0, old);
    vault_key_free(old);
    rc = store_entry(device, vault_key_new(VAULT_UNWRAPPING, unwrapping, VAULT_UNWRAPPING_COST, UNWRAPPING_ATTRIBUTES),
                     &device->unwrapping_id);
    if (rc == AZIHSM_OK)
        rc = store_entry(device,
                         vault_key_new(VAULT_INTERNAL, engine_key_up_ref(e->mk), (unsigned)engine_key_budget(e->mk), 0),
                         &mk_id);
    return rc;
}

static azihsm_rc take_over(struct emu_device *device, struct establishment *e)
{
    azihsm_rc rc = AZIHSM_OK;

    pthread_mutex_lock(&device->lock);
    if (device->provisioned)
        rc = device_is_virtual(device) ? AZIHSM_STATUS_KEY_NOT_FOUND : AZIHSM_STATUS_VAULT_APP_LIMIT_REACHED;
    else
        rc = store_keys(device, e);
    if (rc == AZIHSM_OK) {
        device->provision = e->provision;
        device->mk = e->mk;
        device->provisioned = true;
        engine_key_free(device->credential_key);
        device->credential_key = NULL;
        e->provision = NULL;
        e->mk = NULL;
    }
    pthread_mutex_unlock(&device->lock);
    return rc;
}

static azihsm_rc establish(struct command *cmd, struct establishment *e)
{
    struct emu_device *device = cmd->device;
    const struct azihsm_establish_credential_req *req = &cmd->req.establish;
    azihsm_rc rc = device_is_virtual(device) ? check_virtual(device, req, e) : check_physical(device, req, e);
    if (rc == AZIHSM_OK)
        rc = partition_open_credential(device, CREDENTIAL_ESTABLISH, e->credential_key, e->client, &e->sealed,
                                       &e->fields);
    if (rc == AZIHSM_OK && (credential_is_zero(e->fields.id) || credential_is_zero(e->fields.pin)))
        rc = AZIHSM_STATUS_INVALID_APP_CREDENTIALS;
    if (rc == AZIHSM_OK)
        rc = make_provision(device, req, e);
    if (rc == AZIHSM_OK)
        rc = make_mk(cmd, e);
    if (rc == AZIHSM_OK)
        rc = restore_unwrapping_key(device, req->masked_unwrapping_key, e);
    if (rc == AZIHSM_OK)
        rc = take_over(device, e);
    return rc;
}

azihsm_rc cmd_establish_credential(struct command *cmd)
{
    struct establishment e = {0};
    azihsm_rc rc = establish(cmd, &e);

    cmd->resp.establish.bmk = e.bmk;
    engine_key_free(e.credential_key);
    engine_key_free(e.mk);
    engine_key_free(e.unwrapping);
    secret_free(e.provision);
    EVP_PKEY_free(e.client);
    OPENSSL_cleanse(&e.fields, sizeof(e.fields));
    return rc;
}
