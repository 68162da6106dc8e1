/*
 * RsaModExp and RsaUnwrap: every check in its order, all classes and sizes (device-behaviour 5.6, 8).
 */
#include "emu_client.h"

#include "crypto/wrap.h"

#include <openssl/core_names.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static azihsm_rc mod_exp(struct emu_client *client, uint16_t id, const uint8_t *y, size_t len, uint32_t op, uint8_t *x)
{
    struct azihsm_rsa_mod_exp_req req = {id, {y, len}, op};
    struct azihsm_rsa_mod_exp_resp resp;
    azihsm_rc rc = emu_call(client, AZIHSM_OP_RSA_MOD_EXP, &req, &resp);
    if (rc == AZIHSM_OK) {
        assert_int_equal(resp.x.len, len);
        if (x != NULL)
            memcpy(x, resp.x.data, len);
    }
    return rc;
}

static void modulus(const struct emu_key *key, uint8_t *n, size_t len)
{
    EVP_PKEY *pkey = emu_public_must(key);
    BIGNUM *bn = NULL;
    assert_int_equal(EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_N, &bn), 1);
    assert_int_equal(BN_bn2binpad(bn, n, (int)len), (int)len);
    BN_free(bn);
    EVP_PKEY_free(pkey);
}

/* x^e mod n with the public half */
static void encrypt_raw(const struct emu_key *key, const uint8_t *x, uint8_t *y, size_t len)
{
    EVP_PKEY *pkey = emu_public_must(key);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL);
    size_t out = len;
    assert_int_equal(EVP_PKEY_encrypt_init(ctx), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_NO_PADDING), 1);
    assert_int_equal(EVP_PKEY_encrypt(ctx, y, &out, x, len), 1);
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(pkey);
}

static void test_mod_exp(void **state)
{
    struct emu_fixture *f = *state;
    static const unsigned sizes[] = {2048, 3072, 4096};
    uint8_t der[3000], x[512], y[512], back[512], crt[512];
    struct emu_key kek, plain, with_crt;

    assert_int_equal(emu_unwrapping_key(&f->client, &kek), AZIHSM_OK);
    for (size_t i = 0; i < 3; i++) {
        size_t size = sizes[i] / 8, len = emu_pkcs8_must(AZIHSM_CLASS_RSA, sizes[i], NULL, der, sizeof(der));
        struct azihsm_bytes blob = {der, len};
        assert_int_equal(emu_import(&f->client, &kek, AZIHSM_CLASS_RSA, blob, EMU_SIGN_VERIFY, 0, &plain), AZIHSM_OK);
        assert_int_equal(emu_import(&f->client, &kek, AZIHSM_CLASS_RSA_CRT, blob, EMU_ENC_DEC, 0, &with_crt),
                         AZIHSM_OK);
        assert_int_equal(plain.kind, AZIHSM_KEY_RSA2K_PRIVATE + i);
        assert_int_equal(with_crt.kind, AZIHSM_KEY_RSA2K_PRIVATE_CRT + i);
        assert_memory_equal(plain.spki, with_crt.spki, plain.spki_len);
        memset(x, 1, sizeof(x));
        encrypt_raw(&plain, x, y, size);
        assert_int_equal(mod_exp(&f->client, plain.id, y, size, AZIHSM_RSA_SIGN, back), AZIHSM_OK);
        assert_memory_equal(back, x, size);
        assert_int_equal(mod_exp(&f->client, with_crt.id, y, size, AZIHSM_RSA_DECRYPT, crt), AZIHSM_OK);
        assert_memory_equal(crt, x, size);
        /* permissions by operation */
        assert_int_equal(mod_exp(&f->client, plain.id, y, size, AZIHSM_RSA_DECRYPT, NULL),
                         AZIHSM_STATUS_INVALID_PERMISSIONS);
        assert_int_equal(mod_exp(&f->client, with_crt.id, y, size, AZIHSM_RSA_SIGN, NULL),
                         AZIHSM_STATUS_INVALID_PERMISSIONS);
        assert_int_equal(emu_delete(&f->client, plain.id), AZIHSM_OK);
        assert_int_equal(emu_delete(&f->client, with_crt.id), AZIHSM_OK);
    }
}

