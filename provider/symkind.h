/*
 * The kinds of secret keys that a device has, as the provider, key files and the tool know them. Pure: a table.
 */
#ifndef AZIHSM_PROVIDER_SYMKIND_H
#define AZIHSM_PROVIDER_SYMKIND_H

#include <azihsm/ddi.h>

enum symkind_family { SYMKIND_CBC, SYMKIND_GCM, SYMKIND_XTS, SYMKIND_HMAC, SYMKIND_SECRET, SYMKIND_EC };

struct symkind {
    uint32_t kind;    /* enum azihsm_key_kind */
    const char *name; /* in messages and parameters: "AES-256", "HMAC-SHA384" */
    int nid;          /* of the AlgorithmIdentifier in a key file; NID_undef: not written to one */
    enum symkind_family family;
    size_t size;       /* bytes of the secret; 0: varies. AES-XTS: of each of its two keys */
    uint32_t aes_size; /* enum azihsm_aes_size to generate it; 0: not generated so */
    bool derivable;
};

/* NULL for a kind that is not in the table. */
const struct symkind *symkind_find(uint32_t kind);
/* The first of the family that has this size. */
const struct symkind *symkind_of_size(enum symkind_family family, size_t size);
/* A derivable kind by its name, whatever the case. */
const struct symkind *symkind_derivable(const char *name);
/* What a kind is called in messages; "another kind" when it is not in the table. */
const char *symkind_name(uint32_t kind);
/* DER of the AlgorithmIdentifier; its length, or -1. *der is the caller's, to be OPENSSL_free'd. */
int symkind_algorithm(uint32_t kind, unsigned char **der);

#endif
