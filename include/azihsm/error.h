/*
 * Why something failed, in words. The caller owns the struct and may pass NULL where it does not care.
 * The text never holds a secret, a PIN or key bytes: only names, paths, numbers and status names.
 */
#ifndef AZIHSM_ERROR_H
#define AZIHSM_ERROR_H

#include <azihsm/rc.h>

struct azihsm_error {
    azihsm_rc rc;
    char text[480];
};

/* Fills *err (if not NULL) with a formatted text, truncated when too long, and returns rc. */
#if defined(__GNUC__)
__attribute__((format(printf, 3, 4)))
#endif
azihsm_rc
azihsm_error_set(struct azihsm_error *err, azihsm_rc rc, const char *format, ...);

#ifdef __clang_analyzer__
/* Static analysis sees one file at a time and must be told that the result is the rc. */
#define azihsm_error_set(err, rc, ...) (azihsm_error_set(err, rc, __VA_ARGS__), (rc))
#endif

#endif
