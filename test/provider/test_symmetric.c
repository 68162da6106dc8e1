/*
 * Symmetric operations (configuration `symmetric = yes`): with key bytes exactly the default provider's results; with
 * keys of the device results that software with the same key agrees on, where the key can be known (imported, or
 * derived from an ECDH the test takes part in). And without the switch nothing of it exists.
 */
#include "devicekey.h"
#include "support.h"

#include <openssl/crypto.h>
#include <openssl/kdf.h>
#include <openssl/pem.h>
#include <openssl/provider.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>

static OSSL_LIB_CTX *ctx;

static const char *const ciphers[] = {"AES-128-CBC", "AES-192-CBC", "AES-256-CBC", "AES-256-GCM", "AES-256-XTS"};
enum { CIPHERS = 5, DATA = 1000 };

/* ---- with key bytes: the same as default ---- */

static void run_cipher(OSSL_LIB_CTX *libctx, const char *name, const char *propq, bool encrypt, const uint8_t *in,
                       size_t inlen, uint8_t *out, size_t *outlen, uint8_t tag[16])
{
    static const uint8_t key[64] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ+",
                         iv[16] = "initialisation";
    EVP_CIPHER *cipher = EVP_CIPHER_fetch(libctx, name, propq);
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    bool gcm = strstr(name, "GCM") != NULL, xts = strstr(name, "XTS") != NULL;
    size_t step = xts ? inlen : 77;
    int n = 0;

    assert_non_null(cipher);
    *outlen = 0;
    good(EVP_CipherInit_ex2(c, cipher, key, iv, encrypt, NULL));
    if (gcm)
        good(EVP_CipherUpdate(c, NULL, &n, (const uint8_t *)"associated", 10));
    for (size_t i = 0; i < inlen; i += step) {
        good(EVP_CipherUpdate(c, out + *outlen, &n, in + i, (int)(inlen - i < step ? inlen - i : step)));
        *outlen += (size_t)n;
    }
    if (gcm && !encrypt)
        good(EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, 16, tag));
    good(EVP_CipherFinal_ex(c, out + *outlen, &n));
    *outlen += (size_t)n;
    if (gcm && encrypt)
        good(EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, 16, tag));
    EVP_CIPHER_CTX_free(c);
    EVP_CIPHER_free(cipher);
}

static void test_ciphers_with_bytes(void **state)
{
    uint8_t in[DATA], one[DATA + 32], two[DATA + 32], tag1[16] = {0}, tag2[16] = {0};
    size_t len1, len2;

    (void)state;
    RAND_bytes(in, sizeof(in));
    for (size_t i = 0; i < CIPHERS; i++) {
        EVP_CIPHER *ours = EVP_CIPHER_fetch(ctx, ciphers[i], "provider=azihsm");
        EVP_CIPHER *theirs = EVP_CIPHER_fetch(software(), ciphers[i], NULL);

        assert_non_null(ours);
        assert_int_equal(EVP_CIPHER_get_key_length(ours), EVP_CIPHER_get_key_length(theirs));
        assert_int_equal(EVP_CIPHER_get_iv_length(ours), EVP_CIPHER_get_iv_length(theirs));
        assert_int_equal(EVP_CIPHER_get_block_size(ours), EVP_CIPHER_get_block_size(theirs));
        assert_int_equal(EVP_CIPHER_get_flags(ours), EVP_CIPHER_get_flags(theirs));
        assert_int_equal(EVP_CIPHER_get_mode(ours), EVP_CIPHER_get_mode(theirs));
        assert_int_equal(EVP_CIPHER_get_nid(ours), EVP_CIPHER_get_nid(theirs));
        EVP_CIPHER_free(theirs);
        EVP_CIPHER_free(ours);
        run_cipher(ctx, ciphers[i], "provider=azihsm", true, in, sizeof(in), one, &len1, tag1);
        run_cipher(software(), ciphers[i], NULL, true, in, sizeof(in), two, &len2, tag2);
        assert_int_equal(len1, len2);
        assert_memory_equal(one, two, len1);
        assert_memory_equal(tag1, tag2, 16);
        run_cipher(ctx, ciphers[i], "provider=azihsm", false, one, len1, two, &len2, tag1);
        assert_int_equal(len2, sizeof(in));
        assert_memory_equal(two, in, len2);
    }
}

