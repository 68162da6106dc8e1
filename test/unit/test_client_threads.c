/*
 * Threads: a cold start of many, resets, evictions and frees under use. Worth most under ThreadSanitizer.
 */
#include "judge.h"
#include "sanitizer.h"
#include "software_device.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { COLD_THREADS = 64, COLD_REPEATS = TIMES(100), WORKERS = 8 };

static const struct azihsm_key_spec for_sign = {.usage = AZIHSM_USAGE_SIGN};

static struct software_device *device;
static struct azihsm_key *shared;
static _Atomic unsigned failures;
static _Atomic bool stop;
static pthread_barrier_t barrier;

static int setup(void **state)
{
    const struct software_options options = {0};

    (void)state;
    device = software_new(&options);
    atomic_store(&failures, 0);
    atomic_store(&stop, false);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    software_free(device);
    return 0;
}

static void sign_or_count(struct azihsm_key *key)
{
    struct azihsm_error err = {0};

    if (judge_sign(key, &err) != AZIHSM_OK) {
        fprintf(stderr, "%s\n", err.text);
        atomic_fetch_add(&failures, 1);
    }
}

static void *cold(void *arg)
{
    (void)arg;
    pthread_barrier_wait(&barrier);
    sign_or_count(shared);
    return NULL;
}

/* C-13: 64 threads, one key, cold start. One handle, one session, one load. */
static void test_cold_start(void **state)
{
    struct azihsm_client *maker = software_client(device, 0);
    struct azihsm_key *key;
    pthread_t threads[COLD_THREADS];

    (void)state;
    OK(azihsm_key_generate_ecc(maker, AZIHSM_CURVE_P256, &for_sign, &key, WHY));
    for (int repeat = 0; repeat < COLD_REPEATS; repeat++) {
        struct azihsm_client *client = software_client(device, 60000);

        OK(azihsm_key_from_blob(client, azihsm_key_blob(key), azihsm_key_spki(key), &shared, WHY));
        software_forget_counts(device);
        pthread_barrier_init(&barrier, NULL, COLD_THREADS);
        for (int i = 0; i < COLD_THREADS; i++)
            pthread_create(&threads[i], NULL, cold, NULL);
        for (int i = 0; i < COLD_THREADS; i++)
            pthread_join(threads[i], NULL);
        pthread_barrier_destroy(&barrier);
        assert_int_equal(software_opens(device), 1);
        assert_int_equal(software_count(device, AZIHSM_OP_OPEN_SESSION), 1);
        assert_int_equal(software_count(device, AZIHSM_OP_UNMASK_KEY), 1);
        assert_int_equal(software_count(device, AZIHSM_OP_ECC_SIGN), COLD_THREADS);
        azihsm_key_free(shared);
        azihsm_client_free(client);
    }
    assert_int_equal(atomic_load(&failures), 0);
    azihsm_key_free(key);
    azihsm_client_free(maker);
}

static _Atomic unsigned rounds[WORKERS]; /* of each worker */

static void *work(void *arg)
{
    _Atomic unsigned *mine = arg;

    while (!atomic_load(&stop)) {
        sign_or_count(shared);
        atomic_fetch_add(mine, 1);
    }
    return NULL;
}

/* Until every worker has ended what it is doing now. */
static void wait_for_round(void)
{
    for (int i = 0; i < WORKERS; i++) {
        unsigned before = atomic_load(&rounds[i]);

        while (atomic_load(&rounds[i]) == before)
            usleep(1000);
    }
}

static void run_workers(void (*meanwhile)(void))
{
    pthread_t threads[WORKERS];

    for (int i = 0; i < WORKERS; i++)
        pthread_create(&threads[i], NULL, work, &rounds[i]);
    meanwhile();
    atomic_store(&stop, true);
    for (int i = 0; i < WORKERS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&failures), 0);
}

