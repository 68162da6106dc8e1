/*
 * AES-GCM and AES-XTS through the device's bulk path, which knows no messages and no DDI statuses: its result codes
 * (ddi-protocol 7.5) are turned into statuses where recovery depends on them.
 *
 * With in == out an operation whose outcome is not known is repeated only when the transport has not touched out: else
 * the input may be gone.
 */
#include "call.h"
#include "client.h"
#include "key.h"

#include <string.h>

struct bulk {
    struct azihsm_bulk work;
    struct azihsm_bulk done; /* of the attempt that succeeded */
};

enum { GCM_IV_SIZE = 12, ANY = -1 };

/* Result 0 with an extended status is a refusal of the driver (8.7). */
static const struct {
    int xts; /* ANY = does not matter */
    uint32_t result, ext_status;
    azihsm_rc rc;
    const char *text;
} outcomes[] = {
    {ANY, 0, 107, AZIHSM_STATUS_SESSION_NOT_FOUND, "the handle has no session"},
    {ANY, 0, 108, AZIHSM_STATUS_SESSION_NOT_FOUND, "the handle has another session"},
    {ANY, 0, 109, AZIHSM_STATUS_SESSION_NOT_FOUND, "the handle has no application id"},
    {ANY, 0, 110, AZIHSM_STATUS_SESSION_NOT_FOUND, "the handle has another application id"},
    {0, 2, 1, AZIHSM_STATUS_KEY_NOT_FOUND, NULL},
    {0, 2, 3, AZIHSM_STATUS_KEY_NOT_FOUND, NULL},
    {0, 2, 8, AZIHSM_STATUS_INVALID_KEY_TYPE, "this is not an AES-GCM key"},
    {1, 1, 1, AZIHSM_STATUS_KEY_NOT_FOUND, NULL},
    {1, 1, 2, AZIHSM_STATUS_KEY_NOT_FOUND, NULL},
    {1, 1, 7, AZIHSM_STATUS_KEY_NOT_FOUND, NULL},
    {1, 1, 8, AZIHSM_STATUS_KEY_NOT_FOUND, NULL},
    {1, 1, 5, AZIHSM_E_FAST_PATH, "data key and tweak key are the same"},
    {1, 1, 0xe, AZIHSM_STATUS_INVALID_KEY_TYPE, "the data key is not an AES-XTS key"},
    {1, 1, 0xf, AZIHSM_STATUS_INVALID_KEY_TYPE, "the tweak key is not an AES-XTS key"},
    {0, 3, 9, AZIHSM_E_FAST_PATH, "the authentication tag does not match"},
    {0, 2, 0x2a, AZIHSM_E_FAST_PATH, "the authentication tag does not match"},
    {ANY, 8, 0, AZIHSM_E_ABORTED, NULL},
};

static azihsm_rc bulk_outcome(struct operation *operation, const struct azihsm_bulk *work)
{
    for (size_t i = 0; i < sizeof(outcomes) / sizeof(outcomes[0]); i++) {
        if ((outcomes[i].xts != ANY && outcomes[i].xts != work->xts) || outcomes[i].result != work->result ||
            outcomes[i].ext_status != work->ext_status)
            continue;
        if (outcomes[i].text != NULL)
            return operation_fail(operation, outcomes[i].rc, "%s", outcomes[i].text);
        return outcomes[i].rc;
    }
    return AZIHSM_E_FAST_PATH;
}

static azihsm_rc bulk(struct operation *operation, void *arg)
{
    struct bulk *want = arg;
    bool answered;
    azihsm_rc rc;

    want->done = want->work;
    want->done.sess_id = operation->link->sess_id;
    want->done.short_app_id = operation->link->short_app_id;
    want->done.key_id1 = operation->bulk_id[0];
    want->done.key_id2 = operation->bulk_id[1];
    rc = call_bulk(operation, &want->done);
    answered = rc >= AZIHSM_OK || rc == AZIHSM_E_FAST_PATH;
    if (rc == AZIHSM_E_FAST_PATH)
        rc = bulk_outcome(operation, &want->done);
    /* See call_run: the ids may have meant other keys, whatever the device says of them. */
    if (answered && atomic_load(&operation->link->renewed))
        rc = operation->spec.once && operation->spent ? AZIHSM_E_LOST : AZIHSM_STATUS_SESSION_NEEDS_RENEGOTIATION;
    return rc;
}

static bool overlaps(const uint8_t *in, const uint8_t *out, size_t len)
{
    return (uintptr_t)in < (uintptr_t)out + len && (uintptr_t)out < (uintptr_t)in + len;
}

azihsm_rc azihsm_key_aes_gcm(struct azihsm_key *key, bool decrypt, uint8_t iv[12], struct azihsm_bytes aad,
                             const uint8_t *in, uint8_t *out, size_t len, uint8_t tag[16], struct azihsm_error *err)
{
    struct bulk want = {.work = {.decrypt = decrypt, .aad = aad, .src = in, .dst = out, .len = len}};
    const struct operation_spec operation = {
        .op = AZIHSM_OP_AES_ENCRYPT_DECRYPT, .client = key->client, .keys = {key}, .once = overlaps(in, out, len)};
    azihsm_rc rc;

    if (len == 0)
        return azihsm_error_set(err, AZIHSM_E_UNSUPPORTED, "AES-GCM: the device does not take an empty message");
    memcpy(want.work.iv, iv, GCM_IV_SIZE);
    if (decrypt)
        memcpy(want.work.tag, tag, sizeof(want.work.tag));
    rc = operation_run(&operation, bulk, &want, err);
    if (rc == AZIHSM_OK && !decrypt) {
        memcpy(iv, want.done.iv, GCM_IV_SIZE);
        memcpy(tag, want.done.tag, sizeof(want.done.tag));
    }
    return rc;
}

azihsm_rc azihsm_key_aes_xts(struct azihsm_key *data_key, struct azihsm_key *tweak_key, bool decrypt,
                             const uint8_t tweak[16], uint32_t data_unit, const uint8_t *in, uint8_t *out, size_t len,
                             struct azihsm_error *err)
{
    struct bulk want = {
        .work = {.xts = true, .decrypt = decrypt, .data_unit = data_unit, .src = in, .dst = out, .len = len}};
    const struct operation_spec operation = {.op = AZIHSM_OP_AES_ENCRYPT_DECRYPT,
                                             .client = data_key->client,
                                             .keys = {data_key, tweak_key},
                                             .once = overlaps(in, out, len)};

    if (data_key->client->hub != tweak_key->client->hub)
        return azihsm_error_set(err, AZIHSM_E_ARGUMENT, "AES-XTS: the two keys live in different devices");
    if (len == 0 || data_unit == 0 || len % data_unit != 0)
        return azihsm_error_set(err, AZIHSM_E_ARGUMENT, "AES-XTS: the length must be a multiple of the data unit");
    memcpy(want.work.iv, tweak, sizeof(want.work.iv));
    return operation_run(&operation, bulk, &want, err);
}
