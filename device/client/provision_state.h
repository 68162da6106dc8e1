/*
 * What the owner of a partition keeps so that its keys outlive the device's memory (ddi-protocol 9, device-behaviour
 * 4).
 *
 * All of it is drawn at random when it is first made; nothing is compiled in. Losing it loses every masked key of the
 * partition, and whoever has it is the partition's owner: the struct is a secret as a whole, made and freed only here.
 */
#ifndef CLIENT_PROVISION_STATE_H
#define CLIENT_PROVISION_STATE_H

#include <azihsm/ddi.h>
#include <azihsm/error.h>

enum { PROVISION_POTA_SIZE = 48, PROVISION_POINT_SIZE = 97, PROVISION_SIGNATURE_SIZE = 96 };

struct provision_blob {
    uint8_t data[AZIHSM_BACKUP_KEY_MAX];
    size_t len; /* 0 = none yet */
};

struct provision_state {
    uint8_t credential[2 * AZIHSM_CREDENTIAL_SIZE]; /* id, then PIN */
    uint8_t bk3[AZIHSM_BK3_SIZE];
    uint8_t pota_private[PROVISION_POTA_SIZE]; /* P-384 scalar, big-endian */
    uint8_t pota_public[PROVISION_POINT_SIZE]; /* 04 || x || y */
    struct provision_blob masked_bk3;          /* under the device's boot key */
    struct provision_blob bmk;                 /* the partition's masking key under the backup key */
    struct provision_blob muk;                 /* the unwrapping key under the masking key */
};

/* A new owner: random BK3, POTA key, credential. */
azihsm_rc provision_state_generate(struct provision_state **out, struct azihsm_error *err);
void provision_state_free(struct provision_state *state);

/* CBOR, for a state file (payload of state_dir). buf of PROVISION_STATE_MAX bytes suffices; the caller cleanses it. */
enum { PROVISION_STATE_MAX = 4096 };
azihsm_rc provision_state_encode(const struct provision_state *state, uint8_t *buf, size_t cap, size_t *len);
/* AZIHSM_E_DECODE when it is not what encode wrote. */
azihsm_rc provision_state_decode(struct azihsm_bytes bytes, struct provision_state **out);

bool provision_blob_set(struct provision_blob *blob, struct azihsm_bytes bytes);
bool provision_blob_equals(const struct provision_blob *blob, struct azihsm_bytes bytes);

/*
 * The endorsement of a partition (9.5): ECDSA P-384/SHA-384 over the point of the leaf certificate's key, r || s.
 * spki: the endorsing key as SubjectPublicKeyInfo, out in and out.
 */
azihsm_rc provision_endorse(const struct provision_state *state, struct azihsm_bytes leaf_certificate,
                            uint8_t signature[PROVISION_SIGNATURE_SIZE], uint8_t *spki, size_t *spki_len);

#endif
