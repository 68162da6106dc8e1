/*
 * Names and hints of results: device statuses (5.14) by their specification name, our own failures by a few words.
 * A hint is one sentence that tells the user what to do; results that only a maintainer can act on have none.
 */
#include <azihsm/ddi.h>
#include <azihsm/rc.h>

struct rc_text {
    azihsm_rc rc;
    const char *text;
};

#define AZIHSM_STATUS_X(value, name, text) {(azihsm_rc)(value), text},
static const struct rc_text status_names[] = {
#include <azihsm/status.def>
};
#undef AZIHSM_STATUS_X

static const struct rc_text local_names[] = {
    {AZIHSM_E_ARGUMENT, "invalid argument"},
    {AZIHSM_E_NO_MEMORY, "out of memory"},
    {AZIHSM_E_CONFIG, "wrong configuration"},
    {AZIHSM_E_NO_DEVICE, "no device"},
    {AZIHSM_E_PERMISSION, "permission denied"},
    {AZIHSM_E_NOT_OWNER, "handle of another process"},
    {AZIHSM_E_LOST, "device lost"},
    {AZIHSM_E_TIMEOUT, "timeout"},
    {AZIHSM_E_BUSY, "busy"},
    {AZIHSM_E_ABORTED, "aborted by a device reset"},
    {AZIHSM_E_NOT_READY, "device not ready"},
    {AZIHSM_E_PROTOCOL, "protocol violation"},
    {AZIHSM_E_ENCODE, "cannot encode"},
    {AZIHSM_E_DECODE, "cannot decode"},
    {AZIHSM_E_UNSUPPORTED, "unsupported"},
    {AZIHSM_E_CRYPTO, "libcrypto failed"},
    {AZIHSM_E_IO, "input/output error"},
    {AZIHSM_E_MISMATCH, "key mismatch"},
    {AZIHSM_E_REFUSED, "refused"},
    {AZIHSM_E_TRANSPORT, "transport failure"},
    {AZIHSM_E_FAST_PATH, "bulk operation failed"},
    {AZIHSM_E_INTERNAL, "internal error"},
};

