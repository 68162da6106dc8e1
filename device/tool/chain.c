/*
 * Reading the partition's certificates; again from the start when they change under us.
 */
#include "chain.h"

#include <openssl/crypto.h>

enum { CHAIN_ATTEMPTS = 4 };

static azihsm_rc chain_read_once(struct tool *tool, struct chain *out)
{
    unsigned count = 1, i;
    azihsm_rc rc = AZIHSM_OK;

    for (i = 0; i < count && rc == AZIHSM_OK; i++) {
        uint8_t *der = out->storage + (size_t)i * AZIHSM_CERTIFICATE_MAX;
        size_t len = AZIHSM_CERTIFICATE_MAX;

        rc = azihsm_client_certificate(tool->client, i, der, &len, &count, &tool->err);
        if (rc == AZIHSM_OK && (count == 0 || count > EVIDENCE_CHAIN_MAX))
            rc = azihsm_error_set(&tool->err, AZIHSM_E_PROTOCOL, "the device has %u certificates", count);
        out->der[i] = (struct azihsm_bytes){der, len};
    }
    out->count = count;
    return rc;
}

azihsm_rc chain_read(struct tool *tool, struct chain *out)
{
    azihsm_rc rc = AZIHSM_E_BUSY;
    int attempt;

    *out = (struct chain){.storage = OPENSSL_malloc(EVIDENCE_CHAIN_MAX * AZIHSM_CERTIFICATE_MAX)};
    if (out->storage == NULL)
        return azihsm_error_set(&tool->err, AZIHSM_E_NO_MEMORY, "out of memory");
    if (tool_client(tool) == NULL)
        return tool->err.rc;
    for (attempt = 0; attempt < CHAIN_ATTEMPTS && rc == AZIHSM_E_BUSY; attempt++)
        rc = chain_read_once(tool, out);
    return rc;
}

void chain_free(struct chain *chain)
{
    OPENSSL_free(chain->storage);
    *chain = (struct chain){0};
}
