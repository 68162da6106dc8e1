/*
 * Public test vectors of ciphers, MACs and KDFs (stanza.h), with `symmetric = yes`: with key bytes and our provider
 * preferred, every stanza must go as with the default provider alone, call by call: the same bytes, or the same call
 * fails for the same reason. AES keys that the device takes are imported, and must then give the same results. HMAC
 * keys and secrets of KDFs have no way into the device from outside (they come from an ECDH in it): counted.
 */
#include "devicekey.h"
#include "stanza.h"
#include "support.h"

#include <ctype.h>
#include <openssl/crypto.h>
#include <openssl/kdf.h>
#include <openssl/provider.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

static const char *const files[] = {"evpciph_aes_common.txt", "evpkdf_hkdf.txt", "evpkdf_kbkdf_counter.txt",
                                    "evpmac_common.txt"};
enum { FILES = 4, FILES_MAX = 256, FIELDS_MAX = 24, PARAMS_MAX = 16, OUTPUT_MAX = 1 << 17 };

struct stanza {
    struct field {
        char name[32], *value;
    } field[FIELDS_MAX];
    size_t fields;
    int line;
};

/* What an operation came to: the call that failed and why, or the output. */
struct outcome {
    const char *failed; /* NULL: nothing */
    unsigned long reason;
    size_t len, extralen;
    bool ours;                                       /* the algorithm was our provider's */
    uint8_t out[OUTPUT_MAX], extra[EVP_MAX_MD_SIZE]; /* extra: tag, then the IV for the next message */
};

/* How a cipher is fed. */
static const struct manner {
    const char *name;
    size_t step; /* 0: at once */
    bool in_place, copy;
} manners[] = {{"at once", 0, false, false},       {"in place", 0, true, false},     {"byte by byte", 1, false, false},
               {"in sevens", 7, false, false},     {"32 in place", 32, true, false}, {"33 in place", 33, true, false},
               {"a copy goes on", 20, false, true}};
enum { MANNERS = sizeof(manners) / sizeof(manners[0]) };

static struct {
    int compared, ours, device, wrong, other_provider;
    int no_way_in, other_size, empty, unknown;
} count;

static const char *get(const struct stanza *s, const char *name)
{
    for (size_t i = 0; i < s->fields; i++)
        if (strcmp(s->field[i].name, name) == 0)
            return s->field[i].value;
    return NULL;
}

static uint8_t *bytes(const struct stanza *s, const char *name, size_t *len)
{
    const char *text = get(s, name);

    *len = 0;
    return text == NULL ? NULL : stanza_bytes(text, len);
}

/* True when ok; else notes which call failed. */
static bool step(struct outcome *o, const char *call, int ok)
{
    if (ok > 0)
        return true;
    o->failed = call;
    o->reason = ERR_GET_REASON(ERR_peek_error());
    return false;
}

static bool ours(const OSSL_PROVIDER *provider)
{
    return strcmp(OSSL_PROVIDER_get0_name(provider), "azihsm") == 0;
}

/* ---- ciphers ---- */

struct cipher_case {
    const struct stanza *stanza;
    const char *device_key; /* a URI instead of key bytes */
    bool encrypt;
    const struct manner *manner;
};

