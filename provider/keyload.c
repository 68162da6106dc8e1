/*
 * From masked blobs to key objects and back. The file's public key is the authority for everything public; the device
 * layer compares it with what the device says when the key becomes resident.
 */
#include "keyload.h"

#include <openssl/core_names.h>
#include <openssl/core_object.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>

/* OIDs of SubjectPublicKeyInfo algorithms, as DER: enough to tell whose a key file is without decoding more. */
static const struct {
    enum key_type type;
    uint8_t oid[11];
    size_t len;
} algorithms[] = {
    {KEY_EC, {0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01}, 9},
    {KEY_RSA, {0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01}, 11},
    {KEY_RSA_PSS, {0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a}, 11},
};

enum key_type keyload_type(const struct keyfile *file)
{
    const struct azihsm_bytes alg = file->algorithm;
    for (size_t i = 0; file->spki.len > 0 && i < sizeof(algorithms) / sizeof(algorithms[0]); i++)
        for (size_t header = 2; header <= 4 && header + algorithms[i].len <= alg.len; header++)
            if (memcmp(alg.data + header, algorithms[i].oid, algorithms[i].len) == 0)
                return algorithms[i].type;
    return KEY_TYPES;
}

static EVP_PKEY *decode_public(struct provider *provider, struct azihsm_bytes spki)
{
    const unsigned char *p = spki.data;
    EVP_PKEY *inner = d2i_PUBKEY_ex(NULL, &p, (long)spki.len, provider_libctx(provider), NULL);
    if (inner != NULL && p == spki.data + spki.len)
        return inner;
    EVP_PKEY_free(inner);
    raise_error(provider, REASON_KEY_FILE, "its public key cannot be decoded");
    return NULL;
}

/* A key of the private context from parameters; takes no notice of what it does not know. */
static EVP_PKEY *from_params(struct provider *provider, enum key_type type, OSSL_PARAM *params)
{
    EVP_PKEY *inner = NULL;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(provider_libctx(provider), key_type_name(type), NULL);
    if (ctx == NULL || EVP_PKEY_fromdata_init(ctx) <= 0 ||
        EVP_PKEY_fromdata(ctx, &inner, EVP_PKEY_PUBLIC_KEY, params) <= 0) {
        raise_error(provider, REASON_HOST_CRYPTO, "the %s public key could not be made", key_type_name(type));
        inner = NULL;
    }
    EVP_PKEY_CTX_free(ctx);
    return inner;
}

/* The same numbers under the other algorithm: RSA <-> RSA-PSS, perhaps with restrictions. */
static EVP_PKEY *rsa_as(struct provider *provider, const EVP_PKEY *key, enum key_type type,
                        const OSSL_PARAM *restrictions)
{
    OSSL_PARAM *numbers = NULL, *all = NULL;
    EVP_PKEY *inner = NULL;
    if (EVP_PKEY_todata(key, OSSL_KEYMGMT_SELECT_PUBLIC_KEY, &numbers))
        all = restrictions == NULL ? OSSL_PARAM_dup(numbers) : OSSL_PARAM_merge(numbers, restrictions);
    if (all != NULL)
        inner = from_params(provider, type, all);
    OSSL_PARAM_free(all);
    OSSL_PARAM_free(numbers);
    return inner;
}

/* Device layer and device know RSA keys under rsaEncryption only. */
static int device_spki(struct provider *provider, const struct keyfile *file, const EVP_PKEY *inner,
                       unsigned char **der)
{
    EVP_PKEY *plain;
    int len;
    *der = NULL;
    if (!EVP_PKEY_is_a(inner, "RSA-PSS"))
        return (int)file->spki.len;
    plain = rsa_as(provider, inner, KEY_RSA, NULL);
    len = plain == NULL ? -1 : i2d_PUBKEY(plain, der);
    EVP_PKEY_free(plain);
    return len;
}

/* NULL, with *err filled, when there is no client or the blob is malformed. */
static struct azihsm_key *blob_key(struct provider *provider, struct azihsm_bytes blob, struct azihsm_bytes spki,
                                   const struct device_choice *choice, struct azihsm_error *err)
{
    struct azihsm_client *client = NULL;
    struct azihsm_key *device = NULL;
    err->rc = provider_client_for(provider, choice, &client, err);
    if (err->rc != AZIHSM_OK)
        return NULL;
    azihsm_client_prepare(client);
    err->rc = azihsm_key_from_blob(client, blob, spki, &device, err);
    azihsm_client_free(client);
    return device;
}

static struct key *finish(struct provider *provider, enum key_type type, EVP_PKEY *inner, struct device_keys device,
                          const char *broken)
{
    struct key *key = key_new(provider, type);
    if (key == NULL) {
        EVP_PKEY_free(inner);
        device_keys_free(&device);
        return NULL;
    }
    if (!key_set_device(key, inner, device, broken)) {
        key_free(key);
        return NULL;
    }
    trace(provider, AZIHSM_TRACE_KEY, "%s key of %d bits loaded%s%s", key_type_name(type), key_bits(key),
          device.first == NULL ? ", but unusable: " : "", device.first == NULL ? broken : "");
    return key;
}

/* Both masked keys of the file, which have one public half. */
static struct device_keys file_keys(struct provider *provider, const struct keyfile *file, struct azihsm_bytes spki,
                                    const struct device_choice *choice, struct azihsm_error *err)
{
    struct device_keys device = {.first = blob_key(provider, file->blob, spki, choice, err)};
    if (device.first == NULL || file->second.len == 0)
        return device;
    device.second = blob_key(provider, file->second, spki, choice, err);
    if (device.second == NULL)
        device_keys_free(&device);
    return device;
}

