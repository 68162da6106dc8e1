/*
 * Opaque symmetric keys, new, imported and found: what skeymgmt.c's functions do. Options are those of key generation
 * (genoptions.h), as far as they make sense for a secret key.
 */
#include "config.h"
#include "genoptions.h"
#include "keyfile.h"
#include "keymgmt.h"
#include "skey.h"
#include "symkey.h"
#include "uri.h"

#include <openssl/params.h>
#include <stdio.h>

const struct symkind *skey_kind(struct provider *provider, const struct skey_manager *manager, size_t length)
{
    size_t size = length != 0 ? length : manager->usual;
    const struct symkind *kind = NULL;

    if (manager->length == 0 || manager->length == size)
        kind = symkind_of_size(manager->family, manager->family == SYMKIND_XTS ? size / 2 : size);
    if (kind == NULL)
        raise_error(provider, REASON_KEY_SIZE, "the device has no %s key of %zu bytes", manager->name, size);
    return kind;
}

/* ---- what is wanted ---- */

struct wanted {
    struct provider *provider;
    const struct skey_manager *manager;
    struct genoptions options;
    size_t length; /* 0: not said */
};

static int wanted_begin(struct wanted *wanted, const OSSL_PARAM params[])
{
    const OSSL_PARAM *length = OSSL_PARAM_locate_const(params, OSSL_SKEY_PARAM_KEY_LENGTH);
    const struct genoptions *options = &wanted->options;

    if (length != NULL && !OSSL_PARAM_get_size_t(length, &wanted->length))
        return raise_error(wanted->provider, REASON_PARAMETER, "%s: expected a number of bytes", length->key);
    if (!genoptions_set(wanted->provider, &wanted->options, params))
        return 0;
    if (options->usages != 0 || options->input_key != NULL || options->masked_key != NULL)
        return raise_error(wanted->provider, REASON_PARAMETER,
                           "%s, %s and %s are not for secret keys: a kind has one use, and " KEYMGMT_IMPORT
                           " takes the bytes of a key",
                           GENOPTION_USAGE, GENOPTION_INPUT_KEY, GENOPTION_MASKED_KEY);
    return genoptions_check_files(wanted->provider, options) && genoptions_check_name(wanted->provider, options, "") &&
           (wanted->manager->family != SYMKIND_XTS || genoptions_check_name(wanted->provider, options, ".tweak"));
}

static struct azihsm_key_spec spec_of(const struct wanted *wanted, const struct symkind *kind, bool first)
{
    struct azihsm_key_spec spec = genoptions_spec(&wanted->options);

    spec.usage = symkey_usage(kind->kind);
    if (!first)
        spec.tag = 0; /* a tag names one key */
    return spec;
}

/* ---- files: NAME, and NAME.tweak for the second key of AES-XTS ---- */

static int save_as(const struct wanted *wanted, struct azihsm_key *key, const char *suffix, char *uri, size_t size)
{
    char name[256];

    if (snprintf(name, sizeof(name), "%s%s", wanted->options.name, suffix) >= (int)sizeof(name) ||
        !uri_of_name(name, uri, size))
        return raise_error(wanted->provider, REASON_PARAMETER, "%s: too long", GENOPTION_NAME);
    return symkey_save(wanted->provider, key, uri, false);
}

/* The second key could not be saved: the first alone is of no use, and has the name. */
static void unsave(const struct wanted *wanted)
{
    char path[1024], why[200];

    if (keyfile_locate(provider_config(wanted->provider)->keys, wanted->options.name, path, sizeof(path)))
        (void)keyfile_remove(path, why, sizeof(why));
}

static int save_all(const struct wanted *wanted, struct azihsm_key *key, struct azihsm_key *tweak, char *uri,
                    size_t size)
{
    char second[1024];

    if (!save_as(wanted, key, "", uri, size))
        return 0;
    if (tweak == NULL || save_as(wanted, tweak, ".tweak", second, sizeof(second)))
        return 1;
    unsave(wanted);
    return 0;
}

static struct skey *drop(const struct wanted *wanted, struct azihsm_key *key, struct azihsm_key *tweak)
{
    genoptions_withdraw(&wanted->options, key);
    azihsm_key_free(key);
    azihsm_key_free(tweak);
    return NULL;
}

/* Takes over both keys. A tag names one key, and is no name of a pair. */
static struct skey *keep(const struct wanted *wanted, struct azihsm_key *key, struct azihsm_key *tweak)
{
    char uri[1024] = "";

