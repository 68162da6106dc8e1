/*
 * One command in execution, and the handlers of all commands. A handler reads req, fills resp and returns 0 or a
 * status (a negative result is answered as InternalError). Views in resp may point into the request frame, into
 * scratch, or into the key held.
 */
#ifndef EMULATOR_COMMAND_H
#define EMULATOR_COMMAND_H

#include "emulator/device.h"

/* Largest masked key: RSA-4096 with label and tag; also CBC and HMAC results, reports. */
enum { COMMAND_SCRATCH = 1600 };

union command_request {
    union azihsm_any_body any;
    struct azihsm_delete_key_req delete_key;
    struct azihsm_open_key_req open_key;
    struct azihsm_attest_key_req attest_key;
    struct azihsm_rsa_mod_exp_req rsa_mod_exp;
    struct azihsm_rsa_unwrap_req rsa_unwrap;
    struct azihsm_ecc_generate_req ecc_generate;
    struct azihsm_ecc_sign_req ecc_sign;
    struct azihsm_aes_generate_req aes_generate;
    struct azihsm_aes_crypt_req aes_crypt;
    struct azihsm_ecdh_req ecdh;
    struct azihsm_kdf_req kdf;
    struct azihsm_hmac_req hmac;
    struct azihsm_establish_credential_req establish;
    struct azihsm_open_session_req open_session;
    struct azihsm_reopen_session_req reopen_session;
    struct azihsm_change_pin_req change_pin;
    struct azihsm_unmask_key_req unmask_key;
    struct azihsm_cert_chain_info_req chain_info;
    struct azihsm_certificate_req certificate;
    struct azihsm_init_bk3_req init_bk3;
    struct azihsm_sealed_bk3 sealed_bk3;
    struct azihsm_rsa_generate_req rsa_generate;
};

union command_response {
    union azihsm_any_body any;
    struct azihsm_get_api_rev_resp api_rev;
    struct azihsm_get_device_info_resp device_info;
    struct azihsm_open_key_resp open_key;
    struct azihsm_attest_key_resp attest_key;
    struct azihsm_rsa_mod_exp_resp rsa_mod_exp;
    struct azihsm_rsa_unwrap_resp rsa_unwrap;
    struct azihsm_get_unwrapping_key_resp unwrapping_key;
    struct azihsm_key_pair_resp key_pair;
    struct azihsm_ecc_sign_resp ecc_sign;
    struct azihsm_aes_generate_resp aes_generate;
    struct azihsm_aes_crypt_resp aes_crypt;
    struct azihsm_ecdh_resp ecdh;
    struct azihsm_kdf_resp kdf;
    struct azihsm_hmac_resp hmac;
    struct azihsm_encryption_key_resp encryption_key;
    struct azihsm_establish_credential_resp establish;
    struct azihsm_session_resp session;
    struct azihsm_unmask_key_resp unmask_key;
    struct azihsm_cert_chain_info_resp chain_info;
    struct azihsm_certificate_resp certificate;
    struct azihsm_init_bk3_resp init_bk3;
    struct azihsm_sealed_bk3 sealed_bk3;
    struct azihsm_get_extensions_resp extensions;
};

struct command {
    struct emu_device *device;
    struct emu_namespace *ns;
    struct azihsm_req_hdr hdr;
    bool decoded;            /* req is filled */
    bool answer_sess_id;     /* the response header carries sess_id */
    uint16_t sess_id;        /* echo, or the id of the new session */
    struct session *session; /* the caller's; NULL for commands without one */
    /* kept until the response is encoded */
    struct vault_key *hold;
    struct engine_key *hold_engine;
    struct certificate_chain *hold_chain;
    /* a key that was created: deleted again when the response cannot be encoded */
    bool created;
    uint16_t created_id;

    union command_request req;
    union command_response resp;
    size_t scratch_used;
    uint8_t scratch[COMMAND_SCRATCH];
};

static inline bool command_is_virtual(const struct command *cmd)
{
    return device_is_virtual(cmd->device);
}
static inline bool command_revision_ok(const struct command *cmd)
{
    return cmd->hdr.has_rev && cmd->hdr.rev.major == 1 && cmd->hdr.rev.minor == 0;
}

/*
 * The key a request names (device-behaviour 5.0), held by the command until the response is encoded. The unwrapping
 * key is made ready. AZIHSM_STATUS_INVALID_KEY_NUMBER, _KEY_NOT_FOUND, _INVALID_PERMISSIONS.
 */
azihsm_rc command_find_key(struct command *cmd, uint16_t id, struct vault_key **out);
/* The same without the ownership check (AttestKey in the physical profile). */
azihsm_rc command_find_any_key(struct command *cmd, uint16_t id, struct vault_key **out);
/* The engine's key of the partition's unwrapping key, generated if nobody needed it before. */
azihsm_rc command_unwrapping_key(struct emu_device *device, struct vault_key *entry);

typedef azihsm_rc command_fn(struct command *cmd);

/* cmd_device.c */
command_fn cmd_get_api_rev, cmd_get_device_info, cmd_get_extensions;
/* cmd_certificate.c */
command_fn cmd_get_cert_chain_info, cmd_get_certificate;
/* cmd_bk3.c */
command_fn cmd_init_bk3, cmd_get_sealed_bk3, cmd_set_sealed_bk3, cmd_early_init_bk3, cmd_early_set_sealed_bk3;
/* cmd_establish.c */
command_fn cmd_get_establish_key, cmd_establish_credential;
/* cmd_session.c */
command_fn cmd_get_session_key, cmd_open_session, cmd_early_open_session, cmd_close_session, cmd_reopen_session,
    cmd_change_pin;
/* cmd_key.c */
command_fn cmd_delete_key, cmd_open_key, cmd_attest_key, cmd_unmask_key, cmd_get_unwrapping_key;
/* cmd_ecc.c */
command_fn cmd_ecc_generate, cmd_ecc_sign, cmd_ecdh;
/* cmd_rsa.c */
command_fn cmd_rsa_mod_exp, cmd_rsa_unwrap, cmd_rsa_generate;
/* cmd_aes.c */
command_fn cmd_aes_generate, cmd_aes_crypt, cmd_check_aes_crypt;
/* cmd_kdf.c, cmd_hmac.c */
command_fn cmd_hkdf, cmd_kbkdf, cmd_hmac;

#endif
