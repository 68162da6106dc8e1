/*
 * The chardev transport on the driver's node: requests in flight by the dozen on one handle, descriptors to poll,
 * handles of another process, bulk AES with every layout of AAD, information and reset.
 */
#include "door.h"

#include "emu_client.h"
#include "judge.h"

#include <azihsm/device.h>

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { IN_FLIGHT = 48, PATIENCE_S = 30 };

static int64_t deadline(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return ((int64_t)now.tv_sec + PATIENCE_S) * 1000000000 + now.tv_nsec;
}

static struct azihsm_endpoint *endpoint_must(void)
{
    struct azihsm_endpoint_config config = {.device = DOOR_PATH};
    struct azihsm_endpoint *endpoint;
    struct azihsm_error err;

    if (azihsm_endpoint_new(&config, &endpoint, &err) != AZIHSM_OK)
        fail_msg("%s", err.text);
    return endpoint;
}

static struct azihsm_device *device_must(struct azihsm_endpoint *endpoint)
{
    struct azihsm_device *device;

    OK(azihsm_device_open(endpoint, deadline(), &device, WHY));
    return device;
}

static struct azihsm_request *ask_must(struct azihsm_device *device)
{
    static const struct azihsm_req_hdr hdr = {.op = AZIHSM_OP_GET_API_REV};
    struct azihsm_request *request;

    assert_int_equal(azihsm_request_acquire(device, deadline(), &request), AZIHSM_OK);
    OK(azihsm_ddi_encode_request(AZIHSM_DEVICE_VIRTUAL, &hdr, NULL, request->frame, request->frame_cap,
                                 &request->frame_len));
    request->deadline_ns = deadline();
    return request;
}

static void expect_answer(struct azihsm_request *request)
{
    struct azihsm_get_api_rev_resp resp;
    struct azihsm_resp_hdr hdr;

    OK(azihsm_request_wait(request));
    OK(azihsm_ddi_decode_response(AZIHSM_DEVICE_VIRTUAL, AZIHSM_OP_GET_API_REV, request->response,
                                  request->response_len, &hdr, &resp, NULL));
    assert_int_equal(resp.max.major, 1);
}

static void test_in_flight(void **state)
{
    struct emu_fixture *f = *state;
    struct azihsm_endpoint *endpoint = endpoint_must();
    struct azihsm_device *device = device_must(endpoint);
    struct azihsm_request *requests[IN_FLIGHT];

    (void)f;
    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < IN_FLIGHT; i++) {
            requests[i] = ask_must(device);
            /* with a descriptor to poll: a thread of the pool sits in the driver; without: the waiter itself */
            if (i % 2 == 0)
                assert_true(azihsm_request_event_fd(requests[i]) >= 0);
            OK(azihsm_request_submit(requests[i]));
        }
        for (int i = IN_FLIGHT - 1; i >= 0; i--) {
            struct pollfd event = {.fd = i % 2 == 0 ? azihsm_request_event_fd(requests[i]) : -1, .events = POLLIN};

            if (i % 2 == 0) {
                assert_int_equal(poll(&event, 1, PATIENCE_S * 1000), 1);
                assert_true(azihsm_request_done(requests[i]));
            }
            if (i % 5 != 0 || round % 2 == 0)
                expect_answer(requests[i]);
            azihsm_request_release(requests[i]); /* some without waiting */
        }
    }
    azihsm_device_close(device);
    azihsm_endpoint_free(endpoint);
}

