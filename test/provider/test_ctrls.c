/*
 * Settings of RSA operations by name, as `openssl pkeyutl -pkeyopt` gives them, in every combination and in two orders:
 * with a key in the device each call must return what it returns with the same key in software, and what comes out must
 * be accepted (signatures) or the same (plaintext) there. Settings that contradict each other are part of it. What a
 * device key refuses although software does it is listed in `refused`.
 */
#include "support.h"

#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { SETTINGS = 4, CALLS = SETTINGS + 4, OUT_MAX = 512 };

struct setting {
    const char *name;
    const char *values[16]; /* NULL-terminated; the first, "", is: not set */
};

static const struct setting signing[SETTINGS] = {
    {"rsa_padding_mode", {"", "none", "pkcs1", "x931", "oaep", "pss", "sslv23", "nonsense"}},
    {"digest", {"", "SHA256", "SHA1", "MD5-SHA1", "SHA3-384", "SHA512-256", "nonsense"}},
    {"rsa_pss_saltlen",
     {"", "digest", "max", "auto", "auto-digestmax", "-1", "-2", "-3", "-4", "-5", "0", "20", "222", "223", "x"}},
    {"rsa_mgf1_md", {"", "SHA1", "SHA512", "nonsense"}},
};
static const struct setting decrypting[SETTINGS] = {
    {"rsa_padding_mode", {"", "none", "pkcs1", "oaep", "pss", "x931"}},
    {"rsa_oaep_md", {"", "SHA1", "SHA256", "SHA512", "nonsense"}},
    {"rsa_mgf1_md", {"", "SHA1", "SHA384", "nonsense"}},
    {"rsa_oaep_label", {"", "00112233", "xyz"}},
};

/* The calls of one operation: what each returned. */
struct record {
    int result[CALLS];
    size_t calls;
    unsigned long reason; /* of the first that failed */
    size_t len;
    uint8_t out[OUT_MAX];
};

struct combination {
    const struct setting *settings;
    const char *value[SETTINGS];
    bool backwards; /* the last setting first */
};

static OSSL_LIB_CTX *ctx;
static EVP_PKEY *in_software, *in_device;
static int compared, refusals, accepted, wrong;

static bool note(struct record *r, int result)
{
    if (result <= 0)
        r->reason = ERR_GET_REASON(ERR_peek_error());
    ERR_clear_error();
    r->result[r->calls++] = result;
    return result > 0;
}

static bool set_all(struct record *r, EVP_PKEY_CTX *pctx, const struct combination *c)
{
    bool ok = true;

    for (size_t i = 0; ok && i < SETTINGS; i++) {
        size_t at = c->backwards ? SETTINGS - 1 - i : i;
        if (c->value[at][0] != '\0')
            ok = note(r, EVP_PKEY_CTX_ctrl_str(pctx, c->settings[at].name, c->value[at]));
    }
    return ok;
}

static const char *value_of(const struct combination *c, const char *name)
{
    for (size_t i = 0; i < SETTINGS; i++)
        if (strcmp(c->settings[i].name, name) == 0)
            return c->value[i];
    return "";
}

static size_t tbs_length(const struct combination *c)
{
    const char *digest = value_of(c, "digest");

    if (strcmp(value_of(c, "rsa_padding_mode"), "none") == 0)
        return 256;
    return strcmp(digest, "SHA1") == 0       ? 20
           : strcmp(digest, "MD5-SHA1") == 0 ? 36
           : strcmp(digest, "SHA3-384") == 0 ? 48
                                             : 32;
}

static const uint8_t tbs[256] = {0, 1, 2, 3, 4, 5};

static void sign(const struct combination *c, EVP_PKEY *key, struct record *r)
{
    EVP_PKEY_CTX *pctx = EVP_PKEY_CTX_new_from_pkey(ctx, key, NULL);

    memset(r, 0, sizeof(*r));
    r->len = OUT_MAX;
    if (note(r, EVP_PKEY_sign_init(pctx)) && set_all(r, pctx, c))
        note(r, EVP_PKEY_sign(pctx, r->out, &r->len, tbs, tbs_length(c)));
    EVP_PKEY_CTX_free(pctx);
}

static bool verifies(const struct combination *c, const struct record *r)
{
    EVP_PKEY_CTX *pctx = EVP_PKEY_CTX_new_from_pkey(ctx, in_software, NULL);
    struct record ignored = {0};
    bool ok = EVP_PKEY_verify_init(pctx) == 1;
    struct combination looser = *c;

    for (size_t i = 0; i < SETTINGS; i++) /* -3 and -4 choose a length; the verifier finds out which */
        if (strcmp(c->settings[i].name, "rsa_pss_saltlen") == 0 && c->value[i][0] != '\0')
            looser.value[i] = "auto";
    ok = ok && set_all(&ignored, pctx, &looser) && EVP_PKEY_verify(pctx, r->out, r->len, tbs, tbs_length(c)) == 1;
    ERR_clear_error();
    EVP_PKEY_CTX_free(pctx);
    return ok;
}

static void decrypt(const struct combination *c, EVP_PKEY *key, const uint8_t *in, size_t inlen, struct record *r)
{
    EVP_PKEY_CTX *pctx = EVP_PKEY_CTX_new_from_pkey(ctx, key, NULL);

    memset(r, 0, sizeof(*r));
    r->len = OUT_MAX;
    if (note(r, EVP_PKEY_decrypt_init(pctx)) && set_all(r, pctx, c))
        note(r, EVP_PKEY_decrypt(pctx, r->out, &r->len, in, inlen));
    EVP_PKEY_CTX_free(pctx);
}

