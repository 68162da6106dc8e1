/*
 * Key management of RSA and RSA-PSS keys: 2048, 3072, 4096 bits in the device; carried keys of any size libcrypto has.
 */
#include "algorithms.h"
#include "keymgmt.h"

#include <openssl/core_names.h>

static OSSL_FUNC_keymgmt_import_types_fn rsa_types, pss_types;
static OSSL_FUNC_keymgmt_query_operation_name_fn rsa_operation;

/* The two types differ in their type only: one set of thin functions each, spelled once. */
#define RSA_FUNCTIONS(prefix, type)                                                                                    \
    static OSSL_FUNC_keymgmt_new_fn prefix##_new;                                                                      \
    static OSSL_FUNC_keymgmt_gen_init_fn prefix##_gen_init_carried, prefix##_gen_init_device;                          \
    static OSSL_FUNC_keymgmt_gettable_params_fn prefix##_gettable;                                                     \
    static OSSL_FUNC_keymgmt_settable_params_fn prefix##_settable;                                                     \
    static void *prefix##_new(void *provctx)                                                                           \
    {                                                                                                                  \
        return key_new(provctx, type);                                                                                 \
    }                                                                                                                  \
    static void *prefix##_gen_init_carried(void *provctx, int selection, const OSSL_PARAM params[])                    \
    {                                                                                                                  \
        return keymgmt_gen_init(provctx, type, false, selection, params);                                              \
    }                                                                                                                  \
    static void *prefix##_gen_init_device(void *provctx, int selection, const OSSL_PARAM params[])                     \
    {                                                                                                                  \
        return keymgmt_gen_init(provctx, type, true, selection, params);                                               \
    }                                                                                                                  \
    static const OSSL_PARAM *prefix##_gettable(void *provctx)                                                          \
    {                                                                                                                  \
        return keymgmt_gettable(provctx, type);                                                                        \
    }                                                                                                                  \
    static const OSSL_PARAM *prefix##_settable(void *provctx)                                                          \
    {                                                                                                                  \
        return keymgmt_settable(provctx, type);                                                                        \
    }

RSA_FUNCTIONS(rsa, KEY_RSA)
RSA_FUNCTIONS(pss, KEY_RSA_PSS)

/* Both types are used by the same implementations, named RSA. */
static const char *rsa_operation(int operation_id)
{
    (void)operation_id;
    return "RSA";
}

/* ---- what import takes and export gives ---- */

#define RSA_PUBLIC OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_N, NULL, 0), OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_E, NULL, 0)
#define RSA_MANY(name)                                                                                                 \
    OSSL_PARAM_BN(name "1", NULL, 0), OSSL_PARAM_BN(name "2", NULL, 0), OSSL_PARAM_BN(name "3", NULL, 0),              \
        OSSL_PARAM_BN(name "4", NULL, 0), OSSL_PARAM_BN(name "5", NULL, 0), OSSL_PARAM_BN(name "6", NULL, 0),          \
        OSSL_PARAM_BN(name "7", NULL, 0), OSSL_PARAM_BN(name "8", NULL, 0), OSSL_PARAM_BN(name "9", NULL, 0)
#define RSA_PRIVATE                                                                                                    \
    OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_D, NULL, 0), RSA_MANY(OSSL_PKEY_PARAM_RSA_FACTOR),                               \
        OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_FACTOR10, NULL, 0), RSA_MANY(OSSL_PKEY_PARAM_RSA_EXPONENT),                  \
        OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_EXPONENT10, NULL, 0), RSA_MANY(OSSL_PKEY_PARAM_RSA_COEFFICIENT)
#define RSA_RESTRICTIONS                                                                                               \
    OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_RSA_DIGEST, NULL, 0),                                                       \
        OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_RSA_MGF1_DIGEST, NULL, 0),                                              \
        OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_RSA_MASKGENFUNC, NULL, 0),                                              \
        OSSL_PARAM_int(OSSL_PKEY_PARAM_RSA_PSS_SALTLEN, NULL)

static const OSSL_PARAM rsa_types_public[] = {RSA_PUBLIC, OSSL_PARAM_END};
static const OSSL_PARAM rsa_types_pair[] = {RSA_PUBLIC, RSA_PRIVATE, OSSL_PARAM_END};
static const OSSL_PARAM pss_types_params[] = {RSA_RESTRICTIONS, OSSL_PARAM_END};
static const OSSL_PARAM pss_types_public[] = {RSA_PUBLIC, RSA_RESTRICTIONS, OSSL_PARAM_END};
static const OSSL_PARAM pss_types_pair[] = {RSA_PUBLIC, RSA_PRIVATE, RSA_RESTRICTIONS, OSSL_PARAM_END};

/* A private RSA key never comes without n. */
static const OSSL_PARAM *rsa_types(int selection)
{
    if ((selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) != 0)
        return rsa_types_pair;
    return (selection & OSSL_KEYMGMT_SELECT_PUBLIC_KEY) != 0 ? rsa_types_public : NULL;
}

static const OSSL_PARAM *pss_types(int selection)
{
    if ((selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) != 0)
        return pss_types_pair;
    if ((selection & OSSL_KEYMGMT_SELECT_PUBLIC_KEY) != 0)
        return pss_types_public;
    return (selection & OSSL_KEYMGMT_SELECT_OTHER_PARAMETERS) != 0 ? pss_types_params : NULL;
}

/* clang-format off */
#define RSA_ROWS(prefix, gen_init)                                                                                     \
    {                                                                                                                  \
        KEYMGMT_ROW(OSSL_FUNC_KEYMGMT_NEW, prefix##_new), KEYMGMT_ROW(OSSL_FUNC_KEYMGMT_GEN_INIT, gen_init),           \
        KEYMGMT_ROW(OSSL_FUNC_KEYMGMT_GETTABLE_PARAMS, prefix##_gettable),                                             \
        KEYMGMT_ROW(OSSL_FUNC_KEYMGMT_SETTABLE_PARAMS, prefix##_settable),                                             \
        KEYMGMT_ROW(OSSL_FUNC_KEYMGMT_IMPORT_TYPES, prefix##_types),                                                   \
        KEYMGMT_ROW(OSSL_FUNC_KEYMGMT_EXPORT_TYPES, prefix##_types),                                                   \
        KEYMGMT_ROW(OSSL_FUNC_KEYMGMT_QUERY_OPERATION_NAME, rsa_operation), KEYMGMT_COMMON, {0, NULL}                  \
    }
/* clang-format on */

const OSSL_DISPATCH keymgmt_rsa_carried[] = RSA_ROWS(rsa, rsa_gen_init_carried);
const OSSL_DISPATCH keymgmt_rsa_device[] = RSA_ROWS(rsa, rsa_gen_init_device);
const OSSL_DISPATCH keymgmt_pss_carried[] = RSA_ROWS(pss, pss_gen_init_carried);
const OSSL_DISPATCH keymgmt_pss_device[] = RSA_ROWS(pss, pss_gen_init_device);
