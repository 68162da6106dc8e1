/*
 * The codec against an independent reading of section 4 (messages.c): every message with every combination of
 * optional fields goes through it unchanged, and every truncation and every change of one byte is judged as 1.4 says.
 * Inputs stand in memory of exactly their size, so that a sanitizer sees the first byte read too far.
 */
#include "messages.h"
#include "sanitizer.h"

#include <azihsm/ddi.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint8_t *exact_copy(const uint8_t *data, size_t len)
{
    uint8_t *copy = malloc(len > 0 ? len : 1);

    assert_non_null(copy);
    memcpy(copy, data, len);
    return copy;
}

static azihsm_rc read_request(const uint8_t *in, size_t len, struct azihsm_req_hdr *hdr, union azihsm_any_body *body)
{
    size_t offset;
    azihsm_rc rc = azihsm_ddi_decode_request_header(in, len, hdr, &offset);

    return rc != AZIHSM_OK ? rc : azihsm_ddi_decode_request_body(hdr->op, in, len, offset, body);
}

static void check_request(const uint8_t *frame, size_t len)
{
    uint8_t *in = exact_copy(frame, len), *out = malloc(len);
    struct azihsm_req_hdr hdr;
    union azihsm_any_body body;
    size_t n = 0;

    assert_int_equal(read_request(in, len, &hdr, &body), AZIHSM_OK);
    assert_int_equal(azihsm_ddi_encode_request(AZIHSM_DEVICE_VIRTUAL, &hdr, &body, out, len, &n), AZIHSM_OK);
    assert_int_equal(n, len);
    assert_memory_equal(out, frame, len);
    free(in);
    free(out);
}

static void check_response(uint32_t op, const uint8_t *frame, size_t len)
{
    uint8_t *in = exact_copy(frame, len), *out = malloc(len);
    struct azihsm_resp_hdr hdr;
    union azihsm_any_body body;
    size_t n = 0;

    assert_int_equal(azihsm_ddi_decode_response(AZIHSM_DEVICE_VIRTUAL, op, in, len, &hdr, &body, NULL), AZIHSM_OK);
    assert_int_equal(azihsm_ddi_encode_response(&hdr, &body, out, len, &n), AZIHSM_OK);
    assert_int_equal(n, len);
    assert_memory_equal(out, frame, len);
    free(in);
    free(out);
}

/* Calls check with every frame of every message that the given string length allows. */
static void for_every_frame(size_t string_len, void (*check)(const struct message *message, bool is_response,
                                                             const uint8_t *frame, size_t len))
{
    uint8_t frame[AZIHSM_FRAME_MAX];

    for (size_t i = 0; i < messages_count; i++) {
        for (unsigned is_response = 0; is_response < 2; is_response++) {
            const char *layout = is_response ? messages[i].response : messages[i].request;
            unsigned bits = message_optionals(layout) + 2;

            for (unsigned mask = 0; mask < 1u << bits; mask++) {
                struct frame_shape shape = {.is_response = is_response,
                                            .has_rev = mask & 1,
                                            .has_sess_id = mask >> 1 & 1,
                                            .mask = mask >> 2,
                                            .string_len = string_len};

                check(&messages[i], is_response, frame, message_build(&messages[i], &shape, frame, sizeof(frame)));
            }
        }
    }
}

static void check_round_trip(const struct message *message, bool is_response, const uint8_t *frame, size_t len)
{
    if (is_response)
        check_response(message->op, frame, len);
    else
        check_request(frame, len);
}

static void every_message_round_trips(void **state)
{
    static const size_t lengths[] = {0, 1, 2, 3, 4, 5, 16, 17, 96, 5000};

    (void)state;
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++)
        for_every_frame(lengths[i], check_round_trip);
}

static enum verdict compare_with_judge(const struct message *message, bool is_response, const uint8_t *in, size_t len)
{
    struct azihsm_req_hdr req_hdr;
    struct azihsm_resp_hdr resp_hdr;
    union azihsm_any_body body;
    enum verdict verdict;
    azihsm_rc rc, wanted;
    uint32_t status;

    if (is_response) {
        verdict = message_judge_response(message->op, in, len, &status);
        wanted = verdict == REFUSED ? AZIHSM_E_DECODE : status > INT32_MAX ? AZIHSM_E_PROTOCOL : (azihsm_rc)status;
        rc = azihsm_ddi_decode_response(AZIHSM_DEVICE_VIRTUAL, message->op, in, len, &resp_hdr, &body, NULL);
    } else {
        verdict = message_judge_request(in, len);
        wanted = verdict == ACCEPTED ? AZIHSM_OK : verdict == REFUSED ? AZIHSM_E_DECODE : AZIHSM_E_ARGUMENT;
        rc = read_request(in, len, &req_hdr, &body);
    }
    if (rc != wanted)
        fail_msg("%s %s of %zu bytes: %d instead of %d", message->name, is_response ? "response" : "request", len, rc,
                 wanted);
    return verdict;
}

static void check_truncations(const struct message *message, bool is_response, const uint8_t *frame, size_t len)
{
    for (size_t cut = 0; cut < len; cut++) {
        uint8_t *in = exact_copy(frame, cut);

        assert_int_equal(compare_with_judge(message, is_response, in, cut), REFUSED);
        free(in);
    }
}

static void every_truncation_is_refused(void **state)
{
    (void)state;
    for_every_frame(3, check_truncations);
}

