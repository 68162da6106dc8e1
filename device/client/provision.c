/*
 * The provisioning flow. Each step is one function over struct provision_run; a step that loses a race (another
 * process of the same owner was faster, the nonce rotated) is repeated until the deadline or a fixed number of times.
 *
 * Order matters for what can be lost: the masked BK3 is saved before it is used, the BMK before the partition is
 * reported as ready. A crash in between leaves a device whose backup key nobody has; only a reset helps, and the error
 * says so.
 */
#include "provision.h"

#include "provision_link.h"

#include <openssl/crypto.h>
#include <string.h>
#include <time.h>

enum { PROVISION_POLL_MS = 50 };

/* ---- a partition that is provisioned ---- */

static void provision_sleep(void)
{
    const struct timespec pause = {.tv_nsec = PROVISION_POLL_MS * 1000000L};

    nanosleep(&pause, NULL);
}

static bool provision_expired(const struct provision_run *run)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec >= run->deadline_ns;
}

/* Without the masked unwrapping key a reset would change the key that others wrap to. */
static azihsm_rc provision_fetch_muk(struct provision_run *run, uint16_t sess_id)
{
    struct azihsm_get_unwrapping_key_resp resp;
    struct exchange exchange;
    azihsm_rc rc;

    for (;;) {
        rc = exchange_run(&exchange, run->device, run->deadline_ns, AZIHSM_OP_GET_UNWRAPPING_KEY, sess_id, NULL, &resp);
        if (rc != AZIHSM_STATUS_PENDING_KEY_GENERATION || provision_expired(run))
            break;
        exchange_end(&exchange);
        provision_sleep();
    }
    rc = rc == AZIHSM_OK ? provision_keep(run, &run->state->muk, resp.masked_key)
                         : provision_fail(run, AZIHSM_OP_GET_UNWRAPPING_KEY, rc);
    exchange_end(&exchange);
    return rc;
}

/* Proves that the credential in the device is ours, and completes the state. */
static azihsm_rc provision_verify_owner(struct provision_run *run)
{
    uint16_t sess_id = 0;
    azihsm_rc rc;

    if (run->state->bmk.len == 0)
        return azihsm_error_set(
            run->err, AZIHSM_E_MISMATCH,
            "the partition is provisioned, but its backup key is not in our state: reset the device "
            "(azihsm reset) and provision again");
    rc = provision_open_session(run, &sess_id);
    /* The limit is checked after the credential (device-behaviour 12.2, 5). */
    if (rc == AZIHSM_STATUS_VAULT_SESSION_LIMIT_REACHED)
        return AZIHSM_OK;
    if (rc == AZIHSM_STATUS_INVALID_APP_CREDENTIALS || rc == AZIHSM_STATUS_LOGIN_FAILED)
        return azihsm_error_set(run->err, AZIHSM_E_PERMISSION,
                                "the partition is provisioned with another owner's credential (%s); a reset clears it",
                                azihsm_rc_name(rc));
    if (rc != AZIHSM_OK)
        return provision_fail(run, AZIHSM_OP_OPEN_SESSION, rc);
    if (run->state->muk.len == 0)
        rc = provision_fetch_muk(run, sess_id);
    provision_close_session(run, sess_id);
    return rc;
}

/* ---- a partition that is not ---- */

/*
 * Hardware masks BK3 once in the life of its boot key and refuses to do it again; what was masked then stays good until
 * a power cycle draws a new boot key. So the stored blob is tried first and a new one is asked for only when there is
 * none or the device refuses it.
 */
static azihsm_rc provision_init_bk3(struct provision_run *run)
{
    struct azihsm_init_bk3_req req = {.bk3 = {run->state->bk3, sizeof(run->state->bk3)}};
    struct azihsm_init_bk3_resp resp;
    struct exchange exchange;
    azihsm_rc rc = provision_call(run, &exchange, AZIHSM_OP_INIT_BK3, &req, &resp);

    if (rc == AZIHSM_OK)
        rc = provision_keep(run, &run->state->masked_bk3, resp.masked_bk3);
    else
        rc = provision_fail(run, AZIHSM_OP_INIT_BK3, rc);
    /* The request carried BK3 in clear. */
    if (exchange.request != NULL)
        OPENSSL_cleanse(exchange.request->frame, exchange.request->frame_cap);
    exchange_end(&exchange);
    return rc;
}

