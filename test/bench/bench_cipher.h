/*
 * Whole messages through a cipher, with key bytes or a key in the device.
 */
#ifndef BENCH_CIPHER_H
#define BENCH_CIPHER_H

struct bench_cipher;

/*
 * A context of one thread and a message of that many bytes. key: "bytes" for the default provider, else "URI" or
 * "URI,URI" (the second is the tweak key of AES-XTS) for azihsm. op: a cipher's name, with "-decrypt" after it for the
 * other direction. NULL with libcrypto's errors raised.
 */
struct bench_cipher *bench_cipher_new(const char *key, const char *op, int bytes);
/* One message under an IV of its own: init, update, final, tag. 1 or 0. */
int bench_cipher_once(struct bench_cipher *cipher);
void bench_cipher_free(struct bench_cipher *cipher);

#endif
