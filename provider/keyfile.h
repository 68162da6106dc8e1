/*
 * Key files: what is in them, as bytes and as PEM text. Pure: no provider, no device; also linked into the tool.
 *
 * An RFC 5958 OneAsymmetricKey, version 2, DER. privateKeyAlgorithm is 2.25.209892815733063548142548280848763736477
 * with the key's real AlgorithmIdentifier as parameter; privateKey is the device's masked blob, useless without the
 * device; publicKey is the subjectPublicKey (absent in symmetric keys). Attributes: keyUsage (2.5.29.15),
 * friendlyName, the device hint (the OID above, then .1): SHA-256 that names partition and backup key, and in a key
 * with two uses the second masked key (the OID above, then .2), because the device gives a key one use.
 *
 * A file in DER ends with an empty extension, [2] EXPLICIT NULL, which RFC 5958 leaves room for. It keeps OpenSSL 3.5
 * from reading the structure itself: see README.md, "Key files in DER".
 */
#ifndef AZIHSM_PROVIDER_KEYFILE_H
#define AZIHSM_PROVIDER_KEYFILE_H

#include <azihsm/client.h>

#define KEYFILE_PEM_PRIVATE "AZIHSM PRIVATE KEY"
#define KEYFILE_PEM_SECRET  "AZIHSM SECRET KEY"
#define KEYFILE_OID         "2.25.209892815733063548142548280848763736477"
#define KEYFILE_STRUCTURE   "AzihsmPrivateKeyInfo"

enum { KEYFILE_HINT_SIZE = 32, KEYFILE_LABEL_MAX = 128 * 3, KEYFILE_SIZE_MAX = 64 * 1024 };

struct keyfile {
    struct azihsm_bytes blob;
    struct azihsm_bytes second;    /* the same private key, masked for its second use; mostly empty */
    struct azihsm_bytes spki;      /* SubjectPublicKeyInfo with the real algorithm; empty in symmetric keys */
    struct azihsm_bytes algorithm; /* real AlgorithmIdentifier; on encoding taken from spki when there is one */
    unsigned usage;                /* enum azihsm_usage bits; 0 = not said */
    char label[KEYFILE_LABEL_MAX + 1];
    bool has_hint;
    uint8_t hint[KEYFILE_HINT_SIZE];
    bool extended;    /* has the empty extension at its end; encoded as PEM it has not */
    uint8_t *storage; /* what a decoded struct's views point into; NULL in a struct made by hand */
};

enum keyfile_result {
    KEYFILE_OK,
    KEYFILE_NOT_OURS, /* something else, or nothing recognisable: no complaint */
    KEYFILE_BAD,      /* ours, but malformed: why says how */
    KEYFILE_FAILED,   /* no memory, no file */
};

/* Exactly one DER object. The libcrypto error queue is left as it was. */
enum keyfile_result keyfile_decode(struct azihsm_bytes der, struct keyfile *out, char *why, size_t why_size);
/* The first key file in PEM text (other blocks are skipped), or DER. */
enum keyfile_result keyfile_parse(struct azihsm_bytes text, struct keyfile *out, char *why, size_t why_size);
void keyfile_clear(struct keyfile *keyfile);

/* *der is the caller's, to be OPENSSL_free'd. false: the struct cannot be encoded (malformed spki, no memory). */
bool keyfile_encode(const struct keyfile *keyfile, uint8_t **der, size_t *len);
bool keyfile_encode_pem(const struct keyfile *keyfile, uint8_t **pem, size_t *len);

/* ---- keyfile_io.c: files ---- */

/* A whole regular file of at most KEYFILE_SIZE_MAX bytes; *data to be OPENSSL_clear_free'd with *len. */
enum keyfile_result keyfile_read(const char *path, uint8_t **data, size_t *len, char *why, size_t why_size);
/* Replaces path in one step: temporary file of mode 0600 beside it, fsync, rename. Never follows a link at path. */
bool keyfile_write(const char *path, struct azihsm_bytes data, char *why, size_t why_size);
/* The same, but never in the place of a file that exists: it may be the only copy of a key. */
bool keyfile_create(const char *path, struct azihsm_bytes data, char *why, size_t why_size);
/* Removes a regular file (not a link to one), for good when it returns. */
bool keyfile_remove(const char *path, char *why, size_t why_size);

/* ---- names in the key directory ---- */

/* Whether name can be a file in the key directory: not empty, no slash, no leading dot, at most 200 bytes. */
bool keyfile_name_valid(const char *name);
/* directory/name.pem, or directory/name when only that exists. false: too long for path. */
bool keyfile_locate(const char *directory, const char *name, char *path, size_t path_size);

#endif
