/*
 * The driver's own rules, raw (ddi-protocol 3.3, 8.2 - 8.7): order of checks, what is written back and what is not,
 * which descriptors share a session, and whose handle it is.
 */
#include "door.h"

#include "emu_client.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { GARBAGE = 0x5A, NONE = 0, OPEN = 1, CLOSE = 2, IN_SESSION = 3, ID_VALID = 4 };

struct emu_handle {
    int fd; /* the first member of door.c's */
};

static int fd_of(const struct emu_client *client)
{
    return client->handle->fd;
}

/* GetApiRev (1.5.1) and its answer (1.5.2). */
static const uint8_t api_rev[] = {0xa2, 0x18, 0x00, 0xa1, 0x18, 0x02, 0x1a, 0x00, 0x00, 0x03, 0xea, 0x18, 0x01, 0xa0};
static const uint8_t api_rev_answer[] = {0xa2, 0x18, 0x00, 0xa3, 0x18, 0x02, 0x1a, 0x00, 0x00, 0x03, 0xea, 0x18,
                                         0x04, 0x1a, 0x00, 0x00, 0x00, 0x00, 0x18, 0x05, 0x14, 0x18, 0x01, 0xa2,
                                         0x18, 0x01, 0xa2, 0x18, 0x01, 0x1a, 0x00, 0x00, 0x00, 0x01, 0x18, 0x02,
                                         0x1a, 0x00, 0x00, 0x00, 0x00, 0x18, 0x02, 0xa2, 0x18, 0x01, 0x1a, 0x00,
                                         0x00, 0x00, 0x01, 0x18, 0x02, 0x1a, 0x00, 0x00, 0x00, 0x00};

static uint8_t request[AZIHSM_FRAME_MAX + 1], response[AZIHSM_FRAME_MAX + 1];

static struct ioctl_generic ask_api_rev(void)
{
    memset(response, GARBAGE, sizeof(response));
    return door_generic(api_rev, sizeof(api_rev), response, NONE, 0);
}

/* ---- request codes and the slow path ---- */

static void test_codes(void **state)
{
    static const unsigned long unknown[] = {0xC0704202, 0xC0284205, 0,          0xC0704103, 0xC0B04105,
                                            0x80704203, 0xC0704207, 0xC190420D, 0xC0044204};
    uint8_t block[512], before[512];
    int fd = door_open_must();

    (void)state;
    memset(block, GARBAGE, sizeof(block));
    memcpy(before, block, sizeof(block));
    for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
        assert_int_equal(door_ioctl(fd, unknown[i], block), EBADRQC);
        assert_memory_equal(block, before, sizeof(block));
    }
    /* another C library's sign extension */
    struct ioctl_generic command = ask_api_rev();
    assert_int_equal(door_ioctl(fd, 0xFFFFFFFF00000000UL | IOCTL_GENERIC, &command), 0);
    assert_memory_equal(response, api_rev_answer, sizeof(api_rev_answer));
    close(fd);
}

static void test_slow(void **state)
{
    int fd = door_open_must();
    struct ioctl_generic command = ask_api_rev();

    (void)state;
    command.ctxt = 0x1122334455667788;
    command.out_ext_status = 77;
    command.header.size = sizeof(command) + 1000; /* larger is fine */
    assert_int_equal(door_ioctl(fd, IOCTL_GENERIC, &command), 0);
    assert_int_equal(command.out_ctxt, 0x1122334455667788);
    assert_int_equal(command.out_status, 0);
    assert_int_equal(command.out_byte_count, sizeof(api_rev_answer));
    assert_int_equal(command.out_ext_status, 77); /* the caller's */
    assert_memory_equal(response, api_rev_answer, sizeof(api_rev_answer));
    for (size_t i = sizeof(api_rev_answer); i < sizeof(response); i++)
        assert_int_equal(response[i], GARBAGE);
    /* a short destination gets what fits */
    command = ask_api_rev();
    command.dst_length = 10;
    assert_int_equal(door_ioctl(fd, IOCTL_GENERIC, &command), 0);
    assert_int_equal(command.out_byte_count, 10);
    assert_memory_equal(response, api_rev_answer, 10);
    assert_int_equal(response[10], GARBAGE);
    /* and none may be given */
    command = ask_api_rev();
    command.dst_length = 0;
    command.dst_buf = 0;
    assert_int_equal(door_ioctl(fd, IOCTL_GENERIC, &command), 0);
    assert_int_equal(command.out_byte_count, 0);
    close(fd);
}

