/*
 * The Linux driver's ioctl ABI (ddi-protocol section 8): request codes, structures, extended status values.
 *
 * Used by the chardev transport, which is a client of the driver, and by the preload library, which stands in for it.
 * LP64, native little-endian; every offset the specification gives is asserted below.
 */
#ifndef IOCTL_ABI_H
#define IOCTL_ABI_H

#include <stddef.h>
#include <stdint.h>

enum {
    IOCTL_BUFFER_MAX = 8192,
    IOCTL_INFO_PCI_MAX = 33,
    IOCTL_INFO_SERIAL_MAX = 33,
    IOCTL_INFO_MODEL_MAX = 5,
    IOCTL_INFO_FIRMWARE_MAX = 33,
    IOCTL_INFO_DRIVER_MAX = 16,
    IOCTL_INFO_ENTROPY = 32,
};

/* Request codes; only the low 32 bits count (8.2). */
#define IOCTL_GENERIC        0xC0704203u
#define IOCTL_INFO           0xC0B04204u
#define IOCTL_RESET          0xC1104206u
#define IOCTL_XTS            0xC190420Bu
#define IOCTL_GCM            0xC190420Cu
#define IOCTL_APP_COMMAND_ID 0xCD1DDEADu
#define IOCTL_TIMEOUT_MS     100u

/* Session control flags beside a message (3.2). */
enum { IOCTL_SESSION_KIND = 3, IOCTL_SESSION_ID_VALID = 4 };

/* Extended status: slow path 8.3, fast path 8.7, aborts. */
enum ioctl_ext_status {
    IOCTL_EXT_NO_MEMORY = 1,
    IOCTL_EXT_COMMAND_SET = 2,
    IOCTL_EXT_SOURCE_TOO_LONG = 3,
    IOCTL_EXT_DESTINATION_TOO_LONG = 4,
    IOCTL_EXT_SOURCE = 5,
    IOCTL_EXT_DESTINATION = 7,
    IOCTL_EXT_DEVICE_ERROR = 10,
    IOCTL_EXT_SESSION_LIMIT = 11,
    IOCTL_EXT_NO_SESSION = 12,
    IOCTL_EXT_SESSION_ID = 14,
    IOCTL_EXT_FP_SOURCE = 101,
    IOCTL_EXT_FP_DESTINATION = 103,
    IOCTL_EXT_FP_DEVICE_ERROR = 106,
    IOCTL_EXT_FP_SESSION_ID = 107,
    IOCTL_EXT_FP_APP_ID = 108,
    IOCTL_EXT_FP_NO_SESSION = 109,
    IOCTL_EXT_FP_NO_APP_ID = 110,
    IOCTL_EXT_FP_CIPHER = 112,
    IOCTL_EXT_FP_FRAME_TYPE = 113,
    IOCTL_EXT_FP_OPCODE = 114,
    IOCTL_EXT_FP_GCM = 117,
    IOCTL_EXT_FP_XTS = 118,
    IOCTL_EXT_ABORT_IN_PROGRESS = 0x04000001,
    IOCTL_EXT_ABORTED = 0x04000002,
};

enum ioctl_abort_type { IOCTL_ABORT_SUBSYSTEM = 1, IOCTL_ABORT_CONTROLLER = 2 };
enum ioctl_abort_status {
    IOCTL_ABORT_OK = 0,
    IOCTL_ABORT_IN_PROGRESS = 1,
    IOCTL_ABORT_INVALID_STATE = 2,
    IOCTL_ABORT_FAILED = 3,
    IOCTL_ABORT_INVALID_TYPE = 4,
};

struct ioctl_header {
    uint32_t size;
    uint32_t app_command_id;
    uint32_t timeout_ms; /* the driver ignores it */
    uint32_t reserved;
};

/* 8.3 */
struct ioctl_generic {
    struct ioctl_header header;
    uint64_t ctxt;
    uint16_t opc;
    uint16_t cmdset;
    uint8_t psdt;
    uint32_t src_length;
    uint64_t src_buf;
    uint32_t dst_length;
    uint64_t dst_buf;
    uint8_t session_control_flags;
    uint8_t reserved1;
    uint16_t session_id;
    uint8_t reserved2[16];
    uint64_t out_ctxt;
    uint32_t out_status;
    uint32_t out_byte_count;
    uint32_t out_ext_status;
};

/* 8.4 */
struct ioctl_info {
    uint32_t argsz;
    uint16_t ctrl_id;
    char pci[IOCTL_INFO_PCI_MAX];
    char serial[IOCTL_INFO_SERIAL_MAX];
    char model[IOCTL_INFO_MODEL_MAX];
    char firmware[IOCTL_INFO_FIRMWARE_MAX];
    char driver[IOCTL_INFO_DRIVER_MAX];
    uint8_t reserved[17];
    uint8_t entropy[IOCTL_INFO_ENTROPY];
    uint8_t pad;
};

