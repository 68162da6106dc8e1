/*
 * azihsm: URIs through OSSL_STORE, and the azihsm.* options of key generation that make what the URIs name.
 */
#include "support.h"

#include <openssl/pem.h>
#include <openssl/store.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static OSSL_LIB_CTX *ctx;

/* The first object of the wanted kind (OSSL_STORE_INFO_), as a key. NULL with the errors left in the queue. */
static EVP_PKEY *load(const char *uri, int expect)
{
    OSSL_STORE_CTX *store = OSSL_STORE_open_ex(uri, ctx, NULL, NULL, NULL, NULL, NULL, NULL);
    EVP_PKEY *key = NULL;

    if (store == NULL)
        return NULL;
    if (expect != 0)
        good(OSSL_STORE_expect(store, expect));
    while (key == NULL && !OSSL_STORE_eof(store) && !OSSL_STORE_error(store)) {
        OSSL_STORE_INFO *info = OSSL_STORE_load(store);

        if (info != NULL && OSSL_STORE_INFO_get_type(info) == OSSL_STORE_INFO_PKEY)
            key = OSSL_STORE_INFO_get1_PKEY(info);
        if (info != NULL && OSSL_STORE_INFO_get_type(info) == OSSL_STORE_INFO_PUBKEY)
            key = OSSL_STORE_INFO_get1_PUBKEY(info);
        OSSL_STORE_INFO_free(info);
    }
    OSSL_STORE_close(store);
    return key;
}

/* The same in a context of another configuration. */
static EVP_PKEY *load_in(OSSL_LIB_CTX *other, const char *uri)
{
    OSSL_LIB_CTX *usual = ctx;
    EVP_PKEY *key;

    ctx = other;
    key = load(uri, 0);
    ctx = usual;
    return key;
}

/* name, value, name, value ... NULL; NULL with the errors left. */
static EVP_PKEY *generate(const char *type, const char *const options[])
{
    EVP_PKEY_CTX *gen = EVP_PKEY_CTX_new_from_name(ctx, type, "provider=azihsm");
    EVP_PKEY *key = NULL;
    bool ok;

    good(EVP_PKEY_keygen_init(gen));
    ok = strcmp(type, "EC") != 0 || EVP_PKEY_CTX_set_group_name(gen, "P-256") > 0;
    for (size_t i = 0; ok && options[i] != NULL; i += 2)
        ok = EVP_PKEY_CTX_ctrl_str(gen, options[i], options[i + 1]) > 0;
    if (!ok || EVP_PKEY_generate(gen, &key) <= 0)
        key = NULL;
    EVP_PKEY_CTX_free(gen);
    return key;
}
#define GENERATE(type, ...) generate(type, (const char *const[]){__VA_ARGS__, NULL})

static const char *in_dir(const char *name)
{
    static char paths[4][512];
    static unsigned next;
    char *path = paths[next++ % 4];

    snprintf(path, 512, "%s/%s", getenv("AZIHSM_TEST_DIR"), name);
    return path;
}

static const char *uri_of(const char *format, const char *name)
{
    static char uri[600];

    snprintf(uri, sizeof(uri), format, in_dir(name));
    return uri;
}

static void check_same(const char *uri, EVP_PKEY *original)
{
    EVP_PKEY *key = load(uri, 0);

    if (key == NULL)
        good(0);
    assert_int_equal(EVP_PKEY_eq(key, original), 1);
    assert_true(signs(key, ctx));
    EVP_PKEY_free(key);
}

