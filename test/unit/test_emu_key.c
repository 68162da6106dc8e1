/*
 * Key storage and administration: numbering, capacity, tags, scope, DeleteKey, OpenKey, UnmaskKey, GetUnwrappingKey
 * (device-behaviour 1.3, 4.5, 5.0, 5.2, 6.3).
 */
#include "emu_client.h"

#include "emulator/engine_kind.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SIGN_SESSION = EMU_SIGN_VERIFY | AZIHSM_TKP_SESSION };

static azihsm_rc make(struct emu_client *client, uint32_t bits, uint16_t tag, struct emu_key *key)
{
    return emu_ecc_generate(client, AZIHSM_CURVE_P256, bits, tag, key);
}

static azihsm_rc unmask_key(struct emu_client *client, const struct emu_key *key, struct emu_key *out)
{
    return emu_unmask(client, (struct azihsm_bytes){key->blob, key->blob_len}, out);
}

static azihsm_rc open_key(struct emu_client *client, uint16_t tag, struct azihsm_open_key_resp *resp)
{
    struct azihsm_open_key_req req = {tag};
    return emu_call(client, AZIHSM_OP_OPEN_KEY, &req, resp);
}

static azihsm_rc sign(struct emu_client *client, uint16_t id)
{
    uint8_t digest[32] = {7}, raw[132];
    size_t len;
    return emu_sign(client, id, AZIHSM_HASH_SHA256, (struct azihsm_bytes){digest, 32}, raw, &len);
}

/* ---- numbering ---- */

static void test_numbering(void **state)
{
    struct emu_fixture *f = *state;
    azihsm_rc beyond = emu_by_kind(f, AZIHSM_STATUS_INVALID_KEY_NUMBER, AZIHSM_STATUS_KEY_NOT_FOUND);
    struct emu_key kek, key, again;
    struct emu_client other;

    /* 0 unwrapping, 1 session ECDH, 2 attestation, 3 masking key, 4 our session */
    assert_int_equal(make(&f->client, EMU_SIGN_VERIFY, 0, &key), AZIHSM_OK);
    assert_int_equal(key.id, 5);
    assert_int_equal(emu_unwrapping_key(&f->client, &kek), AZIHSM_OK);
    assert_int_equal(kek.id, 0);
    emu_attach(&other, f->device);
    emu_login_must(&other, &f->owner);
    assert_int_equal(make(&other, EMU_SIGN_VERIFY, 0, &again), AZIHSM_OK);
    assert_int_equal(again.id, 7);
    assert_int_equal(emu_delete(&other, 5), AZIHSM_OK); /* any session of the app may */
    assert_int_equal(make(&f->client, EMU_SIGN_VERIFY, 0, &again), AZIHSM_OK);
    assert_int_equal(again.id, 5);
    emu_detach(&other);
    /* who is who */
    for (uint16_t id = 0; id < 4; id++)
        assert_int_equal(emu_delete(&f->client, id), AZIHSM_STATUS_CANNOT_DELETE_INTERNAL_KEYS);
    for (uint16_t id = 1; id < 5; id++)
        assert_int_equal(sign(&f->client, id), AZIHSM_STATUS_KEY_NOT_FOUND);
    assert_int_equal(sign(&f->client, 0), AZIHSM_STATUS_INVALID_PERMISSIONS); /* the unwrapping key can be named */
    assert_int_equal(emu_delete(&f->client, 4), AZIHSM_STATUS_KEY_NOT_FOUND); /* a session's entry */
    for (uint16_t id = 20; id < 256; id++) {
        assert_int_equal(emu_delete(&f->client, id), AZIHSM_STATUS_KEY_NOT_FOUND);
        assert_int_equal(sign(&f->client, id), AZIHSM_STATUS_KEY_NOT_FOUND);
    }
    assert_int_equal(sign(&f->client, 0x100), beyond);
    assert_int_equal(emu_delete(&f->client, 0x300), beyond);
    assert_int_equal(emu_delete(&f->client, 0xFFFF), beyond);
}

/* ---- capacity ---- */

