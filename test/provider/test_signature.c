/*
 * Signatures of device keys, each verified by the default provider in a context that does not know us, and signatures
 * of that provider verified by us: all shapes of call, digests, paddings and salt lengths. Rows of the acceptance
 * catalogue are named where they are shown.
 */
#include "support.h"

#include <openssl/rand.h>

static const char *const kinds[] = {"P-256", "P-384", "P-521", "RSA-2048", "RSA-3072", "RSA-4096", "PSS-2048"};
enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };
static const char *const digests[] = {"SHA1",       "SHA224",   "SHA256",   "SHA384",   "SHA512",  "SHA512-224",
                                      "SHA512-256", "SHA3-224", "SHA3-256", "SHA3-384", "SHA3-512"};
enum { DIGESTS = sizeof(digests) / sizeof(digests[0]), SIGNATURE_MAX = 1024 };

static const uint8_t message[] = "The quick brown fox jumps over the lazy dog, and a second sentence for good measure.";
enum { MESSAGE = sizeof(message) };

static OSSL_LIB_CTX *ctx;

struct settings {
    const char *padding; /* NULL: do not set */
    const char *salt, *mgf1;
};

/* Late padding: after init, as libssl and the command line do. */
static int apply(EVP_PKEY_CTX *pctx, const struct settings *settings)
{
    OSSL_PARAM params[4], *p = params;

    if (settings == NULL)
        return 1;
    if (settings->padding != NULL)
        *p++ = OSSL_PARAM_construct_utf8_string(OSSL_SIGNATURE_PARAM_PAD_MODE, (char *)settings->padding, 0);
    if (settings->salt != NULL)
        *p++ = OSSL_PARAM_construct_utf8_string(OSSL_SIGNATURE_PARAM_PSS_SALTLEN, (char *)settings->salt, 0);
    if (settings->mgf1 != NULL)
        *p++ = OSSL_PARAM_construct_utf8_string(OSSL_SIGNATURE_PARAM_MGF1_DIGEST, (char *)settings->mgf1, 0);
    *p = OSSL_PARAM_construct_end();
    return p == params ? 1 : EVP_PKEY_CTX_set_params(pctx, params);
}

enum shape { ONE_SHOT, STREAMING, RAW, SHAPES };

static size_t sign_message(EVP_PKEY *key, OSSL_LIB_CTX *libctx, const char *digest, const struct settings *settings,
                           enum shape shape, uint8_t *sig)
{
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pctx;
    size_t len = 0;

    good(EVP_DigestSignInit_ex(md, &pctx, digest, libctx, NULL, key, NULL));
    good(apply(pctx, settings));
    if (shape == ONE_SHOT) {
        good(EVP_DigestSign(md, NULL, &len, message, MESSAGE));
        assert_int_equal(len, EVP_PKEY_get_size(key));
        good(EVP_DigestSign(md, sig, &len, message, MESSAGE));
    } else {
        for (size_t i = 0; i < MESSAGE; i += 10)
            good(EVP_DigestSignUpdate(md, message + i, i + 10 > MESSAGE ? MESSAGE - i : 10));
        good(EVP_DigestSignFinal(md, NULL, &len));
        assert_int_equal(len, EVP_PKEY_get_size(key));
        good(EVP_DigestSignFinal(md, sig, &len));
    }
    EVP_MD_CTX_free(md);
    return len;
}

static size_t sign_digest(EVP_PKEY *key, OSSL_LIB_CTX *libctx, const char *digest, const struct settings *settings,
                          uint8_t *sig)
{
    EVP_PKEY_CTX *pctx = EVP_PKEY_CTX_new_from_pkey(libctx, key, NULL);
    uint8_t value[EVP_MAX_MD_SIZE];
    size_t len = 0, valuelen = sizeof(value);
    OSSL_PARAM params[] = {OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_DIGEST, (char *)digest, strlen(digest)),
                           OSSL_PARAM_END};

    good(EVP_Q_digest(software(), digest, NULL, message, MESSAGE, value, &valuelen));
    good(EVP_PKEY_sign_init_ex(pctx, params)); /* parameters at init are honoured too */
    good(apply(pctx, settings));
    good(EVP_PKEY_sign(pctx, NULL, &len, value, valuelen));
    assert_int_equal(len, EVP_PKEY_get_size(key));
    good(EVP_PKEY_sign(pctx, sig, &len, value, valuelen));
    EVP_PKEY_CTX_free(pctx);
    return len;
}

