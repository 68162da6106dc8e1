/*
 * ECDSA signatures: conversion between the DER form of libcrypto and r || s of fixed width (without allocation), and
 * whole-message sign and verify for the protocol's own signatures (POTA endorsement, device encryption keys, reports).
 */
#ifndef CRYPTO_ECDSA_H
#define CRYPTO_ECDSA_H

#include <azihsm/ddi.h>

#include <openssl/types.h>

/* DER: two numbers of 66 bytes, of any value (a number a peer made up may need a sign byte), and three headers. */
enum { ECDSA_RAW_MAX = 132, ECDSA_DER_MAX = 3 + 2 * (2 + 1 + 66) };

/* width: bytes of r and of s (32, 48, 66); raw has twice that. AZIHSM_E_DECODE when der is no signature that fits. */
azihsm_rc ecdsa_der_to_raw(struct azihsm_bytes der, size_t width, uint8_t *raw);

/* der needs ECDSA_DER_MAX bytes. */
void ecdsa_raw_to_der(const uint8_t *raw, size_t width, uint8_t *der, size_t *der_len);

/* Hashes message and signs; raw receives twice the curve's coordinate size. */
azihsm_rc ecdsa_sign_message(OSSL_LIB_CTX *libctx, EVP_PKEY *key, uint32_t hash, struct azihsm_bytes message,
                             uint8_t *raw, size_t *raw_len);

/* AZIHSM_OK, AZIHSM_STATUS_ECC_VERIFY_FAILED (also for a signature of another length), or AZIHSM_E_CRYPTO. */
azihsm_rc ecdsa_verify_message(OSSL_LIB_CTX *libctx, EVP_PKEY *key, uint32_t hash, struct azihsm_bytes message,
                               struct azihsm_bytes raw);

#endif
