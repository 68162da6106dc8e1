/*
 * The provider itself: one object per loaded instance, made by OSSL_provider_init and passed to every operation as its
 * provctx. It owns the private library context, the configuration and (from the first key on) the device client.
 *
 * Cryptography on the host uses provider_libctx() and nothing else: it holds `default` only, reads no configuration,
 * and so never leads back to us. Fetch with it and a NULL property query.
 */
#ifndef AZIHSM_PROVIDER_H
#define AZIHSM_PROVIDER_H

#include <azihsm/client.h>
#include <openssl/core.h>
#include <openssl/types.h>

struct provider;
struct config;

OSSL_LIB_CTX *provider_libctx(const struct provider *provider);
const struct config *provider_config(const struct provider *provider);

/*
 * The client of the configured device: made on the first call, not opened. 0 (with the error raised) when the
 * configuration is wrong. The provider keeps it; do not free.
 */
int provider_client(struct provider *provider, struct azihsm_client **client);

/* What a URI may say otherwise than the configuration; members are NULL where it says nothing. */
struct device_choice {
    const char *device;
    const char *partition;
    const char *pin_source;
};
/* The client of another device, partition or credential; the caller's own reference. Raises nothing: *err says why. */
azihsm_rc provider_client_for(struct provider *provider, const struct device_choice *choice,
                              struct azihsm_client **client, struct azihsm_error *err);

/* Version of the libcrypto that runs us (which need not be the one we were built with): CORE_VERSION of newer.h. */
unsigned provider_core_version(const struct provider *provider);

/* Digests for hashing on the host, fetched once (sigdigest.h). The provider keeps them. */
struct digests;
struct digests *provider_digests(const struct provider *provider);

/* Whether the module may serve an operation of a device key: 0 with the configuration's error raised. */
int provider_ready(const struct provider *provider);
/* The same without raising: NULL, or what is wrong with the configuration. */
const char *provider_wrong(const struct provider *provider);

/* The default provider's keymgmt of the private library context, fetched once. type: enum key_type. */
EVP_KEYMGMT *provider_host_keymgmt(const struct provider *provider, int type);
struct keymgmt_tables;
const struct keymgmt_tables *provider_keymgmt_tables(const struct provider *provider);

/* A BIO over the core's; NULL with an error raised. BIO_free when done; the core's BIO stays open. */
BIO *provider_bio(const struct provider *provider, OSSL_CORE_BIO *core_bio);

/* ---- said once per cause and never with a secret: provider/error.c ---- */

enum reason {
    REASON_CONFIGURATION = 1,
    REASON_DEVICE,           /* the device or the way to it failed; data: status name, text, hint */
    REASON_DEVICE_KEY,       /* a software key was given where a device key is needed */
    REASON_NOT_EXPORTABLE,   /* somebody wants the private half of a device key */
    REASON_MISSING_PRIVATE,  /* the key has only its public half */
    REASON_MISSING_PUBLIC,   /* the key is empty, or only parameters */
    REASON_KEY_TYPE,         /* wrong type for this operation */
    REASON_KEY_USAGE,        /* the key's usage attribute does not permit it */
    REASON_KEY_SIZE,         /* size or curve the device does not have */
    REASON_PARAMETER,        /* a parameter is unknown, malformed or contradicts another */
    REASON_PADDING,          /* padding mode, salt length or digest not possible here */
    REASON_DIGEST,           /* unknown or forbidden digest, or wrong length of the value */
    REASON_BUFFER,           /* output buffer too small */
    REASON_INPUT_LENGTH,     /* data too long or too short for the key */
    REASON_SIGNATURE,        /* malformed result of the device */
    REASON_SECRET_IN_DEVICE, /* the shared secret cannot leave the device */
    REASON_STATE,            /* operation not initialised, or called out of order */
    REASON_KEY_FILE,         /* malformed key file */
    REASON_URI,              /* malformed URI, unknown attribute */
    REASON_FILE,             /* reading or writing a file failed */
    REASON_ENCRYPTED_OUTPUT, /* a key file cannot be encrypted */
    REASON_PASSPHRASE,
    REASON_POLICY,      /* the configuration forbids it */
    REASON_HOST_CRYPTO, /* libcrypto failed on the host */
    REASON_NO_MEMORY,
    REASON_DECRYPT, /* OAEP check failed */
    REASON_UNSUPPORTED,
    REASON_EXPORT, /* as NOT_EXPORTABLE, of keymgmt_export; without data, because libcrypto asks before every signature
                    */
    /* raise_device chooses one of these by what happened, else REASON_DEVICE */
    REASON_DEVICE_AWAY,
    REASON_DEVICE_REFUSES,
    REASON_DEVICE_TIMEOUT,
    REASON_DEVICE_FULL,
    REASON_DEVICE_FOREIGN_KEY,
};

/* Raises reason with data; format may be NULL. Always returns 0, so `return raise_error(...)` reads well. */
#define raise_error(provider, reason, ...) error_raise(provider, __FILE__, __LINE__, __func__, reason, __VA_ARGS__)
/* The same for a failure of client.h: status name, text and hint become the data. what: e.g. "EccSign" or "import". */
#define raise_device(provider, err, what)  error_raise_device(provider, __FILE__, __LINE__, __func__, err, what)

#if defined(__GNUC__)
__attribute__((format(printf, 6, 7)))
#endif
int error_raise(const struct provider *provider, const char *file, int line, const char *function, enum reason reason,
                const char *format, ...);
int error_raise_device(const struct provider *provider, const char *file, int line, const char *function,
                       const struct azihsm_error *err, const char *what);
const OSSL_ITEM *error_reason_strings(void);

/* Errors of attempts that may fail: set a mark before, pop it after (drop what was raised since). */
void error_mark(const struct provider *provider);
void error_pop(const struct provider *provider);

/* ---- provider/trace.c ---- */

bool trace_on(const struct provider *provider, enum azihsm_trace_category category);
#if defined(__GNUC__)
__attribute__((format(printf, 3, 4)))
#endif
void trace(const struct provider *provider, enum azihsm_trace_category category, const char *format, ...);

#endif
