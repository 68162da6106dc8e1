/*
 * Command line of azihsmd. Most options are configuration keys under another roof; they are collected first and applied
 * after the file was read.
 */
#include "options.h"

#include "transport/endpoint.h"

#include <errno.h>
#include <getopt.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OVERRIDES_MAX = 32, USER_IDLE_EXIT_SECONDS = 60 };

enum option_id {
    OPTION_FOREGROUND = 256,
    OPTION_USER,
    OPTION_EPHEMERAL,
    OPTION_CONFORMANCE,
    OPTION_SECRETS,
    OPTION_CHECK_CONFIG,
    OPTION_READY_FD,
    OPTION_LIFELINE_FD,
    OPTION_KEY, /* the long option's name is a configuration key */
};

struct override {
    char key[48];
    const char *value;
    const char *where;
};

struct overrides {
    struct override item[OVERRIDES_MAX];
    size_t count;
    bool ephemeral, conformance;
};

static const struct option long_options[] = {
    {"config", required_argument, NULL, 'c'},
    {"foreground", no_argument, NULL, OPTION_FOREGROUND},
    {"user", no_argument, NULL, OPTION_USER},
    {"ephemeral", no_argument, NULL, OPTION_EPHEMERAL},
    {"conformance", no_argument, NULL, OPTION_CONFORMANCE},
    {"secrets", required_argument, NULL, OPTION_SECRETS},
    {"check-config", no_argument, NULL, OPTION_CHECK_CONFIG},
    {"ready-fd", required_argument, NULL, OPTION_READY_FD},
    {"lifeline-fd", required_argument, NULL, OPTION_LIFELINE_FD},
    {"state-dir", required_argument, NULL, OPTION_KEY},
    {"socket", required_argument, NULL, OPTION_KEY},
    {"control-socket", required_argument, NULL, OPTION_KEY},
    {"kind", required_argument, NULL, OPTION_KEY},
    {"tables", required_argument, NULL, OPTION_KEY},
    {"limits", required_argument, NULL, OPTION_KEY},
    {"idle-exit", required_argument, NULL, OPTION_KEY},
    {"set", required_argument, NULL, 'o'},
    {"quiet", no_argument, NULL, 'q'},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},
    {0},
};

static void options_help(void)
{
    puts("Usage: azihsmd [option]...\n"
         "Serves a software Azure Integrated HSM to local programs.\n\n"
         "  -c, --config FILE        configuration (default " CONFIG_DEFAULT_FILE ", when it exists)\n"
         "      --check-config       only say whether the configuration is right\n"
         "      --user               private daemon: socket and state in the user's own directories\n"
         "      --ephemeral          no state on disk: a factory-fresh device that ends with the process\n"
         "      --conformance        exactly the protocol: hardware limits, no extensions, no provisioning by us\n"
         "      --secrets FILE       device secrets (bks1, bks2, boot-key) of an ephemeral device\n"
         "      --socket PATH        where clients connect\n"
         "      --control-socket PATH\n"
         "      --state-dir DIR\n"
         "      --kind virtual|physical, --tables N, --limits hardware|roomy\n"
         "      --idle-exit SECONDS  end after so long without a client; 0 = never\n"
         "  -o, --set KEY=VALUE      any key of the configuration; partition keys go to every partition\n"
         "      --ready-fd N         write one byte to descriptor N when clients can connect\n"
         "      --lifeline-fd N      end when descriptor N, a pipe, has no writer any more\n"
         "      --foreground         accepted and without effect: azihsmd never forks\n"
         "  -q, --quiet              only warnings and errors\n"
         "  -h, --help, -V, --version\n\n"
         "azihsmd(8) describes them and the configuration file.");
}

/* ---- collecting ---- */

static azihsm_rc options_add(struct overrides *overrides, const char *key, size_t key_len, const char *value,
                             const char *option, struct azihsm_error *err)
{
    struct override *item = &overrides->item[overrides->count];

    if (overrides->count == OVERRIDES_MAX)
        return azihsm_error_set(err, AZIHSM_E_ARGUMENT, "more than %d settings on the command line", OVERRIDES_MAX);
    overrides->count++;
    snprintf(item->key, sizeof(item->key), "%.*s", (int)key_len, key);
    item->value = value;
    item->where = option;
    return AZIHSM_OK;
}

