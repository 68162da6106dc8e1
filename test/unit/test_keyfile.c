/*
 * Key files: what is written is read back, what is not ours is left alone in silence, what is ours but wrong is refused
 * with a reason; files are replaced whole or not at all.
 */
#include "../../provider/keyfile.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

static const uint8_t blob[] = {1, 0, 1, 0, 0xff, 0x00, 0x7f, 'b', 'l', 'o', 'b'};

static struct azihsm_bytes make_spki(const char *type, const char *group)
{
    static unsigned char der[1024];
    unsigned char *p = der;
    EVP_PKEY *key =
        group != NULL ? EVP_PKEY_Q_keygen(NULL, NULL, "EC", group) : EVP_PKEY_Q_keygen(NULL, NULL, type, (size_t)2048);
    int len = i2d_PUBKEY(key, &p);
    assert_true(len > 0 && (size_t)len <= sizeof(der));
    EVP_PKEY_free(key);
    return (struct azihsm_bytes){der, (size_t)len};
}

static struct keyfile sample(void)
{
    struct keyfile file = {
        .blob = {blob, sizeof(blob)}, .spki = make_spki("EC", "P-256"), .usage = AZIHSM_USAGE_SIGN, .has_hint = true};
    strcpy(file.label, "web server \xc3\xa9");
    memset(file.hint, 0x5a, sizeof(file.hint));
    return file;
}

static void check_same(const struct keyfile *a, const struct keyfile *b)
{
    assert_int_equal(a->blob.len, b->blob.len);
    assert_memory_equal(a->blob.data, b->blob.data, b->blob.len);
    assert_int_equal(a->second.len, b->second.len);
    if (b->second.len > 0)
        assert_memory_equal(a->second.data, b->second.data, b->second.len);
    assert_int_equal(a->spki.len, b->spki.len);
    assert_memory_equal(a->spki.data, b->spki.data, b->spki.len);
    assert_int_equal(a->usage, b->usage);
    assert_string_equal(a->label, b->label);
    assert_int_equal(a->has_hint, b->has_hint);
    assert_memory_equal(a->hint, b->hint, KEYFILE_HINT_SIZE);
}

static void test_round_trip(void **state)
{
    static const unsigned usages[] = {0, AZIHSM_USAGE_SIGN, AZIHSM_USAGE_DECRYPT, AZIHSM_USAGE_DERIVE,
                                      AZIHSM_USAGE_SIGN | AZIHSM_USAGE_DERIVE};
    (void)state;
    for (size_t i = 0; i < sizeof(usages) / sizeof(usages[0]); i++) {
        struct keyfile file = sample(), der_read, pem_read;
        uint8_t *der, *pem;
        size_t der_len, pem_len;
        char why[100] = "";
        file.usage = usages[i];
        file.has_hint = i != 1;
        if (!file.has_hint)
            memset(file.hint, 0, sizeof(file.hint));
        if (i == 2)
            file.label[0] = '\0';
        if (i == 4) /* two uses, two masked keys */
            file.second = (struct azihsm_bytes){blob + 1, sizeof(blob) - 1};
        assert_true(keyfile_encode(&file, &der, &der_len));
        assert_int_equal(keyfile_decode((struct azihsm_bytes){der, der_len}, &der_read, why, sizeof(why)), KEYFILE_OK);
        check_same(&der_read, &file);
        assert_true(keyfile_encode_pem(&file, &pem, &pem_len));
        assert_memory_equal(pem, "-----BEGIN AZIHSM PRIVATE KEY-----\n", 35);
        assert_int_equal(keyfile_parse((struct azihsm_bytes){pem, pem_len}, &pem_read, why, sizeof(why)), KEYFILE_OK);
        check_same(&pem_read, &file);
        keyfile_clear(&der_read);
        keyfile_clear(&pem_read);
        OPENSSL_free(der);
        OPENSSL_free(pem);
    }
}

