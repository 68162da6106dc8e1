/*
 * A tag space is an array of 65536 pointers: most of it is never touched, so it costs address space only.
 */
#include "emulator/tag_space.h"

#include "emulator/vault.h"

#include <stdlib.h>

enum { TAGS = 65536 };

struct tag_space *tag_space_new(uint32_t uid)
{
    struct tag_space *space = calloc(1, sizeof(*space));
    if (space == NULL)
        return NULL;
    space->uid = uid;
    if (pthread_mutex_init(&space->lock, NULL) != 0) {
        free(space);
        return NULL;
    }
    return space;
}

void tag_space_free(struct tag_space *space)
{
    if (space == NULL)
        return;
    tag_space_clear(space);
    pthread_mutex_destroy(&space->lock);
    free(space->keys);
    free(space);
}

azihsm_rc tag_space_add(struct tag_space *space, uint16_t tag, struct vault_key *key)
{
    azihsm_rc rc = AZIHSM_OK;

    pthread_mutex_lock(&space->lock);
    if (space->keys == NULL)
        space->keys = calloc(TAGS, sizeof(struct vault_key *));
    if (space->keys == NULL)
        rc = AZIHSM_E_NO_MEMORY;
    else if (space->keys[tag] != NULL)
        rc = AZIHSM_STATUS_KEY_TAG_ALREADY_EXISTS;
    else
        space->keys[tag] = vault_key_up_ref(key);
    pthread_mutex_unlock(&space->lock);
    return rc;
}

struct vault_key *tag_space_get(struct tag_space *space, uint16_t tag)
{
    struct vault_key *key = NULL;

    pthread_mutex_lock(&space->lock);
    if (space->keys != NULL && space->keys[tag] != NULL)
        key = vault_key_up_ref(space->keys[tag]);
    pthread_mutex_unlock(&space->lock);
    return key;
}

void tag_space_remove(struct tag_space *space, uint16_t tag, struct vault_key *key)
{
    bool found;

    pthread_mutex_lock(&space->lock);
    found = space->keys != NULL && space->keys[tag] == key;
    if (found)
        space->keys[tag] = NULL;
    pthread_mutex_unlock(&space->lock);
    if (found)
        vault_key_free(key);
}

void tag_space_clear(struct tag_space *space)
{
    for (size_t tag = 0; space->keys != NULL && tag < TAGS; tag++) {
        vault_key_free(space->keys[tag]);
        space->keys[tag] = NULL;
    }
}
