/*
 * Where a key is in the device: loaded on demand, counted while in use, evicted when idle and the device is full.
 */
#ifndef CLIENT_RESIDENCY_H
#define CLIENT_RESIDENCY_H

#include "recover.h"

/*
 * Makes spec.keys[index] resident on operation->link and counts a user: operation->key_id, bulk_id and held. One thread
 * loads, others wait for it; loading never pauses, so no fibre can be waited for.
 */
azihsm_rc residency_hold(struct operation *operation, unsigned index);
void residency_release(struct azihsm_key *key, uint32_t epoch);

/* The device does not know this id any more: loaded anew when the last user has let go. The caller holds the key. */
void residency_forget(struct azihsm_key *key, uint32_t epoch, uint16_t key_id);

/* A key that was made on operation->link just now and that nobody else knows yet. */
void residency_enter(struct operation *operation, struct azihsm_key *key, uint16_t key_id, uint16_t bulk_id);

/* The last reference to the key is gone: deletes the device's copy, if it is ours to delete. Never fails. */
void residency_leave(struct azihsm_key *key);

/* Evicts some idle keys of this process. False when none was idle. */
bool residency_make_room(struct operation *operation);

/* Deletes the device's copy now if nobody uses it. False when it is in use. */
bool residency_evict(struct azihsm_key *key);

#endif
