/*
 * Fuzz target: whole devices, one of each profile, with a session and keys of every family. The first byte says which
 * device and what stands beside the message, the rest is the message.
 *
 * Whatever comes in: an answer is well-formed and names what was asked, an error carries nothing, and a frame is
 * undecodable to the device exactly where an independent reading of the specification says so.
 */
#include "fuzz.h"

#include "../unit/emu_client.h"
#include "../unit/messages.h"

#include <stdlib.h>
#include <string.h>

enum { PHYSICAL = 1, KIND_SHIFT = 1, KIND_MASK = 3, WITH_ID = 8, FIRST_USER_KEY = 5, LAST_KEY = 255 };
/* DdiDecodeFailed to an unreadable header (1.5.12), and the tail of every error: an empty body. */
static const uint8_t undecodable[] = {0xa2, 0x18, 0x00, 0xa3, 0x18, 0x02, 0x1a, 0x00, 0x00, 0x03, 0xe9, 0x18,
                                      0x04, 0x1a, 0x08, 0x68, 0x00, 0x02, 0x18, 0x05, 0x14, 0x18, 0x01, 0xa0};
static const uint8_t empty_body[] = {0x18, 0x01, 0xa0};

/* One device with its owner, a client in session 0, and keys under the same ids in every run. */
struct target {
    struct emu_device *device;
    struct emu_owner owner;
    struct emu_client client;
    struct emu_key unwrapping, sign, agree, secret, hmac, aes, bulk;
};
static struct target targets[2];

/* ---- the devices ---- */

static void must(azihsm_rc rc)
{
    PROMISE(rc == AZIHSM_OK);
}

static void make_keys(struct target *t)
{
    struct emu_client *c = &t->client;

    for (uint16_t id = FIRST_USER_KEY; id <= LAST_KEY; id++)
        emu_delete(c, id);
    must(emu_unwrapping_key(c, &t->unwrapping));
    must(emu_ecc_generate(c, AZIHSM_CURVE_P384, EMU_SIGN_VERIFY, 1, &t->sign));
    must(emu_ecc_generate(c, AZIHSM_CURVE_P384, AZIHSM_TKP_DERIVE, 2, &t->agree));
    must(emu_ecdh(c, t->agree.id, &t->sign, AZIHSM_KEY_SECRET384, AZIHSM_TKP_DERIVE, &t->secret));
    must(emu_derive(c, AZIHSM_OP_HKDF_DERIVE, t->secret.id, AZIHSM_KEY_HMAC_SHA256, EMU_SIGN_VERIFY, -1, &t->hmac));
    must(emu_aes_generate(c, AZIHSM_AES_SIZE_256, EMU_ENC_DEC, 3, &t->aes));
    must(emu_aes_generate(c, AZIHSM_AES_SIZE_GCM_BULK256, EMU_ENC_DEC | AZIHSM_TKP_SESSION, 0, &t->bulk));
    PROMISE(t->sign.id == FIRST_USER_KEY);
}

static struct target *get_target(unsigned which)
{
    struct target *t = &targets[which];

    if (t->device != NULL)
        return t;
    t->device = emu_power_on_must(which == PHYSICAL ? AZIHSM_DEVICE_PHYSICAL : AZIHSM_DEVICE_VIRTUAL);
    emu_owner_init(&t->owner);
    emu_attach(&t->client, t->device);
    emu_provision_must(&t->client, &t->owner);
    emu_login_must(&t->client, &t->owner);
    make_keys(t);
    return t;
}

/* What an input may have taken away: the session, keys, room for keys. */
static void repair(struct target *t, uint32_t op, uint32_t status)
{
    if (op == AZIHSM_OP_CLOSE_SESSION && status == 0) {
        t->client.has_session = false;
        emu_login_must(&t->client, &t->owner);
        make_keys(t);
    } else if ((op == AZIHSM_OP_DELETE_KEY && status == 0) || status == AZIHSM_STATUS_NOT_ENOUGH_SPACE) {
        make_keys(t);
    }
}

/* ---- the promises ---- */

/* Header of the answer to a readable header; its status. */
static uint32_t check_header(const struct azihsm_req_hdr *asked, const struct emu_client *client)
{
    union azihsm_any_body body;
    struct azihsm_scratch scratch = {.used = 0};
    struct azihsm_resp_hdr hdr;
    uint32_t status;

    /* a layout only to reach the header */
    azihsm_ddi_decode_response(AZIHSM_DEVICE_VIRTUAL, AZIHSM_OP_GET_API_REV, client->response, client->response_len,
                               &hdr, &body, &scratch);
    PROMISE(hdr.op == asked->op && hdr.has_rev == asked->has_rev && !hdr.fips_approved);
    PROMISE(!hdr.has_rev || (hdr.rev.major == asked->rev.major && hdr.rev.minor == asked->rev.minor));
    PROMISE(message_judge_response(hdr.op, client->response, client->response_len, &status) == ACCEPTED);
    PROMISE(status == hdr.status);
    if (status != 0)
        PROMISE(memcmp(client->response + client->response_len - sizeof(empty_body), empty_body, sizeof(empty_body)) ==
                0);
    return status;
}

