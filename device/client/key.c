/*
 * Key objects: made from blobs, from names in the device, or from what a device has just made.
 */
#include "key.h"

#include "call.h"
#include "client.h"
#include "crypto/spki.h"
#include "residency.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

static struct key_public *public_new(struct azihsm_bytes spki)
{
    struct key_public *made = OPENSSL_malloc(sizeof(*made) + spki.len);

    if (made != NULL) {
        made->len = spki.len;
        memcpy(made->spki, spki.data, spki.len);
    }
    return made;
}

/* blob is copied; its metadata was parsed by the caller into masked (views into the caller's bytes). */
static struct azihsm_key *key_new(struct azihsm_client *client, struct azihsm_bytes blob, struct azihsm_bytes spki)
{
    struct azihsm_key *key = OPENSSL_zalloc(sizeof(*key));
    struct key_public *public_key = spki.len == 0 ? NULL : public_new(spki);
    uint8_t *copy = blob.len == 0 ? NULL : OPENSSL_memdup(blob.data, blob.len);

    if (key == NULL || (spki.len != 0 && public_key == NULL) || (blob.len != 0 && copy == NULL)) {
        OPENSSL_free(public_key);
        OPENSSL_free(copy);
        OPENSSL_free(key);
        return NULL;
    }
    key->refs = 1;
    key->client = azihsm_client_up_ref(client);
    key->blob = (struct azihsm_bytes){copy, blob.len};
    key->public_key = public_key;
    return key;
}

static azihsm_rc key_from_parts(struct azihsm_client *client, struct azihsm_bytes blob, struct azihsm_bytes spki,
                                struct azihsm_key **out)
{
    struct azihsm_masked_key masked;
    struct azihsm_key *key;

    if (blob.len > AZIHSM_MASKED_KEY_MAX || spki.len > AZIHSM_PUB_KEY_MAX ||
        azihsm_masked_key_parse(blob, &masked) != AZIHSM_OK || masked.version != 1 || masked.algorithm != 1 ||
        azihsm_key_kind_name(masked.metadata.key_type) == NULL)
        return AZIHSM_E_DECODE;
    key = key_new(client, blob, spki);
    if (key == NULL)
        return AZIHSM_E_NO_MEMORY;
    key->kind = masked.metadata.key_type;
    key->flags = azihsm_attributes_flags(masked.metadata.attributes);
    key->tag = masked.metadata.has_key_tag ? masked.metadata.key_tag : 0;
    key->label = masked.metadata.key_label;
    if (key->label.len > 0)
        key->label.data = key->blob.data + (masked.metadata.key_label.data - blob.data);
    *out = key;
    return AZIHSM_OK;
}

azihsm_rc azihsm_key_from_blob(struct azihsm_client *client, struct azihsm_bytes masked_key, struct azihsm_bytes spki,
                               struct azihsm_key **out, struct azihsm_error *err)
{
    azihsm_rc rc = key_from_parts(client, masked_key, spki, out);

    if (rc == AZIHSM_E_DECODE)
        return azihsm_error_set(err, rc, "the masked key is malformed (%zu bytes)", masked_key.len);
    if (rc != AZIHSM_OK)
        return azihsm_error_set(err, rc, "loading a key: %s", azihsm_rc_name(rc));
    /* A session key's blob is worth something only in the session that made it, which a file cannot know. */
    if (key_is_session(*out)) {
        struct era *era = hub_era_if_any(client->hub);
        struct link *link = era == NULL ? NULL : era_link(era);

        if (link != NULL)
            (*out)->lineage = link->lineage;
        link_put(link);
    }
    return AZIHSM_OK;
}

static azihsm_rc check_made(struct operation *operation, const struct azihsm_key *key, uint32_t kind)
{
    if (kind != 0 && key->kind != kind)
        return operation_fail(operation, AZIHSM_E_PROTOCOL,
                              "asked for a key of kind %u, the device made one of kind %u", kind, key->kind);
    if (key_kind_is_asymmetric(key->kind) && key->public_key == NULL)
        return operation_fail(operation, AZIHSM_E_PROTOCOL, "the device returned no public key");
    return AZIHSM_OK;
}

azihsm_rc key_from_made(struct operation *operation, const struct key_made *made, uint32_t kind,
                        struct azihsm_key **out)
{
    struct azihsm_key *key = NULL;
    char text[KEY_TEXT_MAX];
    azihsm_rc rc = key_from_parts(operation->client, made->masked_key, made->spki, &key);

    if (rc == AZIHSM_E_DECODE)
        rc = operation_fail(operation, AZIHSM_E_PROTOCOL, "the device returned a malformed masked key");
    if (rc == AZIHSM_OK)
        rc = check_made(operation, key, kind);
    if (rc != AZIHSM_OK) {
        azihsm_key_free(key);
        call_delete_key(operation->link, made->key_id);
        return rc;
    }
    key->lineage = operation->link->lineage;
    residency_enter(operation, key, made->key_id, made->has_bulk_id ? made->bulk_id : made->key_id);
    if (client_traces(operation->client, AZIHSM_TRACE_KEY))
        client_trace(operation->client, AZIHSM_TRACE_KEY, "%s: the device made %s",
                     azihsm_ddi_op_name(operation->spec.op), key_text(key, text));
    *out = key;
    return AZIHSM_OK;
}

/* ---- named keys ---- */

