/*
 * Wire forms (6.5, 6.6): keys, digests, signatures and integers of the vectors, alone and inside messages of the
 * physical profile, and everything 6.6 says must fail.
 */
#include "vectors.h"

#include <azihsm/ddi.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

/* A hex field as bytes in memory of exactly their size. */
static struct azihsm_bytes take(const json_t *object, const char *field)
{
    struct azihsm_bytes value;

    value.data = vectors_hex_dup(object, field, &value.len);
    return value;
}

static void drop(struct azihsm_bytes value)
{
    free((void *)(uintptr_t)value.data);
}

static void assert_bytes(struct azihsm_bytes value, struct azihsm_bytes wanted)
{
    assert_int_equal(value.len, wanted.len);
    assert_memory_equal(value.data, wanted.data, wanted.len);
}

static void raw_becomes_der(const json_t *key)
{
    struct azihsm_bytes der = take(key, "public_der"), raw = take(key, "public_raw_le");
    uint32_t kind = (uint32_t)vectors_number(key, "public_key_kind");
    uint8_t *out = malloc(der.len);
    size_t len = 0;

    assert_non_null(out);
    assert_int_equal(azihsm_form_raw_to_spki(kind, raw, out, der.len, &len), AZIHSM_OK);
    assert_bytes((struct azihsm_bytes){out, len}, der);
    assert_int_equal(azihsm_form_raw_to_spki(kind, raw, out, der.len - 1, &len), AZIHSM_E_ENCODE);
    free(out);
    drop(der);
    drop(raw);
}

static void ecc_keys(void **state)
{
    json_t *file = vectors_load("ddi/wire_forms.json");
    const json_t *key;
    size_t i;

    (void)state;
    if (file == NULL)
        skip();
    json_array_foreach(vectors_get(file, "ecc_public_keys"), i, key)
    {
        struct azihsm_bytes der = take(key, "public_der"), raw = take(key, "public_raw_le");
        uint8_t out[136];
        uint32_t curve = 0;
        size_t len = 0;

        raw_becomes_der(key);
        assert_int_equal(azihsm_form_ecc_spki_to_raw(der, &curve, out, &len), AZIHSM_OK);
        assert_int_equal(curve, azihsm_key_kind_curve((uint32_t)vectors_number(key, "public_key_kind")));
        assert_bytes((struct azihsm_bytes){out, len}, raw);
        drop(der);
        drop(raw);
    }
    assert_true(i >= 9);
    json_decref(file);
}

static void rsa_keys(void **state)
{
    json_t *file = vectors_load("ddi/wire_forms.json");
    const json_t *key;
    size_t i;

    (void)state;
    if (file == NULL)
        skip();
    json_array_foreach(vectors_get(file, "rsa_public_keys"), i, key)
    {
        raw_becomes_der(key);
    }
    assert_true(i >= 3);
    json_decref(file);
}

/* Every byte of the DER except the point, every wrong length: not a key of ours. */
static void only_uncompressed_named_curve_keys_are_read(void **state)
{
    static const char *const prefixes[] = {"3059301306072a8648ce3d020106082a8648ce3d030107034200"
                                           "04",
                                           "3076301006072a8648ce3d020106052b81040022036200"
                                           "04",
                                           "30819b301006072a8648ce3d020106052b8104002303818600"
                                           "04"};
    uint8_t der[160] = {0}, raw[136];
    uint32_t curve;
    size_t len;

    (void)state;
    for (uint32_t c = 1; c <= 3; c++) {
        size_t prefix = hex_decode(prefixes[c - 1], der, sizeof(der));
        size_t total = prefix + 2 * azihsm_curve_coordinate_size(c);

        assert_int_equal(azihsm_form_ecc_spki_to_raw((struct azihsm_bytes){der, total}, &curve, raw, &len), AZIHSM_OK);
        for (size_t cut = 0; cut < sizeof(der); cut++)
            if (cut != total)
                assert_int_equal(azihsm_form_ecc_spki_to_raw((struct azihsm_bytes){der, cut}, &curve, raw, &len),
                                 AZIHSM_E_DECODE);
        for (size_t at = 0; at < prefix; at++) {
            der[at] ^= 1;
            assert_int_equal(azihsm_form_ecc_spki_to_raw((struct azihsm_bytes){der, total}, &curve, raw, &len),
                             AZIHSM_E_DECODE);
            der[at] ^= 1;
        }
    }
}

