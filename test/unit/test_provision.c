/*
 * Provisioning over an emulator of this process: fresh, after a reset, after a power cycle, with another owner, with
 * damaged backup keys; the keeper is asked before the device relies on what it must keep.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client/provision.h"
#include "daemon/inproc.h"
#include "emulator/emulator.h"

#include <pthread.h>
#include <time.h>

struct fixture {
    struct emu_config config;
    struct emu_device *emulator;
    struct azihsm_endpoint *endpoint;
    struct provision_state *owner;
    unsigned saves;
    azihsm_rc save_result;
};

static azihsm_rc count_save(void *arg, const struct provision_state *state, struct azihsm_error *err)
{
    struct fixture *fixture = arg;

    assert_non_null(state);
    fixture->saves++;
    return fixture->save_result == AZIHSM_OK ? AZIHSM_OK
                                             : azihsm_error_set(err, fixture->save_result, "the disk is full");
}

static int64_t deadline(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return ((int64_t)now.tv_sec + 30) * 1000000000 + now.tv_nsec;
}

static void power_on(struct fixture *fixture, const uint8_t *state, size_t len)
{
    assert_int_equal(emu_device_new(&fixture->config, state, len, &fixture->emulator), AZIHSM_OK);
    assert_int_equal(inproc_endpoint_new(fixture->emulator, NULL, &fixture->endpoint), AZIHSM_OK);
}

static void power_off(struct fixture *fixture)
{
    azihsm_endpoint_free(fixture->endpoint);
    emu_device_free(fixture->emulator);
    fixture->endpoint = NULL;
    fixture->emulator = NULL;
}

static struct fixture *make(enum azihsm_device_kind kind)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    fixture->config = (struct emu_config){.kind = kind, .tables = 1, .sessions_max = 8, .extensions = true};
    power_on(fixture, NULL, 0);
    assert_int_equal(provision_state_generate(&fixture->owner, NULL), AZIHSM_OK);
    return fixture;
}

static int set_up_virtual(void **state)
{
    *state = make(AZIHSM_DEVICE_VIRTUAL);
    return 0;
}

static int set_up_physical(void **state)
{
    *state = make(AZIHSM_DEVICE_PHYSICAL);
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    power_off(fixture);
    provision_state_free(fixture->owner);
    free(fixture);
    return 0;
}

static azihsm_rc run(struct fixture *fixture, enum provision_outcome *outcome, struct azihsm_error *err)
{
    const struct provision_keeper keeper = {count_save, fixture};

    return provision_run(fixture->endpoint, fixture->owner, &keeper, deadline(), outcome, err);
}

static void run_ok(struct fixture *fixture, enum provision_outcome expected)
{
    struct azihsm_error err = {0};
    enum provision_outcome outcome = PROVISION_ALREADY;
    azihsm_rc rc = run(fixture, &outcome, &err);

    if (rc != AZIHSM_OK)
        print_error("%s\n", err.text);
    assert_int_equal(rc, AZIHSM_OK);
    assert_int_equal(outcome, expected);
}

static void provisions_a_fresh_device(void **state)
{
    struct fixture *fixture = *state;
    struct emu_counters counters;
    bool needed = false;

    assert_int_equal(provision_needed(fixture->endpoint, deadline(), &needed, NULL), AZIHSM_OK);
    assert_true(needed);
    run_ok(fixture, PROVISION_DONE);
    assert_true(fixture->owner->masked_bk3.len > 0);
    assert_true(fixture->owner->bmk.len > 0);
    assert_true(fixture->owner->muk.len > 0);
    assert_int_equal(fixture->saves, 3);
    assert_int_equal(provision_needed(fixture->endpoint, deadline(), &needed, NULL), AZIHSM_OK);
    assert_false(needed);
    emu_device_counters(fixture->emulator, &counters);
    assert_true(counters.provisioned);
    assert_int_equal(counters.sessions, 0);
    assert_int_equal(counters.handles, 0);
}

static void a_second_run_changes_nothing(void **state)
{
    struct fixture *fixture = *state;

    run_ok(fixture, PROVISION_DONE);
    fixture->saves = 0;
    run_ok(fixture, PROVISION_ALREADY);
    assert_int_equal(fixture->saves, 0);
}

static void restores_after_a_reset(void **state)
{
    struct fixture *fixture = *state;
    struct provision_state before;

    run_ok(fixture, PROVISION_DONE);
    before = *fixture->owner;
    emu_device_reset(fixture->emulator);
    run_ok(fixture, PROVISION_DONE);
    assert_memory_equal(&before, fixture->owner, sizeof(before));
}

static void restores_after_a_power_cycle(void **state)
{
    struct fixture *fixture = *state;
    struct provision_state before;
    static uint8_t saved[EMU_STATE_MAX];
    size_t len = 0;

    run_ok(fixture, PROVISION_DONE);
    before = *fixture->owner;
    assert_int_equal(emu_device_save(fixture->emulator, saved, sizeof(saved), &len), AZIHSM_OK);
    power_off(fixture);
    power_on(fixture, saved, len);
    run_ok(fixture, PROVISION_DONE);
    assert_memory_equal(&before, fixture->owner, sizeof(before));
}

static void names_the_backup_key_of_another_device(void **state)
{
    struct fixture *fixture = *state;
    struct azihsm_error err = {0};
    enum provision_outcome outcome;

    run_ok(fixture, PROVISION_DONE);
    power_off(fixture);
    power_on(fixture, NULL, 0); /* other secrets */
    assert_int_equal(run(fixture, &outcome, &err), AZIHSM_E_MISMATCH);
    assert_non_null(strstr(err.text, "another device"));
}

