/*
 * azihsm key show: what a key file says; with --check whether this device takes it; with --public its public key.
 */
#include "commands.h"
#include "keys.h"

#include <openssl/pem.h>
#include <openssl/x509.h>

static int show_public(const struct keyfile *file, const char *path)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *text = NULL;
    long len = 0;
    int status = TOOL_FAILED;

    if (file->spki.len == 0)
        status = tool_complain(TOOL_FAILED, "a symmetric key has no public half");
    else if (bio != NULL && PEM_write_bio(bio, PEM_STRING_PUBLIC, "", file->spki.data, (long)file->spki.len) > 0 &&
             (len = BIO_get_mem_data(bio, &text)) > 0)
        status = tool_write_file(path, (struct azihsm_bytes){(const uint8_t *)text, (size_t)len}, false);
    BIO_free(bio);
    return status;
}

/* Every masked key of the file. */
static int show_check(struct tool *tool, const struct keyfile *file)
{
    const struct azihsm_bytes blobs[] = {file->blob, file->second};
    struct azihsm_client *client = tool_client(tool);
    azihsm_rc rc = client != NULL ? AZIHSM_OK : tool->err.rc;

    for (size_t i = 0; rc == AZIHSM_OK && i < 2 && blobs[i].len > 0; i++) {
        struct azihsm_key *key = NULL;

        rc = azihsm_key_from_blob(client, blobs[i], file->spki, &key, &tool->err);
        if (rc == AZIHSM_OK)
            rc = azihsm_key_load(key, &tool->err);
        azihsm_key_free(key);
    }
    return rc == AZIHSM_OK ? TOOL_OK : tool_fail(tool, rc);
}

int key_show(struct tool *tool, int argc, char **argv)
{
    const char *name = NULL, *public_path = NULL;
    bool check = false;
    const struct tool_option options[] = {{"check", NULL, &check}, {"public", &public_path, NULL}, {NULL, NULL, NULL}};
    struct keyfile file = {0};
    char path[512];
    int status = tool_parse(tool, argc, argv, options, &name, 1, 1);

    if (status == TOOL_OK)
        status = keys_path(tool, name, path, sizeof(path));
    if (status == TOOL_OK)
        status = keys_read(path, &file);
    if (status != TOOL_OK)
        return status;
    if (public_path != NULL)
        status = show_public(&file, public_path);
    if (status == TOOL_OK && check)
        status = show_check(tool, &file);
    if (status == TOOL_OK && public_path == NULL) {
        output_begin(&tool->out, tool->json);
        output_text(&tool->out, "file", path);
        keys_print(&tool->out, &file);
        if (check)
            output_bool(&tool->out, "accepted-by-device", true);
        output_end(&tool->out);
    }
    keyfile_clear(&file);
    return status;
}
