/*
 * Keys of the device whose value a test knows (devicekey.h).
 */
#include "devicekey.h"

#include "support.h"

#include <openssl/kdf.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>

void tool(const char *words)
{
    const char *door = getenv("AZIHSM_TEST_DOOR");
    char line[1024];

    snprintf(line, sizeof(line), "cd '%s' && '%s/bin/azihsm' --device %s --keys keys %s >tool.log 2>&1",
             getenv("AZIHSM_TEST_DIR"), getenv("AZIHSM_TEST_BUILD"),
             door == NULL || *door == '\0' ? "unix:$PWD/azihsmd.sock"
                                           : "/dev/azihsm0 --pin-source file:$PWD/credential",
             words);
    if (system(line) == 0)
        return;
    snprintf(line, sizeof(line), "cat '%s/tool.log' >&2", getenv("AZIHSM_TEST_DIR"));
    if (system(line) != 0)
        print_error("no log\n");
    fail_msg("azihsm %s", words);
}

EVP_PKEY *read_public(const char *name)
{
    char path[512];
    FILE *file;
    EVP_PKEY *key;

    snprintf(path, sizeof(path), "%s/%s", getenv("AZIHSM_TEST_DIR"), name);
    file = fopen(path, "r");
    assert_non_null(file);
    key = PEM_read_PUBKEY_ex(file, NULL, NULL, NULL, software(), NULL);
    fclose(file);
    assert_non_null(key);
    return key;
}

/* PKCS#11 RSA-AES key wrap, as a key-management service would do it. */
static size_t wrap(EVP_PKEY *unwrapping, const uint8_t *key, size_t keylen, uint8_t *out)
{
    EVP_CIPHER *kwp = EVP_CIPHER_fetch(software(), "AES-256-WRAP-PAD", NULL);
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    EVP_PKEY_CTX *pctx = EVP_PKEY_CTX_new_from_pkey(software(), unwrapping, NULL);
    uint8_t kek[32];
    size_t len = 512;
    int n, rest;

    RAND_bytes(kek, sizeof(kek));
    good(EVP_PKEY_encrypt_init(pctx));
    good(EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_OAEP_PADDING));
    good(EVP_PKEY_CTX_set_rsa_oaep_md_name(pctx, "SHA256", NULL));
    good(EVP_PKEY_encrypt(pctx, out, &len, kek, sizeof(kek)));
    EVP_CIPHER_CTX_set_flags(c, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
    good(EVP_EncryptInit_ex2(c, kwp, kek, NULL, NULL));
    good(EVP_EncryptUpdate(c, out + len, &n, key, (int)keylen));
    good(EVP_EncryptFinal_ex(c, out + len + n, &rest));
    EVP_PKEY_CTX_free(pctx);
    EVP_CIPHER_CTX_free(c);
    EVP_CIPHER_free(kwp);
    return len + (size_t)n + (size_t)rest;
}

void import_key(const char *name, const char *class, const uint8_t *key, size_t keylen)
{
    char path[512], words[256];
    uint8_t blob[1024];
    EVP_PKEY *unwrapping;
    FILE *file;
    size_t len;

    tool("unwrapping-key --out unwrapping.pem");
    unwrapping = read_public("unwrapping.pem");
    len = wrap(unwrapping, key, keylen, blob);
    EVP_PKEY_free(unwrapping);
    snprintf(path, sizeof(path), "%s/wrapped", getenv("AZIHSM_TEST_DIR"));
    file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(blob, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
    snprintf(words, sizeof(words), "key import %s --wrapped --class %s --usage decrypt --force --in wrapped", name,
             class);
    tool(words);
}

/* ---- key agreement ---- */

static const char derived_message[] = "known by both sides";

static size_t mac_in_software(const uint8_t *secret, size_t secretlen, uint8_t mac[EVP_MAX_MD_SIZE])
{
    EVP_KDF *kdf = EVP_KDF_fetch(software(), "HKDF", NULL);
    EVP_KDF_CTX *k = EVP_KDF_CTX_new(kdf);
    uint8_t key[32];
    size_t len = 0;
    OSSL_PARAM params[] = {OSSL_PARAM_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)"SHA256", 6),
                           OSSL_PARAM_octet_string(OSSL_KDF_PARAM_KEY, (uint8_t *)secret, secretlen), OSSL_PARAM_END};

    good(EVP_KDF_derive(k, key, sizeof(key), params));
    good(EVP_Q_mac(software(), "HMAC", NULL, "SHA256", NULL, key, sizeof(key), (const uint8_t *)derived_message,
                   sizeof(derived_message), mac, EVP_MAX_MD_SIZE, &len) != NULL);
    EVP_KDF_CTX_free(k);
    EVP_KDF_free(kdf);
    return len;
}

static int derive_in_device(const char *uri, EVP_PKEY *peer, const char *output)
{
    EVP_KDF *kdf = EVP_KDF_fetch(order("symmetric"), "HKDF", "provider=azihsm");
    EVP_KDF_CTX *k = EVP_KDF_CTX_new(kdf);
    unsigned char *spki = NULL, out[64];
    int ok, len = i2d_PUBKEY(peer, &spki);
    OSSL_PARAM params[] = {OSSL_PARAM_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)"SHA256", 6),
                           OSSL_PARAM_utf8_string("azihsm.key", (char *)uri, strlen(uri)),
                           OSSL_PARAM_octet_string("azihsm.peer", spki, (size_t)len),
                           OSSL_PARAM_utf8_string("azihsm.output_type", (char *)"HMAC-SHA256", 11),
                           OSSL_PARAM_utf8_string("azihsm.output", (char *)output, strlen(output)),
                           OSSL_PARAM_END};

    ok = len > 0 && EVP_KDF_derive(k, out, sizeof(out), params) == 1;
    ERR_clear_error();
    OPENSSL_free(spki);
    EVP_KDF_CTX_free(k);
    EVP_KDF_free(kdf);
    return ok;
}

static size_t mac_in_device(const char *uri, uint8_t mac[EVP_MAX_MD_SIZE])
{
    EVP_MAC *hmac = EVP_MAC_fetch(order("symmetric"), "HMAC", "provider=azihsm");
    EVP_MAC_CTX *m = EVP_MAC_CTX_new(hmac);
    size_t len = 0;
    OSSL_PARAM params[] = {OSSL_PARAM_utf8_string("azihsm.key", (char *)uri, strlen(uri)), OSSL_PARAM_END};

    good(EVP_MAC_init(m, NULL, 0, params));
    good(EVP_MAC_update(m, (const uint8_t *)derived_message, sizeof(derived_message)));
    good(EVP_MAC_final(m, mac, &len, EVP_MAX_MD_SIZE));
    EVP_MAC_CTX_free(m);
    EVP_MAC_free(hmac);
    return len;
}

bool agrees(const char *uri, EVP_PKEY *peer, const uint8_t *secret, size_t secretlen)
{
    static unsigned derived; /* a name is never given twice */
    uint8_t here[EVP_MAX_MD_SIZE], there[EVP_MAX_MD_SIZE];
    char output[64];
    size_t len;

    snprintf(output, sizeof(output), "azihsm://derived-%u", ++derived);
    if (!derive_in_device(uri, peer, output))
        return false;
    len = mac_in_software(secret, secretlen, here);
    return mac_in_device(output, there) == len && memcmp(here, there, len) == 0;
}
