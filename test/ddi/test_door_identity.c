/*
 * Who the device is (device-behaviour 2.3, 2.5, 7): the bytes of key reports one by one, COSE keys against the public
 * keys the device answered, certificate chains through OpenSSL's path validation, the thumbprint, the signature over
 * encryption keys; and what of it a reset changes.
 */
#include "door.h"

#include "emu_client.h"
#include "judge.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { KEY_FIELD = 525, CERTIFICATES_MAX = 15, DIGEST = 32 };

/* ---- reading bytes one by one ---- */

struct cursor {
    const uint8_t *at;
    size_t left;
};

static const uint8_t *take(struct cursor *cursor, size_t len)
{
    const uint8_t *bytes = cursor->at;

    assert_true(len <= cursor->left);
    cursor->at += len;
    cursor->left -= len;
    return bytes;
}

static void expect_bytes(struct cursor *cursor, const char *hex)
{
    for (; hex[0] != '\0'; hex += 2) {
        unsigned value;

        assert_int_equal(sscanf(hex, "%2x", &value), 1);
        assert_int_equal(*take(cursor, 1), value);
    }
}

/* A CBOR head of that major type in its shortest form. */
static uint64_t head(struct cursor *cursor, unsigned major)
{
    uint8_t first = *take(cursor, 1);
    unsigned size = first & 31;
    uint64_t value = 0;

    assert_int_equal(first >> 5, major);
    if (size < 24)
        return size;
    assert_true(size <= 26);
    for (unsigned i = 0; i < 1u << (size - 24); i++)
        value = value << 8 | *take(cursor, 1);
    assert_true(value >= (size == 24 ? 24u : size == 25 ? 256u : 65536u)); /* deterministic */
    return value;
}

static const uint8_t *string(struct cursor *cursor, size_t len)
{
    assert_int_equal(head(cursor, 2), len);
    return take(cursor, len);
}

struct claims {
    uint8_t key[KEY_FIELD];
    uint64_t key_size, flags;
    uint8_t app[16], data[128], vm[16];
};

static void expect_signature(EVP_PKEY *leaf, struct azihsm_bytes payload_item, const uint8_t raw[96])
{
    static const uint8_t start[] = "\x84\x6aSignature1\x56\xa2\x01\x38\x22\x03\x70"
                                   "application/cbor\x40";
    uint8_t message[1024], digest[48], spki[AZIHSM_PUB_KEY_MAX];
    size_t len = sizeof(start) - 1;

    memcpy(message, start, len);
    memcpy(message + len, payload_item.data, payload_item.len);
    assert_int_equal(EVP_Q_digest(NULL, "SHA384", NULL, message, len + payload_item.len, digest, NULL), 1);
    len = judge_spki(leaf, spki, sizeof(spki));
    assert_true(judge_ecdsa(BYTES(spki, len), BYTES(digest, sizeof(digest)), raw, 96));
}

static void read_report(struct azihsm_bytes report, EVP_PKEY *leaf, struct claims *out)
{
    struct cursor cursor = {report.data, report.len}, inner;
    struct azihsm_bytes payload;

    assert_true(report.len <= AZIHSM_REPORT_MAX);
    expect_bytes(&cursor, "d28456a20138220370");
    expect_bytes(&cursor, "6170706c69636174696f6e2f63626f72a0");
    payload.data = cursor.at;
    inner.left = head(&cursor, 2);
    inner.at = take(&cursor, inner.left);
    payload.len = (size_t)(cursor.at - payload.data);
    expect_signature(leaf, payload, string(&cursor, 96));
    assert_int_equal(cursor.left, 0);
    expect_bytes(&inner, "a7000101");
    memcpy(out->key, string(&inner, KEY_FIELD), KEY_FIELD);
    expect_bytes(&inner, "02");
    out->key_size = head(&inner, 0);
    expect_bytes(&inner, "03");
    out->flags = head(&inner, 0);
    expect_bytes(&inner, "04");
    memcpy(out->app, string(&inner, 16), 16);
    expect_bytes(&inner, "05");
    memcpy(out->data, string(&inner, 128), 128);
    expect_bytes(&inner, "06");
    memcpy(out->vm, string(&inner, 16), 16);
    assert_int_equal(inner.left, 0);
    for (size_t i = out->key_size; i < KEY_FIELD; i++)
        assert_int_equal(out->key[i], 0);
}

