/*
 * Delegates of device signatures, kept ready in the key.
 */
#ifndef AZIHSM_PROVIDER_SIGNATURE_TEMPLATE_H
#define AZIHSM_PROVIDER_SIGNATURE_TEMPLATE_H

#include <openssl/evp.h>

enum { SIGNATURE_TEMPLATES = 4 };

/* Part of a key, zeroed with it. Filled by any thread, each place once. */
struct signature_templates {
    struct signature_template *of[SIGNATURE_TEMPLATES];
};

/*
 * A signing context of key with that digest (NULL: the key's own), as EVP_DigestSignInit_ex would make it, but without
 * looking anything up from the second time on. It does not outlive the key. NULL: failed.
 */
EVP_MD_CTX *signature_template_copy(struct signature_templates *templates, OSSL_LIB_CTX *libctx, EVP_PKEY *key,
                                    const char *digest);
/* What can be set on such a context: a constant of the default provider. NULL: no template can be kept. */
const OSSL_PARAM *signature_template_settable(struct signature_templates *templates, OSSL_LIB_CTX *libctx,
                                              EVP_PKEY *key, const char *digest);
void signature_templates_clear(struct signature_templates *templates);

#endif
