/*
 * Bulk AES through the driver (ddi-protocol 7.2 - 7.5): building the ioctl, the AAD's odd alignment, reading results.
 */
#include "chardev.h"

#include <openssl/crypto.h>
#include <string.h>

enum { AAD_UNIT = 32, AAD_HALF = 16, GCM_IV_SIZE = 12, TAG_SIZE = 16 };

/* 7.3 step 2: where the real AAD starts in its aligned form, and how long that is. */
static size_t aad_offset(size_t len)
{
    size_t rest = len % AAD_UNIT;

    return rest >= 1 && rest <= AAD_HALF ? AAD_HALF : 0;
}

static size_t aad_aligned(size_t len)
{
    return (len + AAD_UNIT - 1) / AAD_UNIT * AAD_UNIT;
}

/* 7.4: code of a data unit, or -1. */
static int data_unit_code(uint32_t unit, size_t len)
{
    static const uint32_t units[] = {0, 512, 4096, 8192};

    if (unit == len)
        return 0;
    for (int i = 1; i < (int)(sizeof(units) / sizeof(units[0])); i++) {
        if (unit == units[i])
            return i;
    }
    return -1;
}

static azihsm_rc execute(const struct azihsm_device *base, struct azihsm_bulk *bulk, struct ioctl_bulk *command,
                         struct azihsm_error *err)
{
    const struct chardev_device *device = (const struct chardev_device *)base;
    azihsm_rc rc;

    command->header = (struct ioctl_header){sizeof(*command), IOCTL_APP_COMMAND_ID, IOCTL_TIMEOUT_MS, 0};
    command->op_code = bulk->decrypt ? 1 : 0;
    command->cipher = bulk->xts ? 1 : 0;
    command->frame_type = 1;
    command->session_id = bulk->sess_id;
    command->short_app_id = bulk->short_app_id;
    bulk->written = true;
    rc = chardev_ioctl(device->fd, bulk->xts ? IOCTL_XTS : IOCTL_GCM, command, &command->out_ext_status);
    if (rc != AZIHSM_OK && rc != AZIHSM_E_TRANSPORT)
        return azihsm_error_set(err, rc, "bulk AES: %s", azihsm_rc_name(rc));
    bulk->result = command->out_result;
    bulk->ext_status = command->out_ext_status;
    if (rc == AZIHSM_E_TRANSPORT || command->out_result != 0 || command->out_ext_status != 0)
        return azihsm_error_set(err, AZIHSM_E_FAST_PATH, "bulk AES: result %u, extended status %u", command->out_result,
                                command->out_ext_status);
    bulk->fips_approved = command->out_fips_approved != 0;
    return AZIHSM_OK;
}

static azihsm_rc run_xts(const struct azihsm_device *base, struct azihsm_bulk *bulk, struct azihsm_error *err)
{
    int code = data_unit_code(bulk->data_unit, bulk->len);
    struct ioctl_bulk command = {
        .src = {(uintptr_t)bulk->src, (uint32_t)bulk->len},
        .dst = {(uintptr_t)bulk->dst, (uint32_t)bulk->len},
        .u.xts = {.key_id1 = bulk->key_id1, .key_id2 = bulk->key_id2},
    };
    azihsm_rc rc;

    if (code < 0)
        return azihsm_error_set(err, AZIHSM_E_ARGUMENT,
                                "AES-XTS: the data unit is the whole length, 512, 4096 or 8192");
    command.u.xts.data_unit_len = (uint16_t)code;
    memcpy(command.u.xts.tweak, bulk->iv, sizeof(command.u.xts.tweak));
    rc = execute(base, bulk, &command, err);
    if (rc == AZIHSM_OK && command.out_byte_count != bulk->len)
        rc = azihsm_error_set(err, AZIHSM_E_PROTOCOL, "AES-XTS: %u bytes instead of %zu", command.out_byte_count,
                              bulk->len);
    return rc;
}

static azihsm_rc run_gcm(const struct azihsm_device *base, struct azihsm_bulk *bulk, uint8_t *src, uint8_t *dst,
                         struct azihsm_error *err)
{
    size_t aligned = aad_aligned(bulk->aad.len);
    struct ioctl_bulk command = {
        .src = {(uintptr_t)src, (uint32_t)(aligned + bulk->len)},
        .dst = {(uintptr_t)dst, (uint32_t)(aligned + bulk->len)},
        .u.gcm = {.key_id = bulk->key_id1,
                  .actual_aad_len = (uint32_t)bulk->aad.len,
                  .aligned_aad_len = (uint32_t)aligned,
                  .enable_workaround = 1},
    };
    azihsm_rc rc;

    memcpy(command.u.gcm.iv, bulk->iv, sizeof(command.u.gcm.iv));
    if (bulk->decrypt)
        memcpy(command.u.gcm.tag, bulk->tag, sizeof(command.u.gcm.tag));
    rc = execute(base, bulk, &command, err);
    if (rc == AZIHSM_OK && !bulk->decrypt) {
        memcpy(bulk->tag, command.out_cmd_spec, TAG_SIZE);
        memcpy(bulk->iv, command.out_iv, GCM_IV_SIZE);
    }
    return rc;
}

/* With AAD the driver wants it in front of the data: source and destination are copies of ours. */
static azihsm_rc run_gcm_with_aad(const struct azihsm_device *base, struct azihsm_bulk *bulk, struct azihsm_error *err)
{
    size_t aligned = aad_aligned(bulk->aad.len);
    size_t total = aligned + bulk->len;
    uint8_t *copy = OPENSSL_zalloc(2 * total);
    azihsm_rc rc;

    if (copy == NULL)
        return azihsm_error_set(err, AZIHSM_E_NO_MEMORY, "AES-GCM: out of memory");
    memcpy(copy + aad_offset(bulk->aad.len), bulk->aad.data, bulk->aad.len);
    memcpy(copy + aligned, bulk->src, bulk->len);
    rc = run_gcm(base, bulk, copy, copy + total, err);
    if (rc == AZIHSM_OK)
        memcpy(bulk->dst, copy + total + aligned, bulk->len);
    OPENSSL_clear_free(copy, 2 * total);
    return rc;
}

azihsm_rc chardev_bulk(struct azihsm_device *base, struct azihsm_bulk *bulk, int64_t deadline_ns,
                       struct azihsm_error *err)
{
    (void)deadline_ns;
    if (bulk->len == 0 || bulk->len > UINT32_MAX / 2 || bulk->aad.len > UINT32_MAX / 4)
        return azihsm_error_set(err, AZIHSM_E_ARGUMENT, "bulk AES: a length of %zu is not possible", bulk->len);
    if (bulk->xts)
        return run_xts(base, bulk, err);
    if (bulk->aad.len > 0)
        return run_gcm_with_aad(base, bulk, err);
    /* Encryption in place is allowed by the ABI; the source is read completely first. */
    return run_gcm(base, bulk, (uint8_t *)(uintptr_t)bulk->src, bulk->dst, err);
}
