/*
 * The codec against complete frames of every message, in both profiles: a request is read as the device reads it and
 * written again byte for byte; a response likewise; and the physical request is what a client makes of the virtual
 * one, the API form of a physical response what the virtual one carries.
 */
#include "vectors.h"

#include <azihsm/ddi.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

static const char *const profiles[] = {"virtual", "physical"};

struct parsed_request {
    struct azihsm_req_hdr hdr;
    union azihsm_any_body body;
};

static void parse_request(const uint8_t *frame, size_t len, struct parsed_request *out)
{
    size_t offset;

    memset(out, 0, sizeof(*out));
    assert_int_equal(azihsm_ddi_decode_request_header(frame, len, &out->hdr, &offset), AZIHSM_OK);
    assert_int_equal(azihsm_ddi_decode_request_body(out->hdr.op, frame, len, offset, &out->body), AZIHSM_OK);
}

static void check_request(const json_t *entry, const json_t *profile)
{
    uint8_t out[AZIHSM_FRAME_MAX];
    struct parsed_request request;
    uint8_t *frame;
    size_t len, n;

    frame = vectors_hex_dup(profile, "request", &len);
    parse_request(frame, len, &request);
    assert_int_equal(request.hdr.op, vectors_number(entry, "opcode"));
    assert_int_equal(azihsm_ddi_session_kind(request.hdr.op), vectors_number(entry, "session_control_kind"));
    /* What was read in wire form is written in wire form: no profile. */
    assert_int_equal(
        azihsm_ddi_encode_request(AZIHSM_DEVICE_VIRTUAL, &request.hdr, &request.body, out, sizeof(out), &n), AZIHSM_OK);
    assert_int_equal(n, len);
    assert_memory_equal(out, frame, len);
    for (size_t cap = 0; cap < len; cap++)
        assert_int_equal(azihsm_ddi_encode_request(AZIHSM_DEVICE_VIRTUAL, &request.hdr, &request.body, out, cap, &n),
                         AZIHSM_E_ENCODE);
    free(frame);
}

static void check_response(const json_t *entry, const json_t *profile)
{
    uint32_t op = (uint32_t)vectors_number(entry, "opcode");
    uint8_t out[AZIHSM_FRAME_MAX];
    union azihsm_any_body body;
    struct azihsm_resp_hdr hdr;
    uint8_t *frame;
    size_t len, n;
    azihsm_rc rc;

    frame = vectors_hex_dup(profile, "response", &len);
    rc = azihsm_ddi_decode_response(AZIHSM_DEVICE_VIRTUAL, op, frame, len, &hdr, &body, NULL);
    assert_int_equal(rc, hdr.status);
    assert_int_equal(hdr.op, op);
    assert_int_equal(azihsm_ddi_encode_response(&hdr, &body, out, sizeof(out), &n), AZIHSM_OK);
    assert_int_equal(n, len);
    assert_memory_equal(out, frame, len);
    for (size_t cap = 0; cap < len; cap++)
        assert_int_equal(azihsm_ddi_encode_response(&hdr, &body, out, cap, &n), AZIHSM_E_ENCODE);
    free(frame);
}

static void every_frame_survives_the_codec(void **state)
{
    json_t *file = vectors_load("ddi/frames.json");
    const json_t *entry;
    size_t i;

    (void)state;
    if (file == NULL)
        skip();
    assert_true(json_array_size(vectors_get(file, "frames")) >= 27);
    json_array_foreach(vectors_get(file, "frames"), i, entry)
    {
        for (size_t p = 0; p < 2; p++) {
            check_request(entry, vectors_get(entry, profiles[p]));
            check_response(entry, vectors_get(entry, profiles[p]));
        }
    }
    json_decref(file);
}