/* Exactly 64, 96, 136 bytes for EC kinds; RSA kinds take what is there, missing bytes count as zero. */
static void raw_key_lengths(void **state)
{
    uint8_t raw[600] = {1}, out[AZIHSM_PUB_KEY_MAX];
    size_t len;

    (void)state;
    for (uint32_t kind = 0; kind < 40; kind++) {
        for (size_t n = 0; n < sizeof(raw); n++) {
            azihsm_rc rc = azihsm_form_raw_to_spki(kind, (struct azihsm_bytes){raw, n}, out, sizeof(out), &len);
            bool right = (kind >= 19 && kind <= 21) || (kind == 22 && n == 64) || (kind == 23 && n == 96) ||
                         (kind == 24 && n == 136);

            assert_int_equal(rc, right ? AZIHSM_OK : AZIHSM_E_DECODE);
        }
    }
}

/* Encodes for the physical profile and reads what is on the wire. */
static azihsm_rc on_the_wire(uint32_t op, const void *body, uint8_t frame[AZIHSM_FRAME_MAX], void *seen)
{
    struct azihsm_req_hdr hdr = {.has_rev = true, .rev = {1, 0}, .op = op};
    size_t len, offset;
    azihsm_rc rc = azihsm_ddi_encode_request(AZIHSM_DEVICE_PHYSICAL, &hdr, body, frame, AZIHSM_FRAME_MAX, &len);

    if (rc != AZIHSM_OK)
        return rc;
    assert_int_equal(azihsm_ddi_decode_request_header(frame, len, &hdr, &offset), AZIHSM_OK);
    return azihsm_ddi_decode_request_body(op, frame, len, offset, seen);
}

/* Sends a response in wire form and decodes it as a client of the physical profile. */
static azihsm_rc off_the_wire(uint32_t op, const void *body, uint8_t frame[AZIHSM_FRAME_MAX], void *seen,
                              struct azihsm_scratch *scratch)
{
    struct azihsm_resp_hdr hdr = {.op = op};
    size_t len;

    assert_int_equal(azihsm_ddi_encode_response(&hdr, body, frame, AZIHSM_FRAME_MAX, &len), AZIHSM_OK);
    return azihsm_ddi_decode_response(AZIHSM_DEVICE_PHYSICAL, op, frame, len, &hdr, seen, scratch);
}

static void digests_and_signatures(void **state)
{
    json_t *file = vectors_load("ddi/wire_forms.json");
    uint8_t frame[AZIHSM_FRAME_MAX];
    struct azihsm_scratch scratch;
    const json_t *c;
    size_t i;

    (void)state;
    if (file == NULL)
        skip();
    json_array_foreach(vectors_get(file, "ecc_sign"), i, c)
    {
        struct azihsm_bytes digest = take(c, "digest"), digest_wire = take(c, "digest_physical");
        struct azihsm_bytes signature = take(c, "signature"), signature_wire = take(c, "signature_physical");
        struct azihsm_ecc_sign_req request = {1, digest, (uint32_t)vectors_number(c, "digest_algo")};
        struct azihsm_ecc_sign_resp response = {signature_wire};

        assert_int_equal(on_the_wire(AZIHSM_OP_ECC_SIGN, &request, frame, &request), AZIHSM_OK);
        assert_bytes(request.digest, digest_wire);
        assert_int_equal(off_the_wire(AZIHSM_OP_ECC_SIGN, &response, frame, &response, &scratch), AZIHSM_OK);
        assert_bytes(response.signature, signature);
        drop(digest);
        drop(digest_wire);
        drop(signature);
        drop(signature_wire);
    }
    assert_true(i >= 12);
    json_decref(file);
}

