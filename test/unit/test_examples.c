/*
 * The worked examples of ddi-protocol 1.5, byte for byte: typed messages become exactly these frames, and these frames
 * become exactly those messages, in both profiles.
 */
#include "vectors.h"

#include <azihsm/ddi.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <string.h>

/* 1.5.1 */
static const char get_api_rev_request[] = "a21800a118021a000003ea1801a0";

/* 1.5.2 */
static const char get_api_rev_response[] =
    "a21800a318021a000003ea18041a000000001805141801a21801a218011a0000000118021a000000001802a218011a00"
    "00000118021a00000000";

/* 1.5.3 */
static const char get_device_info_response[] =
    "a21800a41801a218011a0000000118021a0000000018021a000003eb18041a000000001805141801a318011a00000001"
    "18021801180314";

/* 1.5.4 */
static const char open_session_request[] =
    "a21800a21801a218011a0000000118021a0000000018021a000004501801a21801a6180181001000a1a1a1a1a1a1a1a1"
    "a1a1a1a1a1a1a1a11802830010000000b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b21803830030000000c3c3c3c3c3c3c3c3"
    "c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c31804830010000000"
    "d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d41805800020e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5"
    "e5e5e5e5e51806800030f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6"
    "f6f6f6f6f6f6f6f6f6f61802a2180182007800003076301006072a8648ce3d020106052b810400220362000401020304"
    "05060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f3081828384"
    "85868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeafb018021a00"
    "000017";

/* 1.5.5 */
static const char open_session_request_physical[] =
    "a21800a21801a218011a0000000118021a0000000018021a000004501801a21801a6180181001000a1a1a1a1a1a1a1a1"
    "a1a1a1a1a1a1a1a11802830010000000b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b21803830030000000c3c3c3c3c3c3c3c3"
    "c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c31804830010000000"
    "d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d41805800020e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5"
    "e5e5e5e5e51806800030f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6"
    "f6f6f6f6f6f6f6f6f6f61802a218018200600000302f2e2d2c2b2a292827262524232221201f1e1d1c1b1a1918171615"
    "14131211100f0e0d0c0b0a090807060504030201b0afaeadacabaaa9a8a7a6a5a4a3a2a1a09f9e9d9c9b9a9998979695"
    "94939291908f8e8d8c8b8a89888786858483828118021a00000017";

/* 1.5.6 */
static const char open_session_response[] =
    "a21800a51801a218011a0000000118021a0000000018021a00000450180319000218041a000000001805141801a31801"
    "1900021802180118038000089999999999999999";

/* 1.5.7 */
static const char ecc_sign_request[] =
    "a21800a31801a218011a0000000118021a0000000018021a0000042618031900021801a3180119010518028200200000"
    "101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f18031a00000002";

/* 1.5.8 */
static const char ecc_sign_request_physical[] =
    "a21800a31801a218011a0000000118021a0000000018021a0000042618031900021801a3180119010518028200440000"
    "2f2e2d2c2b2a292827262524232221201f1e1d1c1b1a1918171615141312111000000000000000000000000000000000"
    "000000000000000000000000000000000000000018031a00000002";

/* 1.5.9 */
static const char ecc_sign_response[] =
    "a21800a51801a218011a0000000118021a0000000018021a00000426180319000218041a000000001805141801a11801"
    "81004000202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f606162636465666768696a6b"
    "6c6d6e6f707172737475767778797a7b7c7d7e7f";

/* 1.5.10 */
static const char ecc_sign_response_physical[] =
    "a21800a51801a218011a0000000118021a0000000018021a00000426180319000218041a000000001805151801a11801"
    "810040003f3e3d3c3b3a393837363534333231302f2e2d2c2b2a292827262524232221207f7e7d7c7b7a797877767574"
    "737271706f6e6d6c6b6a69686766656463626160";

/* 1.5.11 */
static const char ecc_sign_key_not_found[] =
    "a21800a51801a218011a0000000118021a0000000018021a00000426180319000218041a0870000e1805141801a0";

/* 1.5.12 */
static const char undecodable_header[] = "a21800a318021a000003e918041a086800021805141801a0";

/* 1.5.13 */
static const char unsupported_revision[] =
    "a21800a41801a218011a0000000118021a0000000018021a000003eb18041a0870002a1805141801a0";

