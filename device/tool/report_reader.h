/*
 * Reading a key attestation report: COSE_Sign1 with the exact headers of device-behaviour 7.2, and the payload's map.
 */
#ifndef TOOL_REPORT_READER_H
#define TOOL_REPORT_READER_H

#include "evidence.h"

#include <openssl/types.h>

struct report_parts {
    struct azihsm_bytes protected_header;
    struct azihsm_bytes payload;
    struct azihsm_bytes signature;
};

/* False unless it is tag 18 over [the one protected header there is, {}, payload, 96 bytes]. */
bool report_split(struct azihsm_bytes report, struct report_parts *out);
/* The Sig_structure that was signed. */
bool report_signed_bytes(const struct report_parts *parts, uint8_t *out, size_t cap, size_t *len);
bool report_read_claims(struct azihsm_bytes payload, struct evidence_claims *out);
/* Whether the COSE_Key is this SubjectPublicKeyInfo; both empty is equal. */
bool report_key_is(OSSL_LIB_CTX *libctx, struct azihsm_bytes cose_key, struct azihsm_bytes spki);

#endif
