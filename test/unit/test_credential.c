/*
 * The credential protocol: the device side against the vectors, the client side against the device side, and every
 * byte of a message tampered with.
 */
#include "crypto_support.h"

#include "crypto/credential.h"

static enum credential_form form_of(const json_t *entry)
{
    const char *command = vectors_string(entry, "command");

    if (strcmp(command, "EstablishCredential") == 0)
        return CREDENTIAL_ESTABLISH;
    return strcmp(command, "ChangePin") == 0 ? CREDENTIAL_CHANGE_PIN : CREDENTIAL_SESSION;
}

static void optional_hex(const json_t *object, const char *field, uint8_t *out, size_t len)
{
    memset(out, 0, len);
    if (vectors_has(object, field))
        assert_int_equal(vectors_hex(object, field, out, len), len);
}

static void read_case(const json_t *entry, struct credential_sealed *sealed, struct credential_fields *plain)
{
    const json_t *encrypted = vectors_get(entry, "ciphertext"), *fields = vectors_get(entry, "plaintext");

    optional_hex(encrypted, "encrypted_id", sealed->encrypted.id, sizeof(sealed->encrypted.id));
    optional_hex(encrypted, "encrypted_pin", sealed->encrypted.pin, sizeof(sealed->encrypted.pin));
    optional_hex(encrypted, "encrypted_seed", sealed->encrypted.seed, sizeof(sealed->encrypted.seed));
    optional_hex(entry, "iv", sealed->iv, sizeof(sealed->iv));
    optional_hex(entry, "nonce", sealed->nonce, sizeof(sealed->nonce));
    optional_hex(entry, "tag", sealed->tag, sizeof(sealed->tag));
    optional_hex(fields, "id", plain->id, sizeof(plain->id));
    optional_hex(fields, "pin", plain->pin, sizeof(plain->pin));
    optional_hex(fields, "seed", plain->seed, sizeof(plain->seed));
}

static void vectors_open(void **state)
{
    json_t *file = vectors_load("ddi/credential.json");
    struct credential_fields plain, got;
    struct credential_sealed sealed;
    const json_t *entry;
    size_t i;

    (void)state;
    if (file == NULL)
        skip();
    assert_true(json_array_size(vectors_get(file, "cases")) >= 5);
    json_array_foreach(vectors_get(file, "cases"), i, entry)
    {
        EVP_PKEY *device = ec_private(vectors_get(entry, "device_key"), "private_scalar", "public_der");
        EVP_PKEY *client = ec_private(vectors_get(entry, "client_key"), "private_scalar", "public_der");

        read_case(entry, &sealed, &plain);
        assert_int_equal(credential_open(libctx, form_of(entry), device, client, sealed.nonce, &sealed, &got),
                         AZIHSM_OK);
        assert_memory_equal(&got, &plain, sizeof(plain));
        /* the same secret from the other end */
        assert_int_equal(credential_open(libctx, form_of(entry), client, device, sealed.nonce, &sealed, &got),
                         AZIHSM_OK);
        assert_memory_equal(&got, &plain, sizeof(plain));
        EVP_PKEY_free(device);
        EVP_PKEY_free(client);
    }
    json_decref(file);
}

/* Field name of the vectors to bytes of the message; NULL for what is judged elsewhere (nonce, keys). */
static uint8_t *field_of(struct credential_sealed *sealed, const char *name, size_t *len)
{
    *len = 16;
    if (strcmp(name, "encrypted_id") == 0)
        return sealed->encrypted.id;
    if (strcmp(name, "encrypted_pin") == 0)
        return sealed->encrypted.pin;
    if (strcmp(name, "iv") == 0)
        return sealed->iv;
    *len = 48;
    if (strcmp(name, "encrypted_seed") == 0)
        return sealed->encrypted.seed;
    return strcmp(name, "tag") == 0 ? sealed->tag : NULL;
}

static void refused_vectors_are_refused(void **state)
{
    json_t *file = vectors_load("ddi/credential.json");
    struct credential_fields plain, got;
    struct credential_sealed sealed;
    const json_t *refused;
    size_t i, len, judged = 0;

    (void)state;
    if (file == NULL)
        skip();
    json_array_foreach(vectors_get(file, "refused"), i, refused)
    {
        const json_t *entry = vectors_named(vectors_get(file, "cases"), vectors_string(refused, "based_on"));
        EVP_PKEY *device = ec_private(vectors_get(entry, "device_key"), "private_scalar", "public_der");
        EVP_PKEY *client = ec_private(vectors_get(entry, "client_key"), "private_scalar", "public_der");
        uint8_t *field;

        read_case(entry, &sealed, &plain);
        field = field_of(&sealed, vectors_string(refused, "field"), &len);
        if (field != NULL) {
            assert_int_equal(vectors_hex(refused, "value", field, len), len);
            assert_int_equal(credential_open(libctx, form_of(entry), device, client, sealed.nonce, &sealed, &got),
                             vectors_number(refused, "expected_status"));
            judged++;
        }
        EVP_PKEY_free(device);
        EVP_PKEY_free(client);
    }
    assert_true(judged >= 5);
    json_decref(file);
}

static const enum credential_form forms[] = {CREDENTIAL_ESTABLISH, CREDENTIAL_SESSION, CREDENTIAL_CHANGE_PIN};

