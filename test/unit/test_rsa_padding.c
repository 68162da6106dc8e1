/*
 * The RSA encodings against the default provider: what we encode, it verifies (raw private operation, then its own
 * check); what it encrypts, we decode. Keys are software keys, made once for all tests.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../provider/rsa_padding.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <string.h>

static const unsigned sizes[] = {1024, 1025, 1031, 2048};
enum { SIZES = sizeof(sizes) / sizeof(sizes[0]) };
static EVP_PKEY *keys[SIZES];

static const char *const digests[] = {"SHA1",       "SHA224",   "SHA256",   "SHA384",   "SHA512",  "SHA512-224",
                                      "SHA512-256", "SHA3-224", "SHA3-256", "SHA3-384", "SHA3-512"};
enum { DIGESTS = sizeof(digests) / sizeof(digests[0]) };

static int make_keys(void **state)
{
    (void)state;
    for (size_t i = 0; i < SIZES; i++)
        if ((keys[i] = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)sizes[i])) == NULL)
            return -1;
    return 0;
}

static int free_keys(void **state)
{
    (void)state;
    for (size_t i = 0; i < SIZES; i++)
        EVP_PKEY_free(keys[i]);
    return 0;
}

static size_t raw_sign(EVP_PKEY *key, const uint8_t *em, uint8_t *sig)
{
    size_t len = RSA_BYTES_MAX;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);

    assert_int_equal(EVP_PKEY_sign_init(ctx), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_NO_PADDING), 1);
    assert_int_equal(EVP_PKEY_sign(ctx, sig, &len, em, (size_t)EVP_PKEY_get_size(key)), 1);
    EVP_PKEY_CTX_free(ctx);
    return len;
}

static size_t raw_decrypt(EVP_PKEY *key, const uint8_t *in, size_t inlen, uint8_t *em)
{
    size_t len = RSA_BYTES_MAX;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);

    assert_int_equal(EVP_PKEY_decrypt_init(ctx), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_NO_PADDING), 1);
    assert_int_equal(EVP_PKEY_decrypt(ctx, em, &len, in, inlen), 1);
    EVP_PKEY_CTX_free(ctx);
    return len;
}

static int verifies(EVP_PKEY *key, int padding, int salt, const EVP_MD *md, const EVP_MD *mgf1, const uint8_t *sig,
                    const uint8_t *digest)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
    int ok = EVP_PKEY_verify_init(ctx) == 1 && EVP_PKEY_CTX_set_rsa_padding(ctx, padding) == 1 &&
             EVP_PKEY_CTX_set_signature_md(ctx, md) == 1;

    if (ok && padding == RSA_PKCS1_PSS_PADDING)
        ok = EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, salt) == 1 && EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, mgf1) == 1;
    ok = ok && EVP_PKEY_verify(ctx, sig, (size_t)EVP_PKEY_get_size(key), digest, (size_t)EVP_MD_get_size(md)) == 1;
    EVP_PKEY_CTX_free(ctx);
    return ok;
}

/* One PSS signature; returns whether the salt fitted the key. */
static int check_pss(EVP_PKEY *key, const EVP_MD *md, const EVP_MD *mgf1, int requested)
{
    uint8_t em[RSA_BYTES_MAX], sig[RSA_BYTES_MAX], digest[EVP_MAX_MD_SIZE];
    unsigned bits = (unsigned)EVP_PKEY_get_bits(key);
    int length = rsa_pss_salt_length(requested, bits, md);

    if (length < 0)
        return 0;
    assert_int_equal(RAND_bytes(digest, EVP_MD_get_size(md)), 1);
    assert_int_equal(rsa_pad_pss(NULL, em, bits, digest, md, mgf1, (size_t)length), 1);
    raw_sign(key, em, sig);
    assert_true(verifies(key, RSA_PKCS1_PSS_PADDING, length, md, mgf1, sig, digest));
    assert_true(verifies(key, RSA_PKCS1_PSS_PADDING, RSA_PSS_SALTLEN_AUTO, md, mgf1, sig, digest));
    assert_false(verifies(key, RSA_PKCS1_PSS_PADDING, length == 0 ? 1 : length - 1, md, mgf1, sig, digest));
    digest[0] ^= 1;
    assert_false(verifies(key, RSA_PKCS1_PSS_PADDING, length, md, mgf1, sig, digest));
    return 1;
}

