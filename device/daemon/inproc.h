/*
 * The shortest way to a device: an emulator partition of this very process behind the seam of device.h.
 *
 * azihsmd provisions its own engine through it, and tests of the client layer use it as their device. Requests are
 * executed inside submit, in the caller's thread. The emulator must outlive every endpoint and handle made from it.
 */
#ifndef DAEMON_INPROC_H
#define DAEMON_INPROC_H

#include <azihsm/device.h>

struct emu_device;

/*
 * credential: id, then PIN, handed out as a daemon does that vouches for its peer; NULL when the client must know it.
 */
azihsm_rc inproc_endpoint_new(struct emu_device *device, const uint8_t credential[2 * AZIHSM_CREDENTIAL_SIZE],
                              struct azihsm_endpoint **out);

/* What the software device says of itself, through this and every other door. */
const struct azihsm_device_strings *inproc_device_strings(void);

#endif
