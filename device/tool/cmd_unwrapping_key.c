/*
 * azihsm unwrapping-key: the public key to which keys are wrapped for import, as PEM.
 */
#include "commands.h"

#include <openssl/pem.h>

int cmd_unwrapping_key(struct tool *tool, int argc, char **argv)
{
    const char *out = "-";
    const struct tool_option options[] = {{"out", &out, NULL}, {NULL, NULL, NULL}};
    uint8_t der[AZIHSM_PUB_KEY_MAX];
    size_t len = 0;
    char *text = NULL;
    long text_len = 0;
    BIO *bio;
    azihsm_rc rc;
    int status = tool_parse(tool, argc, argv, options, NULL, 0, 0);

    if (status != TOOL_OK)
        return status;
    if (tool_client(tool) == NULL)
        return tool_fail(tool, tool->err.rc);
    rc = azihsm_client_unwrapping_key(tool->client, der, sizeof(der), &len, &tool->err);
    if (rc != AZIHSM_OK)
        return tool_fail(tool, rc);
    bio = BIO_new(BIO_s_mem());
    if (bio != NULL && PEM_write_bio(bio, PEM_STRING_PUBLIC, "", der, (long)len) > 0)
        text_len = BIO_get_mem_data(bio, &text);
    status = text_len > 0 ? tool_write_file(out, (struct azihsm_bytes){(const uint8_t *)text, (size_t)text_len}, false)
                          : tool_complain(TOOL_FAILED, "out of memory");
    BIO_free(bio);
    return status;
}
