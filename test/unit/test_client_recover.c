/*
 * What the client does when the device does not do as asked: reset, death, fullness, refusal. On the software device of
 * software_device.h, which fails on demand and counts what it is asked.
 */
#include "client/credential.h"
#include "judge.h"
#include "software_device.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static struct software_device *device;
static struct azihsm_client *client;

static const struct azihsm_key_spec for_sign = {.usage = AZIHSM_USAGE_SIGN};
static const struct azihsm_key_spec for_session = {.usage = AZIHSM_USAGE_SIGN, .session = true};

static int setup(void **state)
{
    const struct software_options options = {.extensions = true};

    (void)state;
    device = software_new(&options);
    client = software_client(device, 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    azihsm_client_free(client);
    software_free(device);
    return 0;
}

static struct azihsm_key *new_key(void)
{
    struct azihsm_key *key;

    OK(azihsm_key_generate_ecc(client, AZIHSM_CURVE_P256, &for_sign, &key, WHY));
    return key;
}

static unsigned keys_in_device(void)
{
    struct emu_counters counters;

    emu_device_counters(software_emulator(device), &counters);
    return counters.keys;
}

static unsigned sessions_in_device(void)
{
    struct emu_counters counters;

    emu_device_counters(software_emulator(device), &counters);
    return counters.sessions;
}

/* C-14: a session and a key once, then one request for one signature. */
static void test_one_request(void **state)
{
    struct azihsm_key *key = new_key(), *file;

    (void)state;
    OK(azihsm_key_from_blob(client, azihsm_key_blob(key), azihsm_key_spki(key), &file, WHY));
    assert_int_equal(software_opens(device), 1);
    OK(judge_sign(file, WHY));
    software_forget_counts(device);
    for (int i = 0; i < 100; i++)
        OK(judge_sign(file, WHY));
    assert_int_equal(software_count(device, AZIHSM_OP_ECC_SIGN), 100);
    assert_int_equal(software_total(device), 100);
    azihsm_key_free(file);
    azihsm_key_free(key);
}

/* Loading opens nothing. */
static void test_lazy(void **state)
{
    struct azihsm_key *key = new_key(), *file;
    struct azihsm_client *other = software_client(device, 0);

    (void)state;
    software_forget_counts(device);
    azihsm_client_prepare(other);
    OK(azihsm_key_from_blob(other, azihsm_key_blob(key), azihsm_key_spki(key), &file, WHY));
    azihsm_key_free(file);
    azihsm_client_free(other);
    assert_int_equal(software_total(device), 0);
    assert_int_equal(software_opens(device), 0);
    azihsm_key_free(key);
}

/* ---- reset ---- */

static void test_reset(void **state)
{
    struct azihsm_key *key = new_key();

    (void)state;
    for (int i = 0; i < 3; i++) {
        OK(judge_sign(key, WHY));
        emu_device_reset(software_emulator(device));
        software_provision(device);
        software_forget_counts(device);
        OK(judge_sign(key, WHY));
        assert_int_equal(software_count(device, AZIHSM_OP_REOPEN_SESSION), 1);
        assert_int_equal(software_count(device, AZIHSM_OP_UNMASK_KEY), 1);
        assert_int_equal(software_count(device, AZIHSM_OP_OPEN_SESSION), 0);
        assert_int_equal(sessions_in_device(), 1);
    }
    azihsm_key_free(key);
}

static void *provision_later(void *arg)
{
    usleep(300000);
    software_provision(arg);
    return NULL;
}

/* Clients never provision: they wait for the owner, within their deadline. */
static void test_reset_wait(void **state)
{
    struct azihsm_key *key = new_key();
    pthread_t owner;

    (void)state;
    emu_device_reset(software_emulator(device));
    pthread_create(&owner, NULL, provision_later, device);
    OK(judge_sign(key, WHY));
    pthread_join(owner, NULL);
    azihsm_key_free(key);
}

static void test_unprovisioned_deadline(void **state)
{
    struct azihsm_key *key = new_key(), *file;
    struct azihsm_client *hurried = software_client(device, 200);
    struct azihsm_error err;

    (void)state;
    OK(azihsm_key_from_blob(hurried, azihsm_key_blob(key), azihsm_key_spki(key), &file, WHY));
    emu_device_reset(software_emulator(device));
    assert_int_equal(judge_sign(file, &err), AZIHSM_STATUS_CREDENTIALS_NOT_ESTABLISHED);
    assert_non_null(strstr(err.text, "CredentialsNotEstablished"));
    software_provision(device);
    OK(judge_sign(file, WHY));
    azihsm_key_free(file);
    azihsm_client_free(hurried);
    azihsm_key_free(key);
}

/* A session key lives as long as its session, and a reopened session is the same. */
static void test_session_key(void **state)
{
    struct azihsm_key *key;
    struct azihsm_error err;

    (void)state;
    OK(azihsm_key_generate_ecc(client, AZIHSM_CURVE_P256, &for_session, &key, WHY));
    OK(judge_sign(key, WHY));
    emu_device_reset(software_emulator(device));
    software_provision(device);
    OK(judge_sign(key, WHY));
    OK(azihsm_key_evict(key, WHY));
    OK(judge_sign(key, WHY));
    software_down(device);
    software_up(device);
    assert_int_equal(judge_sign(key, &err), AZIHSM_STATUS_KEY_NOT_FOUND);
    assert_non_null(strstr(err.text, "session"));
    azihsm_key_free(key);
}

/* Reopening refused for good: the client falls back to a new session on a new handle. */
static void test_reopen_refused(void **state)
{
    struct azihsm_key *key = new_key();

    (void)state;
    emu_device_reset(software_emulator(device));
    software_provision(device);
    software_forget_counts(device);
    software_fail(device, AZIHSM_OP_REOPEN_SESSION, 1, AZIHSM_STATUS_INTERNAL_ERROR, false);
    OK(judge_sign(key, WHY));
    assert_int_equal(software_opens(device), 1);
    azihsm_key_free(key);
}

/* ---- bulk work ---- */

static struct azihsm_key *new_bulk_key(void)
{
    const struct azihsm_key_spec spec = {.usage = AZIHSM_USAGE_DECRYPT};
    struct azihsm_key *key;

    OK(azihsm_key_generate_aes(client, AZIHSM_AES_SIZE_GCM_BULK256, &spec, &key, WHY));
    return key;
}

static azihsm_rc gcm(struct azihsm_key *key, const uint8_t *in, uint8_t *out, size_t len)
{
    uint8_t iv[12] = {1}, tag[16];

    return azihsm_key_aes_gcm(key, false, iv, (struct azihsm_bytes){0}, in, out, len, tag, NULL);
}

/* In place too: what never reached the device is repeated. */
static void test_bulk_death(void **state)
{
    struct azihsm_key *key = new_bulk_key();
    uint8_t data[100] = {0}, apart[100];

    (void)state;
    OK(gcm(key, data, apart, sizeof(data)));
    software_down(device);
    software_up(device);
    OK(gcm(key, data, data, sizeof(data)));
    assert_memory_equal(data, apart, sizeof(data)); /* once, not twice */
    azihsm_key_free(key);
}

/* The input may be gone, so this operation fails; the next ones have a session that lives. */
static void test_bulk_in_place(void **state)
{
    struct azihsm_key *key = new_bulk_key();
    uint8_t data[100] = {0};

    (void)state;
    OK(gcm(key, data, data, sizeof(data)));
    software_forget_counts(device);
    software_fail(device, SOFTWARE_BULK, 1, AZIHSM_E_LOST, true);
    assert_int_equal(gcm(key, data, data, sizeof(data)), AZIHSM_E_LOST);
    assert_int_equal(software_count(device, SOFTWARE_BULK), 1);
    OK(gcm(key, data, data, sizeof(data)));
    assert_int_equal(software_opens(device), 1);
    software_fail(device, SOFTWARE_BULK, 1, AZIHSM_E_ABORTED, true);
    assert_int_equal(gcm(key, data, data, sizeof(data)), AZIHSM_E_ABORTED);
    azihsm_key_free(key);
}

static void renew(void *key)
{
    emu_device_reset(software_emulator(device));
    software_provision(device);
    OK(judge_sign(key, WHY));
}

/* Its session was reopened meanwhile: what the device said was said of whatever key has the id now. */
static void test_bulk_renewed(void **state)
{
    static const azihsm_rc verdicts[] = {AZIHSM_OK, AZIHSM_E_FAST_PATH, AZIHSM_STATUS_INVALID_KEY_TYPE};
    struct azihsm_key *key = new_bulk_key(), *other = new_key();
    uint8_t data[100] = {0}, out[100], want[100];

    (void)state;
    OK(gcm(key, data, want, sizeof(data)));
    for (size_t i = 0; i < sizeof(verdicts) / sizeof(verdicts[0]); i++) {
        OK(judge_sign(other, WHY));
        memset(out, 0, sizeof(out));
        software_before_bulk(device, renew, other);
        software_fail(device, SOFTWARE_BULK, 1, verdicts[i], false);
        OK(gcm(key, data, out, sizeof(data)));
        assert_memory_equal(out, want, sizeof(out));
    }
    azihsm_key_free(key);
    azihsm_key_free(other);
}

/* ---- statuses that ask for something ---- */

static void test_cures(void **state)
{
    static const struct {
        uint32_t op;
        unsigned count;
        azihsm_rc rc;
    } faults[] = {
        {AZIHSM_OP_ECC_SIGN, 1, AZIHSM_STATUS_SESSION_NOT_FOUND},
        {AZIHSM_OP_ECC_SIGN, 1, AZIHSM_STATUS_FILE_HANDLE_NO_EXISTING_SESSION},
        {AZIHSM_OP_ECC_SIGN, 1, AZIHSM_STATUS_FILE_HANDLE_SESSION_ID_DOES_NOT_MATCH},
        {AZIHSM_OP_ECC_SIGN, 1, AZIHSM_E_LOST},
        {AZIHSM_OP_ECC_SIGN, 3, AZIHSM_E_ABORTED},
        {AZIHSM_OP_ECC_SIGN, 3, AZIHSM_E_NOT_READY},
        {AZIHSM_OP_ECC_SIGN, 2, AZIHSM_STATUS_KEY_NOT_FOUND},
        {AZIHSM_OP_ECC_SIGN, 1, AZIHSM_STATUS_INVALID_KEY_NUMBER},
        {AZIHSM_OP_UNMASK_KEY, 2, AZIHSM_STATUS_NOT_ENOUGH_SPACE},
        {AZIHSM_OP_UNMASK_KEY, 2, AZIHSM_STATUS_REACHED_MAX_KEYS},
        {AZIHSM_OP_UNMASK_KEY, 1, AZIHSM_E_LOST},
        {AZIHSM_OP_OPEN_SESSION, 20, AZIHSM_STATUS_NONCE_MISMATCH},
        {AZIHSM_OP_OPEN_SESSION, 2, AZIHSM_STATUS_PIN_DECRYPTION_FAILED},
        {AZIHSM_OP_OPEN_SESSION, 5, AZIHSM_STATUS_VAULT_SESSION_LIMIT_REACHED},
        {AZIHSM_OP_GET_SESSION_ENCRYPTION_KEY, 5, AZIHSM_STATUS_CREDENTIALS_NOT_ESTABLISHED},
        {AZIHSM_OP_GET_API_REV, 2, AZIHSM_E_LOST},
        {AZIHSM_OP_GET_DEVICE_INFO, 2, AZIHSM_E_ABORTED},
    };
    struct azihsm_key *key = new_key(), *file;

    (void)state;
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        struct azihsm_client *fresh = software_client(device, 0);

        OK(azihsm_key_from_blob(fresh, azihsm_key_blob(key), azihsm_key_spki(key), &file, WHY));
        software_fail(device, faults[i].op, faults[i].count, faults[i].rc, false);
        OK(judge_sign(file, WHY));
        azihsm_key_free(file);
        azihsm_client_free(fresh);
    }
    azihsm_key_free(key);
}

