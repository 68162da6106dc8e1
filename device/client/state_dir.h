/*
 * The directory that holds what must not be lost: one file per concern, each replaced as a whole or not at all.
 *
 * Only its owner can enter it (0700); one process at a time has it (flock). A file is written beside its successor,
 * flushed, renamed over it, and the directory flushed. Each is a CBOR envelope with a version, its own name and a
 * SHA-256; an empty, truncated or altered one is refused and never overwritten: it may be all that is left of a key.
 */
#ifndef CLIENT_STATE_DIR_H
#define CLIENT_STATE_DIR_H

#include <azihsm/ddi.h>
#include <azihsm/error.h>

struct state_dir;

enum { STATE_FILE_MAX = 128 * 1024 };

/*
 * Makes the directory (not its parents) when it does not exist and takes its lock. AZIHSM_E_BUSY: another process has
 * it. AZIHSM_E_PERMISSION: it belongs to somebody else or others may enter it.
 */
azihsm_rc state_dir_open(const char *path, struct state_dir **out, struct azihsm_error *err);
void state_dir_close(struct state_dir *dir);
const char *state_dir_path(const struct state_dir *dir);

/*
 * Reads the payload of a file. *len is 0 when there is no such file (a payload is never empty). AZIHSM_E_DECODE names
 * the file that is damaged. The caller cleanses buf.
 */
azihsm_rc state_dir_read(struct state_dir *dir, const char *name, uint8_t *buf, size_t cap, size_t *len,
                         struct azihsm_error *err);
/* Replaces the file. On failure the old one is untouched. */
azihsm_rc state_dir_write(struct state_dir *dir, const char *name, struct azihsm_bytes payload,
                          struct azihsm_error *err);

/* Checks a file image as state_dir_read does: *payload is a view into it. For backups. */
bool state_envelope_open(const char *name, struct azihsm_bytes image, struct azihsm_bytes *payload);

#endif
