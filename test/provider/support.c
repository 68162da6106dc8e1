/*
 * Contexts, keys and counters for the EVP programs (support.h). Caches are small arrays, freed in support_end.
 */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

const char *const orders[3] = {"default-first", "azihsm-first", "preferred"};

enum { CONTEXTS_MAX = 12, KEYS_MAX = 256 };

static struct {
    char name[32];
    OSSL_LIB_CTX *ctx;
} contexts[CONTEXTS_MAX];

enum cached { DEVICE_KEY, SOFTWARE_KEY, PUBLIC_KEY };
static struct {
    const void *owner; /* context, or the key a public half was taken from */
    enum cached what;
    char kind[16];
    EVP_PKEY *key;
} keys[KEYS_MAX];

static const char *test_dir(void)
{
    const char *dir = getenv("AZIHSM_TEST_DIR");

    if (dir == NULL) {
        fprintf(stderr, "run this through test/provider/with-device\n");
        exit(2);
    }
    return dir;
}

void assert_good(long ok, const char *text, const char *file, int line)
{
    if (ok > 0)
        return;
    ERR_print_errors_fp(stderr);
    print_error("%s gave %ld\n", text, ok);
    _fail(file, line);
}

void assert_bad(long ok, const char *text, const char *file, int line)
{
    ERR_clear_error();
    if (ok <= 0)
        return;
    print_error("%s gave %ld, should have failed\n", text, ok);
    _fail(file, line);
}

bool error_says(const char *text)
{
    char line[512];
    const char *data;
    int flags;
    bool found = false;
    unsigned long error;

    while (!found && (error = ERR_get_error_all(NULL, NULL, NULL, &data, &flags)) != 0) {
        ERR_error_string_n(error, line, sizeof(line));
        found =
            strstr(line, text) != NULL || ((flags & ERR_TXT_STRING) != 0 && data != NULL && strstr(data, text) != NULL);
    }
    ERR_clear_error();
    return found;
}

static OSSL_LIB_CTX *context(const char *name, const char *config)
{
    for (size_t i = 0; i < CONTEXTS_MAX; i++) {
        if (strcmp(contexts[i].name, name) == 0)
            return contexts[i].ctx;
        if (contexts[i].name[0] == '\0') {
            snprintf(contexts[i].name, sizeof(contexts[i].name), "%s", name);
            contexts[i].ctx = OSSL_LIB_CTX_new();
            assert_non_null(contexts[i].ctx);
            /* left alone, a context holds `default` from its first fetch on */
            if (config != NULL)
                good(OSSL_LIB_CTX_load_config(contexts[i].ctx, config));
            return contexts[i].ctx;
        }
    }
    fail_msg("too many contexts");
    return NULL;
}

OSSL_LIB_CTX *order(const char *name)
{
    char path[512];

    snprintf(path, sizeof(path), "%s/%s.cnf", test_dir(), name);
    return context(name, path);
}

OSSL_LIB_CTX *software(void)
{
    return context("software", NULL);
}

int support_end(void **state)
{
    (void)state;
    for (size_t i = 0; i < KEYS_MAX; i++)
        EVP_PKEY_free(keys[i].key);
    memset(keys, 0, sizeof(keys));
    for (size_t i = 0; i < CONTEXTS_MAX; i++)
        OSSL_LIB_CTX_free(contexts[i].ctx);
    memset(contexts, 0, sizeof(contexts));
    return 0;
}

bool is_rsa(const char *kind)
{
    return kind[0] == 'R' || strncmp(kind, "PSS", 3) == 0;
}

EVP_PKEY *make_key(OSSL_LIB_CTX *ctx, const char *propq, const char *kind)
{
    bool rsa = is_rsa(kind);
    char group[16], use = kind[strlen(kind) - 1];
    EVP_PKEY_CTX *gen = EVP_PKEY_CTX_new_from_name(ctx, !rsa ? "EC" : kind[0] == 'R' ? "RSA" : "RSA-PSS", propq);
    EVP_PKEY *key = NULL;

    assert_non_null(gen);
    snprintf(group, sizeof(group), "%.*s", (int)strcspn(kind, "x"), kind);
    good(EVP_PKEY_keygen_init(gen));
    if (rsa)
        good(EVP_PKEY_CTX_set_rsa_keygen_bits(gen, atoi(kind + 4)));
    else
        good(EVP_PKEY_CTX_set_group_name(gen, group));
    if (propq != NULL && (use == 'd' || use == 'x'))
        good(EVP_PKEY_CTX_ctrl_str(gen, "azihsm.key_usage", use == 'd' ? "keyEncipherment" : "keyAgreement"));
    good(EVP_PKEY_keygen(gen, &key));
    EVP_PKEY_CTX_free(gen);
    return key;
}

