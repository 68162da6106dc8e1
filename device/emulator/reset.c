/*
 * Subsystem reset / simulated migration (device-behaviour 2.5) and the counters.
 */
#include "emulator/device.h"

void emu_device_reset(struct emu_device *device)
{
    pthread_rwlock_wrlock(&device->gate);
    session_table_flag_all(&device->sessions);
    device_tear_down(device);
    device_bring_up(device);
    pthread_rwlock_unlock(&device->gate);
    atomic_fetch_add(&device->resets, 1);
}

void emu_device_counters(struct emu_device *device, struct emu_counters *out)
{
    *out = (struct emu_counters){
        .commands = atomic_load(&device->commands),
        .errors = atomic_load(&device->errors),
        .resets = atomic_load(&device->resets),
        .handles = atomic_load(&device->handles),
    };
    pthread_rwlock_rdlock(&device->gate);
    session_table_count(&device->sessions, &out->sessions, &out->sessions_flagged);
    pthread_mutex_lock(&device->lock);
    out->provisioned = device->provisioned;
    pthread_mutex_unlock(&device->lock);
    pthread_mutex_lock(&device->namespaces_lock);
    for (struct emu_namespace *ns = device->own; ns != NULL; ns = ns->next)
        vault_count(ns->vault, &out->keys, &out->key_bytes, &out->bulk_keys);
    pthread_mutex_unlock(&device->namespaces_lock);
    pthread_rwlock_unlock(&device->gate);
}
