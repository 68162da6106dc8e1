/*
 * Secrets: distinct, zero when new, zero when given back, of any size, from many threads at once.
 */
#include "crypto_support.h"

#include "crypto/secret.h"

#include <pthread.h>

static void secrets_are_zero_and_apart(void **state)
{
    struct secret *secrets[300];

    (void)state;
    for (size_t i = 0; i < COUNT(secrets); i++) {
        size_t len = i * 37 % 5000;

        secrets[i] = secret_new(len);
        assert_non_null(secrets[i]);
        assert_int_equal(secrets[i]->len, len);
        for (size_t j = 0; j < len; j++)
            assert_int_equal(secrets[i]->data[j], 0);
        memset(secrets[i]->data, (int)(i % 255 + 1), len);
    }
    for (size_t i = 0; i < COUNT(secrets); i++) {
        for (size_t j = 0; j < secrets[i]->len; j++)
            assert_int_equal(secrets[i]->data[j], i % 255 + 1);
        secrets[i]->len /= 2; /* a holder may lower it */
        secret_free(secrets[i]);
    }
    secret_free(NULL);
    secret_relock();
}

/* The memory of a freed secret holds nothing of it; it stays mapped, so looking is allowed. */
static void freed_secrets_leave_nothing(void **state)
{
    struct secret *secret = secret_copy("a secret that must not stay", 27);
    const uint8_t *data = secret->data;

    (void)state;
    assert_memory_equal(secret_view(secret).data, "a secret that must not stay", 27);
    assert_int_equal(secret_view(secret).len, 27);
    secret->len = 3;
    secret_free(secret);
    for (size_t i = 0; i < 27; i++)
        assert_int_equal(data[i], 0);
    assert_null(secret_new(SIZE_MAX));
    assert_null(secret_new(SIZE_MAX - 8));
    assert_null(secret_new(SIZE_MAX - 100));
    assert_null(secret_new(SIZE_MAX / 2));
}

static void *churn(void *arg)
{
    struct secret *held[16] = {NULL};
    unsigned seed = (unsigned)(uintptr_t)&held;
    size_t *failures = arg;

    for (unsigned i = 0; i < 3000; i++) {
        unsigned slot = (seed = seed * 1103515245u + 12345u) >> 16 & 15;
        size_t len = seed >> 8 & 1023;

        if (held[slot] != NULL) {
            for (size_t j = 0; j < held[slot]->len; j++)
                *failures += held[slot]->data[j] != (uint8_t)(slot + 1);
            secret_free(held[slot]);
        }
        held[slot] = secret_new(len);
        for (size_t j = 0; j < len; j++)
            *failures += held[slot]->data[j] != 0;
        memset(held[slot]->data, (int)(slot + 1), len);
    }
    for (size_t i = 0; i < COUNT(held); i++)
        secret_free(held[i]);
    return NULL;
}

static void threads_do_not_meet(void **state)
{
    size_t failures[8] = {0};
    pthread_t threads[8];

    (void)state;
    for (size_t i = 0; i < COUNT(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, churn, &failures[i]), 0);
    for (size_t i = 0; i < COUNT(threads); i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(failures[i], 0);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(secrets_are_zero_and_apart),
        cmocka_unit_test(freed_secrets_leave_nothing),
        cmocka_unit_test(threads_do_not_meet),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