static EVP_PKEY **slot(const void *owner, enum cached what, const char *kind)
{
    for (size_t i = 0; i < KEYS_MAX; i++) {
        if (keys[i].owner == NULL) {
            keys[i].owner = owner;
            keys[i].what = what;
            snprintf(keys[i].kind, sizeof(keys[i].kind), "%s", kind);
        }
        if (keys[i].owner == owner && keys[i].what == what && strcmp(keys[i].kind, kind) == 0)
            return &keys[i].key;
    }
    fail_msg("too many keys");
    return NULL;
}

EVP_PKEY *device_key(OSSL_LIB_CTX *ctx, const char *kind)
{
    EVP_PKEY **key = slot(ctx, DEVICE_KEY, kind);

    if (*key == NULL)
        *key = make_key(ctx, "provider=azihsm", kind);
    return *key;
}

/* Through its PKCS#8 form, as a program that reads a key file gets it. */
EVP_PKEY *software_key(OSSL_LIB_CTX *ctx, const char *kind)
{
    EVP_PKEY **original = slot(software(), SOFTWARE_KEY, kind), **key;
    unsigned char *der = NULL;
    const unsigned char *p;
    PKCS8_PRIV_KEY_INFO *info;
    int len;

    if (*original == NULL)
        *original = make_key(software(), NULL, kind);
    if (ctx == software())
        return *original;
    key = slot(ctx, SOFTWARE_KEY, kind);
    if (*key == NULL) {
        info = EVP_PKEY2PKCS8(*original);
        len = i2d_PKCS8_PRIV_KEY_INFO(info, &der);
        good(len);
        p = der;
        *key = d2i_AutoPrivateKey_ex(NULL, &p, len, ctx, NULL);
        if (*key == NULL)
            good(0);
        PKCS8_PRIV_KEY_INFO_free(info);
        OPENSSL_clear_free(der, (size_t)len);
    }
    return *key;
}

static EVP_PKEY *read_public(EVP_PKEY *key)
{
    unsigned char *der = NULL;
    const unsigned char *p;
    EVP_PKEY *public = NULL;
    int len = i2d_PUBKEY(key, &der);

    p = der;
    if (len > 0)
    public = d2i_PUBKEY_ex(NULL, &p, len, software(), NULL);
    OPENSSL_free(der);
    return public;
}

EVP_PKEY *public_of(EVP_PKEY *key)
{
    EVP_PKEY **public = slot(key, PUBLIC_KEY, "");

    if (*public == NULL && (*public = read_public(key)) == NULL)
        good(0);
    return *public;
}

bool signs(EVP_PKEY *key, OSSL_LIB_CTX *ctx)
{
    static const uint8_t text[] = "accepted";
    EVP_PKEY *public = read_public(key);
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    uint8_t sig[1024];
    size_t len = sizeof(sig);
    bool ok = EVP_DigestSignInit_ex(md, NULL, "SHA256", ctx, NULL, key, NULL) == 1 &&
              EVP_DigestSign(md, sig, &len, text, sizeof(text)) == 1;

    EVP_MD_CTX_reset(md);
    ok = ok && EVP_DigestVerifyInit_ex(md, NULL, "SHA256", software(), NULL, public, NULL) == 1 &&
         EVP_DigestVerify(md, sig, len, text, sizeof(text)) == 1;
    EVP_MD_CTX_free(md);
    EVP_PKEY_free(public);
    return ok;
}

/* Sums the lines that begin with name and a label or a blank, and contain the other text. */
static long metric(const char *name, const char *label)
{
    char line[512];
    long sum = 0;
    FILE *pipe;

    snprintf(line, sizeof(line), "'%s/bin/azihsm' --control '%s/control.sock' metrics", getenv("AZIHSM_TEST_BUILD"),
             test_dir());
    pipe = popen(line, "r");
    assert_non_null(pipe);
    while (fgets(line, sizeof(line), pipe) != NULL)
        if (strncmp(line, name, strlen(name)) == 0 && strchr("{ ", line[strlen(name)]) != NULL &&
            strstr(line, label) != NULL)
            sum += strtol(strrchr(line, ' ') + 1, NULL, 10);
    assert_int_equal(pclose(pipe), 0);
    return sum;
}

long device_metric(const char *name)
{
    return metric(name, "");
}

/* Of all commands when NULL. */
long device_requests(const char *command)
{
    char label[96] = "";

    if (command != NULL)
        snprintf(label, sizeof(label), "op=\"%s\"", command);
    return metric("azihsm_commands_total", label);
}

/* ---- children ---- */

enum { HANGS = 300 /* seconds */ };

pid_t spawn(bool (*body)(void))
{
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        alarm(HANGS);
        if (body())
            _exit(0);
        ERR_print_errors_fp(stderr);
        _exit(1);
    }
    return pid;
}

void expect_ok(pid_t pid)
{
    int status = -1;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}
