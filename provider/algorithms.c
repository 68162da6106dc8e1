/*
 * Every algorithm this provider offers, in one place. The tables are constants: querying them does nothing else.
 *
 * Each keymgmt name has two rows over the same functions but for generation: the first makes carried (software) keys
 * and names no provider, the second makes device keys. Their order matters; README.md says why. All other rows carry
 * `provider=azihsm`.
 */
#include "algorithms.h"
#include "keyfile.h"
#include "newer.h"

#include <openssl/core_names.h>
#include <string.h>
#include <strings.h>

#define OURS    "provider=azihsm"
#define CARRIED "azihsm.key=carried"
#define DEVICE  "provider=azihsm,azihsm.key=device"

#define EC_NAMES  "EC:id-ecPublicKey:1.2.840.10045.2.1"
#define RSA_NAMES "RSA:rsaEncryption:1.2.840.113549.1.1.1"
#define PSS_NAMES "RSA-PSS:RSASSA-PSS:1.2.840.113549.1.1.10"

static const OSSL_ALGORITHM key_managers[] = {
    {EC_NAMES, CARRIED, keymgmt_ec_carried, "EC keys in software"},
    {EC_NAMES, DEVICE, keymgmt_ec_device, "EC keys in the device"},
    {RSA_NAMES, CARRIED, keymgmt_rsa_carried, "RSA keys in software"},
    {RSA_NAMES, DEVICE, keymgmt_rsa_device, "RSA keys in the device"},
    {PSS_NAMES, CARRIED, keymgmt_pss_carried, "RSA-PSS keys in software"},
    {PSS_NAMES, DEVICE, keymgmt_pss_device, "RSA-PSS keys in the device"},
    {GROUP_KEY_TYPE, OURS, keymgmt_ec_carried, "EC keys in software, for TLS groups"},
    {NULL, NULL, NULL, NULL},
};

#define ENCODERS_OF(name)                                                                                              \
    {name, OURS ",output=der,structure=PrivateKeyInfo", encoder_private_der, NULL},                                    \
        {name, OURS ",output=pem,structure=PrivateKeyInfo", encoder_private_pem, NULL},                                \
        {name, OURS ",output=der,structure=EncryptedPrivateKeyInfo", encoder_encrypted_der, NULL},                     \
        {name, OURS ",output=pem,structure=EncryptedPrivateKeyInfo", encoder_encrypted_pem, NULL},                     \
        {name, OURS ",output=der,structure=SubjectPublicKeyInfo", encoder_public_der, NULL},                           \
        {name, OURS ",output=pem,structure=SubjectPublicKeyInfo", encoder_public_pem, NULL},                           \
        {name, OURS ",output=der,structure=type-specific", encoder_specific_der, NULL},                                \
        {name, OURS ",output=pem,structure=type-specific", encoder_specific_pem, NULL},                                \
    {                                                                                                                  \
        name, OURS ",output=text", encoder_text, NULL                                                                  \
    }

static const OSSL_ALGORITHM encoders[] = {
    ENCODERS_OF(EC_NAMES),
    ENCODERS_OF(RSA_NAMES),
    ENCODERS_OF(PSS_NAMES),
    {NULL, NULL, NULL, NULL},
};

#define STRUCTURE ",input=der,structure=" KEYFILE_STRUCTURE

static const OSSL_ALGORITHM decoders[] = {
    {"DER", OURS ",input=pem", decoder_pem, "key files in PEM"},
    {"DER:" KEYFILE_OID, OURS ",input=der,structure=PrivateKeyInfo", decoder_info,
     "key files in DER, as OpenSSL 3.5 sees them"},
    {EC_NAMES, OURS STRUCTURE, decoder_ec, "EC key files"},
    {RSA_NAMES, OURS STRUCTURE, decoder_rsa, "RSA key files"},
    {PSS_NAMES, OURS STRUCTURE, decoder_pss, "RSA-PSS key files"},
    {NULL, NULL, NULL, NULL},
};

static const OSSL_ALGORITHM stores[] = {
    {"azihsm", OURS, store_azihsm, "keys by azihsm: URI"},
    {NULL, NULL, NULL, NULL},
};

/* Offered only with `pkcs11-uris = yes`: the scheme belongs to pkcs11-provider where there is one. */
static const OSSL_ALGORITHM stores_with_pkcs11[] = {
    {"azihsm", OURS, store_azihsm, "keys by azihsm: URI"},
    {"pkcs11", OURS, store_pkcs11, "keys by pkcs11: URI"},
    {NULL, NULL, NULL, NULL},
};

/* clang-format off */
#define PLAIN_SIGNATURES                                                                                               \
    {"ECDSA", OURS, signature_ecdsa_functions, "ECDSA, device and software keys"},                                     \
    {"RSA:rsaEncryption:1.2.840.113549.1.1.1", OURS, signature_rsa_functions, "RSA, device and software keys"}
/* clang-format on */