/* The outside of the structure, checked against RFC 5958 with another reader than our template. */
static void test_structure(void **state)
{
    struct keyfile file = sample();
    uint8_t *der;
    size_t len;
    static const uint8_t version_and_oid[] = {0x02, 0x01, 0x01, 0x30, 0x2b, 0x06, 0x14, 0x69};
    (void)state;
    assert_true(keyfile_encode(&file, &der, &len));
    assert_int_equal(der[0], 0x30);
    size_t header = der[1] < 0x80 ? 2 : 2 + (der[1] & 0x7fu);
    assert_memory_equal(der + header, version_and_oid, sizeof(version_and_oid));
    /* [1] IMPLICIT BIT STRING comes last: no unused bits, then the uncompressed point */
    assert_int_equal(der[len - 68], 0x81);
    assert_int_equal(der[len - 67], 0x42);
    assert_int_equal(der[len - 66], 0x00);
    assert_int_equal(der[len - 65], 0x04);
    assert_memory_equal(der + len - 65, file.spki.data + file.spki.len - 65, 65);
    OPENSSL_free(der);
}

/* What a file in DER ends with: the same, then [2] EXPLICIT NULL. It is kept by who reads it, and never in PEM. */
static void test_extension(void **state)
{
    static const uint8_t extension[] = {0xa2, 0x02, 0x05, 0x00};
    struct keyfile file = sample(), again;
    uint8_t *plain, *der, *pem, *plain_pem;
    size_t plain_len, len, pem_len, plain_pem_len;
    char why[100] = "";
    (void)state;
    assert_true(keyfile_encode(&file, &plain, &plain_len));
    assert_true(keyfile_encode_pem(&file, &plain_pem, &plain_pem_len));
    file.extended = true;
    assert_true(keyfile_encode(&file, &der, &len));
    assert_int_equal(len, plain_len + sizeof(extension));
    assert_memory_equal(der + len - sizeof(extension), extension, sizeof(extension));
    assert_memory_equal(der + 4, plain + 4, plain_len - 4); /* both lengths take two bytes */
    assert_int_equal(keyfile_decode((struct azihsm_bytes){der, len}, &again, why, sizeof(why)), KEYFILE_OK);
    assert_true(again.extended);
    check_same(&again, &file);
    assert_true(keyfile_encode_pem(&again, &pem, &pem_len));
    assert_int_equal(pem_len, plain_pem_len);
    assert_memory_equal(pem, plain_pem, pem_len);
    keyfile_clear(&again);
    der[len - 4] = 0xa3; /* no other extension is known */
    assert_int_equal(keyfile_decode((struct azihsm_bytes){der, len}, &again, why, sizeof(why)), KEYFILE_BAD);
    OPENSSL_free(plain);
    OPENSSL_free(plain_pem);
    OPENSSL_free(der);
    OPENSSL_free(pem);
}

static void test_secret_key(void **state)
{
    /* aes256-CBC without parameters */
    static const uint8_t algorithm[] = {0x30, 0x0b, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x2a};
    struct keyfile file = {.blob = {blob, sizeof(blob)}, .algorithm = {algorithm, sizeof(algorithm)}}, again;
    uint8_t *pem;
    size_t len;
    char why[100] = "";
    (void)state;
    assert_true(keyfile_encode_pem(&file, &pem, &len));
    assert_memory_equal(pem, "-----BEGIN AZIHSM SECRET KEY-----\n", 34);
    assert_int_equal(keyfile_parse((struct azihsm_bytes){pem, len}, &again, why, sizeof(why)), KEYFILE_OK);
    assert_int_equal(again.spki.len, 0);
    assert_int_equal(again.algorithm.len, sizeof(algorithm));
    assert_memory_equal(again.algorithm.data, algorithm, sizeof(algorithm));
    keyfile_clear(&again);
    OPENSSL_free(pem);
}

static void test_not_ours(void **state)
{
    static const char *const texts[] = {
        "",
        "hello",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIE0v\n-----END PRIVATE KEY-----\n",
        "-----BEGIN AZIHSM PRIVATE KEY-----\n",
        "0\x80",
        "\x30\x82\xff\xff",
    };
    struct keyfile file;
    char why[100] = "untouched";
    (void)state;
    ERR_clear_error();
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct azihsm_bytes text = {(const uint8_t *)texts[i], strlen(texts[i])};
        assert_int_equal(keyfile_parse(text, &file, why, sizeof(why)), KEYFILE_NOT_OURS);
        assert_string_equal(why, "untouched");
        assert_int_equal(ERR_peek_error(), 0);
    }
}

