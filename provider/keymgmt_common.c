/*
 * Key management that does not depend on the key's type: what is public, and everything of carried keys, is asked from
 * the inner key, so that answers, names and errors are the default provider's own.
 */
#include "config.h"
#include "hostimport.h"
#include "keymgmt.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <string.h>

enum { PRIVATE = OSSL_KEYMGMT_SELECT_PRIVATE_KEY, PUBLIC = OSSL_KEYMGMT_SELECT_PUBLIC_KEY };

void keymgmt_free(void *keydata)
{
    key_free(keydata);
}

void *keymgmt_load(const void *reference, size_t size)
{
    return key_from_reference(reference, size);
}

int keymgmt_has(const void *keydata, int selection)
{
    return keydata != NULL && key_has(keydata, selection);
}

/*
 * By value. Whoever asks for the private half is content with the public one, when there is one: the halves belong
 * together. Keys without a public half (software keys only) are compared by their private one.
 */
int keymgmt_match(const void *keydata1, const void *keydata2, int selection)
{
    EVP_PKEY *a = key_inner(keydata1), *b = key_inner(keydata2);
    bool ok = true;
    if (a == NULL || b == NULL)
        return a == b;
    error_mark(key_provider(keydata1));
    if ((selection & OSSL_KEYMGMT_SELECT_KEYPAIR) != 0)
        ok = EVP_PKEY_eq(a, b) == 1;
    else if ((selection & OSSL_KEYMGMT_SELECT_DOMAIN_PARAMETERS) != 0)
        ok = key_type(keydata1) != KEY_EC || EVP_PKEY_parameters_eq(a, b) == 1;
    error_pop(key_provider(keydata1));
    return ok;
}

/* The private half of a device key was checked by the device when it was made, and is again when it is unmasked. */
int keymgmt_validate(const void *keydata, int selection, int checktype)
{
    bool quick = checktype == OSSL_KEYMGMT_VALIDATE_QUICK_CHECK,
         pair = (selection & OSSL_KEYMGMT_SELECT_KEYPAIR) == OSSL_KEYMGMT_SELECT_KEYPAIR;
    struct provider *provider = key_provider(keydata);
    EVP_PKEY_CTX *ctx;
    int ok = 1;

    if (!key_has(keydata, selection))
        return 0;
    ctx = EVP_PKEY_CTX_new_from_pkey(provider_libctx(provider), key_inner(keydata), NULL);
    if (ctx == NULL)
        return raise_error(provider, REASON_HOST_CRYPTO, "the key cannot be checked");
    if ((selection & OSSL_KEYMGMT_SELECT_DOMAIN_PARAMETERS) != 0)
        ok = (quick ? EVP_PKEY_param_check_quick(ctx) : EVP_PKEY_param_check(ctx)) == 1;
    if (ok && (selection & PUBLIC) != 0)
        ok = (quick ? EVP_PKEY_public_check_quick(ctx) : EVP_PKEY_public_check(ctx)) == 1;
    if (ok && (selection & PRIVATE) != 0 && !key_is_device(keydata))
        ok = (pair ? EVP_PKEY_pairwise_check(ctx) : EVP_PKEY_private_check(ctx)) == 1;
    EVP_PKEY_CTX_free(ctx);
    return ok;
}

/* ---- parameters ---- */

static int set_text(OSSL_PARAM params[], const char *name, const char *value)
{
    OSSL_PARAM *p = value == NULL ? NULL : OSSL_PARAM_locate(params, name);
    return p == NULL || OSSL_PARAM_set_utf8_string(p, value);
}

static int get_label(const struct key *key, OSSL_PARAM params[])
{
    char label[AZIHSM_KEY_LABEL_MAX + 1] = "";
    struct azihsm_bytes bytes = key_label(key);
    if (bytes.len > 0 && bytes.len <= AZIHSM_KEY_LABEL_MAX)
        memcpy(label, bytes.data, bytes.len);
    return set_text(params, KEYMGMT_LABEL, label);
}

int keymgmt_get_params(void *keydata, OSSL_PARAM params[])
{
    const struct key *key = keydata;
    if (key_inner(key) != NULL && !EVP_PKEY_get_params(key_inner(key), params))
        return 0;
    if (!set_text(params, KEYMGMT_WHERE, key_is_device(key) ? "device" : "carried") || !get_label(key, params))
        return 0;
    /* The device signs digests up to the size of the curve's order: name the one that fits. */
    return key_group(key) == NULL || set_text(params, OSSL_PKEY_PARAM_DEFAULT_DIGEST, key_default_digest(key));
}

/* A device key's public half is what the device says: nobody can set another. How it is encoded is free. */
int keymgmt_set_params(void *keydata, const OSSL_PARAM params[])
{
    struct key *key = keydata;
    EVP_PKEY *inner = key_inner(key);
    if (params == NULL || params->key == NULL)
        return 1;
    if (key_is_device(key) && (OSSL_PARAM_locate_const(params, OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY) != NULL ||
                               OSSL_PARAM_locate_const(params, OSSL_PKEY_PARAM_PUB_KEY) != NULL))
        return raise_error(key_provider(key), REASON_PARAMETER, "the public key of a device key cannot be set");
    if (inner == NULL)
        return raise_error(key_provider(key), REASON_MISSING_PUBLIC, "the key is empty");
    if (EVP_PKEY_set_params(inner, (OSSL_PARAM *)params) <= 0)
        return 0;
    return key_is_device(key) || key_set_inner(key, inner);
}

/* ---- import, export, dup ---- */