static void test_names(void **state)
{
    EVP_PKEY *key = GENERATE("EC", "azihsm.name", "web server"), *rsa = GENERATE("RSA", "azihsm.name", "mail");
    OSSL_STORE_CTX *store = OSSL_STORE_open_ex("azihsm:", ctx, NULL, NULL, NULL, NULL, NULL, NULL);
    struct stat info;
    unsigned found = 0;

    (void)state;
    good(key != NULL && rsa != NULL);
    assert_int_equal(stat(in_dir("keys/web server.pem"), &info), 0);
    assert_int_equal(info.st_mode & 07777, 0600);
    assert_null(GENERATE("EC", "azihsm.name", "mail")); /* a name that is taken keeps its key */
    assert_true(error_says("mail.pem"));
    ERR_clear_error();
    check_same("azihsm://web%20server", key);
    check_same("azihsm:web%20server", key);
    check_same("azihsm://mail", rsa);
    check_same("azihsm://mail.pem;type=rsa", rsa);
    check_same(uri_of("azihsm:%s", "keys/mail.pem"), rsa);
    check_same(uri_of("azihsm://%s", "keys/mail.pem"), rsa);
    assert_int_equal(chdir(in_dir("keys")), 0);
    check_same("azihsm://./mail.pem;type=rsa", rsa);
    /* C-30: the list names what can be pasted */
    good(store != NULL);
    while (!OSSL_STORE_eof(store)) {
        OSSL_STORE_INFO *entry = OSSL_STORE_load(store);
        EVP_PKEY *listed;

        good(entry != NULL && OSSL_STORE_INFO_get_type(entry) == OSSL_STORE_INFO_NAME);
        listed = load(OSSL_STORE_INFO_get0_NAME(entry), 0);
        good(listed != NULL);
        found += EVP_PKEY_eq(listed, key) == 1 || EVP_PKEY_eq(listed, rsa) == 1;
        EVP_PKEY_free(listed);
        OSSL_STORE_INFO_free(entry);
    }
    assert_int_equal(found, 2);
    OSSL_STORE_close(store);
    EVP_PKEY_free(key);
    EVP_PKEY_free(rsa);
}

static void test_tag(void **state)
{
    EVP_PKEY *key = GENERATE("EC", "azihsm.tag", "0x1234"), *named = load("azihsm:?tag=0x1234", 0);
    BIO *bio = BIO_new(BIO_s_mem());

    (void)state;
    good(key != NULL && named != NULL);
    assert_int_equal(EVP_PKEY_eq(key, named), 1);
    assert_true(signs(named, ctx));
    /* nothing to write down: the device keeps it, under its tag */
    assert_int_equal(PEM_write_bio_PrivateKey(bio, named, NULL, NULL, 0, NULL, NULL), 0);
    assert_true(error_says("tag"));
    ERR_clear_error();
    assert_null(load("azihsm:?tag=0x4321", 0));
    assert_true(error_says("KeyNotFound"));
    ERR_clear_error();
    assert_null(GENERATE("EC", "azihsm.tag", "0"));
    ERR_clear_error();
    BIO_free(bio);
    EVP_PKEY_free(named);
    EVP_PKEY_free(key);
}

/* A key that failed to be kept is not in the device either, under a tag that nobody could use again. */
static void test_no_orphans(void **state)
{
    EVP_PKEY *first = GENERATE("EC", "azihsm.name", "kept"), *key;
    long made = device_requests("EccGenerateKeyPair");

    (void)state;
    good(first != NULL);
    assert_null(GENERATE("EC", "azihsm.name", "kept", "azihsm.tag", "0x1510"));
    assert_true(error_says("kept.pem: File exists"));
    ERR_clear_error();
    assert_int_equal(device_requests("EccGenerateKeyPair"), made); /* nothing was made */
    assert_null(GENERATE("EC", "azihsm.masked_key", in_dir("nowhere/blob"), "azihsm.tag", "0x1510"));
    assert_true(error_says("nowhere/blob"));
    ERR_clear_error();
    assert_int_equal(device_requests("EccGenerateKeyPair"), made + 1);
    assert_null(load("azihsm:?tag=0x1510", 0));
    ERR_clear_error();
    key = GENERATE("EC", "azihsm.tag", "0x1510");
    good(key != NULL);
    EVP_PKEY_free(key);
    EVP_PKEY_free(first);
}

