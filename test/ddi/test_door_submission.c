/*
 * What lies between the driver's checks and the message: empty sources and destinations, the submission's opcode and
 * their completion statuses (ddi-protocol 2.4, 5.15, 8.3), the descriptor itself (8.1), buffers beyond all limits.
 */
#include "door.h"

#include "emu_client.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

enum { NONE = 0, GARBAGE = 0x5A, OUT_OF_RANGE = 70 << 20 };

struct emu_handle {
    int fd; /* the first member of door.c's */
};

/* The answer to what has no readable header (1.5.12). */
static const uint8_t undecodable[] = {0xa2, 0x18, 0x00, 0xa3, 0x18, 0x02, 0x1a, 0x00, 0x00, 0x03, 0xe9, 0x18,
                                      0x04, 0x1a, 0x08, 0x68, 0x00, 0x02, 0x18, 0x05, 0x14, 0x18, 0x01, 0xa0};
static const uint8_t api_rev[] = {0xa2, 0x18, 0x00, 0xa1, 0x18, 0x02, 0x1a, 0x00, 0x00, 0x03, 0xea, 0x18, 0x01, 0xa0};

static uint8_t response[AZIHSM_FRAME_MAX];

/* Executes GetApiRev as changed; 0 or errno. */
static int ask(int fd, struct ioctl_generic *command, size_t src_length, size_t dst_length, uint16_t opcode)
{
    static uint8_t request[AZIHSM_FRAME_MAX];

    memcpy(request, api_rev, sizeof(api_rev));
    memset(response, GARBAGE, sizeof(response));
    *command = door_generic(request, src_length, response, NONE, 0);
    command->dst_length = (uint32_t)dst_length;
    command->src_buf = src_length == 0 ? 0 : command->src_buf;
    command->dst_buf = dst_length == 0 ? 0 : command->dst_buf;
    command->opc = opcode;
    command->out_status = command->out_byte_count = 77;
    return door_ioctl(fd, IOCTL_GENERIC, command);
}

static void refused(int fd, size_t src_length, size_t dst_length, uint16_t opcode, uint32_t status)
{
    struct ioctl_generic command;

    assert_int_equal(ask(fd, &command, src_length, dst_length, opcode), 0);
    assert_int_equal(command.out_status, status);
    assert_int_equal(command.out_byte_count, 0);
    assert_int_equal(response[0], GARBAGE);
}

/* No request at all: a command like any other, after which the handle's session lives. */
static void test_empty_source(void **state)
{
    struct emu_fixture *f = *state;
    int fd = f->client.handle->fd;
    struct ioctl_generic command;
    struct emu_key key;

    if (f->kind == AZIHSM_DEVICE_PHYSICAL) {
        refused(fd, 0, AZIHSM_FRAME_MAX, 0, 0x0C1);
        refused(fd, 0, 0, 0, 0x0C1);
    } else {
        assert_int_equal(ask(fd, &command, 0, AZIHSM_FRAME_MAX, 0), 0);
        assert_int_equal(command.out_status, 0);
        assert_int_equal(command.out_byte_count, sizeof(undecodable));
        assert_memory_equal(response, undecodable, sizeof(undecodable));
    }
    assert_int_equal(emu_unwrapping_key(&f->client, &key), AZIHSM_OK);
}

static void test_source_lengths(void **state)
{
    struct emu_fixture *f = *state;
    int fd = f->client.handle->fd;
    struct ioctl_generic command;

    assert_int_equal(ask(fd, &command, 4096, AZIHSM_FRAME_MAX, 0), 0);
    assert_int_equal(command.out_status, 0); /* a message with trailing bytes */
    for (size_t len = 4097; len <= AZIHSM_FRAME_MAX; len += 4095) {
        if (f->kind == AZIHSM_DEVICE_PHYSICAL) {
            refused(fd, len, AZIHSM_FRAME_MAX, 0, 0x0C1);
            refused(fd, len, 0, 0, 0x0C1);
            continue;
        }
        assert_int_equal(ask(fd, &command, len, AZIHSM_FRAME_MAX, 0), 0);
        assert_int_equal(command.out_status, 0);
        assert_true(command.out_byte_count > 0);
    }
}

