/*
 * Waiting without a request: back-off between attempts.
 */
#ifndef CLIENT_WAIT_H
#define CLIENT_WAIT_H

#include "recover.h"

/* Until then: paused in an ASYNC job, else asleep. */
void wait_until(struct operation *operation, int64_t when_ns);

#endif
