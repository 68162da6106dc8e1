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
    unsigned usages; /* when nothing is said: all that such a key was good for, but for key agreement */
} import_classes[] = {{"rsa", AZIHSM_CLASS_RSA_CRT, AZIHSM_USAGE_SIGN | AZIHSM_USAGE_DECRYPT},
                      {"rsa-nocrt", AZIHSM_CLASS_RSA, AZIHSM_USAGE_SIGN | AZIHSM_USAGE_DECRYPT},
                      {"ec", AZIHSM_CLASS_ECC, AZIHSM_USAGE_SIGN},
                      {"aes", AZIHSM_CLASS_AES, AZIHSM_USAGE_DECRYPT},
                      {"aes-gcm", AZIHSM_CLASS_AES_GCM_BULK, AZIHSM_USAGE_DECRYPT},
                      {"aes-xts", AZIHSM_CLASS_AES_XTS_BULK, AZIHSM_USAGE_DECRYPT}};

static const struct import_class *import_class(const char *name)
{
    size_t i;

    for (i = 0; name != NULL && i < sizeof(import_classes) / sizeof(import_classes[0]); i++) {
        if (strcmp(import_classes[i].name, name) == 0)
            return &import_classes[i];
    }
    tool_complain(0, "--class must be rsa, rsa-nocrt, ec, aes, aes-gcm or aes-xts");
    return NULL;
}

/* What is to be imported: the plain key, or the wrapped one. */
struct import_source {
    const struct import_class *class;
    struct secret *plain;
    uint32_t hash;
    uint8_t wrapped[AZIHSM_WRAPPED_BLOB_MAX + 1];
    size_t wrapped_len;
};

static int source_software(const struct import *import, struct import_source *source)
{
    struct software_key software;
    int status = software_key_read(import->in, import->password_file, &software);

    if (status != TOOL_OK)
        return status;
    source->class = import_class(EVP_PKEY_is_a(software.pkey, "EC") ? "ec" : "rsa");
    source->plain = pkcs8_encode(software.pkey);
    software_key_free(&software);
    if (source->plain != NULL)
        return TOOL_OK;
    return tool_complain(TOOL_FAILED,
                         "%s: the device takes EC keys on P-256, P-384, P-521 and RSA keys of 2048, 3072, 4096 bits",
                         import->in);
}

static int source_wrapped(const struct import *import, struct import_source *source)
{
    source->class = import_class(import->class_name);
    source->hash = keys_hash(import->hash);
    if (source->class == NULL || source->hash == 0)
        return TOOL_USAGE;
    return tool_read_file(import->in, source->wrapped, sizeof(source->wrapped), &source->wrapped_len);
}

static azihsm_rc import_one(struct tool *tool, const struct import_source *source, const struct azihsm_key_spec *spec,
                            struct azihsm_key **key)
{
    if (source->plain != NULL)
        return azihsm_key_import(tool->client, source->class->key_class, secret_view(source->plain), spec, key,
                                 &tool->err);
    return azihsm_key_import_wrapped(tool->client, source->class->key_class, source->hash,
                                     (struct azihsm_bytes){source->wrapped, source->wrapped_len}, spec, key,
                                     &tool->err);
}

/* Once for each use. The first key gets the tag, which names one. */
static int import_uses(struct tool *tool, const struct import_source *source, struct azihsm_key_spec *spec,
                       unsigned usages, struct key_pair *keys)
{
    struct azihsm_key **next = &keys->first;
    azihsm_rc rc;

    for (unsigned usage = AZIHSM_USAGE_SIGN; usage <= AZIHSM_USAGE_DERIVE; usage <<= 1) {
        if ((usages & usage) == 0)
            continue;
        spec->usage = (enum azihsm_usage)usage;
        rc = import_one(tool, source, spec, next);
        if (rc != AZIHSM_OK)
            return tool_fail(tool, rc);
        next = &keys->second;
        spec->tag = 0;
    }
    return TOOL_OK;
}

static int import_run(struct tool *tool, const struct import *import, struct azihsm_key_spec *spec)
{
    struct import_source source = {0};
    struct key_pair keys = {NULL, NULL};
    unsigned usages = 0;
    bool tagged = spec->tag != 0;
    char path[512];
    int status = keys_target(tool, &import->target, path, sizeof(path));

    if (status == TOOL_OK && tool_client(tool) == NULL)
        status = tool_fail(tool, tool->err.rc);
    if (status == TOOL_OK)
        status = import->wrapped ? source_wrapped(import, &source) : source_software(import, &source);
    if (status == TOOL_OK) {
        usages = import->usage != NULL ? keys_usages(import->usage) : source.class->usages;
        status = usages != 0 ? import_uses(tool, &source, spec, usages, &keys) : TOOL_USAGE;
    }
    if (status == TOOL_OK)
        status = keys_save(tool, &keys, usages, path);
    if (status != TOOL_OK && tagged)
        keys_withdraw(keys.first);
    azihsm_key_free(keys.first);
    azihsm_key_free(keys.second);
    secret_free(source.plain);
    return status;
}

int key_import(struct tool *tool, int argc, char **argv)
{
    struct import import = {.hash = "sha256"};
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
    if (!keys_spec(import.label, import.tag, &spec))
        return TOOL_USAGE;
    return import_run(tool, &import, &spec);
}
