/*
 * Opaque symmetric keys (EVP_SKEY, OpenSSL from 3.5 on; derivations into them from 3.6 on): generated in the device,
 * found by URI, given as bytes; in ciphers, MACs, derivations and key agreements. Software that knows the key judges
 * where the key can be known. Skipped where the headers have none of it; older cores must not be offered the managers.
 */
#include "support.h"

#include <openssl/crypto.h>
#include <openssl/kdf.h>
#include <openssl/rand.h>
#include <openssl/store.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#if OPENSSL_VERSION_PREREQ(3, 5)
enum { DATA = 992 }; /* whole blocks: what XTS in the device takes */

static OSSL_LIB_CTX *ctx;
static uint8_t data[DATA];

#define UTF8(name, value) OSSL_PARAM_construct_utf8_string((name), (char *)(value), 0)
#define END               OSSL_PARAM_construct_end()

/* ---- helpers ---- */

static EVP_SKEY *generate(const char *manager, size_t length, const char *name)
{
    OSSL_PARAM params[3] = {END, END, END};
    size_t used = 0;
    EVP_SKEY *skey;

    if (length != 0)
        params[used++] = OSSL_PARAM_construct_size_t("key-length", &length);
    if (name != NULL)
        params[used++] = UTF8("azihsm.name", name);
    skey = EVP_SKEY_generate(ctx, manager, "provider=azihsm", params);
    good(skey != NULL);
    return skey;
}

static EVP_SKEY *by_uri(const char *manager, const char *uri, const char *tweak)
{
    OSSL_PARAM params[] = {UTF8("azihsm.key", uri), tweak == NULL ? END : UTF8("azihsm.tweak_key", tweak), END};

    return EVP_SKEY_import(ctx, manager, "provider=azihsm", OSSL_SKEYMGMT_SELECT_ALL, params);
}

static EVP_SKEY *of_bytes(OSSL_LIB_CTX *libctx, const char *manager, const char *propq, const uint8_t *key, size_t len,
                          const char *where)
{
    OSSL_PARAM params[] = {OSSL_PARAM_construct_octet_string("raw-bytes", (void *)(uintptr_t)key, len),
                           where == NULL ? END : UTF8("azihsm.import", where), END};

    return EVP_SKEY_import(libctx, manager, propq, OSSL_SKEYMGMT_SELECT_ALL, params);
}

/* The whole of data through a cipher; the length of what came out, 0 when anything failed. */
static size_t crypt(OSSL_LIB_CTX *libctx, const char *name, const char *propq, EVP_SKEY *skey, const uint8_t *key,
                    bool encrypt, uint8_t iv[16], const uint8_t *in, size_t len, uint8_t *out, uint8_t tag[16])
{
    EVP_CIPHER *cipher = EVP_CIPHER_fetch(libctx, name, propq);
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    bool gcm = EVP_CIPHER_get_mode(cipher) == EVP_CIPH_GCM_MODE;
    int n = 0, last = 0;
    bool ok;

    ok = skey != NULL ? EVP_CipherInit_SKEY(c, cipher, skey, iv, gcm ? 12 : 16, encrypt, NULL) == 1
                      : EVP_CipherInit_ex2(c, cipher, key, iv, encrypt, NULL) == 1;
    if (ok && gcm && !encrypt)
        ok = EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, 16, tag) == 1;
    ok = ok && EVP_CipherUpdate(c, out, &n, in, (int)len) == 1 && EVP_CipherFinal_ex(c, out + n, &last) == 1;
    if (ok && gcm && encrypt) /* the device may have replaced the IV */
        ok = EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, 16, tag) == 1 &&
             EVP_CIPHER_CTX_get_updated_iv(c, iv, 12) == 1;
    EVP_CIPHER_CTX_free(c);
    EVP_CIPHER_free(cipher);
    return ok ? (size_t)(n + last) : 0;
}

