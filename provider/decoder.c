/*
 * Decoders of key files, in two stages: PEM to DER, because libcrypto 3.0 drops PEM labels it does not know before any
 * DER decoder sees them, and DER to a key of ours. They see every key any program loads, so what is not ours costs
 * little, leaves no error behind and returns 1: "let others try". No device work.
 */
#include "algorithms.h"
#include "keyload.h"

#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/core_object.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/pem.h>
#include <string.h>

struct decoder {
    struct provider *provider;
    enum key_type type;
};

static OSSL_FUNC_decoder_newctx_fn any_new, ec_new, rsa_new, pss_new;
static OSSL_FUNC_decoder_freectx_fn decoder_free;
static OSSL_FUNC_decoder_does_selection_fn decoder_does_selection;
static OSSL_FUNC_decoder_decode_fn pem_decode, der_decode;
static OSSL_FUNC_decoder_export_object_fn decoder_export;

static void *decoder_new(void *provctx, enum key_type type)
{
    struct decoder *decoder = OPENSSL_zalloc(sizeof(*decoder));
    if (decoder == NULL)
        return NULL;
    decoder->provider = provctx;
    decoder->type = type;
    return decoder;
}

static void decoder_free(void *ctx)
{
    OPENSSL_free(ctx);
}

/* A key file is a private key, whatever else it tells. */
static int decoder_does_selection(void *provctx, int selection)
{
    (void)provctx;
    return selection == 0 || (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) != 0;
}

/* ---- PEM ---- */

static int pass_on(const struct decoder *decoder, struct azihsm_bytes der, OSSL_CALLBACK *callback, void *arg)
{
    struct keyfile file;
    char why[200] = "it is no key file";
    int object = OSSL_OBJECT_PKEY;
    enum key_type type;

    if (keyfile_decode(der, &file, why, sizeof(why)) != KEYFILE_OK)
        return raise_error(decoder->provider, REASON_KEY_FILE, "%s: restore the key file from a backup", why);
    type = keyload_type(&file);
    if (type == KEY_TYPES) {
        keyfile_clear(&file);
        return raise_error(decoder->provider, REASON_KEY_TYPE, "neither an EC nor an RSA key");
    }
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_int(OSSL_OBJECT_PARAM_TYPE, &object),
        OSSL_PARAM_construct_utf8_string(OSSL_OBJECT_PARAM_DATA_TYPE, (char *)key_type_name(type), 0),
        OSSL_PARAM_construct_utf8_string(OSSL_OBJECT_PARAM_DATA_STRUCTURE, (char *)KEYFILE_STRUCTURE, 0),
        OSSL_PARAM_construct_octet_string(OSSL_OBJECT_PARAM_DATA, (void *)der.data, der.len),
        OSSL_PARAM_construct_end(),
    };
    int ok = callback(params, arg);
    /* Why the next stage could not load it was said there, and dropped with the attempts of other decoders. */
    if (!ok)
        key_free(keyload_file(decoder->provider, &file, &(struct device_choice){0}));
    keyfile_clear(&file);
    return ok;
}

/* Whether the first block that begins at the place is a key file of ours; for one that could not be read. */
static bool begins_ours(BIO *bio, long place)
{
    static const char begin[] = "-----BEGIN ", ours[] = "-----BEGIN " KEYFILE_PEM_PRIVATE "-----";
    char text[1024];
    int len;
    const char *at;

    if (place < 0 || BIO_seek(bio, (int)place) < 0 || (len = BIO_read(bio, text, sizeof(text))) <= 0)
        return false;
    at = memmem(text, (size_t)len, begin, sizeof(begin) - 1);
    return at != NULL && (size_t)(text + len - at) >= sizeof(ours) - 1 && memcmp(at, ours, sizeof(ours) - 1) == 0;
}

/* Exactly one block is consumed: others decode what follows. */
static int pem_decode(void *ctx, OSSL_CORE_BIO *in, int selection, OSSL_CALLBACK *callback, void *arg,
                      OSSL_PASSPHRASE_CALLBACK *passphrase, void *passphrase_arg)
{
    const struct decoder *decoder = ctx;
    BIO *bio = provider_bio(decoder->provider, in);
    char *name = NULL, *header = NULL;
    unsigned char *der = NULL;
    long len = 0;
    int ok = 1;

    (void)selection, (void)passphrase, (void)passphrase_arg;
    if (bio == NULL)
        return 0;
    ERR_set_mark();
    long place = BIO_tell(bio);
    int found = PEM_read_bio(bio, &name, &header, &der, &len);
    bool cut = !found && begins_ours(bio, place);
    ERR_pop_to_mark();
    if (cut)
        ok = raise_error(decoder->provider, REASON_KEY_FILE,
                         "it is cut off or damaged, and does not end with -----END " KEYFILE_PEM_PRIVATE
                         "-----: restore the key file from a backup");
    if (found && strcmp(name, KEYFILE_PEM_PRIVATE) == 0)
        ok = pass_on(decoder, (struct azihsm_bytes){der, (size_t)len}, callback, arg);
    OPENSSL_free(name);
    OPENSSL_free(header);
    OPENSSL_clear_free(der, (size_t)len);
    BIO_free(bio);
    return ok;
}

static void *any_new(void *provctx)
{
    return decoder_new(provctx, KEY_TYPES);
}

/* ---- DER ---- */

