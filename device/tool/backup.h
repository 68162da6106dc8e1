/*
 * A state directory in one file: CBOR {"azihsm-backup": 1, "files": {name: bytes, ...}}, the files as they are on disk.
 * As secret as the directory itself.
 */
#ifndef TOOL_BACKUP_H
#define TOOL_BACKUP_H

#include <azihsm/ddi.h>

enum { BACKUP_MAX = 4 * 1024 * 1024, BACKUP_NAME_MAX = 64, BACKUP_VERSION = 1 };

/* Whether a directory entry is a state file (and not the lock or a leftover). */
bool backup_is_state_file(const char *name);

#endif
