/*
 * Key files for the key commands.
 */
#include "keys.h"

#include "provider/symkind.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { KEYS_PATH_MAX = 512 };

/* ---- names ---- */

int keys_path(const struct tool *tool, const char *name, char *path, size_t size)
{
    char directory[KEYS_PATH_MAX];

    if (strchr(name, '/') != NULL || access(name, F_OK) == 0) {
        if ((size_t)snprintf(path, size, "%s", name) < size)
            return TOOL_OK;
        return tool_complain(TOOL_USAGE, "the path is too long");
    }
    if (!keyfile_name_valid(name))
        return tool_complain(TOOL_USAGE, "\"%s\" is not a key's name", name);
    if (!tool_key_directory(tool, directory, sizeof(directory)) || !keyfile_locate(directory, name, path, size))
        return tool_complain(TOOL_USAGE, "the path is too long");
    return TOOL_OK;
}

/* A directory and what is above it. */
static bool keys_make_directory(const char *directory)
{
    char path[KEYS_PATH_MAX];
    char *slash;

    snprintf(path, sizeof(path), "%s", directory);
    for (slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(path, 0755) != 0 && errno != EEXIST)
            return false;
        *slash = '/';
    }
    return mkdir(path, 0755) == 0 || errno == EEXIST;
}

int keys_target(const struct tool *tool, const struct key_target *target, char *path, size_t size)
{
    char directory[KEYS_PATH_MAX];
    int len;

    if ((target->out == NULL) == (target->name == NULL))
        return tool_complain(TOOL_USAGE, "either a NAME in the key directory or --out FILE is needed");
    if (target->out != NULL) {
        len = snprintf(path, size, "%s", target->out);
    } else {
        if (!keyfile_name_valid(target->name))
            return tool_complain(TOOL_USAGE, "\"%s\" cannot be a key's name", target->name);
        if (!tool_key_directory(tool, directory, sizeof(directory)))
            return tool_complain(TOOL_USAGE, "the path is too long");
        if (!keys_make_directory(directory))
            return tool_complain(TOOL_FAILED, "cannot make %s: %s", directory, strerror(errno));
        len = snprintf(path, size, "%s/%s.pem", directory, target->name);
    }
    if (len < 0 || (size_t)len >= size)
        return tool_complain(TOOL_USAGE, "the path is too long");
    if (!target->force && strcmp(path, "-") != 0 && access(path, F_OK) == 0)
        return tool_complain(TOOL_FAILED, "%s exists (--force replaces it)", path);
    return TOOL_OK;
}

/* ---- reading ---- */

int keys_read(const char *path, struct keyfile *out)
{
    uint8_t *data = NULL;
    size_t len = 0;
    char why[256] = "";
    enum keyfile_result result = keyfile_read(path, &data, &len, why, sizeof(why));

    if (result != KEYFILE_OK)
        return tool_complain(TOOL_FAILED, "%s", why);
    result = keyfile_parse((struct azihsm_bytes){data, len}, out, why, sizeof(why));
    OPENSSL_clear_free(data, len);
    if (result == KEYFILE_NOT_OURS)
        return tool_complain(TOOL_FAILED, "%s holds no key of the device (" KEYFILE_PEM_PRIVATE ")", path);
    return result == KEYFILE_OK ? TOOL_OK : tool_complain(TOOL_FAILED, "%s: %s", path, why);
}

int keys_open(struct tool *tool, const char *name, struct azihsm_key **out)
{
    struct azihsm_client *client = tool_client(tool);
    struct keyfile file = {0};
    char path[KEYS_PATH_MAX];
    azihsm_rc rc;
    int status = keys_path(tool, name, path, sizeof(path));

    if (status == TOOL_OK)
        status = keys_read(path, &file);
    if (status != TOOL_OK)
        return status;
    rc = client != NULL ? azihsm_key_from_blob(client, file.blob, file.spki, out, &tool->err) : tool->err.rc;
    keyfile_clear(&file);
    return rc == AZIHSM_OK ? TOOL_OK : tool_fail(tool, rc);
}

/* ---- writing ---- */

static bool keys_encode(struct tool *tool, const struct key_pair *keys, unsigned usages, uint8_t **pem, size_t *len)
{
    struct azihsm_key *key = keys->first;
    struct azihsm_bytes label = azihsm_key_label(key);
    struct keyfile file = {.blob = azihsm_key_blob(key), .spki = azihsm_key_spki(key), .usage = usages};
    unsigned char *algorithm = NULL;
    int algorithm_len = 0;
    bool ok = true;

    if (keys->second != NULL)
        file.second = azihsm_key_blob(keys->second);
    snprintf(file.label, sizeof(file.label), "%.*s", (int)label.len, label.len > 0 ? (const char *)label.data : "");
    /* The hint only helps messages: a device that cannot tell it still has the key. */
    file.has_hint = azihsm_client_device_hint(tool->client, file.hint, NULL) == AZIHSM_OK;
    if (file.spki.len == 0) {
        algorithm_len = symkind_algorithm(azihsm_key_kind(key), &algorithm);
        ok = algorithm_len > 0;
        file.algorithm = (struct azihsm_bytes){algorithm, ok ? (size_t)algorithm_len : 0};
    }
    ok = ok && keyfile_encode_pem(&file, pem, len);
    OPENSSL_free(algorithm);
    return ok;
}