static void rsa_integers(void **state)
{
    json_t *file = vectors_load("ddi/wire_forms.json");
    uint8_t frame[AZIHSM_FRAME_MAX];
    struct azihsm_scratch scratch;
    const json_t *c;
    size_t i;

    (void)state;
    if (file == NULL)
        skip();
    json_array_foreach(vectors_get(file, "rsa_mod_exp"), i, c)
    {
        struct azihsm_bytes y = take(c, "y"), y_wire = take(c, "y_physical");
        struct azihsm_bytes x = take(c, "x"), x_wire = take(c, "x_physical");
        struct azihsm_rsa_mod_exp_req request = {1, y, AZIHSM_RSA_SIGN};
        struct azihsm_rsa_mod_exp_resp response = {x_wire};

        assert_int_equal(on_the_wire(AZIHSM_OP_RSA_MOD_EXP, &request, frame, &request), AZIHSM_OK);
        assert_bytes(request.y, y_wire);
        assert_int_equal(off_the_wire(AZIHSM_OP_RSA_MOD_EXP, &response, frame, &response, &scratch), AZIHSM_OK);
        assert_bytes(response.x, x);
        drop(y);
        drop(y_wire);
        drop(x);
        drop(x_wire);
    }
    assert_true(i >= 6);
    json_decref(file);
}

static void wrapped_blobs(void **state)
{
    json_t *file = vectors_load("ddi/rsa_unwrap.json");
    uint8_t frame[AZIHSM_FRAME_MAX];
    const json_t *c;
    size_t i;

    (void)state;
    if (file == NULL)
        skip();
    json_array_foreach(vectors_get(file, "cases"), i, c)
    {
        struct azihsm_bytes blob = take(c, "blob"), wire = take(c, "blob_physical");
        struct azihsm_rsa_unwrap_req request = {.wrapped_blob = blob};

        assert_int_equal(on_the_wire(AZIHSM_OP_RSA_UNWRAP, &request, frame, &request), AZIHSM_OK);
        assert_bytes(request.wrapped_blob, wire);
        drop(blob);
        drop(wire);
    }
    assert_true(i > 0);
    json_decref(file);
}

static void requests_that_have_no_wire_form(void **state)
{
    static const uint8_t zero[1024];
    uint8_t frame[AZIHSM_FRAME_MAX];
    struct azihsm_establish_credential_req establish = {.pota_sig = {zero, 95}};
    struct azihsm_rsa_unwrap_req unwrap = {.wrapped_blob = {zero, 255}};
    struct azihsm_ecc_sign_req sign = {.digest = {zero, 69}};
    struct azihsm_ecdh_req ecdh = {.pub_key_der = {zero, 91}};

    (void)state;
    assert_int_equal(on_the_wire(AZIHSM_OP_RSA_UNWRAP, &unwrap, frame, &unwrap), AZIHSM_E_ENCODE);
    unwrap.wrapped_blob = (struct azihsm_bytes){zero, 256};
    assert_int_equal(on_the_wire(AZIHSM_OP_RSA_UNWRAP, &unwrap, frame, &unwrap), AZIHSM_OK);
    assert_int_equal(on_the_wire(AZIHSM_OP_ECC_SIGN, &sign, frame, &sign), AZIHSM_E_ENCODE);
    assert_int_equal(on_the_wire(AZIHSM_OP_ECDH_KEY_EXCHANGE, &ecdh, frame, &ecdh), AZIHSM_E_ENCODE);
    assert_int_equal(on_the_wire(AZIHSM_OP_ESTABLISH_CREDENTIAL, &establish, frame, &establish), AZIHSM_E_ENCODE);
}

