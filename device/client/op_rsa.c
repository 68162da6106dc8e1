/*
 * RSA keys: generation where the device can, the raw private operation, and the import of any wrapped key, which goes
 * through the device's RSA unwrapping key.
 */
#include "call.h"
#include "client.h"
#include "crypto/spki.h"
#include "crypto/wrap.h"
#include "extensions.h"
#include "key.h"
#include "output.h"
#include "props.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>

/* ---- generation ---- */

struct generate {
    struct azihsm_rsa_generate_req request;
    uint32_t kind;
    struct azihsm_key **out;
};

static azihsm_rc generate(struct operation *operation, void *arg)
{
    const struct generate *want = arg;
    struct azihsm_key_pair_resp response;
    struct exchange exchange;
    uint64_t features = 0;
    azihsm_rc rc = extensions_get(operation, &features);

    if (rc != AZIHSM_OK)
        return rc;
    if ((features & AZIHSM_EXT_RSA_GENERATE) == 0)
        return operation_fail(operation, AZIHSM_E_UNSUPPORTED,
                              "this device cannot generate RSA keys: generate on the host and import");
    rc = call_run(operation, &exchange, AZIHSM_OP_RSA_GENERATE_KEY_PAIR, &want->request, &response);
    if (rc == AZIHSM_OK) {
        const struct key_made made = {
            .key_id = response.private_key_id, .masked_key = response.masked_key, .spki = response.pub_key.der};

        rc = key_from_made(operation, &made, 0, want->out);
    }
    call_end(operation, &exchange);
    return rc;
}

/* How long it takes until two primes are found is chance: seconds on a busy machine. */
enum { RSA_PATIENCE = 6 };

static uint32_t rsa_kind(unsigned bits)
{
    return bits == 2048 ? AZIHSM_KEY_RSA2K_PRIVATE : bits == 3072 ? AZIHSM_KEY_RSA3K_PRIVATE : AZIHSM_KEY_RSA4K_PRIVATE;
}

azihsm_rc azihsm_key_generate_rsa(struct azihsm_client *client, unsigned bits, const struct azihsm_key_spec *spec,
                                  struct azihsm_key **out, struct azihsm_error *err)
{
    struct generate want = {.request = {.bits = bits, .has_key_tag = spec->tag != 0, .key_tag = spec->tag}, .out = out};
    const struct operation_spec operation = {.op = AZIHSM_OP_RSA_GENERATE_KEY_PAIR,
                                             .client = client,
                                             .kind = rsa_kind(bits),
                                             .once = spec->tag != 0,
                                             .patience = RSA_PATIENCE};
    azihsm_rc rc = props_from_spec(spec, &want.request.key_props, err);

    if (rc != AZIHSM_OK)
        return rc;
    if (bits != 2048 && bits != 3072 && bits != 4096)
        return azihsm_error_set(err, AZIHSM_E_ARGUMENT, "the device knows RSA keys of 2048, 3072 and 4096 bits only");
    return operation_run(&operation, generate, &want, err);
}

/* ---- the private operation ---- */

struct mod_exp {
    struct azihsm_rsa_mod_exp_req request;
    struct output x;
};

static azihsm_rc mod_exp(struct operation *operation, void *arg)
{
    struct mod_exp *want = arg;
    struct azihsm_rsa_mod_exp_resp response;
    struct exchange exchange;
    azihsm_rc rc;

    want->request.key_id = operation->key_id[0];
    rc = call_run(operation, &exchange, AZIHSM_OP_RSA_MOD_EXP, &want->request, &response);
    if (rc == AZIHSM_OK && response.x.len != want->request.y.len)
        rc = operation_fail(operation, AZIHSM_E_PROTOCOL, "the result has %zu bytes instead of %zu", response.x.len,
                            want->request.y.len);
    if (rc == AZIHSM_OK)
        rc = output_put(&want->x, response.x, operation->err);
    call_end(operation, &exchange);
    return rc;
}

