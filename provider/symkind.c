/*
 * The table of kinds and its look-ups.
 */
#include "symkind.h"

#include <openssl/objects.h>
#include <openssl/x509.h>
#include <strings.h>

static const struct symkind kinds[] = {
    {AZIHSM_KEY_AES128, "AES-128", NID_aes_128_cbc, SYMKIND_CBC, 16, AZIHSM_AES_SIZE_128, true},
    {AZIHSM_KEY_AES192, "AES-192", NID_aes_192_cbc, SYMKIND_CBC, 24, AZIHSM_AES_SIZE_192, true},
    {AZIHSM_KEY_AES256, "AES-256", NID_aes_256_cbc, SYMKIND_CBC, 32, AZIHSM_AES_SIZE_256, true},
    {AZIHSM_KEY_HMAC_SHA256, "HMAC-SHA256", NID_hmacWithSHA256, SYMKIND_HMAC, 32, 0, true},
    {AZIHSM_KEY_HMAC_SHA384, "HMAC-SHA384", NID_hmacWithSHA384, SYMKIND_HMAC, 48, 0, true},
    {AZIHSM_KEY_HMAC_SHA512, "HMAC-SHA512", NID_hmacWithSHA512, SYMKIND_HMAC, 64, 0, true},
    {AZIHSM_KEY_VAR_HMAC256, "HMAC-SHA256", NID_hmacWithSHA256, SYMKIND_HMAC, 0, 0, false},
    {AZIHSM_KEY_VAR_HMAC384, "HMAC-SHA384", NID_hmacWithSHA384, SYMKIND_HMAC, 0, 0, false},
    {AZIHSM_KEY_VAR_HMAC512, "HMAC-SHA512", NID_hmacWithSHA512, SYMKIND_HMAC, 0, 0, false},
    {AZIHSM_KEY_AES_GCM_BULK256, "AES-256-GCM", NID_aes_256_gcm, SYMKIND_GCM, 32, AZIHSM_AES_SIZE_GCM_BULK256, false},
    {AZIHSM_KEY_AES_GCM_BULK256_UNAPPROVED, "AES-256-GCM", NID_aes_256_gcm, SYMKIND_GCM, 32,
     AZIHSM_AES_SIZE_GCM_BULK256_UNAPPROVED, false},
    {AZIHSM_KEY_AES_XTS_BULK256, "AES-256-XTS", NID_aes_256_xts, SYMKIND_XTS, 32, AZIHSM_AES_SIZE_XTS_BULK256, false},
    {AZIHSM_KEY_SECRET256, "shared secret of P-256", NID_undef, SYMKIND_SECRET, 32, 0, false},
    {AZIHSM_KEY_SECRET384, "shared secret of P-384", NID_undef, SYMKIND_SECRET, 48, 0, false},
    {AZIHSM_KEY_SECRET521, "shared secret of P-521", NID_undef, SYMKIND_SECRET, 66, 0, false},
    {AZIHSM_KEY_ECC256_PRIVATE, "EC P-256", NID_undef, SYMKIND_EC, 32, 0, false},
    {AZIHSM_KEY_ECC384_PRIVATE, "EC P-384", NID_undef, SYMKIND_EC, 48, 0, false},
    {AZIHSM_KEY_ECC521_PRIVATE, "EC P-521", NID_undef, SYMKIND_EC, 66, 0, false},
};
enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

const struct symkind *symkind_find(uint32_t kind)
{
    for (size_t i = 0; i < KINDS; i++)
        if (kinds[i].kind == kind)
            return &kinds[i];
    return NULL;
}

const struct symkind *symkind_of_size(enum symkind_family family, size_t size)
{
    for (size_t i = 0; i < KINDS; i++)
        if (kinds[i].family == family && kinds[i].size == size)
            return &kinds[i];
    return NULL;
}

const struct symkind *symkind_derivable(const char *name)
{
    for (size_t i = 0; i < KINDS; i++)
        if (kinds[i].derivable && strcasecmp(kinds[i].name, name) == 0)
            return &kinds[i];
    return NULL;
}

const char *symkind_name(uint32_t kind)
{
    const struct symkind *found = symkind_find(kind);

    return found == NULL ? "another kind" : found->name;
}

int symkind_algorithm(uint32_t kind, unsigned char **der)
{
    const struct symkind *found = symkind_find(kind);
    X509_ALGOR *algorithm = found == NULL || found->nid == NID_undef ? NULL : X509_ALGOR_new();
    int len = -1;

    if (algorithm != NULL && X509_ALGOR_set0(algorithm, OBJ_nid2obj(found->nid), V_ASN1_UNDEF, NULL))
        len = i2d_X509_ALGOR(algorithm, der);
    X509_ALGOR_free(algorithm);
    return len;
}
