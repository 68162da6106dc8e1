/*
 * Public test vectors of asymmetric operations, OpenSSL's own and whatever $AZIHSM_VECTORS has (stanza.h), in every
 * order of activation: with the private keys imported into the device where it has their size, and with the same keys,
 * and all public ones, as software keys. What the default provider alone does is the measure, for errors too; that it
 * does what the file says shows that the file is understood. What is not applicable is counted by reason.
 */
#include "devicekey.h"
#include "stanza.h"
#include "support.h"

#include <openssl/crypto.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

static const char *const files[] = {"evppkey_ecdsa.txt", "evppkey_rsa.txt", "evppkey_rsa_common.txt",
                                    "evppkey_mismatch.txt", "evppkey_ecdh.txt"};
enum { FILES = 5, FILES_MAX = 256, NAMED_MAX = 2048, CTRLS_MAX = 12, CTRL_MAX = 1024, VALUE_MAX = 4096 };
/* Where an operation is done: in the software-only context, or in one of the orders. */
enum { SOFTWARE = ORDERS, CONTEXTS };

struct stanza {
    char operation[32], key[128];
    char digest[64], ctrl[CTRLS_MAX][CTRL_MAX], result[64], peer[64], available[32];
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
    EVP_PKEY *software[CONTEXTS];             /* also public */
    EVP_PKEY *sign[ORDERS], *decrypt[ORDERS]; /* in the device */
    bool agrees;                              /* is azihsm://agree-NAME, too */
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

static OSSL_LIB_CTX *context(size_t where)
{
    return where == SOFTWARE ? software() : order(orders[where]);
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

/* As vector.pem in the test's directory. */
static void write_vector(const struct named *n)
{
    char path[512];
    FILE *file;

    snprintf(path, sizeof(path), "%s/vector.pem", getenv("AZIHSM_TEST_DIR"));
    file = fopen(path, "w");
    assert_non_null(file);
    fputs(n->pem, file);
    fclose(file);
}

/* Through genpkey's option, as a user would; NULL when the device does not take the key. */
static EVP_PKEY *import(const struct named *n, OSSL_LIB_CTX *ctx, const char *usage)
{
    char path[512];
    EVP_PKEY *key = NULL;
    EVP_PKEY_CTX *gen;

    snprintf(path, sizeof(path), "%s/vector.pem", getenv("AZIHSM_TEST_DIR"));
    write_vector(n);
    gen = EVP_PKEY_CTX_new_from_name(ctx, EVP_PKEY_get0_type_name(n->software[SOFTWARE]), "provider=azihsm");
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
    for (size_t i = 0; i < CONTEXTS; i++)
        n->software[i] = read_key(n, context(i));
}

/* Imported when first needed; NULL when the device does not have such keys. */
static EVP_PKEY *device_of(struct named *n, size_t where, bool decrypts)
{
    EVP_PKEY **key = decrypts ? &n->decrypt[where] : &n->sign[where];

    if (*key != NULL || !n->is_private || !device_size(n->software[SOFTWARE]) ||
        (decrypts && !EVP_PKEY_is_a(n->software[SOFTWARE], "RSA")))
        return *key;
    *key = import(n, context(where), decrypts ? "keyEncipherment" : "digitalSignature");
    if (*key == NULL) {
        print_error("%s: not imported (%s)\n", n->name, orders[where]);
        count.wrong++;
    }
    return *key;
}

static void forget_keys(void)
{
    for (size_t i = 0; i < names; i++) {
        for (size_t j = 0; j < CONTEXTS; j++)
            EVP_PKEY_free(named[i].software[j]);
        for (size_t j = 0; j < ORDERS; j++) {
            EVP_PKEY_free(named[i].sign[j]);
            EVP_PKEY_free(named[i].decrypt[j]);
        }
        free(named[i].pem);
    }
    memset(named, 0, sizeof(named));
    names = 0;
}

/* ---- one operation; the result is positive when all stages succeeded and the output is the expected one ---- */

static int apply_ctrls(EVP_PKEY_CTX *pctx, const struct stanza *s)
{
    for (size_t i = 0; i < s->ctrls; i++) {
        char name[CTRL_MAX];
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
        ok = ok && (random_signature(s, key) || !s->has_output
                        ? run_verify(s, find(s->key)->software[SOFTWARE], software(), out, len)
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
        ok = ok &&
             EVP_DigestVerifyInit_ex(check, &pctx, digest, software(), NULL, find(s->key)->software[SOFTWARE], NULL) ==
                 1 &&
             apply_ctrls(pctx, s) && EVP_DigestVerify(check, out, len, s->input, s->inputlen) == 1;
    } else if (ok) {
        ok = EVP_DigestVerify(md, s->output, s->outputlen, s->input, s->inputlen) == 1;
    }
    EVP_MD_CTX_free(check);
    EVP_MD_CTX_free(md);
    return ok;
}

static int run_derive(const struct stanza *s, EVP_PKEY *key, size_t where)
{
    EVP_PKEY_CTX *pctx = EVP_PKEY_CTX_new_from_pkey(context(where), key, NULL);
    struct named *named_peer = find(s->peer);
    EVP_PKEY *peer = named_peer == NULL ? NULL : named_peer->software[where];
    uint8_t out[VALUE_MAX];
    size_t len = sizeof(out);
    int ok = peer != NULL && EVP_PKEY_derive_init(pctx) == 1 && apply_ctrls(pctx, s) &&
             EVP_PKEY_derive_set_peer(pctx, peer) == 1 && EVP_PKEY_derive(pctx, out, &len) == 1 && same(s, out, len);

    EVP_PKEY_CTX_free(pctx);
    return ok;
}

static void import_to_agree(struct named *n)
{
    char words[256];

    write_vector(n);
    snprintf(words, sizeof(words), "key import 'agree-%s' --usage derive --force --in vector.pem", n->name);
    tool(words);
    n->agrees = true;
}

/* A peer whose curve is written out instead of named is none for the device. */
static bool explicit_peer(const struct stanza *s)
{
    const struct named *peer = find(s->peer);
    int explicit = 0;

    return peer != NULL && peer->software[SOFTWARE] != NULL &&
           EVP_PKEY_get_int_param(peer->software[SOFTWARE], OSSL_PKEY_PARAM_EC_DECODED_FROM_EXPLICIT_PARAMS,
                                  &explicit) == 1 &&
           explicit != 0;
}

static bool agrees_in_device(const struct stanza *s, struct named *n)
{
    struct named *peer = find(s->peer);
    char uri[128];

    if (!n->agrees)
        import_to_agree(n);
    snprintf(uri, sizeof(uri), "azihsm://agree-%s", n->name);
    return peer != NULL && peer->software[SOFTWARE] != NULL &&
           agrees(uri, peer->software[SOFTWARE], s->output, s->outputlen);
}

static bool run(const struct stanza *s, EVP_PKEY *key, size_t where)
{
    OSSL_LIB_CTX *libctx = context(where);
    int outcome;

    if (strcmp(s->operation, "Derive") == 0)
        outcome = run_derive(s, key, where);
    else
        outcome = s->digest[0] != '\0' ? run_digest(s, key, libctx) : run_raw(s, key, libctx);
    ERR_clear_error();
    return outcome > 0;
}

static void judge(const struct stanza *s, const char *file, const char *kind, const char *where, bool outcome,
                  bool expected)
{
    if (expected == outcome)
        return;
    print_error("%s:%d: %s with %s (%s, %s): %s, expected %s\n", file, s->line, s->operation, s->key, kind, where,
                outcome ? "succeeded" : "failed", expected ? "success" : s->result);
    count.wrong++;
}

static bool equal(EVP_PKEY *a, EVP_PKEY *b)
{
    bool there = EVP_PKEY_eq(a, b) == 1, back = EVP_PKEY_eq(b, a) == 1;

    ERR_clear_error();
    return there && back;
}

static void run_pair(const struct stanza *s, const char *file)
{
    char first[64], second[64];
    struct named *a, *b;
    bool expected = s->result[0] == '\0';

    if (sscanf(s->key, "%63[^:]:%63s", first, second) != 2 || (a = find(first)) == NULL || (b = find(second)) == NULL)
        return;
    if (a->software[SOFTWARE] == NULL || b->software[SOFTWARE] == NULL) {
        count.wrong += expected; /* keys that are malformed on purpose may fail to load */
        return;
    }
    for (size_t i = 0; i < CONTEXTS; i++) {
        count.software++;
        judge(s, file, "software", i == SOFTWARE ? "alone" : orders[i], equal(a->software[i], b->software[i]),
              expected);
        if (i == SOFTWARE || device_of(a, i, false) == NULL)
            continue;
        count.device++;
        judge(s, file, "device", orders[i], equal(a->sign[i], b->software[i]), expected);
    }
}

static void run_key(const struct stanza *s, const char *file, struct named *n)
{
    bool decrypts = strcmp(s->operation, "Decrypt") == 0;
    bool private = decrypts || strstr(s->operation, "Sign") != NULL;
    bool expected = run(s, n->software[SOFTWARE], SOFTWARE);
    EVP_PKEY *device;

    if (strcmp(s->result, "ANY") != 0) /* "mismatch": the vector's signature is random, ours verified */
        judge(s, file, "the vector", "default provider", expected,
              s->result[0] == '\0' || strcmp(s->result, "SIGNATURE_MISMATCH") == 0);
    for (size_t i = 0; i < ORDERS; i++) {
        count.software++;
        judge(s, file, "software", orders[i], run(s, n->software[i], i), expected);
        if (!private)
            continue;
        device = device_of(n, i, decrypts);
        count.device += device != NULL;
        count.not_importable += device == NULL;
        if (device != NULL)
            judge(s, file, "device", orders[i], run(s, device, i), expected);
    }
    if (strcmp(s->operation, "Derive") != 0 || s->ctrls > 0 || !EVP_PKEY_is_a(n->software[SOFTWARE], "EC"))
        return;
    if (!device_size(n->software[SOFTWARE]) || explicit_peer(s)) {
        count.not_importable++;
        return;
    }
    count.device++;
    judge(s, file, "device", "derived", agrees_in_device(s, n), expected);
}

static void run_stanza(const struct stanza *s, const char *file)
{
    struct named *n = find(s->key);

    if (strcmp(s->operation, "KeyGen") == 0) {
        count.keygen++;
    } else if (s->available[0] != '\0' && strstr(s->available, "default") == NULL) { /* fips, legacy */
        count.other_provider++;
    } else if (strcmp(s->operation, "PrivPubKeyPair") == 0) {
        run_pair(s, file);
    } else if (n == NULL || n->software[SOFTWARE] == NULL) {
        if (s->result[0] == '\0') { /* where an error is expected, the key is malformed or one of a KeyGen stanza */
            print_error("%s:%d: no key %s\n", file, s->line, s->key);
            count.wrong++;
        }
        count.keygen++;
    } else {
        run_key(s, file, n);
    }
}

/* ---- the stanzas ---- */

/* Several inputs are pieces of one message. */
static void append_input(struct stanza *s, const char *text)
{
    size_t len;
    uint8_t *more = stanza_bytes(text, &len);

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
        snprintf(s->ctrl[s->ctrls++], sizeof(s->ctrl[0]), "%s", value);
    if (strcmp(name, "Input") == 0)
        append_input(s, value);
    if (strcmp(name, "Output") == 0 || strcmp(name, "SharedSecret") == 0) {
        s->output = stanza_bytes(value, &s->outputlen);
        s->has_output = true;
    }
}

/* ---- files ---- */

struct progress {
    struct stanza stanza;
    const char *file;
};

static void on_line(void *arg, const char *name, const char *value, int number)
{
    struct progress *progress = arg;

    if (progress->stanza.line == 0)
        progress->stanza.line = number;
    take_line(&progress->stanza, name, value);
}

static void on_end(void *arg)
{
    struct progress *progress = arg;

    if (progress->stanza.operation[0] != '\0')
        run_stanza(&progress->stanza, progress->file);
    OPENSSL_free(progress->stanza.input);
    OPENSSL_free(progress->stanza.output);
    memset(&progress->stanza, 0, sizeof(progress->stanza));
}

static void on_key(void *arg, const char *name, bool is_private, char *pem)
{
    (void)arg;
    add_key(name, is_private, pem);
}

static void test_file(void **state)
{
    struct progress progress = {.file = *state};
    const struct stanza_reader reader = {on_line, on_end, on_key, &progress};

    memset(&count, 0, sizeof(count));
    if (!stanza_read(progress.file, &reader)) {
        print_message("SKIP: %s is not there (../shared/vectors/openssl beside the project)\n", progress.file);
        skip();
    }
    forget_keys();
    print_message("%s: %d in the device, %d in software; not applicable: %d other provider, %d key generation and "
                  "malformed keys, %d keys of sizes or forms the device does not have\n",
                  progress.file, count.device, count.software, count.other_provider, count.keygen,
                  count.not_importable);
    assert_int_equal(count.wrong, 0);
    assert_true(count.software > 0);
}

int main(void)
{
    struct CMUnitTest tests[FILES_MAX] = {{0}};
    char *more[FILES_MAX - FILES] = {NULL};
    size_t n = stanza_files("asymmetric", more, FILES_MAX - FILES);
    int status;

    umask(077); /* of key files */
    for (size_t i = 0; i < FILES + n; i++) {
        const char *name = i < FILES ? files[i] : more[i - FILES];
        tests[i] = (struct CMUnitTest){name, test_file, NULL, NULL, (void *)name};
    }
    if (n == 0)
        print_message("SKIP: no vectors but OpenSSL's: AZIHSM_VECTORS is not set (test/provider/vectors.py)\n");
    status = _cmocka_run_group_tests("vectors", tests, FILES + n, NULL, support_end);
    for (size_t i = 0; i < n; i++)
        free(more[i]);
    return status;
}
