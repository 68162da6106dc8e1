/*
 * Import of software keys. The software copy is freed (libcrypto cleanses it) as soon as the device has the key.
 */
#include "hostimport.h"

#include "keyload.h"
#include "pkcs8.h"

#include <openssl/core_names.h>
#include <openssl/params.h>

/* What the device takes, as PKCS#8; NULL with an error raised when it does not take the key. */
static struct secret *plain_of(struct provider *provider, const EVP_PKEY *software)
{
    bool ec = EVP_PKEY_is_a(software, "EC");
    int bits = EVP_PKEY_get_bits(software);
    struct secret *plain;

    if (!ec && bits != 2048 && bits != 3072 && bits != 4096) {
        raise_error(provider, REASON_KEY_SIZE, "the device takes RSA keys of 2048, 3072 and 4096 bits, not %d", bits);
        return NULL;
    }
    if ((plain = pkcs8_encode(software)) == NULL)
        raise_error(provider, REASON_KEY_SIZE, "the device takes %s",
                    ec ? "keys on P-256, P-384 and P-521 only" : "two-prime RSA keys only");
    return plain;
}

int hostimport(struct provider *provider, const EVP_PKEY *software, const struct genoptions *options, unsigned usages,
               struct device_keys *out)
{
    static const enum azihsm_usage order[] = {AZIHSM_USAGE_SIGN, AZIHSM_USAGE_DECRYPT, AZIHSM_USAGE_DERIVE};
    uint32_t key_class = EVP_PKEY_is_a(software, "EC") ? AZIHSM_CLASS_ECC
                         : options->masked_key == NULL ? AZIHSM_CLASS_RSA_CRT
                                                       : AZIHSM_CLASS_RSA;
    struct azihsm_key_spec spec = genoptions_spec(options);
    struct azihsm_key **next = &out->first;
    struct azihsm_client *client;
    struct azihsm_error err = {0};
    struct secret *plain;
    azihsm_rc rc = AZIHSM_OK;

    *out = (struct device_keys){0};
    if (!provider_client(provider, &client) || (plain = plain_of(provider, software)) == NULL)
        return 0;
    for (size_t i = 0; rc == AZIHSM_OK && i < sizeof(order) / sizeof(order[0]); i++) {
        if ((usages & order[i]) == 0)
            continue;
        spec.usage = order[i];
        rc = azihsm_key_import(client, key_class, secret_view(plain), &spec, next, &err);
        next = &out->second;
        spec.tag = 0; /* a tag names one key */
    }
    secret_free(plain);
    if (rc == AZIHSM_OK)
        return 1;
    genoptions_withdraw(options, out->first);
    device_keys_free(out);
    return raise_device(provider, &err, "import of a software key");
}

int hostimport_into(struct key *key, EVP_PKEY *software, const OSSL_PARAM params[])
{
    struct provider *provider = key_provider(key);
    struct genoptions options = {0};
    OSSL_PARAM *restrictions = NULL;
    struct device_keys device;
    struct azihsm_key *tagged = NULL;
    struct key *made = NULL;
    int ok = 0;

    if (!genoptions_set(provider, &options, params) || !genoptions_check(provider, &options, key_type(key)))
        goto end;
    if (key_type(key) == KEY_RSA_PSS && !EVP_PKEY_todata(software, OSSL_KEYMGMT_SELECT_OTHER_PARAMETERS, &restrictions))
        goto end;
    if (hostimport(provider, software, &options, genoptions_import_usages(&options, key_type(key)), &device)) {
        tagged = azihsm_key_up_ref(device.first);
        made = keyload_device(provider, key_type(key), device, restrictions);
    }
    if (made == NULL)
        goto end;
    EVP_PKEY_up_ref(key_inner(made));
    ok = key_share_device(key, key_inner(made), made);
end:
    if (!ok)
        genoptions_withdraw(&options, tagged);
    azihsm_key_free(tagged);
    key_free(made);
    OSSL_PARAM_free(restrictions);
    genoptions_clear(&options);
    EVP_PKEY_free(software);
    return ok;
}