static void attest_must(struct emu_fixture *f, uint16_t id, struct claims *out)
{
    uint8_t data[128], report[AZIHSM_REPORT_MAX];
    struct azihsm_attest_key_req req = {id, {data, sizeof(data)}};
    struct azihsm_attest_key_resp resp;
    EVP_PKEY *leaf;
    size_t len;

    assert_int_equal(RAND_bytes(data, sizeof(data)), 1);
    assert_int_equal(emu_call(&f->client, AZIHSM_OP_ATTEST_KEY, &req, &resp), AZIHSM_OK);
    len = resp.report.len;
    memcpy(report, resp.report.data, len);
    leaf = emu_leaf_must(&f->client);
    read_report((struct azihsm_bytes){report, len}, leaf, out);
    EVP_PKEY_free(leaf);
    assert_memory_equal(out->data, data, sizeof(data));
    assert_memory_equal(out->app, f->owner.id, 16);
    if (f->kind == AZIHSM_DEVICE_VIRTUAL)
        for (size_t i = 0; i < 16; i++)
            assert_int_equal(out->vm[i], 0);
}

static void expect_number(const char *name, EVP_PKEY *key, const uint8_t *data, size_t len)
{
    BIGNUM *want = NULL, *got = BN_bin2bn(data, (int)len, NULL);

    assert_int_equal(EVP_PKEY_get_bn_param(key, name, &want), 1);
    assert_int_equal(BN_cmp(want, got), 0);
    BN_free(want);
    BN_free(got);
}

static void expect_cose_key(const struct emu_fixture *f, const struct claims *claims, const struct emu_key *key)
{
    struct cursor cursor = {claims->key, claims->key_size};
    EVP_PKEY *public = emu_public_must(key);

    if (EVP_PKEY_is_a(public, "RSA")) {
        size_t size = (size_t)EVP_PKEY_get_size(public), e_len = f->kind == AZIHSM_DEVICE_VIRTUAL ? 3 : 4;

        expect_bytes(&cursor, "a3010320");
        expect_number(OSSL_PKEY_PARAM_RSA_N, public, string(&cursor, size), size);
        expect_bytes(&cursor, "21");
        expect_number(OSSL_PKEY_PARAM_RSA_E, public, string(&cursor, e_len), e_len);
    } else {
        size_t size = ((size_t)EVP_PKEY_get_bits(public) + 7) / 8;

        expect_bytes(&cursor, "a4010220");
        assert_int_equal(head(&cursor, 0), size == 32 ? 1 : size == 48 ? 2 : 3);
        expect_bytes(&cursor, "21");
        expect_number(OSSL_PKEY_PARAM_EC_PUB_X, public, string(&cursor, size), size);
        expect_bytes(&cursor, "22");
        expect_number(OSSL_PKEY_PARAM_EC_PUB_Y, public, string(&cursor, size), size);
    }
    assert_int_equal(cursor.left, 0);
    EVP_PKEY_free(public);
}

enum flag {
    IMPORTED = 1,
    SESSION = 2,
    GENERATED = 4,
    ENCRYPT = 8,
    DECRYPT = 16,
    SIGN = 32,
    VERIFY = 64,
    UNWRAP = 256,
    DERIVE = 512
};

static void expect_report(struct emu_fixture *f, const struct emu_key *key, uint64_t flags)
{
    struct claims claims;

    attest_must(f, key->id, &claims);
    assert_int_equal(claims.flags, flags);
    if (key->spki_len != 0) {
        expect_cose_key(f, &claims, key);
        return;
    }
    assert_int_equal(claims.key_size, 0);
}

