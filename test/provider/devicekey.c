/*
 * Keys of the device whose value a test knows (devicekey.h).
 */
#include "devicekey.h"

#include "support.h"

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
