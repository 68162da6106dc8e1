/*
 * Digests for hashing on the host: fetched once per provider and shared by all operations (a fetch per signature would
 * make all threads of a server meet at one lock).
 */
#ifndef AZIHSM_PROVIDER_SIGDIGEST_H
#define AZIHSM_PROVIDER_SIGDIGEST_H

#include <openssl/evp.h>

struct digests;

/* Empty; a digest is fetched from libctx when it is first asked for. libctx must outlive it. */
struct digests *digests_new(OSSL_LIB_CTX *libctx);
void digests_free(struct digests *digests);

/* Whether name is one of the everyday digests, which need no further check before they are used for a signature. */
int digests_is_common(const char *name);

/* A reference of the caller's own, or NULL with libcrypto's error raised. Any name that libcrypto knows. */
EVP_MD *digests_get(struct digests *digests, const char *name, const char *propq);

#endif
