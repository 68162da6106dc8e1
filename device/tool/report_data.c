/*
 * Report data from the command line.
 */
#include "report_data.h"

#include "tool.h"

#include <openssl/crypto.h>
#include <string.h>

int report_data_from(const char *text, const char *hex, uint8_t out[AZIHSM_REPORT_DATA_SIZE])
{
    size_t len = 0;

    memset(out, 0, AZIHSM_REPORT_DATA_SIZE);
    if (text != NULL && hex != NULL)
        return tool_complain(TOOL_USAGE, "--data and --data-hex exclude each other");
    for (; text != NULL && text[len] != '\0'; len++) {
        if (len == AZIHSM_REPORT_DATA_SIZE)
            return tool_complain(TOOL_USAGE, "--data has more than %d bytes", AZIHSM_REPORT_DATA_SIZE);
        out[len] = (uint8_t)text[len];
    }
    if (hex != NULL && !OPENSSL_hexstr2buf_ex(out, AZIHSM_REPORT_DATA_SIZE, &len, hex, '\0'))
        return tool_complain(TOOL_USAGE, "--data-hex must be at most %d hexadecimal digits",
                             2 * AZIHSM_REPORT_DATA_SIZE);
    return TOOL_OK;
}
