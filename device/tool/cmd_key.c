/*
 * azihsm key: finds the key command.
 */
#include "commands.h"

#include <stdio.h>
#include <string.h>

static const struct tool_command key_commands[] = {
    {"generate",
     "NAME|--out FILE [--type ec|rsa|aes|hmac] [--curve P-256] [--bits N] [--usage U] [--label L] [--tag N] [--force]",
     "make a key in the device", key_generate},
    {"import",
     "NAME|--out FILE --in FILE [--password-file FILE] [--usage U] [--label L] [--tag N] [--force] [--wrapped --class "
     "C [--hash H]]",
     "put an existing key into the device (PEM, DER, PKCS#12, or wrapped)", key_import},
    {"list", "", "keys of the key directory", key_list},
    {"show", "NAME|FILE [--check] [--public FILE]", "what a key file says", key_show},
    {"delete", "NAME|FILE", "remove a key file", key_delete},
    {"wrap", "--in FILE --unwrapping-key FILE --out FILE [--password-file FILE] [--hash H]",
     "wrap a key for `key import --wrapped`, anywhere", key_wrap},
    {0},
};

int cmd_key(struct tool *tool, int argc, char **argv)
{
    const struct tool_command *command;

    if (argc < 2 || strcmp(argv[1], "help") == 0 || strcmp(argv[1], "--help") == 0) {
        puts("Usage: azihsm key COMMAND [options]\n");
        for (command = key_commands; command->name != NULL; command++)
            printf("  %-10s %s\n             %s\n", command->name, command->summary, command->arguments);
        return argc < 2 ? TOOL_USAGE : TOOL_OK;
    }
    command = command_find(key_commands, "key ", argv[1]);
    return command != NULL ? command->run(tool, argc - 1, argv + 1) : TOOL_USAGE;
}
