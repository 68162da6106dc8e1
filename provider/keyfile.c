/*
 * Key files as ASN.1. Our own template, because libcrypto's PKCS#8 knows version 1 only. Decoding is strict: what is
 * ours must be DER, one object, and nothing after it.
 */
#include "keyfile.h"

#include <openssl/asn1t.h>
#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>

#define HINT_OID   KEYFILE_OID ".1"
#define SECOND_OID KEYFILE_OID ".2"

typedef struct {
    ASN1_INTEGER *version;
    X509_ALGOR *algorithm;
    ASN1_OCTET_STRING *private_key;
    STACK_OF(X509_ATTRIBUTE) * attributes;
    ASN1_BIT_STRING *public_key;
    ASN1_NULL *extension;
} ONE_ASYMMETRIC_KEY;

typedef struct {
    X509_ALGOR *algorithm;
    ASN1_BIT_STRING *public_key;
} PUBLIC_KEY_INFO;

/* clang-format off */
ASN1_SEQUENCE(ONE_ASYMMETRIC_KEY) = {
    ASN1_SIMPLE(ONE_ASYMMETRIC_KEY, version, ASN1_INTEGER),
    ASN1_SIMPLE(ONE_ASYMMETRIC_KEY, algorithm, X509_ALGOR),
    ASN1_SIMPLE(ONE_ASYMMETRIC_KEY, private_key, ASN1_OCTET_STRING),
    ASN1_IMP_SET_OF_OPT(ONE_ASYMMETRIC_KEY, attributes, X509_ATTRIBUTE, 0),
    ASN1_IMP_OPT(ONE_ASYMMETRIC_KEY, public_key, ASN1_BIT_STRING, 1),
    ASN1_EXP_OPT(ONE_ASYMMETRIC_KEY, extension, ASN1_NULL, 2)
} static_ASN1_SEQUENCE_END(ONE_ASYMMETRIC_KEY)

ASN1_SEQUENCE(PUBLIC_KEY_INFO) = {
    ASN1_SIMPLE(PUBLIC_KEY_INFO, algorithm, X509_ALGOR),
    ASN1_SIMPLE(PUBLIC_KEY_INFO, public_key, ASN1_BIT_STRING)
} static_ASN1_SEQUENCE_END(PUBLIC_KEY_INFO)
    /* clang-format on */

    static const struct {
    unsigned usage;
    int bit; /* RFC 5280 KeyUsage */
} usage_bits[] = {
    {AZIHSM_USAGE_SIGN, 0},    /* digitalSignature */
    {AZIHSM_USAGE_DECRYPT, 2}, /* keyEncipherment */
    {AZIHSM_USAGE_DECRYPT, 3}, /* dataEncipherment */
    {AZIHSM_USAGE_DERIVE, 4},  /* keyAgreement */
};
enum { USAGE_BITS = sizeof(usage_bits) / sizeof(usage_bits[0]) };

/* ---- decoding ---- */

static bool is_object(const ASN1_OBJECT *object, const char *oid)
{
    ASN1_OBJECT *wanted = OBJ_txt2obj(oid, 1);
    bool same = wanted != NULL && OBJ_cmp(object, wanted) == 0;
    ASN1_OBJECT_free(wanted);
    return same;
}

/* The value of a single-valued attribute when it has one of the types, else NULL. */
static const ASN1_STRING *attribute_value(X509_ATTRIBUTE *attribute, unsigned long types)
{
    const ASN1_TYPE *value = X509_ATTRIBUTE_count(attribute) == 1 ? X509_ATTRIBUTE_get0_type(attribute, 0) : NULL;
    if (value == NULL || (ASN1_tag2bit(ASN1_TYPE_get(value)) & types) == 0)
        return NULL;
    return value->value.asn1_string;
}

static void decode_label(const ASN1_STRING *value, struct keyfile *out)
{
    unsigned char *utf8 = NULL;
    int len = ASN1_STRING_to_UTF8(&utf8, value);
    if (len > 0 && len <= KEYFILE_LABEL_MAX && memchr(utf8, 0, (size_t)len) == NULL)
        memcpy(out->label, utf8, (size_t)len);
    if (len >= 0)
        OPENSSL_free(utf8);
}