static size_t sign_as(EVP_PKEY *key, OSSL_LIB_CTX *libctx, const char *digest, const struct settings *settings,
                      enum shape shape, uint8_t *sig)
{
    return shape == RAW ? sign_digest(key, libctx, digest, settings, sig)
                        : sign_message(key, libctx, digest, settings, shape, sig);
}

static int verify_message(EVP_PKEY *key, OSSL_LIB_CTX *libctx, const char *digest, const struct settings *settings,
                          const uint8_t *sig, size_t len)
{
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pctx;
    int ok = EVP_DigestVerifyInit_ex(md, &pctx, digest, libctx, NULL, key, NULL) == 1 && apply(pctx, settings) == 1 &&
             EVP_DigestVerify(md, sig, len, message, MESSAGE) == 1;

    EVP_MD_CTX_free(md);
    return ok;
}

/* The device signs and the default provider verifies; a changed signature does not verify. */
static void check_signs(EVP_PKEY *key, const char *digest, const struct settings *settings, enum shape shape)
{
    uint8_t sig[SIGNATURE_MAX];
    size_t len = sign_as(key, ctx, digest, settings, shape, sig);

    good(verify_message(public_of(key), software(), digest, settings, sig, len));
    good(verify_message(key, ctx, digest, settings, sig, len)); /* and so do we */
    sig[len / 2] ^= 1;
    bad(verify_message(public_of(key), software(), digest, settings, sig, len));
    bad(verify_message(key, ctx, digest, settings, sig, len));
}

static void test_every_digest(void **state)
{
    (void)state;
    for (size_t k = 0; k < KINDS; k++)
        for (size_t d = 0; d < DIGESTS; d++) /* C-21: also those the device does not know */
            for (int shape = 0; shape < SHAPES; shape++)
                check_signs(device_key(ctx, kinds[k]), digests[d], NULL, shape);
}

static void test_every_salt(void **state)
{
    static const char *const salts[] = {"digest", "max", "auto", "0", "17", "64"};
    static const char *const mgf1s[] = {NULL, "SHA256", "SHA1"};

    (void)state;
    for (size_t k = 0; k < KINDS; k++) {
        if (!is_rsa(kinds[k]))
            continue;
        for (size_t d = 0; d < DIGESTS; d++)
            for (size_t s = 0; s < sizeof(salts) / sizeof(salts[0]); s++) { /* C-20 */
                struct settings settings = {"pss", salts[s], mgf1s[(d + s) % 3]};
                uint8_t sig[SIGNATURE_MAX];
                size_t len = sign_as(device_key(ctx, kinds[k]), ctx, digests[d], &settings, s % SHAPES, sig);
                good(verify_message(public_of(device_key(ctx, kinds[k])), software(), digests[d], &settings, sig, len));
                settings.salt = "auto";
                good(verify_message(public_of(device_key(ctx, kinds[k])), software(), digests[d], &settings, sig, len));
            }
    }
}

static void test_salt_too_long(void **state)
{
    struct settings settings = {"pss", "191", NULL};
    EVP_PKEY *key = device_key(ctx, "RSA-2048");
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pctx;
    uint8_t sig[SIGNATURE_MAX];
    size_t len = sizeof(sig);

    (void)state;
    good(EVP_DigestSignInit_ex(md, &pctx, "SHA512", ctx, NULL, key, NULL));
    good(apply(pctx, &settings));
    bad(EVP_DigestSign(md, sig, &len, message, MESSAGE));
    EVP_MD_CTX_free(md);
    settings.salt = "190";
    check_signs(key, "SHA512", &settings, ONE_SHOT);
}

/* MD5-SHA1 has no DigestInfo: TLS 1.0 and 1.1. */
static void test_tls10_digest(void **state)
{
    (void)state;
    for (int shape = 0; shape < SHAPES; shape++)
        check_signs(device_key(ctx, "RSA-2048"), "MD5-SHA1", NULL, shape);
}

