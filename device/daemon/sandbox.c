/*
 * Privileges and process attributes. The system-call filter is in seccomp.c.
 */
#include "sandbox.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

void sandbox_begin(void)
{
    const struct rlimit none = {0, 0};

    setrlimit(RLIMIT_CORE, &none);
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    umask(077);
}

static azihsm_rc sandbox_user(const char *user, uid_t *uid, gid_t *gid, struct azihsm_error *err)
{
    const struct passwd *account = getpwnam(user);

    if (account == NULL)
        return azihsm_error_set(err, AZIHSM_E_CONFIG, "user = %s: there is no such user", user);
    *uid = account->pw_uid;
    *gid = account->pw_gid;
    return AZIHSM_OK;
}

azihsm_rc sandbox_drop(const char *user, struct azihsm_error *err)
{
    uid_t uid = 0;
    gid_t gid = 0;
    azihsm_rc rc = sandbox_user(user, &uid, &gid, err);

    if (rc != AZIHSM_OK)
        return rc;
    if (geteuid() == uid)
        return AZIHSM_OK;
    if (initgroups(user, gid) != 0 || setresgid(gid, gid, gid) != 0 || setresuid(uid, uid, uid) != 0)
        return azihsm_error_set(err, AZIHSM_E_PERMISSION, "cannot become user %s: %s", user, strerror(errno));
    /* Changing ids makes the process traceable again. */
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    return AZIHSM_OK;
}

azihsm_rc sandbox_own_directory(const char *path, const char *user, struct azihsm_error *err)
{
    uid_t uid = 0;
    gid_t gid = 0;
    azihsm_rc rc = sandbox_user(user, &uid, &gid, err);

    if (rc != AZIHSM_OK)
        return rc;
    if (mkdir(path, 0700) != 0)
        return errno == EEXIST ? AZIHSM_OK
                               : azihsm_error_set(err, AZIHSM_E_IO, "cannot make %s: %s", path, strerror(errno));
    if (lchown(path, uid, gid) != 0)
        return azihsm_error_set(err, AZIHSM_E_IO, "cannot give %s to %s: %s", path, user, strerror(errno));
    return AZIHSM_OK;
}
