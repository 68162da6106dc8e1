/*
 * Signing and bulk AES inside ASYNC jobs: one thread keeps many operations going, jobs are resumed early, paused jobs
 * are thrown away. Acceptance rows C-31, C-32 and the rules of its section D5.
 */
#include "devicekey.h"
#include "support.h"

#include <fcntl.h>
#include <openssl/async.h>
#include <openssl/crypto.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

enum { JOBS = 24 };

static OSSL_LIB_CTX *ctx;
static const uint8_t text[] = "asynchronous";

struct work {
    EVP_PKEY *key;
    uint8_t sig[512];
    size_t len;
    ASYNC_JOB *job;
    ASYNC_WAIT_CTX *wait;
    int state, result, pauses;
};

static int sign(void *arg)
{
    struct work *work = *(struct work **)arg;
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    int ok = EVP_DigestSignInit_ex(md, NULL, "SHA256", ctx, NULL, work->key, NULL) == 1;

    work->len = sizeof(work->sig);
    ok = ok && EVP_DigestSign(md, work->sig, &work->len, text, sizeof(text)) == 1;
    EVP_MD_CTX_free(md);
    return ok;
}

static int verify(const struct work *work)
{
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    int ok = EVP_DigestVerifyInit_ex(md, NULL, "SHA256", software(), NULL, public_of(work->key), NULL) == 1 &&
             EVP_DigestVerify(md, work->sig, work->len, text, sizeof(text)) == 1;

    EVP_MD_CTX_free(md);
    return ok;
}

static void step(struct work *work)
{
    work->state = ASYNC_start_job(&work->job, work->wait, &work->result, sign, &work, sizeof(work));
    assert_int_not_equal(work->state, ASYNC_ERR);
    assert_int_not_equal(work->state, ASYNC_NO_JOBS);
    work->pauses += work->state == ASYNC_PAUSE;
}

static void begin_work(struct work *work, EVP_PKEY *key)
{
    memset(work, 0, sizeof(*work));
    work->key = key;
    work->wait = ASYNC_WAIT_CTX_new();
    assert_non_null(work->wait);
    step(work);
}

static int wait_descriptor(struct work *work)
{
    OSSL_ASYNC_FD fds[4];
    size_t count = 0;

    good(ASYNC_WAIT_CTX_get_all_fds(work->wait, NULL, &count));
    assert_int_equal(count, 1); /* ours, the same for the life of the wait context */
    good(ASYNC_WAIT_CTX_get_all_fds(work->wait, fds, &count));
    return fds[0];
}

static void finish_all(struct work *work, size_t count)
{
    for (size_t left = count; left > 0;) {
        struct pollfd fds[JOBS];
        size_t index[JOBS], n = 0;

        for (size_t i = 0; i < count; i++)
            if (work[i].state == ASYNC_PAUSE) {
                index[n] = i;
                fds[n++] = (struct pollfd){.fd = wait_descriptor(&work[i]), .events = POLLIN};
            }
        left = n;
        if (n > 0)
            assert_true(poll(fds, n, 20000) > 0);
        for (size_t i = 0; i < n; i++)
            if (fds[i].revents != 0)
                step(&work[index[i]]);
    }
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(work[i].state, ASYNC_FINISH);
        good(work[i].result);
        good(verify(&work[i]));
        ASYNC_WAIT_CTX_free(work[i].wait);
    }
}

static void control(const char *words)
{
    char line[512];

    snprintf(line, sizeof(line), "'%s/bin/azihsm' --control '%s/control.sock' %s >/dev/null",
             getenv("AZIHSM_TEST_BUILD"), getenv("AZIHSM_TEST_DIR"), words);
    assert_int_equal(system(line), 0);
}

static void test_many_jobs(void **state)
{
    struct work work[JOBS];
    int pauses = 0;

    (void)state;
    control("conditions --delay-ms 20");
    for (size_t i = 0; i < JOBS; i++)
        begin_work(&work[i], device_key(ctx, i % 2 ? "P-256" : "RSA-2048"));
    finish_all(work, JOBS);
    for (size_t i = 0; i < JOBS; i++)
        pauses += work[i].pauses;
    control("conditions --clear");
    assert_true(pauses > 0); /* it did not block */
}

static void test_resumed_too_early(void **state)
{
    struct work work;
    int paused = 0;

    (void)state;
    /* On a busy machine a job may find its answer there already: that one was not early. */
    for (int delay = 50; paused == 0; delay *= 2) {
        char words[64];

        snprintf(words, sizeof(words), "conditions --delay-ms %d", delay);
        control(words);
        begin_work(&work, device_key(ctx, "P-256"));
        paused = work.state == ASYNC_PAUSE;
        if (paused)
            step(&work);
        finish_all(&work, 1);
    }
    control("conditions --clear");
}

