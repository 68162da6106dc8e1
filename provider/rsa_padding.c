/*
 * RSA encodings of signatures (RFC 8017, section 9) and decodings of decryption (section 7) over EVP digests: libcrypto
 * has no function for them outside its RSA objects that is not deprecated. No cryptography of our own: hashing,
 * HMAC and randomness are libcrypto's, here is only what is put where. Buffers belong to the callers.
 */
#include "rsa_padding.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <string.h>

/* ---- signatures ---- */

int rsa_digest_info(const EVP_MD *md, const uint8_t *digest, size_t digestlen, uint8_t *out, size_t *len)
{
    X509_SIG *info = NULL;
    X509_ALGOR *algorithm;
    ASN1_OCTET_STRING *value;
    int nid = EVP_MD_get_type(md), need, ok = 0;

    if (nid == NID_md5_sha1) {
        if (digestlen > *len)
            return 0;
        memcpy(out, digest, digestlen);
        *len = digestlen;
        return 1;
    }
    if (nid == NID_undef || digestlen > INT32_MAX || (info = X509_SIG_new()) == NULL)
        return 0;
    X509_SIG_getm(info, &algorithm, &value);
    if (!X509_ALGOR_set0(algorithm, OBJ_nid2obj(nid), V_ASN1_NULL, NULL) ||
        !ASN1_OCTET_STRING_set(value, digest, (int)digestlen))
        goto done;
    need = i2d_X509_SIG(info, NULL);
    if (need <= 0 || (size_t)need > *len)
        goto done;
    *len = (size_t)i2d_X509_SIG(info, &out);
    ok = 1;
done:
    X509_SIG_free(info);
    return ok;
}

int rsa_pad_type1(uint8_t *em, size_t k, const uint8_t *t, size_t tlen)
{
    if (k < RSA_PKCS1_OVERHEAD || tlen > k - RSA_PKCS1_OVERHEAD)
        return 0;
    em[0] = 0;
    em[1] = 1;
    memset(em + 2, 0xFF, k - tlen - 3);
    em[k - tlen - 1] = 0;
    memcpy(em + k - tlen, t, tlen);
    return 1;
}

/* out ^= MGF1(seed) */
static int mgf1_xor(const EVP_MD *md, const uint8_t *seed, size_t seedlen, uint8_t *out, size_t len)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    size_t size = (size_t)EVP_MD_get_size(md);
    uint8_t block[EVP_MAX_MD_SIZE];
    int ok = ctx != NULL;

    for (uint32_t counter = 0; ok && counter * size < len; counter++) {
        uint8_t octets[4] = {(uint8_t)(counter >> 24), (uint8_t)(counter >> 16), (uint8_t)(counter >> 8),
                             (uint8_t)counter};
        ok = EVP_DigestInit_ex2(ctx, md, NULL) && EVP_DigestUpdate(ctx, seed, seedlen) &&
             EVP_DigestUpdate(ctx, octets, sizeof(octets)) && EVP_DigestFinal_ex(ctx, block, NULL);
        for (size_t i = 0; ok && i < size && counter * size + i < len; i++)
            out[counter * size + i] ^= block[i];
    }
    OPENSSL_cleanse(block, sizeof(block));
    EVP_MD_CTX_free(ctx);
    return ok;
}

int rsa_pss_salt_length(int requested, unsigned bits, const EVP_MD *md)
{
    int size = EVP_MD_get_size(md);
    int most = (int)((bits + 6) / 8) - size - 2; /* emBits is one less than the modulus has */

    switch (requested) {
    case RSA_SALT_DIGEST:
        return size > most ? -1 : size;
    case RSA_SALT_AUTO:
    case RSA_SALT_MAX:
        return most;
    case RSA_SALT_AUTO_DIGEST_MAX:
        return size < most ? size : most;
    default:
        return requested > most ? -1 : requested;
    }
}

