/*
 * Parsing of the azihsm.* options: a table of names, each with its setter. The struct owns its strings.
 */
#include "genoptions.h"

#include "config.h"
#include "keyfile.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/params.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

static bool take(char **where, const char *text)
{
    char *copy = OPENSSL_strdup(text);
    if (copy == NULL || *text == '\0') {
        OPENSSL_free(copy);
        return false;
    }
    OPENSSL_free(*where);
    *where = copy;
    return true;
}

static bool set_usage(struct genoptions *options, const char *text)
{
    static const struct {
        const char *word;
        enum azihsm_usage usage;
    } words[] = {
        {"digitalSignature", AZIHSM_USAGE_SIGN},   {"sign", AZIHSM_USAGE_SIGN},
        {"keyEncipherment", AZIHSM_USAGE_DECRYPT}, {"dataEncipherment", AZIHSM_USAGE_DECRYPT},
        {"decrypt", AZIHSM_USAGE_DECRYPT},         {"keyAgreement", AZIHSM_USAGE_DERIVE},
        {"derive", AZIHSM_USAGE_DERIVE},
    };
    unsigned usages = 0;
    options->unwrapping = strcasecmp(text, "keyWrapping") == 0;
    if (options->unwrapping)
        return true;
    while (*text != '\0') {
        size_t len = strcspn(text, ","), i = 0, count = sizeof(words) / sizeof(words[0]);
        while (i < count && (strlen(words[i].word) != len || strncasecmp(words[i].word, text, len) != 0))
            i++;
        if (i == count)
            return false;
        usages |= words[i].usage;
        text += len + (text[len] == ',');
    }
    options->usages = usages;
    /* a key file has room for two masked keys, one for each use */
    return usages != 0 && usages != (AZIHSM_USAGE_SIGN | AZIHSM_USAGE_DECRYPT | AZIHSM_USAGE_DERIVE);
}

static bool set_session(struct genoptions *options, const char *text)
{
    static const char *const words[] = {"no", "yes", "false", "true", "0", "1", "off", "on"};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (strcasecmp(text, words[i]) == 0) {
            options->session = (i & 1) != 0;
            return true;
        }
    return false;
}

static bool set_tag(struct genoptions *options, const char *text)
{
    char *end;
    unsigned long tag = text[0] >= '0' && text[0] <= '9' ? strtoul(text, &end, 0) : 0;
    if (tag == 0 || tag > UINT16_MAX || *end != '\0')
        return false;
    options->tag = (uint16_t)tag;
    return true;
}

static bool set_label(struct genoptions *options, const char *text)
{
    return strlen(text) <= AZIHSM_KEY_LABEL_MAX && take(&options->label, text);
}

static bool set_masked_key(struct genoptions *options, const char *text)
{
    return take(&options->masked_key, text);
}

static bool set_input_key(struct genoptions *options, const char *text)
{
    return take(&options->input_key, text);
}

static bool set_name(struct genoptions *options, const char *text)
{
    return keyfile_name_valid(text) && take(&options->name, text);
}

static const struct {
    const char *name;
    bool (*set)(struct genoptions *options, const char *text);
    const char *expected;
} rows[] = {
    {GENOPTION_USAGE, set_usage,
     "digitalSignature, keyEncipherment or keyAgreement (or at most two of them, with a comma), or keyWrapping"},
    {GENOPTION_SESSION, set_session, "yes or no"},
    {GENOPTION_LABEL, set_label, "at most 128 bytes"},
    {GENOPTION_TAG, set_tag, "a number from 1 to 0xffff"},
    {GENOPTION_MASKED_KEY, set_masked_key, "a file name"},
    {GENOPTION_INPUT_KEY, set_input_key, "a file name"},
    {GENOPTION_NAME, set_name, "a name without slash or leading dot"},
};
enum { ROWS = sizeof(rows) / sizeof(rows[0]) };

const OSSL_PARAM *genoptions_settable(void)
{
    static const OSSL_PARAM settable[] = {
        OSSL_PARAM_utf8_string(GENOPTION_USAGE, NULL, 0),      OSSL_PARAM_utf8_string(GENOPTION_SESSION, NULL, 0),
        OSSL_PARAM_utf8_string(GENOPTION_LABEL, NULL, 0),      OSSL_PARAM_utf8_string(GENOPTION_TAG, NULL, 0),
        OSSL_PARAM_utf8_string(GENOPTION_MASKED_KEY, NULL, 0), OSSL_PARAM_utf8_string(GENOPTION_INPUT_KEY, NULL, 0),
        OSSL_PARAM_utf8_string(GENOPTION_NAME, NULL, 0),       OSSL_PARAM_END,
    };
    return settable;
}

