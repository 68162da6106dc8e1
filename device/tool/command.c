/*
 * Tables of commands: finding one, listing all.
 */
#include "commands.h"

#include <stdio.h>
#include <string.h>

const struct tool_command *command_find(const struct tool_command *table, const char *prefix, const char *name)
{
    for (; table->name != NULL; table++) {
        if (strcmp(table->name, name) == 0)
            return table;
    }
    tool_complain(0, "there is no command \"%s%s\" (azihsm help)", prefix, name);
    return NULL;
}

void command_list(const struct tool_command *table, const char *prefix)
{
    for (; table->name != NULL; table++)
        printf("  %s%-*s %s\n", prefix, (int)(16 - strlen(prefix)), table->name, table->summary);
}