/* H = Hash(eight zeros || mHash || salt) */
static int pss_hash(const EVP_MD *md, const uint8_t *digest, const uint8_t *salt, size_t saltlen, uint8_t *out)
{
    static const uint8_t zeros[8];
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    int ok = ctx != NULL && EVP_DigestInit_ex2(ctx, md, NULL) && EVP_DigestUpdate(ctx, zeros, sizeof(zeros)) &&
             EVP_DigestUpdate(ctx, digest, (size_t)EVP_MD_get_size(md)) && EVP_DigestUpdate(ctx, salt, saltlen) &&
             EVP_DigestFinal_ex(ctx, out, NULL);

    EVP_MD_CTX_free(ctx);
    return ok;
}

int rsa_pad_pss(OSSL_LIB_CTX *libctx, uint8_t *em, unsigned bits, const uint8_t *digest, const EVP_MD *md,
                const EVP_MD *mgf1, size_t saltlen)
{
    size_t size = (size_t)EVP_MD_get_size(md);
    size_t k = (bits + 7) / 8, emlen = (bits + 6) / 8, dblen;
    uint8_t *db = em + (k - emlen), *salt;

    if (emlen < size + saltlen + 2)
        return 0;
    dblen = emlen - size - 1;
    salt = db + dblen - saltlen;
    memset(em, 0, k);
    salt[-1] = 1;
    if (saltlen > 0 && RAND_bytes_ex(libctx, salt, saltlen, 0) != 1)
        return 0;
    if (!pss_hash(md, digest, salt, saltlen, db + dblen) || !mgf1_xor(mgf1, db + dblen, size, db, dblen))
        return 0;
    db[0] &= (uint8_t)(0xFF >> (8 * emlen - (bits - 1)));
    em[k - 1] = 0xBC;
    return 1;
}

/* ---- constant time: masks are all ones for true ---- */

typedef size_t mask;

static mask mask_msb(size_t x)
{
    return (mask)0 - (x >> (sizeof(x) * 8 - 1));
}

static mask mask_zero(size_t x)
{
    return mask_msb(~x & (x - 1));
}

static mask mask_equal(size_t a, size_t b)
{
    return mask_zero(a ^ b);
}

static mask mask_less(size_t a, size_t b)
{
    return mask_msb(a ^ ((a ^ b) | ((a - b) ^ b)));
}

/* The barrier keeps the compiler from turning a selection back into a branch. */
static size_t choose(mask m, size_t yes, size_t no)
{
    __asm__("" : "+r"(m));
    return (m & yes) | (~m & no);
}

static uint8_t choose_byte(mask m, uint8_t yes, uint8_t no)
{
    return (uint8_t)choose(m, yes, no);
}

/* ---- OAEP ---- */

/* Moves the last len bytes of buf (cap bytes) to its front without showing len: by powers of two. */
static void shift_down(uint8_t *buf, size_t cap, size_t len)
{
    size_t distance = cap - len;

    for (size_t step = 1; step < cap; step <<= 1) {
        mask m = ~mask_zero(distance & step);
        for (size_t i = 0; i + step < cap; i++)
            buf[i] = choose_byte(m, buf[i + step], buf[i]);
    }
}

/* Masks off seed and data block in place; em[0] is left. */
static int oaep_unmask(const struct rsa_oaep *oaep, uint8_t *em, size_t k, size_t size)
{
    uint8_t *seed = em + 1, *db = em + 1 + size;
    size_t dblen = k - 1 - size;

    return mgf1_xor(oaep->mgf1, db, dblen, seed, size) && mgf1_xor(oaep->mgf1, seed, size, db, dblen);
}

/* Mask of "lHash is right, then zeros, then one"; *start is the first byte of the message. */
static mask oaep_check(const uint8_t *db, size_t dblen, const uint8_t *lhash, size_t size, size_t *start)
{
    mask good = mask_zero((size_t)CRYPTO_memcmp(db, lhash, size)), found = 0;

    *start = 0;
    for (size_t i = size; i < dblen; i++) {
        mask one = mask_equal(db[i], 1) & ~found;
        *start = choose(one, i + 1, *start);
        found |= one;
        good &= found | mask_zero(db[i]);
    }
    return good & found;
}

