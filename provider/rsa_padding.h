/*
 * RSA encodings on the host, around the device's raw y^d mod n (RFC 8017). Signature encodings are public data; the
 * decodings of decryption handle secrets and run in one time path: what they find shows in the result alone.
 *
 * em is an encoded message of k bytes, k being the modulus length. All return 1, or 0 with nothing raised: the caller
 * knows the provider to raise errors with.
 */
#ifndef AZIHSM_PROVIDER_RSA_PADDING_H
#define AZIHSM_PROVIDER_RSA_PADDING_H

#include <openssl/evp.h>
#include <stddef.h>
#include <stdint.h>

enum { RSA_BYTES_MAX = 512, RSA_PKCS1_OVERHEAD = 11 };

/* Salt lengths beside plain numbers, as in <openssl/rsa.h>, where -4 is newer than 3.0. */
enum { RSA_SALT_DIGEST = -1, RSA_SALT_AUTO = -2, RSA_SALT_MAX = -3, RSA_SALT_AUTO_DIGEST_MAX = -4 };

/* DigestInfo of a digest value, or the bare value for MD5-SHA1 (TLS 1.0). *len is the room, then the length. */
int rsa_digest_info(const EVP_MD *md, const uint8_t *digest, size_t digestlen, uint8_t *out, size_t *len);

/* EMSA-PKCS1-v1_5 (block type 1) around t. 0 when t is too long. */
int rsa_pad_type1(uint8_t *em, size_t k, const uint8_t *t, size_t tlen);

/* Number of salt bytes that a requested length means; negative when the key is too small for it. */
int rsa_pss_salt_length(int requested, unsigned bits, const EVP_MD *md);

/* EMSA-PSS with a fresh random salt of saltlen bytes; em has (bits + 7) / 8 bytes, leading zero included. */
int rsa_pad_pss(OSSL_LIB_CTX *libctx, uint8_t *em, unsigned bits, const uint8_t *digest, const EVP_MD *md,
                const EVP_MD *mgf1, size_t saltlen);

struct rsa_oaep {
    const EVP_MD *md, *mgf1;
    const uint8_t *label;
    size_t labellen;
};
/*
 * EME-OAEP decoding. out has room for outcap bytes; the message length is written to *outlen. One answer for all
 * faults: 0. Overwrites em.
 */
int rsa_unpad_oaep(const struct rsa_oaep *oaep, uint8_t *em, size_t k, uint8_t *out, size_t outcap, size_t *outlen);

/*
 * PKCS#1 v1.5 decoding that cannot fail: a malformed em yields a message that depends on nothing but secret and
 * ciphertext (draft-irtf-cfrg-rsa-guidance, section 7; the same as OpenSSL 3.2). 0 only when libcrypto fails or
 * outcap is too small for the message.
 */
int rsa_unpad_implicit(OSSL_LIB_CTX *libctx, const uint8_t secret[32], const uint8_t *ciphertext, const uint8_t *em,
                       size_t k, uint8_t *out, size_t outcap, size_t *outlen);

/* PKCS#1 v1.5 decoding that tells failure (for callers who asked for it and have their own counter-measure). */
int rsa_unpad_explicit(const uint8_t *em, size_t k, uint8_t *out, size_t outcap, size_t *outlen);

/*
 * TLS premaster secret of RSA key exchange (RFC 5246, 7.4.7.1): always 48 bytes; a random value when the padding, the
 * length or the version is wrong. alternative (0: none) is the negotiated version that some clients write instead.
 */
int rsa_unpad_tls(OSSL_LIB_CTX *libctx, const uint8_t *em, size_t k, unsigned version, unsigned alternative,
                  uint8_t out[48]);

#endif
