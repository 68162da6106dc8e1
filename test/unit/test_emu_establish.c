/*
 * InitBk3, the sealed slot, certificates, EstablishCredential: each check of device-behaviour 2.3 and 3 in its order.
 */
#include "emu_client.h"

#include "crypto/ecdsa.h"
#include "crypto/spki.h"

#include <openssl/x509.h>

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* ---- BK3 ---- */

static void test_init_bk3(void **state)
{
    struct emu_fixture *f = *state;
    uint8_t zeros[16] = {0}, first[300];
    struct azihsm_init_bk3_req req = {{f->owner.bk3, 48}};
    struct azihsm_init_bk3_resp resp;
    struct azihsm_masked_key parsed;
    size_t first_len;

    assert_int_equal(emu_call(&f->client, AZIHSM_OP_INIT_BK3, &req, &resp), AZIHSM_OK);
    assert_int_equal(resp.masked_bk3.len, f->kind == AZIHSM_DEVICE_VIRTUAL ? 236 : 244);
    assert_int_equal(memcmp(resp.vm_launch_guid, zeros, 16) == 0, f->kind == AZIHSM_DEVICE_VIRTUAL);
    assert_int_equal(azihsm_masked_key_parse(resp.masked_bk3, &parsed), AZIHSM_OK);
    assert_int_equal(parsed.metadata.svn, f->kind == AZIHSM_DEVICE_VIRTUAL ? 0 : 1);
    assert_int_equal(parsed.metadata.key_type,
                     f->kind == AZIHSM_DEVICE_VIRTUAL ? AZIHSM_KEY_SECRET384 : AZIHSM_KEY_AES_CBC256_HMAC384);
    assert_int_equal(parsed.metadata.key_length, 48);
    first_len = resp.masked_bk3.len;
    memcpy(first, resp.masked_bk3.data, first_len);
    assert_int_equal(emu_call(&f->client, AZIHSM_OP_INIT_BK3, &req, &resp), AZIHSM_OK);
    assert_memory_not_equal(resp.masked_bk3.data, first, first_len);
    req.bk3.len = 47;
    assert_int_equal(emu_call(&f->client, AZIHSM_OP_INIT_BK3, &req, &resp), AZIHSM_STATUS_INVALID_ARG);
    req.bk3.len = 0;
    assert_int_equal(emu_call(&f->client, AZIHSM_OP_INIT_BK3, &req, &resp), AZIHSM_STATUS_INVALID_ARG);
    /* after provisioning and after a reset too, all blobs being good */
    emu_provision_must(&f->client, &f->owner);
    assert_int_equal(emu_init_bk3(&f->client, &f->owner), AZIHSM_OK);
    emu_device_reset(f->device);
    assert_int_equal(emu_init_bk3(&f->client, &f->owner), AZIHSM_OK);
    memcpy(f->owner.masked_bk3, first, first_len);
    assert_int_equal(emu_establish(&f->client, &f->owner), AZIHSM_OK);
}

static void test_init_bk3_once(void **state)
{
    struct emu_config config = emu_default_config(*(const enum azihsm_device_kind *)*state);
    struct emu_owner owner;
    struct emu_client client;
    struct emu_device *device;

    config.bk3_once = true;
    assert_int_equal(emu_device_new(&config, NULL, 0, &device), AZIHSM_OK);
    emu_owner_init(&owner);
    emu_attach(&client, device);
    assert_int_equal(emu_init_bk3(&client, &owner), AZIHSM_OK);
    assert_int_equal(emu_init_bk3(&client, &owner), AZIHSM_STATUS_BK3_ALREADY_INITIALIZED);
    emu_device_reset(device);
    assert_int_equal(emu_init_bk3(&client, &owner), AZIHSM_STATUS_BK3_ALREADY_INITIALIZED);
    emu_detach(&client);
    emu_owner_free(&owner);
    emu_device_free(device);
}