/* One defect each on top of all later ones: the first in the driver's order must win. */
static void test_slow_order(void **state)
{
    int fd = door_open_must();
    struct ioctl_generic good = ask_api_rev(), command;

    (void)state;
    good.ctxt = 42;
    command = good;
    command.cmdset = 1;
    command.src_length = 8193;
    command.dst_length = 8193;
    command.session_control_flags = IN_SESSION;
    static const uint32_t expected[] = {2, 3, 4, 5, 7, 12};
    for (size_t i = 0; i < 6; i++) {
        command.out_ext_status = 0;
        command.out_ctxt = 0;
        assert_int_equal(door_ioctl(fd, IOCTL_GENERIC, &command), EINVAL);
        assert_int_equal(command.out_ext_status, expected[i]);
        assert_int_equal(command.out_ctxt, i < 5 ? 0 : 42);
        switch (i) {
        case 0:
            command.cmdset = 0;
            break;
        case 1:
            command.src_length = 0;
            break;
        case 2:
            command.dst_length = 0;
            break;
        case 3:
            command.src_length = sizeof(api_rev);
            break;
        case 4:
            command.dst_length = 100;
            break;
        default:
            break;
        }
    }
    static const struct {
        uint64_t src, dst;
        uint32_t src_length, dst_length, ext_status;
    } buffers[] = {
        {0, 1, 10, 10, 5},          {1, 1, 0, 10, 5},           {1, 0, 10, 10, 7},  {1, 1, 10, 0, 7},
        {UINT64_MAX, 1, 10, 10, 5}, {1, UINT64_MAX, 10, 10, 7}, {16, 1, 10, 10, 5},
    };
    for (size_t i = 0; i < sizeof(buffers) / sizeof(buffers[0]); i++) {
        command = good;
        command.src_buf = buffers[i].src == 1 ? (uintptr_t)api_rev : buffers[i].src;
        command.dst_buf = buffers[i].dst == 1 ? (uintptr_t)response : buffers[i].dst;
        command.src_length = buffers[i].src_length;
        command.dst_length = buffers[i].dst_length;
        assert_int_equal(door_ioctl(fd, IOCTL_GENERIC, &command), EINVAL);
        assert_int_equal(command.out_ext_status, buffers[i].ext_status);
    }
    close(fd);
}

/* A destination that cannot be written: found after execution (7, byte_count 0). */
static void test_slow_destination(void **state)
{
    int fd = door_open_must();
    struct ioctl_generic command = ask_api_rev();
    void *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    (void)state;
    assert_ptr_not_equal(page, MAP_FAILED);
    command.dst_buf = (uintptr_t)page;
    command.dst_length = 4096;
    command.out_byte_count = 99;
    assert_int_equal(door_ioctl(fd, IOCTL_GENERIC, &command), EINVAL);
    assert_int_equal(command.out_ext_status, 7);
    assert_int_equal(command.out_byte_count, 0);
    munmap(page, 4096);
    close(fd);
}

/* A structure that is too small or not readable: EINVAL, and zeros are written back (8.3). */
static void test_slow_unreadable(void **state)
{
    int fd = door_open_must();
    struct ioctl_generic command = ask_api_rev();
    static const struct ioctl_generic zeros;
    uint8_t *pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    (void)state;
    command.header.size = sizeof(command) - 1;
    assert_int_equal(door_ioctl(fd, IOCTL_GENERIC, &command), EINVAL);
    assert_memory_equal(&command, &zeros, sizeof(zeros));
    assert_int_equal(door_ioctl(fd, IOCTL_GENERIC, NULL), EINVAL);
    assert_int_equal(door_ioctl(fd, IOCTL_GENERIC, (void *)(uintptr_t)16), EINVAL);
    /* readable header, unreadable rest */
    assert_int_equal(munmap(pages + 4096, 4096), 0);
    command = ask_api_rev();
    memcpy(pages + 4096 - 16, &command, 16);
    assert_int_equal(door_ioctl(fd, IOCTL_GENERIC, pages + 4096 - 16), EINVAL);
    munmap(pages, 4096);
    close(fd);
}

/* ---- sessions of a handle (3.3) ---- */

static void expect_generic(int fd, uint8_t flags, uint16_t id, int error, uint32_t ext_status)
{
    struct ioctl_generic command = door_generic(api_rev, sizeof(api_rev), response, flags, id);

    assert_int_equal(door_ioctl(fd, IOCTL_GENERIC, &command), error);
    if (error != 0)
        assert_int_equal(command.out_ext_status, ext_status);
}