/* Appends data to storage and returns a view of it. */
static struct azihsm_bytes store(uint8_t **end, const uint8_t *data, size_t len)
{
    struct azihsm_bytes view = {*end, len};
    memcpy(*end, data, len);
    *end += len;
    return view;
}

static void decode_attribute(X509_ATTRIBUTE *attribute, struct keyfile *out, uint8_t **end)
{
    const ASN1_OBJECT *object = X509_ATTRIBUTE_get0_object(attribute);
    const ASN1_STRING *value = attribute_value(attribute, B_ASN1_BIT_STRING);
    if (OBJ_obj2nid(object) == NID_key_usage && value != NULL)
        for (size_t i = 0; i < USAGE_BITS; i++)
            out->usage |= ASN1_BIT_STRING_get_bit(value, usage_bits[i].bit) ? usage_bits[i].usage : 0;
    value = attribute_value(attribute, B_ASN1_BMPSTRING | B_ASN1_UTF8STRING);
    if (OBJ_obj2nid(object) == NID_friendlyName && value != NULL)
        decode_label(value, out);
    value = attribute_value(attribute, B_ASN1_OCTET_STRING);
    if (value != NULL && ASN1_STRING_length(value) == KEYFILE_HINT_SIZE && is_object(object, HINT_OID)) {
        memcpy(out->hint, ASN1_STRING_get0_data(value), KEYFILE_HINT_SIZE);
        out->has_hint = true;
    } else if (value != NULL && out->second.len == 0 && is_object(object, SECOND_OID)) {
        out->second = store(end, ASN1_STRING_get0_data(value), (size_t)ASN1_STRING_length(value));
    }
}

/* der_len: of the whole object, in which every member has its place: room for all views. */
static bool decode_members(const ONE_ASYMMETRIC_KEY *key, const X509_ALGOR *algorithm, size_t der_len,
                           struct keyfile *out)
{
    PUBLIC_KEY_INFO info = {(X509_ALGOR *)algorithm, key->public_key};
    unsigned char *spki = NULL, *alg = NULL;
    uint8_t *end;
    size_t blob_len = (size_t)ASN1_STRING_length(key->private_key);
    int alg_len = i2d_X509_ALGOR(algorithm, &alg);
    int spki_len =
        key->public_key == NULL ? 0 : ASN1_item_i2d((const ASN1_VALUE *)&info, &spki, ASN1_ITEM_rptr(PUBLIC_KEY_INFO));
    bool ok = alg_len > 0 && spki_len >= 0;

    out->extended = key->extension != NULL;
    if (ok)
        out->storage = OPENSSL_malloc(der_len + (size_t)alg_len + (size_t)spki_len);
    ok = ok && out->storage != NULL;
    end = out->storage;
    if (ok) {
        out->blob = store(&end, ASN1_STRING_get0_data(key->private_key), blob_len);
        out->algorithm = store(&end, alg, (size_t)alg_len);
        if (spki_len > 0)
            out->spki = store(&end, spki, (size_t)spki_len);
    }
    for (int i = 0; ok && i < sk_X509_ATTRIBUTE_num(key->attributes); i++)
        decode_attribute(sk_X509_ATTRIBUTE_value(key->attributes, i), out, &end);
    OPENSSL_free(alg);
    OPENSSL_free(spki);
    return ok;
}

/* The real AlgorithmIdentifier, from the parameter of ours. */
static X509_ALGOR *real_algorithm(const ONE_ASYMMETRIC_KEY *key)
{
    const void *value = NULL;
    int type = 0;
    X509_ALGOR_get0(NULL, &type, &value, key->algorithm);
    if (type != V_ASN1_SEQUENCE)
        return NULL;
    const ASN1_STRING *sequence = value;
    const unsigned char *p = ASN1_STRING_get0_data(sequence), *start = p;
    X509_ALGOR *algorithm = d2i_X509_ALGOR(NULL, &p, ASN1_STRING_length(sequence));
    if (algorithm != NULL && p != start + ASN1_STRING_length(sequence)) {
        X509_ALGOR_free(algorithm);
        algorithm = NULL;
    }
    return algorithm;
}

