/*
 * The client side of bring-up and of the commands, over azihsm_ddi_encode_request / decode_response.
 */
#include "emu_client.h"

#include "crypto/ecdsa.h"
#include "crypto/spki.h"
#include "crypto/wrap.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <openssl/x509.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- device and handle ---- */

struct emu_config emu_default_config(enum azihsm_device_kind kind)
{
    return (struct emu_config){.kind = kind, .tables = 1, .sessions_max = 8};
}

struct emu_device *emu_power_on_must(enum azihsm_device_kind kind)
{
    struct emu_config config = emu_default_config(kind);
    struct emu_device *device = NULL;
    assert_int_equal(emu_device_new(&config, NULL, 0, &device), AZIHSM_OK);
    return device;
}

void emu_owner_init(struct emu_owner *owner)
{
    memset(owner, 0, sizeof(*owner));
    owner->pota = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-384");
    assert_non_null(owner->pota);
    assert_int_equal(RAND_bytes(owner->id, sizeof(owner->id)), 1);
    assert_int_equal(RAND_bytes(owner->pin, sizeof(owner->pin)), 1);
    assert_int_equal(RAND_bytes(owner->bk3, sizeof(owner->bk3)), 1);
}

void emu_owner_free(struct emu_owner *owner)
{
    EVP_PKEY_free(owner->pota);
    owner->pota = NULL;
}

void emu_attach(struct emu_client *client, struct emu_device *device)
{
    struct azihsm_get_device_info_resp info;

    memset(client, 0, sizeof(*client));
    client->device = device;
    client->handle = emu_handle_open(device, NULL);
    client->kind = AZIHSM_DEVICE_VIRTUAL;
    assert_non_null(client->handle);
    assert_int_equal(emu_call(client, AZIHSM_OP_GET_DEVICE_INFO, NULL, &info), AZIHSM_OK);
    client->kind = info.kind;
}

void emu_detach(struct emu_client *client)
{
    emu_handle_close(client->handle);
    client->handle = NULL;
    client->has_session = false;
}

/* ---- calls ---- */

static azihsm_rc refusal(uint32_t ext_status)
{
    switch (ext_status) {
    case 11:
        return AZIHSM_STATUS_FILE_HANDLE_SESSION_LIMIT_REACHED;
    case 12:
        return AZIHSM_STATUS_FILE_HANDLE_NO_EXISTING_SESSION;
    default:
        assert_int_equal(ext_status, 14);
        return AZIHSM_STATUS_FILE_HANDLE_SESSION_ID_DOES_NOT_MATCH;
    }
}

azihsm_rc emu_send(struct emu_client *client, const struct emu_submission *in, void *body, uint32_t op)
{
    struct emu_completion completion;
    union azihsm_any_body spare; /* when the test looks at the status only */

    emu_handle_execute(client->handle, in, client->response, &completion);
    client->cqe = completion.cqe_status;
    client->response_len = completion.response_len;
    client->scratch.used = 0;
    if (completion.ext_status != 0)
        return refusal(completion.ext_status);
    if (completion.cqe_status != 0)
        return AZIHSM_E_TRANSPORT;
    if (azihsm_ddi_op_name(op)[0] == '?' || op == AZIHSM_OP_INVALID)
        op = AZIHSM_OP_GET_API_REV; /* the codec has no layout for these: any will do for an error */
    return azihsm_ddi_decode_response(client->kind, op, client->response, client->response_len, &client->hdr,
                                      body == NULL ? spare.bytes : body, &client->scratch);
}

