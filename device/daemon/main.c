/*
 * azihsmd: start, wait for signals, stop. Exit status 0 after an ordinary end, 1 when it could not start or drain, 2
 * for a wrong command line.
 */
#include "control.h"
#include "daemon.h"
#include "listen.h"
#include "log.h"
#include "options.h"
#include "queue_server.h"
#include "sandbox.h"
#include "transport/endpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { EXIT_FAILED = 1, EXIT_USAGE = 2 };

struct command_line {
    int argc;
    char **argv;
};

/* ---- sockets ---- */

static azihsm_rc main_listen(const struct config *config, struct listeners *listeners, struct azihsm_error *err)
{
    azihsm_rc rc = listen_inherited(listeners, err);

    /* A device that leaves nothing behind leaves no directory of its own either. */
    listeners->remove_directory = config->ephemeral;
    if (rc == AZIHSM_OK && listeners->queue < 0) {
        rc = listen_unix(config->socket, (mode_t)config->socket_mode, &listeners->queue, err);
        if (rc == AZIHSM_OK)
            listeners->queue_path = config->socket;
    }
    if (rc == AZIHSM_OK && listeners->control < 0) {
        rc = listen_unix(config->control_socket, 0600, &listeners->control, err);
        if (rc == AZIHSM_OK)
            listeners->control_path = config->control_socket;
    }
    return rc;
}

