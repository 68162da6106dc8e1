/*
 * The dispatch tables that algorithms.c lists: one declaration per table, defined in the file of its operation.
 */
#ifndef AZIHSM_PROVIDER_ALGORITHMS_H
#define AZIHSM_PROVIDER_ALGORITHMS_H

#include <openssl/core.h>
#include <openssl/core_dispatch.h>

extern const OSSL_DISPATCH signature_ecdsa_functions[];
extern const OSSL_DISPATCH signature_rsa_functions[];
extern const OSSL_DISPATCH asym_cipher_rsa_functions[];
extern const OSSL_DISPATCH keyexch_ecdh_functions[];

/* The operation's table; a constant. NULL when we have nothing of the kind. */
const OSSL_ALGORITHM *algorithms_query(int operation_id, int *no_cache);

#endif
