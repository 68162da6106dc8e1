/*
 * The module's only exported function, and what the core may ask of the provider itself.
 */
#include "algorithms.h"
#include "provider_local.h"
#include "statistics.h"

#include <openssl/core_names.h>
#include <openssl/params.h>

static OSSL_FUNC_provider_teardown_fn teardown;
static OSSL_FUNC_provider_gettable_params_fn gettable_params;
static OSSL_FUNC_provider_get_params_fn get_params;
static OSSL_FUNC_provider_query_operation_fn query_operation;
static OSSL_FUNC_provider_get_reason_strings_fn get_reason_strings;
static OSSL_FUNC_provider_get_capabilities_fn get_capabilities;

static void teardown(void *provctx)
{
    provider_free(provctx);
}

static const OSSL_PARAM *gettable_params(void *provctx)
{
    (void)provctx;
    return statistics_gettable();
}

static int get_params(void *provctx, OSSL_PARAM params[])
{
    static const struct {
        const char *name, *value;
    } texts[] = {
        {OSSL_PROV_PARAM_NAME, "Azure Integrated HSM provider"},
        {OSSL_PROV_PARAM_VERSION, AZIHSM_VERSION},
        {OSSL_PROV_PARAM_BUILDINFO, AZIHSM_VERSION},
    };
    (void)provctx;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        OSSL_PARAM *p = OSSL_PARAM_locate(params, texts[i].name);
        if (p != NULL && !OSSL_PARAM_set_utf8_ptr(p, texts[i].value))
            return 0;
    }
    OSSL_PARAM *status = OSSL_PARAM_locate(params, OSSL_PROV_PARAM_STATUS);
    if (status != NULL && !OSSL_PARAM_set_int(status, 1))
        return 0;
    return statistics_get(params);
}

static const OSSL_ALGORITHM *query_operation(void *provctx, int operation_id, int *no_cache)
{
    const struct config *config = provider_config(provctx);
    return algorithms_query(operation_id, config->symmetric != 0, config->pkcs11 != 0, provider_core_version(provctx),
                            no_cache);
}

static const OSSL_ITEM *get_reason_strings(void *provctx)
{
    (void)provctx;
    return error_reason_strings();
}

static int get_capabilities(void *provctx, const char *capability, OSSL_CALLBACK *callback, void *arg)
{
    return capabilities_get(provctx, capability, callback, arg);
}

static const OSSL_DISPATCH functions[] = {
    {OSSL_FUNC_PROVIDER_TEARDOWN, (void (*)(void))teardown},
    {OSSL_FUNC_PROVIDER_GETTABLE_PARAMS, (void (*)(void))gettable_params},
    {OSSL_FUNC_PROVIDER_GET_PARAMS, (void (*)(void))get_params},
    {OSSL_FUNC_PROVIDER_QUERY_OPERATION, (void (*)(void))query_operation},
    {OSSL_FUNC_PROVIDER_GET_REASON_STRINGS, (void (*)(void))get_reason_strings},
    {OSSL_FUNC_PROVIDER_GET_CAPABILITIES, (void (*)(void))get_capabilities},
    {0, NULL},
};

__attribute__((visibility("default"))) OSSL_provider_init_fn OSSL_provider_init;

int OSSL_provider_init(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in, const OSSL_DISPATCH **out,
                       void **provctx)
{
    struct provider *provider = provider_new(handle, in);
    if (provider == NULL)
        return 0;
    *out = functions;
    *provctx = provider;
    return 1;
}