struct provision_endorsement {
    uint8_t signature[PROVISION_SIGNATURE_SIZE];
    uint8_t spki[AZIHSM_PUB_KEY_MAX];
    size_t spki_len;
};

static azihsm_rc provision_leaf_index(struct provision_run *run, uint8_t *index)
{
    struct azihsm_cert_chain_info_req req = {0};
    struct azihsm_cert_chain_info_resp info = {0};
    struct exchange exchange;
    azihsm_rc rc = provision_call(run, &exchange, AZIHSM_OP_GET_CERT_CHAIN_INFO, &req, &info);

    exchange_end(&exchange);
    if (rc == AZIHSM_OK && info.num_certs == 0)
        rc = AZIHSM_E_PROTOCOL;
    if (rc != AZIHSM_OK)
        return provision_fail(run, AZIHSM_OP_GET_CERT_CHAIN_INFO, rc);
    *index = (uint8_t)(info.num_certs - 1);
    return AZIHSM_OK;
}

/* Signs the key of the partition certificate, the last of the chain. */
static azihsm_rc provision_get_endorsement(struct provision_run *run, struct provision_endorsement *out)
{
    struct azihsm_certificate_req req = {0};
    struct azihsm_certificate_resp resp;
    struct exchange exchange;
    azihsm_rc rc = provision_leaf_index(run, &req.cert_id);

    if (rc != AZIHSM_OK)
        return rc;
    rc = provision_call(run, &exchange, AZIHSM_OP_GET_CERTIFICATE, &req, &resp);
    if (rc == AZIHSM_OK) {
        out->spki_len = sizeof(out->spki);
        rc = provision_endorse(run->state, resp.certificate, out->signature, out->spki, &out->spki_len);
        if (rc != AZIHSM_OK)
            rc = azihsm_error_set(run->err, rc, "provisioning: cannot endorse the partition certificate: %s",
                                  azihsm_rc_name(rc));
    } else {
        rc = provision_fail(run, AZIHSM_OP_GET_CERTIFICATE, rc);
    }
    exchange_end(&exchange);
    return rc;
}

static azihsm_rc provision_send_credential(struct provision_run *run, const struct provision_endorsement *endorsement,
                                           const struct provision_sealed *sealed)
{
    const struct provision_state *state = run->state;
    struct azihsm_establish_credential_resp resp;
    struct azihsm_establish_credential_req req = {
        .cred = {.encrypted_id = {sealed->sealed.encrypted.id, AZIHSM_CREDENTIAL_SIZE},
                 .encrypted_pin = {sealed->sealed.encrypted.pin, AZIHSM_CREDENTIAL_SIZE},
                 .iv = {sealed->sealed.iv, AZIHSM_IV_SIZE}},
        .pub_key = provision_ephemeral(sealed),
        .masked_bk3 = {state->masked_bk3.data, state->masked_bk3.len},
        .bmk = {state->bmk.data, state->bmk.len},
        .masked_unwrapping_key = {state->muk.data, state->muk.len},
        .pota_sig = {endorsement->signature, sizeof(endorsement->signature)},
        .pota_pub_key = {.der = {endorsement->spki, endorsement->spki_len}, .key_kind = AZIHSM_KEY_ECC384_PUBLIC},
    };
    struct exchange exchange;
    azihsm_rc rc;

    memcpy(req.cred.nonce, sealed->sealed.nonce, AZIHSM_NONCE_SIZE);
    memcpy(req.cred.tag, sealed->sealed.tag, AZIHSM_CREDENTIAL_TAG_SIZE);
    rc = provision_call(run, &exchange, AZIHSM_OP_ESTABLISH_CREDENTIAL, &req, &resp);
    if (rc == AZIHSM_OK)
        rc = provision_keep(run, &run->state->bmk, resp.bmk);
    exchange_end(&exchange);
    return rc;
}

