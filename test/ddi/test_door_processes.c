/*
 * Several processes on one device (device-behaviour 2.5, 11): recovery by another process while the first keeps its
 * handle, and 64 threads over 8 sessions in 4 processes with resets injected.
 */
#include "door.h"

#include "emu_client.h"
#include "judge.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

/* Memory that forked processes share. */
static void *shared_must(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    assert_ptr_not_equal(memory, MAP_FAILED);
    return memory;
}

static int exit_of(pid_t child)
{
    int status;

    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* ---- a second process takes over ---- */

static int second_process(struct emu_fixture *f, const struct emu_key *key, struct emu_owner *owner)
{
    struct emu_client mine;
    struct emu_key again;

    emu_attach(&mine, f->device);
    door_reset_must();
    if (emu_establish(&mine, owner) != AZIHSM_OK || emu_open_session(&mine, owner) != AZIHSM_OK)
        return 1;
    if (mine.sess_id == f->client.sess_id) /* that id is still the first process's */
        return 2;
    if (emu_unmask(&mine, (struct azihsm_bytes){key->blob, key->blob_len}, &again) != AZIHSM_OK)
        return 3;
    return again.spki_len == key->spki_len && memcmp(again.spki, key->spki, key->spki_len) == 0 ? 0 : 4;
}

static void test_take_over(void **state)
{
    struct emu_fixture *f = *state;
    struct emu_owner *owner = shared_must(sizeof(*owner));
    struct emu_key key, session_key, again;
    pid_t child;

    assert_int_equal(emu_ecc_generate(&f->client, 2, EMU_SIGN_VERIFY, 5, &key), AZIHSM_OK);
    assert_int_equal(emu_aes_generate(&f->client, 3, EMU_ENC_DEC | AZIHSM_TKP_SESSION, 0, &session_key), AZIHSM_OK);
    *owner = f->owner;
    child = fork();
    if (child == 0)
        _exit(second_process(f, &key, owner));
    assert_int_equal(exit_of(child), 0);
    assert_int_equal(emu_delete(&f->client, key.id), AZIHSM_STATUS_SESSION_NEEDS_RENEGOTIATION);
    /* the same session again, on the handle that had it, with its session keys */
    assert_int_equal(emu_reopen_session(&f->client, owner), AZIHSM_OK);
    assert_int_equal(emu_unmask(&f->client, (struct azihsm_bytes){session_key.blob, session_key.blob_len}, &again),
                     AZIHSM_OK);
    /* what the other process unmasked is an app key of the same credential */
    struct azihsm_open_key_req by_tag = {5};
    struct azihsm_open_key_resp found;
    assert_int_equal(emu_call(&f->client, AZIHSM_OP_OPEN_KEY, &by_tag, &found), AZIHSM_OK);
    assert_int_equal(found.key_kind, AZIHSM_KEY_ECC384_PRIVATE);
    assert_int_equal(emu_unmask(&f->client, (struct azihsm_bytes){key.blob, key.blob_len}, &again),
                     AZIHSM_STATUS_KEY_TAG_ALREADY_EXISTS);
    assert_int_equal(emu_close_session(&f->client), AZIHSM_OK);
}

/* The first process just closes its flagged session. */
static void test_close_flagged(void **state)
{
    struct emu_fixture *f = *state;
    struct emu_owner *owner = shared_must(sizeof(*owner));
    struct emu_key key;
    pid_t child;

    assert_int_equal(emu_ecc_generate(&f->client, 2, EMU_SIGN_VERIFY, 5, &key), AZIHSM_OK);
    *owner = f->owner;
    child = fork();
    if (child == 0)
        _exit(second_process(f, &key, owner));
    assert_int_equal(exit_of(child), 0);
    assert_int_equal(emu_close_session(&f->client), AZIHSM_OK);
    assert_int_equal(emu_open_session(&f->client, owner), AZIHSM_OK);
}

/* ---- 64 threads, 8 sessions, 4 processes, resets ---- */

enum { PROCESSES = 4, SESSIONS = 2, THREADS = 8, RESETS = 6, PAUSE_MS = 250, LAST_MS = 400 };

struct common {
    pthread_mutex_t lock; /* one recovers at a time; the others find it done */
    struct emu_owner owner;
    atomic_uint generation; /* of the provisioning */
    atomic_uint good[PROCESSES];
    atomic_bool stop;
};

/* One handle with its session and its 8 threads. */
struct station {
    struct common *common;
    struct emu_client client;
    struct emu_key key;
    pthread_rwlock_t gate; /* recovery excludes operations on this handle */
    unsigned process;
    uint32_t curve;
};

static void lock_shared(struct common *common)
{
    pthread_mutex_lock(&common->lock);
}

/* Provisions again unless another did: its answer is then what a loser of the race is told. */
static void establish_again(struct station *station)
{
    azihsm_rc rc;

    lock_shared(station->common);
    rc = emu_establish(&station->client, &station->common->owner);
    pthread_mutex_unlock(&station->common->lock);
    switch (rc) {
    case AZIHSM_OK:
    case AZIHSM_STATUS_KEY_NOT_FOUND:
    case AZIHSM_STATUS_VAULT_APP_LIMIT_REACHED:
    case AZIHSM_STATUS_NONCE_MISMATCH:
    case AZIHSM_STATUS_INVALID_ARG: /* a reset between the certificate and its endorsement */
    case AZIHSM_STATUS_ECC_VERIFY_FAILED:
    case AZIHSM_STATUS_PIN_DECRYPTION_FAILED:
        return;
    default:
        fail_msg("EstablishCredential: 0x%x", (unsigned)rc);
    }
}

/* Reopen and unmask; false: a reset came between, or another's nonce. */
static bool enter_again(struct station *station)
{
    struct azihsm_bytes blob = {station->key.blob, station->key.blob_len};
    uint8_t kept[AZIHSM_MASKED_KEY_MAX];
    azihsm_rc rc = emu_reopen_session(&station->client, &station->common->owner);

    switch (rc) {
    case AZIHSM_OK:
        break;
    case AZIHSM_STATUS_INVALID_ARG: /* not flagged: entered before */
    case AZIHSM_STATUS_PROCESSED_IO_EVENT_IN_INVALID_STATE:
        break;
    case AZIHSM_STATUS_NONCE_MISMATCH:
    case AZIHSM_STATUS_PIN_DECRYPTION_FAILED: /* the session encryption key changed with a reset */
    case AZIHSM_STATUS_PARTITION_NOT_PROVISIONED:
    case AZIHSM_STATUS_CREDENTIALS_NOT_ESTABLISHED:
        return false;
    default:
        fail_msg("ReopenSession: 0x%x", (unsigned)rc);
    }
    memcpy(kept, blob.data, blob.len);
    blob.data = kept;
    rc = emu_unmask(&station->client, blob, &station->key);
    if (rc != AZIHSM_OK && rc != AZIHSM_STATUS_SESSION_NEEDS_RENEGOTIATION)
        fail_msg("UnmaskKey: 0x%x", (unsigned)rc);
    return rc == AZIHSM_OK;
}

static void recover(struct station *station)
{
    struct azihsm_get_unwrapping_key_resp alive;

    pthread_rwlock_wrlock(&station->gate);
    if (emu_call(&station->client, AZIHSM_OP_GET_UNWRAPPING_KEY, NULL, &alive) ==
        AZIHSM_STATUS_SESSION_NEEDS_RENEGOTIATION) {
        do
            establish_again(station);
        while (!enter_again(station));
    }
    pthread_rwlock_unlock(&station->gate);
}

static azihsm_rc sign_once(struct station *station, unsigned number)
{
    struct emu_client client = station->client; /* frames of one's own; handle and session are shared */
    uint8_t digest[32], raw[132];
    size_t len;
    azihsm_rc rc;

    memset(digest, (int)number, sizeof(digest));
    rc = emu_sign(&client, station->key.id, AZIHSM_HASH_SHA256, BYTES(digest, sizeof(digest)), raw, &len);
    if (rc == AZIHSM_OK)
        assert_true(
            judge_ecdsa(BYTES(station->key.spki, station->key.spki_len), BYTES(digest, sizeof(digest)), raw, len));
    return rc;
}

static void *work(void *argument)
{
    struct station *station = argument;

    for (unsigned i = 0; !atomic_load(&station->common->stop); i++) {
        azihsm_rc rc;

        pthread_rwlock_rdlock(&station->gate);
        rc = sign_once(station, i);
        pthread_rwlock_unlock(&station->gate);
        if (rc == AZIHSM_OK)
            atomic_fetch_add(&station->common->good[station->process], 1);
        else if (rc == AZIHSM_STATUS_SESSION_NEEDS_RENEGOTIATION)
            recover(station);
        else
            fail_msg("EccSign: 0x%x", (unsigned)rc);
    }
    return NULL;
}

static void station_open(struct station *station, struct emu_fixture *f, struct common *common, unsigned process,
                         uint32_t curve)
{
    azihsm_rc rc;

    *station = (struct station){.common = common, .process = process, .curve = curve};
    pthread_rwlock_init(&station->gate, NULL);
    emu_attach(&station->client, f->device);
    do
        rc = emu_open_session(&station->client, &common->owner);
    while (rc == AZIHSM_STATUS_NONCE_MISMATCH);
    assert_int_equal(rc, AZIHSM_OK);
    assert_int_equal(emu_ecc_generate(&station->client, curve, EMU_SIGN_VERIFY, 0, &station->key), AZIHSM_OK);
}

static void station_close(struct station *station)
{
    azihsm_rc rc = emu_delete(&station->client, station->key.id);

    assert_true(rc == AZIHSM_OK || rc == AZIHSM_STATUS_SESSION_NEEDS_RENEGOTIATION);
    assert_int_equal(emu_close_session(&station->client), AZIHSM_OK);
    emu_detach(&station->client);
}

static int one_process(struct emu_fixture *f, struct common *common, unsigned process, int ready, int go)
{
    struct station stations[SESSIONS];
    pthread_t threads[SESSIONS][THREADS];
    char byte = 1;

    for (unsigned s = 0; s < SESSIONS; s++)
        station_open(&stations[s], f, common, process, 1 + (process + s) % 3);
    if (write(ready, &byte, 1) != 1 || read(go, &byte, 1) != 1)
        return 2;
    for (unsigned s = 0; s < SESSIONS; s++)
        for (unsigned t = 0; t < THREADS; t++)
            if (pthread_create(&threads[s][t], NULL, work, &stations[s]) != 0)
                return 3;
    for (unsigned s = 0; s < SESSIONS; s++)
        for (unsigned t = 0; t < THREADS; t++)
            pthread_join(threads[s][t], NULL);
    for (unsigned s = 0; s < SESSIONS; s++)
        station_close(&stations[s]);
    return 0;
}

static void pause_ms(long ms)
{
    struct timespec pause = {ms / 1000, ms % 1000 * 1000000};

    nanosleep(&pause, NULL);
}

static struct common *common_new(const struct emu_owner *owner)
{
    struct common *common = shared_must(sizeof(*common));
    pthread_mutexattr_t attributes;

    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_mutex_init(&common->lock, &attributes);
    common->owner = *owner;
    return common;
}

static void test_storm(void **state)
{
    struct emu_fixture *f = *state;
    struct common *common = common_new(&f->owner);
    struct emu_counters before, after;
    struct emu_key muk;
    pid_t children[PROCESSES];
    int ready[2], go[2];
    char bytes[PROCESSES];

    /* what its owner must have kept over a reset */
    assert_int_equal(emu_unwrapping_key(&f->client, &muk), AZIHSM_OK);
    memcpy(common->owner.muk, muk.blob, muk.blob_len);
    common->owner.muk_len = muk.blob_len;
    assert_int_equal(emu_close_session(&f->client), AZIHSM_OK);
    emu_device_counters(f->device, &before);
    assert_int_equal(pipe(ready), 0);
    assert_int_equal(pipe(go), 0);
    for (unsigned i = 0; i < PROCESSES; i++) {
        children[i] = fork();
        if (children[i] == 0)
            _exit(one_process(f, common, i, ready[1], go[0]));
    }
    for (unsigned i = 0; i < PROCESSES; i++)
        assert_int_equal(read(ready[0], bytes, 1), 1);
    assert_int_equal(write(go[1], bytes, PROCESSES), PROCESSES);
    for (int i = 0; i < RESETS; i++) {
        pause_ms(PAUSE_MS);
        door_reset_must();
    }
    pause_ms(LAST_MS);
    atomic_store(&common->stop, true);
    for (unsigned i = 0; i < PROCESSES; i++) {
        assert_int_equal(exit_of(children[i]), 0);
        assert_true(atomic_load(&common->good[i]) > 0);
    }
    emu_device_counters(f->device, &after);
    assert_int_equal(after.sessions, 0);
    assert_int_equal(after.sessions_flagged, 0);
    assert_int_equal(after.handles, before.handles);
    assert_int_equal(after.bulk_keys, 0);
    assert_int_equal(after.resets, before.resets + RESETS);
    /* keys: what a partition has of its own, provisioned or not */
    assert_true(after.keys <= before.keys + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        EMU_READY(test_take_over),
        EMU_READY(test_close_flagged),
        EMU_READY(test_storm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