static void test_reports_of_pairs(void **state)
{
    static const struct {
        uint32_t key_class;
        unsigned bits;
        const char *group;
        uint32_t usage;
        uint64_t flags;
    } imports[] = {
        {AZIHSM_CLASS_RSA, 2048, NULL, EMU_SIGN_VERIFY, SIGN | VERIFY},
        {AZIHSM_CLASS_RSA_CRT, 3072, NULL, EMU_ENC_DEC, ENCRYPT | DECRYPT},
        {AZIHSM_CLASS_RSA, 4096, NULL, EMU_ENC_DEC, ENCRYPT | DECRYPT},
        {AZIHSM_CLASS_ECC, 0, "P-256", EMU_SIGN_VERIFY, SIGN | VERIFY},
        {AZIHSM_CLASS_ECC, 0, "P-521", AZIHSM_TKP_DERIVE, DERIVE},
    };
    struct emu_fixture *f = *state;
    struct emu_key kek, key;

    assert_int_equal(emu_unwrapping_key(&f->client, &kek), AZIHSM_OK);
    expect_report(f, &kek, GENERATED | UNWRAP);
    for (uint32_t curve = 1; curve <= 3; curve++) {
        uint32_t scope = curve == 3 ? AZIHSM_TKP_SESSION : 0;

        assert_int_equal(emu_ecc_generate(&f->client, curve, EMU_SIGN_VERIFY | scope, 0, &key), AZIHSM_OK);
        expect_report(f, &key, GENERATED | SIGN | VERIFY | (scope != 0 ? SESSION : 0));
        assert_int_equal(emu_ecc_generate(&f->client, curve, AZIHSM_TKP_DERIVE | scope, 0, &key), AZIHSM_OK);
        expect_report(f, &key, GENERATED | DERIVE | (scope != 0 ? SESSION : 0));
    }
    for (size_t i = 0; i < sizeof(imports) / sizeof(imports[0]); i++) {
        uint8_t plain[AZIHSM_WRAPPED_BLOB_MAX];
        size_t len = emu_pkcs8_must(imports[i].key_class, imports[i].bits, imports[i].group, plain, sizeof(plain));

        assert_int_equal(emu_import(&f->client, &kek, imports[i].key_class, (struct azihsm_bytes){plain, len},
                                    imports[i].usage, 0, &key),
                         AZIHSM_OK);
        expect_report(f, &key, IMPORTED | imports[i].flags);
    }
}

/* 7.3, the table of the physical profile; the virtual one refuses. */
static void test_reports_of_symmetric(void **state)
{
    struct emu_fixture *f = *state;
    struct emu_key ecc, keys[12];
    uint64_t flags[12];
    size_t count = 0;

    for (uint32_t size = 1; size <= 6; size++) {
        uint32_t scope = size % 2 == 0 ? AZIHSM_TKP_SESSION : 0;

        assert_int_equal(emu_aes_generate(&f->client, size, EMU_ENC_DEC | scope, 0, &keys[count]), AZIHSM_OK);
        flags[count++] = (size <= 3 ? GENERATED : IMPORTED) | ENCRYPT | DECRYPT | (scope != 0 ? SESSION : 0);
    }
    assert_int_equal(emu_ecc_generate(&f->client, 1, AZIHSM_TKP_DERIVE, 0, &ecc), AZIHSM_OK);
    assert_int_equal(emu_ecdh(&f->client, ecc.id, &ecc, AZIHSM_KEY_SECRET256, AZIHSM_TKP_DERIVE, &keys[count]),
                     AZIHSM_OK);
    flags[count++] = GENERATED | DERIVE;
    uint16_t secret = keys[count - 1].id;
    for (uint32_t kind = AZIHSM_KEY_HMAC_SHA256; kind <= AZIHSM_KEY_HMAC_SHA512; kind++) {
        assert_int_equal(emu_derive(&f->client, AZIHSM_OP_HKDF_DERIVE, secret, kind, EMU_SIGN_VERIFY, -1, &keys[count]),
                         AZIHSM_OK);
        flags[count++] = GENERATED;
    }
    assert_int_equal(emu_derive(&f->client, AZIHSM_OP_KBKDF_COUNTER_HMAC_DERIVE, secret, AZIHSM_KEY_VAR_HMAC384,
                                EMU_SIGN_VERIFY | AZIHSM_TKP_SESSION, 99, &keys[count]),
                     AZIHSM_OK);
    flags[count++] = GENERATED | SESSION;
    assert_int_equal(
        emu_derive(&f->client, AZIHSM_OP_HKDF_DERIVE, secret, AZIHSM_KEY_AES256, EMU_ENC_DEC, -1, &keys[count]),
        AZIHSM_OK);
    flags[count++] = GENERATED | ENCRYPT | DECRYPT;
    for (size_t i = 0; i < count; i++) {
        struct azihsm_attest_key_req req = {keys[i].id, {(const uint8_t[128]){0}, 128}};

        if (f->kind == AZIHSM_DEVICE_VIRTUAL)
            assert_int_equal(emu_call(&f->client, AZIHSM_OP_ATTEST_KEY, &req, NULL), AZIHSM_STATUS_INVALID_KEY_TYPE);
        else
            expect_report(f, &keys[i], flags[i]);
    }
}

