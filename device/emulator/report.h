/*
 * Key attestation reports (ddi-protocol 6.7, device-behaviour 7.1 - 7.3): COSE_Sign1 over a CBOR map that names the
 * key, its flags, its owner and the caller's nonce. Signed with the partition's P-384 identity.
 */
#ifndef EMULATOR_REPORT_H
#define EMULATOR_REPORT_H

#include "emulator/engine.h"

enum report_flag {
    REPORT_IMPORTED = 1u << 0,
    REPORT_SESSION = 1u << 1,
    REPORT_GENERATED = 1u << 2,
    REPORT_ENCRYPT = 1u << 3,
    REPORT_DECRYPT = 1u << 4,
    REPORT_SIGN = 1u << 5,
    REPORT_VERIFY = 1u << 6,
    REPORT_WRAP = 1u << 7,
    REPORT_UNWRAP = 1u << 8,
    REPORT_DERIVE = 1u << 9,
};

enum { REPORT_COSE_KEY_SIZE = 525, REPORT_ID_SIZE = 16 };

struct report_subject {
    const struct engine_key *key;
    uint64_t attributes; /* stored flags, AZIHSM_ATTR_ bits */
    uint8_t app_uuid[REPORT_ID_SIZE];
    uint8_t vm_launch_id[REPORT_ID_SIZE];
    uint8_t report_data[AZIHSM_REPORT_DATA_SIZE];
};

/* Flags shown for a key of that kind with these stored attributes (7.3). */
uint32_t report_flags(enum azihsm_device_kind profile, uint32_t key_kind, uint64_t attributes);

/*
 * Writes the report; out needs AZIHSM_REPORT_MAX bytes. virtual: AZIHSM_STATUS_INVALID_KEY_TYPE for symmetric kinds;
 * physical: those have an all-zero public key. AZIHSM_STATUS_COSE_KEY_ENCODE_FAILED,
 * _ATTESTATION_REPORT_ENCODE_FAILED.
 */
azihsm_rc report_build(struct engine *engine, const struct engine_key *identity, const struct report_subject *subject,
                       uint8_t *out, size_t cap, size_t *len);

#endif
