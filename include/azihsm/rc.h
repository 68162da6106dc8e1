/*
 * Result codes shared by every layer below the provider.
 *
 * One signed number carries the three kinds of answer a device operation can have:
 *     0                    success
 *     > 0                  a status of the device (ddi-protocol 5.14), as received
 *     < 0                  a failure on this side of the wire (enum below)
 */
#ifndef AZIHSM_RC_H
#define AZIHSM_RC_H

#include <stdint.h>

typedef int32_t azihsm_rc;

enum {
    AZIHSM_OK = 0,
    AZIHSM_E_ARGUMENT = -1, /* the caller asked for something that cannot be */
    AZIHSM_E_NO_MEMORY = -2,
    AZIHSM_E_CONFIG = -3,       /* a configuration value is wrong or missing */
    AZIHSM_E_NO_DEVICE = -4,    /* nothing listens there: no node, no socket, daemon down */
    AZIHSM_E_PERMISSION = -5,   /* the operating system or the daemon refused us */
    AZIHSM_E_NOT_OWNER = -6,    /* the handle belongs to another process (fork) */
    AZIHSM_E_LOST = -7,         /* the device went away while we waited */
    AZIHSM_E_TIMEOUT = -8,      /* the deadline passed; the request may still be executed */
    AZIHSM_E_BUSY = -9,         /* no free slot, session or key before the deadline */
    AZIHSM_E_ABORTED = -10,     /* driver extended status 0x04000001/2: reset in progress, try again */
    AZIHSM_E_NOT_READY = -11,   /* driver extended status 10 */
    AZIHSM_E_PROTOCOL = -12,    /* the peer sent what the specification forbids */
    AZIHSM_E_ENCODE = -13,      /* a message does not fit its own definition */
    AZIHSM_E_DECODE = -14,      /* a message, blob or file is malformed */
    AZIHSM_E_UNSUPPORTED = -15, /* this device or transport cannot do that */
    AZIHSM_E_CRYPTO = -16,      /* libcrypto failed on the host */
    AZIHSM_E_IO = -17,          /* reading or writing a file failed */
    AZIHSM_E_MISMATCH = -18,    /* the device returned another key than the file names */
    AZIHSM_E_REFUSED = -19,     /* policy or configuration forbids it */
    AZIHSM_E_TRANSPORT = -20,   /* completion status without a message (5.15); detail in the error text */
    AZIHSM_E_FAST_PATH = -21,   /* bulk operation failed; result/extended status in the error text */
    AZIHSM_E_INTERNAL = -22,
};

/* Name of a result: the specification's status name, or e.g. "timeout". Never NULL; static storage. */
const char *azihsm_rc_name(azihsm_rc rc);

/* One sentence a user can act on, or NULL when the name says all. Static storage. */
const char *azihsm_rc_hint(azihsm_rc rc);

#endif
