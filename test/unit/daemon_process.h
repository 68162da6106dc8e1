/*
 * A real azihsmd for a test: a process of its own on a state directory and socket under /tmp.
 */
#ifndef DAEMON_PROCESS_H
#define DAEMON_PROCESS_H

#include <azihsm/client.h>

#include <sys/types.h>

struct daemon_process {
    char dir[32];
    char device[64]; /* "unix:..." */
    pid_t pid;
    int lifeline;
    const char *limits; /* "roomy" when NULL */
};

void daemon_start(struct daemon_process *daemon);
void daemon_kill(struct daemon_process *daemon);
/* Ends it and removes its files. */
void daemon_end(struct daemon_process *daemon);
/* Open connections as the kernel sees them: sockets of the daemon. */
unsigned daemon_sockets(const struct daemon_process *daemon);

struct azihsm_client *daemon_client(const struct daemon_process *daemon, unsigned timeout_ms);

#endif