static struct emu_device *start(enum azihsm_device_kind kind, unsigned tables, struct emu_owner *owner,
                                struct emu_client *client)
{
    struct emu_config config = emu_default_config(kind);
    struct emu_device *device;

    config.tables = tables;
    assert_int_equal(emu_device_new(&config, NULL, 0, &device), AZIHSM_OK);
    emu_owner_init(owner);
    emu_attach(client, device);
    emu_provision_must(client, owner);
    emu_login_must(client, owner);
    return device;
}

static void finish(struct emu_device *device, struct emu_owner *owner, struct emu_client *client)
{
    emu_detach(client);
    emu_owner_free(owner);
    emu_device_free(device);
}

static void test_entries(void **state)
{
    enum azihsm_device_kind kind = *(const enum azihsm_device_kind *)*state;
    struct emu_owner owner;
    struct emu_client client;
    struct emu_device *device = start(kind, 2, &owner, &client);
    struct emu_key key;
    struct emu_counters counters;

    /* AES-128: 16 bytes, so entries run out before bytes do */
    for (unsigned i = 5; i < 512; i++) {
        assert_int_equal(emu_aes_generate(&client, AZIHSM_AES_SIZE_128, EMU_ENC_DEC, 0, &key), AZIHSM_OK);
        assert_int_equal(key.id, i);
    }
    assert_int_equal(emu_aes_generate(&client, AZIHSM_AES_SIZE_128, EMU_ENC_DEC, 0, &key),
                     AZIHSM_STATUS_NOT_ENOUGH_SPACE);
    emu_device_counters(device, &counters);
    assert_int_equal(counters.keys, 507);
    /* not even a session finds a place now, and the failure leaves no id behind */
    struct emu_client other;
    emu_attach(&other, device);
    assert_int_equal(emu_open_session(&other, &owner), AZIHSM_STATUS_NOT_ENOUGH_SPACE);
    assert_int_equal(emu_delete(&client, 300), AZIHSM_OK);
    assert_int_equal(emu_open_session(&other, &owner), AZIHSM_OK);
    assert_int_equal(other.sess_id, 1);
    assert_int_equal(emu_close_session(&other), AZIHSM_OK);
    assert_int_equal(emu_aes_generate(&client, AZIHSM_AES_SIZE_128, EMU_ENC_DEC, 0, &key), AZIHSM_OK);
    assert_int_equal(key.id, 300);
    emu_detach(&other);
    finish(device, &owner, &client);
}

static void test_bytes(void **state)
{
    enum azihsm_device_kind kind = *(const enum azihsm_device_kind *)*state;
    struct emu_owner owner;
    struct emu_client client, others[7];
    struct emu_device *device = start(kind, 1, &owner, &client);
    struct emu_key kek, key;
    uint8_t der[3000];
    size_t len = emu_pkcs8_must(AZIHSM_CLASS_RSA, 2048, NULL, der, sizeof(der));
    unsigned stored = 0;
    azihsm_rc rc;

    for (int i = 0; i < 7; i++) {
        emu_attach(&others[i], device);
        emu_login_must(&others[i], &owner);
    }
    assert_int_equal(emu_unwrapping_key(&client, &kek), AZIHSM_OK);
    /* internal 516 + 48 + 48 + 80, sessions 8 * 8, then 516 a key */
    do {
        rc = emu_import(&client, &kek, AZIHSM_CLASS_RSA, (struct azihsm_bytes){der, len}, EMU_SIGN_VERIFY,
                        (uint16_t)(stored + 1), &key);
        stored += rc == AZIHSM_OK;
    } while (rc == AZIHSM_OK);
    assert_int_equal(rc, AZIHSM_STATUS_NOT_ENOUGH_SPACE);
    assert_int_equal(stored, (16384 - 692 - 64) / 516);
    /* a tag in use is reported before the lack of space */
    assert_int_equal(
        emu_import(&client, &kek, AZIHSM_CLASS_RSA, (struct azihsm_bytes){der, len}, EMU_SIGN_VERIFY, 1, &key),
        AZIHSM_STATUS_KEY_TAG_ALREADY_EXISTS);
    /* small ones still fit, and a refused tag was not kept */
    assert_int_equal(emu_aes_generate(&client, AZIHSM_AES_SIZE_GCM_BULK256, EMU_ENC_DEC, (uint16_t)(stored + 1), &key),
                     AZIHSM_OK);
    for (int i = 0; i < 7; i++)
        emu_detach(&others[i]);
    finish(device, &owner, &client);
}

