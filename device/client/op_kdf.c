/*
 * Derivation of keys from secrets inside the device; HMAC keys, which the device makes in no other way; HMAC with them.
 */
#include "call.h"
#include "client.h"
#include "key.h"
#include "output.h"
#include "props.h"

#include <string.h>

enum { HASH_MAX = 64, KDF_INPUT_MAX = 256 };

struct derive {
    uint32_t op;
    struct azihsm_kdf_req request;
    struct azihsm_key **out;
};

static azihsm_rc derive(struct operation *operation, void *arg)
{
    struct derive *want = arg;
    struct azihsm_kdf_resp response;
    struct exchange exchange;
    azihsm_rc rc;

    want->request.key_id = operation->key_id[0];
    rc = call_run(operation, &exchange, want->op, &want->request, &response);
    if (rc == AZIHSM_OK) {
        const struct key_made made = {.key_id = response.key_id,
                                      .has_bulk_id = response.has_bulk_key_id,
                                      .bulk_id = response.bulk_key_id,
                                      .masked_key = response.masked_key};

        rc = key_from_made(operation, &made, want->request.key_type, want->out);
    }
    call_end(operation, &exchange);
    return rc;
}

static bool is_variable_hmac(uint32_t kind)
{
    return kind >= AZIHSM_KEY_VAR_HMAC256 && kind <= AZIHSM_KEY_VAR_HMAC512;
}

/*
 * The hardware takes an absent HKDF salt for something else than RFC 5869 does: what the RFC means by it (HashLen
 * zeros) is therefore always sent.
 */
static void fill_inputs(const struct azihsm_kdf *kdf, struct azihsm_kdf_req *request)
{
    static const uint8_t zeros[HASH_MAX];

    request->has_first = kdf->has_first;
    request->first = kdf->first;
    request->has_second = kdf->has_second;
    request->second = kdf->second;
    if (!kdf->kbkdf && (!kdf->has_first || kdf->first.len == 0)) {
        request->has_first = true;
        request->first = (struct azihsm_bytes){zeros, azihsm_hash_size(kdf->hash)};
    }
}

azihsm_rc azihsm_key_derive(struct azihsm_key *secret, const struct azihsm_kdf *kdf, const struct azihsm_key_spec *spec,
                            struct azihsm_key **out, struct azihsm_error *err)
{
    struct derive want = {.op = kdf->kbkdf ? AZIHSM_OP_KBKDF_COUNTER_HMAC_DERIVE : AZIHSM_OP_HKDF_DERIVE,
                          .request = {.hash = kdf->hash,
                                      .key_type = kdf->target_kind,
                                      .has_key_tag = spec->tag != 0,
                                      .key_tag = spec->tag,
                                      .has_key_length = is_variable_hmac(kdf->target_kind),
                                      .key_length = kdf->key_length},
                          .out = out};
    const struct operation_spec operation = {
        .op = want.op, .client = secret->client, .keys = {secret}, .once = spec->tag != 0};
    azihsm_rc rc = props_from_spec(spec, &want.request.key_props, err);

    if (rc != AZIHSM_OK)
        return rc;
    if (azihsm_hash_size(kdf->hash) == 0)
        return azihsm_error_set(err, AZIHSM_E_ARGUMENT, "%s: unknown hash", azihsm_ddi_op_name(want.op));
    if (kdf->first.len > KDF_INPUT_MAX || kdf->second.len > KDF_INPUT_MAX)
        return azihsm_error_set(err, AZIHSM_E_UNSUPPORTED, "%s: the device takes at most %d bytes of %s",
                                azihsm_ddi_op_name(want.op), KDF_INPUT_MAX,
                                kdf->kbkdf ? "label and context each" : "salt and info each");
    fill_inputs(kdf, &want.request);
    return operation_run(&operation, derive, &want, err);
}

/* ---- new HMAC keys ---- */

/* Two fresh key pairs of the device agree on a secret, of which the key is derived: nobody else ever sees any of it. */
static azihsm_rc fresh_secret(struct azihsm_client *client, uint32_t curve, struct azihsm_key **secret,
                              struct azihsm_error *err)
{
    const struct azihsm_key_spec passing = {.usage = AZIHSM_USAGE_DERIVE, .session = true};
    struct azihsm_key *one = NULL, *two = NULL;
    azihsm_rc rc = azihsm_key_generate_ecc(client, curve, &passing, &one, err);

    if (rc == AZIHSM_OK)
        rc = azihsm_key_generate_ecc(client, curve, &passing, &two, err);
    if (rc == AZIHSM_OK)
        rc = azihsm_key_ecdh(one, azihsm_key_spki(two), &passing, secret, err);
    azihsm_key_free(two);
    azihsm_key_free(one);
    return rc;
}

azihsm_rc azihsm_key_generate_hmac(struct azihsm_client *client, uint32_t kind, const struct azihsm_key_spec *spec,
                                   struct azihsm_key **out, struct azihsm_error *err)
{
    static const struct {
        uint32_t kind, hash, curve;
    } rows[] = {{AZIHSM_KEY_HMAC_SHA256, AZIHSM_HASH_SHA256, AZIHSM_CURVE_P256},
                {AZIHSM_KEY_HMAC_SHA384, AZIHSM_HASH_SHA384, AZIHSM_CURVE_P384},
                {AZIHSM_KEY_HMAC_SHA512, AZIHSM_HASH_SHA512, AZIHSM_CURVE_P521}};
    struct azihsm_key *secret = NULL;
    size_t i = 0;
    azihsm_rc rc;

    while (i < sizeof(rows) / sizeof(rows[0]) && rows[i].kind != kind)
        i++;
    if (i == sizeof(rows) / sizeof(rows[0]))
        return azihsm_error_set(err, AZIHSM_E_ARGUMENT, "%u is no kind of HMAC key that can be generated", kind);
    rc = fresh_secret(client, rows[i].curve, &secret, err);
    if (rc == AZIHSM_OK) {
        const struct azihsm_kdf kdf = {.hash = rows[i].hash, .target_kind = kind};

        rc = azihsm_key_derive(secret, &kdf, spec, out, err);
    }
    azihsm_key_free(secret);
    return rc;
}

/* ---- HMAC ---- */

struct hmac {
    struct azihsm_hmac_req request;
    struct output tag;
};

static azihsm_rc hmac(struct operation *operation, void *arg)
{
    struct hmac *want = arg;
    struct azihsm_hmac_resp response;
    struct exchange exchange;
    azihsm_rc rc;

    want->request.key_id = operation->key_id[0];
    rc = call_run(operation, &exchange, AZIHSM_OP_HMAC, &want->request, &response);
    if (rc == AZIHSM_OK)
        rc = output_put(&want->tag, response.tag, operation->err);
    call_end(operation, &exchange);
    return rc;
}

azihsm_rc azihsm_key_hmac(struct azihsm_key *key, struct azihsm_bytes msg, uint8_t *tag, size_t *len,
                          struct azihsm_error *err)
{
    struct hmac want = {.request = {.msg = msg}, .tag = output_to(tag, len)};
    const struct operation_spec operation = {.op = AZIHSM_OP_HMAC, .client = key->client, .keys = {key}};

    if (msg.len > AZIHSM_HMAC_MSG_MAX)
        return azihsm_error_set(err, AZIHSM_E_UNSUPPORTED,
                                "Hmac: the device takes messages of at most %d bytes, this one has %zu",
                                AZIHSM_HMAC_MSG_MAX, msg.len);
    return operation_run(&operation, hmac, &want, err);
}
