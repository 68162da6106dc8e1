/*
 * The host key object. What it has and what it is good for is computed once, when its parts are set.
 */
#include "key.h"

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { KEY_MAGIC = 0x617a6b79, PRIVATE_BUFFER = 128 };

struct key {
    unsigned magic;
    int references;
    struct provider *provider;
    enum key_type type;
    int has; /* OSSL_KEYMGMT_SELECT_ bits */
    EVP_PKEY *inner;
    bool is_device;
    struct device_keys device;
    bool has_hint, unwrapping;
    uint8_t hint[32];
    char broken[256]; /* why a device key has no azihsm_key */
    int bits;
    const struct curve *curve;
    struct key_pss pss;
    int rejection_state; /* REJECTION_ */
    uint8_t rejection[32];
    struct signature_templates templates;
};

enum { REJECTION_NONE, REJECTION_WRITING, REJECTION_SET };

static const struct curve {
    const char *group;
    int bits;
    const char *digest;
} curves[] = {
    {"prime256v1", 256, "SHA256"},
    {"secp384r1", 384, "SHA384"},
    {"secp521r1", 521, "SHA512"},
};

/* Parameters of an RSA key are no parts of it: as the default provider has it, they are never missing. */
static const int always_there[KEY_TYPES] = {
    [KEY_EC] = OSSL_KEYMGMT_SELECT_OTHER_PARAMETERS,
    [KEY_RSA] = OSSL_KEYMGMT_SELECT_ALL_PARAMETERS,
    [KEY_RSA_PSS] = OSSL_KEYMGMT_SELECT_ALL_PARAMETERS,
};

const char *key_type_name(enum key_type type)
{
    static const char *const names[KEY_TYPES] = {[KEY_EC] = "EC", [KEY_RSA] = "RSA", [KEY_RSA_PSS] = "RSA-PSS"};
    return names[type];
}

void device_keys_free(struct device_keys *keys)
{
    azihsm_key_free(keys->first);
    azihsm_key_free(keys->second);
    *keys = (struct device_keys){NULL, NULL};
}

struct key *key_new(struct provider *provider, enum key_type type)
{
    struct key *key = OPENSSL_zalloc(sizeof(*key));
    if (key == NULL)
        return NULL;
    key->magic = KEY_MAGIC;
    key->references = 1;
    key->provider = provider;
    key->type = type;
    key->has = always_there[type];
    return key;
}

struct key *key_up_ref(struct key *key)
{
    __atomic_add_fetch(&key->references, 1, __ATOMIC_RELAXED);
    return key;
}