/* 8.5 */
struct ioctl_reset {
    struct ioctl_header header;
    uint64_t ctxt;
    uint32_t abort_type;
    uint32_t in_reserved[20];
    uint32_t abort_status;
    uint32_t out_reserved[20];
    uint32_t reserved[20];
};

/* 8.6 */
struct ioctl_gcm {
    uint32_t key_id;
    uint8_t tag[16];
    uint8_t iv[12];
    uint32_t actual_aad_len;
    uint32_t aligned_aad_len;
    uint8_t enable_workaround;
    uint8_t reserved[3];
};

struct ioctl_xts {
    uint16_t data_unit_len; /* code: 0 whole buffer, 1 = 512, 2 = 4096, 3 = 8192 */
    uint16_t reserved;
    uint32_t key_id1;
    uint32_t key_id2;
    uint8_t tweak[16];
};

struct ioctl_buffer {
    uint64_t address;
    uint32_t length;
};

struct ioctl_bulk {
    struct ioctl_header header;
    uint64_t ctxt;
    uint8_t op_code; /* 0 encrypt, 1 decrypt */
    uint8_t cipher;  /* 0 GCM, 1 XTS */
    uint16_t reserved1;
    struct ioctl_buffer src;
    struct ioctl_buffer dst;
    uint8_t frame_type;
    uint16_t session_id;
    uint8_t short_app_id;
    union {
        struct ioctl_gcm gcm;
        struct ioctl_xts xts;
    } u;
    uint32_t in_reserved[30];
    uint64_t out_ctxt;
    uint32_t out_result;
    uint8_t out_cmd_spec[16];
    uint32_t out_byte_count;
    uint32_t out_ext_status;
    uint8_t out_fips_approved;
    uint8_t reserved2[3];
    uint8_t out_iv[12];
    uint32_t out_reserved[26];
};

#define IOCTL_AT(type, member, offset) _Static_assert(offsetof(struct type, member) == (offset), #type "." #member)
_Static_assert(sizeof(struct ioctl_generic) == 112, "8.3");
IOCTL_AT(ioctl_generic, opc, 24);
IOCTL_AT(ioctl_generic, src_length, 32);
IOCTL_AT(ioctl_generic, src_buf, 40);
IOCTL_AT(ioctl_generic, dst_length, 48);
IOCTL_AT(ioctl_generic, dst_buf, 56);
IOCTL_AT(ioctl_generic, session_control_flags, 64);
IOCTL_AT(ioctl_generic, session_id, 66);
IOCTL_AT(ioctl_generic, out_ctxt, 88);
IOCTL_AT(ioctl_generic, out_status, 96);
IOCTL_AT(ioctl_generic, out_byte_count, 100);
IOCTL_AT(ioctl_generic, out_ext_status, 104);
_Static_assert(sizeof(struct ioctl_info) == 176, "8.4");
IOCTL_AT(ioctl_info, pci, 6);
IOCTL_AT(ioctl_info, serial, 39);
IOCTL_AT(ioctl_info, model, 72);
IOCTL_AT(ioctl_info, firmware, 77);
IOCTL_AT(ioctl_info, driver, 110);
IOCTL_AT(ioctl_info, entropy, 143);
_Static_assert(sizeof(struct ioctl_reset) == 272, "8.5");
IOCTL_AT(ioctl_reset, abort_type, 24);
IOCTL_AT(ioctl_reset, abort_status, 108);
_Static_assert(sizeof(struct ioctl_bulk) == 400, "8.6");
IOCTL_AT(ioctl_bulk, src, 32);
IOCTL_AT(ioctl_bulk, src.length, 40);
IOCTL_AT(ioctl_bulk, dst, 48);
IOCTL_AT(ioctl_bulk, dst.length, 56);
IOCTL_AT(ioctl_bulk, frame_type, 64);
IOCTL_AT(ioctl_bulk, session_id, 66);
IOCTL_AT(ioctl_bulk, u, 72);
IOCTL_AT(ioctl_bulk, in_reserved, 116);
IOCTL_AT(ioctl_bulk, out_ctxt, 240);
IOCTL_AT(ioctl_bulk, out_cmd_spec, 252);
IOCTL_AT(ioctl_bulk, out_byte_count, 268);
IOCTL_AT(ioctl_bulk, out_fips_approved, 276);
IOCTL_AT(ioctl_bulk, out_iv, 280);
#undef IOCTL_AT

#endif
