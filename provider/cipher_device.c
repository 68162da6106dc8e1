/*
 * AES with keys in the device: what is gathered on the host, and the requests. The data passes through; nothing of the
 * key does. Buffers that held plaintext are cleansed with the context.
 */
#include "cipher.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <string.h>

int cipher_device_begin(struct cipher *ctx, bool decrypt, const uint8_t *iv, size_t ivlen)
{
    if (iv != NULL) {
        if (ivlen != ctx->kind->iv_size)
            return raise_error(ctx->provider, REASON_PARAMETER, "an IV of %zu bytes, the device takes %zu", ivlen,
                               ctx->kind->iv_size);
        memcpy(ctx->iv, iv, ivlen);
        ctx->has_iv = true;
    } else if (ctx->kind->mode == CIPHER_GCM && ctx->done) {
        ctx->has_iv = false; /* it was used: a second message under it would give both away */
    }
    if (!decrypt || ctx->decrypt != decrypt || ctx->done) /* of another message */
        ctx->has_tag = false;
    memcpy(ctx->chain, ctx->iv, sizeof(ctx->chain));
    OPENSSL_cleanse(ctx->partial, sizeof(ctx->partial));
    OPENSSL_clear_free(ctx->aad, ctx->aadlen);
    ctx->aad = NULL;
    ctx->aadlen = ctx->used = 0;
    ctx->decrypt = decrypt;
    ctx->done = ctx->failed = false;
    return 1;
}

/* Padding, and the tag to check, as far as they fit a key in the device. */
static void note_params(struct cipher *ctx, const OSSL_PARAM params[])
{
    const OSSL_PARAM *p = OSSL_PARAM_locate_const(params, OSSL_CIPHER_PARAM_PADDING);
    unsigned padding;

    if (p != NULL && OSSL_PARAM_get_uint(p, &padding))
        ctx->padding = padding != 0;
    p = OSSL_PARAM_locate_const(params, OSSL_CIPHER_PARAM_AEAD_TAG);
    if (p == NULL || p->data == NULL)
        return;
    ctx->has_tag = ctx->decrypt && p->data_type == OSSL_PARAM_OCTET_STRING && p->data_size == CIPHER_GCM_TAG;
    if (ctx->has_tag)
        memcpy(ctx->tag, p->data, CIPHER_GCM_TAG);
}

void cipher_device_note(struct cipher *ctx, bool decrypt, const uint8_t *iv, size_t ivlen, const OSSL_PARAM params[])
{
    ctx->decrypt = decrypt;
    if (iv != NULL && (ctx->has_iv = ivlen == ctx->kind->iv_size)) {
        memcpy(ctx->iv, iv, ivlen);
        memcpy(ctx->chain, iv, ivlen);
    }
    if (params != NULL)
        note_params(ctx, params);
}

static int check_ready(struct cipher *ctx)
{
    if (ctx->kind->mode == CIPHER_XTS && ctx->tweak == NULL)
        return raise_error(ctx->provider, REASON_STATE, "AES-XTS needs %s too", SYMKEY_PARAM_TWEAK);
    return ctx->has_iv || raise_error(ctx->provider, REASON_STATE, "no IV is set");
}

/* ---- CBC ---- */

static int cbc_blocks(struct cipher *ctx, const uint8_t *in, uint8_t *out, size_t len)
{
    struct azihsm_error error = {0};

    if (len == 0)
        return 1;
    return azihsm_key_aes_cbc(ctx->key, ctx->decrypt, ctx->chain, in, out, len, &error) == AZIHSM_OK ||
           raise_device(ctx->provider, &error, "AesEncryptDecrypt");
}

/*
 * Whole blocks go to the device: first the partial one filled up, then the bulk, then the rest is kept. When padding
 * will be removed the last whole block is kept too, because it may be the final one.
 */