/* ---- tags ---- */

static void test_tags(void **state)
{
    struct emu_fixture *f = *state;
    struct emu_client other;
    struct emu_key key, copy;
    struct azihsm_open_key_resp resp;
    struct azihsm_ecc_generate_req zero = {AZIHSM_CURVE_P256, true, 0, emu_props(EMU_SIGN_VERIFY)};
    struct azihsm_aes_generate_req aes_zero = {AZIHSM_AES_SIZE_128, true, 0, emu_props(EMU_ENC_DEC)};
    azihsm_rc zero_rc = emu_by_kind(f, AZIHSM_OK, AZIHSM_STATUS_INVALID_ARG);

    emu_attach(&other, f->device);
    emu_login_must(&other, &f->owner);
    assert_int_equal(open_key(&f->client, 0, &resp), AZIHSM_STATUS_KEY_NOT_FOUND);
    assert_int_equal(open_key(&f->client, 0xABCD, &resp), AZIHSM_STATUS_KEY_NOT_FOUND);
    assert_int_equal(make(&f->client, EMU_SIGN_VERIFY, 0xABCD, &key), AZIHSM_OK);
    assert_int_equal(make(&other, EMU_SIGN_VERIFY, 0xABCD, &copy), AZIHSM_STATUS_KEY_TAG_ALREADY_EXISTS);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(open_key(&other, 0xABCD, &resp), AZIHSM_OK);
        assert_int_equal(resp.key_id, key.id);
        assert_int_equal(resp.key_kind, AZIHSM_KEY_ECC256_PRIVATE);
        assert_true(resp.has_pub_key);
        assert_false(resp.has_bulk_key_id);
        assert_memory_equal(resp.pub_key.der.data, key.spki, key.spki_len);
    }
    assert_int_equal(make(&f->client, SIGN_SESSION, 5, &copy), AZIHSM_STATUS_INVALID_ARG);
    assert_int_equal(emu_call(&f->client, AZIHSM_OP_ECC_GENERATE_KEY_PAIR, &zero, NULL), zero_rc);
    assert_int_equal(emu_call(&f->client, AZIHSM_OP_AES_GENERATE_KEY, &aes_zero, NULL), zero_rc);
    /* unmasking: refused while the tag lives, restores it afterwards, from any session */
    assert_int_equal(unmask_key(&other, &key, &copy), AZIHSM_STATUS_KEY_TAG_ALREADY_EXISTS);
    assert_int_equal(emu_delete(&other, key.id), AZIHSM_OK);
    assert_int_equal(open_key(&f->client, 0xABCD, &resp), AZIHSM_STATUS_KEY_NOT_FOUND);
    assert_int_equal(unmask_key(&other, &key, &copy), AZIHSM_OK);
    assert_int_equal(open_key(&f->client, 0xABCD, &resp), AZIHSM_OK);
    assert_int_equal(resp.key_id, copy.id);
    /* bulk keys by tag */
    assert_int_equal(emu_aes_generate(&f->client, AZIHSM_AES_SIZE_XTS_BULK256, EMU_ENC_DEC, 9, &key), AZIHSM_OK);
    assert_true(key.has_bulk);
    assert_int_equal(key.bulk_id, key.id);
    assert_int_equal(open_key(&f->client, 9, &resp), AZIHSM_OK);
    assert_true(resp.has_bulk_key_id);
    assert_int_equal(resp.bulk_key_id, key.id);
    assert_false(resp.has_pub_key);
    emu_detach(&other);
}

/* ---- labels and metadata ---- */