/* The vendor's commands: a bare masked key in a file, named by URI with its type; import of a software key. */
static void test_vendor_forms(void **state)
{
    EVP_PKEY *software_rsa = make_key(software(), NULL, "RSA-2048"), *key, *imported;
    BIO *pem = BIO_new_file(in_dir("software.pem"), "w"), *der = BIO_new_file(in_dir("software.der"), "wb");
    struct stat info;

    (void)state;
    key = GENERATE("EC", "azihsm.masked_key", in_dir("ec.bin"), "azihsm.key_usage", "digitalSignature",
                   "azihsm.session", "false");
    good(key != NULL);
    assert_int_equal(stat(in_dir("ec.bin"), &info), 0);
    assert_int_equal(info.st_mode & 07777, 0600);
    check_same(uri_of("azihsm://./%s;type=ec", "ec.bin"), key);
    assert_null(load(uri_of("azihsm://./%s;type=rsa", "ec.bin"), 0));
    assert_true(error_says("type=rsa"));
    ERR_clear_error();
    assert_null(load(uri_of("azihsm:%s", "ec.bin"), 0));
    assert_true(error_says("type=ec"));
    ERR_clear_error();

    good(PEM_write_bio_PrivateKey(pem, software_rsa, NULL, NULL, 0, NULL, NULL));
    good(i2d_PKCS8PrivateKey_bio(der, software_rsa, NULL, NULL, 0, NULL, NULL));
    BIO_free(pem);
    BIO_free(der);
    for (unsigned i = 0; i < 2; i++) {
        imported = GENERATE("RSA", "azihsm.input_key", in_dir(i == 0 ? "software.pem" : "software.der"),
                            "azihsm.masked_key", in_dir("rsa.bin"));
        good(imported != NULL);
        assert_int_equal(EVP_PKEY_eq(imported, software_rsa), 1);
        assert_true(signs(imported, ctx));
        check_same(uri_of("azihsm://./%s;type=rsa", "rsa.bin"), imported);
        EVP_PKEY_free(imported);
    }
    assert_null(GENERATE("EC", "azihsm.input_key", in_dir("software.pem")));
    assert_true(error_says("EC private key"));
    ERR_clear_error();
    EVP_PKEY_free(key);
    EVP_PKEY_free(software_rsa);
}

static void test_usage(void **state)
{
    EVP_PKEY *derives = GENERATE("EC", "azihsm.key_usage", "keyAgreement"),
             *decrypts = GENERATE("RSA", "azihsm.key_usage", "keyEncipherment");

    (void)state;
    good(derives != NULL && decrypts != NULL);
    assert_false(signs(derives, ctx));
    assert_true(error_says("was not made to"));
    ERR_clear_error();
    assert_false(signs(decrypts, ctx));
    ERR_clear_error();
    assert_null(GENERATE("RSA", "azihsm.key_usage", "keyAgreement"));
    assert_true(error_says("azihsm.key_usage"));
    ERR_clear_error();
    assert_null(GENERATE("EC", "azihsm.key_usage", "sign,decrypt,derive"));
    assert_true(error_says("at most two of them"));
    ERR_clear_error();
    assert_null(GENERATE("EC", "azihsm.key_usage", "digitalSignature,keyAgreement"));
    assert_true(error_says("one use"));
    ERR_clear_error();
    /* generated on the host, because the device makes keys of one use only */
    EVP_PKEY *both = GENERATE("RSA", "azihsm.key_usage", "digitalSignature,keyEncipherment", "azihsm.name", "both");
    good(both != NULL);
    check_same("azihsm://both", both);
    EVP_PKEY_free(both);
    assert_null(GENERATE("RSA", "azihsm.key_usage", "sign,decrypt", "azihsm.masked_key", in_dir("both.bin")));
    assert_true(error_says("one use"));
    ERR_clear_error();
    EVP_PKEY_free(derives);
    EVP_PKEY_free(decrypts);
}

static void test_session_keys(void **state)
{
    EVP_PKEY *key = GENERATE("EC", "azihsm.session", "true");
    BIO *bio = BIO_new(BIO_s_mem());

    (void)state;
    good(key != NULL);
    assert_true(signs(key, ctx));
    assert_int_equal(PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL), 0);
    assert_true(error_says("session key"));
    ERR_clear_error();
    assert_null(GENERATE("EC", "azihsm.session", "true", "azihsm.name", "x"));
    ERR_clear_error();
    BIO_free(bio);
    EVP_PKEY_free(key);
}

