/*
 * azihsm provision: brings bare hardware up from a state directory and, with --watch, again after each reset. The
 * partition's credential is written to a file for the programs that use the device (pin-source).
 */
#include "commands.h"

#include "client/credential.h"
#include "client/provision.h"
#include "client/state_dir.h"

#include <azihsm/device.h>

#include <openssl/crypto.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define OWNER_FILE "hardware.owner"

struct provisioning {
    struct tool *tool;
    struct state_dir *dir;
    struct provision_state *owner;
    struct azihsm_endpoint *endpoint;
    const char *credential_file; /* NULL = none */
};

static volatile sig_atomic_t provision_stop;

static void provision_on_signal(int number)
{
    (void)number;
    provision_stop = 1;
}

static int64_t provision_deadline(const struct tool *tool)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec + (int64_t)tool_timeout_ms(tool) * 1000000;
}

/* ---- state ---- */

static azihsm_rc provision_store(void *arg, const struct provision_state *owner, struct azihsm_error *err)
{
    struct provisioning *work = arg;
    uint8_t *buf = OPENSSL_malloc(PROVISION_STATE_MAX);
    size_t len = 0;
    azihsm_rc rc;

    if (buf == NULL)
        return azihsm_error_set(err, AZIHSM_E_NO_MEMORY, "out of memory");
    rc = provision_state_encode(owner, buf, PROVISION_STATE_MAX, &len);
    if (rc == AZIHSM_OK)
        rc = state_dir_write(work->dir, OWNER_FILE, (struct azihsm_bytes){buf, len}, err);
    OPENSSL_clear_free(buf, PROVISION_STATE_MAX);
    return rc;
}

static azihsm_rc provision_load(struct provisioning *work)
{
    struct azihsm_error *err = &work->tool->err;
    uint8_t *buf = OPENSSL_malloc(PROVISION_STATE_MAX);
    size_t len = 0;
    azihsm_rc rc;

    if (buf == NULL)
        return azihsm_error_set(err, AZIHSM_E_NO_MEMORY, "out of memory");
    rc = state_dir_read(work->dir, OWNER_FILE, buf, PROVISION_STATE_MAX, &len, err);
    if (rc == AZIHSM_OK && len > 0) {
        rc = provision_state_decode((struct azihsm_bytes){buf, len}, &work->owner);
        if (rc != AZIHSM_OK)
            azihsm_error_set(err, rc, "%s/%s is damaged: restore it from a backup", state_dir_path(work->dir),
                             OWNER_FILE);
    } else if (rc == AZIHSM_OK) {
        rc = provision_state_generate(&work->owner, err);
        if (rc == AZIHSM_OK)
            rc = provision_store(work, work->owner, err);
    }
    OPENSSL_clear_free(buf, PROVISION_STATE_MAX);
    return rc;
}

/* ---- the device ---- */

static azihsm_rc provision_once(struct provisioning *work)
{
    const struct provision_keeper keeper = {provision_store, work};
    struct azihsm_error *err = &work->tool->err;
    enum provision_outcome outcome;
    azihsm_rc rc = provision_run(work->endpoint, work->owner, &keeper, provision_deadline(work->tool), &outcome, err);

    if (rc == AZIHSM_OK && work->credential_file != NULL)
        rc = azihsm_credential_write(work->credential_file, work->owner->credential, err);
    if (rc == AZIHSM_OK)
        fprintf(stderr, "azihsm: %s %s\n", azihsm_endpoint_name(work->endpoint),
                outcome == PROVISION_DONE ? "is provisioned" : "was provisioned before");
    return rc;
}

/* Until a signal comes. A device that is away is waited for; only what will not get better ends the watch. */
static azihsm_rc provision_watch(struct provisioning *work, unsigned seconds)
{
    azihsm_rc rc = AZIHSM_OK;

    while (!provision_stop && rc != AZIHSM_E_MISMATCH && rc != AZIHSM_E_PERMISSION && rc != AZIHSM_E_IO) {
        bool needed = false;

        sleep(seconds);
        if (provision_stop)
            break;
        rc = provision_needed(work->endpoint, provision_deadline(work->tool), &needed, &work->tool->err);
        if (rc == AZIHSM_OK && needed)
            rc = provision_once(work);
        if (rc != AZIHSM_OK)
            tool_complain(0, "%s", work->tool->err.text);
    }
    return provision_stop ? AZIHSM_OK : rc;
}

static azihsm_rc provision_work(struct provisioning *work, const char *state_dir, bool watch, unsigned interval)
{
    struct azihsm_endpoint_config config = {.device = work->tool->device != NULL ? work->tool->device : "auto",
                                            .partition = work->tool->partition};
    const struct sigaction action = {.sa_handler = provision_on_signal};
    azihsm_rc rc = azihsm_endpoint_new(&config, &work->endpoint, &work->tool->err);

    if (rc == AZIHSM_OK)
        rc = state_dir_open(state_dir, &work->dir, &work->tool->err);
    if (rc == AZIHSM_OK)
        rc = provision_load(work);
    if (rc == AZIHSM_OK)
        rc = provision_once(work);
    if (rc == AZIHSM_OK && watch) {
        sigaction(SIGTERM, &action, NULL);
        sigaction(SIGINT, &action, NULL);
        rc = provision_watch(work, interval);
    }
    return rc;
}

int cmd_provision(struct tool *tool, int argc, char **argv)
{
    struct provisioning work = {.tool = tool};
    const char *state_dir = NULL, *interval_text = "5";
    bool watch = false;
    const struct tool_option options[] = {{"state-dir", &state_dir, NULL},
                                          {"credential", &work.credential_file, NULL},
                                          {"interval", &interval_text, NULL},
                                          {"watch", NULL, &watch},
                                          {NULL, NULL, NULL}};
    uint64_t interval = 0;
    int status = tool_parse(tool, argc, argv, options, NULL, 0, 0);
    azihsm_rc rc;

    if (status != TOOL_OK || !tool_number("interval", interval_text, 1, 3600, &interval))
        return TOOL_USAGE;
    if (state_dir == NULL)
        return tool_complain(TOOL_USAGE, "provision: --state-dir DIR is needed");
    rc = provision_work(&work, state_dir, watch, (unsigned)interval);
    provision_state_free(work.owner);
    state_dir_close(work.dir);
    azihsm_endpoint_free(work.endpoint);
    return rc == AZIHSM_OK ? TOOL_OK : tool_fail(tool, rc);
}
