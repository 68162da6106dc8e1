/*
 * What the EVP programs share: library contexts for each activation order, a software-only context that knows nothing
 * of us and judges our results, keys, and the daemon's counters. Include after the cmocka preliminaries, which are
 * here.
 */
#ifndef AZIHSM_TEST_SUPPORT_H
#define AZIHSM_TEST_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sanitizer.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <string.h>
#include <sys/types.h>

/* Orders that every test of software keys runs under. */
extern const char *const orders[3];
enum { ORDERS = 3 };

/* A context with NAME.cnf loaded; the same object for the same name, freed by support_end. */
OSSL_LIB_CTX *order(const char *name);
/* Only the default provider. */
OSSL_LIB_CTX *software(void);
int support_end(void **state);

/* Shows the error queue and fails unless ok. */
#define good(ok) assert_good((ok), #ok, __FILE__, __LINE__)
void assert_good(long ok, const char *text, const char *file, int line);
/* Fails unless ok is not positive, and empties the error queue. */
#define bad(ok) assert_bad((ok), #ok, __FILE__, __LINE__)
void assert_bad(long ok, const char *text, const char *file, int line);
/* Whether some error of the queue says text (reason or data); the queue is left. */
bool error_says(const char *text);

/*
 * Kinds: "P-256", "P-384", "P-521", "RSA-2048" ..., "PSS-2048" ...: keys that sign. A device key has one use only: with
 * a d at the end it decrypts, with an x it derives.
 */
EVP_PKEY *make_key(OSSL_LIB_CTX *ctx, const char *propq, const char *kind);
EVP_PKEY *device_key(OSSL_LIB_CTX *ctx, const char *kind);   /* a key of the device, cached per context and kind */
EVP_PKEY *software_key(OSSL_LIB_CTX *ctx, const char *kind); /* in ctx by default provider; cached likewise */
EVP_PKEY *public_of(EVP_PKEY *key);                          /* by SPKI, in the software-only context; cached */
bool is_rsa(const char *kind);

/*
 * Signs a text with the key in ctx, and verifies it in the software-only context. For children and threads too: asserts
 * nothing, once software() exists.
 */
bool signs(EVP_PKEY *key, OSSL_LIB_CTX *ctx);

/* A child that ends with what body returns, and by an alarm when it hangs; and that it did so well. */
pid_t spawn(bool (*body)(void));
void expect_ok(pid_t pid);

/* A value of the daemon's metrics, e.g. "azihsm_connections", summed over its labels. */
long device_metric(const char *name);
/* Number of requests the device got so far: all, or of one command, e.g. "EccSign". */
long device_requests(const char *command);

#endif
