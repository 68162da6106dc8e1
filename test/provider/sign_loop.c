/*
 * Makes a number of signatures the way a server does, for programs that watch a process from outside (valgrind,
 * callgrind). usage: sign_loop CONFIG KIND COUNT [software]
 * KIND: P-256, RSA-2048, or PSS-2048 for PSS padding over an RSA key. software: a key of the default provider.
 */
#include <openssl/evp.h>
#include <openssl/rsa.h>

#include <openssl/err.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int sign(OSSL_LIB_CTX *ctx, EVP_PKEY *key, int pss)
{
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pctx = NULL;
    uint8_t sig[512];
    size_t len = sizeof(sig);
    int ok = EVP_DigestSignInit_ex(md, &pctx, "SHA256", ctx, NULL, key, NULL) == 1;

    if (ok && pss)
        ok = EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING) == 1 &&
             EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, RSA_PSS_SALTLEN_DIGEST) == 1;
    ok = ok && EVP_DigestSignUpdate(md, "message", 7) == 1 && EVP_DigestSignFinal(md, sig, &len) == 1;
    EVP_MD_CTX_free(md);
    return ok;
}

int main(int argc, char **argv)
{
    OSSL_LIB_CTX *ctx = OSSL_LIB_CTX_new();
    const char *query = argc == 5 ? "provider=default" : "provider=azihsm";
    int pss = argc >= 4 && strncmp(argv[2], "PSS", 3) == 0, ok = 0;
    EVP_PKEY *key = NULL;

    if (argc >= 4 && OSSL_LIB_CTX_load_config(ctx, argv[1]))
        key = argv[2][0] == 'P' && !pss ? EVP_PKEY_Q_keygen(ctx, query, "EC", argv[2])
                                        : EVP_PKEY_Q_keygen(ctx, query, "RSA", (size_t)atoi(argv[2] + 4));
    ok = key != NULL;
    for (int i = 0; ok && i < atoi(argv[3]); i++)
        ok = sign(ctx, key, pss);
    if (!ok)
        ERR_print_errors_fp(stderr);
    EVP_PKEY_free(key);
    OSSL_LIB_CTX_free(ctx);
    return ok ? 0 : 1;
}
