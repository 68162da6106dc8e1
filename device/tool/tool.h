/*
 * What all subcommands of azihsm share: global options, errors, exit statuses. One command runs per process.
 */
#ifndef TOOL_TOOL_H
#define TOOL_TOOL_H

#include "output.h"

#include <azihsm/client.h>

/* Exit statuses, as in azihsm(1). */
enum tool_exit {
    TOOL_OK = 0,
    TOOL_FAILED = 1,     /* the operation failed; the message says why */
    TOOL_USAGE = 2,      /* wrong command line or configuration */
    TOOL_NO_DEVICE = 3,  /* no device, daemon down, deadline passed */
    TOOL_PERMISSION = 4, /* not allowed */
    TOOL_INVALID = 5,    /* what was to be verified is not valid */
};

struct tool {
    const char *device;     /* NULL = auto */
    const char *partition;  /* NULL = default */
    const char *pin_source; /* NULL = by peer credentials */
    const char *control;    /* control socket, NULL = beside the device's socket */
    const char *keys;       /* key directory, NULL = the default */
    const char *timeout;    /* milliseconds */
    bool json;
    struct output out;
    struct azihsm_error err;
    struct azihsm_client *client; /* made by tool_client */
};

struct tool_command {
    const char *name;
    const char *arguments; /* for the usage line */
    const char *summary;
    int (*run)(struct tool *tool, int argc, char **argv); /* argv[0] is the command's name */
};

/* An option of a command: "--name VALUE" into *value, or "--name" into *flag. */
struct tool_option {
    const char *name; /* NULL ends the list */
    const char **value;
    bool *flag;
};

/*
 * Reads options (the command's and the global ones) and leaves up to `max` other arguments in args. Returns TOOL_OK or
 * TOOL_USAGE with the message printed.
 */
int tool_parse(struct tool *tool, int argc, char **argv, const struct tool_option *options, const char **args, int min,
               int max);
/* A number from low to high, decimal or 0x; false after a message that names the option. */
bool tool_number(const char *name, const char *text, uint64_t low, uint64_t high, uint64_t *out);

/* The client for the global options; NULL with tool->err set. */
struct azihsm_client *tool_client(struct tool *tool);
/* Milliseconds of --timeout, or 10000. */
unsigned tool_timeout_ms(const struct tool *tool);

/* Prints "azihsm: text" (tool->err) and returns the exit status that goes with rc. */
int tool_fail(struct tool *tool, azihsm_rc rc);
/* The same with a text of one's own. */
__attribute__((format(printf, 2, 3))) int tool_complain(int status, const char *format, ...);

/* Directory of named keys: --keys, else /etc/azihsm/keys for root, else ~/.config/azihsm/keys. */
bool tool_key_directory(const struct tool *tool, char *out, size_t size);
/* Writes the whole of data to path ("-" = stdout), mode 0600 or 0644, replacing in one step. */
int tool_write_file(const char *path, struct azihsm_bytes data, bool secret);
/* Reads a file ("-" = stdin) of at most cap bytes. */
int tool_read_file(const char *path, uint8_t *buf, size_t cap, size_t *len);

#endif