int keys_save(struct tool *tool, const struct key_pair *keys, unsigned usages, const char *path)
{
    char description[64];
    uint8_t *pem = NULL;
    size_t len = 0;
    int status;

    if (!keys_encode(tool, keys, usages, &pem, &len))
        return tool_complain(TOOL_FAILED, "the key cannot be written as a key file");
    status = tool_write_file(path, (struct azihsm_bytes){pem, len}, true);
    OPENSSL_clear_free(pem, len);
    if (status != TOOL_OK || strcmp(path, "-") == 0)
        return status;
    keys_describe(azihsm_key_kind(keys->first), description, sizeof(description));
    output_begin(&tool->out, tool->json);
    output_text(&tool->out, "file", path);
    output_text(&tool->out, "type", description);
    output_end(&tool->out);
    return TOOL_OK;
}

void keys_withdraw(struct azihsm_key *key)
{
    if (key != NULL)
        (void)azihsm_key_delete(key, NULL); /* the error that matters is told already */
}

/* ---- words ---- */

void keys_describe(uint32_t kind, char *out, size_t size)
{
    uint32_t curve = azihsm_key_kind_curve(kind);
    size_t rsa = azihsm_key_kind_rsa_size(kind);
    const char *name = azihsm_key_kind_name(kind);

    if (curve != 0)
        snprintf(out, size, "EC P-%s", curve == AZIHSM_CURVE_P256 ? "256" : curve == AZIHSM_CURVE_P384 ? "384" : "521");
    else if (rsa != 0)
        snprintf(out, size, "RSA %zu", rsa * 8);
    else
        snprintf(out, size, "%s", name != NULL ? name : "unknown");
}

static const struct keys_usage_name {
    const char *name;
    unsigned usage;
} keys_usage_names[] = {
    {"sign", AZIHSM_USAGE_SIGN}, {"decrypt", AZIHSM_USAGE_DECRYPT}, {"derive", AZIHSM_USAGE_DERIVE}};
enum { KEYS_USAGES = sizeof(keys_usage_names) / sizeof(keys_usage_names[0]) };

unsigned keys_usages(const char *text)
{
    unsigned usages = 0;
    const char *word = text;
    size_t i, len;

    for (; *word != '\0'; word += len + (word[len] == ',')) {
        len = strcspn(word, ",");
        for (i = 0; i < KEYS_USAGES; i++) {
            if (strlen(keys_usage_names[i].name) == len && strncmp(keys_usage_names[i].name, word, len) == 0)
                break;
        }
        if (i == KEYS_USAGES)
            break;
        usages |= keys_usage_names[i].usage;
    }
    if (*word == '\0' && usages == (AZIHSM_USAGE_SIGN | AZIHSM_USAGE_DECRYPT | AZIHSM_USAGE_DERIVE)) {
        tool_complain(0, "--usage: a key has at most two uses, not \"%s\"", text);
        return 0;
    }
    if (*word == '\0' && usages != 0)
        return usages;
    tool_complain(0, "--usage must be sign, decrypt or derive (or two of them with a comma), not \"%s\"", text);
    return 0;
}

/* "sign", "sign,decrypt" ... */
static void keys_usage_text(unsigned usages, char *out, size_t size)
{
    size_t i, used = 0;

    out[0] = '\0';
    for (i = 0; i < KEYS_USAGES && used < size; i++) {
        if ((usages & keys_usage_names[i].usage) != 0)
            used += (size_t)snprintf(out + used, size - used, "%s%s", used > 0 ? "," : "", keys_usage_names[i].name);
    }
}

uint32_t keys_hash(const char *name)
{
    static const char *const names[] = {[AZIHSM_HASH_SHA1] = "sha1",
                                        [AZIHSM_HASH_SHA256] = "sha256",
                                        [AZIHSM_HASH_SHA384] = "sha384",
                                        [AZIHSM_HASH_SHA512] = "sha512"};
    uint32_t hash;

    for (hash = AZIHSM_HASH_SHA1; hash <= AZIHSM_HASH_SHA512; hash++) {
        if (strcmp(names[hash], name) == 0)
            return hash;
    }
    tool_complain(0, "--hash must be sha1, sha256, sha384 or sha512, not \"%s\"", name);
    return 0;
}

bool keys_spec(const char *label, const char *tag, struct azihsm_key_spec *out)
{
    uint64_t number = 0;

    *out = (struct azihsm_key_spec){.label = label};
    if (tag != NULL && !tool_number("tag", tag, 1, UINT16_MAX, &number))
        return false;
    if (label != NULL && strlen(label) > AZIHSM_KEY_LABEL_MAX) {
        tool_complain(0, "--label has more than %d bytes", AZIHSM_KEY_LABEL_MAX);
        return false;
    }
    out->tag = (uint16_t)number;
    return true;
}

void keys_print(struct output *out, const struct keyfile *file)
{
    struct azihsm_masked_key masked;
    char description[64] = "unknown", usage[32];

    if (azihsm_masked_key_parse(file->blob, &masked) == AZIHSM_OK) {
        uint64_t flags = azihsm_attributes_flags(masked.metadata.attributes);

        keys_describe(masked.metadata.key_type, description, sizeof(description));
        output_text(out, "type", description);
        output_text(out, "origin", (flags & AZIHSM_ATTR_LOCAL) != 0 ? "generated in the device" : "imported");
        if (masked.metadata.has_key_tag)
            output_number(out, "tag", masked.metadata.key_tag);
    } else {
        output_text(out, "type", "not a masked key");
    }
    keys_usage_text(file->usage, usage, sizeof(usage));
    if (usage[0] != '\0')
        output_text(out, "usage", usage);
    if (file->label[0] != '\0')
        output_text(out, "label", file->label);
    if (file->has_hint)
        output_hex(out, "device", (struct azihsm_bytes){file->hint, sizeof(file->hint)});
}