static void test_mod_exp_checks(void **state)
{
    struct emu_fixture *f = *state;
    azihsm_rc range = emu_by_kind(f, AZIHSM_STATUS_RSA_DECRYPT_FAILED, AZIHSM_STATUS_INVALID_ARG);
    uint8_t der[3000], y[512], n[256];
    size_t len = emu_pkcs8_must(AZIHSM_CLASS_RSA, 2048, NULL, der, sizeof(der));
    struct emu_key kek, rsa, ecc, aes;

    assert_int_equal(emu_unwrapping_key(&f->client, &kek), AZIHSM_OK);
    memset(y, 1, sizeof(y));
    assert_int_equal(mod_exp(&f->client, 99, y, 256, AZIHSM_RSA_SIGN, NULL), AZIHSM_STATUS_KEY_NOT_FOUND);
    assert_int_equal(mod_exp(&f->client, kek.id, y, 256, AZIHSM_RSA_DECRYPT, NULL), AZIHSM_STATUS_INVALID_PERMISSIONS);
    assert_int_equal(emu_ecc_generate(&f->client, AZIHSM_CURVE_P256, EMU_SIGN_VERIFY, 0, &ecc), AZIHSM_OK);
    assert_int_equal(mod_exp(&f->client, ecc.id, y, 256, AZIHSM_RSA_SIGN, NULL), AZIHSM_STATUS_INVALID_KEY_TYPE);
    assert_int_equal(emu_aes_generate(&f->client, AZIHSM_AES_SIZE_256, EMU_ENC_DEC, 0, &aes), AZIHSM_OK);
    assert_int_equal(mod_exp(&f->client, aes.id, y, 256, AZIHSM_RSA_DECRYPT, NULL), AZIHSM_STATUS_INVALID_KEY_TYPE);
    for (uint32_t class = AZIHSM_CLASS_RSA; class <= AZIHSM_CLASS_RSA_CRT; class ++) {
        assert_int_equal(emu_import(&f->client, &kek, class, (struct azihsm_bytes){der, len}, EMU_SIGN_VERIFY, 0, &rsa),
                         AZIHSM_OK);
        assert_int_equal(mod_exp(&f->client, rsa.id, y, 256, 0, NULL), AZIHSM_STATUS_INVALID_ARG);
        assert_int_equal(mod_exp(&f->client, rsa.id, y, 256, 3, NULL), AZIHSM_STATUS_INVALID_ARG);
        assert_int_equal(mod_exp(&f->client, rsa.id, y, 256, AZIHSM_RSA_SIGN, NULL), AZIHSM_OK); /* all bytes 01 */
        assert_int_equal(mod_exp(&f->client, rsa.id, y, 255, AZIHSM_RSA_SIGN, NULL), range);
        assert_int_equal(mod_exp(&f->client, rsa.id, y, 257, AZIHSM_RSA_SIGN, NULL), range);
        assert_int_equal(mod_exp(&f->client, rsa.id, y, 512, AZIHSM_RSA_SIGN, NULL), range);
        assert_int_equal(mod_exp(&f->client, rsa.id, y, 0, AZIHSM_RSA_SIGN, NULL), range);
        modulus(&rsa, n, sizeof(n));
        assert_int_equal(mod_exp(&f->client, rsa.id, n, 256, AZIHSM_RSA_SIGN, NULL), range);
        n[255] ^= 1; /* n is odd: n - 1 */
        assert_int_equal(mod_exp(&f->client, rsa.id, n, 256, AZIHSM_RSA_SIGN, NULL),
                         emu_by_kind(f, AZIHSM_OK, AZIHSM_STATUS_INVALID_ARG));
        memset(n, 0xFF, sizeof(n));
        assert_int_equal(mod_exp(&f->client, rsa.id, n, 256, AZIHSM_RSA_SIGN, NULL), range);
        memset(n, 0, sizeof(n));
        assert_int_equal(mod_exp(&f->client, rsa.id, n, 256, AZIHSM_RSA_SIGN, NULL),
                         emu_by_kind(f, AZIHSM_OK, AZIHSM_STATUS_INVALID_ARG));
        n[255] = 1;
        assert_int_equal(mod_exp(&f->client, rsa.id, n, 256, AZIHSM_RSA_SIGN, NULL),
                         emu_by_kind(f, AZIHSM_OK, AZIHSM_STATUS_INVALID_ARG));
        n[255] = 2;
        assert_int_equal(mod_exp(&f->client, rsa.id, n, 256, AZIHSM_RSA_SIGN, NULL), AZIHSM_OK);
    }
}

