/*
 * OpenSSL's own public test vectors (../shared/vectors/openssl, absent elsewhere: then a visible skip), three ways:
 * private keys imported into the device where it has their size, the same keys as software keys with our provider
 * preferred, and all public keys with our provider preferred. What is not applicable is counted by reason.
 */
#include "support.h"

#include <openssl/crypto.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const files[] = {"evppkey_ecdsa.txt", "evppkey_rsa.txt", "evppkey_rsa_common.txt",
                                    "evppkey_mismatch.txt", "evppkey_ecdh.txt"};
enum { FILES = 5, NAMED_MAX = 512, CTRLS_MAX = 12, VALUE_MAX = 4096 };

struct stanza {
    char operation[32], key[128];
    char digest[64], ctrl[CTRLS_MAX][96], result[64], peer[64], available[32];
    size_t ctrls;
    uint8_t *input, *output;
    size_t inputlen, outputlen;
    bool has_output;
    int line;
};

static struct named {
    char name[64];
    char *pem;
    bool is_private;
    EVP_PKEY *carried, *sign, *decrypt; /* carried: also public; the others in the device */
} named[NAMED_MAX];
static size_t names;

static struct {
    int device, software, wrong;
    int keygen, other_provider, not_importable;
} count;

/* ---- keys ---- */

static struct named *find(const char *name)
{
    for (size_t i = names; i > 0; i--)
        if (strcmp(named[i - 1].name, name) == 0)
            return &named[i - 1];
    return NULL;
}

static EVP_PKEY *read_key(const struct named *n, OSSL_LIB_CTX *libctx)
{
    BIO *bio = BIO_new_mem_buf(n->pem, -1);
    EVP_PKEY *key = n->is_private ? PEM_read_bio_PrivateKey_ex(bio, NULL, NULL, NULL, libctx, NULL)
                                  : PEM_read_bio_PUBKEY_ex(bio, NULL, NULL, NULL, libctx, NULL);

    ERR_clear_error();
    BIO_free(bio);
    return key;
}

/* Through genpkey's option, as a user would; NULL when the device does not take the key. */
static EVP_PKEY *import(const struct named *n, const char *usage)
{
    OSSL_LIB_CTX *ctx = order("default-first");
    char path[512];
    EVP_PKEY *key = NULL;
    EVP_PKEY_CTX *gen;
    FILE *file;

    snprintf(path, sizeof(path), "%s/vector.pem", getenv("AZIHSM_TEST_DIR"));
    file = fopen(path, "w");
    assert_non_null(file);
    fputs(n->pem, file);
    fclose(file);
    gen = EVP_PKEY_CTX_new_from_name(ctx, EVP_PKEY_get0_type_name(n->carried), "provider=azihsm");
    if (gen == NULL || EVP_PKEY_keygen_init(gen) != 1 || EVP_PKEY_CTX_ctrl_str(gen, "azihsm.input_key", path) != 1 ||
        EVP_PKEY_CTX_ctrl_str(gen, "azihsm.key_usage", usage) != 1 || EVP_PKEY_keygen(gen, &key) != 1)
        key = NULL;
    ERR_clear_error();
    EVP_PKEY_CTX_free(gen);
    return key;
}

static bool device_size(const EVP_PKEY *key)
{
    char group[64] = "";
    int bits = EVP_PKEY_get_bits(key);

    if (EVP_PKEY_is_a(key, "RSA") || EVP_PKEY_is_a(key, "RSA-PSS"))
        return bits == 2048 || bits == 3072 || bits == 4096;
    return EVP_PKEY_is_a(key, "EC") && EVP_PKEY_get_group_name(key, group, sizeof(group), NULL) == 1 &&
           (strcmp(group, "prime256v1") == 0 || strcmp(group, "secp384r1") == 0 || strcmp(group, "secp521r1") == 0);
}

