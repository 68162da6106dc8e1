/*
 * The few SubjectPublicKeyInfo shapes that the wire forms need (6.6), as bytes: named-curve EC keys with an
 * uncompressed point, and RSA keys. DER has exactly one encoding of each, so reading is comparing.
 */
#ifndef AZIHSM_DDI_SPKI_H
#define AZIHSM_DDI_SPKI_H

#include <azihsm/ddi.h>

/* The coordinates x||y, big-endian, inside der, and the curve; NULL when der is anything else. */
const uint8_t *spki_ecc_point(struct azihsm_bytes der, uint32_t *curve);

/* AZIHSM_E_ENCODE when it does not fit. point is x||y. */
azihsm_rc spki_write_ecc(uint32_t curve, const uint8_t *point, uint8_t *out, size_t cap, size_t *len);
/* Big-endian modulus (at most 512 bytes) and exponent, with or without leading zero bytes. */
azihsm_rc spki_write_rsa(const uint8_t *n, size_t n_len, const uint8_t *e, size_t e_len, uint8_t *out, size_t cap,
                         size_t *len);

#endif