/* An endorsement goes out as two reversed halves, and both keys of the message as raw coordinates. */
static void establish_credential(void **state)
{
    uint8_t frame[AZIHSM_FRAME_MAX], der[120], signature[96], der256[91];
    struct azihsm_establish_credential_req request, seen;

    (void)state;
    hex_decode("3076301006072a8648ce3d020106052b8104002203620004", der, sizeof(der));
    hex_decode("3059301306072a8648ce3d020106082a8648ce3d03010703420004", der256, sizeof(der256));
    for (size_t i = 0; i < 96; i++)
        der[24 + i] = signature[i] = (uint8_t)i;
    memset(der256 + 27, 7, 64);
    memset(&request, 0, sizeof(request));
    request.pub_key = request.pota_pub_key = (struct azihsm_pub_key){{der, sizeof(der)}, AZIHSM_KEY_ECC384_PUBLIC};
    request.pota_sig = (struct azihsm_bytes){signature, sizeof(signature)};
    assert_int_equal(on_the_wire(AZIHSM_OP_ESTABLISH_CREDENTIAL, &request, frame, &seen), AZIHSM_OK);
    assert_int_equal(seen.pota_sig.len, 96);
    assert_int_equal(seen.pota_pub_key.der.len, 96);
    for (size_t i = 0; i < 96; i++) {
        size_t wire = i < 48 ? 47 - i : 143 - i;

        assert_int_equal(seen.pota_sig.data[i], wire);
        assert_int_equal(seen.pub_key.der.data[i], wire);
        assert_int_equal(seen.pota_pub_key.der.data[i], wire);
    }
    /* The kind must name the curve of the DER, and be an EC kind. */
    request.pota_pub_key.der = (struct azihsm_bytes){der256, sizeof(der256)};
    assert_int_equal(on_the_wire(AZIHSM_OP_ESTABLISH_CREDENTIAL, &request, frame, &seen), AZIHSM_E_ENCODE);
    request.pota_pub_key.key_kind = AZIHSM_KEY_ECC256_PUBLIC;
    assert_int_equal(on_the_wire(AZIHSM_OP_ESTABLISH_CREDENTIAL, &request, frame, &seen), AZIHSM_OK);
    request.pota_pub_key.key_kind = AZIHSM_KEY_RSA2K_PUBLIC;
    assert_int_equal(on_the_wire(AZIHSM_OP_ESTABLISH_CREDENTIAL, &request, frame, &seen), AZIHSM_E_ENCODE);
}

/* Two formed fields in one response; an empty signature, as the simulator sends it, is none of this profile. */
static void encryption_key_responses(void **state)
{
    static const uint8_t raw[96] = {1}, signature[96] = {2};
    struct azihsm_encryption_key_resp response = {.pub_key = {{raw, 96}, AZIHSM_KEY_ECC384_PUBLIC},
                                                  .pub_key_signature = {signature, 96}},
                                      seen;
    uint8_t frame[AZIHSM_FRAME_MAX];
    struct azihsm_scratch scratch;

    (void)state;
    assert_int_equal(off_the_wire(AZIHSM_OP_GET_SESSION_ENCRYPTION_KEY, &response, frame, &seen, &scratch), AZIHSM_OK);
    assert_int_equal(seen.pub_key.der.len, 120);
    assert_int_equal(seen.pub_key.der.data[24 + 47], 1);
    assert_int_equal(seen.pub_key_signature.len, 96);
    assert_int_equal(seen.pub_key_signature.data[47], 2);
    assert_int_equal(scratch.used, 216);
    for (size_t len = 0; len < 96; len++) {
        response.pub_key_signature.len = len;
        assert_int_equal(off_the_wire(AZIHSM_OP_GET_SESSION_ENCRYPTION_KEY, &response, frame, &seen, &scratch),
                         len == 64 ? AZIHSM_OK : AZIHSM_E_DECODE);
    }
    response.pub_key_signature.len = 96;
    response.pub_key.der.len = 95;
    assert_int_equal(off_the_wire(AZIHSM_OP_GET_SESSION_ENCRYPTION_KEY, &response, frame, &seen, &scratch),
                     AZIHSM_E_DECODE);
}

static void scratch_is_needed(void **state)
{
    struct azihsm_ecc_sign_resp seen;
    uint8_t frame[AZIHSM_FRAME_MAX];

    (void)state;
    assert_int_equal(off_the_wire(AZIHSM_OP_ECC_SIGN, NULL, frame, &seen, NULL), AZIHSM_E_ARGUMENT);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(ecc_keys),
        cmocka_unit_test(rsa_keys),
        cmocka_unit_test(only_uncompressed_named_curve_keys_are_read),
        cmocka_unit_test(raw_key_lengths),
        cmocka_unit_test(digests_and_signatures),
        cmocka_unit_test(rsa_integers),
        cmocka_unit_test(wrapped_blobs),
        cmocka_unit_test(requests_that_have_no_wire_form),
        cmocka_unit_test(establish_credential),
        cmocka_unit_test(encryption_key_responses),
        cmocka_unit_test(scratch_is_needed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
