/*
 * Many threads and handles: operations against deletion, closing and reset; races for the credential and for sessions
 * (device-behaviour 11). Meant to be run under the thread sanitizer too.
 */
#include "emu_client.h"

#include "crypto/ecdsa.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

enum { WORKERS = 16, HANDLES = 200 };

/*
 * A worker notes the first result that it did not expect, and the test looks at it after the join. (The client's own
 * assertions, about what cannot be, end the whole program when they fail in a worker.)
 */
struct worker {
    pthread_t thread;
    struct emu_fixture *f;
    struct emu_client client;
    struct emu_key key;
    _Atomic bool *stop;
    unsigned number;
    unsigned good;      /* operations that succeeded */
    azihsm_rc surprise; /* 0: none */
};

static void note(struct worker *worker, azihsm_rc rc)
{
    if (worker->surprise == 0)
        worker->surprise = rc;
}

static void run(struct worker *workers, size_t count, void *(*body)(void *))
{
    for (size_t i = 0; i < count; i++)
        assert_int_equal(pthread_create(&workers[i].thread, NULL, body, &workers[i]), 0);
}

static void join(struct worker *workers, size_t count)
{
    for (size_t i = 0; i < count; i++)
        assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(workers[i].surprise, 0);
}

static azihsm_rc call(struct worker *worker, uint32_t op, const void *request, void *response)
{
    return emu_call(&worker->client, op, request, response);
}

static azihsm_rc sign(struct worker *worker, uint16_t id)
{
    static const uint8_t digest[32] = {1};
    struct azihsm_ecc_sign_req req = {id, {digest, sizeof(digest)}, AZIHSM_HASH_SHA256};
    struct azihsm_ecc_sign_resp resp;
    return call(worker, AZIHSM_OP_ECC_SIGN, &req, &resp);
}

static struct worker *make_workers(struct emu_fixture *f, size_t count, _Atomic bool *stop)
{
    struct worker *workers = calloc(count, sizeof(*workers));
    assert_non_null(workers);
    for (size_t i = 0; i < count; i++) {
        workers[i].f = f;
        workers[i].number = (unsigned)i;
        workers[i].stop = stop;
        emu_attach(&workers[i].client, f->device);
    }
    return workers;
}

static void free_workers(struct worker *workers, size_t count)
{
    for (size_t i = 0; i < count; i++)
        emu_detach(&workers[i].client);
    free(workers);
}

/* ---- one session, many threads: each its own frame buffers, one handle ---- */

static void *sign_body(void *arg)
{
    struct worker *worker = arg;
    for (int i = 0; i < 50; i++) {
        azihsm_rc rc = sign(worker, worker->key.id);
        if (rc != AZIHSM_OK)
            note(worker, rc);
        else
            worker->good++;
    }
    return NULL;
}

static void test_shared_handle(void **state)
{
    struct emu_fixture *f = *state;
    struct worker *workers = calloc(WORKERS, sizeof(*workers));

    assert_non_null(workers);
    for (size_t i = 0; i < WORKERS; i++) {
        workers[i].f = f;
        workers[i].client = f->client; /* the same handle and session */
    }
    assert_int_equal(emu_ecc_generate(&f->client, AZIHSM_CURVE_P256, EMU_SIGN_VERIFY, 0, &workers[0].key), AZIHSM_OK);
    for (size_t i = 1; i < WORKERS; i++)
        workers[i].key = workers[0].key;
    run(workers, WORKERS, sign_body);
    join(workers, WORKERS);
    for (size_t i = 0; i < WORKERS; i++)
        assert_int_equal(workers[i].good, 50);
    free(workers);
}

/* ---- keys made and deleted while others use them ---- */

static void *churn_body(void *arg)
{
    struct worker *worker = arg;
    struct azihsm_ecc_generate_req make = {AZIHSM_CURVE_P256, true, 77, emu_props(EMU_SIGN_VERIFY)};
    struct azihsm_key_pair_resp made;
    struct azihsm_open_key_req open = {77};
    struct azihsm_open_key_resp opened;

    for (int i = 0; i < 60; i++) {
        azihsm_rc rc = call(worker, AZIHSM_OP_ECC_GENERATE_KEY_PAIR, &make, &made);
        if (rc != AZIHSM_OK && rc != AZIHSM_STATUS_KEY_TAG_ALREADY_EXISTS)
            note(worker, rc);
        rc = call(worker, AZIHSM_OP_OPEN_KEY, &open, &opened);
        if (rc == AZIHSM_STATUS_KEY_NOT_FOUND)
            continue;
        if (rc != AZIHSM_OK) {
            note(worker, rc);
            continue;
        }
        rc = sign(worker, opened.key_id);
        if (rc != AZIHSM_OK && rc != AZIHSM_STATUS_KEY_NOT_FOUND)
            note(worker, rc);
        struct azihsm_delete_key_req drop = {opened.key_id};
        rc = call(worker, AZIHSM_OP_DELETE_KEY, &drop, NULL);
        if (rc != AZIHSM_OK && rc != AZIHSM_STATUS_KEY_NOT_FOUND)
            note(worker, rc);
    }
    return NULL;
}

