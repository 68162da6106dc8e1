/*
 * RSA decryption with device keys: everything the default provider encrypts, in all paddings, and what happens to
 * ciphertexts that nobody encrypted. Encryption goes through our public half and through the default provider alike.
 */
#include "support.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>

static OSSL_LIB_CTX *ctx;
static const char *const kinds[] = {"RSA-2048d", "RSA-3072d", "RSA-4096d"};
static const char *const digests[] = {"SHA1", "SHA224", "SHA256", "SHA384", "SHA512", "SHA512-256", "SHA3-256"};
enum { KINDS = 3, DIGESTS = sizeof(digests) / sizeof(digests[0]), BLOCK_MAX = 512 };

struct oaep {
    const char *md, *mgf1, *label; /* NULL: not set */
};

static int set_oaep(EVP_PKEY_CTX *pctx, const struct oaep *oaep)
{
    if (EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_OAEP_PADDING) != 1)
        return 0;
    if (oaep->md != NULL && EVP_PKEY_CTX_set_rsa_oaep_md_name(pctx, oaep->md, NULL) != 1)
        return 0;
    if (oaep->mgf1 != NULL && EVP_PKEY_CTX_set_rsa_mgf1_md_name(pctx, oaep->mgf1, NULL) != 1)
        return 0;
    return oaep->label == NULL ||
           EVP_PKEY_CTX_set0_rsa_oaep_label(pctx, OPENSSL_strdup(oaep->label), (int)strlen(oaep->label)) == 1;
}

static size_t encrypt(EVP_PKEY *key, OSSL_LIB_CTX *libctx, int padding, const struct oaep *oaep, const uint8_t *in,
                      size_t inlen, uint8_t *out)
{
    EVP_PKEY_CTX *pctx = EVP_PKEY_CTX_new_from_pkey(libctx, key, NULL);
    size_t len = BLOCK_MAX;

    good(EVP_PKEY_encrypt_init(pctx));
    good(oaep != NULL ? set_oaep(pctx, oaep) : EVP_PKEY_CTX_set_rsa_padding(pctx, padding));
    good(EVP_PKEY_encrypt(pctx, out, &len, in, inlen));
    EVP_PKEY_CTX_free(pctx);
    return len;
}

static int decrypt(EVP_PKEY *key, OSSL_LIB_CTX *libctx, int padding, const struct oaep *oaep, const uint8_t *in,
                   size_t inlen, uint8_t *out, size_t *outlen)
{
    EVP_PKEY_CTX *pctx = EVP_PKEY_CTX_new_from_pkey(libctx, key, NULL);
    int ok;

    *outlen = 0;
    good(EVP_PKEY_decrypt_init(pctx));
    good(oaep != NULL ? set_oaep(pctx, oaep) : EVP_PKEY_CTX_set_rsa_padding(pctx, padding));
    good(EVP_PKEY_decrypt(pctx, NULL, outlen, in, inlen));
    assert_int_equal(*outlen, EVP_PKEY_get_size(key));
    ok = EVP_PKEY_decrypt(pctx, out, outlen, in, inlen);
    EVP_PKEY_CTX_free(pctx);
    return ok;
}

static void check_oaep(const char *kind, const struct oaep *oaep, size_t len)
{
    EVP_PKEY *key = device_key(ctx, kind);
    uint8_t in[BLOCK_MAX], cipher[BLOCK_MAX], out[BLOCK_MAX];
    size_t size, outlen;

    RAND_bytes(in, sizeof(in));
    for (int ours = 0; ours < 2; ours++) {
        size = encrypt(ours ? key : public_of(key), ours ? ctx : software(), 0, oaep, in, len, cipher);
        good(decrypt(key, ctx, 0, oaep, cipher, size, out, &outlen));
        assert_int_equal(outlen, len);
        assert_memory_equal(out, in, len);
    }
}

static void test_oaep(void **state)
{
    (void)state;
    for (size_t k = 0; k < KINDS; k++)
        for (size_t d = 0; d < DIGESTS; d++) {
            struct oaep oaep = {digests[d], d % 3 == 0 ? NULL : digests[(d + k) % DIGESTS], d % 2 ? "label" : NULL};
            check_oaep(kinds[k], &oaep, 0);
            check_oaep(kinds[k], &oaep, 48);
            check_oaep(kinds[k], &oaep, 126);
        }
    check_oaep("RSA-2048d", &(struct oaep){NULL, NULL, NULL}, 214); /* SHA-1 is the default */
}

