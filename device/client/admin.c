/*
 * The device rather than its keys: what it is, what vouches for it, PIN and reset; attestation, eviction and deletion
 * of a key.
 *
 * What needs no session gets a handle of its own, so that it works on a device nobody can log in to, and tries once.
 */
#include "call.h"
#include "client.h"
#include "credential.h"
#include "crypto/kdf.h"
#include "extensions.h"
#include "key.h"
#include "login.h"
#include "output.h"
#include "residency.h"
#include "transport/futex.h"

#include <openssl/crypto.h>
#include <string.h>

/* ---- without a session ---- */

struct bare {
    struct azihsm_device *device;
    int64_t deadline_ns;
    struct azihsm_error *err;
};

static azihsm_rc bare_open(struct azihsm_client *client, struct bare *bare, struct azihsm_error *err)
{
    bare->deadline_ns = clock_now() + (int64_t)client->timeout_ms * NS_PER_MS;
    bare->err = err;
    if (err != NULL)
        memset(err, 0, sizeof(*err));
    return login_open_handle(client->hub->endpoint, bare->deadline_ns, &bare->device, err);
}

static azihsm_rc bare_call(struct bare *bare, struct exchange *exchange, uint32_t op, const void *request,
                           void *response)
{
    return exchange_run(exchange, bare->device, bare->deadline_ns, op, EXCHANGE_NO_SESSION, request, response);
}

static azihsm_rc bare_report(struct azihsm_client *client, const char *what, azihsm_rc rc, struct azihsm_error *err)
{
    struct azihsm_error own;

    if (rc == AZIHSM_OK || err == NULL)
        return rc;
    own = *err;
    return azihsm_error_set(err, rc, "%s on %s: %s%s%s", what, azihsm_client_endpoint_name(client), azihsm_rc_name(rc),
                            own.text[0] != '\0' ? ": " : "", own.text);
}

static azihsm_rc ask_extensions(struct operation *operation, void *arg)
{
    return extensions_get(operation, arg);
}

azihsm_rc azihsm_client_get_status(struct azihsm_client *client, struct azihsm_client_status *out,
                                   struct azihsm_error *err)
{
    const struct operation_spec extensions = {.op = AZIHSM_OP_GET_EXTENSIONS, .client = client, .hasty = true};
    struct azihsm_get_device_info_resp info;
    struct exchange exchange;
    struct bare bare = {0};
    azihsm_rc rc = bare_open(client, &bare, err);

    memset(out, 0, sizeof(*out));
    if (rc == AZIHSM_OK) {
        rc = bare_call(&bare, &exchange, AZIHSM_OP_GET_DEVICE_INFO, NULL, &info);
        exchange_end(&exchange);
    }
    azihsm_device_close(bare.device);
    if (rc != AZIHSM_OK)
        return bare_report(client, "GetDeviceInfo", rc, err);
    out->rev = (struct azihsm_api_rev){1, 0}; /* login_open_handle has checked that the device speaks it */
    out->kind = (enum azihsm_device_kind)info.kind;
    out->tables = info.tables;
    out->fips_approved = info.fips_approved;
    /* Needs a session; a device without an owner has none to give and no extensions that could be used. */
    if (operation_run(&extensions, ask_extensions, &out->extensions, NULL) != AZIHSM_OK)
        out->extensions = 0;
    return AZIHSM_OK;
}

struct chain {
    uint8_t count;
    size_t len;
    uint8_t thumbprint[32];
};

static bool same_chain(const struct chain *a, const struct chain *b)
{
    return a->count == b->count && a->len == b->len && memcmp(a->thumbprint, b->thumbprint, a->len) == 0;
}

static azihsm_rc chain_info(struct bare *bare, struct chain *out)
{
    struct azihsm_cert_chain_info_req request = {0};
    struct azihsm_cert_chain_info_resp response;
    struct exchange exchange;
    azihsm_rc rc = bare_call(bare, &exchange, AZIHSM_OP_GET_CERT_CHAIN_INFO, &request, &response);

    memset(out, 0, sizeof(*out));
    if (rc == AZIHSM_OK && response.thumbprint.len > sizeof(out->thumbprint))
        rc = AZIHSM_E_PROTOCOL;
    if (rc == AZIHSM_OK) {
        out->count = response.num_certs;
        out->len = response.thumbprint.len;
        memcpy(out->thumbprint, response.thumbprint.data, out->len);
    }
    exchange_end(&exchange);
    return rc;
}