static bool is_der(const ONE_ASYMMETRIC_KEY *key, struct azihsm_bytes der)
{
    unsigned char *again = NULL;
    int len = ASN1_item_i2d((const ASN1_VALUE *)key, &again, ASN1_ITEM_rptr(ONE_ASYMMETRIC_KEY));
    bool same = len >= 0 && (size_t)len == der.len && memcmp(again, der.data, der.len) == 0;
    OPENSSL_free(again);
    return same;
}

static enum keyfile_result decode(const ONE_ASYMMETRIC_KEY *key, struct azihsm_bytes der, struct keyfile *out,
                                  const char **wrong)
{
    X509_ALGOR *algorithm = real_algorithm(key);
    int64_t version = -1;
    enum keyfile_result result = KEYFILE_BAD;

    if (!ASN1_INTEGER_get_int64(&version, key->version) || version != 1)
        *wrong = "its version is not 2";
    else if (!is_der(key, der))
        *wrong = "it is not DER, or something follows it";
    else if (algorithm == NULL)
        *wrong = "it does not name the algorithm of the key";
    else if (ASN1_STRING_length(key->private_key) == 0)
        *wrong = "it holds no masked key";
    else
        result = decode_members(key, algorithm, der.len, out) ? KEYFILE_OK : KEYFILE_FAILED;
    X509_ALGOR_free(algorithm);
    return result;
}

/* SEQUENCE { INTEGER, SEQUENCE { OID ours: cheap, because every DER object any program decodes comes by here. */
static bool looks_like_ours(struct azihsm_bytes der)
{
    ASN1_OBJECT *object = OBJ_txt2obj(KEYFILE_OID, 1);
    size_t len = object == NULL ? 0 : OBJ_length(object), window = der.len < 32 ? der.len : 32;
    const uint8_t *data = object == NULL ? NULL : OBJ_get0_data(object);
    bool found = false;
    for (size_t i = 0; data != NULL && !found && i < window && i + len <= der.len; i++)
        found = memcmp(der.data + i, data, len) == 0;
    ASN1_OBJECT_free(object);
    return found;
}

enum keyfile_result keyfile_decode(struct azihsm_bytes der, struct keyfile *out, char *why, size_t why_size)
{
    enum keyfile_result result = KEYFILE_NOT_OURS;
    const unsigned char *p = der.data;
    const char *wrong = "it is not an RFC 5958 OneAsymmetricKey";
    ONE_ASYMMETRIC_KEY *key = NULL;

    *out = (struct keyfile){0};
    if (!looks_like_ours(der) || der.len > KEYFILE_SIZE_MAX)
        return KEYFILE_NOT_OURS;
    ERR_set_mark();
    key = (ONE_ASYMMETRIC_KEY *)ASN1_item_d2i(NULL, &p, (long)der.len, ASN1_ITEM_rptr(ONE_ASYMMETRIC_KEY));
    if (key == NULL)
        result = KEYFILE_BAD;
    else if (is_object(key->algorithm->algorithm, KEYFILE_OID))
        result = decode(key, der, out, &wrong);
    if (result == KEYFILE_BAD)
        snprintf(why, why_size, "%s", wrong);
    if (result == KEYFILE_FAILED)
        snprintf(why, why_size, "out of memory");
    ASN1_item_free((ASN1_VALUE *)key, ASN1_ITEM_rptr(ONE_ASYMMETRIC_KEY));
    ERR_pop_to_mark();
    return result;
}

enum keyfile_result keyfile_parse(struct azihsm_bytes text, struct keyfile *out, char *why, size_t why_size)
{
    enum keyfile_result result = keyfile_decode(text, out, why, why_size);
    BIO *bio =
        result == KEYFILE_NOT_OURS && text.len <= KEYFILE_SIZE_MAX ? BIO_new_mem_buf(text.data, (int)text.len) : NULL;
    char *name = NULL, *header = NULL;
    unsigned char *der = NULL;
    long len = 0;

