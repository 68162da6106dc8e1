/*
 * Key generation. Every context drives a generation context of the default provider, which judges all parameters and
 * makes carried keys; device generation takes from the accepted parameters what the device needs to know.
 * RSA keys are made in the device where it can; else, where the configuration lets us, on the host and imported.
 */
#include "config.h"
#include "genoptions.h"
#include "hostimport.h"
#include "keyload.h"
#include "keymgmt.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/decoder.h>
#include <openssl/params.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { RSA_BITS_DEFAULT = 2048, RSA_E_DEFAULT = 65537 };

struct gen {
    struct provider *provider;
    enum key_type type;
    bool device;
    int selection;
    EVP_PKEY_CTX *host;
    OSSL_PARAM *given; /* all parameters so far, the later over the earlier */
    struct genoptions options;
    OSSL_CALLBACK *callback;
    void *callback_arg;
};

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

static EVP_PKEY *host_generate(struct gen *gen)
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
    EVP_PKEY *inner = key == NULL ? NULL : host_generate(gen);
    if (inner != NULL && key_set_inner(key, inner))
        return key;
    key_free(key);
    return NULL;
}

/* ---- in the device ---- */

static struct azihsm_key *device_failed(struct gen *gen, const struct azihsm_error *err)
{
    raise_device(gen->provider, err, "key generation");
    return NULL;
}

static struct azihsm_key *generate_ec(struct gen *gen, struct azihsm_client *client)
{
    const OSSL_PARAM *p = OSSL_PARAM_locate_const(gen->given, OSSL_PKEY_PARAM_GROUP_NAME);
    const OSSL_PARAM *encoding = OSSL_PARAM_locate_const(gen->given, OSSL_PKEY_PARAM_EC_ENCODING);
    struct azihsm_key_spec spec = genoptions_spec(&gen->options);
    struct azihsm_key *device = NULL;
    struct azihsm_error err = {0};
    const char *group = NULL, *form = NULL;
    uint32_t curve = 0;

    if (p == NULL || !OSSL_PARAM_get_utf8_string_ptr(p, &group)) {
        raise_error(gen->provider, REASON_PARAMETER, "no curve: give the group P-256, P-384 or P-521");
        return NULL;
    }
    if (!key_curve_by_group(group, &curve)) {
        raise_error(gen->provider, REASON_KEY_SIZE, "%.40s: the device has P-256, P-384 and P-521 only", group);
        return NULL;
    }
    if (encoding != NULL && OSSL_PARAM_get_utf8_string_ptr(encoding, &form) && strcasecmp(form, "explicit") == 0) {
        raise_error(gen->provider, REASON_PARAMETER, "device keys name their curve: no explicit parameters");
        return NULL;
    }
    if (azihsm_key_generate_ecc(client, curve, &spec, &device, &err) != AZIHSM_OK)
        return device_failed(gen, &err);
    return device;
}

/* What the device does not do, the host may have to: another exponent. 0 with an error when nobody can. */
static int rsa_wishes(struct gen *gen, size_t *bits, bool *host_only)
{
    const OSSL_PARAM *p;
    size_t primes = 2;
    uint64_t e = RSA_E_DEFAULT;
    *bits = RSA_BITS_DEFAULT;
    if ((p = OSSL_PARAM_locate_const(gen->given, OSSL_PKEY_PARAM_RSA_BITS)) != NULL && !OSSL_PARAM_get_size_t(p, bits))
        return raise_error(gen->provider, REASON_PARAMETER, "bits");
    if ((p = OSSL_PARAM_locate_const(gen->given, OSSL_PKEY_PARAM_RSA_PRIMES)) != NULL &&
        !OSSL_PARAM_get_size_t(p, &primes))
        return raise_error(gen->provider, REASON_PARAMETER, "primes");
    if ((p = OSSL_PARAM_locate_const(gen->given, OSSL_PKEY_PARAM_RSA_E)) != NULL && !OSSL_PARAM_get_uint64(p, &e))
        e = 0; /* a big one: the host's generator judges it */
    *host_only = e != RSA_E_DEFAULT;
    if (*bits != 2048 && *bits != 3072 && *bits != 4096)
        return raise_error(gen->provider, REASON_KEY_SIZE,
                           "the device has RSA keys of 2048, 3072 and 4096 bits, not %zu", *bits);
    return primes == 2 ? 1 : raise_error(gen->provider, REASON_PARAMETER, "the device has two-prime RSA keys only");
}

