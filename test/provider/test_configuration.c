/*
 * Configuration through openssl.cnf: what is wrong is said once on stderr, software goes on, device keys fail with it.
 * Each case is an openssl command of its own, because its environment and its stderr are what is tested.
 */
#include "support.h"

#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char output[16384];

/* Writes a configuration with extra lines of ours and, perhaps, without default; runs the command; keeps its output. */
static int run(const char *extra, bool with_default, const char *command)
{
    const char *dir = getenv("AZIHSM_TEST_DIR");
    char path[512], line[2048];
    size_t used;
    FILE *file;

    snprintf(path, sizeof(path), "%s/case.cnf", dir);
    file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file, "openssl_conf = i\n[i]\nproviders = p\n[p]\nazihsm = a\n%s = d\n[d]\nactivate = 1\n[a]\n",
            with_default ? "default" : "base");
    fprintf(file, "module = %s/lib/azihsm.so\nactivate = 1\ndevice = unix:%s/azihsmd.sock\nkeys = %s/keys\n%s\n",
            getenv("AZIHSM_TEST_BUILD"), dir, dir, extra);
    fclose(file);
    snprintf(line, sizeof(line), "cd %s && OPENSSL_CONF=%s %s 2>&1", dir, path, command);
    file = popen(line, "r");
    assert_non_null(file);
    used = fread(output, 1, sizeof(output) - 1, file);
    output[used] = '\0';
    return pclose(file);
}

static unsigned times(const char *text)
{
    unsigned n = 0;

    for (const char *at = output; (at = strstr(at, text)) != NULL; at++)
        n++;
    return n;
}

static void write_key(void)
{
    char path[512];
    BIO *bio;

    snprintf(path, sizeof(path), "%s/case.pem", getenv("AZIHSM_TEST_DIR"));
    bio = BIO_new_file(path, "w");
    good(PEM_write_bio_PrivateKey(bio, device_key(order("default-first"), "P-256"), NULL, NULL, 0, NULL, NULL));
    BIO_free(bio);
}

static void test_silent_when_right(void **state)
{
    (void)state;
    write_key();
    assert_int_equal(run("", true, "openssl dgst -sign case.pem -out case.sig case.cnf"), 0);
    assert_string_equal(output, "");
    assert_int_equal(run("", true, "openssl version"), 0);
    assert_int_equal(times("azihsm"), 0);
}

static void test_wrong(void **state)
{
    static const struct {
        const char *extra, *says;
    } cases[] = {
        {"timeout = soon", "azihsm: configuration: timeout = soon"},
        {"import = maybe", "azihsm: configuration: import = maybe"},
        {"pin_source = file:/etc/pin", "azihsm: configuration: pin_source: the provider's section of openssl.cnf has "
                                       "no such key (did you mean pin-source?)"},
        {"colour = red", "azihsm: configuration: colour: the provider's section of openssl.cnf has no such key"},
        {"log = section\n[section]\nlevel = 3", "azihsm: configuration: log"},
    };

    (void)state;
    write_key();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(run(cases[i].extra, true, "openssl genpkey -algorithm EC -pkeyopt group:P-256 -out soft.pem"),
                         0);
        if (times(cases[i].says) != 1)
            fail_msg("not said once: %s in: %s", cases[i].says, output);
        assert_int_equal(run(cases[i].extra, true, "openssl dgst -sign soft.pem -out case.sig case.cnf"), 0);
        assert_int_equal(run(cases[i].extra, true, "openssl pkey -in case.pem -pubout"), 0); /* public work goes on */
        assert_int_not_equal(run(cases[i].extra, true, "openssl dgst -sign case.pem -out case.sig case.cnf"), 0);
        assert_int_equal(times("wrong configuration of azihsm"), 1);
        assert_int_not_equal(run(cases[i].extra, true, "openssl genpkey -propquery provider=azihsm -algorithm RSA"), 0);
        assert_int_equal(times("wrong configuration of azihsm"), 1);
    }
}

/* C-11: said in the trace, once, and only then. */
static void test_alone(void **state)
{
    static const char warning[] = "neither the default nor the fips provider is active";

    (void)state;
    write_key();
    run("trace = config", false, "openssl pkey -in case.pem -pubout");
    assert_int_equal(times(warning), 1);
    run("", false, "openssl pkey -in case.pem -pubout");
    assert_int_equal(times(warning), 0);
    run("trace = config", true, "openssl pkey -in case.pem -pubout");
    assert_int_equal(times(warning), 0);
    assert_int_equal(times("config: device unix:"), 1);
}

static void test_trace_file(void **state)
{
    char extra[600], text[4096] = "", path[512];
    FILE *file;

    (void)state;
    write_key();
    snprintf(path, sizeof(path), "%s/trace.log", getenv("AZIHSM_TEST_DIR"));
    snprintf(extra, sizeof(extra), "trace = all@%s", path);
    assert_int_equal(run(extra, true, "openssl dgst -sign case.pem -out case.sig case.cnf"), 0);
    assert_string_equal(output, "");
    file = fopen(path, "r");
    assert_non_null(file);
    assert_true(fread(text, 1, sizeof(text) - 1, file) > 0);
    fclose(file);
    assert_non_null(strstr(text, "] config: "));
    assert_non_null(strstr(text, "] key: EC key of 256 bits loaded"));
    assert_non_null(strstr(text, "] session: "));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_silent_when_right),
        cmocka_unit_test(test_wrong),
        cmocka_unit_test(test_alone),
        cmocka_unit_test(test_trace_file),
    };

    if (SANITIZED) {
        print_message("skipped: the openssl command cannot load a module with a sanitizer in it\n");
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, support_end);
}