/* ---- import ---- */

struct import {
    struct azihsm_rsa_unwrap_req req;
    uint8_t blob[AZIHSM_WRAPPED_BLOB_MAX];
};

static void wrap(const struct emu_key *kek, uint32_t hash, struct azihsm_bytes plain, struct import *out)
{
    EVP_PKEY *pkey = emu_public_must(kek);
    memset(&out->req, 0, sizeof(out->req));
    out->req.key_id = kek->id;
    out->req.wrapped_blob.data = out->blob;
    out->req.padding = AZIHSM_PADDING_OAEP;
    out->req.hash = hash;
    out->req.key_class = AZIHSM_CLASS_AES;
    out->req.key_props = emu_props(EMU_ENC_DEC);
    assert_int_equal(wrap_seal(NULL, pkey, hash, plain, out->blob, sizeof(out->blob), &out->req.wrapped_blob.len),
                     AZIHSM_OK);
    EVP_PKEY_free(pkey);
}

static azihsm_rc import(struct emu_client *client, const struct import *import)
{
    return emu_call(client, AZIHSM_OP_RSA_UNWRAP, &import->req, NULL);
}

static void test_unwrap_sizes(void **state)
{
    struct emu_fixture *f = *state;
    uint8_t raw[64], der[3000];
    struct emu_key kek, key;
    struct import in;
    struct {
        uint32_t class;
        size_t len;
        azihsm_rc rc;
    } const cases[] = {
        {AZIHSM_CLASS_AES, 16, AZIHSM_OK},
        {AZIHSM_CLASS_AES, 24, AZIHSM_OK},
        {AZIHSM_CLASS_AES, 32, AZIHSM_OK},
        {AZIHSM_CLASS_AES, 20, AZIHSM_STATUS_AES_INVALID_KEY_LENGTH},
        {AZIHSM_CLASS_AES, 64, AZIHSM_STATUS_AES_INVALID_KEY_LENGTH},
        {AZIHSM_CLASS_AES_XTS_BULK, 32, AZIHSM_OK},
        {AZIHSM_CLASS_AES_XTS_BULK, 64, AZIHSM_STATUS_AES_INVALID_KEY_LENGTH},
        {AZIHSM_CLASS_AES_GCM_BULK, 32, AZIHSM_OK},
        {AZIHSM_CLASS_AES_GCM_BULK, 16, AZIHSM_STATUS_AES_INVALID_KEY_LENGTH},
        {AZIHSM_CLASS_AES_GCM_BULK_UNAPPROVED, 32, AZIHSM_OK},
        {AZIHSM_CLASS_RSA, 32, AZIHSM_STATUS_KEY_DECODE_FAILED},
        {AZIHSM_CLASS_ECC, 32, AZIHSM_STATUS_KEY_DECODE_FAILED},
    };
    static const char *const groups[] = {"P-256", "P-384", "P-521"};

    memset(raw, 0x11, sizeof(raw));
    assert_int_equal(emu_unwrapping_key(&f->client, &kek), AZIHSM_OK);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        bool pair = cases[i].class == AZIHSM_CLASS_RSA || cases[i].class == AZIHSM_CLASS_ECC;
        wrap(&kek, AZIHSM_HASH_SHA384, (struct azihsm_bytes){raw, cases[i].len}, &in);
        in.req.key_class = cases[i].class;
        in.req.key_props = emu_props(pair ? EMU_SIGN_VERIFY : EMU_ENC_DEC);
        assert_int_equal(import(&f->client, &in), cases[i].rc);
    }
    for (size_t i = 0; i < 3; i++) {
        size_t len = emu_pkcs8_must(AZIHSM_CLASS_ECC, 0, groups[i], der, sizeof(der));
        assert_int_equal(
            emu_import(&f->client, &kek, AZIHSM_CLASS_ECC, (struct azihsm_bytes){der, len}, AZIHSM_TKP_DERIVE, 0, &key),
            AZIHSM_OK);
        assert_int_equal(key.kind, AZIHSM_KEY_ECC256_PRIVATE + i);
        /* of another class */
        assert_int_equal(
            emu_import(&f->client, &kek, AZIHSM_CLASS_RSA, (struct azihsm_bytes){der, len}, EMU_SIGN_VERIFY, 0, &key),
            AZIHSM_STATUS_KEY_DECODE_FAILED);
    }
    size_t len = emu_pkcs8_must(AZIHSM_CLASS_RSA, 1024, NULL, der, sizeof(der));
    assert_int_equal(
        emu_import(&f->client, &kek, AZIHSM_CLASS_RSA, (struct azihsm_bytes){der, len}, EMU_SIGN_VERIFY, 0, &key),
        AZIHSM_STATUS_RSA_INVALID_KEY_LENGTH);
}

