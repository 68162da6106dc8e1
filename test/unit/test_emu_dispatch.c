/*
 * Frames that are not what they should be: header and body, session rules of driver and device, revisions, opcodes.
 */
#include "emu_client.h"
#include "vectors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Encodes a request with a header of the test's own into the client's frame. */
static void encode(struct emu_client *client, const struct azihsm_req_hdr *hdr, const void *body)
{
    assert_int_equal(
        azihsm_ddi_encode_request(client->kind, hdr, body, client->frame, sizeof(client->frame), &client->frame_len),
        AZIHSM_OK);
}

static struct emu_submission submission(const struct emu_client *client, enum azihsm_session_kind kind)
{
    return (struct emu_submission){
        .request = client->frame,
        .request_len = client->frame_len,
        .session_kind = kind,
        .has_sess_id = kind >= AZIHSM_KIND_CLOSE,
        .sess_id = client->sess_id,
    };
}

/* The header of an ordinary request, to be spoilt. */
static struct azihsm_req_hdr header(const struct emu_client *client, uint32_t op)
{
    enum azihsm_session_kind kind = azihsm_ddi_session_kind(op);
    return (struct azihsm_req_hdr){
        .has_rev = op != AZIHSM_OP_GET_API_REV,
        .rev = {1, 0},
        .op = op,
        .has_sess_id = kind >= AZIHSM_KIND_CLOSE,
        .sess_id = client->sess_id,
    };
}

static azihsm_rc send_op(struct emu_client *client, const struct azihsm_req_hdr *hdr, const void *body)
{
    struct emu_submission in;
    encode(client, hdr, body);
    in = submission(client, azihsm_ddi_session_kind(hdr->op));
    return emu_send(client, &in, NULL, hdr->op);
}

/* A request whose opcode no table knows, by rewriting the opcode of GetUnwrappingKey (offset found by value). */
static void rewrite_op(struct emu_client *client, uint32_t from, uint32_t to)
{
    for (size_t i = 0; i + 4 <= client->frame_len; i++) {
        uint8_t *at = client->frame + i;
        if (((uint32_t)at[0] << 24 | at[1] << 16 | at[2] << 8 | at[3]) == from) {
            for (int k = 0; k < 4; k++)
                at[k] = (uint8_t)(to >> (24 - 8 * k));
            return;
        }
    }
    fail();
}

static void test_odd_requests(void **state)
{
    struct emu_fixture *f = *state;
    json_t *file = vectors_load("ddi/frames.json");
    const json_t *item;
    size_t i;

    if (file == NULL)
        skip();
    json_array_foreach(vectors_get(file, "odd_requests"), i, item)
    {
        uint8_t request[512], expected[512];
        struct emu_completion completion;
        struct emu_submission in = {.request = request};

        print_message("  %s\n", vectors_string(item, "name"));
        in.request_len = vectors_hex(item, "request", request, sizeof(request));
        emu_handle_execute(f->client.handle, &in, f->client.response, &completion);
        assert_int_equal(completion.ext_status, 0);
        assert_int_equal(completion.cqe_status, 0);
        if (vectors_has(item, "response")) {
            size_t len = vectors_hex(item, "response", expected, sizeof(expected));
            assert_int_equal(completion.response_len, len);
            assert_memory_equal(f->client.response, expected, len);
        } else {
            struct azihsm_resp_hdr hdr;
            struct azihsm_init_bk3_resp resp;
            assert_int_equal(azihsm_ddi_decode_response(AZIHSM_DEVICE_VIRTUAL, AZIHSM_OP_INIT_BK3, f->client.response,
                                                        completion.response_len, &hdr, &resp, NULL),
                             AZIHSM_OK);
        }
    }
    json_decref(file);
}

static void test_discovery(void **state)
{
    struct emu_fixture *f = *state;
    struct azihsm_get_api_rev_resp rev;
    struct azihsm_get_device_info_resp info;

    assert_int_equal(emu_call(&f->client, AZIHSM_OP_GET_API_REV, NULL, &rev), AZIHSM_OK);
    assert_int_equal(rev.min.major, 1);
    assert_int_equal(rev.min.minor, 0);
    assert_int_equal(rev.max.major, 1);
    assert_int_equal(rev.max.minor, 0);
    assert_false(f->client.hdr.has_rev);
    assert_false(f->client.hdr.has_sess_id);
    assert_int_equal(emu_call(&f->client, AZIHSM_OP_GET_DEVICE_INFO, NULL, &info), AZIHSM_OK);
    assert_int_equal(info.kind, f->kind);
    assert_int_equal(info.tables, 1);
    assert_false(info.fips_approved);
    assert_false(f->client.hdr.fips_approved);
}

