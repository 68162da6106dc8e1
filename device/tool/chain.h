/*
 * The certificate chain of the partition, as the commands read it from the device.
 */
#ifndef TOOL_CHAIN_H
#define TOOL_CHAIN_H

#include "evidence.h"
#include "tool.h"

struct chain {
    size_t count;
    uint8_t *storage;
    struct azihsm_bytes der[EVIDENCE_CHAIN_MAX]; /* root first */
};

/* chain_free whatever it returns. */
azihsm_rc chain_read(struct tool *tool, struct chain *out);
void chain_free(struct chain *chain);

#endif
