/*
 * The struct behind partition.h, for partition.c (life cycle) and partition_handle.c (serving).
 */
#ifndef DAEMON_PARTITION_INTERNAL_H
#define DAEMON_PARTITION_INTERNAL_H

#include "client/provision_state.h"
#include "partition.h"

#include <azihsm/device.h>

#include <pthread.h>

enum { PARTITION_ROOMY_SESSIONS = 4096 };

struct partition {
    const struct config_partition *config;
    struct state_dir *dir;
    struct emu_device *emulator;
    struct azihsm_endpoint *endpoint; /* to ourselves, for provisioning */
    struct provision_state *owner;    /* NULL: provisioning is not our business. Under life */
    struct counters *counters;
    struct conditions conditions;
    pthread_mutex_t life;
    pthread_mutex_t guard;
    /* under guard */
    struct access access;
    uint8_t credential[2 * AZIHSM_CREDENTIAL_SIZE];
    struct partition_family *families;
};

struct partition_family {
    struct partition *partition;
    struct partition_family *next, **link; /* under the partition's guard */
    struct emu_namespace *keys;            /* NULL: the partition's own */
    uid_t uid;
    _Atomic unsigned handles;
    _Atomic uint64_t commands;
};

/* A command changed what survives a power cycle: saves the device. */
void partition_note_persistent_change(struct partition *partition);

#endif