static void check(struct target *t, const uint8_t *frame, size_t len)
{
    const struct emu_client *client = &t->client;
    enum verdict verdict = message_judge_request(frame, len);
    struct azihsm_req_hdr asked;
    uint32_t status;
    size_t offset;

    PROMISE(client->response_len <= AZIHSM_FRAME_MAX);
    if (client->response_len == 0)
        return;
    if (azihsm_ddi_decode_request_header(frame, len, &asked, &offset) != AZIHSM_OK) {
        PROMISE(verdict == REFUSED && client->response_len == sizeof(undecodable) &&
                memcmp(client->response, undecodable, sizeof(undecodable)) == 0);
        return;
    }
    status = check_header(&asked, client);
    PROMISE(status != 0 || verdict == ACCEPTED);
    PROMISE(status != AZIHSM_STATUS_DDI_DECODE_FAILED || verdict == REFUSED);
    PROMISE(status != AZIHSM_STATUS_INTERNAL_ERROR && status != AZIHSM_STATUS_DDI_ENCODE_FAILED);
    repair(t, asked.op, status);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct emu_submission in = {0};
    struct emu_completion completion;
    struct target *t;

    if (len == 0 || len > AZIHSM_FRAME_MAX + 1)
        return 0;
    t = get_target(data[0] & PHYSICAL);
    in.session_kind = (enum azihsm_session_kind)(data[0] >> KIND_SHIFT & KIND_MASK);
    in.has_sess_id = (data[0] & WITH_ID) != 0;
    in.sess_id = t->client.sess_id;
    in.request = data + 1;
    in.request_len = len - 1;
    emu_handle_execute(t->client.handle, &in, t->client.response, &completion);
    t->client.response_len = completion.response_len;
    PROMISE(completion.response_len == 0 || (completion.ext_status == 0 && completion.cqe_status == 0));
    PROMISE(completion.response_len != 0 || (completion.ext_status == 0) != (completion.cqe_status == 0));
    check(t, in.request, in.request_len);
    return 0;
}

/* ---- seeds: what the devices answer with success, in this run of theirs ---- */

struct visitor {
    void (*visit)(void *context, const uint8_t *data, size_t len);
    void *context;
    unsigned which;
};

static void seed(const struct visitor *v, uint32_t op, const void *body)
{
    enum azihsm_session_kind kind = azihsm_ddi_session_kind(op);
    bool with_id = kind == AZIHSM_KIND_CLOSE || kind == AZIHSM_KIND_IN_SESSION;
    const struct target *t = &targets[v->which];
    const struct azihsm_req_hdr hdr = {op != AZIHSM_OP_GET_API_REV, {1, 0}, op, with_id, t->client.sess_id};
    uint8_t input[AZIHSM_FRAME_MAX + 1];
    size_t len;

    must(azihsm_ddi_encode_request(t->client.kind, &hdr, body, input + 1, AZIHSM_FRAME_MAX, &len));
    input[0] = (uint8_t)(v->which | (unsigned)kind << KIND_SHIFT | (with_id ? (unsigned)WITH_ID : 0));
    v->visit(v->context, input, len + 1);
}

static void seed_keys(const struct visitor *v, const struct target *t)
{
    const struct azihsm_key_props aes = emu_props(EMU_ENC_DEC), pair = emu_props(EMU_SIGN_VERIFY),
                                  derive = emu_props(AZIHSM_TKP_DERIVE | AZIHSM_TKP_SESSION);
    const uint16_t ids[] = {0, t->sign.id, t->aes.id, t->bulk.id, LAST_KEY};

    seed(v, AZIHSM_OP_AES_GENERATE_KEY, &(struct azihsm_aes_generate_req){AZIHSM_AES_SIZE_256, true, 77, aes});
    seed(v, AZIHSM_OP_ECC_GENERATE_KEY_PAIR, &(struct azihsm_ecc_generate_req){AZIHSM_CURVE_P256, false, 0, pair});
    seed(v, AZIHSM_OP_ECDH_KEY_EXCHANGE,
         &(struct azihsm_ecdh_req){
             t->agree.id, {t->sign.spki, t->sign.spki_len}, AZIHSM_KEY_SECRET384, false, 0, derive});
    for (uint32_t op = AZIHSM_OP_HKDF_DERIVE; op <= AZIHSM_OP_KBKDF_COUNTER_HMAC_DERIVE; op++)
        seed(v, op,
             &(struct azihsm_kdf_req){.key_id = t->secret.id,
                                      .hash = AZIHSM_HASH_SHA256,
                                      .has_first = true,
                                      .first = {(const uint8_t *)"first", 5},
                                      .key_type = AZIHSM_KEY_VAR_HMAC256,
                                      .key_props = pair,
                                      .has_key_length = true,
                                      .key_length = 40});
    seed(v, AZIHSM_OP_UNMASK_KEY, &(struct azihsm_unmask_key_req){{t->secret.blob, t->secret.blob_len}});
    seed(v, AZIHSM_OP_UNMASK_KEY, &(struct azihsm_unmask_key_req){{t->bulk.blob, t->bulk.blob_len}});
    seed(v, AZIHSM_OP_OPEN_KEY, &(struct azihsm_open_key_req){1});
    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++)
        seed(v, AZIHSM_OP_DELETE_KEY, &(struct azihsm_delete_key_req){ids[i]});
}

