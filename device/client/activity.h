/*
 * Adding to the counts of this process (azihsm/client.h tells how they are read).
 */
#ifndef CLIENT_ACTIVITY_H
#define CLIENT_ACTIVITY_H

#include <azihsm/client.h>

enum activity_event {
    ACTIVITY_SESSION,
    ACTIVITY_RECONNECT,
    ACTIVITY_RESET,
    ACTIVITY_REPEAT,
    ACTIVITY_EVICTION,
    ACTIVITY_ABANDONED,
    ACTIVITY_EVENTS
};

void activity_note(enum azihsm_activity activity, bool error, int64_t ns);
void activity_event(enum activity_event event, unsigned count);

#endif
