/*
 * Key tags (device-behaviour 6.3): which key a tag names. The partition's own namespace has one space; namespaces of
 * connections share one per user id, so that a tagged key outlives the connection that made it.
 *
 * A space holds a reference to each of its keys. Lock order: vault, then tag space.
 */
#ifndef EMULATOR_TAG_SPACE_H
#define EMULATOR_TAG_SPACE_H

#include <azihsm/ddi.h>

#include <pthread.h>

struct vault_key;

struct tag_space {
    pthread_mutex_t lock;
    struct vault_key **keys; /* one per tag; made with the first tagged key */
    uint32_t uid;
    struct tag_space *next; /* list of the device */
};

struct tag_space *tag_space_new(uint32_t uid);
void tag_space_free(struct tag_space *space);

/* AZIHSM_STATUS_KEY_TAG_ALREADY_EXISTS. Takes a reference. */
azihsm_rc tag_space_add(struct tag_space *space, uint16_t tag, struct vault_key *key);
/* New reference, or NULL. */
struct vault_key *tag_space_get(struct tag_space *space, uint16_t tag);
/* Gives the tag free, if it still names that key. */
void tag_space_remove(struct tag_space *space, uint16_t tag, struct vault_key *key);
void tag_space_clear(struct tag_space *space);

#endif