struct key *keyload_file(struct provider *provider, const struct keyfile *file, const struct device_choice *choice)
{
    struct azihsm_error err = {0};
    enum key_type type = keyload_type(file);
    EVP_PKEY *inner = type == KEY_TYPES ? NULL : decode_public(provider, file->spki);
    unsigned char *converted = NULL;
    struct device_keys device = {0};
    char broken[256];

    if (inner == NULL) {
        raise_error(provider, REASON_KEY_FILE, "the public key in it is damaged: restore the key file from a backup");
        return NULL;
    }
    int len = device_spki(provider, file, inner, &converted);
    if (len > 0)
        device = file_keys(provider, file,
                           (struct azihsm_bytes){converted == NULL ? file->spki.data : converted, (size_t)len}, choice,
                           &err);
    OPENSSL_free(converted);
    if (len <= 0 || err.rc == AZIHSM_E_DECODE || err.rc == AZIHSM_E_NO_MEMORY) {
        raise_error(provider, REASON_KEY_FILE, "%s: restore the key file from a backup", err.text);
        EVP_PKEY_free(inner);
        return NULL;
    }
    snprintf(broken, sizeof(broken), "%s: %.220s", device.first == NULL ? azihsm_rc_name(err.rc) : "", err.text);
    struct key *key = finish(provider, type, inner, device, broken);
    if (key != NULL && file->has_hint)
        key_set_hint(key, file->hint);
    return key;
}

struct key *keyload_device(struct provider *provider, enum key_type type, struct device_keys device,
                           const OSSL_PARAM *restrictions)
{
    EVP_PKEY *inner = decode_public(provider, azihsm_key_spki(device.first)), *other;
    if (inner != NULL && type == KEY_TYPES)
        type = EVP_PKEY_is_a(inner, "EC") ? KEY_EC : KEY_RSA;
    if (inner != NULL && type == KEY_RSA_PSS) {
        other = rsa_as(provider, inner, KEY_RSA_PSS, restrictions);
        EVP_PKEY_free(inner);
        inner = other;
    }
    if (inner == NULL || !EVP_PKEY_is_a(inner, key_type_name(type))) {
        if (inner != NULL)
            raise_error(provider, REASON_KEY_TYPE, "the device's key is not of type %s", key_type_name(type));
        EVP_PKEY_free(inner);
        device_keys_free(&device);
        return NULL;
    }
    return finish(provider, type, inner, device, NULL);
}

struct key *keyload_blob(struct provider *provider, struct azihsm_bytes blob, const struct device_choice *choice)
{
    struct azihsm_error err = {0};
    struct azihsm_key *device = blob_key(provider, blob, (struct azihsm_bytes){0}, choice, &err);
    if (device != NULL)
        err.rc = azihsm_key_load(device, &err);
    if (err.rc != AZIHSM_OK) {
        raise_device(provider, &err, "masked key");
        azihsm_key_free(device);
        return NULL;
    }
    return keyload_device(provider, KEY_TYPES, (struct device_keys){device, NULL}, NULL);
}

struct key *keyload_tag(struct provider *provider, uint16_t tag, const struct device_choice *choice)
{
    struct azihsm_error err = {0};
    struct azihsm_client *client = NULL;
    struct azihsm_key *device = NULL;
    err.rc = provider_client_for(provider, choice, &client, &err);
    if (err.rc == AZIHSM_OK) {
        azihsm_client_prepare(client);
        err.rc = azihsm_key_from_tag(client, tag, &device, &err);
    }
    azihsm_client_free(client);
    if (err.rc != AZIHSM_OK) {
        raise_device(provider, &err, "OpenKey");
        return NULL;
    }
    return keyload_device(provider, KEY_TYPES, (struct device_keys){device, NULL}, NULL);
}

int keyload_deliver(struct key *key, OSSL_CALLBACK *callback, void *arg)
{
    int object = OSSL_OBJECT_PKEY;
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_int(OSSL_OBJECT_PARAM_TYPE, &object),
        OSSL_PARAM_construct_utf8_string(OSSL_OBJECT_PARAM_DATA_TYPE, (char *)key_type_name(key_type(key)), 0),
        OSSL_PARAM_construct_octet_string(OSSL_OBJECT_PARAM_REFERENCE, &key, sizeof(void *)),
        OSSL_PARAM_construct_end(),
    };
    return callback(params, arg);
}

/* ---- and back ---- */

int keyload_describe(const struct key *key, struct keyfile *file)
{
    struct provider *provider = key_provider(key);
    struct azihsm_key *device = key_device(key);
    unsigned char *der = NULL;
    int len;

    *file = (struct keyfile){0};
    if (device == NULL)
        return raise_error(provider, REASON_DEVICE_KEY, "a key file holds a device key");
    file->blob = azihsm_key_blob(device);
    if (file->blob.len == 0)
        return raise_error(provider, REASON_UNSUPPORTED, "a key opened by tag has no masked form to write down");
    len = i2d_PUBKEY(key_inner(key), &der);
    if (len <= 0)
        return raise_error(provider, REASON_HOST_CRYPTO, "the public key could not be encoded");
    file->storage = der;
    file->spki = (struct azihsm_bytes){der, (size_t)len};
    if (key_device_second(key) != NULL)
        file->second = azihsm_key_blob(key_device_second(key));
    file->usage = key_usages(device) | key_usages(key_device_second(key));
    file->has_hint = key_hint(key) != NULL;
    if (file->has_hint)
        memcpy(file->hint, key_hint(key), KEYFILE_HINT_SIZE);
    struct azihsm_bytes label = key_label(key);
    if (label.len <= KEYFILE_LABEL_MAX && label.len > 0 && memchr(label.data, 0, label.len) == NULL)
        memcpy(file->label, label.data, label.len);
    return 1;
}