static size_t hmac(OSSL_LIB_CTX *libctx, const char *propq, const char *digest, const void *key, size_t keylen,
                   const char *uri, const uint8_t *in, size_t inlen, uint8_t *out)
{
    EVP_MAC *mac = EVP_MAC_fetch(libctx, "HMAC", propq);
    EVP_MAC_CTX *m = EVP_MAC_CTX_new(mac);
    OSSL_PARAM params[3], *p = params;
    size_t len = 0;

    if (digest != NULL)
        *p++ = OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)digest, 0);
    if (uri != NULL)
        *p++ = OSSL_PARAM_construct_utf8_string("azihsm.key", (char *)uri, 0);
    *p = OSSL_PARAM_construct_end();
    good(EVP_MAC_init(m, key, keylen, params));
    good(EVP_MAC_update(m, in, inlen / 3));
    good(EVP_MAC_update(m, in + inlen / 3, inlen - inlen / 3));
    good(EVP_MAC_final(m, out, &len, EVP_MAX_MD_SIZE));
    assert_int_equal(len, EVP_MAC_CTX_get_mac_size(m));
    EVP_MAC_CTX_free(m);
    EVP_MAC_free(mac);
    return len;
}

static void test_mac_with_bytes(void **state)
{
    static const char *const digests[] = {"SHA1", "SHA256", "SHA384", "SHA512", "SHA3-256"};
    uint8_t in[DATA], one[EVP_MAX_MD_SIZE], two[EVP_MAX_MD_SIZE];

    (void)state;
    RAND_bytes(in, sizeof(in));
    for (size_t i = 0; i < 5; i++) {
        size_t len = hmac(ctx, "provider=azihsm", digests[i], "a key", 5, NULL, in, sizeof(in), one);
        assert_int_equal(hmac(software(), NULL, digests[i], "a key", 5, NULL, in, sizeof(in), two), len);
        assert_memory_equal(one, two, len);
    }
}

struct derivation {
    const char *name, *digest, *salt, *info;
};

static OSSL_PARAM *derivation_params(const struct derivation *d, OSSL_PARAM *p)
{
    *p++ = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)d->digest, 0);
    if (d->salt != NULL)
        *p++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (char *)d->salt, strlen(d->salt));
    if (d->info != NULL)
        *p++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (char *)d->info, strlen(d->info));
    if (strcmp(d->name, "KBKDF") == 0)
        *p++ = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_MAC, "HMAC", 0);
    return p;
}

static void derive_bytes(OSSL_LIB_CTX *libctx, const char *propq, const struct derivation *d, const uint8_t *secret,
                         size_t secretlen, uint8_t *out, size_t outlen)
{
    EVP_KDF *kdf = EVP_KDF_fetch(libctx, d->name, propq);
    EVP_KDF_CTX *k = EVP_KDF_CTX_new(kdf);
    OSSL_PARAM params[8], *p = derivation_params(d, params);

    *p++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (uint8_t *)secret, secretlen);
    *p = OSSL_PARAM_construct_end();
    good(EVP_KDF_derive(k, out, outlen, params));
    EVP_KDF_CTX_free(k);
    EVP_KDF_free(kdf);
}

static const struct derivation derivations[] = {
    {"HKDF", "SHA256", "salt", "info"},      {"HKDF", "SHA384", NULL, "info"},
    {"HKDF", "SHA512", "salt", NULL},        {"HKDF", "SHA1", "salt", "info"},
    {"KBKDF", "SHA256", "label", "context"}, {"KBKDF", "SHA384", "label", "context"},
    {"KBKDF", "SHA512", "label", "context"},
};
enum { DERIVATIONS = sizeof(derivations) / sizeof(derivations[0]) };

