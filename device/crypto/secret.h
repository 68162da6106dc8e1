/*
 * The one type for secret bytes: PINs, seeds, masking keys, raw symmetric keys, unwrapped key material.
 *
 * Lives in anonymous memory that is locked (failing to lock is not an error) and left out of core dumps. The holder
 * owns it and drops it with secret_free, which cleanses. Lock-free inside, so usable right after fork.
 */
#ifndef CRYPTO_SECRET_H
#define CRYPTO_SECRET_H

#include <azihsm/ddi.h>

struct secret {
    size_t len; /* bytes in data; set by secret_new, may be lowered by the holder */
    uint8_t data[];
};

/* len bytes of zeros, or NULL without memory. */
struct secret *secret_new(size_t len);
/* A copy of bytes, or NULL without memory. */
struct secret *secret_copy(const void *bytes, size_t len);
/* Cleanses and releases. NULL is allowed. */
void secret_free(struct secret *secret);
/* The content as a view. */
struct azihsm_bytes secret_view(const struct secret *secret);
/* Locks all secrets again: mlock is not inherited by a forked child. Async-signal-safe. */
void secret_relock(void);

#endif
