/*
 * The emulator's interface over ioctls on /dev/azihsm0, the ioctls themselves, and a runner that gives each cmocka test
 * a process of its own (linked in by --wrap=_cmocka_run_group_tests).
 */
#include "door.h"

#include "control.h"
#include "emulator/emulator.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { SKIPPED = 77, AAD_UNIT = 32, AAD_HALF = 16, XTS_MAX = 0x1000000 };

struct emu_device {
    int fd; /* a handle without a session: information and reset */
};
struct emu_handle {
    int fd;
    pthread_mutex_t lock;
    bool has_session; /* as the driver notes it, from the responses */
    uint16_t sess_id;
    uint8_t short_app_id;
};

/* ---- the ioctls ---- */

void door_configure(const char *options)
{
    assert_int_equal(setenv("AZIHSM_PRELOAD_OPTIONS", options, 1), 0);
}

_Noreturn void door_skip(const char *why)
{
    print_message("skipped: %s\n", why);
    fflush(NULL);
    exit(SKIPPED);
}

int door_open_must(void)
{
    int fd = open(DOOR_PATH, O_RDWR | O_CLOEXEC);

    if (fd < 0)
        fail_msg("%s: %s", DOOR_PATH, strerror(errno));
    return fd;
}

struct ioctl_generic door_generic(const uint8_t *request, size_t len, uint8_t *response, uint8_t flags, uint16_t id)
{
    return (struct ioctl_generic){
        .header = {sizeof(struct ioctl_generic), IOCTL_APP_COMMAND_ID, IOCTL_TIMEOUT_MS, 0},
        .src_length = (uint32_t)len,
        .src_buf = (uintptr_t)request,
        .dst_length = AZIHSM_FRAME_MAX,
        .dst_buf = (uintptr_t)response,
        .session_control_flags = flags,
        .session_id = id,
    };
}

int door_ioctl(int fd, unsigned long code, void *argument)
{
    int result = ioctl(fd, code, argument);

    if (result == 0)
        return 0;
    if (result != -1)
        fail_msg("ioctl returned %d: neither 0 nor -1", result);
    return errno;
}

static void reset_must(int fd)
{
    struct ioctl_reset reset = {.header = {sizeof(reset), IOCTL_APP_COMMAND_ID, IOCTL_TIMEOUT_MS, 0},
                                .abort_type = IOCTL_ABORT_SUBSYSTEM};

    assert_int_equal(door_ioctl(fd, IOCTL_RESET, &reset), 0);
    assert_int_equal(reset.abort_status, IOCTL_ABORT_OK);
}

void door_reset_must(void)
{
    int fd = door_open_must();

    reset_must(fd);
    assert_int_equal(close(fd), 0);
}

size_t door_gcm_offset(size_t aad_len)
{
    return (aad_len + AAD_UNIT - 1) / AAD_UNIT * AAD_UNIT;
}

void door_gcm_source(uint8_t *src, const uint8_t *aad, size_t aad_len, const uint8_t *payload, size_t len)
{
    size_t rest = aad_len % AAD_UNIT, offset = door_gcm_offset(aad_len);

    memset(src, 0, offset);
    if (aad_len != 0)
        memcpy(src + (rest >= 1 && rest <= AAD_HALF ? AAD_HALF : 0), aad, aad_len);
    memcpy(src + offset, payload, len);
}

struct ioctl_bulk door_bulk(const uint8_t *src, size_t src_len, uint8_t *dst, size_t dst_len, uint16_t sess_id)
{
    return (struct ioctl_bulk){
        .header = {sizeof(struct ioctl_bulk), IOCTL_APP_COMMAND_ID, IOCTL_TIMEOUT_MS, 0},
        .src = {(uintptr_t)src, (uint32_t)src_len},
        .dst = {(uintptr_t)dst, (uint32_t)dst_len},
        .frame_type = 1,
        .session_id = sess_id,
    };
}

/* ---- emulator/emulator.h ---- */

static void configure(const struct emu_config *config)
{
    char options[512], control[64];

    control_socket_must(control, sizeof(control));
    snprintf(options, sizeof(options),
             "--kind %s --tables %u --limits %s --control-socket %s -o extensions=%s -o bk3-once=%s -o pin-lockout=%s "
             "-o pending-key-calls=%u -o power-off-when-idle=%s",
             config->kind == AZIHSM_DEVICE_VIRTUAL ? "virtual" : "physical", config->tables,
             config->sessions_max == AZIHSM_SESSIONS_MAX ? "hardware" : "roomy", control,
             config->extensions ? "yes" : "no", config->bk3_once ? "yes" : "no", config->pin_lockout ? "yes" : "no",
             config->pending_key_calls, config->power_off_when_idle ? "yes" : "no");
    door_configure(options);
}