/* What nothing can cure is reported at once, with its name. */
static void test_final(void **state)
{
    static const azihsm_rc finals[] = {AZIHSM_STATUS_INVALID_PERMISSIONS, AZIHSM_STATUS_ECC_SIGN_FAILED,
                                       AZIHSM_STATUS_INVALID_ARG, AZIHSM_E_PROTOCOL};
    struct azihsm_key *key = new_key();
    struct azihsm_error err;

    (void)state;
    for (size_t i = 0; i < sizeof(finals) / sizeof(finals[0]); i++) {
        software_forget_counts(device);
        software_fail(device, AZIHSM_OP_ECC_SIGN, 1, finals[i], false);
        assert_int_equal(judge_sign(key, &err), finals[i]);
        assert_int_equal(software_total(device), 1);
        assert_non_null(strstr(err.text, "EccSign on test:: "));
        assert_non_null(strstr(err.text, azihsm_rc_name(finals[i])));
        OK(judge_sign(key, WHY));
    }
    /* For ever gone: given up after a few reloads, long before the deadline. */
    software_fail(device, AZIHSM_OP_ECC_SIGN, 1000, AZIHSM_STATUS_KEY_NOT_FOUND, false);
    assert_int_equal(judge_sign(key, &err), AZIHSM_STATUS_KEY_NOT_FOUND);
    assert_true(software_total(device) < 20);
    software_fail(device, AZIHSM_OP_ECC_SIGN, 0, AZIHSM_OK, false);
    OK(judge_sign(key, WHY));
    azihsm_key_free(key);
}

