/*
 * Masked keys of the device (ddi-protocol 6.4, device-behaviour 4.2 - 4.5): which metadata each blob carries, and how
 * a blob becomes a key again.
 */
#ifndef EMULATOR_BLOB_H
#define EMULATOR_BLOB_H

#include "emulator/device.h"

/* What is said about a key in its metadata. */
struct blob_info {
    uint64_t attributes;
    uint16_t owner_number; /* virtual session id of a session key, tag of an app key */
    const uint8_t *owner;  /* AZIHSM_CREDENTIAL_SIZE bytes */
    struct azihsm_bytes label;
};

/* Masks key under masking_key. */
azihsm_rc blob_mask_key(struct engine *engine, const struct engine_key *masking_key, const struct engine_key *key,
                        const struct blob_info *info, uint8_t *out, size_t cap, size_t *len);

/*
 * Second half of opening: decrypts an authenticated blob (masking_verify) into a key.
 * AZIHSM_STATUS_INVALID_KEY_TYPE, _MASKED_KEY_DECODE_FAILED, or the key's own error.
 */
azihsm_rc blob_restore_key(struct engine *engine, const struct engine_key *masking_key,
                           const struct azihsm_masked_key *masked, struct engine_key **out);

/* Number and owner out of the attributes of parsed metadata. */
uint16_t blob_owner_number(const struct azihsm_masked_metadata *metadata);
const uint8_t *blob_owner(const struct azihsm_masked_metadata *metadata);

/* Backup blobs: BK3 under the boot key, MK under the partition BK, SMK under the session BK. */
enum blob_backup { BLOB_BK3, BLOB_BMK, BLOB_SMK };
azihsm_rc blob_mask_backup(struct engine *engine, enum blob_backup which, const uint8_t *masking_key,
                           struct azihsm_bytes plain, uint8_t *out, size_t cap, size_t *len);
/* out receives BLOB_BK3: 48, others 80 bytes. AZIHSM_STATUS_MASKED_KEY_DECODE_FAILED. */
azihsm_rc blob_open_backup(struct engine *engine, enum blob_backup which, const uint8_t *masking_key,
                           struct azihsm_bytes blob, uint8_t *out);

#endif