static bool set_up(struct outcome *o, EVP_CIPHER_CTX *c, const EVP_CIPHER *cipher, const struct cipher_case *what)
{
    OSSL_PARAM params[3], *p = params;
    size_t keylen, ivlen, taglen, textlen;
    uint8_t *key = bytes(what->stanza, "Key", &keylen), *iv = bytes(what->stanza, "IV", &ivlen);
    uint8_t *tag = bytes(what->stanza, "Tag", &taglen), *text = bytes(what->stanza, "Plaintext", &textlen);
    int mode = EVP_CIPHER_get_mode(cipher), n;
    bool aead = (EVP_CIPHER_get_flags(cipher) & EVP_CIPH_FLAG_AEAD_CIPHER) != 0, ccm = mode == EVP_CIPH_CCM_MODE;
    bool late = get(what->stanza, "SetTagLate") != NULL;
    bool ok = step(o, "init", EVP_CipherInit_ex2(c, cipher, NULL, NULL, what->encrypt, NULL));

    if (what->device_key != NULL) {
        *p++ = OSSL_PARAM_construct_utf8_string("azihsm.key", (char *)what->device_key, 0);
        if (mode == EVP_CIPH_XTS_MODE)
            *p++ = OSSL_PARAM_construct_utf8_string("azihsm.tweak_key", "azihsm://vector-tweak", 0);
    }
    *p = OSSL_PARAM_construct_end();
    if (ok && aead && iv != NULL)
        ok = step(o, "iv length", EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_IVLEN, (int)ivlen, NULL));
    if (ok && aead && tag != NULL && (ccm || (!what->encrypt && !late)))
        ok = step(o, "tag",
                  EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, (int)taglen, what->encrypt || late ? NULL : tag));
    if (ok && what->device_key == NULL)
        ok = step(o, "key length", EVP_CIPHER_CTX_set_key_length(c, (int)keylen));
    ok = ok && step(o, "key", EVP_CipherInit_ex2(c, NULL, what->device_key == NULL ? key : NULL, iv, -1, params));

    if (ok && ccm)
        ok = step(o, "total length", EVP_CipherUpdate(c, NULL, &n, NULL, (int)textlen));
    ok = ok && step(o, "padding", EVP_CIPHER_CTX_set_padding(c, get(what->stanza, "Padding") != NULL));
    OPENSSL_clear_free(key, keylen);
    OPENSSL_free(iv);
    OPENSSL_free(tag);
    OPENSSL_free(text);
    return ok;
}

static bool associated_data(struct outcome *o, EVP_CIPHER_CTX *c, const struct stanza *s)
{
    bool ok = true;
    size_t taglen;
    uint8_t *tag = bytes(s, "Tag", &taglen);

    for (size_t i = 0; ok && i < s->fields; i++) {
        size_t len;
        uint8_t *aad;
        int n;
        if (strcmp(s->field[i].name, "AAD") != 0)
            continue;
        aad = stanza_bytes(s->field[i].value, &len);
        ok = step(o, "aad", EVP_CipherUpdate(c, NULL, &n, aad, (int)len));
        OPENSSL_free(aad);
    }
    if (ok && get(s, "SetTagLate") != NULL)
        ok = step(o, "tag", EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, (int)taglen, tag));
    OPENSSL_free(tag);
    return ok;
}

/* The text through the context, which a copy may replace on the way. In place when out holds the text. */
static bool text_through(struct outcome *o, EVP_CIPHER_CTX **c, const struct manner *manner, const uint8_t *in,
                         size_t inlen)
{
    static uint8_t apart[OUTPUT_MAX];
    uint8_t *out = manner->in_place ? apart : o->out;
    size_t size = manner->step == 0 ? inlen : manner->step, used = 0;
    bool ok = true;
    int n = 0;

    if (manner->in_place)
        memcpy(apart, in, inlen);
    for (size_t i = 0; ok && (i < inlen || i == 0); i += size == 0 ? 1 : size) {
        size_t now = inlen - i < size ? inlen - i : size;
        uint8_t *to = manner->in_place ? apart + i : out + used;
        ok = step(o, "update", EVP_CipherUpdate(*c, to, &n, manner->in_place ? apart + i : in + i, (int)now));
        if (ok && manner->in_place)
            memcpy(o->out + used, to, (size_t)n);
        used += ok ? (size_t)n : 0;
        if (ok && manner->copy) {
            EVP_CIPHER_CTX *copy = EVP_CIPHER_CTX_new();
            ok = step(o, "copy", EVP_CIPHER_CTX_copy(copy, *c));
            EVP_CIPHER_CTX_free(*c);
            *c = copy;
        }
    }
    ok = ok && step(o, "final", EVP_CipherFinal_ex(*c, o->out + used, &n));
    o->len = used + (ok ? (size_t)n : 0);
    return ok;
}