azihsm_rc emu_device_new(const struct emu_config *config, const uint8_t *state, size_t state_len,
                         struct emu_device **out)
{
    static bool made;
    static const uint8_t none[EMU_BKS_SIZE];

    (void)state_len;
    if (state != NULL || made)
        door_skip("a second life of the device");
    if (memcmp(config->bks1, none, sizeof(none)) != 0)
        door_skip("device secrets of the test's own");
    if (config->tables == 0 || config->tables > 255 || config->sessions_max == 0 ||
        (config->kind != AZIHSM_DEVICE_VIRTUAL && config->kind != AZIHSM_DEVICE_PHYSICAL))
        return AZIHSM_E_ARGUMENT;
    made = true;
    configure(config);
    *out = calloc(1, sizeof(**out));
    assert_non_null(*out);
    (*out)->fd = config->power_off_when_idle ? -1 : door_open_must();
    if (getenv("AZIHSM_PRELOAD_DAEMON") == NULL)
        reset_must((*out)->fd);
    return AZIHSM_OK;
}

void emu_device_free(struct emu_device *device)
{
    if (device == NULL)
        return;
    if (device->fd >= 0)
        close(device->fd);
    free(device);
}

azihsm_rc emu_device_save(struct emu_device *device, uint8_t *buf, size_t cap, size_t *len)
{
    (void)device, (void)buf, (void)cap, (void)len;
    door_skip("state of the device");
}

struct emu_namespace *emu_namespace_new(struct emu_device *device, uint32_t uid)
{
    (void)device, (void)uid;
    door_skip("key namespaces");
}

struct emu_namespace *emu_namespace_up_ref(struct emu_namespace *ns)
{
    return ns;
}

void emu_namespace_free(struct emu_namespace *ns)
{
    (void)ns;
}

void emu_device_reset(struct emu_device *device)
{
    reset_must(device->fd);
}

void emu_device_counters(struct emu_device *device, struct emu_counters *out)
{
    (void)device;
    control_counters_must(out);
    out->handles--; /* the device's own */
}

struct emu_handle *emu_handle_open(struct emu_device *device, struct emu_namespace *ns)
{
    struct emu_handle *handle = calloc(1, sizeof(*handle));

    (void)device, (void)ns;
    assert_non_null(handle);
    handle->fd = door_open_must();
    pthread_mutex_init(&handle->lock, NULL);
    return handle;
}

void emu_handle_close(struct emu_handle *handle)
{
    if (handle == NULL)
        return;
    assert_int_equal(close(handle->fd), 0);
    pthread_mutex_destroy(&handle->lock);
    free(handle);
}

/* What the driver concludes from a completion (3.3). */
static void note(struct emu_handle *handle, const struct emu_submission *in, const uint8_t *response, size_t len)
{
    struct azihsm_session_resp opened;
    struct azihsm_resp_hdr hdr;
    uint32_t op = in->session_kind == AZIHSM_KIND_OPEN ? AZIHSM_OP_OPEN_SESSION : AZIHSM_OP_CLOSE_SESSION;

    if (in->session_kind != AZIHSM_KIND_OPEN && in->session_kind != AZIHSM_KIND_CLOSE)
        return;
    if (azihsm_ddi_decode_response(AZIHSM_DEVICE_VIRTUAL, op, response, len, &hdr, &opened, NULL) != AZIHSM_OK)
        return;
    pthread_mutex_lock(&handle->lock);
    handle->has_session = in->session_kind == AZIHSM_KIND_OPEN;
    if (handle->has_session) {
        handle->sess_id = opened.sess_id;
        handle->short_app_id = opened.short_app_id;
    }
    pthread_mutex_unlock(&handle->lock);
}

void emu_handle_execute(struct emu_handle *handle, const struct emu_submission *in, uint8_t *response,
                        struct emu_completion *out)
{
    uint8_t flags = (uint8_t)(in->session_kind | (in->has_sess_id ? IOCTL_SESSION_ID_VALID : 0));
    struct ioctl_generic command = door_generic(in->request, in->request_len, response, flags, in->sess_id);
    int error;

    if (in->request_len == 0)
        command.src_buf = 0;
    error = door_ioctl(handle->fd, IOCTL_GENERIC, &command);
    *out = (struct emu_completion){0};
    if (error != 0 && command.out_ext_status != IOCTL_EXT_SESSION_LIMIT &&
        command.out_ext_status != IOCTL_EXT_NO_SESSION && command.out_ext_status != IOCTL_EXT_SESSION_ID)
        fail_msg("ioctl: %s, extended status %u", strerror(error), command.out_ext_status);
    if (error != 0) {
        assert_int_equal(error, EINVAL);
        out->ext_status = command.out_ext_status;
        return;
    }
    out->cqe_status = command.out_status;
    out->response_len = command.out_byte_count;
    if (out->cqe_status == 0)
        note(handle, in, response, out->response_len);
}

