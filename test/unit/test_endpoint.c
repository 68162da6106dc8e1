/* Device addresses and what `auto` chooses. */
#include "queue_fake.h"

#include "transport/endpoint.h"

static azihsm_rc make(const char *device, const char *partition, char *name, size_t cap)
{
    struct azihsm_endpoint_config config = {.device = device, .partition = partition};
    struct azihsm_endpoint *endpoint;
    struct azihsm_error err = {0};
    azihsm_rc rc = azihsm_endpoint_new(&config, &endpoint, &err);

    if (rc == AZIHSM_OK) {
        snprintf(name, cap, "%s", azihsm_endpoint_name(endpoint));
        azihsm_endpoint_free(endpoint);
    } else {
        assert_null(endpoint);
        assert_true(strlen(err.text) > 0);
    }
    return rc;
}

static void test_addresses(void **state)
{
    static const struct {
        const char *device, *partition;
        azihsm_rc rc;
    } cases[] = {
        {"auto", NULL, AZIHSM_OK},
        {"unix:/run/azihsm/azihsmd.sock", NULL, AZIHSM_OK},
        {"unix:/x", "tenant", AZIHSM_OK},
        {"unix:relative", NULL, AZIHSM_E_CONFIG},
        {"unix:", NULL, AZIHSM_E_CONFIG},
        {"unix:/", NULL, AZIHSM_E_CONFIG},
        {"unix:/directory/", NULL, AZIHSM_E_CONFIG},
        {"unix:/x", "", AZIHSM_E_CONFIG},
        {"automatic", NULL, AZIHSM_E_CONFIG},
        {"tcp:host:1", NULL, AZIHSM_E_CONFIG},
        {"", NULL, AZIHSM_E_CONFIG},
        {NULL, NULL, AZIHSM_E_CONFIG},
    };
    char longest[700] = "unix:/", name[700];
    char partition[100] = "";

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(make(cases[i].device, cases[i].partition, name, sizeof(name)), cases[i].rc);
        if (cases[i].rc == AZIHSM_OK && strcmp(cases[i].device, "auto") != 0)
            assert_string_equal(name, cases[i].device);
    }
    memset(longest + 6, 'x', sizeof(longest) - 7);
    assert_int_equal(make(longest, NULL, name, sizeof(name)), AZIHSM_E_CONFIG);
    memset(partition, 'p', sizeof(partition) - 1);
    assert_int_equal(make("unix:/x", partition, name, sizeof(name)), AZIHSM_E_CONFIG);
    assert_int_equal(make("auto", partition, name, sizeof(name)), AZIHSM_E_CONFIG);
}

static void test_user_directory(void **state)
{
    char directory[ENDPOINT_PATH_MAX];
    char small[8];

    (void)state;
    setenv("XDG_RUNTIME_DIR", "/some/where", 1);
    assert_true(endpoint_user_directory(directory, sizeof(directory)));
    assert_string_equal(directory, "/some/where/azihsm");
    assert_false(endpoint_user_directory(small, sizeof(small)));
    setenv("XDG_RUNTIME_DIR", "relative", 1);
    setenv("HOME", "/home/x", 1);
    assert_true(endpoint_user_directory(directory, sizeof(directory)));
    assert_true(directory[0] == '/');
    unsetenv("XDG_RUNTIME_DIR");
}

/* A path longer than a socket address is reached through its directory. */
static void test_long_path(void **state)
{
    struct azihsm_endpoint_config config;
    struct azihsm_endpoint *endpoint;
    struct azihsm_device *device;
    struct fake fake;
    char deep[300], link[400];

    (void)state;
    fake_make(&fake);
    fake_start(&fake);
    snprintf(deep, sizeof(deep), "%s/", fake.directory);
    memset(deep + strlen(deep), 'd', 150);
    deep[strlen(fake.directory) + 151] = '\0';
    assert_int_equal(mkdir(deep, 0700), 0);
    snprintf(link, sizeof(link), "%s/sock", deep);
    assert_int_equal(symlink(fake.path, link), 0);
    snprintf(link, sizeof(link), "unix:%s/sock", deep);
    config = (struct azihsm_endpoint_config){.device = link};
    assert_int_equal(azihsm_endpoint_new(&config, &endpoint, NULL), AZIHSM_OK);
    device = open_device(endpoint);
    assert_int_equal(echo(device, "far", 20000), AZIHSM_OK);
    azihsm_device_close(device);
    azihsm_endpoint_free(endpoint);
    fake_stop(&fake);
    unlink(link + strlen("unix:"));
    rmdir(deep);
    fake_remove(&fake);
}

/* A user's own directory is configured: auto goes there, whether or not a daemon is up. */
static void test_auto(void **state)
{
    struct azihsm_endpoint_config config = {.device = "auto"};
    struct azihsm_endpoint *endpoint;
    struct azihsm_device *device;
    struct azihsm_error err;
    struct fake fake;
    char directory[80], expected[192];

    (void)state;
    if (access("/run/azihsm", F_OK) == 0 || access("/dev/azihsm0", F_OK) == 0) {
        print_message("this machine has a device configured: auto is not tested\n");
        skip();
    }
    fake_make(&fake);
    setenv("XDG_RUNTIME_DIR", fake.directory, 1);
    assert_int_equal(azihsm_endpoint_new(&config, &endpoint, NULL), AZIHSM_OK);
    assert_int_equal(azihsm_device_open(endpoint, in_ms(100), &device, &err), AZIHSM_E_NO_DEVICE);
    assert_non_null(strstr(err.text, "azihsmd"));
    snprintf(directory, sizeof(directory), "%s/azihsm", fake.directory);
    assert_int_equal(mkdir(directory, 0700), 0);
    assert_int_equal(azihsm_device_open(endpoint, in_ms(100), &device, &err), AZIHSM_E_NO_DEVICE);
    assert_non_null(strstr(err.text, directory));
    snprintf(fake.path, sizeof(fake.path), "%s/%s", directory, ENDPOINT_SOCKET_NAME);
    fake_start(&fake);
    device = open_device(endpoint);
    snprintf(expected, sizeof(expected), "unix:%s", fake.path);
    assert_string_equal(azihsm_endpoint_name(endpoint), expected);
    azihsm_device_close(device);
    azihsm_endpoint_free(endpoint);
    fake_stop(&fake);
    unlink(fake.path);
    rmdir(directory);
    fake_remove(&fake);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_addresses),
    cmocka_unit_test(test_user_directory),
    cmocka_unit_test(test_long_path),
    cmocka_unit_test(test_auto),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
