/*
 * What survives a power cycle, as one CBOR map with small unsigned keys and byte strings:
 *   0 version (uint), 1 BKS1, 2 BKS2, 3 boot key, 4 sealed BK3 (absent: not set);
 *   physical profile only: 5 partition id, 6 VM launch id, 7 identity key, 8.. certificates, root first.
 * Secret as a whole; where it is kept and how is the caller's business.
 */
#include "emulator/device.h"

#include <cbor.h>
#include <openssl/crypto.h>

#include <string.h>

enum {
    ITEM_VERSION,
    ITEM_BKS1,
    ITEM_BKS2,
    ITEM_BK_BOOT,
    ITEM_SEALED_BK3,
    ITEM_PARTITION_ID,
    ITEM_LAUNCH_ID,
    ITEM_IDENTITY,
    ITEM_CERTIFICATE,
    ITEMS = ITEM_CERTIFICATE + CERTIFICATE_COUNT_MAX,
    STATE_VERSION = 1,
};

/* Contents of a state; empty views are absent. */
struct contents {
    struct azihsm_bytes items[ITEMS];
};

/* ---- saving ---- */

struct writer {
    uint8_t *buf;
    size_t cap, len;
    bool full;
};

static void put(struct writer *writer, size_t written)
{
    writer->full |= written == 0;
    writer->len += written;
}

static void put_bytes(struct writer *writer, uint8_t id, struct azihsm_bytes bytes)
{
    put(writer, cbor_encode_uint8(id, writer->buf + writer->len, writer->cap - writer->len));
    put(writer, cbor_encode_bytestring_start(bytes.len, writer->buf + writer->len, writer->cap - writer->len));
    if (bytes.len > writer->cap - writer->len)
        writer->full = true;
    if (writer->full)
        return;
    memcpy(writer->buf + writer->len, bytes.data, bytes.len);
    writer->len += bytes.len;
}

static azihsm_rc write_contents(const struct contents *contents, uint8_t *buf, size_t cap, size_t *len)
{
    struct writer writer = {.buf = buf, .cap = cap};
    size_t count = 1;

    for (size_t i = 1; i < ITEMS; i++)
        count += contents->items[i].len > 0;
    put(&writer, cbor_encode_map_start(count, buf, cap));
    put(&writer, cbor_encode_uint8(ITEM_VERSION, buf + writer.len, cap - writer.len));
    put(&writer, cbor_encode_uint8(STATE_VERSION, buf + writer.len, cap - writer.len));
    for (size_t i = 1; i < ITEMS && !writer.full; i++)
        if (contents->items[i].len > 0)
            put_bytes(&writer, (uint8_t)i, contents->items[i]);
    *len = writer.len;
    return writer.full ? AZIHSM_E_ENCODE : AZIHSM_OK;
}

static azihsm_rc save_locked(struct emu_device *device, uint8_t *buf, size_t cap, size_t *len)
{
    const struct device_roots *roots = device_roots(device);
    uint8_t identity[ENGINE_SERIALIZED_MAX], sealed[AZIHSM_SEALED_BK3_MAX];
    struct certificate_chain *chain = NULL;
    struct contents contents = {{
        [ITEM_BKS1] = {roots->bks1, sizeof(roots->bks1)},
        [ITEM_BKS2] = {roots->bks2, sizeof(roots->bks2)},
        [ITEM_BK_BOOT] = {roots->bk_boot, sizeof(roots->bk_boot)},
    }};
    azihsm_rc rc = AZIHSM_OK;

    pthread_mutex_lock(&device->lock);
    memcpy(sealed, device->sealed_bk3, device->sealed_bk3_len);
    contents.items[ITEM_SEALED_BK3] = (struct azihsm_bytes){sealed, device->sealed_bk3_len};
    pthread_mutex_unlock(&device->lock);
    if (!device_is_virtual(device)) {
        contents.items[ITEM_PARTITION_ID] = (struct azihsm_bytes){device->partition_id, DEVICE_ID_SIZE};
        contents.items[ITEM_LAUNCH_ID] = (struct azihsm_bytes){device->launch_id, DEVICE_ID_SIZE};
        contents.items[ITEM_IDENTITY].data = identity;
        rc = engine_key_serialize(device->identity, identity, sizeof(identity), &contents.items[ITEM_IDENTITY].len);
        if (rc == AZIHSM_OK)
            rc = device_chain(device, &chain);
        for (size_t i = 0; rc == AZIHSM_OK && i < certificate_chain_count(chain); i++)
            contents.items[ITEM_CERTIFICATE + i] = certificate_chain_get(chain, i);
    }
    if (rc == AZIHSM_OK)
        rc = write_contents(&contents, buf, cap, len);
    certificate_chain_free(chain);
    OPENSSL_cleanse(identity, sizeof(identity));
    return rc;
}

azihsm_rc emu_device_save(struct emu_device *device, uint8_t *buf, size_t cap, size_t *len)
{
    azihsm_rc rc;

    pthread_rwlock_rdlock(&device->gate);
    rc = save_locked(device, buf, cap, len);
    pthread_rwlock_unlock(&device->gate);
    if (rc != AZIHSM_OK)
        OPENSSL_cleanse(buf, cap);
    return rc;
}

/* ---- loading ---- */

static bool is_version(const struct cbor_pair *pair)
{
    return cbor_isa_uint(pair->value) && cbor_get_int(pair->value) == STATE_VERSION;
}