/* Pauses that are not allowed (some library blocked them): the signature is made all the same. */
static int sign_blocked(void *arg)
{
    int ok;

    ASYNC_block_pause();
    ok = sign(arg);
    ASYNC_unblock_pause();
    return ok;
}

static void test_blocked(void **state)
{
    struct work work = {.key = device_key(ctx, "P-256"), .wait = ASYNC_WAIT_CTX_new()}, *arg = &work;

    (void)state;
    control("conditions --delay-ms 20");
    work.state = ASYNC_start_job(&work.job, work.wait, &work.result, sign_blocked, &arg, sizeof(arg));
    assert_int_equal(work.state, ASYNC_FINISH);
    good(work.result);
    good(verify(&work));
    ASYNC_WAIT_CTX_free(work.wait);
    control("conditions --clear");
}

static int open_descriptors(void)
{
    int n = 0;

    for (int fd = 0; fd < 1024; fd++)
        n += fcntl(fd, F_GETFD) != -1;
    return n;
}

static void throw_away(int count)
{
    struct work work;

    control("conditions --delay-ms 10");
    for (int i = 0; i < count; i++) {
        begin_work(&work, device_key(ctx, "P-256"));
        ASYNC_WAIT_CTX_free(work.wait);
    }
    control("conditions --clear");
    for (int i = 0; i < 20; i++) {
        begin_work(&work, device_key(ctx, "P-256"));
        finish_all(&work, 1);
    }
}

/*
 * C-31: the connection is dropped while its job is paused; the job never runs again, everybody else does. The transport
 * has 64 slots with up to three descriptors each, made when first needed: more than that would be a leak.
 */
static void test_thrown_away(void **state)
{
    int before = open_descriptors();

    (void)state;
    throw_away(1000);
    assert_true(open_descriptors() <= before + 3 * 64);
}

/* C-32: no descriptor left for the notification: the job blocks, and signs. */
static void test_no_descriptors(void **state)
{
    struct rlimit old, none;
    struct work work;
    int fds[1024], n = 0;

    (void)state;
    begin_work(&work, device_key(ctx, "P-256"));
    finish_all(&work, 1);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    none = old;
    none.rlim_cur = 64;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    while (n < 1024 && (fds[n] = dup(0)) >= 0)
        n++;
    begin_work(&work, device_key(ctx, "P-256"));
    while (n > 0)
        close(fds[--n]);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    assert_int_equal(work.state, ASYNC_FINISH);
    finish_all(&work, 1);
}

/* ---- bulk AES ---- */

enum { MESSAGE = 3000 };

struct message {
    EVP_CIPHER_CTX *ctx;
    bool decrypt, gcm;
    uint8_t in[MESSAGE], out[MESSAGE], tag[16];
    ASYNC_JOB *job;
    ASYNC_WAIT_CTX *wait;
    int state, result, pauses;
};

static int encipher(void *arg)
{
    struct message *m = *(struct message **)arg;
    int n = 0, last = 0;
    bool set = m->gcm && m->decrypt, get = m->gcm && !m->decrypt;

    return (!set || EVP_CIPHER_CTX_ctrl(m->ctx, EVP_CTRL_AEAD_SET_TAG, 16, m->tag) == 1) &&
           (!m->gcm || EVP_CipherUpdate(m->ctx, NULL, &n, (const uint8_t *)"associated", 10) == 1) &&
           EVP_CipherUpdate(m->ctx, m->out, &n, m->in, MESSAGE - MESSAGE % 16) == 1 &&
           EVP_CipherFinal_ex(m->ctx, m->out + n, &last) == 1 && n + last == MESSAGE - MESSAGE % 16 &&
           (!get || EVP_CIPHER_CTX_ctrl(m->ctx, EVP_CTRL_AEAD_GET_TAG, 16, m->tag) == 1);
}

static struct message *new_message(OSSL_LIB_CTX *symmetric, bool gcm, bool decrypt, uint8_t number)
{
    struct message *m = calloc(1, sizeof(*m));
    OSSL_PARAM params[3] = {OSSL_PARAM_END, OSSL_PARAM_END, OSSL_PARAM_END};
    EVP_CIPHER *cipher = EVP_CIPHER_fetch(symmetric, gcm ? "AES-256-GCM" : "AES-256-XTS", "provider=azihsm");
    const uint8_t iv[16] = {number};

    assert_non_null(m);
    params[0] = OSSL_PARAM_construct_utf8_string("azihsm.key", gcm ? "azihsm://gcm" : "azihsm://xts1", 0);
    if (!gcm)
        params[1] = OSSL_PARAM_construct_utf8_string("azihsm.tweak_key", "azihsm://xts2", 0);
    m->ctx = EVP_CIPHER_CTX_new();
    m->gcm = gcm;
    m->decrypt = decrypt;
    good(EVP_CipherInit_ex2(m->ctx, cipher, NULL, iv, !decrypt, params));
    EVP_CIPHER_free(cipher);
    memset(m->in, number, sizeof(m->in));
    return m;
}