static void test_sealed_bk3(void **state)
{
    struct emu_fixture *f = *state;
    uint8_t blob[1024] = {1, 2, 3};
    struct azihsm_sealed_bk3 req = {{blob, 513}}, resp;

    assert_int_equal(emu_call(&f->client, AZIHSM_OP_GET_SEALED_BK3, NULL, &resp), AZIHSM_STATUS_SEALED_BK3_NOT_PRESENT);
    assert_int_equal(emu_call(&f->client, AZIHSM_OP_SET_SEALED_BK3, &req, NULL), AZIHSM_STATUS_SEALED_BK3_TOO_LARGE);
    req.sealed_bk3.len = 0;
    assert_int_equal(emu_call(&f->client, AZIHSM_OP_SET_SEALED_BK3, &req, NULL), AZIHSM_OK);
    assert_int_equal(emu_call(&f->client, AZIHSM_OP_GET_SEALED_BK3, NULL, &resp), AZIHSM_STATUS_SEALED_BK3_NOT_PRESENT);
    req.sealed_bk3.len = 512;
    assert_int_equal(emu_call(&f->client, AZIHSM_OP_SET_SEALED_BK3, &req, NULL), AZIHSM_OK);
    assert_int_equal(emu_call(&f->client, AZIHSM_OP_SET_SEALED_BK3, &req, NULL),
                     emu_by_kind(f, AZIHSM_STATUS_KEY_TAG_ALREADY_EXISTS, AZIHSM_STATUS_SEALED_BK3_ALREADY_SET));
    req.sealed_bk3.len = 1024; /* which of the two wrongs is named first */
    assert_int_equal(emu_call(&f->client, AZIHSM_OP_SET_SEALED_BK3, &req, NULL),
                     emu_by_kind(f, AZIHSM_STATUS_SEALED_BK3_TOO_LARGE, AZIHSM_STATUS_SEALED_BK3_ALREADY_SET));
    for (int i = 0; i < 2; i++) {
        assert_int_equal(emu_call(&f->client, AZIHSM_OP_GET_SEALED_BK3, NULL, &resp), AZIHSM_OK);
        assert_int_equal(resp.sealed_bk3.len, 512);
        assert_memory_equal(resp.sealed_bk3.data, blob, 512);
        emu_device_reset(f->device);
    }
}

/* ---- certificates ---- */

static void read_chain(struct emu_client *client, uint8_t *num, uint8_t thumbprint[32])
{
    struct azihsm_cert_chain_info_req req = {0};
    struct azihsm_cert_chain_info_resp resp;
    assert_int_equal(emu_call(client, AZIHSM_OP_GET_CERT_CHAIN_INFO, &req, &resp), AZIHSM_OK);
    assert_int_equal(resp.thumbprint.len, 32);
    *num = resp.num_certs;
    memcpy(thumbprint, resp.thumbprint.data, 32);
}

static void test_certificates(void **state)
{
    struct emu_fixture *f = *state;
    uint8_t num, again, thumbprint[32], second[32];
    struct azihsm_cert_chain_info_req info = {1};
    struct azihsm_certificate_req req = {0, 0};
    struct azihsm_certificate_resp resp;
    struct azihsm_cert_chain_info_resp info_resp;

    read_chain(&f->client, &num, thumbprint);
    assert_int_equal(num == 1, f->kind == AZIHSM_DEVICE_VIRTUAL);
    assert_true(num == 1 || num >= 3);
    assert_int_equal(emu_call(&f->client, AZIHSM_OP_GET_CERT_CHAIN_INFO, &info, &info_resp),
                     emu_by_kind(f, AZIHSM_OK, AZIHSM_STATUS_INVALID_ARG));
    for (req.cert_id = 0; req.cert_id < num; req.cert_id++) {
        assert_int_equal(emu_call(&f->client, AZIHSM_OP_GET_CERTIFICATE, &req, &resp), AZIHSM_OK);
        assert_true(resp.certificate.len > 300 && resp.certificate.len <= 2048);
    }
    assert_int_equal(emu_call(&f->client, AZIHSM_OP_GET_CERTIFICATE, &req, &resp),
                     emu_by_kind(f, AZIHSM_STATUS_INVALID_ARG, AZIHSM_STATUS_INVALID_CERTIFICATE));
    req = (struct azihsm_certificate_req){1, 0};
    assert_int_equal(emu_call(&f->client, AZIHSM_OP_GET_CERTIFICATE, &req, &resp), AZIHSM_STATUS_INVALID_ARG);
    read_chain(&f->client, &again, second);
    assert_int_equal(again, num);
    assert_memory_equal(second, thumbprint, 32);
    emu_device_reset(f->device); /* the simulator gets a new identity, the firmware keeps it */
    read_chain(&f->client, &again, second);
    assert_int_equal(memcmp(second, thumbprint, 32) == 0, f->kind == AZIHSM_DEVICE_PHYSICAL);
}

