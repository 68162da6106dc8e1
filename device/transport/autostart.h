/*
 * Starting a private azihsmd for a user who asked for it (autostart = yes).
 *
 * Contract with azihsmd: `azihsmd --user --socket PATH --ready-fd N` listens on PATH, then writes one byte to
 * descriptor N and closes it; it ends by itself when idle.
 */
#ifndef AUTOSTART_H
#define AUTOSTART_H

#include <azihsm/error.h>

/*
 * Makes sure a daemon listens on socket_path, whose directory is made (0700) if need be. Of several processes one
 * starts it and the others wait. AZIHSM_OK does not promise that a connection succeeds: connect again.
 */
azihsm_rc autostart_daemon(const char *socket_path, int64_t deadline_ns, struct azihsm_error *err);

/*
 * Runs a daemon (path NULL: the user's AZIHSM_DAEMON, else the installed one) as a grandchild that shares nothing with
 * this program, and waits until it says that it listens. "--ready-fd 3" is appended to argv, which needs room for four
 * more pointers; with a lifeline (a descriptor, else -1) also "--lifeline-fd 4". 0, or an errno; ECHILD: it ended
 * before it listened.
 */
int autostart_run(const char *path, char *argv[], char *const environment[], int lifeline, int64_t deadline_ns);

#endif