static void test_delete_during_use(void **state)
{
    struct emu_fixture *f = *state;
    struct worker *workers;
    struct emu_counters before, after;

    emu_device_counters(f->device, &before);
    workers = make_workers(f, 6, NULL);
    for (size_t i = 0; i < 6; i++)
        emu_login_must(&workers[i].client, &f->owner);
    run(workers, 6, churn_body);
    join(workers, 6);
    free_workers(workers, 6);
    emu_device_counters(f->device, &after);
    assert_true(after.keys <= before.keys + 1);
}

/* ---- the session closed under its users ---- */

static void *session_body(void *arg)
{
    struct worker *worker = arg;
    struct azihsm_ecc_generate_req make = {AZIHSM_CURVE_P256, false, 0,
                                           emu_props(EMU_SIGN_VERIFY | AZIHSM_TKP_SESSION)};
    struct azihsm_key_pair_resp made;

    for (int i = 0; i < 40; i++) {
        azihsm_rc rc = call(worker, AZIHSM_OP_ECC_GENERATE_KEY_PAIR, &make, &made);
        if (rc == AZIHSM_OK)
            worker->good++;
        else if (rc != AZIHSM_STATUS_FILE_HANDLE_NO_EXISTING_SESSION && rc != AZIHSM_STATUS_INVALID_ARG &&
                 rc != AZIHSM_STATUS_SESSION_NOT_FOUND && rc != AZIHSM_STATUS_NOT_ENOUGH_SPACE)
            note(worker, rc);
    }
    return NULL;
}

static void test_close_during_use(void **state)
{
    struct emu_fixture *f = *state;
    struct emu_counters counters;
    struct worker workers[4] = {{0}};

    for (size_t i = 0; i < 4; i++)
        workers[i].client = f->client;
    run(workers, 4, session_body);
    assert_int_equal(emu_close_session(&f->client), AZIHSM_OK);
    join(workers, 4);
    emu_device_counters(f->device, &counters);
    assert_int_equal(counters.keys, 0); /* none was left behind */
    assert_int_equal(counters.sessions, 0);
    assert_int_equal(counters.key_bytes, 516 + 48 + 48 + 80);
}

/* ---- one credential, many who want to establish it; then all log in ---- */

static void *establish_body(void *arg)
{
    struct worker *worker = arg;
    struct emu_owner owner = worker->f->owner; /* the keys are shared, the buffers are not */
    struct emu_establish e;

    for (int i = 0; i < 100; i++) {
        azihsm_rc rc = emu_prepare_establish(&worker->client, &owner, &e);
        if (rc == AZIHSM_OK)
            rc = emu_send_establish(&worker->client, &owner, &e);
        if (rc == AZIHSM_OK)
            worker->good++;
        if (rc == AZIHSM_OK || rc == AZIHSM_STATUS_KEY_NOT_FOUND || rc == AZIHSM_STATUS_VAULT_APP_LIMIT_REACHED)
            break;
        if (rc != AZIHSM_STATUS_NONCE_MISMATCH)
            note(worker, rc);
    }
    for (int i = 0; i < 500; i++) {
        azihsm_rc rc = emu_open_session(&worker->client, &owner);
        if (rc == AZIHSM_OK)
            return NULL;
        if (rc != AZIHSM_STATUS_NONCE_MISMATCH) {
            note(worker, rc);
            return NULL;
        }
    }
    note(worker, AZIHSM_E_TIMEOUT);
    return NULL;
}

static void test_one_winner(void **state)
{
    struct emu_fixture *f = *state;
    struct worker *workers = make_workers(f, 8, NULL);
    unsigned winners = 0, ids = 0;

    assert_int_equal(emu_init_bk3(&f->client, &f->owner), AZIHSM_OK);
    run(workers, 8, establish_body);
    join(workers, 8);
    for (size_t i = 0; i < 8; i++) {
        winners += workers[i].good;
        ids |= 1u << workers[i].client.sess_id;
    }
    assert_int_equal(winners, 1);
    assert_int_equal(ids, 0xFF);
    free_workers(workers, 8);
}