static size_t mac(OSSL_LIB_CTX *libctx, const char *propq, EVP_SKEY *skey, const char *digest, uint8_t *out)
{
    EVP_MAC *hmac = EVP_MAC_fetch(libctx, "HMAC", propq);
    EVP_MAC_CTX *m = EVP_MAC_CTX_new(hmac);
    OSSL_PARAM params[] = {UTF8("digest", digest), END};
    size_t len = 0;
    const uint8_t *raw;
    size_t rawlen;
    /* the default provider's HMAC takes no opaque keys */
    bool ok = (propq != NULL ? EVP_MAC_init_SKEY(m, skey, params) == 1
                             : EVP_SKEY_get0_raw_key(skey, &raw, &rawlen) && EVP_MAC_init(m, raw, rawlen, params) == 1);

    ok = ok && EVP_MAC_update(m, data, DATA) == 1 && EVP_MAC_final(m, out, &len, EVP_MAX_MD_SIZE) == 1;
    EVP_MAC_CTX_free(m);
    EVP_MAC_free(hmac);
    return ok ? len : 0;
}

/* ---- ciphers ---- */

static const struct {
    const char *cipher;
    size_t key;
} ciphers[] = {{"AES-128-CBC", 16}, {"AES-192-CBC", 24}, {"AES-256-CBC", 32}, {"AES-256-GCM", 32}, {"AES-256-XTS", 64}};
enum { CIPHERS = 5 };

static void round_trip(const char *cipher, EVP_SKEY *one, EVP_SKEY *two)
{
    uint8_t iv[16] = {1, 2, 3}, tag[16] = {0}, out[DATA + 16], back[DATA + 16];
    size_t len = crypt(ctx, cipher, "provider=azihsm", one, NULL, true, iv, data, DATA, out, tag);

    good(len >= DATA);
    assert_memory_not_equal(out, data, DATA);
    good(crypt(ctx, cipher, "provider=azihsm", two, NULL, false, iv, out, len, back, tag) == DATA);
    assert_memory_equal(back, data, DATA);
}

static void test_generated(void **state)
{
    (void)state;
    for (size_t i = 0; i < CIPHERS; i++) {
        long before = device_requests("AesGenerateKey");
        EVP_SKEY *skey = generate(ciphers[i].cipher, 0, NULL);
        const uint8_t *raw;
        size_t len;

        assert_int_equal(device_requests("AesGenerateKey"), before + (ciphers[i].key == 64 ? 2 : 1));
        assert_string_equal(EVP_SKEY_get0_provider_name(skey), "azihsm");
        assert_true(EVP_SKEY_is_a(skey, ciphers[i].cipher));
        assert_null(EVP_SKEY_get0_key_id(skey));
        bad(EVP_SKEY_get0_raw_key(skey, &raw, &len));
        round_trip(ciphers[i].cipher, skey, skey);
        EVP_SKEY_free(skey);
    }
}

static void test_named(void **state)
{
    static const char *const tweaks[] = {NULL, NULL, NULL, NULL, "azihsm://skey4.tweak"};

    (void)state;
    for (size_t i = 0; i < CIPHERS; i++) {
        char name[16], uri[32];
        EVP_SKEY *made, *found, *generic;

        snprintf(name, sizeof(name), "skey%zu", i);
        snprintf(uri, sizeof(uri), "azihsm://%s", name);
        made = generate(ciphers[i].cipher, ciphers[i].key, name);
        assert_string_equal(EVP_SKEY_get0_key_id(made), uri);
        assert_null(EVP_SKEY_generate(ctx, ciphers[i].cipher, "provider=azihsm",
                                      (OSSL_PARAM[]){UTF8("azihsm.name", name), END})); /* the name is taken */
        assert_true(error_says(name));
        ERR_clear_error();
        found = by_uri(ciphers[i].cipher, uri, tweaks[i]);
        generic = by_uri("GENERIC-SECRET", uri, tweaks[i]);
        good(found != NULL && generic != NULL);
        assert_string_equal(EVP_SKEY_get0_key_id(found), uri);
        round_trip(ciphers[i].cipher, made, found);
        round_trip(ciphers[i].cipher, generic, made);
        EVP_SKEY_free(generic);
        EVP_SKEY_free(found);
        EVP_SKEY_free(made);
    }
}

