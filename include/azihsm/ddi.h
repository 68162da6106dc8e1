/*
 * The device's wire vocabulary: opcodes, enumerations, status codes, message bodies and the codec over them.
 *
 * Source: ddi-protocol sections 1, 2, 4, 5 and 6. Nothing here touches a socket, a lock or cryptography.
 * Byte strings in message bodies are views: on encoding they point at the caller's data, on decoding into the
 * frame that was decoded (or into the scratch area, for fields whose wire form differs from the API form).
 * They live as long as what they point into. Integers are host order.
 */
#ifndef AZIHSM_DDI_H
#define AZIHSM_DDI_H

#include <azihsm/rc.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- limits (2.4, 5.3, 6) ---- */
enum {
    AZIHSM_FRAME_MAX = 8192,
    AZIHSM_KEY_LABEL_MAX = 128,
    AZIHSM_MASKED_KEY_MAX = 3072,
    AZIHSM_BACKUP_KEY_MAX = 1024, /* BMK, bmk_session, masked BK3, masked unwrapping key */
    AZIHSM_PUB_KEY_MAX = 768,
    AZIHSM_CBC_MSG_MAX = 1024,
    AZIHSM_HMAC_MSG_MAX = 1024,
    AZIHSM_WRAPPED_BLOB_MAX = 3072,
    AZIHSM_REPORT_MAX = 834,
    AZIHSM_REPORT_DATA_SIZE = 128,
    AZIHSM_CERTIFICATE_MAX = 2048,
    AZIHSM_CREDENTIAL_SIZE = 16, /* id and PIN, each */
    AZIHSM_SEED_SIZE = 48,
    AZIHSM_BK3_SIZE = 48,
    AZIHSM_NONCE_SIZE = 32,
    AZIHSM_IV_SIZE = 16,
    AZIHSM_CREDENTIAL_TAG_SIZE = 48,
    AZIHSM_MASKING_KEY_SIZE = 80, /* AES-256 key, then HMAC-SHA384 key */
    AZIHSM_SEALED_BK3_MAX = 512,
    AZIHSM_TKP_BLOB_SIZE = 16,
    AZIHSM_ATTRIBUTES_SIZE = 32,
    AZIHSM_ECC_DIGEST_WIRE_SIZE = 68, /* physical profile */
    AZIHSM_SESSIONS_MAX = 8,          /* per partition in the hardware profile */
    AZIHSM_TABLE_ENTRIES = 256,
    AZIHSM_TABLE_BYTES = 16384,
};

/* ---- opcodes (4.0) ---- */
enum azihsm_op {
    AZIHSM_OP_INVALID = 1001,
    AZIHSM_OP_GET_API_REV = 1002,
    AZIHSM_OP_GET_DEVICE_INFO = 1003,
    AZIHSM_OP_DELETE_KEY = 1014,
    AZIHSM_OP_OPEN_KEY = 1015,
    AZIHSM_OP_ATTEST_KEY = 1016,
    AZIHSM_OP_RSA_MOD_EXP = 1031,
    AZIHSM_OP_RSA_UNWRAP = 1035,
    AZIHSM_OP_GET_UNWRAPPING_KEY = 1051,
    AZIHSM_OP_ECC_GENERATE_KEY_PAIR = 1061,
    AZIHSM_OP_ECC_SIGN = 1062,
    AZIHSM_OP_AES_GENERATE_KEY = 1071,
    AZIHSM_OP_AES_ENCRYPT_DECRYPT = 1072,
    AZIHSM_OP_ECDH_KEY_EXCHANGE = 1074,
    AZIHSM_OP_HKDF_DERIVE = 1075,
    AZIHSM_OP_KBKDF_COUNTER_HMAC_DERIVE = 1076,
    AZIHSM_OP_HMAC = 1077,
    AZIHSM_OP_GET_ESTABLISH_CRED_ENCRYPTION_KEY = 1101,
    AZIHSM_OP_ESTABLISH_CREDENTIAL = 1102,
    AZIHSM_OP_GET_SESSION_ENCRYPTION_KEY = 1103,
    AZIHSM_OP_OPEN_SESSION = 1104,
    AZIHSM_OP_CLOSE_SESSION = 1105,
    AZIHSM_OP_CHANGE_PIN = 1106,
    AZIHSM_OP_UNMASK_KEY = 1107,
    AZIHSM_OP_GET_CERT_CHAIN_INFO = 1108,
    AZIHSM_OP_GET_CERTIFICATE = 1109,
    AZIHSM_OP_REOPEN_SESSION = 1110,
    AZIHSM_OP_INIT_BK3 = 1111,
    AZIHSM_OP_GET_SEALED_BK3 = 1112,
    AZIHSM_OP_SET_SEALED_BK3 = 1113,
    /* Our own device only, announced by GetExtensions; hardware answers UnsupportedCmd. Kind InSession. */
    AZIHSM_OP_GET_EXTENSIONS = 0x8000,
    AZIHSM_OP_RSA_GENERATE_KEY_PAIR = 0x8001,
};

