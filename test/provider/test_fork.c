/*
 * Forks at the worst moments, through the EVP API: before 32 threads that all sign first (C-02), inside callbacks of
 * the application (C-03), and between the beginning and the end of a signature (C-06). What must not happen is a hang:
 * an alarm ends a child that waits for ever.
 */
#include "support.h"

#include <openssl/decoder.h>
#include <openssl/pem.h>
#include <openssl/store.h>
#include <openssl/ui.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { THREADS = 32 };

static OSSL_LIB_CTX *ctx;
static const char *const kinds[] = {"P-256", "RSA-2048", "PSS-2048"};
enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };
static EVP_PKEY *key;

/* ---- C-02 ---- */

static pthread_barrier_t barrier;

static void *sign_after_barrier(void *arg)
{
    _Atomic unsigned *good_ones = arg;

    pthread_barrier_wait(&barrier);
    for (int i = 0; i < 5; i++)
        if (signs(key, ctx))
            atomic_fetch_add(good_ones, 1);
        else
            ERR_print_errors_fp(stderr);
    return NULL;
}

static bool threads_sign(void)
{
    _Atomic unsigned good_ones = 0;
    pthread_t threads[THREADS];

    pthread_barrier_init(&barrier, NULL, THREADS);
    for (int i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, sign_after_barrier, &good_ones) != 0)
            return false;
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&barrier);
    return good_ones == 5 * THREADS;
}

/* The process is the first of ours that azihsmd sees, or one of a family: one connection for all 32 threads. */
static void test_threads_after_fork(void **state)
{
    (void)state;
    for (size_t i = 0; i < KINDS; i++) {
        key = device_key(ctx, kinds[i]);
        for (int repeat = 0; repeat < 3; repeat++) {
            long before = device_metric("azihsm_connections_accepted_total");

            expect_ok(spawn(threads_sign));
            assert_int_equal(device_metric("azihsm_connections_accepted_total"), before + 1);
        }
        assert_true(signs(key, ctx));
    }
}

/* ---- C-03 ---- */

static unsigned forked;

static bool sign_and_free(void)
{
    EVP_PKEY *made = make_key(ctx, "provider=azihsm", "P-256");
    bool ok = signs(key, ctx) && signs(made, ctx);

    EVP_PKEY_free(made);
    return ok;
}

static void fork_here(void)
{
    forked++;
    expect_ok(spawn(sign_and_free));
    assert_true(sign_and_free());
}

static int passphrase(char *buf, int size, int writing, void *arg)
{
    (void)arg;
    if (!writing)
        fork_here();
    return snprintf(buf, (size_t)size, "secret");
}

static int read_prompt(UI *ui, UI_STRING *prompt)
{
    if (UI_get_string_type(prompt) != UIT_PROMPT)
        return 1;
    fork_here();
    return UI_set_result(ui, prompt, "secret") == 0;
}

/* An encrypted key file of software, read in a context where our decoders see it first. */
static void write_encrypted(const char *path)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    good(PEM_write_PKCS8PrivateKey(file, software_key(software(), "P-256"), EVP_aes_128_cbc(), NULL, 0, passphrase,
                                   NULL));
    assert_int_equal(fclose(file), 0);
}

static void test_passphrase_callback(void **state)
{
    char path[512];
    EVP_PKEY *read;
    FILE *file;

    (void)state;
    snprintf(path, sizeof(path), "%s/encrypted.pem", getenv("AZIHSM_TEST_DIR"));
    write_encrypted(path);
    forked = 0;
    file = fopen(path, "r");
    read = PEM_read_PrivateKey_ex(file, NULL, passphrase, NULL, ctx, NULL);
    fclose(file);
    good(read != NULL);
    EVP_PKEY_free(read);
    assert_int_equal(forked, 1);
}

static void test_ui_callback(void **state)
{
    UI_METHOD *method = UI_create_method("forks");
    char path[512];
    OSSL_STORE_CTX *store;
    OSSL_STORE_INFO *info;

    (void)state;
    UI_method_set_reader(method, read_prompt);
    snprintf(path, sizeof(path), "%s/encrypted.pem", getenv("AZIHSM_TEST_DIR"));
    write_encrypted(path);
    forked = 0;
    store = OSSL_STORE_open_ex(path, ctx, NULL, method, NULL, NULL, NULL, NULL);
    good(store != NULL);
    info = OSSL_STORE_load(store);
    good(info != NULL);
    assert_int_equal(forked, 1);
    OSSL_STORE_INFO_free(info);
    OSSL_STORE_close(store);
    UI_destroy_method(method);
}

