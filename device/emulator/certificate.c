/*
 * Certificate chains of the partition. A profile is a short table of certificates, root first; building walks it with
 * the issuer's key in hand. CA keys live only while the chain is made.
 */
#include "emulator/certificate.h"

#include "crypto/ecdsa.h"
#include "crypto/kdf.h"
#include "crypto/spki.h"
#include "emulator/certificate_der.h"

#include <openssl/err.h>
#include <openssl/evp.h>

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum {
    KEY_ID_SIZE = 20,
    SERIAL_SIZE = 20,
    NAME_MAX_LEN = 64,
    PHYSICAL_COUNT = 4,
    TBS_MAX = 1024,
    HASH_SIZE = CERTIFICATE_THUMBPRINT_SIZE,
};

struct certificate_chain {
    atomic_uint refs;
    size_t count;
    size_t len[CERTIFICATE_COUNT_MAX];
    uint8_t der[CERTIFICATE_COUNT_MAX][AZIHSM_CERTIFICATE_MAX];
    uint8_t thumbprint[CERTIFICATE_THUMBPRINT_SIZE];
};

/* One party: what its own certificate says and what those it issues say about it. */
struct party {
    char name[NAME_MAX_LEN + 1];
    EVP_PKEY *key;
    uint8_t key_id[KEY_ID_SIZE];
};

struct validity {
    enum der_tag tag;
    const char *from;
    enum der_tag until_tag;
    const char *until;
};

struct shape {
    struct validity validity;
    bool ca;
    bool small_serial; /* 1 instead of 20 random bytes */
};

static const struct shape virtual_shape = {
    {DER_UTC_TIME, "250930021043Z", DER_UTC_TIME, "360930021043Z"}, .ca = true, .small_serial = true};
static const struct shape authority_shape = {{DER_UTC_TIME, "230101000000Z", DER_GENERALIZED_TIME, "99991231235959Z"},
                                             .ca = true};
/* the firmware writes both times of its leaf in the long form */
static const struct shape leaf_shape = {
    {DER_GENERALIZED_TIME, "20230101000000Z", DER_GENERALIZED_TIME, "99991231235959Z"}, .ca = false};

/* ---- one certificate ---- */

/* ecdsa-with-SHA384, commonName, and the extensions' object identifiers, as whole DER elements */
static const uint8_t signature_algorithm[] = {0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03};
static const uint8_t common_name[] = {0x06, 0x03, 0x55, 0x04, 0x03};
static const uint8_t oid_subject_key_id[] = {0x06, 0x03, 0x55, 0x1d, 0x0e};
static const uint8_t oid_key_usage[] = {0x06, 0x03, 0x55, 0x1d, 0x0f};
static const uint8_t oid_basic_constraints[] = {0x06, 0x03, 0x55, 0x1d, 0x13};
static const uint8_t oid_authority_key_id[] = {0x06, 0x03, 0x55, 0x1d, 0x23};

static void put_name(struct der_writer *w, const char *name)
{
    size_t mark = der_mark(w);

    der_element(w, DER_UTF8_STRING, name, strlen(name));
    der_bytes(w, common_name, sizeof(common_name));
    der_header(w, DER_SEQUENCE, mark);
    der_header(w, DER_SET, mark);
    der_header(w, DER_SEQUENCE, mark);
}

static void put_validity(struct der_writer *w, const struct validity *validity)
{
    size_t mark = der_mark(w);

    der_element(w, validity->until_tag, validity->until, strlen(validity->until));
    der_element(w, validity->tag, validity->from, strlen(validity->from));
    der_header(w, DER_SEQUENCE, mark);
}

static void put_extension(struct der_writer *w, const uint8_t *oid, bool critical, const void *value, size_t len)
{
    static const uint8_t yes = 0xff;
    size_t mark = der_mark(w);

    der_element(w, DER_OCTET_STRING, value, len);
    if (critical)
        der_element(w, DER_BOOLEAN, &yes, 1);
    der_bytes(w, oid, 5);
    der_header(w, DER_SEQUENCE, mark);
}

/* A 20-byte key identifier inside one more element. */
static void put_key_id(struct der_writer *w, const uint8_t *oid, const uint8_t *key_id, enum der_tag inner, bool nested)
{
    uint8_t buf[KEY_ID_SIZE + 8];
    struct der_writer value = der_writer_new(buf, sizeof(buf));
    size_t mark = der_mark(&value);

    der_element(&value, inner, key_id, KEY_ID_SIZE);
    if (nested)
        der_header(&value, DER_SEQUENCE, mark);
    put_extension(w, oid, false, der_result(&value).data, der_result(&value).len);
}

