/*
 * What enumeration values mean (5.x): sizes, names, classes of key kinds, and the two bit sets that describe a key,
 * target key metadata (6.1) and masked-key attributes (6.3). The sets are open: unknown values answer 0 or NULL.
 */
#include <azihsm/ddi.h>

#include <string.h>

struct kind_row {
    uint32_t kind;
    const char *name;
    uint32_t curve;
    size_t modulus;
    bool bulk;
};

static const struct kind_row kinds[] = {
    {AZIHSM_KEY_RSA2K_PRIVATE, "Rsa2kPrivate", 0, 256, false},
    {AZIHSM_KEY_RSA3K_PRIVATE, "Rsa3kPrivate", 0, 384, false},
    {AZIHSM_KEY_RSA4K_PRIVATE, "Rsa4kPrivate", 0, 512, false},
    {AZIHSM_KEY_RSA2K_PRIVATE_CRT, "Rsa2kPrivateCrt", 0, 256, false},
    {AZIHSM_KEY_RSA3K_PRIVATE_CRT, "Rsa3kPrivateCrt", 0, 384, false},
    {AZIHSM_KEY_RSA4K_PRIVATE_CRT, "Rsa4kPrivateCrt", 0, 512, false},
    {AZIHSM_KEY_ECC256_PRIVATE, "Ecc256Private", AZIHSM_CURVE_P256, 0, false},
    {AZIHSM_KEY_ECC384_PRIVATE, "Ecc384Private", AZIHSM_CURVE_P384, 0, false},
    {AZIHSM_KEY_ECC521_PRIVATE, "Ecc521Private", AZIHSM_CURVE_P521, 0, false},
    {AZIHSM_KEY_AES128, "Aes128", 0, 0, false},
    {AZIHSM_KEY_AES192, "Aes192", 0, 0, false},
    {AZIHSM_KEY_AES256, "Aes256", 0, 0, false},
    {AZIHSM_KEY_AES_XTS_BULK256, "AesXtsBulk256", 0, 0, true},
    {AZIHSM_KEY_AES_GCM_BULK256, "AesGcmBulk256", 0, 0, true},
    {AZIHSM_KEY_AES_GCM_BULK256_UNAPPROVED, "AesGcmBulk256Unapproved", 0, 0, true},
    {AZIHSM_KEY_SECRET256, "Secret256", 0, 0, false},
    {AZIHSM_KEY_SECRET384, "Secret384", 0, 0, false},
    {AZIHSM_KEY_SECRET521, "Secret521", 0, 0, false},
    {AZIHSM_KEY_RSA2K_PUBLIC, "Rsa2kPublic", 0, 256, false},
    {AZIHSM_KEY_RSA3K_PUBLIC, "Rsa3kPublic", 0, 384, false},
    {AZIHSM_KEY_RSA4K_PUBLIC, "Rsa4kPublic", 0, 512, false},
    {AZIHSM_KEY_ECC256_PUBLIC, "Ecc256Public", AZIHSM_CURVE_P256, 0, false},
    {AZIHSM_KEY_ECC384_PUBLIC, "Ecc384Public", AZIHSM_CURVE_P384, 0, false},
    {AZIHSM_KEY_ECC521_PUBLIC, "Ecc521Public", AZIHSM_CURVE_P521, 0, false},
    {AZIHSM_KEY_HMAC_SHA256, "HmacSha256", 0, 0, false},
    {AZIHSM_KEY_HMAC_SHA384, "HmacSha384", 0, 0, false},
    {AZIHSM_KEY_HMAC_SHA512, "HmacSha512", 0, 0, false},
    {AZIHSM_KEY_AES_CBC256_HMAC384, "AesCbc256Hmac384", 0, 0, false},
    {AZIHSM_KEY_VAR_HMAC256, "VarHmac256", 0, 0, false},
    {AZIHSM_KEY_VAR_HMAC384, "VarHmac384", 0, 0, false},
    {AZIHSM_KEY_VAR_HMAC512, "VarHmac512", 0, 0, false},
    {AZIHSM_KEY_RSA_UNWRAP, "RsaUnwrap", 0, 256, false},
};

static const struct kind_row *kind_row(uint32_t kind)
{
    static const struct kind_row unknown = {0, NULL, 0, 0, false};

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (kinds[i].kind == kind)
            return &kinds[i];
    return &unknown;
}

const char *azihsm_key_kind_name(uint32_t kind)
{
    return kind_row(kind)->name;
}

uint32_t azihsm_key_kind_curve(uint32_t kind)
{
    return kind_row(kind)->curve;
}

size_t azihsm_key_kind_rsa_size(uint32_t kind)
{
    return kind_row(kind)->modulus;
}

bool azihsm_key_kind_is_bulk(uint32_t kind)
{
    return kind_row(kind)->bulk;
}

size_t azihsm_hash_size(uint32_t hash)
{
    static const size_t sizes[] = {0, 20, 32, 48, 64};

    return hash < sizeof(sizes) / sizeof(sizes[0]) ? sizes[hash] : 0;
}

size_t azihsm_curve_coordinate_size(uint32_t curve)
{
    static const size_t sizes[] = {0, 32, 48, 66};

    return curve < sizeof(sizes) / sizeof(sizes[0]) ? sizes[curve] : 0;
}

size_t azihsm_curve_wire_coordinate_size(uint32_t curve)
{
    return curve == AZIHSM_CURVE_P521 ? 68 : azihsm_curve_coordinate_size(curve);
}

uint32_t azihsm_tkp_bits(const uint8_t metadata[AZIHSM_TKP_BLOB_SIZE])
{
    return (uint32_t)metadata[0] | (uint32_t)metadata[1] << 8 | (uint32_t)metadata[2] << 16 |
           (uint32_t)metadata[3] << 24;
}

void azihsm_tkp_set_bits(uint8_t metadata[AZIHSM_TKP_BLOB_SIZE], uint32_t bits)
{
    memset(metadata, 0, AZIHSM_TKP_BLOB_SIZE);
    for (size_t i = 0; i < sizeof(bits); i++)
        metadata[i] = (uint8_t)(bits >> (8 * i));
}

uint64_t azihsm_attributes_flags(const uint8_t attributes[AZIHSM_ATTRIBUTES_SIZE])
{
    uint64_t flags = 0;

    for (size_t i = 0; i < sizeof(flags); i++)
        flags |= (uint64_t)attributes[i] << (8 * i);
    return flags;
}

/* Only the flags: what follows them (owner, tag, length) is the caller's. */
void azihsm_attributes_set_flags(uint8_t attributes[AZIHSM_ATTRIBUTES_SIZE], uint64_t flags)
{
    for (size_t i = 0; i < sizeof(flags); i++)
        attributes[i] = (uint8_t)(flags >> (8 * i));
}