static int cbc_update(struct cipher *ctx, uint8_t *out, size_t *outl, size_t outsize, const uint8_t *in, size_t inl)
{
    size_t keep = ctx->decrypt && ctx->padding ? 1 : 0;
    size_t total = ctx->used + inl, whole, fill;

    *outl = 0;
    whole = total <= keep ? 0 : (total - keep) / CIPHER_BLOCK * CIPHER_BLOCK;
    if (whole > outsize)
        return raise_error(ctx->provider, REASON_BUFFER, "is %zu, should be at least %zu", outsize, whole);
    if (whole > 0 && ctx->used > 0) {
        if (out < in + inl && in < out + whole) /* the kept bytes would run over the input */
            return raise_error(ctx->provider, REASON_BUFFER, "input and output overlap");
        fill = CIPHER_BLOCK - ctx->used;
        memcpy(ctx->partial + ctx->used, in, fill);
        if (!cbc_blocks(ctx, ctx->partial, out, CIPHER_BLOCK))
            return 0;
        in += fill;
        inl -= fill;
        ctx->used = 0;
        *outl = CIPHER_BLOCK;
    }
    if (!cbc_blocks(ctx, in, out + *outl, whole - *outl))
        return 0;
    in += whole - *outl;
    inl -= whole - *outl;
    *outl = whole;
    if (inl > 0)
        memcpy(ctx->partial + ctx->used, in, inl);
    ctx->used += inl;
    return 1;
}

/* Length without padding, or CIPHER_BLOCK + 1 when the padding is wrong: every byte is looked at in either case. */
static size_t unpadded_length(const uint8_t block[CIPHER_BLOCK])
{
    unsigned pad = block[CIPHER_BLOCK - 1], wrong = (pad - 1) >> 4; /* not 0 unless 1..16 */
    unsigned mask;

    for (unsigned i = 0; i < CIPHER_BLOCK; i++) {
        mask = 0u - ((i - pad) >> 31); /* ones for the last pad bytes */
        wrong |= mask & (block[CIPHER_BLOCK - 1 - i] ^ pad);
    }
    mask = 0u - ((0u - wrong) >> 31); /* ones when something is wrong */
    return (mask & (CIPHER_BLOCK + 1)) | (~mask & (CIPHER_BLOCK - pad));
}

static int cbc_unpad(struct cipher *ctx, uint8_t *out, size_t *outl, size_t outsize)
{
    uint8_t block[CIPHER_BLOCK];
    size_t len;
    int ok = 0;

    if (ctx->used != CIPHER_BLOCK)
        return raise_error(ctx->provider, REASON_INPUT_LENGTH, "not a multiple of the block length");
    if (!cbc_blocks(ctx, ctx->partial, block, CIPHER_BLOCK))
        return 0;
    len = unpadded_length(block);
    if (len > CIPHER_BLOCK)
        raise_error(ctx->provider, REASON_DECRYPT, "bad decrypt");
    else if (len > outsize)
        raise_error(ctx->provider, REASON_BUFFER, "is %zu, should be at least %zu", outsize, len);
    else
        ok = 1;
    if (ok && len > 0)
        memcpy(out, block, len);
    *outl = ok ? len : 0;
    OPENSSL_cleanse(block, sizeof(block));
    return ok;
}

static int cbc_final(struct cipher *ctx, uint8_t *out, size_t *outl, size_t outsize)
{
    *outl = 0;
    if (!ctx->padding)
        return ctx->used == 0 || raise_error(ctx->provider, REASON_INPUT_LENGTH, "not a multiple of the block length");
    if (ctx->decrypt)
        return cbc_unpad(ctx, out, outl, outsize);
    if (outsize < CIPHER_BLOCK)
        return raise_error(ctx->provider, REASON_BUFFER, "is %zu, should be at least %d", outsize, CIPHER_BLOCK);
    memset(ctx->partial + ctx->used, (int)(CIPHER_BLOCK - ctx->used), CIPHER_BLOCK - ctx->used);
    *outl = CIPHER_BLOCK;
    return cbc_blocks(ctx, ctx->partial, out, CIPHER_BLOCK);
}

/* ---- GCM and XTS: one message is one request ---- */