static void check_changes(const struct message *message, bool is_response, const uint8_t *frame, size_t len)
{
    uint8_t *in = exact_copy(frame, len);

    for (size_t at = 0; at < len; at++) {
        for (unsigned change = 1; change < 256; change += SANITIZED ? 11 : 1) {
            in[at] = (uint8_t)(frame[at] ^ change);
            compare_with_judge(message, is_response, in, len);
        }
        in[at] = frame[at];
    }
    free(in);
}

static void every_change_of_a_byte_is_judged_as_specified(void **state)
{
    (void)state;
    for_every_frame(3, check_changes);
}

/* A device refuses what follows a request (2.3); a client does not look behind a response. */
static void trailing_bytes(void **state)
{
    struct frame_shape shape = {.has_rev = true, .string_len = 7};
    uint8_t frame[AZIHSM_FRAME_MAX];
    struct azihsm_req_hdr req_hdr;
    struct azihsm_resp_hdr resp_hdr;
    union azihsm_any_body body;
    size_t len;

    (void)state;
    for (size_t i = 0; i < messages_count; i++) {
        shape.is_response = false;
        len = message_build(&messages[i], &shape, frame, sizeof(frame));
        frame[len] = 0;
        assert_int_equal(read_request(frame, len + 1, &req_hdr, &body), AZIHSM_E_DECODE);
        shape.is_response = true;
        len = message_build(&messages[i], &shape, frame, sizeof(frame));
        frame[len] = 0;
        assert_int_equal(
            azihsm_ddi_decode_response(AZIHSM_DEVICE_VIRTUAL, messages[i].op, frame, len + 1, &resp_hdr, &body, NULL),
            AZIHSM_OK);
    }
}

static void session_kinds_and_names(void **state)
{
    (void)state;
    for (size_t i = 0; i < messages_count; i++) {
        assert_int_equal(azihsm_ddi_session_kind(messages[i].op), messages[i].session_kind);
        assert_string_equal(azihsm_ddi_op_name(messages[i].op), messages[i].name);
    }
    /* Nothing that the specification does not know. */
    for (uint32_t op = 0; op < 0x10000; op++) {
        if (message_find(op) == NULL) {
            assert_int_equal(azihsm_ddi_session_kind(op), AZIHSM_KIND_IN_SESSION);
            assert_string_equal(azihsm_ddi_op_name(op), op == AZIHSM_OP_INVALID ? "Invalid" : "?");
        }
    }
}

/* Arguments that cannot be, and statuses that would look like failures of ours. */
static void refuses_wrong_calls(void **state)
{
    struct azihsm_req_hdr hdr = {.op = 1001};
    struct azihsm_resp_hdr resp = {.op = AZIHSM_OP_ECC_SIGN, .status = 0xFFFFFFFF};
    union azihsm_any_body body = {{0}};
    uint8_t frame[64];
    size_t len;

    (void)state;
    assert_int_equal(azihsm_ddi_encode_request(AZIHSM_DEVICE_VIRTUAL, &hdr, &body, frame, sizeof(frame), &len),
                     AZIHSM_E_ARGUMENT);
    hdr.op = AZIHSM_OP_ECC_SIGN;
    assert_int_equal(azihsm_ddi_encode_request(AZIHSM_DEVICE_VIRTUAL, &hdr, NULL, frame, sizeof(frame), &len),
                     AZIHSM_E_ARGUMENT);
    assert_int_equal(azihsm_ddi_encode_response(&resp, NULL, frame, sizeof(frame), &len), AZIHSM_OK);
    assert_int_equal(
        azihsm_ddi_decode_response(AZIHSM_DEVICE_VIRTUAL, AZIHSM_OP_ECC_SIGN, frame, len, &resp, &body, NULL),
        AZIHSM_E_PROTOCOL);
    assert_int_equal(azihsm_ddi_decode_response(AZIHSM_DEVICE_VIRTUAL, 1001, frame, len, &resp, &body, NULL),
                     AZIHSM_E_ARGUMENT);
    assert_int_equal(azihsm_ddi_decode_request_body(AZIHSM_OP_ECC_SIGN, frame, len, len + 1, &body), AZIHSM_E_DECODE);
    assert_int_equal(azihsm_ddi_decode_request_body(1001, frame, len, 0, &body), AZIHSM_E_ARGUMENT);
}

/* A body is left alone when the device reports a failure; a byte string above its maximum is never sent. */
static void failed_responses_and_long_strings(void **state)
{
    struct azihsm_resp_hdr resp = {.op = AZIHSM_OP_HMAC, .status = AZIHSM_STATUS_KEY_NOT_FOUND};
    struct azihsm_hmac_resp body = {{(const uint8_t *)"unchanged", 9}};
    static const uint8_t long_tag[65];
    uint8_t frame[256];
    size_t len;

    (void)state;
    assert_int_equal(azihsm_ddi_encode_response(&resp, &body, frame, sizeof(frame), &len), AZIHSM_OK);
    assert_int_equal(azihsm_ddi_decode_response(AZIHSM_DEVICE_VIRTUAL, AZIHSM_OP_HMAC, frame, len, &resp, &body, NULL),
                     AZIHSM_STATUS_KEY_NOT_FOUND);
    assert_memory_equal(body.tag.data, "unchanged", 9);
    resp.status = 0;
    body.tag = (struct azihsm_bytes){long_tag, sizeof(long_tag)};
    assert_int_equal(azihsm_ddi_encode_response(&resp, &body, frame, sizeof(frame), &len), AZIHSM_E_ENCODE);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_message_round_trips),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(every_change_of_a_byte_is_judged_as_specified),
        cmocka_unit_test(trailing_bytes),
        cmocka_unit_test(session_kinds_and_names),
        cmocka_unit_test(refuses_wrong_calls),
        cmocka_unit_test(failed_responses_and_long_strings),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
