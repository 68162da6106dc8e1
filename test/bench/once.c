/*
 * What one process costs from its start: configuration loaded and a digest computed, or the first signature of a key.
 *
 * usage: once SINCE [KEY]
 * SINCE is a CLOCK_MONOTONIC time in nanoseconds, taken before this program was started; the microseconds since then
 * are printed. KEY is a PEM file; without it the providers are loaded and not used.
 */
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static int sign(const char *path)
{
    unsigned char signature[1024];
    size_t len = sizeof(signature);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    FILE *file = fopen(path, "r");
    EVP_PKEY *key = file == NULL ? NULL : PEM_read_PrivateKey(file, NULL, NULL, NULL);
    int ok = key != NULL && EVP_DigestSignInit_ex(ctx, NULL, "SHA256", NULL, NULL, key, NULL) == 1 &&
             EVP_DigestSign(ctx, signature, &len, (const unsigned char *)"first", 5) == 1;

    if (file != NULL)
        fclose(file);
    EVP_PKEY_free(key);
    EVP_MD_CTX_free(ctx);
    return ok;
}

int main(int argc, char **argv)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    struct timespec now;
    size_t len;

    if (argc < 2 || !(argc > 2 ? sign(argv[2]) : EVP_Q_digest(NULL, "SHA256", NULL, "unused", 6, digest, &len))) {
        ERR_print_errors_fp(stderr);
        return 1;
    }
    clock_gettime(CLOCK_MONOTONIC, &now);
    printf("%.1f\n", ((double)now.tv_sec * 1e9 + (double)now.tv_nsec - strtod(argv[1], NULL)) / 1e3);
    return 0;
}