/* Identical requests: exactly one is accepted. */
static void *reopen_body(void *arg)
{
    struct worker *worker = arg;
    struct emu_client *client = &worker->client;
    struct emu_completion completion;
    struct emu_submission in = {.request = client->frame,
                                .request_len = client->frame_len,
                                .session_kind = AZIHSM_KIND_IN_SESSION,
                                .has_sess_id = true,
                                .sess_id = client->sess_id};
    struct azihsm_session_resp resp;
    azihsm_rc rc;

    emu_handle_execute(client->handle, &in, client->response, &completion);
    rc = azihsm_ddi_decode_response(client->kind, AZIHSM_OP_REOPEN_SESSION, client->response, completion.response_len,
                                    &client->hdr, &resp, &client->scratch);
    worker->good += rc == AZIHSM_OK;
    if (rc != AZIHSM_OK && rc != AZIHSM_STATUS_NONCE_MISMATCH && rc != AZIHSM_STATUS_INVALID_ARG &&
        rc != AZIHSM_STATUS_PROCESSED_IO_EVENT_IN_INVALID_STATE)
        note(worker, rc);
    return NULL;
}

static void test_one_reopen(void **state)
{
    struct emu_fixture *f = *state;
    struct worker *workers = calloc(8, sizeof(*workers));
    struct emu_login login;
    unsigned winners = 0;

    assert_non_null(workers);
    emu_device_reset(f->device);
    assert_int_equal(emu_establish(&f->client, &f->owner), AZIHSM_OK);
    assert_int_equal(emu_prepare_login(&f->client, &f->owner, &login), AZIHSM_OK);
    struct azihsm_reopen_session_req req = {
        login.cred, login.pub_key, {f->client.bmk_session, f->client.bmk_session_len}};
    struct azihsm_req_hdr hdr = {true, {1, 0}, AZIHSM_OP_REOPEN_SESSION, true, f->client.sess_id};
    assert_int_equal(azihsm_ddi_encode_request(f->client.kind, &hdr, &req, f->client.frame, sizeof(f->client.frame),
                                               &f->client.frame_len),
                     AZIHSM_OK);
    for (size_t i = 0; i < 8; i++)
        workers[i].client = f->client;
    run(workers, 8, reopen_body);
    join(workers, 8);
    for (size_t i = 0; i < 8; i++)
        winners += workers[i].good;
    assert_int_equal(winners, 1);
    free(workers);
}

/* ---- a reset while sixteen threads work ---- */

static bool expected_in_reset(azihsm_rc rc)
{
    static const azihsm_rc expected[] = {AZIHSM_STATUS_SESSION_NEEDS_RENEGOTIATION,
                                         AZIHSM_STATUS_NONCE_MISMATCH,
                                         AZIHSM_STATUS_KEY_NOT_FOUND,
                                         AZIHSM_STATUS_CREDENTIALS_NOT_ESTABLISHED,
                                         AZIHSM_STATUS_PARTITION_NOT_PROVISIONED,
                                         AZIHSM_STATUS_VAULT_APP_LIMIT_REACHED,
                                         AZIHSM_STATUS_PIN_DECRYPTION_FAILED,
                                         AZIHSM_STATUS_INVALID_ARG,
                                         AZIHSM_STATUS_INVALID_PERMISSIONS};
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
        if (rc == expected[i])
            return true;
    return rc == AZIHSM_OK;
}

/* What a resilient client does: sign; when that fails, whoever comes first re-establishes, all reopen and unmask. */
static void recover(struct worker *worker)
{
    struct emu_owner owner = worker->f->owner;
    azihsm_rc rc = emu_establish(&worker->client, &owner);
    if (!expected_in_reset(rc) && rc != AZIHSM_STATUS_ECC_VERIFY_FAILED)
        note(worker, rc);
    rc = emu_reopen_session(&worker->client, &owner);
    if (!expected_in_reset(rc) && rc != AZIHSM_STATUS_PROCESSED_IO_EVENT_IN_INVALID_STATE)
        note(worker, rc);
    if (rc == AZIHSM_OK)
        rc = emu_unmask(&worker->client, (struct azihsm_bytes){worker->key.blob, worker->key.blob_len}, &worker->key);
    if (!expected_in_reset(rc) && rc != AZIHSM_STATUS_PROCESSED_IO_EVENT_IN_INVALID_STATE)
        note(worker, rc);
}