static const struct rc_text hints[] = {
    {AZIHSM_E_CONFIG, "correct the azihsm section of openssl.cnf; the trace names the value that is wrong"},
    {AZIHSM_E_NO_DEVICE,
     "start azihsmd (systemctl start azihsmd), or point 'device' at a running daemon or at /dev/azihsm0"},
    {AZIHSM_E_PERMISSION, "check the mode of the device node or socket, and that this user is one azihsmd serves"},
    {AZIHSM_E_NOT_OWNER, "a device handle does not survive fork; open one in the process that uses it"},
    {AZIHSM_E_LOST, "the daemon or driver stopped while the operation ran; see its log, then repeat the operation"},
    {AZIHSM_E_TIMEOUT, "the device did not answer in time; raise 'timeout' or look at the load with 'azihsm status'"},
    {AZIHSM_E_BUSY, "sessions or key slots are used up; end programs that hold them, or raise 'timeout'"},
    {AZIHSM_E_ABORTED, "the device was being reset; repeat the operation"},
    {AZIHSM_E_NOT_READY, "the device is still starting or recovering; repeat the operation shortly"},
    {AZIHSM_E_MISMATCH,
     "the key file does not belong to this device or was altered; compare it with 'azihsm key show FILE'"},
    {AZIHSM_E_REFUSED,
     "the configuration forbids this; see the documentation of 'import', 'rsa-generate' and 'symmetric'"},
    {AZIHSM_STATUS_UNSUPPORTED_CMD, "this device does not know the command; an extension needs azihsmd"},
    {AZIHSM_STATUS_VAULT_SESSION_LIMIT_REACHED,
     "all sessions of the partition are in use; close one or let azihsmd share the device out"},
    {AZIHSM_STATUS_FILE_HANDLE_SESSION_LIMIT_REACHED, "this handle already has a session; close it first"},
    {AZIHSM_STATUS_FILE_HANDLE_NO_EXISTING_SESSION, "this handle has no session; open one first"},
    {AZIHSM_STATUS_SESSION_NOT_FOUND, "the session was closed or the device was reset; open a new session"},
    {AZIHSM_STATUS_SESSION_NEEDS_RENEGOTIATION,
     "the device was reset or migrated; reopen the session and repeat the operation"},
    {AZIHSM_STATUS_INVALID_APP_CREDENTIALS,
     "the id or PIN is wrong; have the file that 'pin-source' names written anew (azihsm credential --out FILE)"},
    {AZIHSM_STATUS_PIN_DECRYPTION_FAILED,
     "the credential arrived damaged or for another device; check that nothing sits between client and device"},
    {AZIHSM_STATUS_LOGIN_FAILED, "too many wrong PINs; wait until the lockout ends, then check 'pin-source'"},
    {AZIHSM_STATUS_CANNOT_USE_DEFAULT_CREDENTIALS,
     "choose an id and a PIN of your own and provision the partition with them"},
    {AZIHSM_STATUS_CREDENTIALS_NOT_ESTABLISHED,
     "the partition is not provisioned; run 'azihsm provision' or start azihsmd"},
    {AZIHSM_STATUS_PARTITION_NOT_PROVISIONED,
     "the partition is not provisioned; run 'azihsm provision' or start azihsmd"},
    {AZIHSM_STATUS_PARTITION_ALREADY_PROVISIONED,
     "the partition is provisioned already; reset it before provisioning it again"},
    {AZIHSM_STATUS_VAULT_APP_LIMIT_REACHED,
     "a credential is established already; reset the partition before provisioning it again"},
    {AZIHSM_STATUS_MASKED_BK_BOOT_NOT_PRESENT, "run 'azihsm provision' so that BK3 is initialised"},
    {AZIHSM_STATUS_UNMASKING_BK3_FAILED,
     "the state directory belongs to another device; restore the right one with 'azihsm restore'"},
    {AZIHSM_STATUS_SEALED_BK3_TOO_LARGE, "a sealed BK3 may have at most 512 bytes"},
    {AZIHSM_STATUS_SEALED_BK3_NOT_PRESENT, "no sealed BK3 was stored in this device; run 'azihsm provision'"},
    {AZIHSM_STATUS_NONCE_MISMATCH, "another client logged in at the same moment; repeat the operation"},
    {AZIHSM_STATUS_FUNCTION_NOT_ENABLED, "the partition is disabled; enable it on the host of this machine"},
    {AZIHSM_STATUS_PARTITION_NOT_ENABLED, "the partition is disabled; enable it on the host of this machine"},
    {AZIHSM_STATUS_KEY_NOT_FOUND, "the key is not in the device, or the tag names none; named keys are gone after a "
                                  "restart or reset of the device: load the key from its file"},
    {AZIHSM_STATUS_APP_NOT_FOUND, "the key belongs to another credential"},
    {AZIHSM_STATUS_KEY_TAG_ALREADY_EXISTS, "another key has this azihsm.tag; choose another tag, or use that key "
                                           "(azihsm:?tag=NUMBER) or delete it (OSSL_STORE_delete of that URI)"},
    {AZIHSM_STATUS_INVALID_PERMISSIONS,
     "the key was made for another usage; make or import one with azihsm.key_usage for this operation"},
    {AZIHSM_STATUS_INVALID_KEY_TYPE, "the key is of a kind that cannot do this operation"},
    {AZIHSM_STATUS_MASKED_KEY_DECODE_FAILED,
     "the key file is damaged or was made by another device or partition; "
     "restore the key file, or the state directory it was made with (azihsm restore), "
     "or set 'partition'"},
    {AZIHSM_STATUS_MASKED_KEY_INVALID_LENGTH, "the key file is damaged"},
    {AZIHSM_STATUS_UNMASK_UNWRAPPING_KEY_NOT_ALLOWED,
     "this is the device's unwrapping key, which is given back when provisioning and not as a key"},
    {AZIHSM_STATUS_REACHED_MAX_KEYS, "the device holds as many keys as it can; end programs that hold keys, delete "
                                     "named keys that nobody uses, or raise 'tables' in azihsmd.conf"},
    {AZIHSM_STATUS_NOT_ENOUGH_SPACE, "the device's key memory is full; end programs that hold keys, delete named keys "
                                     "that nobody uses, or raise 'tables' in azihsmd.conf"},
    {AZIHSM_STATUS_REACHED_MAX_AES_BULK_KEYS, "all slots for bulk AES keys are in use; delete unused ones"},
    {AZIHSM_STATUS_CANNOT_DELETE_INTERNAL_KEYS, "keys of the device itself cannot be deleted"},
    {AZIHSM_STATUS_CANNOT_DELETE_KEY_IN_USE, "wait until operations with this key have ended, then delete it"},
    {AZIHSM_STATUS_PENDING_KEY_GENERATION,
     "the device is still making its unwrapping key; repeat the operation shortly"},
    {AZIHSM_STATUS_IO_TIMED_OUT, "the device was too busy; repeat the operation"},
    {AZIHSM_STATUS_UNSUPPORTED_REVISION, "device and client do not share a protocol revision; update one of them"},
    {AZIHSM_STATUS_NON_FIPS_APPROVED_DIGEST,
     "the device is in FIPS state and refuses SHA-1; sign with SHA-256 or stronger"},
    {AZIHSM_STATUS_DIGEST_HASH_MISMATCH_WITH_ECC_CURVE,
     "the device is in FIPS state and refuses this digest for this curve; P-256 signs SHA-256, P-384 up to SHA-384"},
    {AZIHSM_STATUS_RSA_UNWRAP_OAEP_DECODE_FAILED,
     "the blob was not wrapped to this device's unwrapping key or with another OAEP hash"},
    {AZIHSM_STATUS_RSA_UNWRAP_INVALID_REQUEST,
     "a wrapped key is the RSA-OAEP block of an AES-256 key, and then the key wrapped with that (RFC 5649): this is "
     "too short or cut off"},
    {AZIHSM_STATUS_KEY_DECODE_FAILED, "what was wrapped is not a key of the class that was asked for, in PKCS#8 (DER)"},
    {AZIHSM_STATUS_RSA_UNWRAP_AES_UNWRAP_FAILED, "the wrapped blob is damaged; wrap the key again"},
    {AZIHSM_STATUS_AES_GCM_DECRYPT_TAG_DOES_NOT_MATCH,
     "the data, the additional data, the IV or the tag was altered, or the key is another one"},
    {AZIHSM_STATUS_RSA_INVALID_KEY_LENGTH, "the device takes RSA keys of 2048, 3072 and 4096 bits"},
    {AZIHSM_STATUS_RSA_DECRYPT_FAILED, "the input does not fit the modulus of the key"},
};

static const char *find(const struct rc_text *table, size_t count, azihsm_rc rc)
{
    for (size_t i = 0; i < count; i++)
        if (table[i].rc == rc)
            return table[i].text;
    return NULL;
}

#define FIND(table, rc) find(table, sizeof(table) / sizeof((table)[0]), rc)

const char *azihsm_rc_name(azihsm_rc rc)
{
    const char *name = rc < 0 ? FIND(local_names, rc) : FIND(status_names, rc);

    if (name != NULL)
        return name;
    return rc < 0 ? "unknown failure" : "unknown device status";
}

const char *azihsm_rc_hint(azihsm_rc rc)
{
    return FIND(hints, rc);
}