/* 1.5.14 */
static const char aes_generate_request[] =
    "a21800a31801a218011a0000000118021a0000000018021a0000042f18031900021801a218011a000000031803a21801"
    "a118018000100c000000000000000000000000000000180281000000";

static const struct azihsm_api_rev rev_1_0 = {1, 0};

static void count_up(uint8_t *out, uint8_t first, size_t len)
{
    for (size_t i = 0; i < len; i++)
        out[i] = (uint8_t)(first + i);
}

static void assert_frame(const char *hex, const uint8_t *frame, size_t len)
{
    uint8_t wanted[512];

    assert_int_equal(len, hex_decode(hex, wanted, sizeof(wanted)));
    assert_memory_equal(frame, wanted, len);
}

static void assert_request(const char *hex, enum azihsm_device_kind kind, const struct azihsm_req_hdr *hdr,
                           const void *body)
{
    uint8_t frame[512];
    size_t len = 0;

    assert_int_equal(azihsm_ddi_encode_request(kind, hdr, body, frame, sizeof(frame), &len), AZIHSM_OK);
    assert_frame(hex, frame, len);
}

static void assert_response(const char *hex, const struct azihsm_resp_hdr *hdr, const void *body)
{
    uint8_t frame[512];
    size_t len = 0;

    assert_int_equal(azihsm_ddi_encode_response(hdr, body, frame, sizeof(frame), &len), AZIHSM_OK);
    assert_frame(hex, frame, len);
}

/* Decodes as the client does; frame is the caller's because the body points into it. */
static azihsm_rc decode(const char *hex, enum azihsm_device_kind kind, uint32_t op, uint8_t frame[512],
                        struct azihsm_resp_hdr *hdr, void *body, struct azihsm_scratch *scratch)
{
    size_t len = hex_decode(hex, frame, 512);

    return azihsm_ddi_decode_response(kind, op, frame, len, hdr, body, scratch);
}

static void assert_bytes(struct azihsm_bytes value, const uint8_t *wanted, size_t len)
{
    assert_int_equal(value.len, len);
    assert_memory_equal(value.data, wanted, len);
}

static void get_api_rev(void **state)
{
    struct azihsm_req_hdr hdr = {.op = AZIHSM_OP_GET_API_REV};
    struct azihsm_resp_hdr resp = {.op = AZIHSM_OP_GET_API_REV};
    struct azihsm_get_api_rev_resp body = {{1, 0}, {1, 0}};
    uint8_t frame[512];

    (void)state;
    assert_request(get_api_rev_request, AZIHSM_DEVICE_VIRTUAL, &hdr, NULL);
    assert_response(get_api_rev_response, &resp, &body);
    memset(&body, 0xFF, sizeof(body));
    assert_int_equal(decode(get_api_rev_response, AZIHSM_DEVICE_VIRTUAL, resp.op, frame, &resp, &body, NULL),
                     AZIHSM_OK);
    assert_false(resp.has_rev);
    assert_false(resp.has_sess_id);
    assert_int_equal(body.min.major, 1);
    assert_int_equal(body.min.minor, 0);
    assert_int_equal(body.max.major, 1);
    assert_int_equal(body.max.minor, 0);
}

static void get_device_info(void **state)
{
    struct azihsm_resp_hdr hdr = {.has_rev = true, .rev = rev_1_0, .op = AZIHSM_OP_GET_DEVICE_INFO};
    struct azihsm_get_device_info_resp body = {AZIHSM_DEVICE_VIRTUAL, 1, false};
    uint8_t frame[512];

    (void)state;
    assert_response(get_device_info_response, &hdr, &body);
    memset(&body, 0xFF, sizeof(body));
    assert_int_equal(decode(get_device_info_response, AZIHSM_DEVICE_VIRTUAL, hdr.op, frame, &hdr, &body, NULL),
                     AZIHSM_OK);
    assert_true(hdr.has_rev);
    assert_int_equal(hdr.rev.major, 1);
    assert_int_equal(body.kind, AZIHSM_DEVICE_VIRTUAL);
    assert_int_equal(body.tables, 1);
    assert_false(body.fips_approved);
}

/* The inputs that 1.5.4 and 1.5.5 share. */
struct open_session {
    uint8_t id[16], pin[16], seed[48], iv[16], der[120];
    struct azihsm_open_session_req body;
};