static void free_message(struct message *m)
{
    EVP_CIPHER_CTX_free(m->ctx);
    free(m);
}

static void step_message(struct message *m)
{
    m->state = ASYNC_start_job(&m->job, m->wait, &m->result, encipher, &m, sizeof(m));
    assert_true(m->state == ASYNC_PAUSE || m->state == ASYNC_FINISH);
    m->pauses += m->state == ASYNC_PAUSE;
}

static void finish_message(struct message *m)
{
    OSSL_ASYNC_FD fd;
    size_t count = 1;

    while (m->state == ASYNC_PAUSE) {
        good(ASYNC_WAIT_CTX_get_all_fds(m->wait, &fd, &count));
        assert_true(poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, 20000) > 0);
        step_message(m);
    }
    good(m->result);
    ASYNC_WAIT_CTX_free(m->wait);
}

/*
 * More messages at once than the transport has memory areas. What they should give is made without jobs, which
 * test_symmetric holds against the default provider; in the second round the jobs decipher it.
 */
static void test_bulk(void **state)
{
    OSSL_LIB_CTX *symmetric = order("symmetric");
    struct message *plain[JOBS], *job[JOBS];
    int pauses = 0;

    (void)state;
    tool("key generate gcm --type aes --bits 256-gcm");
    tool("key generate xts1 --type aes --bits 256-xts");
    tool("key generate xts2 --type aes --bits 256-xts");
    for (int i = 0; i < JOBS; i++) {
        plain[i] = new_message(symmetric, i % 2 == 0, false, (uint8_t)i);
        good(encipher(&plain[i]));
    }
    control("conditions --delay-ms 20");
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < JOBS; i++) {
            job[i] = new_message(symmetric, i % 2 == 0, round == 1, (uint8_t)i);
            if (round == 1) {
                memcpy(job[i]->in, plain[i]->out, MESSAGE);
                memcpy(job[i]->tag, plain[i]->tag, 16);
            }
            job[i]->wait = ASYNC_WAIT_CTX_new();
            step_message(job[i]);
        }
        for (int i = 0; i < JOBS; i++) {
            finish_message(job[i]);
            pauses += job[i]->pauses;
            assert_memory_equal(job[i]->out, round == 0 ? plain[i]->out : plain[i]->in, MESSAGE - MESSAGE % 16);
            assert_memory_equal(job[i]->tag, plain[i]->tag, 16);
            free_message(job[i]);
        }
    }
    control("conditions --clear");
    /* the driver works in the memory of its caller, who must not leave it: through its door bulk work blocks */
    assert_int_equal(pauses > 0, getenv("AZIHSM_TEST_DOOR") == NULL);
    for (int i = 0; i < JOBS; i++)
        free_message(plain[i]);
}

/* Jobs that are thrown away while the device works in their area: the areas come back, with nobody writing to them. */
static void test_bulk_thrown_away(void **state)
{
    OSSL_LIB_CTX *symmetric = order("symmetric");
    struct message *expected = new_message(symmetric, true, false, 7);

    (void)state;
    good(encipher(&expected));
    control("conditions --delay-ms 30");
    for (int i = 0; i < 20; i++) {
        struct message *m = new_message(symmetric, true, false, (uint8_t)(100 + i));

        m->wait = ASYNC_WAIT_CTX_new();
        step_message(m);
        ASYNC_WAIT_CTX_free(m->wait);
        if (m->state == ASYNC_FINISH)
            free_message(m); /* else libcrypto's job refers to it for ever */
    }
    control("conditions --clear");
    for (int i = 0; i < 20; i++) {
        struct message *m = new_message(symmetric, true, false, 7);

        m->wait = ASYNC_WAIT_CTX_new();
        step_message(m);
        finish_message(m);
        assert_memory_equal(m->out, expected->out, MESSAGE - MESSAGE % 16);
        assert_memory_equal(m->tag, expected->tag, 16);
        free_message(m);
    }
    free_message(expected);
}

static int begin(void **state)
{
    (void)state;
    ctx = order("default-first");
    if (!ASYNC_is_capable()) {
        print_message("skipped: this libcrypto has no ASYNC jobs\n");
        exit(77);
    }
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_many_jobs),        cmocka_unit_test(test_resumed_too_early),
        cmocka_unit_test(test_blocked),          cmocka_unit_test(test_thrown_away),
        cmocka_unit_test(test_no_descriptors),   cmocka_unit_test(test_bulk),
        cmocka_unit_test(test_bulk_thrown_away),
    };

    return cmocka_run_group_tests(tests, begin, support_end);
}
