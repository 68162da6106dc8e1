/*
 * azihsm: URIs (RFC 3986), parsed strictly. Pure; also for the tool.
 *
 *   azihsm://NAME[?...]            a key file in the key directory (canonical); azihsm:NAME likewise
 *   azihsm:/path, azihsm:///path   a key file anywhere; azihsm://./path relative to the working directory
 *   azihsm:?tag=0x12               a named key in the device
 *   azihsm: or azihsm://           all keys of the key directory
 * Attributes follow as ?name=value&... or, as the vendor's provider writes them, as ;name=value: type (ec, rsa,
 * rsa-pss), tag, device, partition, pin-source. Any other is an error that names it. Everything is percent-decoded.
 */
#ifndef AZIHSM_PROVIDER_URI_H
#define AZIHSM_PROVIDER_URI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum uri_kind { URI_LIST, URI_NAME, URI_PATH, URI_TAG };

struct uri {
    enum uri_kind kind;
    char *target; /* name or path */
    char *type;   /* "ec", "rsa", "rsa-pss" as written, or NULL */
    uint16_t tag;
    char *device;
    char *partition;
    char *pin_source;
};

/* false: why says what is wrong; uri is then empty. */
bool uri_parse(const char *text, struct uri *uri, char *why, size_t why_size);
/*
 * The same from an RFC 7512 URI, for programs that take no others: pkcs11:object=NAME is azihsm://NAME. May say
 * type=private, token=PARTITION and ?pin-source=file:/path; what else there is in PKCS #11 is an error that names it.
 */
bool uri_parse_pkcs11(const char *text, struct uri *uri, char *why, size_t why_size);
void uri_clear(struct uri *uri);

/* How much of a URI an error may show: all but its attributes, where somebody may have written a PIN. */
int uri_shown(const char *text);

/* "azihsm://NAME" with what must be encoded encoded. false: out too small. */
bool uri_of_name(const char *name, char *out, size_t out_size);

#endif
