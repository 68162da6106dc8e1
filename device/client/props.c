/*
 * Key properties (ddi-protocol 6.1): a usage is a pair of bits that always go together.
 */
#include "props.h"

#include <string.h>

static const struct {
    enum azihsm_usage usage;
    uint32_t bits;
} usages[] = {
    {AZIHSM_USAGE_SIGN, AZIHSM_TKP_SIGN | AZIHSM_TKP_VERIFY},
    {AZIHSM_USAGE_DECRYPT, AZIHSM_TKP_ENCRYPT | AZIHSM_TKP_DECRYPT},
    {AZIHSM_USAGE_DERIVE, AZIHSM_TKP_DERIVE},
};

azihsm_rc props_from_spec(const struct azihsm_key_spec *spec, struct azihsm_key_props *out, struct azihsm_error *err)
{
    const char *label = spec->label != NULL ? spec->label : "";
    uint32_t bits = 0;

    for (size_t i = 0; i < sizeof(usages) / sizeof(usages[0]); i++)
        if (usages[i].usage == spec->usage)
            bits = usages[i].bits;
    if (bits == 0)
        return azihsm_error_set(err, AZIHSM_E_ARGUMENT, "a device key has exactly one usage: sign, decrypt or derive");
    if (spec->session && spec->tag != 0)
        return azihsm_error_set(err, AZIHSM_E_ARGUMENT, "a session key cannot have a name (tag)");
    if (strlen(label) > AZIHSM_KEY_LABEL_MAX)
        return azihsm_error_set(err, AZIHSM_E_ARGUMENT, "a key label has at most %d bytes", AZIHSM_KEY_LABEL_MAX);
    azihsm_tkp_set_bits(out->metadata, bits | (spec->session ? AZIHSM_TKP_SESSION : 0u));
    out->key_label = (struct azihsm_bytes){(const uint8_t *)label, strlen(label)};
    return AZIHSM_OK;
}