    if (wanted->options.name != NULL && !save_all(wanted, key, tweak, uri, sizeof(uri)))
        return drop(wanted, key, tweak);
    if (wanted->options.name == NULL && wanted->options.tag != 0 && tweak == NULL)
        snprintf(uri, sizeof(uri), "azihsm:?tag=0x%x", wanted->options.tag);
    return skey_of_device(wanted->provider, key, tweak, uri[0] == '\0' ? NULL : uri);
}

/* ---- generation ---- */

static struct azihsm_key *generate_one(const struct wanted *wanted, const struct symkind *kind, bool first)
{
    const struct azihsm_key_spec spec = spec_of(wanted, kind, first);
    struct azihsm_client *client;
    struct azihsm_key *key = NULL;
    struct azihsm_error error = {0};
    azihsm_rc rc;

    if (!provider_client(wanted->provider, &client))
        return NULL;
    rc = kind->family == SYMKIND_HMAC ? azihsm_key_generate_hmac(client, kind->kind, &spec, &key, &error)
                                      : azihsm_key_generate_aes(client, kind->aes_size, &spec, &key, &error);
    if (rc == AZIHSM_OK)
        return key;
    raise_device(wanted->provider, &error, "generation of a secret key");
    return NULL;
}

static struct skey *generate_all(const struct wanted *wanted)
{
    const struct symkind *kind = skey_kind(wanted->provider, wanted->manager, wanted->length);
    struct azihsm_key *key = kind == NULL ? NULL : generate_one(wanted, kind, true), *tweak = NULL;

    if (key == NULL)
        return NULL;
    if (kind->family == SYMKIND_XTS && (tweak = generate_one(wanted, kind, false)) == NULL)
        return drop(wanted, key, NULL);
    return keep(wanted, key, tweak);
}

struct skey *skey_generate(struct provider *provider, const struct skey_manager *manager, const OSSL_PARAM params[])
{
    struct wanted wanted = {.provider = provider, .manager = manager};
    struct skey *skey = NULL;

    if (provider_ready(provider) && wanted_begin(&wanted, params))
        skey = generate_all(&wanted);
    genoptions_clear(&wanted.options);
    return skey;
}

/* ---- import ---- */

/* Name, label, tag and session are of keys that are made in the device: elsewhere they would be passed over. */
static int check_no_options(const struct wanted *wanted)
{
    const struct genoptions *options = &wanted->options;

    if (options->name == NULL && options->label == NULL && options->tag == 0 && !options->session)
        return 1;
    return raise_error(wanted->provider, REASON_PARAMETER,
                       "%s, %s, %s and %s are for a key that goes into the device: give its bytes and " KEYMGMT_IMPORT
                       "=device",
                       GENOPTION_NAME, GENOPTION_LABEL, GENOPTION_TAG, GENOPTION_SESSION);
}

static struct azihsm_key *import_one(const struct wanted *wanted, const struct symkind *kind, struct azihsm_bytes bytes,
                                     bool first)
{
    static const uint32_t classes[] = {[SYMKIND_CBC] = AZIHSM_CLASS_AES,
                                       [SYMKIND_GCM] = AZIHSM_CLASS_AES_GCM_BULK,
                                       [SYMKIND_XTS] = AZIHSM_CLASS_AES_XTS_BULK};
    const struct azihsm_key_spec spec = spec_of(wanted, kind, first);
    struct azihsm_client *client;
    struct azihsm_key *key = NULL;
    struct azihsm_error error = {0};

    if (!provider_client(wanted->provider, &client))
        return NULL;
    if (azihsm_key_import(client, classes[kind->family], bytes, &spec, &key, &error) == AZIHSM_OK)
        return key;
    raise_device(wanted->provider, &error, "import of a secret key");
    return NULL;
}

static struct skey *import_into_device(const struct wanted *wanted, struct azihsm_bytes bytes)
{
    const struct symkind *kind = skey_kind(wanted->provider, wanted->manager, bytes.len);
    struct azihsm_key *key, *tweak = NULL;

    if (kind == NULL)
        return NULL;
    if (kind->family == SYMKIND_HMAC) {
        raise_error(wanted->provider, REASON_UNSUPPORTED,
                    "the device takes no HMAC keys from outside: generate or derive one in it");
        return NULL;
    }
    if ((key = import_one(wanted, kind, (struct azihsm_bytes){bytes.data, kind->size}, true)) == NULL)
        return NULL;
    if (kind->family == SYMKIND_XTS &&
        (tweak = import_one(wanted, kind, (struct azihsm_bytes){bytes.data + kind->size, kind->size}, false)) == NULL)
        return drop(wanted, key, NULL);
    return keep(wanted, key, tweak);
}

