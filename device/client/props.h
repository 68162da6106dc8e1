/*
 * From what a caller wants of a new key to the properties and tag of a request.
 */
#ifndef CLIENT_PROPS_H
#define CLIENT_PROPS_H

#include <azihsm/client.h>

/* AZIHSM_E_ARGUMENT names what is wrong. out points to spec's label. */
azihsm_rc props_from_spec(const struct azihsm_key_spec *spec, struct azihsm_key_props *out, struct azihsm_error *err);

#endif