static azihsm_rc chain_certificate(struct bare *bare, unsigned index, const struct output *der)
{
    struct azihsm_certificate_req request = {.cert_id = (uint8_t)index};
    struct azihsm_certificate_resp response;
    struct exchange exchange;
    azihsm_rc rc = bare_call(bare, &exchange, AZIHSM_OP_GET_CERTIFICATE, &request, &response);

    if (rc == AZIHSM_OK)
        rc = output_put(der, response.certificate, bare->err);
    exchange_end(&exchange);
    return rc;
}

azihsm_rc azihsm_client_certificate(struct azihsm_client *client, unsigned index, uint8_t *der, size_t *len,
                                    unsigned *count, struct azihsm_error *err)
{
    const struct output out = output_to(der, len);
    struct chain before = {0}, after = {0};
    struct bare bare = {0};
    azihsm_rc rc = bare_open(client, &bare, err);

    if (rc == AZIHSM_OK)
        rc = chain_info(&bare, &before);
    if (rc == AZIHSM_OK && index >= before.count)
        rc = azihsm_error_set(err, AZIHSM_E_ARGUMENT, "the chain has %u certificates", before.count);
    if (rc == AZIHSM_OK)
        rc = chain_certificate(&bare, index, &out);
    if (rc == AZIHSM_OK)
        rc = chain_info(&bare, &after);
    if (rc == AZIHSM_OK && !same_chain(&before, &after))
        rc = azihsm_error_set(err, AZIHSM_E_BUSY, "the chain has just changed");
    if (rc == AZIHSM_OK)
        *count = before.count;
    azihsm_device_close(bare.device);
    return bare_report(client, "GetCertificate", rc, err);
}

azihsm_rc azihsm_client_reset(struct azihsm_client *client, struct azihsm_error *err)
{
    struct bare bare = {0};
    azihsm_rc rc = bare_open(client, &bare, err);

    if (rc == AZIHSM_OK)
        rc = azihsm_device_reset(bare.device, bare.deadline_ns);
    azihsm_device_close(bare.device);
    return bare_report(client, "reset", rc, err);
}

/* ---- in a session ---- */

azihsm_rc extensions_get(struct operation *operation, uint64_t *features)
{
    struct link *link = operation->link;
    int64_t known = atomic_load(&link->extensions);
    struct azihsm_get_extensions_resp response = {0};
    struct exchange exchange;
    azihsm_rc rc = AZIHSM_OK;

    if (known < 0) {
        rc = call_aside(operation, &exchange, AZIHSM_OP_GET_EXTENSIONS, NULL, &response);
        call_end(operation, &exchange);
        if (rc == AZIHSM_STATUS_UNSUPPORTED_CMD)
            rc = AZIHSM_OK;
        known = (int64_t)(response.features & INT64_MAX);
        if (rc == AZIHSM_OK)
            atomic_store(&link->extensions, known);
    }
    *features = (uint64_t)known;
    return rc;
}

static const char hint_label[] = "azihsm device hint 1";

/*
 * The unwrapping key's public half: the device restores the key under its masking key, so both reset and restart keep
 * it, and another backup key or another partition has another one.
 */
azihsm_rc azihsm_client_device_hint(struct azihsm_client *client, uint8_t out[32], struct azihsm_error *err)
{
    uint8_t spki[AZIHSM_PUB_KEY_MAX];
    struct azihsm_bytes parts[] = {{(const uint8_t *)hint_label, sizeof(hint_label) - 1}, {spki, 0}};
    struct era *era;
    azihsm_rc rc = azihsm_client_unwrapping_key(client, spki, sizeof(spki), &parts[1].len, err);

    if (rc != AZIHSM_OK)
        return rc;
    era = hub_era(client->hub);
    if (era == NULL || era_libctx(era) == NULL ||
        kdf_digest(era_libctx(era), AZIHSM_HASH_SHA256, parts, 2, out) != AZIHSM_OK)
        return azihsm_error_set(err, AZIHSM_E_CRYPTO, "SHA-256 failed");
    return AZIHSM_OK;
}

