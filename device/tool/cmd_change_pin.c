/*
 * azihsm change-pin: of azihsmd's partition by the control socket, so that its state knows the new PIN; of hardware
 * directly, with --pin-source naming the credential file, which is rewritten.
 */
#include "commands.h"
#include "control_client.h"

#include "client/credential.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <string.h>

static azihsm_rc change_pin_of_daemon(struct tool *tool, const uint8_t pin[AZIHSM_CREDENTIAL_SIZE])
{
    struct control_answer answer = {0};
    struct cbor_writer request;
    uint8_t buf[256];
    azihsm_rc rc;

    control_request(tool, &request, buf, sizeof(buf), "change-pin", 1);
    cbor_write_pair_bytes(&request, "pin", pin, AZIHSM_CREDENTIAL_SIZE);
    rc = control_ask(tool, &request, &answer);
    control_end(&answer);
    OPENSSL_cleanse(buf, sizeof(buf));
    return rc;
}

static azihsm_rc change_pin_of_hardware(struct tool *tool, const uint8_t pin[AZIHSM_CREDENTIAL_SIZE])
{
    uint8_t credential[CREDENTIAL_SIZE];
    struct azihsm_client *client;
    azihsm_rc rc;

    if (tool->pin_source == NULL || strncmp(tool->pin_source, "file:", 5) != 0)
        return azihsm_error_set(&tool->err, AZIHSM_E_ARGUMENT, "change-pin: --pin-source file:/path is needed");
    rc = azihsm_credential_read(tool->pin_source + 5, credential, &tool->err);
    client = rc == AZIHSM_OK ? tool_client(tool) : NULL;
    if (rc == AZIHSM_OK)
        rc = client != NULL ? azihsm_client_change_pin(client, pin, &tool->err) : tool->err.rc;
    if (rc == AZIHSM_OK) {
        memcpy(credential + AZIHSM_CREDENTIAL_SIZE, pin, AZIHSM_CREDENTIAL_SIZE);
        rc = azihsm_credential_write(tool->pin_source + 5, credential, &tool->err);
    }
    OPENSSL_cleanse(credential, sizeof(credential));
    return rc;
}

/* In a context of our own: openssl.cnf may send the default one to this very device. */
static bool change_pin_draw(uint8_t pin[AZIHSM_CREDENTIAL_SIZE])
{
    OSSL_LIB_CTX *libctx = OSSL_LIB_CTX_new();
    bool ok = libctx != NULL && RAND_priv_bytes_ex(libctx, pin, AZIHSM_CREDENTIAL_SIZE, 0) > 0;

    OSSL_LIB_CTX_free(libctx);
    return ok;
}

/* The new PIN: 32 hexadecimal digits in a file, so that it appears in no process list; without one, random. */
static int change_pin_read(const char *path, uint8_t pin[AZIHSM_CREDENTIAL_SIZE])
{
    uint8_t text[2 * AZIHSM_CREDENTIAL_SIZE + 3];
    size_t read = 0, len = 0;
    int status;

    if (path == NULL)
        return change_pin_draw(pin) ? TOOL_OK : tool_complain(TOOL_FAILED, "no random numbers");
    status = tool_read_file(path, text, sizeof(text) - 1, &read);
    while (read > 0 && (text[read - 1] == '\n' || text[read - 1] == '\r'))
        read--;
    text[read] = '\0';
    if (status == TOOL_OK && (!OPENSSL_hexstr2buf_ex(pin, AZIHSM_CREDENTIAL_SIZE, &len, (const char *)text, '\0') ||
                              len != AZIHSM_CREDENTIAL_SIZE))
        status = tool_complain(TOOL_USAGE, "%s must hold %d hexadecimal digits", path, 2 * AZIHSM_CREDENTIAL_SIZE);
    OPENSSL_cleanse(text, sizeof(text));
    return status;
}

int cmd_change_pin(struct tool *tool, int argc, char **argv)
{
    const char *file = NULL;
    const struct tool_option options[] = {{"pin-file", &file, NULL}, {NULL, NULL, NULL}};
    uint8_t pin[AZIHSM_CREDENTIAL_SIZE];
    int status = tool_parse(tool, argc, argv, options, NULL, 0, 0);
    azihsm_rc rc;

    if (status == TOOL_OK)
        status = change_pin_read(file, pin);
    if (status != TOOL_OK)
        return status;
    if (tool->device != NULL && tool->device[0] == '/')
        rc = change_pin_of_hardware(tool, pin);
    else
        rc = change_pin_of_daemon(tool, pin);
    OPENSSL_cleanse(pin, sizeof(pin));
    return rc == AZIHSM_OK ? TOOL_OK : tool_fail(tool, rc);
}
