/*
 * What the provider's own files (provider, error, trace) know about its inside; nobody else includes this.
 */
#ifndef AZIHSM_PROVIDER_LOCAL_H
#define AZIHSM_PROVIDER_LOCAL_H

#include "config.h"
#include "provider.h"

#include <openssl/core_dispatch.h>

/* The core's functions that we call; NULL where an unusual core does not offer one. */
struct core {
    OSSL_FUNC_core_get_params_fn *get_params;
    OSSL_FUNC_core_new_error_fn *new_error;
    OSSL_FUNC_core_set_error_debug_fn *set_error_debug;
    OSSL_FUNC_core_vset_error_fn *vset_error;
    OSSL_FUNC_core_set_error_mark_fn *set_error_mark;
    OSSL_FUNC_core_pop_error_to_mark_fn *pop_error_to_mark;
    OSSL_FUNC_provider_register_child_cb_fn *register_child_cb;
    OSSL_FUNC_provider_deregister_child_cb_fn *deregister_child_cb;
    OSSL_FUNC_provider_name_fn *provider_name;
};

struct provider {
    const OSSL_CORE_HANDLE *handle;
    struct core core;
    OSSL_LIB_CTX *libctx;
    OSSL_PROVIDER *host; /* `default` in libctx */
    struct digests *digests;
    EVP_KEYMGMT *host_keymgmt[3]; /* by enum key_type */
    struct keymgmt_tables *tables;
    struct config config;
    char wrong[320]; /* the configuration's error, "" when it is good */
    struct azihsm_client *client;
    unsigned core_version;
    int trace_fd; /* -1 until the first line */
};

struct provider *provider_new(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in);
void provider_free(struct provider *provider);

/* configuration.c: fills config and wrong from the core; says once on stderr what is wrong. */
void provider_configure(struct provider *provider);
/* configuration.c: traces a warning when neither default nor fips is active in the application's context (C-11). */
void provider_warn_alone(struct provider *provider);

/* capabilities.c */
int capabilities_get(const struct provider *provider, const char *capability, OSSL_CALLBACK *callback, void *arg);

#endif