static void a_masked_bk3_of_an_older_boot_key_is_renewed(void **state)
{
    struct fixture *fixture = *state;
    size_t last;

    run_ok(fixture, PROVISION_DONE);
    emu_device_reset(fixture->emulator);
    last = fixture->owner->masked_bk3.len - 1;
    fixture->owner->masked_bk3.data[last] ^= 1;
    fixture->saves = 0;
    run_ok(fixture, PROVISION_DONE);
    assert_int_equal(fixture->saves, 1);
}

static void refuses_another_owner(void **state)
{
    struct fixture *fixture = *state;
    struct provision_state *mine = fixture->owner, *other = NULL;
    struct azihsm_error err = {0};
    enum provision_outcome outcome;

    run_ok(fixture, PROVISION_DONE);
    assert_int_equal(provision_state_generate(&other, NULL), AZIHSM_OK);
    fixture->owner = other;
    assert_int_equal(run(fixture, &outcome, &err), AZIHSM_E_MISMATCH);
    assert_non_null(strstr(err.text, "backup key"));
    other->bmk = mine->bmk;
    assert_int_equal(run(fixture, &outcome, &err), AZIHSM_E_PERMISSION);
    assert_non_null(strstr(err.text, "another owner"));
    fixture->owner = mine;
    provision_state_free(other);
}

static void stops_when_the_state_cannot_be_saved(void **state)
{
    struct fixture *fixture = *state;
    struct azihsm_error err = {0};
    enum provision_outcome outcome;
    bool needed = false;

    fixture->save_result = AZIHSM_E_IO;
    assert_int_equal(run(fixture, &outcome, &err), AZIHSM_E_IO);
    assert_string_equal(err.text, "the disk is full");
    assert_int_equal(provision_needed(fixture->endpoint, deadline(), &needed, NULL), AZIHSM_OK);
    assert_true(needed); /* the masked BK3 was not saved, so it was not used */
}

static void changes_the_pin(void **state)
{
    struct fixture *fixture = *state;
    const struct provision_keeper keeper = {count_save, fixture};
    const uint8_t pin[AZIHSM_CREDENTIAL_SIZE] = "0123456789abcde";
    uint8_t old[2 * AZIHSM_CREDENTIAL_SIZE];
    enum provision_outcome outcome;

    run_ok(fixture, PROVISION_DONE);
    memcpy(old, fixture->owner->credential, sizeof(old));
    assert_int_equal(provision_change_pin(fixture->endpoint, fixture->owner, &keeper, pin, deadline(), NULL),
                     AZIHSM_OK);
    assert_memory_equal(fixture->owner->credential + AZIHSM_CREDENTIAL_SIZE, pin, sizeof(pin));
    run_ok(fixture, PROVISION_ALREADY);
    memcpy(fixture->owner->credential, old, sizeof(old));
    assert_int_equal(run(fixture, &outcome, NULL), AZIHSM_E_PERMISSION);
}