/* ---- encryption keys ---- */

static void test_encryption_keys(void **state)
{
    struct emu_fixture *f = *state;
    struct azihsm_encryption_key_resp resp;
    uint8_t spki[120], nonce[32], raw[136];
    uint32_t curve;
    size_t raw_len;
    azihsm_rc once_more = emu_by_kind(f, AZIHSM_STATUS_KEY_NOT_FOUND, AZIHSM_STATUS_VAULT_APP_LIMIT_REACHED);

    assert_int_equal(emu_call(&f->client, AZIHSM_OP_GET_SESSION_ENCRYPTION_KEY, NULL, &resp),
                     AZIHSM_STATUS_CREDENTIALS_NOT_ESTABLISHED);
    assert_int_equal(emu_call(&f->client, AZIHSM_OP_GET_ESTABLISH_CRED_ENCRYPTION_KEY, NULL, &resp), AZIHSM_OK);
    memcpy(spki, resp.pub_key.der.data, 120);
    memcpy(nonce, resp.nonce, 32);
    assert_int_equal(emu_call(&f->client, AZIHSM_OP_GET_ESTABLISH_CRED_ENCRYPTION_KEY, NULL, &resp), AZIHSM_OK);
    assert_memory_equal(resp.pub_key.der.data, spki, 120);
    assert_memory_equal(resp.nonce, nonce, 32);
    if (f->kind == AZIHSM_DEVICE_PHYSICAL) { /* signed by the leaf over the wire bytes */
        uint8_t signature[96];
        EVP_PKEY *leaf;
        assert_int_equal(resp.pub_key_signature.len, 96);
        memcpy(signature, resp.pub_key_signature.data, 96);
        assert_int_equal(azihsm_form_ecc_spki_to_raw((struct azihsm_bytes){spki, 120}, &curve, raw, &raw_len),
                         AZIHSM_OK);
        leaf = emu_leaf_must(&f->client);
        assert_int_equal(ecdsa_verify_message(NULL, leaf, AZIHSM_HASH_SHA384, (struct azihsm_bytes){raw, raw_len},
                                              (struct azihsm_bytes){signature, 96}),
                         AZIHSM_OK);
        EVP_PKEY_free(leaf);
    }
    emu_device_reset(f->device);
    assert_int_equal(emu_call(&f->client, AZIHSM_OP_GET_ESTABLISH_CRED_ENCRYPTION_KEY, NULL, &resp), AZIHSM_OK);
    assert_memory_not_equal(resp.pub_key.der.data, spki, 120);
    assert_memory_not_equal(resp.nonce, nonce, 32);
    memcpy(nonce, resp.nonce, 32);
    emu_provision_must(&f->client, &f->owner);
    assert_int_equal(emu_call(&f->client, AZIHSM_OP_GET_ESTABLISH_CRED_ENCRYPTION_KEY, NULL, &resp), once_more);
    assert_int_equal(emu_call(&f->client, AZIHSM_OP_GET_SESSION_ENCRYPTION_KEY, NULL, &resp), AZIHSM_OK);
    assert_memory_not_equal(resp.nonce, nonce, 32);
}

/* ---- EstablishCredential ---- */

