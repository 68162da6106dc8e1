/*
 * Encoders of our keys. The private half of a device key is written as its key file; everything else, and everything of
 * carried keys, is what the default provider makes of the inner key.
 */
#include "algorithms.h"
#include "keyload.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/encoder.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <stdio.h>
#include <string.h>

enum { PRIVATE = OSSL_KEYMGMT_SELECT_PRIVATE_KEY, PUBLIC = OSSL_KEYMGMT_SELECT_PUBLIC_KEY };

struct encoder_kind {
    const char *output;    /* "DER", "PEM", "TEXT" */
    const char *structure; /* NULL for text */
    int selection;         /* the most it encodes */
    bool encrypted;
};

struct encoder {
    struct provider *provider;
    const struct encoder_kind *kind;
    char *cipher; /* NULL: no encryption asked for */
};

static OSSL_FUNC_encoder_freectx_fn encoder_free;
static OSSL_FUNC_encoder_settable_ctx_params_fn encoder_settable;
static OSSL_FUNC_encoder_set_ctx_params_fn encoder_set_params;
static OSSL_FUNC_encoder_encode_fn encoder_encode;

static void *encoder_new(void *provctx, const struct encoder_kind *kind)
{
    struct encoder *encoder = OPENSSL_zalloc(sizeof(*encoder));
    if (encoder == NULL)
        return NULL;
    encoder->provider = provctx;
    encoder->kind = kind;
    return encoder;
}

static void encoder_free(void *ctx)
{
    struct encoder *encoder = ctx;
    if (encoder != NULL)
        OPENSSL_free(encoder->cipher);
    OPENSSL_free(encoder);
}

static const OSSL_PARAM *encoder_settable(void *provctx)
{
    static const OSSL_PARAM settable[] = {
        OSSL_PARAM_utf8_string(OSSL_ENCODER_PARAM_CIPHER, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_ENCODER_PARAM_PROPERTIES, NULL, 0),
        OSSL_PARAM_END,
    };
    (void)provctx;
    return settable;
}

static int encoder_set_params(void *ctx, const OSSL_PARAM params[])
{
    struct encoder *encoder = ctx;
    const OSSL_PARAM *p = OSSL_PARAM_locate_const(params, OSSL_ENCODER_PARAM_CIPHER);
    if (p == NULL)
        return 1;
    OPENSSL_free(encoder->cipher);
    encoder->cipher = NULL;
    /* no string: encryption is taken back */
    return p->data == NULL || OSSL_PARAM_get_utf8_string(p, &encoder->cipher, 0);
}

/* The most demanding part that is asked for decides, as in the default provider. */
static int covers(const struct encoder_kind *kind, int selection)
{
    static const int parts[] = {PRIVATE, PUBLIC, OSSL_KEYMGMT_SELECT_ALL_PARAMETERS};
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        if ((selection & parts[i]) != 0)
            return (kind->selection & parts[i]) != 0;
    return 1;
}

/* ---- what is encoded ---- */

/*
 * A full disk shows when the buffer of a file is written, and programs close files without looking. Only the file is
 * asked, wherever it is below: to a filter (base64, a cipher) a flush is the end of its data, and not every BIO has
 * one.
 */
static int file_flushed(BIO *bio)
{
    FILE *file = NULL;
    bool found;

    ERR_set_mark();
    found = BIO_get_fp(bio, &file) > 0 && file != NULL;
    ERR_pop_to_mark();
    return !found || fflush(file) == 0;
}

static int write_out(const struct encoder *encoder, OSSL_CORE_BIO *out, const void *data, size_t len)
{
    size_t written = 0;
    BIO *bio = provider_bio(encoder->provider, out);
    int ok;

    errno = 0;
    ok = bio != NULL && BIO_write_ex(bio, data, len, &written) && written == len && file_flushed(bio);
    if (bio != NULL && !ok)
        raise_error(encoder->provider, REASON_FILE, "the key could not be written%s%s", errno != 0 ? ": " : "",
                    errno != 0 ? strerror(errno) : "");
    BIO_free(bio);
    return ok;
}

static int encode_inner(const struct encoder *encoder, OSSL_CORE_BIO *out, const struct key *key, int selection,
                        OSSL_PASSPHRASE_CALLBACK *callback, void *arg)
{
    /* genpkey asks for the private half of what it made; of the unwrapping key there is only the other one */
    const char *structure = encoder->kind->structure;
    if (key_is_unwrapping(key)) {
        selection = PUBLIC;
        structure = structure == NULL ? NULL : "SubjectPublicKeyInfo";
    }
    unsigned char *data = NULL;
    size_t len = 0;
    int ok = 0;
    OSSL_ENCODER_CTX *ctx =
        OSSL_ENCODER_CTX_new_for_pkey(key_inner(key), selection, encoder->kind->output, structure, NULL);
    if (ctx == NULL)
        return 0;
    if (encoder->cipher != NULL && !OSSL_ENCODER_CTX_set_cipher(ctx, encoder->cipher, NULL))
        goto end;
    if (callback != NULL && !OSSL_ENCODER_CTX_set_passphrase_cb(ctx, callback, arg))
        goto end;
    ok = OSSL_ENCODER_to_data(ctx, &data, &len) && write_out(encoder, out, data, len);
    OPENSSL_clear_free(data, len);
end:
    OSSL_ENCODER_CTX_free(ctx);
    return ok;
}