static void test_revisions(void **state)
{
    struct emu_fixture *f = *state;
    static const struct azihsm_api_rev bad[] = {{0, 9}, {1, 1}, {2, 0}, {0, 0}, {UINT32_MAX, UINT32_MAX}};
    static const uint32_t ops[] = {AZIHSM_OP_GET_DEVICE_INFO, AZIHSM_OP_GET_UNWRAPPING_KEY, AZIHSM_OP_CLOSE_SESSION,
                                   AZIHSM_OP_GET_SESSION_ENCRYPTION_KEY};

    for (size_t o = 0; o < sizeof(ops) / sizeof(ops[0]); o++) {
        struct azihsm_req_hdr hdr = header(&f->client, ops[o]);
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
            hdr.rev = bad[i];
            assert_int_equal(send_op(&f->client, &hdr, NULL), AZIHSM_STATUS_UNSUPPORTED_REVISION);
            assert_int_equal(f->client.hdr.rev.major, bad[i].major);
            assert_int_equal(f->client.hdr.op, ops[o]);
            assert_int_equal(f->client.hdr.has_sess_id, hdr.has_sess_id);
        }
        hdr.has_rev = false;
        assert_int_equal(send_op(&f->client, &hdr, NULL), AZIHSM_STATUS_UNSUPPORTED_REVISION);
        assert_false(f->client.hdr.has_rev);
    }
    assert_true(emu_handle_session(f->client.handle, &f->client.sess_id, &f->client.short_app_id));
    struct azihsm_req_hdr hdr = header(&f->client, AZIHSM_OP_GET_API_REV);
    hdr.has_rev = true;
    assert_int_equal(send_op(&f->client, &hdr, NULL), AZIHSM_STATUS_UNSUPPORTED_REVISION);
}

static void test_driver_refuses(void **state)
{
    struct emu_fixture *f = *state;
    struct emu_client *client = &f->client, other;
    struct azihsm_req_hdr hdr = header(client, AZIHSM_OP_GET_UNWRAPPING_KEY);
    struct emu_submission in;

    assert_int_equal(emu_open_session(client, &f->owner), AZIHSM_STATUS_FILE_HANDLE_SESSION_LIMIT_REACHED);
    emu_attach(&other, f->device);
    assert_int_equal(emu_call(&other, AZIHSM_OP_GET_UNWRAPPING_KEY, NULL, NULL),
                     AZIHSM_STATUS_FILE_HANDLE_NO_EXISTING_SESSION);
    assert_int_equal(emu_call(&other, AZIHSM_OP_CLOSE_SESSION, NULL, NULL),
                     AZIHSM_STATUS_FILE_HANDLE_NO_EXISTING_SESSION);
    emu_detach(&other);
    encode(client, &hdr, NULL);
    in = submission(client, AZIHSM_KIND_IN_SESSION);
    in.sess_id++;
    assert_int_equal(emu_send(client, &in, NULL, hdr.op), AZIHSM_STATUS_FILE_HANDLE_SESSION_ID_DOES_NOT_MATCH);
    in.sess_id--;
    in.has_sess_id = false;
    assert_int_equal(emu_send(client, &in, NULL, hdr.op), AZIHSM_STATUS_FILE_HANDLE_SESSION_ID_DOES_NOT_MATCH);
}