static void run_cipher(const struct cipher_case *what, OSSL_LIB_CTX *libctx, struct outcome *o)
{
    const struct stanza *s = what->stanza;
    EVP_CIPHER *cipher =
        EVP_CIPHER_fetch(libctx, get(s, "Cipher"), what->device_key == NULL ? NULL : "provider=azihsm");
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    size_t inlen, taglen;
    uint8_t *in = bytes(s, what->encrypt ? "Plaintext" : "Ciphertext", &inlen), *tag = bytes(s, "Tag", &taglen);

    o->failed = NULL;
    o->len = o->extralen = 0;
    o->ours = cipher != NULL && ours(EVP_CIPHER_get0_provider(cipher));
    if (step(o, "fetch", cipher != NULL) && set_up(o, c, cipher, what) && associated_data(o, c, s) &&
        text_through(o, &c, what->manner, in, inlen)) {
        if (what->encrypt && tag != NULL &&
            step(o, "get tag", EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, (int)taglen, o->extra)))
            o->extralen = taglen;
        if (get(s, "NextIV") != NULL &&
            step(o, "next IV", EVP_CIPHER_CTX_get_updated_iv(c, o->extra + o->extralen, 16)))
            o->extralen += (size_t)EVP_CIPHER_CTX_get_iv_length(c);
    }

    ERR_clear_error();
    OPENSSL_free(in);
    OPENSSL_free(tag);
    EVP_CIPHER_CTX_free(c);
    EVP_CIPHER_free(cipher);
}

/* ---- MACs and KDFs ---- */

/* "name:value" of the lines beginning with prefix become parameters; the name may begin with "hex". */
static bool text_params(struct outcome *o, const struct stanza *s, const char *prefix, const OSSL_PARAM *settable,
                        OSSL_PARAM *params, size_t *n)
{
    for (size_t i = 0; i < s->fields; i++) {
        char name[64], *colon;
        const char *value;
        int found;
        if (strncmp(s->field[i].name, prefix, strlen(prefix)) != 0 || *n + 1 >= PARAMS_MAX)
            continue;
        snprintf(name, sizeof(name), "%s", s->field[i].value);
        if ((colon = strchr(name, ':')) == NULL)
            continue;
        *colon = '\0';
        value = s->field[i].value + (colon - name) + 1;
        if (!step(o, "parameter",
                  OSSL_PARAM_allocate_from_text(&params[*n], settable, name, value, strlen(value), &found)))
            return false;
        ++*n;
    }
    params[*n] = OSSL_PARAM_construct_end();
    return true;
}

static void free_params(OSSL_PARAM *params, size_t n)
{
    while (n > 0)
        OPENSSL_free(params[--n].data);
}

static void run_kdf(const struct stanza *s, OSSL_LIB_CTX *libctx, struct outcome *o)
{
    EVP_KDF *kdf = EVP_KDF_fetch(libctx, get(s, "KDF"), NULL);
    EVP_KDF_CTX *k = EVP_KDF_CTX_new(kdf), *copy = NULL;
    OSSL_PARAM params[PARAMS_MAX] = {OSSL_PARAM_END};
    size_t n = 0, len;
    uint8_t *expect = bytes(s, "Output", &len);

    o->failed = NULL;
    o->extralen = 0;
    o->len = len;
    o->ours = kdf != NULL && ours(EVP_KDF_get0_provider(kdf));
    if (step(o, "fetch", kdf != NULL) && text_params(o, s, "Ctrl", EVP_KDF_settable_ctx_params(kdf), params, &n) &&
        step(o, "set", EVP_KDF_CTX_set_params(k, params)) &&
        ((copy = EVP_KDF_CTX_dup(k)) == NULL || /* before 3.1, KDFs have no copies */
         step(o, "derive", EVP_KDF_derive(copy, o->out, len, NULL))))
        step(o, "derive again", EVP_KDF_derive(k, o->out, len, NULL));
    ERR_clear_error();
    free_params(params, n);
    OPENSSL_free(expect);
    EVP_KDF_CTX_free(copy);
    EVP_KDF_CTX_free(k);
    EVP_KDF_free(kdf);
}

static bool mac_params(struct outcome *o, const struct stanza *s, const OSSL_PARAM *settable, OSSL_PARAM *params,
                       size_t *n)
{
    static const struct {
        const char *field, *param;
        bool hex;
    } known[] = {{"Algorithm", NULL, false},
                 {"Custom", OSSL_MAC_PARAM_CUSTOM, true},
                 {"IV", OSSL_MAC_PARAM_IV, true},
                 {"Salt", OSSL_MAC_PARAM_SALT, true},
                 {"XOF", OSSL_MAC_PARAM_XOF, false}};

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        const char *value = get(s, known[i].field), *param = known[i].param;
        size_t len;
        if (value == NULL)
            continue;
        if (param == NULL)
            param = OSSL_PARAM_locate_const(settable, OSSL_MAC_PARAM_DIGEST) != NULL &&
                            strncasecmp(get(s, "MAC"), "HMAC", 4) == 0
                        ? OSSL_MAC_PARAM_DIGEST
                        : OSSL_MAC_PARAM_CIPHER;
        if (known[i].hex) {
            uint8_t *data = stanza_bytes(value, &len);
            params[(*n)++] = OSSL_PARAM_construct_octet_string(param, data, len);
        } else if (strcmp(param, OSSL_MAC_PARAM_XOF) == 0) {
            int *on = OPENSSL_malloc(sizeof(*on));
            *on = 1;
            params[(*n)++] = OSSL_PARAM_construct_int(param, on);
        } else {
            params[(*n)++] = OSSL_PARAM_construct_utf8_string(param, OPENSSL_strdup(value), 0);
        }
    }
    return text_params(o, s, "Ctrl", settable, params, n);
}

