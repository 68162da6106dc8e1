/*
 * The four legal usages and the kind/usage matrix.
 */
#include "emulator/usage.h"

enum {
    TKP_USAGES = AZIHSM_TKP_ENCRYPT | AZIHSM_TKP_DECRYPT | AZIHSM_TKP_SIGN | AZIHSM_TKP_VERIFY | AZIHSM_TKP_DERIVE |
                 AZIHSM_TKP_WRAP | AZIHSM_TKP_UNWRAP,
    ENC_DEC = AZIHSM_ATTR_ENCRYPT | AZIHSM_ATTR_DECRYPT,
    SIGN_VERIFY = AZIHSM_ATTR_SIGN | AZIHSM_ATTR_VERIFY,
};

static const struct {
    uint32_t requested;
    uint32_t attributes;
} usages[] = {
    {AZIHSM_TKP_ENCRYPT | AZIHSM_TKP_DECRYPT, ENC_DEC},
    {AZIHSM_TKP_SIGN | AZIHSM_TKP_VERIFY, SIGN_VERIFY},
    {AZIHSM_TKP_DERIVE, AZIHSM_ATTR_DERIVE},
    {AZIHSM_TKP_UNWRAP, AZIHSM_ATTR_UNWRAP},
};

/* What the profiles allow differently: the simulator RSA keys that unwrap, the firmware HMAC keys that derive. */
static const struct {
    enum engine_family family;
    uint32_t both, virtual_only, physical_only;
} matrix[] = {
    {ENGINE_RSA, ENC_DEC | SIGN_VERIFY, AZIHSM_ATTR_UNWRAP, 0},
    {ENGINE_ECC, SIGN_VERIFY | AZIHSM_ATTR_DERIVE, 0, 0},
    {ENGINE_AES, ENC_DEC, 0, 0},
    {ENGINE_AES_BULK, ENC_DEC, 0, 0},
    {ENGINE_SECRET, AZIHSM_ATTR_DERIVE, 0, 0},
    {ENGINE_HMAC, SIGN_VERIFY, 0, AZIHSM_ATTR_DERIVE},
    {ENGINE_VAR_HMAC, SIGN_VERIFY, 0, AZIHSM_ATTR_DERIVE},
};

azihsm_rc usage_parse(const struct azihsm_key_props *props, struct usage *out)
{
    uint32_t bits = azihsm_tkp_bits(props->metadata);

    *out = (struct usage){.session = (bits & AZIHSM_TKP_SESSION) != 0, .label = props->key_label};
    for (size_t i = 0; i < sizeof(usages) / sizeof(usages[0]); i++) {
        if ((bits & TKP_USAGES) == usages[i].requested) {
            out->attributes = usages[i].attributes | (out->session ? AZIHSM_ATTR_SESSION : 0);
            return AZIHSM_OK;
        }
    }
    return AZIHSM_STATUS_INVALID_PERMISSIONS;
}

azihsm_rc usage_allow_family(enum azihsm_device_kind profile, enum engine_family family, const struct usage *usage)
{
    uint64_t wanted = usage->attributes & ~(uint64_t)AZIHSM_ATTR_SESSION;

    for (size_t i = 0; i < sizeof(matrix) / sizeof(matrix[0]); i++) {
        if (matrix[i].family != family)
            continue;
        uint32_t allowed =
            matrix[i].both | (profile == AZIHSM_DEVICE_VIRTUAL ? matrix[i].virtual_only : matrix[i].physical_only);
        if ((wanted & ~(uint64_t)allowed) == 0)
            return AZIHSM_OK;
    }
    return AZIHSM_STATUS_INVALID_PERMISSIONS;
}

azihsm_rc usage_allow(enum azihsm_device_kind profile, const struct engine_kind *kind, const struct usage *usage)
{
    return usage_allow_family(profile, kind->family, usage);
}

azihsm_rc usage_take_tag(struct usage *usage, bool has_tag, uint16_t tag, enum usage_tag_zero zero)
{
    usage->tag = 0;
    if (!has_tag)
        return AZIHSM_OK;
    if (usage->session || (tag == 0 && zero == USAGE_ZERO_REFUSED))
        return AZIHSM_STATUS_INVALID_ARG;
    usage->tag = tag;
    return AZIHSM_OK;
}
