/*
 * azihsm attest: asks the device for a report about a key and writes it with the certificate chain as one file.
 */
#include "chain.h"
#include "commands.h"
#include "keys.h"
#include "report_data.h"

#include <openssl/crypto.h>

static azihsm_rc attest_key(struct tool *tool, struct azihsm_key *key, const uint8_t *report_data,
                            struct evidence *evidence, uint8_t *report)
{
    size_t len = AZIHSM_REPORT_MAX;
    azihsm_rc rc = azihsm_key_attest(key, report_data, report, &len, &tool->err);

    evidence->report = (struct azihsm_bytes){report, len};
    evidence->spki = azihsm_key_spki(key);
    return rc;
}

static int attest_write(struct tool *tool, struct azihsm_key *key, const uint8_t *report_data, const char *path)
{
    struct evidence evidence = {.chain_count = 0};
    uint8_t report[AZIHSM_REPORT_MAX], *file = OPENSSL_malloc(EVIDENCE_MAX);
    struct chain chain;
    size_t len = 0;
    int status;
    azihsm_rc rc = chain_read(tool, &chain);

    if (file == NULL)
        rc = azihsm_error_set(&tool->err, AZIHSM_E_NO_MEMORY, "out of memory");
    if (rc == AZIHSM_OK)
        rc = attest_key(tool, key, report_data, &evidence, report);
    for (; rc == AZIHSM_OK && evidence.chain_count < chain.count; evidence.chain_count++)
        evidence.chain[evidence.chain_count] = chain.der[evidence.chain_count];
    if (rc == AZIHSM_OK)
        rc = evidence_encode(&evidence, file, EVIDENCE_MAX, &len);
    status = rc == AZIHSM_OK ? tool_write_file(path, (struct azihsm_bytes){file, len}, false) : tool_fail(tool, rc);
    chain_free(&chain);
    OPENSSL_free(file);
    return status;
}

int cmd_attest(struct tool *tool, int argc, char **argv)
{
    const char *name = NULL, *out = "-", *text = NULL, *hex = NULL;
    const struct tool_option options[] = {
        {"out", &out, NULL}, {"data", &text, NULL}, {"data-hex", &hex, NULL}, {NULL, NULL, NULL}};
    uint8_t report_data[AZIHSM_REPORT_DATA_SIZE];
    struct azihsm_key *key = NULL;
    int status = tool_parse(tool, argc, argv, options, &name, 1, 1);

    if (status == TOOL_OK)
        status = report_data_from(text, hex, report_data);
    if (status == TOOL_OK)
        status = keys_open(tool, name, &key);
    if (status == TOOL_OK)
        status = attest_write(tool, key, report_data, out);
    azihsm_key_free(key);
    return status;
}
