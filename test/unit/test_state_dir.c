/*
 * The state directory: what was written comes back; what is damaged is refused and left alone; one owner at a time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client/state_dir.h"

#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

struct fixture {
    char root[64];
    char path[96];
    struct state_dir *dir;
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    strcpy(fixture->root, "/tmp/azihsm-state-XXXXXX");
    if (mkdtemp(fixture->root) == NULL)
        return -1;
    snprintf(fixture->path, sizeof(fixture->path), "%s/state", fixture->root);
    *state = fixture;
    return state_dir_open(fixture->path, &fixture->dir, NULL);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    state_dir_close(fixture->dir);
    nftw(fixture->root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    free(fixture);
    return 0;
}

static const uint8_t content[] = "the payload of a state file";

static void write_content(struct fixture *fixture)
{
    assert_int_equal(state_dir_write(fixture->dir, "thing", (struct azihsm_bytes){content, sizeof(content)}, NULL),
                     AZIHSM_OK);
}

static azihsm_rc read_thing(struct fixture *fixture, size_t *len)
{
    uint8_t buf[128];
    azihsm_rc rc = state_dir_read(fixture->dir, "thing", buf, sizeof(buf), len, NULL);

    if (rc == AZIHSM_OK && *len > 0)
        assert_memory_equal(buf, content, sizeof(content));
    return rc;
}

static void file_path(struct fixture *fixture, const char *name, char *out, size_t size)
{
    snprintf(out, size, "%s/%s", fixture->path, name);
}

static size_t slurp(const char *path, uint8_t *buf, size_t cap)
{
    FILE *file = fopen(path, "rb");
    size_t len = fread(buf, 1, cap, file);

    fclose(file);
    return len;
}

static void spill(const char *path, const uint8_t *data, size_t len)
{
    FILE *file = fopen(path, "wb");

    assert_int_equal(fwrite(data, 1, len, file), len);
    fclose(file);
}

static void keeps_what_was_written(void **state)
{
    struct fixture *fixture = *state;
    size_t len;

    assert_int_equal(read_thing(fixture, &len), AZIHSM_OK);
    assert_int_equal(len, 0);
    write_content(fixture);
    assert_int_equal(read_thing(fixture, &len), AZIHSM_OK);
    assert_int_equal(len, sizeof(content));
}

static void files_are_private_and_alone(void **state)
{
    struct fixture *fixture = *state;
    char path[160];
    struct stat st;

    write_content(fixture);
    file_path(fixture, "thing", path, sizeof(path));
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(stat(fixture->path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    file_path(fixture, ".thing.new", path, sizeof(path));
    assert_int_equal(access(path, F_OK), -1);
}

static void refuses_damage_and_leaves_it(void **state)
{
    struct fixture *fixture = *state;
    uint8_t image[512], bad[512], after[512];
    char path[160];
    size_t len, got, i;

    write_content(fixture);
    file_path(fixture, "thing", path, sizeof(path));
    len = slurp(path, image, sizeof(image));
    for (i = 0; i < len; i++) { /* truncations, the empty file first */
        spill(path, image, i);
        assert_int_equal(read_thing(fixture, &got), AZIHSM_E_DECODE);
    }
    for (i = 0; i < len; i++) {
        memcpy(bad, image, len);
        bad[i] ^= 0x01;
        spill(path, bad, len);
        assert_int_equal(read_thing(fixture, &got), AZIHSM_E_DECODE);
        assert_int_equal(slurp(path, after, sizeof(after)), len);
        assert_memory_equal(after, bad, len);
    }
    spill(path, image, len);
    assert_int_equal(read_thing(fixture, &got), AZIHSM_OK);
}

static void refuses_a_file_under_another_name(void **state)
{
    struct fixture *fixture = *state;
    char from[160], to[160];
    uint8_t buf[64];
    size_t len;

    write_content(fixture);
    file_path(fixture, "thing", from, sizeof(from));
    file_path(fixture, "other", to, sizeof(to));
    assert_int_equal(rename(from, to), 0);
    assert_int_equal(state_dir_read(fixture->dir, "other", buf, sizeof(buf), &len, NULL), AZIHSM_E_DECODE);
}

static void refuses_links(void **state)
{
    struct fixture *fixture = *state;
    char from[160], to[160];
    size_t len;

    write_content(fixture);
    file_path(fixture, "thing", from, sizeof(from));
    file_path(fixture, "moved", to, sizeof(to));
    assert_int_equal(rename(from, to), 0);
    assert_int_equal(symlink(to, from), 0);
    assert_int_equal(read_thing(fixture, &len), AZIHSM_E_PERMISSION);
}

static void a_leftover_of_a_crash_is_harmless(void **state)
{
    struct fixture *fixture = *state;
    char path[160];
    size_t len;

    file_path(fixture, ".thing.new", path, sizeof(path));
    spill(path, content, 5);
    write_content(fixture);
    assert_int_equal(read_thing(fixture, &len), AZIHSM_OK);
    assert_int_equal(len, sizeof(content));
}

static void a_second_owner_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct azihsm_error err = {0};
    struct state_dir *second = NULL;

    assert_int_equal(state_dir_open(fixture->path, &second, &err), AZIHSM_E_BUSY);
    assert_non_null(strstr(err.text, fixture->path));
    state_dir_close(fixture->dir);
    fixture->dir = NULL;
    assert_int_equal(state_dir_open(fixture->path, &fixture->dir, &err), AZIHSM_OK);
}

static void an_open_directory_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct azihsm_error err = {0};

    state_dir_close(fixture->dir);
    fixture->dir = NULL;
    assert_int_equal(chmod(fixture->path, 0750), 0);
    assert_int_equal(state_dir_open(fixture->path, &fixture->dir, &err), AZIHSM_E_PERMISSION);
    assert_non_null(strstr(err.text, "0750"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(keeps_what_was_written),
        TEST(files_are_private_and_alone),
        TEST(refuses_damage_and_leaves_it),
        TEST(refuses_links),
        TEST(refuses_a_file_under_another_name),
        TEST(a_second_owner_is_refused),
        TEST(an_open_directory_is_refused),
        TEST(a_leftover_of_a_crash_is_harmless),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
