/*
 * The counters of a test's private azihsmd, over its control socket.
 */
#ifndef TEST_CONTROL_H
#define TEST_CONTROL_H

#include "emulator/emulator.h"

/* Chooses where the next private device has its control socket: once in a process, removed with it. */
void control_socket_must(char *out, size_t cap);
void control_counters_must(struct emu_counters *out);

#endif