/* ---- enumerations (3.1, 5.1 - 5.12); open sets, u32 on the wire ---- */
enum azihsm_session_kind {
    AZIHSM_KIND_NO_SESSION = 0,
    AZIHSM_KIND_OPEN = 1,
    AZIHSM_KIND_CLOSE = 2,
    AZIHSM_KIND_IN_SESSION = 3
};
enum azihsm_device_kind { AZIHSM_DEVICE_VIRTUAL = 1, AZIHSM_DEVICE_PHYSICAL = 2 };
enum azihsm_key_class {
    AZIHSM_CLASS_RSA = 1,
    AZIHSM_CLASS_RSA_CRT = 2,
    AZIHSM_CLASS_AES = 3,
    AZIHSM_CLASS_AES_XTS_BULK = 4,
    AZIHSM_CLASS_AES_GCM_BULK = 5,
    AZIHSM_CLASS_AES_GCM_BULK_UNAPPROVED = 6,
    AZIHSM_CLASS_ECC = 7,
};
enum azihsm_key_kind {
    AZIHSM_KEY_RSA2K_PRIVATE = 1,
    AZIHSM_KEY_RSA3K_PRIVATE = 2,
    AZIHSM_KEY_RSA4K_PRIVATE = 3,
    AZIHSM_KEY_RSA2K_PRIVATE_CRT = 4,
    AZIHSM_KEY_RSA3K_PRIVATE_CRT = 5,
    AZIHSM_KEY_RSA4K_PRIVATE_CRT = 6,
    AZIHSM_KEY_ECC256_PRIVATE = 7,
    AZIHSM_KEY_ECC384_PRIVATE = 8,
    AZIHSM_KEY_ECC521_PRIVATE = 9,
    AZIHSM_KEY_AES128 = 10,
    AZIHSM_KEY_AES192 = 11,
    AZIHSM_KEY_AES256 = 12,
    AZIHSM_KEY_AES_XTS_BULK256 = 13,
    AZIHSM_KEY_AES_GCM_BULK256 = 14,
    AZIHSM_KEY_AES_GCM_BULK256_UNAPPROVED = 15,
    AZIHSM_KEY_SECRET256 = 16,
    AZIHSM_KEY_SECRET384 = 17,
    AZIHSM_KEY_SECRET521 = 18,
    AZIHSM_KEY_RSA2K_PUBLIC = 19,
    AZIHSM_KEY_RSA3K_PUBLIC = 20,
    AZIHSM_KEY_RSA4K_PUBLIC = 21,
    AZIHSM_KEY_ECC256_PUBLIC = 22,
    AZIHSM_KEY_ECC384_PUBLIC = 23,
    AZIHSM_KEY_ECC521_PUBLIC = 24,
    AZIHSM_KEY_HMAC_SHA256 = 25,
    AZIHSM_KEY_HMAC_SHA384 = 26,
    AZIHSM_KEY_HMAC_SHA512 = 27,
    AZIHSM_KEY_AES_CBC256_HMAC384 = 28,
    AZIHSM_KEY_VAR_HMAC256 = 30,
    AZIHSM_KEY_VAR_HMAC384 = 31,
    AZIHSM_KEY_VAR_HMAC512 = 32,
    AZIHSM_KEY_RSA_UNWRAP = 0xFFFF,
};
enum azihsm_ecc_curve { AZIHSM_CURVE_P256 = 1, AZIHSM_CURVE_P384 = 2, AZIHSM_CURVE_P521 = 3 };
enum azihsm_hash { AZIHSM_HASH_SHA1 = 1, AZIHSM_HASH_SHA256 = 2, AZIHSM_HASH_SHA384 = 3, AZIHSM_HASH_SHA512 = 4 };
enum azihsm_rsa_op { AZIHSM_RSA_DECRYPT = 1, AZIHSM_RSA_SIGN = 2 };
enum azihsm_rsa_padding { AZIHSM_PADDING_OAEP = 1 };
enum azihsm_aes_op { AZIHSM_AES_ENCRYPT = 1, AZIHSM_AES_DECRYPT = 2 };
enum azihsm_aes_key_size {
    AZIHSM_AES_SIZE_128 = 1,
    AZIHSM_AES_SIZE_192 = 2,
    AZIHSM_AES_SIZE_256 = 3,
    AZIHSM_AES_SIZE_XTS_BULK256 = 4,
    AZIHSM_AES_SIZE_GCM_BULK256 = 5,
    AZIHSM_AES_SIZE_GCM_BULK256_UNAPPROVED = 6,
};

