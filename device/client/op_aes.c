/*
 * AES keys: generation, and CBC in messages of at most 1024 bytes.
 */
#include "call.h"
#include "client.h"
#include "key.h"
#include "props.h"

#include <string.h>

/* ---- generation ---- */

struct generate {
    struct azihsm_aes_generate_req request;
    struct azihsm_key **out;
};

static azihsm_rc generate(struct operation *operation, void *arg)
{
    static const uint32_t kinds[] = {[AZIHSM_AES_SIZE_128] = AZIHSM_KEY_AES128,
                                     [AZIHSM_AES_SIZE_192] = AZIHSM_KEY_AES192,
                                     [AZIHSM_AES_SIZE_256] = AZIHSM_KEY_AES256,
                                     [AZIHSM_AES_SIZE_XTS_BULK256] = AZIHSM_KEY_AES_XTS_BULK256,
                                     [AZIHSM_AES_SIZE_GCM_BULK256] = AZIHSM_KEY_AES_GCM_BULK256,
                                     [AZIHSM_AES_SIZE_GCM_BULK256_UNAPPROVED] = AZIHSM_KEY_AES_GCM_BULK256_UNAPPROVED};
    const struct generate *want = arg;
    struct azihsm_aes_generate_resp response;
    struct exchange exchange;
    azihsm_rc rc = call_run(operation, &exchange, AZIHSM_OP_AES_GENERATE_KEY, &want->request, &response);

    if (rc == AZIHSM_OK) {
        const struct key_made made = {.key_id = response.key_id,
                                      .has_bulk_id = response.has_bulk_key_id,
                                      .bulk_id = response.bulk_key_id,
                                      .masked_key = response.masked_key};

        rc = key_from_made(operation, &made, kinds[want->request.key_size], want->out);
    }
    call_end(operation, &exchange);
    return rc;
}

azihsm_rc azihsm_key_generate_aes(struct azihsm_client *client, uint32_t aes_key_size,
                                  const struct azihsm_key_spec *spec, struct azihsm_key **out, struct azihsm_error *err)
{
    struct generate want = {.request = {.key_size = aes_key_size, .has_key_tag = spec->tag != 0, .key_tag = spec->tag},
                            .out = out};
    const struct operation_spec operation = {
        .op = AZIHSM_OP_AES_GENERATE_KEY, .client = client, .once = spec->tag != 0};
    azihsm_rc rc = props_from_spec(spec, &want.request.key_props, err);

    if (rc != AZIHSM_OK)
        return rc;
    if (aes_key_size < AZIHSM_AES_SIZE_128 || aes_key_size > AZIHSM_AES_SIZE_GCM_BULK256_UNAPPROVED)
        return azihsm_error_set(err, AZIHSM_E_ARGUMENT, "the device knows no AES keys of size %u", aes_key_size);
    return operation_run(&operation, generate, &want, err);
}

/* ---- CBC ---- */

struct cbc {
    struct azihsm_aes_crypt_req request;
    uint8_t *iv;
    uint8_t *out;
};

static azihsm_rc cbc(struct operation *operation, void *arg)
{
    struct cbc *want = arg;
    struct azihsm_aes_crypt_resp response;
    struct exchange exchange;
    azihsm_rc rc;

    want->request.key_id = operation->key_id[0];
    rc = call_run(operation, &exchange, AZIHSM_OP_AES_ENCRYPT_DECRYPT, &want->request, &response);
    if (rc == AZIHSM_OK && (response.msg.len != want->request.msg.len || response.iv.len != AZIHSM_IV_SIZE))
        rc = operation_fail(operation, AZIHSM_E_PROTOCOL, "the result has %zu bytes instead of %zu", response.msg.len,
                            want->request.msg.len);
    if (rc == AZIHSM_OK) {
        memcpy(want->out, response.msg.data, response.msg.len);
        memcpy(want->iv, response.iv.data, AZIHSM_IV_SIZE);
    }
    call_end(operation, &exchange);
    return rc;
}

/* Message by message, the last ciphertext block of one being the IV of the next. in may equal out. */
azihsm_rc azihsm_key_aes_cbc(struct azihsm_key *key, bool decrypt, uint8_t iv[16], const uint8_t *in, uint8_t *out,
                             size_t len, struct azihsm_error *err)
{
    const struct operation_spec operation = {.op = AZIHSM_OP_AES_ENCRYPT_DECRYPT, .client = key->client, .keys = {key}};
    azihsm_rc rc = AZIHSM_OK;

    if (len % AZIHSM_IV_SIZE != 0)
        return azihsm_error_set(err, AZIHSM_E_ARGUMENT, "AES-CBC: the length must be a multiple of 16");
    for (size_t done = 0, step; rc == AZIHSM_OK && done < len; done += step) {
        struct cbc want = {.request = {.op = decrypt ? AZIHSM_AES_DECRYPT : AZIHSM_AES_ENCRYPT}, .iv = iv};

        step = len - done < AZIHSM_CBC_MSG_MAX ? len - done : AZIHSM_CBC_MSG_MAX;
        want.request.msg = (struct azihsm_bytes){in + done, step};
        want.request.iv = (struct azihsm_bytes){iv, AZIHSM_IV_SIZE};
        want.out = out + done;
        rc = operation_run(&operation, cbc, &want, err);
    }
    return rc;
}
