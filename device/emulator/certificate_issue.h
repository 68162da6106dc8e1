/*
 * Issuing one certificate of the device's few shapes (device-behaviour 7.4): version 3, one common name each for
 * issuer and subject, ecdsa-with-SHA384, key identifiers, basic constraints and key usage.
 */
#ifndef EMULATOR_CERTIFICATE_ISSUE_H
#define EMULATOR_CERTIFICATE_ISSUE_H

#include "emulator/certificate_der.h"
#include "emulator/engine.h"

enum { CERTIFICATE_KEY_ID_SIZE = 20, CERTIFICATE_NAME_MAX = 64 };

/* One party: what its own certificate says and what those it issues say about it. */
struct certificate_party {
    char name[CERTIFICATE_NAME_MAX + 1];
    EVP_PKEY *key;
    uint8_t key_id[CERTIFICATE_KEY_ID_SIZE]; /* SHA-1 of the uncompressed point */
};

struct certificate_validity {
    enum der_tag from_tag;
    const char *from;
    enum der_tag until_tag;
    const char *until;
};

struct certificate_shape {
    struct certificate_validity validity;
    bool ca;           /* keyCertSign and cRLSign, else digitalSignature */
    bool small_serial; /* 1 instead of 20 random bytes */
};

/* Signs with issuer->key; issuer may be subject. AZIHSM_STATUS_PARTITION_CERT_TOO_LARGE, AZIHSM_E_CRYPTO. */
azihsm_rc certificate_issue(const struct engine *engine, const struct certificate_shape *shape,
                            const struct certificate_party *issuer, const struct certificate_party *subject,
                            uint8_t out[AZIHSM_CERTIFICATE_MAX], size_t *len);

#endif