bool genoptions_present(const OSSL_PARAM params[])
{
    for (size_t i = 0; i < ROWS; i++)
        if (OSSL_PARAM_locate_const(params, rows[i].name) != NULL)
            return true;
    return false;
}

int genoptions_set(const struct provider *provider, struct genoptions *options, const OSSL_PARAM params[])
{
    for (size_t i = 0; i < ROWS; i++) {
        const OSSL_PARAM *p = OSSL_PARAM_locate_const(params, rows[i].name);
        char *text = NULL;
        bool good = p == NULL || (OSSL_PARAM_get_utf8_string(p, &text, 0) && rows[i].set(options, text));
        OPENSSL_free(text);
        if (!good)
            return raise_error(provider, REASON_PARAMETER, "%s: expected %s", rows[i].name, rows[i].expected);
    }
    return 1;
}

int genoptions_check_files(const struct provider *provider, const struct genoptions *options)
{
    if (options->session && (options->tag != 0 || options->masked_key != NULL || options->name != NULL))
        return raise_error(provider, REASON_PARAMETER,
                           "a session key has no tag and no file: it dies with this process");
    return 1;
}

int genoptions_check_name(const struct provider *provider, const struct genoptions *options, const char *suffix)
{
    char path[1024];
    struct stat info;

    if (options->name == NULL)
        return 1;
    if (snprintf(path, sizeof(path), "%s/%s%s.pem", provider_config(provider)->keys, options->name, suffix) >=
        (int)sizeof(path))
        return raise_error(provider, REASON_FILE, "the path is too long");
    return lstat(path, &info) != 0 || raise_error(provider, REASON_FILE, "%.140s: %s", path, strerror(EEXIST));
}

void genoptions_withdraw(const struct genoptions *options, struct azihsm_key *key)
{
    if (key != NULL && options->tag != 0)
        (void)azihsm_key_delete(key, NULL); /* the error that matters was raised already */
}

static bool single(unsigned usages)
{
    return (usages & (usages - 1)) == 0;
}

int genoptions_check(const struct provider *provider, const struct genoptions *options, enum key_type type)
{
    static const unsigned possible[KEY_TYPES] = {
        [KEY_EC] = AZIHSM_USAGE_SIGN | AZIHSM_USAGE_DERIVE,
        [KEY_RSA] = AZIHSM_USAGE_SIGN | AZIHSM_USAGE_DECRYPT,
        [KEY_RSA_PSS] = AZIHSM_USAGE_SIGN,
    };
    if ((options->usages & ~possible[type]) != 0 || (options->unwrapping && type != KEY_RSA))
        return raise_error(provider, REASON_PARAMETER, "%s: not a use of %s keys", GENOPTION_USAGE,
                           key_type_name(type));
    if (options->unwrapping && (options->session || options->tag != 0 || options->label != NULL ||
                                options->name != NULL || options->masked_key != NULL || options->input_key != NULL))
        return raise_error(provider, REASON_PARAMETER,
                           "keyWrapping gives the public half of the device's own unwrapping key, and goes with no "
                           "other option");
    if (options->masked_key != NULL && !single(options->usages))
        return raise_error(provider, REASON_PARAMETER, "%s: a bare masked key has one use", GENOPTION_MASKED_KEY);
    return genoptions_check_files(provider, options);
}

struct azihsm_key_spec genoptions_spec(const struct genoptions *options)
{
    return (struct azihsm_key_spec){
        .usage = options->usages == 0 ? AZIHSM_USAGE_SIGN : (enum azihsm_usage)(options->usages & -options->usages),
        .session = options->session,
        .label = options->label != NULL ? options->label : options->name,
        .tag = options->tag,
    };
}

unsigned genoptions_import_usages(const struct genoptions *options, enum key_type type)
{
    if (options->usages != 0)
        return options->usages;
    return type == KEY_RSA && options->masked_key == NULL ? AZIHSM_USAGE_SIGN | AZIHSM_USAGE_DECRYPT
                                                          : AZIHSM_USAGE_SIGN;
}

void genoptions_clear(struct genoptions *options)
{
    OPENSSL_free(options->label);
    OPENSSL_free(options->masked_key);
    OPENSSL_free(options->input_key);
    OPENSSL_free(options->name);
    *options = (struct genoptions){0};
}