static void test_metadata(void **state)
{
    struct emu_fixture *f = *state;
    uint8_t label[128];
    struct azihsm_ecc_generate_req req = {AZIHSM_CURVE_P521, true, 77, emu_props(EMU_SIGN_VERIFY)};
    struct azihsm_key_pair_resp resp;
    struct azihsm_masked_key parsed;
    struct emu_key copy, kek;
    uint8_t blob[1024];
    size_t len;

    memset(label, 'x', sizeof(label));
    req.key_props.key_label = (struct azihsm_bytes){label, sizeof(label)};
    assert_int_equal(emu_call(&f->client, AZIHSM_OP_ECC_GENERATE_KEY_PAIR, &req, &resp), AZIHSM_OK);
    len = resp.masked_key.len;
    memcpy(blob, resp.masked_key.data, len);
    assert_int_equal(azihsm_masked_key_parse((struct azihsm_bytes){blob, len}, &parsed), AZIHSM_OK);
    assert_int_equal(parsed.metadata.key_type, AZIHSM_KEY_ECC521_PRIVATE);
    assert_int_equal(parsed.metadata.key_label.len, 128);
    assert_memory_equal(parsed.metadata.key_label.data, label, 128);
    assert_true(parsed.metadata.has_key_tag);
    assert_int_equal(parsed.metadata.key_tag, 77);
    assert_int_equal(azihsm_attributes_flags(parsed.metadata.attributes),
                     AZIHSM_ATTR_LOCAL | AZIHSM_ATTR_SIGN | AZIHSM_ATTR_VERIFY);
    assert_int_equal(parsed.metadata.attributes[8] | parsed.metadata.attributes[9] << 8, 77);
    assert_memory_equal(parsed.metadata.attributes + 10, f->owner.id, 16);
    assert_int_equal(emu_delete(&f->client, resp.private_key_id), AZIHSM_OK);
    assert_int_equal(emu_unmask(&f->client, (struct azihsm_bytes){blob, len}, &copy), AZIHSM_OK);
    assert_int_equal(azihsm_masked_key_parse((struct azihsm_bytes){copy.blob, copy.blob_len}, &parsed), AZIHSM_OK);
    assert_int_equal(parsed.metadata.key_label.len, 128); /* also in the firmware's fresh masking */
    assert_int_equal(copy.blob_len, len);
    assert_int_equal(memcmp(copy.blob, blob, len) == 0, f->kind == AZIHSM_DEVICE_VIRTUAL);
    /* the unwrapping key's */
    assert_int_equal(emu_unwrapping_key(&f->client, &kek), AZIHSM_OK);
    assert_int_equal(azihsm_masked_key_parse((struct azihsm_bytes){kek.blob, kek.blob_len}, &parsed), AZIHSM_OK);
    assert_int_equal(parsed.metadata.key_type, AZIHSM_KEY_RSA2K_PRIVATE);
    assert_int_equal(azihsm_attributes_flags(parsed.metadata.attributes),
                     AZIHSM_ATTR_LOCAL | AZIHSM_ATTR_WRAP | AZIHSM_ATTR_UNWRAP);
    assert_int_equal(parsed.metadata.key_label.len, 0);
    assert_true(kek.blob_len <= 1024);
}

/* ---- unmasking ---- */

static void test_unmask_tampered(void **state)
{
    struct emu_fixture *f = *state;
    struct emu_key key, out;
    uint8_t longer[AZIHSM_MASKED_KEY_MAX];

    assert_int_equal(make(&f->client, EMU_SIGN_VERIFY, 0, &key), AZIHSM_OK);
    for (size_t i = 0; i < key.blob_len; i++) {
        key.blob[i] ^= 0x20;
        assert_int_equal(unmask_key(&f->client, &key, &out), AZIHSM_STATUS_MASKED_KEY_DECODE_FAILED);
        key.blob[i] ^= 0x20;
    }
    for (size_t len = 0; len < key.blob_len; len++)
        assert_int_equal(emu_unmask(&f->client, (struct azihsm_bytes){key.blob, len}, &out),
                         AZIHSM_STATUS_MASKED_KEY_DECODE_FAILED);
    memset(longer, 0, sizeof(longer));
    memcpy(longer, key.blob, key.blob_len);
    for (size_t extra = 1; extra < 20; extra++)
        assert_int_equal(emu_unmask(&f->client, (struct azihsm_bytes){longer, key.blob_len + extra}, &out),
                         AZIHSM_STATUS_MASKED_KEY_DECODE_FAILED);
    /* untagged keys may be duplicated */
    assert_int_equal(unmask_key(&f->client, &key, &out), AZIHSM_OK);
    assert_int_not_equal(out.id, key.id);
    assert_memory_equal(out.spki, key.spki, key.spki_len);
    assert_int_equal(sign(&f->client, out.id), AZIHSM_OK);
}