/* With bytes: the default provider's results; the same bytes in the device: these again. */
static void test_bytes(void **state)
{
    uint8_t key[64], iv[16], tag[16], expected[DATA + 16], out[DATA + 16], back[DATA + 16];

    (void)state;
    RAND_bytes(key, sizeof(key));
    for (size_t i = 0; i < CIPHERS; i++) {
        const char *name = ciphers[i].cipher;
        EVP_SKEY *here = of_bytes(ctx, name, "provider=azihsm", key, ciphers[i].key, NULL);
        EVP_SKEY *there = of_bytes(ctx, name, "provider=azihsm", key, ciphers[i].key, "device");
        const uint8_t *raw = NULL;
        size_t len = 0, rawlen = 0;

        good(here != NULL && there != NULL);
        good(EVP_SKEY_get0_raw_key(here, &raw, &rawlen));
        assert_int_equal(rawlen, ciphers[i].key);
        assert_memory_equal(raw, key, rawlen);
        bad(EVP_SKEY_get0_raw_key(there, &raw, &rawlen));
        memset(iv, 7, sizeof(iv));
        len = crypt(software(), name, NULL, NULL, key, true, iv, data, DATA, expected, tag);
        good(crypt(ctx, name, "provider=azihsm", here, NULL, true, iv, data, DATA, out, tag) == len);
        assert_memory_equal(out, expected, len);
        /* the device encrypts, perhaps with an IV of its own; software deciphers */
        good(crypt(ctx, name, "provider=azihsm", there, NULL, true, iv, data, DATA, out, tag) == len);
        good(crypt(software(), name, NULL, NULL, key, false, iv, out, len, back, tag) == DATA);
        assert_memory_equal(back, data, DATA);
        EVP_SKEY_free(here);
        EVP_SKEY_free(there);
    }
}

/* A key by name, label, tag or session is one in the device; where it is not, nothing of that is passed over. */
static void test_options(void **state)
{
    const OSSL_PARAM options[] = {UTF8("azihsm.name", "opt"), UTF8("azihsm.label", "opt"), UTF8("azihsm.tag", "0x77"),
                                  UTF8("azihsm.session", "yes")};

    (void)state;
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
        OSSL_PARAM bytes[] = {OSSL_PARAM_construct_octet_string("raw-bytes", data, 32), options[i], END};
        OSSL_PARAM uri[] = {UTF8("azihsm.key", "azihsm://skey2"), options[i], END}; /* of test_named */

        assert_null(EVP_SKEY_import(ctx, "AES-256-CBC", "provider=azihsm", OSSL_SKEYMGMT_SELECT_ALL, bytes));
        assert_true(error_says("azihsm.import=device"));
        ERR_clear_error();
        assert_null(EVP_SKEY_import(ctx, "AES-256-CBC", "provider=azihsm", OSSL_SKEYMGMT_SELECT_ALL, uri));
        assert_true(error_says("azihsm.import=device"));
        ERR_clear_error();
    }
}

static EVP_SKEY *generate_tagged(const char *manager, const char *name, const char *tag)
{
    OSSL_PARAM params[] = {UTF8("azihsm.tag", tag), name == NULL ? END : UTF8("azihsm.name", name), END};

    return EVP_SKEY_generate(ctx, manager, "provider=azihsm", params);
}

