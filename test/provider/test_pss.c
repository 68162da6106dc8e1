/*
 * Settings of RSA signatures one after another, as libssl and others make them: each sequence is put to a device key
 * and to a software key, which must accept and refuse the same steps and answer the same afterwards; the signatures are
 * judged by the default provider under those answers. (A device key's context keeps the two settings of TLS in mind and
 * makes its delegate only for others.)
 */
#include "support.h"

enum { STEPS = 5 };

static OSSL_LIB_CTX *ctx;
static const uint8_t text[] = "one setting at a time";

static const struct step {
    const char *name, *value;
} sequences[][STEPS] = {
    {{"pad-mode", "pss"}},
    {{"pad-mode", "pss"}, {"saltlen", "digest"}},
    {{"pad-mode", "pss"}, {"saltlen", "digest"}, {"saltlen", "10"}},
    {{"pad-mode", "pss"}, {"saltlen", "20"}},
    {{"pad-mode", "pss"}, {"saltlen", "max"}},
    {{"pad-mode", "pss"}, {"saltlen", "digest"}, {"mgf1-digest", "SHA1"}},
    {{"pad-mode", "pss"}, {"saltlen", "digest"}, {"pad-mode", "pkcs1"}},
    {{"pad-mode", "pss"}, {"saltlen", "digest"}, {"pad-mode", "pkcs1"}, {"pad-mode", "pss"}},
    {{"pad-mode", "pkcs1"}, {"pad-mode", "pss"}, {"saltlen", "digest"}},
    {{"saltlen", "digest"}},
    {{"pad-mode", "pss"}, {"saltlen", "digest"}, {"pad-mode", "nonsense"}},
    {{"pad-mode", "pss"}, {"saltlen", "digest"}, {"pad-mode", "pss"}, {"saltlen", "digest"}},
};
enum { SEQUENCES = sizeof(sequences) / sizeof(sequences[0]) };

static int set(EVP_PKEY_CTX *pctx, const char *name, const char *value)
{
    OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(name, (char *)value, 0), OSSL_PARAM_construct_end()};
    int ok = EVP_PKEY_CTX_set_params(pctx, params) == 1;

    ERR_clear_error();
    return ok;
}

struct answers {
    char padding[32], salt[32], mgf1[32];
};

static void ask(EVP_PKEY_CTX *pctx, struct answers *answers)
{
    OSSL_PARAM query[] = {OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PAD_MODE, answers->padding, 32),
                          OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PSS_SALTLEN, answers->salt, 32),
                          OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_MGF1_DIGEST, answers->mgf1, 32), OSSL_PARAM_END};

    memset(answers, 0, sizeof(*answers));
    good(EVP_PKEY_CTX_get_params(pctx, query));
}

/* Under the very settings that were asked for; in PKCS#1 v1.5 there is no salt to set. */
static void judge(EVP_MD_CTX *signing, EVP_PKEY *key, const struct answers *answers)
{
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pctx;
    uint8_t sig[512];
    size_t len = sizeof(sig);

    good(EVP_DigestSign(signing, sig, &len, text, sizeof(text)));
    good(EVP_DigestVerifyInit_ex(md, &pctx, "SHA256", software(), NULL, public_of(key), NULL));
    good(set(pctx, "pad-mode", answers->padding));
    if (strcmp(answers->padding, "pss") == 0) {
        good(set(pctx, "saltlen", strcmp(answers->salt, "auto") == 0 ? "max" : answers->salt));
        good(set(pctx, "mgf1-digest", answers->mgf1));
    }
    good(EVP_DigestVerify(md, sig, len, text, sizeof(text)));
    EVP_MD_CTX_free(md);
}

/* asked: the answers are asked for before the signature is made; else of a copy, so that the original is not disturbed.
 */
static void check_sequence(const struct step *steps, bool asked)
{
    EVP_PKEY *key = device_key(ctx, "RSA-2048");
    EVP_MD_CTX *device = EVP_MD_CTX_new(), *soft = EVP_MD_CTX_new(), *copy = EVP_MD_CTX_new();
    EVP_PKEY_CTX *on_device, *in_software;
    struct answers ours, theirs;

    good(EVP_DigestSignInit_ex(device, &on_device, "SHA256", ctx, NULL, key, NULL));
    good(EVP_DigestSignInit_ex(soft, &in_software, "SHA256", software(), NULL, software_key(software(), "RSA-2048"),
                               NULL));
    for (int i = 0; i < STEPS && steps[i].name != NULL; i++)
        assert_int_equal(set(on_device, steps[i].name, steps[i].value),
                         set(in_software, steps[i].name, steps[i].value));
    good(EVP_MD_CTX_copy_ex(copy, device));
    ask(in_software, &theirs);
    ask(asked ? on_device : EVP_MD_CTX_get_pkey_ctx(copy), &ours);
    assert_memory_equal(&ours, &theirs, sizeof(ours));
    judge(device, key, &theirs);
    judge(copy, key, &theirs);
    /* Initialised again, it is as new. */
    good(EVP_DigestSignInit_ex(device, &on_device, "SHA256", ctx, NULL, key, NULL));
    judge(device, key, &(struct answers){.padding = "pkcs1"});
    EVP_MD_CTX_free(device);
    EVP_MD_CTX_free(soft);
    EVP_MD_CTX_free(copy);
}

static void test_sequences(void **state)
{
    (void)state;
    for (size_t i = 0; i < SEQUENCES; i++) {
        check_sequence(sequences[i], false);
        check_sequence(sequences[i], true);
    }
}

/* As libssl does it: numbers, not words. */
static void test_numbers(void **state)
{
    EVP_PKEY *key = device_key(ctx, "RSA-2048");
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pctx;
    int padding = 0, salt = 0;

    (void)state;
    good(EVP_DigestSignInit_ex(md, &pctx, "SHA256", ctx, NULL, key, NULL));
    good(EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING));
    good(EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, RSA_PSS_SALTLEN_DIGEST));
    judge(md, key, &(struct answers){.padding = "pss", .salt = "digest", .mgf1 = "SHA256"});
    good(EVP_PKEY_CTX_get_rsa_padding(pctx, &padding));
    good(EVP_PKEY_CTX_get_rsa_pss_saltlen(pctx, &salt));
    assert_int_equal(padding, RSA_PKCS1_PSS_PADDING);
    assert_int_equal(salt, RSA_PSS_SALTLEN_DIGEST);
    EVP_MD_CTX_free(md);
}

static int begin(void **state)
{
    (void)state;
    ctx = order("default-first");
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_sequences), cmocka_unit_test(test_numbers)};

    return cmocka_run_group_tests(tests, begin, support_end);
}
