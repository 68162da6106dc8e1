/*
 * Lets the client library's tests (test/unit/test_client_*.c on software_device.c) reach their device by the chardev
 * transport: this process's /dev/azihsm0 in place of an emulator in its memory.
 */
#include "daemon/inproc.h"
#include "transport/transport.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* The chardev transport, but for one more thing it knows: the credential. */
static struct azihsm_transport knowing;
static azihsm_rc (*chardev_open)(struct azihsm_endpoint *, int64_t, struct azihsm_device **, struct azihsm_error *);
static uint8_t known[2 * AZIHSM_CREDENTIAL_SIZE];

static bool give_credential(const struct azihsm_device *device, uint8_t out[2 * AZIHSM_CREDENTIAL_SIZE])
{
    (void)device;
    memcpy(out, known, sizeof(known));
    return true;
}

static azihsm_rc open_knowing(struct azihsm_endpoint *endpoint, int64_t deadline_ns, struct azihsm_device **out,
                              struct azihsm_error *err)
{
    azihsm_rc rc = chardev_open(endpoint, deadline_ns, out, err);

    if (rc == AZIHSM_OK)
        (*out)->transport = &knowing;
    return rc;
}

azihsm_rc inproc_endpoint_new(struct emu_device *device, const uint8_t credential[2 * AZIHSM_CREDENTIAL_SIZE],
                              struct azihsm_endpoint **out)
{
    struct azihsm_endpoint_config config = {.device = "/dev/azihsm0"};
    struct azihsm_error err;
    azihsm_rc rc = azihsm_endpoint_new(&config, out, &err);

    (void)device;
    if (rc != AZIHSM_OK)
        fail_msg("%s", err.text);
    assert_string_equal((*out)->transport->name, "chardev");
    if (credential == NULL)
        return rc;
    memcpy(known, credential, sizeof(known));
    if (chardev_open == NULL) {
        knowing = *(*out)->transport;
        chardev_open = knowing.open;
        knowing.open = open_knowing;
        knowing.credential = give_credential;
    }
    (*out)->transport = &knowing;
    return rc;
}