azihsm_rc azihsm_key_rsa_mod_exp(struct azihsm_key *key, enum azihsm_rsa_op op, struct azihsm_bytes y, uint8_t *x,
                                 size_t *len, struct azihsm_error *err)
{
    struct mod_exp want = {.request = {.y = y, .op_type = op}, .x = output_to(x, len)};
    const struct operation_spec operation = {
        .op = AZIHSM_OP_RSA_MOD_EXP, .client = key->client, .keys = {key}, .decrypt = op == AZIHSM_RSA_DECRYPT};
    size_t size = azihsm_key_kind_rsa_size(key->kind);

    if (size == 0)
        return azihsm_error_set(err, AZIHSM_E_ARGUMENT, "RsaModExp: this is not an RSA key");
    if (y.len != size)
        return azihsm_error_set(err, AZIHSM_E_ARGUMENT, "RsaModExp: the input must have %zu bytes", size);
    return operation_run(&operation, mod_exp, &want, err);
}

/* ---- the unwrapping key ---- */

static bool unwrapping_cached(struct operation *operation, uint16_t *id, uint8_t *spki, size_t *len)
{
    struct link *link = operation->link;
    bool known;

    pthread_mutex_lock(&operation->era->lock);
    known = link->unwrapping_len > 0;
    if (known) {
        *id = link->unwrapping_id;
        *len = link->unwrapping_len;
        memcpy(spki, link->unwrapping_spki, *len);
    }
    pthread_mutex_unlock(&operation->era->lock);
    return known;
}

/* Asked once for each session; spki has room for AZIHSM_PUB_KEY_MAX bytes. */
static azihsm_rc unwrapping_key(struct operation *operation, uint16_t *id, uint8_t *spki, size_t *len)
{
    struct azihsm_get_unwrapping_key_resp response;
    struct link *link = operation->link;
    struct exchange exchange;
    azihsm_rc rc;

    if (unwrapping_cached(operation, id, spki, len))
        return AZIHSM_OK;
    rc = call_run(operation, &exchange, AZIHSM_OP_GET_UNWRAPPING_KEY, NULL, &response);
    if (rc == AZIHSM_OK && response.pub_key.der.len > AZIHSM_PUB_KEY_MAX)
        rc = AZIHSM_E_PROTOCOL;
    if (rc == AZIHSM_OK) {
        *id = response.key_id;
        *len = response.pub_key.der.len;
        memcpy(spki, response.pub_key.der.data, *len);
        pthread_mutex_lock(&operation->era->lock);
        link->unwrapping_id = *id;
        link->unwrapping_len = *len;
        memcpy(link->unwrapping_spki, spki, *len);
        pthread_mutex_unlock(&operation->era->lock);
    }
    call_end(operation, &exchange);
    return rc;
}

static azihsm_rc give_unwrapping_key(struct operation *operation, void *arg)
{
    const struct output *out = arg;
    uint8_t spki[AZIHSM_PUB_KEY_MAX];
    size_t len = 0;
    uint16_t id;
    azihsm_rc rc = unwrapping_key(operation, &id, spki, &len);

    return rc != AZIHSM_OK ? rc : output_put(out, (struct azihsm_bytes){spki, len}, operation->err);
}

azihsm_rc azihsm_client_unwrapping_key(struct azihsm_client *client, uint8_t *out, size_t cap, size_t *len,
                                       struct azihsm_error *err)
{
    struct output output = {out, len, cap};
    const struct operation_spec operation = {.op = AZIHSM_OP_GET_UNWRAPPING_KEY, .client = client};

    return operation_run(&operation, give_unwrapping_key, &output, err);
}

/* ---- import ---- */

struct import {
    struct azihsm_rsa_unwrap_req request;
    struct azihsm_bytes plaintext; /* empty: request.wrapped_blob is the caller's */
    uint8_t *wrapped;              /* AZIHSM_WRAPPED_BLOB_MAX bytes, for plaintext */
    struct azihsm_key **out;
};

static azihsm_rc wrap(struct operation *operation, struct import *want, struct azihsm_bytes spki)
{
    OSSL_LIB_CTX *libctx = era_libctx(operation->era);
    EVP_PKEY *wrapping = NULL;
    size_t len = 0;
    azihsm_rc rc = libctx == NULL ? AZIHSM_E_CRYPTO : spki_decode(libctx, spki, &wrapping);

    if (rc == AZIHSM_OK)
        rc = wrap_seal(libctx, wrapping, want->request.hash, want->plaintext, want->wrapped, AZIHSM_WRAPPED_BLOB_MAX,
                       &len);
    EVP_PKEY_free(wrapping);
    want->request.wrapped_blob = (struct azihsm_bytes){want->wrapped, len};
    if (rc == AZIHSM_E_ENCODE)
        rc = operation_fail(operation, AZIHSM_E_ARGUMENT, "the key is too long to be imported");
    return rc;
}