static void put_extensions(struct der_writer *w, bool ca, const struct party *issuer, const struct party *subject)
{
    static const uint8_t ca_constraints[] = {0x30, 0x03, 0x01, 0x01, 0xff}, leaf_constraints[] = {0x30, 0x00};
    static const uint8_t ca_usage[] = {0x03, 0x02, 0x01, 0x06}, leaf_usage[] = {0x03, 0x02, 0x07, 0x80};
    size_t mark = der_mark(w);

    put_extension(w, oid_key_usage, true, ca ? ca_usage : leaf_usage, sizeof(ca_usage));
    put_extension(w, oid_basic_constraints, true, ca ? ca_constraints : leaf_constraints,
                  ca ? sizeof(ca_constraints) : sizeof(leaf_constraints));
    if (issuer != subject)
        put_key_id(w, oid_authority_key_id, issuer->key_id, DER_CONTEXT_0, true);
    put_key_id(w, oid_subject_key_id, subject->key_id, DER_OCTET_STRING, false);
    der_header(w, DER_SEQUENCE, mark);
    der_header(w, DER_EXPLICIT_3, mark);
}

/* Positive, without a leading zero byte, 20 bytes long: the first byte is odd and below 0x80. */
static azihsm_rc put_serial(struct der_writer *w, const struct engine *engine, bool small)
{
    uint8_t serial[SERIAL_SIZE] = {1};
    azihsm_rc rc = small ? AZIHSM_OK : engine_random(engine, serial, sizeof(serial));

    serial[0] = (uint8_t)((serial[0] & 0x7f) | 1);
    der_element(w, DER_INTEGER, serial, small ? 1 : sizeof(serial));
    return rc;
}

/* TBSCertificate into w. */
static azihsm_rc put_to_be_signed(struct der_writer *w, const struct engine *engine, const struct shape *shape,
                                  const struct party *issuer, const struct party *subject)
{
    static const uint8_t version_3 = 2;
    uint8_t spki[AZIHSM_PUB_KEY_MAX];
    size_t mark = der_mark(w), version_mark, spki_len;
    azihsm_rc rc = spki_encode(subject->key, spki, sizeof(spki), &spki_len);

    if (rc != AZIHSM_OK)
        return rc;
    put_extensions(w, shape->ca, issuer, subject);
    der_bytes(w, spki, spki_len);
    put_name(w, subject->name);
    put_validity(w, &shape->validity);
    put_name(w, issuer->name);
    der_bytes(w, signature_algorithm, sizeof(signature_algorithm));
    rc = put_serial(w, engine, shape->small_serial);
    version_mark = der_mark(w);
    der_element(w, DER_INTEGER, &version_3, 1);
    der_header(w, DER_EXPLICIT_0, version_mark);
    der_header(w, DER_SEQUENCE, mark);
    return rc;
}

/* Signs tbs and writes the certificate into the chain's next place. */
static azihsm_rc seal_certificate(struct certificate_chain *chain, const struct engine *engine, EVP_PKEY *issuer_key,
                                  const struct der_writer *tbs)
{
    uint8_t *place = chain->der[chain->count], raw[ECDSA_RAW_MAX], der[1 + ECDSA_DER_MAX];
    struct der_writer w = der_writer_new(place, AZIHSM_CERTIFICATE_MAX);
    size_t mark = der_mark(&w), raw_len, der_len;
    azihsm_rc rc =
        ecdsa_sign_message(engine_libctx(engine), issuer_key, AZIHSM_HASH_SHA384, der_result(tbs), raw, &raw_len);

    if (rc != AZIHSM_OK)
        return rc;
    der[0] = 0; /* unused bits */
    ecdsa_raw_to_der(raw, raw_len / 2, der + 1, &der_len);
    der_element(&w, DER_BIT_STRING, der, 1 + der_len);
    der_bytes(&w, signature_algorithm, sizeof(signature_algorithm));
    der_bytes(&w, der_result(tbs).data, der_result(tbs).len);
    der_header(&w, DER_SEQUENCE, mark);
    if (tbs->full || w.full)
        return AZIHSM_STATUS_PARTITION_CERT_TOO_LARGE;
    chain->len[chain->count++] = der_result(&w).len;
    memmove(place, der_result(&w).data, der_result(&w).len);
    return AZIHSM_OK;
}