static OSSL_STORE_INFO *fork_after_load(OSSL_STORE_INFO *info, void *arg)
{
    (void)arg;
    if (forked == 0)
        fork_here();
    return info;
}

/* A device key on its way from our store to the application. */
static void test_store_callback(void **state)
{
    char path[512], uri[600];
    OSSL_STORE_CTX *store;
    OSSL_STORE_INFO *info;
    FILE *file;

    (void)state;
    snprintf(path, sizeof(path), "%s/fork.pem", getenv("AZIHSM_TEST_DIR"));
    file = fopen(path, "w");
    good(PEM_write_PrivateKey_ex(file, key, NULL, NULL, 0, NULL, NULL, ctx, NULL));
    fclose(file);
    snprintf(uri, sizeof(uri), "azihsm:%s", path);
    forked = 0;
    store = OSSL_STORE_open_ex(uri, ctx, NULL, NULL, NULL, NULL, fork_after_load, NULL);
    good(store != NULL);
    info = OSSL_STORE_load(store);
    good(info != NULL);
    assert_int_equal(forked, 1);
    OSSL_STORE_INFO_free(info);
    OSSL_STORE_close(store);
}

static int progress(EVP_PKEY_CTX *gen)
{
    (void)gen;
    if (forked == 0)
        fork_here();
    return 1;
}

/* The carried keymgmt generates with the host's and hands its progress on: a callback out of the middle of ours. */
static void test_generation_callback(void **state)
{
    EVP_PKEY_CTX *gen = EVP_PKEY_CTX_new_from_name(ctx, "RSA", "azihsm.key=carried");
    EVP_PKEY *made = NULL;

    (void)state;
    good(gen != NULL);
    good(EVP_PKEY_keygen_init(gen));
    good(EVP_PKEY_CTX_set_rsa_keygen_bits(gen, 2048));
    EVP_PKEY_CTX_set_cb(gen, progress);
    forked = 0;
    good(EVP_PKEY_generate(gen, &made));
    assert_int_equal(forked, 1);
    EVP_PKEY_free(made);
    EVP_PKEY_CTX_free(gen);
}

/* ---- C-06 ---- */

static EVP_MD_CTX *begun;

static bool finishes(void)
{
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    uint8_t sig[1024];
    size_t len = sizeof(sig);
    bool ok = EVP_DigestSignUpdate(begun, "child?", 6) == 1 && EVP_DigestSignFinal(begun, sig, &len) == 1 &&
              EVP_DigestVerifyInit_ex(md, NULL, "SHA256", software(), NULL, public_of(key), NULL) == 1 &&
              EVP_DigestVerify(md, sig, len, (const uint8_t *)"begun child?", 12) == 1;

    EVP_MD_CTX_free(md);
    EVP_MD_CTX_free(begun);
    return ok;
}

static void begin_and_fork(void)
{
    pid_t children[2];

    begun = EVP_MD_CTX_new();
    good(EVP_DigestSignInit_ex(begun, NULL, "SHA256", ctx, NULL, key, NULL));
    good(EVP_DigestSignUpdate(begun, "begun ", 6));
    for (int i = 0; i < 2; i++)
        children[i] = spawn(finishes);
    assert_true(finishes());
    for (int i = 0; i < 2; i++)
        expect_ok(children[i]);
}

static void test_signature_over_fork(void **state)
{
    (void)state;
    for (size_t i = 0; i < KINDS; i++) {
        key = device_key(ctx, kinds[i]); /* resident, and not any more */
        public_of(key);
        begin_and_fork();
        assert_true(signs(key, ctx));
        begin_and_fork();
    }
}

static int begin(void **state)
{
    (void)state;
    ctx = order("default-first");
    key = device_key(ctx, "P-256");
    software();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_threads_after_fork),  cmocka_unit_test(test_passphrase_callback),
        cmocka_unit_test(test_ui_callback),         cmocka_unit_test(test_store_callback),
        cmocka_unit_test(test_generation_callback), cmocka_unit_test(test_signature_over_fork),
    };

    return cmocka_run_group_tests(tests, begin, support_end);
}
