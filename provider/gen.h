/*
 * A key generation in progress: shared by keymgmt_gen.c, which collects what is wanted, and gen_device.c, which gets it
 * from the device.
 */
#ifndef AZIHSM_PROVIDER_GEN_H
#define AZIHSM_PROVIDER_GEN_H

#include "genoptions.h"

#include <openssl/core.h>

struct gen {
    struct provider *provider;
    enum key_type type;
    bool device;
    int selection;
    EVP_PKEY_CTX *host;
    OSSL_PARAM *given; /* all parameters so far, the later over the earlier */
    struct genoptions options;
    OSSL_CALLBACK *callback;
    void *callback_arg;
};

/* A software key of what was asked for; NULL on failure. The caller's own. */
EVP_PKEY *gen_on_host(struct gen *gen);
/* A device key: generated or imported (azihsm.input_key), and written to the files that the options name. */
struct key *gen_in_device(struct gen *gen);

#endif