static void test_kdf_with_bytes(void **state)
{
    uint8_t one[100], two[100];

    (void)state;
    for (size_t i = 0; i < DERIVATIONS; i++) {
        derive_bytes(ctx, "provider=azihsm", &derivations[i], (const uint8_t *)"a secret", 8, one, sizeof(one));
        derive_bytes(software(), NULL, &derivations[i], (const uint8_t *)"a secret", 8, two, sizeof(two));
        assert_memory_equal(one, two, sizeof(one));
    }
}

/* ---- with keys of the device ---- */

static EVP_CIPHER_CTX *device_cipher(const char *name, const char *key, const char *tweak, const uint8_t *iv,
                                     bool encrypt)
{
    EVP_CIPHER *cipher = EVP_CIPHER_fetch(ctx, name, "provider=azihsm");
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    OSSL_PARAM params[3], *p = params;

    *p++ = OSSL_PARAM_construct_utf8_string("azihsm.key", (char *)key, 0);
    if (tweak != NULL)
        *p++ = OSSL_PARAM_construct_utf8_string("azihsm.tweak_key", (char *)tweak, 0);
    *p = OSSL_PARAM_construct_end();
    good(EVP_CipherInit_ex2(c, cipher, NULL, iv, encrypt, params));
    EVP_CIPHER_free(cipher);
    return c;
}

static size_t stream(EVP_CIPHER_CTX *c, size_t step, const uint8_t *in, size_t inlen, uint8_t *out)
{
    size_t len = 0;
    int n;

    for (size_t i = 0; i < inlen; i += step) {
        good(EVP_CipherUpdate(c, out + len, &n, in + i, (int)(inlen - i < step ? inlen - i : step)));
        len += (size_t)n;
    }
    good(EVP_CipherFinal_ex(c, out + len, &n));
    return len + (size_t)n;
}

static size_t software_cipher(const char *name, const uint8_t *key, const uint8_t *iv, const uint8_t *in, size_t inlen,
                              uint8_t *out)
{
    EVP_CIPHER *cipher = EVP_CIPHER_fetch(software(), name, NULL);
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    size_t len;

    good(EVP_EncryptInit_ex2(c, cipher, key, iv, NULL));
    len = stream(c, inlen == 0 ? 1 : inlen, in, inlen, out);
    EVP_CIPHER_CTX_free(c);
    EVP_CIPHER_free(cipher);
    return len;
}

static void test_cbc(void **state)
{
    static const size_t bits[] = {128, 192, 256}, lengths[] = {0, 1, 15, 16, 17, 32, 999, 1000},
                        steps[] = {1, 7, 16, 33, 1000};
    uint8_t key[32], iv[16], in[DATA], one[DATA + 32], two[DATA + 32], back[DATA + 32];

    (void)state;
    RAND_bytes(in, sizeof(in));
    RAND_bytes(iv, sizeof(iv));
    for (size_t b = 0; b < 3; b++) {
        char name[32], uri[64];
        RAND_bytes(key, sizeof(key));
        snprintf(name, sizeof(name), "AES-%zu-CBC", bits[b]);
        snprintf(uri, sizeof(uri), "azihsm://cbc%zu", bits[b]);
        import_key(uri + strlen("azihsm://"), "aes", key, bits[b] / 8);
        for (size_t l = 0; l < 8; l++)
            for (size_t s = 0; s < 5; s++) {
                EVP_CIPHER_CTX *c = device_cipher(name, uri, NULL, iv, true);
                size_t len = stream(c, steps[s], in, lengths[l], one), len2;
                EVP_CIPHER_CTX_free(c);
                len2 = software_cipher(name, key, iv, in, lengths[l], two);
                assert_int_equal(len, len2);
                assert_memory_equal(one, two, len);
                c = device_cipher(name, uri, NULL, iv, false);
                len2 = stream(c, steps[s], one, len, back);
                assert_int_equal(len2, lengths[l]);
                assert_memory_equal(back, in, len2);
                EVP_CIPHER_CTX_free(c);
            }
    }
}