static azihsm_rc import_send(struct operation *operation, struct import *want)
{
    struct azihsm_rsa_unwrap_resp response;
    struct exchange exchange;
    azihsm_rc rc = call_run(operation, &exchange, AZIHSM_OP_RSA_UNWRAP, &want->request, &response);

    if (rc == AZIHSM_OK) {
        const struct key_made made = {.key_id = response.key_id,
                                      .has_bulk_id = response.has_bulk_key_id,
                                      .bulk_id = response.bulk_key_id,
                                      .masked_key = response.masked_key,
                                      .spki = response.has_pub_key ? response.pub_key.der : (struct azihsm_bytes){0}};

        rc = key_from_made(operation, &made, response.kind, want->out);
    }
    call_end(operation, &exchange);
    return rc;
}

static azihsm_rc import(struct operation *operation, void *arg)
{
    struct import *want = arg;
    uint8_t spki[AZIHSM_PUB_KEY_MAX];
    size_t len = 0;
    azihsm_rc rc = unwrapping_key(operation, &want->request.key_id, spki, &len);

    if (rc == AZIHSM_OK && want->plaintext.len > 0)
        rc = wrap(operation, want, (struct azihsm_bytes){spki, len});
    return rc != AZIHSM_OK ? rc : import_send(operation, want);
}

static azihsm_rc import_run(struct azihsm_client *client, struct import *want, const struct azihsm_key_spec *spec,
                            struct azihsm_error *err)
{
    const struct operation_spec operation = {
        .op = AZIHSM_OP_RSA_UNWRAP, .client = client, .kind = want->request.key_class, .once = spec->tag != 0};
    azihsm_rc rc = props_from_spec(spec, &want->request.key_props, err);

    if (rc != AZIHSM_OK)
        return rc;
    want->request.padding = AZIHSM_PADDING_OAEP;
    want->request.has_key_tag = spec->tag != 0;
    want->request.key_tag = spec->tag;
    return operation_run(&operation, import, want, err);
}

azihsm_rc azihsm_key_import_wrapped(struct azihsm_client *client, uint32_t key_class, uint32_t hash,
                                    struct azihsm_bytes wrapped, const struct azihsm_key_spec *spec,
                                    struct azihsm_key **out, struct azihsm_error *err)
{
    struct import want = {.request = {.key_class = key_class, .hash = hash, .wrapped_blob = wrapped}, .out = out};

    if (wrapped.len == 0)
        return azihsm_error_set(err, AZIHSM_E_ARGUMENT, "the wrapped key is empty");
    if (wrapped.len > AZIHSM_WRAPPED_BLOB_MAX)
        return azihsm_error_set(err, AZIHSM_E_ARGUMENT, "a wrapped key has at most %d bytes", AZIHSM_WRAPPED_BLOB_MAX);
    return import_run(client, &want, spec, err);
}

azihsm_rc azihsm_key_import(struct azihsm_client *client, uint32_t key_class, struct azihsm_bytes plaintext,
                            const struct azihsm_key_spec *spec, struct azihsm_key **out, struct azihsm_error *err)
{
    struct import want = {
        .request = {.key_class = key_class, .hash = AZIHSM_HASH_SHA256}, .plaintext = plaintext, .out = out};
    azihsm_rc rc;

    if (plaintext.len == 0)
        return azihsm_error_set(err, AZIHSM_E_ARGUMENT, "there is no key to import");
    want.wrapped = OPENSSL_malloc(AZIHSM_WRAPPED_BLOB_MAX);
    if (want.wrapped == NULL)
        return azihsm_error_set(err, AZIHSM_E_NO_MEMORY, "out of memory");
    rc = import_run(client, &want, spec, err);
    OPENSSL_free(want.wrapped);
    return rc;
}
