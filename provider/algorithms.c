/*
 * Every algorithm this provider offers, in one place. The tables are constants: querying them does nothing else.
 *
 * Each keymgmt name has two rows over the same functions but for generation: the first makes carried (software) keys
 * and names no provider, the second makes device keys. Their order matters; README.md says why. All other rows carry
 * `provider=azihsm`.
 */
#include "algorithms.h"

#include <openssl/core_names.h>

#define DEVICE "provider=azihsm"

static const OSSL_ALGORITHM signatures[] = {
    {"ECDSA", DEVICE, signature_ecdsa_functions, "ECDSA, device and software keys"},
    {"RSA:rsaEncryption:1.2.840.113549.1.1.1", DEVICE, signature_rsa_functions, "RSA, device and software keys"},
    {NULL, NULL, NULL, NULL},
};

static const OSSL_ALGORITHM asym_ciphers[] = {
    {"RSA:rsaEncryption:1.2.840.113549.1.1.1", DEVICE, asym_cipher_rsa_functions, "RSA, device and software keys"},
    {NULL, NULL, NULL, NULL},
};

static const OSSL_ALGORITHM key_exchanges[] = {
    {"ECDH", DEVICE, keyexch_ecdh_functions, "ECDH, device and software keys"},
    {NULL, NULL, NULL, NULL},
};

static const struct {
    int operation_id;
    const OSSL_ALGORITHM *algorithms;
} operations[] = {
    {OSSL_OP_SIGNATURE, signatures},
    {OSSL_OP_ASYM_CIPHER, asym_ciphers},
    {OSSL_OP_KEYEXCH, key_exchanges},
};

const OSSL_ALGORITHM *algorithms_query(int operation_id, int *no_cache)
{
    *no_cache = 0;
    for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++)
        if (operations[i].operation_id == operation_id)
            return operations[i].algorithms;
    return NULL;
}