static void add_key(const char *name, bool is_private, char *pem)
{
    struct named *n = &named[names++];

    assert_true(names < NAMED_MAX);
    snprintf(n->name, sizeof(n->name), "%s", name);
    n->pem = pem;
    n->is_private = is_private;
    n->carried = read_key(n, order("preferred"));
    if (n->carried == NULL || !is_private || !device_size(n->carried))
        return;
    n->sign = import(n, "digitalSignature");
    if (EVP_PKEY_is_a(n->carried, "RSA"))
        n->decrypt = import(n, "keyEncipherment");
    if (n->sign == NULL)
        print_message("%s: not imported\n", name);
}

/* ---- one operation; the result is positive when all stages succeeded and the output is the expected one ---- */

static int apply_ctrls(EVP_PKEY_CTX *pctx, const struct stanza *s)
{
    for (size_t i = 0; i < s->ctrls; i++) {
        char name[96];
        char *value;
        snprintf(name, sizeof(name), "%s", s->ctrl[i]);
        if ((value = strchr(name, ':')) == NULL)
            continue;
        *value++ = '\0';
        if (EVP_PKEY_CTX_ctrl_str(pctx, name, value) <= 0)
            return 0;
    }
    return 1;
}

static int same(const struct stanza *s, const uint8_t *out, size_t len)
{
    return len == s->outputlen && (len == 0 || memcmp(out, s->output, len) == 0);
}

static int init(const struct stanza *s, EVP_PKEY_CTX *pctx)
{
    if (strcmp(s->operation, "Sign") == 0)
        return EVP_PKEY_sign_init(pctx);
    if (strcmp(s->operation, "Verify") == 0)
        return EVP_PKEY_verify_init(pctx);
    if (strcmp(s->operation, "VerifyRecover") == 0)
        return EVP_PKEY_verify_recover_init(pctx);
    return EVP_PKEY_decrypt_init(pctx);
}

static bool random_signature(const struct stanza *s, const EVP_PKEY *key)
{
    bool pss = EVP_PKEY_is_a(key, "RSA-PSS") || EVP_PKEY_is_a(key, "EC");

    for (size_t i = 0; i < s->ctrls; i++)
        pss |= strcmp(s->ctrl[i], "rsa_padding_mode:pss") == 0;
    return pss;
}

static int run_verify(const struct stanza *s, EVP_PKEY *key, OSSL_LIB_CTX *libctx, const uint8_t *sig, size_t siglen)
{
    EVP_PKEY_CTX *pctx = EVP_PKEY_CTX_new_from_pkey(libctx, key, NULL);
    int ok = EVP_PKEY_verify_init(pctx) == 1 && apply_ctrls(pctx, s) &&
             EVP_PKEY_verify(pctx, sig, siglen, s->input, s->inputlen) == 1;

    EVP_PKEY_CTX_free(pctx);
    return ok;
}

static int run_raw(const struct stanza *s, EVP_PKEY *key, OSSL_LIB_CTX *libctx)
{
    EVP_PKEY_CTX *pctx = EVP_PKEY_CTX_new_from_pkey(libctx, key, NULL);
    uint8_t out[VALUE_MAX];
    size_t len = sizeof(out);
    int ok = init(s, pctx) == 1 && apply_ctrls(pctx, s);

    if (ok && strcmp(s->operation, "Sign") == 0) {
        ok = EVP_PKEY_sign(pctx, out, &len, s->input, s->inputlen) == 1;
        ok = ok && (random_signature(s, key) || !s->has_output ? run_verify(s, public_of(key), software(), out, len)
                                                               : same(s, out, len));
    } else if (ok && strcmp(s->operation, "Verify") == 0) {
        ok = EVP_PKEY_verify(pctx, s->output, s->outputlen, s->input, s->inputlen) == 1;
    } else if (ok && strcmp(s->operation, "VerifyRecover") == 0) {
        ok = EVP_PKEY_verify_recover(pctx, out, &len, s->input, s->inputlen) == 1 && same(s, out, len);
    } else if (ok) {
        ok = EVP_PKEY_decrypt(pctx, out, &len, s->input, s->inputlen) == 1 && same(s, out, len);
    }
    EVP_PKEY_CTX_free(pctx);
    return ok;
}

