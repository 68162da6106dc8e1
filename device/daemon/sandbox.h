/*
 * What azihsmd gives up before it serves: core dumps, being traced, its privileges, system calls it does not need.
 */
#ifndef DAEMON_SANDBOX_H
#define DAEMON_SANDBOX_H

#include "config.h"

/* First of all: no core dumps, not ptrace-able by others of the same user, umask 077. */
void sandbox_begin(void);
/* Becomes the user, with that user's groups. AZIHSM_E_CONFIG when there is none of that name. */
azihsm_rc sandbox_drop(const char *user, struct azihsm_error *err);
/* Hands a directory to the user (of a daemon started as root) when it does not exist yet. */
azihsm_rc sandbox_own_directory(const char *path, const char *user, struct azihsm_error *err);
/* Installs the system-call filter for this thread and all it will make. Does nothing with `off` or under sanitizers. */
azihsm_rc sandbox_filter(enum config_seccomp mode, struct azihsm_error *err);

#endif
