/*
 * Operations inside ASYNC jobs: they pause instead of blocking, and one that is thrown away while it is paused gives up
 * all it holds.
 */
#include "judge.h"
#include "software_device.h"

#include <openssl/async.h>
#include <openssl/crypto.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>
#include <unistd.h>

enum { JOBS = 200 };

static const struct azihsm_key_spec for_sign = {.usage = AZIHSM_USAGE_SIGN};

static struct software_device *device;
static struct azihsm_client *client;

struct job {
    ASYNC_JOB *job;
    ASYNC_WAIT_CTX *wait;
    struct azihsm_key *key;
    azihsm_rc rc;
    int ret;
    bool running;
    int fd;
    void (*abandon)(void *state);
    void *state;
    unsigned pauses;
};

static struct job jobs[JOBS];
static struct job *current; /* the job that runs just now */
static bool refuse_pause;
static ASYNC_JOB *thrown_away[JOBS]; /* core never frees them: known here, so that leak checkers look elsewhere */
static unsigned thrown_away_count;

static bool can_pause(void *arg)
{
    (void)arg;
    return ASYNC_get_current_job() != NULL;
}

static bool pause_job(void *arg, int fd, void (*abandon)(void *state), void *state)
{
    struct job *me = current;

    (void)arg;
    if (refuse_pause)
        return false;
    me->fd = fd;
    me->abandon = abandon;
    me->state = state;
    me->pauses++;
    ASYNC_pause_job();
    me->fd = -1;
    me->abandon = NULL;
    return true;
}

static int setup(void **state)
{
    const struct software_options options = {0};
    const struct azihsm_client_config config = {.async = {.can_pause = can_pause, .pause = pause_job}};

    (void)state;
    device = software_new(&options);
    OK(client_new_on(&config, software_endpoint(device, true), &client, WHY));
    memset(jobs, 0, sizeof(jobs));
    refuse_pause = false;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    azihsm_client_free(client);
    software_free(device);
    ASYNC_cleanup_thread();
    return 0;
}

static int sign_in_job(void *arg)
{
    struct job *me = *(struct job **)arg;

    me->rc = judge_sign(me->key, NULL);
    return 1;
}

/* Starts or resumes; false when it has ended. */
static bool step(struct job *me)
{
    int status;

    if (me->wait == NULL)
        me->wait = ASYNC_WAIT_CTX_new();
    current = me;
    status = ASYNC_start_job(&me->job, me->wait, &me->ret, sign_in_job, &me, sizeof(me));
    current = NULL;
    assert_true(status == ASYNC_PAUSE || status == ASYNC_FINISH);
    me->running = status == ASYNC_PAUSE;
    if (!me->running) {
        ASYNC_WAIT_CTX_free(me->wait);
        me->wait = NULL;
    }
    return me->running;
}

/* An event loop: resumes the jobs whose descriptor is readable. */
static void run_all(unsigned count)
{
    struct pollfd fds[JOBS];
    unsigned left = 0;

    for (unsigned i = 0; i < count; i++)
        left += step(&jobs[i]);
    while (left > 0) {
        for (unsigned i = 0; i < count; i++)
            fds[i] = (struct pollfd){.fd = jobs[i].running ? jobs[i].fd : -1, .events = POLLIN};
        assert_true(poll(fds, count, 20000) > 0);
        for (unsigned i = 0; i < count; i++)
            if ((fds[i].revents & POLLIN) != 0)
                left -= !step(&jobs[i]);
    }
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(jobs[i].rc, AZIHSM_OK);
}

/* What an application does that frees a connection in the middle of a job. */
static void throw_away(struct job *me)
{
    me->abandon(me->state);
    ASYNC_WAIT_CTX_free(me->wait);
    thrown_away[thrown_away_count++] = me->job;
}

static struct azihsm_key *file_of(struct azihsm_key *key)
{
    struct azihsm_key *file;

    OK(azihsm_key_from_blob(client, azihsm_key_blob(key), azihsm_key_spki(key), &file, WHY));
    return file;
}

static void test_pauses(void **state)
{
    struct azihsm_key *key;
    unsigned pauses = 0;

    (void)state;
    OK(azihsm_key_generate_ecc(client, AZIHSM_CURVE_P256, &for_sign, &key, WHY));
    software_set_delay_ms(device, 20);
    for (unsigned i = 0; i < JOBS; i++)
        jobs[i].key = key;
    run_all(JOBS);
    for (unsigned i = 0; i < JOBS; i++) {
        assert_true(jobs[i].pauses <= 1); /* on a busy machine the answer may be there already */
        pauses += jobs[i].pauses;
    }
    assert_true(pauses > 1);
    software_set_delay_ms(device, 0);
    azihsm_key_free(key);
    assert_int_equal(software_open_requests(device), 0);
}