static void test_session_rules(void **state)
{
    struct emu_fixture *f = *state;
    struct emu_client other;
    int fd = fd_of(&f->client);
    uint16_t id = f->client.sess_id;

    expect_generic(fd, OPEN, 0, EINVAL, 11);
    expect_generic(fd, OPEN | ID_VALID, id, EINVAL, 11);
    for (uint8_t kind = CLOSE; kind <= IN_SESSION; kind++) {
        expect_generic(fd, kind, id, EINVAL, 14);
        expect_generic(fd, kind | ID_VALID, (uint16_t)(id + 1), EINVAL, 14);
        expect_generic(fd, kind | ID_VALID, (uint16_t)(id + 256), EINVAL, 14);
    }
    emu_attach(&other, f->device);
    for (uint8_t kind = CLOSE; kind <= IN_SESSION; kind++)
        expect_generic(fd_of(&other), kind | ID_VALID, id, EINVAL, 12);
    /* the bits above are not the driver's */
    struct ioctl_generic command = ask_api_rev();
    command.session_control_flags = 0xF8;
    assert_int_equal(door_ioctl(fd, IOCTL_GENERIC, &command), 0);
    /* NoSession: id and flag beside the message are dropped */
    command = ask_api_rev();
    command.session_control_flags = ID_VALID;
    command.session_id = 5;
    assert_int_equal(door_ioctl(fd, IOCTL_GENERIC, &command), 0);
    assert_int_equal(command.out_status, 0);
    assert_memory_equal(response, api_rev_answer, sizeof(api_rev_answer));
    /* a refused open leaves the handle free for the next */
    uint8_t pin0 = f->owner.pin[0];
    f->owner.pin[0] ^= 1;
    assert_int_equal(emu_open_session(&other, &f->owner), AZIHSM_STATUS_INVALID_APP_CREDENTIALS);
    f->owner.pin[0] = pin0;
    emu_login_must(&other, &f->owner);
    assert_int_equal(emu_close_session(&other), AZIHSM_OK);
    expect_generic(fd_of(&other), IN_SESSION | ID_VALID, other.sess_id, EINVAL, 12);
    emu_login_must(&other, &f->owner);
    emu_detach(&other);
}

/* After a reset the handle keeps its session: no open, but reopen and close (3.3). */
static void test_session_after_reset(void **state)
{
    struct emu_fixture *f = *state;

    door_reset_must();
    expect_generic(fd_of(&f->client), OPEN, 0, EINVAL, 11);
    assert_int_equal(emu_close_session(&f->client), AZIHSM_OK);
    expect_generic(fd_of(&f->client), IN_SESSION | ID_VALID, f->client.sess_id, EINVAL, 12);
}

/* ---- descriptors ---- */

static bool in_session(const struct emu_client *client, int fd)
{
    struct azihsm_req_hdr hdr = {true, {1, 0}, AZIHSM_OP_GET_UNWRAPPING_KEY, true, client->sess_id};
    struct ioctl_generic command;
    struct azihsm_resp_hdr answer;
    size_t len;

    assert_int_equal(azihsm_ddi_encode_request(client->kind, &hdr, NULL, request, AZIHSM_FRAME_MAX, &len), AZIHSM_OK);
    command = door_generic(request, len, response, IN_SESSION | ID_VALID, client->sess_id);
    if (door_ioctl(fd, IOCTL_GENERIC, &command) != 0) {
        assert_int_equal(command.out_ext_status, 12);
        return false;
    }
    struct azihsm_get_unwrapping_key_resp body;
    struct azihsm_scratch scratch = {.used = 0};
    return azihsm_ddi_decode_response(client->kind, hdr.op, response, command.out_byte_count, &answer, &body,
                                      &scratch) == AZIHSM_OK;
}

static uint32_t sessions(const struct emu_fixture *f)
{
    struct emu_counters counters;

    emu_device_counters(f->device, &counters);
    return counters.sessions;
}

static int by_dup(int fd)
{
    return dup(fd);
}
static int by_dup2(int fd)
{
    return dup2(fd, 300);
}
static int by_dup3(int fd)
{
    return dup3(fd, 301, O_CLOEXEC);
}
static int by_fcntl(int fd)
{
    return fcntl(fd, F_DUPFD, 100);
}
static int by_fcntl_cloexec(int fd)
{
    return fcntl(fd, F_DUPFD_CLOEXEC, 100);
}
static int by_dup_over_another(int fd)
{
    int other = door_open_must();

    assert_int_equal(dup2(fd, other), other);
    return other;
}

static int close_range_now(int fd)
{
    return close_range((unsigned)fd, (unsigned)fd, 0);
}
static int close_by_dup2(int fd)
{
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int result = dup2(null, fd) == fd ? 0 : -1;

    assert_int_equal(ioctl(fd, IOCTL_GENERIC, response), -1);
    assert_int_not_equal(errno, EBADRQC);
    close(null);
    return result;
}