/* A child neither uses nor ends the parent's handle; it opens its own through the same endpoint. */
static void test_child(void **state)
{
    struct emu_fixture *f = *state;
    struct azihsm_endpoint *endpoint = endpoint_must();
    struct azihsm_device *device = device_must(endpoint), *own;
    struct azihsm_request *request = ask_must(device);
    int status;
    pid_t child;

    (void)f;
    OK(azihsm_request_submit(request));
    expect_answer(request);
    child = fork();
    if (child == 0) {
        struct azihsm_request *foreign;
        azihsm_rc rc;

        azihsm_device_atfork_child();
        rc = azihsm_request_acquire(device, deadline(), &foreign);
        if (rc == AZIHSM_OK) {
            foreign->frame_len = request->frame_len;
            foreign->deadline_ns = deadline();
            rc = azihsm_request_submit(foreign);
            if (rc == AZIHSM_OK)
                rc = azihsm_request_wait(foreign);
        }
        if (rc == AZIHSM_OK)
            _exit(1);
        azihsm_device_close(device);
        own = device_must(endpoint);
        request = ask_must(own);
        OK(azihsm_request_submit(request));
        expect_answer(request);
        azihsm_request_release(request);
        azihsm_device_close(own);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    azihsm_request_release(request);
    request = ask_must(device);
    OK(azihsm_request_submit(request));
    expect_answer(request);
    azihsm_request_release(request);
    azihsm_device_close(device);
    azihsm_endpoint_free(endpoint);
}

/* A session of the transport's own handle, by the frames of the test's client. */
static azihsm_rc relay(struct azihsm_device *device, const uint8_t *frame, size_t len, enum azihsm_session_kind kind,
                       struct emu_client *client)
{
    struct azihsm_request *request;
    azihsm_rc rc;

    assert_int_equal(azihsm_request_acquire(device, deadline(), &request), AZIHSM_OK);
    memcpy(request->frame, frame, len);
    request->frame_len = len;
    request->session_kind = kind;
    request->has_sess_id = kind == AZIHSM_KIND_CLOSE || kind == AZIHSM_KIND_IN_SESSION;
    request->sess_id = client->sess_id;
    request->deadline_ns = deadline();
    OK(azihsm_request_submit(request));
    rc = azihsm_request_wait(request);
    if (rc == AZIHSM_OK) {
        memcpy(client->response, request->response, request->response_len);
        client->response_len = request->response_len;
    }
    azihsm_request_release(request);
    return rc;
}

static void open_session_must(struct azihsm_device *device, struct emu_fixture *f, struct emu_client *client)
{
    struct azihsm_req_hdr hdr = {.has_rev = true, .rev = {1, 0}, .op = AZIHSM_OP_OPEN_SESSION};
    struct azihsm_session_resp resp;
    struct emu_login login;
    size_t len;

    emu_attach(client, f->device);
    assert_int_equal(emu_prepare_login(client, &f->owner, &login), AZIHSM_OK);
    struct azihsm_open_session_req req = {login.cred, login.pub_key};
    OK(azihsm_ddi_encode_request(client->kind, &hdr, &req, client->frame, sizeof(client->frame), &len));
    OK(relay(device, client->frame, len, AZIHSM_KIND_OPEN, client));
    OK(azihsm_ddi_decode_response(client->kind, hdr.op, client->response, client->response_len, &client->hdr, &resp,
                                  &client->scratch));
    client->sess_id = resp.sess_id;
    client->short_app_id = resp.short_app_id;
}

static void test_bulk(void **state)
{
    struct emu_fixture *f = *state;
    struct azihsm_endpoint *endpoint = endpoint_must();
    struct azihsm_device *device = device_must(endpoint);
    struct emu_client client;
    struct emu_key kek, key;
    uint8_t raw[32], plain[777], sealed[777], expected[777], aad[70], tag[16];

    open_session_must(device, f, &client);
    memset(raw, 0x61, sizeof(raw));
    memset(plain, 0x13, sizeof(plain));
    memset(aad, 0x77, sizeof(aad));
    assert_int_equal(emu_unwrapping_key(&f->client, &kek), AZIHSM_OK);
    assert_int_equal(
        emu_import(&f->client, &kek, AZIHSM_CLASS_AES_GCM_BULK, BYTES(raw, sizeof(raw)), EMU_ENC_DEC, 0, &key),
        AZIHSM_OK);
    for (size_t aad_len = 0; aad_len <= sizeof(aad); aad_len++) {
        size_t len = sizeof(plain) - aad_len * 11;
        struct azihsm_bulk bulk = {.sess_id = client.sess_id,
                                   .short_app_id = client.short_app_id,
                                   .key_id1 = key.bulk_id,
                                   .aad = {aad, aad_len},
                                   .src = plain,
                                   .dst = sealed,
                                   .len = len};

        bulk.iv[0] = (uint8_t)aad_len;
        OK(azihsm_device_bulk(device, &bulk, deadline(), WHY));
        judge_gcm_encrypt(raw, bulk.iv, BYTES(aad, aad_len), plain, expected, len, tag);
        assert_memory_equal(sealed, expected, len);
        assert_memory_equal(bulk.tag, tag, sizeof(tag));
        bulk.decrypt = true;
        bulk.src = expected;
        OK(azihsm_device_bulk(device, &bulk, deadline(), WHY));
        assert_memory_equal(sealed, plain, len);
        bulk.tag[0] ^= 1;
        assert_int_not_equal(azihsm_device_bulk(device, &bulk, deadline(), WHY), AZIHSM_OK);
    }
    azihsm_device_close(device);
    azihsm_endpoint_free(endpoint);
}

static void test_info_and_reset(void **state)
{
    struct emu_fixture *f = *state;
    struct azihsm_endpoint *endpoint = endpoint_must();
    struct azihsm_device *device = device_must(endpoint);
    struct azihsm_device_strings strings;

    OK(azihsm_device_info(device, &strings));
    assert_string_equal(strings.driver_version, "3.2.0");
    assert_true(strings.pci[0] != '\0' && strings.firmware_version[0] != '\0' && strings.hardware_version[0] != '\0');
    assert_int_equal(azihsm_device_reset(device, deadline()), AZIHSM_OK);
    assert_int_equal(emu_delete(&f->client, 99), AZIHSM_STATUS_SESSION_NEEDS_RENEGOTIATION);
    azihsm_device_close(device);
    azihsm_endpoint_free(endpoint);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        EMU_READY(test_in_flight),
        EMU_READY(test_child),
        EMU_READY(test_bulk),
        EMU_READY(test_info_and_reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