/* By tag a secret key is found and deleted; a pair has none. A key that was refused its name leaves nothing. */
static void test_tags(void **state)
{
    static const char uri[] = "azihsm:?tag=0x1313";
    EVP_SKEY *made = generate_tagged("AES-256-CBC", NULL, "0x1313"), *found, *pair;
    char first[600];
    struct stat info;
    FILE *file;

    (void)state;
    good(made != NULL);
    assert_string_equal(EVP_SKEY_get0_key_id(made), uri);
    found = by_uri("AES-256-CBC", uri, NULL);
    good(found != NULL);
    round_trip("AES-256-CBC", made, found);
    EVP_SKEY_free(found);
    EVP_SKEY_free(made);
    good(OSSL_STORE_delete(uri, ctx, NULL, NULL, NULL, NULL));
    assert_null(by_uri("AES-256-CBC", uri, NULL));
    assert_true(error_says("KeyNotFound"));
    ERR_clear_error();

    pair = generate_tagged("AES-256-XTS", NULL, "0x1313");
    good(pair != NULL);
    assert_null(EVP_SKEY_get0_key_id(pair));
    EVP_SKEY_free(pair);
    good(OSSL_STORE_delete(uri, ctx, NULL, NULL, NULL, NULL));

    snprintf(first, sizeof(first), "%s/keys/half.tweak.pem", getenv("AZIHSM_TEST_DIR"));
    file = fopen(first, "w");
    good(file != NULL && fclose(file) == 0);
    assert_null(generate_tagged("AES-256-XTS", "half", "0x1313")); /* the name of the second is taken */
    assert_true(error_says("half.tweak.pem"));
    ERR_clear_error();
    snprintf(first, sizeof(first), "%s/keys/half.pem", getenv("AZIHSM_TEST_DIR"));
    assert_int_not_equal(stat(first, &info), 0);
    assert_null(by_uri("GENERIC-SECRET", uri, NULL));
    ERR_clear_error();
}

/* ---- MACs ---- */

static void test_mac(void **state)
{
    static const struct {
        size_t key;
        const char *digest;
    } macs[] = {{32, "SHA256"}, {48, "SHA384"}, {64, "SHA512"}};
    uint8_t one[EVP_MAX_MD_SIZE], two[EVP_MAX_MD_SIZE];
    char name[16], uri[32];

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        EVP_SKEY *made, *found, *here, *theirs;

        snprintf(name, sizeof(name), "mac%zu", macs[i].key);
        snprintf(uri, sizeof(uri), "azihsm://%s", name);
        made = generate("HMAC", macs[i].key, name);
        found = by_uri("GENERIC-SECRET", uri, NULL);
        good(mac(ctx, "provider=azihsm", made, macs[i].digest, one) == macs[i].key);
        good(mac(ctx, "provider=azihsm", found, macs[i].digest, two) == macs[i].key);
        assert_memory_equal(one, two, macs[i].key);
        bad((long)mac(ctx, "provider=azihsm", made, "SHA1", one)); /* another digest than the key's */
        here = of_bytes(ctx, "HMAC", "provider=azihsm", data, macs[i].key, NULL);
        theirs = of_bytes(software(), "GENERIC-SECRET", NULL, data, macs[i].key, NULL);
        good(mac(ctx, "provider=azihsm", here, macs[i].digest, one) == macs[i].key);
        good(mac(software(), NULL, theirs, macs[i].digest, two) == macs[i].key);
        assert_memory_equal(one, two, macs[i].key);
        EVP_SKEY_free(theirs);
        EVP_SKEY_free(here);
        EVP_SKEY_free(found);
        EVP_SKEY_free(made);
    }
}

/* ---- derivations ---- */

#if OPENSSL_VERSION_PREREQ(3, 6)
static EVP_SKEY *agree(EVP_PKEY *key, EVP_PKEY *peer, const char *propq, size_t len)
{
    EVP_PKEY_CTX *pctx = EVP_PKEY_CTX_new_from_pkey(ctx, key, NULL);
    EVP_SKEY *secret = NULL;

    if (EVP_PKEY_derive_init(pctx) == 1 && EVP_PKEY_derive_set_peer(pctx, peer) == 1)
        secret = EVP_PKEY_derive_SKEY(pctx, NULL, "GENERIC-SECRET", propq, len, NULL);
    EVP_PKEY_CTX_free(pctx);
    return secret;
}

