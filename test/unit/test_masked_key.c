/*
 * The layout of masked keys (6.4): the blobs of the vectors are read into their parts and laid out again byte for
 * byte; each rule about lengths is broken on its own; no truncation or changed byte is read past its end.
 */
#include "vectors.h"

#include <azihsm/ddi.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t iv[AZIHSM_IV_SIZE] = {0xA0, 0xA1, 0xA2, 0xA3, 0xA4, 0xA5, 0xA6, 0xA7,
                                           0xA8, 0xA9, 0xAA, 0xAB, 0xAC, 0xAD, 0xAE, 0xAF};

static void assert_part(const json_t *c, const char *field, struct azihsm_bytes part)
{
    size_t len;
    uint8_t *wanted = vectors_hex_dup(c, field, &len);

    assert_int_equal(part.len, len);
    assert_memory_equal(part.data, wanted, len);
    free(wanted);
}

/* The metadata fields of the file, by id, against what was parsed. */
static void assert_metadata(const json_t *c, const struct azihsm_masked_metadata *metadata)
{
    const json_t *field;
    unsigned seen = 0;
    size_t i;

    json_array_foreach(vectors_get(c, "metadata_fields"), i, field)
    {
        int64_t id = vectors_number(field, "id");

        seen |= 1u << id;
        if (id == 1)
            assert_true(metadata->svn == (uint64_t)vectors_number(field, "value"));
        else if (id == 2)
            assert_int_equal(metadata->key_type, vectors_number(field, "value"));
        else if (id == 3)
            assert_part(json_array_get(vectors_get(field, "value"), 0), "value",
                        (struct azihsm_bytes){metadata->attributes, sizeof(metadata->attributes)});
        else if (id == 4)
            assert_int_equal(metadata->bks2_index, vectors_number(field, "value"));
        else if (id == 5)
            assert_int_equal(metadata->key_tag, vectors_number(field, "value"));
        else if (id == 6)
            assert_part(field, "value", metadata->key_label);
        else
            assert_int_equal(metadata->key_length, vectors_number(field, "value"));
    }
    assert_int_equal(metadata->has_svn, seen >> 1 & 1);
    assert_int_equal(metadata->has_bks2_index, seen >> 4 & 1);
    assert_int_equal(metadata->has_key_tag, seen >> 5 & 1);
}

static void assert_laid_out_again(const struct azihsm_masked_key *masked, struct azihsm_bytes blob)
{
    uint8_t *out = malloc(blob.len);
    size_t offset, total;

    assert_non_null(out);
    assert_int_equal(azihsm_masked_key_layout(&masked->metadata, masked->iv.data, masked->ciphertext.len, out,
                                              blob.len - 1, &offset, &total),
                     AZIHSM_E_ENCODE);
    assert_int_equal(azihsm_masked_key_layout(&masked->metadata, masked->iv.data, masked->ciphertext.len, out, blob.len,
                                              &offset, &total),
                     AZIHSM_OK);
    assert_int_equal(total, blob.len);
    assert_ptr_equal(masked->ciphertext.data, blob.data + offset);
    memcpy(out + offset, masked->ciphertext.data, masked->ciphertext.len);
    memcpy(out + total - 48, masked->tag.data, 48);
    assert_memory_equal(out, blob.data, blob.len);
    free(out);
}

static void blobs_of_the_vectors(void **state)
{
    json_t *file = vectors_load("ddi/masked_key.json");
    struct azihsm_masked_key masked;
    struct azihsm_bytes blob;
    const json_t *c;
    size_t i;

    (void)state;
    if (file == NULL)
        skip();
    json_array_foreach(vectors_get(file, "cases"), i, c)
    {
        uint8_t *data = vectors_hex_dup(c, "blob", &blob.len);

        blob.data = data;
        assert_int_equal(azihsm_masked_key_parse(blob, &masked), AZIHSM_OK);
        assert_int_equal(masked.version, 1);
        assert_int_equal(masked.algorithm, 1);
        assert_part(c, "iv", masked.iv);
        assert_part(c, "metadata", masked.metadata_raw);
        assert_part(c, "ciphertext", masked.ciphertext);
        assert_part(c, "tag", masked.tag);
        assert_int_equal(masked.authenticated.len, blob.len - 48);
        assert_ptr_equal(masked.authenticated.data, blob.data);
        assert_metadata(c, &masked.metadata);
        assert_laid_out_again(&masked, blob);
        free(data);
    }
    assert_true(i >= 15);
    json_decref(file);
}