static azihsm_rc provision_try_establish(struct provision_run *run)
{
    struct provision_endorsement endorsement;
    struct provision_sealed sealed;
    azihsm_rc rc = provision_get_endorsement(run, &endorsement);

    if (rc == AZIHSM_OK)
        rc = provision_seal(run, CREDENTIAL_ESTABLISH, NULL, &sealed);
    return rc == AZIHSM_OK ? provision_send_credential(run, &endorsement, &sealed) : rc;
}

/* Somebody of ours was faster: the credential key is gone, or the credential is there. */
static bool provision_lost_race(azihsm_rc rc)
{
    return rc == AZIHSM_STATUS_KEY_NOT_FOUND || rc == AZIHSM_STATUS_VAULT_APP_LIMIT_REACHED ||
           rc == AZIHSM_STATUS_PARTITION_ALREADY_PROVISIONED;
}

static bool provision_refuses_blobs(azihsm_rc rc)
{
    return rc == AZIHSM_STATUS_MASKED_KEY_DECODE_FAILED || rc == AZIHSM_STATUS_UNMASKING_BK3_FAILED ||
           rc == AZIHSM_STATUS_MASKED_BK_BOOT_NOT_PRESENT;
}

static azihsm_rc provision_race_to_establish(struct provision_run *run)
{
    azihsm_rc rc = AZIHSM_STATUS_NONCE_MISMATCH;
    int attempt;

    for (attempt = 0; attempt < PROVISION_ATTEMPTS && rc == AZIHSM_STATUS_NONCE_MISMATCH; attempt++)
        rc = provision_try_establish(run);
    return rc;
}

static azihsm_rc provision_establish(struct provision_run *run, enum provision_outcome *outcome)
{
    bool masked_now = run->state->masked_bk3.len == 0;
    azihsm_rc rc = masked_now ? provision_init_bk3(run) : AZIHSM_OK;

    if (rc != AZIHSM_OK)
        return rc;
    rc = provision_race_to_establish(run);
    if (provision_refuses_blobs(rc) && !masked_now) {
        rc = provision_init_bk3(run);
        if (rc != AZIHSM_OK)
            return rc;
        rc = provision_race_to_establish(run);
    }
    if (provision_lost_race(rc)) {
        *outcome = PROVISION_ALREADY;
        return AZIHSM_OK;
    }
    if (provision_refuses_blobs(rc))
        return azihsm_error_set(
            run->err, AZIHSM_E_MISMATCH,
            "provisioning: the device refuses the stored backup keys (%s): they were made by another "
            "device or for another owner",
            azihsm_rc_name(rc));
    return rc == AZIHSM_OK ? rc : provision_fail(run, AZIHSM_OP_ESTABLISH_CREDENTIAL, rc);
}

/* A session encryption key is given out exactly when a credential is established. */
static azihsm_rc provision_is_fresh(struct provision_run *run, bool *fresh)
{
    struct azihsm_encryption_key_resp resp;
    struct exchange exchange;
    azihsm_rc rc = provision_call(run, &exchange, AZIHSM_OP_GET_SESSION_ENCRYPTION_KEY, NULL, &resp);

    exchange_end(&exchange);
    *fresh = rc == AZIHSM_STATUS_CREDENTIALS_NOT_ESTABLISHED;
    if (rc != AZIHSM_OK && !*fresh)
        return provision_fail(run, AZIHSM_OP_GET_SESSION_ENCRYPTION_KEY, rc);
    return AZIHSM_OK;
}

