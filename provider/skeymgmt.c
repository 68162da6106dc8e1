/*
 * Managers of opaque symmetric keys (OSSL_OP_SKEYMGMT, OpenSSL 3.5 and newer): one for each cipher of ours, one for AES
 * of any mode, one for HMAC and one for any secret. A key is named by its azihsm: URI ("azihsm.key"), generated in the
 * device, or given as bytes; bytes stay here, as they do in the default provider, unless "azihsm.import" or the
 * configuration sends them into the device.
 */
#include "algorithms.h"
#include "genoptions.h"
#include "keymgmt.h"
#include "skey.h"
#include "symkey.h"

#include <openssl/params.h>

#define CBC_KINDS AZIHSM_KEY_AES128, AZIHSM_KEY_AES192, AZIHSM_KEY_AES256
#define GCM_KINDS AZIHSM_KEY_AES_GCM_BULK256, AZIHSM_KEY_AES_GCM_BULK256_UNAPPROVED
#define HMAC_KINDS                                                                                                     \
    AZIHSM_KEY_HMAC_SHA256, AZIHSM_KEY_HMAC_SHA384, AZIHSM_KEY_HMAC_SHA512, AZIHSM_KEY_VAR_HMAC256,                    \
        AZIHSM_KEY_VAR_HMAC384, AZIHSM_KEY_VAR_HMAC512

static const struct skey_manager aes = {"AES", SYMKIND_CBC, 0, 32, {CBC_KINDS, GCM_KINDS, AZIHSM_KEY_AES_XTS_BULK256}},
                                 aes128_cbc = {"AES-128-CBC", SYMKIND_CBC, 16, 16, {AZIHSM_KEY_AES128}},
                                 aes192_cbc = {"AES-192-CBC", SYMKIND_CBC, 24, 24, {AZIHSM_KEY_AES192}},
                                 aes256_cbc = {"AES-256-CBC", SYMKIND_CBC, 32, 32, {AZIHSM_KEY_AES256}},
                                 aes256_gcm = {"AES-256-GCM", SYMKIND_GCM, 32, 32, {GCM_KINDS}},
                                 aes256_xts = {"AES-256-XTS", SYMKIND_XTS, 64, 64, {AZIHSM_KEY_AES_XTS_BULK256}},
                                 hmac = {"HMAC", SYMKIND_HMAC, 0, 32, {HMAC_KINDS}},
                                 generic = {"GENERIC-SECRET",
                                            SYMKIND_HMAC,
                                            0,
                                            32,
                                            {CBC_KINDS, GCM_KINDS, AZIHSM_KEY_AES_XTS_BULK256, HMAC_KINDS,
                                             AZIHSM_KEY_SECRET256, AZIHSM_KEY_SECRET384, AZIHSM_KEY_SECRET521}};

static const struct skey_manager *manager_named(const char *name)
{
    static const struct {
        const OSSL_DISPATCH *functions;
        const struct skey_manager *manager;
    } managers[] = {
        {skeymgmt_aes_functions, &aes},
        {skeymgmt_aes128_cbc_functions, &aes128_cbc},
        {skeymgmt_aes192_cbc_functions, &aes192_cbc},
        {skeymgmt_aes256_cbc_functions, &aes256_cbc},
        {skeymgmt_aes256_gcm_functions, &aes256_gcm},
        {skeymgmt_aes256_xts_functions, &aes256_xts},
        {skeymgmt_hmac_functions, &hmac},
        {skeymgmt_generic_functions, &generic},
    };
    const OSSL_DISPATCH *functions = algorithms_skeymgmt(name);

    for (size_t i = 0; i < sizeof(managers) / sizeof(managers[0]); i++)
        if (managers[i].functions == functions)
            return managers[i].manager;
    return NULL;
}

uint32_t skeymgmt_kind(struct provider *provider, const char *type, size_t length)
{
    const struct skey_manager *manager = manager_named(type);
    const struct symkind *kind;

    if (manager == NULL)
        return (uint32_t)raise_error(provider, REASON_KEY_TYPE, "no key manager %s", type);
    if ((kind = skey_kind(provider, manager, length)) == NULL)
        return 0;
    return kind->derivable ? kind->kind
                           : (uint32_t)raise_error(provider, REASON_KEY_TYPE,
                                                   "the device does not derive keys of kind %s", kind->name);
}

/* ---- the functions that all managers share ---- */

static OSSL_FUNC_skeymgmt_free_fn skeymgmt_free;
static OSSL_FUNC_skeymgmt_export_fn skeymgmt_export;
static OSSL_FUNC_skeymgmt_get_key_id_fn skeymgmt_get_key_id;
static OSSL_FUNC_skeymgmt_imp_settable_params_fn skeymgmt_imp_settable;
static OSSL_FUNC_skeymgmt_gen_settable_params_fn skeymgmt_gen_settable;

