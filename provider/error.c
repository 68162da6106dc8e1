/*
 * Errors: our reason strings and how they reach the application's error queue, which is the core's and need not be
 * that of the libcrypto we are linked to. Data names the device status, the text of the layer below and what to do.
 */
#include "provider_local.h"

#include <stdarg.h>
#include <string.h>

static const OSSL_ITEM reason_strings[] = {
    {REASON_CONFIGURATION, (void *)"wrong configuration of azihsm in openssl.cnf"},
    {REASON_DEVICE, (void *)"device error"},
    {REASON_DEVICE_KEY, (void *)"not a device key"},
    {REASON_NOT_EXPORTABLE, (void *)"private key cannot leave the device"},
    {REASON_MISSING_PRIVATE, (void *)"missing private key"},
    {REASON_MISSING_PUBLIC, (void *)"missing public key"},
    {REASON_KEY_TYPE, (void *)"wrong key type"},
    {REASON_KEY_USAGE, (void *)"key was made for another use (azihsm.key_usage)"},
    {REASON_KEY_SIZE, (void *)"unsupported key size or curve"},
    {REASON_PARAMETER, (void *)"invalid parameter"},
    {REASON_PADDING, (void *)"invalid padding"},
    {REASON_DIGEST, (void *)"invalid digest"},
    {REASON_BUFFER, (void *)"output buffer too small"},
    {REASON_INPUT_LENGTH, (void *)"invalid input length"},
    {REASON_SIGNATURE, (void *)"invalid signature"},
    {REASON_SECRET_IN_DEVICE, (void *)"shared secret cannot leave the device"},
    {REASON_STATE, (void *)"operation not initialised"},
    {REASON_KEY_FILE, (void *)"invalid key file"},
    {REASON_URI, (void *)"invalid URI"},
    {REASON_FILE, (void *)"file error"},
    {REASON_ENCRYPTED_OUTPUT, (void *)"a device key file cannot be encrypted"},
    {REASON_PASSPHRASE, (void *)"passphrase error"},
    {REASON_POLICY, (void *)"forbidden by configuration"},
    {REASON_HOST_CRYPTO, (void *)"host cryptography failed"},
    {REASON_NO_MEMORY, (void *)"out of memory"},
    {REASON_DECRYPT, (void *)"decryption failed"},
    {REASON_UNSUPPORTED, (void *)"not supported"},
    {REASON_EXPORT, (void *)"private key cannot leave the device: only the device can use it: use the key file itself, "
                            "which openssl pkey -in FILE -out FILE copies"},
    {REASON_DEVICE_AWAY, (void *)"device not reachable (is azihsmd running? 'azihsm status' tells)"},
    {REASON_DEVICE_REFUSES, (void *)"device refuses this user or its credential (see azihsmd.conf and pin-source)"},
    {REASON_DEVICE_TIMEOUT, (void *)"device did not answer in time ('azihsm status' tells its load)"},
    {REASON_DEVICE_FULL, (void *)"device has no room for another key or session"},
    {REASON_DEVICE_FOREIGN_KEY, (void *)"key file is damaged or belongs to another device"},
    {0, NULL},
};

/* Many programs (curl, libpq) show the reason and nothing else: for what users meet it has to say enough by itself. */
static const struct {
    azihsm_rc rc;
    enum reason reason;
} device_reasons[] = {
    {AZIHSM_E_CONFIG, REASON_CONFIGURATION},
    {AZIHSM_E_NO_DEVICE, REASON_DEVICE_AWAY},
    {AZIHSM_E_LOST, REASON_DEVICE_AWAY},
    {AZIHSM_E_PERMISSION, REASON_DEVICE_REFUSES},
    {AZIHSM_STATUS_INVALID_APP_CREDENTIALS, REASON_DEVICE_REFUSES},
    {AZIHSM_STATUS_LOGIN_FAILED, REASON_DEVICE_REFUSES},
    {AZIHSM_E_TIMEOUT, REASON_DEVICE_TIMEOUT},
    {AZIHSM_STATUS_IO_TIMED_OUT, REASON_DEVICE_TIMEOUT},
    {AZIHSM_E_BUSY, REASON_DEVICE_FULL},
    {AZIHSM_STATUS_REACHED_MAX_KEYS, REASON_DEVICE_FULL},
    {AZIHSM_STATUS_NOT_ENOUGH_SPACE, REASON_DEVICE_FULL},
    {AZIHSM_STATUS_REACHED_MAX_AES_BULK_KEYS, REASON_DEVICE_FULL},
    {AZIHSM_STATUS_VAULT_SESSION_LIMIT_REACHED, REASON_DEVICE_FULL},
    {AZIHSM_STATUS_MASKED_KEY_DECODE_FAILED, REASON_DEVICE_FOREIGN_KEY},
    {AZIHSM_STATUS_MASKED_KEY_INVALID_LENGTH, REASON_DEVICE_FOREIGN_KEY},
    {AZIHSM_E_MISMATCH, REASON_DEVICE_FOREIGN_KEY},
    {AZIHSM_STATUS_INVALID_PERMISSIONS, REASON_KEY_USAGE},
};

static enum reason device_reason(azihsm_rc rc)
{
    for (size_t i = 0; i < sizeof(device_reasons) / sizeof(device_reasons[0]); i++)
        if (device_reasons[i].rc == rc)
            return device_reasons[i].reason;
    return REASON_DEVICE;
}

const OSSL_ITEM *error_reason_strings(void)
{
    return reason_strings;
}

int error_raise(const struct provider *provider, const char *file, int line, const char *function, enum reason reason,
                const char *format, ...)
{
    const struct core *core = &provider->core;
    if (core->new_error == NULL || core->vset_error == NULL)
        return 0;
    va_list args;
    va_start(args, format);
    core->new_error(provider->handle);
    if (core->set_error_debug != NULL)
        core->set_error_debug(provider->handle, file, line, function);
    core->vset_error(provider->handle, (uint32_t)reason, format, args);
    va_end(args);
    return 0;
}

int error_raise_device(const struct provider *provider, const char *file, int line, const char *function,
                       const struct azihsm_error *err, const char *what)
{
    const char *name = azihsm_rc_name(err->rc), *hint = azihsm_rc_hint(err->rc);
    bool told = err->text[0] != '\0';
    trace(provider, AZIHSM_TRACE_OP, "%s failed: %s: %s", what, name, err->text);
    /*
     * The layer below usually begins with the operation, names the status, and says itself what to do: nothing is said
     * twice, and a general hint does not follow one that knows the case.
     */
    bool begun = strncmp(err->text, what, strlen(what)) == 0, named = told && strstr(err->text, name) != NULL;
    return error_raise(provider, file, line, function, device_reason(err->rc), "%s%s%s%s%s%s%s", begun ? "" : what,
                       begun ? "" : ": ", named ? "" : name, !named && told ? ": " : "", err->text,
                       told || hint == NULL ? "" : ": ", told || hint == NULL ? "" : hint);
}

void error_mark(const struct provider *provider)
{
    if (provider->core.set_error_mark != NULL)
        provider->core.set_error_mark(provider->handle);
}

void error_pop(const struct provider *provider)
{
    if (provider->core.pop_error_to_mark != NULL)
        provider->core.pop_error_to_mark(provider->handle);
}