/* Every truncation and every changed byte: understood, refused with a reason, or not ours; never accepted with more. */
static void test_damage(void **state)
{
    struct keyfile file = sample(), again;
    uint8_t *der, *copy;
    size_t len;
    unsigned counts[4] = {0};
    (void)state;
    assert_true(keyfile_encode(&file, &der, &len));
    for (size_t cut = 0; cut < len; cut++) {
        char why[100] = "";
        copy = malloc(cut + 1);
        memcpy(copy, der, cut);
        enum keyfile_result result = keyfile_decode((struct azihsm_bytes){copy, cut}, &again, why, sizeof(why));
        assert_true(result == KEYFILE_BAD ? why[0] != '\0' : result == KEYFILE_NOT_OURS);
        free(copy);
    }
    for (size_t i = 0; i < len; i++)
        for (unsigned bit = 0; bit < 8; bit++) {
            char why[100] = "";
            copy = malloc(len);
            memcpy(copy, der, len);
            copy[i] ^= (uint8_t)(1u << bit);
            enum keyfile_result result = keyfile_decode((struct azihsm_bytes){copy, len}, &again, why, sizeof(why));
            counts[result]++;
            assert_int_not_equal(result, KEYFILE_FAILED);
            assert_true((result == KEYFILE_BAD) == (why[0] != '\0'));
            keyfile_clear(&again);
            free(copy);
        }
    assert_true(counts[KEYFILE_OK] > 0 && counts[KEYFILE_BAD] > 0 && counts[KEYFILE_NOT_OURS] > 0);
    assert_int_equal(ERR_peek_error(), 0);
    OPENSSL_free(der);
}

static void test_trailing_and_version(void **state)
{
    struct keyfile file = sample(), again;
    uint8_t *der, *longer;
    size_t len;
    char why[100];
    (void)state;
    assert_true(keyfile_encode(&file, &der, &len));
    longer = malloc(len + 1);
    memcpy(longer, der, len);
    longer[len] = 0;
    assert_int_equal(keyfile_decode((struct azihsm_bytes){longer, len + 1}, &again, why, sizeof(why)), KEYFILE_BAD);
    assert_non_null(strstr(why, "follows"));
    size_t header = der[1] < 0x80 ? 2 : 2 + (der[1] & 0x7fu);
    der[header + 2] = 0; /* version 1 */
    assert_int_equal(keyfile_decode((struct azihsm_bytes){der, len}, &again, why, sizeof(why)), KEYFILE_BAD);
    assert_non_null(strstr(why, "version"));
    free(longer);
    OPENSSL_free(der);
}

/* C-28: a certificate before the key, and after it, as haproxy has them in one file. */
static void test_among_other_blocks(void **state)
{
    static const char other[] = "subject=x\n-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    struct keyfile file = sample(), again;
    uint8_t *pem;
    size_t len;
    char text[8192], why[100] = "";
    (void)state;
    assert_true(keyfile_encode_pem(&file, &pem, &len));
    int total = snprintf(text, sizeof(text), "%s%.*s%s", other, (int)len, (const char *)pem, other);
    assert_int_equal(keyfile_parse((struct azihsm_bytes){(uint8_t *)text, (size_t)total}, &again, why, sizeof(why)),
                     KEYFILE_OK);
    check_same(&again, &file);
    keyfile_clear(&again);
    total =
        snprintf(text, sizeof(text), "-----BEGIN AZIHSM PRIVATE KEY-----\nAAAA\n-----END AZIHSM PRIVATE KEY-----\n");
    assert_int_equal(keyfile_parse((struct azihsm_bytes){(uint8_t *)text, (size_t)total}, &again, why, sizeof(why)),
                     KEYFILE_BAD);
    assert_string_not_equal(why, "");
    OPENSSL_free(pem);
}