/* Digest names as different callers write them; none at all means the key's default. */
static void test_digest_names(void **state)
{
    static const char *const names[] = {"SHA256", "SHA2-256", "sha256", "SHA-256", "2.16.840.1.101.3.4.2.1", NULL};

    (void)state;
    for (size_t k = 0; k < KINDS; k++)
        for (size_t n = 0; n < sizeof(names) / sizeof(names[0]); n++) {
            uint8_t sig[SIGNATURE_MAX];
            EVP_PKEY *key = device_key(ctx, kinds[k]);
            size_t len = sign_message(key, ctx, names[n], NULL, ONE_SHOT, sig);
            char digest[64] = "SHA256";
            if (names[n] == NULL)
                good(EVP_PKEY_get_default_digest_name(key, digest, sizeof(digest)));
            good(verify_message(public_of(key), software(), digest, NULL, sig, len));
        }
}

static void test_unknown_digest(void **state)
{
    EVP_MD_CTX *md = EVP_MD_CTX_new();

    (void)state;
    bad(EVP_DigestSignInit_ex(md, NULL, "NO-SUCH-DIGEST", ctx, NULL, device_key(ctx, "P-256"), NULL));
    bad(EVP_DigestSignInit_ex(md, NULL, "NO-SUCH-DIGEST", ctx, NULL, device_key(ctx, "RSA-2048"), NULL));
    EVP_MD_CTX_free(md);
}

/* C-22: a copy in mid-stream; both finish, both verify; the original goes on after the copy was finished. */
static void test_copy_midstream(void **state)
{
    struct settings pss = {"pss", "digest", NULL};

    (void)state;
    for (size_t k = 0; k < KINDS; k++) {
        EVP_PKEY *key = device_key(ctx, kinds[k]);
        const struct settings *settings = is_rsa(kinds[k]) ? &pss : NULL;
        EVP_MD_CTX *md = EVP_MD_CTX_new(), *copy = EVP_MD_CTX_new();
        EVP_PKEY_CTX *pctx;
        uint8_t sig[SIGNATURE_MAX];
        size_t len = sizeof(sig);

        good(EVP_DigestSignInit_ex(md, &pctx, "SHA384", ctx, NULL, key, NULL));
        good(apply(pctx, settings));
        good(EVP_DigestSignUpdate(md, message, 20));
        good(EVP_MD_CTX_copy_ex(copy, md));
        good(EVP_DigestSignUpdate(copy, message + 20, MESSAGE - 20));
        good(EVP_DigestSignFinal(copy, sig, &len));
        good(verify_message(public_of(key), software(), "SHA384", settings, sig, len));
        EVP_MD_CTX_free(copy);
        good(EVP_DigestSignUpdate(md, message + 20, MESSAGE - 20));
        len = sizeof(sig);
        good(EVP_DigestSignFinal(md, sig, &len));
        good(verify_message(public_of(key), software(), "SHA384", settings, sig, len));
        EVP_MD_CTX_free(md);
    }
}

/* A context is used again with the key and digest it has. */
static void test_reuse(void **state)
{
    (void)state;
    for (size_t k = 0; k < KINDS; k++) {
        EVP_PKEY *key = device_key(ctx, kinds[k]);
        EVP_MD_CTX *md = EVP_MD_CTX_new();
        uint8_t sig[SIGNATURE_MAX];
        size_t len;

        good(EVP_DigestSignInit_ex(md, NULL, "SHA384", ctx, NULL, key, NULL));
        for (int round = 0; round < 3; round++) {
            len = sizeof(sig);
            good(EVP_DigestSignUpdate(md, message, MESSAGE));
            good(EVP_DigestSignFinal(md, sig, &len));
            good(verify_message(public_of(key), software(), "SHA384", NULL, sig, len));
            good(EVP_DigestSignInit_ex(md, NULL, NULL, NULL, NULL, NULL, NULL));
        }
        len = sizeof(sig);
        good(EVP_DigestSignInit_ex(md, NULL, "SHA512", ctx, NULL, key, NULL));
        good(EVP_DigestSign(md, sig, &len, message, MESSAGE));
        good(verify_message(public_of(key), software(), "SHA512", NULL, sig, len));
        EVP_MD_CTX_free(md);
    }
}