/* Fills contents with views into map; every key at most once, all of them known. */
static bool read_contents(const cbor_item_t *map, struct contents *contents)
{
    const struct cbor_pair *pairs = cbor_map_handle(map);
    bool versioned = false;

    for (size_t i = 0; i < cbor_map_size(map); i++) {
        uint64_t id = cbor_isa_uint(pairs[i].key) ? cbor_get_int(pairs[i].key) : ITEMS;
        if (id == ITEM_VERSION && !versioned) {
            versioned = is_version(&pairs[i]);
            continue;
        }
        if (id == ITEM_VERSION || id >= ITEMS || contents->items[id].len > 0 || !cbor_isa_bytestring(pairs[i].value) ||
            !cbor_bytestring_is_definite(pairs[i].value))
            return false;
        contents->items[id] =
            (struct azihsm_bytes){cbor_bytestring_handle(pairs[i].value), cbor_bytestring_length(pairs[i].value)};
    }
    return versioned;
}

static bool all_zero(const uint8_t *bytes, size_t len)
{
    uint8_t sum = 0;
    for (size_t i = 0; i < len; i++)
        sum |= bytes[i];
    return sum == 0;
}

/* A stored value of exact size into its place, which a configured value keeps. */
static bool take_item(struct azihsm_bytes item, uint8_t *out, size_t size)
{
    if (item.len != size)
        return false;
    if (all_zero(out, size))
        memcpy(out, item.data, size);
    return true;
}

static azihsm_rc take_identity(struct emu_device *device, const struct contents *contents)
{
    size_t count = 0;
    azihsm_rc rc;

    if (contents->items[ITEM_IDENTITY].len == 0) /* saved by a virtual device */
        return AZIHSM_OK;
    if (!take_item(contents->items[ITEM_PARTITION_ID], device->partition_id, DEVICE_ID_SIZE) ||
        !take_item(contents->items[ITEM_LAUNCH_ID], device->launch_id, DEVICE_ID_SIZE))
        return AZIHSM_E_DECODE;
    while (ITEM_CERTIFICATE + count < ITEMS && contents->items[ITEM_CERTIFICATE + count].len > 0)
        count++;
    rc = engine_key_restore(device->engine, AZIHSM_KEY_ECC384_PRIVATE, contents->items[ITEM_IDENTITY],
                            &device->identity);
    if (rc == AZIHSM_OK)
        rc = certificate_chain_restore(device->engine, device->identity, &contents->items[ITEM_CERTIFICATE], count,
                                       &device->chain);
    return rc > 0 ? AZIHSM_E_DECODE : rc;
}

static azihsm_rc take_contents(struct emu_device *device, const struct contents *contents)
{
    struct device_roots *roots = (struct device_roots *)device->roots->data;
    struct azihsm_bytes sealed = contents->items[ITEM_SEALED_BK3];

    if (!take_item(contents->items[ITEM_BKS1], roots->bks1, sizeof(roots->bks1)) ||
        !take_item(contents->items[ITEM_BKS2], roots->bks2, sizeof(roots->bks2)) ||
        !take_item(contents->items[ITEM_BK_BOOT], roots->bk_boot, sizeof(roots->bk_boot)) ||
        sealed.len > sizeof(device->sealed_bk3))
        return AZIHSM_E_DECODE;
    if (sealed.len > 0)
        memcpy(device->sealed_bk3, sealed.data, sealed.len);
    device->sealed_bk3_len = sealed.len;
    return device_is_virtual(device) ? AZIHSM_OK : take_identity(device, contents);
}

/* libcbor's copies of secrets must not stay in freed memory. */
static void cleanse_contents(const struct contents *contents)
{
    for (size_t i = 0; i < ITEMS; i++)
        if (contents->items[i].len > 0)
            OPENSSL_cleanse((uint8_t *)contents->items[i].data, contents->items[i].len);
}

static azihsm_rc load(struct emu_device *device, const uint8_t *state, size_t state_len)
{
    struct contents contents = {0};
    struct cbor_load_result result;
    azihsm_rc rc = AZIHSM_E_DECODE;
    cbor_item_t *map = cbor_load(state, state_len, &result);

    if (map == NULL)
        return result.error.code == CBOR_ERR_MEMERROR ? AZIHSM_E_NO_MEMORY : AZIHSM_E_DECODE;
    if (result.read == state_len && cbor_isa_map(map) && read_contents(map, &contents))
        rc = take_contents(device, &contents);
    cleanse_contents(&contents);
    cbor_decref(&map);
    return rc;
}

static azihsm_rc draw_if_zero(struct emu_device *device, uint8_t *out, size_t size)
{
    return all_zero(out, size) ? engine_random(device->engine, out, size) : AZIHSM_OK;
}

azihsm_rc device_load_state(struct emu_device *device, const uint8_t *state, size_t state_len)
{
    struct device_roots *roots = (struct device_roots *)device->roots->data;
    azihsm_rc rc = state == NULL ? AZIHSM_OK : load(device, state, state_len);
    if (rc == AZIHSM_OK)
        rc = draw_if_zero(device, roots->bks1, sizeof(roots->bks1));
    if (rc == AZIHSM_OK)
        rc = draw_if_zero(device, roots->bks2, sizeof(roots->bks2));
    if (rc == AZIHSM_OK)
        rc = draw_if_zero(device, roots->bk_boot, sizeof(roots->bk_boot));
    if (rc == AZIHSM_OK)
        rc = draw_if_zero(device, device->partition_id, DEVICE_ID_SIZE);
    if (rc == AZIHSM_OK && !device_is_virtual(device)) /* zeros in the simulator */
        rc = draw_if_zero(device, device->launch_id, DEVICE_ID_SIZE);
    return rc;
}