static void test_pss_verifies(void **state)
{
    static const int salts[] = {RSA_SALT_DIGEST, RSA_SALT_AUTO, RSA_SALT_MAX, RSA_SALT_AUTO_DIGEST_MAX, 0, 1, 20};
    int done = 0;

    (void)state;
    for (size_t k = 0; k < SIZES; k++)
        for (size_t d = 0; d < DIGESTS; d++) {
            EVP_MD *md = EVP_MD_fetch(NULL, digests[d], NULL);
            EVP_MD *mgf1 = EVP_MD_fetch(NULL, digests[(d + 2) % DIGESTS], NULL);
            for (size_t s = 0; s < sizeof(salts) / sizeof(salts[0]); s++)
                done += check_pss(keys[k], md, s % 2 ? md : mgf1, salts[s]);
            EVP_MD_free(mgf1);
            EVP_MD_free(md);
        }
    assert_true(done > 250);
}

static void test_pss_salt_lengths(void **state)
{
    EVP_MD *md = EVP_MD_fetch(NULL, "SHA512", NULL);

    (void)state;
    assert_int_equal(rsa_pss_salt_length(RSA_SALT_DIGEST, 2048, md), 64);
    assert_int_equal(rsa_pss_salt_length(RSA_SALT_MAX, 2048, md), 256 - 64 - 2);
    assert_int_equal(rsa_pss_salt_length(RSA_SALT_MAX, 2049, md), 256 - 64 - 2);
    assert_int_equal(rsa_pss_salt_length(RSA_SALT_MAX, 2050, md), 257 - 64 - 2);
    assert_int_equal(rsa_pss_salt_length(RSA_SALT_AUTO_DIGEST_MAX, 1024, md), 62);
    assert_int_equal(rsa_pss_salt_length(RSA_SALT_AUTO_DIGEST_MAX, 4096, md), 64);
    assert_true(rsa_pss_salt_length(RSA_SALT_DIGEST, 1024, md) < 0);
    assert_int_equal(rsa_pss_salt_length(62, 1024, md), 62);
    assert_true(rsa_pss_salt_length(63, 1024, md) < 0);
    assert_true(rsa_pss_salt_length(-5, 1024, md) < 0);
    EVP_MD_free(md);
}

static void test_pkcs1_verifies(void **state)
{
    uint8_t em[RSA_BYTES_MAX], sig[RSA_BYTES_MAX], digest[EVP_MAX_MD_SIZE] = {3}, info[256];

    (void)state;
    for (size_t k = 0; k < SIZES; k++)
        for (size_t d = 0; d <= DIGESTS; d++) {
            EVP_MD *md = EVP_MD_fetch(NULL, d == DIGESTS ? "MD5-SHA1" : digests[d], NULL);
            size_t size = (size_t)EVP_MD_get_size(md), len = sizeof(info);
            assert_int_equal(rsa_digest_info(md, digest, size, info, &len), 1);
            assert_int_equal(rsa_pad_type1(em, (size_t)EVP_PKEY_get_size(keys[k]), info, len), 1);
            raw_sign(keys[k], em, sig);
            assert_true(verifies(keys[k], RSA_PKCS1_PADDING, 0, md, md, sig, digest));
            len = size - 1;
            assert_int_equal(rsa_digest_info(md, digest, size, info, &len), 0);
            EVP_MD_free(md);
        }
    assert_int_equal(rsa_pad_type1(em, 128, sig, 117), 1);
    assert_int_equal(rsa_pad_type1(em, 128, sig, 118), 0);
}