static int run_digest(const struct stanza *s, EVP_PKEY *key, OSSL_LIB_CTX *libctx)
{
    EVP_MD_CTX *md = EVP_MD_CTX_new(), *check = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pctx;
    uint8_t out[VALUE_MAX];
    size_t len = sizeof(out);
    const char *digest = strcmp(s->digest, "NULL") == 0 ? NULL : s->digest;
    bool sign = strstr(s->operation, "Sign") != NULL;
    int ok = sign ? EVP_DigestSignInit_ex(md, &pctx, digest, libctx, NULL, key, NULL) == 1
                  : EVP_DigestVerifyInit_ex(md, &pctx, digest, libctx, NULL, key, NULL) == 1;

    ok = ok && apply_ctrls(pctx, s);
    if (ok && sign) {
        ok = EVP_DigestSign(md, out, &len, s->input, s->inputlen) == 1;
        if (ok && s->has_output && !random_signature(s, key))
            ok = same(s, out, len);
        ok = ok && EVP_DigestVerifyInit_ex(check, &pctx, digest, software(), NULL, public_of(key), NULL) == 1 &&
             apply_ctrls(pctx, s) && EVP_DigestVerify(check, out, len, s->input, s->inputlen) == 1;
    } else if (ok) {
        ok = EVP_DigestVerify(md, s->output, s->outputlen, s->input, s->inputlen) == 1;
    }
    EVP_MD_CTX_free(check);
    EVP_MD_CTX_free(md);
    return ok;
}

static int run_derive(const struct stanza *s, EVP_PKEY *key, OSSL_LIB_CTX *libctx)
{
    EVP_PKEY_CTX *pctx = EVP_PKEY_CTX_new_from_pkey(libctx, key, NULL);
    struct named *peer = find(s->peer);
    uint8_t out[VALUE_MAX];
    size_t len = sizeof(out);
    int ok = peer != NULL && peer->carried != NULL && EVP_PKEY_derive_init(pctx) == 1 && apply_ctrls(pctx, s) &&
             EVP_PKEY_derive_set_peer(pctx, peer->carried) == 1 && EVP_PKEY_derive(pctx, out, &len) == 1 &&
             same(s, out, len);

    EVP_PKEY_CTX_free(pctx);
    return ok;
}

static int run(const struct stanza *s, EVP_PKEY *key, OSSL_LIB_CTX *libctx)
{
    if (strcmp(s->operation, "Derive") == 0)
        return run_derive(s, key, libctx);
    return s->digest[0] != '\0' ? run_digest(s, key, libctx) : run_raw(s, key, libctx);
}

static void judge(const struct stanza *s, const char *file, const char *where, int outcome)
{
    /* "mismatch": the vector's signature is random, ours verified */
    bool expected = s->result[0] == '\0' || strcmp(s->result, "SIGNATURE_MISMATCH") == 0;

    ERR_clear_error();
    if (expected == (outcome > 0))
        return;
    print_error("%s:%d: %s with %s (%s): %s, expected %s\n", file, s->line, s->operation, s->key, where,
                outcome > 0 ? "succeeded" : "failed", expected ? "success" : s->result);
    count.wrong++;
}

static void run_pair(const struct stanza *s, const char *file)
{
    char first[64], second[64];
    struct named *a, *b;
    bool equal = s->result[0] == '\0';

    if (sscanf(s->key, "%63[^:]:%63s", first, second) != 2 || (a = find(first)) == NULL || (b = find(second)) == NULL)
        return;
    if (a->carried == NULL || b->carried == NULL) {
        count.wrong += equal; /* keys that are malformed on purpose may fail to load */
        return;
    }
    count.software++;
    judge(s, file, "software", EVP_PKEY_eq(a->carried, b->carried) == 1);
    if (a->sign != NULL) {
        count.device++;
        judge(s, file, "device", EVP_PKEY_eq(a->sign, b->carried) == 1 && EVP_PKEY_eq(b->carried, a->sign) == 1);
    }
}