/* What only a changed tag or ciphertext betrays is for the cryptography; the rest must fail here. */
static void tampered_blobs_of_the_vectors(void **state)
{
    static const char *const malformed[] = {"trailing_zero_bytes", "truncated", "zero_metadata_length"};
    json_t *file = vectors_load("ddi/masked_key.json");
    struct azihsm_masked_key masked;
    struct azihsm_bytes blob;

    (void)state;
    if (file == NULL)
        skip();
    for (size_t i = 0; i < sizeof(malformed) / sizeof(malformed[0]); i++) {
        uint8_t *data = vectors_hex_dup(vectors_named(vectors_get(file, "tampered"), malformed[i]), "blob", &blob.len);

        blob.data = data;
        assert_int_equal(azihsm_masked_key_parse(blob, &masked), AZIHSM_E_DECODE);
        free(data);
    }
    json_decref(file);
}

/* A blob of ours: 69 bytes of metadata, 3 of pad, 32 of ciphertext. */
static size_t sample(uint8_t out[512])
{
    struct azihsm_masked_metadata metadata = {
        .has_svn = true, .svn = 1, .key_type = AZIHSM_KEY_AES256, .key_length = 32};
    size_t offset, total;

    assert_int_equal(azihsm_masked_key_layout(&metadata, iv, 32, out, 512, &offset, &total), AZIHSM_OK);
    assert_int_equal(total, 220);
    assert_int_equal(offset, 140);
    return total;
}

/* The reference sizes of 6.4. */
static void metadata_sizes(void **state)
{
    struct azihsm_masked_metadata metadata = {.has_svn = true, .svn = 1, .key_type = 12, .key_length = 32};
    struct azihsm_masked_key masked;
    uint8_t out[512];
    size_t offset, total;

    (void)state;
    sample(out);
    metadata.has_key_tag = true;
    metadata.key_tag = 7;
    assert_int_equal(azihsm_masked_key_layout(&metadata, iv, 16, out, sizeof(out), &offset, &total), AZIHSM_OK);
    assert_int_equal(azihsm_masked_key_parse((struct azihsm_bytes){out, total}, &masked), AZIHSM_OK);
    assert_int_equal(masked.metadata_raw.len, 77);
    metadata.has_key_tag = false;
    metadata.key_label = (struct azihsm_bytes){(const uint8_t *)"ten bytes!", 10};
    assert_int_equal(azihsm_masked_key_layout(&metadata, iv, 16, out, sizeof(out), &offset, &total), AZIHSM_OK);
    assert_int_equal(azihsm_masked_key_parse((struct azihsm_bytes){out, total}, &masked), AZIHSM_OK);
    assert_int_equal(masked.metadata_raw.len, 79);
    assert_int_equal(masked.metadata.key_label.len, 10);
}