static void seed_uses(const struct visitor *v, const struct target *t)
{
    static const uint8_t bytes[512] = {1};

    seed(v, AZIHSM_OP_ECC_SIGN, &(struct azihsm_ecc_sign_req){t->sign.id, {bytes, 48}, AZIHSM_HASH_SHA384});
    seed(v, AZIHSM_OP_AES_ENCRYPT_DECRYPT,
         &(struct azihsm_aes_crypt_req){t->aes.id, AZIHSM_AES_DECRYPT, {bytes, 64}, {bytes, AZIHSM_IV_SIZE}});
    seed(v, AZIHSM_OP_HMAC, &(struct azihsm_hmac_req){t->hmac.id, {bytes, 100}});
    seed(v, AZIHSM_OP_ATTEST_KEY, &(struct azihsm_attest_key_req){t->sign.id, {bytes, AZIHSM_REPORT_DATA_SIZE}});
    seed(v, AZIHSM_OP_RSA_MOD_EXP, &(struct azihsm_rsa_mod_exp_req){0, {bytes, 256}, AZIHSM_RSA_DECRYPT});
    seed(v, AZIHSM_OP_RSA_UNWRAP,
         &(struct azihsm_rsa_unwrap_req){.key_id = 0,
                                         .wrapped_blob = {bytes, 300},
                                         .key_class = AZIHSM_CLASS_AES,
                                         .padding = AZIHSM_PADDING_OAEP,
                                         .hash = AZIHSM_HASH_SHA256,
                                         .key_props = emu_props(EMU_ENC_DEC)});
}

static void seed_partition(const struct visitor *v, struct target *t)
{
    static const uint8_t bk3[AZIHSM_BK3_SIZE];
    const struct azihsm_cert_chain_info_req info = {0};
    const struct azihsm_certificate_req certificate = {0, 0};
    const struct azihsm_init_bk3_req init = {{bk3, sizeof(bk3)}};
    const struct azihsm_sealed_bk3 sealed = {{bk3, sizeof(bk3)}};
    static const uint32_t plain[] = {AZIHSM_OP_GET_API_REV,        AZIHSM_OP_GET_DEVICE_INFO,
                                     AZIHSM_OP_GET_UNWRAPPING_KEY, AZIHSM_OP_GET_ESTABLISH_CRED_ENCRYPTION_KEY,
                                     AZIHSM_OP_GET_SEALED_BK3,     AZIHSM_OP_GET_SESSION_ENCRYPTION_KEY,
                                     AZIHSM_OP_CLOSE_SESSION};
    struct emu_login login;

    for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
        seed(v, plain[i], NULL);
    seed(v, AZIHSM_OP_GET_CERT_CHAIN_INFO, &info);
    seed(v, AZIHSM_OP_GET_CERTIFICATE, &certificate);
    seed(v, AZIHSM_OP_INIT_BK3, &init);
    seed(v, AZIHSM_OP_SET_SEALED_BK3, &sealed);
    must(emu_prepare_login(&t->client, &t->owner, &login));
    seed(v, AZIHSM_OP_OPEN_SESSION, &(struct azihsm_open_session_req){login.cred, login.pub_key});
    seed(v, AZIHSM_OP_REOPEN_SESSION,
         &(struct azihsm_reopen_session_req){
             login.cred, login.pub_key, {t->client.bmk_session, t->client.bmk_session_len}});
}

void fuzz_seeds(void (*visit)(void *context, const uint8_t *data, size_t len), void *context)
{
    for (unsigned which = 0; which < 2; which++) {
        const struct visitor v = {visit, context, which};
        struct target *t = get_target(which);

        seed_keys(&v, t);
        seed_uses(&v, t);
        seed_partition(&v, t);
    }
}