    ERR_set_mark();
    while (bio != NULL && result == KEYFILE_NOT_OURS && PEM_read_bio(bio, &name, &header, &der, &len)) {
        if (strcmp(name, KEYFILE_PEM_PRIVATE) == 0 || strcmp(name, KEYFILE_PEM_SECRET) == 0) {
            result = keyfile_decode((struct azihsm_bytes){der, (size_t)len}, out, why, why_size);
            if (result == KEYFILE_NOT_OURS) {
                result = KEYFILE_BAD;
                snprintf(why, why_size, "the %s block holds something else", name);
            }
        }
        OPENSSL_free(name);
        OPENSSL_free(header);
        OPENSSL_clear_free(der, (size_t)len);
    }
    ERR_pop_to_mark();
    BIO_free(bio);
    return result;
}

void keyfile_clear(struct keyfile *keyfile)
{
    OPENSSL_free(keyfile->storage);
    *keyfile = (struct keyfile){0};
}

/* ---- encoding ---- */

/* Takes over value; false when anything failed. */
static bool add_attribute(ONE_ASYMMETRIC_KEY *key, ASN1_OBJECT *object, ASN1_STRING *value)
{
    X509_ATTRIBUTE *attribute = NULL;
    bool ok = object != NULL && value != NULL;
    if (ok && key->attributes == NULL)
        ok = (key->attributes = sk_X509_ATTRIBUTE_new_null()) != NULL;
    if (ok)
        attribute = X509_ATTRIBUTE_create_by_OBJ(NULL, object, ASN1_STRING_type(value), value, -1);
    ok = attribute != NULL && sk_X509_ATTRIBUTE_push(key->attributes, attribute) > 0;
    if (!ok)
        X509_ATTRIBUTE_free(attribute);
    ASN1_STRING_free(value);
    return ok;
}

static bool add_usage(ONE_ASYMMETRIC_KEY *key, unsigned usage)
{
    ASN1_BIT_STRING *bits = ASN1_BIT_STRING_new();
    bool ok = bits != NULL;
    for (size_t i = 0; ok && i < USAGE_BITS; i++)
        if ((usage & usage_bits[i].usage) != 0)
            ok = ASN1_BIT_STRING_set_bit(bits, usage_bits[i].bit, 1) == 1;
    if (!ok) {
        ASN1_BIT_STRING_free(bits);
        return false;
    }
    return add_attribute(key, OBJ_nid2obj(NID_key_usage), bits);
}

/* A label is opaque bytes to the device; one that is no UTF-8 is left out. */
static bool add_label(ONE_ASYMMETRIC_KEY *key, const char *label)
{
    ASN1_STRING *value = NULL;
    int len = (int)strlen(label);
    if (ASN1_mbstring_copy(&value, (const unsigned char *)label, len, MBSTRING_UTF8,
                           B_ASN1_BMPSTRING | B_ASN1_UTF8STRING) < 0)
        return true;
    return add_attribute(key, OBJ_nid2obj(NID_friendlyName), value);
}

static bool add_octets(ONE_ASYMMETRIC_KEY *key, const char *oid, struct azihsm_bytes octets)
{
    ASN1_OBJECT *object = OBJ_txt2obj(oid, 1);
    ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
    bool ok = value != NULL && octets.len <= KEYFILE_SIZE_MAX / 2 &&
              ASN1_OCTET_STRING_set(value, octets.data, (int)octets.len);
    if (ok)
        ok = add_attribute(key, object, value);
    else
        ASN1_OCTET_STRING_free(value);
    ASN1_OBJECT_free(object);
    return ok;
}

/* Sets our algorithm with the real one, given as DER, as its parameter. */
static bool set_algorithm(ONE_ASYMMETRIC_KEY *key, const unsigned char *der, int len)
{
    ASN1_OBJECT *object = OBJ_txt2obj(KEYFILE_OID, 1);
    ASN1_STRING *sequence = ASN1_STRING_type_new(V_ASN1_SEQUENCE);
    bool ok = object != NULL && sequence != NULL && ASN1_STRING_set(sequence, der, len) &&
              X509_ALGOR_set0(key->algorithm, object, V_ASN1_SEQUENCE, sequence);
    if (!ok) {
        ASN1_OBJECT_free(object);
        ASN1_STRING_free(sequence);
    }
    return ok;
}