static void test_unmask_scope(void **state)
{
    struct emu_fixture *f = *state;
    struct emu_client other;
    struct emu_key key, out, kek;

    emu_attach(&other, f->device);
    emu_login_must(&other, &f->owner);
    assert_int_equal(make(&f->client, SIGN_SESSION, 0, &key), AZIHSM_OK);
    assert_int_equal(sign(&f->client, key.id), AZIHSM_OK);
    assert_int_equal(sign(&other, key.id), AZIHSM_STATUS_INVALID_PERMISSIONS);
    assert_int_equal(unmask_key(&other, &key, &out), AZIHSM_STATUS_MASKED_KEY_DECODE_FAILED); /* another SMK */
    assert_int_equal(unmask_key(&f->client, &key, &out), AZIHSM_OK);
    assert_int_equal(sign(&other, out.id), AZIHSM_STATUS_INVALID_PERMISSIONS);
    /* a new session of the same id has a new SMK */
    assert_int_equal(emu_close_session(&f->client), AZIHSM_OK);
    emu_login_must(&f->client, &f->owner);
    assert_int_equal(f->client.sess_id, 0);
    assert_int_equal(unmask_key(&f->client, &key, &out), AZIHSM_STATUS_MASKED_KEY_DECODE_FAILED);
    /* the unwrapping key's blob is not for users */
    assert_int_equal(emu_unwrapping_key(&f->client, &kek), AZIHSM_OK);
    assert_int_equal(unmask_key(&f->client, &kek, &out),
                     emu_by_kind(f, AZIHSM_STATUS_APP_NOT_FOUND, AZIHSM_STATUS_UNMASK_UNWRAPPING_KEY_NOT_ALLOWED));
    emu_detach(&other);
}

/* A blob of another credential id in the same hierarchy. */
static void test_unmask_other_app(void **state)
{
    struct emu_fixture *f = *state;
    struct emu_key key, out;

    assert_int_equal(make(&f->client, EMU_SIGN_VERIFY, 0, &key), AZIHSM_OK);
    emu_device_reset(f->device);
    f->owner.id[0] ^= 1;
    assert_int_equal(emu_establish(&f->client, &f->owner), AZIHSM_OK);
    assert_int_equal(emu_reopen_session(&f->client, &f->owner), AZIHSM_OK);
    assert_int_equal(unmask_key(&f->client, &key, &out), AZIHSM_STATUS_APP_NOT_FOUND);
}

