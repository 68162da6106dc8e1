/*
 * Client of azihsmd's control socket.
 */
#include "control_client.h"

#include "transport/endpoint.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { CONTROL_WAIT_MS = 60000 }; /* a reset provisions the device again */

/* ---- where ---- */

static bool control_beside(const char *socket_path, char *out, size_t size)
{
    const char *slash = strrchr(socket_path, '/');
    int len = slash != NULL ? snprintf(out, size, "%.*s/control.sock", (int)(slash - socket_path), socket_path) : -1;

    return len > 0 && (size_t)len < size;
}

bool control_path(const struct tool *tool, char *out, size_t size)
{
    char directory[ENDPOINT_PATH_MAX];
    struct stat st;
    int len;

    if (tool->control != NULL)
        len = snprintf(out, size, "%s", tool->control);
    else if (tool->device != NULL && strncmp(tool->device, "unix:", 5) == 0)
        return control_beside(tool->device + 5, out, size);
    else if (stat(ENDPOINT_SYSTEM_DIRECTORY, &st) == 0)
        len = snprintf(out, size, "%s/control.sock", ENDPOINT_SYSTEM_DIRECTORY);
    else if (endpoint_user_directory(directory, sizeof(directory)))
        len = snprintf(out, size, "%s/control.sock", directory);
    else
        return false;
    return len > 0 && (size_t)len < size;
}