/* A creation is repeated, but not one that may have taken its name. */
static void test_creation_repeated(void **state)
{
    const struct azihsm_key_spec named = {.usage = AZIHSM_USAGE_SIGN, .tag = 7};
    struct azihsm_key *key;

    (void)state;
    software_fail(device, AZIHSM_OP_ECC_GENERATE_KEY_PAIR, 1, AZIHSM_E_LOST, true);
    OK(azihsm_key_generate_ecc(client, AZIHSM_CURVE_P256, &for_sign, &key, WHY));
    azihsm_key_free(key);
    software_fail(device, AZIHSM_OP_ECC_GENERATE_KEY_PAIR, 1, AZIHSM_E_LOST, true);
    assert_int_equal(azihsm_key_generate_ecc(client, AZIHSM_CURVE_P256, &named, &key, NULL), AZIHSM_E_LOST);
    OK(azihsm_key_from_tag(client, 7, &key, WHY));
    OK(judge_sign(key, WHY));
    azihsm_key_free(key);
    /* Not executed for sure: repeated also with a name. */
    software_fail(device, AZIHSM_OP_ECC_GENERATE_KEY_PAIR, 1, AZIHSM_STATUS_SESSION_NOT_FOUND, false);
    assert_int_equal(azihsm_key_generate_ecc(client, AZIHSM_CURVE_P256, &named, &key, NULL),
                     AZIHSM_STATUS_KEY_TAG_ALREADY_EXISTS);
}