static void test_cbc_details(void **state)
{
    uint8_t iv[16] = {1}, in[48] = {2}, one[80], two[80];
    EVP_CIPHER_CTX *c = device_cipher("AES-256-CBC", "azihsm://cbc256", NULL, iv, true), *copy;
    int n;
    size_t len;

    (void)state;
    good(EVP_CIPHER_CTX_set_padding(c, 0)); /* no padding: whole blocks only */
    assert_int_equal(stream(c, 16, in, 48, one), 48);
    good(EVP_CipherInit_ex2(c, NULL, NULL, iv, 1, NULL)); /* once more with the same key */
    assert_int_equal(stream(c, 48, in, 48, two), 48);
    assert_memory_equal(one, two, 48);
    good(EVP_CipherInit_ex2(c, NULL, NULL, iv, 1, NULL));
    good(EVP_CipherUpdate(c, two, &n, in, 20));
    bad(EVP_CipherFinal_ex(c, two, &n));
    good(EVP_CipherInit_ex2(c, NULL, NULL, iv, 1, NULL));
    good(EVP_CipherUpdate(c, two, &n, in, 20)); /* a copy in mid-stream goes its own way */
    copy = EVP_CIPHER_CTX_new();
    good(EVP_CIPHER_CTX_copy(copy, c));
    good(EVP_CipherUpdate(copy, two + n, &n, in + 20, 28));
    assert_memory_equal(one, two, 48);
    EVP_CIPHER_CTX_free(copy);
    EVP_CIPHER_CTX_free(c);
    for (int fault = 0; fault < 3; fault++) { /* padding that is none */
        c = device_cipher("AES-256-CBC", "azihsm://cbc256", NULL, iv, true);
        memset(in, fault == 0 ? 0 : 17, sizeof(in));
        if (fault == 2)
            memcpy(in + 44, "\3\4\4\4", 4);
        good(EVP_CIPHER_CTX_set_padding(c, 0));
        len = stream(c, 48, in, 48, one);
        EVP_CIPHER_CTX_free(c);
        c = device_cipher("AES-256-CBC", "azihsm://cbc256", NULL, iv, false);
        good(EVP_CipherUpdate(c, two, &n, one, (int)len));
        bad(EVP_CipherFinal_ex(c, two + n, &n));
        EVP_CIPHER_CTX_free(c);
    }
}