/* ---- decryption ---- */

struct oaep_case {
    const char *md, *mgf1, *label;
};

static size_t encrypt(EVP_PKEY *key, int padding, const struct oaep_case *oaep, const uint8_t *in, size_t inlen,
                      uint8_t *out)
{
    size_t len = RSA_BYTES_MAX;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);

    assert_int_equal(EVP_PKEY_encrypt_init(ctx), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(ctx, padding), 1);
    if (oaep != NULL) {
        assert_int_equal(EVP_PKEY_CTX_set_rsa_oaep_md_name(ctx, oaep->md, NULL), 1);
        assert_int_equal(EVP_PKEY_CTX_set_rsa_mgf1_md_name(ctx, oaep->mgf1, NULL), 1);
        if (oaep->label[0] != '\0')
            assert_int_equal(
                EVP_PKEY_CTX_set0_rsa_oaep_label(ctx, OPENSSL_strdup(oaep->label), (int)strlen(oaep->label)), 1);
    }
    assert_int_equal(EVP_PKEY_encrypt(ctx, out, &len, in, inlen), 1);
    EVP_PKEY_CTX_free(ctx);
    return len;
}

static void check_oaep(EVP_PKEY *key, const struct oaep_case *c, const struct rsa_oaep *oaep, size_t len)
{
    uint8_t in[RSA_BYTES_MAX], cipher[RSA_BYTES_MAX], em[RSA_BYTES_MAX], work[RSA_BYTES_MAX], out[RSA_BYTES_MAX];
    size_t k = (size_t)EVP_PKEY_get_size(key), outlen = 0;

    assert_int_equal(RAND_bytes(in, (int)len + 1), 1);
    raw_decrypt(key, cipher, encrypt(key, RSA_PKCS1_OAEP_PADDING, c, in, len, cipher), em);
    memcpy(work, em, k);
    assert_int_equal(rsa_unpad_oaep(oaep, work, k, out, sizeof(out), &outlen), 1);
    assert_int_equal(outlen, len);
    assert_memory_equal(out, in, len);
    for (size_t i = 0; i < k; i++) {
        memcpy(work, em, k);
        work[i] ^= (uint8_t)(1 << i % 8);
        assert_int_equal(rsa_unpad_oaep(oaep, work, k, out, sizeof(out), &outlen), 0);
        assert_int_equal(outlen, 0);
    }
}

static void test_oaep_decodes(void **state)
{
    static const char *const names[] = {"SHA1", "SHA256", "SHA384", "SHA3-256", "SHA512-256"};
    enum { NAMES = sizeof(names) / sizeof(names[0]) };

    (void)state;
    for (size_t n = 0; n < NAMES * NAMES; n++) {
        struct oaep_case c = {names[n % NAMES], names[n / NAMES], n % 2 ? "a label" : ""};
        EVP_MD *md = EVP_MD_fetch(NULL, c.md, NULL), *mgf1 = EVP_MD_fetch(NULL, c.mgf1, NULL);
        struct rsa_oaep oaep = {md, mgf1, (const uint8_t *)c.label, strlen(c.label)};
        size_t most = 128 - 2 * (size_t)EVP_MD_get_size(md) - 2;
        check_oaep(keys[0], &c, &oaep, 0);
        check_oaep(keys[0], &c, &oaep, most / 2);
        check_oaep(keys[0], &c, &oaep, most);
        EVP_MD_free(mgf1);
        EVP_MD_free(md);
    }
}