static void test_duplicates(void **state)
{
    static int (*const ways[])(int) = {by_dup, by_dup2, by_dup3, by_fcntl, by_fcntl_cloexec, by_dup_over_another};
    static int (*const ends[])(int) = {close, close_range_now, close_by_dup2};
    struct emu_fixture *f = *state;

    assert_int_equal(sessions(f), 1);
    for (size_t way = 0; way < sizeof(ways) / sizeof(ways[0]); way++) {
        for (size_t end = 0; end < 3; end++) {
            struct emu_client client;
            int first, second;

            emu_attach(&client, f->device);
            emu_login_must(&client, &f->owner);
            first = fd_of(&client);
            second = ways[way](first);
            assert_true(second >= 0 && second != first);
            assert_int_equal((fcntl(second, F_GETFD) & FD_CLOEXEC) != 0, way == 2 || way == 4);
            assert_true(in_session(&client, first));
            assert_true(in_session(&client, second));
            assert_int_equal(ends[end](first), 0);
            assert_int_equal(sessions(f), 2); /* one of two closed: nothing happens */
            assert_true(in_session(&client, second));
            assert_int_equal(ends[end](second), 0);
            assert_int_equal(sessions(f), 1); /* flushed when close returns */
            if (end == 2) {
                close(first);
                close(second);
            }
            free(client.handle);
        }
    }
}

static void test_numbers(void **state)
{
    int low = open("/dev/null", O_RDONLY), fd;

    (void)state;
    fd = open(DOOR_PATH, O_RDWR);
    assert_true(fd > low && fd < 64);
    assert_int_equal(fcntl(fd, F_GETFD), 0);
    assert_int_equal(close(fd), 0);
    assert_int_equal(close(fd), -1);
    assert_int_equal(errno, EBADF);
    assert_int_equal(ioctl(fd, IOCTL_GENERIC, response), -1);
    assert_int_equal(errno, EBADF);
    fd = open(DOOR_PATH, O_RDONLY | O_CLOEXEC);
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    close(fd);
    /* other ways to it, and what is not it */
    int dev = open("/dev", O_RDONLY | O_DIRECTORY);
    fd = openat(dev, "azihsm0", O_RDWR | O_CLOEXEC);
    struct ioctl_generic command = ask_api_rev();
    assert_int_equal(door_ioctl(fd, IOCTL_GENERIC, &command), 0);
    close(fd);
    fd = openat(AT_FDCWD, DOOR_PATH, O_RDWR | O_CLOEXEC);
    command = ask_api_rev();
    assert_int_equal(door_ioctl(fd, IOCTL_GENERIC, &command), 0);
    close(fd);
    assert_int_equal(open("/dev/azihsm", O_RDWR), -1);
    assert_int_equal(errno, ENOENT);
    assert_int_equal(openat(dev, "azihsm00", O_RDWR), -1);
    assert_int_equal(errno, ENOENT);
    close(dev);
    close(low);
}

/* ---- processes ---- */

static int child_exit(pid_t child)
{
    int status;

    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* 0: every ioctl of another process was refused and its structure untouched. */
static int child_refused(int fd)
{
    static const unsigned long codes[] = {IOCTL_GENERIC, IOCTL_INFO, IOCTL_RESET, IOCTL_XTS, IOCTL_GCM, 0x1234};
    uint8_t block[512], before[512];

    memset(block, GARBAGE, sizeof(block));
    memcpy(before, block, sizeof(block));
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        if (ioctl(fd, codes[i], block) != -1 || errno != EACCES || memcmp(block, before, sizeof(block)) != 0)
            return 10 + (int)i;
        if (ioctl(fd, codes[i], NULL) != -1 || errno != EACCES)
            return 20 + (int)i;
    }
    return 0;
}

static void test_fork(void **state)
{
    struct emu_fixture *f = *state;
    int fd = fd_of(&f->client), copy = dup(fd);
    pid_t child = fork();

    if (child == 0) {
        int result = child_refused(fd), mine;

        if (result != 0 || child_refused(copy) != 0)
            _exit(result != 0 ? result : 9);
        /* closing changes nothing for the parent; a handle of one's own works, without the parent's session */
        close(copy);
        close(fd);
        mine = open(DOOR_PATH, O_RDWR | O_CLOEXEC);
        struct ioctl_generic command = ask_api_rev();
        if (mine < 0 || ioctl(mine, IOCTL_GENERIC, &command) != 0 || command.out_byte_count != sizeof(api_rev_answer))
            _exit(2);
        exit(0); /* with destructors */
    }
    assert_int_equal(child_exit(child), 0);
    assert_int_equal(sessions(f), 1);
    assert_true(in_session(&f->client, fd));
    assert_int_equal(close(copy), 0);
    assert_true(in_session(&f->client, fd));
}

