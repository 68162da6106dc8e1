/*
 * Descriptor arrays that combine what the default provider offers (asked from the libcrypto we run with, so that newer
 * versions' parameters come through) with our own. Made when the provider is, constant from then on.
 */
#include "genoptions.h"
#include "keymgmt.h"

#include <openssl/crypto.h>
#include <openssl/params.h>
#include <string.h>

struct keymgmt_tables {
    OSSL_PARAM *gettable[KEY_TYPES];
    OSSL_PARAM *gen_settable[KEY_TYPES];
};

static const OSSL_PARAM our_gettables[] = {
    OSSL_PARAM_utf8_string(KEYMGMT_WHERE, NULL, 0),
    OSSL_PARAM_utf8_string(KEYMGMT_LABEL, NULL, 0),
    OSSL_PARAM_END,
};

static size_t count(const OSSL_PARAM *params)
{
    size_t n = 0;
    while (params != NULL && params[n].key != NULL)
        n++;
    return n;
}

static OSSL_PARAM *join(const OSSL_PARAM *theirs, const OSSL_PARAM *ours)
{
    size_t first = count(theirs), second = count(ours);
    OSSL_PARAM *all = OPENSSL_zalloc((first + second + 1) * sizeof(*all)); /* all zero is OSSL_PARAM_END */
    if (all != NULL && first > 0)
        memcpy(all, theirs, first * sizeof(*all));
    if (all != NULL)
        memcpy(all + first, ours, second * sizeof(*all));
    return all;
}

struct keymgmt_tables *keymgmt_tables_new(const struct provider *provider)
{
    struct keymgmt_tables *tables = OPENSSL_zalloc(sizeof(*tables));
    for (int type = 0; tables != NULL && type < KEY_TYPES; type++) {
        const EVP_KEYMGMT *host = provider_host_keymgmt(provider, type);
        tables->gettable[type] = join(EVP_KEYMGMT_gettable_params(host), our_gettables);
        tables->gen_settable[type] = join(EVP_KEYMGMT_gen_settable_params(host), genoptions_settable());
        if (tables->gettable[type] == NULL || tables->gen_settable[type] == NULL) {
            keymgmt_tables_free(tables);
            tables = NULL;
        }
    }
    return tables;
}

void keymgmt_tables_free(struct keymgmt_tables *tables)
{
    if (tables == NULL)
        return;
    for (int type = 0; type < KEY_TYPES; type++) {
        OPENSSL_free(tables->gettable[type]);
        OPENSSL_free(tables->gen_settable[type]);
    }
    OPENSSL_free(tables);
}

const OSSL_PARAM *keymgmt_gettable(const struct provider *provider, enum key_type type)
{
    return provider_keymgmt_tables(provider)->gettable[type];
}

const OSSL_PARAM *keymgmt_settable(const struct provider *provider, enum key_type type)
{
    return EVP_KEYMGMT_settable_params(provider_host_keymgmt(provider, (int)type));
}

const OSSL_PARAM *keymgmt_gen_settable(const struct provider *provider, enum key_type type)
{
    return provider_keymgmt_tables(provider)->gen_settable[type];
}
