/*
 * The ioctls without a command: device information (ddi-protocol 8.4), reset (8.5), and which request code is which.
 */
#include "preload.h"

#include "transport/ioctl_abi.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

/* Fills a text field to its end with zeros. */
static void put_text(char *field, size_t size, const char *text)
{
    size_t len = strnlen(text, size - 1);

    memset(field, 0, size);
    memcpy(field, text, len);
}

static int fail(int error)
{
    errno = error;
    return -1;
}

/* Random once, as at controller initialisation. */
static const uint8_t *entropy(void)
{
    static uint8_t bytes[IOCTL_INFO_ENTROPY];
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static bool drawn;

    pthread_mutex_lock(&lock);
    if (!drawn)
        drawn = getrandom(bytes, sizeof(bytes), 0) == (ssize_t)sizeof(bytes);
    pthread_mutex_unlock(&lock);
    return bytes;
}

int preload_info(struct preload_file *file, void *argument)
{
    struct azihsm_device_strings strings;
    struct ioctl_info info = {0};

    if (!preload_copy_in(&info, (uintptr_t)argument, sizeof(info.argsz)))
        return fail(EFAULT);
    if (info.argsz < sizeof(info))
        return fail(EINVAL);
    if (!preload_copy_in(&info, (uintptr_t)argument, sizeof(info)))
        return fail(EFAULT);
    if (azihsm_device_info(file->device, &strings) != AZIHSM_OK)
        return fail(EAGAIN);
    info.ctrl_id = 1;
    memcpy(info.pci, strings.pci, strnlen(strings.pci, sizeof(info.pci) - 1) + 1);
    put_text(info.serial, sizeof(info.serial), strings.hardware_version);
    put_text(info.model, sizeof(info.model), "");
    put_text(info.firmware, sizeof(info.firmware), strings.firmware_version);
    put_text(info.driver, sizeof(info.driver), strings.driver_version);
    memcpy(info.entropy, entropy(), sizeof(info.entropy));
    /* The last byte is padding that the driver does not copy. */
    if (!preload_copy_out((uintptr_t)argument, &info, offsetof(struct ioctl_info, pad)))
        return fail(EFAULT);
    return 0;
}

int preload_reset(struct preload_file *file, void *argument)
{
    struct ioctl_reset reset = {0};

    if (!preload_copy_in(&reset, (uintptr_t)argument, sizeof(reset.header)))
        return fail(EFAULT);
    if (reset.header.size < sizeof(reset))
        return fail(EINVAL);
    if (!preload_copy_in(&reset, (uintptr_t)argument, sizeof(reset)))
        return fail(EFAULT);
    if (reset.abort_type != IOCTL_ABORT_SUBSYSTEM && reset.abort_type != IOCTL_ABORT_CONTROLLER)
        reset.abort_status = IOCTL_ABORT_INVALID_TYPE;
    else if (azihsm_device_reset(file->device, preload_deadline()) == AZIHSM_OK)
        reset.abort_status = IOCTL_ABORT_OK;
    else
        reset.abort_status = IOCTL_ABORT_FAILED;
    if (!preload_copy_out((uintptr_t)argument, &reset, sizeof(reset)))
        return fail(EFAULT);
    return reset.abort_status == IOCTL_ABORT_OK ? 0 : fail(EINVAL);
}

int preload_ioctl(struct preload_file *file, unsigned code, void *argument)
{
    if (file->owner != getpid())
        return fail(EACCES);
    switch (code) {
    case IOCTL_GENERIC:
        return preload_slow(file, argument);
    case IOCTL_INFO:
        return preload_info(file, argument);
    case IOCTL_RESET:
        return preload_reset(file, argument);
    case IOCTL_XTS:
    case IOCTL_GCM:
        return preload_fast(file, code, argument);
    default:
        return fail(EBADRQC);
    }
}