static void with_shared(void (*meanwhile)(void))
{
    struct azihsm_client *client = software_client(device, 60000);

    OK(azihsm_key_generate_ecc(client, AZIHSM_CURVE_P256, &for_sign, &shared, WHY));
    run_workers(meanwhile);
    azihsm_key_free(shared);
    azihsm_client_free(client);
    assert_int_equal(software_open_requests(device), 0);
}

static void resets(void)
{
    for (int i = 0; i < 15; i++) {
        usleep(20000);
        emu_device_reset(software_emulator(device));
        software_provision(device);
    }
}

static void deaths(void)
{
    for (int i = 0; i < 15; i++) {
        usleep(20000);
        software_down(device);
        usleep(10000);
        software_up(device);
    }
}

/* The key is thrown out under its users; a busy key may refuse. */
static void evictions(void)
{
    for (int i = 0; i < 300; i++) {
        usleep(1000);
        azihsm_key_evict(shared, NULL);
    }
}

/*
 * Its id vanishes from the device, as when another session of the credential deletes it. An operation loads a key again
 * up to six times: so that it meets no more than two of these, everybody ends one in between.
 */
static void vanishing(void)
{
    for (int i = 0; i < TIMES(50); i++) {
        software_fail(device, AZIHSM_OP_ECC_SIGN, 2, AZIHSM_STATUS_KEY_NOT_FOUND, false);
        wait_for_round();
    }
}

static void test_resets(void **state)
{
    (void)state;
    with_shared(resets);
}

static void test_deaths(void **state)
{
    (void)state;
    with_shared(deaths);
}

static void test_evictions(void **state)
{
    (void)state;
    with_shared(evictions);
}

static void test_vanishing(void **state)
{
    (void)state;
    with_shared(vanishing);
}

/* Keys made, used and freed by all threads on one client; nothing is left in the device. */
static void *churn(void *arg)
{
    struct azihsm_client *client = arg;

    for (int i = 0; i < 40; i++) {
        struct azihsm_key *key, *file;

        if (azihsm_key_generate_ecc(client, AZIHSM_CURVE_P256, &for_sign, &key, NULL) != AZIHSM_OK) {
            atomic_fetch_add(&failures, 1);
            continue;
        }
        azihsm_key_from_blob(client, azihsm_key_blob(key), azihsm_key_spki(key), &file, NULL);
        sign_or_count(file);
        azihsm_key_free(key);
        sign_or_count(file);
        azihsm_key_free(file);
    }
    return NULL;
}

static void test_churn(void **state)
{
    struct azihsm_client *client = software_client(device, 60000);
    struct emu_counters before, after;
    pthread_t threads[WORKERS];
    uint8_t hint[32];

    (void)state;
    OK(azihsm_client_device_hint(client, hint, WHY));
    emu_device_counters(software_emulator(device), &before);
    for (int i = 0; i < WORKERS; i++)
        pthread_create(&threads[i], NULL, churn, client);
    for (int i = 0; i < WORKERS; i++)
        pthread_join(threads[i], NULL);
    emu_device_counters(software_emulator(device), &after);
    assert_int_equal(after.keys, before.keys);
    assert_int_equal(atomic_load(&failures), 0);
    azihsm_client_free(client);
}

/* Clients of one configuration come and go while others use the hub. */
static void *come_and_go(void *arg)
{
    const struct azihsm_client_config config = {.device = "unix:/tmp/azihsm-nowhere.sock", .timeout_ms = 1};

    (void)arg;
    for (int i = 0; i < 300; i++) {
        struct azihsm_client *client;

        if (azihsm_client_new(&config, &client, NULL) != AZIHSM_OK)
            atomic_fetch_add(&failures, 1);
        else
            azihsm_client_free(client);
    }
    return NULL;
}

static void test_registry(void **state)
{
    pthread_t threads[WORKERS];

    (void)state;
    for (int i = 0; i < WORKERS; i++)
        pthread_create(&threads[i], NULL, come_and_go, NULL);
    for (int i = 0; i < WORKERS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&failures), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_cold_start), TEST(test_resets), TEST(test_deaths),   TEST(test_evictions),
        TEST(test_vanishing),  TEST(test_churn),  TEST(test_registry),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