/* Kind and ids beside the message against those inside: the simulator's transport fails, the firmware answers. */
static void test_hijack(void **state)
{
    struct emu_fixture *f = *state;
    struct emu_client *client = &f->client;
    struct azihsm_req_hdr hdr = header(client, AZIHSM_OP_GET_UNWRAPPING_KEY);
    struct emu_submission in;
    azihsm_rc refused = emu_by_kind(f, AZIHSM_E_TRANSPORT, AZIHSM_STATUS_INVALID_ARG);

    encode(client, &hdr, NULL);
    in = submission(client, AZIHSM_KIND_CLOSE); /* kind of another command */
    assert_int_equal(emu_send(client, &in, NULL, hdr.op), refused);
    in = submission(client, AZIHSM_KIND_NO_SESSION);
    assert_int_equal(emu_send(client, &in, NULL, hdr.op), refused);
    hdr.sess_id++; /* the header names another session */
    encode(client, &hdr, NULL);
    in = submission(client, AZIHSM_KIND_IN_SESSION);
    assert_int_equal(emu_send(client, &in, NULL, hdr.op), refused);
    hdr.has_sess_id = false; /* or none */
    encode(client, &hdr, NULL);
    in = submission(client, AZIHSM_KIND_IN_SESSION);
    assert_int_equal(emu_send(client, &in, NULL, hdr.op), refused);
    hdr = header(client, AZIHSM_OP_GET_DEVICE_INFO);
    hdr.has_sess_id = true;
    encode(client, &hdr, NULL);
    in = submission(client, AZIHSM_KIND_NO_SESSION);
    assert_int_equal(emu_send(client, &in, NULL, hdr.op), refused);
    /* what the driver drops does no harm */
    hdr.has_sess_id = false;
    encode(client, &hdr, NULL);
    in = submission(client, AZIHSM_KIND_NO_SESSION);
    in.has_sess_id = true;
    in.sess_id = 77;
    assert_int_equal(emu_send(client, &in, NULL, hdr.op), AZIHSM_OK);
    /* the session is still there */
    assert_int_equal(emu_close_session(client), AZIHSM_OK);
}

static void test_open_with_session_id(void **state)
{
    struct emu_fixture *f = *state;
    struct emu_client other;
    struct emu_login login;
    struct emu_submission in;

    emu_attach(&other, f->device);
    assert_int_equal(emu_prepare_login(&other, &f->owner, &login), AZIHSM_OK);
    struct azihsm_open_session_req req = {login.cred, login.pub_key};
    struct azihsm_req_hdr hdr = header(&other, AZIHSM_OP_OPEN_SESSION);
    hdr.has_sess_id = true;
    hdr.sess_id = 3;
    encode(&other, &hdr, &req);
    in = submission(&other, AZIHSM_KIND_OPEN);
    in.has_sess_id = true;
    in.sess_id = 3;
    assert_int_equal(emu_send(&other, &in, NULL, hdr.op),
                     emu_by_kind(f, AZIHSM_STATUS_SESSION_NOT_EXPECTED, AZIHSM_STATUS_SESSION_NOT_EXPECTED));
    assert_false(emu_handle_session(other.handle, &other.sess_id, &other.short_app_id));
    assert_int_equal(emu_send_open(&other, &login), AZIHSM_OK);
    emu_detach(&other);
}

static void test_unknown_opcodes(void **state)
{
    struct emu_fixture *f = *state;
    static const uint32_t ops[] = {AZIHSM_OP_INVALID,
                                   1004,
                                   1017,
                                   1030,
                                   1073,
                                   1100,
                                   1114,
                                   2001,
                                   2002,
                                   2010,
                                   AZIHSM_OP_GET_EXTENSIONS,
                                   AZIHSM_OP_RSA_GENERATE_KEY_PAIR,
                                   0,
                                   UINT32_MAX};
    struct azihsm_req_hdr hdr = header(&f->client, AZIHSM_OP_GET_UNWRAPPING_KEY);

    for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
        struct emu_submission in;
        encode(&f->client, &hdr, NULL);
        rewrite_op(&f->client, AZIHSM_OP_GET_UNWRAPPING_KEY, ops[i]);
        in = submission(&f->client, AZIHSM_KIND_IN_SESSION);
        assert_int_equal(emu_send(&f->client, &in, NULL, ops[i]), AZIHSM_STATUS_UNSUPPORTED_CMD);
        assert_int_equal(f->client.hdr.op, ops[i]);
    }
}

