/*
 * azihsm key wrap: wraps a software key to a device's unwrapping key (PKCS#11 RSA-AES key wrap), on any machine. What
 * key-management services deliver has the same form.
 */
#include "commands.h"
#include "keys.h"
#include "software_key.h"

#include "crypto/spki.h"
#include "crypto/wrap.h"
#include "provider/pkcs8.h"

#include <openssl/evp.h>
#include <openssl/pem.h>

static EVP_PKEY *wrap_read_public(OSSL_LIB_CTX *libctx, const char *path)
{
    EVP_PKEY *key = NULL;
    BIO *bio = BIO_new_file(path, "r");

    if (bio != NULL)
        key = PEM_read_bio_PUBKEY_ex(bio, NULL, NULL, NULL, libctx, NULL);
    BIO_free(bio);
    return key;
}

static int wrap_run(const char *in, const char *password, const char *public_path, const char *out, uint32_t hash)
{
    uint8_t blob[AZIHSM_WRAPPED_BLOB_MAX];
    struct software_key software;
    struct secret *plain = NULL;
    EVP_PKEY *unwrapping = NULL;
    size_t len = 0;
    int status = software_key_read(in, password, &software);

    if (status != TOOL_OK)
        return status;
    unwrapping = wrap_read_public(software.libctx, public_path);
    plain = pkcs8_encode(software.pkey);
    if (unwrapping == NULL)
        status = tool_complain(TOOL_FAILED, "%s holds no public key (azihsm unwrapping-key writes one)", public_path);
    else if (plain == NULL)
        status = tool_complain(TOOL_FAILED, "%s: the device does not take this kind of key", in);
    else if (wrap_seal(software.libctx, unwrapping, hash, secret_view(plain), blob, sizeof(blob), &len) != AZIHSM_OK)
        status = tool_complain(TOOL_FAILED, "the key cannot be wrapped to %s", public_path);
    else
        status = tool_write_file(out, (struct azihsm_bytes){blob, len}, true);
    secret_free(plain);
    EVP_PKEY_free(unwrapping);
    software_key_free(&software);
    return status;
}

int key_wrap(struct tool *tool, int argc, char **argv)
{
    const char *in = NULL, *out = NULL, *public_path = NULL, *password = NULL, *hash_name = "sha256";
    const struct tool_option options[] = {{"in", &in, NULL},
                                          {"out", &out, NULL},
                                          {"unwrapping-key", &public_path, NULL},
                                          {"password-file", &password, NULL},
                                          {"hash", &hash_name, NULL},
                                          {NULL, NULL, NULL}};
    int status = tool_parse(tool, argc, argv, options, NULL, 0, 0);
    uint32_t hash;

    if (status != TOOL_OK)
        return status;
    if (in == NULL || out == NULL || public_path == NULL)
        return tool_complain(TOOL_USAGE, "wrap: --in, --unwrapping-key and --out are needed");
    hash = keys_hash(hash_name);
    return hash != 0 ? wrap_run(in, password, public_path, out, hash) : TOOL_USAGE;
}
