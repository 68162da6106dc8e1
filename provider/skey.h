/*
 * Opaque symmetric keys: what a skeymgmt hands out as the keydata of an EVP_SKEY (OpenSSL 3.5 and newer), and what the
 * operations that take or make one do with it. A key is either in the device (key, and for AES-XTS also tweak) or its
 * bytes are here, as in the default provider.
 */
#ifndef AZIHSM_PROVIDER_SKEY_H
#define AZIHSM_PROVIDER_SKEY_H

#include "newer.h"
#include "provider.h"
#include "symkind.h"

struct skey {
    struct provider *provider;
    struct azihsm_key *key, *tweak; /* key NULL: bytes */
    uint8_t *bytes;
    size_t len;
    char *id; /* URI by which the key is found again; NULL when there is none */
};

/* Takes over key and tweak (which may be NULL), also when it fails; copies uri (which may be NULL). */
struct skey *skey_of_device(struct provider *provider, struct azihsm_key *key, struct azihsm_key *tweak,
                            const char *uri);
struct skey *skey_of_bytes(struct provider *provider, struct azihsm_bytes bytes);
void skey_free(struct skey *skey);

/* Length of the secret in bytes: AES-XTS has both keys in it; 0 when only the device knows. */
size_t skey_length(const struct skey *skey);

/* ---- skey_make.c: where keys come from ---- */

/* What one skeymgmt holds. */
struct skey_manager {
    const char *name;
    enum symkind_family family; /* of new keys */
    size_t length;              /* of every key, in bytes; 0: more than one is possible */
    size_t usual;               /* of a new key when nothing is said */
    uint32_t fitting[16];       /* kinds that a URI may name, zero-terminated */
};

/* As the functions of the same names in provider-skeymgmt(7). */
struct skey *skey_generate(struct provider *provider, const struct skey_manager *manager, const OSSL_PARAM params[]);
struct skey *skey_import(struct provider *provider, const struct skey_manager *manager, int selection,
                         const OSSL_PARAM params[]);
/* The kind of a device key of `length` bytes (0: the usual); NULL with an error raised when there is none. */
const struct symkind *skey_kind(struct provider *provider, const struct skey_manager *manager, size_t length);

/* ---- for operations that make keys ---- */

/*
 * The kind of device key that the skeymgmt `type` holds in `length` bytes (0: its usual size), for a derivation. 0 with
 * an error raised when there is none.
 */
uint32_t skeymgmt_kind(struct provider *provider, const char *type, size_t length);

/* Hands key bytes to the import function of any provider's skeymgmt, as a derivation in software does. */
void *skey_import_bytes(OSSL_FUNC_skeymgmt_import_fn *import, void *provctx, struct azihsm_bytes bytes);

#endif
