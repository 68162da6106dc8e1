/*
 * The control socket: one CBOR map in a packet asks, one answers. For root and azihsmd's own user.
 *
 * Request: {"command": text, further keys by command}. Reply: {"rc": 0, results...} or {"rc": n, "error": text}, where
 * n is the negated number of an azihsm_rc below zero, or a device status. Commands are listed in README.md.
 */
#ifndef DAEMON_CONTROL_H
#define DAEMON_CONTROL_H

#include "daemon.h"

#include <azihsm/ddi.h>

enum { CONTROL_REQUEST_MAX = 4096, CONTROL_REPLY_MAX = 192 * 1024 };

struct control;

/* Serves the listening socket (borrowed) in a thread of its own. */
azihsm_rc control_start(struct daemon *daemon, int listener, struct control **out, struct azihsm_error *err);
/* Ends the thread and closes its connections. NULL is fine. */
void control_stop(struct control *control);

/* Executes one request; always writes a reply of *len bytes. reply needs CONTROL_REPLY_MAX bytes. */
void control_execute(struct daemon *daemon, struct azihsm_bytes request, uint8_t *reply, size_t *len);

#endif
