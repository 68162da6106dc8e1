/*
 * Login: everything here blocks, holds no lock, and is done by one thread of the process at a time (session.c), except
 * login_seal, which ChangePin uses too.
 *
 * The nonce is the partition's, and every login anywhere replaces it: NonceMismatch is answered by asking again. A
 * session key of the device that changes between the two messages (a reset) makes the credential undecipherable
 * (PinDecryptionFailed); that is tried again a few times, because a wrong PIN is another status.
 */
#include "login.h"

#include "credential.h"
#include "crypto/spki.h"
#include "exchange.h"
#include "transport/futex.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <string.h>

enum { DECRYPTION_RETRIES = 3, NONCE_WAIT_MAX_NS = 2000000 };

static azihsm_rc login_call(struct login *login, struct azihsm_device *device, struct exchange *exchange, uint32_t op,
                            int32_t sess_id, const void *request, void *response)
{
    return exchange_run(exchange, device, login->deadline_ns, op, sess_id, request, response);
}

static azihsm_rc check_revision(struct login *login, struct azihsm_device *device)
{
    struct azihsm_get_api_rev_resp rev;
    struct exchange exchange;
    azihsm_rc rc = login_call(login, device, &exchange, AZIHSM_OP_GET_API_REV, EXCHANGE_NO_SESSION, NULL, &rev);

    exchange_end(&exchange);
    if (rc == AZIHSM_OK && (rev.min.major > 1 || rev.max.major < 1 || (rev.min.major == 1 && rev.min.minor > 0)))
        rc = azihsm_error_set(login->err, AZIHSM_E_UNSUPPORTED,
                              "the device speaks revisions %u.%u to %u.%u of the protocol, this program 1.0",
                              rev.min.major, rev.min.minor, rev.max.major, rev.max.minor);
    return rc;
}

static azihsm_rc learn_kind(struct login *login, struct azihsm_device *device)
{
    struct azihsm_get_device_info_resp info;
    struct exchange exchange;
    azihsm_rc rc = login_call(login, device, &exchange, AZIHSM_OP_GET_DEVICE_INFO, EXCHANGE_NO_SESSION, NULL, &info);

    exchange_end(&exchange);
    if (rc != AZIHSM_OK)
        return rc;
    if (info.kind != AZIHSM_DEVICE_VIRTUAL && info.kind != AZIHSM_DEVICE_PHYSICAL)
        return azihsm_error_set(login->err, AZIHSM_E_PROTOCOL, "the device is of unknown kind %u", info.kind);
    azihsm_device_set_kind(device, (enum azihsm_device_kind)info.kind);
    return AZIHSM_OK;
}

azihsm_rc login_open_handle(struct azihsm_endpoint *endpoint, int64_t deadline_ns, struct azihsm_device **out,
                            struct azihsm_error *err)
{
    struct login login = {.deadline_ns = deadline_ns, .err = err};
    azihsm_rc rc = azihsm_device_open(endpoint, deadline_ns, out, err);

    if (rc != AZIHSM_OK)
        return rc;
    rc = check_revision(&login, *out);
    if (rc == AZIHSM_OK)
        rc = learn_kind(&login, *out);
    if (rc != AZIHSM_OK) {
        azihsm_device_close(*out);
        *out = NULL;
    }
    return rc;
}

azihsm_rc login_seal(struct login *login, struct azihsm_device *device, enum credential_form form,
                     const struct credential_fields *fields, struct credential_sealed *out,
                     uint8_t spki[CREDENTIAL_SPKI_SIZE])
{
    OSSL_LIB_CTX *libctx = era_libctx(login->era);
    struct azihsm_encryption_key_resp key;
    struct exchange exchange;
    EVP_PKEY *device_key = NULL;
    azihsm_rc rc;

    if (libctx == NULL)
        return azihsm_error_set(login->err, AZIHSM_E_CRYPTO, "libcrypto's default provider cannot be loaded");
    rc = login_call(login, device, &exchange, AZIHSM_OP_GET_SESSION_ENCRYPTION_KEY, EXCHANGE_NO_SESSION, NULL, &key);
    if (rc == AZIHSM_OK && spki_decode(libctx, key.pub_key.der, &device_key) != AZIHSM_OK)
        rc = azihsm_error_set(login->err, AZIHSM_E_PROTOCOL, "the device's session encryption key is malformed");
    if (rc == AZIHSM_OK)
        rc = credential_seal(libctx, form, device_key, key.nonce, fields, out, spki);
    EVP_PKEY_free(device_key);
    exchange_end(&exchange);
    return rc;
}

/* The credential and the line's seed, sealed as OpenSession and ReopenSession want them. */
static azihsm_rc seal_session(struct login *login, struct line *line, bool refresh, struct credential_sealed *sealed,
                              uint8_t spki[CREDENTIAL_SPKI_SIZE])
{
    struct credential_fields fields;
    uint8_t credential[CREDENTIAL_SIZE];
    azihsm_rc rc = hub_credential(login->hub, line->device, refresh, credential, login->err);

    if (rc == AZIHSM_OK) {
        memcpy(fields.id, credential, sizeof(fields.id));
        memcpy(fields.pin, credential + sizeof(fields.id), sizeof(fields.pin));
        memcpy(fields.seed, line->seed->data, sizeof(fields.seed));
        rc = login_seal(login, line->device, CREDENTIAL_SESSION, &fields, sealed, spki);
        OPENSSL_cleanse(&fields, sizeof(fields));
    }
    OPENSSL_cleanse(credential, sizeof(credential));
    return rc;
}