void key_free(struct key *key)
{
    if (key == NULL || __atomic_sub_fetch(&key->references, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    key->magic = 0;
    signature_templates_clear(&key->templates);
    device_keys_free(&key->device);
    EVP_PKEY_free(key->inner);
    OPENSSL_clear_free(key, sizeof(*key));
}

struct key *key_from_reference(const void *reference, size_t size)
{
    struct key *key;
    if (reference == NULL || size != sizeof(void *))
        return NULL;
    memcpy(&key, reference, sizeof(void *));
    return key != NULL && key->magic == KEY_MAGIC ? key_up_ref(key) : NULL;
}

struct provider *key_provider(const struct key *key)
{
    return key->provider;
}

enum key_type key_type(const struct key *key)
{
    return key->type;
}

bool key_is_device(const struct key *key)
{
    return key->is_device;
}

struct azihsm_key *key_device(const struct key *key)
{
    return key->device.first;
}

struct azihsm_key *key_device_second(const struct key *key)
{
    return key->device.second;
}

unsigned key_usages(const struct azihsm_key *device)
{
    static const struct {
        enum azihsm_usage usage;
        uint64_t attribute;
    } rows[] = {
        {AZIHSM_USAGE_SIGN, AZIHSM_ATTR_SIGN},
        {AZIHSM_USAGE_DECRYPT, AZIHSM_ATTR_DECRYPT},
        {AZIHSM_USAGE_DERIVE, AZIHSM_ATTR_DERIVE},
    };
    unsigned usages = 0;
    for (size_t i = 0; device != NULL && i < sizeof(rows) / sizeof(rows[0]); i++)
        usages |= (azihsm_key_flags(device) & rows[i].attribute) != 0 ? rows[i].usage : 0u;
    return usages;
}

struct azihsm_key *key_device_for(const struct key *key, enum azihsm_usage usage)
{
    return (key_usages(key->device.second) & usage) != 0 ? key->device.second : key->device.first;
}

EVP_PKEY *key_inner(const struct key *key)
{
    return key->inner;
}

struct signature_templates *key_templates(struct key *key)
{
    return &key->templates;
}

bool key_has(const struct key *key, int selection)
{
    return (selection & OSSL_KEYMGMT_SELECT_ALL & ~key->has) == 0;
}

int key_bits(const struct key *key)
{
    return key->bits;
}

size_t key_size(const struct key *key)
{
    return ((size_t)key->bits + 7) / 8;
}

const char *key_group(const struct key *key)
{
    return key->is_device && key->curve != NULL ? key->curve->group : NULL;
}

const char *key_default_digest(const struct key *key)
{
    return key->curve != NULL ? key->curve->digest : "SHA256";
}

const struct key_pss *key_pss(const struct key *key)
{
    return &key->pss;
}

struct azihsm_bytes key_label(const struct key *key)
{
    struct azihsm_bytes none = {NULL, 0};
    return key->device.first == NULL ? none : azihsm_key_label(key->device.first);
}

bool key_permits(const struct key *key, enum azihsm_usage usage)
{
    unsigned usages = key_usages(key->device.first) | key_usages(key->device.second);
    /* A key opened by tag does not tell its attributes: the device will judge. */
    return usages == 0 || (usages & usage) != 0;
}

int key_check_private(const struct key *key, enum azihsm_usage usage)
{
    static const struct {
        const char *verb, *option;
    } uses[] = {[AZIHSM_USAGE_SIGN] = {"sign", "digitalSignature"},
                [AZIHSM_USAGE_DECRYPT] = {"decrypt", "keyEncipherment"},
                [AZIHSM_USAGE_DERIVE] = {"derive", "keyAgreement"}};
    if (!key_has(key, OSSL_KEYMGMT_SELECT_PRIVATE_KEY))
        return raise_error(key->provider, REASON_MISSING_PRIVATE, "%s key", key_type_name(key->type));
    if (!key->is_device)
        return 1;
    if (!provider_ready(key->provider))
        return 0;
    if (key->device.first == NULL)
        return raise_error(key->provider, REASON_DEVICE, "%s", key->broken);
    if (key_permits(key, usage))
        return 1;
    return raise_error(key->provider, REASON_KEY_USAGE,
                       "this key of the device was not made to %s: make or import a key with azihsm.key_usage:%s",
                       uses[usage].verb, uses[usage].option);
}

int key_check_public(const struct key *key)
{
    if (key->inner != NULL && key_has(key, OSSL_KEYMGMT_SELECT_PUBLIC_KEY))
        return 1;
    return raise_error(key->provider, REASON_MISSING_PUBLIC, "%s key", key_type_name(key->type));
}

bool key_get_rejection(const struct key *key, uint8_t secret[32])
{
    if (__atomic_load_n(&key->rejection_state, __ATOMIC_ACQUIRE) != REJECTION_SET)
        return false;
    memcpy(secret, key->rejection, sizeof(key->rejection));
    return true;
}

/* All who compute it get the same bytes, so whoever comes first may write and nobody needs to wait. */
void key_set_rejection(struct key *key, const uint8_t secret[32])
{
    int expected = REJECTION_NONE;
    if (!__atomic_compare_exchange_n(&key->rejection_state, &expected, REJECTION_WRITING, false, __ATOMIC_ACQ_REL,
                                     __ATOMIC_RELAXED))
        return;
    memcpy(key->rejection, secret, sizeof(key->rejection));
    __atomic_store_n(&key->rejection_state, REJECTION_SET, __ATOMIC_RELEASE);
}

/* ---- setting the parts ---- */

/* Whether inner answers for a big number; its bytes are not kept. */
static bool inner_has_number(EVP_PKEY *inner, const char *name)
{
    uint8_t buffer[PRIVATE_BUFFER];
    OSSL_PARAM params[] = {OSSL_PARAM_construct_BN(name, buffer, sizeof(buffer)), OSSL_PARAM_END};
    /* RSA numbers may be larger than buffer: the size is told all the same. */
    int got = EVP_PKEY_get_params(inner, params);
    bool has = OSSL_PARAM_modified(params) && (got || params[0].return_size > sizeof(buffer));
    OPENSSL_cleanse(buffer, sizeof(buffer));
    return has;
}

static int inner_parts(EVP_PKEY *inner, enum key_type type)
{
    int has = 0;
    size_t len = 0;
    ERR_set_mark();
    if (type == KEY_EC) {
        has |= EVP_PKEY_get_bits(inner) > 0 ? OSSL_KEYMGMT_SELECT_DOMAIN_PARAMETERS : 0;
        if (EVP_PKEY_get_octet_string_param(inner, OSSL_PKEY_PARAM_PUB_KEY, NULL, 0, &len) && len > 0)
            has |= OSSL_KEYMGMT_SELECT_PUBLIC_KEY;
        has |= inner_has_number(inner, OSSL_PKEY_PARAM_PRIV_KEY) ? OSSL_KEYMGMT_SELECT_PRIVATE_KEY : 0;
    } else {
        has |= inner_has_number(inner, OSSL_PKEY_PARAM_RSA_N) ? OSSL_KEYMGMT_SELECT_PUBLIC_KEY : 0;
        has |= inner_has_number(inner, OSSL_PKEY_PARAM_RSA_D) ? OSSL_KEYMGMT_SELECT_PRIVATE_KEY : 0;
    }
    ERR_pop_to_mark();
    return has;
}

/* An unrestricted key exports no such parameter; a restricted one at least the salt length, defaults left out. */
static void read_pss(EVP_PKEY *inner, struct key_pss *pss)
{
    OSSL_PARAM *params = NULL;
    const OSSL_PARAM *p;
    *pss = (struct key_pss){.digest = "SHA1", .mgf1_digest = "SHA1", .min_salt = 20};
    ERR_set_mark();
    if (EVP_PKEY_todata(inner, OSSL_KEYMGMT_SELECT_OTHER_PARAMETERS, &params)) {
        char *digest = pss->digest, *mgf1 = pss->mgf1_digest;
        if ((p = OSSL_PARAM_locate_const(params, OSSL_PKEY_PARAM_RSA_DIGEST)) != NULL)
            pss->restricted |= OSSL_PARAM_get_utf8_string(p, &digest, sizeof(pss->digest)) == 1;
        if ((p = OSSL_PARAM_locate_const(params, OSSL_PKEY_PARAM_RSA_MGF1_DIGEST)) != NULL)
            pss->restricted |= OSSL_PARAM_get_utf8_string(p, &mgf1, sizeof(pss->mgf1_digest)) == 1;
        if ((p = OSSL_PARAM_locate_const(params, OSSL_PKEY_PARAM_RSA_PSS_SALTLEN)) != NULL)
            pss->restricted |= OSSL_PARAM_get_int(p, &pss->min_salt) == 1;
    }
    ERR_pop_to_mark();
    OSSL_PARAM_free(params);
}

static const struct curve *inner_curve(EVP_PKEY *inner)
{
    char group[64];
    size_t len;
    ERR_set_mark();
    bool named = EVP_PKEY_get_group_name(inner, group, sizeof(group), &len) == 1;
    ERR_pop_to_mark();
    for (size_t i = 0; named && i < sizeof(curves) / sizeof(curves[0]); i++)
        if (strcmp(curves[i].group, group) == 0)
            return &curves[i];
    return NULL;
}

int key_set_inner(struct key *key, EVP_PKEY *inner)
{
    if (inner != key->inner)
        EVP_PKEY_free(key->inner);
    key->inner = inner;
    key->has = always_there[key->type];
    key->bits = 0;
    key->curve = NULL;
    key->pss = (struct key_pss){0};
    if (inner == NULL)
        return 1;
    key->has |= inner_parts(inner, key->type);
    if (key_has(key, OSSL_KEYMGMT_SELECT_PUBLIC_KEY) || key->type == KEY_EC)
        key->bits = EVP_PKEY_get_bits(inner);
    if (key->type == KEY_EC)
        key->curve = inner_curve(inner);
    if (key->type == KEY_RSA_PSS)
        read_pss(inner, &key->pss);
    return 1;
}

int key_set_device(struct key *key, EVP_PKEY *inner, struct device_keys device, const char *broken)
{
    key_set_inner(key, inner);
    key->is_device = true;
    key->device = device;
    key->has |= OSSL_KEYMGMT_SELECT_PRIVATE_KEY;
    if (device.first == NULL)
        snprintf(key->broken, sizeof(key->broken), "%s", broken == NULL ? "" : broken);
    if (key->type == KEY_EC && key->curve == NULL)
        return raise_error(key->provider, REASON_KEY_SIZE, "the device has P-256, P-384 and P-521 only");
    return 1;
}

int key_share_device(struct key *key, EVP_PKEY *inner, const struct key *from)
{
    if (from->has_hint)
        key_set_hint(key, from->hint);
    const struct device_keys shared = {from->device.first == NULL ? NULL : azihsm_key_up_ref(from->device.first),
                                       from->device.second == NULL ? NULL : azihsm_key_up_ref(from->device.second)};
    return key_set_device(key, inner, shared, from->broken);
}

void key_set_hint(struct key *key, const uint8_t hint[32])
{
    memcpy(key->hint, hint, sizeof(key->hint));
    key->has_hint = true;
}

const uint8_t *key_hint(const struct key *key)
{
    return key->has_hint ? key->hint : NULL;
}

void key_set_unwrapping(struct key *key)
{
    key->unwrapping = true;
}

bool key_is_unwrapping(const struct key *key)
{
    return key->unwrapping;
}

int key_curve_by_group(const char *group, uint32_t *curve)
{
    static const struct {
        const char *name;
        uint32_t curve;
    } names[] = {
        {"prime256v1", AZIHSM_CURVE_P256}, {"P-256", AZIHSM_CURVE_P256}, {"secp256r1", AZIHSM_CURVE_P256},
        {"secp384r1", AZIHSM_CURVE_P384},  {"P-384", AZIHSM_CURVE_P384}, {"secp521r1", AZIHSM_CURVE_P521},
        {"P-521", AZIHSM_CURVE_P521},
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcasecmp(group, names[i].name) == 0) {
            *curve = names[i].curve;
            return 1;
        }
    return 0;
}
