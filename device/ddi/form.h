/*
 * Wire forms of byte strings in the physical profile (ddi-protocol 6.5, 6.6): what a table row may ask for, turned
 * to wire form when a request is encoded and back to API form when a response was decoded.
 */
#ifndef AZIHSM_DDI_FORM_H
#define AZIHSM_DDI_FORM_H

#include "mbor.h"

enum form_kind {
    FORM_NONE,
    FORM_PUB_KEY,      /* DerPublicKey.der: the structure is a struct azihsm_pub_key */
    FORM_PEER_KEY,     /* EcdhKeyExchange.pub_key_der: the curve comes from the DER */
    FORM_DIGEST,       /* EccSign.digest: reversed, zero-extended to 68 bytes */
    FORM_INTEGER,      /* RsaModExp y and x: reversed */
    FORM_WRAPPED_BLOB, /* RsaUnwrap: the first 256 bytes reversed */
    FORM_POTA,         /* two halves of 48 bytes, each reversed */
    FORM_SIGNATURE,    /* r and s, each reversed, P-521 between 66 and 68 bytes */
};

/*
 * Writes the wire form of value to out. object is the structure the field is in.
 * MBOR_OK and *len, or the error of 6.6.
 */
enum mbor_error form_to_wire(enum form_kind form, const void *object, struct azihsm_bytes value, uint8_t *out,
                             size_t cap, size_t *len);

/* Replaces *value by its API form, in scratch. Does nothing for forms that only requests have. */
enum mbor_error form_from_wire(enum form_kind form, const void *object, struct azihsm_bytes *value,
                               struct azihsm_scratch *scratch);

#endif