/* Every directory above the last component of path, for a user's own places. */
static void main_make_parents(const char *path)
{
    char directory[CONFIG_PATH_MAX];
    char *slash;

    snprintf(directory, sizeof(directory), "%s", path);
    for (slash = strchr(directory + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        /* What cannot be made is reported by who needs it. */
        (void)!mkdir(directory, 0700);
        *slash = '/';
    }
}

/* With the privileges we were started with: places only root can make. */
static azihsm_rc main_prepare(const struct options *options, const struct config *config, struct listeners *listeners,
                              struct azihsm_error *err)
{
    azihsm_rc rc = AZIHSM_OK;

    if (options->user) {
        main_make_parents(config->socket);
        main_make_parents(config->state_dir);
    }
    if (geteuid() == 0 && config->user[0] != '\0' && !config->ephemeral)
        rc = sandbox_own_directory(config->state_dir, config->user, err);
    if (rc == AZIHSM_OK)
        rc = main_listen(config, listeners, err);
    if (rc == AZIHSM_OK && geteuid() == 0 && config->user[0] != '\0')
        rc = sandbox_drop(config->user, err);
    return rc;
}

/* ---- running ---- */

/* The command line still stands above the file. */
static void main_reload(struct daemon *daemon, const struct command_line *line)
{
    struct config *fresh = OPENSSL_zalloc(sizeof(*fresh));
    struct azihsm_error err = {0};
    enum options_action action;
    struct options options;
    azihsm_rc rc;

    if (fresh == NULL)
        return;
    rc = options_parse(line->argc, line->argv, &options, fresh, &action, &err);
    if (rc == AZIHSM_OK)
        rc = daemon_reload_access(daemon, fresh, &err);
    if (rc == AZIHSM_OK)
        log_line(LOG_LEVEL_INFO, "configuration read again: allowed users and groups are in force, all else after a "
                                 "restart");
    else
        log_line(LOG_LEVEL_ERROR, "configuration unchanged: %s", err.text);
    OPENSSL_clear_free(fresh, sizeof(*fresh));
}

/* True when nobody has been connected for the configured time. */
static bool main_is_idle(struct daemon *daemon, time_t *busy_until)
{
    struct queue_counters counters;
    struct timespec now;

    daemon_queue_counters(daemon, &counters);
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (counters.connections > 0 || *busy_until == 0)
        *busy_until = now.tv_sec;
    return now.tv_sec - *busy_until >= (time_t)daemon_config(daemon)->idle_exit;
}

/* Until SIGTERM, SIGINT, or idleness. */
static void main_wait(struct daemon *daemon, const struct command_line *line, const sigset_t *signals)
{
    const struct timespec second = {.tv_sec = 1};
    bool watch_idle = daemon_config(daemon)->idle_exit > 0;
    time_t busy_until = 0;

    for (;;) {
        int number = watch_idle ? sigtimedwait(signals, NULL, &second) : sigwaitinfo(signals, NULL);

        if (number == SIGTERM || number == SIGINT || number == DAEMON_STOP_SIGNAL) {
            log_line(LOG_LEVEL_INFO, "%s: stopping",
                     number == SIGTERM  ? "SIGTERM"
                     : number == SIGINT ? "SIGINT"
                                        : "asked to stop");
            return;
        }
        if (number == SIGHUP)
            main_reload(daemon, line);
        if (watch_idle && main_is_idle(daemon, &busy_until)) {
            log_line(LOG_LEVEL_INFO, "no client for %u seconds: stopping", daemon_config(daemon)->idle_exit);
            return;
        }
    }
}

static void main_ready(const struct options *options, const struct config *config, const struct listeners *listeners)
{
    listen_notify("READY=1");
    if (options->ready_fd >= 0) {
        (void)!write(options->ready_fd, "\n", 1);
        close(options->ready_fd);
    }
    log_line(LOG_LEVEL_INFO, "serving %zu partition%s on %s%s", config->partition_count,
             config->partition_count == 1 ? "" : "s",
             listeners->queue_path != NULL ? listeners->queue_path : "the socket from systemd",
             config->ephemeral ? " (ephemeral: nothing is kept)" : "");
}

/* Signals are taken by main_wait alone: blocked before any thread exists. */
static void main_block_signals(sigset_t *signals)
{
    sigemptyset(signals);
    sigaddset(signals, SIGTERM);
    sigaddset(signals, SIGINT);
    sigaddset(signals, SIGHUP);
    sigaddset(signals, DAEMON_STOP_SIGNAL);
    sigprocmask(SIG_BLOCK, signals, NULL);
    signal(SIGPIPE, SIG_IGN);
}

/* The kernel sends SIGTERM when the pipe's last writer closes; the poll catches one that was gone before. */
static void main_watch_lifeline(int fd)
{
    struct pollfd event = {.fd = fd};

    if (fd < 0)
        return;
    if (fcntl(fd, F_SETOWN, getpid()) != 0 || fcntl(fd, F_SETSIG, SIGTERM) != 0 ||
        fcntl(fd, F_SETFL, O_ASYNC | O_NONBLOCK) != 0 || poll(&event, 1, 0) > 0)
        kill(getpid(), SIGTERM);
}

static azihsm_rc main_serve(const struct command_line *line, const struct options *options, struct config *config,
                            struct listeners *listeners, struct azihsm_error *err)
{
    struct daemon *daemon = NULL;
    struct control *control = NULL;
    sigset_t signals;
    azihsm_rc rc;

    main_block_signals(&signals);
    main_watch_lifeline(options->lifeline_fd);
    rc = daemon_new(config, &daemon, err);
    if (rc == AZIHSM_OK)
        rc = sandbox_filter((enum config_seccomp)config->seccomp, err);
    if (rc == AZIHSM_OK)
        rc = daemon_start(daemon, &listeners->queue, 1, err);
    if (rc == AZIHSM_OK)
        rc = control_start(daemon, listeners->control, &control, err);
    if (rc == AZIHSM_OK) {
        main_ready(options, config, listeners);
        main_wait(daemon, line, &signals);
        listen_notify("STOPPING=1");
    }
    control_stop(control);
    if (daemon != NULL && !daemon_stop(daemon)) {
        /* Threads still use it: the end of the process is the only clean-up left. */
        listen_close(listeners);
        log_line(LOG_LEVEL_WARNING, "requests were still running after %u ms", config->drain_ms);
        _exit(EXIT_FAILED);
    }
    daemon_free(daemon);
    return rc;
}

int main(int argc, char **argv)
{
    static struct config config; /* outlives every thread */
    const struct command_line line = {argc, argv};
    struct listeners listeners = {.queue = -1, .control = -1};
    struct azihsm_error err = {0};
    enum options_action action;
    struct options options;
    azihsm_rc rc;

    sandbox_begin();
    rc = options_parse(argc, argv, &options, &config, &action, &err);
    log_init("azihsmd", options.quiet);
    if (action != OPTIONS_RUN)
        return action == OPTIONS_EXIT_OK ? EXIT_SUCCESS : EXIT_USAGE;
    if (rc == AZIHSM_OK && options.check_config) {
        rc = daemon_check_access(&config, &err);
        if (rc == AZIHSM_OK)
            puts("configuration is valid");
    } else if (rc == AZIHSM_OK) {
        rc = main_prepare(&options, &config, &listeners, &err);
        if (rc == AZIHSM_OK)
            rc = main_serve(&line, &options, &config, &listeners, &err);
        listen_close(&listeners);
    }
    if (rc != AZIHSM_OK)
        log_line(LOG_LEVEL_ERROR, "%s", err.text);
    return rc == AZIHSM_OK ? EXIT_SUCCESS : rc == AZIHSM_E_ARGUMENT ? EXIT_USAGE : EXIT_FAILED;
}
