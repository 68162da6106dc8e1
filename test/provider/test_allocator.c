/*
 * What only an allocator of our own can show: what stands in memory that the provider gives back, and what happens to
 * a process that is forked in the middle of it. The allocator's hooks are told which source file calls.
 */
#include "support.h"

#include <openssl/crypto.h>
#include <openssl/decoder.h>
#include <openssl/encoder.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { HEADER = 16, WANTED = 32, CHILD_S = 20 };

static uint8_t wanted[WANTED]; /* part of a private key */
static unsigned passed, left;  /* blocks that our decoder gave back while watching; those with wanted in them */
static bool watching;
static void (*in_client)(void); /* run once, inside the first allocation that a new client makes */

static bool from(const char *file, const char *ours)
{
    return file != NULL && strstr(file, ours) != NULL;
}

static void *hook_malloc(size_t size, const char *file, int line)
{
    uint8_t *block = malloc(size + HEADER);
    void (*run)(void) = in_client;

    (void)line;
    if (block == NULL)
        return NULL;
    memcpy(block, &size, sizeof(size));
    if (run != NULL && from(file, "device/client/client.c")) {
        in_client = NULL;
        run();
    }
    return block + HEADER;
}

static void hook_free(void *data, const char *file, int line)
{
    uint8_t *block = data;
    size_t size;

    (void)line;
    if (block == NULL)
        return;
    memcpy(&size, block - HEADER, sizeof(size));
    if (watching && from(file, "provider/decoder.c")) {
        passed++;
        for (size_t i = 0; i + WANTED <= size; i++)
            left += memcmp(block + i, wanted, WANTED) == 0;
    }
    free(block - HEADER);
}

static void *hook_realloc(void *data, size_t size, const char *file, int line)
{
    uint8_t *block = data, *grown;
    size_t before;

    if (block == NULL)
        return hook_malloc(size, file, line);
    memcpy(&before, block - HEADER, sizeof(before));
    grown = hook_malloc(size, file, line);
    if (grown == NULL)
        return NULL;
    memcpy(grown, block, before < size ? before : size);
    hook_free(block, file, line);
    return grown;
}

/* Offers it to every decoder; whether one made a key of it is not the question. */
static void offer(OSSL_LIB_CTX *ctx, const uint8_t *der, size_t len)
{
    EVP_PKEY *key = NULL;
    OSSL_DECODER_CTX *decoder = OSSL_DECODER_CTX_new_for_pkey(&key, "DER", NULL, NULL, EVP_PKEY_KEYPAIR, ctx, NULL);

    passed = left = 0;
    watching = true;
    OSSL_DECODER_from_data(decoder, &der, &len);
    watching = false;
    OSSL_DECODER_CTX_free(decoder);
    EVP_PKEY_free(key);
    ERR_clear_error();
}

/* Our decoders look at every key that any program reads: software keys must not stay behind in freed memory. */
static void test_cleansed(void **state)
{
    OSSL_LIB_CTX *ctx = order("azihsm-first");
    EVP_PKEY *key = software_key(ctx, "P-256");
    OSSL_ENCODER_CTX *encoder = OSSL_ENCODER_CTX_new_for_pkey(key, EVP_PKEY_KEYPAIR, "DER", "PrivateKeyInfo", NULL);
    uint8_t strange[4 + WANTED] = {0x30, 2 + WANTED, 0x04, WANTED};
    unsigned char *der = NULL;
    size_t len = 0;
    BIGNUM *scalar = NULL;

    (void)state;
    good(OSSL_ENCODER_to_data(encoder, &der, &len));
    good(EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_PRIV_KEY, &scalar));
    good(BN_bn2binpad(scalar, wanted, WANTED));
    offer(ctx, der, len - 1); /* ends too early */
    assert_true(passed > 0);
    assert_int_equal(left, 0);
    memcpy(strange + 4, wanted, WANTED);
    offer(ctx, strange, sizeof(strange)); /* whole, but of no format that anybody knows */
    assert_true(passed > 0);
    assert_int_equal(left, 0);
    BN_clear_free(scalar);
    OPENSSL_clear_free(der, len);
    OSSL_ENCODER_CTX_free(encoder);
}

static char *pem;
static long pem_len;
static OSSL_LIB_CTX *fresh;
static pid_t child = -1;

static EVP_PKEY *read_key(void)
{
    BIO *bio = BIO_new_mem_buf(pem, (int)pem_len);
    EVP_PKEY *key = PEM_read_bio_PrivateKey_ex(bio, NULL, NULL, NULL, fresh, NULL);

    BIO_free(bio);
    return key;
}

static void fork_and_read(void)
{
    child = fork();
    if (child != 0)
        return;
    alarm(CHILD_S);
    _exit(read_key() != NULL ? 0 : 1);
}

/* C-02, C-03: whatever lock is held while the first client is made, a child that was forked then must not wait for. */
static void test_forked_while_connecting(void **state)
{
    EVP_PKEY *key = device_key(order("default-first"), "P-256");
    BIO *bio = BIO_new(BIO_s_mem());
    int status = -1;

    (void)state;
    good(PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL));
    pem_len = BIO_get_mem_data(bio, &pem);
    fresh = order("alone");
    in_client = fork_and_read;
    key = read_key();
    assert_non_null(key);
    assert_null(in_client); /* a client was made */
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    EVP_PKEY_free(key);
    BIO_free(bio);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cleansed),
        cmocka_unit_test(test_forked_while_connecting),
    };

    if (!CRYPTO_set_mem_functions(hook_malloc, hook_realloc, hook_free))
        return 1;
    return cmocka_run_group_tests(tests, NULL, support_end);
}
