/*
 * The credential that opens sessions: 16 bytes of id, then 16 of PIN, in a text file or handed out by the daemon.
 *
 * The file (pin-source = file:/path) has the two lines "id = <32 hex digits>" and "pin = <32 hex digits>"; empty lines
 * and lines that begin with # do not count.
 */
#ifndef CLIENT_CREDENTIAL_H
#define CLIENT_CREDENTIAL_H

#include <azihsm/ddi.h>
#include <azihsm/error.h>

enum { CREDENTIAL_SIZE = 2 * AZIHSM_CREDENTIAL_SIZE };

/*
 * Refused (AZIHSM_E_PERMISSION) unless it is a regular file of root, which a group may read, or of the reading user,
 * which nobody else may touch. AZIHSM_E_IO, AZIHSM_E_DECODE (names the line). The caller cleanses out.
 */
azihsm_rc azihsm_credential_read(const char *path, uint8_t out[CREDENTIAL_SIZE], struct azihsm_error *err);

/* Mode 0600; written beside, flushed, renamed over an older file of that name. */
azihsm_rc azihsm_credential_write(const char *path, const uint8_t credential[CREDENTIAL_SIZE],
                                  struct azihsm_error *err);

#endif