/* Whoever expects a public key gets one that cannot sign; whoever expects a certificate gets nothing. */
static void test_expect(void **state)
{
    EVP_PKEY *key = GENERATE("EC", "azihsm.name", "expected"),
             *public = load("azihsm://expected", OSSL_STORE_INFO_PUBKEY);

    (void)state;
    good(key != NULL && public != NULL);
    assert_int_equal(EVP_PKEY_eq(key, public), 1);
    assert_false(signs(public, ctx));
    ERR_clear_error();
    assert_null(load("azihsm://expected", OSSL_STORE_INFO_CERT));
    ERR_clear_error();
    EVP_PKEY_free(public);
    EVP_PKEY_free(key);
}

static void test_wrong_uris(void **state)
{
    static const struct {
        const char *uri, *says;
    } uris[] = {
        {"azihsm://web?colour=red", "'colour'"},
        {"azihsm://nobody", "No such file"},
        {"azihsm://a%zz", "escape"},
        {"azihsm://../x", "leading dot"},
        {"azihsm:?tag=70000", "'tag'"},
        {"azihsm:/etc/passwd", "not a key file"},
        {"azihsm:/etc", "regular file"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(uris) / sizeof(uris[0]); i++) {
        assert_null(load(uris[i].uri, 0));
        if (!error_says(uris[i].says))
            fail_msg("%s: no error says %s", uris[i].uri, uris[i].says);
        ERR_clear_error();
    }
}

/* A PIN that somebody wrote into a URI stays out of the errors. */
static void test_pin_not_told(void **state)
{
    static const char *const uris[] = {"azihsm://web?pin-value=31415926", "azihsm://web;pin-source=31415926",
                                       "azihsm://?pin-source=31415926&tag=1"};

    (void)state;
    for (size_t i = 0; i < sizeof(uris) / sizeof(uris[0]); i++) {
        ERR_clear_error();
        assert_null(load(uris[i], 0));
        assert_int_not_equal(ERR_peek_error(), 0);
        assert_false(error_says("31415926"));
    }
}

/* pkcs11: URIs are for whoever asks for them in the configuration, and nobody else's keys are looked for by them. */
static void test_pkcs11(void **state)
{
    static const struct {
        const char *uri, *says;
    } wrong[] = {
        {"pkcs11:object=nobody", "No such file"},
        {"pkcs11:object=seven;id=%01", "'id'"},
        {"pkcs11:token=elsewhere;object=seven?pin-value=31415926", "'pin-value'"},
        {"pkcs11:object=seven?module-path=/usr/lib/x.so", "'module-path'"},
        {"pkcs11:type=private", "object=NAME"},
    };
    OSSL_LIB_CTX *asked = order("pkcs11");
    EVP_PKEY *key = GENERATE("EC", "azihsm.name", "seven"), *named;

    (void)state;
    good(key != NULL);
    assert_null(load("pkcs11:object=seven;type=private", 0));
    assert_true(error_says("pkcs11")); /* nobody answers for the scheme */
    ERR_clear_error();
    named = load_in(asked, "pkcs11:object=seven;type=private");
    good(named != NULL);
    assert_int_equal(EVP_PKEY_eq(named, key), 1);
    assert_true(signs(named, asked));
    EVP_PKEY_free(named);
    named = load_in(asked, "azihsm://seven");
    good(named != NULL);
    EVP_PKEY_free(named);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_null(load_in(asked, wrong[i].uri));
        if (!error_says(wrong[i].says))
            fail_msg("%s: no error says %s", wrong[i].uri, wrong[i].says);
        assert_false(error_says("31415926"));
        ERR_clear_error();
    }
    EVP_PKEY_free(key);
}

#if OPENSSL_VERSION_NUMBER >= 0x30200000L
static bool erase(OSSL_LIB_CTX *libctx, const char *uri)
{
    return OSSL_STORE_delete(uri, libctx, NULL, NULL, NULL, NULL) > 0;
}

