/*
 * A compact client of the emulator for unit tests: one call per command over real frames, and the bring-up of a
 * partition. Fails the test (cmocka) only in functions named _must; the others return what the device said.
 *
 * Results: 0, a device status, a driver refusal as its DDI status (ddi-protocol 5.14), or AZIHSM_E_TRANSPORT when
 * there was no message (cqe tells the code).
 */
#ifndef TEST_EMU_CLIENT_H
#define TEST_EMU_CLIENT_H

#include "crypto/credential.h"
#include "emulator/emulator.h"

#include <openssl/evp.h>

/* The owner of a partition: what he must remember over resets. */
struct emu_owner {
    EVP_PKEY *pota;
    uint8_t id[AZIHSM_CREDENTIAL_SIZE], pin[AZIHSM_CREDENTIAL_SIZE], bk3[AZIHSM_BK3_SIZE];
    uint8_t masked_bk3[AZIHSM_BACKUP_KEY_MAX], bmk[AZIHSM_BACKUP_KEY_MAX], muk[AZIHSM_BACKUP_KEY_MAX];
    size_t masked_bk3_len, bmk_len, muk_len;
};

/* One handle. */
struct emu_client {
    struct emu_device *device;
    struct emu_handle *handle;
    enum azihsm_device_kind kind;
    bool has_session;
    uint16_t sess_id;
    uint8_t short_app_id;
    uint8_t seed[AZIHSM_SEED_SIZE];
    uint8_t bmk_session[AZIHSM_BACKUP_KEY_MAX];
    size_t bmk_session_len;
    /* of the last call */
    uint32_t cqe;
    struct azihsm_resp_hdr hdr;
    uint8_t frame[AZIHSM_FRAME_MAX], response[AZIHSM_FRAME_MAX];
    size_t frame_len, response_len;
    struct azihsm_scratch scratch;
};

/* A device with the hardware's limits. */
struct emu_device *emu_power_on_must(enum azihsm_device_kind kind);
struct emu_config emu_default_config(enum azihsm_device_kind kind);

void emu_owner_init(struct emu_owner *owner);
void emu_owner_free(struct emu_owner *owner);

void emu_attach(struct emu_client *client, struct emu_device *device);
void emu_detach(struct emu_client *client);

/* One command, with the client's own session. */
azihsm_rc emu_call(struct emu_client *client, uint32_t op, const void *request, void *response);
/* A frame as it is; hdr and response hold the answer. Body NULL: status only. */
azihsm_rc emu_send(struct emu_client *client, const struct emu_submission *in, void *body, uint32_t op);

/* Steps of the bring-up, each as the device answers it. */
azihsm_rc emu_init_bk3(struct emu_client *client, struct emu_owner *owner);
/* Leaf of the certificate chain; the caller's. */
EVP_PKEY *emu_leaf_must(struct emu_client *client);
azihsm_rc emu_encryption_key(struct emu_client *client, uint32_t op, EVP_PKEY **key, uint8_t nonce[AZIHSM_NONCE_SIZE]);
/* Fills request with a good EstablishCredential; storage holds what it points to. */
struct emu_establish {
    struct azihsm_establish_credential_req req;
    struct credential_sealed sealed;
    uint8_t spki[CREDENTIAL_SPKI_SIZE], pota_spki[CREDENTIAL_SPKI_SIZE], pota_sig[96];
};
azihsm_rc emu_prepare_establish(struct emu_client *client, struct emu_owner *owner, struct emu_establish *out);
azihsm_rc emu_send_establish(struct emu_client *client, struct emu_owner *owner, struct emu_establish *prepared);
azihsm_rc emu_establish(struct emu_client *client, struct emu_owner *owner);

/* Fills the credential and key of OpenSession, ReopenSession. */
struct emu_login {
    struct azihsm_session_cred cred;
    struct azihsm_pub_key pub_key;
    struct credential_sealed sealed;
    uint8_t spki[CREDENTIAL_SPKI_SIZE];
};
azihsm_rc emu_prepare_login(struct emu_client *client, const struct emu_owner *owner, struct emu_login *out);
azihsm_rc emu_send_open(struct emu_client *client, const struct emu_login *login);
azihsm_rc emu_open_session(struct emu_client *client, const struct emu_owner *owner);
azihsm_rc emu_reopen_session(struct emu_client *client, const struct emu_owner *owner);
azihsm_rc emu_close_session(struct emu_client *client);
azihsm_rc emu_change_pin(struct emu_client *client, const uint8_t pin[AZIHSM_CREDENTIAL_SIZE]);