/* ResetFunction has a place among the close commands (3.1): unsupported there too, and the session stays. */
static void test_reset_function(void **state)
{
    static const enum azihsm_session_kind kinds[] = {AZIHSM_KIND_CLOSE, AZIHSM_KIND_IN_SESSION};
    enum { RESET_FUNCTION = 2001 };
    struct emu_fixture *f = *state;
    struct azihsm_req_hdr hdr = header(&f->client, AZIHSM_OP_GET_UNWRAPPING_KEY);
    struct emu_key key;

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        struct emu_submission in;

        encode(&f->client, &hdr, NULL);
        rewrite_op(&f->client, AZIHSM_OP_GET_UNWRAPPING_KEY, RESET_FUNCTION);
        in = submission(&f->client, kinds[i]);
        assert_int_equal(emu_send(&f->client, &in, NULL, RESET_FUNCTION), AZIHSM_STATUS_UNSUPPORTED_CMD);
        assert_int_equal(emu_unwrapping_key(&f->client, &key), AZIHSM_OK);
    }
}

/* Bodies of another command, a byte too many, a byte too few: for every command that takes a session. */
static void test_bodies(void **state)
{
    struct emu_fixture *f = *state;
    static const uint32_t ops[] = {
        AZIHSM_OP_DELETE_KEY,    AZIHSM_OP_OPEN_KEY,          AZIHSM_OP_ATTEST_KEY,
        AZIHSM_OP_RSA_MOD_EXP,   AZIHSM_OP_RSA_UNWRAP,        AZIHSM_OP_ECC_GENERATE_KEY_PAIR,
        AZIHSM_OP_ECC_SIGN,      AZIHSM_OP_AES_GENERATE_KEY,  AZIHSM_OP_AES_ENCRYPT_DECRYPT,
        AZIHSM_OP_HKDF_DERIVE,   AZIHSM_OP_ECDH_KEY_EXCHANGE, AZIHSM_OP_KBKDF_COUNTER_HMAC_DERIVE,
        AZIHSM_OP_HMAC,          AZIHSM_OP_CHANGE_PIN,        AZIHSM_OP_UNMASK_KEY,
        AZIHSM_OP_REOPEN_SESSION};
    struct azihsm_req_hdr hdr = header(&f->client, AZIHSM_OP_GET_UNWRAPPING_KEY);
    struct emu_submission in;

    for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) { /* an empty body is none of theirs */
        encode(&f->client, &hdr, NULL);
        rewrite_op(&f->client, AZIHSM_OP_GET_UNWRAPPING_KEY, ops[i]);
        in = submission(&f->client, AZIHSM_KIND_IN_SESSION);
        assert_int_equal(emu_send(&f->client, &in, NULL, ops[i]), AZIHSM_STATUS_DDI_DECODE_FAILED);
        assert_true(f->client.hdr.has_rev);
        assert_int_equal(f->client.hdr.sess_id, f->client.sess_id);
    }
    encode(&f->client, &hdr, NULL);
    f->client.frame[f->client.frame_len++] = 0;
    in = submission(&f->client, AZIHSM_KIND_IN_SESSION);
    assert_int_equal(emu_send(&f->client, &in, NULL, hdr.op), AZIHSM_STATUS_DDI_DECODE_FAILED);
    f->client.frame_len -= 2;
    in = submission(&f->client, AZIHSM_KIND_IN_SESSION);
    assert_int_equal(emu_send(&f->client, &in, NULL, hdr.op), AZIHSM_STATUS_DDI_DECODE_FAILED);
}

/* Every truncation of a request is answered or refused, never anything else. */
static void test_truncations(void **state)
{
    struct emu_fixture *f = *state;
    struct azihsm_req_hdr hdr = header(&f->client, AZIHSM_OP_ECC_GENERATE_KEY_PAIR);
    struct azihsm_ecc_generate_req req = {AZIHSM_CURVE_P256, true, 9, emu_props(EMU_SIGN_VERIFY)};

    encode(&f->client, &hdr, &req);
    for (size_t len = 1; len < f->client.frame_len; len++) {
        struct emu_submission in = submission(&f->client, AZIHSM_KIND_IN_SESSION);
        struct emu_completion completion;
        struct azihsm_resp_hdr answer;
        struct azihsm_key_pair_resp body;
        uint8_t *copy = malloc(len);
        assert_non_null(copy);
        memcpy(copy, f->client.frame, len);
        in.request = copy;
        in.request_len = len;
        emu_handle_execute(f->client.handle, &in, f->client.response, &completion);
        free(copy);
        assert_int_equal(completion.cqe_status | completion.ext_status, 0);
        azihsm_ddi_decode_response(f->kind, hdr.op, f->client.response, completion.response_len, &answer, &body,
                                   &f->client.scratch);
        assert_int_equal(answer.status, AZIHSM_STATUS_DDI_DECODE_FAILED);
    }
}

