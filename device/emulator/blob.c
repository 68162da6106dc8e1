/*
 * Metadata of all blobs in one place. Attributes: flags (u64 LE), number (u16 LE), owner (16 bytes), zeros.
 */
#include "emulator/blob.h"

#include "crypto/masking.h"

#include <openssl/crypto.h>

#include <string.h>

enum { SVN = 1, NUMBER_OFFSET = 8, OWNER_OFFSET = 10 };

/* ---- keys ---- */

azihsm_rc blob_mask_key(struct engine *engine, const struct engine_key *masking_key, const struct engine_key *key,
                        const struct blob_info *info, uint8_t *out, size_t cap, size_t *len)
{
    uint8_t plain[ENGINE_SERIALIZED_MAX];
    size_t plain_len;
    bool session = (info->attributes & AZIHSM_ATTR_SESSION) != 0;
    struct azihsm_masked_metadata metadata = {
        .has_svn = true,
        .svn = SVN,
        .key_type = engine_key_kind(key),
        .has_key_tag = !session && info->owner_number != 0,
        .key_tag = info->owner_number,
        .key_label = info->label,
    };
    azihsm_rc rc = engine_key_serialize(key, plain, sizeof(plain), &plain_len);
    if (rc != AZIHSM_OK)
        return rc;
    metadata.key_length = (uint16_t)plain_len;
    azihsm_attributes_set_flags(metadata.attributes, info->attributes);
    metadata.attributes[NUMBER_OFFSET] = (uint8_t)info->owner_number;
    metadata.attributes[NUMBER_OFFSET + 1] = (uint8_t)(info->owner_number >> 8);
    memcpy(metadata.attributes + OWNER_OFFSET, info->owner, AZIHSM_CREDENTIAL_SIZE);
    rc = masking_seal(engine_libctx(engine), engine_key_raw(masking_key).data, &metadata,
                      (struct azihsm_bytes){plain, plain_len}, out, cap, len);
    OPENSSL_cleanse(plain, plain_len);
    return rc;
}

azihsm_rc blob_restore_key(struct engine *engine, const struct engine_key *masking_key,
                           const struct azihsm_masked_key *masked, struct engine_key **out)
{
    uint8_t plain[ENGINE_SERIALIZED_MAX];
    const struct engine_kind *kind = engine_kind_find(masked->metadata.key_type);
    size_t len = masked->metadata.key_length;
    azihsm_rc rc;

    if (kind == NULL || kind->family == ENGINE_MASKING)
        return AZIHSM_STATUS_INVALID_KEY_TYPE;
    if (len == 0 || len > sizeof(plain) || (kind->serialized != 0 && len != kind->serialized))
        return AZIHSM_STATUS_MASKED_KEY_DECODE_FAILED;
    rc = masking_decrypt(engine_libctx(engine), engine_key_raw(masking_key).data, masked, len, plain);
    if (rc == AZIHSM_OK)
        rc = engine_key_restore(engine, kind->kind, (struct azihsm_bytes){plain, len}, out);
    OPENSSL_cleanse(plain, sizeof(plain));
    return rc;
}

uint16_t blob_owner_number(const struct azihsm_masked_metadata *metadata)
{
    return (uint16_t)(metadata->attributes[NUMBER_OFFSET] | metadata->attributes[NUMBER_OFFSET + 1] << 8);
}

const uint8_t *blob_owner(const struct azihsm_masked_metadata *metadata)
{
    return metadata->attributes + OWNER_OFFSET;
}

/* ---- backup keys ---- */

struct backup_form {
    uint32_t key_type;
    uint8_t svn;
    bool has_bks2_index;
    const char *label;
};

/* By blob, then virtual and physical form (6.4, last table). */
static const struct backup_form backups[][2] = {
    [BLOB_BK3] = {{AZIHSM_KEY_SECRET384, 0, false, "BK3"}, {AZIHSM_KEY_AES_CBC256_HMAC384, SVN, true, "BK3"}},
    [BLOB_BMK] = {{AZIHSM_KEY_AES_CBC256_HMAC384, SVN, true, "PARTITION_BK"},
                  {AZIHSM_KEY_AES_CBC256_HMAC384, SVN, true, "MK"}},
    [BLOB_SMK] = {{AZIHSM_KEY_AES_CBC256_HMAC384, SVN, true, "SMK"},
                  {AZIHSM_KEY_AES_CBC256_HMAC384, SVN, false, "SMK"}},
};

azihsm_rc blob_mask_backup(struct engine *engine, enum blob_backup which, const uint8_t *masking_key,
                           struct azihsm_bytes plain, uint8_t *out, size_t cap, size_t *len)
{
    const struct backup_form *form = &backups[which][engine_profile(engine) == AZIHSM_DEVICE_PHYSICAL];
    const struct azihsm_masked_metadata metadata = {
        .has_svn = true,
        .svn = form->svn,
        .key_type = form->key_type,
        .has_bks2_index = form->has_bks2_index,
        .key_label = {(const uint8_t *)form->label, strlen(form->label)},
        .key_length = (uint16_t)plain.len,
    };
    return masking_seal(engine_libctx(engine), masking_key, &metadata, plain, out, cap, len);
}

azihsm_rc blob_open_backup(struct engine *engine, enum blob_backup which, const uint8_t *masking_key,
                           struct azihsm_bytes blob, uint8_t *out)
{
    size_t expected = which == BLOB_BK3 ? AZIHSM_BK3_SIZE : AZIHSM_MASKING_KEY_SIZE;
    return masking_open(engine_libctx(engine), masking_key, blob, expected, out);
}
