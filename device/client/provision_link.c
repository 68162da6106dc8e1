/*
 * Handle, credential sealing and session of the provisioning module.
 */
#include "provision_link.h"

#include "crypto/spki.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <string.h>

azihsm_rc provision_fail(struct provision_run *run, uint32_t op, azihsm_rc rc)
{
    const char *hint = azihsm_rc_hint(rc);

    return azihsm_error_set(run->err, rc, "provisioning: %s: %s%s%s", azihsm_ddi_op_name(op), azihsm_rc_name(rc),
                            hint != NULL ? ": " : "", hint != NULL ? hint : "");
}

azihsm_rc provision_call(struct provision_run *run, struct exchange *exchange, uint32_t op, const void *request,
                         void *response)
{
    return exchange_run(exchange, run->device, run->deadline_ns, op, EXCHANGE_NO_SESSION, request, response);
}

azihsm_rc provision_save(struct provision_run *run)
{
    return run->keeper->save(run->keeper->arg, run->state, run->err);
}

azihsm_rc provision_keep(struct provision_run *run, struct provision_blob *blob, struct azihsm_bytes bytes)
{
    if (provision_blob_equals(blob, bytes))
        return AZIHSM_OK;
    if (bytes.len == 0 || !provision_blob_set(blob, bytes))
        return azihsm_error_set(run->err, AZIHSM_E_PROTOCOL, "provisioning: the device sent a blob of %zu bytes",
                                bytes.len);
    return provision_save(run);
}

/* ---- opening the handle ---- */

static azihsm_rc provision_check_revision(struct provision_run *run)
{
    struct exchange exchange;
    struct azihsm_get_api_rev_resp rev;
    azihsm_rc rc = provision_call(run, &exchange, AZIHSM_OP_GET_API_REV, NULL, &rev);

    if (rc != AZIHSM_OK)
        rc = provision_fail(run, AZIHSM_OP_GET_API_REV, rc);
    else if (rev.min.major > 1 || rev.max.major < 1 || (rev.min.major == 1 && rev.min.minor > 0))
        rc = azihsm_error_set(run->err, AZIHSM_E_UNSUPPORTED, "the device does not speak protocol revision 1.0");
    exchange_end(&exchange);
    return rc;
}

static azihsm_rc provision_learn_kind(struct provision_run *run)
{
    struct exchange exchange;
    struct azihsm_get_device_info_resp info;
    azihsm_rc rc = provision_call(run, &exchange, AZIHSM_OP_GET_DEVICE_INFO, NULL, &info);

    if (rc == AZIHSM_OK)
        azihsm_device_set_kind(run->device, (enum azihsm_device_kind)info.kind);
    else
        rc = provision_fail(run, AZIHSM_OP_GET_DEVICE_INFO, rc);
    exchange_end(&exchange);
    return rc;
}

azihsm_rc provision_open(struct provision_run *run, struct azihsm_endpoint *endpoint)
{
    azihsm_rc rc = azihsm_device_open(endpoint, run->deadline_ns, &run->device, run->err);

    if (rc != AZIHSM_OK)
        return rc;
    run->libctx = OSSL_LIB_CTX_new();
    if (run->libctx == NULL)
        return azihsm_error_set(run->err, AZIHSM_E_NO_MEMORY, "provisioning: out of memory");
    rc = provision_check_revision(run);
    return rc == AZIHSM_OK ? provision_learn_kind(run) : rc;
}

void provision_close(struct provision_run *run)
{
    if (run->device != NULL)
        azihsm_device_close(run->device);
    OSSL_LIB_CTX_free(run->libctx);
}

/* ---- sealing credentials ---- */

/* The device's key and nonce for a flow. The key belongs to the caller. */
static azihsm_rc provision_encryption_key(struct provision_run *run, uint32_t op, EVP_PKEY **key,
                                          uint8_t nonce[AZIHSM_NONCE_SIZE])
{
    struct exchange exchange;
    struct azihsm_encryption_key_resp resp;
    azihsm_rc rc = provision_call(run, &exchange, op, NULL, &resp);

    if (rc == AZIHSM_OK)
        rc = spki_decode(run->libctx, resp.pub_key.der, key);
    if (rc == AZIHSM_OK)
        memcpy(nonce, resp.nonce, AZIHSM_NONCE_SIZE);
    exchange_end(&exchange);
    return rc;
}