static void run_mac(const struct stanza *s, OSSL_LIB_CTX *libctx, struct outcome *o)
{
    EVP_MAC *mac = EVP_MAC_fetch(libctx, get(s, "MAC"), NULL);
    EVP_MAC_CTX *m = EVP_MAC_CTX_new(mac), *copy = NULL;
    OSSL_PARAM params[PARAMS_MAX] = {OSSL_PARAM_END};
    size_t n = 0, keylen, inlen, truncate = OUTPUT_MAX;
    uint8_t *key = bytes(s, "Key", &keylen), *in = bytes(s, "Input", &inlen);

    o->failed = NULL;
    o->len = o->extralen = 0;
    o->ours = mac != NULL && ours(EVP_MAC_get0_provider(mac));
    if (get(s, "Truncate") != NULL)
        truncate = (size_t)atol(get(s, "Truncate"));
    if (step(o, "fetch", mac != NULL) && mac_params(o, s, EVP_MAC_settable_ctx_params(mac), params, &n) &&
        step(o, "init", EVP_MAC_init(m, key, keylen, params)) && step(o, "update", EVP_MAC_update(m, in, inlen / 3)) &&
        step(o, "copy", (copy = EVP_MAC_CTX_dup(m)) != NULL) &&
        step(o, "update copy", EVP_MAC_update(copy, in + inlen / 3, inlen - inlen / 3)) &&
        step(o, "final copy", EVP_MAC_final(copy, o->out, &o->len, OUTPUT_MAX)) &&
        (EVP_MAC_is_a(mac, "GMAC") /* whose IV is spent */ ||
         (step(o, "again", EVP_MAC_init(m, NULL, 0, NULL)) && step(o, "update again", EVP_MAC_update(m, in, inlen)) &&
          step(o, "final", EVP_MAC_final(m, o->out, &o->len, OUTPUT_MAX)))))
        o->len = o->len < truncate ? o->len : truncate;
    ERR_clear_error();
    free_params(params, n);
    OPENSSL_free(key);
    OPENSSL_free(in);
    EVP_MAC_CTX_free(copy);
    EVP_MAC_CTX_free(m);
    EVP_MAC_free(mac);
}

/* As programs did before EVP_MAC: a key of type HMAC or CMAC, and "signing". */
static void run_mac_by_pkey(const struct stanza *s, OSSL_LIB_CTX *libctx, struct outcome *o)
{
    size_t keylen, inlen;
    uint8_t *key = bytes(s, "Key", &keylen), *in = bytes(s, "Input", &inlen);
    EVP_PKEY *pkey = EVP_PKEY_new_raw_private_key_ex(libctx, "HMAC", NULL, key, keylen);
    EVP_MD_CTX *md = EVP_MD_CTX_new();

    o->failed = NULL;
    o->extralen = 0;
    o->len = OUTPUT_MAX;
    o->ours = false; /* the signature is default's, the MAC in it is fetched as any other */
    if (step(o, "key", pkey != NULL) &&
        step(o, "init", EVP_DigestSignInit_ex(md, NULL, get(s, "Algorithm"), libctx, NULL, pkey, NULL)) &&
        step(o, "update", EVP_DigestSignUpdate(md, in, inlen)))
        step(o, "final", EVP_DigestSignFinal(md, o->out, &o->len));
    ERR_clear_error();
    OPENSSL_free(key);
    OPENSSL_free(in);
    EVP_MD_CTX_free(md);
    EVP_PKEY_free(pkey);
}

/* ---- judging ---- */

static struct outcome expected, actual;

