/*
 * Software keys from files: PEM, DER or PKCS#12, encrypted or not.
 */
#ifndef TOOL_SOFTWARE_KEY_H
#define TOOL_SOFTWARE_KEY_H

#include "tool.h"

#include <openssl/types.h>

struct software_key {
    OSSL_LIB_CTX *libctx;
    EVP_PKEY *pkey;
};

/* password_file: first line is the password; NULL = ask on the terminal when one is needed. */
int software_key_read(const char *path, const char *password_file, struct software_key *out);
void software_key_free(struct software_key *key);

#endif