static void test_oaep_wrong_label(void **state)
{
    struct oaep_case c = {"SHA256", "SHA256", "right"};
    EVP_MD *md = EVP_MD_fetch(NULL, "SHA256", NULL);
    struct rsa_oaep oaep = {md, md, (const uint8_t *)"wrong", 5};
    uint8_t cipher[RSA_BYTES_MAX], em[RSA_BYTES_MAX], out[RSA_BYTES_MAX];
    size_t outlen;

    (void)state;
    raw_decrypt(keys[3], cipher, encrypt(keys[3], RSA_PKCS1_OAEP_PADDING, &c, (const uint8_t *)"hello", 5, cipher), em);
    assert_int_equal(rsa_unpad_oaep(&oaep, em, 256, out, sizeof(out), &outlen), 0);
    EVP_MD_free(md);
}

static const uint8_t secret[32] = {1, 2, 3};

static void test_pkcs1_decodes(void **state)
{
    uint8_t in[RSA_BYTES_MAX], cipher[RSA_BYTES_MAX], em[RSA_BYTES_MAX], out[RSA_BYTES_MAX];
    size_t k = 128, outlen;

    (void)state;
    for (size_t len = 0; len <= k - RSA_PKCS1_OVERHEAD; len++) {
        assert_int_equal(RAND_bytes(in, (int)len + 1), 1);
        raw_decrypt(keys[0], cipher, encrypt(keys[0], RSA_PKCS1_PADDING, NULL, in, len, cipher), em);
        assert_int_equal(rsa_unpad_implicit(NULL, secret, cipher, em, k, out, sizeof(out), &outlen), 1);
        assert_int_equal(outlen, len);
        assert_memory_equal(out, in, len);
        assert_int_equal(rsa_unpad_explicit(em, k, out, sizeof(out), &outlen), 1);
        assert_int_equal(outlen, len);
        assert_memory_equal(out, in, len);
    }
}

/* Malformed blocks: the answer is a message all the same, a function of secret and ciphertext alone. */
static void test_pkcs1_rejects_silently(void **state)
{
    static const struct {
        size_t at;
        uint8_t value;
    } faults[] = {{0, 1}, {1, 1}, {1, 0}, {2, 0}, {9, 0}};
    uint8_t cipher[128] = {7}, em[128], first[128], out[128], other[32] = {9};
    size_t firstlen = 0, outlen;

    (void)state;
    for (size_t f = 0; f <= sizeof(faults) / sizeof(faults[0]); f++) {
        memset(em, 0x55, sizeof(em));
        em[0] = 0;
        em[1] = 2;
        if (f > 0) { /* the first case has no separator at all */
            em[60] = 0;
            em[faults[f - 1].at] = faults[f - 1].value;
        }
        assert_int_equal(rsa_unpad_explicit(em, 128, out, 128, &outlen), 0);
        assert_int_equal(rsa_unpad_implicit(NULL, secret, cipher, em, 128, out, 128, &outlen), 1);
        if (f == 0) {
            firstlen = outlen;
            memcpy(first, out, outlen);
        }
        assert_int_equal(outlen, firstlen);
        assert_memory_equal(out, first, firstlen);
        assert_true(outlen < 128 - 10);
    }
    assert_int_equal(rsa_unpad_implicit(NULL, other, cipher, em, 128, out, 128, &outlen), 1);
    assert_true(outlen != firstlen || memcmp(out, first, firstlen) != 0);
    cipher[5] ^= 1;
    assert_int_equal(rsa_unpad_implicit(NULL, secret, cipher, em, 128, out, 128, &outlen), 1);
    assert_true(outlen != firstlen || memcmp(out, first, firstlen) != 0);
    em[2] = em[9] = 0x55;
    em[10] = 0; /* eight bytes of padding are enough */
    assert_int_equal(rsa_unpad_explicit(em, 128, out, 128, &outlen), 1);
    assert_int_equal(outlen, 117);
}