static const OSSL_ALGORITHM signatures[] = {
    PLAIN_SIGNATURES,
    {NULL, NULL, NULL, NULL},
};

/* With the default provider's names: an older libcrypto has some of them as other names of digests. */
static const OSSL_ALGORITHM signatures_of_messages[] = {
    PLAIN_SIGNATURES,
    {"ECDSA-SHA1:ECDSA-SHA-1:ecdsa-with-SHA1:1.2.840.10045.4.1", OURS, signature_ecdsa_sha1_functions, NULL},
    {"ECDSA-SHA2-224:ECDSA-SHA224:ecdsa-with-SHA224:1.2.840.10045.4.3.1", OURS, signature_ecdsa_sha224_functions, NULL},
    {"ECDSA-SHA2-256:ECDSA-SHA256:ecdsa-with-SHA256:1.2.840.10045.4.3.2", OURS, signature_ecdsa_sha256_functions, NULL},
    {"ECDSA-SHA2-384:ECDSA-SHA384:ecdsa-with-SHA384:1.2.840.10045.4.3.3", OURS, signature_ecdsa_sha384_functions, NULL},
    {"ECDSA-SHA2-512:ECDSA-SHA512:ecdsa-with-SHA512:1.2.840.10045.4.3.4", OURS, signature_ecdsa_sha512_functions, NULL},
    {"ECDSA-SHA3-224:ecdsa_with_SHA3-224:id-ecdsa-with-sha3-224:2.16.840.1.101.3.4.3.9", OURS,
     signature_ecdsa_sha3_224_functions, NULL},
    {"ECDSA-SHA3-256:ecdsa_with_SHA3-256:id-ecdsa-with-sha3-256:2.16.840.1.101.3.4.3.10", OURS,
     signature_ecdsa_sha3_256_functions, NULL},
    {"ECDSA-SHA3-384:ecdsa_with_SHA3-384:id-ecdsa-with-sha3-384:2.16.840.1.101.3.4.3.11", OURS,
     signature_ecdsa_sha3_384_functions, NULL},
    {"ECDSA-SHA3-512:ecdsa_with_SHA3-512:id-ecdsa-with-sha3-512:2.16.840.1.101.3.4.3.12", OURS,
     signature_ecdsa_sha3_512_functions, NULL},
    {"RSA-SHA1:RSA-SHA-1:sha1WithRSAEncryption:1.2.840.113549.1.1.5", OURS, signature_rsa_sha1_functions, NULL},
    {"RSA-SHA2-224:RSA-SHA224:sha224WithRSAEncryption:1.2.840.113549.1.1.14", OURS, signature_rsa_sha224_functions,
     NULL},
    {"RSA-SHA2-256:RSA-SHA256:sha256WithRSAEncryption:1.2.840.113549.1.1.11", OURS, signature_rsa_sha256_functions,
     NULL},
    {"RSA-SHA2-384:RSA-SHA384:sha384WithRSAEncryption:1.2.840.113549.1.1.12", OURS, signature_rsa_sha384_functions,
     NULL},
    {"RSA-SHA2-512:RSA-SHA512:sha512WithRSAEncryption:1.2.840.113549.1.1.13", OURS, signature_rsa_sha512_functions,
     NULL},
    {"RSA-SHA2-512/224:RSA-SHA512-224:sha512-224WithRSAEncryption:1.2.840.113549.1.1.15", OURS,
     signature_rsa_sha512_224_functions, NULL},
    {"RSA-SHA2-512/256:RSA-SHA512-256:sha512-256WithRSAEncryption:1.2.840.113549.1.1.16", OURS,
     signature_rsa_sha512_256_functions, NULL},
    {"RSA-SHA3-224:id-rsassa-pkcs1-v1_5-with-sha3-224:2.16.840.1.101.3.4.3.13", OURS, signature_rsa_sha3_224_functions,
     NULL},
    {"RSA-SHA3-256:id-rsassa-pkcs1-v1_5-with-sha3-256:2.16.840.1.101.3.4.3.14", OURS, signature_rsa_sha3_256_functions,
     NULL},
    {"RSA-SHA3-384:id-rsassa-pkcs1-v1_5-with-sha3-384:2.16.840.1.101.3.4.3.15", OURS, signature_rsa_sha3_384_functions,
     NULL},
    {"RSA-SHA3-512:id-rsassa-pkcs1-v1_5-with-sha3-512:2.16.840.1.101.3.4.3.16", OURS, signature_rsa_sha3_512_functions,
     NULL},
    {NULL, NULL, NULL, NULL},
};

static const OSSL_ALGORITHM asym_ciphers[] = {
    {"RSA:rsaEncryption:1.2.840.113549.1.1.1", OURS, asym_cipher_rsa_functions, "RSA, device and software keys"},
    {NULL, NULL, NULL, NULL},
};

static const OSSL_ALGORITHM key_exchanges[] = {
    {"ECDH", OURS, keyexch_ecdh_functions, "ECDH, device and software keys"},
    {NULL, NULL, NULL, NULL},
};

