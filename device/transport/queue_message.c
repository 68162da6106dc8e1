/*
 * Sending and receiving whole messages over SOCK_SEQPACKET: see queue_message.h.
 */
#include "queue_message.h"

#include "futex.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

union control_room {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(QUEUE_MESSAGE_FDS * sizeof(int))];
};

void queue_message_init(struct queue_message *message, enum queue_message_type type)
{
    memset(message, 0, sizeof(*message));
    message->magic = QUEUE_MAGIC;
    message->version = QUEUE_VERSION;
    message->type = (uint32_t)type;
}

void queue_close_fds(int *fds, size_t fd_count)
{
    for (size_t i = 0; i < fd_count; i++) {
        if (fds[i] >= 0)
            close(fds[i]);
        fds[i] = -1;
    }
}

int queue_message_send(int socket, const struct queue_message *message, const int *fds, size_t fd_count)
{
    struct iovec part = {.iov_base = (void *)(uintptr_t)message, .iov_len = sizeof(*message)};
    struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};
    union control_room room = {0};
    ssize_t sent;

    if (fd_count > 0) {
        struct cmsghdr *control = &room.align;

        header.msg_control = room.bytes;
        header.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
        control->cmsg_level = SOL_SOCKET;
        control->cmsg_type = SCM_RIGHTS;
        control->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
        memcpy(CMSG_DATA(control), fds, fd_count * sizeof(int));
    }
    do {
        sent = sendmsg(socket, &header, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    if (sent < 0)
        return errno == EAGAIN ? 0 : -1;
    return 1;
}

static void take_fds(struct msghdr *header, int *fds, size_t *fd_count)
{
    for (struct cmsghdr *control = CMSG_FIRSTHDR(header); control != NULL; control = CMSG_NXTHDR(header, control)) {
        size_t bytes = control->cmsg_len - CMSG_LEN(0);

        if (control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_RIGHTS)
            continue;
        memcpy(fds, CMSG_DATA(control), bytes);
        *fd_count = bytes / sizeof(int);
    }
}

int queue_message_receive(int socket, struct queue_message *message, int *fds, size_t *fd_count)
{
    struct iovec part = {.iov_base = message, .iov_len = sizeof(*message)};
    union control_room room = {0};
    struct msghdr header = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = room.bytes, .msg_controllen = sizeof(room.bytes)};
    ssize_t got;

    *fd_count = 0;
    do {
        got = recvmsg(socket, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    } while (got < 0 && errno == EINTR);
    if (got < 0)
        return errno == EAGAIN ? 0 : -1;
    take_fds(&header, fds, fd_count);
    if (got != (ssize_t)sizeof(*message) || (header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0 ||
        message->magic != QUEUE_MAGIC) {
        queue_close_fds(fds, *fd_count);
        *fd_count = 0;
        /* a message that came whole, but for descriptors that this process has no room for */
        if (got == (ssize_t)sizeof(*message) && (header.msg_flags & MSG_CTRUNC) != 0 && message->magic == QUEUE_MAGIC)
            errno = EMFILE;
        else
            errno = got == 0 ? ECONNRESET : EPROTO;
        return -1;
    }
    return 1;
}

azihsm_rc queue_message_await(int socket, enum queue_message_type type, int64_t deadline_ns,
                              struct queue_message *message, int *fds, size_t *fd_count)
{
    for (;;) {
        struct pollfd event = {.fd = socket, .events = POLLIN};
        int got = queue_message_receive(socket, message, fds, fd_count);

        if (got > 0 && message->type == (uint32_t)type)
            return AZIHSM_OK;
        if (got > 0) {
            queue_close_fds(fds, *fd_count);
            *fd_count = 0;
            return AZIHSM_E_PROTOCOL;
        }
        if (got < 0)
            return errno == EPROTO ? AZIHSM_E_PROTOCOL : errno == EMFILE ? AZIHSM_E_NO_MEMORY : AZIHSM_E_LOST;
        if (clock_now() >= deadline_ns)
            return AZIHSM_E_TIMEOUT;
        poll(&event, 1, clock_poll_ms(deadline_ns, 1000));
    }
}