/* Encrypted as the combination says, where it can be; else something is decrypted that is not of its form. */
static size_t encrypt(const struct combination *c, uint8_t out[OUT_MAX])
{
    EVP_PKEY_CTX *pctx = EVP_PKEY_CTX_new_from_pkey(software(), public_of(in_software), NULL);
    size_t len = OUT_MAX, inlen = strcmp(c->value[0], "none") == 0 ? 256 : 20;
    struct record ignored = {0};

    memset(out, 3, 256);
    if (EVP_PKEY_encrypt_init(pctx) != 1 || !set_all(&ignored, pctx, c) ||
        EVP_PKEY_encrypt(pctx, out, &len, tbs, inlen) != 1)
        len = 256;
    ERR_clear_error();
    EVP_PKEY_CTX_free(pctx);
    return len;
}

/* What software does and a device key refuses, by design (provider/README.md): then the last call may fail. */
static bool refused(const struct combination *c)
{
    return strcmp(c->value[0], "x931") == 0;
}

static bool failed(const struct record *r)
{
    return r->calls == 0 || r->result[r->calls - 1] <= 0;
}

static bool same(const struct combination *c, const struct record *soft, const struct record *dev)
{
    if (refused(c) && failed(dev))
        return true;
    if (soft->calls != dev->calls || memcmp(soft->result, dev->result, sizeof(soft->result)) != 0)
        return false;
    return failed(soft) || soft->len == dev->len; /* of reasons we have our own */
}

static void judge(const struct combination *c, const char *operation, const struct record *soft,
                  const struct record *dev, bool output)
{
    compared++;
    refusals += failed(dev);
    accepted += !failed(dev);
    if (same(c, soft, dev) && output)
        return;
    print_error("%s", operation);
    for (size_t i = 0; i < SETTINGS; i++)
        print_error(" %s:%s", c->settings[i].name, c->value[i]);
    print_error(
        "%s: %zu calls, last %d, reason %lu, %zu bytes; software: %zu calls, last %d, reason %lu, %zu bytes%s\n",
        c->backwards ? " (backwards)" : "", dev->calls, dev->result[dev->calls - 1], dev->reason, dev->len, soft->calls,
        soft->result[soft->calls - 1], soft->reason, soft->len, output ? "" : "; wrong output");
    wrong++;
}

static void try_signing(const struct combination *c)
{
    struct record soft, dev;

    sign(c, in_software, &soft);
    sign(c, in_device, &dev);
    judge(c, "sign", &soft, &dev, failed(&dev) || verifies(c, &dev));
}

static void try_decrypting(const struct combination *c)
{
    struct record soft, dev;
    uint8_t text[OUT_MAX];
    size_t len = encrypt(c, text);
    bool output;

    decrypt(c, in_software, text, len, &soft);
    decrypt(c, in_device, text, len, &dev);
    /* A malformed PKCS#1 message decrypts to one that nobody can foretell, in OpenSSL from 3.2 on too. */
    if (failed(&soft) && !failed(&dev) && (c->value[0][0] == '\0' || strcmp(c->value[0], "pkcs1") == 0)) {
        compared++;
        return;
    }
    output = failed(&dev) || (soft.len == dev.len && memcmp(soft.out, dev.out, dev.len) == 0);
    judge(c, "decrypt", &soft, &dev, output);
}

static void combine(struct combination *c, size_t i, void (*try)(const struct combination *c))
{
    if (i == SETTINGS) {
        for (int backwards = 0; backwards < 2; backwards++) {
            c->backwards = backwards != 0;
            try(c);
        }
        return;
    }
    for (const char *const *value = c->settings[i].values; *value != NULL; value++) {
        c->value[i] = *value;
        combine(c, i + 1, try);
    }
}

static void run(const struct setting *settings, void (*try)(const struct combination *c))
{
    struct combination c = {.settings = settings};

    compared = refusals = accepted = wrong = 0;
    combine(&c, 0, try);
    print_message("%d combinations: %d done, %d refused as in software\n", compared, accepted, refusals);
    assert_int_equal(wrong, 0);
    assert_true(accepted > 0 && refusals > 0);
}

static void test_signing(void **state)
{
    (void)state;
    run(signing, try_signing);
}

static void test_decrypting(void **state)
{
    (void)state;
    run(decrypting, try_decrypting);
}

/* One key, in both places. */
static int begin(void **state)
{
    EVP_PKEY_CTX *gen;
    char path[512];
    FILE *file;

    (void)state;
    umask(077); /* of key files */
    ctx = order("default-first");
    in_software = software_key(ctx, "RSA-2048");
    snprintf(path, sizeof(path), "%s/both.pem", getenv("AZIHSM_TEST_DIR"));
    file = fopen(path, "w");
    assert_non_null(file);
    good(PEM_write_PrivateKey_ex(file, in_software, NULL, NULL, 0, NULL, NULL, ctx, NULL));
    fclose(file);
    gen = EVP_PKEY_CTX_new_from_name(ctx, "RSA", "provider=azihsm");
    good(EVP_PKEY_keygen_init(gen));
    good(EVP_PKEY_CTX_ctrl_str(gen, "azihsm.input_key", path)); /* with both uses */
    good(EVP_PKEY_keygen(gen, &in_device));
    EVP_PKEY_CTX_free(gen);
    return 0;
}

static int end(void **state)
{
    EVP_PKEY_free(in_device);
    return support_end(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_signing),
        cmocka_unit_test(test_decrypting),
    };

    return cmocka_run_group_tests(tests, begin, end);
}