static struct azihsm_key *generate_and_import(struct gen *gen)
{
    struct azihsm_key_spec spec = genoptions_spec(&gen->options);
    EVP_PKEY *software = host_generate(gen);
    struct azihsm_key *device = NULL;
    trace(gen->provider, AZIHSM_TRACE_KEY, "RSA key generated on the host, to be imported");
    if (software == NULL)
        raise_error(gen->provider, REASON_HOST_CRYPTO, "RSA generation failed");
    else
        device = hostimport(gen->provider, software, &spec, gen->options.masked_key == NULL);
    EVP_PKEY_free(software);
    return device;
}

static struct azihsm_key *generate_rsa(struct gen *gen, struct azihsm_client *client)
{
    unsigned policy = provider_config(gen->provider)->rsa_generate;
    struct azihsm_key_spec spec = genoptions_spec(&gen->options);
    struct azihsm_key *device = NULL;
    struct azihsm_error err = {0};
    bool host_only = false;
    size_t bits = 0;

    if (!rsa_wishes(gen, &bits, &host_only))
        return NULL;
    if (policy == RSA_GENERATE_FORBID || (policy == RSA_GENERATE_DEVICE && host_only)) {
        raise_error(gen->provider, REASON_POLICY, "rsa-generate = %s",
                    policy == RSA_GENERATE_FORBID ? "forbid" : "device, and the device has the exponent 65537 only");
        return NULL;
    }
    if (policy == RSA_GENERATE_HOST || host_only)
        return generate_and_import(gen);
    azihsm_rc rc = azihsm_key_generate_rsa(client, (unsigned)bits, &spec, &device, &err);
    if (rc == AZIHSM_OK)
        return device;
    if (rc == AZIHSM_E_UNSUPPORTED && policy == RSA_GENERATE_AUTO)
        return generate_and_import(gen);
    return device_failed(gen, &err);
}

/* ---- azihsm.input_key ---- */

static EVP_PKEY *read_software_key(struct gen *gen)
{
    EVP_PKEY *software = NULL;
    uint8_t *data = NULL;
    const unsigned char *p;
    size_t len = 0, left;
    char why[200] = "";
    OSSL_DECODER_CTX *decoder;
    /* RSA-PSS may come as a plain RSA key, whose restrictions are then those of the options */
    const char *type = gen->type == KEY_RSA_PSS ? NULL : key_type_name(gen->type);

    if (keyfile_read(gen->options.input_key, &data, &len, why, sizeof(why)) != KEYFILE_OK) {
        raise_error(gen->provider, REASON_FILE, "%s", why);
        return NULL;
    }
    p = data;
    left = len;
    decoder = OSSL_DECODER_CTX_new_for_pkey(&software, NULL, NULL, type, EVP_PKEY_KEYPAIR,
                                            provider_libctx(gen->provider), NULL);
    if (decoder == NULL || !OSSL_DECODER_from_data(decoder, &p, &left) ||
        !(EVP_PKEY_is_a(software, key_type_name(gen->type)) || (type == NULL && EVP_PKEY_is_a(software, "RSA")))) {
        raise_error(gen->provider, REASON_KEY_FILE, "%.120s: not a plain %s private key in PEM or DER",
                    gen->options.input_key, key_type_name(gen->type));
        EVP_PKEY_free(software);
        software = NULL;
    }
    OSSL_DECODER_CTX_free(decoder);
    OPENSSL_clear_free(data, len);
    return software;
}