static void run_stanza(const struct stanza *s, const char *file)
{
    bool decrypts = strcmp(s->operation, "Decrypt") == 0;
    bool private = decrypts || strstr(s->operation, "Sign") != NULL;
    struct named *n = find(s->key);
    EVP_PKEY *device;

    if (strcmp(s->operation, "KeyGen") == 0) {
        count.keygen++;
        return;
    }
    if (s->available[0] != '\0' && strstr(s->available, "default") == NULL) { /* fips, legacy */
        count.other_provider++;
        return;
    }
    if (strcmp(s->operation, "PrivPubKeyPair") == 0) {
        run_pair(s, file);
        return;
    }
    if (n == NULL || n->carried == NULL) {
        if (s->result[0] == '\0') { /* where an error is expected, the key is malformed or one of a KeyGen stanza */
            print_error("%s:%d: no key %s\n", file, s->line, s->key);
            count.wrong++;
        }
        count.keygen++;
        return;
    }
    count.software++;
    judge(s, file, "software", run(s, n->carried, order("preferred")));
    device = decrypts ? n->decrypt : n->sign;
    if (!private)
        return;
    if (device == NULL) {
        count.not_importable++;
        return;
    }
    count.device++;
    judge(s, file, "device", run(s, device, order("default-first")));
}

/* ---- the stanza format ---- */

static uint8_t *parse_value(const char *text, size_t *len)
{
    long n = 0;
    uint8_t *out;

    if (text[0] == '"') {
        *len = strlen(text) - 2;
        return OPENSSL_memdup(text + 1, *len + 1);
    }
    if (text[0] == '\0') {
        *len = 0;
        return OPENSSL_zalloc(1);
    }
    out = OPENSSL_hexstr2buf(text, &n);
    *len = (size_t)n;
    return out;
}

/* Several inputs are pieces of one message. */
static void append_input(struct stanza *s, const char *text)
{
    size_t len;
    uint8_t *more = parse_value(text, &len);

    s->input = OPENSSL_realloc(s->input, s->inputlen + len + 1);
    memcpy(s->input + s->inputlen, more, len);
    s->inputlen += len;
    OPENSSL_free(more);
}

static void take_line(struct stanza *s, const char *name, const char *value)
{
    static const char *const operations[] = {"Sign",   "Verify", "VerifyRecover", "Decrypt",
                                             "Derive", "KeyGen", "PrivPubKeyPair"};
    static const char *const digests[] = {"DigestSign", "DigestVerify", "OneShotDigestSign", "OneShotDigestVerify"};

    for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++)
        if (strcmp(name, operations[i]) == 0) {
            snprintf(s->operation, sizeof(s->operation), "%.31s", name);
            snprintf(s->key, sizeof(s->key), "%.127s", value);
        }
    for (size_t i = 0; i < 4; i++)
        if (strcmp(name, digests[i]) == 0) {
            snprintf(s->operation, sizeof(s->operation), "%.31s", name);
            snprintf(s->digest, sizeof(s->digest), "%.63s", value);
        }
    if (strcmp(name, "Key") == 0)
        snprintf(s->key, sizeof(s->key), "%.127s", value);
    if (strcmp(name, "PeerKey") == 0)
        snprintf(s->peer, sizeof(s->peer), "%.63s", value);
    if (strcmp(name, "Result") == 0)
        snprintf(s->result, sizeof(s->result), "%.63s", value);
    if (strcmp(name, "Availablein") == 0)
        snprintf(s->available, sizeof(s->available), "%.31s", value);
    if (strcmp(name, "Ctrl") == 0 && s->ctrls < CTRLS_MAX)
        snprintf(s->ctrl[s->ctrls++], sizeof(s->ctrl[0]), "%.95s", value);
    if (strcmp(name, "Input") == 0)
        append_input(s, value);
    if (strcmp(name, "Output") == 0 || strcmp(name, "SharedSecret") == 0) {
        s->output = parse_value(value, &s->outputlen);
        s->has_output = true;
    }
}

