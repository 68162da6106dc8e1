/*
 * The device behind /dev/azihsm0 for tests: raw ioctls of the kernel driver's ABI (ddi-protocol 8), and one process for
 * each test, so that under libazihsm-preload.so each test has a factory-fresh device.
 *
 * door.c answers the emulator's own interface (emulator/emulator.h) over these ioctls: what is written against it runs
 * through the driver's door unchanged.
 */
#ifndef TEST_DOOR_H
#define TEST_DOOR_H

#include <azihsm/ddi.h>

#include "transport/ioctl_abi.h"

#define DOOR_PATH "/dev/azihsm0"

/* Options of the private device that the next open of this process starts; no effect on real hardware. */
void door_configure(const char *options);
/* Ends the test, counted as skipped. */
_Noreturn void door_skip(const char *why);

/* An open node, close-on-exec; fails the test. */
int door_open_must(void);
/* What a client puts beside and around a request frame (8.3): zeros but for the buffers, response of 8192 bytes. */
struct ioctl_generic door_generic(const uint8_t *request, size_t len, uint8_t *response, uint8_t flags, uint16_t id);
/* 0, or errno of the ioctl. */
int door_ioctl(int fd, unsigned long code, void *argument);
/* Subsystem reset on a handle of its own. */
void door_reset_must(void);

/* A GCM request as the Linux client lays it out (7.3). src and dst have door_gcm_size bytes; the payload lies at
 * door_gcm_offset in both. */
size_t door_gcm_offset(size_t aad_len);
void door_gcm_source(uint8_t *src, const uint8_t *aad, size_t aad_len, const uint8_t *payload, size_t len);
struct ioctl_bulk door_bulk(const uint8_t *src, size_t src_len, uint8_t *dst, size_t dst_len, uint16_t sess_id);

#endif