/* ---- death ---- */

static void *up_later(void *arg)
{
    usleep(200000);
    software_up(arg);
    return NULL;
}

static double seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void test_death(void **state)
{
    struct azihsm_key *key = new_key();
    pthread_t thread;

    (void)state;
    for (int i = 0; i < 3; i++) {
        software_down(device);
        pthread_create(&thread, NULL, up_later, device);
        OK(judge_sign(key, WHY));
        pthread_join(thread, NULL);
        /* The old session went with its handle. */
        assert_int_equal(sessions_in_device(), 1);
    }
    azihsm_key_free(key);
}

/* A device that was there is waited for until the deadline; one that never was, only briefly. */
static void test_dead_for_good(void **state)
{
    struct azihsm_key *key = new_key(), *file;
    struct azihsm_client *stranger = software_client(device, 60000), *friend = software_client(device, 1500);
    struct azihsm_error err;
    double begin;

    (void)state;
    OK(azihsm_key_from_blob(stranger, azihsm_key_blob(key), azihsm_key_spki(key), &file, WHY));
    software_down(device);
    begin = seconds();
    assert_int_equal(judge_sign(file, &err), AZIHSM_E_NO_DEVICE);
    assert_true(seconds() - begin < 30);
    assert_non_null(strstr(err.text, "switched the device off"));
    azihsm_key_free(file);
    azihsm_client_free(stranger);
    software_up(device);
    OK(azihsm_key_from_blob(friend, azihsm_key_blob(key), azihsm_key_spki(key), &file, WHY));
    OK(judge_sign(file, WHY));
    software_down(device);
    begin = seconds();
    assert_int_equal(judge_sign(file, &err), AZIHSM_E_NO_DEVICE);
    assert_true(seconds() - begin > 1.2);
    /* Freeing without a device is silent. */
    azihsm_key_free(file);
    azihsm_key_free(key);
    azihsm_client_free(friend);
    software_up(device);
}