static bool read_bytes(BIO *bio, uint8_t *data, size_t len)
{
    size_t done = 0, got = 0;
    while (done < len && BIO_read_ex(bio, data + done, len - done, &got) && got > 0)
        done += got;
    return done == len;
}

/* One DER SEQUENCE of a size a key file can have; NULL when something else stands there. */
static uint8_t *read_object(BIO *bio, size_t *len)
{
    uint8_t header[4], *object;
    size_t used = 2, content;
    if (!read_bytes(bio, header, 2) || header[0] != 0x30)
        return NULL;
    content = header[1];
    if (header[1] == 0x81 || header[1] == 0x82) {
        size_t more = header[1] & 0x7fu;
        if (!read_bytes(bio, header + used, more))
            return NULL;
        used += more;
        content = more == 1 ? header[2] : (size_t)header[2] << 8 | header[3];
    } else if (header[1] > 0x82)
        return NULL;
    object = OPENSSL_malloc(used + content);
    if (object == NULL)
        return NULL;
    memcpy(object, header, used);
    *len = used + content;
    if (read_bytes(bio, object + used, content))
        return object;
    OPENSSL_clear_free(object, used + content);
    return NULL;
}

static int decode_object(const struct decoder *decoder, struct azihsm_bytes der, OSSL_CALLBACK *callback, void *arg)
{
    struct keyfile file;
    struct key *key = NULL;
    char why[200] = "";
    enum keyfile_result result = keyfile_decode(der, &file, why, sizeof(why));
    bool mine = result == KEYFILE_OK && keyload_type(&file) == decoder->type;

    if (mine)
        key = keyload_file(decoder->provider, &file, &(struct device_choice){0});
    keyfile_clear(&file);
    if (result == KEYFILE_BAD || result == KEYFILE_FAILED)
        return raise_error(decoder->provider, REASON_KEY_FILE, "%s: restore the key file from a backup", why);
    if (!mine)
        return 1;
    int ok = key != NULL && keyload_deliver(key, callback, arg);
    key_free(key);
    return ok;
}

/*
 * OpenSSL 3.5 reads OneAsymmetricKey itself and announces what it found by the OID of the algorithm: which of our types
 * it is, is told here, as for PEM.
 */
static int name_object(const struct decoder *decoder, struct azihsm_bytes der, OSSL_CALLBACK *callback, void *arg)
{
    struct keyfile file;
    char why[200];

    if (keyfile_decode(der, &file, why, sizeof(why)) != KEYFILE_OK)
        return 1;
    keyfile_clear(&file);
    return pass_on(decoder, der, callback, arg);
}

static int der_decode(void *ctx, OSSL_CORE_BIO *in, int selection, OSSL_CALLBACK *callback, void *arg,
                      OSSL_PASSPHRASE_CALLBACK *passphrase, void *passphrase_arg)
{
    const struct decoder *decoder = ctx;
    BIO *bio = provider_bio(decoder->provider, in);
    uint8_t *der;
    size_t len = 0;
    int ok = 1;

    (void)selection, (void)passphrase, (void)passphrase_arg;
    if (bio == NULL)
        return 0;
    ERR_set_mark();
    der = read_object(bio, &len);
    ERR_pop_to_mark();
    if (der != NULL && decoder->type == KEY_TYPES)
        ok = name_object(decoder, (struct azihsm_bytes){der, len}, callback, arg);
    else if (der != NULL)
        ok = decode_object(decoder, (struct azihsm_bytes){der, len}, callback, arg);
    OPENSSL_clear_free(der, len); /* whosever key it is, perhaps in the clear */
    BIO_free(bio);
    return ok;
}

/* For a keymgmt of another provider: there is nothing it could take. */
static int decoder_export(void *ctx, const void *reference, size_t size, OSSL_CALLBACK *callback, void *arg)
{
    const struct decoder *decoder = ctx;
    (void)reference, (void)size, (void)callback, (void)arg;
    return raise_error(decoder->provider, REASON_NOT_EXPORTABLE,
                       "to another provider: ask for no property that excludes azihsm");
}

static void *ec_new(void *provctx)
{
    return decoder_new(provctx, KEY_EC);
}

static void *rsa_new(void *provctx)
{
    return decoder_new(provctx, KEY_RSA);
}

static void *pss_new(void *provctx)
{
    return decoder_new(provctx, KEY_RSA_PSS);
}

#define DECODER(name, new, decode)                                                                                     \
    const OSSL_DISPATCH decoder_##name[] = {                                                                           \
        {OSSL_FUNC_DECODER_NEWCTX, (void (*)(void))(new)},                                                             \
        {OSSL_FUNC_DECODER_FREECTX, (void (*)(void))decoder_free},                                                     \
        {OSSL_FUNC_DECODER_DOES_SELECTION, (void (*)(void))decoder_does_selection},                                    \
        {OSSL_FUNC_DECODER_DECODE, (void (*)(void))(decode)},                                                          \
        {OSSL_FUNC_DECODER_EXPORT_OBJECT, (void (*)(void))decoder_export},                                             \
        {0, NULL},                                                                                                     \
    };

DECODER(pem, any_new, pem_decode)
DECODER(info, any_new, der_decode)
DECODER(ec, ec_new, der_decode)
DECODER(rsa, rsa_new, der_decode)
DECODER(pss, pss_new, der_decode)
