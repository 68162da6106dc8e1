/*
 * Delegates of device signatures, kept ready in the key, for callers that set more than TLS does (whose settings are
 * only noted, signature_rsa.c). To initialise a delegate costs libcrypto three look-ups of algorithms, under locks that
 * all threads share, to copy one costs none (acceptance row C-16). A template is never changed after it was published.
 *
 * In libcrypto 3.0 the copy of a context goes on pointing to the original's AlgorithmIdentifier: so only what the key
 * keeps is copied, and what finds no place is given away.
 */
#include "signature_template.h"

#include <openssl/crypto.h>
#include <stdbool.h>
#include <string.h>

struct signature_template {
    EVP_MD_CTX *md;
    char digest[32];
};

static void template_free(struct signature_template *template)
{
    if (template == NULL)
        return;
    EVP_MD_CTX_free(template->md);
    OPENSSL_free(template);
}

static struct signature_template *template_new(OSSL_LIB_CTX *libctx, EVP_PKEY *key, const char *digest)
{
    struct signature_template *template = OPENSSL_zalloc(sizeof(*template));

    if (template == NULL)
        return NULL;
    OPENSSL_strlcpy(template->digest, digest == NULL ? "" : digest, sizeof(template->digest));
    template->md = EVP_MD_CTX_new();
    if (template->md != NULL) {
        EVP_MD_CTX_set_flags(template->md, EVP_MD_CTX_FLAG_FINALISE);
        if (EVP_DigestSignInit_ex(template->md, NULL, digest, libctx, NULL, key, NULL) == 1)
            return template;
    }
    template_free(template);
    return NULL;
}

/* The one of that digest, or a free place, or neither (then *place is NULL). */
static struct signature_template *find(struct signature_templates *templates, const char *digest,
                                       struct signature_template ***place)
{
    *place = NULL;
    for (int i = 0; i < SIGNATURE_TEMPLATES; i++) {
        struct signature_template *template = __atomic_load_n(&templates->of[i], __ATOMIC_ACQUIRE);

        if (template == NULL) {
            *place = &templates->of[i];
            return NULL;
        }
        if (strcmp(template->digest, digest == NULL ? "" : digest) == 0)
            return template;
    }
    return NULL;
}

static EVP_MD_CTX *copy_of(const EVP_MD_CTX *md)
{
    EVP_MD_CTX *copy = EVP_MD_CTX_new();

    if (copy != NULL && EVP_MD_CTX_copy_ex(copy, md))
        return copy;
    EVP_MD_CTX_free(copy);
    return NULL;
}

/* The template of that digest, made if need be. *own is set instead when it finds no place: the caller's. */
static const EVP_MD_CTX *get(struct signature_templates *templates, OSSL_LIB_CTX *libctx, EVP_PKEY *key,
                             const char *digest, EVP_MD_CTX **own)
{
    struct signature_template **place, *none = NULL, *template = find(templates, digest, &place);

    *own = NULL;
    if (template != NULL)
        return template->md;
    template = template_new(libctx, key, digest);
    if (template == NULL)
        return NULL;
    if (place != NULL && strlen(digest == NULL ? "" : digest) < sizeof(template->digest) &&
        __atomic_compare_exchange_n(place, &none, template, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
        return template->md;
    *own = template->md;
    template->md = NULL;
    template_free(template);
    return NULL;
}

EVP_MD_CTX *signature_template_copy(struct signature_templates *templates, OSSL_LIB_CTX *libctx, EVP_PKEY *key,
                                    const char *digest)
{
    EVP_MD_CTX *own;
    const EVP_MD_CTX *kept = get(templates, libctx, key, digest, &own);

    return kept != NULL ? copy_of(kept) : own;
}

const OSSL_PARAM *signature_template_settable(struct signature_templates *templates, OSSL_LIB_CTX *libctx,
                                              EVP_PKEY *key, const char *digest)
{
    EVP_MD_CTX *own;
    const EVP_MD_CTX *kept = get(templates, libctx, key, digest, &own);

    EVP_MD_CTX_free(own);
    return kept == NULL ? NULL : EVP_PKEY_CTX_settable_params(EVP_MD_CTX_get_pkey_ctx(kept));
}

void signature_templates_clear(struct signature_templates *templates)
{
    for (int i = 0; i < SIGNATURE_TEMPLATES; i++) {
        template_free(templates->of[i]);
        templates->of[i] = NULL;
    }
}
