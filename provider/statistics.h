/*
 * The provider's parameters: its name and version, and what this process has asked of its devices.
 */
#ifndef AZIHSM_STATISTICS_H
#define AZIHSM_STATISTICS_H

#include <openssl/core.h>

/* Constant; names and units are told in provider/README.md. */
const OSSL_PARAM *statistics_gettable(void);
/* Fills those of params that are ours; 0 when one does not fit. */
int statistics_get(OSSL_PARAM params[]);

#endif