azihsm_rc emu_call(struct emu_client *client, uint32_t op, const void *request, void *response)
{
    enum azihsm_session_kind kind = azihsm_ddi_session_kind(op);
    bool in_session = kind == AZIHSM_KIND_IN_SESSION || kind == AZIHSM_KIND_CLOSE;
    struct azihsm_req_hdr hdr = {
        .has_rev = op != AZIHSM_OP_GET_API_REV,
        .rev = {1, 0},
        .op = op,
        .has_sess_id = in_session && client->has_session,
        .sess_id = client->sess_id,
    };
    struct emu_submission in = {
        .request = client->frame,
        .session_kind = kind,
        .has_sess_id = hdr.has_sess_id,
        .sess_id = client->sess_id,
    };
    azihsm_rc rc = azihsm_ddi_encode_request(client->kind, &hdr, request, client->frame, sizeof(client->frame),
                                             &client->frame_len);
    if (rc != AZIHSM_OK)
        return rc;
    in.request_len = client->frame_len;
    return emu_send(client, &in, response, op);
}

/* ---- provisioning ---- */

static void keep(struct azihsm_bytes bytes, uint8_t *out, size_t cap, size_t *len)
{
    assert_true(bytes.len <= cap);
    memmove(out, bytes.data, bytes.len);
    *len = bytes.len;
}

azihsm_rc emu_init_bk3(struct emu_client *client, struct emu_owner *owner)
{
    struct azihsm_init_bk3_req req = {{owner->bk3, sizeof(owner->bk3)}};
    struct azihsm_init_bk3_resp resp;
    azihsm_rc rc = emu_call(client, AZIHSM_OP_INIT_BK3, &req, &resp);
    if (rc == AZIHSM_OK)
        keep(resp.masked_bk3, owner->masked_bk3, sizeof(owner->masked_bk3), &owner->masked_bk3_len);
    return rc;
}

EVP_PKEY *emu_leaf_must(struct emu_client *client)
{
    struct azihsm_cert_chain_info_req info_req = {0};
    struct azihsm_cert_chain_info_resp info;
    struct azihsm_certificate_req req = {0};
    struct azihsm_certificate_resp resp;
    const unsigned char *der;
    X509 *leaf;
    EVP_PKEY *key;

    assert_int_equal(emu_call(client, AZIHSM_OP_GET_CERT_CHAIN_INFO, &info_req, &info), AZIHSM_OK);
    req.cert_id = (uint8_t)(info.num_certs - 1);
    assert_int_equal(emu_call(client, AZIHSM_OP_GET_CERTIFICATE, &req, &resp), AZIHSM_OK);
    der = resp.certificate.data;
    leaf = d2i_X509(NULL, &der, (long)resp.certificate.len);
    assert_non_null(leaf);
    key = X509_get_pubkey(leaf);
    X509_free(leaf);
    assert_non_null(key);
    return key;
}

azihsm_rc emu_encryption_key(struct emu_client *client, uint32_t op, EVP_PKEY **key, uint8_t nonce[AZIHSM_NONCE_SIZE])
{
    struct azihsm_encryption_key_resp resp;
    azihsm_rc rc = emu_call(client, op, NULL, &resp);
    if (rc != AZIHSM_OK)
        return rc;
    assert_int_equal(resp.pub_key.key_kind, AZIHSM_KEY_ECC384_PUBLIC);
    assert_int_equal(resp.pub_key_signature.len, client->kind == AZIHSM_DEVICE_VIRTUAL ? 0 : 96);
    memcpy(nonce, resp.nonce, AZIHSM_NONCE_SIZE);
    return spki_decode(NULL, resp.pub_key.der, key);
}

static void endorse_must(struct emu_client *client, const struct emu_owner *owner, struct emu_establish *out)
{
    uint8_t point[SPKI_POINT_MAX];
    size_t point_len, len;
    EVP_PKEY *leaf = emu_leaf_must(client);

    assert_int_equal(spki_point(leaf, point, &point_len), AZIHSM_OK);
    EVP_PKEY_free(leaf);
    assert_int_equal(ecdsa_sign_message(NULL, owner->pota, AZIHSM_HASH_SHA384, (struct azihsm_bytes){point, point_len},
                                        out->pota_sig, &len),
                     AZIHSM_OK);
    assert_int_equal(spki_encode(owner->pota, out->pota_spki, sizeof(out->pota_spki), &len), AZIHSM_OK);
    out->req.pota_sig = (struct azihsm_bytes){out->pota_sig, sizeof(out->pota_sig)};
    out->req.pota_pub_key.der = (struct azihsm_bytes){out->pota_spki, len};
    out->req.pota_pub_key.key_kind = AZIHSM_KEY_ECC384_PUBLIC;
}

