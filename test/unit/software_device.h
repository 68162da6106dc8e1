/*
 * A device for tests of what stands above the seam: a fresh emulator partition of this process, provisioned, behind an
 * endpoint that counts what passes and fails on demand.
 */
#ifndef SOFTWARE_DEVICE_H
#define SOFTWARE_DEVICE_H

#include "client/client.h"
#include "client/provision.h"
#include "emulator/emulator.h"

struct software_device;

struct software_options {
    enum azihsm_device_kind kind; /* 0 = virtual */
    unsigned tables;              /* 0 = 1 */
    unsigned sessions;            /* 0 = 8 */
    bool extensions;
    bool unprovisioned;
};

struct software_device *software_new(const struct software_options *options);
void software_free(struct software_device *device);
struct emu_device *software_emulator(struct software_device *device);
/* Establishes the credential again, as the owner of the partition does after a reset. */
void software_provision(struct software_device *device);
/* The credential, id then PIN. */
const uint8_t *software_credential(const struct software_device *device);

/* A client with its own hub; handed the credential by the device. timeout_ms 0 = so long that a busy machine does
 * not matter. */
struct azihsm_client *software_client(struct software_device *device, unsigned timeout_ms);
/* An endpoint for client_new_on; with_credential: the device hands it out. */
struct azihsm_endpoint *software_endpoint(struct software_device *device, bool with_credential);

/* ---- counters and faults ---- */
unsigned software_count(const struct software_device *device, uint32_t op); /* requests of an opcode */
unsigned software_total(const struct software_device *device);
unsigned software_opens(const struct software_device *device);
void software_forget_counts(struct software_device *device);

/* Bulk work counts and fails as if it had this opcode. */
enum { SOFTWARE_BULK = 0x10000 };
/* Called once, before the next bulk work goes to the device. */
void software_before_bulk(struct software_device *device, void (*fn)(void *arg), void *arg);
/* The next count requests of an opcode end with rc, after they were executed or (lost) before. */
void software_fail(struct software_device *device, uint32_t op, unsigned count, azihsm_rc rc, bool executed);
/* As if the daemon had died: every handle is lost, opening fails with AZIHSM_E_NO_DEVICE until it is up again. */
void software_down(struct software_device *device);
void software_up(struct software_device *device);
/* Requests complete so late (asynchronously): their descriptor becomes readable then. */
void software_set_delay_ms(struct software_device *device, unsigned delay_ms);
/* Requests that were given up before they had completed. */
unsigned software_released_early(const struct software_device *device);
unsigned software_open_requests(const struct software_device *device);

#endif
