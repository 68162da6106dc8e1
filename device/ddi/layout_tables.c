/*
 * The tables: every structure of ddi-protocol section 4, the frame headers (2.1, 2.2) and masked-key metadata (6.4),
 * then one row an opcode. A row whose member has another size than its kind does not compile.
 */
#include "layout.h"

#define STRUCT(s)          struct azihsm_##s
#define SIZE_OF(s, member) sizeof(((STRUCT(s) *)0)->member)
/* The offset of a member, and a compile error unless it has the size that the field's kind needs. */
#define AT(s, member, size)                                                                                            \
    (uint16_t)(offsetof(STRUCT(s), member) + 0 * sizeof(char[SIZE_OF(s, member) == (size) ? 1 : -1]))

#define ROW(id, kind, s, member, size)                                                                                 \
    {                                                                                                                  \
        id, kind, FORM_NONE, AT(s, member, size), FIELD_REQUIRED, 0, NULL                                              \
    }
#define OPT(id, kind, s, member, size)                                                                                 \
    {                                                                                                                  \
        id, kind, FORM_NONE, AT(s, member, size), AT(s, has_##member, sizeof(bool)), 0, NULL                           \
    }

#define U8(id, s, member)      ROW(id, FIELD_U8, s, member, 1)
#define U16(id, s, member)     ROW(id, FIELD_U16, s, member, 2)
#define U32(id, s, member)     ROW(id, FIELD_U32, s, member, 4)
#define U64(id, s, member)     ROW(id, FIELD_U64, s, member, 8)
#define BOOL(id, s, member)    ROW(id, FIELD_BOOL, s, member, sizeof(bool))
#define OPT_U8(id, s, member)  OPT(id, FIELD_U8, s, member, 1)
#define OPT_U16(id, s, member) OPT(id, FIELD_U16, s, member, 2)
#define OPT_U64(id, s, member) OPT(id, FIELD_U64, s, member, 8)
#define FIXED(id, s, member, size)                                                                                     \
    {                                                                                                                  \
        id, FIELD_FIXED, FORM_NONE, AT(s, member, size), FIELD_REQUIRED, size, NULL                                    \
    }
#define FORMED(id, s, member, maximum, form)                                                                           \
    {                                                                                                                  \
        id, FIELD_BYTES, form, AT(s, member, sizeof(struct azihsm_bytes)), FIELD_REQUIRED, maximum, NULL               \
    }
#define BYTES(id, s, member, maximum) FORMED(id, s, member, maximum, FORM_NONE)
#define OPT_BYTES(id, s, member, maximum)                                                                              \
    {                                                                                                                  \
        id, FIELD_BYTES, FORM_NONE, AT(s, member, sizeof(struct azihsm_bytes)), AT(s, has_##member, sizeof(bool)),     \
            maximum, NULL                                                                                              \
    }
#define MAP(id, s, member, inner)                                                                                      \
    {                                                                                                                  \
        id, FIELD_MAP, FORM_NONE, AT(s, member, sizeof(STRUCT(inner))), FIELD_REQUIRED, 0, &layout_##inner             \
    }
#define OPT_MAP(id, s, member, inner)                                                                                  \
    {                                                                                                                  \
        id, FIELD_MAP, FORM_NONE, AT(s, member, sizeof(STRUCT(inner))), AT(s, has_##member, sizeof(bool)), 0,          \
            &layout_##inner                                                                                            \
    }
/* A map of one fixed byte string, which the struct holds without a wrapper: metadata and attributes blobs. */
#define BLOB(id, s, member, layout)                                                                                    \
    {                                                                                                                  \
        id, FIELD_MAP, FORM_NONE, (uint16_t)offsetof(STRUCT(s), member), FIELD_REQUIRED, 0, &(layout)                  \
    }

#define DEFINE(storage, s, ...)                                                                                        \
    _Static_assert(sizeof(STRUCT(s)) <= sizeof(union azihsm_any_body), "azihsm_any_body is too small");                \
    static const struct layout_row rows_##s[] = {__VA_ARGS__};                                                         \
    storage const struct layout layout_##s = {rows_##s, sizeof(rows_##s) / sizeof(rows_##s[0]), sizeof(STRUCT(s))}
#define LAYOUT(s, ...) DEFINE(static, s, __VA_ARGS__)

/* ---- shared structures ---- */
LAYOUT(api_rev, U32(1, api_rev, major), U32(2, api_rev, minor));

DEFINE(, req_hdr, OPT_MAP(1, req_hdr, rev, api_rev), U32(2, req_hdr, op), OPT_U16(3, req_hdr, sess_id));

DEFINE(, resp_hdr, OPT_MAP(1, resp_hdr, rev, api_rev), U32(2, resp_hdr, op), OPT_U16(3, resp_hdr, sess_id),
       U32(4, resp_hdr, status), BOOL(5, resp_hdr, fips_approved));

LAYOUT(pub_key, FORMED(1, pub_key, der, AZIHSM_PUB_KEY_MAX, FORM_PUB_KEY), U32(2, pub_key, key_kind));

static const struct layout_row rows_tkp_blob[] = {
    {1, FIELD_FIXED, FORM_NONE, 0, FIELD_REQUIRED, AZIHSM_TKP_BLOB_SIZE, NULL}};
static const struct layout layout_tkp_blob = {rows_tkp_blob, 1, AZIHSM_TKP_BLOB_SIZE};

LAYOUT(key_props, BLOB(1, key_props, metadata, layout_tkp_blob), BYTES(2, key_props, key_label, AZIHSM_KEY_LABEL_MAX));

LAYOUT(establish_cred, BYTES(1, establish_cred, encrypted_id, AZIHSM_CREDENTIAL_SIZE),
       BYTES(2, establish_cred, encrypted_pin, AZIHSM_CREDENTIAL_SIZE), BYTES(3, establish_cred, iv, AZIHSM_IV_SIZE),
       FIXED(4, establish_cred, nonce, AZIHSM_NONCE_SIZE), FIXED(5, establish_cred, tag, AZIHSM_CREDENTIAL_TAG_SIZE));

LAYOUT(session_cred, BYTES(1, session_cred, encrypted_id, AZIHSM_CREDENTIAL_SIZE),
       BYTES(2, session_cred, encrypted_pin, AZIHSM_CREDENTIAL_SIZE),
       BYTES(3, session_cred, encrypted_seed, AZIHSM_SEED_SIZE), BYTES(4, session_cred, iv, AZIHSM_IV_SIZE),
       FIXED(5, session_cred, nonce, AZIHSM_NONCE_SIZE), FIXED(6, session_cred, tag, AZIHSM_CREDENTIAL_TAG_SIZE));

/* The one structure whose ids start at 2 (4.22). */
LAYOUT(encrypted_pin, BYTES(2, encrypted_pin, encrypted_pin, AZIHSM_CREDENTIAL_SIZE),
       BYTES(3, encrypted_pin, iv, AZIHSM_IV_SIZE), FIXED(4, encrypted_pin, nonce, AZIHSM_NONCE_SIZE),
       FIXED(5, encrypted_pin, tag, AZIHSM_CREDENTIAL_TAG_SIZE));

/* ---- masked-key metadata (6.4) ---- */
static const struct layout_row rows_attributes[] = {
    {1, FIELD_FIXED, FORM_NONE, 0, FIELD_REQUIRED, AZIHSM_ATTRIBUTES_SIZE, NULL}};
static const struct layout layout_attributes = {rows_attributes, 1, AZIHSM_ATTRIBUTES_SIZE};

DEFINE(, masked_metadata, OPT_U64(1, masked_metadata, svn), U32(2, masked_metadata, key_type),
       BLOB(3, masked_metadata, attributes, layout_attributes), OPT_U16(4, masked_metadata, bks2_index),
       OPT_U16(5, masked_metadata, key_tag), BYTES(6, masked_metadata, key_label, AZIHSM_KEY_LABEL_MAX),
       U16(7, masked_metadata, key_length));

/* ---- messages, in the order of section 4 ---- */
LAYOUT(get_api_rev_resp, MAP(1, get_api_rev_resp, min, api_rev), MAP(2, get_api_rev_resp, max, api_rev));

LAYOUT(get_device_info_resp, U32(1, get_device_info_resp, kind), U8(2, get_device_info_resp, tables),
       BOOL(3, get_device_info_resp, fips_approved));

LAYOUT(delete_key_req, U16(1, delete_key_req, key_id));

LAYOUT(open_key_req, U16(1, open_key_req, key_tag));
LAYOUT(open_key_resp, U16(1, open_key_resp, key_id), U32(2, open_key_resp, key_kind),
       OPT_MAP(3, open_key_resp, pub_key, pub_key), OPT_U16(4, open_key_resp, bulk_key_id));

LAYOUT(attest_key_req, U16(1, attest_key_req, key_id), BYTES(2, attest_key_req, report_data, AZIHSM_REPORT_DATA_SIZE));
LAYOUT(attest_key_resp, BYTES(1, attest_key_resp, report, AZIHSM_REPORT_MAX));

LAYOUT(rsa_mod_exp_req, U16(1, rsa_mod_exp_req, key_id), FORMED(2, rsa_mod_exp_req, y, 512, FORM_INTEGER),
       U32(3, rsa_mod_exp_req, op_type));
LAYOUT(rsa_mod_exp_resp, FORMED(1, rsa_mod_exp_resp, x, 512, FORM_INTEGER));

LAYOUT(rsa_unwrap_req, U16(1, rsa_unwrap_req, key_id),
       FORMED(2, rsa_unwrap_req, wrapped_blob, AZIHSM_WRAPPED_BLOB_MAX, FORM_WRAPPED_BLOB),
       U32(3, rsa_unwrap_req, key_class), U32(4, rsa_unwrap_req, padding), U32(5, rsa_unwrap_req, hash),
       OPT_U16(6, rsa_unwrap_req, key_tag), MAP(7, rsa_unwrap_req, key_props, key_props));
LAYOUT(rsa_unwrap_resp, U16(1, rsa_unwrap_resp, key_id), OPT_MAP(2, rsa_unwrap_resp, pub_key, pub_key),
       OPT_U16(3, rsa_unwrap_resp, bulk_key_id), U32(4, rsa_unwrap_resp, kind),
       BYTES(5, rsa_unwrap_resp, masked_key, AZIHSM_MASKED_KEY_MAX));

LAYOUT(get_unwrapping_key_resp, U16(1, get_unwrapping_key_resp, key_id),
       MAP(2, get_unwrapping_key_resp, pub_key, pub_key),
       BYTES(3, get_unwrapping_key_resp, masked_key, AZIHSM_BACKUP_KEY_MAX));

LAYOUT(ecc_generate_req, U32(1, ecc_generate_req, curve), OPT_U16(2, ecc_generate_req, key_tag),
       MAP(3, ecc_generate_req, key_props, key_props));
LAYOUT(key_pair_resp, U16(1, key_pair_resp, private_key_id), MAP(2, key_pair_resp, pub_key, pub_key),
       BYTES(3, key_pair_resp, masked_key, AZIHSM_MASKED_KEY_MAX));

LAYOUT(ecc_sign_req, U16(1, ecc_sign_req, key_id), FORMED(2, ecc_sign_req, digest, 96, FORM_DIGEST),
       U32(3, ecc_sign_req, digest_algo));
LAYOUT(ecc_sign_resp, FORMED(1, ecc_sign_resp, signature, 192, FORM_SIGNATURE));

LAYOUT(aes_generate_req, U32(1, aes_generate_req, key_size), OPT_U16(2, aes_generate_req, key_tag),
       MAP(3, aes_generate_req, key_props, key_props));
LAYOUT(aes_generate_resp, U16(1, aes_generate_resp, key_id), OPT_U16(2, aes_generate_resp, bulk_key_id),
       BYTES(3, aes_generate_resp, masked_key, AZIHSM_MASKED_KEY_MAX));

LAYOUT(aes_crypt_req, U16(1, aes_crypt_req, key_id), U32(2, aes_crypt_req, op),
       BYTES(3, aes_crypt_req, msg, AZIHSM_CBC_MSG_MAX), BYTES(4, aes_crypt_req, iv, AZIHSM_IV_SIZE));
LAYOUT(aes_crypt_resp, BYTES(1, aes_crypt_resp, msg, AZIHSM_CBC_MSG_MAX), BYTES(2, aes_crypt_resp, iv, AZIHSM_IV_SIZE));

LAYOUT(ecdh_req, U16(1, ecdh_req, priv_key_id), FORMED(2, ecdh_req, pub_key_der, 192, FORM_PEER_KEY),
       U32(3, ecdh_req, key_type), OPT_U16(4, ecdh_req, key_tag), MAP(5, ecdh_req, key_props, key_props));
LAYOUT(ecdh_resp, U16(1, ecdh_resp, key_id), BYTES(2, ecdh_resp, masked_key, AZIHSM_MASKED_KEY_MAX));

LAYOUT(kdf_req, U16(1, kdf_req, key_id), U32(2, kdf_req, hash), OPT_BYTES(3, kdf_req, first, 256),
       OPT_BYTES(4, kdf_req, second, 256), U32(5, kdf_req, key_type), OPT_U16(6, kdf_req, key_tag),
       MAP(7, kdf_req, key_props, key_props), OPT_U8(8, kdf_req, key_length));
LAYOUT(kdf_resp, U16(1, kdf_resp, key_id), BYTES(2, kdf_resp, masked_key, AZIHSM_MASKED_KEY_MAX),
       OPT_U16(3, kdf_resp, bulk_key_id));

LAYOUT(hmac_req, U16(1, hmac_req, key_id), BYTES(2, hmac_req, msg, AZIHSM_HMAC_MSG_MAX));
LAYOUT(hmac_resp, BYTES(1, hmac_resp, tag, 64));

LAYOUT(encryption_key_resp, MAP(1, encryption_key_resp, pub_key, pub_key),
       FIXED(2, encryption_key_resp, nonce, AZIHSM_NONCE_SIZE),
       FORMED(3, encryption_key_resp, pub_key_signature, 192, FORM_SIGNATURE));

LAYOUT(establish_credential_req, MAP(1, establish_credential_req, cred, establish_cred),
       MAP(2, establish_credential_req, pub_key, pub_key),
       BYTES(3, establish_credential_req, masked_bk3, AZIHSM_BACKUP_KEY_MAX),
       BYTES(4, establish_credential_req, bmk, AZIHSM_BACKUP_KEY_MAX),
       BYTES(5, establish_credential_req, masked_unwrapping_key, AZIHSM_BACKUP_KEY_MAX),
       FORMED(6, establish_credential_req, pota_sig, 1024, FORM_POTA),
       MAP(7, establish_credential_req, pota_pub_key, pub_key));
LAYOUT(establish_credential_resp, BYTES(1, establish_credential_resp, bmk, AZIHSM_BACKUP_KEY_MAX));

LAYOUT(open_session_req, MAP(1, open_session_req, cred, session_cred), MAP(2, open_session_req, pub_key, pub_key));
LAYOUT(reopen_session_req, MAP(1, reopen_session_req, cred, session_cred), MAP(2, reopen_session_req, pub_key, pub_key),
       BYTES(3, reopen_session_req, bmk_session, AZIHSM_BACKUP_KEY_MAX));
LAYOUT(session_resp, U16(1, session_resp, sess_id), U8(2, session_resp, short_app_id),
       BYTES(3, session_resp, bmk_session, AZIHSM_BACKUP_KEY_MAX));

LAYOUT(change_pin_req, MAP(1, change_pin_req, new_pin, encrypted_pin), MAP(2, change_pin_req, pub_key, pub_key));

LAYOUT(unmask_key_req, BYTES(1, unmask_key_req, masked_key, AZIHSM_MASKED_KEY_MAX));
LAYOUT(unmask_key_resp, U16(1, unmask_key_resp, key_id), OPT_MAP(2, unmask_key_resp, pub_key, pub_key),
       OPT_U16(3, unmask_key_resp, bulk_key_id), U32(4, unmask_key_resp, kind),
       BYTES(5, unmask_key_resp, masked_key, AZIHSM_MASKED_KEY_MAX));

LAYOUT(cert_chain_info_req, U8(1, cert_chain_info_req, slot_id));
LAYOUT(cert_chain_info_resp, U8(1, cert_chain_info_resp, num_certs), BYTES(2, cert_chain_info_resp, thumbprint, 32));
LAYOUT(certificate_req, U8(1, certificate_req, slot_id), U8(2, certificate_req, cert_id));
LAYOUT(certificate_resp, BYTES(1, certificate_resp, certificate, AZIHSM_CERTIFICATE_MAX));

LAYOUT(init_bk3_req, BYTES(1, init_bk3_req, bk3, AZIHSM_BK3_SIZE));
LAYOUT(init_bk3_resp, BYTES(1, init_bk3_resp, masked_bk3, AZIHSM_BACKUP_KEY_MAX),
       FIXED(2, init_bk3_resp, vm_launch_guid, 16));
/* The message may carry 1024 bytes; that the device keeps only 512 is the device's answer to give (4.29). */
LAYOUT(sealed_bk3, BYTES(1, sealed_bk3, sealed_bk3, 1024));

LAYOUT(get_extensions_resp, U64(1, get_extensions_resp, features));
LAYOUT(rsa_generate_req, U32(1, rsa_generate_req, bits), OPT_U16(2, rsa_generate_req, key_tag),
       MAP(3, rsa_generate_req, key_props, key_props));

/* ---- opcodes (4.0) ---- */
#define NOTHING NULL
#define OF(s)   &layout_##s

static const struct operation operations[] = {
    {AZIHSM_OP_GET_API_REV, AZIHSM_KIND_NO_SESSION, "GetApiRev", NOTHING, OF(get_api_rev_resp)},
    {AZIHSM_OP_GET_DEVICE_INFO, AZIHSM_KIND_NO_SESSION, "GetDeviceInfo", NOTHING, OF(get_device_info_resp)},
    {AZIHSM_OP_DELETE_KEY, AZIHSM_KIND_IN_SESSION, "DeleteKey", OF(delete_key_req), NOTHING},
    {AZIHSM_OP_OPEN_KEY, AZIHSM_KIND_IN_SESSION, "OpenKey", OF(open_key_req), OF(open_key_resp)},
    {AZIHSM_OP_ATTEST_KEY, AZIHSM_KIND_IN_SESSION, "AttestKey", OF(attest_key_req), OF(attest_key_resp)},
    {AZIHSM_OP_RSA_MOD_EXP, AZIHSM_KIND_IN_SESSION, "RsaModExp", OF(rsa_mod_exp_req), OF(rsa_mod_exp_resp)},
    {AZIHSM_OP_RSA_UNWRAP, AZIHSM_KIND_IN_SESSION, "RsaUnwrap", OF(rsa_unwrap_req), OF(rsa_unwrap_resp)},
    {AZIHSM_OP_GET_UNWRAPPING_KEY, AZIHSM_KIND_IN_SESSION, "GetUnwrappingKey", NOTHING, OF(get_unwrapping_key_resp)},
    {AZIHSM_OP_ECC_GENERATE_KEY_PAIR, AZIHSM_KIND_IN_SESSION, "EccGenerateKeyPair", OF(ecc_generate_req),
     OF(key_pair_resp)},
    {AZIHSM_OP_ECC_SIGN, AZIHSM_KIND_IN_SESSION, "EccSign", OF(ecc_sign_req), OF(ecc_sign_resp)},
    {AZIHSM_OP_AES_GENERATE_KEY, AZIHSM_KIND_IN_SESSION, "AesGenerateKey", OF(aes_generate_req), OF(aes_generate_resp)},
    {AZIHSM_OP_AES_ENCRYPT_DECRYPT, AZIHSM_KIND_IN_SESSION, "AesEncryptDecrypt", OF(aes_crypt_req), OF(aes_crypt_resp)},
    {AZIHSM_OP_ECDH_KEY_EXCHANGE, AZIHSM_KIND_IN_SESSION, "EcdhKeyExchange", OF(ecdh_req), OF(ecdh_resp)},
    {AZIHSM_OP_HKDF_DERIVE, AZIHSM_KIND_IN_SESSION, "HkdfDerive", OF(kdf_req), OF(kdf_resp)},
    {AZIHSM_OP_KBKDF_COUNTER_HMAC_DERIVE, AZIHSM_KIND_IN_SESSION, "KbkdfCounterHmacDerive", OF(kdf_req), OF(kdf_resp)},
    {AZIHSM_OP_HMAC, AZIHSM_KIND_IN_SESSION, "Hmac", OF(hmac_req), OF(hmac_resp)},
    {AZIHSM_OP_GET_ESTABLISH_CRED_ENCRYPTION_KEY, AZIHSM_KIND_NO_SESSION, "GetEstablishCredEncryptionKey", NOTHING,
     OF(encryption_key_resp)},
    {AZIHSM_OP_ESTABLISH_CREDENTIAL, AZIHSM_KIND_NO_SESSION, "EstablishCredential", OF(establish_credential_req),
     OF(establish_credential_resp)},
    {AZIHSM_OP_GET_SESSION_ENCRYPTION_KEY, AZIHSM_KIND_NO_SESSION, "GetSessionEncryptionKey", NOTHING,
     OF(encryption_key_resp)},
    {AZIHSM_OP_OPEN_SESSION, AZIHSM_KIND_OPEN, "OpenSession", OF(open_session_req), OF(session_resp)},
    {AZIHSM_OP_CLOSE_SESSION, AZIHSM_KIND_CLOSE, "CloseSession", NOTHING, NOTHING},
    {AZIHSM_OP_CHANGE_PIN, AZIHSM_KIND_IN_SESSION, "ChangePin", OF(change_pin_req), NOTHING},
    {AZIHSM_OP_UNMASK_KEY, AZIHSM_KIND_IN_SESSION, "UnmaskKey", OF(unmask_key_req), OF(unmask_key_resp)},
    {AZIHSM_OP_GET_CERT_CHAIN_INFO, AZIHSM_KIND_NO_SESSION, "GetCertChainInfo", OF(cert_chain_info_req),
     OF(cert_chain_info_resp)},
    {AZIHSM_OP_GET_CERTIFICATE, AZIHSM_KIND_NO_SESSION, "GetCertificate", OF(certificate_req), OF(certificate_resp)},
    {AZIHSM_OP_REOPEN_SESSION, AZIHSM_KIND_IN_SESSION, "ReopenSession", OF(reopen_session_req), OF(session_resp)},
    {AZIHSM_OP_INIT_BK3, AZIHSM_KIND_NO_SESSION, "InitBk3", OF(init_bk3_req), OF(init_bk3_resp)},
    {AZIHSM_OP_GET_SEALED_BK3, AZIHSM_KIND_NO_SESSION, "GetSealedBk3", NOTHING, OF(sealed_bk3)},
    {AZIHSM_OP_SET_SEALED_BK3, AZIHSM_KIND_NO_SESSION, "SetSealedBk3", OF(sealed_bk3), NOTHING},
    {AZIHSM_OP_GET_EXTENSIONS, AZIHSM_KIND_IN_SESSION, "GetExtensions", NOTHING, OF(get_extensions_resp)},
    {AZIHSM_OP_RSA_GENERATE_KEY_PAIR, AZIHSM_KIND_IN_SESSION, "RsaGenerateKeyPair", OF(rsa_generate_req),
     OF(key_pair_resp)},
};

const struct operation *operation_find(uint32_t op)
{
    for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++)
        if (operations[i].op == op)
            return &operations[i];
    return NULL;
}
