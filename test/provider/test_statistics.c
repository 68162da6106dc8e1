/*
 * What the provider's parameters tell: every name can be had, signatures are counted by algorithm and size, errors too,
 * and a forked child counts for itself.
 */
#include "support.h"

#include <openssl/provider.h>
#include <sys/wait.h>
#include <unistd.h>

static OSSL_LIB_CTX *ctx;
static OSSL_PROVIDER *provider;

static int setup(void **state)
{
    (void)state;
    ctx = order(orders[0]);
    provider = OSSL_PROVIDER_load(ctx, "azihsm");
    return provider == NULL;
}

static int teardown(void **state)
{
    OSSL_PROVIDER_unload(provider);
    return support_end(state);
}

static uint64_t value(const char *name)
{
    uint64_t number = UINT64_MAX;
    OSSL_PARAM query[] = {OSSL_PARAM_uint64(name, &number), OSSL_PARAM_END};

    if (!OSSL_PROVIDER_get_params(provider, query) || !OSSL_PARAM_modified(query))
        fail_msg("there is no parameter %s", name);
    return number;
}

static void every_name_can_be_had(void **state)
{
    unsigned numbers = 0;

    (void)state;
    for (const OSSL_PARAM *p = OSSL_PROVIDER_gettable_params(provider); p->key != NULL; p++) {
        char *text = NULL;
        OSSL_PARAM query[] = {OSSL_PARAM_utf8_ptr(p->key, &text, 0), OSSL_PARAM_END};

        if (p->data_type == OSSL_PARAM_UTF8_PTR) {
            good(OSSL_PROVIDER_get_params(provider, query));
            assert_non_null(text);
        } else if (strncmp(p->key, "azihsm.", 7) == 0) {
            value(p->key);
            numbers++;
        }
    }
    assert_true(numbers > 200);
}

static void unknown_names_are_left_alone(void **state)
{
    static const char *const names[] = {"azihsm.", "azihsm.nothing", "azihsm.ecdsa-p256.sign",
                                        "azihsm.ecdsa-p256.sign.", "azihsm.ecdsa-p256.sign.mean"};

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        uint64_t number = 42;
        OSSL_PARAM query[] = {OSSL_PARAM_uint64(names[i], &number), OSSL_PARAM_END};

        good(OSSL_PROVIDER_get_params(provider, query));
        assert_false(OSSL_PARAM_modified(query));
        assert_int_equal(number, 42);
    }
}

#define DEVICE_COUNT(algorithm)                                                                                        \
    "azihsm_operations_total{partition=\"default\",algorithm=\"" algorithm "\",action=\"sign\"}"

static void signatures_are_counted(void **state)
{
    static const struct {
        const char *kind, *name, *metric; /* azihsmd's, which counts by the same names */
    } cases[] = {{"P-256", "azihsm.ecdsa-p256.sign.", DEVICE_COUNT("ecdsa-p256")},
                 {"P-521", "azihsm.ecdsa-p521.sign.", DEVICE_COUNT("ecdsa-p521")},
                 {"RSA-2048", "azihsm.rsa-2048.sign.", DEVICE_COUNT("rsa-2048")},
                 {"PSS-2048", "azihsm.rsa-2048.sign.", DEVICE_COUNT("rsa-2048")}};
    char name[64];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        EVP_PKEY *key = device_key(ctx, cases[i].kind);
        uint64_t all = value("azihsm.operations"), before;
        long device = device_metric(cases[i].metric);

        snprintf(name, sizeof(name), "%soperations", cases[i].name);
        before = value(name);
        for (int n = 0; n < 5; n++)
            assert_true(signs(key, ctx));
        assert_int_equal(value(name), before + 5);
        assert_int_equal(value("azihsm.operations"), all + 5);
        assert_int_equal(device_metric(cases[i].metric), device + 5);
        snprintf(name, sizeof(name), "%smax-us", cases[i].name);
        before = value(name);
        assert_true(before > 0);
        snprintf(name, sizeof(name), "%sp50-us", cases[i].name);
        assert_true(value(name) >= 1 && value(name) <= before);
        snprintf(name, sizeof(name), "%serrors", cases[i].name);
        assert_int_equal(value(name), 0);
    }
    assert_true(value("azihsm.sessions") >= 1);
    assert_true(value("azihsm.session.open.operations") >= 1);
}

static void decryption_is_not_signing(void **state)
{
    EVP_PKEY *key = device_key(ctx, "RSA-2048d");
    uint64_t signatures = value("azihsm.rsa-2048.sign.operations");
    uint64_t before = value("azihsm.rsa-2048.decrypt.operations");
    EVP_PKEY_CTX *to = EVP_PKEY_CTX_new_from_pkey(ctx, key, NULL);
    unsigned char sealed[256], text[256];
    size_t sealed_len = sizeof(sealed), len = sizeof(text);

    (void)state;
    good(EVP_PKEY_encrypt_init(to));
    good(EVP_PKEY_CTX_set_rsa_padding(to, RSA_PKCS1_OAEP_PADDING));
    good(EVP_PKEY_encrypt(to, sealed, &sealed_len, (const unsigned char *)"text", 4));
    good(EVP_PKEY_decrypt_init(to));
    good(EVP_PKEY_CTX_set_rsa_padding(to, RSA_PKCS1_OAEP_PADDING));
    good(EVP_PKEY_decrypt(to, text, &len, sealed, sealed_len));
    assert_int_equal(value("azihsm.rsa-2048.decrypt.operations"), before + 1);
    assert_int_equal(value("azihsm.rsa-2048.sign.operations"), signatures);
    EVP_PKEY_CTX_free(to);
}

static void a_child_counts_for_itself(void **state)
{
    EVP_PKEY *key = device_key(ctx, "P-256");
    uint64_t before;
    pid_t child;
    int status;

    (void)state;
    assert_true(signs(key, ctx));
    before = value("azihsm.ecdsa-p256.sign.operations");
    child = fork();
    if (child == 0) {
        bool ok = signs(key, ctx) && value("azihsm.ecdsa-p256.sign.operations") == 1 && value("azihsm.sessions") == 1 &&
                  value("azihsm.key.load.operations") == 1;

        _exit(ok ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_int_equal(value("azihsm.ecdsa-p256.sign.operations"), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_name_can_be_had),     cmocka_unit_test(unknown_names_are_left_alone),
        cmocka_unit_test(signatures_are_counted),    cmocka_unit_test(decryption_is_not_signing),
        cmocka_unit_test(a_child_counts_for_itself),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