static void each_rule_broken_alone(void **state)
{
    static const struct {
        size_t at;
        uint8_t value;
        azihsm_rc rc;
    } cases[] = {
        {0, 2, AZIHSM_OK},       /* version: the caller's to judge */
        {2, 0, AZIHSM_E_DECODE}, /* algorithm */
        {2, 2, AZIHSM_E_DECODE}, /* GCM has another IV and tag */
        {2, 3, AZIHSM_E_DECODE},   {3, 1, AZIHSM_E_DECODE},  {4, 12, AZIHSM_E_DECODE}, /* IV */
        {4, 20, AZIHSM_E_DECODE},  {6, 4, AZIHSM_E_DECODE},                            /* pads */
        {8, 0, AZIHSM_E_DECODE},                                                       /* metadata */
        {8, 68, AZIHSM_E_DECODE},  {10, 0, AZIHSM_E_DECODE}, {10, 7, AZIHSM_E_DECODE},
        {12, 0, AZIHSM_E_DECODE}, /* ciphertext */
        {12, 16, AZIHSM_E_DECODE}, {13, 1, AZIHSM_E_DECODE}, {14, 4, AZIHSM_E_DECODE},
        {16, 0, AZIHSM_E_DECODE},                      /* tag */
        {16, 44, AZIHSM_E_DECODE}, {18, 1, AZIHSM_OK}, /* reserved: ignored when read, though the tag covers it */
        {51, 0xFF, AZIHSM_OK},
    };
    struct azihsm_masked_key masked;
    uint8_t blob[512];
    size_t len;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        len = sample(blob);
        blob[cases[i].at] = cases[i].value;
        assert_int_equal(azihsm_masked_key_parse((struct azihsm_bytes){blob, len}, &masked), cases[i].rc);
    }
}

static void changes_and_truncations_stay_inside(void **state)
{
    struct azihsm_masked_key masked;
    uint8_t blob[512];
    size_t len = sample(blob);

    (void)state;
    for (size_t cut = 0; cut < len; cut++) {
        uint8_t *in = malloc(cut > 0 ? cut : 1);

        assert_non_null(in);
        memcpy(in, blob, cut);
        assert_int_equal(azihsm_masked_key_parse((struct azihsm_bytes){in, cut}, &masked), AZIHSM_E_DECODE);
        free(in);
    }
    for (size_t at = 0; at < len; at++) {
        uint8_t *in = malloc(len);

        assert_non_null(in);
        memcpy(in, blob, len);
        for (unsigned change = 1; change < 256; change++) {
            in[at] = (uint8_t)(blob[at] ^ change);
            if (azihsm_masked_key_parse((struct azihsm_bytes){in, len}, &masked) == AZIHSM_OK) {
                assert_ptr_equal(masked.tag.data + masked.tag.len, in + len);
                assert_ptr_equal(masked.authenticated.data + masked.authenticated.len, masked.tag.data);
            }
        }
        free(in);
    }
}

static void refuses_what_cannot_be_laid_out(void **state)
{
    static const uint8_t label[129];
    struct azihsm_masked_metadata metadata = {.key_type = 12};
    uint8_t out[512];
    size_t offset, total;

    (void)state;
    assert_int_equal(azihsm_masked_key_layout(&metadata, iv, 0, out, sizeof(out), &offset, &total), AZIHSM_E_ARGUMENT);
    assert_int_equal(azihsm_masked_key_layout(&metadata, iv, 17, out, sizeof(out), &offset, &total), AZIHSM_E_ARGUMENT);
    assert_int_equal(azihsm_masked_key_layout(&metadata, iv, 0x10000, out, sizeof(out), &offset, &total),
                     AZIHSM_E_ARGUMENT);
    for (size_t cap = 0; cap < 200; cap++)
        assert_int_equal(azihsm_masked_key_layout(&metadata, iv, 32, out, cap, &offset, &total), AZIHSM_E_ENCODE);
    metadata.key_label = (struct azihsm_bytes){label, 129};
    assert_int_equal(azihsm_masked_key_layout(&metadata, iv, 32, out, sizeof(out), &offset, &total), AZIHSM_E_ENCODE);
    metadata.key_label.len = 128;
    assert_int_equal(azihsm_masked_key_layout(&metadata, iv, 32, out, sizeof(out), &offset, &total), AZIHSM_OK);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(blobs_of_the_vectors),
        cmocka_unit_test(tampered_blobs_of_the_vectors),
        cmocka_unit_test(metadata_sizes),
        cmocka_unit_test(each_rule_broken_alone),
        cmocka_unit_test(changes_and_truncations_stay_inside),
        cmocka_unit_test(refuses_what_cannot_be_laid_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
