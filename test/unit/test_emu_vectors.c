/*
 * The key hierarchy against the vectors: a device with their secrets must accept the masked BK3, BMK, bmk_session and
 * keys that an independent program made, and use the keys (ddi-protocol 9, device-behaviour 4).
 */
#include "emu_client.h"
#include "vectors.h"

#include "crypto/kdf.h"
#include "crypto/masking.h"
#include "emulator/device.h"

#include <openssl/core_names.h>
#include <openssl/param_build.h>

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

struct scenario {
    json_t *masked, *kbkdf, *pota, *credential;
    struct emu_fixture f;
};

static bool load(struct scenario *s)
{
    s->masked = vectors_load("ddi/masked_key.json");
    s->kbkdf = vectors_load("ddi/kbkdf.json");
    s->pota = vectors_load("ddi/pota.json");
    s->credential = vectors_load("ddi/credential.json");
    return s->masked != NULL && s->kbkdf != NULL && s->pota != NULL && s->credential != NULL;
}

static const json_t *masked_case(const struct scenario *s, const char *name)
{
    return vectors_named(vectors_get(s->masked, "cases"), name);
}

static size_t blob_of(const struct scenario *s, const char *name, uint8_t *out)
{
    return vectors_hex(masked_case(s, name), "blob", out, 1024);
}

static EVP_PKEY *pota_key(const struct scenario *s)
{
    const json_t *key = vectors_get(s->pota, "pota_key");
    uint8_t point[97] = {4}, scalar[48];
    OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    EVP_PKEY *pkey = NULL;
    OSSL_PARAM *params;
    BIGNUM *d;

    vectors_hex(key, "public_x", point + 1, 48);
    vectors_hex(key, "public_y", point + 49, 48);
    vectors_hex(key, "private_scalar", scalar, 48);
    d = BN_bin2bn(scalar, sizeof(scalar), NULL);
    OSSL_PARAM_BLD_push_utf8_string(bld, OSSL_PKEY_PARAM_GROUP_NAME, "P-384", 0);
    OSSL_PARAM_BLD_push_octet_string(bld, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point));
    OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_PRIV_KEY, d);
    params = OSSL_PARAM_BLD_to_param(bld);
    assert_int_equal(EVP_PKEY_fromdata_init(ctx), 1);
    assert_int_equal(EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_KEYPAIR, params), 1);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(bld);
    EVP_PKEY_CTX_free(ctx);
    BN_free(d);
    return pkey;
}

static void power_on(struct scenario *s, enum azihsm_device_kind kind)
{
    struct emu_config config = emu_default_config(kind);
    const json_t *scenario = vectors_get(s->kbkdf, "scenario"), *bk3 = masked_case(s, "masked_bk3");
    const json_t *plain = vectors_get(vectors_named(vectors_get(s->credential, "cases"), "establish"), "plaintext");
    bool physical = kind == AZIHSM_DEVICE_PHYSICAL;
    struct emu_owner *owner = &s->f.owner;

    vectors_hex(scenario, "bks1", config.bks1, 32);
    vectors_hex(scenario, "bks2", config.bks2, 32);
    vectors_hex(bk3, "masking_key_aes", config.bk_boot, 32);
    vectors_hex(bk3, "masking_key_hmac", config.bk_boot + 32, 48);
    s->f.kind = kind;
    assert_int_equal(emu_device_new(&config, NULL, 0, &s->f.device), AZIHSM_OK);
    memset(owner, 0, sizeof(*owner));
    owner->pota = pota_key(s);
    vectors_hex(plain, "id", owner->id, 16);
    vectors_hex(plain, "pin", owner->pin, 16);
    vectors_hex(scenario, "bk3", owner->bk3, 48);
    owner->masked_bk3_len = blob_of(s, physical ? "masked_bk3_physical" : "masked_bk3", owner->masked_bk3);
    owner->bmk_len = blob_of(s, physical ? "bmk_physical" : "bmk", owner->bmk);
    emu_attach(&s->f.client, s->f.device);
    assert_int_equal(emu_establish(&s->f.client, owner), AZIHSM_OK);
}

static void power_off(struct scenario *s)
{
    emu_detach(&s->f.client);
    emu_owner_free(&s->f.owner);
    emu_device_free(s->f.device);
    json_decref(s->masked);
    json_decref(s->kbkdf);
    json_decref(s->pota);
    json_decref(s->credential);
}