struct racer {
    struct fixture *fixture;
    struct provision_state *owner;
    azihsm_rc rc;
    enum provision_outcome outcome;
};

static azihsm_rc keep_nothing(void *arg, const struct provision_state *state, struct azihsm_error *err)
{
    (void)arg;
    (void)state;
    (void)err;
    return AZIHSM_OK;
}

static void *race(void *arg)
{
    const struct provision_keeper keeper = {keep_nothing, NULL};
    struct racer *racer = arg;

    racer->rc = provision_run(racer->fixture->endpoint, racer->owner, &keeper, deadline(), &racer->outcome, NULL);
    return NULL;
}

/* Several processes of one owner after a reset: all succeed, at least one did the work. */
static void racing_owners_all_succeed(void **state)
{
    struct fixture *fixture = *state;
    struct racer racers[6];
    pthread_t threads[6];
    unsigned done = 0;
    size_t i;

    run_ok(fixture, PROVISION_DONE);
    emu_device_reset(fixture->emulator);
    for (i = 0; i < 6; i++) {
        uint8_t buf[PROVISION_STATE_MAX];
        size_t len = 0;

        racers[i] = (struct racer){.fixture = fixture};
        assert_int_equal(provision_state_encode(fixture->owner, buf, sizeof(buf), &len), AZIHSM_OK);
        assert_int_equal(provision_state_decode((struct azihsm_bytes){buf, len}, &racers[i].owner), AZIHSM_OK);
        assert_int_equal(pthread_create(&threads[i], NULL, race, &racers[i]), 0);
    }
    for (i = 0; i < 6; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(racers[i].rc, AZIHSM_OK);
        done += racers[i].outcome == PROVISION_DONE;
        provision_state_free(racers[i].owner);
    }
    assert_int_equal(done, 1);
}

static void the_state_survives_encoding_and_nothing_less(void **state)
{
    struct fixture *fixture = *state;
    struct provision_state *copy = NULL;
    uint8_t buf[PROVISION_STATE_MAX];
    size_t len = 0, cut;

    run_ok(fixture, PROVISION_DONE);
    assert_int_equal(provision_state_encode(fixture->owner, buf, sizeof(buf), &len), AZIHSM_OK);
    assert_int_equal(provision_state_decode((struct azihsm_bytes){buf, len}, &copy), AZIHSM_OK);
    assert_memory_equal(copy, fixture->owner, sizeof(*copy));
    provision_state_free(copy);
    for (cut = 0; cut < len; cut++)
        assert_int_equal(provision_state_decode((struct azihsm_bytes){buf, cut}, &copy), AZIHSM_E_DECODE);
    assert_int_equal(provision_state_encode(fixture->owner, buf, len - 1, &cut), AZIHSM_E_ENCODE);
}

#define BOTH(name)                                                                                                     \
    cmocka_unit_test_setup_teardown(name, set_up_virtual, tear_down),                                                  \
        cmocka_unit_test_setup_teardown(name, set_up_physical, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(provisions_a_fresh_device),
        BOTH(a_second_run_changes_nothing),
        BOTH(restores_after_a_reset),
        BOTH(restores_after_a_power_cycle),
        BOTH(names_the_backup_key_of_another_device),
        BOTH(a_masked_bk3_of_an_older_boot_key_is_renewed),
        BOTH(refuses_another_owner),
        BOTH(stops_when_the_state_cannot_be_saved),
        BOTH(changes_the_pin),
        BOTH(racing_owners_all_succeed),
        BOTH(the_state_survives_encoding_and_nothing_less),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