static azihsm_rc options_add_pair(struct overrides *overrides, const char *pair, struct azihsm_error *err)
{
    const char *equals = strchr(pair, '=');

    if (equals == NULL)
        return azihsm_error_set(err, AZIHSM_E_ARGUMENT, "--set takes KEY=VALUE, not \"%s\"", pair);
    return options_add(overrides, pair, (size_t)(equals - pair), equals + 1, "--set", err);
}

static azihsm_rc options_fd(const char *option, const char *text, int *out, struct azihsm_error *err)
{
    char *end;
    long fd = strtol(text, &end, 10);

    if (*text == '\0' || *end != '\0' || fd < 3 || fd > 65535)
        return azihsm_error_set(err, AZIHSM_E_ARGUMENT, "%s takes a descriptor from 3 on, not \"%s\"", option, text);
    *out = (int)fd;
    return AZIHSM_OK;
}

static azihsm_rc options_take(int id, int index, struct options *options, struct overrides *overrides,
                              enum options_action *action, struct azihsm_error *err)
{
    switch (id) {
    case 'c':
        options->config_file = optarg;
        return AZIHSM_OK;
    case 'o':
        return options_add_pair(overrides, optarg, err);
    case 'q':
        options->quiet = true;
        return AZIHSM_OK;
    case 'h':
        options_help();
        *action = OPTIONS_EXIT_OK;
        return AZIHSM_OK;
    case 'V':
        puts("azihsmd " AZIHSM_VERSION);
        *action = OPTIONS_EXIT_OK;
        return AZIHSM_OK;
    case OPTION_FOREGROUND:
        return AZIHSM_OK;
    case OPTION_USER:
        options->user = true;
        return AZIHSM_OK;
    case OPTION_EPHEMERAL:
        overrides->ephemeral = true;
        return AZIHSM_OK;
    case OPTION_CONFORMANCE:
        overrides->conformance = true;
        return AZIHSM_OK;
    case OPTION_SECRETS:
        options->secrets_file = optarg;
        return AZIHSM_OK;
    case OPTION_CHECK_CONFIG:
        options->check_config = true;
        return AZIHSM_OK;
    case OPTION_READY_FD:
        return options_fd("--ready-fd", optarg, &options->ready_fd, err);
    case OPTION_LIFELINE_FD:
        return options_fd("--lifeline-fd", optarg, &options->lifeline_fd, err);
    case OPTION_KEY:
        return options_add(overrides, long_options[index].name, strlen(long_options[index].name), optarg,
                           "command line", err);
    default:
        *action = OPTIONS_EXIT_USAGE; /* getopt has said why */
        return AZIHSM_OK;
    }
}

/* ---- applying ---- */

/* Directories of a private daemon: the socket where device = auto looks, the state in the XDG place. */
static azihsm_rc options_user_paths(struct config *config, struct azihsm_error *err)
{
    const char *state_home = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    char directory[ENDPOINT_PATH_MAX], base[CONFIG_PATH_MAX];

    if (!endpoint_user_directory(directory, sizeof(directory)) || strlen(directory) > CONFIG_PATH_MAX - 32)
        return azihsm_error_set(err, AZIHSM_E_CONFIG, "--user: neither XDG_RUNTIME_DIR nor HOME is set");
    snprintf(config->socket, sizeof(config->socket), "%.200s/" ENDPOINT_SOCKET_NAME, directory);
    snprintf(config->control_socket, sizeof(config->control_socket), "%.200s/control.sock", directory);
    if (state_home != NULL && state_home[0] == '/')
        snprintf(base, sizeof(base), "%.200s", state_home);
    else if (home != NULL && home[0] == '/')
        snprintf(base, sizeof(base), "%.200s/.local/state", home);
    else
        return azihsm_error_set(err, AZIHSM_E_CONFIG, "--user: HOME is not set");
    snprintf(config->state_dir, sizeof(config->state_dir), "%.240s/azihsm", base);
    config->socket_mode = 0600;
    return AZIHSM_OK;
}