/* vfork: what the child closes before exec is the child's. */
static void test_vfork(void **state)
{
    struct emu_fixture *f = *state;
    pid_t child = vfork();

    if (child == 0) {
        close_range(3, ~0U, 0);
        for (int fd = 3; fd < 400; fd++)
            close(fd);
        execl("/bin/true", "true", (char *)NULL);
        _exit(3);
    }
    assert_int_equal(child_exit(child), 0);
    assert_true(in_session(&f->client, fd_of(&f->client)));
    assert_int_equal(system("exit 5") >> 8, 5);
    assert_true(in_session(&f->client, fd_of(&f->client)));
}

/* Dead processes free their sessions, however they died; nothing is left when they are waited for. */
static void test_deaths(void **state)
{
    struct emu_fixture *f = *state;
    struct emu_client clients[8];

    assert_int_equal(emu_close_session(&f->client), AZIHSM_OK);
    for (int round = 0; round < 4; round++) {
        int ready[2];
        pid_t children[8];

        assert_int_equal(pipe(ready), 0);
        for (int i = 0; i < 8; i++) {
            children[i] = fork();
            if (children[i] != 0)
                continue;
            struct emu_client mine;
            emu_attach(&mine, f->device);
            azihsm_rc rc;
            while ((rc = emu_open_session(&mine, &f->owner)) == AZIHSM_STATUS_NONCE_MISMATCH)
                ;
            if (write(ready[1], rc == AZIHSM_OK ? "y" : "n", 1) != 1)
                _exit(1);
            if (round == 1)
                _exit(0);
            if (round == 2)
                exit(0);
            if (round == 3)
                raise(SIGABRT);
            pause();
        }
        for (int i = 0; i < 8; i++) {
            char answer;

            assert_int_equal(read(ready[0], &answer, 1), 1);
            assert_int_equal(answer, 'y');
        }
        for (int i = 0; i < 8; i++) {
            int status;

            if (round == 0)
                kill(children[i], SIGKILL);
            assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        }
        /* at once: the driver flushes before the process can be waited for */
        for (int i = 0; i < 8; i++) {
            emu_attach(&clients[i], f->device);
            assert_int_equal(emu_open_session(&clients[i], &f->owner), AZIHSM_OK);
        }
        for (int i = 0; i < 8; i++)
            emu_detach(&clients[i]);
        close(ready[0]);
        close(ready[1]);
    }
}

/* A session whose opener is gone, the open file kept alive by a child: our device notices the opener's end. */
static void test_orphan(void **state)
{
    struct emu_fixture *f = *state;
    int hold[2], ready[2];
    char byte = 0;
    pid_t child;

    assert_int_equal(pipe(hold), 0);
    assert_int_equal(pipe(ready), 0);
    child = fork();
    if (child == 0) {
        struct emu_client mine;

        emu_attach(&mine, f->device);
        emu_login_must(&mine, &f->owner);
        if (fork() == 0) { /* keeps the copy until the end of the test */
            close(hold[1]);
            close(ready[1]);
            _exit((int)read(hold[0], &byte, 1));
        }
        _exit(0);
    }
    close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 0);
    assert_int_equal(child_exit(child), 0);
    for (int i = 0; i < 200 && sessions(f) != 1; i++)
        usleep(10000);
    assert_int_equal(sessions(f), 1);
    assert_true(in_session(&f->client, fd_of(&f->client)));
    close(hold[0]);
    close(hold[1]);
    close(ready[0]);
}

/* ---- information and reset ---- */

static void expect_text(const char *field, size_t size, const char *text)
{
    size_t len = strnlen(field, size);

    assert_true(len > 0 && len < size);
    for (size_t i = 0; i < size; i++)
        assert_true(i < len ? (field[i] >= ' ' && field[i] < 127) : field[i] == 0);
    if (text != NULL)
        assert_string_equal(field, text);
}