static void test_oaep_faults(void **state)
{
    struct oaep right = {"SHA256", NULL, "label"}, others[] = {{"SHA256", NULL, "Label"},
                                                               {"SHA256", NULL, NULL},
                                                               {"SHA256", "SHA1", "label"},
                                                               {"SHA1", NULL, "label"}};
    EVP_PKEY *key = device_key(ctx, "RSA-2048d");
    uint8_t cipher[BLOCK_MAX], out[BLOCK_MAX];
    size_t outlen;

    (void)state;
    encrypt(public_of(key), software(), 0, &right, (const uint8_t *)"secret", 6, cipher);
    for (size_t i = 0; i < 4; i++)
        bad(decrypt(key, ctx, 0, &others[i], cipher, 256, out, &outlen));
    cipher[100] ^= 1;
    bad(decrypt(key, ctx, 0, &right, cipher, 256, out, &outlen));
}

static void test_pkcs1(void **state)
{
    uint8_t in[BLOCK_MAX], cipher[BLOCK_MAX], out[BLOCK_MAX];
    size_t outlen, size;

    (void)state;
    RAND_bytes(in, sizeof(in));
    for (size_t k = 0; k < KINDS; k++) {
        EVP_PKEY *key = device_key(ctx, kinds[k]);
        size_t most = (size_t)EVP_PKEY_get_size(key) - 11;
        size_t lengths[] = {0, 1, 16, 47, 48, 128, most - 1, most};
        for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
            size_t len = lengths[i];
            size = encrypt(public_of(key), software(), RSA_PKCS1_PADDING, NULL, in, len, cipher);
            good(decrypt(key, ctx, RSA_PKCS1_PADDING, NULL, cipher, size, out, &outlen));
            assert_int_equal(outlen, len);
            assert_memory_equal(out, in, len);
        }
    }
}

/* A malformed ciphertext decrypts to the same nonsense every time, in every context, and raises nothing. */
static void test_pkcs1_implicit_rejection(void **state)
{
    EVP_PKEY *key = device_key(ctx, "RSA-2048d");
    uint8_t cipher[BLOCK_MAX], first[BLOCK_MAX], again[BLOCK_MAX];
    size_t firstlen, againlen, lengths = 0, before = 0;

    (void)state;
    for (int i = 0; i < 20; i++) {
        RAND_bytes(cipher, sizeof(cipher));
        cipher[0] = 0;
        ERR_clear_error();
        good(decrypt(key, ctx, RSA_PKCS1_PADDING, NULL, cipher, 256, first, &firstlen));
        good(decrypt(key, ctx, RSA_PKCS1_PADDING, NULL, cipher, 256, again, &againlen));
        assert_int_equal(ERR_peek_error(), 0);
        assert_true(firstlen <= 245);
        assert_int_equal(firstlen, againlen);
        assert_memory_equal(first, again, firstlen);
        lengths += firstlen != before;
        before = firstlen;
    }
    assert_true(lengths > 10);
}

static int decrypt_tls(EVP_PKEY *key, const uint8_t *cipher, unsigned client, unsigned negotiated, uint8_t out[48])
{
    EVP_PKEY_CTX *pctx = EVP_PKEY_CTX_new_from_pkey(ctx, key, NULL);
    OSSL_PARAM params[4], *p = params;
    size_t len = 0;
    int ok;

    *p++ = OSSL_PARAM_construct_uint(OSSL_ASYM_CIPHER_PARAM_TLS_CLIENT_VERSION, &client);
    if (negotiated != 0)
        *p++ = OSSL_PARAM_construct_uint(OSSL_ASYM_CIPHER_PARAM_TLS_NEGOTIATED_VERSION, &negotiated);
    *p = OSSL_PARAM_construct_end();
    good(EVP_PKEY_decrypt_init(pctx));
    good(EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_WITH_TLS_PADDING));
    if (client != 0)
        good(EVP_PKEY_CTX_set_params(pctx, params));
    good(EVP_PKEY_decrypt(pctx, NULL, &len, cipher, 256));
    assert_int_equal(len, 48);
    ok = EVP_PKEY_decrypt(pctx, out, &len, cipher, 256);
    assert_int_equal(len, 48);
    EVP_PKEY_CTX_free(pctx);
    return ok;
}