/* Any client speaks the protocol itself here, as with the hardware: no credential of ours, no extras. */
static azihsm_rc options_conform(struct config *config, struct azihsm_error *err)
{
    static const char *const settings[][2] = {{"limits", "hardware"}, {"key-scope", "partition"}, {"login", "pin"},
                                              {"extensions", "no"},   {"provision", "no"},        {"allow-users", "*"}};
    azihsm_rc rc = AZIHSM_OK;
    size_t i;

    for (i = 0; i < sizeof(settings) / sizeof(settings[0]) && rc == AZIHSM_OK; i++)
        rc = config_override(config, settings[i][0], settings[i][1], "--conformance", err);
    return rc;
}

/* The control socket stands beside the queue socket when only the latter was moved. */
static void options_follow_socket(struct config *config, const struct overrides *overrides)
{
    bool moved = false;
    char *slash;
    size_t i;

    for (i = 0; i < overrides->count; i++) {
        if (strcmp(overrides->item[i].key, "control-socket") == 0)
            return;
        moved = moved || strcmp(overrides->item[i].key, "socket") == 0;
    }
    slash = strrchr(config->socket, '/');
    if (moved && slash != NULL)
        snprintf(config->control_socket, sizeof(config->control_socket), "%.*s/control.sock",
                 (int)(slash - config->socket), config->socket);
}

static azihsm_rc options_apply(struct options *options, struct overrides *overrides, struct config *config,
                               struct azihsm_error *err)
{
    azihsm_rc rc = AZIHSM_OK;
    size_t i;

    config_init(config);
    if (options->user)
        rc = options_user_paths(config, err);
    if (options->user && options->ready_fd >= 0)
        config->idle_exit = USER_IDLE_EXIT_SECONDS;
    if (options->config_file == NULL && !options->user && !overrides->ephemeral &&
        access(CONFIG_DEFAULT_FILE, F_OK) == 0)
        options->config_file = CONFIG_DEFAULT_FILE;
    if (rc == AZIHSM_OK && options->config_file != NULL)
        rc = config_read(config, options->config_file, err);
    config_complete(config);
    config->ephemeral = overrides->ephemeral;
    if (rc == AZIHSM_OK && overrides->ephemeral)
        rc = config_override(config, "provision", "no", "--ephemeral", err);
    if (rc == AZIHSM_OK && overrides->conformance)
        rc = options_conform(config, err);
    for (i = 0; i < overrides->count && rc == AZIHSM_OK; i++)
        rc = config_override(config, overrides->item[i].key, overrides->item[i].value, overrides->item[i].where, err);
    options_follow_socket(config, overrides);
    return rc == AZIHSM_OK ? config_finish(config, err) : rc;
}

static azihsm_rc options_secrets(const struct options *options, struct config *config, struct azihsm_error *err)
{
    const char *file = options->secrets_file != NULL ? options->secrets_file : secure_getenv("AZIHSM_DEVICE_SECRETS");

    if (file == NULL)
        return AZIHSM_OK;
    if (!config->ephemeral)
        return azihsm_error_set(err, AZIHSM_E_ARGUMENT, "device secrets from outside are for --ephemeral devices only");
    return config_read_secrets(config, file, err);
}

azihsm_rc options_parse(int argc, char **argv, struct options *options, struct config *config,
                        enum options_action *action, struct azihsm_error *err)
{
    struct overrides *overrides = OPENSSL_zalloc(sizeof(*overrides));
    azihsm_rc rc = overrides != NULL ? AZIHSM_OK : AZIHSM_E_NO_MEMORY;
    int id, index = 0;

    *options = (struct options){.ready_fd = -1, .lifeline_fd = -1};
    *action = OPTIONS_RUN;
    optind = 0; /* from the beginning, also when SIGHUP made us parse again */
    while (rc == AZIHSM_OK && *action == OPTIONS_RUN &&
           (id = getopt_long(argc, argv, "c:o:qhV", long_options, &index)) != -1)
        rc = options_take(id, index, options, overrides, action, err);
    if (rc == AZIHSM_OK && *action == OPTIONS_RUN && optind < argc)
        rc = azihsm_error_set(err, AZIHSM_E_ARGUMENT, "unexpected argument \"%s\"", argv[optind]);
    if (rc == AZIHSM_OK && *action == OPTIONS_RUN)
        rc = options_apply(options, overrides, config, err);
    if (rc == AZIHSM_OK && *action == OPTIONS_RUN)
        rc = options_secrets(options, config, err);
    OPENSSL_free(overrides);
    return rc;
}