static EVP_SKEY *derive(OSSL_LIB_CTX *libctx, const char *propq, EVP_SKEY *secret, const char *type, size_t len)
{
    EVP_KDF *kdf = EVP_KDF_fetch(libctx, "HKDF", propq);
    EVP_KDF_CTX *k = EVP_KDF_CTX_new(kdf);
    OSSL_PARAM params[] = {UTF8("digest", "SHA384"), OSSL_PARAM_construct_octet_string("salt", "salt", 4),
                           OSSL_PARAM_construct_octet_string("info", "info", 4), END};
    EVP_SKEY *skey = NULL;

    if (EVP_KDF_CTX_set_SKEY(k, secret, "key") == 1)
        skey = EVP_KDF_derive_SKEY(k, NULL, type, propq, len, params);
    EVP_KDF_CTX_free(k);
    EVP_KDF_free(kdf);
    return skey;
}

/* Key agreement, derivation and use in the device: the other side, in software, comes to the same. */
static void test_chain(void **state)
{
    static const struct {
        const char *name, *cipher;
        size_t len;
    } aliases[] = {
        {"AES128", "AES-128-CBC", 16}, {"aes192", "AES-192-CBC", 24}, {"2.16.840.1.101.3.4.1.42", "AES-256-CBC", 32}};
    EVP_PKEY *device = device_key(ctx, "P-384x"), *mine = software_key(ctx, "P-384");
    EVP_PKEY *pub = public_of(device), *minepub = public_of(mine);
    EVP_SKEY *secret, *aes, *hmac, *soft, *key;
    uint8_t raw[48], iv[16] = {9}, one[DATA + 16], two[DATA + 16];
    const uint8_t *bytes = NULL;
    size_t len = sizeof(raw), keylen;
    EVP_PKEY_CTX *pctx = EVP_PKEY_CTX_new_from_pkey(ctx, mine, "provider=default");

    (void)state;
    good(EVP_PKEY_derive_init(pctx) == 1 && EVP_PKEY_derive_set_peer(pctx, pub) == 1 &&
         EVP_PKEY_derive(pctx, raw, &len) == 1);
    EVP_PKEY_CTX_free(pctx);
    secret = agree(device, minepub, "provider=azihsm", 48);
    good(secret != NULL);
    assert_string_equal(EVP_SKEY_get0_provider_name(secret), "azihsm");
    bad(EVP_SKEY_get0_raw_key(secret, &bytes, &keylen));
    soft = of_bytes(software(), "GENERIC-SECRET", NULL, raw, len, NULL);

    aes = derive(ctx, "provider=azihsm", secret, "AES", 32);
    good(aes != NULL);
    key = derive(software(), NULL, soft, "AES", 32);
    good(key != NULL && EVP_SKEY_get0_raw_key(key, &bytes, &keylen));
    len = crypt(ctx, "AES-256-CBC", "provider=azihsm", aes, NULL, true, iv, data, DATA, one, NULL);
    good(crypt(software(), "AES-256-CBC", NULL, NULL, bytes, true, iv, data, DATA, two, NULL) == len && len > 0);
    assert_memory_equal(one, two, len);
    EVP_SKEY_free(key);

    hmac = derive(ctx, "provider=azihsm", secret, "HMAC", 48);
    good(hmac != NULL);
    key = derive(software(), NULL, soft, "GENERIC-SECRET", 48);
    good(mac(ctx, "provider=azihsm", hmac, "SHA384", one) == 48 && mac(software(), NULL, key, "SHA384", two) == 48);
    assert_memory_equal(one, two, 48);
    EVP_SKEY_free(key);

    for (size_t i = 0; i < sizeof(aliases) / sizeof(aliases[0]); i++) { /* a manager by any of its names */
        key = derive(ctx, "provider=azihsm", secret, aliases[i].name, aliases[i].len);
        good(key != NULL);
        assert_true(EVP_SKEY_is_a(key, aliases[i].cipher));
        round_trip(aliases[i].cipher, key, key);
        EVP_SKEY_free(key);
    }
    assert_null(derive(ctx, "provider=azihsm", secret, "AES-256-GCM", 32)); /* not a kind that is derived */
    assert_true(error_says("AES-256-GCM"));
    assert_null(derive(ctx, "provider=azihsm", secret, "AES", 20));
    assert_true(error_says("20 bytes"));
    assert_null(agree(device, minepub, "provider=azihsm", 32)); /* the secret has 48 */
    assert_true(error_says("48"));
    EVP_SKEY_free(hmac);
    EVP_SKEY_free(aes);
    EVP_SKEY_free(soft);
    EVP_SKEY_free(secret);
}

