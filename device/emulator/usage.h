/*
 * Key properties of a request (ddi-protocol 6.1) reduced to what is stored with a key: usage flags, scope, tag
 * (device-behaviour 6). No state.
 */
#ifndef EMULATOR_USAGE_H
#define EMULATOR_USAGE_H

#include "emulator/engine_kind.h"

/* Properties a creating command asks for. */
struct usage {
    uint64_t attributes; /* AZIHSM_ATTR_ bits: usage, and session */
    bool session;
    uint16_t tag; /* 0: none */
    struct azihsm_bytes label;
};

/* Exactly one legal usage, else AZIHSM_STATUS_INVALID_PERMISSIONS. Sets all but the tag. */
azihsm_rc usage_parse(const struct azihsm_key_props *props, struct usage *out);
/* Whether keys of that kind may have the usage (6.2), else AZIHSM_STATUS_INVALID_PERMISSIONS. */
azihsm_rc usage_allow(enum azihsm_device_kind profile, const struct engine_kind *kind, const struct usage *usage);
/* The same by family, for checks before the kind is known. */
azihsm_rc usage_allow_family(enum azihsm_device_kind profile, enum engine_family family, const struct usage *usage);

enum usage_tag_zero { USAGE_ZERO_REFUSED, USAGE_ZERO_IS_NONE };
/* Tag rules: a session key has none, 0 is none. AZIHSM_STATUS_INVALID_ARG. Sets usage->tag. */
azihsm_rc usage_take_tag(struct usage *usage, bool has_tag, uint16_t tag, enum usage_tag_zero zero);

#endif
