/*
 * Which process this is, cheaply, and what a forked child must close.
 *
 * Handles belong to the process that opened them, so every entry of the seam asks; the answer is cached on a page that
 * the kernel wipes in a child. The table of descriptors is fixed and lock-free because a fork handler may allocate
 * nothing and wait for nobody.
 */
#ifndef PROCESS_H
#define PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* getpid() without the system call. Async-signal-safe. */
pid_t process_self(void);

/* Descriptors that end with their owner. add after opening, remove before closing; a full table is not an error (the
 * server then notices the owner's death by itself). */
void process_fd_add(int fd);
void process_fd_remove(int fd);
/* In a child: closes and forgets every descriptor of the table. Async-signal-safe. */
void process_fd_close_all(void);

/* A lock that a child forked while another thread held it may take over: what it guards must be consistent at every
 * instruction. Zero-initialised is free. */
struct process_lock {
    uint32_t holder;
};
/* False when the deadline passed first. */
bool process_lock_acquire(struct process_lock *lock, int64_t deadline_ns);
void process_lock_release(struct process_lock *lock);

#endif