static void test_copy_raw(void **state)
{
    struct settings settings = {"pss", "20", "SHA1"};
    EVP_PKEY *key = device_key(ctx, "RSA-2048");
    EVP_PKEY_CTX *pctx = EVP_PKEY_CTX_new_from_pkey(ctx, key, NULL), *copy;
    uint8_t value[32], sig[SIGNATURE_MAX];
    size_t len = sizeof(sig), size = sizeof(value);

    (void)state;
    good(EVP_Q_digest(software(), "SHA256", NULL, message, MESSAGE, value, &size));
    good(EVP_PKEY_sign_init(pctx));
    good(apply(pctx, &settings));
    good(EVP_PKEY_CTX_set_signature_md(pctx, EVP_sha256()));
    copy = EVP_PKEY_CTX_dup(pctx);
    assert_non_null(copy);
    EVP_PKEY_CTX_free(pctx);
    good(EVP_PKEY_sign(copy, sig, &len, value, size));
    good(verify_message(public_of(key), software(), "SHA256", &settings, sig, len));
    EVP_PKEY_CTX_free(copy);
}

/* Without a digest, RSA signs what it is given, ECDSA takes any length. */
static void test_bare(void **state)
{
    uint8_t tbs[300], sig[SIGNATURE_MAX], out[SIGNATURE_MAX];
    EVP_PKEY *rsa = device_key(ctx, "RSA-2048");
    size_t len, outlen;

    (void)state;
    RAND_bytes(tbs, sizeof(tbs));
    tbs[0] = 0;
    for (size_t n = 0; n <= 246; n += n == 245 ? 1 : 35) {
        EVP_PKEY_CTX *pctx = EVP_PKEY_CTX_new_from_pkey(ctx, rsa, NULL);
        EVP_PKEY_CTX *check = EVP_PKEY_CTX_new_from_pkey(software(), public_of(rsa), NULL);
        len = sizeof(sig);
        good(EVP_PKEY_sign_init(pctx));
        if (n == 246) {
            bad(EVP_PKEY_sign(pctx, sig, &len, tbs, n));
        } else {
            good(EVP_PKEY_sign(pctx, sig, &len, tbs, n));
            outlen = sizeof(out);
            good(EVP_PKEY_verify_recover_init(check));
            good(EVP_PKEY_verify_recover(check, out, &outlen, sig, len));
            assert_int_equal(outlen, n);
            assert_memory_equal(out, tbs, n);
        }
        EVP_PKEY_CTX_free(check);
        EVP_PKEY_CTX_free(pctx);
    }
    for (size_t k = 0; k < 3; k++) {
        EVP_PKEY *ec = device_key(ctx, kinds[k]);
        for (size_t n = 0; n <= (k == 2 ? 64u : 100u); n++) {
            EVP_PKEY_CTX *pctx = EVP_PKEY_CTX_new_from_pkey(ctx, ec, NULL);
            EVP_PKEY_CTX *check = EVP_PKEY_CTX_new_from_pkey(software(), public_of(ec), NULL);
            len = sizeof(sig);
            good(EVP_PKEY_sign_init(pctx));
            good(EVP_PKEY_sign(pctx, sig, &len, tbs, n));
            good(EVP_PKEY_verify_init(check));
            good(EVP_PKEY_verify(check, sig, len, tbs, n));
            EVP_PKEY_CTX_free(check);
            EVP_PKEY_CTX_free(pctx);
        }
    }
}

static void test_no_padding(void **state)
{
    uint8_t tbs[256], sig[256], out[256];
    EVP_PKEY *key = device_key(ctx, "RSA-2048");
    EVP_PKEY_CTX *pctx = EVP_PKEY_CTX_new_from_pkey(ctx, key, NULL);
    EVP_PKEY_CTX *check = EVP_PKEY_CTX_new_from_pkey(ctx, key, NULL); /* our own verify_recover */
    size_t len = sizeof(sig), outlen = sizeof(out);

    (void)state;
    RAND_bytes(tbs, sizeof(tbs));
    tbs[0] = 0;
    good(EVP_PKEY_sign_init(pctx));
    good(EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_NO_PADDING));
    good(EVP_PKEY_sign(pctx, sig, &len, tbs, sizeof(tbs)));
    good(EVP_PKEY_verify_recover_init(check));
    good(EVP_PKEY_CTX_set_rsa_padding(check, RSA_NO_PADDING));
    good(EVP_PKEY_verify_recover(check, out, &outlen, sig, len));
    assert_memory_equal(out, tbs, sizeof(tbs));
    len = sizeof(sig);
    bad(EVP_PKEY_sign(pctx, sig, &len, tbs, sizeof(tbs) - 1));
    EVP_PKEY_CTX_free(check);
    EVP_PKEY_CTX_free(pctx);
}

