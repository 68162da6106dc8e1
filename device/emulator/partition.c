/*
 * The partition's lock guards nonce, credential and lock-out state and is never held while keys are computed: what
 * was checked before a computation is checked again when its result is taken.
 */
#include "emulator/partition.h"

#include "crypto/kdf.h"
#include "crypto/spki.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <string.h>
#include <time.h>

/* ---- nonce and tag ---- */

azihsm_rc partition_check_nonce(struct emu_device *device, const uint8_t nonce[AZIHSM_NONCE_SIZE])
{
    bool same;

    pthread_mutex_lock(&device->lock);
    same = CRYPTO_memcmp(device->nonce, nonce, AZIHSM_NONCE_SIZE) == 0;
    pthread_mutex_unlock(&device->lock);
    return same ? AZIHSM_OK : AZIHSM_STATUS_NONCE_MISMATCH;
}

static azihsm_rc rotate_nonce(struct emu_device *device, const uint8_t used[AZIHSM_NONCE_SIZE])
{
    uint8_t fresh[AZIHSM_NONCE_SIZE];
    bool same;
    azihsm_rc rc = engine_random(device->engine, fresh, sizeof(fresh));
    if (rc != AZIHSM_OK)
        return rc;
    pthread_mutex_lock(&device->lock);
    same = CRYPTO_memcmp(device->nonce, used, AZIHSM_NONCE_SIZE) == 0;
    if (same)
        memcpy(device->nonce, fresh, AZIHSM_NONCE_SIZE);
    pthread_mutex_unlock(&device->lock);
    return same ? AZIHSM_OK : AZIHSM_STATUS_NONCE_MISMATCH;
}

bool partition_take_field(struct azihsm_bytes field, uint8_t *out, size_t size)
{
    size_t len = field.len < size ? field.len : size;
    memset(out, 0, size);
    if (len > 0)
        memcpy(out, field.data, len);
    return field.len == size;
}

azihsm_rc partition_take_session_credential(const struct emu_device *device, const struct azihsm_session_cred *cred,
                                            struct credential_sealed *out)
{
    bool exact = partition_take_field(cred->encrypted_id, out->encrypted.id, sizeof(out->encrypted.id));
    exact &= partition_take_field(cred->encrypted_pin, out->encrypted.pin, sizeof(out->encrypted.pin));
    exact &= partition_take_field(cred->encrypted_seed, out->encrypted.seed, sizeof(out->encrypted.seed));
    exact &= partition_take_field(cred->iv, out->iv, sizeof(out->iv));
    memcpy(out->nonce, cred->nonce, sizeof(out->nonce));
    memcpy(out->tag, cred->tag, sizeof(out->tag));
    return exact || device_is_virtual(device) ? AZIHSM_OK : AZIHSM_STATUS_INVALID_ARG;
}

azihsm_rc partition_client_key(struct emu_device *device, const struct azihsm_pub_key *key, EVP_PKEY **out)
{
    azihsm_rc rc = spki_decode_peer(device->libctx, device->config.kind, AZIHSM_CURVE_P384, key->der, out);
    if (rc == AZIHSM_OK && key->key_kind != AZIHSM_KEY_ECC384_PUBLIC) {
        EVP_PKEY_free(*out);
        *out = NULL;
        rc = device_is_virtual(device) ? AZIHSM_STATUS_DER_AND_KEY_TYPE_MISMATCH : AZIHSM_STATUS_INVALID_ARG;
    }
    return rc;
}

azihsm_rc partition_open_credential(struct emu_device *device, enum credential_form form,
                                    const struct engine_key *device_key, EVP_PKEY *client,
                                    const struct credential_sealed *sealed, struct credential_fields *out)
{
    azihsm_rc rc =
        credential_open(device->libctx, form, engine_key_pkey(device_key), client, sealed->nonce, sealed, out);
    if (rc == AZIHSM_OK)
        rc = rotate_nonce(device, sealed->nonce);
    if (rc != AZIHSM_OK)
        OPENSSL_cleanse(out, sizeof(*out));
    return rc;
}

/* ---- login ---- */

enum { LOCKOUT_ATTEMPTS = 1000, LOCKOUT_SECONDS = 60, LOCKOUT_FACTOR_MAX = 32 };

static int64_t now_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

azihsm_rc partition_check_lockout(struct emu_device *device)
{
    bool allowed;

    if (!device->config.pin_lockout)
        return AZIHSM_OK;
    pthread_mutex_lock(&device->lock);
    allowed = !device->lockout.locked || now_seconds() >= device->lockout.not_before;
    pthread_mutex_unlock(&device->lock);
    return allowed ? AZIHSM_OK : AZIHSM_STATUS_LOGIN_FAILED;
}

static void count_failure(struct lockout *lockout)
{
    lockout->locked = true;
    if (++lockout->attempts == LOCKOUT_ATTEMPTS) {
        lockout->attempts = 0;
        if (++lockout->factor > LOCKOUT_FACTOR_MAX)
            lockout->factor = 0;
    }
    lockout->not_before = now_seconds() + (int64_t)lockout->factor * LOCKOUT_SECONDS;
}

azihsm_rc partition_login(struct emu_device *device, const struct credential_fields *fields)
{
    bool good = !credential_is_zero(fields->id) && !credential_is_zero(fields->pin);

    pthread_mutex_lock(&device->lock);
    if (device->provisioned) {
        const struct provision *stored = device_provision(device);
        good &= (CRYPTO_memcmp(fields->id, stored->id, sizeof(stored->id)) |
                 CRYPTO_memcmp(fields->pin, stored->pin, sizeof(stored->pin))) == 0;
    } else {
        good = false;
    }
    if (!good)
        count_failure(&device->lockout);
    else if (device->lockout.locked) /* the flag itself stays until a reset */
        device->lockout.attempts = device->lockout.factor = 0;
    pthread_mutex_unlock(&device->lock);
    return good ? AZIHSM_OK : AZIHSM_STATUS_INVALID_APP_CREDENTIALS;
}