static void complain(const struct stanza *s, const char *file, const char *what, const char *text)
{
    print_error("%s:%d: %s: %s: %s (reason %lu, %zu bytes), default provider: %s (reason %lu, %zu bytes)\n", file,
                s->line, what, text, actual.failed == NULL ? "ok" : actual.failed, actual.reason, actual.len,
                expected.failed == NULL ? "ok" : expected.failed, expected.reason, expected.len);
    count.wrong++;
}

static bool same_output(void)
{
    return actual.len == expected.len && memcmp(actual.out, expected.out, actual.len) == 0 &&
           actual.extralen == expected.extralen && memcmp(actual.extra, expected.extra, actual.extralen) == 0;
}

static void compare(const struct stanza *s, const char *file, const char *what)
{
    bool same = actual.failed == NULL ? expected.failed == NULL
                                      : expected.failed != NULL && strcmp(actual.failed, expected.failed) == 0 &&
                                            actual.reason == expected.reason;

    count.compared++;
    count.ours += actual.ours;
    if (!same || (actual.failed == NULL && !same_output()))
        complain(s, file, what, "with key bytes");
}

/* That the default provider does what the file says: else it is this program that misreads it. */
static void understood(const struct stanza *s, const char *file, const char *output)
{
    const char *result = get(s, "Result");
    size_t len;
    uint8_t *want = bytes(s, output, &len);
    bool as_said = expected.failed == NULL && len == expected.len && memcmp(want, expected.out, len) == 0;
    bool unknown =
        expected.failed != NULL && strcmp(expected.failed, "parameter") == 0; /* e.g. r of KBKDF before 3.1 */

    if (get(s, "Tag") != NULL && get(s, "Operation") != NULL && strcmp(get(s, "Operation"), "ENCRYPT") == 0) {
        size_t taglen;
        uint8_t *tag = bytes(s, "Tag", &taglen);
        as_said = as_said && memcmp(tag, expected.extra, taglen) == 0;
        OPENSSL_free(tag);
    }
    count.unknown += unknown;
    if (!unknown && (result == NULL || strcmp(result, "ANY") != 0) && as_said != (result == NULL)) {
        print_error("%s:%d: default provider: %s, the file: %s\n", file, s->line,
                    expected.failed == NULL ? "other output or success" : expected.failed,
                    result == NULL ? "success" : result);
        count.wrong++;
    }
    OPENSSL_free(want);
}

/* ---- keys in the device ---- */

static bool importable(const struct stanza *s)
{
    const char *cipher = get(s, "Cipher"), *iv = get(s, "IV"), *tag = get(s, "Tag"), *text = get(s, "Plaintext");
    size_t len = strlen(cipher);
    bool cbc = len == 11 && strcasecmp(cipher + 7, "-CBC") == 0, gcm = strcasecmp(cipher, "AES-256-GCM") == 0,
         xts = strcasecmp(cipher, "AES-256-XTS") == 0;

    if (!cbc && !gcm && !xts)
        return false;
    if (strlen(get(s, "Key")) != (cbc   ? (size_t)atoi(cipher + 4) / 4
                                  : xts ? 128
                                        : 64) ||
        iv == NULL || strlen(iv) != (gcm ? 24 : 32) || (gcm && (tag == NULL || strlen(tag) != 32)) ||
        (xts && strlen(text) % 32 != 0)) {
        count.other_size++;
        return false;
    }
    if (!cbc && text[0] == '\0' && get(s, "Ciphertext")[0] == '\0') {
        count.empty++;
        return false;
    }
    return true;
}

/* The key of the stanza becomes azihsm://vector, unless it is there already. */
static void import_vector(const struct stanza *s)
{
    static char last[256];
    const char *cipher = get(s, "Cipher");
    bool xts = strcasecmp(cipher + 8, "XTS") == 0;
    size_t len;
    uint8_t *key;

    if (strncmp(last, cipher, 11) == 0 && strcmp(last + 11, get(s, "Key")) == 0)
        return;
    snprintf(last, sizeof(last), "%.11s%s", cipher, get(s, "Key"));
    key = bytes(s, "Key", &len);
    import_key("vector",
               xts                                  ? "aes-xts"
               : strcasecmp(cipher + 8, "GCM") == 0 ? "aes-gcm"
                                                    : "aes",
               key, xts ? len / 2 : len);
    if (xts)
        import_key("vector-tweak", "aes-xts", key + len / 2, len / 2);
    OPENSSL_clear_free(key, len);
}

