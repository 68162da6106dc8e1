/*
 * Where configuration comes from: the core answers for keys we name, but cannot be asked for the keys it has. So that
 * a misspelt key does not pass in silence, the names that stand in provider sections of the default configuration file
 * are put to the core; what it answers for is configured for us, and must be a key we know.
 */
#include "provider_local.h"

#include <openssl/conf.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/params.h>
#include <stdio.h>
#include <string.h>

static const char *core_value(void *arg, const char *name)
{
    const struct provider *provider = arg;
    char *value = NULL;
    OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_ptr(name, &value, 0), OSSL_PARAM_END};
    if (provider->core.get_params == NULL || !provider->core.get_params(provider->handle, params))
        return NULL;
    return value;
}

static void complain(struct provider *provider, const char *name)
{
    const char *similar = config_similar(name);
    char names[160];
    config_names(names, sizeof(names));
    if (provider->wrong[0] == '\0')
        snprintf(provider->wrong, sizeof(provider->wrong),
                 "%.60s: the provider's section of openssl.cnf has no such key (%s%s%s)", name,
                 similar == NULL ? "there are " : "did you mean ", similar == NULL ? names : similar,
                 similar == NULL ? "" : "?");
}

/* Every key of one provider's section, and of sections below it ("a.b" is how the core names their keys). */
static void check_section(struct provider *provider, const CONF *conf, const char *section, const char *prefix,
                          int depth)
{
    const STACK_OF(CONF_VALUE) *values = NCONF_get_section(conf, section);
    for (int i = 0; depth > 0 && i < sk_CONF_VALUE_num(values); i++) {
        const CONF_VALUE *entry = sk_CONF_VALUE_value(values, i);
        char name[128];
        if (snprintf(name, sizeof(name), "%s%s", prefix, entry->name) >= (int)sizeof(name) - 1)
            continue;
        const char *value = core_value(provider, name);
        if (value != NULL && strcmp(value, entry->value) == 0 && !config_is_known(name))
            complain(provider, name);
        if (NCONF_get_section(conf, entry->value) != NULL && strcmp(entry->value, section) != 0) {
            char below[sizeof(name) + 1];
            snprintf(below, sizeof(below), "%s.", name);
            check_section(provider, conf, entry->value, below, depth - 1);
        }
    }
}

/* default section: openssl_conf (or an application's own name) -> its "providers" -> one section per provider */
static void check_file(struct provider *provider, const CONF *conf)
{
    const STACK_OF(CONF_VALUE) *tops = NCONF_get_section(conf, "default");
    for (int i = 0; i < sk_CONF_VALUE_num(tops); i++) {
        const char *top = sk_CONF_VALUE_value(tops, i)->value;
        const char *list = NCONF_get_section(conf, top) == NULL ? NULL : NCONF_get_string(conf, top, "providers");
        const STACK_OF(CONF_VALUE) *providers = list == NULL ? NULL : NCONF_get_section(conf, list);
        for (int j = 0; j < sk_CONF_VALUE_num(providers); j++)
            check_section(provider, conf, sk_CONF_VALUE_value(providers, j)->value, "", 3);
    }
}

static void check_unknown(struct provider *provider)
{
    char *path = CONF_get1_default_config_file();
    CONF *conf = NCONF_new_ex(provider->libctx, NULL);
    error_mark(provider);
    if (path != NULL && conf != NULL && NCONF_load(conf, path, NULL) > 0)
        check_file(provider, conf);
    error_pop(provider);
    NCONF_free(conf);
    OPENSSL_free(path);
}

/* What is in force, defaults included. pin-source is a path. */
static void trace_configuration(const struct provider *provider)
{
    const struct config *config = &provider->config;
    trace(provider, AZIHSM_TRACE_CONFIG,
          "device %s, partition %s, pin-source %s, keys %s, symmetric %s, async %s, autostart %s, timeout %u ms",
          config->device == NULL ? "auto" : config->device, config->partition == NULL ? "default" : config->partition,
          config->pin_source == NULL ? "none" : config->pin_source, config->keys, config->symmetric ? "yes" : "no",
          config->async ? "yes" : "no", config->autostart ? "yes" : "no", config->timeout_ms);
}

void provider_configure(struct provider *provider)
{
    (void)config_parse(&provider->config, core_value, provider, provider->wrong, sizeof(provider->wrong));
    check_unknown(provider);
    if (provider->wrong[0] != '\0') {
        fprintf(stderr, "azihsm: configuration: %s\n", provider->wrong);
        trace(provider, AZIHSM_TRACE_CONFIG, "%s", provider->wrong);
    } else
        trace_configuration(provider);
}

/* ---- is anybody there for digests and verification? (activating us ends the implicit activation of default) ---- */

struct neighbours {
    struct provider *provider;
    bool found;
};

static int neighbour(const OSSL_CORE_HANDLE *handle, void *arg)
{
    struct neighbours *neighbours = arg;
    const char *name = neighbours->provider->core.provider_name(handle);
    neighbours->found = neighbours->found || strcmp(name, "default") == 0 || strcmp(name, "fips") == 0;
    return 1;
}

static int neighbour_left(const OSSL_CORE_HANDLE *handle, void *arg)
{
    (void)handle, (void)arg;
    return 1;
}

static int properties_changed(const char *properties, void *arg)
{
    (void)properties, (void)arg;
    return 1;
}

void provider_warn_alone(struct provider *provider)
{
    const struct core *core = &provider->core;
    struct neighbours neighbours = {.provider = provider};
    if (!trace_on(provider, AZIHSM_TRACE_CONFIG) || core->register_child_cb == NULL ||
        core->deregister_child_cb == NULL || core->provider_name == NULL)
        return;
    if (!core->register_child_cb(provider->handle, neighbour, neighbour_left, properties_changed, &neighbours))
        return;
    core->deregister_child_cb(provider->handle);
    if (!neighbours.found)
        trace(
            provider, AZIHSM_TRACE_CONFIG,
            "neither the default nor the fips provider is active: add 'default = default_section' with 'activate = 1' "
            "to openssl.cnf, or digests and certificates will not work");
}