static EVP_PKEY *inner_from(struct provider *provider, enum key_type type, int selection, const OSSL_PARAM params[])
{
    EVP_PKEY *inner = NULL;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(provider_libctx(provider), key_type_name(type), NULL);
    bool ok = ctx != NULL && EVP_PKEY_fromdata_init(ctx) > 0 &&
              EVP_PKEY_fromdata(ctx, &inner, selection, (OSSL_PARAM *)params) > 0;
    EVP_PKEY_CTX_free(ctx);
    return ok ? inner : NULL;
}

/* Into a key that already has something (copy_parameters): what it has, overridden by what comes. */
static EVP_PKEY *inner_merged(struct key *key, int selection, const OSSL_PARAM params[])
{
    int both = selection | (key_has(key, PUBLIC) ? PUBLIC : 0) | (key_has(key, PRIVATE) ? PRIVATE : 0) |
               OSSL_KEYMGMT_SELECT_ALL_PARAMETERS;
    OSSL_PARAM *old = NULL, *all = NULL;
    EVP_PKEY *inner = NULL;
    if (EVP_PKEY_todata(key_inner(key), both, &old) && (all = OSSL_PARAM_merge(old, params)) != NULL)
        inner = inner_from(key_provider(key), key_type(key), both, all);
    OSSL_PARAM_free(all);
    OSSL_PARAM_free(old);
    return inner;
}

static bool carries_private(enum key_type type, int selection, const OSSL_PARAM params[])
{
    const char *name = type == KEY_EC ? OSSL_PKEY_PARAM_PRIV_KEY : OSSL_PKEY_PARAM_RSA_D;
    return (selection & PRIVATE) != 0 && OSSL_PARAM_locate_const(params, name) != NULL;
}

int keymgmt_import_policy(const struct provider *provider, const OSSL_PARAM params[])
{
    static const char *const words[] = {
        [IMPORT_CARRY] = "carry", [IMPORT_DEVICE] = "device", [IMPORT_REFUSE] = "refuse"};
    const OSSL_PARAM *p = OSSL_PARAM_locate_const(params, KEYMGMT_IMPORT);
    const char *word = NULL;
    if (p == NULL)
        return (int)provider_config(provider)->import;
    for (int i = 0; OSSL_PARAM_get_utf8_string_ptr(p, &word) && i < (int)(sizeof(words) / sizeof(words[0])); i++)
        if (strcmp(word, words[i]) == 0)
            return i;
    raise_error(provider, REASON_PARAMETER, KEYMGMT_IMPORT " must be carry, device or refuse");
    return -1;
}

static int import_private(struct key *key, EVP_PKEY *inner, const OSSL_PARAM params[])
{
    struct provider *provider = key_provider(key);
    switch (keymgmt_import_policy(provider, params)) {
    case IMPORT_CARRY:
        return key_set_inner(key, inner);
    case IMPORT_DEVICE:
        return hostimport_into(key, inner, params);
    case IMPORT_REFUSE:
        raise_error(provider, REASON_POLICY, "import = refuse: software private keys are not taken");
        break;
    default:
        break;
    }
    EVP_PKEY_free(inner);
    return 0;
}

int keymgmt_import(void *keydata, int selection, const OSSL_PARAM params[])
{
    struct key *key = keydata;
    EVP_PKEY *inner;
    if (key_is_device(key))
        return raise_error(key_provider(key), REASON_KEY_TYPE, "nothing can be imported into a device key");
    inner = key_inner(key) == NULL ? inner_from(key_provider(key), key_type(key), selection, params)
                                   : inner_merged(key, selection, params);
    if (inner == NULL)
        return 0;
    if (carries_private(key_type(key), selection, params))
        return import_private(key, inner, params);
    return key_set_inner(key, inner);
}

/*
 * Failing for the private half is what keeps libcrypto with us instead of taking half a key to another provider. It
 * tries before every signature, so the error is one that costs no formatting.
 */
int keymgmt_export(void *keydata, int selection, OSSL_CALLBACK *callback, void *arg)
{
    const struct key *key = keydata;
    if (key_is_device(key) && (selection & PRIVATE) != 0)
        return raise_error(key_provider(key), REASON_EXPORT, NULL);
    if (key_inner(key) == NULL)
        return 0;
    return EVP_PKEY_export(key_inner(key), selection, callback, arg);
}

/* A selection without the private half gives a plain public key (or template) of no device. */
static EVP_PKEY *inner_part(const struct key *key, int selection)
{
    OSSL_PARAM *params = NULL;
    EVP_PKEY *inner = NULL;
    if (EVP_PKEY_todata(key_inner(key), selection, &params))
        inner = inner_from(key_provider(key), key_type(key), selection, params);
    OSSL_PARAM_free(params);
    return inner;
}

void *keymgmt_dup(const void *keydata, int selection)
{
    const struct key *from = keydata;
    bool whole = (selection & OSSL_KEYMGMT_SELECT_KEYPAIR) == OSSL_KEYMGMT_SELECT_KEYPAIR;
    struct key *key = key_new(key_provider(from), key_type(from));
    EVP_PKEY *inner = NULL;
    int ok = key != NULL;

    if (ok && key_inner(from) != NULL) {
        inner = whole ? EVP_PKEY_dup(key_inner(from)) : inner_part(from, selection);
        ok = inner != NULL &&
             (whole && key_is_device(from) ? key_share_device(key, inner, from) : key_set_inner(key, inner));
    }
    if (!ok) {
        key_free(key);
        key = NULL;
    }
    return key;
}