/* Sends a prepared request once more with something spoilt, then undoes it: nothing may have been taken. */
static void test_tampered(void **state)
{
    struct emu_fixture *f = *state;
    struct emu_establish e;
    uint8_t *const spoilt[] = {e.sealed.encrypted.id + 3, e.sealed.encrypted.pin + 15, e.sealed.iv, e.req.cred.tag,
                               e.req.cred.tag + 47};
    assert_int_equal(emu_init_bk3(&f->client, &f->owner), AZIHSM_OK);
    assert_int_equal(emu_prepare_establish(&f->client, &f->owner, &e), AZIHSM_OK);
    for (size_t i = 0; i < sizeof(spoilt) / sizeof(spoilt[0]); i++) {
        *spoilt[i] ^= 0x80;
        assert_int_equal(emu_send_establish(&f->client, &f->owner, &e), AZIHSM_STATUS_PIN_DECRYPTION_FAILED);
        *spoilt[i] ^= 0x80;
    }
    e.req.cred.nonce[31] ^= 1;
    assert_int_equal(emu_send_establish(&f->client, &f->owner, &e), AZIHSM_STATUS_NONCE_MISMATCH);
    e.req.cred.nonce[31] ^= 1;
    /* none of them rotated the nonce */
    assert_int_equal(emu_send_establish(&f->client, &f->owner, &e), AZIHSM_OK);
    assert_int_equal(emu_send_establish(&f->client, &f->owner, &e),
                     emu_by_kind(f, AZIHSM_STATUS_KEY_NOT_FOUND, AZIHSM_STATUS_VAULT_APP_LIMIT_REACHED));
}

static void test_endorsement(void **state)
{
    struct emu_fixture *f = *state;
    azihsm_rc refused = emu_by_kind(f, AZIHSM_STATUS_INVALID_ARG, AZIHSM_STATUS_ECC_VERIFY_FAILED);
    struct emu_establish e;
    uint8_t spki[200];
    size_t len;
    EVP_PKEY *other = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-384"),
             *p256 = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");

    assert_int_equal(emu_init_bk3(&f->client, &f->owner), AZIHSM_OK);
    assert_int_equal(emu_prepare_establish(&f->client, &f->owner, &e), AZIHSM_OK);
    e.pota_sig[10] ^= 1;
    assert_int_equal(emu_send_establish(&f->client, &f->owner, &e), refused);
    e.pota_sig[10] ^= 1;
    if (f->kind == AZIHSM_DEVICE_VIRTUAL) { /* the physical client cannot encode these */
        e.req.pota_sig.len = 0;
        assert_int_equal(emu_send_establish(&f->client, &f->owner, &e), refused);
        e.req.pota_sig.len = 95;
        assert_int_equal(emu_send_establish(&f->client, &f->owner, &e), refused);
        e.req.pota_sig.len = 96;
        e.req.pota_pub_key.der.len = 0;
        assert_int_equal(emu_send_establish(&f->client, &f->owner, &e), refused);
        e.req.pota_pub_key.der.len = 119;
        assert_int_equal(emu_send_establish(&f->client, &f->owner, &e), refused);
        e.req.pota_pub_key.der.len = 120;
        e.req.pota_pub_key.key_kind = AZIHSM_KEY_ECC256_PUBLIC;
        assert_int_equal(emu_send_establish(&f->client, &f->owner, &e), AZIHSM_STATUS_INVALID_ARG);
        e.req.pota_pub_key.key_kind = AZIHSM_KEY_ECC384_PUBLIC;
    }
    e.req.pota_pub_key.der = (struct azihsm_bytes){spki, 0};
    assert_int_equal(spki_encode(p256, spki, sizeof(spki), &e.req.pota_pub_key.der.len), AZIHSM_OK);
    e.req.pota_pub_key.key_kind = AZIHSM_KEY_ECC256_PUBLIC;
    assert_int_equal(emu_send_establish(&f->client, &f->owner, &e), AZIHSM_STATUS_INVALID_ARG);
    assert_int_equal(spki_encode(other, spki, sizeof(spki), &len), AZIHSM_OK);
    e.req.pota_pub_key = (struct azihsm_pub_key){{spki, len}, AZIHSM_KEY_ECC384_PUBLIC};
    assert_int_equal(emu_send_establish(&f->client, &f->owner, &e), refused);
    e.req.pota_pub_key.der = (struct azihsm_bytes){e.pota_spki, 120};
    assert_int_equal(emu_send_establish(&f->client, &f->owner, &e), AZIHSM_OK);
    EVP_PKEY_free(other);
    EVP_PKEY_free(p256);
}