int rsa_unpad_oaep(const struct rsa_oaep *oaep, uint8_t *em, size_t k, uint8_t *out, size_t outcap, size_t *outlen)
{
    size_t size = (size_t)EVP_MD_get_size(oaep->md);
    uint8_t lhash[EVP_MAX_MD_SIZE];
    size_t room, start, len;
    uint8_t *db = em + 1 + size;
    mask good;

    if (k < 2 * size + 2)
        return 0;
    room = k - 2 * size - 2; /* longest message */
    if (outcap < room || !EVP_Digest(oaep->label, oaep->labellen, lhash, NULL, oaep->md, NULL) ||
        !oaep_unmask(oaep, em, k, size))
        return 0;
    good = mask_zero(em[0]) & oaep_check(db, k - 1 - size, lhash, size, &start);
    len = choose(good, k - 1 - size - start, 0);
    shift_down(db + size + 1, room, len);
    for (size_t i = 0; i < room; i++)
        out[i] = choose_byte(good & mask_less(i, len), db[size + 1 + i], 0);
    *outlen = len;
    return (int)(good & 1);
}

/* ---- PKCS#1 v1.5 ---- */

/* Mask of "00 02, at least eight bytes that are not zero, a zero"; *start is the first byte of the message. */
static mask type2_check(const uint8_t *em, size_t k, size_t *start)
{
    mask good = mask_zero(em[0]) & mask_equal(em[1], 2), found = 0;

    *start = k;
    for (size_t i = 2; i < k; i++) {
        mask zero = mask_zero(em[i]) & ~found;
        *start = choose(zero, i + 1, *start);
        found |= zero;
    }
    return good & found & ~mask_less(*start, RSA_PKCS1_OVERHEAD);
}

int rsa_unpad_explicit(const uint8_t *em, size_t k, uint8_t *out, size_t outcap, size_t *outlen)
{
    size_t start, len;
    mask good = type2_check(em, k, &start);

    if (outcap < k)
        return 0;
    len = choose(good, k - start, 0);
    memcpy(out, em, k);
    shift_down(out, k, len);
    for (size_t i = 0; i < k; i++)
        out[i] &= (uint8_t)(good & mask_less(i, len));
    *outlen = len;
    return (int)(good & 1);
}

/* The guidance's PRF: HMAC-SHA256(kdk, counter || label || length in bits), concatenated. */
static int prf(EVP_MAC_CTX *mac, const char *label, uint8_t *out, size_t len)
{
    uint8_t block[32], bits[2] = {(uint8_t)(len * 8 >> 8), (uint8_t)(len * 8)};
    int ok = 1;

    for (size_t pos = 0, counter = 0; ok && pos < len; pos += sizeof(block), counter++) {
        uint8_t octets[2] = {(uint8_t)(counter >> 8), (uint8_t)counter};
        ok = EVP_MAC_init(mac, NULL, 0, NULL) && EVP_MAC_update(mac, octets, sizeof(octets)) &&
             EVP_MAC_update(mac, (const uint8_t *)label, strlen(label)) && EVP_MAC_update(mac, bits, sizeof(bits)) &&
             EVP_MAC_final(mac, block, NULL, sizeof(block));
        if (ok)
            memcpy(out + pos, block, len - pos < sizeof(block) ? len - pos : sizeof(block));
    }
    OPENSSL_cleanse(block, sizeof(block));
    return ok;
}

static int mac_set_key(EVP_MAC_CTX *mac, const uint8_t *key)
{
    char digest[] = "SHA256";
    OSSL_PARAM params[] = {OSSL_PARAM_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, sizeof(digest) - 1), OSSL_PARAM_END};

    return EVP_MAC_init(mac, key, 32, params);
}

enum { LENGTH_TRIES = 128 };