static void test_info(void **state)
{
    int fd = door_open_must(), other = door_open_must();
    struct ioctl_info info, again = {.argsz = sizeof(again)}, before;

    (void)state;
    memset(&info, 0, sizeof(info));
    info.argsz = sizeof(info) + 8;
    info.reserved[3] = 9;
    info.pad = 7;
    assert_int_equal(door_ioctl(fd, IOCTL_INFO, &info), 0);
    assert_int_equal(info.argsz, sizeof(info) + 8);
    assert_int_equal(info.reserved[3], 9);
    assert_int_equal(info.pad, 7);
    expect_text(info.pci, sizeof(info.pci), NULL);
    expect_text(info.serial, sizeof(info.serial), NULL);
    expect_text(info.firmware, sizeof(info.firmware), NULL);
    expect_text(info.driver, sizeof(info.driver), "3.2.0");
    for (size_t i = 0; i < sizeof(info.model); i++)
        assert_int_equal(info.model[i], 0);
    assert_int_equal(door_ioctl(other, IOCTL_INFO, &again), 0);
    assert_memory_equal(info.entropy, again.entropy, sizeof(info.entropy));
    memset(&info, GARBAGE, sizeof(info));
    info.argsz = sizeof(info) - 1;
    before = info;
    assert_int_equal(door_ioctl(fd, IOCTL_INFO, &info), EINVAL);
    assert_memory_equal(&info, &before, sizeof(info));
    assert_int_equal(door_ioctl(fd, IOCTL_INFO, NULL), EFAULT);
    close(other);
    close(fd);
}

static void test_reset(void **state)
{
    struct emu_fixture *f = *state;
    int fd = fd_of(&f->client);
    struct ioctl_reset good = {.header.size = sizeof(good), .ctxt = 5}, reset, before;
    static const uint32_t bad[] = {0, 3, UINT32_MAX};

    for (size_t i = 0; i < 3; i++) {
        reset = good;
        reset.abort_type = bad[i];
        assert_int_equal(door_ioctl(fd, IOCTL_RESET, &reset), EINVAL);
        assert_int_equal(reset.abort_status, 4);
    }
    reset = good;
    reset.header.size--;
    reset.abort_status = 9;
    before = reset;
    assert_int_equal(door_ioctl(fd, IOCTL_RESET, &reset), EINVAL);
    assert_memory_equal(&reset, &before, sizeof(reset));
    assert_int_equal(door_ioctl(fd, IOCTL_RESET, (void *)(uintptr_t)8), EFAULT);
    assert_true(in_session(&f->client, fd)); /* nothing happened so far */
    for (uint32_t type = 1; type <= 2; type++) {
        reset = good;
        reset.abort_type = type;
        reset.abort_status = 9;
        assert_int_equal(door_ioctl(fd, IOCTL_RESET, &reset), 0);
        assert_int_equal(reset.abort_status, 0);
        assert_int_equal(reset.ctxt, 5);
        assert_false(in_session(&f->client, fd));
    }
}

/* ---- the fast path's checks (8.7) ---- */

struct fast {
    struct ioctl_bulk command;
    uint8_t src[512], dst[512];
};

static void expect_fast(struct fast *fast, int fd, unsigned long code, uint32_t ext_status)
{
    fast->command.out_ext_status = 0xEEEE;
    fast->command.out_result = 0xDDDD;
    fast->command.out_byte_count = 0xCCCC;
    assert_int_equal(door_ioctl(fd, code, &fast->command), EINVAL);
    assert_int_equal(fast->command.out_ext_status, ext_status);
    assert_int_equal(fast->command.out_result, 0xDDDD);
    assert_int_equal(fast->command.out_byte_count, ext_status == 109 ? 0xCCCC : 0);
}

static void fast_init(struct fast *fast, const struct emu_client *client)
{
    memset(fast, 0, sizeof(*fast));
    fast->command = door_bulk(fast->src, sizeof(fast->src), fast->dst, sizeof(fast->dst), client->sess_id);
}

