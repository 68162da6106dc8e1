/*
 * Key management of EC keys: P-256, P-384, P-521 in the device; carried keys on every curve libcrypto has.
 */
#include "algorithms.h"
#include "keymgmt.h"

#include <openssl/core_names.h>

static OSSL_FUNC_keymgmt_new_fn ec_new;
static OSSL_FUNC_keymgmt_gen_init_fn ec_gen_init_carried;
static OSSL_FUNC_keymgmt_gen_init_fn ec_gen_init_device;
static OSSL_FUNC_keymgmt_gettable_params_fn ec_gettable;
static OSSL_FUNC_keymgmt_settable_params_fn ec_settable;
static OSSL_FUNC_keymgmt_import_types_fn ec_types;
static OSSL_FUNC_keymgmt_query_operation_name_fn ec_operation;

static void *ec_new(void *provctx)
{
    return key_new(provctx, KEY_EC);
}

static void *ec_gen_init_carried(void *provctx, int selection, const OSSL_PARAM params[])
{
    return keymgmt_gen_init(provctx, KEY_EC, false, selection, params);
}

static void *ec_gen_init_device(void *provctx, int selection, const OSSL_PARAM params[])
{
    return keymgmt_gen_init(provctx, KEY_EC, true, selection, params);
}

static const OSSL_PARAM *ec_gettable(void *provctx)
{
    return keymgmt_gettable(provctx, KEY_EC);
}

static const OSSL_PARAM *ec_settable(void *provctx)
{
    return keymgmt_settable(provctx, KEY_EC);
}

static const char *ec_operation(int operation_id)
{
    switch (operation_id) {
    case OSSL_OP_SIGNATURE:
        return "ECDSA";
    case OSSL_OP_KEYEXCH:
        return "ECDH";
    default:
        return NULL;
    }
}

/* ---- what import takes and export gives, one array per combination that makes sense ---- */

#define EC_DOMAIN                                                                                                      \
    OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),                                                       \
        OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_EC_ENCODING, NULL, 0),                                                  \
        OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT, NULL, 0),                                   \
        OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_EC_FIELD_TYPE, NULL, 0), OSSL_PARAM_BN(OSSL_PKEY_PARAM_EC_P, NULL, 0),  \
        OSSL_PARAM_BN(OSSL_PKEY_PARAM_EC_A, NULL, 0), OSSL_PARAM_BN(OSSL_PKEY_PARAM_EC_B, NULL, 0),                    \
        OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_EC_GENERATOR, NULL, 0),                                                \
        OSSL_PARAM_BN(OSSL_PKEY_PARAM_EC_ORDER, NULL, 0), OSSL_PARAM_BN(OSSL_PKEY_PARAM_EC_COFACTOR, NULL, 0),         \
        OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_EC_SEED, NULL, 0)
#define EC_PUBLIC  OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, NULL, 0)
#define EC_PRIVATE OSSL_PARAM_BN(OSSL_PKEY_PARAM_PRIV_KEY, NULL, 0)
#define EC_OTHER                                                                                                       \
    OSSL_PARAM_int(OSSL_PKEY_PARAM_USE_COFACTOR_ECDH, NULL), OSSL_PARAM_int(OSSL_PKEY_PARAM_EC_INCLUDE_PUBLIC, NULL)

static const OSSL_PARAM types_domain[] = {EC_DOMAIN, OSSL_PARAM_END};
static const OSSL_PARAM types_other[] = {EC_OTHER, OSSL_PARAM_END};
static const OSSL_PARAM types_all_domain[] = {EC_DOMAIN, EC_OTHER, OSSL_PARAM_END};
static const OSSL_PARAM types_public[] = {EC_PUBLIC, OSSL_PARAM_END};
static const OSSL_PARAM types_private[] = {EC_PRIVATE, OSSL_PARAM_END};
static const OSSL_PARAM types_pair[] = {EC_PUBLIC, EC_PRIVATE, OSSL_PARAM_END};
static const OSSL_PARAM types_public_domain[] = {EC_DOMAIN, EC_OTHER, EC_PUBLIC, OSSL_PARAM_END};
static const OSSL_PARAM types_private_domain[] = {EC_DOMAIN, EC_OTHER, EC_PRIVATE, OSSL_PARAM_END};
static const OSSL_PARAM types_everything[] = {EC_DOMAIN, EC_OTHER, EC_PUBLIC, EC_PRIVATE, OSSL_PARAM_END};

static const OSSL_PARAM *ec_types(int selection)
{
    static const OSSL_PARAM *const pairs[] = {NULL, types_private, types_public, types_pair};
    static const OSSL_PARAM *const whole[] = {types_all_domain, types_private_domain, types_public_domain,
                                              types_everything};
    int pair = ((selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) != 0 ? 1 : 0) |
               ((selection & OSSL_KEYMGMT_SELECT_PUBLIC_KEY) != 0 ? 2 : 0);
    bool domain = (selection & OSSL_KEYMGMT_SELECT_DOMAIN_PARAMETERS) != 0;
    bool other = (selection & OSSL_KEYMGMT_SELECT_OTHER_PARAMETERS) != 0;
    if (pair == 0 && domain != other)
        return domain ? types_domain : types_other;
    return domain || other ? whole[pair] : pairs[pair];
}

/* clang-format off */
#define EC_ROWS(gen_init)                                                                                              \
    {                                                                                                                  \
        KEYMGMT_ROW(OSSL_FUNC_KEYMGMT_NEW, ec_new), KEYMGMT_ROW(OSSL_FUNC_KEYMGMT_GEN_INIT, gen_init),                 \
        KEYMGMT_ROW(OSSL_FUNC_KEYMGMT_GETTABLE_PARAMS, ec_gettable),                                                   \
        KEYMGMT_ROW(OSSL_FUNC_KEYMGMT_SETTABLE_PARAMS, ec_settable),                                                   \
        KEYMGMT_ROW(OSSL_FUNC_KEYMGMT_IMPORT_TYPES, ec_types), KEYMGMT_ROW(OSSL_FUNC_KEYMGMT_EXPORT_TYPES, ec_types),  \
        KEYMGMT_ROW(OSSL_FUNC_KEYMGMT_QUERY_OPERATION_NAME, ec_operation), KEYMGMT_COMMON, {0, NULL}                   \
    }
/* clang-format on */

const OSSL_DISPATCH keymgmt_ec_carried[] = EC_ROWS(ec_gen_init_carried);
const OSSL_DISPATCH keymgmt_ec_device[] = EC_ROWS(ec_gen_init_device);