static void test_tls_premaster(void **state)
{
    EVP_PKEY *key = device_key(ctx, "RSA-2048d");
    uint8_t secret[48], cipher[BLOCK_MAX], out[48], again[48];

    (void)state;
    RAND_bytes(secret, sizeof(secret));
    secret[0] = secret[1] = 3;
    encrypt(public_of(key), software(), RSA_PKCS1_PADDING, NULL, secret, 48, cipher);
    good(decrypt_tls(key, cipher, 0x0303, 0, out));
    assert_memory_equal(out, secret, 48);
    good(decrypt_tls(key, cipher, 0x0302, 0x0303, out));
    assert_memory_equal(out, secret, 48);
    good(decrypt_tls(key, cipher, 0x0302, 0, out)); /* wrong version: random, no error */
    assert_memory_not_equal(out, secret, 48);
    bad(decrypt_tls(key, cipher, 0, 0, out)); /* version not told */
    encrypt(public_of(key), software(), RSA_PKCS1_PADDING, NULL, secret, 47, cipher);
    good(decrypt_tls(key, cipher, 0x0303, 0, out));
    good(decrypt_tls(key, cipher, 0x0303, 0, again));
    assert_memory_not_equal(out, again, 48);
}

static void test_no_padding(void **state)
{
    EVP_PKEY *key = device_key(ctx, "RSA-2048d");
    uint8_t in[256], cipher[BLOCK_MAX], out[BLOCK_MAX];
    size_t outlen;

    (void)state;
    RAND_bytes(in, sizeof(in));
    in[0] = 0;
    encrypt(public_of(key), software(), RSA_NO_PADDING, NULL, in, sizeof(in), cipher);
    good(decrypt(key, ctx, RSA_NO_PADDING, NULL, cipher, 256, out, &outlen));
    assert_int_equal(outlen, 256);
    assert_memory_equal(out, in, 256);
}

static void test_lengths(void **state)
{
    EVP_PKEY *key = device_key(ctx, "RSA-2048d");
    EVP_PKEY_CTX *pctx = EVP_PKEY_CTX_new_from_pkey(ctx, key, NULL);
    uint8_t cipher[BLOCK_MAX], out[BLOCK_MAX];
    size_t len = 255;

    (void)state;
    encrypt(public_of(key), software(), RSA_PKCS1_PADDING, NULL, (const uint8_t *)"x", 1, cipher);
    good(EVP_PKEY_decrypt_init(pctx));
    bad(EVP_PKEY_decrypt(pctx, out, &len, cipher, 256)); /* a buffer below the modulus is refused, as by default */
    len = sizeof(out);
    bad(EVP_PKEY_decrypt(pctx, out, &len, cipher, 257));
    memset(cipher, 0xFF, sizeof(cipher));
    len = sizeof(out);
    bad(EVP_PKEY_decrypt(pctx, out, &len, cipher, 256)); /* not below the modulus */
    EVP_PKEY_CTX_free(pctx);
}

static void test_copy(void **state)
{
    struct oaep oaep = {"SHA384", "SHA256", "copied"};
    EVP_PKEY *key = device_key(ctx, "RSA-2048d");
    EVP_PKEY_CTX *pctx = EVP_PKEY_CTX_new_from_pkey(ctx, key, NULL), *copy;
    uint8_t cipher[BLOCK_MAX], out[BLOCK_MAX];
    size_t len = sizeof(out);

    (void)state;
    encrypt(public_of(key), software(), 0, &oaep, (const uint8_t *)"hello", 5, cipher);
    good(EVP_PKEY_decrypt_init(pctx));
    good(set_oaep(pctx, &oaep));
    copy = EVP_PKEY_CTX_dup(pctx);
    assert_non_null(copy);
    EVP_PKEY_CTX_free(pctx);
    good(EVP_PKEY_decrypt(copy, out, &len, cipher, 256));
    assert_int_equal(len, 5);
    assert_memory_equal(out, "hello", 5);
    EVP_PKEY_CTX_free(copy);
}

static int begin(void **state)
{
    (void)state;
    ctx = order("default-first");
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_oaep),          cmocka_unit_test(test_oaep_faults),
        cmocka_unit_test(test_pkcs1),         cmocka_unit_test(test_pkcs1_implicit_rejection),
        cmocka_unit_test(test_tls_premaster), cmocka_unit_test(test_no_padding),
        cmocka_unit_test(test_lengths),       cmocka_unit_test(test_copy),
    };

    return cmocka_run_group_tests(tests, begin, support_end);
}