/* All defects at once; each that is mended uncovers the next. */
static void test_fast_order(void **state)
{
    struct emu_fixture *f = *state;
    struct emu_client other;
    int fd = fd_of(&f->client);
    struct fast fast;

    fast_init(&fast, &f->client);
    struct ioctl_bulk *command = &fast.command;
    command->session_id++;
    command->short_app_id = 7;
    command->op_code = 2;
    command->cipher = 2;
    command->u.xts.data_unit_len = 4;
    command->dst.length = 100;
    command->frame_type = 0;
    command->src.address = 0;
    command->dst.address = 0;
    emu_attach(&other, f->device);
    expect_fast(&fast, fd_of(&other), IOCTL_XTS, 109);
    emu_detach(&other);
    expect_fast(&fast, fd, IOCTL_XTS, 107);
    command->session_id--;
    expect_fast(&fast, fd, IOCTL_XTS, 108);
    command->short_app_id = f->client.short_app_id;
    expect_fast(&fast, fd, IOCTL_XTS, 114);
    command->op_code = 1;
    expect_fast(&fast, fd, IOCTL_XTS, 112);
    command->cipher = 0; /* GCM over the XTS ioctl */
    expect_fast(&fast, fd, IOCTL_XTS, 112);
    command->cipher = 1;
    expect_fast(&fast, fd, IOCTL_GCM, 112);
    expect_fast(&fast, fd, IOCTL_XTS, 118); /* dst shorter */
    command->dst.length = 512;
    expect_fast(&fast, fd, IOCTL_XTS, 118); /* code above 3 */
    command->u.xts.data_unit_len = 2;
    expect_fast(&fast, fd, IOCTL_XTS, 118); /* 512 is no multiple of 4096 */
    command->u.xts.data_unit_len = 1;
    command->src.length = 0;
    expect_fast(&fast, fd, IOCTL_XTS, 118); /* zero length shows as 118 */
    command->src.length = 512;
    expect_fast(&fast, fd, IOCTL_XTS, 113);
    command->frame_type = 1;
    expect_fast(&fast, fd, IOCTL_XTS, 101);
    command->src.address = UINT64_MAX - 100;
    expect_fast(&fast, fd, IOCTL_XTS, 103);
    command->dst.address = UINT64_MAX - 100;
    expect_fast(&fast, fd, IOCTL_XTS, 101);
    command->src.address = (uintptr_t)fast.src;
    expect_fast(&fast, fd, IOCTL_XTS, 103);
}

static void test_fast_gcm(void **state)
{
    static const struct {
        uint32_t src, dst, actual, aligned;
        uint8_t flag;
        bool good;
    } cases[] = {
        {64, 64, 64, 64, 1, false}, {64, 64, 65, 96, 1, false}, {64, 64, 20, 16, 1, false}, {64, 64, 20, 33, 1, false},
        {64, 64, 20, 64, 1, false}, {64, 43, 20, 32, 1, false}, {64, 64, 0, 96, 1, false},  {64, 64, 40, 32, 1, false},
        {32, 32, 32, 0, 0, false},  {64, 43, 20, 0, 0, false},  {64, 64, 20, 32, 1, true},  {64, 64, 11, 32, 1, true},
        {64, 64, 0, 0, 1, true},    {64, 64, 20, 999, 0, true}, {64, 44, 20, 0, 0, true},   {33, 33, 32, 32, 1, true},
        {1, 1, 0, 0, 1, true},      {96, 96, 33, 64, 1, true},
    };
    struct emu_fixture *f = *state;
    struct emu_key key;

    assert_int_equal(emu_aes_generate(&f->client, AZIHSM_AES_SIZE_GCM_BULK256, EMU_ENC_DEC, 0, &key), AZIHSM_OK);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fast fast;

        fast_init(&fast, &f->client);
        fast.command.src.length = cases[i].src;
        fast.command.dst.length = cases[i].dst;
        fast.command.u.gcm = (struct ioctl_gcm){.key_id = key.bulk_id,
                                                .actual_aad_len = cases[i].actual,
                                                .aligned_aad_len = cases[i].aligned,
                                                .enable_workaround = cases[i].flag};
        if (!cases[i].good) {
            expect_fast(&fast, fd_of(&f->client), IOCTL_GCM, 117);
            continue;
        }
        assert_int_equal(door_ioctl(fd_of(&f->client), IOCTL_GCM, &fast.command), 0);
        assert_int_equal(fast.command.out_ext_status, 0);
        assert_int_equal(fast.command.out_result, 0);
        assert_int_equal(fast.command.out_byte_count, cases[i].src);
    }
}