/* Algorithm and public key from the SPKI. */
static bool set_public(ONE_ASYMMETRIC_KEY *key, struct azihsm_bytes spki)
{
    const unsigned char *p = spki.data;
    unsigned char *alg = NULL;
    PUBLIC_KEY_INFO *info = (PUBLIC_KEY_INFO *)ASN1_item_d2i(NULL, &p, (long)spki.len, ASN1_ITEM_rptr(PUBLIC_KEY_INFO));
    int len = info == NULL ? -1 : i2d_X509_ALGOR(info->algorithm, &alg);
    bool ok = len > 0 && p == spki.data + spki.len && set_algorithm(key, alg, len);
    if (ok) {
        key->public_key = info->public_key;
        info->public_key = NULL;
    }
    OPENSSL_free(alg);
    ASN1_item_free((ASN1_VALUE *)info, ASN1_ITEM_rptr(PUBLIC_KEY_INFO));
    return ok;
}

bool keyfile_encode(const struct keyfile *keyfile, uint8_t **der, size_t *len)
{
    ONE_ASYMMETRIC_KEY *key = (ONE_ASYMMETRIC_KEY *)ASN1_item_new(ASN1_ITEM_rptr(ONE_ASYMMETRIC_KEY));
    bool ok = key != NULL && ASN1_INTEGER_set_int64(key->version, 1) && keyfile->blob.len <= KEYFILE_SIZE_MAX / 2 &&
              ASN1_OCTET_STRING_set(key->private_key, keyfile->blob.data, (int)keyfile->blob.len);
    int total = -1;

    *der = NULL;
    if (keyfile->spki.len > 0)
        ok = ok && set_public(key, keyfile->spki);
    else
        ok = ok && keyfile->algorithm.len > 0 &&
             set_algorithm(key, keyfile->algorithm.data, (int)keyfile->algorithm.len);
    if (keyfile->usage != 0)
        ok = ok && add_usage(key, keyfile->usage);
    if (keyfile->label[0] != '\0')
        ok = ok && add_label(key, keyfile->label);
    if (keyfile->has_hint)
        ok = ok && add_octets(key, HINT_OID, (struct azihsm_bytes){keyfile->hint, KEYFILE_HINT_SIZE});
    if (keyfile->second.len > 0)
        ok = ok && add_octets(key, SECOND_OID, keyfile->second);
    if (keyfile->extended)
        ok = ok && (key->extension = ASN1_NULL_new()) != NULL;
    if (ok)
        total = ASN1_item_i2d((const ASN1_VALUE *)key, der, ASN1_ITEM_rptr(ONE_ASYMMETRIC_KEY));
    ASN1_item_free((ASN1_VALUE *)key, ASN1_ITEM_rptr(ONE_ASYMMETRIC_KEY));
    *len = total > 0 ? (size_t)total : 0;
    return total > 0;
}

bool keyfile_encode_pem(const struct keyfile *keyfile, uint8_t **pem, size_t *len)
{
    struct keyfile plain = *keyfile;
    uint8_t *der = NULL;
    size_t der_len = 0;
    BIO *bio = BIO_new(BIO_s_mem());
    const char *name = keyfile->spki.len > 0 ? KEYFILE_PEM_PRIVATE : KEYFILE_PEM_SECRET;
    char *text = NULL;
    bool ok;

    plain.extended = false;
    ok = bio != NULL && keyfile_encode(&plain, &der, &der_len) && PEM_write_bio(bio, name, "", der, (long)der_len) > 0;
    *len = ok ? (size_t)BIO_get_mem_data(bio, &text) : 0;
    *pem = ok ? OPENSSL_memdup(text, *len) : NULL;
    OPENSSL_free(der);
    BIO_free(bio);
    return *pem != NULL;
}