static int encode_key_file(const struct encoder *encoder, OSSL_CORE_BIO *out, const struct key *key)
{
    struct provider *provider = encoder->provider;
    bool pem = strcmp(encoder->kind->output, "PEM") == 0;
    struct keyfile file;
    uint8_t *data = NULL;
    size_t len = 0;
    int ok = 0;

    if (encoder->cipher != NULL || encoder->kind->encrypted)
        return raise_error(provider, REASON_ENCRYPTED_OUTPUT,
                           "the key in it is encrypted by the device already: ask for no cipher");
    if (key_device(key) == NULL)
        return key_check_private(key, AZIHSM_USAGE_SIGN) && raise_error(provider, REASON_DEVICE_KEY, "no masked key");
    if ((azihsm_key_flags(key_device(key)) & AZIHSM_ATTR_SESSION) != 0)
        return raise_error(provider, REASON_UNSUPPORTED,
                           "a session key dies with this process and cannot be kept in a file");
    if (keyload_describe(key, &file)) {
        file.extended = true;
        if (pem ? keyfile_encode_pem(&file, &data, &len) : keyfile_encode(&file, &data, &len))
            ok = write_out(encoder, out, data, len);
        else
            raise_error(provider, REASON_HOST_CRYPTO, "the key file could not be encoded");
    }
    OPENSSL_free(data);
    keyfile_clear(&file);
    return ok;
}

static int encode_text(const struct encoder *encoder, OSSL_CORE_BIO *out, const struct key *key, int selection,
                       OSSL_PASSPHRASE_CALLBACK *callback, void *arg)
{
    static const struct {
        enum azihsm_usage usage;
        const char *word;
    } uses[] = {{AZIHSM_USAGE_SIGN, "sign"}, {AZIHSM_USAGE_DECRYPT, "decrypt"}, {AZIHSM_USAGE_DERIVE, "derive"}};
    struct azihsm_bytes label = key_label(key);
    BIO *bio = provider_bio(encoder->provider, out);
    if (bio == NULL)
        return 0;
    BIO_printf(bio, "Private-Key: (%d bit, held by the Azure Integrated HSM)\nuse:", key_bits(key));
    for (size_t i = 0; i < sizeof(uses) / sizeof(uses[0]); i++)
        if (key_permits(key, uses[i].usage))
            BIO_printf(bio, " %s", uses[i].word);
    BIO_printf(bio, "\n");
    if (label.len > 0)
        BIO_printf(bio, "label: %.*s\n", (int)label.len, (const char *)label.data);
    BIO_free(bio);
    return encode_inner(encoder, out, key, (selection & ~PRIVATE) | PUBLIC, callback, arg);
}

static int encoder_encode(void *ctx, OSSL_CORE_BIO *out, const void *object, const OSSL_PARAM abstract[], int selection,
                          OSSL_PASSPHRASE_CALLBACK *callback, void *arg)
{
    const struct encoder *encoder = ctx;
    const struct key *key = object;
    if (key == NULL || abstract != NULL)
        return raise_error(encoder->provider, REASON_UNSUPPORTED, "only keys of this provider are encoded");
    if (key_inner(key) == NULL)
        return raise_error(encoder->provider, REASON_MISSING_PUBLIC, "the key is empty");
    if (!key_is_device(key) || (selection & PRIVATE) == 0)
        return encode_inner(encoder, out, key, selection, callback, arg);
    if (encoder->kind->structure == NULL)
        return encode_text(encoder, out, key, selection, callback, arg);
    return encode_key_file(encoder, out, key);
}

/* ---- one table per output and structure; the same for all key types ---- */

#define ENCODER(name, output, structure, selection, encrypted)                                                         \
    static const struct encoder_kind kind_##name = {output, structure, selection, encrypted};                          \
    static OSSL_FUNC_encoder_newctx_fn new_##name;                                                                     \
    static OSSL_FUNC_encoder_does_selection_fn does_##name;                                                            \
    static void *new_##name(void *provctx)                                                                             \
    {                                                                                                                  \
        return encoder_new(provctx, &kind_##name);                                                                     \
    }                                                                                                                  \
    static int does_##name(void *provctx, int wanted)                                                                  \
    {                                                                                                                  \
        (void)provctx;                                                                                                 \
        return covers(&kind_##name, wanted);                                                                           \
    }                                                                                                                  \
    const OSSL_DISPATCH encoder_##name[] = {                                                                           \
        {OSSL_FUNC_ENCODER_NEWCTX, (void (*)(void))new_##name},                                                        \
        {OSSL_FUNC_ENCODER_FREECTX, (void (*)(void))encoder_free},                                                     \
        {OSSL_FUNC_ENCODER_SETTABLE_CTX_PARAMS, (void (*)(void))encoder_settable},                                     \
        {OSSL_FUNC_ENCODER_SET_CTX_PARAMS, (void (*)(void))encoder_set_params},                                        \
        {OSSL_FUNC_ENCODER_DOES_SELECTION, (void (*)(void))does_##name},                                               \
        {OSSL_FUNC_ENCODER_ENCODE, (void (*)(void))encoder_encode},                                                    \
        {0, NULL},                                                                                                     \
    };

ENCODER(private_der, "DER", "PrivateKeyInfo", PRIVATE, false)
ENCODER(private_pem, "PEM", "PrivateKeyInfo", PRIVATE, false)
ENCODER(encrypted_der, "DER", "EncryptedPrivateKeyInfo", PRIVATE, true)
ENCODER(encrypted_pem, "PEM", "EncryptedPrivateKeyInfo", PRIVATE, true)
ENCODER(specific_der, "DER", "type-specific", PRIVATE, false)
ENCODER(specific_pem, "PEM", "type-specific", PRIVATE, false)
ENCODER(public_der, "DER", "SubjectPublicKeyInfo", PUBLIC, false)
ENCODER(public_pem, "PEM", "SubjectPublicKeyInfo", PUBLIC, false)
ENCODER(text, "TEXT", NULL, OSSL_KEYMGMT_SELECT_ALL, false)