static void open_session_fill(struct open_session *s)
{
    static const char spki[] = "3076301006072a8648ce3d020106052b8104002203620004";

    memset(s, 0, sizeof(*s));
    memset(s->id, 0xA1, sizeof(s->id));
    memset(s->pin, 0xB2, sizeof(s->pin));
    memset(s->seed, 0xC3, sizeof(s->seed));
    memset(s->iv, 0xD4, sizeof(s->iv));
    memset(s->body.cred.nonce, 0xE5, sizeof(s->body.cred.nonce));
    memset(s->body.cred.tag, 0xF6, sizeof(s->body.cred.tag));
    assert_int_equal(hex_decode(spki, s->der, sizeof(s->der)), 24);
    count_up(s->der + 24, 0x01, 48);
    count_up(s->der + 72, 0x81, 48);
    s->body.cred.encrypted_id = (struct azihsm_bytes){s->id, sizeof(s->id)};
    s->body.cred.encrypted_pin = (struct azihsm_bytes){s->pin, sizeof(s->pin)};
    s->body.cred.encrypted_seed = (struct azihsm_bytes){s->seed, sizeof(s->seed)};
    s->body.cred.iv = (struct azihsm_bytes){s->iv, sizeof(s->iv)};
    s->body.pub_key.der = (struct azihsm_bytes){s->der, sizeof(s->der)};
    s->body.pub_key.key_kind = AZIHSM_KEY_ECC384_PUBLIC;
}

static void open_session_requests(void **state)
{
    struct azihsm_req_hdr hdr = {.has_rev = true, .rev = rev_1_0, .op = AZIHSM_OP_OPEN_SESSION};
    struct azihsm_open_session_req body;
    struct open_session s;
    uint8_t frame[512];
    size_t len, offset;

    (void)state;
    open_session_fill(&s);
    assert_request(open_session_request, AZIHSM_DEVICE_VIRTUAL, &hdr, &s.body);
    assert_request(open_session_request_physical, AZIHSM_DEVICE_PHYSICAL, &hdr, &s.body);

    len = hex_decode(open_session_request, frame, sizeof(frame));
    assert_int_equal(azihsm_ddi_decode_request_header(frame, len, &hdr, &offset), AZIHSM_OK);
    assert_int_equal(offset, 0x1c);
    assert_int_equal(azihsm_ddi_decode_request_body(hdr.op, frame, len, offset, &body), AZIHSM_OK);
    assert_bytes(body.cred.encrypted_id, s.id, sizeof(s.id));
    assert_bytes(body.cred.encrypted_pin, s.pin, sizeof(s.pin));
    assert_bytes(body.cred.encrypted_seed, s.seed, sizeof(s.seed));
    assert_bytes(body.cred.iv, s.iv, sizeof(s.iv));
    assert_bytes(body.pub_key.der, s.der, sizeof(s.der));
    assert_memory_equal(body.cred.nonce, s.body.cred.nonce, sizeof(body.cred.nonce));
    assert_memory_equal(body.cred.tag, s.body.cred.tag, sizeof(body.cred.tag));
    assert_int_equal(body.pub_key.key_kind, AZIHSM_KEY_ECC384_PUBLIC);
}

static void open_session_answer(void **state)
{
    static const uint8_t bmk[8] = {0x99, 0x99, 0x99, 0x99, 0x99, 0x99, 0x99, 0x99};
    struct azihsm_resp_hdr hdr = {
        .has_rev = true, .rev = rev_1_0, .op = AZIHSM_OP_OPEN_SESSION, .has_sess_id = true, .sess_id = 2};
    struct azihsm_session_resp body = {2, 1, {bmk, sizeof(bmk)}};
    uint8_t frame[512];

    (void)state;
    assert_response(open_session_response, &hdr, &body);
    memset(&body, 0, sizeof(body));
    assert_int_equal(decode(open_session_response, AZIHSM_DEVICE_VIRTUAL, hdr.op, frame, &hdr, &body, NULL), AZIHSM_OK);
    assert_true(hdr.has_sess_id);
    assert_int_equal(hdr.sess_id, 2);
    assert_int_equal(body.sess_id, 2);
    assert_int_equal(body.short_app_id, 1);
    assert_bytes(body.bmk_session, bmk, sizeof(bmk));
}

