/*
 * From a request frame to a response frame: header decoding, the validation order of ddi-protocol 2.5 in both
 * profiles, and the table of commands.
 */
#ifndef EMULATOR_DISPATCH_H
#define EMULATOR_DISPATCH_H

#include "emulator/device.h"

struct dispatch_result {
    uint32_t cqe_status; /* non-zero: no message */
    size_t len;
    /* what the completion entry tells the driver (3.3) */
    bool opened, closed;
    uint16_t sess_id;
    uint8_t short_app_id;
    struct emu_subject subject;
};

/* The gate is held shared by the caller. response has AZIHSM_FRAME_MAX bytes. */
void dispatch(struct emu_device *device, struct emu_namespace *ns, const struct emu_submission *in, uint8_t *response,
              struct dispatch_result *out);

/* Deletes the session with its keys and frees its id; flagged or not. False when somebody else did. */
bool dispatch_close_session(struct emu_device *device, struct session *session);

#endif