/* Seals known fields to a device key; *client is the ephemeral key as the device decodes it. */
static void seal(EVP_PKEY *device, enum credential_form form, struct credential_fields *fields,
                 struct credential_sealed *sealed, EVP_PKEY **client)
{
    uint8_t nonce[AZIHSM_NONCE_SIZE], spki[CREDENTIAL_SPKI_SIZE];

    for (size_t i = 0; i < sizeof(*fields); i++)
        ((uint8_t *)fields)[i] = (uint8_t)(i + 1);
    memset(nonce, 0x77, sizeof(nonce));
    memset(sealed, 0, sizeof(*sealed));
    assert_int_equal(credential_seal(libctx, form, device, nonce, fields, sealed, spki), AZIHSM_OK);
    assert_memory_equal(sealed->nonce, nonce, sizeof(nonce));
    assert_int_equal(spki_decode(libctx, view(spki, sizeof(spki)), client), AZIHSM_OK);
}

static void what_a_client_seals_the_device_opens(void **state)
{
    EVP_PKEY *device = EVP_PKEY_Q_keygen(libctx, NULL, "EC", "P-384"), *client;
    struct credential_fields fields, expected, got;
    struct credential_sealed sealed;

    (void)state;
    for (size_t i = 0; i < COUNT(forms); i++) {
        seal(device, forms[i], &fields, &sealed, &client);
        memset(&expected, 0, sizeof(expected));
        memcpy(expected.pin, fields.pin, sizeof(fields.pin));
        if (forms[i] != CREDENTIAL_CHANGE_PIN)
            memcpy(expected.id, fields.id, sizeof(fields.id));
        if (forms[i] == CREDENTIAL_SESSION)
            memcpy(expected.seed, fields.seed, sizeof(fields.seed));
        assert_int_equal(credential_open(libctx, forms[i], device, client, sealed.nonce, &sealed, &got), AZIHSM_OK);
        assert_memory_equal(&got, &expected, sizeof(got));
        assert_true(memcmp(sealed.encrypted.pin, fields.pin, 16) != 0);
        EVP_PKEY_free(client);
    }
    EVP_PKEY_free(device);
}

static void every_changed_byte_is_noticed(void **state)
{
    EVP_PKEY *device = EVP_PKEY_Q_keygen(libctx, NULL, "EC", "P-384"), *client;
    static const struct credential_fields zero;
    struct credential_fields fields, got;
    struct credential_sealed sealed;
    uint8_t *bytes = (uint8_t *)&sealed;

    (void)state;
    seal(device, CREDENTIAL_SESSION, &fields, &sealed, &client);
    for (size_t i = 0; i < sizeof(sealed); i += 3) {
        uint8_t nonce[AZIHSM_NONCE_SIZE];

        bytes[i] ^= 0x10;
        memcpy(nonce, sealed.nonce, sizeof(nonce));
        assert_int_equal(credential_open(libctx, CREDENTIAL_SESSION, device, client, nonce, &sealed, &got),
                         AZIHSM_STATUS_PIN_DECRYPTION_FAILED);
        assert_memory_equal(&got, &zero, sizeof(got));
        bytes[i] ^= 0x10;
    }
    /* another client's key, another form */
    assert_int_equal(credential_open(libctx, CREDENTIAL_SESSION, device, device, sealed.nonce, &sealed, &got),
                     AZIHSM_STATUS_PIN_DECRYPTION_FAILED);
    assert_int_equal(credential_open(libctx, CREDENTIAL_ESTABLISH, device, client, sealed.nonce, &sealed, &got),
                     AZIHSM_STATUS_PIN_DECRYPTION_FAILED);
    assert_int_equal(credential_open(libctx, CREDENTIAL_SESSION, device, client, sealed.nonce, &sealed, &got),
                     AZIHSM_OK);
    EVP_PKEY_free(client);
    EVP_PKEY_free(device);
}

static void only_p384_keys_are_sealed_to(void **state)
{
    EVP_PKEY *other = EVP_PKEY_Q_keygen(libctx, NULL, "EC", "P-256");
    uint8_t nonce[AZIHSM_NONCE_SIZE] = {0}, spki[CREDENTIAL_SPKI_SIZE];
    struct credential_fields fields = {{1}, {1}, {1}};
    struct credential_sealed sealed;

    (void)state;
    assert_int_equal(credential_seal(libctx, CREDENTIAL_SESSION, other, nonce, &fields, &sealed, spki),
                     AZIHSM_E_ARGUMENT);
    EVP_PKEY_free(other);
}

static void zero_credentials_are_recognised(void **state)
{
    uint8_t value[AZIHSM_CREDENTIAL_SIZE] = {0};

    (void)state;
    assert_true(credential_is_zero(value));
    for (size_t i = 0; i < sizeof(value); i++) {
        value[i] = 0x80;
        assert_false(credential_is_zero(value));
        value[i] = 0;
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors_open),
        cmocka_unit_test(refused_vectors_are_refused),
        cmocka_unit_test(what_a_client_seals_the_device_opens),
        cmocka_unit_test(every_changed_byte_is_noticed),
        cmocka_unit_test(only_p384_keys_are_sealed_to),
        cmocka_unit_test(zero_credentials_are_recognised),
    };

    return cmocka_run_group_tests(tests, setup_libctx, teardown_libctx);
}