static void test_unwrap_hashes(void **state)
{
    struct emu_fixture *f = *state;
    uint8_t raw[32] = {3};
    struct emu_key kek;
    struct import in;

    assert_int_equal(emu_unwrapping_key(&f->client, &kek), AZIHSM_OK);
    for (uint32_t hash = AZIHSM_HASH_SHA1; hash <= AZIHSM_HASH_SHA512; hash++) {
        wrap(&kek, hash, (struct azihsm_bytes){raw, 32}, &in);
        assert_int_equal(import(&f->client, &in), AZIHSM_OK);
        in.req.hash = hash % 4 + 1; /* announced with another hash */
        assert_int_equal(import(&f->client, &in), AZIHSM_STATUS_RSA_UNWRAP_OAEP_DECODE_FAILED);
        in.req.hash = hash;
        in.blob[300 - 20] ^= 1; /* the key wrap part */
        assert_int_equal(import(&f->client, &in), AZIHSM_STATUS_RSA_UNWRAP_AES_UNWRAP_FAILED);
        in.blob[300 - 20] ^= 1;
        in.blob[17] ^= 1; /* the RSA part */
        assert_int_equal(import(&f->client, &in), AZIHSM_STATUS_RSA_UNWRAP_OAEP_DECODE_FAILED);
        in.blob[17] ^= 1;
        in.req.wrapped_blob.len = 256;
        assert_int_equal(import(&f->client, &in), AZIHSM_STATUS_RSA_UNWRAP_AES_UNWRAP_FAILED);
        in.req.wrapped_blob.len = 264;
        assert_int_equal(import(&f->client, &in), AZIHSM_STATUS_RSA_UNWRAP_AES_UNWRAP_FAILED);
        if (f->kind == AZIHSM_DEVICE_VIRTUAL) { /* the physical client refuses to encode it */
            in.req.wrapped_blob.len = 255;
            assert_int_equal(import(&f->client, &in), AZIHSM_STATUS_RSA_UNWRAP_INVALID_REQUEST);
            in.req.wrapped_blob.len = 0;
            assert_int_equal(import(&f->client, &in), AZIHSM_STATUS_RSA_UNWRAP_INVALID_REQUEST);
        }
    }
}

