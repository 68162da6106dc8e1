/*
 * Seeds: every message with all and with none of its optional fields, and masked keys of a few sizes.
 */
#include "fuzz.h"

#include "../unit/messages.h"

#include <azihsm/ddi.h>

#include <stdlib.h>
#include <string.h>

static void seed_messages(void (*visit)(void *context, const uint8_t *data, size_t len), void *context)
{
    static const size_t lengths[] = {0, 16, 64, 96, 260};
    uint8_t frame[AZIHSM_FRAME_MAX];

    for (size_t i = 0; i < messages_count; i++)
        for (unsigned variant = 0; variant < 4; variant++)
            for (size_t l = 0; l < sizeof(lengths) / sizeof(lengths[0]); l++) {
                struct frame_shape shape = {.is_response = variant & 1,
                                            .has_rev = variant >> 1,
                                            .has_sess_id = variant >> 1,
                                            .mask = variant >> 1 ? ~0u : 0,
                                            .string_len = lengths[l]};

                visit(context, frame, message_build(&messages[i], &shape, frame, sizeof(frame)));
            }
}

static void seed_masked_keys(void (*visit)(void *context, const uint8_t *data, size_t len), void *context)
{
    static const uint8_t iv[AZIHSM_IV_SIZE];
    uint8_t blob[1024];
    size_t offset, total;

    for (unsigned optional = 0; optional < 8; optional++)
        for (size_t encrypted = 16; encrypted <= 256; encrypted *= 4) {
            struct azihsm_masked_metadata metadata = {.has_svn = optional & 1,
                                                      .has_bks2_index = optional >> 1 & 1,
                                                      .has_key_tag = optional >> 2 & 1,
                                                      .key_type = AZIHSM_KEY_AES256,
                                                      .key_label = {(const uint8_t *)"a label", optional},
                                                      .key_length = (uint16_t)encrypted};

            PROMISE(azihsm_masked_key_layout(&metadata, iv, encrypted, blob, sizeof(blob), &offset, &total) ==
                    AZIHSM_OK);
            visit(context, blob, total);
        }
}

void fuzz_seeds(void (*visit)(void *context, const uint8_t *data, size_t len), void *context)
{
    seed_messages(visit, context);
    seed_masked_keys(visit, context);
}