/* ---- the chain ---- */

struct chain {
    unsigned count;
    uint8_t thumbprint[DIGEST];
    uint8_t der[CERTIFICATES_MAX][AZIHSM_CERTIFICATE_MAX];
    size_t len[CERTIFICATES_MAX];
};

static struct chain *chain_must(struct emu_client *client)
{
    struct chain *chain = calloc(1, sizeof(*chain));
    struct azihsm_cert_chain_info_req info_req = {0};
    struct azihsm_cert_chain_info_resp info;
    struct azihsm_certificate_resp resp;

    assert_int_equal(emu_call(client, AZIHSM_OP_GET_CERT_CHAIN_INFO, &info_req, &info), AZIHSM_OK);
    assert_int_equal(info.thumbprint.len, DIGEST);
    memcpy(chain->thumbprint, info.thumbprint.data, DIGEST);
    chain->count = info.num_certs;
    assert_true(chain->count <= CERTIFICATES_MAX);
    for (unsigned i = 0; i < chain->count; i++) {
        struct azihsm_certificate_req req = {0, (uint8_t)i};

        assert_int_equal(emu_call(client, AZIHSM_OP_GET_CERTIFICATE, &req, &resp), AZIHSM_OK);
        memcpy(chain->der[i], resp.certificate.data, resp.certificate.len);
        chain->len[i] = resp.certificate.len;
    }
    assert_int_equal(emu_call(client, AZIHSM_OP_GET_CERT_CHAIN_INFO, &info_req, &info), AZIHSM_OK);
    assert_memory_equal(info.thumbprint.data, chain->thumbprint, DIGEST);
    return chain;
}

static X509 *certificate(const struct chain *chain, unsigned index)
{
    const unsigned char *der = chain->der[index];
    X509 *result = d2i_X509(NULL, &der, (long)chain->len[index]);

    assert_non_null(result);
    assert_ptr_equal(der, chain->der[index] + chain->len[index]);
    return result;
}

static void sha256(const uint8_t *data, size_t len, uint8_t out[DIGEST])
{
    assert_int_equal(EVP_Q_digest(NULL, "SHA256", NULL, data, len, out, NULL), 1);
}

static void expect_thumbprint(const struct chain *chain, bool sim)
{
    uint8_t parts[CERTIFICATES_MAX][DIGEST], three[3][DIGEST], out[DIGEST];
    unsigned count = chain->count;

    for (unsigned i = 0; i < count; i++)
        sha256(chain->der[i], chain->len[i], parts[i]);
    if (sim) {
        assert_memory_equal(chain->thumbprint, parts[0], DIGEST);
        return;
    }
    sha256(parts[0], (count - 2) * (size_t)DIGEST, three[0]);
    memcpy(three[1], parts[count - 2], DIGEST);
    memcpy(three[2], parts[count - 1], DIGEST);
    sha256(three[0], sizeof(three), out);
    assert_memory_equal(chain->thumbprint, out, DIGEST);
}