static azihsm_rc learn_named(struct operation *operation, void *arg)
{
    /* Loading it for the operation has learnt all there is to know. */
    (void)operation;
    (void)arg;
    return AZIHSM_OK;
}

azihsm_rc azihsm_key_load(struct azihsm_key *key, struct azihsm_error *err)
{
    const struct operation_spec spec = {.op = key->blob.len > 0 ? AZIHSM_OP_UNMASK_KEY : AZIHSM_OP_OPEN_KEY,
                                        .client = key->client,
                                        .keys = {key},
                                        .uncounted = true};

    return operation_run(&spec, learn_named, NULL, err);
}

azihsm_rc azihsm_key_from_tag(struct azihsm_client *client, uint16_t tag, struct azihsm_key **out,
                              struct azihsm_error *err)
{
    struct azihsm_bytes none = {NULL, 0};
    struct azihsm_key *key;
    azihsm_rc rc;

    if (tag == 0)
        return azihsm_error_set(err, AZIHSM_E_ARGUMENT, "a key tag is a number from 1 to 65535");
    key = key_new(client, none, none);
    if (key == NULL)
        return azihsm_error_set(err, AZIHSM_E_NO_MEMORY, "out of memory");
    key->tag = tag;
    rc = azihsm_key_load(key, err);
    if (rc == AZIHSM_OK)
        *out = key;
    else
        azihsm_key_free(key);
    return rc;
}

/* ---- references ---- */

struct azihsm_key *azihsm_key_up_ref(struct azihsm_key *key)
{
    atomic_fetch_add(&key->refs, 1);
    return key;
}

void azihsm_key_free(struct azihsm_key *key)
{
    if (key == NULL || atomic_fetch_sub(&key->refs, 1) != 1)
        return;
    residency_leave(key);
    OPENSSL_free(key->public_key);
    OPENSSL_free((void *)(uintptr_t)key->blob.data);
    azihsm_client_free(key->client);
    OPENSSL_free(key);
}

/* ---- what it is ---- */

uint32_t azihsm_key_kind(const struct azihsm_key *key)
{
    return key->kind;
}

uint64_t azihsm_key_flags(const struct azihsm_key *key)
{
    return key->flags;
}

struct azihsm_bytes azihsm_key_blob(const struct azihsm_key *key)
{
    return key->blob;
}

struct azihsm_bytes azihsm_key_spki(const struct azihsm_key *key)
{
    const struct key_public *known = atomic_load(&((struct azihsm_key *)(uintptr_t)key)->public_key);

    return known == NULL ? (struct azihsm_bytes){NULL, 0} : (struct azihsm_bytes){known->spki, known->len};
}

struct azihsm_bytes azihsm_key_label(const struct azihsm_key *key)
{
    return key->label;
}

/* A label is whatever the file says: nothing in it may begin a line of the trace, or speak to a terminal. */
static void label_text(struct azihsm_bytes label, char *text, size_t size)
{
    size_t i;

    for (i = 0; i < label.len && i + 1 < size; i++)
        text[i] = label.data[i] < 0x20 || label.data[i] == 0x7f ? '?' : (char)label.data[i];
    text[i] = '\0';
}

const char *key_text(const struct azihsm_key *key, char text[KEY_TEXT_MAX])
{
    const char *kind = azihsm_key_kind_name(key->kind);
    char label[KEY_TEXT_MAX - 40]; /* leaves room for the kind */

    if (key->label.len > 0) {
        label_text(key->label, label, sizeof(label));
        snprintf(text, KEY_TEXT_MAX, "key \"%s\" (%s)", label, kind != NULL ? kind : "unknown kind");
    } else if (key->tag != 0)
        snprintf(text, KEY_TEXT_MAX, "key with tag 0x%x (%s)", key->tag, kind != NULL ? kind : "kind not known yet");
    else
        snprintf(text, KEY_TEXT_MAX, "unnamed key (%s)", kind != NULL ? kind : "unknown kind");
    return text;
}

/* ---- public halves ---- */

static bool same_public(OSSL_LIB_CTX *libctx, struct azihsm_bytes a, struct azihsm_bytes b)
{
    EVP_PKEY *left = NULL, *right = NULL;
    bool same;

    if (a.len == b.len && a.len > 0 && memcmp(a.data, b.data, a.len) == 0)
        return true;
    /* The file may be written in another form of the same key (compressed point). */
    same = spki_decode(libctx, a, &left) == AZIHSM_OK && spki_decode(libctx, b, &right) == AZIHSM_OK &&
           EVP_PKEY_eq(left, right) == 1;
    EVP_PKEY_free(left);
    EVP_PKEY_free(right);
    return same;
}

azihsm_rc key_confirm_public(struct azihsm_key *key, OSSL_LIB_CTX *libctx, struct azihsm_bytes spki)
{
    struct key_public *mine, *none = NULL;
    struct azihsm_bytes known = azihsm_key_spki(key);

    if (known.len == 0) {
        mine = public_new(spki);
        if (mine == NULL)
            return AZIHSM_E_NO_MEMORY;
        if (atomic_compare_exchange_strong(&key->public_key, &none, mine))
            return AZIHSM_OK;
        OPENSSL_free(mine);
        known = azihsm_key_spki(key);
    }
    return same_public(libctx, known, spki) ? AZIHSM_OK : AZIHSM_E_MISMATCH;
}