static void test_client_key(void **state)
{
    struct emu_fixture *f = *state;
    struct emu_establish e;
    uint8_t spki[200];
    size_t len;
    EVP_PKEY *p256 = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256"), *p521 = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-521");

    assert_int_equal(emu_init_bk3(&f->client, &f->owner), AZIHSM_OK);
    assert_int_equal(emu_prepare_establish(&f->client, &f->owner, &e), AZIHSM_OK);
    assert_int_equal(spki_encode(p256, spki, sizeof(spki), &len), AZIHSM_OK);
    e.req.pub_key = (struct azihsm_pub_key){{spki, len}, AZIHSM_KEY_ECC256_PUBLIC};
    assert_int_equal(
        emu_send_establish(&f->client, &f->owner, &e),
        emu_by_kind(f, AZIHSM_STATUS_DER_AND_KEY_TYPE_MISMATCH, AZIHSM_STATUS_ECC_DER_KEY_SHORTER_THAN_CURVE));
    assert_int_equal(spki_encode(p521, spki, sizeof(spki), &len), AZIHSM_OK);
    e.req.pub_key = (struct azihsm_pub_key){{spki, len}, AZIHSM_KEY_ECC521_PUBLIC};
    assert_int_equal(
        emu_send_establish(&f->client, &f->owner, &e),
        emu_by_kind(f, AZIHSM_STATUS_DER_AND_KEY_TYPE_MISMATCH, AZIHSM_STATUS_ECC_PUBLIC_KEY_VALIDATION_FAILED));
    memcpy(spki, e.spki, 120);
    spki[119] ^= 1; /* no longer on the curve */
    e.req.pub_key = (struct azihsm_pub_key){{spki, 120}, AZIHSM_KEY_ECC384_PUBLIC};
    assert_int_equal(emu_send_establish(&f->client, &f->owner, &e),
                     emu_by_kind(f, AZIHSM_STATUS_KEY_DECODE_FAILED, AZIHSM_STATUS_ECC_POINT_VALIDATION_FAILED));
    memset(spki + 24, 0xFF, 48); /* x above the field prime */
    assert_int_equal(emu_send_establish(&f->client, &f->owner, &e),
                     emu_by_kind(f, AZIHSM_STATUS_KEY_DECODE_FAILED, AZIHSM_STATUS_ECC_PUBLIC_KEY_VALIDATION_FAILED));
    if (f->kind == AZIHSM_DEVICE_VIRTUAL) {
        e.req.pub_key = (struct azihsm_pub_key){{e.spki, 120}, AZIHSM_KEY_ECC256_PUBLIC};
        assert_int_equal(emu_send_establish(&f->client, &f->owner, &e), AZIHSM_STATUS_DER_AND_KEY_TYPE_MISMATCH);
        e.req.pub_key.key_kind = AZIHSM_KEY_ECC384_PUBLIC;
        e.req.pub_key.der.len = 7;
        assert_int_equal(emu_send_establish(&f->client, &f->owner, &e), AZIHSM_STATUS_KEY_DECODE_FAILED);
    }
    e.req.pub_key.der = (struct azihsm_bytes){e.spki, 120};
    assert_int_equal(emu_send_establish(&f->client, &f->owner, &e), AZIHSM_OK);
    EVP_PKEY_free(p256);
    EVP_PKEY_free(p521);
}

