/*
 * The provider's section of openssl.cnf as values: one table of keys, strict, no guessing.
 *
 * Parsing is pure (names and strings in, values or one sentence out), so that it is tested without OpenSSL's config
 * machinery; where the strings come from is provider.c's business.
 */
#ifndef AZIHSM_PROVIDER_CONFIG_H
#define AZIHSM_PROVIDER_CONFIG_H

#include <stdbool.h>
#include <stddef.h>

enum import_policy { IMPORT_CARRY, IMPORT_DEVICE, IMPORT_REFUSE };
/* auto: in the device, else on the host and imported. device: only in the device. host: only on the host. forbid:
 * never. */
enum rsa_generate { RSA_GENERATE_AUTO, RSA_GENERATE_DEVICE, RSA_GENERATE_HOST, RSA_GENERATE_FORBID };

struct config {
    char *device;     /* NULL = auto */
    char *partition;  /* NULL = default */
    char *pin_source; /* NULL = by peer credentials */
    char *keys;       /* key directory */
    unsigned import;  /* enum import_policy */
    unsigned rsa_generate;
    unsigned symmetric; /* bool: offer the operations with symmetric device keys */
    unsigned async;     /* bool: pause inside an ASYNC_JOB */
    unsigned autostart; /* bool */
    unsigned pkcs11;    /* bool: answer for pkcs11: URIs too */
    unsigned timeout_ms;
    unsigned trace;   /* AZIHSM_TRACE_ bits */
    char *trace_file; /* NULL = stderr */
};

/* A value by name, or NULL when the key is not set. */
typedef const char *config_lookup(void *arg, const char *name);

/*
 * Fills *config from what lookup knows; defaults otherwise. false: why says in one sentence what is wrong; *config
 * then holds defaults for what could not be read (trace is parsed first, so that the sentence can be traced).
 */
bool config_parse(struct config *config, config_lookup *lookup, void *arg, char *why, size_t why_size);
void config_free(struct config *config);

/* Whether a key of the section is one of ours or OpenSSL's own (module, activate, identity, soft_load). */
bool config_is_known(const char *name);

/* The name after which a configuration of another spelling is suggested, or NULL. */
const char *config_similar(const char *name);
/* All keys, comma-separated. */
void config_names(char *out, size_t size);

#endif
