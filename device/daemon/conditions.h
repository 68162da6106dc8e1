/*
 * Conditions that tests set through the control socket: a slow device, a reset at a chosen request, commands that fail.
 * All off unless set; they never change what a successful command returns.
 */
#ifndef DAEMON_CONDITIONS_H
#define DAEMON_CONDITIONS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct conditions {
    _Atomic uint32_t delay_ms;    /* before each command */
    _Atomic uint32_t delay_op;    /* only this opcode; 0 = all */
    _Atomic uint64_t reset_after; /* reset before the n-th command from now; 0 = never */
    _Atomic uint32_t fail_count;  /* so many commands are answered with fail_status instead of being executed */
    _Atomic uint32_t fail_op;     /* only this opcode; 0 = all */
    _Atomic uint32_t fail_status;
};

/* Sleeps when it must. */
void conditions_delay(struct conditions *conditions, uint32_t op);
/* True for exactly one command: the one before which the device resets. */
bool conditions_take_reset(struct conditions *conditions);
/* True when this command is to fail, with the status. */
bool conditions_take_failure(struct conditions *conditions, uint32_t op, uint32_t *status);
void conditions_clear(struct conditions *conditions);

#endif