static void test_x931_refused(void **state)
{
    EVP_PKEY_CTX *pctx = EVP_PKEY_CTX_new_from_pkey(ctx, device_key(ctx, "RSA-2048"), NULL);

    (void)state;
    good(EVP_PKEY_sign_init(pctx));
    assert_true(EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_X931_PADDING) <= 0);
    assert_true(error_says("X9.31"));
    EVP_PKEY_CTX_free(pctx);
}

static void test_wrong_lengths(void **state)
{
    uint8_t value[64] = {1}, sig[SIGNATURE_MAX];

    (void)state;
    for (size_t k = 0; k < KINDS; k++) {
        EVP_PKEY *key = device_key(ctx, kinds[k]);
        EVP_PKEY_CTX *pctx = EVP_PKEY_CTX_new_from_pkey(ctx, key, NULL);
        size_t len = sizeof(sig), need = (size_t)EVP_PKEY_get_size(key);

        good(EVP_PKEY_sign_init(pctx));
        good(EVP_PKEY_CTX_set_signature_md(pctx, EVP_sha256()));
        bad(EVP_PKEY_sign(pctx, sig, &len, value, 31));
        bad(EVP_PKEY_sign(pctx, sig, &len, value, 33));
        len = need - 1;
        bad(EVP_PKEY_sign(pctx, sig, &len, value, 32));
        len = need;
        good(EVP_PKEY_sign(pctx, sig, &len, value, 32));
        EVP_PKEY_CTX_free(pctx);
    }
}

/* algorithm-id, digest, pad-mode and saltlen read back as the default provider answers for the same settings. */
static void check_same_answers(const char *kind, const char *digest, const struct settings *settings)
{
    EVP_PKEY *pair[2] = {device_key(ctx, kind), software_key(software(), kind)};
    OSSL_LIB_CTX *libctx[2] = {ctx, software()};
    uint8_t id[2][256];
    char text[2][4][64];
    size_t idlen[2];

    memset(text, 0, sizeof(text));
    for (int i = 0; i < 2; i++) {
        EVP_MD_CTX *md = EVP_MD_CTX_new();
        EVP_PKEY_CTX *pctx;
        OSSL_PARAM query[] = {
            OSSL_PARAM_octet_string(OSSL_SIGNATURE_PARAM_ALGORITHM_ID, id[i], sizeof(id[i])),
            OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_DIGEST, text[i][0], 64),
            OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PAD_MODE, text[i][1], 64),
            OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PSS_SALTLEN, text[i][2], 64),
            OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_MGF1_DIGEST, text[i][3], 64),
            OSSL_PARAM_END,
        };
        good(EVP_DigestSignInit_ex(md, &pctx, digest, libctx[i], NULL, pair[i], NULL));
        good(apply(pctx, settings));
        good(EVP_PKEY_CTX_get_params(pctx, query));
        idlen[i] = query[0].return_size;
        EVP_MD_CTX_free(md);
    }
    assert_int_equal(idlen[0], idlen[1]);
    assert_memory_equal(id[0], id[1], idlen[0]);
    assert_memory_equal(text[0], text[1], sizeof(text[0]));
}

static void test_params_read_back(void **state)
{
    static const struct settings pss[] = {
        {"pss", NULL, NULL}, {"pss", "max", "SHA1"}, {"pss", "20", NULL}, {"pss", "auto", "SHA512"}};

    (void)state;
    for (size_t k = 0; k < KINDS; k++) {
        check_same_answers(kinds[k], "SHA256", NULL);
        check_same_answers(kinds[k], "SHA384", NULL);
        for (size_t i = 0; is_rsa(kinds[k]) && i < sizeof(pss) / sizeof(pss[0]); i++)
            check_same_answers(kinds[k], "SHA256", &pss[i]);
    }
}

/* The default provider signs, we verify: with our own context over a device key's public half. */
static void test_verify_recover(void **state)
{
    EVP_PKEY *key = device_key(ctx, "RSA-2048");
    EVP_PKEY_CTX *pctx = EVP_PKEY_CTX_new_from_pkey(ctx, key, NULL);
    uint8_t sig[SIGNATURE_MAX], out[64], value[32];
    size_t len = sign_as(key, ctx, "SHA256", NULL, RAW, sig), outlen = sizeof(out), size = sizeof(value);

    (void)state;
    good(EVP_Q_digest(software(), "SHA256", NULL, message, MESSAGE, value, &size));
    good(EVP_PKEY_verify_recover_init(pctx));
    good(EVP_PKEY_CTX_set_signature_md(pctx, EVP_sha256()));
    good(EVP_PKEY_verify_recover(pctx, out, &outlen, sig, len));
    assert_int_equal(outlen, 32);
    assert_memory_equal(out, value, 32);
    EVP_PKEY_CTX_free(pctx);
}

