/*
 * TLS groups. libssl takes a provider's group only when the group's key type is fetched from that same provider. Where
 * azihsm stands before default, or is preferred by default_properties, "EC" is fetched from us, and without more the
 * NIST and Brainpool groups would vanish from TLS. So we announce the default provider's groups again, under a key type
 * of our own (GROUP_KEY_TYPE) that only ever makes software keys: key exchange goes on in software, in every order of
 * providers, and never on keys of the device.
 */
#include "algorithms.h"
#include "provider_local.h"

#include <openssl/core_names.h>
#include <openssl/params.h>
#include <openssl/provider.h>
#include <string.h>
#include <strings.h>

struct groups {
    OSSL_CALLBACK *callback;
    void *arg;
};

/* A group of the default provider; those of type EC are passed on with our type in its place. */
static int group(const OSSL_PARAM params[], void *arg)
{
    const struct groups *groups = arg;
    const OSSL_PARAM *type = OSSL_PARAM_locate_const(params, OSSL_CAPABILITY_TLS_GROUP_ALG);
    const char *name = NULL;
    OSSL_PARAM ours[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_CAPABILITY_TLS_GROUP_ALG, (char *)GROUP_KEY_TYPE, sizeof(GROUP_KEY_TYPE)),
        OSSL_PARAM_construct_end(),
    };
    OSSL_PARAM *all;
    int ok;

    if (type == NULL || !OSSL_PARAM_get_utf8_string_ptr(type, &name) || strcmp(name, "EC") != 0)
        return 1;
    all = OSSL_PARAM_merge(params, ours);
    ok = all != NULL && groups->callback(all, groups->arg);
    OSSL_PARAM_free(all);
    return ok;
}

int capabilities_get(const struct provider *provider, const char *capability, OSSL_CALLBACK *callback, void *arg)
{
    struct groups groups = {.callback = callback, .arg = arg};
    if (strcasecmp(capability, "TLS-GROUP") != 0)
        return 1; /* nothing of the kind is no error */
    return OSSL_PROVIDER_get_capabilities(provider->host, capability, group, &groups);
}