static void test_timeout(void **state)
{
    struct azihsm_key *key = new_key(), *file;
    struct azihsm_client *hurried = software_client(device, 100);
    struct azihsm_error err;

    (void)state;
    OK(azihsm_key_from_blob(hurried, azihsm_key_blob(key), azihsm_key_spki(key), &file, WHY));
    OK(judge_sign(file, WHY));
    software_set_delay_ms(device, 400);
    assert_int_equal(judge_sign(file, &err), AZIHSM_E_TIMEOUT);
    software_set_delay_ms(device, 0);
    OK(judge_sign(file, WHY));
    azihsm_key_free(file);
    azihsm_client_free(hurried);
    azihsm_key_free(key);
    assert_int_equal(software_open_requests(device), 0);
}

/* ---- fullness ---- */

enum { MANY = 1000 };

/* Four times as many keys as the device has slots, all usable, in any order, from threads. */
static struct azihsm_key *many[MANY];

static void *use_many(void *arg)
{
    unsigned seed = (unsigned)(uintptr_t)arg;

    for (int i = 0; i < 400; i++) {
        struct azihsm_error err = {0};
        azihsm_rc rc = judge_sign(many[rand_r(&seed) % MANY], &err);

        if (rc != AZIHSM_OK) {
            fprintf(stderr, "%s\n", err.text);
            return arg;
        }
    }
    return NULL;
}

static void test_full(void **state)
{
    pthread_t threads[8];
    void *failed = NULL;

    (void)state;
    for (unsigned i = 0; i < MANY; i++)
        many[i] = new_key();
    assert_true(keys_in_device() <= AZIHSM_TABLE_ENTRIES);
    for (unsigned i = 0; i < MANY; i++)
        OK(judge_sign(many[i], WHY));
    /* A hot key stays while cold ones come and go. */
    OK(judge_sign(many[0], WHY));
    software_forget_counts(device);
    for (unsigned i = 1; i < 600; i++) {
        OK(judge_sign(many[0], WHY));
        OK(judge_sign(many[i], WHY));
    }
    assert_true(software_count(device, AZIHSM_OP_UNMASK_KEY) <= 599 + 599 / 4);
    for (uintptr_t i = 0; i < 8; i++)
        pthread_create(&threads[i], NULL, use_many, (void *)(i + 1));
    for (int i = 0; i < 8; i++) {
        void *one;

        pthread_join(threads[i], &one);
        failed = one != NULL ? one : failed;
    }
    assert_null(failed);
    for (unsigned i = 0; i < MANY; i++)
        azihsm_key_free(many[i]);
    assert_true(keys_in_device() < 16);
}

/* Somebody else has filled the device: we wait until there is room. */
static void *free_later(void *arg)
{
    struct azihsm_key **keys = arg;

    usleep(200000);
    for (int i = 0; i < 40; i++)
        azihsm_key_free(keys[i]);
    return NULL;
}

