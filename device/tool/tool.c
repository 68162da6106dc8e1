/*
 * Options, errors and files for all subcommands.
 */
#include "tool.h"

#include "provider/keyfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- errors ---- */

int tool_complain(int status, const char *format, ...)
{
    va_list args;

    fflush(stdout);
    fprintf(stderr, "azihsm: ");
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    return status;
}

static int tool_status(azihsm_rc rc)
{
    switch (rc) {
    case AZIHSM_OK:
        return TOOL_OK;
    case AZIHSM_E_ARGUMENT:
    case AZIHSM_E_CONFIG:
        return TOOL_USAGE;
    case AZIHSM_E_NO_DEVICE:
    case AZIHSM_E_LOST:
    case AZIHSM_E_TIMEOUT:
        return TOOL_NO_DEVICE;
    case AZIHSM_E_PERMISSION:
    case AZIHSM_E_REFUSED:
        return TOOL_PERMISSION;
    default:
        return TOOL_FAILED;
    }
}

int tool_fail(struct tool *tool, azihsm_rc rc)
{
    const char *hint = azihsm_rc_hint(rc);

    /* A text says itself what to do; the hint is for what has none. */
    if (tool->err.text[0] != '\0')
        tool_complain(0, "%s", tool->err.text);
    else
        tool_complain(0, "%s%s%s", azihsm_rc_name(rc), hint != NULL ? ": " : "", hint != NULL ? hint : "");
    return tool_status(rc);
}

/* ---- options ---- */

static const struct tool_option *tool_find_option(const struct tool_option *options, const char *name, size_t len)
{
    for (; options != NULL && options->name != NULL; options++) {
        if (strlen(options->name) == len && strncmp(options->name, name, len) == 0)
            return options;
    }
    return NULL;
}

/* "--name", "--name VALUE" or "--name=VALUE"; *i moves over a value. */
static int tool_take_option(const struct tool_option *own, const struct tool_option *global, int argc, char **argv,
                            int *i)
{
    const char *name = argv[*i] + 2, *equals = strchr(name, '=');
    size_t len = equals != NULL ? (size_t)(equals - name) : strlen(name);
    const struct tool_option *option = tool_find_option(own, name, len);

    if (option == NULL)
        option = tool_find_option(global, name, len);
    if (option == NULL)
        return tool_complain(TOOL_USAGE, "unknown option --%.*s (azihsm COMMAND --help, azihsm(1))", (int)len, name);
    if (option->flag != NULL) {
        *option->flag = true;
        return equals == NULL ? TOOL_OK : tool_complain(TOOL_USAGE, "--%s takes no value", option->name);
    }
    if (equals == NULL && *i + 1 == argc)
        return tool_complain(TOOL_USAGE, "--%s needs a value", option->name);
    *option->value = equals != NULL ? equals + 1 : argv[++*i];
    return TOOL_OK;
}

int tool_parse(struct tool *tool, int argc, char **argv, const struct tool_option *options, const char **args, int min,
               int max)
{
    const struct tool_option global[] = {
        {"device", &tool->device, NULL},
        {"partition", &tool->partition, NULL},
        {"pin-source", &tool->pin_source, NULL},
        {"control", &tool->control, NULL},
        {"keys", &tool->keys, NULL},
        {"timeout", &tool->timeout, NULL},
        {"json", NULL, &tool->json},
        {NULL, NULL, NULL},
    };
    bool only_arguments = false;
    int i, count = 0, status = TOOL_OK;

    for (i = 1; i < argc && status == TOOL_OK; i++) {
        if (!only_arguments && strcmp(argv[i], "--") == 0)
            only_arguments = true;
        else if (!only_arguments && strncmp(argv[i], "--", 2) == 0)
            status = tool_take_option(options, global, argc, argv, &i);
        else if (count < max)
            args[count++] = argv[i];
        else
            status = tool_complain(TOOL_USAGE, "%s: unexpected argument \"%s\"", argv[0], argv[i]);
    }
    if (status == TOOL_OK && count < min)
        status = tool_complain(TOOL_USAGE, "%s: an argument is missing (azihsm COMMAND --help, azihsm(1))", argv[0]);
    return status;
}

bool tool_number(const char *name, const char *text, uint64_t low, uint64_t high, uint64_t *out)
{
    char *end;

    errno = 0;
    *out = strtoull(text, &end, strncmp(text, "0x", 2) == 0 ? 16 : 10);
    if (errno == 0 && *text >= '0' && *text <= '9' && *end == '\0' && *out >= low && *out <= high)
        return true;
    tool_complain(0, "--%s must be a number from %llu to %llu, not \"%s\"", name, (unsigned long long)low,
                  (unsigned long long)high, text);
    return false;
}

unsigned tool_timeout_ms(const struct tool *tool)
{
    return tool->timeout != NULL ? (unsigned)strtoul(tool->timeout, NULL, 10) : 10000;
}

struct azihsm_client *tool_client(struct tool *tool)
{
    struct azihsm_client_config config = {.device = tool->device,
                                          .partition = tool->partition,
                                          .pin_source = tool->pin_source,
                                          .timeout_ms = tool_timeout_ms(tool)};

    if (tool->client == NULL && azihsm_client_new(&config, &tool->client, &tool->err) != AZIHSM_OK)
        tool->client = NULL;
    return tool->client;
}

/* ---- files ---- */

bool tool_key_directory(const struct tool *tool, char *out, size_t size)
{
    const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    int len;

    if (tool->keys != NULL)
        len = snprintf(out, size, "%s", tool->keys);
    else if (geteuid() == 0)
        len = snprintf(out, size, "/etc/azihsm/keys");
    else if (config != NULL && config[0] == '/')
        len = snprintf(out, size, "%s/azihsm/keys", config);
    else
        len = snprintf(out, size, "%s/.config/azihsm/keys", home != NULL ? home : "");
    return len > 0 && (size_t)len < size;
}

static int tool_write_stdout(struct azihsm_bytes data)
{
    if (fwrite(data.data, 1, data.len, stdout) == data.len && fflush(stdout) == 0)
        return TOOL_OK;
    return tool_complain(TOOL_FAILED, "cannot write to stdout: %s", strerror(errno));
}

int tool_write_file(const char *path, struct azihsm_bytes data, bool secret)
{
    char why[256];

    if (strcmp(path, "-") == 0)
        return tool_write_stdout(data);
    if (!keyfile_write(path, data, why, sizeof(why)))
        return tool_complain(TOOL_FAILED, "%s", why);
    if (!secret && chmod(path, 0644) != 0)
        return tool_complain(TOOL_FAILED, "%s: %s", path, strerror(errno));
    return TOOL_OK;
}

int tool_read_file(const char *path, uint8_t *buf, size_t cap, size_t *len)
{
    int fd = strcmp(path, "-") == 0 ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    int status = TOOL_OK;
    ssize_t got = 0;

    *len = 0;
    if (fd < 0)
        return tool_complain(TOOL_FAILED, "%s: %s", path, strerror(errno));
    while (*len < cap && (got = read(fd, buf + *len, cap - *len)) != 0) {
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            break;
        *len += (size_t)got;
    }
    if (got < 0)
        status = tool_complain(TOOL_FAILED, "%s: %s", path, strerror(errno));
    else if (*len == cap)
        status = tool_complain(TOOL_FAILED, "%s is larger than %zu bytes", path, cap - 1);
    if (fd != STDIN_FILENO)
        close(fd);
    return status;
}
