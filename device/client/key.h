/*
 * A key as this process knows it: its masked blob and public half, and where it is in the device just now.
 */
#ifndef CLIENT_KEY_H
#define CLIENT_KEY_H

#include "era.h"

#include <azihsm/client.h>

/* A public key, published once and then constant. */
struct key_public {
    size_t len;
    uint8_t spki[];
};

struct azihsm_key {
    _Atomic uint32_t refs;
    struct azihsm_client *client;
    /* residency.c: epoch, state, users and key id in one word; the bulk id is written before RESIDENT is */
    _Atomic uint64_t word;
    _Atomic uint32_t bulk_id;
    _Atomic bool used;  /* since eviction last looked */
    struct era *listed; /* whose list of evictable keys it is in; guarded with older and newer by that era's lock */
    struct azihsm_key *older, *newer;
    uint32_t lineage; /* of a session key: the session it lives in */
    /* constant */
    uint32_t kind;
    uint64_t flags;
    uint16_t tag;
    struct azihsm_bytes blob, label; /* label points into blob */
    _Atomic(struct key_public *) public_key;
};

/* What a device said when it made or loaded a key. */
struct key_made {
    uint16_t key_id;
    bool has_bulk_id;
    uint16_t bulk_id;
    struct azihsm_bytes masked_key;
    struct azihsm_bytes spki; /* empty for symmetric keys */
};

struct operation;

/*
 * The key object for what the running operation has just made; resident on its link. On failure the device's copy is
 * deleted. kind: what it must be, 0 = whatever the blob says.
 */
azihsm_rc key_from_made(struct operation *operation, const struct key_made *made, uint32_t kind,
                        struct azihsm_key **out);

/* Compares with what the file says, or remembers it when the file said nothing. AZIHSM_E_MISMATCH. */
azihsm_rc key_confirm_public(struct azihsm_key *key, OSSL_LIB_CTX *libctx, struct azihsm_bytes spki);

/* For the trace: "key "www" (Ecc256Private)", "key with tag 0x12 (...)", "unnamed key (...)"; returns text. */
enum { KEY_TEXT_MAX = 200 };
const char *key_text(const struct azihsm_key *key, char text[KEY_TEXT_MAX]);

static inline bool key_kind_is_asymmetric(uint32_t kind)
{
    return kind >= AZIHSM_KEY_RSA2K_PRIVATE && kind <= AZIHSM_KEY_ECC521_PRIVATE;
}

/* Freed and evicted copies may be deleted: there is a blob, and no name that others may know it by. */
static inline bool key_is_evictable(const struct azihsm_key *key)
{
    return key->blob.len > 0 && key->tag == 0;
}

static inline bool key_is_session(const struct azihsm_key *key)
{
    return (key->flags & AZIHSM_ATTR_SESSION) != 0;
}

#endif