/* Target key metadata bits (6.1): bit n of the 16-byte blob, LSB first. */
enum azihsm_tkp_bit {
    AZIHSM_TKP_SESSION = 1u << 0,
    AZIHSM_TKP_MODIFIABLE = 1u << 1,
    AZIHSM_TKP_ENCRYPT = 1u << 2,
    AZIHSM_TKP_DECRYPT = 1u << 3,
    AZIHSM_TKP_SIGN = 1u << 4,
    AZIHSM_TKP_VERIFY = 1u << 5,
    AZIHSM_TKP_DERIVE = 1u << 6,
    AZIHSM_TKP_WRAP = 1u << 7,
    AZIHSM_TKP_UNWRAP = 1u << 8,
};

/* Key attribute flags inside masked-key metadata (6.3), u64. */
enum azihsm_attr_bit {
    AZIHSM_ATTR_SESSION = 1u << 1,
    AZIHSM_ATTR_LOCAL = 1u << 5,
    AZIHSM_ATTR_ENCRYPT = 1u << 10,
    AZIHSM_ATTR_DECRYPT = 1u << 11,
    AZIHSM_ATTR_SIGN = 1u << 12,
    AZIHSM_ATTR_VERIFY = 1u << 13,
    AZIHSM_ATTR_WRAP = 1u << 14,
    AZIHSM_ATTR_UNWRAP = 1u << 15,
    AZIHSM_ATTR_DERIVE = 1u << 16,
};

/* ---- status codes (5.14): AZIHSM_STATUS_<NAME>, from device/ddi/status.def ---- */
#define AZIHSM_STATUS_X(value, name, text) AZIHSM_STATUS_##name = (value),
enum azihsm_status {
#include <azihsm/status.def>
};
#undef AZIHSM_STATUS_X

/* ---- building blocks of messages ---- */

/* A view of bytes owned by somebody else. data may be NULL only when len is 0. */
struct azihsm_bytes {
    const uint8_t *data;
    size_t len;
};

struct azihsm_api_rev {
    uint32_t major;
    uint32_t minor;
};

/* DerPublicKey. API form: der is a SubjectPublicKeyInfo. */
struct azihsm_pub_key {
    struct azihsm_bytes der;
    uint32_t key_kind; /* enum azihsm_key_kind, 19..24 */
};