static void *reset_body(void *arg)
{
    struct worker *worker = arg;
    while (!atomic_load(worker->stop)) {
        azihsm_rc rc = sign(worker, worker->key.id);
        if (rc == AZIHSM_OK) {
            worker->good++;
            continue;
        }
        if (!expected_in_reset(rc))
            note(worker, rc);
        recover(worker);
    }
    for (int i = 0; i < 1000; i++) { /* nobody disturbs any more */
        if (sign(worker, worker->key.id) == AZIHSM_OK)
            return NULL;
        recover(worker);
    }
    note(worker, AZIHSM_E_TIMEOUT);
    return NULL;
}

static void test_reset_under_load(void **state)
{
    struct emu_config config = emu_default_config(*(const enum azihsm_device_kind *)*state);
    struct emu_fixture f = {.kind = config.kind};
    static _Atomic bool stop;
    struct worker *workers;

    atomic_store(&stop, false);
    config.sessions_max = WORKERS + 1;
    config.tables = 4;
    assert_int_equal(emu_device_new(&config, NULL, 0, &f.device), AZIHSM_OK);
    emu_owner_init(&f.owner);
    emu_attach(&f.client, f.device);
    emu_provision_must(&f.client, &f.owner);
    workers = make_workers(&f, WORKERS, &stop);
    for (size_t i = 0; i < WORKERS; i++) {
        emu_login_must(&workers[i].client, &f.owner);
        assert_int_equal(emu_ecc_generate(&workers[i].client, AZIHSM_CURVE_P256, EMU_SIGN_VERIFY, 0, &workers[i].key),
                         AZIHSM_OK);
    }
    run(workers, WORKERS, reset_body);
    for (int i = 0; i < 8; i++) {
        struct timespec pause = {0, 20000000};
        nanosleep(&pause, NULL);
        emu_device_reset(f.device);
    }
    atomic_store(&stop, true);
    join(workers, WORKERS);
    free_workers(workers, WORKERS);
    emu_detach(&f.client);
    emu_owner_free(&f.owner);
    emu_device_free(f.device);
}

/* ---- hundreds of handles ---- */

static void *handle_body(void *arg)
{
    struct worker *worker = arg;
    uint8_t nonce[AZIHSM_NONCE_SIZE];

    for (int i = 0; i < 5; i++) {
        struct azihsm_get_device_info_resp info;
        struct azihsm_encryption_key_resp key;
        struct azihsm_cert_chain_info_req chain_req = {0};
        struct azihsm_cert_chain_info_resp chain;
        azihsm_rc rc = call(worker, AZIHSM_OP_GET_DEVICE_INFO, NULL, &info);
        if (rc == AZIHSM_OK)
            rc = call(worker, AZIHSM_OP_GET_CERT_CHAIN_INFO, &chain_req, &chain);
        if (rc == AZIHSM_OK)
            rc = call(worker, AZIHSM_OP_GET_ESTABLISH_CRED_ENCRYPTION_KEY, NULL, &key);
        if (rc != AZIHSM_OK) {
            note(worker, rc);
            return NULL;
        }
        if (i == 0)
            memcpy(nonce, key.nonce, sizeof(nonce));
        else if (memcmp(nonce, key.nonce, sizeof(nonce)) != 0)
            note(worker, AZIHSM_E_PROTOCOL);
        worker->good++;
    }
    return NULL;
}

static void test_many_handles(void **state)
{
    struct emu_fixture *f = *state;
    struct worker *workers = make_workers(f, HANDLES, NULL);
    struct emu_counters counters;

    emu_device_counters(f->device, &counters);
    assert_int_equal(counters.handles, HANDLES + 1);
    run(workers, HANDLES, handle_body);
    join(workers, HANDLES);
    for (size_t i = 0; i < HANDLES; i++)
        assert_int_equal(workers[i].good, 5);
    free_workers(workers, HANDLES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        EMU_READY(test_shared_handle),
        EMU_READY(test_delete_during_use),
        EMU_READY(test_close_during_use),
        EMU_FRESH(test_one_winner),
        EMU_READY(test_one_reopen),
        cmocka_unit_test_prestate(test_reset_under_load, &emu_kinds[0]),
        cmocka_unit_test_prestate(test_reset_under_load, &emu_kinds[1]),
        EMU_FRESH(test_many_handles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
