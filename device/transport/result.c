/*
 * Driver status to result code: see result.h.
 */
#include "result.h"

static const struct {
    uint32_t ext_status;
    azihsm_rc rc;
} ext_results[] = {
    {1, AZIHSM_E_NO_MEMORY},
    {9, AZIHSM_E_NOT_OWNER},
    {10, AZIHSM_E_NOT_READY},
    {11, AZIHSM_STATUS_FILE_HANDLE_SESSION_LIMIT_REACHED},
    {12, AZIHSM_STATUS_FILE_HANDLE_NO_EXISTING_SESSION},
    {14, AZIHSM_STATUS_FILE_HANDLE_SESSION_ID_DOES_NOT_MATCH},
    {0x04000001, AZIHSM_E_ABORTED},
    {0x04000002, AZIHSM_E_ABORTED},
    {0x0400000A, AZIHSM_E_NOT_READY}, /* no queue available: EAGAIN, like a controller that is not ready */
};

azihsm_rc transport_result(uint32_t ext_status, uint32_t cqe_status, size_t response_len)
{
    if (ext_status != 0) {
        for (size_t i = 0; i < sizeof(ext_results) / sizeof(ext_results[0]); i++) {
            if (ext_results[i].ext_status == ext_status)
                return ext_results[i].rc;
        }
        return AZIHSM_E_TRANSPORT;
    }
    if (cqe_status != 0)
        return AZIHSM_E_TRANSPORT;
    return response_len != 0 && response_len <= AZIHSM_FRAME_MAX ? AZIHSM_OK : AZIHSM_E_PROTOCOL;
}