/* TargetKeyProperties */
struct azihsm_key_props {
    uint8_t metadata[AZIHSM_TKP_BLOB_SIZE];
    struct azihsm_bytes key_label;
};

struct azihsm_establish_cred {
    struct azihsm_bytes encrypted_id;
    struct azihsm_bytes encrypted_pin;
    struct azihsm_bytes iv;
    uint8_t nonce[AZIHSM_NONCE_SIZE];
    uint8_t tag[AZIHSM_CREDENTIAL_TAG_SIZE];
};

struct azihsm_session_cred {
    struct azihsm_bytes encrypted_id;
    struct azihsm_bytes encrypted_pin;
    struct azihsm_bytes encrypted_seed;
    struct azihsm_bytes iv;
    uint8_t nonce[AZIHSM_NONCE_SIZE];
    uint8_t tag[AZIHSM_CREDENTIAL_TAG_SIZE];
};

struct azihsm_encrypted_pin {
    struct azihsm_bytes encrypted_pin;
    struct azihsm_bytes iv;
    uint8_t nonce[AZIHSM_NONCE_SIZE];
    uint8_t tag[AZIHSM_CREDENTIAL_TAG_SIZE];
};

struct azihsm_req_hdr {
    bool has_rev;
    struct azihsm_api_rev rev;
    uint32_t op; /* enum azihsm_op, open set */
    bool has_sess_id;
    uint16_t sess_id;
};

struct azihsm_resp_hdr {
    bool has_rev;
    struct azihsm_api_rev rev;
    uint32_t op;
    bool has_sess_id;
    uint16_t sess_id;
    uint32_t status; /* enum azihsm_status, open set */
    bool fips_approved;
};

/*
 * ---- message bodies (section 4), one struct a direction; a has_ member tells whether an optional field is there.
 * Requests without arguments and responses without content have no struct: pass NULL.
 */
struct azihsm_get_api_rev_resp {
    struct azihsm_api_rev min, max;
};
struct azihsm_get_device_info_resp {
    uint32_t kind;
    uint8_t tables;
    bool fips_approved;
};

struct azihsm_delete_key_req {
    uint16_t key_id;
};

struct azihsm_open_key_req {
    uint16_t key_tag;
};
struct azihsm_open_key_resp {
    uint16_t key_id;
    uint32_t key_kind;
    bool has_pub_key;
    struct azihsm_pub_key pub_key;
    bool has_bulk_key_id;
    uint16_t bulk_key_id;
};

struct azihsm_attest_key_req {
    uint16_t key_id;
    struct azihsm_bytes report_data;
};
struct azihsm_attest_key_resp {
    struct azihsm_bytes report;
};

struct azihsm_rsa_mod_exp_req {
    uint16_t key_id;
    struct azihsm_bytes y;
    uint32_t op_type;
};
struct azihsm_rsa_mod_exp_resp {
    struct azihsm_bytes x;
};

struct azihsm_rsa_unwrap_req {
    uint16_t key_id;
    struct azihsm_bytes wrapped_blob;
    uint32_t key_class;
    uint32_t padding;
    uint32_t hash;
    bool has_key_tag;
    uint16_t key_tag;
    struct azihsm_key_props key_props;
};
struct azihsm_rsa_unwrap_resp {
    uint16_t key_id;
    bool has_pub_key;
    struct azihsm_pub_key pub_key;
    bool has_bulk_key_id;
    uint16_t bulk_key_id;
    uint32_t kind;
    struct azihsm_bytes masked_key;
};

struct azihsm_get_unwrapping_key_resp {
    uint16_t key_id;
    struct azihsm_pub_key pub_key;
    struct azihsm_bytes masked_key;
};

