/*
 * Key namespaces of connections (emulator.h). The list of the device starts with the partition's own one, which is
 * never taken out. Changes of the list happen with the gate shared, so that a reset sees it at rest.
 */
#include "emulator/device.h"

#include <stdlib.h>

/* The tag space of a user, made when it is missing and kept: tagged keys outlive connections. Lock held. */
static struct tag_space *find_space(struct emu_device *device, uint32_t uid)
{
    struct tag_space *space = device->tags->next;
    while (space != NULL && space->uid != uid)
        space = space->next;
    if (space == NULL) {
        space = tag_space_new(uid);
        if (space != NULL) {
            space->next = device->tags->next;
            device->tags->next = space;
        }
    }
    return space;
}

struct emu_namespace *emu_namespace_new(struct emu_device *device, uint32_t uid)
{
    struct tag_space *space;
    struct emu_namespace *ns = calloc(1, sizeof(*ns));
    if (ns == NULL)
        return NULL;
    ns->device = device;
    ns->refs = 1;
    pthread_rwlock_rdlock(&device->gate);
    pthread_mutex_lock(&device->namespaces_lock);
    space = find_space(device, uid);
    if (space != NULL)
        ns->vault = vault_new(device->config.tables, space, true);
    if (ns->vault != NULL) {
        ns->next = device->own->next;
        device->own->next = ns;
    }
    pthread_mutex_unlock(&device->namespaces_lock);
    pthread_rwlock_unlock(&device->gate);
    if (ns->vault == NULL) {
        free(ns);
        return NULL;
    }
    return ns;
}

struct emu_namespace *emu_namespace_up_ref(struct emu_namespace *ns)
{
    atomic_fetch_add(&ns->refs, 1);
    return ns;
}

void emu_namespace_free(struct emu_namespace *ns)
{
    struct emu_device *device;

    if (ns == NULL || atomic_fetch_sub(&ns->refs, 1) != 1)
        return;
    device = ns->device;
    pthread_rwlock_rdlock(&device->gate);
    pthread_mutex_lock(&device->namespaces_lock);
    for (struct emu_namespace **link = &device->own->next; *link != NULL; link = &(*link)->next) {
        if (*link == ns) {
            *link = ns->next;
            break;
        }
    }
    pthread_mutex_unlock(&device->namespaces_lock);
    pthread_rwlock_unlock(&device->gate);
    vault_free(ns->vault);
    free(ns);
}
