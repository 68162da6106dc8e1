/*
 * Fuzz target: masked keys. The parts of what is accepted lie inside the blob, one behind the other, and can be laid
 * out again.
 */
#include "fuzz.h"

#include <azihsm/ddi.h>

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static uint8_t out[4 * 65536];
    struct azihsm_masked_key masked;
    size_t offset, total;

    if (azihsm_masked_key_parse((struct azihsm_bytes){data, len}, &masked) != AZIHSM_OK)
        return 0;
    PROMISE(masked.authenticated.data == data);
    PROMISE(masked.tag.data == data + masked.authenticated.len);
    PROMISE(masked.authenticated.len + masked.tag.len == len);
    PROMISE(masked.ciphertext.data + masked.ciphertext.len <= masked.tag.data);
    PROMISE(masked.metadata_raw.data + masked.metadata_raw.len <= masked.ciphertext.data);
    PROMISE(masked.iv.data + masked.iv.len <= masked.metadata_raw.data);
    if (masked.algorithm != 1 || masked.ciphertext.len % 16 != 0)
        return 0;
    PROMISE(azihsm_masked_key_layout(&masked.metadata, masked.iv.data, masked.ciphertext.len, out, sizeof(out), &offset,
                                     &total) == AZIHSM_OK);
    PROMISE(offset + masked.ciphertext.len + 48 == total);
    PROMISE(azihsm_masked_key_parse((struct azihsm_bytes){out, total}, &masked) == AZIHSM_OK);
    return 0;
}
