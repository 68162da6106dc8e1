/*
 * Which azihsmd the ioctls go to: a running one, or a private, factory-fresh one that ends with this process.
 *
 *   AZIHSM_PRELOAD_SOCKET   attach to the daemon that listens there
 *   AZIHSM_PRELOAD_DAEMON   else: path of the azihsmd to start (default: the installed one)
 *   AZIHSM_PRELOAD_OPTIONS  its further options, separated by blanks, e.g. "--kind physical --tables 4 --secrets FILE"
 *
 * A private daemon is started by the first open. Its lifeline is a pipe whose other end this process, and children
 * forked from it, hold: when the last of them is gone, so is the daemon. Programs that this one executes start their
 * own.
 */
#include "preload.h"

#include "transport/autostart.h"
#include "transport/futex.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

extern char **environ;

/* As the driver's own 6 s would abort a command that another program's test load merely delays, be patient. */
enum { COMMAND_SECONDS = 60, START_SECONDS = 20, OPTIONS_MAX = 32, SOCKET_PATH_MAX = 108 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct azihsm_endpoint *endpoint;
static int lifeline = -1;

int64_t preload_deadline(void)
{
    return clock_now() + COMMAND_SECONDS * NS_PER_S;
}

/* The environment without our own preloading: the daemon is to run as it is. Only the array is ours to free. */
static char **daemon_environment(void)
{
    size_t count = 0, kept = 0;
    char **copy;

    while (environ[count] != NULL)
        count++;
    copy = calloc(count + 1, sizeof(*copy));
    for (size_t i = 0; copy != NULL && i < count; i++) {
        if (strncmp(environ[i], "LD_PRELOAD=", strlen("LD_PRELOAD=")) != 0)
            copy[kept++] = environ[i];
    }
    return copy;
}

static azihsm_rc start(const char *socket, int *write_end)
{
    const char *extra = secure_getenv("AZIHSM_PRELOAD_OPTIONS");
    const char *path = secure_getenv("AZIHSM_PRELOAD_DAEMON");
    char *options = strdup(extra != NULL ? extra : "");
    char **environment = daemon_environment();
    char *argv[OPTIONS_MAX] = {"azihsmd", "--ephemeral", "--conformance",
                               "--quiet", "--socket",    (char *)(uintptr_t)socket};
    size_t argc = 6;
    int pipe_ends[2] = {-1, -1};
    int error = ENOMEM;

    if (options != NULL && environment != NULL && pipe2(pipe_ends, O_CLOEXEC) == 0) {
        char *rest = options;
        char *word;

        while ((word = strtok_r(rest, " ", &rest)) != NULL && argc < OPTIONS_MAX - 5)
            argv[argc++] = word;
        error = autostart_run(path, argv, environment, pipe_ends[0], clock_now() + START_SECONDS * NS_PER_S);
        close(pipe_ends[0]);
    }
    *write_end = pipe_ends[1];
    if (error != 0) {
        fprintf(stderr, "azihsm preload: %s did not start: %s\n", path != NULL ? path : AZIHSM_DAEMON_PATH,
                strerror(error));
        if (pipe_ends[1] >= 0)
            close(pipe_ends[1]);
    }
    free(options);
    free(environment);
    return error == 0 ? AZIHSM_OK : AZIHSM_E_NO_DEVICE;
}

/* Makes the endpoint; the lock is held. */
static azihsm_rc resolve(void)
{
    const char *configured = secure_getenv("AZIHSM_PRELOAD_SOCKET");
    char directory[] = "/tmp/azihsm-preload.XXXXXX";
    char address[SOCKET_PATH_MAX + 8] = "unix:";
    struct azihsm_endpoint_config config = {.device = address};
    struct azihsm_error err;
    azihsm_rc rc;

    if (configured != NULL) {
        snprintf(address, sizeof(address), "unix:%s", configured);
    } else {
        if (mkdtemp(directory) == NULL)
            return AZIHSM_E_IO;
        snprintf(address, sizeof(address), "unix:%s/azihsmd.sock", directory);
        rc = start(address + strlen("unix:"), &lifeline);
        if (rc != AZIHSM_OK) {
            rmdir(directory);
            return rc;
        }
    }
    rc = azihsm_endpoint_new(&config, &endpoint, &err);
    if (rc != AZIHSM_OK)
        fprintf(stderr, "azihsm preload: %s\n", err.text);
    return rc;
}

azihsm_rc preload_backend_open(struct azihsm_device **out)
{
    azihsm_rc rc = AZIHSM_OK;

    pthread_mutex_lock(&lock);
    if (endpoint == NULL)
        rc = resolve();
    pthread_mutex_unlock(&lock);
    return rc == AZIHSM_OK ? azihsm_device_open(endpoint, preload_deadline(), out, NULL) : rc;
}
