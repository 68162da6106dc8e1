/*
 * The provider's context: made by OSSL_provider_init, freed at teardown. Making it opens no device and starts no
 * thread; the client is made when the first device key is loaded or generated.
 */
#include "async.h"
#include "key.h"
#include "keymgmt.h"
#include "newer.h"
#include "provider_local.h"
#include "sigdigest.h"

#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/params.h>
#include <openssl/provider.h>
#include <stdio.h>
#include <unistd.h>

static void core_take(struct core *core, const OSSL_DISPATCH *in)
{
    for (; in->function_id != 0; in++)
        switch (in->function_id) {
        case OSSL_FUNC_CORE_GET_PARAMS:
            core->get_params = OSSL_FUNC_core_get_params(in);
            break;
        case OSSL_FUNC_CORE_NEW_ERROR:
            core->new_error = OSSL_FUNC_core_new_error(in);
            break;
        case OSSL_FUNC_CORE_SET_ERROR_DEBUG:
            core->set_error_debug = OSSL_FUNC_core_set_error_debug(in);
            break;
        case OSSL_FUNC_CORE_VSET_ERROR:
            core->vset_error = OSSL_FUNC_core_vset_error(in);
            break;
        case OSSL_FUNC_CORE_SET_ERROR_MARK:
            core->set_error_mark = OSSL_FUNC_core_set_error_mark(in);
            break;
        case OSSL_FUNC_CORE_POP_ERROR_TO_MARK:
            core->pop_error_to_mark = OSSL_FUNC_core_pop_error_to_mark(in);
            break;
        case OSSL_FUNC_PROVIDER_REGISTER_CHILD_CB:
            core->register_child_cb = OSSL_FUNC_provider_register_child_cb(in);
            break;
        case OSSL_FUNC_PROVIDER_DEREGISTER_CHILD_CB:
            core->deregister_child_cb = OSSL_FUNC_provider_deregister_child_cb(in);
            break;
        case OSSL_FUNC_PROVIDER_NAME:
            core->provider_name = OSSL_FUNC_provider_name(in);
            break;
        default:
            break;
        }
}

static bool host_prepare(struct provider *provider)
{
    provider->host = OSSL_PROVIDER_load(provider->libctx, "default");
    provider->digests = digests_new(provider->libctx);
    for (int type = 0; type < KEY_TYPES; type++) {
        provider->host_keymgmt[type] = EVP_KEYMGMT_fetch(provider->libctx, key_type_name((enum key_type)type), NULL);
        if (provider->host_keymgmt[type] == NULL)
            return false;
    }
    provider->tables = keymgmt_tables_new(provider);
    return provider->host != NULL && provider->digests != NULL && provider->tables != NULL;
}

/* "3.5.9" and the like; 3.0 when the core does not tell. */
static unsigned core_version(const struct provider *provider)
{
    char *text = NULL;
    unsigned major = 3, minor = 0;
    OSSL_PARAM query[] = {OSSL_PARAM_utf8_ptr(OSSL_PROV_PARAM_CORE_VERSION, &text, 0), OSSL_PARAM_END};

    if (provider->core.get_params == NULL || !provider->core.get_params(provider->handle, query) || text == NULL ||
        sscanf(text, "%u.%u", &major, &minor) != 2)
        return CORE_VERSION(3, 0);
    return CORE_VERSION(major, minor);
}

struct provider *provider_new(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in)
{
    struct provider *provider = OPENSSL_zalloc(sizeof(*provider));
    if (provider == NULL)
        return NULL;
    provider->handle = handle;
    provider->trace_fd = -1;
    core_take(&provider->core, in);
    provider->core_version = core_version(provider);
    provider->libctx = OSSL_LIB_CTX_new_from_dispatch(handle, in);
    if (provider->libctx == NULL || !host_prepare(provider)) {
        provider_free(provider);
        return NULL;
    }
    provider_configure(provider);
    return provider;
}