/* ---- key hierarchy ---- */

enum { BK_LABEL_SIZE = 256, RANDOM_SIZE = 48 };

#define TEXT(literal) ((struct azihsm_bytes){(const uint8_t *)(literal), sizeof(literal) - 1})

static azihsm_rc derive(struct emu_device *device, struct azihsm_bytes key, struct azihsm_bytes label,
                        struct azihsm_bytes context, uint8_t *out, size_t len)
{
    return kdf_kbkdf(device->libctx, AZIHSM_HASH_SHA384, key, label, context, out, len);
}

azihsm_rc partition_derive_bk(struct emu_device *device, const uint8_t bk3[AZIHSM_BK3_SIZE], struct azihsm_bytes pota,
                              struct provision *out)
{
    static const char name[] = "PARTITION_BK";
    uint8_t label[BK_LABEL_SIZE] = {0};
    const struct device_roots *roots = device_roots(device);
    azihsm_rc rc;

    if (pota.len > sizeof(label) - (sizeof(name) - 1))
        return AZIHSM_STATUS_INTERNAL_ERROR;
    memcpy(label, name, sizeof(name) - 1);
    memcpy(label + sizeof(name) - 1, pota.data, pota.len);
    /* bks1 and bks2 lie side by side */
    rc =
        derive(device, (struct azihsm_bytes){bk3, AZIHSM_BK3_SIZE}, (struct azihsm_bytes){label, sizeof(label)},
               (struct azihsm_bytes){roots->bks1, sizeof(roots->bks1) + sizeof(roots->bks2)}, out->bk, sizeof(out->bk));
    if (rc == AZIHSM_OK && !device_is_virtual(device))
        rc = derive(device, (struct azihsm_bytes){bk3, AZIHSM_BK3_SIZE}, TEXT("SESSION_BK3"), TEXT(""),
                    out->bk3_session, sizeof(out->bk3_session));
    return rc;
}

azihsm_rc partition_new_masking_key(struct emu_device *device, struct engine_key **out)
{
    uint8_t random[RANDOM_SIZE], key[AZIHSM_MASKING_KEY_SIZE];
    azihsm_rc rc = engine_random(device->engine, random, sizeof(random));
    if (rc == AZIHSM_OK)
        rc = derive(device, (struct azihsm_bytes){random, sizeof(random)}, TEXT("MK_DEFAULT"), TEXT(""), key,
                    sizeof(key));
    if (rc == AZIHSM_OK)
        rc = engine_key_from_raw(device->engine, AZIHSM_KEY_AES_CBC256_HMAC384, (struct azihsm_bytes){key, sizeof(key)},
                                 out);
    OPENSSL_cleanse(random, sizeof(random));
    OPENSSL_cleanse(key, sizeof(key));
    return rc;
}

azihsm_rc partition_derive_session_bk(struct emu_device *device, const uint8_t seed[AZIHSM_SEED_SIZE],
                                      uint8_t out[AZIHSM_MASKING_KEY_SIZE])
{
    const struct device_roots *roots = device_roots(device);
    const struct provision *provision = device_provision(device);
    uint8_t context[2 * EMU_BKS_SIZE + AZIHSM_SEED_SIZE];

    if (device_is_virtual(device)) /* the HMAC half of the partition BK, the seed alone */
        return derive(device,
                      (struct azihsm_bytes){provision->bk + AZIHSM_MASKING_KEY_SIZE - AZIHSM_BK3_SIZE, AZIHSM_BK3_SIZE},
                      TEXT("SESSION_BK"), (struct azihsm_bytes){seed, AZIHSM_SEED_SIZE}, out, AZIHSM_MASKING_KEY_SIZE);
    memcpy(context, roots->bks1, EMU_BKS_SIZE);
    memcpy(context + EMU_BKS_SIZE, roots->bks2, EMU_BKS_SIZE);
    memcpy(context + sizeof(context) - AZIHSM_SEED_SIZE, seed, AZIHSM_SEED_SIZE);
    azihsm_rc rc =
        derive(device, (struct azihsm_bytes){provision->bk3_session, sizeof(provision->bk3_session)},
               TEXT("SESSION_BK"), (struct azihsm_bytes){context, sizeof(context)}, out, AZIHSM_MASKING_KEY_SIZE);
    OPENSSL_cleanse(context, sizeof(context));
    return rc;
}

/* ---- encryption keys ---- */

azihsm_rc partition_answer_encryption_key(struct command *cmd, struct engine_key *key)
{
    struct emu_device *device = cmd->device;
    struct azihsm_encryption_key_resp *resp = &cmd->resp.encryption_key;
    size_t signature_len = 0;

    cmd->hold_engine = key;
    if (!device_is_virtual(device)) {
        azihsm_rc rc = engine_sign_public(device->engine, device->identity, key, cmd->scratch);
        if (rc != AZIHSM_OK)
            return rc;
        signature_len = 96;
    }
    *resp = (struct azihsm_encryption_key_resp){
        .pub_key = {engine_key_public(key), AZIHSM_KEY_ECC384_PUBLIC},
        .pub_key_signature = {cmd->scratch, signature_len},
    };
    pthread_mutex_lock(&device->lock);
    memcpy(resp->nonce, device->nonce, sizeof(resp->nonce));
    pthread_mutex_unlock(&device->lock);
    return AZIHSM_OK;
}