static azihsm_rc unmask(const struct scenario *s, struct emu_client *client, const char *name, struct emu_key *out)
{
    uint8_t blob[1024];
    size_t len = blob_of(s, name, blob);
    return emu_unmask(client, (struct azihsm_bytes){blob, len}, out);
}

/* The key the device now holds is the one in the vector: the same result as in software. */
static void check_aes(const struct scenario *s, struct emu_client *client, const char *name, uint16_t id)
{
    uint8_t raw[32], iv[16] = {0}, zeros[16] = {0}, expected[32];
    struct azihsm_aes_crypt_req req = {id, AZIHSM_AES_ENCRYPT, {zeros, 16}, {iv, 16}};
    struct azihsm_aes_crypt_resp resp;
    EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, "AES-256-ECB", NULL);
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int len;

    vectors_hex(masked_case(s, name), "plaintext", raw, 32);
    assert_int_equal(EVP_EncryptInit_ex2(ctx, cipher, raw, NULL, NULL), 1);
    assert_int_equal(EVP_EncryptUpdate(ctx, expected, &len, zeros, 16), 1);
    EVP_CIPHER_CTX_free(ctx);
    EVP_CIPHER_free(cipher);
    assert_int_equal(emu_call(client, AZIHSM_OP_AES_ENCRYPT_DECRYPT, &req, &resp), AZIHSM_OK);
    assert_memory_equal(resp.msg.data, expected, 16);
}

static void check_hmac(const struct scenario *s, struct emu_client *client, const char *name, uint16_t id)
{
    static const uint8_t message[] = "message";
    uint8_t raw[32], expected[32];
    struct azihsm_bytes part = {message, sizeof(message)};
    struct azihsm_hmac_req req = {id, part};
    struct azihsm_hmac_resp resp;

    vectors_hex(masked_case(s, name), "plaintext", raw, 32);
    assert_int_equal(kdf_hmac(NULL, AZIHSM_HASH_SHA256, (struct azihsm_bytes){raw, 32}, &part, 1, expected), AZIHSM_OK);
    assert_int_equal(emu_call(client, AZIHSM_OP_HMAC, &req, &resp), AZIHSM_OK);
    assert_memory_equal(resp.tag.data, expected, 32);
}

static void test_app_keys(void **state)
{
    struct scenario s = {0};
    struct emu_key key;
    struct azihsm_open_key_req open = {0x1234};
    struct azihsm_open_key_resp opened;
    const json_t *item;
    size_t i;

    if (!load(&s))
        skip();
    power_on(&s, *(const enum azihsm_device_kind *)*state);
    emu_login_must(&s.f.client, &s.f.owner);
    assert_int_equal(unmask(&s, &s.f.client, "aes256_app_untagged", &key), AZIHSM_OK);
    check_aes(&s, &s.f.client, "aes256_app_untagged", key.id);
    assert_int_equal(unmask(&s, &s.f.client, "aes256_app_tag_label", &key), AZIHSM_OK);
    check_aes(&s, &s.f.client, "aes256_app_tag_label", key.id);
    assert_int_equal(emu_call(&s.f.client, AZIHSM_OP_OPEN_KEY, &open, &opened), AZIHSM_OK);
    assert_int_equal(opened.key_id, key.id);
    assert_int_equal(unmask(&s, &s.f.client, "hmac256_derived", &key), AZIHSM_OK);
    check_hmac(&s, &s.f.client, "hmac256_derived", key.id);
    assert_int_equal(unmask(&s, &s.f.client, "ecdh_secret521", &key), AZIHSM_OK);
    assert_int_equal(key.kind, AZIHSM_KEY_SECRET521);
    json_array_foreach(vectors_get(s.masked, "tampered"), i, item)
    {
        uint8_t blob[1024];
        size_t len = vectors_hex(item, "blob", blob, sizeof(blob));
        assert_int_equal(emu_unmask(&s.f.client, (struct azihsm_bytes){blob, len}, &key),
                         AZIHSM_STATUS_MASKED_KEY_DECODE_FAILED);
    }
    power_off(&s);
}