/* Standard path validation with index 0 as the only anchor. */
static void expect_path(const struct chain *chain)
{
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    STACK_OF(X509) *between = sk_X509_new_null();
    X509 *root = certificate(chain, 0), *leaf = certificate(chain, chain->count - 1);

    for (unsigned i = 1; i + 1 < chain->count; i++)
        sk_X509_push(between, certificate(chain, i));
    X509_STORE_add_cert(store, root);
    X509_STORE_CTX_init(ctx, store, leaf, between);
    X509_VERIFY_PARAM_set_flags(X509_STORE_CTX_get0_param(ctx), X509_V_FLAG_X509_STRICT);
    if (X509_verify_cert(ctx) != 1)
        fail_msg("%s", X509_verify_cert_error_string(X509_STORE_CTX_get_error(ctx)));
    assert_int_equal(sk_X509_num(X509_STORE_CTX_get0_chain(ctx)), chain->count);
    X509_STORE_CTX_free(ctx);
    X509_STORE_free(store);
    sk_X509_pop_free(between, X509_free);
    X509_free(root);
    X509_free(leaf);
}

static void common_name(X509_NAME *name, char *out, size_t cap)
{
    assert_true(X509_NAME_get_text_by_NID(name, NID_commonName, out, (int)cap) > 0);
}

/* 7.4, FW leaf. */
static void expect_firmware_leaf(const struct chain *chain)
{
    X509 *leaf = certificate(chain, chain->count - 1), *alias = certificate(chain, chain->count - 2);
    char issuer[128], subject[128], alias_subject[128];
    const ASN1_INTEGER *serial = X509_get0_serialNumber(leaf);

    assert_true(chain->count >= 3 && chain->len[chain->count - 1] <= 800);
    common_name(X509_get_issuer_name(leaf), issuer, sizeof(issuer));
    common_name(X509_get_subject_name(leaf), subject, sizeof(subject));
    common_name(X509_get_subject_name(alias), alias_subject, sizeof(alias_subject));
    assert_string_equal(issuer, alias_subject);
    assert_int_equal(strlen(alias_subject), 64);
    assert_int_equal(strlen(subject), 32);
    assert_int_equal(strspn(subject, "0123456789ABCDEF"), 32);
    assert_int_equal(serial->length, 20);
    assert_true(serial->data[0] <= 0x7F && (serial->data[0] & 1) != 0);
    assert_int_equal(X509_get_extension_flags(leaf) & EXFLAG_CA, 0);
    assert_int_equal(X509_get_key_usage(leaf), KU_DIGITAL_SIGNATURE);
    assert_string_equal((const char *)ASN1_STRING_get0_data(X509_get0_notBefore(leaf)), "20230101000000Z");
    assert_string_equal((const char *)ASN1_STRING_get0_data(X509_get0_notAfter(leaf)), "99991231235959Z");
    assert_non_null(X509_get0_subject_key_id(leaf));
    assert_int_equal(ASN1_OCTET_STRING_cmp(X509_get0_authority_key_id(leaf), X509_get0_subject_key_id(alias)), 0);
    for (unsigned i = 0; i + 1 < chain->count; i++) {
        X509 *ca = certificate(chain, i);

        assert_true((X509_get_extension_flags(ca) & EXFLAG_CA) != 0);
        assert_true((X509_get_key_usage(ca) & KU_KEY_CERT_SIGN) != 0);
        X509_free(ca);
    }
    X509_free(leaf);
    X509_free(alias);
}

static void expect_certificate(struct emu_client *client, uint8_t slot, uint8_t id, azihsm_rc status)
{
    struct azihsm_certificate_req req = {slot, id};

    assert_int_equal(emu_call(client, AZIHSM_OP_GET_CERTIFICATE, &req, NULL), status);
}

