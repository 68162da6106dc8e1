/*
 * The subcommands: one function each, in cmd_NAME.c (key commands: key_NAME.c). argv[0] is the command's name; the
 * result is an exit status (enum tool_exit).
 */
#ifndef TOOL_COMMANDS_H
#define TOOL_COMMANDS_H

#include "tool.h"

int cmd_attest(struct tool *tool, int argc, char **argv);
int cmd_backup(struct tool *tool, int argc, char **argv);
int cmd_certificates(struct tool *tool, int argc, char **argv);
int cmd_change_pin(struct tool *tool, int argc, char **argv);
int cmd_conditions(struct tool *tool, int argc, char **argv);
int cmd_connections(struct tool *tool, int argc, char **argv);
int cmd_counters(struct tool *tool, int argc, char **argv);
int cmd_credential(struct tool *tool, int argc, char **argv);
int cmd_key(struct tool *tool, int argc, char **argv);
int cmd_metrics(struct tool *tool, int argc, char **argv);
int cmd_provision(struct tool *tool, int argc, char **argv);
int cmd_reset(struct tool *tool, int argc, char **argv);
int cmd_restore(struct tool *tool, int argc, char **argv);
int cmd_revoke_tickets(struct tool *tool, int argc, char **argv);
int cmd_status(struct tool *tool, int argc, char **argv);
int cmd_stop(struct tool *tool, int argc, char **argv);
int cmd_unwrapping_key(struct tool *tool, int argc, char **argv);
int cmd_verify(struct tool *tool, int argc, char **argv);

int key_delete(struct tool *tool, int argc, char **argv);
int key_generate(struct tool *tool, int argc, char **argv);
int key_import(struct tool *tool, int argc, char **argv);
int key_list(struct tool *tool, int argc, char **argv);
int key_show(struct tool *tool, int argc, char **argv);
int key_wrap(struct tool *tool, int argc, char **argv);

/* The table's function for a name; prints the usage and returns NULL when there is none. */
const struct tool_command *command_find(const struct tool_command *table, const char *prefix, const char *name);
void command_list(const struct tool_command *table, const char *prefix);

#endif