/* The last of the candidates that is in range; of 128 tries one is, for all practical purposes. */
static size_t synthetic_length(const uint8_t candidates[2 * LENGTH_TRIES], size_t k)
{
    size_t limit = k - 2 - 8, bits = limit, length = 0;

    for (unsigned shift = 1; shift <= 8; shift <<= 1)
        bits |= bits >> shift;
    for (size_t i = 0; i < LENGTH_TRIES; i++) {
        size_t candidate = ((size_t)candidates[2 * i] << 8 | candidates[2 * i + 1]) & bits;
        length = choose(mask_less(candidate, limit), candidate, length);
    }
    return length;
}

/* The message that stands in for a malformed one: fills all k bytes; the last *length are it. */
static int synthetic(OSSL_LIB_CTX *libctx, const uint8_t secret[32], const uint8_t *ciphertext, size_t k, uint8_t *out,
                     size_t *length)
{
    uint8_t kdk[32], candidates[2 * LENGTH_TRIES];
    EVP_MAC *hmac = EVP_MAC_fetch(libctx, OSSL_MAC_NAME_HMAC, NULL);
    EVP_MAC_CTX *mac = hmac == NULL ? NULL : EVP_MAC_CTX_new(hmac);
    int ok = mac != NULL && mac_set_key(mac, secret) && EVP_MAC_update(mac, ciphertext, k) &&
             EVP_MAC_final(mac, kdk, NULL, sizeof(kdk)) && mac_set_key(mac, kdk) &&
             prf(mac, "length", candidates, sizeof(candidates)) && prf(mac, "message", out, k);

    if (ok)
        *length = synthetic_length(candidates, k);
    OPENSSL_cleanse(kdk, sizeof(kdk));
    OPENSSL_cleanse(candidates, sizeof(candidates));
    EVP_MAC_CTX_free(mac);
    EVP_MAC_free(hmac);
    return ok;
}

int rsa_unpad_implicit(OSSL_LIB_CTX *libctx, const uint8_t secret[32], const uint8_t *ciphertext, const uint8_t *em,
                       size_t k, uint8_t *out, size_t outcap, size_t *outlen)
{
    uint8_t instead[RSA_BYTES_MAX];
    size_t start, length = 0;
    mask good;

    if (k > sizeof(instead) || k < RSA_PKCS1_OVERHEAD || outcap < k ||
        !synthetic(libctx, secret, ciphertext, k, instead, &length))
        return 0;
    good = type2_check(em, k, &start);
    /* From here on the length says nothing about good: either could have led to it. */
    start = choose(good, start, k - length);
    for (size_t i = start; i < k; i++)
        out[i - start] = choose_byte(good, em[i], instead[i]);
    *outlen = k - start;
    OPENSSL_cleanse(instead, sizeof(instead));
    return 1;
}

int rsa_unpad_tls(OSSL_LIB_CTX *libctx, const uint8_t *em, size_t k, unsigned version, unsigned alternative,
                  uint8_t out[48])
{
    uint8_t instead[48];
    const uint8_t *secret = em + k - 48;
    mask good, right, other;

    if (k < RSA_PKCS1_OVERHEAD + 48 || RAND_priv_bytes_ex(libctx, instead, sizeof(instead), 0) != 1)
        return 0;
    good = mask_zero(em[0]) & mask_equal(em[1], 2) & mask_zero(secret[-1]);
    for (size_t i = 2; i < k - 49; i++)
        good &= ~mask_zero(em[i]);
    right = mask_equal(secret[0], version >> 8 & 0xFF) & mask_equal(secret[1], version & 0xFF);
    other = mask_equal(secret[0], alternative >> 8 & 0xFF) & mask_equal(secret[1], alternative & 0xFF) &
            ~mask_zero(alternative);
    good &= right | other;
    for (size_t i = 0; i < sizeof(instead); i++)
        out[i] = choose_byte(good, secret[i], instead[i]);
    OPENSSL_cleanse(instead, sizeof(instead));
    return 1;
}