/* All of it. */
void emu_provision_must(struct emu_client *client, struct emu_owner *owner);
void emu_login_must(struct emu_client *client, const struct emu_owner *owner);

/* Key properties by AZIHSM_TKP_ bits, empty label. */
struct azihsm_key_props emu_props(uint32_t bits);

enum {
    EMU_ENC_DEC = AZIHSM_TKP_ENCRYPT | AZIHSM_TKP_DECRYPT,
    EMU_SIGN_VERIFY = AZIHSM_TKP_SIGN | AZIHSM_TKP_VERIFY,
};

/* Keys; tag 0: none. masked may be NULL, else receives the blob. */
struct emu_key {
    uint16_t id;
    uint32_t kind;
    bool has_bulk;
    uint16_t bulk_id;
    uint8_t spki[AZIHSM_PUB_KEY_MAX];
    size_t spki_len;
    uint8_t blob[AZIHSM_MASKED_KEY_MAX];
    size_t blob_len;
};
azihsm_rc emu_ecc_generate(struct emu_client *client, uint32_t curve, uint32_t bits, uint16_t tag, struct emu_key *key);
azihsm_rc emu_aes_generate(struct emu_client *client, uint32_t size, uint32_t bits, uint16_t tag, struct emu_key *key);
azihsm_rc emu_unwrapping_key(struct emu_client *client, struct emu_key *key);
/* Wraps plain to the device's unwrapping key and imports it. */
azihsm_rc emu_import(struct emu_client *client, const struct emu_key *kek, uint32_t key_class,
                     struct azihsm_bytes plain, uint32_t bits, uint16_t tag, struct emu_key *key);
azihsm_rc emu_ecdh(struct emu_client *client, uint16_t id, const struct emu_key *peer, uint32_t kind, uint32_t bits,
                   struct emu_key *key);
azihsm_rc emu_derive(struct emu_client *client, uint32_t op, uint16_t id, uint32_t kind, uint32_t bits, int key_length,
                     struct emu_key *key);
azihsm_rc emu_unmask(struct emu_client *client, struct azihsm_bytes blob, struct emu_key *key);
azihsm_rc emu_delete(struct emu_client *client, uint16_t id);
/* PKCS#8 DER of a fresh software key: "EC" with group, or RSA with bits. Returns its length. */
size_t emu_pkcs8_must(uint32_t key_class, unsigned bits, const char *group, uint8_t *out, size_t cap);
EVP_PKEY *emu_public_must(const struct emu_key *key);
/* Signs and verifies with the key. */
azihsm_rc emu_sign(struct emu_client *client, uint16_t id, uint32_t hash, struct azihsm_bytes digest, uint8_t *raw,
                   size_t *raw_len);

/*
 * Fixtures: a test written once runs in both profiles. FRESH: power-on only; READY: provisioned, client in a session.
 * The test casts *state to struct emu_fixture.
 */
struct emu_fixture {
    struct emu_device *device;
    struct emu_owner owner;
    struct emu_client client;
    enum azihsm_device_kind kind;
};
int emu_setup_fresh(void **state);
int emu_setup_ready(void **state);
int emu_teardown(void **state);
extern enum azihsm_device_kind emu_kinds[2];

#define EMU_FIXTURE(test, setup)                                                                                       \
    {#test "/virtual", test, setup, emu_teardown, &emu_kinds[0]},                                                      \
    {                                                                                                                  \
#test "/physical", test, setup, emu_teardown, &emu_kinds[1]                                                    \
    }
#define EMU_FRESH(test) EMU_FIXTURE(test, emu_setup_fresh)
#define EMU_READY(test) EMU_FIXTURE(test, emu_setup_ready)

/* What the two profiles answer differently. */
static inline azihsm_rc emu_by_kind(const struct emu_fixture *f, azihsm_rc virtual_rc, azihsm_rc physical_rc)
{
    return f->kind == AZIHSM_DEVICE_VIRTUAL ? virtual_rc : physical_rc;
}

#endif