static int gcm_aad(struct cipher *ctx, const uint8_t *in, size_t inl)
{
    uint8_t *grown;

    if (inl > CIPHER_AAD_MAX - ctx->aadlen)
        return raise_error(ctx->provider, REASON_INPUT_LENGTH, "more than %d bytes of associated data", CIPHER_AAD_MAX);
    if (inl == 0)
        return 1;
    if ((grown = OPENSSL_realloc(ctx->aad, ctx->aadlen + inl)) == NULL)
        return 0;
    memcpy(grown + ctx->aadlen, in, inl);
    ctx->aad = grown;
    ctx->aadlen += inl;
    return 1;
}

static int gcm_message(struct cipher *ctx, uint8_t *out, const uint8_t *in, size_t inl)
{
    struct azihsm_error error = {0};
    struct azihsm_bytes aad = {ctx->aad, ctx->aadlen};

    if (azihsm_key_aes_gcm(ctx->key, ctx->decrypt, ctx->chain, aad, in, out, inl, ctx->tag, &error) != AZIHSM_OK)
        return raise_device(ctx->provider, &error, "AES-GCM");
    ctx->has_tag = true;
    return 1;
}

static int xts_message(struct cipher *ctx, uint8_t *out, const uint8_t *in, size_t inl)
{
    struct azihsm_error error = {0};

    if (inl % CIPHER_BLOCK != 0)
        return raise_error(ctx->provider, REASON_INPUT_LENGTH,
                           "AES-XTS of %zu bytes: the device takes a multiple of %d (no ciphertext stealing)", inl,
                           CIPHER_BLOCK);
    return azihsm_key_aes_xts(ctx->key, ctx->tweak, ctx->decrypt, ctx->iv, (uint32_t)inl, in, out, inl, &error) ==
               AZIHSM_OK ||
           raise_device(ctx->provider, &error, "AES-XTS");
}

/* What is refused before the request may be tried again; a message that failed, or had more to it, never passes. */
static int whole_message(struct cipher *ctx, uint8_t *out, size_t outsize, const uint8_t *in, size_t inl)
{
    int ok;

    if (ctx->done) {
        ctx->failed = true;
        return raise_error(ctx->provider, REASON_STATE, "a key in the device takes a message in one piece");
    }
    if (outsize < inl)
        return raise_error(ctx->provider, REASON_BUFFER, "is %zu, should be at least %zu", outsize, inl);
    if (ctx->kind->mode == CIPHER_GCM && ctx->decrypt && !ctx->has_tag)
        return raise_error(ctx->provider, REASON_STATE,
                           "set the tag before the data: a key in the device deciphers a message as a whole");
    ok = ctx->kind->mode == CIPHER_GCM ? gcm_message(ctx, out, in, inl) : xts_message(ctx, out, in, inl);
    ctx->done = true;
    ctx->failed = !ok;
    return ok;
}

int cipher_device_update(struct cipher *ctx, uint8_t *out, size_t *outl, size_t outsize, const uint8_t *in, size_t inl)
{
    int ok;

    *outl = 0;
    if (!check_ready(ctx))
        return 0;
    if (ctx->kind->mode == CIPHER_CBC)
        return cbc_update(ctx, out, outl, outsize, in, inl);
    if (ctx->kind->mode == CIPHER_GCM && out == NULL) {
        *outl = inl;
        return gcm_aad(ctx, in, inl);
    }
    if (inl == 0)
        return 1;
    ok = whole_message(ctx, out, outsize, in, inl);
    *outl = ok ? inl : 0;
    return ok;
}

int cipher_device_final(struct cipher *ctx, uint8_t *out, size_t *outl, size_t outsize)
{
    *outl = 0;
    if (!check_ready(ctx))
        return 0;
    if (ctx->kind->mode == CIPHER_CBC)
        return cbc_final(ctx, out, outl, outsize);
    if (ctx->failed) /* many a program looks at this result only */
        return raise_error(ctx->provider, REASON_DECRYPT, "the message did not pass before");
    return ctx->done || raise_error(ctx->provider, REASON_UNSUPPORTED, "the device does not take an empty message");
}

/* ---- parameters ---- */

