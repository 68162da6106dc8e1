/*
 * The dispatch tables that algorithms.c lists: one declaration per table, defined in the file of its operation.
 */
#ifndef AZIHSM_PROVIDER_ALGORITHMS_H
#define AZIHSM_PROVIDER_ALGORITHMS_H

#include <openssl/core.h>
#include <openssl/core_dispatch.h>
#include <stdbool.h>

extern const OSSL_DISPATCH signature_ecdsa_functions[];
extern const OSSL_DISPATCH signature_rsa_functions[];
extern const OSSL_DISPATCH signature_ecdsa_sha1_functions[], signature_ecdsa_sha224_functions[],
    signature_ecdsa_sha256_functions[], signature_ecdsa_sha384_functions[], signature_ecdsa_sha512_functions[],
    signature_ecdsa_sha3_224_functions[], signature_ecdsa_sha3_256_functions[], signature_ecdsa_sha3_384_functions[],
    signature_ecdsa_sha3_512_functions[];
extern const OSSL_DISPATCH signature_rsa_sha1_functions[], signature_rsa_sha224_functions[],
    signature_rsa_sha256_functions[], signature_rsa_sha384_functions[], signature_rsa_sha512_functions[],
    signature_rsa_sha512_224_functions[], signature_rsa_sha512_256_functions[], signature_rsa_sha3_224_functions[],
    signature_rsa_sha3_256_functions[], signature_rsa_sha3_384_functions[], signature_rsa_sha3_512_functions[];
extern const OSSL_DISPATCH asym_cipher_rsa_functions[];
extern const OSSL_DISPATCH keyexch_ecdh_functions[];

extern const OSSL_DISPATCH mac_hmac_functions[];
extern const OSSL_DISPATCH kdf_hkdf_functions[], kdf_kbkdf_functions[];
extern const OSSL_DISPATCH cipher_aes128_cbc_functions[], cipher_aes192_cbc_functions[], cipher_aes256_cbc_functions[];
extern const OSSL_DISPATCH skeymgmt_aes_functions[], skeymgmt_aes128_cbc_functions[], skeymgmt_aes192_cbc_functions[],
    skeymgmt_aes256_cbc_functions[], skeymgmt_aes256_gcm_functions[], skeymgmt_aes256_xts_functions[],
    skeymgmt_hmac_functions[], skeymgmt_generic_functions[];
extern const OSSL_DISPATCH cipher_aes256_gcm_functions[], cipher_aes256_xts_functions[];

/*
 * The operation's table; a constant. NULL when we have nothing of the kind. symmetric, pkcs11: the configuration's
 * switches; core_version: of the libcrypto that asks (newer.h).
 */
const OSSL_ALGORITHM *algorithms_query(int operation_id, bool symmetric, bool pkcs11, unsigned core_version,
                                       int *no_cache);

/* The functions of the manager of secret keys that has this name, or alias, or OID; NULL when none has. */
const OSSL_DISPATCH *algorithms_skeymgmt(const char *name);

/* Key type of the TLS groups we announce (capabilities.c). */
#define GROUP_KEY_TYPE "AZIHSM-GROUP-EC"

extern const OSSL_DISPATCH keymgmt_ec_carried[], keymgmt_ec_device[];
extern const OSSL_DISPATCH keymgmt_rsa_carried[], keymgmt_rsa_device[];
extern const OSSL_DISPATCH keymgmt_pss_carried[], keymgmt_pss_device[];
extern const OSSL_DISPATCH encoder_private_der[], encoder_private_pem[];
extern const OSSL_DISPATCH encoder_encrypted_der[], encoder_encrypted_pem[];
extern const OSSL_DISPATCH encoder_specific_der[], encoder_specific_pem[];
extern const OSSL_DISPATCH encoder_public_der[], encoder_public_pem[], encoder_text[];
extern const OSSL_DISPATCH decoder_pem[], decoder_info[], decoder_ec[], decoder_rsa[], decoder_pss[];
extern const OSSL_DISPATCH store_azihsm[];
extern const OSSL_DISPATCH store_pkcs11[];

#endif
