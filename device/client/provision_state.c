/*
 * The owner's secrets: making them, writing them to CBOR and back, and endorsing a partition with the POTA key.
 */
#include "provision_state.h"

#include "cbor_io.h"
#include "crypto/ecdsa.h"
#include "crypto/secret.h"
#include "crypto/spki.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <string.h>

enum { PROVISION_VERSION = 1 };

#define PROVISION_CURVE "P-384"

/* ---- blobs ---- */

bool provision_blob_set(struct provision_blob *blob, struct azihsm_bytes bytes)
{
    if (bytes.len > sizeof(blob->data))
        return false;
    memset(blob->data, 0, sizeof(blob->data));
    if (bytes.len > 0)
        memcpy(blob->data, bytes.data, bytes.len);
    blob->len = bytes.len;
    return true;
}

bool provision_blob_equals(const struct provision_blob *blob, struct azihsm_bytes bytes)
{
    return blob->len == bytes.len && (bytes.len == 0 || memcmp(blob->data, bytes.data, bytes.len) == 0);
}

/* ---- locked memory: the state lives inside a struct secret ---- */

_Static_assert(offsetof(struct secret, data) % _Alignof(struct provision_state) == 0, "a state can lie in a secret");

static struct provision_state *provision_state_new(void)
{
    struct secret *secret = secret_new(sizeof(struct provision_state));

    return secret != NULL ? (void *)secret->data : NULL;
}

void provision_state_free(struct provision_state *state)
{
    if (state != NULL)
        secret_free((void *)((uint8_t *)state - offsetof(struct secret, data)));
}

/* ---- generation ---- */

static bool provision_generate_pota(OSSL_LIB_CTX *libctx, struct provision_state *state)
{
    EVP_PKEY *key = EVP_PKEY_Q_keygen(libctx, NULL, "EC", PROVISION_CURVE);
    BIGNUM *scalar = NULL;
    size_t len = 0;
    bool ok = key != NULL && EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_PRIV_KEY, &scalar) &&
              BN_bn2binpad(scalar, state->pota_private, sizeof(state->pota_private)) > 0 &&
              EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, state->pota_public,
                                              sizeof(state->pota_public), &len) &&
              len == sizeof(state->pota_public) && state->pota_public[0] == 0x04;

    BN_clear_free(scalar);
    EVP_PKEY_free(key);
    return ok;
}

azihsm_rc provision_state_generate(struct provision_state **out, struct azihsm_error *err)
{
    OSSL_LIB_CTX *libctx = OSSL_LIB_CTX_new();
    struct provision_state *state = provision_state_new();
    bool ok = libctx != NULL && state != NULL &&
              RAND_priv_bytes_ex(libctx, state->credential, sizeof(state->credential), 0) > 0 &&
              RAND_priv_bytes_ex(libctx, state->bk3, sizeof(state->bk3), 0) > 0 &&
              provision_generate_pota(libctx, state);

    OSSL_LIB_CTX_free(libctx);
    if (!ok) {
        provision_state_free(state);
        return azihsm_error_set(err, AZIHSM_E_CRYPTO, "cannot draw the secrets of a new partition");
    }
    *out = state;
    return AZIHSM_OK;
}

/* ---- CBOR ---- */

/* The members of fixed size, in file order; blobs follow. */
static const struct provision_member {
    const char *key;
    size_t offset;
    size_t size;
} provision_members[] = {
    {"credential", offsetof(struct provision_state, credential), 2 * AZIHSM_CREDENTIAL_SIZE},
    {"bk3", offsetof(struct provision_state, bk3), AZIHSM_BK3_SIZE},
    {"pota-private", offsetof(struct provision_state, pota_private), PROVISION_POTA_SIZE},
    {"pota-public", offsetof(struct provision_state, pota_public), PROVISION_POINT_SIZE},
};

static const struct provision_blob_member {
    const char *key;
    size_t offset;
} provision_blobs[] = {
    {"masked-bk3", offsetof(struct provision_state, masked_bk3)},
    {"bmk", offsetof(struct provision_state, bmk)},
    {"muk", offsetof(struct provision_state, muk)},
};

enum {
    PROVISION_MEMBERS = sizeof(provision_members) / sizeof(provision_members[0]),
    PROVISION_BLOBS = sizeof(provision_blobs) / sizeof(provision_blobs[0])
};

azihsm_rc provision_state_encode(const struct provision_state *state, uint8_t *buf, size_t cap, size_t *len)
{
    struct cbor_writer writer;
    const uint8_t *base = (const uint8_t *)state;
    size_t i;

    cbor_write_init(&writer, buf, cap);
    cbor_write_map(&writer, 1 + PROVISION_MEMBERS + PROVISION_BLOBS);
    cbor_write_pair_uint(&writer, "version", PROVISION_VERSION);
    for (i = 0; i < PROVISION_MEMBERS; i++)
        cbor_write_pair_bytes(&writer, provision_members[i].key, base + provision_members[i].offset,
                              provision_members[i].size);
    for (i = 0; i < PROVISION_BLOBS; i++) {
        const struct provision_blob *blob = (const void *)(base + provision_blobs[i].offset);

        cbor_write_pair_bytes(&writer, provision_blobs[i].key, blob->data, blob->len);
    }
    *len = writer.len;
    return writer.failed ? AZIHSM_E_ENCODE : AZIHSM_OK;
}