static void test_gcm(void **state)
{
    uint8_t key[32], iv[12] = {9}, used[12], in[DATA], out[DATA], back[DATA], tag[16], expect[DATA], expect_tag[16];
    EVP_CIPHER *cipher = EVP_CIPHER_fetch(software(), "AES-256-GCM", NULL);
    EVP_CIPHER_CTX *c, *soft = EVP_CIPHER_CTX_new();
    OSSL_PARAM query[] = {OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_UPDATED_IV, used, sizeof(used)), OSSL_PARAM_END};
    int n;

    (void)state;
    RAND_bytes(key, sizeof(key));
    RAND_bytes(in, sizeof(in));
    import_key("gcm", "aes-gcm", key, sizeof(key));
    c = device_cipher("AES-256-GCM", "azihsm://gcm", NULL, iv, true);
    good(EVP_CipherUpdate(c, NULL, &n, (const uint8_t *)"head", 4));
    good(EVP_CipherUpdate(c, NULL, &n, (const uint8_t *)"er", 2));
    good(EVP_CipherUpdate(c, out, &n, in, sizeof(in)));
    assert_int_equal(n, sizeof(in));
    good(EVP_CipherFinal_ex(c, back, &n));
    good(EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, 16, tag));
    good(EVP_CIPHER_CTX_get_params(c, query));
    /* a second message needs an IV of its own */
    good(EVP_EncryptInit_ex2(c, NULL, NULL, NULL, NULL));
    bad(EVP_CipherUpdate(c, back, &n, in, sizeof(in)));
    good(EVP_EncryptInit_ex2(c, NULL, NULL, iv, NULL));
    good(EVP_CipherUpdate(c, back, &n, in, sizeof(in)));
    assert_true(EVP_CipherUpdate(c, back, &n, in, 10) <= 0); /* one piece, or it does not pass */
    assert_true(error_says("one piece"));
    bad(EVP_CipherFinal_ex(c, back, &n));
    /* deciphering needs a tag of its own, not that of what was enciphered */
    good(EVP_DecryptInit_ex2(c, NULL, NULL, used, NULL));
    bad(EVP_CipherUpdate(c, back, &n, out, sizeof(in)));
    EVP_CIPHER_CTX_free(c);
    good(EVP_EncryptInit_ex2(soft, cipher, key, used, NULL));
    good(EVP_EncryptUpdate(soft, NULL, &n, (const uint8_t *)"header", 6));
    good(EVP_EncryptUpdate(soft, expect, &n, in, sizeof(in)));
    good(EVP_EncryptFinal_ex(soft, back, &n));
    good(EVP_CIPHER_CTX_ctrl(soft, EVP_CTRL_AEAD_GET_TAG, 16, expect_tag));
    assert_memory_equal(out, expect, sizeof(in));
    assert_memory_equal(tag, expect_tag, 16);
    for (int fault = 0; fault < 3; fault++) {
        c = device_cipher("AES-256-GCM", "azihsm://gcm", NULL, used, false);
        if (fault == 1)
            tag[3] ^= 1;
        if (fault < 2)
            good(EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, 16, tag));
        good(EVP_CipherUpdate(c, NULL, &n, (const uint8_t *)"header", 6));
        if (fault == 0) {
            good(EVP_CipherUpdate(c, back, &n, out, sizeof(in)));
            good(EVP_CipherFinal_ex(c, back + n, &n));
            assert_memory_equal(back, in, sizeof(in));
        } else { /* wrong tag, no tag: the final says so too */
            bad(EVP_CipherUpdate(c, back, &n, out, sizeof(in)));
            bad(EVP_CipherFinal_ex(c, back, &n));
        }
        EVP_CIPHER_CTX_free(c);
    }
    EVP_CIPHER_CTX_free(soft);
    EVP_CIPHER_free(cipher);
}

static void test_xts(void **state)
{
    uint8_t key[64], iv[16] = {5}, in[1024], out[1024], expect[1024], back[1024];
    EVP_CIPHER_CTX *c;
    int n;

    (void)state;
    RAND_bytes(key, sizeof(key));
    RAND_bytes(in, sizeof(in));
    import_key("xts1", "aes-xts", key, 32);
    import_key("xts2", "aes-xts", key + 32, 32);
    c = device_cipher("AES-256-XTS", "azihsm://xts1", "azihsm://xts2", iv, true);
    good(EVP_CipherUpdate(c, out, &n, in, 512));
    good(EVP_CipherFinal_ex(c, out + n, &n));
    EVP_CIPHER_CTX_free(c);
    software_cipher("AES-256-XTS", key, iv, in, 512, expect);
    assert_memory_equal(out, expect, 512);
    c = device_cipher("AES-256-XTS", "azihsm://xts1", "azihsm://xts2", iv, false);
    good(EVP_CipherUpdate(c, back, &n, out, 512));
    assert_memory_equal(back, in, 512);
    EVP_CIPHER_CTX_free(c);
    c = device_cipher("AES-256-XTS", "azihsm://xts1", NULL, iv, true);
    assert_true(EVP_CipherUpdate(c, out, &n, in, 512) <= 0);
    assert_true(error_says("azihsm.tweak_key"));
    EVP_CIPHER_CTX_free(c);
}