/* The simulator executes what leaves no room for an answer; the firmware refuses it before. */
static void test_empty_destination(void **state)
{
    struct emu_fixture *f = *state;

    refused(f->client.handle->fd, sizeof(api_rev), 0, 0, f->kind == AZIHSM_DEVICE_PHYSICAL ? 0x0C2 : 0);
}

/* Ten bits of opcode; none but 0 is a message. */
static void test_opcode(void **state)
{
    struct emu_fixture *f = *state;
    int fd = f->client.handle->fd;
    struct ioctl_generic command;
    struct emu_key key;

    refused(fd, sizeof(api_rev), AZIHSM_FRAME_MAX, 2, 0x001);
    refused(fd, sizeof(api_rev), AZIHSM_FRAME_MAX, 0x3FF, 0x001);
    refused(fd, sizeof(api_rev), AZIHSM_FRAME_MAX, 0xFC01, 0x001);
    assert_int_equal(ask(fd, &command, sizeof(api_rev), AZIHSM_FRAME_MAX, 0xFC00), 0);
    assert_int_equal(command.out_status, 0);
    assert_true(command.out_byte_count > 0);
    assert_int_equal(emu_unwrapping_key(&f->client, &key), AZIHSM_OK);
}

/* ioctl only: reading and writing are invalid at once, mapping is not possible, poll never waits (8.1). */
static void test_descriptor(void **state)
{
    struct emu_fixture *f = *state;
    struct pollfd event = {.fd = f->client.handle->fd, .events = POLLIN};
    uint64_t word = 1;

    alarm(60); /* a read that waits */
    assert_int_equal(read(event.fd, &word, sizeof(word)), -1);
    assert_int_equal(errno, EINVAL);
    assert_int_equal(write(event.fd, &word, sizeof(word)), -1);
    assert_int_equal(errno, EINVAL);
    assert_ptr_equal(mmap(NULL, 4096, PROT_READ, MAP_SHARED, event.fd, 0), MAP_FAILED);
    assert_int_equal(errno, ENODEV);
    assert_int_equal(poll(&event, 1, 0), 1);
    assert_int_equal(event.revents, POLLIN);
    alarm(0);
}

/* Longer than anything that can be carried out: the hardware's code for XTS, memory for GCM. */
static void test_bulk_out_of_range(void **state)
{
    struct emu_fixture *f = *state;
    uint8_t *data = calloc(1, OUT_OF_RANGE);
    struct ioctl_bulk command;
    struct emu_key key;

    assert_non_null(data);
    for (int xts = 0; xts < 2; xts++) {
        assert_int_equal(emu_aes_generate(&f->client, xts ? AZIHSM_AES_SIZE_XTS_BULK256 : AZIHSM_AES_SIZE_GCM_BULK256,
                                          EMU_ENC_DEC, 0, &key),
                         AZIHSM_OK);
        command = door_bulk(data, OUT_OF_RANGE, data, OUT_OF_RANGE, f->client.sess_id);
        command.cipher = (uint8_t)xts;
        if (xts)
            command.u.xts = (struct ioctl_xts){.key_id1 = key.id, .key_id2 = key.id};
        else
            command.u.gcm = (struct ioctl_gcm){.key_id = key.id, .enable_workaround = 1};
        assert_int_equal(door_ioctl(f->client.handle->fd, xts ? IOCTL_XTS : IOCTL_GCM, &command), 0);
        assert_int_equal(command.out_result, xts ? 1 : 0);
        assert_int_equal(command.out_ext_status, xts ? 0xB : 100);
        assert_int_equal(command.out_byte_count, 0);
    }
    free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        EMU_READY(test_empty_source), EMU_READY(test_source_lengths), EMU_READY(test_empty_destination),
        EMU_READY(test_opcode),       EMU_READY(test_descriptor),     EMU_READY(test_bulk_out_of_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