/* What is written when, and with buffers that are none. */
static void test_fast_outputs(void **state)
{
    struct emu_fixture *f = *state;
    int fd = fd_of(&f->client);
    struct emu_key key, xts1, xts2;
    struct fast fast;
    struct ioctl_bulk before;

    assert_int_equal(emu_aes_generate(&f->client, AZIHSM_AES_SIZE_GCM_BULK256, EMU_ENC_DEC, 0, &key), AZIHSM_OK);
    assert_int_equal(emu_aes_generate(&f->client, AZIHSM_AES_SIZE_XTS_BULK256, EMU_ENC_DEC, 0, &xts1), AZIHSM_OK);
    assert_int_equal(emu_aes_generate(&f->client, AZIHSM_AES_SIZE_XTS_BULK256, EMU_ENC_DEC, 0, &xts2), AZIHSM_OK);
    fast_init(&fast, &f->client);
    struct ioctl_bulk *command = &fast.command;
    command->header.size = sizeof(*command) - 1;
    before = *command;
    assert_int_equal(door_ioctl(fd, IOCTL_GCM, command), EINVAL);
    assert_memory_equal(command, &before, sizeof(before));
    assert_int_equal(door_ioctl(fd, IOCTL_GCM, (void *)(uintptr_t)8), EINVAL);
    command->header.size++;
    command->u.gcm.key_id = key.bulk_id;
    memset(command->u.gcm.iv, 3, sizeof(command->u.gcm.iv));
    command->out_ctxt = 88;
    assert_int_equal(door_ioctl(fd, IOCTL_GCM, command), 0);
    assert_int_equal(command->out_ctxt, 88);
    assert_int_equal(command->out_result | command->out_ext_status | command->out_fips_approved, 0);
    assert_memory_equal(command->out_iv, command->u.gcm.iv, 12);
    /* decrypting leaves tag and IV as they came; a wrong tag delivers nothing */
    command->op_code = 1;
    memcpy(command->u.gcm.tag, command->out_cmd_spec, 16);
    memcpy(fast.src, fast.dst, sizeof(fast.src));
    memset(command->out_cmd_spec, GARBAGE, 16);
    memset(command->out_iv, GARBAGE, 12);
    assert_int_equal(door_ioctl(fd, IOCTL_GCM, command), 0);
    assert_int_equal(command->out_byte_count, 512);
    assert_int_equal(command->out_cmd_spec[0] & command->out_iv[11], GARBAGE);
    assert_int_equal(fast.dst[0] | fast.dst[511], 0);
    memset(fast.dst, GARBAGE, sizeof(fast.dst));
    command->u.gcm.tag[0] ^= 1;
    assert_int_equal(door_ioctl(fd, IOCTL_GCM, command), 0);
    assert_int_equal(command->out_result, 3);
    assert_int_equal(command->out_ext_status, 9);
    assert_int_equal(command->out_byte_count, 0);
    for (size_t i = 0; i < sizeof(fast.dst); i++)
        assert_int_equal(fast.dst[i], GARBAGE);
    /* in place */
    fast_init(&fast, &f->client);
    command->cipher = 1;
    command->u.xts = (struct ioctl_xts){.data_unit_len = 1, .key_id1 = xts1.bulk_id, .key_id2 = xts2.bulk_id};
    command->dst.address = command->src.address;
    assert_int_equal(door_ioctl(fd, IOCTL_XTS, command), 0);
    assert_int_equal(command->out_byte_count, 512);
    assert_int_not_equal(fast.src[0] | fast.src[100] | fast.src[511], 0);
    command->op_code = 1;
    assert_int_equal(door_ioctl(fd, IOCTL_XTS, command), 0);
    for (size_t i = 0; i < sizeof(fast.src); i++)
        assert_int_equal(fast.src[i], 0);
    /* after validation a bad buffer is a success with extended status 100 */
    command->src.address = 4096;
    assert_int_equal(door_ioctl(fd, IOCTL_XTS, command), 0);
    assert_int_equal(command->out_result, 0);
    assert_int_equal(command->out_ext_status, 100);
    assert_int_equal(command->out_byte_count, 0);
}

/* Handles by the hundred, commands interleaving (device-behaviour 11). */
static void test_many_handles(void **state)
{
    enum { HANDLES = 300 };
    int fds[HANDLES];

    (void)state;
    for (int i = 0; i < HANDLES; i++)
        fds[i] = door_open_must();
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < HANDLES; i++) {
            struct ioctl_generic command = ask_api_rev();

            assert_int_equal(door_ioctl(fds[(i * 7 + round) % HANDLES], IOCTL_GENERIC, &command), 0);
            assert_memory_equal(response, api_rev_answer, sizeof(api_rev_answer));
        }
    }
    for (int i = 0; i < HANDLES; i++)
        assert_int_equal(close(fds[i]), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_codes),
        cmocka_unit_test(test_slow),
        cmocka_unit_test(test_slow_order),
        cmocka_unit_test(test_slow_destination),
        cmocka_unit_test(test_slow_unreadable),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_info),
        cmocka_unit_test(test_many_handles),
        EMU_READY(test_session_rules),
        EMU_READY(test_session_after_reset),
        EMU_READY(test_duplicates),
        EMU_READY(test_fork),
        EMU_READY(test_vfork),
        EMU_READY(test_deaths),
        EMU_READY(test_orphan),
        EMU_READY(test_reset),
        EMU_READY(test_fast_order),
        EMU_READY(test_fast_gcm),
        EMU_READY(test_fast_outputs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