static int set_octets(OSSL_PARAM *p, const uint8_t *data, size_t len)
{
    if (p == NULL)
        return 1;
    return p->data_type == OSSL_PARAM_OCTET_PTR ? OSSL_PARAM_set_octet_ptr(p, data, len)
                                                : OSSL_PARAM_set_octet_string(p, data, len);
}

int cipher_device_get_params(struct cipher *ctx, OSSL_PARAM params[])
{
    const struct {
        const char *name;
        size_t value;
    } sizes[] = {{OSSL_CIPHER_PARAM_KEYLEN, ctx->kind->key_size},
                 {OSSL_CIPHER_PARAM_IVLEN, ctx->kind->iv_size},
                 {OSSL_CIPHER_PARAM_AEAD_TAGLEN, ctx->kind->aead ? CIPHER_GCM_TAG : 0},
                 {OSSL_CIPHER_PARAM_PADDING, ctx->padding}};
    OSSL_PARAM *p;

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        if ((p = OSSL_PARAM_locate(params, sizes[i].name)) != NULL && !OSSL_PARAM_set_size_t(p, sizes[i].value))
            return 0;
    if (OSSL_PARAM_locate(params, OSSL_CIPHER_PARAM_AEAD_TLS1_GET_IV_GEN) != NULL)
        return raise_error(ctx->provider, REASON_UNSUPPORTED, "TLS records with keys in the device");
    p = OSSL_PARAM_locate(params, OSSL_CIPHER_PARAM_AEAD_TAG);
    if (p != NULL && (ctx->decrypt || !ctx->has_tag || p->data_size > CIPHER_GCM_TAG ||
                      !OSSL_PARAM_set_octet_string(p, ctx->tag, p->data_size)))
        return raise_error(ctx->provider, REASON_STATE, "there is no tag yet");
    /* GCM: both names tell the IV that the device used, which need not be the one it was given. */
    return set_octets(OSSL_PARAM_locate(params, OSSL_CIPHER_PARAM_IV),
                      ctx->kind->mode == CIPHER_GCM ? ctx->chain : ctx->iv, ctx->kind->iv_size) &&
           set_octets(OSSL_PARAM_locate(params, OSSL_CIPHER_PARAM_UPDATED_IV), ctx->chain, ctx->kind->iv_size);
}

int cipher_device_set_params(struct cipher *ctx, const OSSL_PARAM params[])
{
    static const char *const tls[] = {OSSL_CIPHER_PARAM_AEAD_TLS1_AAD, OSSL_CIPHER_PARAM_AEAD_TLS1_IV_FIXED,
                                      OSSL_CIPHER_PARAM_AEAD_TLS1_SET_IV_INV};
    const OSSL_PARAM *p = OSSL_PARAM_locate_const(params, OSSL_CIPHER_PARAM_PADDING);
    unsigned padding;
    size_t size = 0;

    if (p != NULL && !OSSL_PARAM_get_uint(p, &padding))
        return 0;
    p = OSSL_PARAM_locate_const(params, OSSL_CIPHER_PARAM_IVLEN);
    if (p != NULL && (!OSSL_PARAM_get_size_t(p, &size) || size != ctx->kind->iv_size))
        return raise_error(ctx->provider, REASON_PARAMETER, "an IV of %zu bytes, the device takes %zu", size,
                           ctx->kind->iv_size);
    for (size_t i = 0; i < sizeof(tls) / sizeof(tls[0]); i++)
        if (OSSL_PARAM_locate_const(params, tls[i]) != NULL)
            return raise_error(ctx->provider, REASON_UNSUPPORTED, "TLS records with keys in the device");
    p = OSSL_PARAM_locate_const(params, OSSL_CIPHER_PARAM_AEAD_TAG);
    if (p != NULL && (p->data_size != CIPHER_GCM_TAG || /* without data it only sets the length of the tag */
                      (p->data != NULL && (!ctx->decrypt || p->data_type != OSSL_PARAM_OCTET_STRING))))
        return raise_error(ctx->provider, REASON_PARAMETER, "a tag has %d bytes and is set to decrypt", CIPHER_GCM_TAG);
    note_params(ctx, params);
    return 1;
}