/* A derivation the test can follow: it knows the other half of the ECDH. */
static void derive_in_device(const struct derivation *d, EVP_PKEY *peer, const char *type, const char *output)
{
    EVP_KDF *kdf = EVP_KDF_fetch(ctx, d->name, "provider=azihsm");
    EVP_KDF_CTX *k = EVP_KDF_CTX_new(kdf);
    OSSL_PARAM params[12], *p = derivation_params(d, params);
    unsigned char *spki = NULL, uri[64];
    int len = i2d_PUBKEY(peer, &spki);

    *p++ = OSSL_PARAM_construct_utf8_string("azihsm.key", "azihsm://agree", 0);
    *p++ = OSSL_PARAM_construct_octet_string("azihsm.peer", spki, (size_t)len);
    *p++ = OSSL_PARAM_construct_utf8_string("azihsm.output_type", (char *)type, 0);
    *p++ = OSSL_PARAM_construct_utf8_string("azihsm.output", (char *)output, 0);
    *p = OSSL_PARAM_construct_end();
    good(EVP_KDF_derive(k, uri, sizeof(uri), params));
    assert_string_equal((char *)uri, output);
    OPENSSL_free(spki);
    EVP_KDF_CTX_free(k);
    EVP_KDF_free(kdf);
}

static size_t shared_secret(EVP_PKEY *mine, uint8_t *secret)
{
    EVP_PKEY *theirs;
    EVP_PKEY_CTX *pctx;
    size_t len = 100;

    tool("key show agree --public agree.pub");
    theirs = read_public("agree.pub");
    pctx = EVP_PKEY_CTX_new_from_pkey(software(), mine, NULL);
    good(EVP_PKEY_derive_init(pctx));
    good(EVP_PKEY_derive_set_peer(pctx, theirs));
    good(EVP_PKEY_derive(pctx, secret, &len));
    EVP_PKEY_CTX_free(pctx);
    EVP_PKEY_free(theirs);
    return len;
}

/* With azihsm://agree as the private key. */
static void check_derivations(void)
{
    static const struct {
        const char *type, *digest;
        size_t size;
    } macs[] = {{"HMAC-SHA256", "SHA256", 32}, {"HMAC-SHA384", "SHA384", 48}, {"HMAC-SHA512", "SHA512", 64}};
    EVP_PKEY *mine = make_key(software(), NULL, "P-256");
    uint8_t secret[100], key[64], in[DATA], one[EVP_MAX_MD_SIZE], two[EVP_MAX_MD_SIZE], iv[16] = {3}, c1[DATA + 16],
                                                                                        c2[DATA + 16];
    size_t secretlen;

    RAND_bytes(in, sizeof(in));
    secretlen = shared_secret(mine, secret);
    for (size_t d = 0; d < DERIVATIONS; d++) {
        for (size_t m = 0; m < 3; m++) {
            char uri[32];
            snprintf(uri, sizeof(uri), "azihsm://%s", macs[m].type);
            derive_in_device(&derivations[d], mine, macs[m].type, uri);
            derive_bytes(software(), NULL, &derivations[d], secret, secretlen, key, macs[m].size);
            assert_int_equal(
                hmac(ctx, "provider=azihsm", m == 1 ? NULL : macs[m].digest, NULL, 0, uri, in, sizeof(in), one),
                macs[m].size);
            hmac(software(), NULL, macs[m].digest, key, macs[m].size, NULL, in, sizeof(in), two);
            assert_memory_equal(one, two, macs[m].size);
        }
        EVP_CIPHER_CTX *c;
        size_t len;
        derive_in_device(&derivations[d], mine, "AES-256", "azihsm://aes");
        derive_bytes(software(), NULL, &derivations[d], secret, secretlen, key, 32);
        c = device_cipher("AES-256-CBC", "azihsm://aes", NULL, iv, true);
        len = stream(c, 500, in, sizeof(in), c1);
        EVP_CIPHER_CTX_free(c);
        assert_int_equal(software_cipher("AES-256-CBC", key, iv, in, sizeof(in), c2), len);
        assert_memory_equal(c1, c2, len);
    }
    EVP_PKEY_free(mine);
}

static void test_derived_keys(void **state)
{
    (void)state;
    tool("key generate agree --type ec --curve P-256 --usage derive");
    check_derivations();
}

/* A key that was imported to sign and to agree is two keys of the device; the right one derives. */
static void test_derived_by_two_uses(void **state)
{
    EVP_PKEY *soft = make_key(software(), NULL, "P-256");
    char path[512];
    FILE *file;

    (void)state;
    snprintf(path, sizeof(path), "%s/agree.soft", getenv("AZIHSM_TEST_DIR"));
    file = fopen(path, "w");
    assert_non_null(file);
    good(PEM_write_PrivateKey(file, soft, NULL, NULL, 0, NULL, NULL));
    assert_int_equal(fclose(file), 0);
    EVP_PKEY_free(soft);
    tool("key import agree --force --usage sign,derive --in agree.soft");
    check_derivations();
}