static void test_full_of_others(void **state)
{
    static struct azihsm_key *named[AZIHSM_TABLE_ENTRIES];
    struct azihsm_client *other = software_client(device, 300);
    struct azihsm_key *key = NULL;
    struct azihsm_key_spec spec = {.usage = AZIHSM_USAGE_SIGN};
    azihsm_rc rc = AZIHSM_OK;
    pthread_t thread;
    unsigned count = 0;

    (void)state;
    /* Named keys are not evicted by anybody. */
    for (spec.tag = 1; count < AZIHSM_TABLE_ENTRIES; spec.tag++, count++) {
        rc = azihsm_key_generate_ecc(other, AZIHSM_CURVE_P256, &spec, &named[count], NULL);
        if (rc != AZIHSM_OK)
            break;
    }
    assert_int_equal(rc, AZIHSM_STATUS_NOT_ENOUGH_SPACE);
    assert_int_equal(azihsm_key_generate_ecc(other, AZIHSM_CURVE_P256, &for_sign, &key, NULL),
                     AZIHSM_STATUS_NOT_ENOUGH_SPACE);
    for (int i = 0; i < 40; i++)
        OK(azihsm_key_evict(named[i], WHY));
    for (int i = 0; i < 40; i++) {
        azihsm_key_free(named[i]);
        OK(azihsm_key_generate_ecc(other, AZIHSM_CURVE_P256, &for_sign, &named[i], WHY));
    }
    pthread_create(&thread, NULL, free_later, named);
    for (int i = 0; i < 20; i++) {
        struct azihsm_key *mine = new_key();

        azihsm_key_free(mine);
    }
    pthread_join(thread, NULL);
    for (unsigned i = 40; i < count; i++)
        azihsm_key_free(named[i]);
    azihsm_client_free(other);
}

/* ---- freeing ---- */

static void test_free_deletes(void **state)
{
    unsigned before = 0;

    (void)state;
    azihsm_key_free(new_key());
    before = keys_in_device();
    for (int i = 0; i < 50; i++) {
        struct azihsm_key *key = new_key();

        OK(judge_sign(key, WHY));
        azihsm_key_free(key);
    }
    assert_int_equal(keys_in_device(), before);
}

/* A device that hangs makes freeing slow once, not once a key. */
static void test_free_slow(void **state)
{
    struct azihsm_key *keys[20];
    double begin;

    (void)state;
    for (int i = 0; i < 20; i++)
        keys[i] = new_key();
    software_set_delay_ms(device, 2000);
    software_forget_counts(device);
    begin = seconds();
    for (int i = 0; i < 20; i++)
        azihsm_key_free(keys[i]);
    assert_true(software_count(device, AZIHSM_OP_DELETE_KEY) <= 2 + (unsigned)(seconds() - begin));
    software_set_delay_ms(device, 0);
}

/* ---- clients ---- */

static void test_pin_source(void **state)
{
    char path[] = "/tmp/azihsm-pin-XXXXXX", source[64];
    uint8_t credential[CREDENTIAL_SIZE];
    struct azihsm_client_config config = {.pin_source = source, .timeout_ms = 1000};
    struct azihsm_client *with_pin;
    struct azihsm_error err;
    uint8_t hint[32];
    int fd = mkstemp(path);

    (void)state;
    close(fd);
    snprintf(source, sizeof(source), "file:%s", path);
    memcpy(credential, software_credential(device), sizeof(credential));
    credential[31] ^= 1;
    OK(azihsm_credential_write(path, credential, WHY));
    OK(client_new_on(&config, software_endpoint(device, false), &with_pin, WHY));
    azihsm_client_prepare(with_pin);
    assert_int_equal(azihsm_client_device_hint(with_pin, hint, &err), AZIHSM_STATUS_INVALID_APP_CREDENTIALS);
    /* Put right, it works without a restart; then gone, it still does. */
    credential[31] ^= 1;
    OK(azihsm_credential_write(path, credential, WHY));
    usleep(600000);
    OK(azihsm_client_device_hint(with_pin, hint, WHY));
    unlink(path);
    software_down(device);
    software_up(device);
    OK(azihsm_client_device_hint(with_pin, hint, WHY));
    azihsm_client_free(with_pin);
    /* Gone before it was read: the error names the file. */
    OK(client_new_on(&config, software_endpoint(device, false), &with_pin, WHY));
    assert_int_equal(azihsm_client_device_hint(with_pin, hint, &err), AZIHSM_E_IO);
    assert_non_null(strstr(err.text, path));
    azihsm_client_free(with_pin);
    config.pin_source = NULL;
    OK(client_new_on(&config, software_endpoint(device, false), &with_pin, WHY));
    assert_int_equal(azihsm_client_device_hint(with_pin, hint, &err), AZIHSM_E_CONFIG);
    assert_non_null(strstr(err.text, "pin-source"));
    azihsm_client_free(with_pin);
}

