/*
 * Which azihsmd the ioctls go to: a running one, or a private, factory-fresh one that ends with this process.
 *
 *   AZIHSM_PRELOAD_SOCKET   attach to the daemon that listens there
 *   AZIHSM_PRELOAD_DAEMON   else: path of the azihsmd to start (default: the installed one)
 *   AZIHSM_PRELOAD_OPTIONS  its further options, separated by blanks, e.g. "--kind physical --tables 4 --secrets FILE"
 *
 *   AZIHSM_PRELOAD_SEED     its secrets in hexadecimal; drawn when the first program is loaded, and inherited
 *
 * A private daemon is started by the first open. Its lifeline is a pipe whose other end this process, and children
 * forked from it, hold: when the last of them is gone, so is the daemon. Programs that this one executes start their
 * own, with the same secrets: their devices accept each other's masked keys, as a device's lives and the reference
 * simulator's processes do.
 */
#include "preload.h"

#include "transport/autostart.h"
#include "transport/futex.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

extern char **environ;

/* As the driver's own 6 s would abort a command that another program's test load merely delays, be patient. */
enum { COMMAND_SECONDS = 60, START_SECONDS = 20, OPTIONS_MAX = 32, SOCKET_PATH_MAX = 108 };
/* bks1, bks2 and boot-key, one behind the other */
enum { BKS_SIZE = 32, BOOT_KEY_SIZE = 80, SEED_SIZE = 2 * BKS_SIZE + BOOT_KEY_SIZE };
#define SEED_VARIABLE "AZIHSM_PRELOAD_SEED"
#define SECRETS_FILE  "secrets"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct azihsm_endpoint *endpoint;
static int lifeline = -1;

void preload_backend_lock(void)
{
    pthread_mutex_lock(&lock);
}

void preload_backend_unlock(void)
{
    pthread_mutex_unlock(&lock);
}

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

/* ---- secrets ---- */

/* While the program has one thread: the environment cannot be changed safely later. */
__attribute__((constructor)) static void draw_seed(void)
{
    uint8_t seed[SEED_SIZE];
    char text[2 * SEED_SIZE + 1];

    if (getenv(SEED_VARIABLE) != NULL || getrandom(seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
        return;
    for (size_t i = 0; i < sizeof(seed); i++)
        snprintf(text + 2 * i, 3, "%02x", seed[i]);
    setenv(SEED_VARIABLE, text, 1);
    explicit_bzero(seed, sizeof(seed));
    explicit_bzero(text, sizeof(text));
}

/* The file of secrets for --secrets; false when the daemon is to draw its own or was told others. */
static bool write_secrets(const char *path)
{
    const char *seed = secure_getenv(SEED_VARIABLE);
    FILE *file;
    int fd;

    if (seed == NULL || strlen(seed) != (size_t)2 * SEED_SIZE || secure_getenv("AZIHSM_DEVICE_SECRETS") != NULL)
        return false;
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    file = fd < 0 ? NULL : fdopen(fd, "w");
    if (file == NULL)
        return false;
    fprintf(file, "bks1 = %.*s\nbks2 = %.*s\nboot-key = %s\n", 2 * BKS_SIZE, seed, 2 * BKS_SIZE, seed + 2 * BKS_SIZE,
            seed + 4 * BKS_SIZE);
    return fclose(file) == 0;
}

/* ---- the daemon ---- */

static azihsm_rc start(const char *socket, const char *secrets, int *write_end)
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

    if (secrets != NULL) {
        argv[argc++] = (char *)(uintptr_t) "--secrets";
        argv[argc++] = (char *)(uintptr_t)secrets;
    }
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

/* A directory for the private daemon's socket; false with a message. */
static bool make_directory(char directory[SOCKET_PATH_MAX])
{
    const char *base = secure_getenv("TMPDIR");

    /* The socket's path must fit its address. */
    if (base == NULL || base[0] != '/' || strlen(base) > SOCKET_PATH_MAX - 48)
        base = "/tmp";
    snprintf(directory, SOCKET_PATH_MAX, "%s/azihsm-preload.XXXXXX", base);
    if (mkdtemp(directory) != NULL)
        return true;
    fprintf(stderr, "azihsm preload: %s: %s\n", directory, strerror(errno));
    return false;
}

/* Starts the private daemon; address receives unix:PATH. */
static azihsm_rc start_private(char *address, size_t cap)
{
    char directory[SOCKET_PATH_MAX], secrets[SOCKET_PATH_MAX + 16];
    bool with_secrets;
    azihsm_rc rc;

    if (!make_directory(directory))
        return AZIHSM_E_IO;
    snprintf(secrets, sizeof(secrets), "%s/" SECRETS_FILE, directory);
    snprintf(address, cap, "unix:%s/azihsmd.sock", directory);
    with_secrets = write_secrets(secrets);
    rc = start(address + strlen("unix:"), with_secrets ? secrets : NULL, &lifeline);
    unlink(secrets);
    if (rc != AZIHSM_OK)
        rmdir(directory);
    return rc;
}

/* Makes the endpoint; the lock is held. */
static azihsm_rc resolve(void)
{
    const char *configured = secure_getenv("AZIHSM_PRELOAD_SOCKET");
    char address[SOCKET_PATH_MAX + 32];
    struct azihsm_endpoint_config config = {.device = address};
    struct azihsm_error err;
    azihsm_rc rc = AZIHSM_OK;

    if (configured != NULL)
        snprintf(address, sizeof(address), "unix:%s", configured);
    else
        rc = start_private(address, sizeof(address));
    if (rc != AZIHSM_OK)
        return rc;
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
