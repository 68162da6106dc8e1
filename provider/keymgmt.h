/*
 * Key management: the functions that EC, RSA and RSA-PSS share. Each type adds its own new, tables of descriptors and
 * two dispatch tables (carried and device generation); see algorithms.c for why there are two.
 */
#ifndef AZIHSM_PROVIDER_KEYMGMT_H
#define AZIHSM_PROVIDER_KEYMGMT_H

#include "key.h"

#include <openssl/core_dispatch.h>

/* keymgmt_common.c */
OSSL_FUNC_keymgmt_free_fn keymgmt_free;
OSSL_FUNC_keymgmt_load_fn keymgmt_load;
OSSL_FUNC_keymgmt_has_fn keymgmt_has;
OSSL_FUNC_keymgmt_match_fn keymgmt_match;
OSSL_FUNC_keymgmt_validate_fn keymgmt_validate;
OSSL_FUNC_keymgmt_get_params_fn keymgmt_get_params;
OSSL_FUNC_keymgmt_set_params_fn keymgmt_set_params;
OSSL_FUNC_keymgmt_import_fn keymgmt_import;
OSSL_FUNC_keymgmt_export_fn keymgmt_export;
OSSL_FUNC_keymgmt_dup_fn keymgmt_dup;

/* Parameters of ours, beside those of the default provider. */
#define KEYMGMT_WHERE  "azihsm.key"    /* get: "device" or "carried" */
#define KEYMGMT_LABEL  "azihsm.label"  /* get, generate */
#define KEYMGMT_IMPORT "azihsm.import" /* import: "carry", "device" or "refuse", over the configuration */

/*
 * What happens to key material that is imported (enum import_policy): the parameter KEYMGMT_IMPORT decides, else the
 * configuration. -1 with an error raised.
 */
int keymgmt_import_policy(const struct provider *provider, const OSSL_PARAM params[]);

/* keymgmt_tables.c: descriptors of the default provider's types, followed by our own; made once per provider. */
struct keymgmt_tables;
struct keymgmt_tables *keymgmt_tables_new(const struct provider *provider);
void keymgmt_tables_free(struct keymgmt_tables *tables);
const OSSL_PARAM *keymgmt_gettable(const struct provider *provider, enum key_type type);
const OSSL_PARAM *keymgmt_settable(const struct provider *provider, enum key_type type);
const OSSL_PARAM *keymgmt_gen_settable(const struct provider *provider, enum key_type type);

/* keymgmt_gen.c. device: whether a key with a private half is made in the device. */
void *keymgmt_gen_init(void *provctx, enum key_type type, bool device, int selection, const OSSL_PARAM params[]);
OSSL_FUNC_keymgmt_gen_set_template_fn keymgmt_gen_set_template;
OSSL_FUNC_keymgmt_gen_set_params_fn keymgmt_gen_set_params;
OSSL_FUNC_keymgmt_gen_settable_params_fn keymgmt_gen_settable_params;
OSSL_FUNC_keymgmt_gen_fn keymgmt_gen;
OSSL_FUNC_keymgmt_gen_cleanup_fn keymgmt_gen_cleanup;

/* Rows of a dispatch table that are the same for all types. */
#define KEYMGMT_ROW(id, function)                                                                                      \
    {                                                                                                                  \
        (id), (void (*)(void))(function)                                                                               \
    }
#define KEYMGMT_COMMON                                                                                                 \
    KEYMGMT_ROW(OSSL_FUNC_KEYMGMT_FREE, keymgmt_free), KEYMGMT_ROW(OSSL_FUNC_KEYMGMT_LOAD, keymgmt_load),              \
        KEYMGMT_ROW(OSSL_FUNC_KEYMGMT_HAS, keymgmt_has), KEYMGMT_ROW(OSSL_FUNC_KEYMGMT_MATCH, keymgmt_match),          \
        KEYMGMT_ROW(OSSL_FUNC_KEYMGMT_VALIDATE, keymgmt_validate),                                                     \
        KEYMGMT_ROW(OSSL_FUNC_KEYMGMT_GET_PARAMS, keymgmt_get_params),                                                 \
        KEYMGMT_ROW(OSSL_FUNC_KEYMGMT_SET_PARAMS, keymgmt_set_params),                                                 \
        KEYMGMT_ROW(OSSL_FUNC_KEYMGMT_IMPORT, keymgmt_import), KEYMGMT_ROW(OSSL_FUNC_KEYMGMT_EXPORT, keymgmt_export),  \
        KEYMGMT_ROW(OSSL_FUNC_KEYMGMT_DUP, keymgmt_dup),                                                               \
        KEYMGMT_ROW(OSSL_FUNC_KEYMGMT_GEN_SET_TEMPLATE, keymgmt_gen_set_template),                                     \
        KEYMGMT_ROW(OSSL_FUNC_KEYMGMT_GEN_SET_PARAMS, keymgmt_gen_set_params),                                         \
        KEYMGMT_ROW(OSSL_FUNC_KEYMGMT_GEN_SETTABLE_PARAMS, keymgmt_gen_settable_params),                               \
        KEYMGMT_ROW(OSSL_FUNC_KEYMGMT_GEN, keymgmt_gen),                                                               \
        KEYMGMT_ROW(OSSL_FUNC_KEYMGMT_GEN_CLEANUP, keymgmt_gen_cleanup)

#endif