static azihsm_rc add_certificate(struct certificate_chain *chain, const struct engine *engine,
                                 const struct shape *shape, const struct party *issuer, const struct party *subject)
{
    uint8_t buf[TBS_MAX];
    struct der_writer tbs = der_writer_new(buf, sizeof(buf));
    azihsm_rc rc = put_to_be_signed(&tbs, engine, shape, issuer, subject);

    return rc == AZIHSM_OK ? seal_certificate(chain, engine, issuer->key, &tbs) : rc;
}

/* ---- parties ---- */

static void hex(char *out, const uint8_t *bytes, size_t len)
{
    static const char digits[] = "0123456789ABCDEF";

    for (size_t i = 0; i < len; i++) {
        *out++ = digits[bytes[i] >> 4];
        *out++ = digits[bytes[i] & 15];
    }
    *out = '\0';
}

/* SHA-1 of the uncompressed point. */
static azihsm_rc compute_key_id(const struct engine *engine, struct party *party)
{
    uint8_t point[SPKI_POINT_MAX];
    struct azihsm_bytes part = {point, 0};
    azihsm_rc rc = spki_point(party->key, point, &part.len);

    return rc == AZIHSM_OK ? kdf_digest(engine_libctx(engine), AZIHSM_HASH_SHA1, &part, 1, party->key_id) : rc;
}

/* A CA with a fresh key. Without a name it is called by the SHA-256 of its point: 64 digits. */
static azihsm_rc new_authority(const struct engine *engine, const char *name, struct party *party)
{
    uint8_t point[SPKI_POINT_MAX], digest[HASH_SIZE];
    struct azihsm_bytes part = {point, 0};
    azihsm_rc rc;

    party->key = EVP_PKEY_Q_keygen(engine_libctx(engine), NULL, "EC", spki_curve_name(AZIHSM_CURVE_P384));
    if (party->key == NULL)
        return AZIHSM_E_CRYPTO;
    rc = compute_key_id(engine, party);
    if (name != NULL) {
        memcpy(party->name, name, strlen(name) + 1);
        return rc;
    }
    if (rc == AZIHSM_OK)
        rc = spki_point(party->key, point, &part.len);
    if (rc == AZIHSM_OK)
        rc = kdf_digest(engine_libctx(engine), AZIHSM_HASH_SHA256, &part, 1, digest);
    if (rc == AZIHSM_OK)
        hex(party->name, digest, sizeof(digest));
    return rc;
}

/* ---- thumbprints ---- */

static azihsm_rc sha256(const struct engine *engine, const struct azihsm_bytes *parts, size_t count, uint8_t *out)
{
    return kdf_digest(engine_libctx(engine), AZIHSM_HASH_SHA256, parts, count, out);
}

static azihsm_rc compute_thumbprint(const struct engine *engine, struct certificate_chain *chain)
{
    uint8_t single[CERTIFICATE_COUNT_MAX][HASH_SIZE], platform[HASH_SIZE];
    size_t above = chain->count < 2 ? 0 : chain->count - 2;
    azihsm_rc rc = AZIHSM_OK;

    for (size_t i = 0; rc == AZIHSM_OK && i < chain->count; i++) {
        struct azihsm_bytes der = certificate_chain_get(chain, i);

        rc = sha256(engine, &der, 1, single[i]);
    }
    if (rc == AZIHSM_OK && chain->count == 1)
        memcpy(chain->thumbprint, single[0], HASH_SIZE);
    if (rc != AZIHSM_OK || chain->count == 1)
        return rc;
    rc = sha256(engine, &(struct azihsm_bytes){single[0], above * HASH_SIZE}, 1, platform);
    if (rc == AZIHSM_OK) {
        const struct azihsm_bytes parts[] = {
            {platform, HASH_SIZE}, {single[above], HASH_SIZE}, {single[above + 1], HASH_SIZE}};

        rc = sha256(engine, parts, sizeof(parts) / sizeof(parts[0]), chain->thumbprint);
    }
    return rc;
}

/* ---- chains ---- */

static struct certificate_chain *chain_alloc(void)
{
    struct certificate_chain *chain = calloc(1, sizeof(*chain));

    if (chain != NULL)
        atomic_init(&chain->refs, 1);
    return chain;
}

static azihsm_rc build_virtual(const struct engine *engine, struct party *leaf, struct certificate_chain *chain)
{
    memcpy(leaf->name, "azihsm virtual partition", sizeof("azihsm virtual partition"));
    return add_certificate(chain, engine, &virtual_shape, leaf, leaf);
}

static azihsm_rc build_physical(const struct engine *engine, struct party *leaf, const uint8_t *partition_id,
                                struct certificate_chain *chain)
{
    /* NULL: the alias, whose name has 64 characters */
    static const char *const names[PHYSICAL_COUNT - 1] = {"azihsm software device root", "azihsm software device id",
                                                          NULL};
    struct party parties[PHYSICAL_COUNT - 1] = {0};
    const struct party *issuer = &parties[0];
    azihsm_rc rc = AZIHSM_OK;

