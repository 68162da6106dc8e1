/*
 * Key generation in the device. What the host's generator accepted is taken from there: curve, size, restrictions.
 * RSA keys are made in the device where it can; else, where the configuration lets us, on the host and imported.
 */
#include "config.h"
#include "gen.h"
#include "hostimport.h"
#include "keyload.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/decoder.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <strings.h>
#include <sys/stat.h>

enum { RSA_BITS_DEFAULT = 2048, RSA_E_DEFAULT = 65537 };

static int device_failed(struct gen *gen, const struct azihsm_error *err)
{
    return raise_device(gen->provider, err, "key generation");
}

static int generate_ec(struct gen *gen, struct azihsm_client *client, struct device_keys *out)
{
    const OSSL_PARAM *p = OSSL_PARAM_locate_const(gen->given, OSSL_PKEY_PARAM_GROUP_NAME);
    const OSSL_PARAM *encoding = OSSL_PARAM_locate_const(gen->given, OSSL_PKEY_PARAM_EC_ENCODING);
    struct azihsm_key_spec spec = genoptions_spec(&gen->options);
    struct azihsm_error err = {0};
    const char *group = NULL, *form = NULL;
    uint32_t curve = 0;

    if (p == NULL || !OSSL_PARAM_get_utf8_string_ptr(p, &group)) {
        return raise_error(gen->provider, REASON_PARAMETER, "no curve: give the group P-256, P-384 or P-521");
    }
    if (!key_curve_by_group(group, &curve)) {
        return raise_error(gen->provider, REASON_KEY_SIZE, "%.40s: the device has P-256, P-384 and P-521 only", group);
    }
    if (encoding != NULL && OSSL_PARAM_get_utf8_string_ptr(encoding, &form) && strcasecmp(form, "explicit") == 0) {
        return raise_error(gen->provider, REASON_PARAMETER, "device keys name their curve: no explicit parameters");
    }
    if ((gen->options.usages & ~(unsigned)spec.usage) != 0)
        return raise_error(gen->provider, REASON_PARAMETER,
                           "%s: a key that the device makes has one use; one with two is imported (%s)",
                           GENOPTION_USAGE, GENOPTION_INPUT_KEY);
    return azihsm_key_generate_ecc(client, curve, &spec, &out->first, &err) == AZIHSM_OK || device_failed(gen, &err);
}

/* What the device does not do, the host may have to: another exponent, a second use. 0 with an error when nobody can.
 */
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
    *host_only = e != RSA_E_DEFAULT || (gen->options.usages & (gen->options.usages - 1)) != 0;
    if (*bits != 2048 && *bits != 3072 && *bits != 4096)
        return raise_error(gen->provider, REASON_KEY_SIZE,
                           "the device has RSA keys of 2048, 3072 and 4096 bits, not %zu", *bits);
    return primes == 2 ? 1 : raise_error(gen->provider, REASON_PARAMETER, "the device has two-prime RSA keys only");
}

static int generate_and_import(struct gen *gen, struct device_keys *out)
{
    unsigned usages = gen->options.usages != 0 ? gen->options.usages : AZIHSM_USAGE_SIGN;
    EVP_PKEY *software = gen_on_host(gen);
    int ok;

    trace(gen->provider, AZIHSM_TRACE_KEY, "RSA key generated on the host, to be imported");
    ok = software != NULL ? hostimport(gen->provider, software, &gen->options, usages, out)
                          : raise_error(gen->provider, REASON_HOST_CRYPTO, "RSA generation failed");
    EVP_PKEY_free(software);
    return ok;
}

static int generate_rsa(struct gen *gen, struct azihsm_client *client, struct device_keys *out)
{
    unsigned policy = provider_config(gen->provider)->rsa_generate;
    struct azihsm_key_spec spec = genoptions_spec(&gen->options);
    struct azihsm_error err = {0};
    bool host_only = false;
    size_t bits = 0;

    if (!rsa_wishes(gen, &bits, &host_only))
        return 0;
    if (policy == RSA_GENERATE_FORBID || (policy == RSA_GENERATE_DEVICE && host_only))
        return raise_error(gen->provider, REASON_POLICY, "rsa-generate = %s",
                           policy == RSA_GENERATE_FORBID
                               ? "forbid"
                               : "device, and the device has the exponent 65537 and one use a key only");
    if (policy == RSA_GENERATE_HOST || host_only)
        return generate_and_import(gen, out);
    azihsm_rc rc = azihsm_key_generate_rsa(client, (unsigned)bits, &spec, &out->first, &err);
    if (rc == AZIHSM_E_UNSUPPORTED && policy == RSA_GENERATE_AUTO)
        return generate_and_import(gen, out);
    return rc == AZIHSM_OK || device_failed(gen, &err);
}

/* ---- azihsm.input_key ---- */

