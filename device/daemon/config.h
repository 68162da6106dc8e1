/*
 * What azihsmd was told: configuration file, then command line, over defaults. See azihsmd(8) and conf/azihsmd.conf.
 */
#ifndef DAEMON_CONFIG_H
#define DAEMON_CONFIG_H

#include "settings.h"

#include <azihsm/ddi.h>

enum {
    CONFIG_PARTITIONS_MAX = 16,
    CONFIG_NAME_MAX = 32, /* of a partition, with the NUL */
    CONFIG_PATH_MAX = 256,
    CONFIG_LIST_MAX = 256,
    CONFIG_SECRET_SIZE = 32
};

#define CONFIG_DEFAULT_FILE "/etc/azihsm/azihsmd.conf"

enum config_limits { CONFIG_LIMITS_HARDWARE, CONFIG_LIMITS_ROOMY };
enum config_scope { CONFIG_SCOPE_CONNECTION, CONFIG_SCOPE_PARTITION };
enum config_login { CONFIG_LOGIN_PEER, CONFIG_LOGIN_PIN };
enum config_seccomp { CONFIG_SECCOMP_OFF, CONFIG_SECCOMP_ERRNO, CONFIG_SECCOMP_KILL };

struct config_partition {
    char name[CONFIG_NAME_MAX];
    int kind;                           /* enum azihsm_device_kind */
    int limits;                         /* enum config_limits */
    unsigned tables;                    /* 0 = by limits */
    int key_scope;                      /* enum config_scope */
    int login;                          /* enum config_login */
    char allow_users[CONFIG_LIST_MAX];  /* beside root and azihsmd's own user; "*" = everybody */
    char allow_groups[CONFIG_LIST_MAX]; /* "" = the group azihsm, if there is one */
    bool provision;                     /* establish the credential at start and after each reset */
    bool extensions;
    bool bk3_once;
    bool pin_lockout;
    unsigned pending_key_calls;
    bool power_off_when_idle;
};

/* Device secrets from outside; all zero = drawn at random. Only for ephemeral devices. */
struct config_secrets {
    uint8_t bks1[CONFIG_SECRET_SIZE];
    uint8_t bks2[CONFIG_SECRET_SIZE];
    uint8_t boot_key[AZIHSM_MASKING_KEY_SIZE];
};

struct config {
    char socket[CONFIG_PATH_MAX];
    char control_socket[CONFIG_PATH_MAX];
    char state_dir[CONFIG_PATH_MAX];
    char user[CONFIG_NAME_MAX]; /* "" = stay who we are */
    unsigned socket_mode;
    unsigned threads;
    unsigned connections;
    unsigned connections_per_uid;
    unsigned ticket_lifetime; /* seconds */
    unsigned drain_ms;
    unsigned idle_exit; /* seconds without a connection, 0 = never */
    int seccomp;        /* enum config_seccomp */
    bool ephemeral;
    struct config_partition partitions[CONFIG_PARTITIONS_MAX];
    size_t partition_count;
    struct config_secrets secrets;
};

void config_init(struct config *config);
azihsm_rc config_read(struct config *config, const char *path, struct azihsm_error *err);
azihsm_rc config_read_secrets(struct config *config, const char *path, struct azihsm_error *err);
/* Makes the partition "default" when the file configured none. */
void config_complete(struct config *config);
/* A key given on the command line: a global one, or one of every partition. where = "--kind". */
azihsm_rc config_override(struct config *config, const char *key, const char *value, const char *where,
                          struct azihsm_error *err);
/* Derives what was left open and checks what no single key can. */
azihsm_rc config_finish(struct config *config, struct azihsm_error *err);
const struct config_partition *config_find(const struct config *config, const char *name);

#endif