struct azihsm_ecc_generate_req {
    uint32_t curve;
    bool has_key_tag;
    uint16_t key_tag;
    struct azihsm_key_props key_props;
};
/* pub_key is always sent by the device; also the response of RsaGenerateKeyPair (extension) */
struct azihsm_key_pair_resp {
    uint16_t private_key_id;
    struct azihsm_pub_key pub_key;
    struct azihsm_bytes masked_key;
};

struct azihsm_ecc_sign_req {
    uint16_t key_id;
    struct azihsm_bytes digest;
    uint32_t digest_algo;
};
struct azihsm_ecc_sign_resp {
    struct azihsm_bytes signature;
};

struct azihsm_aes_generate_req {
    uint32_t key_size;
    bool has_key_tag;
    uint16_t key_tag;
    struct azihsm_key_props key_props;
};
struct azihsm_aes_generate_resp {
    uint16_t key_id;
    bool has_bulk_key_id;
    uint16_t bulk_key_id;
    struct azihsm_bytes masked_key;
};

struct azihsm_aes_crypt_req {
    uint16_t key_id;
    uint32_t op;
    struct azihsm_bytes msg;
    struct azihsm_bytes iv;
};
struct azihsm_aes_crypt_resp {
    struct azihsm_bytes msg;
    struct azihsm_bytes iv;
};

struct azihsm_ecdh_req {
    uint16_t priv_key_id;
    struct azihsm_bytes pub_key_der;
    uint32_t key_type;
    bool has_key_tag;
    uint16_t key_tag;
    struct azihsm_key_props key_props;
};
struct azihsm_ecdh_resp {
    uint16_t key_id;
    struct azihsm_bytes masked_key;
};

/* HkdfDerive (first = salt, second = info) and KbkdfCounterHmacDerive (first = label, second = context) */
struct azihsm_kdf_req {
    uint16_t key_id;
    uint32_t hash;
    bool has_first;
    struct azihsm_bytes first;
    bool has_second;
    struct azihsm_bytes second;
    uint32_t key_type;
    bool has_key_tag;
    uint16_t key_tag;
    struct azihsm_key_props key_props;
    bool has_key_length;
    uint8_t key_length;
};
struct azihsm_kdf_resp {
    uint16_t key_id;
    struct azihsm_bytes masked_key;
    bool has_bulk_key_id;
    uint16_t bulk_key_id;
};

struct azihsm_hmac_req {
    uint16_t key_id;
    struct azihsm_bytes msg;
};
struct azihsm_hmac_resp {
    struct azihsm_bytes tag;
};

/* GetEstablishCredEncryptionKey and GetSessionEncryptionKey */
struct azihsm_encryption_key_resp {
    struct azihsm_pub_key pub_key;
    uint8_t nonce[AZIHSM_NONCE_SIZE];
    struct azihsm_bytes pub_key_signature;
};

struct azihsm_establish_credential_req {
    struct azihsm_establish_cred cred;
    struct azihsm_pub_key pub_key;
    struct azihsm_bytes masked_bk3;
    struct azihsm_bytes bmk;
    struct azihsm_bytes masked_unwrapping_key;
    struct azihsm_bytes pota_sig;
    struct azihsm_pub_key pota_pub_key;
};
struct azihsm_establish_credential_resp {
    struct azihsm_bytes bmk;
};

struct azihsm_open_session_req {
    struct azihsm_session_cred cred;
    struct azihsm_pub_key pub_key;
};
struct azihsm_reopen_session_req {
    struct azihsm_session_cred cred;
    struct azihsm_pub_key pub_key;
    struct azihsm_bytes bmk_session;
};
/* OpenSession and ReopenSession */
struct azihsm_session_resp {
    uint16_t sess_id;
    uint8_t short_app_id;
    struct azihsm_bytes bmk_session;
};

struct azihsm_change_pin_req {
    struct azihsm_encrypted_pin new_pin;
    struct azihsm_pub_key pub_key;
};

