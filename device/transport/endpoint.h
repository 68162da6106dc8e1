/*
 * What endpoint.c makes addresses into: one constructor a transport, and the places `auto` looks at.
 */
#ifndef ENDPOINT_H
#define ENDPOINT_H

#include "transport.h"

enum { ENDPOINT_PATH_MAX = 512 };

/* Directory of the user's own daemon: $XDG_RUNTIME_DIR/azihsm, else /run/user/UID/azihsm where that is, else
 * $HOME/.azihsm/run. False when none of them can be named. azihsmd --user listens on USER_DIRECTORY/azihsmd.sock. */
bool endpoint_user_directory(char *out, size_t cap);

#define ENDPOINT_SYSTEM_DIRECTORY "/run/azihsm"
#define ENDPOINT_SOCKET_NAME      "azihsmd.sock"

/* Constructors by kind of address; each copies what it keeps. address is without the "unix:" prefix. */
azihsm_rc queue_endpoint_new(const char *address, const char *partition, bool autostart, struct azihsm_endpoint **out,
                             struct azihsm_error *err);
azihsm_rc chardev_endpoint_new(const char *path, struct azihsm_endpoint **out, struct azihsm_error *err);
azihsm_rc auto_endpoint_new(const char *partition, bool autostart, struct azihsm_endpoint **out,
                            struct azihsm_error *err);

#endif
