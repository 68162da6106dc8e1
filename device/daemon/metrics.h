/*
 * The counters of a daemon as Prometheus text (exposition format 0.0.4).
 */
#ifndef DAEMON_METRICS_H
#define DAEMON_METRICS_H

#include "daemon.h"

/* Writes NUL-terminated text; false when it does not fit. */
bool metrics_write(struct daemon *daemon, char *out, size_t cap);

#endif
