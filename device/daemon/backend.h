/*
 * azihsmd's partitions as the backend of the queue server: admission by peer, then commands straight to the partition.
 */
#ifndef DAEMON_BACKEND_H
#define DAEMON_BACKEND_H

#include "daemon.h"
#include "queue_server.h"

/* daemon must outlive the server. */
struct queue_backend backend_for(struct daemon *daemon);

#endif
