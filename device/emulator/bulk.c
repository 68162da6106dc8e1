/*
 * Bulk AES (ddi-protocol 7.3 - 7.5, 8.7; device-behaviour 9): the driver's checks that need the handle, then the key
 * checks of the fast path with its own result codes, the same in both profiles.
 */
#include "emulator/handle.h"

enum { EXT_ID_MISMATCH = 107, EXT_APP_MISMATCH = 108, EXT_NO_SESSION = 109 };
enum { RESULT_XTS = 1, RESULT_GCM = 2, RESULT_ENGINE = 3 };
enum { GCM_BAD_KEY = 1, GCM_SESSION = 3, GCM_KEY_TYPE = 8 };
enum {
    XTS_BAD_KEY = 1, /* of key 1, that of key 2 follows; so in all pairs */
    XTS_SCOPE = 4,
    XTS_SAME_KEYS = 5,
    XTS_SESSION = 7,
    XTS_TOO_LONG = 0xB,
    XTS_NOT_BLOCKS = 0xC,
    XTS_KEY_TYPE = 0xE,
};
enum { ENGINE_TAG_MISMATCH = 9, ENGINE_FATAL = 0xA, XTS_MAX = 0x1000000 };

static void fail(struct emu_bulk *bulk, uint32_t result, uint32_t ext_status)
{
    bulk->result = result;
    bulk->ext_status = ext_status;
}

/* 8.7: checks against the driver's record; false when refused. */
static bool check_handle(uint32_t record, struct emu_bulk *bulk)
{
    if ((record & HANDLE_HAS_SESSION) == 0)
        bulk->ext_status = EXT_NO_SESSION;
    else if (bulk->sess_id != handle_sess_id(record))
        bulk->ext_status = EXT_ID_MISMATCH;
    else if (bulk->short_app_id != handle_short_app_id(record))
        bulk->ext_status = EXT_APP_MISMATCH;
    bulk->refused = bulk->ext_status != 0;
    return !bulk->refused;
}

/* New reference to a user key, or NULL. */
static struct vault_key *find_key(struct vault *vault, uint32_t id)
{
    struct vault_key *key =
        id > UINT16_MAX || vault_is_foreign(vault, (uint16_t)id) ? NULL : vault_get(vault, (uint16_t)id);
    if (key != NULL && key->role != VAULT_USER) {
        vault_key_free(key);
        key = NULL;
    }
    return key;
}

/*
 * A session that was closed meanwhile, or that a reset left waiting to be reopened, has no key, not even those the
 * application has made since through another.
 */
static bool is_foreign_session(const struct vault_key *key, const struct session *session)
{
    return session == NULL || session->flagged || (key->session != 0 && key->session != session->serial);
}

static bool is_gcm(const struct vault_key *key)
{
    uint32_t kind = engine_key_kind(vault_key_engine(key));
    return kind == AZIHSM_KEY_AES_GCM_BULK256 || kind == AZIHSM_KEY_AES_GCM_BULK256_UNAPPROVED;
}

static bool is_xts(const struct vault_key *key)
{
    return engine_key_kind(vault_key_engine(key)) == AZIHSM_KEY_AES_XTS_BULK256;
}

static void run_gcm(struct emu_device *device, struct vault *vault, const struct session *session,
                    struct emu_bulk *bulk)
{
    const struct azihsm_bytes aad = {bulk->aad, bulk->aad_len};
    struct vault_key *key = find_key(vault, bulk->key_id1);

    if (key == NULL)
        fail(bulk, RESULT_GCM, GCM_BAD_KEY);
    else if (is_foreign_session(key, session))
        fail(bulk, RESULT_GCM, GCM_SESSION);
    else if (!is_gcm(key))
        fail(bulk, RESULT_GCM, GCM_KEY_TYPE);
    else {
        azihsm_rc rc = engine_aes_gcm(device->engine, vault_key_engine(key), bulk->decrypt, bulk->iv, aad, bulk->src,
                                      bulk->dst, bulk->len, bulk->tag);
        if (rc != AZIHSM_OK)
            fail(bulk, RESULT_ENGINE, rc == AZIHSM_STATUS_AES_DECRYPT_FAILED ? ENGINE_TAG_MISMATCH : ENGINE_FATAL);
    }
    vault_key_free(key);
}

/* Code of the first check of two XTS keys that fails, or 0. */
static uint32_t check_xts_keys(struct vault_key *const keys[2], const struct session *session)
{
    for (uint32_t i = 0; i < 2; i++)
        if (keys[i] == NULL)
            return XTS_BAD_KEY + i;
    for (uint32_t i = 0; i < 2; i++)
        if (is_foreign_session(keys[i], session))
            return XTS_SESSION + i;
    for (uint32_t i = 0; i < 2; i++)
        if (!is_xts(keys[i]))
            return XTS_KEY_TYPE + i;
    if ((keys[0]->session != 0) != (keys[1]->session != 0))
        return XTS_SCOPE;
    return engine_key_same(vault_key_engine(keys[0]), vault_key_engine(keys[1])) ? XTS_SAME_KEYS : 0;
}

static uint32_t check_xts_length(const struct emu_bulk *bulk)
{
    if (bulk->len > XTS_MAX)
        return XTS_TOO_LONG;
    return bulk->len % 16 != 0 ? XTS_NOT_BLOCKS : 0;
}

static void run_xts(struct emu_device *device, struct vault *vault, const struct session *session,
                    struct emu_bulk *bulk)
{
    struct vault_key *const keys[2] = {find_key(vault, bulk->key_id1), find_key(vault, bulk->key_id2)};
    uint32_t code = check_xts_keys(keys, session);
    if (code == 0)
        code = check_xts_length(bulk);
    if (code != 0)
        fail(bulk, RESULT_XTS, code);
    else if (engine_aes_xts(device->engine, vault_key_engine(keys[0]), vault_key_engine(keys[1]), bulk->decrypt,
                            bulk->iv, bulk->data_unit, bulk->src, bulk->dst, bulk->len) != AZIHSM_OK)
        fail(bulk, RESULT_ENGINE, ENGINE_FATAL);
    vault_key_free(keys[0]);
    vault_key_free(keys[1]);
}

static void run(struct emu_handle *handle, struct emu_bulk *bulk)
{
    struct emu_device *device = handle->device;
    struct session *session;

    pthread_rwlock_rdlock(&device->gate);
    session = session_table_get(&device->sessions, bulk->sess_id);
    (bulk->xts ? run_xts : run_gcm)(device, handle->ns->vault, session, bulk);
    session_free(session);
    pthread_rwlock_unlock(&device->gate);
}

void emu_handle_bulk(struct emu_handle *handle, struct emu_bulk *bulk)
{
    bulk->result = bulk->ext_status = 0;
    bulk->fips_approved = false;
    pthread_rwlock_rdlock(&handle->busy);
    if (check_handle(atomic_load(&handle->record), bulk))
        run(handle, bulk);
    atomic_fetch_add_explicit(&handle->device->commands, 1, memory_order_relaxed);
    if (bulk->ext_status != 0)
        atomic_fetch_add_explicit(&handle->device->errors, 1, memory_order_relaxed);
    pthread_rwlock_unlock(&handle->busy);
}
