/*
 * What the driver remembers of a file handle (ddi-protocol 3.3): at most one session.
 *
 * record is one word so that the fast path reads it without a lock. Every command holds busy shared, closing takes it
 * alone. Open commands of one handle follow one another, or two of them could both succeed.
 */
#ifndef EMULATOR_HANDLE_H
#define EMULATOR_HANDLE_H

#include "emulator/device.h"

struct emu_handle {
    struct emu_device *device;
    struct emu_namespace *ns; /* a reference, except of the partition's own */
    pthread_rwlock_t busy;
    pthread_mutex_t opening;
    _Atomic uint32_t record; /* HANDLE_HAS_SESSION, short app id << 16, session id */
};

enum { HANDLE_HAS_SESSION = 1 << 24, HANDLE_NO_SESSION = 0 };

static inline uint16_t handle_sess_id(uint32_t record)
{
    return (uint16_t)record;
}
static inline uint8_t handle_short_app_id(uint32_t record)
{
    return (uint8_t)(record >> 16);
}

#endif