struct azihsm_unmask_key_req {
    struct azihsm_bytes masked_key;
};
struct azihsm_unmask_key_resp {
    uint16_t key_id;
    bool has_pub_key;
    struct azihsm_pub_key pub_key;
    bool has_bulk_key_id;
    uint16_t bulk_key_id;
    uint32_t kind;
    struct azihsm_bytes masked_key;
};

struct azihsm_cert_chain_info_req {
    uint8_t slot_id;
};
struct azihsm_cert_chain_info_resp {
    uint8_t num_certs;
    struct azihsm_bytes thumbprint;
};
struct azihsm_certificate_req {
    uint8_t slot_id;
    uint8_t cert_id;
};
struct azihsm_certificate_resp {
    struct azihsm_bytes certificate;
};

struct azihsm_init_bk3_req {
    struct azihsm_bytes bk3;
};
struct azihsm_init_bk3_resp {
    struct azihsm_bytes masked_bk3;
    uint8_t vm_launch_guid[16];
};
struct azihsm_sealed_bk3 {
    struct azihsm_bytes sealed_bk3;
}; /* Get response, Set request */

struct azihsm_get_extensions_resp {
    uint64_t features;
}; /* AZIHSM_EXT_ bits */
enum azihsm_ext_bit { AZIHSM_EXT_RSA_GENERATE = 1u << 0 };
struct azihsm_rsa_generate_req {
    uint32_t bits;
    bool has_key_tag;
    uint16_t key_tag;
    struct azihsm_key_props key_props;
};

/* ---- the codec ---- */

/* Room for fields whose API form is longer than the wire form (6.6): raw public key to DER, reversed integers. */
struct azihsm_scratch {
    uint8_t buf[2048];
    size_t used;
};

/*
 * Encodes a request. kind is the device's kind as learnt from GetDeviceInfo (AZIHSM_DEVICE_VIRTUAL before that): with
 * AZIHSM_DEVICE_PHYSICAL the fields of 6.6 are turned to wire form on the way out. body is the struct of the op or
 * NULL. Returns AZIHSM_OK and *len, or AZIHSM_E_ENCODE (does not fit out or its own limits), AZIHSM_E_ARGUMENT (op
 * without a layout).
 */
azihsm_rc azihsm_ddi_encode_request(enum azihsm_device_kind kind, const struct azihsm_req_hdr *hdr, const void *body,
                                    uint8_t *out, size_t cap, size_t *len);

/*
 * Decodes a response (2.3). When the status is not 0 the body is left untouched and the status is returned.
 * scratch may be NULL only for kind virtual. A response to another op than expected_op is AZIHSM_E_DECODE.
 */
azihsm_rc azihsm_ddi_decode_response(enum azihsm_device_kind kind, uint32_t expected_op, const uint8_t *in, size_t len,
                                     struct azihsm_resp_hdr *hdr, void *body, struct azihsm_scratch *scratch);

/*
 * Device side. Bodies are passed through in wire form: a device knows which profile it speaks.
 * decode_request_header: AZIHSM_OK and *body_offset (where id 1 must follow), or AZIHSM_E_DECODE.
 * decode_request_body: AZIHSM_OK, AZIHSM_E_DECODE (also for trailing bytes), AZIHSM_E_ARGUMENT (op without a layout).
 * encode_response: body NULL is the empty map; with a non-zero hdr->status the body is ignored.
 */
azihsm_rc azihsm_ddi_decode_request_header(const uint8_t *in, size_t len, struct azihsm_req_hdr *hdr,
                                           size_t *body_offset);
azihsm_rc azihsm_ddi_decode_request_body(uint32_t op, const uint8_t *in, size_t len, size_t body_offset, void *body);
azihsm_rc azihsm_ddi_encode_response(const struct azihsm_resp_hdr *hdr, const void *body, uint8_t *out, size_t cap,
                                     size_t *len);