azihsm_rc emu_prepare_establish(struct emu_client *client, struct emu_owner *owner, struct emu_establish *out)
{
    struct credential_fields fields = {{0}, {0}, {0}};
    uint8_t nonce[AZIHSM_NONCE_SIZE];
    EVP_PKEY *key = NULL;
    azihsm_rc rc;

    memset(out, 0, sizeof(*out));
    endorse_must(client, owner, out);
    rc = emu_encryption_key(client, AZIHSM_OP_GET_ESTABLISH_CRED_ENCRYPTION_KEY, &key, nonce);
    if (rc != AZIHSM_OK)
        return rc;
    memcpy(fields.id, owner->id, sizeof(fields.id));
    memcpy(fields.pin, owner->pin, sizeof(fields.pin));
    rc = credential_seal(NULL, CREDENTIAL_ESTABLISH, key, nonce, &fields, &out->sealed, out->spki);
    EVP_PKEY_free(key);
    assert_int_equal(rc, AZIHSM_OK);
    out->req.cred.encrypted_id = (struct azihsm_bytes){out->sealed.encrypted.id, AZIHSM_CREDENTIAL_SIZE};
    out->req.cred.encrypted_pin = (struct azihsm_bytes){out->sealed.encrypted.pin, AZIHSM_CREDENTIAL_SIZE};
    out->req.cred.iv = (struct azihsm_bytes){out->sealed.iv, AZIHSM_IV_SIZE};
    memcpy(out->req.cred.nonce, out->sealed.nonce, AZIHSM_NONCE_SIZE);
    memcpy(out->req.cred.tag, out->sealed.tag, AZIHSM_CREDENTIAL_TAG_SIZE);
    out->req.pub_key = (struct azihsm_pub_key){{out->spki, sizeof(out->spki)}, AZIHSM_KEY_ECC384_PUBLIC};
    out->req.masked_bk3 = (struct azihsm_bytes){owner->masked_bk3, owner->masked_bk3_len};
    out->req.bmk = (struct azihsm_bytes){owner->bmk, owner->bmk_len};
    out->req.masked_unwrapping_key = (struct azihsm_bytes){owner->muk, owner->muk_len};
    return AZIHSM_OK;
}

azihsm_rc emu_send_establish(struct emu_client *client, struct emu_owner *owner, struct emu_establish *prepared)
{
    struct azihsm_establish_credential_resp resp;
    azihsm_rc rc = emu_call(client, AZIHSM_OP_ESTABLISH_CREDENTIAL, &prepared->req, &resp);
    if (rc == AZIHSM_OK)
        keep(resp.bmk, owner->bmk, sizeof(owner->bmk), &owner->bmk_len);
    return rc;
}

azihsm_rc emu_establish(struct emu_client *client, struct emu_owner *owner)
{
    struct emu_establish prepared;
    azihsm_rc rc = emu_prepare_establish(client, owner, &prepared);
    return rc == AZIHSM_OK ? emu_send_establish(client, owner, &prepared) : rc;
}

void emu_provision_must(struct emu_client *client, struct emu_owner *owner)
{
    if (owner->masked_bk3_len == 0)
        assert_int_equal(emu_init_bk3(client, owner), AZIHSM_OK);
    assert_int_equal(emu_establish(client, owner), AZIHSM_OK);
}

/* ---- sessions ---- */

