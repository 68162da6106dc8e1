/*
 * What OpenSSL has had since 3.4, for builds against older headers: numbers and function types of the dispatch only, no
 * function of libcrypto. They are part of libcrypto's ABI and do not change. Whether the core of a process knows them
 * is asked at run time (provider_core_version): one binary serves all.
 */
#ifndef AZIHSM_PROVIDER_NEWER_H
#define AZIHSM_PROVIDER_NEWER_H

#include <openssl/core.h>
#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>

#define CORE_VERSION(major, minor) ((unsigned)(major) << 8 | (unsigned)(minor))

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

#ifndef OSSL_SIGNATURE_PARAM_SIGNATURE
#define OSSL_SIGNATURE_PARAM_SIGNATURE "signature"
#endif

#endif
