/*
 * libazihsm-preload.so from the inside: the driver's user-space stand-in (ddi-protocol 8.12, 8.13).
 *
 * calls.c interposes libc's calls and asks files.c whether a descriptor is one of ours; files.c keeps what the driver
 * keeps for each open file; slow.c, fast.c and admin.c are the ioctls; backend.c reaches azihsmd; listing.c makes the
 * node appear in directory listings.
 */
#ifndef PRELOAD_H
#define PRELOAD_H

#include <azihsm/device.h>

#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>

#define PRELOAD_DIRECTORY "/dev"
#define PRELOAD_NODE      "azihsm0"
#define PRELOAD_PATH      PRELOAD_DIRECTORY "/" PRELOAD_NODE

/* What the driver remembers of one open file (3.3); all descriptors dup()ed from one another share it. */
struct preload_file {
    atomic_uint refs;
    pid_t owner;
    struct azihsm_device *device;
    /* session id, short app id and their validity: written together, read without a lock */
    atomic_uint_least64_t session;
};

struct preload_session {
    bool open;
    bool has_app_id;
    uint16_t sess_id;
    uint8_t short_app_id;
};
struct preload_session preload_session(const struct preload_file *file);
void preload_session_set(struct preload_file *file, const struct preload_session *session);

/* ---- files.c ---- */
/* Makes a descriptor for a new open file, or -1 with errno. flags: O_CLOEXEC counts. */
int preload_file_open(int flags);
/* The open file behind a descriptor with a reference, or NULL when it is not ours. */
struct preload_file *preload_file_get(int fd);
void preload_file_put(struct preload_file *file);
/* fd was closed / now also names what old names. The real call has succeeded already. */
void preload_file_forget(int fd);
void preload_file_share(int old, int fd);

/* ---- the ioctls: 0, or -1 with errno ---- */
int preload_ioctl(struct preload_file *file, unsigned code, void *argument);
int preload_slow(struct preload_file *file, void *argument);
int preload_fast(struct preload_file *file, unsigned code, void *argument);
int preload_info(struct preload_file *file, void *argument);
int preload_reset(struct preload_file *file, void *argument);

/* Copies between the program's memory and ours; false where the program's pointer is bad (never a crash). */
bool preload_copy_in(void *to, uint64_t from, size_t len);
bool preload_copy_out(uint64_t to, const void *from, size_t len);
/* Whether a range may be a user address at all. */
bool preload_user_range(uint64_t address, uint64_t len);

/* ---- backend.c ---- */
/* A handle on azihsmd: the configured one, or this process's private one (started on first use). */
azihsm_rc preload_backend_open(struct azihsm_device **out);
/* Held over a fork, so that a child does not find the start of the daemon half done. */
void preload_backend_lock(void);
void preload_backend_unlock(void);
/* Deadline of one command from now. */
int64_t preload_deadline(void);

/* The next definition of a libc function behind our wrapper of it. */
void *preload_real(const char *name);

#endif