bool emu_handle_session(const struct emu_handle *handle, uint16_t *sess_id, uint8_t *short_app_id)
{
    *sess_id = handle->sess_id;
    *short_app_id = handle->short_app_id;
    return handle->has_session;
}

static uint16_t unit_code(const struct emu_bulk *bulk)
{
    static const uint32_t units[] = {512, 4096, 8192};

    for (uint16_t i = 0; i < 3; i++)
        if (bulk->data_unit == units[i] && bulk->data_unit != bulk->len)
            return (uint16_t)(i + 1);
    return 0;
}

static void fill(struct ioctl_bulk *command, const struct emu_bulk *bulk)
{
    command->op_code = bulk->decrypt;
    command->cipher = bulk->xts;
    command->short_app_id = bulk->short_app_id;
    if (bulk->xts) {
        command->u.xts =
            (struct ioctl_xts){.data_unit_len = unit_code(bulk), .key_id1 = bulk->key_id1, .key_id2 = bulk->key_id2};
        memcpy(command->u.xts.tweak, bulk->iv, sizeof(command->u.xts.tweak));
        return;
    }
    command->u.gcm = (struct ioctl_gcm){.key_id = bulk->key_id1,
                                        .actual_aad_len = (uint32_t)bulk->aad_len,
                                        .aligned_aad_len = (uint32_t)door_gcm_offset(bulk->aad_len),
                                        .enable_workaround = 1};
    memcpy(command->u.gcm.iv, bulk->iv, sizeof(command->u.gcm.iv));
    memcpy(command->u.gcm.tag, bulk->tag, bulk->decrypt ? sizeof(command->u.gcm.tag) : 0);
}

static void take(struct emu_bulk *bulk, const struct ioctl_bulk *command, int error, const uint8_t *payload)
{
    bulk->refused = error != 0;
    bulk->result = command->out_result;
    bulk->ext_status = command->out_ext_status;
    bulk->fips_approved = command->out_fips_approved;
    if (error != 0 || bulk->result != 0 || bulk->ext_status != 0)
        return;
    memcpy(bulk->dst, payload, bulk->len);
    if (!bulk->xts && !bulk->decrypt) {
        memcpy(bulk->tag, command->out_cmd_spec, sizeof(bulk->tag));
        memcpy(bulk->iv, command->out_iv, sizeof(command->out_iv));
    }
}

void emu_handle_bulk(struct emu_handle *handle, struct emu_bulk *bulk)
{
    size_t offset = bulk->xts ? 0 : door_gcm_offset(bulk->aad_len), size = offset + bulk->len;
    uint8_t *src = calloc(1, size), *dst = calloc(1, size);
    struct ioctl_bulk command;
    int error;

    assert_non_null(src);
    assert_non_null(dst);
    /* A test of the length limit has no buffer of that length. */
    if (bulk->len <= XTS_MAX)
        door_gcm_source(src, bulk->aad, bulk->xts ? 0 : bulk->aad_len, bulk->src, bulk->len);
    command = door_bulk(src, size, dst, size, bulk->sess_id);
    fill(&command, bulk);
    error = door_ioctl(handle->fd, bulk->xts ? IOCTL_XTS : IOCTL_GCM, &command);
    take(bulk, &command, error, dst + offset);
    free(src);
    free(dst);
}

/* ---- one process for each test ---- */

int __real__cmocka_run_group_tests(const char *name, const struct CMUnitTest *tests, size_t count,
                                   CMFixtureFunction setup, CMFixtureFunction teardown);
int __wrap__cmocka_run_group_tests(const char *name, const struct CMUnitTest *tests, size_t count,
                                   CMFixtureFunction setup, CMFixtureFunction teardown);

int __wrap__cmocka_run_group_tests(const char *name, const struct CMUnitTest *tests, size_t count,
                                   CMFixtureFunction setup, CMFixtureFunction teardown)
{
    const char *only = getenv("DOOR_TEST"); /* a test to run alone */
    int failures = 0, skipped = 0, ran = 0;

    if (getenv("LD_PRELOAD") == NULL && access(DOOR_PATH, F_OK) != 0) {
        printf("%s: no %s and no LD_PRELOAD: skipped\n", name, DOOR_PATH);
        return SKIPPED;
    }
    for (size_t i = 0; i < count; i++) {
        int status = 0;
        pid_t child;

        if (only != NULL && strcmp(tests[i].name, only) != 0)
            continue;
        ran++;
        fflush(NULL);
        child = fork();
        if (child == 0)
            exit(__real__cmocka_run_group_tests(name, &tests[i], 1, setup, teardown));
        if (child < 0 || waitpid(child, &status, 0) != child)
            return 1;
        if (WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED) {
            skipped++;
        } else if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
            printf("FAILED: %s\n", tests[i].name);
            failures++;
        }
    }
    printf("%d tests through the driver's door, %d skipped, %d failed\n", ran, skipped, failures);
    return failures != 0;
}
