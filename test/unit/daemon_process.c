/*
 * Starting and ending azihsmd. The lifeline ends it also when a test crashes.
 */
#include "daemon_process.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void daemon_exec(const struct daemon_process *daemon, int ready, int lifeline)
{
    char socket[64], control[64], state[64], ready_text[12], lifeline_text[12];
    int null = open("/dev/null", O_RDWR);

    snprintf(socket, sizeof(socket), "%s/s", daemon->dir);
    snprintf(control, sizeof(control), "%s/c", daemon->dir);
    snprintf(state, sizeof(state), "%s/state", daemon->dir);
    snprintf(ready_text, sizeof(ready_text), "%d", ready);
    snprintf(lifeline_text, sizeof(lifeline_text), "%d", lifeline);
    dup2(null, 0);
    dup2(null, 1);
    execl(AZIHSMD_PATH, "azihsmd", "--quiet", "--socket", socket, "--control-socket", control, "--state-dir", state,
          "--limits", daemon->limits != NULL ? daemon->limits : "roomy", "--ready-fd", ready_text, "--lifeline-fd",
          lifeline_text, (char *)NULL);
    _exit(127);
}

void daemon_start(struct daemon_process *daemon)
{
    int ready[2], lifeline[2];
    char byte;

    if (daemon->dir[0] == '\0') {
        strcpy(daemon->dir, "/tmp/azihsm-test-XXXXXX");
        assert_non_null(mkdtemp(daemon->dir));
        assert_int_equal(chmod(daemon->dir, 0755), 0);
        snprintf(daemon->device, sizeof(daemon->device), "unix:%s/s", daemon->dir);
    }
    assert_int_equal(pipe(ready), 0);
    assert_int_equal(pipe(lifeline), 0);
    fcntl(ready[0], F_SETFD, FD_CLOEXEC);
    fcntl(lifeline[1], F_SETFD, FD_CLOEXEC);
    daemon->pid = fork();
    assert_true(daemon->pid >= 0);
    if (daemon->pid == 0)
        daemon_exec(daemon, ready[1], lifeline[0]);
    close(ready[1]);
    close(lifeline[0]);
    daemon->lifeline = lifeline[1];
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
}

void daemon_kill(struct daemon_process *daemon)
{
    kill(daemon->pid, SIGKILL);
    waitpid(daemon->pid, NULL, 0);
    close(daemon->lifeline);
    daemon->pid = -1;
}

static void remove_dir(const char *path)
{
    char name[320];
    struct dirent *entry;
    DIR *dir = opendir(path);

    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
        if (unlink(name) != 0)
            remove_dir(name);
    }
    if (dir != NULL)
        closedir(dir);
    rmdir(path);
}

void daemon_end(struct daemon_process *daemon)
{
    int status = -1;

    if (daemon->pid > 0) {
        kill(daemon->pid, SIGTERM);
        waitpid(daemon->pid, &status, 0);
        close(daemon->lifeline);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    remove_dir(daemon->dir);
    daemon->dir[0] = '\0';
    daemon->pid = -1;
}

unsigned daemon_sockets(const struct daemon_process *daemon)
{
    char path[320], target[64];
    struct dirent *entry;
    unsigned count = 0;
    DIR *dir;

    snprintf(path, sizeof(path), "/proc/%d/fd", (int)daemon->pid);
    dir = opendir(path);
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        ssize_t len;

        snprintf(path, sizeof(path), "/proc/%d/fd/%s", (int)daemon->pid, entry->d_name);
        len = readlink(path, target, sizeof(target) - 1);
        if (len > 0 && strncmp(target, "socket:", 7) == 0)
            count++;
    }
    if (dir != NULL)
        closedir(dir);
    return count;
}

struct azihsm_client *daemon_client(const struct daemon_process *daemon, unsigned timeout_ms)
{
    const struct azihsm_client_config config = {.device = daemon->device, .timeout_ms = timeout_ms};
    struct azihsm_client *client;

    assert_int_equal(azihsm_client_new(&config, &client, NULL), AZIHSM_OK);
    return client;
}