/* The last "key" counts; another secret input does not touch it. */
static void test_last_key(void **state)
{
    EVP_PKEY *device = device_key(ctx, "P-384x"), *peer = public_of(software_key(ctx, "P-384"));
    EVP_SKEY *secret = agree(device, peer, "provider=azihsm", 48), *key;
    EVP_SKEY *salt = of_bytes(ctx, "GENERIC-SECRET", "provider=azihsm", data, 20, NULL);
    EVP_KDF *kdf = EVP_KDF_fetch(ctx, "HKDF", "provider=azihsm");
    EVP_KDF_CTX *k = EVP_KDF_CTX_new(kdf);
    OSSL_PARAM digest[] = {UTF8("digest", "SHA256"), END};
    OSSL_PARAM bytes[] = {OSSL_PARAM_construct_octet_string("key", data, 30), END};
    const uint8_t *raw;
    size_t len;

    (void)state;
    good(EVP_KDF_CTX_set_SKEY(k, secret, "key") && EVP_KDF_CTX_set_SKEY(k, salt, "salt"));
    key = EVP_KDF_derive_SKEY(k, NULL, "AES", "provider=azihsm", 32, digest);
    good(key != NULL);
    bad(EVP_SKEY_get0_raw_key(key, &raw, &len));
    EVP_SKEY_free(key);
    good(EVP_KDF_CTX_set_params(k, bytes));
    key = EVP_KDF_derive_SKEY(k, NULL, "GENERIC-SECRET", "provider=azihsm", 32, digest);
    good(key != NULL && EVP_SKEY_get0_raw_key(key, &raw, &len) && len == 32);
    EVP_SKEY_free(key);
    EVP_KDF_CTX_free(k);
    EVP_KDF_free(kdf);
    EVP_SKEY_free(salt);
    EVP_SKEY_free(secret);
}

/* The same functions of ours with software keys. */
static void test_chain_in_software(void **state)
{
    OSSL_LIB_CTX *preferred = order("symmetric-preferred");
    EVP_SKEY *soft = of_bytes(software(), "GENERIC-SECRET", NULL, data, 48, NULL);
    EVP_SKEY *here = of_bytes(preferred, "GENERIC-SECRET", "provider=azihsm", data, 48, NULL);
    EVP_SKEY *one, *two;
    const uint8_t *a, *b;
    size_t alen, blen;

    (void)state;
    good(here != NULL);
    one = derive(preferred, "provider=azihsm", here, "GENERIC-SECRET", 77);
    two = derive(software(), NULL, soft, "GENERIC-SECRET", 77);
    good(one != NULL && two != NULL);
    good(EVP_SKEY_get0_raw_key(one, &a, &alen) && EVP_SKEY_get0_raw_key(two, &b, &blen));
    assert_int_equal(alen, 77);
    assert_int_equal(blen, 77);
    assert_memory_equal(a, b, 77);
    EVP_SKEY_free(two);
    EVP_SKEY_free(one);
    EVP_SKEY_free(here);
    EVP_SKEY_free(soft);
}
#endif