static void finish_stanza(struct stanza *s, const char *file)
{
    if (s->operation[0] != '\0')
        run_stanza(s, file);
    OPENSSL_free(s->input);
    OPENSSL_free(s->output);
    memset(s, 0, sizeof(*s));
}

static char *read_pem(FILE *file, int *number)
{
    char line[512], *pem = calloc(1, 16384);

    while (fgets(line, sizeof(line), file) != NULL) {
        ++*number;
        strncat(pem, line, 16383 - strlen(pem));
        if (strncmp(line, "-----END", 8) == 0)
            break;
    }
    return pem;
}

static void run_file(const char *name)
{
    static char line[65536];
    char path[1024];
    struct stanza s = {0};
    FILE *file;
    int number = 0;

    snprintf(path, sizeof(path), "%s/../shared/vectors/openssl/%s", PROJECT_ROOT, name);
    if ((file = fopen(path, "r")) == NULL) {
        snprintf(path, sizeof(path), "%s/%s", getenv("AZIHSM_VECTORS") ? getenv("AZIHSM_VECTORS") : "", name);
        file = fopen(path, "r");
    }
    if (file == NULL) {
        print_message("SKIP: %s is not there (../shared/vectors/openssl beside the project)\n", name);
        skip();
    }
    while (fgets(line, sizeof(line), file) != NULL) {
        char *value = strchr(line, '='), *end;
        ++number;
        line[strcspn(line, "\r\n")] = '\0';
        if (line[0] == '\0')
            finish_stanza(&s, name);
        if (line[0] == '\0' || line[0] == '#' || value == NULL)
            continue;
        for (end = value; end > line && (end[-1] == ' ' || end[-1] == '\t'); end--)
            ;
        *end = '\0';
        for (value++; *value == ' ' || *value == '\t'; value++)
            ;
        if (strcmp(line, "PrivateKey") == 0 || strcmp(line, "PublicKey") == 0) {
            char key[64];
            snprintf(key, sizeof(key), "%.63s", value);
            finish_stanza(&s, name);
            bool is_private = line[1] == 'r';
            add_key(key, is_private, read_pem(file, &number));
            continue;
        }
        if (s.line == 0)
            s.line = number;
        take_line(&s, line, value);
    }
    finish_stanza(&s, name);
    fclose(file);
}

static void test_file(void **state)
{
    const char *name = *state;

    memset(&count, 0, sizeof(count));
    run_file(name);
    print_message("%s: %d in the device, %d in software; not applicable: %d other provider, %d key generation and "
                  "malformed keys, %d private "
                  "keys of sizes the device does not have\n",
                  name, count.device, count.software, count.other_provider, count.keygen, count.not_importable);
    assert_int_equal(count.wrong, 0);
    assert_true(count.software > 0);
}

static int end(void **state)
{
    for (size_t i = 0; i < names; i++) {
        EVP_PKEY_free(named[i].carried);
        EVP_PKEY_free(named[i].sign);
        EVP_PKEY_free(named[i].decrypt);
        free(named[i].pem);
    }
    return support_end(state);
}

int main(void)
{
    struct CMUnitTest tests[FILES];

    for (size_t i = 0; i < FILES; i++)
        tests[i] = (struct CMUnitTest){files[i], test_file, NULL, NULL, (void *)files[i]};
    return cmocka_run_group_tests(tests, NULL, end);
}
