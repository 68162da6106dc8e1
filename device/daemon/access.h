/*
 * Who may open a partition: the user and group ids behind allow-users and allow-groups.
 *
 * Names are looked up once, when the configuration is read, so that serving needs no name service inside the sandbox.
 */
#ifndef DAEMON_ACCESS_H
#define DAEMON_ACCESS_H

#include "config.h"

#include <sys/types.h>

enum { ACCESS_IDS_MAX = 256 };

struct access {
    bool everybody;
    size_t uid_count, gid_count;
    uid_t uids[ACCESS_IDS_MAX]; /* allowed users and members of allowed groups */
    gid_t gids[ACCESS_IDS_MAX]; /* allowed groups, for users whose primary group they are */
};

/* AZIHSM_E_CONFIG names a user or group that does not exist. */
azihsm_rc access_resolve(const struct config_partition *partition, struct access *out, struct azihsm_error *err);
bool access_allows(const struct access *access, uid_t uid, gid_t gid);

#endif