/* ---- what does not fit is refused, with a word on why ---- */

static void test_refusals(void **state)
{
    EVP_MAC *mac = EVP_MAC_fetch(ctx, "HMAC", "provider=azihsm");
    EVP_MAC_CTX *m = EVP_MAC_CTX_new(mac);
    EVP_CIPHER *cipher = EVP_CIPHER_fetch(ctx, "AES-128-CBC", "provider=azihsm");
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    OSSL_PARAM aes[] = {OSSL_PARAM_construct_utf8_string("azihsm.key", "azihsm://cbc256", 0), OSSL_PARAM_END};
    OSSL_PARAM key[] = {OSSL_PARAM_construct_utf8_string("azihsm.key", "azihsm://HMAC-SHA256", 0), OSSL_PARAM_END};
    OSSL_PARAM none[] = {OSSL_PARAM_construct_utf8_string("azihsm.key", "azihsm://no-such-key", 0), OSSL_PARAM_END};
    uint8_t iv[16] = {0}, long_message[1025] = {0}, tag[64], expected[EVP_MAX_MD_SIZE];
    OSSL_PARAM bytes[] = {OSSL_PARAM_construct_octet_string("key", iv, 16),
                          OSSL_PARAM_construct_utf8_string("digest", "SHA256", 0), OSSL_PARAM_END};
    size_t taglen = 0;

    (void)state;
    assert_true(EVP_MAC_init(m, NULL, 0, aes) <= 0);
    assert_true(error_says("AES-256"));
    assert_true(EVP_MAC_init(m, NULL, 0, none) <= 0);
    assert_true(error_says("no-such-key"));
    good(EVP_MAC_init(m, NULL, 0, key));
    good(EVP_MAC_update(m, long_message, 1000));
    assert_true(EVP_MAC_update(m, long_message, 100) <= 0);
    assert_true(error_says("1024"));
    bad(EVP_MAC_update(m, long_message, 1)); /* what is left out cannot be made up for */
    bad(EVP_MAC_final(m, tag, &taglen, sizeof(tag)));
    good(EVP_MAC_init(m, NULL, 0, NULL));
    good(EVP_MAC_update(m, long_message, 1000) && EVP_MAC_final(m, tag, &taglen, sizeof(tag)));
    /* key bytes end the use of the device's key, also as a parameter */
    good(EVP_MAC_CTX_set_params(m, bytes));
    good(EVP_MAC_init(m, NULL, 0, NULL) && EVP_MAC_update(m, long_message, 10));
    good(EVP_MAC_final(m, tag, &taglen, sizeof(tag)));
    hmac(software(), NULL, "SHA256", iv, 16, NULL, long_message, 10, expected);
    assert_int_equal(taglen, 32);
    assert_memory_equal(tag, expected, 32);
    assert_true(EVP_EncryptInit_ex2(c, cipher, NULL, iv, aes) <= 0); /* a key of another size */
    assert_true(error_says("AES-256"));
    EVP_CIPHER_CTX_free(c);
    EVP_CIPHER_free(cipher);
    EVP_MAC_CTX_free(m);
    EVP_MAC_free(mac);
}