azihsm_rc provision_seal(struct provision_run *run, enum credential_form form, const uint8_t *new_pin,
                         struct provision_sealed *out)
{
    uint32_t op = form == CREDENTIAL_ESTABLISH ? AZIHSM_OP_GET_ESTABLISH_CRED_ENCRYPTION_KEY
                                               : AZIHSM_OP_GET_SESSION_ENCRYPTION_KEY;
    const uint8_t *pin = new_pin != NULL ? new_pin : run->state->credential + AZIHSM_CREDENTIAL_SIZE;
    struct credential_fields fields = {0};
    uint8_t nonce[AZIHSM_NONCE_SIZE];
    EVP_PKEY *key = NULL;
    azihsm_rc rc = provision_encryption_key(run, op, &key, nonce);

    if (rc != AZIHSM_OK)
        return rc;
    memcpy(fields.id, run->state->credential, sizeof(fields.id));
    memcpy(fields.pin, pin, sizeof(fields.pin));
    rc = AZIHSM_E_CRYPTO;
    if (RAND_priv_bytes_ex(run->libctx, fields.seed, sizeof(fields.seed), 0) > 0)
        rc = credential_seal(run->libctx, form, key, nonce, &fields, &out->sealed, out->spki);
    OPENSSL_cleanse(&fields, sizeof(fields));
    EVP_PKEY_free(key);
    return rc;
}

struct azihsm_pub_key provision_ephemeral(const struct provision_sealed *sealed)
{
    return (struct azihsm_pub_key){.der = {sealed->spki, sizeof(sealed->spki)}, .key_kind = AZIHSM_KEY_ECC384_PUBLIC};
}

/* ---- sessions ---- */

static azihsm_rc provision_try_open_session(struct provision_run *run, uint16_t *sess_id)
{
    struct exchange exchange;
    struct provision_sealed sealed;
    struct azihsm_session_resp resp;
    struct azihsm_open_session_req req = {0};
    azihsm_rc rc = provision_seal(run, CREDENTIAL_SESSION, NULL, &sealed);

    if (rc != AZIHSM_OK)
        return rc;
    req.cred.encrypted_id = (struct azihsm_bytes){sealed.sealed.encrypted.id, AZIHSM_CREDENTIAL_SIZE};
    req.cred.encrypted_pin = (struct azihsm_bytes){sealed.sealed.encrypted.pin, AZIHSM_CREDENTIAL_SIZE};
    req.cred.encrypted_seed = (struct azihsm_bytes){sealed.sealed.encrypted.seed, AZIHSM_SEED_SIZE};
    req.cred.iv = (struct azihsm_bytes){sealed.sealed.iv, AZIHSM_IV_SIZE};
    memcpy(req.cred.nonce, sealed.sealed.nonce, AZIHSM_NONCE_SIZE);
    memcpy(req.cred.tag, sealed.sealed.tag, AZIHSM_CREDENTIAL_TAG_SIZE);
    req.pub_key = provision_ephemeral(&sealed);
    rc = provision_call(run, &exchange, AZIHSM_OP_OPEN_SESSION, &req, &resp);
    if (rc == AZIHSM_OK)
        *sess_id = resp.sess_id;
    exchange_end(&exchange);
    return rc;
}

/* Racing clients rotate the nonce under us; each lost race means that somebody else got on. */
azihsm_rc provision_open_session(struct provision_run *run, uint16_t *sess_id)
{
    azihsm_rc rc = AZIHSM_STATUS_NONCE_MISMATCH;
    int attempt;

    for (attempt = 0; attempt < PROVISION_ATTEMPTS && rc == AZIHSM_STATUS_NONCE_MISMATCH; attempt++)
        rc = provision_try_open_session(run, sess_id);
    return rc;
}

void provision_close_session(struct provision_run *run, uint16_t sess_id)
{
    struct exchange exchange;

    /* Closing the handle flushes the session anyway. */
    (void)exchange_run(&exchange, run->device, run->deadline_ns, AZIHSM_OP_CLOSE_SESSION, sess_id, NULL, NULL);
    exchange_end(&exchange);
}
