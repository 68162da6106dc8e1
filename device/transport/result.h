/*
 * What the outcome of a slow-path command means to a client, the same for every transport that reports as the Linux
 * driver does (ddi-protocol 5.15, 8.3).
 */
#ifndef RESULT_H
#define RESULT_H

#include <azihsm/ddi.h>

azihsm_rc transport_result(uint32_t ext_status, uint32_t cqe_status, size_t response_len);

#endif
