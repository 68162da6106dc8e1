/*
 * azihsm key import: a software key, or one that was wrapped to the device elsewhere, becomes a key of the device.
 */
#include "commands.h"
#include "keys.h"
#include "software_key.h"

#include "provider/pkcs8.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>

struct import {
    const char *in, *password_file, *usage, *label, *tag, *class_name, *hash;
    bool wrapped;
    struct key_target target;
};

static const struct import_class {
    const char *name;
    uint32_t key_class;
} import_classes[] = {
    {"rsa", AZIHSM_CLASS_RSA_CRT}, {"rsa-nocrt", AZIHSM_CLASS_RSA},        {"ec", AZIHSM_CLASS_ECC},
    {"aes", AZIHSM_CLASS_AES},     {"aes-gcm", AZIHSM_CLASS_AES_GCM_BULK}, {"aes-xts", AZIHSM_CLASS_AES_XTS_BULK}};

static uint32_t import_class(const char *name)
{
    size_t i;

    for (i = 0; name != NULL && i < sizeof(import_classes) / sizeof(import_classes[0]); i++) {
        if (strcmp(import_classes[i].name, name) == 0)
            return import_classes[i].key_class;
    }
    tool_complain(0, "--class must be rsa, rsa-nocrt, ec, aes, aes-gcm or aes-xts");
    return 0;
}

static azihsm_rc import_software(struct tool *tool, const struct import *import, const struct azihsm_key_spec *spec,
                                 struct azihsm_key **key)
{
    struct software_key software;
    struct secret *plain;
    uint32_t key_class;
    azihsm_rc rc;

    if (software_key_read(import->in, import->password_file, &software) != TOOL_OK)
        return AZIHSM_E_IO;
    key_class = EVP_PKEY_is_a(software.pkey, "EC") ? AZIHSM_CLASS_ECC : AZIHSM_CLASS_RSA_CRT;
    plain = pkcs8_encode(software.pkey);
    software_key_free(&software);
    if (plain == NULL)
        return azihsm_error_set(&tool->err, AZIHSM_E_UNSUPPORTED,
                                "%s: the device takes EC keys on P-256, P-384, P-521 and RSA keys of 2048, 3072, 4096 "
                                "bits",
                                import->in);
    rc = azihsm_key_import(tool->client, key_class, secret_view(plain), spec, key, &tool->err);
    secret_free(plain);
    return rc;
}

static azihsm_rc import_wrapped(struct tool *tool, const struct import *import, const struct azihsm_key_spec *spec,
                                struct azihsm_key **key)
{
    uint8_t blob[AZIHSM_WRAPPED_BLOB_MAX + 1];
    uint32_t key_class = import_class(import->class_name);
    uint32_t hash = keys_hash(import->hash);
    size_t len = 0;

    if (key_class == 0 || hash == 0)
        return AZIHSM_E_ARGUMENT;
    if (tool_read_file(import->in, blob, sizeof(blob), &len) != TOOL_OK)
        return AZIHSM_E_IO;
    return azihsm_key_import_wrapped(tool->client, key_class, hash, (struct azihsm_bytes){blob, len}, spec, key,
                                     &tool->err);
}

static int import_run(struct tool *tool, const struct import *import, const struct azihsm_key_spec *spec)
{
    struct azihsm_key *key = NULL;
    char path[512];
    azihsm_rc rc;
    int status = keys_target(tool, &import->target, path, sizeof(path));

    if (status != TOOL_OK)
        return status;
    if (tool_client(tool) == NULL)
        return tool_fail(tool, tool->err.rc);
    rc = import->wrapped ? import_wrapped(tool, import, spec, &key) : import_software(tool, import, spec, &key);
    if (rc != AZIHSM_OK)
        /* Without a text the cause has been said already. */
        return tool->err.text[0] != '\0' ? tool_fail(tool, rc) : rc == AZIHSM_E_ARGUMENT ? TOOL_USAGE : TOOL_FAILED;
    status = keys_save(tool, key, spec->usage, path);
    azihsm_key_free(key);
    return status;
}

int key_import(struct tool *tool, int argc, char **argv)
{
    struct import import = {.usage = "sign", .hash = "sha256"};
    const struct tool_option options[] = {{"in", &import.in, NULL},
                                          {"password-file", &import.password_file, NULL},
                                          {"usage", &import.usage, NULL},
                                          {"label", &import.label, NULL},
                                          {"tag", &import.tag, NULL},
                                          {"class", &import.class_name, NULL},
                                          {"hash", &import.hash, NULL},
                                          {"wrapped", NULL, &import.wrapped},
                                          {"out", &import.target.out, NULL},
                                          {"force", NULL, &import.target.force},
                                          {NULL, NULL, NULL}};
    struct azihsm_key_spec spec;
    int status = tool_parse(tool, argc, argv, options, &import.target.name, 0, 1);

    if (status != TOOL_OK)
        return status;
    if (import.in == NULL)
        return tool_complain(TOOL_USAGE, "import: --in FILE is needed");
    if (!keys_spec(import.usage, import.label, import.tag, &spec))
        return TOOL_USAGE;
    return import_run(tool, &import, &spec);
}
