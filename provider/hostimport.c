/*
 * Import of software keys. The software copy is freed (libcrypto cleanses it) as soon as the device has the key.
 */
#include "hostimport.h"

#include "genoptions.h"
#include "keyload.h"
#include "pkcs8.h"

#include <openssl/core_names.h>
#include <openssl/params.h>

struct azihsm_key *hostimport(struct provider *provider, const EVP_PKEY *software, const struct azihsm_key_spec *spec,
                              bool crt)
{
    bool ec = EVP_PKEY_is_a(software, "EC");
    uint32_t key_class = ec ? AZIHSM_CLASS_ECC : crt ? AZIHSM_CLASS_RSA_CRT : AZIHSM_CLASS_RSA;
    int bits = EVP_PKEY_get_bits(software);
    struct azihsm_client *client;
    struct azihsm_key *device = NULL;
    struct azihsm_error err = {0};
    struct secret *plain;

    if (!provider_client(provider, &client))
        return NULL;
    if (!ec && bits != 2048 && bits != 3072 && bits != 4096) {
        raise_error(provider, REASON_KEY_SIZE, "the device takes RSA keys of 2048, 3072 and 4096 bits, not %d", bits);
        return NULL;
    }
    plain = pkcs8_encode(software);
    if (plain == NULL) {
        raise_error(provider, REASON_KEY_SIZE, "the device takes %s",
                    ec ? "keys on P-256, P-384 and P-521 only" : "two-prime RSA keys only");
        return NULL;
    }
    if (azihsm_key_import(client, key_class, secret_view(plain), spec, &device, &err) != AZIHSM_OK) {
        raise_device(provider, &err, "import of a software key");
        device = NULL;
    }
    secret_free(plain);
    return device;
}

int hostimport_into(struct key *key, EVP_PKEY *software, const OSSL_PARAM params[])
{
    struct provider *provider = key_provider(key);
    struct genoptions options = {0};
    OSSL_PARAM *restrictions = NULL;
    struct azihsm_key *device = NULL;
    struct key *made = NULL;
    int ok = 0;

    if (!genoptions_set(provider, &options, params) || !genoptions_check(provider, &options, key_type(key)))
        goto end;
    if (key_type(key) == KEY_RSA_PSS && !EVP_PKEY_todata(software, OSSL_KEYMGMT_SELECT_OTHER_PARAMETERS, &restrictions))
        goto end;
    struct azihsm_key_spec spec = genoptions_spec(&options);
    device = hostimport(provider, software, &spec, options.masked_key == NULL);
    if (device != NULL)
        made = keyload_device(provider, key_type(key), device, restrictions);
    if (made == NULL)
        goto end;
    EVP_PKEY_up_ref(key_inner(made));
    ok = key_share_device(key, key_inner(made), made);
end:
    key_free(made);
    OSSL_PARAM_free(restrictions);
    genoptions_clear(&options);
    EVP_PKEY_free(software);
    return ok;
}