static void test_registry(void **state)
{
    struct azihsm_client_config one = {.device = "unix:/tmp/azihsm-test-1.sock"}, two = one;
    const char *const wrong[] = {"pin", "file:relative", "env:PIN", "file:"};
    struct azihsm_client *a, *b, *c;
    struct azihsm_error err;

    (void)state;
    two.timeout_ms = 5;
    OK(azihsm_client_new(&one, &a, WHY));
    OK(azihsm_client_new(&two, &b, WHY));
    assert_ptr_equal(a->hub, b->hub);
    two.partition = "other";
    OK(azihsm_client_new(&two, &c, WHY));
    assert_ptr_not_equal(a->hub, c->hub);
    assert_string_equal(azihsm_client_endpoint_name(a), one.device);
    azihsm_client_free(azihsm_client_up_ref(a));
    azihsm_client_free(a);
    azihsm_client_free(b);
    azihsm_client_free(c);
    for (size_t i = 0; i < 4; i++) {
        one.pin_source = wrong[i];
        assert_int_equal(azihsm_client_new(&one, &a, &err), AZIHSM_E_CONFIG);
        assert_non_null(strstr(err.text, "pin-source"));
    }
    one.pin_source = NULL;
    one.device = "somewhere";
    assert_int_equal(azihsm_client_new(&one, &a, &err), AZIHSM_E_CONFIG);
}

/* An operation without a socket says which one is missing. */
static void test_no_socket(void **state)
{
    const struct azihsm_client_config config = {.device = "unix:/tmp/azihsm-no-such/azihsmd.sock", .timeout_ms = 100};
    struct azihsm_client_status status;
    struct azihsm_client *nobody;
    struct azihsm_error err;
    uint8_t hint[32];

    (void)state;
    OK(azihsm_client_new(&config, &nobody, WHY));
    azihsm_client_prepare(nobody);
    assert_int_equal(azihsm_client_device_hint(nobody, hint, &err), AZIHSM_E_NO_DEVICE);
    assert_non_null(strstr(err.text, "/tmp/azihsm-no-such/azihsmd.sock"));
    assert_int_equal(azihsm_client_get_status(nobody, &status, &err), AZIHSM_E_NO_DEVICE);
    assert_non_null(strstr(err.text, "/tmp/azihsm-no-such/azihsmd.sock"));
    azihsm_client_free(nobody);
}

static unsigned traced;

static void count_trace(void *arg, enum azihsm_trace_category category, const char *line)
{
    (void)category;
    assert_true(strlen(line) > 0);
    ++*(unsigned *)arg;
}

static void test_trace(void **state)
{
    const struct azihsm_client_config config = {.trace = count_trace, .trace_arg = &traced};
    struct azihsm_client *talking;
    uint8_t hint[32];

    (void)state;
    OK(client_new_on(&config, software_endpoint(device, true), &talking, WHY));
    OK(azihsm_client_device_hint(talking, hint, WHY));
    assert_true(traced > 0);
    azihsm_client_free(talking);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_one_request),
        TEST(test_lazy),
        TEST(test_reset),
        TEST(test_reset_wait),
        TEST(test_unprovisioned_deadline),
        TEST(test_session_key),
        TEST(test_reopen_refused),
        TEST(test_bulk_death),
        TEST(test_bulk_in_place),
        TEST(test_bulk_renewed),
        TEST(test_cures),
        TEST(test_final),
        TEST(test_creation_repeated),
        TEST(test_death),
        TEST(test_dead_for_good),
        TEST(test_timeout),
        TEST(test_full),
        TEST(test_full_of_others),
        TEST(test_free_deletes),
        TEST(test_free_slow),
        TEST(test_pin_source),
        TEST(test_registry),
        TEST(test_no_socket),
        TEST(test_trace),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
