/*
 * What a device can do beyond the hardware's protocol: asked once for each session.
 */
#ifndef CLIENT_EXTENSIONS_H
#define CLIENT_EXTENSIONS_H

#include "recover.h"

/* AZIHSM_EXT_ bits; hardware knows the question as little as the extensions and has none. */
azihsm_rc extensions_get(struct operation *operation, uint64_t *features);

#endif