/* Offered only with `symmetric = yes`: without it no cipher or MAC of a process is ever looked for here. */
/* A cipher and the manager of its keys have the same names. */
#define AES128_CBC "AES-128-CBC:AES128:2.16.840.1.101.3.4.1.2"
#define AES192_CBC "AES-192-CBC:AES192:2.16.840.1.101.3.4.1.22"
#define AES256_CBC "AES-256-CBC:AES256:2.16.840.1.101.3.4.1.42"
#define AES256_GCM "AES-256-GCM:id-aes256-GCM:2.16.840.1.101.3.4.1.46"
#define AES256_XTS "AES-256-XTS:1.3.111.2.1619.0.1.2"

static const OSSL_ALGORITHM ciphers[] = {
    {AES128_CBC, OURS, cipher_aes128_cbc_functions, NULL}, {AES192_CBC, OURS, cipher_aes192_cbc_functions, NULL},
    {AES256_CBC, OURS, cipher_aes256_cbc_functions, NULL}, {AES256_GCM, OURS, cipher_aes256_gcm_functions, NULL},
    {AES256_XTS, OURS, cipher_aes256_xts_functions, NULL}, {NULL, NULL, NULL, NULL},
};

static const OSSL_ALGORITHM secret_key_managers[] = {
    {"AES:2.16.840.1.101.3.4.1", OURS, skeymgmt_aes_functions, "AES keys, device and software"},
    {AES128_CBC, OURS, skeymgmt_aes128_cbc_functions, NULL},
    {AES192_CBC, OURS, skeymgmt_aes192_cbc_functions, NULL},
    {AES256_CBC, OURS, skeymgmt_aes256_cbc_functions, NULL},
    {AES256_GCM, OURS, skeymgmt_aes256_gcm_functions, NULL},
    {AES256_XTS, OURS, skeymgmt_aes256_xts_functions, NULL},
    {"HMAC", OURS, skeymgmt_hmac_functions, "HMAC keys, device and software"},
    {"GENERIC-SECRET", OURS, skeymgmt_generic_functions, "secrets, device and software"},
    {NULL, NULL, NULL, NULL},
};

static const OSSL_ALGORITHM macs[] = {
    {"HMAC", OURS, mac_hmac_functions, NULL},
    {NULL, NULL, NULL, NULL},
};

static const OSSL_ALGORITHM kdfs[] = {
    {"HKDF", OURS, kdf_hkdf_functions, NULL},
    {"KBKDF", OURS, kdf_kbkdf_functions, NULL},
    {NULL, NULL, NULL, NULL},
};

/* The first that fits is taken. */
static const struct {
    int operation_id;
    bool symmetric;
    const OSSL_ALGORITHM *algorithms;
    unsigned since; /* version of the core, 0: any */
} operations[] = {
    {OSSL_OP_KEYMGMT, false, key_managers, 0},
    {OSSL_OP_ENCODER, false, encoders, 0},
    {OSSL_OP_DECODER, false, decoders, 0},
    {OSSL_OP_STORE, false, stores, 0},
    {OSSL_OP_SIGNATURE, false, signatures_of_messages, CORE_VERSION(3, 4)},
    {OSSL_OP_SIGNATURE, false, signatures, 0},
    {OSSL_OP_ASYM_CIPHER, false, asym_ciphers, 0},
    {OSSL_OP_KEYEXCH, false, key_exchanges, 0},
    {OSSL_OP_CIPHER, true, ciphers, 0},
    {OSSL_OP_MAC, true, macs, 0},
    {OSSL_OP_KDF, true, kdfs, 0},
    {OSSL_OP_SKEYMGMT, true, secret_key_managers, CORE_VERSION(3, 5)},
};

/* Whether name is one of the names, which a colon parts. */
static bool has_name(const char *names, const char *name)
{
    size_t len = strlen(name), part;

    for (; *names != '\0'; names += part + (names[part] == ':')) {
        part = strcspn(names, ":");
        if (part == len && strncasecmp(names, name, len) == 0)
            return true;
    }
    return false;
}

const OSSL_DISPATCH *algorithms_skeymgmt(const char *name)
{
    for (const OSSL_ALGORITHM *row = secret_key_managers; row->algorithm_names != NULL; row++)
        if (has_name(row->algorithm_names, name))
            return row->implementation;
    return NULL;
}

const OSSL_ALGORITHM *algorithms_query(int operation_id, bool symmetric, bool pkcs11, unsigned core_version,
                                       int *no_cache)
{
    *no_cache = 0;
    if (operation_id == OSSL_OP_STORE && pkcs11)
        return stores_with_pkcs11;
    for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++)
        if (operations[i].operation_id == operation_id && (symmetric || !operations[i].symmetric) &&
            core_version >= operations[i].since)
            return operations[i].algorithms;
    return NULL;
}