/* Moving a key into the device does not make it secret again. */
static void warn_of_readers(const struct gen *gen)
{
    const char *path = gen->options.input_key;
    struct stat info;

    if (stat(path, &info) != 0 || (info.st_mode & S_IROTH) == 0)
        return;
    fprintf(stderr, "azihsm: warning: every user may read %s: the key in it may be known to others\n", path);
    trace(gen->provider, AZIHSM_TRACE_KEY, "every user may read %s", path);
}

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
    ERR_set_mark();
    decoder = OSSL_DECODER_CTX_new_for_pkey(&software, NULL, NULL, type, EVP_PKEY_KEYPAIR,
                                            provider_libctx(gen->provider), NULL);
    if (decoder == NULL || !OSSL_DECODER_from_data(decoder, &p, &left) ||
        !(EVP_PKEY_is_a(software, key_type_name(gen->type)) || (type == NULL && EVP_PKEY_is_a(software, "RSA")))) {
        ERR_pop_to_mark(); /* the core's words say less */
        raise_error(gen->provider, REASON_KEY_FILE,
                    "%.120s: not a plain %s private key in PEM or DER: the device takes EC keys on P-256, P-384, P-521 "
                    "and RSA keys of 2048, 3072, 4096 bits, and -algorithm must be that of the key (azihsm key import "
                    "reads encrypted ones and PKCS#12)",
                    gen->options.input_key, key_type_name(gen->type));
        EVP_PKEY_free(software);
        software = NULL;
    } else
        ERR_pop_to_mark();
    if (software != NULL)
        warn_of_readers(gen);
    OSSL_DECODER_CTX_free(decoder);
    OPENSSL_clear_free(data, len);
    return software;
}

static int import_file(struct gen *gen, struct device_keys *out)
{
    EVP_PKEY *software = read_software_key(gen);
    int ok = software != NULL && hostimport(gen->provider, software, &gen->options,
                                            genoptions_import_usages(&gen->options, gen->type), out);
    EVP_PKEY_free(software);
    return ok;
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

static int write_blob(struct gen *gen, const struct key *key)
{
    char why[200] = "";
    return keyfile_write(gen->options.masked_key, azihsm_key_blob(key_device(key)), why, sizeof(why)) ||
           raise_error(gen->provider, REASON_FILE, "%s", why);
}

/* A name that is taken is never given away: its file may be the only copy of a key. */
static int write_named(struct gen *gen, const struct key *key)
{
    struct keyfile file;
    uint8_t *pem = NULL;
    size_t len = 0;
    char path[1024], why[200] = "the key cannot be written as a key file";
    int ok = keyload_describe(key, &file) && keyfile_encode_pem(&file, &pem, &len) &&
             snprintf(path, sizeof(path), "%s/%s.pem", provider_config(gen->provider)->keys, gen->options.name) <
                 (int)sizeof(path) &&
             keyfile_create(path, (struct azihsm_bytes){pem, len}, why, sizeof(why));
    OPENSSL_free(pem);
    keyfile_clear(&file);
    return ok || raise_error(gen->provider, REASON_FILE, "%s", why);
}

static int write_files(struct gen *gen, const struct key *key)
{
    if (gen->options.masked_key != NULL && !write_blob(gen, key))
        return 0;
    return gen->options.name == NULL || write_named(gen, key);
}

/* azihsm.key_usage:keyWrapping: what another machine wraps keys to. Its private half never was anything but the
 * device's. */
static struct key *unwrapping_key(struct gen *gen, struct azihsm_client *client)
{
    uint8_t der[AZIHSM_PUB_KEY_MAX];
    const unsigned char *p = der;
    struct azihsm_error err = {0};
    struct key *key = key_new(gen->provider, gen->type);
    EVP_PKEY *public;
    size_t len = 0;

    if (key == NULL)
        return NULL;
    if (azihsm_client_unwrapping_key(client, der, sizeof(der), &len, &err) != AZIHSM_OK) {
        raise_device(gen->provider, &err, "the unwrapping key");
        key_free(key);
        return NULL;
    }
    public = d2i_PUBKEY_ex(NULL, &p, (long)len, provider_libctx(gen->provider), NULL);
    if (public != NULL && key_set_inner(key, public)) {
        key_set_unwrapping(key);
        return key;
    }
    key_free(key);
    return NULL;
}

/* Takes over what the device made. */
static struct key *finish(struct gen *gen, struct azihsm_client *client, struct device_keys device)
{
    struct azihsm_key *tagged = azihsm_key_up_ref(device.first);
    OSSL_PARAM restrictions[6];
    uint8_t hint[KEYFILE_HINT_SIZE];
    struct key *key;

    pss_restrictions(gen, restrictions, sizeof(restrictions) / sizeof(restrictions[0]));
    key = keyload_device(gen->provider, gen->type, device, restrictions[0].key == NULL ? NULL : restrictions);
    if (key != NULL && azihsm_client_device_hint(client, hint, NULL) == AZIHSM_OK)
        key_set_hint(key, hint);
    if (key == NULL || !write_files(gen, key)) {
        key_free(key);
        key = NULL;
        genoptions_withdraw(&gen->options, tagged);
    }
    azihsm_key_free(tagged);
    return key;
}

struct key *gen_in_device(struct gen *gen)
{
    struct azihsm_client *client;
    struct device_keys device = {0};
    int ok;

    if (!genoptions_check(gen->provider, &gen->options, gen->type) ||
        !genoptions_check_name(gen->provider, &gen->options, "") || !provider_client(gen->provider, &client))
        return NULL;
    if (gen->options.unwrapping)
        return unwrapping_key(gen, client);
    if (gen->options.input_key != NULL)
        ok = import_file(gen, &device);
    else
        ok = gen->type == KEY_EC ? generate_ec(gen, client, &device) : generate_rsa(gen, client, &device);
    return ok ? finish(gen, client, device) : NULL;
}
