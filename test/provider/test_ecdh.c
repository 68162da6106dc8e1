/*
 * ECDH with device keys: the secret does not leave the device, and the error says what to do instead. (Software keys:
 * test_order.)
 */
#include "support.h"

static OSSL_LIB_CTX *ctx;

static void test_refused_with_advice(void **state)
{
    static const char *const kinds[] = {"P-256x", "P-384x", "P-521x"};

    (void)state;
    for (size_t k = 0; k < 3; k++) {
        EVP_PKEY_CTX *pctx = EVP_PKEY_CTX_new_from_pkey(ctx, device_key(ctx, kinds[k]), NULL);
        EVP_PKEY *peer = make_key(software(), NULL, kinds[k]);
        uint8_t secret[256];
        size_t len = sizeof(secret);

        good(EVP_PKEY_derive_init(pctx));
        good(EVP_PKEY_derive_set_peer(pctx, peer));
        assert_true(EVP_PKEY_derive(pctx, secret, &len) <= 0);
        assert_true(error_says("device key instead"));
        EVP_PKEY_CTX_free(pctx);
        EVP_PKEY_free(peer);
    }
}

/* A signing key says so at once. */
static void test_usage(void **state)
{
    EVP_PKEY_CTX *pctx = EVP_PKEY_CTX_new_from_pkey(ctx, device_key(ctx, "P-256"), NULL);

    (void)state;
    assert_true(EVP_PKEY_derive_init(pctx) <= 0);
    assert_true(error_says("usage"));
    EVP_PKEY_CTX_free(pctx);
}

static int begin(void **state)
{
    (void)state;
    ctx = order("default-first");
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_refused_with_advice), cmocka_unit_test(test_usage)};

    return cmocka_run_group_tests(tests, begin, support_end);
}