/*
 * Documented differences of device keys: GCM takes its message at once (so does XTS, in one data unit), and a wrong tag
 * is found with the data, not at the end. The outcome must be the same.
 */
static void on_device(const struct cipher_case *raw, const char *file)
{
    struct cipher_case what = *raw;
    const char *mode = get(raw->stanza, "Cipher") + 8;

    if (!importable(raw->stanza) || (strcasecmp(mode, "CBC") != 0 && (what.manner->step != 0 || what.manner->copy)))
        return;
    if (what.manner->in_place && what.manner->step % 16 != 0) /* default's output runs over its input; ours refuses */
        return;
    import_vector(raw->stanza);
    what.device_key = "azihsm://vector";
    run_cipher(&what, order("symmetric"), &actual);
    count.device++;
    if ((actual.failed == NULL) != (expected.failed == NULL) || (actual.failed == NULL && !same_output()))
        complain(raw->stanza, file, what.manner->name, "with a key in the device");
}

/* ---- stanzas ---- */

static void cipher_stanza(const struct stanza *s, const char *file)
{
    const char *operation = get(s, "Operation");

    for (int encrypt = 0; encrypt < 2; encrypt++) {
        if (operation != NULL && strcmp(operation, encrypt ? "ENCRYPT" : "DECRYPT") != 0)
            continue;
        for (size_t i = 0; i < MANNERS; i++) {
            struct cipher_case what = {s, NULL, encrypt != 0, &manners[i]};
            run_cipher(&what, software(), &expected);
            if (i == 0)
                understood(s, file, encrypt ? "Ciphertext" : "Plaintext");
            run_cipher(&what, order("symmetric-preferred"), &actual);
            compare(s, file, manners[i].name);
            on_device(&what, file);
        }
    }
}

static void run_stanza(const struct stanza *s, const char *file)
{
    const char *available = get(s, "Availablein"), *mac = get(s, "MAC");
    void (*run)(const struct stanza *, OSSL_LIB_CTX *, struct outcome *) = run_kdf;

    if (available != NULL && strstr(available, "default") == NULL) {
        count.other_provider++;
        return;
    }
    if (get(s, "Cipher") != NULL) {
        cipher_stanza(s, file);
        return;
    }
    if (mac != NULL)
        run = strstr(mac, " by EVP_PKEY") != NULL ? run_mac_by_pkey : run_mac;
    if (mac != NULL && strcmp(mac, "CMAC by EVP_PKEY") == 0) {
        count.other_provider++; /* takes a context of its own to make the key; no part of ours in it */
        return;
    }
    run(s, software(), &expected);
    understood(s, file, "Output");
    run(s, order("symmetric-preferred"), &actual);
    compare(s, file, "in software");
    count.no_way_in++;
}

/* ---- files ---- */

struct progress {
    struct stanza stanza;
    const char *file;
};

static void on_line(void *arg, const char *name, const char *value, int number)
{
    struct stanza *s = &((struct progress *)arg)->stanza;

    if (strcmp(name, "Title") == 0)
        return;
    if (s->line == 0)
        s->line = number;
    assert_true(s->fields < FIELDS_MAX);
    snprintf(s->field[s->fields].name, sizeof(s->field[0].name), "%s", name);
    s->field[s->fields++].value = OPENSSL_strdup(value);
}

static void on_end(void *arg)
{
    struct progress *progress = arg;
    struct stanza *s = &progress->stanza;

    if (s->fields > 0)
        run_stanza(s, progress->file);
    while (s->fields > 0)
        OPENSSL_free(s->field[--s->fields].value);
    s->line = 0;
}

static void on_key(void *arg, const char *name, bool is_private, char *pem)
{
    (void)arg;
    (void)is_private;
    print_error("a key (%s) in a file of symmetric vectors\n", name);
    count.wrong++;
    free(pem);
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
    print_message(
        "%s: %d compared with the default provider, of them %d by our algorithms; %d with keys in the device. "
        "Not in the device: %d MACs and KDFs (no way in), %d of other sizes of key, IV, tag or message, %d empty "
        "messages; %d other provider, %d with parameters that this OpenSSL does not know\n",
        progress.file, count.compared, count.ours, count.device, count.no_way_in, count.other_size, count.empty,
        count.other_provider, count.unknown);
    assert_int_equal(count.wrong, 0);
    assert_true(count.compared > 0);
}

