/*
 * azihsmd as a whole: state directory, partitions, queue server, tickets. main() makes one; the control socket looks
 * in.
 */
#ifndef DAEMON_DAEMON_H
#define DAEMON_DAEMON_H

#include "config.h"

#include <stddef.h>

struct daemon;
struct partition;
struct queue_counters;

/* Takes the state directory and powers the partitions on. config must outlive the daemon. */
azihsm_rc daemon_new(struct config *config, struct daemon **out, struct azihsm_error *err);
/* After daemon_stop that returned true, or without daemon_start. NULL is fine. */
void daemon_free(struct daemon *daemon);

/* Serves clients that connect to these sockets (borrowed, until stop). */
azihsm_rc daemon_start(struct daemon *daemon, const int *listeners, size_t count, struct azihsm_error *err);
/* Lets running requests finish. False when some did not within the configured time: then only exit helps. */
bool daemon_stop(struct daemon *daemon);

struct partition *daemon_partition(struct daemon *daemon, const char *name);
/* i-th partition, NULL after the last. */
struct partition *daemon_partition_at(struct daemon *daemon, size_t i);
const struct config *daemon_config(const struct daemon *daemon);
/* Seconds since daemon_new. */
uint64_t daemon_uptime_s(const struct daemon *daemon);
void daemon_queue_counters(struct daemon *daemon, struct queue_counters *out);

/* Ends the process in the ordinary way, as SIGTERM does; for the thread of the control socket. The main thread waits
 * for this signal. */
#define DAEMON_STOP_SIGNAL SIGUSR1
void daemon_request_stop(struct daemon *daemon);
/* Whether all allowed users and groups exist (--check-config). */
azihsm_rc daemon_check_access(const struct config *config, struct azihsm_error *err);
/* SIGHUP: takes over allow-users and allow-groups of the partitions that are in both. */
azihsm_rc daemon_reload_access(struct daemon *daemon, const struct config *fresh, struct azihsm_error *err);
/* Every ticket made until now is void. */
azihsm_rc daemon_revoke_tickets(struct daemon *daemon, uint64_t *epoch, struct azihsm_error *err);

#endif