static int control_connect(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd, error;

    if (strlen(path) >= sizeof(address.sun_path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(address.sun_path, path, strlen(path));
    fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    error = errno;
    close(fd);
    errno = error;
    return -1;
}

/* ---- asking ---- */

void control_request(struct tool *tool, struct cbor_writer *writer, uint8_t *buf, size_t cap, const char *command,
                     size_t extra)
{
    cbor_write_init(writer, buf, cap);
    cbor_write_map(writer, 1 + extra + (tool->partition != NULL ? 1 : 0));
    cbor_write_pair_text(writer, "command", command);
    if (tool->partition != NULL)
        cbor_write_pair_text(writer, "partition", tool->partition);
}

static azihsm_rc control_exchange(struct tool *tool, const char *path, int fd, const struct cbor_writer *request,
                                  struct control_answer *out)
{
    struct pollfd event = {.fd = fd, .events = POLLIN};
    ssize_t got = send(fd, request->buf, request->len, MSG_NOSIGNAL);

    if (got >= 0 && poll(&event, 1, CONTROL_WAIT_MS) == 0)
        return azihsm_error_set(&tool->err, AZIHSM_E_TIMEOUT, "azihsmd does not answer on %s", path);
    if (got >= 0)
        got = recv(fd, out->buf, CONTROL_CLIENT_REPLY_MAX, 0);
    if (got == 0 || (got < 0 && (errno == EPIPE || errno == ECONNRESET)))
        return azihsm_error_set(&tool->err, AZIHSM_E_PERMISSION,
                                "azihsmd closed %s: only root and the user azihsmd runs as may ask", path);
    if (got < 0)
        return azihsm_error_set(&tool->err, AZIHSM_E_LOST, "%s: %s", path, strerror(errno));
    out->map = (struct azihsm_bytes){out->buf, (size_t)got};
    return AZIHSM_OK;
}

/* The reply's own verdict. */
static azihsm_rc control_verdict(struct tool *tool, const struct control_answer *answer)
{
    struct cbor_token rc, text;

    if (!cbor_map_find(answer->map, "rc", CBOR_TOKEN_UINT, &rc))
        return azihsm_error_set(&tool->err, AZIHSM_E_PROTOCOL, "azihsmd sent a reply that is none");
    if (rc.value == 0)
        return AZIHSM_OK;
    if (!cbor_map_find(answer->map, "error", CBOR_TOKEN_TEXT, &text))
        text.string = (struct azihsm_bytes){(const uint8_t *)"failed", 6};
    /* Device statuses are large numbers, results of ours are small and were negative. */
    return azihsm_error_set(&tool->err, rc.value < 0x1000 ? -(azihsm_rc)rc.value : (azihsm_rc)rc.value, "%.*s",
                            (int)text.string.len, (const char *)text.string.data);
}

azihsm_rc control_ask(struct tool *tool, const struct cbor_writer *request, struct control_answer *out)
{
    char path[ENDPOINT_PATH_MAX + 16];
    azihsm_rc rc;
    int fd;

    *out = (struct control_answer){.buf = OPENSSL_malloc(CONTROL_CLIENT_REPLY_MAX)};
    if (out->buf == NULL || request->failed)
        return azihsm_error_set(&tool->err, AZIHSM_E_NO_MEMORY, "the request does not fit");
    if (!control_path(tool, path, sizeof(path)))
        return azihsm_error_set(&tool->err, AZIHSM_E_CONFIG,
                                "no control socket: neither %s nor a user's directory exists: start azihsmd, or name a "
                                "socket with --control",
                                ENDPOINT_SYSTEM_DIRECTORY);
    fd = control_connect(path);
    if (fd < 0)
        return azihsm_error_set(&tool->err, errno == EACCES ? AZIHSM_E_PERMISSION : AZIHSM_E_NO_DEVICE,
                                "control socket %s: %s: %s", path, strerror(errno),
                                errno == EACCES
                                    ? "only root and the user azihsmd runs as may ask"
                                    : "start azihsmd (systemctl start azihsmd), or name another socket with --control");
    rc = control_exchange(tool, path, fd, request, out);
    close(fd);
    return rc == AZIHSM_OK ? control_verdict(tool, out) : rc;
}

azihsm_rc control_ask_simple(struct tool *tool, const char *command, struct control_answer *out)
{
    struct cbor_writer request;
    uint8_t buf[256];

    control_request(tool, &request, buf, sizeof(buf), command, 0);
    return control_ask(tool, &request, out);
}

void control_end(struct control_answer *answer)
{
    OPENSSL_clear_free(answer->buf, answer->buf != NULL ? CONTROL_CLIENT_REPLY_MAX : 0);
    answer->buf = NULL;
}

/* ---- arrays ---- */

void control_items(const struct control_answer *answer, const char *key, struct control_items *out)
{
    struct cbor_token head, name;

    *out = (struct control_items){.failed = true};
    cbor_read_init(&out->reader, answer->map.data, answer->map.len);
    if (!cbor_read_expect(&out->reader, CBOR_TOKEN_MAP, &head))
        return;
    while (cbor_read_expect(&out->reader, CBOR_TOKEN_TEXT, &name) && !cbor_text_equals(name.string, key))
        if (!cbor_read_skip(&out->reader))
            return;
    out->failed = !cbor_read_expect(&out->reader, CBOR_TOKEN_ARRAY, &head);
    out->left = out->failed ? 0 : head.value;
}

bool control_next_item(struct control_items *items, struct azihsm_bytes *item)
{
    if (items->left == 0)
        return false;
    items->left--;
    item->data = items->reader.data;
    items->failed = !cbor_read_skip(&items->reader);
    item->len = (size_t)(items->reader.data - item->data);
    return !items->failed;
}

bool control_item_number(struct azihsm_bytes item, const char *key, uint64_t *out)
{
    struct cbor_token token;
    bool ok = cbor_map_find(item, key, CBOR_TOKEN_UINT, &token);

    *out = ok ? token.value : 0;
    return ok;
}

/* ---- printing ---- */

int control_print(struct tool *tool, const struct control_answer *answer, const char *except)
{
    struct cbor_reader reader;
    struct cbor_token head, key;
    char name[64];
    bool ok;

    cbor_read_init(&reader, answer->map.data, answer->map.len);
    ok = cbor_read_expect(&reader, CBOR_TOKEN_MAP, &head);
    output_begin(&tool->out, tool->json);
    for (; ok && head.value > 0; head.value--) {
        struct azihsm_bytes item;

        ok = cbor_read_expect(&reader, CBOR_TOKEN_TEXT, &key) && key.string.len < sizeof(name);
        item.data = reader.data;
        ok = ok && cbor_read_skip(&reader);
        if (!ok || cbor_text_equals(key.string, "rc") || (except != NULL && cbor_text_equals(key.string, except)))
            continue;
        item.len = (size_t)(reader.data - item.data);
        memcpy(name, key.string.data, key.string.len);
        name[key.string.len] = '\0';
        ok = output_cbor(&tool->out, name, item);
    }
    output_end(&tool->out);
    return ok ? TOOL_OK : tool_complain(TOOL_FAILED, "azihsmd sent a reply that is none");
}

int control_run(struct tool *tool, const char *command)
{
    struct control_answer answer;
    azihsm_rc rc = control_ask_simple(tool, command, &answer);
    int status = rc == AZIHSM_OK ? control_print(tool, &answer, NULL) : tool_fail(tool, rc);

    control_end(&answer);
    return status;
}