static void test_field_lengths(void **state)
{
    struct emu_fixture *f = *state;
    azihsm_rc refused = emu_by_kind(f, AZIHSM_STATUS_PIN_DECRYPTION_FAILED, AZIHSM_STATUS_INVALID_ARG);
    struct emu_establish e;
    struct azihsm_bytes *const fields[] = {&e.req.cred.encrypted_id, &e.req.cred.encrypted_pin, &e.req.cred.iv};

    assert_int_equal(emu_init_bk3(&f->client, &f->owner), AZIHSM_OK);
    assert_int_equal(emu_prepare_establish(&f->client, &f->owner, &e), AZIHSM_OK);
    e.sealed.encrypted.id[15] |= 1; /* so that cutting it changes what is read */
    e.sealed.encrypted.pin[15] |= 1;
    e.sealed.iv[15] |= 1;
    for (size_t i = 0; i < 3; i++) {
        fields[i]->len = 15;
        assert_int_equal(emu_send_establish(&f->client, &f->owner, &e), refused);
        fields[i]->len = 0;
        assert_int_equal(emu_send_establish(&f->client, &f->owner, &e), refused);
        fields[i]->len = 16;
    }
    e.req.masked_bk3.len = 0;
    assert_int_equal(emu_send_establish(&f->client, &f->owner, &e), AZIHSM_STATUS_INVALID_ARG);
}

static void test_zero_credentials(void **state)
{
    struct emu_fixture *f = *state;
    struct emu_owner blank = f->owner;

    assert_int_equal(emu_init_bk3(&f->client, &f->owner), AZIHSM_OK);
    blank = f->owner;
    memset(blank.id, 0, sizeof(blank.id));
    assert_int_equal(emu_establish(&f->client, &blank), AZIHSM_STATUS_INVALID_APP_CREDENTIALS);
    blank = f->owner;
    memset(blank.pin, 0, sizeof(blank.pin));
    assert_int_equal(emu_establish(&f->client, &blank), AZIHSM_STATUS_INVALID_APP_CREDENTIALS);
    assert_int_equal(emu_establish(&f->client, &f->owner), AZIHSM_OK);
}

/* Backup blobs that are not good: the nonce has rotated, nothing else has happened, the next try succeeds. */
static void test_bad_backups(void **state)
{
    struct emu_fixture *f = *state;
    struct emu_owner *owner = &f->owner, other;
    struct emu_establish e;
    struct emu_key muk;
    uint8_t svn_at, blob[300];
    struct azihsm_masked_key parsed;

    emu_provision_must(&f->client, owner);
    assert_int_equal(owner->bmk_len, f->kind == AZIHSM_DEVICE_VIRTUAL ? 288 : 276);
    assert_int_equal(azihsm_masked_key_parse((struct azihsm_bytes){owner->bmk, owner->bmk_len}, &parsed), AZIHSM_OK);
    assert_true(parsed.metadata.has_svn);
    assert_int_equal(parsed.metadata.svn, 1);
    emu_login_must(&f->client, owner);
    assert_int_equal(emu_unwrapping_key(&f->client, &muk), AZIHSM_OK);
    emu_device_reset(f->device);
    svn_at = 68 + 1 + 2 + 8; /* header, IV, map, id, last byte of the u64 */
    struct {
        uint8_t *blob;
        size_t *len;
    } const parts[] = {{owner->masked_bk3, &owner->masked_bk3_len}, {owner->bmk, &owner->bmk_len}};
    for (size_t i = 0; i < 2; i++) {
        size_t len = *parts[i].len;
        static const size_t at[] = {0, 20, 52, 80, 150, 235};
        memcpy(blob, parts[i].blob, len);
        for (size_t k = 0; k < sizeof(at) / sizeof(at[0]); k++) {
            parts[i].blob[at[k]] ^= 1;
            assert_int_equal(emu_establish(&f->client, owner), AZIHSM_STATUS_MASKED_KEY_DECODE_FAILED);
            memcpy(parts[i].blob, blob, len);
        }
        parts[i].blob[svn_at]++;
        assert_int_equal(azihsm_masked_key_parse((struct azihsm_bytes){parts[i].blob, len}, &parsed), AZIHSM_OK);
        assert_int_equal(emu_establish(&f->client, owner), AZIHSM_STATUS_MASKED_KEY_DECODE_FAILED);
        memcpy(parts[i].blob, blob, len);
        *parts[i].len = len - 1;
        assert_int_equal(emu_establish(&f->client, owner), AZIHSM_STATUS_MASKED_KEY_DECODE_FAILED);
        *parts[i].len = len + 4;
        assert_int_equal(emu_establish(&f->client, owner), AZIHSM_STATUS_MASKED_KEY_DECODE_FAILED);
        *parts[i].len = 3;
        assert_int_equal(emu_establish(&f->client, owner), AZIHSM_STATUS_MASKED_KEY_DECODE_FAILED);
        *parts[i].len = len;
    }
    /* MUK: tampered, of an app, not a key at all */
    memcpy(owner->muk, muk.blob, muk.blob_len);
    owner->muk_len = muk.blob_len;
    owner->muk[100] ^= 1;
    assert_int_equal(emu_establish(&f->client, owner), AZIHSM_STATUS_MASKED_KEY_DECODE_FAILED);
    owner->muk[100] ^= 1;
    owner->muk_len--;
    assert_int_equal(emu_establish(&f->client, owner), AZIHSM_STATUS_MASKED_KEY_DECODE_FAILED);
    owner->muk_len++;
    /* a BMK belongs to its BK3 and its endorser */
    other = *owner;
    other.bk3[0] ^= 1;
    assert_int_equal(emu_init_bk3(&f->client, &other), AZIHSM_OK);
    assert_int_equal(emu_establish(&f->client, &other), AZIHSM_STATUS_MASKED_KEY_DECODE_FAILED);
    other = *owner;
    other.pota = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-384");
    assert_int_equal(emu_establish(&f->client, &other), AZIHSM_STATUS_MASKED_KEY_DECODE_FAILED);
    EVP_PKEY_free(other.pota);
    /* after all that: the good ones, and the BMK comes back unchanged */
    assert_int_equal(emu_prepare_establish(&f->client, owner, &e), AZIHSM_OK);
    memcpy(blob, owner->bmk, owner->bmk_len);
    assert_int_equal(emu_send_establish(&f->client, owner, &e), AZIHSM_OK);
    assert_memory_equal(owner->bmk, blob, owner->bmk_len);
}

