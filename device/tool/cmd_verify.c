/*
 * azihsm verify: checks evidence from the root down, without a device. Exit status 0 only when everything that was
 * asked for holds; 5 when something does not.
 */
#include "commands.h"
#include "evidence.h"
#include "keys.h"
#include "report_data.h"

#include <openssl/crypto.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>

enum { SHA256_SIZE = 32, ROOT_MAX = 8192 };

struct verify {
    const char *file, *root, *root_sha256, *data, *data_hex, *app_id, *key;
    bool generated;
    uint8_t *storage; /* the evidence file */
    size_t len;
    uint8_t root_storage[ROOT_MAX];
    uint8_t digest[SHA256_SIZE];
};

/* ---- what is trusted ---- */

/* A root certificate in PEM or DER, as DER. */
static int verify_read_root(struct verify *verify, struct azihsm_bytes *out)
{
    size_t len = 0;
    char *name = NULL;
    unsigned char *der = NULL;
    long der_len = 0;
    BIO *bio;
    int status = tool_read_file(verify->root, verify->root_storage, sizeof(verify->root_storage), &len);

    if (status != TOOL_OK)
        return status;
    bio = BIO_new_mem_buf(verify->root_storage, (int)len);
    if (bio != NULL && PEM_bytes_read_bio(&der, &der_len, &name, PEM_STRING_X509, bio, NULL, NULL) > 0)
        memcpy(verify->root_storage, der, len = (size_t)der_len); /* shorter than its PEM form */
    *out = (struct azihsm_bytes){verify->root_storage, len};
    OPENSSL_free(name);
    OPENSSL_free(der);
    BIO_free(bio);
    return TOOL_OK;
}

static int verify_anchor(struct verify *verify, struct evidence_anchor *anchor)
{
    size_t len = 0;

    *anchor = (struct evidence_anchor){.root_sha256 = NULL};
    if ((verify->root == NULL) == (verify->root_sha256 == NULL))
        return tool_complain(TOOL_USAGE, "verify: what is trusted? --root FILE or --root-sha256 HEX");
    if (verify->root != NULL)
        return verify_read_root(verify, &anchor->root_der);
    if (!OPENSSL_hexstr2buf_ex(verify->digest, sizeof(verify->digest), &len, verify->root_sha256, '\0') ||
        len != sizeof(verify->digest))
        return tool_complain(TOOL_USAGE, "--root-sha256 must be %d hexadecimal digits", 2 * SHA256_SIZE);
    anchor->root_sha256 = verify->digest;
    return TOOL_OK;
}

/* ---- what was asked for ---- */

static int verify_data(const struct verify *verify, const struct evidence_claims *claims)
{
    uint8_t expected[AZIHSM_REPORT_DATA_SIZE];
    int status;

    if (verify->data == NULL && verify->data_hex == NULL)
        return TOOL_OK;
    status = report_data_from(verify->data, verify->data_hex, expected);
    if (status == TOOL_OK && memcmp(expected, claims->report_data.data, sizeof(expected)) != 0)
        status = tool_complain(TOOL_INVALID, "not valid: the report carries other data than expected");
    return status;
}

static int verify_app_id(const struct verify *verify, const struct evidence_claims *claims)
{
    uint8_t expected[EVIDENCE_ID_SIZE];
    size_t len = 0;

    if (verify->app_id == NULL)
        return TOOL_OK;
    if (!OPENSSL_hexstr2buf_ex(expected, sizeof(expected), &len, verify->app_id, '\0') || len != sizeof(expected))
        return tool_complain(TOOL_USAGE, "--app-id must be %d hexadecimal digits", 2 * EVIDENCE_ID_SIZE);
    if (memcmp(expected, claims->app_id.data, sizeof(expected)) != 0)
        return tool_complain(TOOL_INVALID, "not valid: the key belongs to another application id");
    return TOOL_OK;
}

