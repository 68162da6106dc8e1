/*
 * The dispatch tables that algorithms.c lists: one declaration per table, defined in the file of its operation.
 */
#ifndef AZIHSM_PROVIDER_ALGORITHMS_H
#define AZIHSM_PROVIDER_ALGORITHMS_H

#include <openssl/core.h>
#include <openssl/core_dispatch.h>

/* The operation's table; a constant. NULL when we have nothing of the kind. */
const OSSL_ALGORITHM *algorithms_query(int operation_id, int *no_cache);

#endif