static void test_foreign_muk(void **state)
{
    struct emu_fixture *f = *state;
    struct emu_key kek, rsa;
    uint8_t der[3000];
    size_t len = emu_pkcs8_must(AZIHSM_CLASS_RSA, 2048, NULL, der, sizeof(der));

    assert_int_equal(emu_unwrapping_key(&f->client, &kek), AZIHSM_OK);
    assert_int_equal(
        emu_import(&f->client, &kek, AZIHSM_CLASS_RSA, (struct azihsm_bytes){der, len}, EMU_SIGN_VERIFY, 0, &rsa),
        AZIHSM_OK);
    emu_device_reset(f->device);
    memcpy(f->owner.muk, rsa.blob, rsa.blob_len);
    f->owner.muk_len = rsa.blob_len;
    assert_int_equal(emu_establish(&f->client, &f->owner), AZIHSM_STATUS_APP_NOT_FOUND);
    memcpy(f->owner.muk, kek.blob, kek.blob_len);
    f->owner.muk_len = kek.blob_len;
    assert_int_equal(emu_establish(&f->client, &f->owner), AZIHSM_OK);
    assert_int_equal(emu_reopen_session(&f->client, &f->owner), AZIHSM_OK);
    assert_int_equal(emu_unwrapping_key(&f->client, &rsa), AZIHSM_OK);
    assert_memory_equal(rsa.spki, kek.spki, kek.spki_len);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        EMU_FRESH(test_init_bk3),
        cmocka_unit_test_prestate(test_init_bk3_once, &emu_kinds[0]),
        cmocka_unit_test_prestate(test_init_bk3_once, &emu_kinds[1]),
        EMU_FRESH(test_sealed_bk3),
        EMU_FRESH(test_certificates),
        EMU_FRESH(test_encryption_keys),
        EMU_FRESH(test_tampered),
        EMU_FRESH(test_endorsement),
        EMU_FRESH(test_client_key),
        EMU_FRESH(test_field_lengths),
        EMU_FRESH(test_zero_credentials),
        EMU_FRESH(test_bad_backups),
        EMU_READY(test_foreign_muk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
