/*
 * The counters of a daemon as Prometheus text (exposition format 0.0.4).
 */
#ifndef DAEMON_METRICS_H
#define DAEMON_METRICS_H

#include "daemon.h"

/* The text comes in parts from 0 on, because a reply of the control socket has a limit; *more: another one follows.
 * Writes NUL-terminated text; false when it does not fit. */
bool metrics_write(struct daemon *daemon, uint64_t part, char *out, size_t cap, bool *more);

#endif