/* OpenSSL from 3.2 on derives the same message, given its own secret: a hash of the private exponent. */
static void test_rejection_is_openssls(void **state)
{
    uint8_t d[256], key_secret[32], cipher[256], em[256], ours[256], theirs[256];
    size_t ourlen = 0, theirlen;
    BIGNUM *exponent = NULL;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(keys[3], NULL);

    (void)state;
    if (OPENSSL_version_major() == 3 && OPENSSL_version_minor() < 2) {
        print_message("skipped: this OpenSSL (%s) has no implicit rejection to compare with\n",
                      OpenSSL_version(OPENSSL_VERSION_STRING));
        EVP_PKEY_CTX_free(ctx);
        skip();
    }
    assert_int_equal(EVP_PKEY_get_bn_param(keys[3], OSSL_PKEY_PARAM_RSA_D, &exponent), 1);
    assert_int_equal(BN_bn2binpad(exponent, d, sizeof(d)), 256);
    assert_int_equal(EVP_Q_digest(NULL, "SHA256", NULL, d, sizeof(d), key_secret, NULL), 1);
    for (int i = 0; i < 20; i++) {
        RAND_bytes(cipher, sizeof(cipher));
        cipher[0] = 0;
        raw_decrypt(keys[3], cipher, sizeof(cipher), em);
        assert_int_equal(rsa_unpad_implicit(NULL, key_secret, cipher, em, 256, ours, sizeof(ours), &ourlen), 1);
        theirlen = sizeof(theirs);
        assert_int_equal(EVP_PKEY_decrypt_init(ctx), 1);
        assert_int_equal(EVP_PKEY_decrypt(ctx, theirs, &theirlen, cipher, sizeof(cipher)), 1);
        assert_int_equal(ourlen, theirlen);
        assert_memory_equal(ours, theirs, ourlen);
    }
    BN_clear_free(exponent);
    EVP_PKEY_CTX_free(ctx);
}

static void test_tls_premaster(void **state)
{
    uint8_t em[256], out[48], again[48];

    (void)state;
    memset(em, 0x33, sizeof(em));
    em[0] = 0;
    em[1] = 2;
    em[207] = 0;
    em[208] = 3;
    em[209] = 3;
    assert_int_equal(rsa_unpad_tls(NULL, em, 256, 0x0303, 0, out), 1);
    assert_memory_equal(out, em + 208, 48);
    assert_int_equal(rsa_unpad_tls(NULL, em, 256, 0x0301, 0x0303, out), 1);
    assert_memory_equal(out, em + 208, 48);
    for (int fault = 0; fault < 5; fault++) {
        static const size_t at[] = {0, 1, 100, 207, 209};
        uint8_t bad[256];
        memcpy(bad, em, sizeof(bad));
        bad[at[fault]] = at[fault] == 100 ? 0 : 0x77;
        assert_int_equal(rsa_unpad_tls(NULL, bad, 256, 0x0303, 0, out), 1);
        assert_int_equal(rsa_unpad_tls(NULL, bad, 256, 0x0303, 0, again), 1);
        assert_memory_not_equal(out, em + 208, 48);
        assert_memory_not_equal(out, again, 48);
    }
    assert_int_equal(rsa_unpad_tls(NULL, em, 256, 0x0301, 0, out), 1); /* wrong version, no alternative */
    assert_memory_not_equal(out, em + 208, 48);
    em[208] = em[209] = 0; /* "no alternative" must not match version zero */
    assert_int_equal(rsa_unpad_tls(NULL, em, 256, 0x0303, 0, out), 1);
    assert_memory_not_equal(out, em + 208, 48);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pss_verifies),           cmocka_unit_test(test_pss_salt_lengths),
        cmocka_unit_test(test_pkcs1_verifies),         cmocka_unit_test(test_oaep_decodes),
        cmocka_unit_test(test_oaep_wrong_label),       cmocka_unit_test(test_pkcs1_decodes),
        cmocka_unit_test(test_pkcs1_rejects_silently), cmocka_unit_test(test_rejection_is_openssls),
        cmocka_unit_test(test_tls_premaster),
    };

    return cmocka_run_group_tests(tests, make_keys, free_keys);
}