azihsm_rc emu_prepare_login(struct emu_client *client, const struct emu_owner *owner, struct emu_login *out)
{
    struct credential_fields fields;
    uint8_t nonce[AZIHSM_NONCE_SIZE];
    EVP_PKEY *key = NULL;
    azihsm_rc rc = emu_encryption_key(client, AZIHSM_OP_GET_SESSION_ENCRYPTION_KEY, &key, nonce);
    if (rc != AZIHSM_OK)
        return rc;
    memcpy(fields.id, owner->id, sizeof(fields.id));
    memcpy(fields.pin, owner->pin, sizeof(fields.pin));
    memcpy(fields.seed, client->seed, sizeof(fields.seed));
    rc = credential_seal(NULL, CREDENTIAL_SESSION, key, nonce, &fields, &out->sealed, out->spki);
    EVP_PKEY_free(key);
    assert_int_equal(rc, AZIHSM_OK);
    out->cred.encrypted_id = (struct azihsm_bytes){out->sealed.encrypted.id, AZIHSM_CREDENTIAL_SIZE};
    out->cred.encrypted_pin = (struct azihsm_bytes){out->sealed.encrypted.pin, AZIHSM_CREDENTIAL_SIZE};
    out->cred.encrypted_seed = (struct azihsm_bytes){out->sealed.encrypted.seed, AZIHSM_SEED_SIZE};
    out->cred.iv = (struct azihsm_bytes){out->sealed.iv, AZIHSM_IV_SIZE};
    memcpy(out->cred.nonce, out->sealed.nonce, AZIHSM_NONCE_SIZE);
    memcpy(out->cred.tag, out->sealed.tag, AZIHSM_CREDENTIAL_TAG_SIZE);
    out->pub_key = (struct azihsm_pub_key){{out->spki, sizeof(out->spki)}, AZIHSM_KEY_ECC384_PUBLIC};
    return AZIHSM_OK;
}

static void entered(struct emu_client *client, const struct azihsm_session_resp *resp)
{
    assert_true(client->hdr.has_sess_id);
    assert_int_equal(client->hdr.sess_id, resp->sess_id);
    client->has_session = true;
    client->sess_id = resp->sess_id;
    client->short_app_id = resp->short_app_id;
    keep(resp->bmk_session, client->bmk_session, sizeof(client->bmk_session), &client->bmk_session_len);
}

azihsm_rc emu_send_open(struct emu_client *client, const struct emu_login *login)
{
    struct azihsm_open_session_req req = {login->cred, login->pub_key};
    struct azihsm_session_resp resp;
    azihsm_rc rc = emu_call(client, AZIHSM_OP_OPEN_SESSION, &req, &resp);
    if (rc == AZIHSM_OK)
        entered(client, &resp);
    return rc;
}

azihsm_rc emu_open_session(struct emu_client *client, const struct emu_owner *owner)
{
    struct emu_login login;
    azihsm_rc rc;

    assert_int_equal(RAND_bytes(client->seed, sizeof(client->seed)), 1);
    rc = emu_prepare_login(client, owner, &login);
    return rc == AZIHSM_OK ? emu_send_open(client, &login) : rc;
}

azihsm_rc emu_reopen_session(struct emu_client *client, const struct emu_owner *owner)
{
    struct emu_login login;
    struct azihsm_reopen_session_req req;
    struct azihsm_session_resp resp;
    azihsm_rc rc = emu_prepare_login(client, owner, &login);
    if (rc != AZIHSM_OK)
        return rc;
    req = (struct azihsm_reopen_session_req){login.cred, login.pub_key, {client->bmk_session, client->bmk_session_len}};
    rc = emu_call(client, AZIHSM_OP_REOPEN_SESSION, &req, &resp);
    if (rc == AZIHSM_OK)
        entered(client, &resp);
    return rc;
}

azihsm_rc emu_close_session(struct emu_client *client)
{
    azihsm_rc rc = emu_call(client, AZIHSM_OP_CLOSE_SESSION, NULL, NULL);
    if (rc == AZIHSM_OK)
        client->has_session = false;
    return rc;
}

