/*
 * Files of test vectors in the format of OpenSSL's own EVP tests: lines `Name = value`, a blank line after each case,
 * PEM blocks after `PrivateKey = name` and `PublicKey = name`. Found by name in ../shared/vectors/openssl beside the
 * project, or in the directory $AZIHSM_VECTORS (made by vectors.py); absent elsewhere: then the caller skips, visibly.
 */
#ifndef AZIHSM_TEST_STANZA_H
#define AZIHSM_TEST_STANZA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct stanza_reader {
    void (*line)(void *arg, const char *name, const char *value, int number);
    void (*end)(void *arg);                                               /* of a case; also after no line at all */
    void (*key)(void *arg, const char *name, bool is_private, char *pem); /* takes pem over (free) */
    void *arg;
};

/* False when there is no such file. */
bool stanza_read(const char *name, const struct stanza_reader *reader);
/* The value: hex, or text in quotes. Free with OPENSSL_free. */
uint8_t *stanza_bytes(const char *text, size_t *len);
/* At most max names (free each) of files of kind "asymmetric" or "symmetric" in $AZIHSM_VECTORS, for stanza_read. */
size_t stanza_files(const char *kind, char **names, size_t max);

#endif