/* ---- what can be set and asked: everything that the default provider knows, with its type ---- */

static void in_both(const char *algorithm, const char *what, const OSSL_PARAM *theirs, const OSSL_PARAM *mine)
{
    for (; theirs != NULL && theirs->key != NULL; theirs++) {
        const OSSL_PARAM *p = mine;
        while (p != NULL && p->key != NULL && /* a name may be there with two types */
               (strcmp(p->key, theirs->key) != 0 || p->data_type != theirs->data_type))
            p++;
        if (p != NULL && p->key != NULL)
            continue;
        print_error("%s: %s %s is not there, or of another type\n", algorithm, what, theirs->key);
        count.wrong++;
    }
}

static void test_parameters(void **state)
{
    static const char *const ciphers[] = {"AES-128-CBC", "AES-192-CBC", "AES-256-CBC", "AES-256-GCM", "AES-256-XTS"};
    static const char *const kdfs[] = {"HKDF", "KBKDF"};
    OSSL_LIB_CTX *ctx = order("symmetric");
    EVP_MAC *mac[2] = {EVP_MAC_fetch(software(), "HMAC", NULL), EVP_MAC_fetch(ctx, "HMAC", "provider=azihsm")};

    (void)state;
    memset(&count, 0, sizeof(count));
    for (size_t i = 0; i < sizeof(ciphers) / sizeof(ciphers[0]); i++) {
        EVP_CIPHER *c[2] = {EVP_CIPHER_fetch(software(), ciphers[i], NULL),
                            EVP_CIPHER_fetch(ctx, ciphers[i], "provider=azihsm")};
        in_both(ciphers[i], "constant", EVP_CIPHER_gettable_params(c[0]), EVP_CIPHER_gettable_params(c[1]));
        in_both(ciphers[i], "gettable", EVP_CIPHER_gettable_ctx_params(c[0]), EVP_CIPHER_gettable_ctx_params(c[1]));
        in_both(ciphers[i], "settable", EVP_CIPHER_settable_ctx_params(c[0]), EVP_CIPHER_settable_ctx_params(c[1]));
        EVP_CIPHER_free(c[0]);
        EVP_CIPHER_free(c[1]);
    }
    in_both("HMAC", "gettable", EVP_MAC_gettable_ctx_params(mac[0]), EVP_MAC_gettable_ctx_params(mac[1]));
    in_both("HMAC", "settable", EVP_MAC_settable_ctx_params(mac[0]), EVP_MAC_settable_ctx_params(mac[1]));
    for (size_t i = 0; i < 2; i++) {
        EVP_KDF *k[2] = {EVP_KDF_fetch(software(), kdfs[i], NULL), EVP_KDF_fetch(ctx, kdfs[i], "provider=azihsm")};
        in_both(kdfs[i], "gettable", EVP_KDF_gettable_ctx_params(k[0]), EVP_KDF_gettable_ctx_params(k[1]));
        in_both(kdfs[i], "settable", EVP_KDF_settable_ctx_params(k[0]), EVP_KDF_settable_ctx_params(k[1]));
        EVP_KDF_free(k[0]);
        EVP_KDF_free(k[1]);
    }
    EVP_MAC_free(mac[0]);
    EVP_MAC_free(mac[1]);
    assert_int_equal(count.wrong, 0);
}

int main(void)
{
    struct CMUnitTest tests[FILES_MAX + 1] = {{0}};
    char *more[FILES_MAX - FILES] = {NULL};
    size_t n = stanza_files("symmetric", more, FILES_MAX - FILES);
    int status;

    for (size_t i = 0; i < FILES + n; i++) {
        const char *name = i < FILES ? files[i] : more[i - FILES];
        tests[i] = (struct CMUnitTest){name, test_file, NULL, NULL, (void *)name};
    }
    tests[FILES + n] = (struct CMUnitTest)cmocka_unit_test(test_parameters);
    if (n == 0)
        print_message("SKIP: no vectors but OpenSSL's: AZIHSM_VECTORS is not set (test/provider/vectors.py)\n");
    status = _cmocka_run_group_tests("symmetric vectors", tests, FILES + n + 1, NULL, support_end);
    for (size_t i = 0; i < n; i++)
        free(more[i]);
    return status;
}
