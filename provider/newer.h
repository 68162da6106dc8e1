/*
 * What OpenSSL has got from 3.1 on, for builds against older headers: numbers and function types of the
 * dispatch only, no function of libcrypto. They are part of libcrypto's ABI and do not change. Whether the core of a
 * process knows them is asked at run time (provider_core_version): one binary serves all.
 */
#ifndef AZIHSM_PROVIDER_NEWER_H
#define AZIHSM_PROVIDER_NEWER_H

#include <openssl/core.h>
#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>

#define CORE_VERSION(major, minor) ((unsigned)(major) << 8 | (unsigned)(minor))

/* ---- 3.1: width of KBKDF's counter ---- */

#ifndef OSSL_KDF_PARAM_KBKDF_R
#define OSSL_KDF_PARAM_KBKDF_R "r"
#endif

/* ---- 3.2: stores that delete, and open with all parameters at once ---- */

#ifndef OSSL_FUNC_STORE_DELETE
#define OSSL_FUNC_STORE_DELETE  9
#define OSSL_FUNC_STORE_OPEN_EX 10
typedef int OSSL_FUNC_store_delete_fn(void *provctx, const char *uri, const OSSL_PARAM params[],
                                      OSSL_PASSPHRASE_CALLBACK *pw_cb, void *pw_cbarg);
typedef void *OSSL_FUNC_store_open_ex_fn(void *provctx, const char *uri, const OSSL_PARAM params[],
                                         OSSL_PASSPHRASE_CALLBACK *pw_cb, void *pw_cbarg);
#endif

/* ---- 3.4: signatures of messages, algorithms that include the digest ---- */

#ifndef OSSL_FUNC_SIGNATURE_QUERY_KEY_TYPES
#define OSSL_FUNC_SIGNATURE_QUERY_KEY_TYPES       26
#define OSSL_FUNC_SIGNATURE_SIGN_MESSAGE_INIT     27
#define OSSL_FUNC_SIGNATURE_SIGN_MESSAGE_UPDATE   28
#define OSSL_FUNC_SIGNATURE_SIGN_MESSAGE_FINAL    29
#define OSSL_FUNC_SIGNATURE_VERIFY_MESSAGE_INIT   30
#define OSSL_FUNC_SIGNATURE_VERIFY_MESSAGE_UPDATE 31
#define OSSL_FUNC_SIGNATURE_VERIFY_MESSAGE_FINAL  32
typedef const char **OSSL_FUNC_signature_query_key_types_fn(void);
typedef int OSSL_FUNC_signature_sign_message_init_fn(void *ctx, void *provkey, const OSSL_PARAM params[]);
typedef int OSSL_FUNC_signature_sign_message_update_fn(void *ctx, const unsigned char *in, size_t inlen);
typedef int OSSL_FUNC_signature_sign_message_final_fn(void *ctx, unsigned char *sig, size_t *siglen, size_t sigsize);
typedef int OSSL_FUNC_signature_verify_message_init_fn(void *ctx, void *provkey, const OSSL_PARAM params[]);
typedef int OSSL_FUNC_signature_verify_message_update_fn(void *ctx, const unsigned char *in, size_t inlen);
typedef int OSSL_FUNC_signature_verify_message_final_fn(void *ctx);
#endif

/* ---- 3.5: opaque symmetric keys (EVP_SKEY) ---- */

#ifndef OSSL_OP_SKEYMGMT
#define OSSL_OP_SKEYMGMT 15

#define OSSL_SKEYMGMT_SELECT_PARAMETERS 0x01
#define OSSL_SKEYMGMT_SELECT_SECRET_KEY 0x02
#define OSSL_SKEYMGMT_SELECT_ALL        0x03

#define OSSL_FUNC_SKEYMGMT_FREE                1
#define OSSL_FUNC_SKEYMGMT_IMPORT              2
#define OSSL_FUNC_SKEYMGMT_EXPORT              3
#define OSSL_FUNC_SKEYMGMT_GENERATE            4
#define OSSL_FUNC_SKEYMGMT_GET_KEY_ID          5
#define OSSL_FUNC_SKEYMGMT_IMP_SETTABLE_PARAMS 6
#define OSSL_FUNC_SKEYMGMT_GEN_SETTABLE_PARAMS 7
typedef void OSSL_FUNC_skeymgmt_free_fn(void *keydata);
typedef void *OSSL_FUNC_skeymgmt_import_fn(void *provctx, int selection, const OSSL_PARAM params[]);
typedef int OSSL_FUNC_skeymgmt_export_fn(void *keydata, int selection, OSSL_CALLBACK *param_cb, void *cbarg);
typedef void *OSSL_FUNC_skeymgmt_generate_fn(void *provctx, const OSSL_PARAM params[]);
typedef const char *OSSL_FUNC_skeymgmt_get_key_id_fn(void *keydata);
typedef const OSSL_PARAM *OSSL_FUNC_skeymgmt_imp_settable_params_fn(void *provctx);
typedef const OSSL_PARAM *OSSL_FUNC_skeymgmt_gen_settable_params_fn(void *provctx);

#define OSSL_FUNC_CIPHER_ENCRYPT_SKEY_INIT 19
#define OSSL_FUNC_CIPHER_DECRYPT_SKEY_INIT 20
typedef int OSSL_FUNC_cipher_encrypt_skey_init_fn(void *ctx, void *skeydata, const unsigned char *iv, size_t ivlen,
                                                  const OSSL_PARAM params[]);
typedef int OSSL_FUNC_cipher_decrypt_skey_init_fn(void *ctx, void *skeydata, const unsigned char *iv, size_t ivlen,
                                                  const OSSL_PARAM params[]);

#define OSSL_FUNC_MAC_INIT_SKEY 13
typedef int OSSL_FUNC_mac_init_skey_fn(void *ctx, void *skeydata, const OSSL_PARAM params[]);
#endif

#ifndef OSSL_SKEY_PARAM_RAW_BYTES
#define OSSL_SKEY_PARAM_RAW_BYTES  "raw-bytes"
#define OSSL_SKEY_PARAM_KEY_LENGTH "key-length"
#endif

/* ---- 3.6: opaque symmetric keys of derivations and key agreements ---- */

#ifndef OSSL_FUNC_KDF_SET_SKEY
#define OSSL_FUNC_KDF_SET_SKEY    12
#define OSSL_FUNC_KDF_DERIVE_SKEY 13
typedef int OSSL_FUNC_kdf_set_skey_fn(void *ctx, void *skeydata, const char *paramname);
typedef void *OSSL_FUNC_kdf_derive_skey_fn(void *ctx, const char *key_type, void *provctx,
                                           OSSL_FUNC_skeymgmt_import_fn *import, size_t keylen,
                                           const OSSL_PARAM params[]);

#define OSSL_FUNC_KEYEXCH_DERIVE_SKEY 11
typedef void *OSSL_FUNC_keyexch_derive_skey_fn(void *ctx, const char *key_type, void *provctx,
                                               OSSL_FUNC_skeymgmt_import_fn *import, size_t keylen,
                                               const OSSL_PARAM params[]);
#endif

#ifndef OSSL_SIGNATURE_PARAM_SIGNATURE
#define OSSL_SIGNATURE_PARAM_SIGNATURE "signature"
#endif

#endif
