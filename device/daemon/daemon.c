/*
 * The daemon's parts and the order in which they come and go.
 */
#include "daemon.h"

#include "backend.h"
#include "client/cbor_io.h"
#include "log.h"
#include "partition.h"
#include "transport/futex.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>

#define TICKET_FILE "tickets"

enum { TICKET_FILE_MAX = 128 };

struct daemon {
    struct config *config;
    struct state_dir *dir; /* NULL: ephemeral */
    struct partition *partitions[CONFIG_PARTITIONS_MAX];
    size_t partition_count;
    struct queue_server *server;
    OSSL_LIB_CTX *libctx;
    int64_t started_ns;
    pthread_t main_thread; /* takes the signals */
    pthread_mutex_t ticket_lock;
    struct queue_ticket_policy tickets; /* epoch under ticket_lock */
};

uint64_t daemon_uptime_s(const struct daemon *daemon)
{
    return (uint64_t)((clock_now() - daemon->started_ns) / NS_PER_S);
}

/* ---- tickets ---- */

static azihsm_rc daemon_save_tickets(struct daemon *daemon, struct azihsm_error *err)
{
    uint8_t buf[TICKET_FILE_MAX];
    struct cbor_writer writer;
    azihsm_rc rc;

    if (daemon->dir == NULL)
        return AZIHSM_OK;
    cbor_write_init(&writer, buf, sizeof(buf));
    cbor_write_map(&writer, 2);
    cbor_write_pair_bytes(&writer, "key", daemon->tickets.key, sizeof(daemon->tickets.key));
    cbor_write_pair_uint(&writer, "epoch", daemon->tickets.epoch);
    rc = state_dir_write(daemon->dir, TICKET_FILE, (struct azihsm_bytes){buf, writer.len}, err);
    OPENSSL_cleanse(buf, sizeof(buf));
    return rc;
}

static azihsm_rc daemon_parse_tickets(struct daemon *daemon, struct azihsm_bytes file, struct azihsm_error *err)
{
    struct cbor_token key, epoch;

    if (!cbor_map_find(file, "key", CBOR_TOKEN_BYTES, &key) || key.string.len != sizeof(daemon->tickets.key) ||
        !cbor_map_find(file, "epoch", CBOR_TOKEN_UINT, &epoch))
        return azihsm_error_set(err, AZIHSM_E_DECODE, "%s/%s is damaged: restore it from a backup",
                                state_dir_path(daemon->dir), TICKET_FILE);
    memcpy(daemon->tickets.key, key.string.data, key.string.len);
    daemon->tickets.epoch = epoch.value;
    return AZIHSM_OK;
}

static azihsm_rc daemon_load_tickets(struct daemon *daemon, struct azihsm_error *err)
{
    uint8_t buf[TICKET_FILE_MAX];
    size_t len = 0;
    azihsm_rc rc = AZIHSM_OK;

    daemon->tickets.lifetime_s = daemon->config->ticket_lifetime;
    daemon->tickets.libctx = daemon->libctx;
    if (daemon->dir != NULL)
        rc = state_dir_read(daemon->dir, TICKET_FILE, buf, sizeof(buf), &len, err);
    if (rc == AZIHSM_OK && len > 0) {
        rc = daemon_parse_tickets(daemon, (struct azihsm_bytes){buf, len}, err);
    } else if (rc == AZIHSM_OK) {
        if (RAND_priv_bytes_ex(daemon->libctx, daemon->tickets.key, sizeof(daemon->tickets.key), 0) <= 0)
            return azihsm_error_set(err, AZIHSM_E_CRYPTO, "no random numbers");
        daemon->tickets.epoch = 1;
        rc = daemon_save_tickets(daemon, err);
    }
    OPENSSL_cleanse(buf, sizeof(buf));
    return rc;
}

azihsm_rc daemon_revoke_tickets(struct daemon *daemon, uint64_t *epoch, struct azihsm_error *err)
{
    azihsm_rc rc;

    pthread_mutex_lock(&daemon->ticket_lock);
    daemon->tickets.epoch++;
    rc = daemon_save_tickets(daemon, err);
    queue_server_set_epoch(daemon->server, daemon->tickets.epoch);
    *epoch = daemon->tickets.epoch;
    pthread_mutex_unlock(&daemon->ticket_lock);
    return rc;
}

/* ---- life ---- */

static azihsm_rc daemon_power_on(struct daemon *daemon, struct azihsm_error *err)
{
    struct config *config = daemon->config;
    azihsm_rc rc = AZIHSM_OK;
    size_t i;

    for (i = 0; i < config->partition_count && rc == AZIHSM_OK; i++) {
        rc = partition_new(&config->partitions[i], &config->secrets, daemon->dir, &daemon->partitions[i], err);
        if (rc == AZIHSM_OK)
            daemon->partition_count++;
    }
    OPENSSL_cleanse(&config->secrets, sizeof(config->secrets));
    return rc;
}

