/*
 * azihsmd's configuration file: what is right is taken, what is wrong is an error that names file, line and key.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/access.h"
#include "daemon/config.h"

#include <unistd.h>

static struct config config;
static struct azihsm_error err;

static azihsm_rc read_text(const char *text)
{
    char path[] = "/tmp/azihsm-config-XXXXXX";
    int fd = mkstemp(path);
    azihsm_rc rc;

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    config_init(&config);
    memset(&err, 0, sizeof(err));
    rc = config_read(&config, path, &err);
    unlink(path);
    config_complete(&config);
    return rc == AZIHSM_OK ? config_finish(&config, &err) : rc;
}

static void reads_a_whole_file(void **state)
{
    (void)state;
    assert_int_equal(read_text("# comment\n"
                               "  socket = /run/x/azihsmd.sock  \n"
                               "socket-mode = 0660\n"
                               "threads=12\n"
                               "seccomp = kill\n"
                               "\n"
                               "[partition default]\n"
                               "kind = physical\n"
                               "limits = hardware\n"
                               "tables = 4\n"
                               "key-scope = partition\n"
                               "login = pin\n"
                               "allow-users = root\n"
                               "[partition second]\n"
                               "extensions = no\n"),
                     AZIHSM_OK);
    assert_string_equal(config.socket, "/run/x/azihsmd.sock");
    assert_int_equal(config.socket_mode, 0660);
    assert_int_equal(config.threads, 12);
    assert_int_equal(config.seccomp, CONFIG_SECCOMP_KILL);
    assert_int_equal(config.partition_count, 2);
    assert_int_equal(config.partitions[0].kind, AZIHSM_DEVICE_PHYSICAL);
    assert_int_equal(config.partitions[0].tables, 4);
    assert_int_equal(config.partitions[0].key_scope, CONFIG_SCOPE_PARTITION);
    assert_int_equal(config.partitions[0].login, CONFIG_LOGIN_PIN);
    assert_string_equal(config_find(&config, "second")->name, "second");
    assert_false(config_find(&config, "second")->extensions);
    assert_null(config_find(&config, "third"));
}

static void an_empty_file_means_defaults(void **state)
{
    (void)state;
    assert_int_equal(read_text(""), AZIHSM_OK);
    assert_int_equal(config.partition_count, 1);
    assert_string_equal(config.partitions[0].name, "default");
    assert_true(config.partitions[0].provision);
    assert_true(config.partitions[0].tables > 1);
}

static void limits_decide_the_tables(void **state)
{
    (void)state;
    assert_int_equal(read_text("[partition default]\nlimits = hardware\n"), AZIHSM_OK);
    assert_int_equal(config.partitions[0].tables, 1);
}

static void names_what_is_wrong(void **state)
{
    static const struct {
        const char *text, *line, *word;
    } cases[] = {
        {"colour = blue\n", ":1: ", "colour"},
        {"\nthreads = many\n", ":2: ", "threads"},
        {"threads = 0\n", ":1: ", "threads"},
        {"threads = 12x\n", ":1: ", "1 to 65536"},
        {"threads = -1\n", ":1: ", "threads"},
        {"threads = 99999999999999999999\n", ":1: ", "threads"},
        {"threads =\n", ":1: ", "threads"},
        {"socket-mode = 0999\n", ":1: ", "socket-mode"},
        {"seccomp = maybe\n", ":1: ", "off or errno or kill"},
        {"threads\n", ":1: ", "key = value"},
        {"socket = relative\n", "", "absolute"},
        {"[partition default]\nprovision = true\n", ":2: ", "yes or no"},
        {"[partition default]\nthreads = 3\n", ":2: ", "threads"},
        {"kind = virtual\n", ":1: ", "kind"},
        {"[partition default]\ntables = 256\n", ":2: ", "1 to 255"},
        {"[partition default\n", ":1: ", "]"},
        {"[partition ../x]\n", ":1: ", "name"},
        {"[partition]\n", ":1: ", "name"},
        {"[device x]\n", ":1: ", "device"},
        {"[partition a]\n[partition a]\n", ":2: ", "again"},
        {"[partition default]\nkind = physical\npower-off-when-idle = yes\n", "", "power-off-when-idle"},
    };
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(read_text(cases[i].text), AZIHSM_E_CONFIG);
        assert_non_null(strstr(err.text, cases[i].line));
        assert_non_null(strstr(err.text, cases[i].word));
    }
}

static void a_long_line_is_not_cut(void **state)
{
    char text[4096] = "socket = /";

    (void)state;
    memset(text + strlen(text), 'a', 2000);
    assert_int_equal(read_text(text), AZIHSM_E_CONFIG);
    assert_non_null(strstr(err.text, "too long"));
}

static void the_command_line_reaches_every_partition(void **state)
{
    (void)state;
    assert_int_equal(read_text("[partition a]\n[partition b]\ntables = 9\n"), AZIHSM_OK);
    assert_int_equal(config_override(&config, "tables", "3", "--tables", &err), AZIHSM_OK);
    assert_int_equal(config.partitions[0].tables, 3);
    assert_int_equal(config.partitions[1].tables, 3);
    assert_int_equal(config_override(&config, "drain", "7", "--set", &err), AZIHSM_OK);
    assert_int_equal(config.drain_ms, 7);
    assert_int_equal(config_override(&config, "nonsense", "7", "--set", &err), AZIHSM_E_CONFIG);
    assert_non_null(strstr(err.text, "nonsense"));
}

static void access_follows_users_and_groups(void **state)
{
    struct access access;
    struct config_partition *partition = &config.partitions[0];

    (void)state;
    assert_int_equal(read_text("[partition default]\nallow-users = daemon\nallow-groups = bin\n"), AZIHSM_OK);
    assert_int_equal(access_resolve(partition, &access, &err), AZIHSM_OK);
    assert_true(access_allows(&access, 0, 12345));
    assert_true(access_allows(&access, geteuid(), 12345));
    assert_true(access_allows(&access, 1, 12345));
    assert_true(access_allows(&access, 54321, 2));
    assert_false(access_allows(&access, 54321, 12345));
    strcpy(partition->allow_users, "nobody-of-this-name");
    assert_int_equal(access_resolve(partition, &access, &err), AZIHSM_E_CONFIG);
    assert_non_null(strstr(err.text, "nobody-of-this-name"));
    strcpy(partition->allow_users, "*");
    assert_int_equal(access_resolve(partition, &access, &err), AZIHSM_OK);
    assert_true(access_allows(&access, 54321, 12345));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_a_whole_file),
        cmocka_unit_test(an_empty_file_means_defaults),
        cmocka_unit_test(limits_decide_the_tables),
        cmocka_unit_test(names_what_is_wrong),
        cmocka_unit_test(a_long_line_is_not_cut),
        cmocka_unit_test(the_command_line_reaches_every_partition),
        cmocka_unit_test(access_follows_users_and_groups),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
