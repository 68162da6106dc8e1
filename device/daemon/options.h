/*
 * Command line of azihsmd: what it overrides in the configuration, and how the process runs. See azihsmd(8).
 */
#ifndef DAEMON_OPTIONS_H
#define DAEMON_OPTIONS_H

#include "config.h"

struct options {
    const char *config_file;  /* as given, or the default when that exists; NULL = none */
    const char *secrets_file; /* device secrets of an ephemeral device */
    bool user;                /* private daemon */
    bool quiet;
    bool check_config;
    int ready_fd;    /* gets one byte when we listen, -1 = none */
    int lifeline_fd; /* a pipe: we end when its last writer is gone, -1 = none */
};

enum options_action { OPTIONS_RUN, OPTIONS_EXIT_OK, OPTIONS_EXIT_USAGE };

/* Parses argv, reads the configuration and applies the rest of the command line over it; help and version are printed.
 * On failure *err says why (AZIHSM_E_ARGUMENT: usage). */
azihsm_rc options_parse(int argc, char **argv, struct options *options, struct config *config,
                        enum options_action *action, struct azihsm_error *err);

#endif
