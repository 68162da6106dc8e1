/*
 * The partition's certificate chain (device-behaviour 7.4). virtual: one self-signed leaf. physical: a root CA of this
 * device, its device-id and alias CAs, then the partition leaf; the CA keys are forgotten once the chain is made.
 *
 * A chain is immutable and refcounted. Index 0 is the root, the last one the leaf.
 */
#ifndef EMULATOR_CERTIFICATE_H
#define EMULATOR_CERTIFICATE_H

#include "emulator/engine.h"

struct certificate_chain;

enum { CERTIFICATE_COUNT_MAX = 8, CERTIFICATE_THUMBPRINT_SIZE = 32, CERTIFICATE_PARTITION_ID_SIZE = 16 };

/*
 * A chain for the identity key (P-384) in the engine's profile. partition_id names the leaf in the physical profile
 * and is ignored in the virtual one. AZIHSM_STATUS_PARTITION_CERT_GENERATION_FAILED.
 */
azihsm_rc certificate_chain_new(struct engine *engine, const struct engine_key *identity,
                                const uint8_t partition_id[CERTIFICATE_PARTITION_ID_SIZE],
                                struct certificate_chain **out);
/* From stored DER certificates, root first. AZIHSM_E_DECODE when the last one is not for the identity key. */
azihsm_rc certificate_chain_restore(struct engine *engine, const struct engine_key *identity,
                                    const struct azihsm_bytes *ders, size_t count, struct certificate_chain **out);
struct certificate_chain *certificate_chain_up_ref(struct certificate_chain *chain);
void certificate_chain_free(struct certificate_chain *chain);

size_t certificate_chain_count(const struct certificate_chain *chain);
/* DER of one certificate, a view into the chain; empty when index is out of range. */
struct azihsm_bytes certificate_chain_get(const struct certificate_chain *chain, size_t index);
/* virtual: SHA-256 of the certificate; physical: the nested one of 7.4. */
const uint8_t *certificate_chain_thumbprint(const struct certificate_chain *chain);

#endif