/* Their bmk_session and seed revive a session of ours: then its SMK is theirs. */
static void test_session_key(void **state)
{
    struct scenario s = {0};
    struct emu_client others[2];
    struct emu_client *client = &s.f.client;
    struct emu_key key;
    bool physical;

    if (!load(&s))
        skip();
    power_on(&s, *(const enum azihsm_device_kind *)*state);
    physical = s.f.kind == AZIHSM_DEVICE_PHYSICAL;
    for (int i = 0; i < 2; i++) {
        emu_attach(&others[i], s.f.device);
        emu_login_must(&others[i], &s.f.owner);
    }
    emu_login_must(client, &s.f.owner);
    assert_int_equal(client->sess_id, 2);
    assert_int_equal(unmask(&s, client, "aes256_session", &key), AZIHSM_STATUS_MASKED_KEY_DECODE_FAILED);
    emu_device_reset(s.f.device);
    assert_int_equal(emu_establish(client, &s.f.owner), AZIHSM_OK);
    for (int i = 0; i < 2; i++) { /* the same keys in session 1 and session 2 */
        struct emu_client *user = i == 0 ? &others[1] : client;
        vectors_hex(vectors_get(s.kbkdf, "scenario"), "session_seed", user->seed, 48);
        user->bmk_session_len = blob_of(&s, physical ? "bmk_session_physical" : "bmk_session", user->bmk_session);
        assert_int_equal(emu_reopen_session(user, &s.f.owner), AZIHSM_OK);
    }
    assert_int_equal(unmask(&s, client, "aes256_session", &key), AZIHSM_OK);
    check_aes(&s, client, "aes256_session", key.id);
    /* the blob names session 2: the simulator compares, the firmware does not */
    assert_int_equal(unmask(&s, &others[1], "aes256_session", &key),
                     emu_by_kind(&s.f, AZIHSM_STATUS_SESSION_NOT_FOUND, AZIHSM_OK));
    for (int i = 0; i < 2; i++)
        emu_detach(&others[i]);
    power_off(&s);
}

/* ---- blobs that are authentic but wrong: the masking key is known here ---- */

struct forgery {
    uint32_t kind;
    size_t key_length, plain_len;
    const uint8_t *owner;
    uint64_t flags;
    bool tagged_session;
};

static size_t forge(const struct scenario *s, const char *key_of, const struct forgery *forgery, uint8_t *out)
{
    static const uint8_t plain[1100] = {1};
    uint8_t key[80];
    struct azihsm_masked_metadata metadata = {.has_svn = true,
                                              .svn = 1,
                                              .key_type = forgery->kind,
                                              .has_key_tag = forgery->tagged_session,
                                              .key_tag = 5,
                                              .key_length = (uint16_t)forgery->key_length};
    size_t len;

    vectors_hex(masked_case(s, key_of), "masking_key_aes", key, 32);
    vectors_hex(masked_case(s, key_of), "masking_key_hmac", key + 32, 48);
    azihsm_attributes_set_flags(metadata.attributes, forgery->flags);
    memcpy(metadata.attributes + 10, forgery->owner, 16);
    assert_int_equal(
        masking_seal(NULL, key, &metadata, (struct azihsm_bytes){plain, forgery->plain_len}, out, 2048, &len),
        AZIHSM_OK);
    return len;
}