static void test_lengths(void **state)
{
    struct emu_fixture *f = *state;
    struct azihsm_req_hdr hdr = header(&f->client, AZIHSM_OP_GET_DEVICE_INFO);
    struct emu_submission in;

    encode(&f->client, &hdr, NULL);
    memset(f->client.frame + f->client.frame_len, 0, sizeof(f->client.frame) - f->client.frame_len);
    in = submission(&f->client, AZIHSM_KIND_NO_SESSION);
    in.request_len = 4096;
    assert_int_equal(emu_send(&f->client, &in, NULL, hdr.op), AZIHSM_STATUS_DDI_DECODE_FAILED);
    in.request_len = 4097; /* the firmware takes one page */
    assert_int_equal(emu_send(&f->client, &in, NULL, hdr.op),
                     emu_by_kind(f, AZIHSM_STATUS_DDI_DECODE_FAILED, AZIHSM_E_TRANSPORT));
    assert_int_equal(f->client.cqe, emu_by_kind(f, 0, 0xC1));
}

static void test_extensions(void **state)
{
    struct emu_config config = emu_default_config(*(const enum azihsm_device_kind *)*state);
    struct azihsm_get_extensions_resp extensions;
    struct azihsm_rsa_generate_req req = {2048, true, 5, emu_props(EMU_SIGN_VERIFY)};
    struct azihsm_key_pair_resp pair;
    struct emu_device *device;
    struct emu_owner owner;
    struct emu_client client;

    config.extensions = true;
    assert_int_equal(emu_device_new(&config, NULL, 0, &device), AZIHSM_OK);
    emu_owner_init(&owner);
    emu_attach(&client, device);
    emu_provision_must(&client, &owner);
    emu_login_must(&client, &owner);
    assert_int_equal(emu_call(&client, AZIHSM_OP_GET_EXTENSIONS, NULL, &extensions), AZIHSM_OK);
    assert_int_equal(extensions.features, AZIHSM_EXT_RSA_GENERATE);
    assert_int_equal(emu_call(&client, AZIHSM_OP_RSA_GENERATE_KEY_PAIR, &req, &pair), AZIHSM_OK);
    assert_int_equal(pair.pub_key.key_kind, AZIHSM_KEY_RSA2K_PUBLIC);
    assert_int_equal(emu_call(&client, AZIHSM_OP_RSA_GENERATE_KEY_PAIR, &req, &pair),
                     AZIHSM_STATUS_KEY_TAG_ALREADY_EXISTS);
    req.has_key_tag = false;
    req.bits = 1024;
    assert_int_equal(emu_call(&client, AZIHSM_OP_RSA_GENERATE_KEY_PAIR, &req, &pair), AZIHSM_STATUS_INVALID_ARG);
    req.bits = 2048;
    req.key_props = emu_props(AZIHSM_TKP_DERIVE);
    assert_int_equal(emu_call(&client, AZIHSM_OP_RSA_GENERATE_KEY_PAIR, &req, &pair),
                     AZIHSM_STATUS_INVALID_PERMISSIONS);
    emu_detach(&client);
    emu_owner_free(&owner);
    emu_device_free(device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        EMU_FRESH(test_odd_requests),
        EMU_FRESH(test_discovery),
        EMU_READY(test_revisions),
        EMU_READY(test_driver_refuses),
        EMU_READY(test_hijack),
        EMU_READY(test_open_with_session_id),
        EMU_READY(test_unknown_opcodes),
        EMU_READY(test_reset_function),
        EMU_READY(test_bodies),
        EMU_READY(test_truncations),
        EMU_FRESH(test_lengths),
        cmocka_unit_test_prestate(test_extensions, &emu_kinds[0]),
        cmocka_unit_test_prestate(test_extensions, &emu_kinds[1]),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