/* EccSign, EcdhKeyExchange, RsaModExp and RsaUnwrap carry the same values in both profiles of the file. */
static void physical_requests_are_made_from_api_forms(void **state)
{
    static const char *const names[] = {"EccSign_p256", "EccSign_p521", "EcdhKeyExchange_p521",
                                        "RsaModExp_2048_decrypt"};
    json_t *file = vectors_load("ddi/frames.json");
    uint8_t out[AZIHSM_FRAME_MAX];
    struct parsed_request request;
    size_t len, wanted_len, n;

    (void)state;
    if (file == NULL)
        skip();
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const json_t *entry = vectors_named(vectors_get(file, "frames"), names[i]);
        uint8_t *frame = vectors_hex_dup(vectors_get(entry, "virtual"), "request", &len);
        uint8_t *wanted = vectors_hex_dup(vectors_get(entry, "physical"), "request", &wanted_len);

        parse_request(frame, len, &request);
        assert_int_equal(
            azihsm_ddi_encode_request(AZIHSM_DEVICE_PHYSICAL, &request.hdr, &request.body, out, sizeof(out), &n),
            AZIHSM_OK);
        assert_int_equal(n, wanted_len);
        assert_memory_equal(out, wanted, n);
        free(frame);
        free(wanted);
    }
    json_decref(file);
}

/* A response of the physical profile, decoded as such: byte strings in API form, everything else as received. */
static void physical_responses_decode(void **state)
{
    json_t *file = vectors_load("ddi/frames.json");
    struct azihsm_scratch scratch;
    union azihsm_any_body body;
    struct azihsm_resp_hdr hdr;
    const json_t *entry;
    uint8_t *frame;
    azihsm_rc rc;
    size_t i, len;

    (void)state;
    if (file == NULL)
        skip();
    json_array_foreach(vectors_get(file, "frames"), i, entry)
    {
        frame = vectors_hex_dup(vectors_get(entry, "physical"), "response", &len);
        rc = azihsm_ddi_decode_response(AZIHSM_DEVICE_PHYSICAL, (uint32_t)vectors_number(entry, "opcode"), frame, len,
                                        &hdr, &body, &scratch);
        assert_int_equal(rc, hdr.status);
        free(frame);
    }
    json_decref(file);
}

/* What the device's decoder says of requests that are off the mark, told by the response in the file. */
static void odd_requests_are_judged_as_the_devices_do(void **state)
{
    json_t *file = vectors_load("ddi/frames.json");
    union azihsm_any_body body;
    struct azihsm_req_hdr hdr;
    struct azihsm_resp_hdr answer;
    const json_t *odd;
    size_t i, len, offset;

    (void)state;
    if (file == NULL)
        skip();
    json_array_foreach(vectors_get(file, "odd_requests"), i, odd)
    {
        uint8_t *frame = vectors_hex_dup(odd, "request", &len), *expected = NULL;
        azihsm_rc header_rc = azihsm_ddi_decode_request_header(frame, len, &hdr, &offset);
        azihsm_rc body_rc =
            header_rc != AZIHSM_OK ? header_rc : azihsm_ddi_decode_request_body(hdr.op, frame, len, offset, &body);
        azihsm_rc status = AZIHSM_OK;

        if (vectors_has(odd, "response")) {
            expected = vectors_hex_dup(odd, "response", &len);
            status = azihsm_ddi_decode_response(AZIHSM_DEVICE_VIRTUAL, AZIHSM_OP_GET_DEVICE_INFO, expected, len,
                                                &answer, &body, NULL);
            assert_int_equal(header_rc == AZIHSM_OK, answer.op != AZIHSM_OP_INVALID);
        }
        assert_int_equal(body_rc != AZIHSM_OK, status == AZIHSM_STATUS_DDI_DECODE_FAILED);
        free(expected);
        free(frame);
    }
    json_decref(file);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_frame_survives_the_codec),
        cmocka_unit_test(physical_requests_are_made_from_api_forms),
        cmocka_unit_test(physical_responses_decode),
        cmocka_unit_test(odd_requests_are_judged_as_the_devices_do),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