static azihsm_rc change_pin(struct operation *operation, void *arg)
{
    const uint8_t *pin = arg;
    struct login login = {
        .hub = operation->hub, .era = operation->era, .deadline_ns = operation->deadline_ns, .err = operation->err};
    struct credential_fields fields = {0};
    struct credential_sealed sealed;
    uint8_t spki[CREDENTIAL_SPKI_SIZE];
    struct azihsm_change_pin_req request;
    struct exchange exchange;
    azihsm_rc rc;

    memcpy(fields.pin, pin, sizeof(fields.pin));
    rc = login_seal(&login, operation->link->device, CREDENTIAL_CHANGE_PIN, &fields, &sealed, spki);
    OPENSSL_cleanse(&fields, sizeof(fields));
    if (rc != AZIHSM_OK)
        return rc;
    request.new_pin.encrypted_pin = (struct azihsm_bytes){sealed.encrypted.pin, sizeof(sealed.encrypted.pin)};
    request.new_pin.iv = (struct azihsm_bytes){sealed.iv, sizeof(sealed.iv)};
    memcpy(request.new_pin.nonce, sealed.nonce, sizeof(request.new_pin.nonce));
    memcpy(request.new_pin.tag, sealed.tag, sizeof(request.new_pin.tag));
    request.pub_key = (struct azihsm_pub_key){{spki, sizeof(spki)}, AZIHSM_KEY_ECC384_PUBLIC};
    rc = call_run(operation, &exchange, AZIHSM_OP_CHANGE_PIN, &request, NULL);
    call_end(operation, &exchange);
    return rc;
}

azihsm_rc azihsm_client_change_pin(struct azihsm_client *client, const uint8_t pin[AZIHSM_CREDENTIAL_SIZE],
                                   struct azihsm_error *err)
{
    const struct operation_spec operation = {.op = AZIHSM_OP_CHANGE_PIN, .client = client, .once = true};
    uint8_t copy[AZIHSM_CREDENTIAL_SIZE];
    azihsm_rc rc;

    if (credential_is_zero(pin))
        return azihsm_error_set(err, AZIHSM_E_ARGUMENT, "a PIN of zeros is not allowed");
    memcpy(copy, pin, sizeof(copy));
    rc = operation_run(&operation, change_pin, copy, err);
    if (rc == AZIHSM_OK)
        hub_credential_set_pin(client->hub, copy);
    OPENSSL_cleanse(copy, sizeof(copy));
    return rc;
}

/* ---- a key ---- */

struct attest {
    struct azihsm_attest_key_req request;
    struct output report;
};

static azihsm_rc attest(struct operation *operation, void *arg)
{
    struct attest *want = arg;
    struct azihsm_attest_key_resp response;
    struct exchange exchange;
    azihsm_rc rc;

    want->request.key_id = operation->key_id[0];
    rc = call_run(operation, &exchange, AZIHSM_OP_ATTEST_KEY, &want->request, &response);
    if (rc == AZIHSM_OK)
        rc = output_put(&want->report, response.report, operation->err);
    call_end(operation, &exchange);
    return rc;
}

azihsm_rc azihsm_key_attest(struct azihsm_key *key, const uint8_t report_data[AZIHSM_REPORT_DATA_SIZE], uint8_t *report,
                            size_t *len, struct azihsm_error *err)
{
    struct attest want = {.request = {.report_data = {report_data, AZIHSM_REPORT_DATA_SIZE}},
                          .report = output_to(report, len)};
    const struct operation_spec operation = {.op = AZIHSM_OP_ATTEST_KEY, .client = key->client, .keys = {key}};

    return operation_run(&operation, attest, &want, err);
}

azihsm_rc azihsm_key_evict(struct azihsm_key *key, struct azihsm_error *err)
{
    return residency_evict(key) ? AZIHSM_OK : azihsm_error_set(err, AZIHSM_E_BUSY, "the key is in use");
}

static azihsm_rc delete_key(struct operation *operation, void *arg)
{
    const struct azihsm_delete_key_req request = {.key_id = operation->key_id[0]};
    struct exchange exchange;
    azihsm_rc rc = call_run(operation, &exchange, AZIHSM_OP_DELETE_KEY, &request, NULL);

    if (rc == AZIHSM_OK)
        residency_forget(arg, operation->link->epoch, request.key_id);
    call_end(operation, &exchange);
    return rc;
}

azihsm_rc azihsm_key_delete(struct azihsm_key *key, struct azihsm_error *err)
{
    const struct operation_spec operation = {
        .op = AZIHSM_OP_DELETE_KEY, .client = key->client, .keys = {key}, .once = true};

    return operation_run(&operation, delete_key, key, err);
}