static int verify_key(struct tool *tool, const struct verify *verify, const struct evidence *evidence)
{
    struct keyfile file = {0};
    char path[512];
    bool same;
    int status;

    if (verify->key == NULL)
        return TOOL_OK;
    status = keys_path(tool, verify->key, path, sizeof(path));
    if (status == TOOL_OK)
        status = keys_read(path, &file);
    if (status != TOOL_OK)
        return status;
    same = file.spki.len == evidence->spki.len && memcmp(file.spki.data, evidence->spki.data, file.spki.len) == 0;
    keyfile_clear(&file);
    return same ? TOOL_OK : tool_complain(TOOL_INVALID, "not valid: the evidence is about another key than %s", path);
}

static int verify_flags(const struct verify *verify, const struct evidence_claims *claims)
{
    bool generated = (claims->flags & EVIDENCE_GENERATED) != 0;

    if (generated == ((claims->flags & EVIDENCE_IMPORTED) != 0))
        return tool_complain(TOOL_INVALID, "not valid: the report says neither or both of generated and imported");
    if (verify->generated && !generated)
        return tool_complain(TOOL_INVALID, "not valid: the key was imported, it has existed outside the device");
    return TOOL_OK;
}

/* ---- output ---- */

static void verify_print(struct tool *tool, const struct evidence *evidence, const struct evidence_claims *claims)
{
    unsigned bit;

    output_begin(&tool->out, tool->json);
    output_bool(&tool->out, "valid", true);
    output_list(&tool->out, "flags");
    for (bit = 0; evidence_flag_name(bit) != NULL; bit++) {
        if ((claims->flags >> bit & 1) != 0)
            output_text(&tool->out, NULL, evidence_flag_name(bit));
    }
    output_close(&tool->out);
    output_hex(&tool->out, "app-id", claims->app_id);
    output_hex(&tool->out, "vm-launch-id", claims->vm_launch_id);
    output_hex(&tool->out, "data", claims->report_data);
    output_number(&tool->out, "certificates", evidence->chain_count);
    if (evidence->spki.len > 0)
        output_hex(&tool->out, "public-key", evidence->spki);
    output_end(&tool->out);
}

static int verify_run(struct tool *tool, struct verify *verify)
{
    struct evidence_anchor anchor;
    struct evidence_claims claims;
    struct evidence evidence;
    int status = verify_anchor(verify, &anchor);

    if (status != TOOL_OK)
        return status;
    if (evidence_decode((struct azihsm_bytes){verify->storage, verify->len}, &evidence, &tool->err) != AZIHSM_OK ||
        evidence_verify(&evidence, &anchor, &claims, &tool->err) != AZIHSM_OK)
        return tool_complain(TOOL_INVALID, "not valid: %s", tool->err.text);
    status = verify_flags(verify, &claims);
    if (status == TOOL_OK)
        status = verify_data(verify, &claims);
    if (status == TOOL_OK)
        status = verify_app_id(verify, &claims);
    if (status == TOOL_OK)
        status = verify_key(tool, verify, &evidence);
    if (status == TOOL_OK)
        verify_print(tool, &evidence, &claims);
    return status;
}

int cmd_verify(struct tool *tool, int argc, char **argv)
{
    struct verify *verify = OPENSSL_zalloc(sizeof(*verify));
    int status = TOOL_FAILED;

    if (verify != NULL && (verify->storage = OPENSSL_malloc(EVIDENCE_MAX)) != NULL) {
        const struct tool_option options[] = {
            {"root", &verify->root, NULL},           {"root-sha256", &verify->root_sha256, NULL},
            {"data", &verify->data, NULL},           {"data-hex", &verify->data_hex, NULL},
            {"app-id", &verify->app_id, NULL},       {"key", &verify->key, NULL},
            {"generated", NULL, &verify->generated}, {NULL, NULL, NULL}};

        status = tool_parse(tool, argc, argv, options, &verify->file, 1, 1);
        if (status == TOOL_OK)
            status = tool_read_file(verify->file, verify->storage, EVIDENCE_MAX, &verify->len);
        if (status == TOOL_OK)
            status = verify_run(tool, verify);
        OPENSSL_free(verify->storage);
    }
    OPENSSL_free(verify);
    return status;
}
