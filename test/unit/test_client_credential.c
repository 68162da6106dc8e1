/*
 * Credential files: what is read, what is refused and why.
 */
#include "client/credential.h"

#include <azihsm/client.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[] = "/tmp/azihsm-credential-XXXXXX";
static char path[64];

static const uint8_t credential[CREDENTIAL_SIZE] = {0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa,
                                                    0xbb, 0xcc, 0xdd, 0xee, 0xff, 0x10, 0x32, 0x54, 0x76, 0x98, 0xba,
                                                    0xdc, 0xfe, 0x0f, 0x1e, 0x2d, 0x3c, 0x4b, 0x5a, 0x69, 0x78};

#define ID  "00112233445566778899aabbccddeeff"
#define PIN "1032547698badcfe0f1e2d3c4b5a6978"

static void put(const char *text, mode_t mode)
{
    FILE *file;

    unlink(path);
    file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    assert_int_equal(chmod(path, mode), 0);
}

static void test_accepted(void **state)
{
    static const char *const texts[] = {
        "id = " ID "\npin = " PIN "\n",
        "pin=" PIN "\nid=" ID,
        "# comment\n\n  id\t=  " ID "  \r\n#pin = nonsense\npin = 1032547698BADCFE0F1E2D3C4B5A6978\n",
    };
    uint8_t out[CREDENTIAL_SIZE];

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        put(texts[i], 0600);
        assert_int_equal(azihsm_credential_read(path, out, NULL), AZIHSM_OK);
        assert_memory_equal(out, credential, sizeof(out));
    }
}

static void test_malformed(void **state)
{
    static const char *const texts[] = {
        "",
        "id = " ID "\n",
        "pin = " PIN "\n",
        "id = " ID "\nid = " ID "\npin = " PIN "\n",
        "id = " ID "0\npin = " PIN "\n",
        "id = 0011\npin = " PIN "\n",
        "id = g0112233445566778899aabbccddeeff\npin = " PIN "\n",
        "id = " ID "\npin = " PIN "\nowner = me\n",
        "id " ID "\npin = " PIN "\n",
        "id = " ID " \npin = " PIN " x\n",
    };
    uint8_t out[CREDENTIAL_SIZE], zeros[CREDENTIAL_SIZE] = {0};
    struct azihsm_error err;

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        put(texts[i], 0600);
        memset(out, 0xff, sizeof(out));
        assert_int_equal(azihsm_credential_read(path, out, &err), AZIHSM_E_DECODE);
        assert_memory_equal(out, zeros, sizeof(out));
        assert_non_null(strstr(err.text, path));
        assert_null(strstr(err.text, "0011"));
        assert_null(strstr(err.text, "1032"));
    }
}

static void test_too_long(void **state)
{
    static char text[3000];
    uint8_t out[CREDENTIAL_SIZE];

    (void)state;
    memset(text, '#', sizeof(text) - 1);
    put(text, 0600);
    assert_int_equal(azihsm_credential_read(path, out, NULL), AZIHSM_E_DECODE);
}

/* C-29: a pin file of the wrong mode is refused. */
static void test_modes(void **state)
{
    static const struct {
        mode_t mode;
        azihsm_rc rc;
    } modes[] = {{0600, AZIHSM_OK},           {0400, AZIHSM_OK},           {0640, AZIHSM_OK},
                 {0644, AZIHSM_E_PERMISSION}, {0604, AZIHSM_E_PERMISSION}, {0660, AZIHSM_E_PERMISSION},
                 {0602, AZIHSM_E_PERMISSION}, {0601, AZIHSM_E_PERMISSION}};
    uint8_t out[CREDENTIAL_SIZE];
    struct azihsm_error err;

    (void)state;
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        put("id = " ID "\npin = " PIN "\n", modes[i].mode);
        assert_int_equal(azihsm_credential_read(path, out, &err), modes[i].rc);
    }
}

static void test_owner(void **state)
{
    uint8_t out[CREDENTIAL_SIZE];

    (void)state;
    if (geteuid() != 0) {
        print_message("skipped: only root can give a file away\n");
        return;
    }
    put("id = " ID "\npin = " PIN "\n", 0600);
    assert_int_equal(chown(path, 65534, 65534), 0);
    assert_int_equal(azihsm_credential_read(path, out, NULL), AZIHSM_E_PERMISSION);
}

static void test_no_file(void **state)
{
    uint8_t out[CREDENTIAL_SIZE];
    struct azihsm_error err;

    (void)state;
    unlink(path);
    assert_int_equal(azihsm_credential_read(path, out, &err), AZIHSM_E_IO);
    assert_non_null(strstr(err.text, path));
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(azihsm_credential_read(path, out, NULL), AZIHSM_E_PERMISSION);
    unlink(path);
}

/* What stands where a path should may be the PIN: no error repeats it. */
static void test_pin_not_told(void **state)
{
    static const char *const wrong[] = {"0123456789", "file:0123456789"};
    struct azihsm_client *client;
    struct azihsm_error err;

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        const struct azihsm_client_config config = {.pin_source = wrong[i]};

        assert_int_equal(azihsm_client_new(&config, &client, &err), AZIHSM_E_CONFIG);
        assert_non_null(strstr(err.text, "pin-source"));
        assert_null(strstr(err.text, "0123456789"));
    }
}

static void test_write(void **state)
{
    uint8_t out[CREDENTIAL_SIZE];
    struct stat st;

    (void)state;
    put("something older", 0644);
    assert_int_equal(azihsm_credential_write(path, credential, NULL), AZIHSM_OK);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(azihsm_credential_read(path, out, NULL), AZIHSM_OK);
    assert_memory_equal(out, credential, sizeof(out));
    assert_int_equal(azihsm_credential_write("/nonexistent/dir/pin", credential, NULL), AZIHSM_E_IO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accepted), cmocka_unit_test(test_malformed),    cmocka_unit_test(test_too_long),
        cmocka_unit_test(test_modes),    cmocka_unit_test(test_owner),        cmocka_unit_test(test_no_file),
        cmocka_unit_test(test_write),    cmocka_unit_test(test_pin_not_told),
    };
    int failed;

    if (mkdtemp(dir) == NULL)
        return 1;
    snprintf(path, sizeof(path), "%s/pin", dir);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    rmdir(dir);
    return failed;
}
