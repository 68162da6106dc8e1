/*
 * azihsmd's sockets: made by us, or handed over by systemd (socket activation).
 */
#ifndef DAEMON_LISTEN_H
#define DAEMON_LISTEN_H

#include <azihsm/error.h>

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct listeners {
    int queue;                             /* -1 = none */
    int control;                           /* -1 = none */
    const char *queue_path, *control_path; /* what we made and must remove; NULL = not ours */
    bool remove_directory;                 /* the queue socket's directory goes too, when nothing else is in it */
};

/*
 * Descriptors passed by systemd: LISTEN_FDS, named "queue" and "control" by LISTEN_FDNAMES (without names: in that
 * order). Leaves *out at -1 where none came. Clears the variables.
 */
azihsm_rc listen_inherited(struct listeners *out, struct azihsm_error *err);
/*
 * Binds and listens (SOCK_SEQPACKET), replacing the socket of a dead daemon. AZIHSM_E_BUSY: a live one answers there.
 * Makes the directory (mode 0755) when only that is missing.
 */
azihsm_rc listen_unix(const char *path, mode_t mode, int *out, struct azihsm_error *err);
/* Closes, and removes what we made. */
void listen_close(struct listeners *listeners);

/* Tells systemd (NOTIFY_SOCKET) e.g. "READY=1"; does nothing when it does not ask. */
void listen_notify(const char *message);

#endif
