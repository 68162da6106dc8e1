/*
 * azihsm: finds the subcommand and runs it. Global options may stand before it or among its own.
 */
#include "commands.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

static int cmd_help(struct tool *tool, int argc, char **argv);

static const struct tool_command commands[] = {
    {"status", "", "what the device and the daemon say of themselves", cmd_status},
    {"provision", "--state-dir DIR [--watch]", "bring bare hardware up (azihsmd does it for its own device)",
     cmd_provision},
    {"key", "generate|import|list|show|delete|wrap ...", "keys and key files (azihsm key help)", cmd_key},
    {"unwrapping-key", "[--out FILE]", "public key that others wrap keys to", cmd_unwrapping_key},
    {"change-pin", "[--pin-file FILE]", "change the PIN of the partition", cmd_change_pin},
    {"credential", "--out FILE", "write the credential file (pin-source) of a partition of azihsmd", cmd_credential},
    {"certificates", "[--out FILE]", "certificate chain of the partition, root first", cmd_certificates},
    {"attest", "KEY [--data TEXT|--data-hex HEX] [--out FILE]", "evidence that a key lives in the device", cmd_attest},
    {"verify", "FILE --root FILE|--root-sha256 HEX [checks]", "check evidence, without a device", cmd_verify},
    {"reset", "", "reset the partition: keys must be loaded again, sessions reopened", cmd_reset},
    {"counters", "[--reset]", "commands, errors and latency by opcode", cmd_counters},
    {"metrics", "", "the same and more as Prometheus text", cmd_metrics},
    {"connections", "", "who is connected to azihsmd", cmd_connections},
    {"revoke-tickets", "", "make every ticket made until now void", cmd_revoke_tickets},
    {"conditions", "[--clear] [--delay-ms N] ...", "conditions for tests: slow, resetting, failing device",
     cmd_conditions},
    {"stop", "", "end azihsmd in the ordinary way", cmd_stop},
    {"backup", "--state-dir DIR --out FILE", "copy a state directory into one file", cmd_backup},
    {"restore", "--in FILE --state-dir DIR", "make a state directory from a backup", cmd_restore},
    {"help", "[COMMAND]", "this text", cmd_help},
    {0},
};

static void main_usage(void)
{
    puts("Usage: azihsm [global options] COMMAND [options]\n\nCommands:");
    command_list(commands, "");
    puts("\nGlobal options:\n"
         "  --device ADDRESS      auto, /dev/azihsm0 or unix:/path (default auto)\n"
         "  --partition NAME      partition of azihsmd (default \"default\")\n"
         "  --pin-source FILE     file:/path of a credential file (default: azihsmd knows us)\n"
         "  --control PATH        azihsmd's control socket\n"
         "  --keys DIR            directory of named keys\n"
         "  --timeout MS          deadline of one operation (default 10000)\n"
         "  --json                print data as JSON\n\n"
         "Exit status: 0 done, 1 failed, 2 usage, 3 no device, 4 not allowed, 5 not valid. See azihsm(1).");
}

static int cmd_help(struct tool *tool, int argc, char **argv)
{
    const struct tool_command *command;

    if (argc < 2) {
        main_usage();
        return TOOL_OK;
    }
    command = command_find(commands, "", argv[1]);
    if (command == NULL)
        return TOOL_USAGE;
    if (command->run == cmd_key) { /* it has commands of its own */
        char *words[] = {argv[1], "help", NULL};

        return cmd_key(tool, 2, words);
    }
    printf("Usage: azihsm %s %s\n%s\n", command->name, command->arguments, command->summary);
    return TOOL_OK;
}

/* Index of the command's name: the first argument that is neither an option nor its value. */
static int main_find_name(int argc, char **argv)
{
    int i = 1;

    while (i < argc && strncmp(argv[i], "--", 2) == 0) {
        bool has_value = strcmp(argv[i], "--json") != 0 && strchr(argv[i], '=') == NULL;

        i += has_value ? 2 : 1;
    }
    return i;
}

/* "azihsm COMMAND ... --help" */
static bool main_wants_help(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--help") == 0)
            return true;
    return false;
}

int main(int argc, char **argv)
{
    const struct rlimit none = {0, 0};
    const struct tool_command *command;
    struct tool tool = {0};
    int name, status;

    setrlimit(RLIMIT_CORE, &none);
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        main_usage();
        return TOOL_OK;
    }
    if (argc > 1 && strcmp(argv[1], "--version") == 0) {
        puts("azihsm " AZIHSM_VERSION);
        return TOOL_OK;
    }
    name = main_find_name(argc, argv);
    if (name >= argc) {
        main_usage();
        return TOOL_USAGE;
    }
    if (main_wants_help(argc - name, argv + name)) {
        char *words[] = {argv[0], argv[name], NULL};

        return cmd_help(&tool, 2, words);
    }
    /* Options before the command are read like its own: argv[0] stands in for them. */
    if (tool_parse(&tool, name, argv, NULL, NULL, 0, 0) != TOOL_OK)
        return TOOL_USAGE;
    command = command_find(commands, "", argv[name]);
    if (command == NULL)
        return TOOL_USAGE;
    status = command->run(&tool, argc - name, argv + name);
    azihsm_client_free(tool.client);
    if (fflush(stdout) != 0 && status == TOOL_OK)
        status = tool_complain(TOOL_FAILED, "cannot write to stdout");
    return status;
}
