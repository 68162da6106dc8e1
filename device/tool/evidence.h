/*
 * Evidence that a key lives in a device: the device's signed report with the certificate chain above its signer
 * (ddi-protocol 6.7, device-behaviour 7). Pure functions: verifying needs no device.
 *
 * The file is CBOR: {"azihsm-evidence": 1, "report": bytes, "spki": bytes, "chain": [DER, root first]}.
 */
#ifndef TOOL_EVIDENCE_H
#define TOOL_EVIDENCE_H

#include <azihsm/ddi.h>
#include <azihsm/error.h>

enum { EVIDENCE_CHAIN_MAX = 16, EVIDENCE_MAX = 64 * 1024, EVIDENCE_ID_SIZE = 16 };

enum evidence_flag {
    EVIDENCE_IMPORTED = 1u << 0,
    EVIDENCE_SESSION = 1u << 1,
    EVIDENCE_GENERATED = 1u << 2,
    EVIDENCE_ENCRYPT = 1u << 3,
    EVIDENCE_DECRYPT = 1u << 4,
    EVIDENCE_SIGN = 1u << 5,
    EVIDENCE_VERIFY = 1u << 6,
    EVIDENCE_WRAP = 1u << 7,
    EVIDENCE_UNWRAP = 1u << 8,
    EVIDENCE_DERIVE = 1u << 9,
};

/* Views into the file. */
struct evidence {
    struct azihsm_bytes report;
    struct azihsm_bytes spki; /* of the attested key; empty for symmetric keys */
    struct azihsm_bytes chain[EVIDENCE_CHAIN_MAX];
    size_t chain_count;
};

/* What the report says; views into it. */
struct evidence_claims {
    struct azihsm_bytes cose_key; /* empty for keys without public half */
    uint32_t flags;
    struct azihsm_bytes app_id;       /* credential id, 16 bytes */
    struct azihsm_bytes report_data;  /* 128 bytes */
    struct azihsm_bytes vm_launch_id; /* 16 bytes */
};

/* What the verifier trusts: one of the two. */
struct evidence_anchor {
    struct azihsm_bytes root_der; /* certificate that must be the chain's root */
    const uint8_t *root_sha256;   /* or its digest (32 bytes) */
};

azihsm_rc evidence_encode(const struct evidence *evidence, uint8_t *out, size_t cap, size_t *len);
azihsm_rc evidence_decode(struct azihsm_bytes file, struct evidence *out, struct azihsm_error *err);

/*
 * Chain from the anchor to the leaf, the report's signature by the leaf, its form, and that the report's public key is
 * the one in the evidence. AZIHSM_E_MISMATCH or AZIHSM_E_DECODE says what is wrong; *out is filled on AZIHSM_OK.
 */
azihsm_rc evidence_verify(const struct evidence *evidence, const struct evidence_anchor *anchor,
                          struct evidence_claims *out, struct azihsm_error *err);

/* Name of a flag bit, NULL for an unknown one. */
const char *evidence_flag_name(unsigned bit);

#endif
