/*
 * Errors: our reason strings and how they reach the application's error queue, which is the core's and need not be
 * that of the libcrypto we are linked to. Data names the device status, the text of the layer below and what to do.
 */
#include "provider_local.h"

#include <stdarg.h>
#include <string.h>

static const OSSL_ITEM reason_strings[] = {
    {REASON_CONFIGURATION, (void *)"configuration error"},
    {REASON_DEVICE, (void *)"device error"},
    {REASON_DEVICE_KEY, (void *)"not a device key"},
    {REASON_NOT_EXPORTABLE, (void *)"private key cannot leave the device"},
    {REASON_MISSING_PRIVATE, (void *)"missing private key"},
    {REASON_MISSING_PUBLIC, (void *)"missing public key"},
    {REASON_KEY_TYPE, (void *)"wrong key type"},
    {REASON_KEY_USAGE, (void *)"key usage does not permit this operation"},
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
    {0, NULL},
};

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
    trace(provider, AZIHSM_TRACE_OP, "%s failed: %s: %s", what, name, err->text);
    /* the layer below usually names the status in its sentence */
    bool named = err->text[0] != '\0' && strstr(err->text, name) != NULL;
    return error_raise(provider, file, line, function, REASON_DEVICE, "%s: %s%s%s%s%s", what, named ? "" : name,
                       named || err->text[0] == '\0' ? "" : ": ", err->text, hint == NULL ? "" : "; ",
                       hint == NULL ? "" : hint);
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