azihsm_rc provision_run(struct azihsm_endpoint *endpoint, struct provision_state *state,
                        const struct provision_keeper *keeper, int64_t deadline_ns, enum provision_outcome *outcome,
                        struct azihsm_error *err)
{
    struct provision_run run = {.state = state, .keeper = keeper, .deadline_ns = deadline_ns, .err = err};
    bool fresh = false;
    azihsm_rc rc = provision_open(&run, endpoint);

    *outcome = PROVISION_ALREADY;
    if (rc == AZIHSM_OK)
        rc = provision_is_fresh(&run, &fresh);
    if (rc == AZIHSM_OK && fresh) {
        *outcome = PROVISION_DONE;
        rc = provision_establish(&run, outcome);
    }
    if (rc == AZIHSM_OK)
        rc = provision_verify_owner(&run);
    provision_close(&run);
    return rc;
}

azihsm_rc provision_needed(struct azihsm_endpoint *endpoint, int64_t deadline_ns, bool *needed,
                           struct azihsm_error *err)
{
    struct provision_run run = {.deadline_ns = deadline_ns, .err = err};
    azihsm_rc rc = provision_open(&run, endpoint);

    if (rc == AZIHSM_OK)
        rc = provision_is_fresh(&run, needed);
    provision_close(&run);
    return rc;
}

/* ---- PIN change ---- */

static azihsm_rc provision_try_change_pin(struct provision_run *run, uint16_t sess_id, const uint8_t *pin)
{
    struct provision_sealed sealed;
    struct azihsm_change_pin_req req = {0};
    struct exchange exchange;
    azihsm_rc rc = provision_seal(run, CREDENTIAL_CHANGE_PIN, pin, &sealed);

    if (rc != AZIHSM_OK)
        return rc;
    req.new_pin.encrypted_pin = (struct azihsm_bytes){sealed.sealed.encrypted.pin, AZIHSM_CREDENTIAL_SIZE};
    req.new_pin.iv = (struct azihsm_bytes){sealed.sealed.iv, AZIHSM_IV_SIZE};
    memcpy(req.new_pin.nonce, sealed.sealed.nonce, AZIHSM_NONCE_SIZE);
    memcpy(req.new_pin.tag, sealed.sealed.tag, AZIHSM_CREDENTIAL_TAG_SIZE);
    req.pub_key = provision_ephemeral(&sealed);
    rc = exchange_run(&exchange, run->device, run->deadline_ns, AZIHSM_OP_CHANGE_PIN, sess_id, &req, NULL);
    exchange_end(&exchange);
    return rc;
}

azihsm_rc provision_change_pin(struct azihsm_endpoint *endpoint, struct provision_state *state,
                               const struct provision_keeper *keeper, const uint8_t pin[AZIHSM_CREDENTIAL_SIZE],
                               int64_t deadline_ns, struct azihsm_error *err)
{
    struct provision_run run = {.state = state, .keeper = keeper, .deadline_ns = deadline_ns, .err = err};
    uint16_t sess_id = 0;
    int attempt;
    azihsm_rc rc = provision_open(&run, endpoint);

    if (rc != AZIHSM_OK)
        goto end;
    rc = provision_open_session(&run, &sess_id);
    if (rc != AZIHSM_OK) {
        rc = provision_fail(&run, AZIHSM_OP_OPEN_SESSION, rc);
        goto end;
    }
    rc = AZIHSM_STATUS_NONCE_MISMATCH;
    for (attempt = 0; attempt < PROVISION_ATTEMPTS && rc == AZIHSM_STATUS_NONCE_MISMATCH; attempt++)
        rc = provision_try_change_pin(&run, sess_id, pin);
    if (rc == AZIHSM_OK) {
        memcpy(state->credential + AZIHSM_CREDENTIAL_SIZE, pin, AZIHSM_CREDENTIAL_SIZE);
        rc = provision_save(&run);
    } else {
        rc = provision_fail(&run, AZIHSM_OP_CHANGE_PIN, rc);
    }
    provision_close_session(&run, sess_id);
end:
    provision_close(&run);
    return rc;
}
