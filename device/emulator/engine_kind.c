/*
 * The table of key kinds and the mappings from request arguments to kinds. Constant data; no cryptography.
 */
#include "emulator/engine_kind.h"

#define RSA(name, modulus, form, cost, pub)                                                                            \
    {                                                                                                                  \
        .kind = AZIHSM_KEY_##name, .family = ENGINE_RSA, .bits = (modulus), .serialized = (form), .budget = (cost),    \
        .public_kind = AZIHSM_KEY_##pub                                                                                \
    }
#define ECC(size, width, form)                                                                                         \
    {                                                                                                                  \
        .kind = AZIHSM_KEY_ECC##size##_PRIVATE, .family = ENGINE_ECC, .curve = AZIHSM_CURVE_P##size,                   \
        .serialized = (form), .budget = (width), .public_kind = AZIHSM_KEY_ECC##size##_PUBLIC                          \
    }
#define RAW(name, group, len, cost)                                                                                    \
    {                                                                                                                  \
        .kind = AZIHSM_KEY_##name, .family = (group), .min_len = (len), .max_len = (len), .serialized = (len),         \
        .budget = (cost)                                                                                               \
    }
#define SECRET(size, len)                                                                                              \
    {                                                                                                                  \
        .kind = AZIHSM_KEY_SECRET##size, .family = ENGINE_SECRET, .curve = AZIHSM_CURVE_P##size, .min_len = (len),     \
        .max_len = (len), .serialized = (len), .budget = (len)                                                         \
    }
#define HMAC(name, group, size, least, most, form)                                                                     \
    {                                                                                                                  \
        .kind = AZIHSM_KEY_##name, .family = (group), .hash = AZIHSM_HASH_SHA##size, .min_len = (least),               \
        .max_len = (most), .serialized = (form), .budget = (form)                                                      \
    }

static const struct engine_kind kinds[] = {
    RSA(RSA2K_PRIVATE, 2048, 539, 516, RSA2K_PUBLIC),
    RSA(RSA3K_PRIVATE, 3072, 795, 772, RSA3K_PUBLIC),
    RSA(RSA4K_PRIVATE, 4096, 1051, 1028, RSA4K_PUBLIC),
    RSA(RSA2K_PRIVATE_CRT, 2048, 539, 1284, RSA2K_PUBLIC),
    RSA(RSA3K_PRIVATE_CRT, 3072, 795, 1924, RSA3K_PUBLIC),
    RSA(RSA4K_PRIVATE_CRT, 4096, 1051, 2564, RSA4K_PUBLIC),
    ECC(256, 32, 138),
    ECC(384, 48, 185),
    ECC(521, 68, 241),
    RAW(AES128, ENGINE_AES, 16, 16),
    RAW(AES192, ENGINE_AES, 24, 24),
    RAW(AES256, ENGINE_AES, 32, 32),
    RAW(AES_XTS_BULK256, ENGINE_AES_BULK, 32, 2),
    RAW(AES_GCM_BULK256, ENGINE_AES_BULK, 32, 2),
    RAW(AES_GCM_BULK256_UNAPPROVED, ENGINE_AES_BULK, 32, 2),
    SECRET(256, 32),
    SECRET(384, 48),
    SECRET(521, 66),
    HMAC(HMAC_SHA256, ENGINE_HMAC, 256, 32, 32, 32),
    HMAC(HMAC_SHA384, ENGINE_HMAC, 384, 48, 48, 48),
    HMAC(HMAC_SHA512, ENGINE_HMAC, 512, 64, 64, 64),
    RAW(AES_CBC256_HMAC384, ENGINE_MASKING, 80, 80),
    HMAC(VAR_HMAC256, ENGINE_VAR_HMAC, 256, 32, 64, 0),
    HMAC(VAR_HMAC384, ENGINE_VAR_HMAC, 384, 48, 128, 0),
    HMAC(VAR_HMAC512, ENGINE_VAR_HMAC, 512, 64, 128, 0),
};

const struct engine_kind *engine_kind_find(uint32_t kind)
{
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (kinds[i].kind == kind)
            return &kinds[i];
    return NULL;
}

/* Kind of a family on that curve; 0 when there is none. */
static uint32_t kind_by_curve(enum engine_family family, uint32_t curve)
{
    for (size_t i = 0; curve != 0 && i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (kinds[i].family == family && kinds[i].curve == curve)
            return kinds[i].kind;
    return 0;
}

uint32_t engine_kind_of_curve(uint32_t curve)
{
    return kind_by_curve(ENGINE_ECC, curve);
}

uint32_t engine_kind_of_secret(uint32_t curve)
{
    return kind_by_curve(ENGINE_SECRET, curve);
}

uint32_t engine_kind_of_aes_size(uint32_t aes_key_size)
{
    /* 1..6 stand for kinds 10..15 in the same order (5.11) */
    if (aes_key_size < AZIHSM_AES_SIZE_128 || aes_key_size > AZIHSM_AES_SIZE_GCM_BULK256_UNAPPROVED)
        return 0;
    return AZIHSM_KEY_AES128 + (aes_key_size - AZIHSM_AES_SIZE_128);
}

uint32_t engine_kind_of_rsa_bits(unsigned bits, bool crt)
{
    for (size_t i = 0; bits != 0 && i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (kinds[i].bits == bits)
            return kinds[i].kind + (crt ? AZIHSM_KEY_RSA2K_PRIVATE_CRT - AZIHSM_KEY_RSA2K_PRIVATE : 0);
    return 0;
}
