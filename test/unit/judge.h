/*
 * The other opinion: what OpenSSL's default provider says about the device's answers. Failures end the test.
 */
#ifndef JUDGE_H
#define JUDGE_H

#include <azihsm/client.h>

#include <openssl/evp.h>

/* ECDSA: r || s over digest by the key of spki. */
bool judge_ecdsa(struct azihsm_bytes spki, struct azihsm_bytes digest, const uint8_t *sig, size_t len);
/* y == x^e mod n for the key of spki. */
bool judge_rsa(struct azihsm_bytes spki, const uint8_t *x, const uint8_t *y, size_t len);

/* A software key pair and its PKCS#8 form. */
EVP_PKEY *judge_new_ec(const char *curve);
EVP_PKEY *judge_new_rsa(unsigned bits);
size_t judge_pkcs8(EVP_PKEY *key, uint8_t *out, size_t cap);
size_t judge_spki(EVP_PKEY *key, uint8_t *out, size_t cap);
/* ECDH of a software key with a peer's SPKI. */
size_t judge_ecdh(EVP_PKEY *key, struct azihsm_bytes peer_spki, uint8_t *out, size_t cap);

void judge_hkdf(const char *hash, struct azihsm_bytes key, struct azihsm_bytes salt, struct azihsm_bytes info,
                uint8_t *out, size_t len);
void judge_kbkdf(const char *hash, struct azihsm_bytes key, struct azihsm_bytes label, struct azihsm_bytes context,
                 uint8_t *out, size_t len);
size_t judge_hmac(const char *hash, struct azihsm_bytes key, struct azihsm_bytes msg, uint8_t *out);
void judge_cbc(bool decrypt, struct azihsm_bytes key, const uint8_t iv[16], const uint8_t *in, uint8_t *out,
               size_t len);
void judge_gcm_encrypt(const uint8_t key[32], const uint8_t iv[12], struct azihsm_bytes aad, const uint8_t *in,
                       uint8_t *out, size_t len, uint8_t tag[16]);
void judge_xts_encrypt(const uint8_t data_key[32], const uint8_t tweak_key[32], const uint8_t tweak[16],
                       const uint8_t *in, uint8_t *out, size_t len);

/* Signs a fixed digest with a P-256 key and judges the signature. */
azihsm_rc judge_sign(struct azihsm_key *key, struct azihsm_error *err);

/* OK(f(..., WHY)): the call must succeed, else the test ends with its words. One thread at a time. */
extern struct azihsm_error judge_error;
void judge_ok(azihsm_rc rc, const char *call, const char *file, int line);
#define WHY      (&judge_error)
#define OK(call) judge_ok((call), #call, __FILE__, __LINE__)

#define BYTES(...) ((struct azihsm_bytes){__VA_ARGS__})

#endif