azihsm_rc emu_change_pin(struct emu_client *client, const uint8_t pin[AZIHSM_CREDENTIAL_SIZE])
{
    struct credential_fields fields = {{0}, {0}, {0}};
    struct credential_sealed sealed;
    uint8_t nonce[AZIHSM_NONCE_SIZE], spki[CREDENTIAL_SPKI_SIZE];
    struct azihsm_change_pin_req req;
    EVP_PKEY *key = NULL;
    azihsm_rc rc = emu_encryption_key(client, AZIHSM_OP_GET_SESSION_ENCRYPTION_KEY, &key, nonce);
    if (rc != AZIHSM_OK)
        return rc;
    memcpy(fields.pin, pin, sizeof(fields.pin));
    rc = credential_seal(NULL, CREDENTIAL_CHANGE_PIN, key, nonce, &fields, &sealed, spki);
    EVP_PKEY_free(key);
    assert_int_equal(rc, AZIHSM_OK);
    req.new_pin.encrypted_pin = (struct azihsm_bytes){sealed.encrypted.pin, AZIHSM_CREDENTIAL_SIZE};
    req.new_pin.iv = (struct azihsm_bytes){sealed.iv, AZIHSM_IV_SIZE};
    memcpy(req.new_pin.nonce, sealed.nonce, AZIHSM_NONCE_SIZE);
    memcpy(req.new_pin.tag, sealed.tag, AZIHSM_CREDENTIAL_TAG_SIZE);
    req.pub_key = (struct azihsm_pub_key){{spki, sizeof(spki)}, AZIHSM_KEY_ECC384_PUBLIC};
    return emu_call(client, AZIHSM_OP_CHANGE_PIN, &req, NULL);
}

void emu_login_must(struct emu_client *client, const struct emu_owner *owner)
{
    assert_int_equal(emu_open_session(client, owner), AZIHSM_OK);
}

/* ---- keys ---- */

struct azihsm_key_props emu_props(uint32_t bits)
{
    struct azihsm_key_props props = {{0}, {NULL, 0}};
    azihsm_tkp_set_bits(props.metadata, bits);
    return props;
}

static void take_key(struct emu_key *key, uint16_t id, uint32_t kind, const struct azihsm_pub_key *pub,
                     struct azihsm_bytes blob)
{
    if (key == NULL)
        return;
    memset(key, 0, sizeof(*key));
    key->id = id;
    key->kind = kind;
    if (pub != NULL)
        keep(pub->der, key->spki, sizeof(key->spki), &key->spki_len);
    keep(blob, key->blob, sizeof(key->blob), &key->blob_len);
}

static void take_bulk(struct emu_key *key, bool has_bulk, uint16_t bulk_id)
{
    if (key == NULL)
        return;
    key->has_bulk = has_bulk;
    key->bulk_id = has_bulk ? bulk_id : 0;
}

azihsm_rc emu_ecc_generate(struct emu_client *client, uint32_t curve, uint32_t bits, uint16_t tag, struct emu_key *key)
{
    struct azihsm_ecc_generate_req req = {curve, tag != 0, tag, emu_props(bits)};
    struct azihsm_key_pair_resp resp;
    azihsm_rc rc = emu_call(client, AZIHSM_OP_ECC_GENERATE_KEY_PAIR, &req, &resp);
    if (rc == AZIHSM_OK)
        take_key(key, resp.private_key_id, AZIHSM_KEY_ECC256_PRIVATE + curve - AZIHSM_CURVE_P256, &resp.pub_key,
                 resp.masked_key);
    return rc;
}