static void test_unwrap_checks(void **state)
{
    struct emu_fixture *f = *state;
    uint8_t raw[32] = {3}, der[3000];
    struct emu_key kek, rsa, ecc;
    struct import in;
    size_t len = emu_pkcs8_must(AZIHSM_CLASS_RSA, 2048, NULL, der, sizeof(der));

    assert_int_equal(emu_unwrapping_key(&f->client, &kek), AZIHSM_OK);
    wrap(&kek, AZIHSM_HASH_SHA256, (struct azihsm_bytes){raw, 32}, &in);
    in.req.key_id = 99;
    assert_int_equal(import(&f->client, &in), AZIHSM_STATUS_KEY_NOT_FOUND);
    assert_int_equal(emu_ecc_generate(&f->client, AZIHSM_CURVE_P256, EMU_SIGN_VERIFY, 0, &ecc), AZIHSM_OK);
    in.req.key_id = ecc.id;
    assert_int_equal(import(&f->client, &in), AZIHSM_STATUS_INVALID_PERMISSIONS);
    in.req.key_id = kek.id;
    in.req.hash = 0;
    assert_int_equal(import(&f->client, &in), AZIHSM_STATUS_INVALID_ARG);
    in.req.hash = AZIHSM_HASH_SHA256;
    in.req.padding = 2;
    assert_int_equal(import(&f->client, &in), AZIHSM_STATUS_INVALID_ARG);
    in.req.padding = AZIHSM_PADDING_OAEP;
    in.req.key_class = 8;
    assert_int_equal(import(&f->client, &in), AZIHSM_STATUS_INVALID_ARG);
    in.req.key_class = AZIHSM_CLASS_AES;
    static const uint32_t bad[] = {EMU_SIGN_VERIFY, AZIHSM_TKP_DERIVE, AZIHSM_TKP_UNWRAP, AZIHSM_TKP_ENCRYPT, 0};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        in.req.key_props = emu_props(bad[i]);
        assert_int_equal(import(&f->client, &in), AZIHSM_STATUS_INVALID_PERMISSIONS);
    }
    in.req.key_props = emu_props(EMU_ENC_DEC);
    in.req.has_key_tag = true;
    assert_int_equal(import(&f->client, &in), AZIHSM_STATUS_INVALID_ARG);
    in.req.key_tag = 5;
    in.req.key_props = emu_props(EMU_ENC_DEC | AZIHSM_TKP_SESSION);
    assert_int_equal(import(&f->client, &in), AZIHSM_STATUS_INVALID_ARG);
    in.req.key_props = emu_props(EMU_ENC_DEC);
    assert_int_equal(import(&f->client, &in), AZIHSM_OK);
    assert_int_equal(import(&f->client, &in), AZIHSM_STATUS_KEY_TAG_ALREADY_EXISTS);
    /* a KEK of the user's own: the simulator takes any plain RSA key that unwraps */
    assert_int_equal(
        emu_import(&f->client, &kek, AZIHSM_CLASS_RSA, (struct azihsm_bytes){der, len}, AZIHSM_TKP_UNWRAP, 0, &rsa),
        emu_by_kind(f, AZIHSM_OK, AZIHSM_STATUS_INVALID_PERMISSIONS));
    if (f->kind == AZIHSM_DEVICE_VIRTUAL) {
        struct emu_key again;
        assert_int_equal(
            emu_import(&f->client, &rsa, AZIHSM_CLASS_AES, (struct azihsm_bytes){raw, 32}, EMU_ENC_DEC, 0, &again),
            AZIHSM_OK);
        assert_int_equal(emu_import(&f->client, &kek, AZIHSM_CLASS_RSA_CRT, (struct azihsm_bytes){der, len},
                                    AZIHSM_TKP_UNWRAP, 0, &rsa),
                         AZIHSM_OK);
        assert_int_equal(
            emu_import(&f->client, &rsa, AZIHSM_CLASS_AES, (struct azihsm_bytes){raw, 32}, EMU_ENC_DEC, 0, &again),
            AZIHSM_STATUS_RSA_UNWRAP_INVALID_KEK);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        EMU_READY(test_mod_exp),       EMU_READY(test_mod_exp_checks), EMU_READY(test_unwrap_sizes),
        EMU_READY(test_unwrap_hashes), EMU_READY(test_unwrap_checks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
