/*
 * Key generation. Every context drives a generation context of the default provider, which judges all parameters and
 * makes carried keys; device generation (gen_device.c) takes from the accepted parameters what the device must know.
 */
#include "gen.h"
#include "keymgmt.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/params.h>

/* A fresh generation context of the default provider, from the template when there is one. */
static int host_start(struct gen *gen, EVP_PKEY *template)
{
    OSSL_LIB_CTX *libctx = provider_libctx(gen->provider);
    EVP_PKEY_CTX_free(gen->host);
    gen->host = template != NULL ? EVP_PKEY_CTX_new_from_pkey(libctx, template, NULL)
                                 : EVP_PKEY_CTX_new_from_name(libctx, key_type_name(gen->type), NULL);
    if (gen->host == NULL)
        return 0;
    if ((gen->selection & OSSL_KEYMGMT_SELECT_KEYPAIR) != 0)
        return EVP_PKEY_keygen_init(gen->host) > 0;
    return EVP_PKEY_paramgen_init(gen->host) > 0;
}

void *keymgmt_gen_init(void *provctx, enum key_type type, bool device, int selection, const OSSL_PARAM params[])
{
    struct gen *gen = OPENSSL_zalloc(sizeof(*gen));
    if (gen == NULL)
        return NULL;
    gen->provider = provctx;
    gen->type = type;
    gen->selection = selection;
    gen->device = device && (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) != 0;
    if (host_start(gen, NULL) && keymgmt_gen_set_params(gen, params))
        return gen;
    keymgmt_gen_cleanup(gen);
    return NULL;
}

void keymgmt_gen_cleanup(void *genctx)
{
    struct gen *gen = genctx;
    if (gen == NULL)
        return;
    EVP_PKEY_CTX_free(gen->host);
    OSSL_PARAM_free(gen->given);
    genoptions_clear(&gen->options);
    OPENSSL_free(gen);
}

/* Deep copy of first overridden by second (OSSL_PARAM_merge alone copies no data), in place of gen->given. */
static int keep_given(struct gen *gen, const OSSL_PARAM *first, const OSSL_PARAM *second)
{
    OSSL_PARAM *merged = OSSL_PARAM_merge(first, second), *all = merged == NULL ? NULL : OSSL_PARAM_dup(merged);
    OSSL_PARAM_free(merged);
    if (all == NULL)
        return raise_error(gen->provider, REASON_NO_MEMORY, "generation parameters");
    OSSL_PARAM_free(gen->given);
    gen->given = all;
    return 1;
}

/* The parameters of the template, which may be a device key, stand for group and restrictions. */
int keymgmt_gen_set_template(void *genctx, void *template)
{
    struct gen *gen = genctx;
    const struct key *key = template;
    OSSL_PARAM *params = NULL;
    int ok;
    if (key == NULL || key_inner(key) == NULL)
        return raise_error(gen->provider, REASON_PARAMETER, "the template is empty");
    ok = host_start(gen, key_inner(key)) && (gen->given == NULL || EVP_PKEY_CTX_set_params(gen->host, gen->given) > 0);
    if (ok && gen->device && EVP_PKEY_todata(key_inner(key), OSSL_KEYMGMT_SELECT_ALL_PARAMETERS, &params))
        ok = keep_given(gen, params, gen->given);
    OSSL_PARAM_free(params);
    return ok;
}

const OSSL_PARAM *keymgmt_gen_settable_params(void *genctx, void *provctx)
{
    const struct gen *gen = genctx;
    return keymgmt_gen_settable(provctx, gen->type);
}

int keymgmt_gen_set_params(void *genctx, const OSSL_PARAM params[])
{
    struct gen *gen = genctx;
    if (params == NULL || params->key == NULL)
        return 1;
    if (!gen->device && genoptions_present(params))
        return raise_error(gen->provider, REASON_PARAMETER,
                           "azihsm.* options are for device keys: ask for one with the property query provider=azihsm");
    if (!genoptions_set(gen->provider, &gen->options, params) || EVP_PKEY_CTX_set_params(gen->host, params) <= 0)
        return 0;
    return keep_given(gen, gen->given, params);
}

/* ---- on the host ---- */

static int progress(EVP_PKEY_CTX *ctx)
{
    const struct gen *gen = EVP_PKEY_CTX_get_app_data(ctx);
    int potential = EVP_PKEY_CTX_get_keygen_info(ctx, 0), iteration = EVP_PKEY_CTX_get_keygen_info(ctx, 1);
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_int(OSSL_GEN_PARAM_POTENTIAL, &potential),
        OSSL_PARAM_construct_int(OSSL_GEN_PARAM_ITERATION, &iteration),
        OSSL_PARAM_construct_end(),
    };
    return gen->callback(params, gen->callback_arg);
}

EVP_PKEY *gen_on_host(struct gen *gen)
{
    EVP_PKEY *inner = NULL;
    if (gen->callback != NULL) {
        EVP_PKEY_CTX_set_app_data(gen->host, gen);
        EVP_PKEY_CTX_set_cb(gen->host, progress);
    }
    return EVP_PKEY_generate(gen->host, &inner) > 0 ? inner : NULL;
}

static struct key *generate_carried(struct gen *gen)
{
    struct key *key = key_new(gen->provider, gen->type);
    EVP_PKEY *inner = key == NULL ? NULL : gen_on_host(gen);
    if (inner != NULL && key_set_inner(key, inner))
        return key;
    key_free(key);
    return NULL;
}

void *keymgmt_gen(void *genctx, OSSL_CALLBACK *callback, void *arg)
{
    struct gen *gen = genctx;
    gen->callback = callback;
    gen->callback_arg = arg;
    return gen->device ? gen_in_device(gen) : generate_carried(gen);
}
