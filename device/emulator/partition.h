/*
 * Credential and key hierarchy of the partition (device-behaviour 3 and 4.1): nonce, tag, login, and the backup keys
 * derived from BK3 and the session seed.
 */
#ifndef EMULATOR_PARTITION_H
#define EMULATOR_PARTITION_H

#include "crypto/credential.h"
#include "emulator/command.h"

/* AZIHSM_STATUS_NONCE_MISMATCH unless it is the current one. */
azihsm_rc partition_check_nonce(struct emu_device *device, const uint8_t nonce[AZIHSM_NONCE_SIZE]);

/* A variable-length field of a credential into its fixed place, zero-extended; false when the length is not exact. */
bool partition_take_field(struct azihsm_bytes field, uint8_t *out, size_t size);
/* Encrypted session credential of a request; AZIHSM_STATUS_INVALID_ARG for wrong lengths in the physical profile. */
azihsm_rc partition_take_session_credential(const struct emu_device *device, const struct azihsm_session_cred *cred,
                                            struct credential_sealed *out);

/* The client's ephemeral P-384 key, with the profile's statuses. */
azihsm_rc partition_client_key(struct emu_device *device, const struct azihsm_pub_key *key, EVP_PKEY **out);

/*
 * Verifies the tag, then rotates the nonce (AZIHSM_STATUS_NONCE_MISMATCH when somebody else did meanwhile: of two
 * requests with one nonce only one is accepted), and hands out the plain fields.
 */
azihsm_rc partition_open_credential(struct emu_device *device, enum credential_form form,
                                    const struct engine_key *device_key, EVP_PKEY *client,
                                    const struct credential_sealed *sealed, struct credential_fields *out);

/* Compares id and PIN with the credential, keeping account of failures. AZIHSM_STATUS_INVALID_APP_CREDENTIALS. */
azihsm_rc partition_login(struct emu_device *device, const struct credential_fields *fields);
/* AZIHSM_STATUS_LOGIN_FAILED while the lock-out delay runs. */
azihsm_rc partition_check_lockout(struct emu_device *device);

/* Partition BK (and, physical, BK3-session) from BK3 and the endorser's public key in wire form. */
azihsm_rc partition_derive_bk(struct emu_device *device, const uint8_t bk3[AZIHSM_BK3_SIZE], struct azihsm_bytes pota,
                              struct provision *out);
/* A new masking key (MK, SMK). */
azihsm_rc partition_new_masking_key(struct emu_device *device, struct engine_key **out);
/* Backup key of a session; the partition is provisioned. */
azihsm_rc partition_derive_session_bk(struct emu_device *device, const uint8_t seed[AZIHSM_SEED_SIZE],
                                      uint8_t out[AZIHSM_MASKING_KEY_SIZE]);

/* Answer of both Get...EncryptionKey commands. key is consumed. */
azihsm_rc partition_answer_encryption_key(struct command *cmd, struct engine_key *key);

#endif
