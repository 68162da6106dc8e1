/*
 * Certificate chains of the partition. A profile is a short table of certificates, root first; building walks it with
 * the issuer's key in hand. CA keys live only while the chain is made.
 */
#include "emulator/certificate.h"

#include "crypto/kdf.h"
#include "crypto/spki.h"
#include "emulator/certificate_issue.h"

#include <openssl/err.h>
#include <openssl/evp.h>

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum {
    PHYSICAL_COUNT = 4,
    HASH_SIZE = CERTIFICATE_THUMBPRINT_SIZE,
};

struct certificate_chain {
    atomic_uint refs;
    size_t count;
    size_t len[CERTIFICATE_COUNT_MAX];
    uint8_t der[CERTIFICATE_COUNT_MAX][AZIHSM_CERTIFICATE_MAX];
    uint8_t thumbprint[CERTIFICATE_THUMBPRINT_SIZE];
};

static const struct certificate_shape virtual_shape = {
    {DER_UTC_TIME, "250930021043Z", DER_UTC_TIME, "360930021043Z"}, .ca = true, .small_serial = true};
static const struct certificate_shape authority_shape = {
    {DER_UTC_TIME, "230101000000Z", DER_GENERALIZED_TIME, "99991231235959Z"}, .ca = true};
/* the firmware writes both times of its leaf in the long form */
static const struct certificate_shape leaf_shape = {
    {DER_GENERALIZED_TIME, "20230101000000Z", DER_GENERALIZED_TIME, "99991231235959Z"}, .ca = false};

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
static azihsm_rc compute_key_id(const struct engine *engine, struct certificate_party *party)
{
    uint8_t point[SPKI_POINT_MAX];
    struct azihsm_bytes part = {point, 0};
    azihsm_rc rc = spki_point(party->key, point, &part.len);

    return rc == AZIHSM_OK ? kdf_digest(engine_libctx(engine), AZIHSM_HASH_SHA1, &part, 1, party->key_id) : rc;
}

/* A CA with a fresh key. Without a name it is called by the SHA-256 of its point: 64 digits. */
static azihsm_rc new_authority(const struct engine *engine, const char *name, struct certificate_party *party)
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

static azihsm_rc add_certificate(struct certificate_chain *chain, const struct engine *engine,
                                 const struct certificate_shape *shape, const struct certificate_party *issuer,
                                 const struct certificate_party *subject)
{
    azihsm_rc rc =
        certificate_issue(engine, shape, issuer, subject, chain->der[chain->count], &chain->len[chain->count]);

    if (rc == AZIHSM_OK)
        chain->count++;
    return rc;
}

static struct certificate_chain *chain_alloc(void)
{
    struct certificate_chain *chain = calloc(1, sizeof(*chain));

    if (chain != NULL)
        atomic_init(&chain->refs, 1);
    return chain;
}

static azihsm_rc build_virtual(const struct engine *engine, struct certificate_party *leaf,
                               struct certificate_chain *chain)
{
    memcpy(leaf->name, "azihsm virtual partition", sizeof("azihsm virtual partition"));
    return add_certificate(chain, engine, &virtual_shape, leaf, leaf);
}

static azihsm_rc build_physical(const struct engine *engine, struct certificate_party *leaf,
                                const uint8_t *partition_id, struct certificate_chain *chain)
{
    /* NULL: the alias, whose name has 64 characters */
    static const char *const names[PHYSICAL_COUNT - 1] = {"azihsm software device root", "azihsm software device id",
                                                          NULL};
    struct certificate_party parties[PHYSICAL_COUNT - 1] = {0};
    const struct certificate_party *issuer = &parties[0];
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
    struct certificate_party leaf = {.key = engine_key_pkey(identity)};
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