static void ecc_sign_requests(void **state)
{
    struct azihsm_req_hdr hdr = {
        .has_rev = true, .rev = rev_1_0, .op = AZIHSM_OP_ECC_SIGN, .has_sess_id = true, .sess_id = 2};
    uint8_t digest[32];
    struct azihsm_ecc_sign_req body = {0x0105, {digest, sizeof(digest)}, AZIHSM_HASH_SHA256};

    (void)state;
    count_up(digest, 0x10, sizeof(digest));
    assert_request(ecc_sign_request, AZIHSM_DEVICE_VIRTUAL, &hdr, &body);
    assert_request(ecc_sign_request_physical, AZIHSM_DEVICE_PHYSICAL, &hdr, &body);
}

static void ecc_sign_answers(void **state)
{
    struct azihsm_ecc_sign_resp body;
    struct azihsm_scratch scratch;
    struct azihsm_resp_hdr hdr;
    uint8_t signature[64], frame[512];

    (void)state;
    count_up(signature, 0x20, 32);
    count_up(signature + 32, 0x60, 32);
    assert_int_equal(decode(ecc_sign_response, AZIHSM_DEVICE_VIRTUAL, AZIHSM_OP_ECC_SIGN, frame, &hdr, &body, NULL),
                     AZIHSM_OK);
    assert_bytes(body.signature, signature, sizeof(signature));
    assert_false(hdr.fips_approved);
    assert_response(ecc_sign_response, &hdr, &body);
    assert_int_equal(
        decode(ecc_sign_response_physical, AZIHSM_DEVICE_PHYSICAL, AZIHSM_OP_ECC_SIGN, frame, &hdr, &body, &scratch),
        AZIHSM_OK);
    assert_bytes(body.signature, signature, sizeof(signature));
    assert_true(hdr.fips_approved);
}

static void error_answers(void **state)
{
    static const struct {
        const char *hex;
        uint32_t op, asked, status;
        bool has_rev, has_sess_id;
    } cases[] = {
        {ecc_sign_key_not_found, AZIHSM_OP_ECC_SIGN, AZIHSM_OP_ECC_SIGN, AZIHSM_STATUS_KEY_NOT_FOUND, true, true},
        {undecodable_header, AZIHSM_OP_INVALID, AZIHSM_OP_HMAC, AZIHSM_STATUS_DDI_DECODE_FAILED, false, false},
        {unsupported_revision, AZIHSM_OP_GET_DEVICE_INFO, AZIHSM_OP_GET_DEVICE_INFO, AZIHSM_STATUS_UNSUPPORTED_REVISION,
         true, false},
    };
    union azihsm_any_body body;
    uint8_t frame[512];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct azihsm_resp_hdr hdr = {.has_rev = cases[i].has_rev,
                                      .rev = rev_1_0,
                                      .op = cases[i].op,
                                      .has_sess_id = cases[i].has_sess_id,
                                      .sess_id = 2,
                                      .status = cases[i].status};

        assert_response(cases[i].hex, &hdr, NULL);
        assert_int_equal(decode(cases[i].hex, AZIHSM_DEVICE_VIRTUAL, cases[i].asked, frame, &hdr, &body, NULL),
                         cases[i].status);
        assert_int_equal(hdr.op, cases[i].op);
        assert_int_equal(hdr.has_rev, cases[i].has_rev);
    }
}

static void aes_generate(void **state)
{
    struct azihsm_req_hdr hdr = {
        .has_rev = true, .rev = rev_1_0, .op = AZIHSM_OP_AES_GENERATE_KEY, .has_sess_id = true, .sess_id = 2};
    struct azihsm_aes_generate_req body = {.key_size = AZIHSM_AES_SIZE_256};

    (void)state;
    azihsm_tkp_set_bits(body.key_props.metadata, AZIHSM_TKP_ENCRYPT | AZIHSM_TKP_DECRYPT);
    assert_request(aes_generate_request, AZIHSM_DEVICE_VIRTUAL, &hdr, &body);
    assert_request(aes_generate_request, AZIHSM_DEVICE_PHYSICAL, &hdr, &body);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(get_api_rev),           cmocka_unit_test(get_device_info),
        cmocka_unit_test(open_session_requests), cmocka_unit_test(open_session_answer),
        cmocka_unit_test(ecc_sign_requests),     cmocka_unit_test(ecc_sign_answers),
        cmocka_unit_test(error_answers),         cmocka_unit_test(aes_generate),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