azihsm_rc emu_aes_generate(struct emu_client *client, uint32_t size, uint32_t bits, uint16_t tag, struct emu_key *key)
{
    struct azihsm_aes_generate_req req = {size, tag != 0, tag, emu_props(bits)};
    struct azihsm_aes_generate_resp resp;
    azihsm_rc rc = emu_call(client, AZIHSM_OP_AES_GENERATE_KEY, &req, &resp);
    if (rc == AZIHSM_OK) {
        take_key(key, resp.key_id, AZIHSM_KEY_AES128 + size - AZIHSM_AES_SIZE_128, NULL, resp.masked_key);
        take_bulk(key, resp.has_bulk_key_id, resp.bulk_key_id);
    }
    return rc;
}

azihsm_rc emu_unwrapping_key(struct emu_client *client, struct emu_key *key)
{
    struct azihsm_get_unwrapping_key_resp resp;
    azihsm_rc rc = emu_call(client, AZIHSM_OP_GET_UNWRAPPING_KEY, NULL, &resp);
    if (rc == AZIHSM_OK)
        take_key(key, resp.key_id, AZIHSM_KEY_RSA2K_PRIVATE, &resp.pub_key, resp.masked_key);
    return rc;
}

EVP_PKEY *emu_public_must(const struct emu_key *key)
{
    EVP_PKEY *pkey = NULL;
    assert_int_equal(spki_decode(NULL, (struct azihsm_bytes){key->spki, key->spki_len}, &pkey), AZIHSM_OK);
    return pkey;
}

azihsm_rc emu_import(struct emu_client *client, const struct emu_key *kek, uint32_t key_class,
                     struct azihsm_bytes plain, uint32_t bits, uint16_t tag, struct emu_key *key)
{
    uint8_t blob[AZIHSM_WRAPPED_BLOB_MAX];
    struct azihsm_rsa_unwrap_req req = {
        .key_id = kek->id,
        .wrapped_blob = {blob, 0},
        .key_class = key_class,
        .padding = AZIHSM_PADDING_OAEP,
        .hash = AZIHSM_HASH_SHA256,
        .has_key_tag = tag != 0,
        .key_tag = tag,
        .key_props = emu_props(bits),
    };
    struct azihsm_rsa_unwrap_resp resp;
    EVP_PKEY *pkey = emu_public_must(kek);
    azihsm_rc rc = wrap_seal(NULL, pkey, req.hash, plain, blob, sizeof(blob), &req.wrapped_blob.len);
    EVP_PKEY_free(pkey);
    assert_int_equal(rc, AZIHSM_OK);
    rc = emu_call(client, AZIHSM_OP_RSA_UNWRAP, &req, &resp);
    if (rc == AZIHSM_OK) {
        take_key(key, resp.key_id, resp.kind, resp.has_pub_key ? &resp.pub_key : NULL, resp.masked_key);
        take_bulk(key, resp.has_bulk_key_id, resp.bulk_key_id);
    }
    return rc;
}

azihsm_rc emu_ecdh(struct emu_client *client, uint16_t id, const struct emu_key *peer, uint32_t kind, uint32_t bits,
                   struct emu_key *key)
{
    struct azihsm_ecdh_req req = {
        .priv_key_id = id,
        .pub_key_der = {peer->spki, peer->spki_len},
        .key_type = kind,
        .key_props = emu_props(bits),
    };
    struct azihsm_ecdh_resp resp;
    azihsm_rc rc = emu_call(client, AZIHSM_OP_ECDH_KEY_EXCHANGE, &req, &resp);
    if (rc == AZIHSM_OK)
        take_key(key, resp.key_id, kind, NULL, resp.masked_key);
    return rc;
}

