/*
 * The provider's table of digests. Entries are filled without a lock: two threads that miss at the same time both
 * fetch, and one of them drops its object again. Owned by the provider object; freed after all operations are gone.
 */
#include "sigdigest.h"

#include <openssl/crypto.h>
#include <stdatomic.h>
#include <strings.h>

/* SHA-2 and what TLS and old certificates still use, by all names that libcrypto's callers pass. */
static const struct {
    const char *names[4];
} common[] = {
    {{"SHA2-256", "SHA256", "SHA-256", "2.16.840.1.101.3.4.2.1"}},
    {{"SHA2-384", "SHA384", "SHA-384", "2.16.840.1.101.3.4.2.2"}},
    {{"SHA2-512", "SHA512", "SHA-512", "2.16.840.1.101.3.4.2.3"}},
    {{"SHA2-224", "SHA224", "SHA-224", "2.16.840.1.101.3.4.2.4"}},
    {{"SHA1", "SHA-1", "SSL3-SHA1", "1.3.14.3.2.26"}},
};
enum { COMMON = sizeof(common) / sizeof(common[0]), NAMES = sizeof(common[0].names) / sizeof(common[0].names[0]) };

struct digests {
    OSSL_LIB_CTX *libctx;
    _Atomic(EVP_MD *) md[COMMON];
};

struct digests *digests_new(OSSL_LIB_CTX *libctx)
{
    struct digests *digests = OPENSSL_zalloc(sizeof(*digests));

    if (digests != NULL)
        digests->libctx = libctx;
    return digests;
}

void digests_free(struct digests *digests)
{
    if (digests == NULL)
        return;
    for (size_t i = 0; i < COMMON; i++)
        EVP_MD_free(atomic_load(&digests->md[i]));
    OPENSSL_free(digests);
}

static int common_index(const char *name)
{
    for (int i = 0; i < COMMON; i++) {
        for (int j = 0; j < NAMES; j++) {
            if (strcasecmp(name, common[i].names[j]) == 0)
                return i;
        }
    }
    return -1;
}

int digests_is_common(const char *name)
{
    return common_index(name) >= 0;
}

static EVP_MD *fill(struct digests *digests, int index)
{
    EVP_MD *none = NULL;
    EVP_MD *md = EVP_MD_fetch(digests->libctx, common[index].names[0], NULL);

    if (md == NULL)
        return NULL;
    if (atomic_compare_exchange_strong(&digests->md[index], &none, md))
        return md;
    EVP_MD_free(md);
    return none;
}

EVP_MD *digests_get(struct digests *digests, const char *name, const char *propq)
{
    int index = propq == NULL || propq[0] == '\0' ? common_index(name) : -1;
    EVP_MD *md;

    if (index < 0)
        return EVP_MD_fetch(digests->libctx, name, propq);
    md = atomic_load(&digests->md[index]);
    if (md == NULL)
        md = fill(digests, index);
    if (md != NULL && !EVP_MD_up_ref(md))
        md = NULL;
    return md;
}