static struct azihsm_key *import_file(struct gen *gen)
{
    struct azihsm_key_spec spec = genoptions_spec(&gen->options);
    EVP_PKEY *software = read_software_key(gen);
    struct azihsm_key *device = NULL;
    if (software != NULL)
        device = hostimport(gen->provider, software, &spec, gen->options.masked_key == NULL);
    EVP_PKEY_free(software);
    return device;
}

/* ---- the whole ---- */

/* Of all that was given, what restricts an RSA-PSS key; views into gen->given. */
static void pss_restrictions(const struct gen *gen, OSSL_PARAM out[], size_t room)
{
    static const char *const names[] = {OSSL_PKEY_PARAM_RSA_DIGEST, OSSL_PKEY_PARAM_RSA_DIGEST_PROPS,
                                        OSSL_PKEY_PARAM_RSA_MASKGENFUNC, OSSL_PKEY_PARAM_RSA_MGF1_DIGEST,
                                        OSSL_PKEY_PARAM_RSA_PSS_SALTLEN};
    size_t used = 0;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && used + 1 < room; i++) {
        const OSSL_PARAM *p = OSSL_PARAM_locate_const(gen->given, names[i]);
        if (p != NULL)
            out[used++] = *p;
    }
    out[used] = OSSL_PARAM_construct_end();
}

static int write_file(struct gen *gen, const char *path, struct azihsm_bytes data)
{
    char why[200] = "";
    return keyfile_write(path, data, why, sizeof(why)) || raise_error(gen->provider, REASON_FILE, "%s", why);
}

static int write_named(struct gen *gen, const struct key *key)
{
    struct keyfile file;
    uint8_t *pem = NULL;
    size_t len = 0;
    char path[1024];
    int ok = keyload_describe(key, &file) && keyfile_encode_pem(&file, &pem, &len) &&
             snprintf(path, sizeof(path), "%s/%s.pem", provider_config(gen->provider)->keys, gen->options.name) <
                 (int)sizeof(path) &&
             write_file(gen, path, (struct azihsm_bytes){pem, len});
    OPENSSL_free(pem);
    keyfile_clear(&file);
    return ok;
}

static int write_files(struct gen *gen, const struct key *key)
{
    if (gen->options.masked_key != NULL && !write_file(gen, gen->options.masked_key, azihsm_key_blob(key_device(key))))
        return 0;
    return gen->options.name == NULL || write_named(gen, key);
}

static struct key *generate_device(struct gen *gen)
{
    OSSL_PARAM restrictions[6];
    struct azihsm_client *client;
    struct azihsm_key *device;
    struct key *key;
    uint8_t hint[KEYFILE_HINT_SIZE];

    if (!genoptions_check(gen->provider, &gen->options, gen->type) || !provider_client(gen->provider, &client))
        return NULL;
    if (gen->options.input_key != NULL)
        device = import_file(gen);
    else
        device = gen->type == KEY_EC ? generate_ec(gen, client) : generate_rsa(gen, client);
    if (device == NULL)
        return NULL;
    pss_restrictions(gen, restrictions, sizeof(restrictions) / sizeof(restrictions[0]));
    key = keyload_device(gen->provider, gen->type, device, restrictions[0].key == NULL ? NULL : restrictions);
    if (key != NULL && azihsm_client_device_hint(client, hint, NULL) == AZIHSM_OK)
        key_set_hint(key, hint);
    if (key != NULL && write_files(gen, key))
        return key;
    key_free(key);
    return NULL;
}

void *keymgmt_gen(void *genctx, OSSL_CALLBACK *callback, void *arg)
{
    struct gen *gen = genctx;
    gen->callback = callback;
    gen->callback_arg = arg;
    return gen->device ? generate_device(gen) : generate_carried(gen);
}