static void test_bad_input(void **state)
{
    struct keyfile file = sample();
    uint8_t *der;
    size_t len;
    (void)state;
    file.spki.len--;
    assert_false(keyfile_encode(&file, &der, &len));
    assert_null(der);
    file.spki = (struct azihsm_bytes){0};
    assert_false(keyfile_encode(&file, &der, &len)); /* no algorithm at all */
    ERR_clear_error();
    file = sample();
    strcpy(file.label, "\xff\xfe not UTF-8");
    assert_true(keyfile_encode(&file, &der, &len)); /* the label is left out */
    OPENSSL_free(der);
    ERR_clear_error();
}

/* ---- files ---- */

static char directory[] = "/tmp/azihsm-keyfile-XXXXXX";

static int enter(void **state)
{
    (void)state;
    strcpy(directory + strlen(directory) - 6, "XXXXXX");
    return mkdtemp(directory) == NULL;
}

static int leave(void **state)
{
    DIR *dir = opendir(directory);
    struct dirent *entry;
    char path[600];
    (void)state;
    while ((entry = readdir(dir)) != NULL) {
        snprintf(path, sizeof(path), "%s/%s", directory, entry->d_name);
        if (entry->d_name[0] != '.')
            remove(path);
    }
    closedir(dir);
    return rmdir(directory);
}

static unsigned entries(void)
{
    DIR *dir = opendir(directory);
    struct dirent *entry;
    unsigned n = 0;
    while ((entry = readdir(dir)) != NULL)
        n += entry->d_name[0] != '.';
    closedir(dir);
    return n;
}

static void test_write(void **state)
{
    char path[600], link[600], target[600], why[200] = "";
    uint8_t *data;
    size_t len;
    struct stat info;
    const struct azihsm_bytes one = {(const uint8_t *)"one", 3}, second = {(const uint8_t *)"second", 6};
    (void)state;
    snprintf(path, sizeof(path), "%s/key.pem", directory);
    snprintf(link, sizeof(link), "%s/link.pem", directory);
    snprintf(target, sizeof(target), "%s/target", directory);
    umask(0);
    assert_true(keyfile_write(path, one, why, sizeof(why)));
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 07777, 0600);
    chmod(path, 0644);
    assert_true(keyfile_write(path, second, why, sizeof(why))); /* a new file: the old mode does not survive */
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 07777, 0600);
    assert_int_equal(keyfile_read(path, &data, &len, why, sizeof(why)), KEYFILE_OK);
    assert_int_equal(len, 6);
    assert_memory_equal(data, "second", 6);
    OPENSSL_clear_free(data, len);
    assert_int_equal(symlink(target, link), 0);
    assert_false(keyfile_write(link, one, why, sizeof(why))); /* never through a link */
    assert_int_equal(access(target, F_OK), -1);
    assert_false(keyfile_create(path, one, why, sizeof(why))); /* what exists may be the only copy of a key */
    assert_non_null(strstr(why, "exists"));
    assert_int_equal(keyfile_read(path, &data, &len, why, sizeof(why)), KEYFILE_OK);
    assert_memory_equal(data, "second", 6);
    OPENSSL_clear_free(data, len);
    assert_false(keyfile_create(link, one, why, sizeof(why)));
    assert_int_equal(unlink(path), 0);
    assert_true(keyfile_create(path, one, why, sizeof(why)));
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 07777, 0600);
    assert_int_equal(entries(), 2); /* no temporary file left */
    snprintf(path, sizeof(path), "%s/none/key.pem", directory);
    assert_false(keyfile_write(path, one, why, sizeof(why)));
    assert_non_null(strstr(why, "No such file"));
}

/* File systems that cannot link or rename this way: in the place of libc's functions, for the whole program. */
static int link_error, rename_error;

