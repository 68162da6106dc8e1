/*
 * Fuzz target: key files, PEM or DER. What is accepted can be written again, and then reads the same.
 */
#include "../../provider/keyfile.h"

#include "fuzz.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

static int same(struct azihsm_bytes a, struct azihsm_bytes b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct keyfile file, again;
    char why[100] = "";
    uint8_t *der = NULL;
    size_t der_len;
    enum keyfile_result result = keyfile_parse((struct azihsm_bytes){data, len}, &file, why, sizeof(why));

    PROMISE((result == KEYFILE_BAD || result == KEYFILE_FAILED) == (why[0] != '\0'));
    PROMISE(ERR_peek_error() == 0);
    if (result == KEYFILE_OK) {
        PROMISE(file.blob.len > 0 && strlen(file.label) <= KEYFILE_LABEL_MAX);
        PROMISE(keyfile_encode(&file, &der, &der_len));
        PROMISE(keyfile_decode((struct azihsm_bytes){der, der_len}, &again, why, sizeof(why)) == KEYFILE_OK);
        PROMISE(same(file.blob, again.blob) && same(file.spki, again.spki) && file.usage == again.usage);
        PROMISE(strcmp(file.label, again.label) == 0 && file.has_hint == again.has_hint);
        keyfile_clear(&again);
        OPENSSL_free(der);
    }
    keyfile_clear(&file);
    return 0;
}

/* Made by hand: an EC key file, a symmetric one, and both kinds of text. */
void fuzz_seeds(void (*visit)(void *context, const uint8_t *data, size_t len), void *context)
{
    static const uint8_t spki[] = {0x30, 0x11, 0x30, 0x09, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce,
                                   0x3d, 0x02, 0x01, 0x03, 0x04, 0x00, 0x04, 0x01, 0x02};
    static const uint8_t algorithm[] = {0x30, 0x0b, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x2a};
    struct keyfile files[] = {
        {.blob = {(const uint8_t *)"masked", 6},
         .spki = {spki, sizeof(spki)},
         .usage = AZIHSM_USAGE_SIGN,
         .label = "a label",
         .has_hint = true},
        {.blob = {(const uint8_t *)"secret", 6}, .algorithm = {algorithm, sizeof(algorithm)}},
    };
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        uint8_t *der, *pem;
        size_t len;
        PROMISE(keyfile_encode(&files[i], &der, &len));
        visit(context, der, len);
        OPENSSL_free(der);
        PROMISE(keyfile_encode_pem(&files[i], &pem, &len));
        visit(context, pem, len);
        OPENSSL_free(pem);
    }
}