static bool provision_state_read(struct azihsm_bytes bytes, struct provision_state *state)
{
    uint8_t *base = (uint8_t *)state;
    struct cbor_token token;
    size_t i;

    if (!cbor_map_find(bytes, "version", CBOR_TOKEN_UINT, &token) || token.value != PROVISION_VERSION)
        return false;
    for (i = 0; i < PROVISION_MEMBERS; i++) {
        if (!cbor_map_find(bytes, provision_members[i].key, CBOR_TOKEN_BYTES, &token) ||
            token.string.len != provision_members[i].size)
            return false;
        memcpy(base + provision_members[i].offset, token.string.data, token.string.len);
    }
    for (i = 0; i < PROVISION_BLOBS; i++) {
        if (!cbor_map_find(bytes, provision_blobs[i].key, CBOR_TOKEN_BYTES, &token) ||
            !provision_blob_set((void *)(base + provision_blobs[i].offset), token.string))
            return false;
    }
    return true;
}

azihsm_rc provision_state_decode(struct azihsm_bytes bytes, struct provision_state **out)
{
    struct provision_state *state = provision_state_new();

    if (state == NULL)
        return AZIHSM_E_NO_MEMORY;
    if (!provision_state_read(bytes, state)) {
        provision_state_free(state);
        return AZIHSM_E_DECODE;
    }
    *out = state;
    return AZIHSM_OK;
}

/* ---- endorsement ---- */

/* The POTA key from scalar and point. */
static EVP_PKEY *provision_pota_key(OSSL_LIB_CTX *libctx, const struct provision_state *state)
{
    BIGNUM *scalar = BN_secure_new();
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    OSSL_PARAM *params = NULL;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(libctx, "EC", NULL);
    EVP_PKEY *key = NULL;

    if (scalar == NULL || build == NULL || ctx == NULL ||
        BN_bin2bn(state->pota_private, sizeof(state->pota_private), scalar) == NULL ||
        !OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, PROVISION_CURVE, 0) ||
        !OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, state->pota_public,
                                          sizeof(state->pota_public)) ||
        !OSSL_PARAM_BLD_push_BN_pad(build, OSSL_PKEY_PARAM_PRIV_KEY, scalar, sizeof(state->pota_private)) ||
        (params = OSSL_PARAM_BLD_to_param(build)) == NULL || EVP_PKEY_fromdata_init(ctx) <= 0 ||
        EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_KEYPAIR, params) <= 0)
        key = NULL;
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(build);
    EVP_PKEY_CTX_free(ctx);
    BN_clear_free(scalar);
    return key;
}

/* The public point of a certificate's key; false unless it is a P-384 point. */
static bool provision_leaf_point(OSSL_LIB_CTX *libctx, struct azihsm_bytes der, uint8_t point[SPKI_POINT_MAX])
{
    const unsigned char *cursor = der.data;
    X509 *certificate = X509_new_ex(libctx, NULL);
    EVP_PKEY *key = NULL;
    size_t len = 0;
    bool ok = certificate != NULL && d2i_X509(&certificate, &cursor, (long)der.len) != NULL &&
              (key = X509_get0_pubkey(certificate)) != NULL && spki_point(key, point, &len) == AZIHSM_OK &&
              len == PROVISION_POINT_SIZE;

    X509_free(certificate);
    return ok;
}

azihsm_rc provision_endorse(const struct provision_state *state, struct azihsm_bytes leaf_certificate,
                            uint8_t signature[PROVISION_SIGNATURE_SIZE], uint8_t *spki, size_t *spki_len)
{
    uint8_t point[SPKI_POINT_MAX];
    size_t signature_len = PROVISION_SIGNATURE_SIZE;
    OSSL_LIB_CTX *libctx = OSSL_LIB_CTX_new();
    EVP_PKEY *key = NULL;
    azihsm_rc rc = AZIHSM_E_CRYPTO;

    if (libctx == NULL || (key = provision_pota_key(libctx, state)) == NULL)
        goto end;
    rc = AZIHSM_E_DECODE;
    if (!provision_leaf_point(libctx, leaf_certificate, point))
        goto end;
    rc = ecdsa_sign_message(libctx, key, AZIHSM_HASH_SHA384, (struct azihsm_bytes){point, PROVISION_POINT_SIZE},
                            signature, &signature_len);
    if (rc == AZIHSM_OK)
        rc = spki_encode(key, spki, *spki_len, spki_len);
end:
    EVP_PKEY_free(key);
    OSSL_LIB_CTX_free(libctx);
    return rc;
}