static void test_chain(void **state)
{
    struct emu_fixture *f = *state;
    bool sim = f->kind == AZIHSM_DEVICE_VIRTUAL;
    struct chain *chain = chain_must(&f->client), *again;
    struct azihsm_cert_chain_info_req slot = {1};
    EVP_PKEY *leaf = emu_leaf_must(&f->client);
    struct emu_client other;

    expect_thumbprint(chain, sim);
    expect_path(chain);
    if (sim)
        assert_int_equal(chain->count, 1);
    else
        expect_firmware_leaf(chain);
    assert_true(EVP_PKEY_is_a(leaf, "EC") && EVP_PKEY_get_bits(leaf) == 384);
    EVP_PKEY_free(leaf);
    expect_certificate(&f->client, 1, 0, AZIHSM_STATUS_INVALID_ARG);
    expect_certificate(&f->client, 0, (uint8_t)chain->count,
                       emu_by_kind(f, AZIHSM_STATUS_INVALID_ARG, AZIHSM_STATUS_INVALID_CERTIFICATE));
    expect_certificate(&f->client, 0, 255,
                       emu_by_kind(f, AZIHSM_STATUS_INVALID_ARG, AZIHSM_STATUS_INVALID_CERTIFICATE));
    assert_int_equal(emu_call(&f->client, AZIHSM_OP_GET_CERT_CHAIN_INFO, &slot, NULL),
                     emu_by_kind(f, AZIHSM_OK, AZIHSM_STATUS_INVALID_ARG));
    /* the same for everybody, until a reset: then new (SIM) or still the same (FW), and at once */
    emu_attach(&other, f->device);
    again = chain_must(&other);
    assert_memory_equal(chain, again, sizeof(*chain));
    free(again);
    for (int i = 0; i < 3; i++) {
        door_reset_must();
        again = chain_must(&other);
        assert_int_equal(memcmp(chain, again, sizeof(*chain)) == 0, !sim);
        expect_path(again);
        expect_thumbprint(again, sim);
        free(chain);
        chain = again;
    }
    emu_detach(&other);
    free(chain);
}

/* Over the wire's bytes of the key, X and Y little-endian; the halves of the signature likewise (2.3). */
static void expect_key_signature(struct emu_fixture *f, uint32_t op)
{
    struct azihsm_encryption_key_resp resp;
    uint8_t message[96], digest[48], signature[96], spki[AZIHSM_PUB_KEY_MAX];
    EVP_PKEY *leaf;
    size_t len;

    assert_int_equal(emu_call(&f->client, op, NULL, &resp), AZIHSM_OK);
    if (f->kind == AZIHSM_DEVICE_VIRTUAL) {
        assert_int_equal(resp.pub_key_signature.len, 0);
        return;
    }
    assert_int_equal(resp.pub_key.der.len, 120);
    assert_int_equal(resp.pub_key_signature.len, 96);
    memcpy(signature, resp.pub_key_signature.data, 96); /* big-endian after the codec */
    for (size_t i = 0; i < 48; i++) {
        message[i] = resp.pub_key.der.data[24 + 47 - i];
        message[48 + i] = resp.pub_key.der.data[24 + 48 + 47 - i];
    }
    assert_int_equal(EVP_Q_digest(NULL, "SHA384", NULL, message, sizeof(message), digest, NULL), 1);
    leaf = emu_leaf_must(&f->client);
    len = judge_spki(leaf, spki, sizeof(spki));
    assert_true(judge_ecdsa(BYTES(spki, len), BYTES(digest, sizeof(digest)), signature, 96));
    EVP_PKEY_free(leaf);
}

static void test_encryption_keys(void **state)
{
    struct emu_fixture *f = *state;

    expect_key_signature(f, AZIHSM_OP_GET_ESTABLISH_CRED_ENCRYPTION_KEY);
    emu_provision_must(&f->client, &f->owner);
    expect_key_signature(f, AZIHSM_OP_GET_SESSION_ENCRYPTION_KEY);
    door_reset_must();
    expect_key_signature(f, AZIHSM_OP_GET_ESTABLISH_CRED_ENCRYPTION_KEY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        EMU_READY(test_reports_of_pairs),
        EMU_READY(test_reports_of_symmetric),
        EMU_FRESH(test_chain),
        EMU_FRESH(test_encryption_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