/* ---- what does not fit is refused, with a word on why ---- */

static void test_refused(void **state)
{
    EVP_SKEY *aes = generate("AES-256-CBC", 0, NULL), *hmac = generate("HMAC", 0, NULL);
    uint8_t iv[16] = {0}, out[DATA + 16], tag[16];

    (void)state;
    bad((long)crypt(ctx, "AES-128-CBC", "provider=azihsm", aes, NULL, true, iv, data, DATA, out, tag));
    assert_int_equal(crypt(ctx, "AES-256-GCM", "provider=azihsm", aes, NULL, true, iv, data, DATA, out, tag), 0);
    assert_true(error_says("AES-256-GCM"));
    assert_int_equal(mac(ctx, "provider=azihsm", aes, "SHA256", out), 0);
    assert_true(error_says("HMAC"));
    assert_null(of_bytes(ctx, "AES-256-CBC", "provider=azihsm", data, 16, NULL));
    assert_true(error_says("16 bytes"));
    assert_null(of_bytes(ctx, "HMAC", "provider=azihsm", data, 32, "device"));
    assert_true(error_says("HMAC"));
    assert_null(of_bytes(ctx, "AES", "provider=azihsm", data, 32, "refuse"));
    assert_null(of_bytes(ctx, "AES", "provider=azihsm", data, 32, "anything"));
    assert_null(by_uri("AES", "azihsm://no-such-key", NULL));
    assert_true(error_says("no-such-key"));
    assert_null(by_uri("HMAC", "azihsm://skey2", NULL)); /* of test_named: an AES key */
    assert_true(error_says("AES-256"));
    assert_null(EVP_SKEY_generate(ctx, "AES", "provider=azihsm",
                                  (OSSL_PARAM[]){UTF8("azihsm.key_usage", "digitalSignature"), END}));
    assert_true(error_says("azihsm.key_usage"));
    EVP_SKEY_free(hmac);
    EVP_SKEY_free(aes);
    ERR_clear_error();
}
#endif

/* Only with the switch, and only by a core that knows what they are. */
static void test_offered(void **state)
{
    (void)state;
#if OPENSSL_VERSION_PREREQ(3, 5)
    EVP_SKEYMGMT *off = EVP_SKEYMGMT_fetch(order(orders[0]), "AES", "provider=azihsm");
    EVP_SKEYMGMT *on = EVP_SKEYMGMT_fetch(order("symmetric"), "AES", "provider=azihsm");

    assert_null(off);
    assert_int_equal(on != NULL, OPENSSL_version_minor() >= 5 || OPENSSL_version_major() > 3);
    EVP_SKEYMGMT_free(on);
    ERR_clear_error();
#else
    EVP_CIPHER *cipher = EVP_CIPHER_fetch(order("symmetric"), "AES-256-CBC", "provider=azihsm");

    good(cipher != NULL); /* the tables with functions of 3.5 in them serve an older core */
    EVP_CIPHER_free(cipher);
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#if OPENSSL_VERSION_PREREQ(3, 5)
        cmocka_unit_test(test_generated),
        cmocka_unit_test(test_named),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_tags),
        cmocka_unit_test(test_mac),
#if OPENSSL_VERSION_PREREQ(3, 6)
        cmocka_unit_test(test_chain),
        cmocka_unit_test(test_last_key),
        cmocka_unit_test(test_chain_in_software),
#endif
        cmocka_unit_test(test_refused),
#endif
        cmocka_unit_test(test_offered),
    };

#if OPENSSL_VERSION_PREREQ(3, 5)
    ctx = order("symmetric");
    RAND_bytes(data, sizeof(data));
#else
    print_message("SKIP: these headers have no opaque symmetric keys; only what older cores are offered is tested\n");
#endif
    return cmocka_run_group_tests(tests, NULL, support_end);
}
