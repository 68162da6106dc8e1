/*
 * Allowed users and groups of a partition.
 */
#include "access.h"

#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <unistd.h>

#define ACCESS_DEFAULT_GROUP "azihsm"

static bool access_add_uid(struct access *access, uid_t uid)
{
    if (access->uid_count == ACCESS_IDS_MAX)
        return false;
    access->uids[access->uid_count++] = uid;
    return true;
}

static bool access_add_group(struct access *access, const struct group *group)
{
    char **member;
    bool ok = access->gid_count < ACCESS_IDS_MAX;

    if (ok)
        access->gids[access->gid_count++] = group->gr_gid;
    for (member = group->gr_mem; ok && *member != NULL; member++) {
        const struct passwd *user = getpwnam(*member);

        /* A member without an account harms nobody. */
        ok = user == NULL || access_add_uid(access, user->pw_uid);
    }
    return ok;
}

static azihsm_rc access_full(const struct config_partition *partition, struct azihsm_error *err)
{
    return azihsm_error_set(err, AZIHSM_E_CONFIG, "partition %s: more than %d allowed users", partition->name,
                            ACCESS_IDS_MAX);
}

static azihsm_rc access_resolve_users(const struct config_partition *partition, struct access *out,
                                      struct azihsm_error *err)
{
    const char *list = partition->allow_users;
    char name[64];

    while (settings_next_item(&list, name, sizeof(name))) {
        const struct passwd *user;

        if (strcmp(name, "*") == 0) {
            out->everybody = true;
            continue;
        }
        user = getpwnam(name);
        if (user == NULL)
            return azihsm_error_set(err, AZIHSM_E_CONFIG, "partition %s: allow-users: no user \"%s\"", partition->name,
                                    name);
        if (!access_add_uid(out, user->pw_uid))
            return access_full(partition, err);
    }
    return AZIHSM_OK;
}

static azihsm_rc access_resolve_groups(const struct config_partition *partition, struct access *out,
                                       struct azihsm_error *err)
{
    bool by_default = partition->allow_groups[0] == '\0';
    const char *list = by_default ? ACCESS_DEFAULT_GROUP : partition->allow_groups;
    char name[64];

    while (settings_next_item(&list, name, sizeof(name))) {
        const struct group *group = getgrnam(name);

        if (group == NULL && by_default)
            continue;
        if (group == NULL)
            return azihsm_error_set(err, AZIHSM_E_CONFIG, "partition %s: allow-groups: no group \"%s\"",
                                    partition->name, name);
        if (!access_add_group(out, group))
            return access_full(partition, err);
    }
    return AZIHSM_OK;
}

azihsm_rc access_resolve(const struct config_partition *partition, struct access *out, struct azihsm_error *err)
{
    azihsm_rc rc;

    memset(out, 0, sizeof(*out));
    access_add_uid(out, 0);
    access_add_uid(out, geteuid());
    rc = access_resolve_users(partition, out, err);
    return rc == AZIHSM_OK ? access_resolve_groups(partition, out, err) : rc;
}

bool access_allows(const struct access *access, uid_t uid, gid_t gid)
{
    size_t i;

    if (access->everybody)
        return true;
    for (i = 0; i < access->uid_count; i++) {
        if (access->uids[i] == uid)
            return true;
    }
    for (i = 0; i < access->gid_count; i++) {
        if (access->gids[i] == gid)
            return true;
    }
    return false;
}