azihsm_rc emu_derive(struct emu_client *client, uint32_t op, uint16_t id, uint32_t kind, uint32_t bits, int key_length,
                     struct emu_key *key)
{
    struct azihsm_kdf_req req = {
        .key_id = id,
        .hash = AZIHSM_HASH_SHA256,
        .key_type = kind,
        .key_props = emu_props(bits),
        .has_key_length = key_length >= 0,
        .key_length = (uint8_t)key_length,
    };
    struct azihsm_kdf_resp resp;
    azihsm_rc rc = emu_call(client, op, &req, &resp);
    if (rc == AZIHSM_OK) {
        take_key(key, resp.key_id, kind, NULL, resp.masked_key);
        take_bulk(key, resp.has_bulk_key_id, resp.bulk_key_id);
    }
    return rc;
}

azihsm_rc emu_unmask(struct emu_client *client, struct azihsm_bytes blob, struct emu_key *key)
{
    struct azihsm_unmask_key_req req = {blob};
    struct azihsm_unmask_key_resp resp;
    azihsm_rc rc = emu_call(client, AZIHSM_OP_UNMASK_KEY, &req, &resp);
    if (rc == AZIHSM_OK) {
        take_key(key, resp.key_id, resp.kind, resp.has_pub_key ? &resp.pub_key : NULL, resp.masked_key);
        take_bulk(key, resp.has_bulk_key_id, resp.bulk_key_id);
    }
    return rc;
}

azihsm_rc emu_delete(struct emu_client *client, uint16_t id)
{
    struct azihsm_delete_key_req req = {id};
    return emu_call(client, AZIHSM_OP_DELETE_KEY, &req, NULL);
}

azihsm_rc emu_sign(struct emu_client *client, uint16_t id, uint32_t hash, struct azihsm_bytes digest, uint8_t *raw,
                   size_t *raw_len)
{
    struct azihsm_ecc_sign_req req = {id, digest, hash};
    struct azihsm_ecc_sign_resp resp;
    azihsm_rc rc = emu_call(client, AZIHSM_OP_ECC_SIGN, &req, &resp);
    if (rc == AZIHSM_OK)
        keep(resp.signature, raw, ECDSA_RAW_MAX, raw_len);
    return rc;
}

size_t emu_pkcs8_must(uint32_t key_class, unsigned bits, const char *group, uint8_t *out, size_t cap)
{
    EVP_PKEY *pkey = key_class == AZIHSM_CLASS_ECC ? EVP_PKEY_Q_keygen(NULL, NULL, "EC", group)
                                                   : EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)bits);
    PKCS8_PRIV_KEY_INFO *info;
    unsigned char *der = NULL;
    int len;

    assert_non_null(pkey);
    info = EVP_PKEY2PKCS8(pkey);
    assert_non_null(info);
    len = i2d_PKCS8_PRIV_KEY_INFO(info, &der);
    assert_true(len > 0 && (size_t)len <= cap);
    memcpy(out, der, (size_t)len);
    OPENSSL_free(der);
    PKCS8_PRIV_KEY_INFO_free(info);
    EVP_PKEY_free(pkey);
    return (size_t)len;
}

/* ---- fixtures ---- */

enum azihsm_device_kind emu_kinds[2] = {AZIHSM_DEVICE_VIRTUAL, AZIHSM_DEVICE_PHYSICAL};

int emu_setup_fresh(void **state)
{
    enum azihsm_device_kind kind = *(const enum azihsm_device_kind *)*state;
    struct emu_fixture *f = calloc(1, sizeof(*f));
    if (f == NULL)
        return -1;
    f->kind = kind;
    f->device = emu_power_on_must(kind);
    emu_owner_init(&f->owner);
    emu_attach(&f->client, f->device);
    *state = f;
    return 0;
}

int emu_setup_ready(void **state)
{
    struct emu_fixture *f;

    if (emu_setup_fresh(state) != 0)
        return -1;
    f = *state;
    emu_provision_must(&f->client, &f->owner);
    emu_login_must(&f->client, &f->owner);
    return 0;
}

int emu_teardown(void **state)
{
    struct emu_fixture *f = *state;

    emu_detach(&f->client);
    emu_owner_free(&f->owner);
    emu_device_free(f->device);
    free(f);
    return 0;
}
