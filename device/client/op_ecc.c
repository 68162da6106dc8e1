/*
 * Elliptic curve keys: generation, signatures, key agreement.
 */
#include "call.h"
#include "client.h"
#include "key.h"
#include "output.h"
#include "props.h"

/* ---- generation ---- */

struct generate {
    struct azihsm_ecc_generate_req request;
    uint32_t kind;
    struct azihsm_key **out;
};

static azihsm_rc generate(struct operation *operation, void *arg)
{
    const struct generate *want = arg;
    struct azihsm_key_pair_resp response;
    struct exchange exchange;
    azihsm_rc rc = call_run(operation, &exchange, AZIHSM_OP_ECC_GENERATE_KEY_PAIR, &want->request, &response);

    if (rc == AZIHSM_OK) {
        const struct key_made made = {
            .key_id = response.private_key_id, .masked_key = response.masked_key, .spki = response.pub_key.der};

        rc = key_from_made(operation, &made, want->kind, want->out);
    }
    call_end(operation, &exchange);
    return rc;
}

azihsm_rc azihsm_key_generate_ecc(struct azihsm_client *client, uint32_t curve, const struct azihsm_key_spec *spec,
                                  struct azihsm_key **out, struct azihsm_error *err)
{
    struct generate want = {.request = {.curve = curve, .has_key_tag = spec->tag != 0, .key_tag = spec->tag},
                            .out = out};
    struct operation_spec operation = {.op = AZIHSM_OP_ECC_GENERATE_KEY_PAIR, .client = client, .once = spec->tag != 0};
    azihsm_rc rc = props_from_spec(spec, &want.request.key_props, err);

    if (rc != AZIHSM_OK)
        return rc;
    for (uint32_t kind = AZIHSM_KEY_ECC256_PRIVATE; kind <= AZIHSM_KEY_ECC521_PRIVATE; kind++)
        if (azihsm_key_kind_curve(kind) == curve)
            want.kind = kind;
    if (want.kind == 0)
        return azihsm_error_set(err, AZIHSM_E_ARGUMENT, "the device knows the curves P-256, P-384 and P-521 only");
    operation.kind = want.kind;
    return operation_run(&operation, generate, &want, err);
}

/* ---- signatures ---- */

struct sign {
    struct azihsm_ecc_sign_req request;
    struct output signature;
    size_t expected;
};

static azihsm_rc sign(struct operation *operation, void *arg)
{
    struct sign *want = arg;
    struct azihsm_ecc_sign_resp response;
    struct exchange exchange;
    azihsm_rc rc;

    want->request.key_id = operation->key_id[0];
    rc = call_run(operation, &exchange, AZIHSM_OP_ECC_SIGN, &want->request, &response);
    if (rc == AZIHSM_OK && response.signature.len != want->expected)
        rc = operation_fail(operation, AZIHSM_E_PROTOCOL, "the signature has %zu bytes instead of %zu",
                            response.signature.len, want->expected);
    if (rc == AZIHSM_OK)
        rc = output_put(&want->signature, response.signature, operation->err);
    call_end(operation, &exchange);
    return rc;
}

azihsm_rc azihsm_key_ecc_sign(struct azihsm_key *key, uint32_t hash, struct azihsm_bytes digest, uint8_t *sig,
                              size_t *len, struct azihsm_error *err)
{
    struct sign want = {.request = {.digest = digest, .digest_algo = hash},
                        .signature = output_to(sig, len),
                        .expected = 2 * azihsm_curve_coordinate_size(azihsm_key_kind_curve(key->kind))};
    const struct operation_spec operation = {.op = AZIHSM_OP_ECC_SIGN, .client = key->client, .keys = {key}};

    if (want.expected == 0)
        return azihsm_error_set(err, AZIHSM_E_ARGUMENT, "EccSign: this is not an EC key");
    if (digest.len == 0 || digest.len > AZIHSM_ECC_DIGEST_WIRE_SIZE)
        return azihsm_error_set(err, AZIHSM_E_ARGUMENT, "EccSign: a digest has 1 to %d bytes",
                                AZIHSM_ECC_DIGEST_WIRE_SIZE);
    return operation_run(&operation, sign, &want, err);
}

/* ---- key agreement ---- */

struct agree {
    struct azihsm_ecdh_req request;
    struct azihsm_key **out;
};

static azihsm_rc agree(struct operation *operation, void *arg)
{
    struct agree *want = arg;
    struct azihsm_ecdh_resp response;
    struct exchange exchange;
    azihsm_rc rc;

    want->request.priv_key_id = operation->key_id[0];
    rc = call_run(operation, &exchange, AZIHSM_OP_ECDH_KEY_EXCHANGE, &want->request, &response);
    if (rc == AZIHSM_OK) {
        const struct key_made made = {.key_id = response.key_id, .masked_key = response.masked_key};

        rc = key_from_made(operation, &made, want->request.key_type, want->out);
    }
    call_end(operation, &exchange);
    return rc;
}

azihsm_rc azihsm_key_ecdh(struct azihsm_key *key, struct azihsm_bytes peer_spki, const struct azihsm_key_spec *spec,
                          struct azihsm_key **secret, struct azihsm_error *err)
{
    static const uint32_t secrets[] = {[AZIHSM_CURVE_P256] = AZIHSM_KEY_SECRET256,
                                       [AZIHSM_CURVE_P384] = AZIHSM_KEY_SECRET384,
                                       [AZIHSM_CURVE_P521] = AZIHSM_KEY_SECRET521};
    uint32_t curve = azihsm_key_kind_curve(key->kind);
    struct agree want = {.request = {.pub_key_der = peer_spki,
                                     .key_type = secrets[curve],
                                     .has_key_tag = spec->tag != 0,
                                     .key_tag = spec->tag},
                         .out = secret};
    const struct operation_spec operation = {
        .op = AZIHSM_OP_ECDH_KEY_EXCHANGE, .client = key->client, .keys = {key}, .once = spec->tag != 0};
    azihsm_rc rc = props_from_spec(spec, &want.request.key_props, err);

    if (rc != AZIHSM_OK)
        return rc;
    if (curve == 0)
        return azihsm_error_set(err, AZIHSM_E_ARGUMENT, "EcdhKeyExchange: this is not an EC key");
    return operation_run(&operation, agree, &want, err);
}