static void test_forgeries(void **state)
{
    static const uint8_t stranger[16] = {1, 2, 3};
    struct scenario s = {0};
    struct emu_key key;
    uint8_t blob[2048];

    if (!load(&s))
        skip();
    power_on(&s, *(const enum azihsm_device_kind *)*state);
    emu_login_must(&s.f.client, &s.f.owner);
    const uint8_t *us = s.f.owner.id;
    const uint64_t use = AZIHSM_ATTR_ENCRYPT | AZIHSM_ATTR_DECRYPT;
    struct {
        struct forgery forgery;
        azihsm_rc rc;
    } const cases[] = {
        {{AZIHSM_KEY_AES256, 32, 32, us, use, false}, AZIHSM_OK},
        {{AZIHSM_KEY_AES256, 32, 32, stranger, use, false}, AZIHSM_STATUS_APP_NOT_FOUND},
        {{99, 32, 32, stranger, use, false}, AZIHSM_STATUS_APP_NOT_FOUND}, /* the owner before the kind */
        {{99, 32, 32, us, use, false}, AZIHSM_STATUS_INVALID_KEY_TYPE},
        {{AZIHSM_KEY_RSA2K_PUBLIC, 260, 260, us, use, false}, AZIHSM_STATUS_INVALID_KEY_TYPE},
        {{AZIHSM_KEY_AES_CBC256_HMAC384, 80, 80, us, use, false}, AZIHSM_STATUS_INVALID_KEY_TYPE},
        {{AZIHSM_KEY_RSA_UNWRAP, 516, 516, us, use, false}, AZIHSM_STATUS_INVALID_KEY_TYPE},
        {{AZIHSM_KEY_AES256, 16, 16, us, use, false}, AZIHSM_STATUS_MASKED_KEY_DECODE_FAILED},
        {{AZIHSM_KEY_AES256, 32, 48, us, use, false}, AZIHSM_STATUS_MASKED_KEY_DECODE_FAILED},
        {{AZIHSM_KEY_AES128, 0, 16, us, use, false}, AZIHSM_STATUS_MASKED_KEY_DECODE_FAILED},
        {{AZIHSM_KEY_VAR_HMAC256, 31, 31, us, use, false}, AZIHSM_STATUS_MASKED_KEY_DECODE_FAILED},
        {{AZIHSM_KEY_ECC384_PRIVATE, 185, 185, us, use, false}, AZIHSM_STATUS_KEY_DECODE_FAILED},
        {{AZIHSM_KEY_RSA2K_PRIVATE, 539, 539, us, use, false}, AZIHSM_STATUS_KEY_DECODE_FAILED},
        {{AZIHSM_KEY_RSA2K_PRIVATE, 539, 539, device_internal_id, use, false},
         emu_by_kind(&s.f, AZIHSM_STATUS_APP_NOT_FOUND, AZIHSM_STATUS_UNMASK_UNWRAPPING_KEY_NOT_ALLOWED)},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t len = forge(&s, "aes256_app_untagged", &cases[i].forgery, blob);
        print_message("  case %zu\n", i);
        assert_int_equal(emu_unmask(&s.f.client, (struct azihsm_bytes){blob, len}, &key), cases[i].rc);
    }
    /* as MUK: right owner, wrong kind */
    const struct forgery muk = {AZIHSM_KEY_AES256, 32, 32, device_internal_id, use, false};
    emu_device_reset(s.f.device);
    s.f.owner.muk_len = forge(&s, "aes256_app_untagged", &muk, blob);
    memcpy(s.f.owner.muk, blob, s.f.owner.muk_len);
    assert_int_equal(emu_establish(&s.f.client, &s.f.owner), AZIHSM_STATUS_INVALID_KEY_TYPE);
    /* a session key with a tag: the firmware refuses, after the tag of the blob was found good */
    s.f.owner.muk_len = 0;
    assert_int_equal(emu_establish(&s.f.client, &s.f.owner), AZIHSM_OK);
    vectors_hex(vectors_get(s.kbkdf, "scenario"), "session_seed", s.f.client.seed, 48);
    s.f.client.bmk_session_len = blob_of(
        &s, s.f.kind == AZIHSM_DEVICE_PHYSICAL ? "bmk_session_physical" : "bmk_session", s.f.client.bmk_session);
    assert_int_equal(emu_reopen_session(&s.f.client, &s.f.owner), AZIHSM_OK);
    const struct forgery tagged = {AZIHSM_KEY_AES256, 32, 32, us, use | AZIHSM_ATTR_SESSION, true};
    size_t len = forge(&s, "aes256_session", &tagged, blob);
    assert_int_equal(emu_unmask(&s.f.client, (struct azihsm_bytes){blob, len}, &key),
                     emu_by_kind(&s.f, AZIHSM_OK, AZIHSM_STATUS_INVALID_ARG));
    power_off(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(test_app_keys, &emu_kinds[0]),
        cmocka_unit_test_prestate(test_app_keys, &emu_kinds[1]),
        cmocka_unit_test_prestate(test_session_key, &emu_kinds[0]),
        cmocka_unit_test_prestate(test_session_key, &emu_kinds[1]),
        cmocka_unit_test_prestate(test_forgeries, &emu_kinds[0]),
        cmocka_unit_test_prestate(test_forgeries, &emu_kinds[1]),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