static void write_text(const char *name, const char *text)
{
    FILE *file = fopen(in_dir(name), "w");

    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static void test_delete_file(void **state)
{
    EVP_PKEY *key = GENERATE("EC", "azihsm.name", "doomed", "azihsm.masked_key", in_dir("doomed.bin")),
             *other = GENERATE("RSA", "azihsm.name", "spared");

    (void)state;
    good(key != NULL && other != NULL);
    assert_false(erase(ctx, "azihsm://doomed?type=rsa"));
    assert_true(error_says("type=rsa"));
    ERR_clear_error();
    assert_int_equal(access(in_dir("keys/doomed.pem"), F_OK), 0);
    good(erase(ctx, "azihsm://doomed"));
    assert_int_equal(access(in_dir("keys/doomed.pem"), F_OK), -1);
    assert_int_equal(access(in_dir("keys/spared.pem"), F_OK), 0);
    assert_true(signs(key, ctx)); /* who has it open keeps it */
    assert_false(erase(ctx, "azihsm://doomed"));
    assert_true(error_says("No such file"));
    ERR_clear_error();
    assert_false(erase(ctx, uri_of("azihsm:%s", "doomed.bin")));
    assert_true(error_says("type=ec"));
    ERR_clear_error();
    good(erase(ctx, uri_of("azihsm:%s;type=ec", "doomed.bin")));
    assert_int_equal(access(in_dir("doomed.bin"), F_OK), -1);
    good(erase(order("pkcs11"), "pkcs11:object=spared"));
    assert_int_equal(access(in_dir("keys/spared.pem"), F_OK), -1);
    EVP_PKEY_free(other);
    EVP_PKEY_free(key);
}

/* What is no key stays, whoever asks. */
static void test_delete_refused(void **state)
{
    EVP_PKEY *key = GENERATE("EC", "azihsm.name", "linked");

    (void)state;
    good(key != NULL);
    write_text("notes", "no key\n");
    assert_false(erase(ctx, uri_of("azihsm:%s", "notes")));
    assert_true(error_says("not a key file"));
    ERR_clear_error();
    assert_false(erase(ctx, uri_of("azihsm:%s;type=ec", "notes")));
    ERR_clear_error();
    assert_int_equal(access(in_dir("notes"), F_OK), 0);
    assert_int_equal(symlink(in_dir("keys/linked.pem"), in_dir("keys/link.pem")), 0);
    assert_false(erase(ctx, "azihsm://link"));
    assert_true(error_says("not a regular file"));
    ERR_clear_error();
    assert_int_equal(access(in_dir("keys/linked.pem"), F_OK), 0);
    assert_int_equal(unlink(in_dir("keys/link.pem")), 0);
    assert_false(erase(ctx, "azihsm:"));
    assert_true(error_says("names no key"));
    ERR_clear_error();
    assert_false(erase(ctx, "azihsm://linked?colour=red"));
    assert_true(error_says("'colour'"));
    ERR_clear_error();
    good(erase(ctx, "azihsm://linked"));
    EVP_PKEY_free(key);
}

/* A named key lives in the device: there it is deleted, for everybody. */
static void test_delete_tagged(void **state)
{
    EVP_PKEY *key = GENERATE("EC", "azihsm.tag", "0x2222"), *named = load("azihsm:?tag=0x2222", 0);
    long before = device_requests("DeleteKey");

    (void)state;
    good(key != NULL && named != NULL);
    assert_true(signs(named, ctx));
    good(erase(ctx, "azihsm:?tag=0x2222"));
    assert_int_equal(device_requests("DeleteKey"), before + 1);
    assert_null(load("azihsm:?tag=0x2222", 0));
    assert_true(error_says("KeyNotFound"));
    ERR_clear_error();
    assert_false(erase(ctx, "azihsm:?tag=0x2222"));
    assert_true(error_says("KeyNotFound"));
    ERR_clear_error();
    EVP_PKEY_free(named);
    EVP_PKEY_free(key);
}
#endif

static int begin(void **state)
{
    (void)state;
    ctx = order("azihsm-first");
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_tag),
        cmocka_unit_test(test_no_orphans),
        cmocka_unit_test(test_vendor_forms),
        cmocka_unit_test(test_usage),
        cmocka_unit_test(test_session_keys),
        cmocka_unit_test(test_expect),
        cmocka_unit_test(test_wrong_uris),
        cmocka_unit_test(test_pin_not_told),
        cmocka_unit_test(test_pkcs11),
#if OPENSSL_VERSION_NUMBER >= 0x30200000L
        cmocka_unit_test(test_delete_file),
        cmocka_unit_test(test_delete_refused),
        cmocka_unit_test(test_delete_tagged),
#endif
    };

    return cmocka_run_group_tests(tests, begin, support_end);
}
