/*
 * Reaching azihsmd's socket: by path, or by name below a directory that was opened when the path still could be seen.
 */
#ifndef QUEUE_CONNECT_H
#define QUEUE_CONNECT_H

#include <stdint.h>

/* Both return 0 and *out, or an errno value. A full backlog is waited for. Close-on-exec. */
int queue_connect_path(const char *path, int64_t deadline_ns, int *out);
int queue_connect_below(int directory, const char *name, int64_t deadline_ns, int *out);

#endif