/* Jobs of one thread meet at a key that is not loaded, at a session that is not there, at a device that is away. */
static void test_cold(void **state)
{
    struct azihsm_key *key, *file;

    (void)state;
    OK(azihsm_key_generate_ecc(client, AZIHSM_CURVE_P256, &for_sign, &key, WHY));
    file = file_of(key);
    software_set_delay_ms(device, 2);
    for (unsigned i = 0; i < 50; i++)
        jobs[i].key = file;
    run_all(50);
    emu_device_reset(software_emulator(device));
    software_provision(device);
    run_all(50);
    software_down(device);
    software_up(device);
    run_all(50);
    software_fail(device, AZIHSM_OP_ECC_SIGN, 20, AZIHSM_STATUS_KEY_NOT_FOUND, false);
    run_all(50);
    software_fail(device, AZIHSM_OP_ECC_SIGN, 30, AZIHSM_E_ABORTED, false);
    run_all(50);
    software_fail(device, AZIHSM_OP_UNMASK_KEY, 5, AZIHSM_STATUS_NOT_ENOUGH_SPACE, false);
    azihsm_key_evict(file, NULL);
    run_all(50);
    azihsm_key_free(file);
    azihsm_key_free(key);
}

/* Spurious resumes: the operation looks and pauses again. */
static void test_spurious(void **state)
{
    struct azihsm_key *key;

    (void)state;
    OK(azihsm_key_generate_ecc(client, AZIHSM_CURVE_P256, &for_sign, &key, WHY));
    jobs[0].key = key;
    /* Once more with a longer delay if the machine was too busy to be too early. */
    for (unsigned delay = 50; jobs[0].pauses < 6; delay *= 2) {
        jobs[0].pauses = 0;
        software_set_delay_ms(device, delay);
        while (step(&jobs[0]) && jobs[0].pauses < 6)
            ;
        software_set_delay_ms(device, 0);
        while (jobs[0].running) {
            struct pollfd ready = {.fd = jobs[0].fd, .events = POLLIN};

            assert_int_equal(poll(&ready, 1, -1), 1);
            step(&jobs[0]);
        }
        assert_int_equal(jobs[0].rc, AZIHSM_OK);
    }
    azihsm_key_free(key);
}

/* A pause that fails: the operation blocks instead. */
static void test_no_pause(void **state)
{
    struct azihsm_key *key;

    (void)state;
    OK(azihsm_key_generate_ecc(client, AZIHSM_CURVE_P256, &for_sign, &key, WHY));
    refuse_pause = true;
    software_set_delay_ms(device, 10);
    jobs[0].key = key;
    assert_false(step(&jobs[0]));
    assert_int_equal(jobs[0].rc, AZIHSM_OK);
    azihsm_key_free(key);
}

/* C-31: jobs thrown away while paused give up request, key and session; core keeps only their stacks. */
static void test_abandoned(void **state)
{
    struct azihsm_key *key;
    struct emu_counters counters;

    (void)state;
    OK(azihsm_key_generate_ecc(client, AZIHSM_CURVE_P256, &for_sign, &key, WHY));
    software_set_delay_ms(device, 60000);
    for (unsigned i = 0; i < 100; i++) {
        jobs[i].key = key;
        assert_true(step(&jobs[i]));
    }
    assert_int_equal(software_open_requests(device), 100);
    assert_int_equal(azihsm_key_evict(key, NULL), AZIHSM_E_BUSY);
    for (unsigned i = 0; i < 100; i++)
        throw_away(&jobs[i]);
    assert_int_equal(software_open_requests(device), 0);
    assert_int_equal(software_released_early(device), 100);
    software_set_delay_ms(device, 0);
    OK(azihsm_key_evict(key, WHY));
    OK(judge_sign(key, WHY));
    azihsm_key_free(key);
    emu_device_counters(software_emulator(device), &counters);
    assert_int_equal(counters.sessions, 1);
}

/* Thrown away during a back-off, after its owner has freed key and client. */
static void test_abandoned_late(void **state)
{
    const struct azihsm_client_config config = {.async = {.can_pause = can_pause, .pause = pause_job}};
    struct azihsm_client *brief;
    struct azihsm_key *key, *file;

    (void)state;
    OK(azihsm_key_generate_ecc(client, AZIHSM_CURVE_P256, &for_sign, &key, WHY));
    OK(client_new_on(&config, software_endpoint(device, true), &brief, WHY));
    OK(azihsm_key_from_blob(brief, azihsm_key_blob(key), azihsm_key_spki(key), &file, WHY));
    software_fail(device, AZIHSM_OP_ECC_SIGN, 1000, AZIHSM_E_NOT_READY, false);
    jobs[0].key = file;
    assert_true(step(&jobs[0]));
    azihsm_key_free(file);
    azihsm_client_free(brief);
    throw_away(&jobs[0]);
    software_fail(device, AZIHSM_OP_ECC_SIGN, 0, AZIHSM_OK, false);
    assert_int_equal(software_open_requests(device), 0);
    azihsm_key_free(key);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_pauses),   TEST(test_cold),      TEST(test_spurious),
        TEST(test_no_pause), TEST(test_abandoned), TEST(test_abandoned_late),
    };

    if (!ASYNC_is_capable()) {
        print_message("skipped: this libcrypto has no ASYNC jobs\n");
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