/* Every kind there is, once around: make, unmask, compare flags. */
static void test_unmask_kinds(void **state)
{
    struct emu_fixture *f = *state;
    struct emu_client *client = &f->client;
    struct emu_key kek, peer, secret, key, out;
    struct azihsm_masked_key one, two;
    uint8_t der[3000], raw[32];
    static const uint32_t classes[] = {AZIHSM_CLASS_RSA,
                                       AZIHSM_CLASS_RSA_CRT,
                                       AZIHSM_CLASS_ECC,
                                       AZIHSM_CLASS_AES,
                                       AZIHSM_CLASS_AES_XTS_BULK,
                                       AZIHSM_CLASS_AES_GCM_BULK,
                                       AZIHSM_CLASS_AES_GCM_BULK_UNAPPROVED};
    static const uint32_t targets[] = {AZIHSM_KEY_AES192,      AZIHSM_KEY_HMAC_SHA256, AZIHSM_KEY_HMAC_SHA384,
                                       AZIHSM_KEY_HMAC_SHA512, AZIHSM_KEY_VAR_HMAC256, AZIHSM_KEY_VAR_HMAC384,
                                       AZIHSM_KEY_VAR_HMAC512};
    memset(raw, 0x42, sizeof(raw));
    assert_int_equal(emu_unwrapping_key(client, &kek), AZIHSM_OK);
    for (size_t i = 0; i < 7 + 7 + 1; i++) {
        if (i < 7) {
            bool pair = classes[i] == AZIHSM_CLASS_ECC || classes[i] <= AZIHSM_CLASS_RSA_CRT;
            size_t len = pair ? emu_pkcs8_must(classes[i], 2048, "P-384", der, sizeof(der)) : sizeof(raw);
            assert_int_equal(emu_import(client, &kek, classes[i], (struct azihsm_bytes){pair ? der : raw, len},
                                        pair ? EMU_SIGN_VERIFY : EMU_ENC_DEC, 0, &key),
                             AZIHSM_OK);
            assert_int_equal(key.spki_len > 0, pair);
        } else if (i == 7) {
            assert_int_equal(emu_ecc_generate(client, AZIHSM_CURVE_P521, AZIHSM_TKP_DERIVE, 0, &peer), AZIHSM_OK);
            assert_int_equal(emu_ecdh(client, peer.id, &peer, AZIHSM_KEY_SECRET521, AZIHSM_TKP_DERIVE, &secret),
                             AZIHSM_OK);
            key = secret;
        } else {
            uint32_t kind = targets[i - 8];
            bool var = kind >= AZIHSM_KEY_VAR_HMAC256;
            assert_int_equal(emu_derive(client, AZIHSM_OP_HKDF_DERIVE, secret.id, kind,
                                        kind == AZIHSM_KEY_AES192 ? EMU_ENC_DEC : EMU_SIGN_VERIFY, var ? 64 : -1, &key),
                             AZIHSM_OK);
        }
        assert_int_equal(unmask_key(client, &key, &out), AZIHSM_OK);
        assert_int_equal(out.kind, key.kind);
        assert_int_equal(out.has_bulk, azihsm_key_kind_is_bulk(key.kind));
        assert_int_equal(out.has_bulk ? out.bulk_id : out.id, out.id);
        assert_int_equal(out.spki_len, key.spki_len);
        assert_memory_equal(out.spki, key.spki, key.spki_len);
        assert_int_equal(azihsm_masked_key_parse((struct azihsm_bytes){key.blob, key.blob_len}, &one), AZIHSM_OK);
        assert_int_equal(azihsm_masked_key_parse((struct azihsm_bytes){out.blob, out.blob_len}, &two), AZIHSM_OK);
        assert_memory_equal(one.metadata.attributes, two.metadata.attributes, 32);
        assert_int_equal(emu_delete(client, out.id), AZIHSM_OK);
    }
}

static void test_pending_key(void **state)
{
    struct emu_config config = emu_default_config(*(const enum azihsm_device_kind *)*state);
    struct emu_device *device;
    struct emu_owner owner;
    struct emu_client client;
    struct emu_key kek;

    config.pending_key_calls = 2;
    assert_int_equal(emu_device_new(&config, NULL, 0, &device), AZIHSM_OK);
    emu_owner_init(&owner);
    emu_attach(&client, device);
    emu_provision_must(&client, &owner);
    emu_login_must(&client, &owner);
    assert_int_equal(emu_unwrapping_key(&client, &kek), AZIHSM_STATUS_PENDING_KEY_GENERATION);
    assert_int_equal(emu_unwrapping_key(&client, &kek), AZIHSM_STATUS_PENDING_KEY_GENERATION);
    assert_int_equal(emu_unwrapping_key(&client, &kek), AZIHSM_OK);
    finish(device, &owner, &client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        EMU_READY(test_numbering),
        cmocka_unit_test_prestate(test_entries, &emu_kinds[0]),
        cmocka_unit_test_prestate(test_entries, &emu_kinds[1]),
        cmocka_unit_test_prestate(test_bytes, &emu_kinds[0]),
        cmocka_unit_test_prestate(test_bytes, &emu_kinds[1]),
        EMU_READY(test_tags),
        EMU_READY(test_metadata),
        EMU_READY(test_unmask_tampered),
        EMU_READY(test_unmask_scope),
        EMU_READY(test_unmask_other_app),
        EMU_READY(test_unmask_kinds),
        cmocka_unit_test_prestate(test_pending_key, &emu_kinds[1]),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
