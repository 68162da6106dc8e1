/*
 * Logging in, in a program whose own library context has no algorithms (its default provider is "null"): what the
 * client needs of libcrypto it takes from contexts of its own, and nothing it does is seen in the program's.
 */
#include "judge.h"
#include "software_device.h"

#include <openssl/err.h>
#include <openssl/provider.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void test_own_contexts(void **state)
{
    static const struct {
        uint32_t op;
        unsigned count;
        azihsm_rc rc;
    } faults[] = {
        {AZIHSM_OP_GET_API_REV, 0, AZIHSM_OK},
        {AZIHSM_OP_OPEN_SESSION, 3, AZIHSM_STATUS_NONCE_MISMATCH},
        {AZIHSM_OP_OPEN_SESSION, 2, AZIHSM_STATUS_PIN_DECRYPTION_FAILED},
    };
    const struct software_options options = {.extensions = true};
    const struct azihsm_key_spec spec = {.usage = AZIHSM_USAGE_SIGN};
    struct software_device *device = software_new(&options);

    (void)state;
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        struct azihsm_client *client = software_client(device, 0);
        struct azihsm_key *key = NULL;

        ERR_clear_error();
        software_fail(device, faults[i].op, faults[i].count, faults[i].rc, false);
        OK(azihsm_key_generate_ecc(client, AZIHSM_CURVE_P256, &spec, &key, WHY));
        assert_int_equal(ERR_peek_error(), 0);
        azihsm_key_free(key);
        azihsm_client_free(client);
    }
    software_free(device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_own_contexts)};
    OSSL_PROVIDER *null = OSSL_PROVIDER_load(NULL, "null");
    int failed = null == NULL ? 1 : cmocka_run_group_tests(tests, NULL, NULL);

    OSSL_PROVIDER_unload(null);
    return failed;
}
