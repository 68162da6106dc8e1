/*
 * Asking azihsmd over its control socket (device/daemon/control.h).
 */
#ifndef TOOL_CONTROL_CLIENT_H
#define TOOL_CONTROL_CLIENT_H

#include "client/cbor_io.h"
#include "tool.h"

enum { CONTROL_CLIENT_REPLY_MAX = 256 * 1024 };

/* One question and its answer. Freed by control_end, which cleanses it. */
struct control_answer {
    uint8_t *buf;
    struct azihsm_bytes map; /* the reply */
};

/*
 * The path: --control, else control.sock beside the socket of --device unix:PATH, else beside the system's or the
 * user's azihsmd.sock, whichever directory exists.
 */
bool control_path(const struct tool *tool, char *out, size_t size);

/*
 * Starts a request: a map of `pairs` entries, the command and (when given) the partition written; the caller adds the
 * other pairs - 1 - (partition given) entries.
 */
void control_request(struct tool *tool, struct cbor_writer *writer, uint8_t *buf, size_t cap, const char *command,
                     size_t extra);
/* Sends and receives. AZIHSM_E_NO_DEVICE, AZIHSM_E_PERMISSION, or what azihsmd answered, with tool->err set. */
azihsm_rc control_ask(struct tool *tool, const struct cbor_writer *request, struct control_answer *out);
/* A command without further entries. */
azihsm_rc control_ask_simple(struct tool *tool, const char *command, struct control_answer *out);
void control_end(struct control_answer *answer);

/* Prints the reply without its "rc" and, if not NULL, without the entry `except`. */
int control_print(struct tool *tool, const struct control_answer *answer, const char *except);

/* The items of the array that is the value of key, one after the other. False: no (more) items. */
struct control_items {
    struct cbor_reader reader;
    uint64_t left;
    bool failed; /* the reply is none */
};
void control_items(const struct control_answer *answer, const char *key, struct control_items *out);
bool control_next_item(struct control_items *items, struct azihsm_bytes *item);
/* The number that is the value of key in item; false when there is none. */
bool control_item_number(struct azihsm_bytes item, const char *key, uint64_t *out);
/* control_ask_simple, control_print, control_end: a whole command. */
int control_run(struct tool *tool, const char *command);

#endif
