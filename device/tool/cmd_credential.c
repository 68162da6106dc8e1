/*
 * azihsm credential: writes the credential file (pin-source) of a partition whose login is by PIN.
 */
#include "commands.h"
#include "control_client.h"

#include "client/credential.h"

int cmd_credential(struct tool *tool, int argc, char **argv)
{
    const char *out = NULL;
    const struct tool_option options[] = {{"out", &out, NULL}, {NULL, NULL, NULL}};
    struct control_answer answer = {0};
    struct cbor_token credential;
    int status = tool_parse(tool, argc, argv, options, NULL, 0, 0);
    azihsm_rc rc;

    if (status != TOOL_OK)
        return status;
    if (out == NULL)
        return tool_complain(TOOL_USAGE, "credential: --out FILE is needed");
    rc = control_ask_simple(tool, "credential", &answer);
    if (rc == AZIHSM_OK && (!cbor_map_find(answer.map, "credential", CBOR_TOKEN_BYTES, &credential) ||
                            credential.string.len != CREDENTIAL_SIZE))
        rc = azihsm_error_set(&tool->err, AZIHSM_E_PROTOCOL, "azihsmd sent a reply that is none");
    if (rc == AZIHSM_OK)
        rc = azihsm_credential_write(out, credential.string.data, &tool->err);
    control_end(&answer);
    return rc == AZIHSM_OK ? TOOL_OK : tool_fail(tool, rc);
}
