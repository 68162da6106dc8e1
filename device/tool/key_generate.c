/*
 * azihsm key generate: a new key of the device and its key file.
 */
#include "commands.h"
#include "keys.h"

#include "provider/symkind.h"

#include <string.h>

struct generate {
    const char *type, *curve, *bits, *usage, *label, *tag;
    struct key_target target;
};

static uint32_t generate_curve(const char *name)
{
    static const struct {
        const char *name;
        uint32_t curve;
    } curves[] = {{"P-256", AZIHSM_CURVE_P256},     {"P-384", AZIHSM_CURVE_P384},
                  {"P-521", AZIHSM_CURVE_P521},     {"prime256v1", AZIHSM_CURVE_P256},
                  {"secp384r1", AZIHSM_CURVE_P384}, {"secp521r1", AZIHSM_CURVE_P521}};
    size_t i;

    for (i = 0; i < sizeof(curves) / sizeof(curves[0]); i++) {
        if (strcmp(curves[i].name, name) == 0)
            return curves[i].curve;
    }
    tool_complain(0, "--curve must be P-256, P-384 or P-521, not \"%s\"", name);
    return 0;
}

/* --bits of an AES key, or gcm / xts for the bulk kinds. */
static uint32_t generate_aes_size(const char *bits)
{
    static const struct {
        const char *name;
        uint32_t size;
    } sizes[] = {{"128", AZIHSM_AES_SIZE_128},
                 {"192", AZIHSM_AES_SIZE_192},
                 {"256", AZIHSM_AES_SIZE_256},
                 {"256-gcm", AZIHSM_AES_SIZE_GCM_BULK256},
                 {"256-xts", AZIHSM_AES_SIZE_XTS_BULK256}};
    size_t i;

    for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        if (strcmp(sizes[i].name, bits) == 0)
            return sizes[i].size;
    }
    tool_complain(0, "--bits of an AES key must be 128, 192, 256, 256-gcm or 256-xts, not \"%s\"", bits);
    return 0;
}

static int generate_ec(struct tool *tool, const struct generate *generate, const struct azihsm_key_spec *spec,
                       struct azihsm_key **key)
{
    uint32_t curve = generate_curve(generate->curve != NULL ? generate->curve : "P-256");
    azihsm_rc rc;

    if (curve == 0)
        return TOOL_USAGE;
    rc = azihsm_key_generate_ecc(tool->client, curve, spec, key, &tool->err);
    return rc == AZIHSM_OK ? TOOL_OK : tool_fail(tool, rc);
}

static int generate_rsa(struct tool *tool, const struct generate *generate, const struct azihsm_key_spec *spec,
                        struct azihsm_key **key)
{
    uint64_t bits = 2048;
    azihsm_rc rc;

    if (generate->bits != NULL && !tool_number("bits", generate->bits, 2048, 4096, &bits))
        return TOOL_USAGE;
    if (bits % 1024 != 0)
        return tool_complain(TOOL_USAGE, "--bits of an RSA key must be 2048, 3072 or 4096");
    rc = azihsm_key_generate_rsa(tool->client, (unsigned)bits, spec, key, &tool->err);
    if (rc == AZIHSM_E_UNSUPPORTED || rc == AZIHSM_STATUS_UNSUPPORTED_CMD)
        return tool_complain(TOOL_FAILED, "this device does not generate RSA keys: make one elsewhere (openssl genrsa) "
                                          "and use `azihsm key import`");
    return rc == AZIHSM_OK ? TOOL_OK : tool_fail(tool, rc);
}

static int generate_aes(struct tool *tool, const struct generate *generate, const struct azihsm_key_spec *spec,
                        struct azihsm_key **key)
{
    uint32_t size = generate_aes_size(generate->bits != NULL ? generate->bits : "256");
    azihsm_rc rc;

    if (size == 0)
        return TOOL_USAGE;
    rc = azihsm_key_generate_aes(tool->client, size, spec, key, &tool->err);
    return rc == AZIHSM_OK ? TOOL_OK : tool_fail(tool, rc);
}

static int generate_hmac(struct tool *tool, const struct generate *generate, const struct azihsm_key_spec *spec,
                         struct azihsm_key **key)
{
    uint64_t bits = 256;
    const struct symkind *kind;
    azihsm_rc rc;

    if (generate->bits != NULL && !tool_number("bits", generate->bits, 256, 512, &bits))
        return TOOL_USAGE;
    if (bits % 128 != 0 || (kind = symkind_of_size(SYMKIND_HMAC, bits / 8)) == NULL)
        return tool_complain(TOOL_USAGE, "--bits of an HMAC key must be 256, 384 or 512, for the SHA-2 of that size");
    rc = azihsm_key_generate_hmac(tool->client, kind->kind, spec, key, &tool->err);
    return rc == AZIHSM_OK ? TOOL_OK : tool_fail(tool, rc);
}

static const struct generate_type {
    const char *name, *usage;
    int (*make)(struct tool *, const struct generate *, const struct azihsm_key_spec *, struct azihsm_key **);
} generate_types[] = {{"ec", "sign", generate_ec},
                      {"rsa", "sign", generate_rsa},
                      {"aes", "decrypt", generate_aes},
                      {"hmac", "sign", generate_hmac}};

static int generate_run(struct tool *tool, const struct generate *generate, const struct generate_type *type)
{
    const char *usage = generate->usage != NULL ? generate->usage : type->usage;
    unsigned usages = keys_usages(usage);
    struct azihsm_key_spec spec;
    struct azihsm_key *key = NULL;
    char path[512];
    int status;

    if (usages == 0 || !keys_spec(generate->label, generate->tag, &spec))
        return TOOL_USAGE;
    if ((usages & (usages - 1)) != 0)
        return tool_complain(TOOL_USAGE, "a key that the device makes has one --usage; one with two is imported");
    spec.usage = (enum azihsm_usage)usages;
    status = keys_target(tool, &generate->target, path, sizeof(path));
    if (status == TOOL_OK && tool_client(tool) == NULL)
        status = tool_fail(tool, tool->err.rc);
    if (status == TOOL_OK)
        status = type->make(tool, generate, &spec, &key);
    if (status == TOOL_OK)
        status = keys_save(tool, &(struct key_pair){key, NULL}, usages, path);
    if (status != TOOL_OK && spec.tag != 0)
        keys_withdraw(key);
    azihsm_key_free(key);
    return status;
}

int key_generate(struct tool *tool, int argc, char **argv)
{
    struct generate generate = {.type = "ec"};
    const struct tool_option options[] = {
        {"type", &generate.type, NULL},      {"curve", &generate.curve, NULL},        {"bits", &generate.bits, NULL},
        {"usage", &generate.usage, NULL},    {"label", &generate.label, NULL},        {"tag", &generate.tag, NULL},
        {"out", &generate.target.out, NULL}, {"force", NULL, &generate.target.force}, {NULL, NULL, NULL}};
    int status = tool_parse(tool, argc, argv, options, &generate.target.name, 0, 1);
    size_t i;

    if (status != TOOL_OK)
        return status;
    for (i = 0; i < sizeof(generate_types) / sizeof(generate_types[0]); i++) {
        if (strcmp(generate_types[i].name, generate.type) == 0)
            return generate_run(tool, &generate, &generate_types[i]);
    }
    return tool_complain(TOOL_USAGE, "--type must be ec, rsa, aes or hmac, not \"%s\"", generate.type);
}
