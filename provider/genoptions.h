/*
 * The azihsm.* options of key generation and import (genpkey -pkeyopt), among them the vendor provider's own.
 */
#ifndef AZIHSM_PROVIDER_GENOPTIONS_H
#define AZIHSM_PROVIDER_GENOPTIONS_H

#include "key.h"

/*
 * azihsm.key_usage: digitalSignature (sign), keyEncipherment or dataEncipherment (decrypt), keyAgreement (derive); two
 * of them, with a comma, for a key that is imported: it goes into the device once for each.
 */
#define GENOPTION_USAGE      "azihsm.key_usage"
/* azihsm.session: the key dies with this process's session; default no. */
#define GENOPTION_SESSION    "azihsm.session"
/* azihsm.label: name kept in the device and in the key file. azihsm.tag: number to open it by (azihsm:?tag=). */
#define GENOPTION_LABEL      "azihsm.label"
#define GENOPTION_TAG        "azihsm.tag"
/* azihsm.masked_key: write the bare masked blob to this file, as the vendor's provider does. */
#define GENOPTION_MASKED_KEY "azihsm.masked_key"
/* azihsm.input_key: do not generate; import the private key in this file (PEM or DER). */
#define GENOPTION_INPUT_KEY  "azihsm.input_key"
/* azihsm.name: also write the key file into the key directory under this name (azihsm://NAME). */
#define GENOPTION_NAME       "azihsm.name"

struct genoptions {
    unsigned usages; /* AZIHSM_USAGE_ bits; 0 = not said */
    bool unwrapping; /* keyWrapping: no new key, the device's own to wrap to */
    bool session;
    uint16_t tag;
    char *label;
    char *masked_key;
    char *input_key;
    char *name;
};

const OSSL_PARAM *genoptions_settable(void);
/* Whether params holds any option of ours. */
bool genoptions_present(const OSSL_PARAM params[]);
/* Takes the options in params over those set before; other parameters are none of its business. */
int genoptions_set(const struct provider *provider, struct genoptions *options, const OSSL_PARAM params[]);
/* Whether those about files and tags go together. */
int genoptions_check_files(const struct provider *provider, const struct genoptions *options);
/*
 * Whether azihsm.name followed by suffix is a name that nobody has, as far as one can tell before the key is there:
 * what is refused early has made nothing in the device. 1 when there is no name.
 */
int genoptions_check_name(const struct provider *provider, const struct genoptions *options, const char *suffix);
/*
 * A key was made by these options, and something later failed: with a tag it would stay in the device when nobody has
 * it. The caller frees it.
 */
void genoptions_withdraw(const struct genoptions *options, struct azihsm_key *key);
/* Whether all go together and with the type. */
int genoptions_check(const struct provider *provider, const struct genoptions *options, enum key_type type);
/* A view of options for client.h, with the first of the usages. */
struct azihsm_key_spec genoptions_spec(const struct genoptions *options);
/*
 * Uses of a software key that is imported: those that were asked for, else what it was good for as an RSA key, or to
 * sign. A bare masked key (azihsm.masked_key) has one use.
 */
unsigned genoptions_import_usages(const struct genoptions *options, enum key_type type);
void genoptions_clear(struct genoptions *options);

#endif