/* The last key that a KDF is given counts; a derivation writes over no key but its own like. */
static void test_kdf_keys(void **state)
{
    EVP_KDF *kdf = EVP_KDF_fetch(ctx, "HKDF", "provider=azihsm");
    EVP_KDF_CTX *k = EVP_KDF_CTX_new(kdf);
    EVP_PKEY *mine = make_key(software(), NULL, "P-256");
    unsigned char *spki = NULL;
    size_t len = (size_t)i2d_PUBKEY(mine, &spki);
    uint8_t out[64], expected[32];
    OSSL_PARAM device[] = {OSSL_PARAM_construct_utf8_string("digest", "SHA256", 0),
                           OSSL_PARAM_construct_utf8_string("azihsm.key", "azihsm://agree", 0),
                           OSSL_PARAM_construct_octet_string("azihsm.peer", spki, len),
                           OSSL_PARAM_construct_utf8_string("azihsm.output_type", "AES-256", 0),
                           OSSL_PARAM_construct_utf8_string("azihsm.output", "azihsm://derived", 0),
                           OSSL_PARAM_END};
    OSSL_PARAM over[] = {OSSL_PARAM_construct_utf8_string("azihsm.output", "azihsm://agree", 0), OSSL_PARAM_END};
    OSSL_PARAM odd[] = {OSSL_PARAM_construct_utf8_string("mode", "EXPAND_ONLY", 0), OSSL_PARAM_END};
    OSSL_PARAM even[] = {OSSL_PARAM_construct_utf8_string("mode", "EXTRACT_AND_EXPAND", 0), OSSL_PARAM_END};
    OSSL_PARAM bytes[] = {OSSL_PARAM_construct_octet_string("key", "0123456789abcdef", 16), OSSL_PARAM_END};
    OSSL_PARAM both[] = {bytes[0], device[1], OSSL_PARAM_END};

    (void)state;
    good(EVP_KDF_derive(k, out, sizeof(out), device));
    good(EVP_KDF_derive(k, out, sizeof(out), NULL)); /* the same again */
    bad(EVP_KDF_derive(k, out, sizeof(out), over));  /* a private key stands there */
    tool("key show agree --check");
    good(EVP_KDF_CTX_set_params(k, device) && EVP_KDF_CTX_set_params(k, odd));
    bad(EVP_KDF_derive(k, out, sizeof(out), NULL));
    good(EVP_KDF_CTX_set_params(k, even));
    good(EVP_KDF_derive(k, out, sizeof(out), NULL));
    bad(EVP_KDF_CTX_set_params(k, both));
    good(EVP_KDF_derive(k, out, 32, bytes));
    EVP_KDF_CTX_free(k);
    EVP_KDF_free(kdf);
    kdf = EVP_KDF_fetch(software(), "HKDF", NULL);
    k = EVP_KDF_CTX_new(kdf);
    good(EVP_KDF_CTX_set_params(k, (OSSL_PARAM[]){device[0], OSSL_PARAM_construct_end()}));
    good(EVP_KDF_derive(k, expected, 32, bytes));
    assert_memory_equal(out, expected, 32);
    EVP_KDF_CTX_free(k);
    EVP_KDF_free(kdf);
    OPENSSL_free(spki);
    EVP_PKEY_free(mine);
}

/* Without the switch there is nothing of it. */
static void test_off_by_default(void **state)
{
    (void)state;
    for (size_t o = 0; o < ORDERS; o++) {
        EVP_CIPHER *cipher = EVP_CIPHER_fetch(order(orders[o]), "AES-256-CBC", "provider=azihsm");
        EVP_MAC *mac = EVP_MAC_fetch(order(orders[o]), "HMAC", "provider=azihsm");
        EVP_KDF *kdf = EVP_KDF_fetch(order(orders[o]), "HKDF", "provider=azihsm");

        assert_null(cipher);
        assert_null(mac);
        assert_null(kdf);
        ERR_clear_error();
    }
}

static int begin(void **state)
{
    (void)state;
    ctx = order("symmetric");
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ciphers_with_bytes),
        cmocka_unit_test(test_mac_with_bytes),
        cmocka_unit_test(test_kdf_with_bytes),
        cmocka_unit_test(test_cbc),
        cmocka_unit_test(test_cbc_details),
        cmocka_unit_test(test_gcm),
        cmocka_unit_test(test_xts),
        cmocka_unit_test(test_derived_keys),
        cmocka_unit_test(test_derived_by_two_uses),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_kdf_keys),
        cmocka_unit_test(test_off_by_default),
    };

    return cmocka_run_group_tests(tests, begin, support_end);
}
