/*
 * Asking the private azihsmd of this process for its counters.
 */
#include "control.h"

#include "client/cbor_io.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

enum { REPLY_MAX = 65536 };

static char directory[] = "/tmp/azihsm-door.XXXXXX";
static char path[sizeof(directory) + 16];

static pid_t maker;

static void remove_directory(void)
{
    if (getpid() != maker)
        return;
    unlink(path);
    rmdir(directory);
}

void control_socket_must(char *out, size_t cap)
{
    if (path[0] == '\0') {
        assert_non_null(mkdtemp(directory));
        snprintf(path, sizeof(path), "%s/control", directory);
        maker = getpid();
        atexit(remove_directory);
    }
    snprintf(out, cap, "%s", path);
}

static int connect_must(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static uint64_t number_must(struct azihsm_bytes map, const char *key)
{
    struct cbor_token token;

    assert_true(cbor_map_find(map, key, CBOR_TOKEN_UINT, &token));
    return token.value;
}

/* What follows the head of the array of that key. */
static struct azihsm_bytes array_must(struct azihsm_bytes map, const char *key)
{
    struct cbor_reader reader;
    struct cbor_token token, name;

    cbor_read_init(&reader, map.data, map.len);
    assert_true(cbor_read_expect(&reader, CBOR_TOKEN_MAP, &token));
    while (cbor_read_expect(&reader, CBOR_TOKEN_TEXT, &name) && !cbor_text_equals(name.string, key))
        assert_true(cbor_read_skip(&reader));
    assert_true(cbor_read_expect(&reader, CBOR_TOKEN_ARRAY, &token));
    assert_true(token.value >= 1);
    return (struct azihsm_bytes){reader.data, reader.len};
}

static void read_counters(struct azihsm_bytes partition, struct emu_counters *out)
{
    struct cbor_token token;

    assert_true(cbor_map_find(partition, "provisioned", CBOR_TOKEN_BOOL, &token));
    *out = (struct emu_counters){
        .commands = number_must(partition, "commands"),
        .errors = number_must(partition, "errors"),
        .resets = number_must(partition, "resets"),
        .handles = (uint32_t)number_must(partition, "handles"),
        .sessions = (uint32_t)number_must(partition, "sessions"),
        .sessions_flagged = (uint32_t)number_must(partition, "sessions-flagged"),
        .keys = (uint32_t)number_must(partition, "keys"),
        .key_bytes = (uint32_t)number_must(partition, "key-bytes"),
        .bulk_keys = (uint32_t)number_must(partition, "bulk-keys"),
        .provisioned = token.value != 0,
    };
}

void control_counters_must(struct emu_counters *out)
{
    uint8_t *reply = malloc(REPLY_MAX), question[64];
    struct cbor_writer writer;
    ssize_t got;
    int fd = connect_must();

    assert_non_null(reply);
    cbor_write_init(&writer, question, sizeof(question));
    cbor_write_map(&writer, 1);
    cbor_write_pair_text(&writer, "command", "status");
    assert_int_equal(send(fd, question, writer.len, MSG_NOSIGNAL), writer.len);
    got = recv(fd, reply, REPLY_MAX, 0);
    close(fd);
    assert_true(got > 0);
    read_counters(array_must((struct azihsm_bytes){reply, (size_t)got}, "partitions"), out);
    free(reply);
}