int link(const char *from, const char *to)
{
    errno = link_error;
    return link_error != 0 ? -1 : linkat(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
    errno = rename_error;
    return rename_error != 0 ? -1 : (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, flags);
}

/* What must be new is, and stays as it is, however the file gets into its place. */
static void test_create(void **state)
{
    static const struct {
        int link, rename;
    } ways[] = {{0, 0},      {EPERM, 0},      {EOPNOTSUPP, 0}, {ENOSYS, 0},
                {EMLINK, 0}, {EPERM, EINVAL}, {EPERM, ENOSYS}, {ENOSYS, EOPNOTSUPP}};
    const struct azihsm_bytes one = {(const uint8_t *)"one", 3}, second = {(const uint8_t *)"second", 6};
    char path[600], why[200] = "";

    (void)state;
    for (unsigned i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        struct stat info;
        uint8_t *data;
        size_t len;

        link_error = ways[i].link;
        rename_error = ways[i].rename;
        snprintf(path, sizeof(path), "%s/new%u.pem", directory, i);
        assert_true(keyfile_create(path, one, why, sizeof(why)));
        assert_int_equal(entries(), i + 1); /* nothing temporary is left */
        assert_int_equal(stat(path, &info), 0);
        assert_int_equal(info.st_mode & 07777, 0600);
        assert_false(keyfile_create(path, second, why, sizeof(why)));
        assert_non_null(strstr(why, strerror(EEXIST)));
        assert_int_equal(keyfile_read(path, &data, &len, why, sizeof(why)), KEYFILE_OK);
        assert_int_equal(len, 3);
        assert_memory_equal(data, "one", 3);
        OPENSSL_free(data);
        assert_int_equal(entries(), i + 1);
    }
    link_error = EACCES; /* no reason to try another way */
    rename_error = 0;
    snprintf(path, sizeof(path), "%s/refused.pem", directory);
    assert_false(keyfile_create(path, one, why, sizeof(why)));
    assert_non_null(strstr(why, strerror(EACCES)));
    link_error = 0;
}

static void test_read_refuses(void **state)
{
    char path[600], why[200] = "";
    uint8_t *data;
    size_t len;
    (void)state;
    assert_int_equal(keyfile_read(directory, &data, &len, why, sizeof(why)), KEYFILE_FAILED);
    snprintf(path, sizeof(path), "%s/fifo", directory);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(keyfile_read(path, &data, &len, why, sizeof(why)), KEYFILE_FAILED); /* and does not hang */
    assert_non_null(strstr(why, "regular"));
    snprintf(path, sizeof(path), "%s/large", directory);
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    assert_int_equal(ftruncate(fd, KEYFILE_SIZE_MAX + 1), 0);
    close(fd);
    assert_int_equal(keyfile_read(path, &data, &len, why, sizeof(why)), KEYFILE_FAILED);
    assert_int_equal(truncate(path, 0), 0);
    assert_int_equal(keyfile_read(path, &data, &len, why, sizeof(why)), KEYFILE_FAILED);
    assert_null(data);
}

static void test_names(void **state)
{
    char path[600], expected[700], pem[600];
    (void)state;
    assert_true(keyfile_name_valid("web-1"));
    assert_false(keyfile_name_valid(""));
    assert_false(keyfile_name_valid("../etc/passwd"));
    assert_false(keyfile_name_valid("a/b"));
    assert_false(keyfile_name_valid(".hidden"));
    snprintf(pem, sizeof(pem), "%s/web.pem", directory);
    assert_true(keyfile_locate(directory, "web", path, sizeof(path)));
    assert_string_equal(path, pem);
    snprintf(expected, sizeof(expected), "%s/web", directory);
    assert_int_equal(close(open(expected, O_CREAT | O_WRONLY, 0600)), 0);
    assert_true(keyfile_locate(directory, "web", path, sizeof(path)));
    assert_string_equal(path, expected);
    assert_true(keyfile_locate(directory, "web.pem", path, sizeof(path)));
    assert_string_equal(path, pem);
    assert_false(keyfile_locate(directory, "web", path, 10));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_structure),
        cmocka_unit_test(test_extension),
        cmocka_unit_test(test_secret_key),
        cmocka_unit_test(test_not_ours),
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_trailing_and_version),
        cmocka_unit_test(test_among_other_blocks),
        cmocka_unit_test(test_bad_input),
        cmocka_unit_test_setup_teardown(test_write, enter, leave),
        cmocka_unit_test_setup_teardown(test_create, enter, leave),
        cmocka_unit_test_setup_teardown(test_read_refuses, enter, leave),
        cmocka_unit_test_setup_teardown(test_names, enter, leave),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