void provider_free(struct provider *provider)
{
    if (provider == NULL)
        return;
    azihsm_client_free(provider->client);
    keymgmt_tables_free(provider->tables);
    for (int type = 0; type < KEY_TYPES; type++)
        EVP_KEYMGMT_free(provider->host_keymgmt[type]);
    if (provider->digests != NULL)
        digests_free(provider->digests);
    if (provider->host != NULL)
        OSSL_PROVIDER_unload(provider->host);
    OSSL_LIB_CTX_free(provider->libctx);
    config_free(&provider->config);
    if (provider->trace_fd >= 0)
        close(provider->trace_fd);
    OPENSSL_free(provider);
}

OSSL_LIB_CTX *provider_libctx(const struct provider *provider)
{
    return provider->libctx;
}

const struct config *provider_config(const struct provider *provider)
{
    return &provider->config;
}

unsigned provider_core_version(const struct provider *provider)
{
    return provider->core_version;
}

struct digests *provider_digests(const struct provider *provider)
{
    return provider->digests;
}

EVP_KEYMGMT *provider_host_keymgmt(const struct provider *provider, int type)
{
    return provider->host_keymgmt[type];
}

const struct keymgmt_tables *provider_keymgmt_tables(const struct provider *provider)
{
    return provider->tables;
}

BIO *provider_bio(const struct provider *provider, OSSL_CORE_BIO *core_bio)
{
    BIO *bio = BIO_new_from_core_bio(provider->libctx, core_bio);
    if (bio == NULL)
        raise_error(provider, REASON_NO_MEMORY, "no BIO over the application's");
    return bio;
}

const char *provider_wrong(const struct provider *provider)
{
    return provider->wrong[0] == '\0' ? NULL : provider->wrong;
}

int provider_ready(const struct provider *provider)
{
    const char *wrong = provider_wrong(provider);
    return wrong == NULL ? 1 : raise_error(provider, REASON_CONFIGURATION, "%s", wrong);
}

static void trace_line(void *arg, enum azihsm_trace_category category, const char *line)
{
    trace(arg, category, "%s", line);
}

static azihsm_rc client_make(struct provider *provider, const struct device_choice *choice,
                             struct azihsm_client **client, struct azihsm_error *err)
{
    const struct config *config = &provider->config;
    struct azihsm_client_config wanted = {
        .device = choice->device != NULL ? choice->device : config->device,
        .partition = choice->partition != NULL ? choice->partition : config->partition,
        .pin_source = choice->pin_source != NULL ? choice->pin_source : config->pin_source,
        .timeout_ms = config->timeout_ms,
        .autostart = config->autostart != 0,
        .trace = config->trace != 0 ? trace_line : NULL,
        .trace_arg = provider,
        .trace_categories = config->trace,
    };
    if (config->async)
        wanted.async = async_hooks;
    if (provider->wrong[0] != '\0')
        return azihsm_error_set(err, AZIHSM_E_CONFIG, "%s", provider->wrong);
    return azihsm_client_new(&wanted, client, err);
}

/* Whoever is first sets it; no lock, because a process may be forked at any moment of this. */
static azihsm_rc client_default(struct provider *provider, struct azihsm_client **client, struct azihsm_error *err)
{
    struct azihsm_client *mine = NULL;
    azihsm_rc rc;
    *client = __atomic_load_n(&provider->client, __ATOMIC_ACQUIRE);
    if (*client != NULL)
        return AZIHSM_OK;
    rc = client_make(provider, &(struct device_choice){0}, &mine, err);
    if (rc != AZIHSM_OK)
        return rc;
    if (__atomic_compare_exchange_n(&provider->client, client, mine, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
        *client = mine;
        provider_warn_alone(provider);
    } else
        azihsm_client_free(mine);
    return AZIHSM_OK;
}

int provider_client(struct provider *provider, struct azihsm_client **client)
{
    struct azihsm_error err = {0};
    if (!provider_ready(provider))
        return 0;
    if (client_default(provider, client, &err) != AZIHSM_OK)
        return raise_device(provider, &err, "device");
    return 1;
}

azihsm_rc provider_client_for(struct provider *provider, const struct device_choice *choice,
                              struct azihsm_client **client, struct azihsm_error *err)
{
    if (choice->device != NULL || choice->partition != NULL || choice->pin_source != NULL)
        return client_make(provider, choice, client, err);
    azihsm_rc rc = client_default(provider, client, err);
    if (rc == AZIHSM_OK)
        azihsm_client_up_ref(*client);
    return rc;
}
