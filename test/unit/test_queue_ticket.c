/* Tickets and what their holders may not do. */
#include "queue_fake.h"

#include "daemon/queue_internal.h"

#include <openssl/crypto.h>

static struct queue_server server;

static int set_up(void **state)
{
    (void)state;
    memset(&server, 0, sizeof(server));
    server.tickets.libctx = OSSL_LIB_CTX_new();
    server.tickets.lifetime_s = 60;
    memset(server.tickets.key, 7, sizeof(server.tickets.key));
    server.epoch = 5;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    OSSL_LIB_CTX_free(server.tickets.libctx);
    return 0;
}

static void test_ticket(void **state)
{
    uint8_t ticket[QUEUE_TICKET_MAX], bad[QUEUE_TICKET_MAX];
    size_t len = queue_ticket_make(&server, 33, 44, "tenant", ticket);
    uid_t uid;
    gid_t gid;

    (void)state;
    assert_true(len > 32 && len <= QUEUE_TICKET_MAX);
    assert_true(queue_ticket_check(&server, ticket, len, "tenant", &uid, &gid));
    assert_int_equal(uid, 33);
    assert_int_equal(gid, 44);
    assert_false(queue_ticket_check(&server, ticket, len, "other", &uid, &gid));
    assert_false(queue_ticket_check(&server, ticket, len - 1, "tenant", &uid, &gid));
    assert_false(queue_ticket_check(&server, ticket, 0, "tenant", &uid, &gid));
    for (size_t i = 0; i < len * 8; i++) {
        memcpy(bad, ticket, len);
        bad[i / 8] ^= (uint8_t)(1 << i % 8);
        assert_false(queue_ticket_check(&server, bad, len, "tenant", &uid, &gid));
    }
}

static void test_expiry_and_revocation(void **state)
{
    uint8_t ticket[QUEUE_TICKET_MAX];
    size_t len = queue_ticket_make(&server, 33, 44, "tenant", ticket);
    uid_t uid;
    gid_t gid;

    (void)state;
    queue_server_set_epoch(&server, 6);
    assert_false(queue_ticket_check(&server, ticket, len, "tenant", &uid, &gid));
    queue_server_set_epoch(&server, 5);
    server.tickets.key[0] ^= 1;
    assert_false(queue_ticket_check(&server, ticket, len, "tenant", &uid, &gid));
    server.tickets.key[0] ^= 1;
    server.tickets.lifetime_s = 0;
    assert_int_equal(queue_ticket_make(&server, 33, 44, "tenant", ticket), 0);
    assert_false(queue_ticket_check(&server, ticket, len, "tenant", &uid, &gid));
    server.tickets.lifetime_s = 1;
    len = queue_ticket_make(&server, 33, 44, "tenant", ticket);
    assert_true(queue_ticket_check(&server, ticket, len, "tenant", &uid, &gid));
    sleep(2);
    assert_false(queue_ticket_check(&server, ticket, len, "tenant", &uid, &gid));
}

static bool may(uint32_t op, const void *body, uint8_t *response, struct queue_completion *completion)
{
    struct azihsm_req_hdr header = {.has_rev = true, .rev = {1, 0}, .op = op, .has_sess_id = true, .sess_id = 3};
    uint8_t request[AZIHSM_FRAME_MAX];
    size_t len;

    assert_int_equal(azihsm_ddi_encode_request(AZIHSM_DEVICE_VIRTUAL, &header, body, request, sizeof(request), &len),
                     AZIHSM_OK);
    return queue_restrict(request, len, response, completion);
}

static void test_restriction(void **state)
{
    struct azihsm_delete_key_req delete_key = {.key_id = 1};
    struct azihsm_ecc_generate_req generate = {.curve = AZIHSM_CURVE_P256};
    struct azihsm_resp_hdr header;
    struct azihsm_key_pair_resp body;
    struct azihsm_scratch scratch = {0};
    struct queue_completion completion = {0};
    uint8_t response[AZIHSM_FRAME_MAX];

    (void)state;
    assert_true(may(AZIHSM_OP_DELETE_KEY, &delete_key, response, &completion));
    assert_false(may(AZIHSM_OP_ECC_GENERATE_KEY_PAIR, &generate, response, &completion));
    assert_int_equal(completion.cqe_status, 0);
    assert_int_equal(azihsm_ddi_decode_response(AZIHSM_DEVICE_VIRTUAL, AZIHSM_OP_ECC_GENERATE_KEY_PAIR, response,
                                                completion.response_len, &header, &body, &scratch),
                     AZIHSM_STATUS_INVALID_PERMISSIONS);
    assert_int_equal(header.sess_id, 3);
    assert_true(queue_restrict((const uint8_t *)"noise", 5, response, &completion)); /* the device's to answer */
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown(test_ticket, set_up, tear_down),
    cmocka_unit_test_setup_teardown(test_expiry_and_revocation, set_up, tear_down),
    cmocka_unit_test_setup_teardown(test_restriction, set_up, tear_down),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