    for (size_t i = 0; rc == AZIHSM_OK && i < PHYSICAL_COUNT - 1; i++) {
        rc = new_authority(engine, names[i], &parties[i]);
        if (rc == AZIHSM_OK)
            rc = add_certificate(chain, engine, &authority_shape, issuer, &parties[i]);
        issuer = &parties[i];
    }
    hex(leaf->name, partition_id, CERTIFICATE_PARTITION_ID_SIZE);
    if (rc == AZIHSM_OK)
        rc = add_certificate(chain, engine, &leaf_shape, issuer, leaf);
    for (size_t i = 0; i < PHYSICAL_COUNT - 1; i++)
        EVP_PKEY_free(parties[i].key);
    return rc;
}

azihsm_rc certificate_chain_new(struct engine *engine, const struct engine_key *identity,
                                const uint8_t partition_id[CERTIFICATE_PARTITION_ID_SIZE],
                                struct certificate_chain **out)
{
    struct party leaf = {.key = engine_key_pkey(identity)};
    struct certificate_chain *chain = chain_alloc();
    azihsm_rc rc;

    *out = NULL;
    if (chain == NULL)
        return AZIHSM_E_NO_MEMORY;
    ERR_set_mark();
    rc = compute_key_id(engine, &leaf);
    if (rc == AZIHSM_OK)
        rc = engine_profile(engine) == AZIHSM_DEVICE_PHYSICAL ? build_physical(engine, &leaf, partition_id, chain)
                                                              : build_virtual(engine, &leaf, chain);
    if (rc == AZIHSM_OK)
        rc = compute_thumbprint(engine, chain);
    ERR_pop_to_mark();
    if (rc == AZIHSM_OK)
        *out = chain;
    else
        certificate_chain_free(chain);
    return rc < 0 ? AZIHSM_STATUS_PARTITION_CERT_GENERATION_FAILED : rc;
}

/* Whether der holds that key's SubjectPublicKeyInfo; what is restored was ours, so this is a check for mix-ups. */
static bool certifies(struct azihsm_bytes der, const struct engine_key *identity)
{
    uint8_t spki[AZIHSM_PUB_KEY_MAX];
    size_t len;

    return spki_encode(engine_key_pkey(identity), spki, sizeof(spki), &len) == AZIHSM_OK &&
           memmem(der.data, der.len, spki, len) != NULL;
}

azihsm_rc certificate_chain_restore(struct engine *engine, const struct engine_key *identity,
                                    const struct azihsm_bytes *ders, size_t count, struct certificate_chain **out)
{
    struct certificate_chain *chain;
    azihsm_rc rc;

    *out = NULL;
    if (count == 0 || count > CERTIFICATE_COUNT_MAX || !certifies(ders[count - 1], identity))
        return AZIHSM_E_DECODE;
    for (size_t i = 0; i < count; i++)
        if (ders[i].len == 0 || ders[i].len > AZIHSM_CERTIFICATE_MAX)
            return AZIHSM_E_DECODE;
    chain = chain_alloc();
    if (chain == NULL)
        return AZIHSM_E_NO_MEMORY;
    for (chain->count = 0; chain->count < count; chain->count++) {
        memcpy(chain->der[chain->count], ders[chain->count].data, ders[chain->count].len);
        chain->len[chain->count] = ders[chain->count].len;
    }
    rc = compute_thumbprint(engine, chain);
    if (rc == AZIHSM_OK)
        *out = chain;
    else
        certificate_chain_free(chain);
    return rc;
}

struct certificate_chain *certificate_chain_up_ref(struct certificate_chain *chain)
{
    atomic_fetch_add(&chain->refs, 1);
    return chain;
}

void certificate_chain_free(struct certificate_chain *chain)
{
    if (chain != NULL && atomic_fetch_sub(&chain->refs, 1) == 1)
        free(chain);
}

size_t certificate_chain_count(const struct certificate_chain *chain)
{
    return chain->count;
}

struct azihsm_bytes certificate_chain_get(const struct certificate_chain *chain, size_t index)
{
    if (index >= chain->count)
        return (struct azihsm_bytes){NULL, 0};
    return (struct azihsm_bytes){chain->der[index], chain->len[index]};
}

const uint8_t *certificate_chain_thumbprint(const struct certificate_chain *chain)
{
    return chain->thumbprint;
}