/* C-14, C-17: open contexts, updates and size queries cost the device nothing; a signature is one request. */
static void test_requests(void **state)
{
    enum { OPEN = TIMES(10000), FINISHED = 200 };
    static EVP_MD_CTX *many[OPEN];
    static const struct {
        const char *kind, *command;
    } cases[] = {{"P-256", "EccSign"}, {"RSA-2048", "RsaModExp"}};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        EVP_PKEY *key = device_key(ctx, cases[i].kind);
        uint8_t sig[SIGNATURE_MAX];
        size_t len = sign_as(key, ctx, "SHA256", NULL, ONE_SHOT, sig); /* resident now */
        long before = device_requests(NULL), commands = device_requests(cases[i].command);
        long keys = device_metric("azihsm_keys"), sessions = device_metric("azihsm_sessions");

        for (size_t n = 0; n < OPEN; n++) {
            many[n] = EVP_MD_CTX_new();
            good(EVP_DigestSignInit_ex(many[n], NULL, "SHA256", ctx, NULL, key, NULL));
            good(EVP_DigestSignUpdate(many[n], message, n % MESSAGE));
            good(EVP_DigestSignFinal(many[n], NULL, &len));
        }
        assert_int_equal(device_requests(NULL), before);
        assert_int_equal(device_metric("azihsm_keys"), keys);
        assert_int_equal(device_metric("azihsm_sessions"), sessions);
        for (size_t n = 0; n < FINISHED; n++) {
            len = sizeof(sig);
            good(EVP_DigestSignFinal(many[n], sig, &len));
        }
        for (size_t n = 0; n < OPEN; n++)
            EVP_MD_CTX_free(many[n]);
        assert_int_equal(device_requests(cases[i].command), commands + FINISHED);
        assert_int_equal(device_requests(NULL), before + FINISHED);
    }
}

static void test_ecdsa_is_random(void **state)
{
    EVP_PKEY *key = device_key(ctx, "P-256");
    uint8_t one[SIGNATURE_MAX], two[SIGNATURE_MAX];
    size_t len = sign_as(key, ctx, "SHA256", NULL, RAW, one);

    (void)state;
    assert_true(sign_as(key, ctx, "SHA256", NULL, RAW, two) != len || memcmp(one, two, len) != 0);
}

/* Calls in the wrong order fail with an error and nothing else. */
static void test_wrong_order(void **state)
{
    EVP_PKEY *key = device_key(ctx, "P-256");
    EVP_PKEY_CTX *pctx = EVP_PKEY_CTX_new_from_pkey(ctx, key, NULL);
    uint8_t sig[SIGNATURE_MAX];
    size_t len = sizeof(sig);

    (void)state;
    bad(EVP_PKEY_sign(pctx, sig, &len, message, 32));
    good(EVP_PKEY_verify_init(pctx));
    bad(EVP_PKEY_sign(pctx, sig, &len, message, 32));
    EVP_PKEY_CTX_free(pctx);
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
        cmocka_unit_test(test_every_digest),    cmocka_unit_test(test_every_salt),
        cmocka_unit_test(test_salt_too_long),   cmocka_unit_test(test_tls10_digest),
        cmocka_unit_test(test_digest_names),    cmocka_unit_test(test_unknown_digest),
        cmocka_unit_test(test_copy_midstream),  cmocka_unit_test(test_reuse),
        cmocka_unit_test(test_copy_raw),        cmocka_unit_test(test_bare),
        cmocka_unit_test(test_no_padding),      cmocka_unit_test(test_x931_refused),
        cmocka_unit_test(test_wrong_lengths),   cmocka_unit_test(test_params_read_back),
        cmocka_unit_test(test_verify_recover),  cmocka_unit_test(test_requests),
        cmocka_unit_test(test_ecdsa_is_random), cmocka_unit_test(test_wrong_order),
    };

    return cmocka_run_group_tests(tests, begin, support_end);
}
