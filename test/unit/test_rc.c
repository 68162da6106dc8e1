/*
 * Names and hints of results, the meaning of enumeration values, and error texts.
 */
#include <azihsm/ddi.h>
#include <azihsm/error.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

static void every_status_has_its_specified_name(void **state)
{
    static const struct {
        azihsm_rc rc;
        const char *name;
    } some[] = {
        {0, "Success"},
        {134217731, "InvalidArg"},
        {141033474, "DdiDecodeFailed"},
        {141557774, "KeyNotFound"},
        {141557802, "UnsupportedRevision"},
        {141557866, "IoChannePipelNotEnabled"},
        {141557953, "MaskedKeyDecodeFailed"},
        {141557959, "SessionNeedsRenegotiation"},
        {141557976, "PartitionIdKeyGenerationPctFailed"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(some) / sizeof(some[0]); i++)
        assert_string_equal(azihsm_rc_name(some[i].rc), some[i].name);
    assert_string_equal(azihsm_rc_name(0x08700005), "unknown device status");
    assert_string_equal(azihsm_rc_name(INT32_MAX), "unknown device status");
}

static void every_failure_of_ours_has_a_name_of_its_own(void **state)
{
    (void)state;
    for (azihsm_rc a = AZIHSM_E_INTERNAL; a < 0; a++) {
        assert_string_not_equal(azihsm_rc_name(a), "unknown failure");
        for (azihsm_rc b = AZIHSM_E_INTERNAL; b < a; b++)
            assert_string_not_equal(azihsm_rc_name(a), azihsm_rc_name(b));
    }
    assert_string_equal(azihsm_rc_name(AZIHSM_E_INTERNAL - 1), "unknown failure");
    assert_string_equal(azihsm_rc_name(INT32_MIN), "unknown failure");
}

static void what_users_meet_has_a_hint(void **state)
{
    static const azihsm_rc met[] = {
        AZIHSM_E_CONFIG,
        AZIHSM_E_NO_DEVICE,
        AZIHSM_E_PERMISSION,
        AZIHSM_E_TIMEOUT,
        AZIHSM_E_MISMATCH,
        AZIHSM_STATUS_INVALID_APP_CREDENTIALS,
        AZIHSM_STATUS_LOGIN_FAILED,
        AZIHSM_STATUS_CREDENTIALS_NOT_ESTABLISHED,
        AZIHSM_STATUS_PARTITION_NOT_PROVISIONED,
        AZIHSM_STATUS_MASKED_KEY_DECODE_FAILED,
        AZIHSM_STATUS_INVALID_PERMISSIONS,
        AZIHSM_STATUS_VAULT_SESSION_LIMIT_REACHED,
        AZIHSM_STATUS_REACHED_MAX_KEYS,
        AZIHSM_STATUS_KEY_TAG_ALREADY_EXISTS,
        AZIHSM_STATUS_SESSION_NEEDS_RENEGOTIATION,
    };

    (void)state;
    for (size_t i = 0; i < sizeof(met) / sizeof(met[0]); i++)
        assert_non_null(azihsm_rc_hint(met[i]));
    assert_null(azihsm_rc_hint(AZIHSM_OK));
    assert_null(azihsm_rc_hint(AZIHSM_STATUS_SHA_ERROR));
    assert_null(azihsm_rc_hint(12345));
}

static void an_error_is_filled_cut_and_optional(void **state)
{
    struct azihsm_error err;
    char text[1000];

    (void)state;
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    assert_int_equal(azihsm_error_set(&err, AZIHSM_E_IO, "%s: %d", "/state/bmk", 28), AZIHSM_E_IO);
    assert_int_equal(err.rc, AZIHSM_E_IO);
    assert_string_equal(err.text, "/state/bmk: 28");
    assert_int_equal(azihsm_error_set(&err, AZIHSM_E_CONFIG, "%s", text), AZIHSM_E_CONFIG);
    assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
    assert_int_equal(azihsm_error_set(NULL, AZIHSM_STATUS_KEY_NOT_FOUND, "nobody reads this"),
                     AZIHSM_STATUS_KEY_NOT_FOUND);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_status_has_its_specified_name),
        cmocka_unit_test(every_failure_of_ours_has_a_name_of_its_own),
        cmocka_unit_test(what_users_meet_has_a_hint),
        cmocka_unit_test(an_error_is_filled_cut_and_optional),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
