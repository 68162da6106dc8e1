/*
 * The provider's configuration: defaults, every key, and that nothing wrong is guessed at.
 */
#include "../../provider/config.h"

#include <azihsm/client.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const char *lookup(void *arg, const char *name)
{
    for (const char *const *pair = arg; pair != NULL && pair[0] != NULL; pair += 2)
        if (strcmp(pair[0], name) == 0)
            return pair[1];
    return NULL;
}

static bool parse(struct config *config, char why[200], const char *name, const char *value)
{
    const char *pairs[] = {name, value, NULL};
    why[0] = '\0';
    return config_parse(config, lookup, pairs, why, 200);
}

static void test_defaults(void **state)
{
    struct config config;
    char why[200];
    (void)state;
    assert_true(config_parse(&config, lookup, NULL, why, sizeof(why)));
    assert_null(config.device);
    assert_null(config.partition);
    assert_null(config.pin_source);
    assert_string_equal(config.keys, "/etc/azihsm/keys");
    assert_int_equal(config.import, IMPORT_CARRY);
    assert_int_equal(config.rsa_generate, RSA_GENERATE_AUTO);
    assert_int_equal(config.symmetric, 0);
    assert_int_equal(config.async, 1);
    assert_int_equal(config.autostart, 0);
    assert_int_equal(config.pkcs11, 0);
    assert_int_equal(config.timeout_ms, 10000);
    assert_int_equal(config.trace, 0);
    config_free(&config);
}

static void test_all(void **state)
{
    static const char *const pairs[] = {
        "device",    "unix:/run/x", "partition",   "p",      "pin-source",   "file:/etc/pin",
        "keys",      "/k",          "import",      "device", "rsa-generate", "forbid",
        "symmetric", "yes",         "async",       "no",     "timeout",      "5s",
        "autostart", "on",          "pkcs11-uris", "yes",    "trace",        "key,op@/var/log/t",
        NULL};
    struct config config;
    char why[200];
    (void)state;
    assert_true(config_parse(&config, lookup, (void *)pairs, why, sizeof(why)));
    assert_string_equal(config.device, "unix:/run/x");
    assert_string_equal(config.partition, "p");
    assert_string_equal(config.pin_source, "file:/etc/pin");
    assert_string_equal(config.keys, "/k");
    assert_int_equal(config.import, IMPORT_DEVICE);
    assert_int_equal(config.rsa_generate, RSA_GENERATE_FORBID);
    assert_int_equal(config.symmetric, 1);
    assert_int_equal(config.async, 0);
    assert_int_equal(config.autostart, 1);
    assert_int_equal(config.pkcs11, 1);
    assert_int_equal(config.timeout_ms, 5000);
    assert_int_equal(config.trace, AZIHSM_TRACE_KEY | AZIHSM_TRACE_OP);
    assert_string_equal(config.trace_file, "/var/log/t");
    for (size_t i = 0; pairs[i] != NULL; i += 2)
        assert_true(config_is_known(pairs[i]));
    config_free(&config);
}

static void test_good_values(void **state)
{
    static const char *const good[] = {"timeout", "1",    "timeout", "600000",       "timeout", "250ms",
                                       "device",  "auto", "device",  "/dev/azihsm0", "trace",   "off",
                                       "trace",   "all",  "import",  "REFUSE",       NULL};
    struct config config;
    char why[200];
    (void)state;
    for (size_t i = 0; good[i] != NULL; i += 2) {
        if (!parse(&config, why, good[i], good[i + 1]))
            fail_msg("%s", why);
        config_free(&config);
    }
}

static void test_bad_values(void **state)
{
    static const char *const bad[] = {
        "timeout",   "soon",    "timeout",    "",        "timeout",      "0",       "timeout",   "-1",
        "timeout",   "600001",  "timeout",    "601s",    "timeout",      "10 s",    "timeout",   "99999999999999999999",
        "timeout",   "1e3",     "import",     "maybe",   "rsa-generate", "yes",     "symmetric", "2",
        "async",     "",        "autostart",  "perhaps", "pkcs11-uris",  "pkcs11:", "trace",     "everything",
        "trace",     "key,,op", "trace",      "key@log", "device",       "azihsm0", "device",    "unix:x",
        "device",    "",        "pin-source", "1234",    "pin-source",   "env:PIN", "keys",      "keys",
        "partition", "",        NULL};
    struct config config;
    char why[200];
    (void)state;
    for (size_t i = 0; bad[i] != NULL; i += 2) {
        if (parse(&config, why, bad[i], bad[i + 1]))
            fail_msg("%s = %s was accepted", bad[i], bad[i + 1]);
        assert_non_null(strstr(why, bad[i])); /* names the key */
        config_free(&config);
    }
}

/* The sentence goes to stderr, trace and error queue: it must not tell a PIN that stands where its path should. */
static void test_pin_not_told(void **state)
{
    struct config config;
    char why[200];
    (void)state;
    assert_false(parse(&config, why, "pin-source", "0123456789abcdef"));
    assert_non_null(strstr(why, "pin-source"));
    assert_null(strstr(why, "0123456789abcdef"));
    config_free(&config);
}

static void test_first_error_wins(void **state)
{
    static const char *const pairs[] = {"timeout", "soon", "import", "maybe", NULL};
    struct config config;
    char why[200];
    (void)state;
    assert_false(config_parse(&config, lookup, (void *)pairs, why, sizeof(why)));
    assert_non_null(strstr(why, "import"));
    assert_non_null(strstr(why, "carry, device, refuse"));
    assert_int_equal(config.timeout_ms, 10000);
    config_free(&config);
}

static void test_unknown(void **state)
{
    (void)state;
    assert_false(config_is_known("pin_source"));
    assert_false(config_is_known("Device"));
    assert_true(config_is_known("module"));
    assert_true(config_is_known("activate"));
    assert_string_equal(config_similar("pin_source"), "pin-source");
    assert_string_equal(config_similar("Timeout"), "timeout");
    assert_string_equal(config_similar("timeout-ms"), "timeout");
    assert_string_equal(config_similar("part"), "partition");
    assert_null(config_similar("colour"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),   cmocka_unit_test(test_all),          cmocka_unit_test(test_good_values),
        cmocka_unit_test(test_bad_values), cmocka_unit_test(test_pin_not_told), cmocka_unit_test(test_first_error_wins),
        cmocka_unit_test(test_unknown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