static void fill_credential(const struct credential_sealed *sealed, struct azihsm_session_cred *out)
{
    out->encrypted_id = (struct azihsm_bytes){sealed->encrypted.id, sizeof(sealed->encrypted.id)};
    out->encrypted_pin = (struct azihsm_bytes){sealed->encrypted.pin, sizeof(sealed->encrypted.pin)};
    out->encrypted_seed = (struct azihsm_bytes){sealed->encrypted.seed, sizeof(sealed->encrypted.seed)};
    out->iv = (struct azihsm_bytes){sealed->iv, sizeof(sealed->iv)};
    memcpy(out->nonce, sealed->nonce, sizeof(out->nonce));
    memcpy(out->tag, sealed->tag, sizeof(out->tag));
}

/* One login message; again says the session to reopen, or -1 to open one. */
static azihsm_rc send_login(struct login *login, struct line *line, int32_t again, bool refresh,
                            struct azihsm_session_resp *out)
{
    struct azihsm_reopen_session_req reopen = {.bmk_session = {line->bmk, line->bmk_len}};
    struct azihsm_open_session_req open;
    struct credential_sealed sealed;
    uint8_t spki[CREDENTIAL_SPKI_SIZE];
    struct exchange exchange;
    azihsm_rc rc = seal_session(login, line, refresh, &sealed, spki);

    if (rc != AZIHSM_OK)
        return rc;
    fill_credential(&sealed, &open.cred);
    open.pub_key = (struct azihsm_pub_key){{spki, sizeof(spki)}, AZIHSM_KEY_ECC384_PUBLIC};
    reopen.cred = open.cred;
    reopen.pub_key = open.pub_key;
    if (again < 0)
        rc = login_call(login, line->device, &exchange, AZIHSM_OP_OPEN_SESSION, EXCHANGE_NO_SESSION, &open, out);
    else
        rc = login_call(login, line->device, &exchange, AZIHSM_OP_REOPEN_SESSION, again, &reopen, out);
    if (rc == AZIHSM_OK && out->bmk_session.len <= sizeof(line->bmk)) {
        line->bmk_len = out->bmk_session.len;
        memcpy(line->bmk, out->bmk_session.data, line->bmk_len);
    }
    exchange_end(&exchange);
    return rc;
}

/* Many processes that log in at once disturb each other: a short random wait lets one of them through. */
static void wait_for_turn(OSSL_LIB_CTX *libctx)
{
    struct timespec pause = {0};
    uint32_t ns = 0;

    if (RAND_bytes_ex(libctx, (unsigned char *)&ns, sizeof(ns), 0) == 1)
        pause.tv_nsec = (long)(ns % NONCE_WAIT_MAX_NS);
    nanosleep(&pause, NULL);
}

static azihsm_rc login_try(struct login *login, struct line *line, int32_t again, struct azihsm_session_resp *out)
{
    unsigned decryptions = 0;
    bool refresh = false;

    for (;;) {
        azihsm_rc rc = send_login(login, line, again, refresh, out);

        if (rc == AZIHSM_STATUS_NONCE_MISMATCH && clock_now() < login->deadline_ns)
            wait_for_turn(era_libctx(login->era));
        else if (rc == AZIHSM_STATUS_INVALID_APP_CREDENTIALS && !refresh && login->hub->pin_source != NULL)
            refresh = true; /* the PIN may have been changed since the file was read */
        else if (rc != AZIHSM_STATUS_PIN_DECRYPTION_FAILED || ++decryptions > DECRYPTION_RETRIES)
            return rc;
    }
}

static azihsm_rc seed_draw(struct line *line, OSSL_LIB_CTX *libctx)
{
    line->seed = secret_new(AZIHSM_SEED_SIZE);
    if (line->seed == NULL)
        return AZIHSM_E_NO_MEMORY;
    return RAND_priv_bytes_ex(libctx, line->seed->data, AZIHSM_SEED_SIZE, 0) == 1 ? AZIHSM_OK : AZIHSM_E_CRYPTO;
}

static azihsm_rc login_link(struct login *login, struct line *line, const struct azihsm_session_resp *session,
                            struct link **out)
{
    struct link *link = era_link_new(login->era, line);

    if (link == NULL)
        return AZIHSM_E_NO_MEMORY;
    link->sess_id = session->sess_id;
    link->short_app_id = session->short_app_id;
    *out = link;
    return AZIHSM_OK;
}

azihsm_rc login_new(struct login *login, struct link **out)
{
    OSSL_LIB_CTX *libctx = era_libctx(login->era);
    struct azihsm_session_resp session;
    struct azihsm_device *device;
    struct line *line;
    azihsm_rc rc = login_open_handle(login->hub->endpoint, login->deadline_ns, &device, login->err);

    if (rc != AZIHSM_OK)
        return rc;
    line = line_new(device);
    if (line == NULL) {
        azihsm_device_close(device);
        return AZIHSM_E_NO_MEMORY;
    }
    rc = seed_draw(line, libctx);
    if (rc == AZIHSM_OK)
        rc = login_try(login, line, -1, &session);
    if (rc == AZIHSM_OK)
        return login_link(login, line, &session, out);
    line_put(line);
    return rc;
}

azihsm_rc login_again(struct login *login, struct line *line, uint16_t sess_id, uint32_t lineage, struct link **out)
{
    struct azihsm_session_resp session;
    azihsm_rc rc = login_try(login, line, sess_id, &session);

    if (rc == AZIHSM_OK)
        rc = login_link(login, line_up_ref(line), &session, out);
    if (rc == AZIHSM_OK)
        (*out)->lineage = lineage;
    return rc;
}
