/*
 * The layout of masked keys (ddi-protocol 6.4): header of little-endian integers, IV, metadata in clear, ciphertext,
 * tag. Nothing here encrypts or authenticates; until the tag was verified every field is a claim of whoever sent it.
 */
#include "layout.h"

#include <string.h>

enum {
    VERSION = 1,
    ALGORITHM_CBC_HMAC = 1,
    ALGORITHM_GCM = 2, /* reserved by the specification; its header is understood, nothing more */
    HEADER_SIZE = 52,
    TAG_SIZE = 48,
    BLOCK = 16,
};

/* The nine integers of the header, in order. */
enum header_field {
    H_VERSION,
    H_ALGORITHM,
    H_IV,
    H_IV_PAD,
    H_METADATA,
    H_METADATA_PAD,
    H_ENCRYPTED,
    H_ENCRYPTED_PAD,
    H_TAG,
    HEADER_FIELDS
};

static void read_header(uint16_t header[HEADER_FIELDS], const uint8_t *in)
{
    for (size_t i = 0; i < HEADER_FIELDS; i++)
        header[i] = (uint16_t)(in[2 * i] | in[2 * i + 1] << 8);
}

static void write_header(uint8_t *out, const uint16_t header[HEADER_FIELDS])
{
    memset(out, 0, HEADER_SIZE);
    for (size_t i = 0; i < HEADER_FIELDS; i++) {
        out[2 * i] = (uint8_t)header[i];
        out[2 * i + 1] = (uint8_t)(header[i] >> 8);
    }
}

/* Lengths that contradict each other, the algorithm, or the length of the blob. The version is the caller's to judge.
 */
static bool header_is_sound(const uint16_t header[HEADER_FIELDS], size_t blob_len)
{
    size_t sum = HEADER_SIZE;

    if (header[H_ALGORITHM] != ALGORITHM_CBC_HMAC && header[H_ALGORITHM] != ALGORITHM_GCM)
        return false;
    if (header[H_ALGORITHM] == ALGORITHM_CBC_HMAC ? header[H_IV] != 16 || header[H_TAG] != TAG_SIZE
                                                  : header[H_IV] != 12 || header[H_TAG] != 16)
        return false;
    if (header[H_METADATA] == 0 || header[H_ENCRYPTED] == 0)
        return false;
    for (size_t i = H_IV; i < H_TAG; i += 2)
        if ((header[i] + header[i + 1]) % 4 != 0)
            return false;
    for (size_t i = H_IV; i <= H_TAG; i++)
        sum += header[i];
    return sum == blob_len;
}

static struct azihsm_bytes take_part(const uint8_t **at, size_t len, size_t pad)
{
    struct azihsm_bytes part = {*at, len};

    *at += len + pad;
    return part;
}

azihsm_rc azihsm_masked_key_parse(struct azihsm_bytes blob, struct azihsm_masked_key *out)
{
    uint16_t header[HEADER_FIELDS];
    const uint8_t *at = blob.data;
    struct mbor_reader r;

    memset(out, 0, sizeof(*out));
    if (blob.len < HEADER_SIZE)
        return AZIHSM_E_DECODE;
    read_header(header, at);
    if (!header_is_sound(header, blob.len))
        return AZIHSM_E_DECODE;
    at += HEADER_SIZE;
    out->version = header[H_VERSION];
    out->algorithm = header[H_ALGORITHM];
    out->iv = take_part(&at, header[H_IV], header[H_IV_PAD]);
    out->metadata_raw = take_part(&at, header[H_METADATA], header[H_METADATA_PAD]);
    out->ciphertext = take_part(&at, header[H_ENCRYPTED], header[H_ENCRYPTED_PAD]);
    out->authenticated = (struct azihsm_bytes){blob.data, (size_t)(at - blob.data)};
    out->tag = take_part(&at, header[H_TAG], 0);
    mbor_reader_init(&r, out->metadata_raw.data, out->metadata_raw.len);
    layout_decode(&r, &layout_masked_metadata, &out->metadata, AZIHSM_DEVICE_VIRTUAL, NULL);
    return r.error == MBOR_OK ? AZIHSM_OK : AZIHSM_E_DECODE;
}

azihsm_rc azihsm_masked_key_layout(const struct azihsm_masked_metadata *metadata, const uint8_t iv[AZIHSM_IV_SIZE],
                                   size_t encrypted_len, uint8_t *out, size_t cap, size_t *ciphertext_offset,
                                   size_t *total)
{
    uint16_t header[HEADER_FIELDS] = {VERSION, ALGORITHM_CBC_HMAC, AZIHSM_IV_SIZE, 0, 0, 0, 0, 0, TAG_SIZE};
    size_t pad, metadata_at = HEADER_SIZE + AZIHSM_IV_SIZE;
    struct mbor_writer w;

    if (encrypted_len == 0 || encrypted_len > UINT16_MAX || encrypted_len % BLOCK != 0)
        return AZIHSM_E_ARGUMENT;
    if (cap < metadata_at)
        return AZIHSM_E_ENCODE;
    /* A buffer of its own: its padding counts from the first byte of the metadata. */
    mbor_writer_init(&w, out + metadata_at, cap - metadata_at);
    layout_encode(&w, &layout_masked_metadata, metadata, AZIHSM_DEVICE_VIRTUAL);
    pad = (4 - w.used % 4) % 4;
    if (w.error != MBOR_OK || w.cap - w.used < pad + encrypted_len + TAG_SIZE)
        return AZIHSM_E_ENCODE;
    header[H_METADATA] = (uint16_t)w.used;
    header[H_METADATA_PAD] = (uint16_t)pad;
    header[H_ENCRYPTED] = (uint16_t)encrypted_len;
    write_header(out, header);
    memcpy(out + HEADER_SIZE, iv, AZIHSM_IV_SIZE);
    *ciphertext_offset = metadata_at + w.used + pad;
    *total = *ciphertext_offset + encrypted_len + TAG_SIZE;
    memset(out + metadata_at + w.used, 0, *total - metadata_at - w.used);
    return AZIHSM_OK;
}