static void skeymgmt_free(void *keydata)
{
    skey_free(keydata);
}

static int skeymgmt_export(void *keydata, int selection, OSSL_CALLBACK *callback, void *arg)
{
    const struct skey *skey = keydata;
    size_t length = skey_length(skey), used = 0;
    OSSL_PARAM params[3];

    if ((selection & OSSL_SKEYMGMT_SELECT_SECRET_KEY) != 0) {
        if (skey->key != NULL)
            return raise_error(skey->provider, REASON_NOT_EXPORTABLE, "secret key");
        params[used++] = OSSL_PARAM_construct_octet_string(OSSL_SKEY_PARAM_RAW_BYTES, skey->bytes, skey->len);
    }
    if ((selection & OSSL_SKEYMGMT_SELECT_PARAMETERS) != 0)
        params[used++] = OSSL_PARAM_construct_size_t(OSSL_SKEY_PARAM_KEY_LENGTH, &length);
    params[used] = OSSL_PARAM_construct_end();
    return callback(params, arg);
}

static const char *skeymgmt_get_key_id(void *keydata)
{
    const struct skey *skey = keydata;

    return skey->id;
}

#define OPTIONS                                                                                                        \
    OSSL_PARAM_size_t(OSSL_SKEY_PARAM_KEY_LENGTH, NULL), OSSL_PARAM_utf8_string(GENOPTION_NAME, NULL, 0),              \
        OSSL_PARAM_utf8_string(GENOPTION_LABEL, NULL, 0), OSSL_PARAM_utf8_string(GENOPTION_TAG, NULL, 0),              \
        OSSL_PARAM_utf8_string(GENOPTION_SESSION, NULL, 0)

static const OSSL_PARAM *skeymgmt_imp_settable(void *provctx)
{
    static const OSSL_PARAM list[] = {OSSL_PARAM_octet_string(OSSL_SKEY_PARAM_RAW_BYTES, NULL, 0),
                                      OSSL_PARAM_utf8_string(SYMKEY_PARAM, NULL, 0),
                                      OSSL_PARAM_utf8_string(SYMKEY_PARAM_TWEAK, NULL, 0),
                                      OSSL_PARAM_utf8_string(KEYMGMT_IMPORT, NULL, 0),
                                      OPTIONS,
                                      OSSL_PARAM_END};

    (void)provctx;
    return list;
}

static const OSSL_PARAM *skeymgmt_gen_settable(void *provctx)
{
    static const OSSL_PARAM list[] = {OPTIONS, OSSL_PARAM_END};

    (void)provctx;
    return list;
}

/* ---- one table per manager ---- */

#define SKEYMGMT_FUNCTION(id, function)                                                                                \
    {                                                                                                                  \
        OSSL_FUNC_SKEYMGMT_##id, (void (*)(void))(function)                                                            \
    }

#define SKEYMGMT(word)                                                                                                 \
    static OSSL_FUNC_skeymgmt_import_fn word##_import;                                                                 \
    static OSSL_FUNC_skeymgmt_generate_fn word##_generate;                                                             \
    static void *word##_import(void *provctx, int selection, const OSSL_PARAM params[])                                \
    {                                                                                                                  \
        return skey_import(provctx, &word, selection, params);                                                         \
    }                                                                                                                  \
    static void *word##_generate(void *provctx, const OSSL_PARAM params[])                                             \
    {                                                                                                                  \
        return skey_generate(provctx, &word, params);                                                                  \
    }                                                                                                                  \
    const OSSL_DISPATCH skeymgmt_##word##_functions[] = {                                                              \
        SKEYMGMT_FUNCTION(FREE, skeymgmt_free),                                                                        \
        SKEYMGMT_FUNCTION(IMPORT, word##_import),                                                                      \
        SKEYMGMT_FUNCTION(EXPORT, skeymgmt_export),                                                                    \
        SKEYMGMT_FUNCTION(GENERATE, word##_generate),                                                                  \
        SKEYMGMT_FUNCTION(GET_KEY_ID, skeymgmt_get_key_id),                                                            \
        SKEYMGMT_FUNCTION(IMP_SETTABLE_PARAMS, skeymgmt_imp_settable),                                                 \
        SKEYMGMT_FUNCTION(GEN_SETTABLE_PARAMS, skeymgmt_gen_settable),                                                 \
        {0, NULL},                                                                                                     \
    }

SKEYMGMT(aes);
SKEYMGMT(aes128_cbc);
SKEYMGMT(aes192_cbc);
SKEYMGMT(aes256_cbc);
SKEYMGMT(aes256_gcm);
SKEYMGMT(aes256_xts);
SKEYMGMT(hmac);
SKEYMGMT(generic);
