/*
 * The 128 bytes that a verifier has put into a report (a nonce or a digest), from the command line.
 */
#ifndef TOOL_REPORT_DATA_H
#define TOOL_REPORT_DATA_H

#include <azihsm/ddi.h>

/* Text, or hex digits, zero-extended; both NULL: all zero. TOOL_OK or TOOL_USAGE with a message. */
int report_data_from(const char *text, const char *hex, uint8_t out[AZIHSM_REPORT_DATA_SIZE]);

#endif