/* Session kind of an opcode (3.1); unknown opcodes are InSession. */
enum azihsm_session_kind azihsm_ddi_session_kind(uint32_t op);
/* Name such as "EccSign", "?" for an unknown opcode. Static storage. */
const char *azihsm_ddi_op_name(uint32_t op);
/* Largest request or response struct, for callers that need one buffer for any op. */
union azihsm_any_body {
    max_align_t align;
    uint8_t bytes[512];
};

/* ---- helpers over enumerations (5.x); 0 or NULL for an unknown value ---- */
size_t azihsm_hash_size(uint32_t hash);
size_t azihsm_curve_coordinate_size(uint32_t curve);      /* 32, 48, 66 */
size_t azihsm_curve_wire_coordinate_size(uint32_t curve); /* 32, 48, 68 */
const char *azihsm_key_kind_name(uint32_t kind);
uint32_t azihsm_key_kind_curve(uint32_t kind);  /* of an ECC private or public kind */
size_t azihsm_key_kind_rsa_size(uint32_t kind); /* modulus bytes of an RSA private, CRT or public kind */
bool azihsm_key_kind_is_bulk(uint32_t kind);
/* Bits of a target key metadata blob as one number, and back. */
uint32_t azihsm_tkp_bits(const uint8_t metadata[AZIHSM_TKP_BLOB_SIZE]);
void azihsm_tkp_set_bits(uint8_t metadata[AZIHSM_TKP_BLOB_SIZE], uint32_t bits);

/* ---- wire forms (6.5, 6.6), for both sides ---- */
/* SPKI DER (uncompressed point) of a P-256/384/521 key to x||y little-endian; out needs 2 * 68 bytes. */
azihsm_rc azihsm_form_ecc_spki_to_raw(struct azihsm_bytes der, uint32_t *curve, uint8_t *out, size_t *len);
/* Raw wire form of a public key of kind 19..24 to SPKI DER; out needs AZIHSM_PUB_KEY_MAX bytes. */
azihsm_rc azihsm_form_raw_to_spki(uint32_t key_kind, struct azihsm_bytes raw, uint8_t *out, size_t cap, size_t *len);
/* Copies in reversed; out may not overlap in. */
void azihsm_form_reverse(uint8_t *out, const uint8_t *in, size_t len);

/* ---- masked keys (6.4) ---- */
struct azihsm_masked_metadata {
    bool has_svn;
    uint64_t svn;
    uint32_t key_type;
    uint8_t attributes[AZIHSM_ATTRIBUTES_SIZE];
    bool has_bks2_index;
    uint16_t bks2_index;
    bool has_key_tag;
    uint16_t key_tag;
    struct azihsm_bytes key_label;
    uint16_t key_length;
};
/* The parts of a masked key; views into the blob. */
struct azihsm_masked_key {
    uint16_t version;
    uint16_t algorithm;
    struct azihsm_bytes iv;
    struct azihsm_bytes metadata_raw;
    struct azihsm_masked_metadata metadata;
    struct azihsm_bytes ciphertext;
    struct azihsm_bytes tag;
    struct azihsm_bytes authenticated; /* all that the tag covers */
};
/* Parses without authentication. AZIHSM_OK, or AZIHSM_E_DECODE on any defect 6.4 lists (the sum of lengths must be
 * exact). */
azihsm_rc azihsm_masked_key_parse(struct azihsm_bytes blob, struct azihsm_masked_key *out);
/* Writes header, IV, metadata and pads; the caller then fills ciphertext (E bytes at *ciphertext_offset) and the
 * 48-byte tag at the end. */
azihsm_rc azihsm_masked_key_layout(const struct azihsm_masked_metadata *metadata, const uint8_t iv[AZIHSM_IV_SIZE],
                                   size_t encrypted_len, uint8_t *out, size_t cap, size_t *ciphertext_offset,
                                   size_t *total);
uint64_t azihsm_attributes_flags(const uint8_t attributes[AZIHSM_ATTRIBUTES_SIZE]);
void azihsm_attributes_set_flags(uint8_t attributes[AZIHSM_ATTRIBUTES_SIZE], uint64_t flags);

#endif
