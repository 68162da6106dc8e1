/*
 * One message of the queue's socket with its descriptors. Both ends use it; neither call blocks: the caller polls.
 */
#ifndef QUEUE_MESSAGE_H
#define QUEUE_MESSAGE_H

#include "queue_abi.h"

enum { QUEUE_MESSAGE_FDS = 2 };

/* A zeroed message of a type. */
void queue_message_init(struct queue_message *message, enum queue_message_type type);

/* 1 sent, 0 the socket is full, -1 the connection is gone (errno). */
int queue_message_send(int socket, const struct queue_message *message, const int *fds, size_t fd_count);

/*
 * 1 received, 0 nothing there, -1 the connection is gone or the peer sent no message of ours (errno: EPROTO,
 * or EMFILE when only descriptors are missing). fds has room for
 * QUEUE_MESSAGE_FDS, *fd_count is what came; they are close-on-exec and the caller's.
 */
int queue_message_receive(int socket, struct queue_message *message, int *fds, size_t *fd_count);

/* Polls until a message of this type arrives: AZIHSM_OK, E_LOST, E_TIMEOUT, E_PROTOCOL; E_NO_MEMORY: it came, but not
 * its descriptors, for which this process has no room. Closes descriptors unless AZIHSM_OK. */
azihsm_rc queue_message_await(int socket, enum queue_message_type type, int64_t deadline_ns,
                              struct queue_message *message, int *fds, size_t *fd_count);

void queue_close_fds(int *fds, size_t fd_count);

#endif