static struct skey *import_bytes(const struct wanted *wanted, const OSSL_PARAM params[], struct azihsm_bytes bytes)
{
    const struct skey_manager *manager = wanted->manager;
    bool asked = OSSL_PARAM_locate_const(params, KEYMGMT_IMPORT) != NULL;
    int policy = keymgmt_import_policy(wanted->provider, params);

    if ((manager->length != 0 && bytes.len != manager->length) ||
        (manager->family == SYMKIND_CBC && symkind_of_size(SYMKIND_CBC, bytes.len) == NULL)) {
        raise_error(wanted->provider, REASON_KEY_SIZE, "%zu bytes are no %s key", bytes.len, manager->name);
        return NULL;
    }
    /* the configuration speaks of keys that the device can take; the parameter of this very key */
    if (policy == IMPORT_DEVICE && (asked || manager->family != SYMKIND_HMAC))
        return import_into_device(wanted, bytes);
    if (policy == IMPORT_CARRY || policy == IMPORT_DEVICE)
        return check_no_options(wanted) ? skey_of_bytes(wanted->provider, bytes) : NULL;
    if (policy == IMPORT_REFUSE)
        raise_error(wanted->provider, REASON_POLICY, "import = refuse: the bytes of secret keys are not taken");
    return NULL;
}

static struct skey *import_by_uri(const struct wanted *wanted, const OSSL_PARAM params[])
{
    const struct skey_manager *manager = wanted->manager;
    const OSSL_PARAM *p = OSSL_PARAM_locate_const(params, SYMKEY_PARAM);
    struct azihsm_key *key = NULL, *tweak = NULL;
    const char *uri = NULL;

    if (check_no_options(wanted) &&
        symkey_from_params(wanted->provider, params, SYMKEY_PARAM, manager->fitting, manager->name, &key) &&
        symkey_from_params(wanted->provider, params, SYMKEY_PARAM_TWEAK, manager->fitting, manager->name, &tweak) &&
        OSSL_PARAM_get_utf8_string_ptr(p, &uri))
        return skey_of_device(wanted->provider, key, tweak, uri);
    azihsm_key_free(key);
    azihsm_key_free(tweak);
    return NULL;
}

static struct skey *import_any(const struct wanted *wanted, const OSSL_PARAM params[])
{
    const OSSL_PARAM *raw = OSSL_PARAM_locate_const(params, OSSL_SKEY_PARAM_RAW_BYTES);
    bool by_uri = OSSL_PARAM_locate_const(params, SYMKEY_PARAM) != NULL;

    if ((raw != NULL) == by_uri) {
        raise_error(wanted->provider, REASON_PARAMETER, "either %s or %s is needed", SYMKEY_PARAM,
                    OSSL_SKEY_PARAM_RAW_BYTES);
        return NULL;
    }
    if (by_uri)
        return import_by_uri(wanted, params);
    if (raw->data_type != OSSL_PARAM_OCTET_STRING) {
        raise_error(wanted->provider, REASON_PARAMETER, "%s: expected an octet string", OSSL_SKEY_PARAM_RAW_BYTES);
        return NULL;
    }
    return import_bytes(wanted, params, (struct azihsm_bytes){raw->data, raw->data_size});
}

struct skey *skey_import(struct provider *provider, const struct skey_manager *manager, int selection,
                         const OSSL_PARAM params[])
{
    struct wanted wanted = {.provider = provider, .manager = manager};
    struct skey *skey = NULL;

    if ((selection & OSSL_SKEYMGMT_SELECT_SECRET_KEY) == 0)
        raise_error(provider, REASON_PARAMETER, "a secret key without the secret");
    else if (wanted_begin(&wanted, params))
        skey = import_any(&wanted, params);
    if (skey != NULL && wanted.length != 0 && skey_length(skey) != 0 && skey_length(skey) != wanted.length) {
        raise_error(provider, REASON_KEY_SIZE, "%s is %zu, the key has %zu bytes", OSSL_SKEY_PARAM_KEY_LENGTH,
                    wanted.length, skey_length(skey));
        skey_free(skey);
        skey = NULL;
    }
    genoptions_clear(&wanted.options);
    return skey;
}