azihsm_rc daemon_new(struct config *config, struct daemon **out, struct azihsm_error *err)
{
    struct daemon *daemon = OPENSSL_zalloc(sizeof(*daemon));
    azihsm_rc rc = AZIHSM_OK;

    if (daemon == NULL)
        return azihsm_error_set(err, AZIHSM_E_NO_MEMORY, "out of memory");
    daemon->config = config;
    daemon->started_ns = clock_now();
    daemon->main_thread = pthread_self();
    pthread_mutex_init(&daemon->ticket_lock, NULL);
    daemon->libctx = OSSL_LIB_CTX_new();
    if (daemon->libctx == NULL)
        rc = azihsm_error_set(err, AZIHSM_E_NO_MEMORY, "out of memory");
    if (rc == AZIHSM_OK && !config->ephemeral)
        rc = state_dir_open(config->state_dir, &daemon->dir, err);
    if (rc == AZIHSM_OK)
        rc = daemon_load_tickets(daemon, err);
    if (rc == AZIHSM_OK)
        rc = daemon_power_on(daemon, err);
    if (rc == AZIHSM_OK)
        *out = daemon;
    else
        daemon_free(daemon);
    return rc;
}

void daemon_free(struct daemon *daemon)
{
    size_t i;

    if (daemon == NULL)
        return;
    queue_server_free(daemon->server);
    for (i = 0; i < daemon->partition_count; i++)
        partition_free(daemon->partitions[i]);
    state_dir_close(daemon->dir);
    OSSL_LIB_CTX_free(daemon->libctx);
    pthread_mutex_destroy(&daemon->ticket_lock);
    OPENSSL_clear_free(daemon, sizeof(*daemon));
}

azihsm_rc daemon_start(struct daemon *daemon, const int *listeners, size_t count, struct azihsm_error *err)
{
    const struct config *config = daemon->config;
    struct queue_server_config server = {
        .backend = backend_for(daemon),
        .tickets = daemon->tickets,
        .limits = {.threads = config->threads,
                   .connections = config->connections,
                   .connections_per_uid = config->connections_per_uid},
        .listeners = listeners,
        .listener_count = count,
    };
    azihsm_rc rc = queue_server_new(&server, &daemon->server, err);

    OPENSSL_cleanse(&server, sizeof(server));
    return rc == AZIHSM_OK ? queue_server_start(daemon->server, err) : rc;
}

bool daemon_stop(struct daemon *daemon)
{
    return daemon->server == NULL || queue_server_stop(daemon->server, daemon->config->drain_ms);
}

/* ---- looking in ---- */

struct partition *daemon_partition(struct daemon *daemon, const char *name)
{
    size_t i;

    for (i = 0; i < daemon->partition_count; i++) {
        if (strcmp(partition_name(daemon->partitions[i]), name) == 0)
            return daemon->partitions[i];
    }
    return NULL;
}

struct partition *daemon_partition_at(struct daemon *daemon, size_t i)
{
    return i < daemon->partition_count ? daemon->partitions[i] : NULL;
}

const struct config *daemon_config(const struct daemon *daemon)
{
    return daemon->config;
}

void daemon_queue_counters(struct daemon *daemon, struct queue_counters *out)
{
    memset(out, 0, sizeof(*out));
    if (daemon->server != NULL)
        queue_server_counters(daemon->server, out);
}

void daemon_request_stop(struct daemon *daemon)
{
    pthread_kill(daemon->main_thread, DAEMON_STOP_SIGNAL);
}

azihsm_rc daemon_check_access(const struct config *config, struct azihsm_error *err)
{
    struct access access;
    azihsm_rc rc = AZIHSM_OK;
    size_t i;

    for (i = 0; i < config->partition_count && rc == AZIHSM_OK; i++)
        rc = access_resolve(&config->partitions[i], &access, err);
    return rc;
}

azihsm_rc daemon_reload_access(struct daemon *daemon, const struct config *fresh, struct azihsm_error *err)
{
    size_t i;

    for (i = 0; i < daemon->partition_count; i++) {
        const struct config_partition *partition = config_find(fresh, partition_name(daemon->partitions[i]));
        struct access access;
        azihsm_rc rc;

        if (partition == NULL) {
            log_line(LOG_LEVEL_WARNING, "partition %s is gone from the configuration; it stays until a restart",
                     partition_name(daemon->partitions[i]));
            continue;
        }
        rc = access_resolve(partition, &access, err);
        if (rc != AZIHSM_OK)
            return rc;
        partition_set_access(daemon->partitions[i], &access);
    }
    return AZIHSM_OK;
}
