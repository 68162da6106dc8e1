/*
 * Typed operations on a device for programs and for the provider: sessions, credentials and key residency are handled
 * underneath; the caller never sees a session id, a key id or a frame.
 *
 * A client is a configured device as this process sees it; equal configurations share one (refcounted registry).
 * A key is a masked blob and its public half; it becomes resident in the device on first use, again after fork, reset
 * or loss of the device, and costs nothing before. Every function is thread-safe. A key made in the parent works in a
 * child, and freeing it there changes nothing for the parent.
 */
#ifndef AZIHSM_CLIENT_H
#define AZIHSM_CLIENT_H

#include <azihsm/activity.h>
#include <azihsm/ddi.h>
#include <azihsm/error.h>

struct azihsm_client;
struct azihsm_key;

/*
 * How to wait without blocking the thread (ASYNC jobs). can_pause is asked before each wait; pause returns after the
 * descriptor became readable or for no reason at all (the client checks and pauses again). No lock is held over it.
 * A job may be thrown away while it is paused (its connection was dropped): then pause never returns, and
 * abandon(state) is called once instead, from whichever thread freed the connection. It gives up what the paused
 * operation holds (request, leases); state is on the heap, because the job's stack is gone for good. After a pause that
 * did return, abandon is not called for that state any more.
 */
struct azihsm_async_hooks {
    bool (*can_pause)(void *arg);
    /* false: could not pause; the client then blocks */
    bool (*pause)(void *arg, int fd, void (*abandon)(void *state), void *state);
    void *arg;
};

enum azihsm_trace_category {
    AZIHSM_TRACE_CONFIG = 1,
    AZIHSM_TRACE_SESSION = 2,
    AZIHSM_TRACE_KEY = 4,
    AZIHSM_TRACE_OP = 8,
    AZIHSM_TRACE_ALL = 15
};

struct azihsm_client_config {
    const char *device;    /* NULL = "auto"; see device.h */
    const char *partition; /* NULL = "default" */
    const char
        *pin_source;     /* "file:/path" of a credential file (device/client/README.md), NULL = by peer credentials */
    unsigned timeout_ms; /* deadline of one operation (six times that to generate an RSA key), 0 = 10000 */
    bool autostart;      /* start a private azihsmd --user when nothing is configured */
    struct azihsm_async_hooks async; /* all NULL = always block */
    /* One line an event, without its end. Names, labels, kinds, sizes, statuses and times; never a secret. */
    void (*trace)(void *arg, enum azihsm_trace_category category, const char *line);
    void *trace_arg;
    unsigned trace_categories; /* those that are wanted (AZIHSM_TRACE_ bits), 0 = all */
};

/* Opens nothing. AZIHSM_E_CONFIG names the wrong value. */
azihsm_rc azihsm_client_new(const struct azihsm_client_config *config, struct azihsm_client **out,
                            struct azihsm_error *err);
struct azihsm_client *azihsm_client_up_ref(struct azihsm_client *client);
void azihsm_client_free(struct azihsm_client *client);
/* For the moment a private key is loaded: reads pin-source and readies the endpoint for fork and privilege drop. Never
 * fails loudly. */
void azihsm_client_prepare(struct azihsm_client *client);
const char *azihsm_client_endpoint_name(struct azihsm_client *client);
/* SHA-256 that names partition and backup key ("device hint" of a key file). Opens a session. */
azihsm_rc azihsm_client_device_hint(struct azihsm_client *client, uint8_t out[32], struct azihsm_error *err);

/* ---- keys ---- */

enum azihsm_usage { AZIHSM_USAGE_SIGN = 1, AZIHSM_USAGE_DECRYPT = 2, AZIHSM_USAGE_DERIVE = 4 };

struct azihsm_key_spec {
    enum azihsm_usage usage;
    bool session;      /* dies with the session of this process; not for key files */
    const char *label; /* NULL = none; at most 128 bytes */
    uint16_t tag;      /* 0 = none */
};

/* From a masked blob and (asymmetric keys) its SPKI; copies both. No device work. AZIHSM_E_DECODE when the blob is
 * malformed. The vendor's bare blob files come without SPKI: spki of an asymmetric key may be empty, and after
 * azihsm_key_load its public half is what the device says (azihsm_key_spki). */
azihsm_rc azihsm_key_from_blob(struct azihsm_client *client, struct azihsm_bytes masked_key, struct azihsm_bytes spki,
                               struct azihsm_key **out, struct azihsm_error *err);
/* A named key in the device (OpenKey). There is no blob: the key is gone after a reset. */
azihsm_rc azihsm_key_from_tag(struct azihsm_client *client, uint16_t tag, struct azihsm_key **out,
                              struct azihsm_error *err);

azihsm_rc azihsm_key_generate_ecc(struct azihsm_client *client, uint32_t curve, const struct azihsm_key_spec *spec,
                                  struct azihsm_key **out, struct azihsm_error *err);
/* In the device where it announces that, else AZIHSM_E_UNSUPPORTED. bits 2048, 3072, 4096. */
azihsm_rc azihsm_key_generate_rsa(struct azihsm_client *client, unsigned bits, const struct azihsm_key_spec *spec,
                                  struct azihsm_key **out, struct azihsm_error *err);
azihsm_rc azihsm_key_generate_aes(struct azihsm_client *client, uint32_t aes_key_size,
                                  const struct azihsm_key_spec *spec, struct azihsm_key **out,
                                  struct azihsm_error *err);
/* kind: AZIHSM_KEY_HMAC_SHA256, 384 or 512. The device has no command for it: the key is derived (HKDF) from the secret
 * of two key pairs that are made in the device for this and dropped, so it was never anywhere else. */
azihsm_rc azihsm_key_generate_hmac(struct azihsm_client *client, uint32_t kind, const struct azihsm_key_spec *spec,
                                   struct azihsm_key **out, struct azihsm_error *err);
/* Wraps plaintext (PKCS#8 DER, or raw AES bytes) to the device's unwrapping key and imports it. The caller cleanses its
 * copy. */
azihsm_rc azihsm_key_import(struct azihsm_client *client, uint32_t key_class, struct azihsm_bytes plaintext,
                            const struct azihsm_key_spec *spec, struct azihsm_key **out, struct azihsm_error *err);
/* The same from a blob wrapped elsewhere (PKCS#11 RSA-AES key wrap, OAEP with hash). */
azihsm_rc azihsm_key_import_wrapped(struct azihsm_client *client, uint32_t key_class, uint32_t hash,
                                    struct azihsm_bytes wrapped, const struct azihsm_key_spec *spec,
                                    struct azihsm_key **out, struct azihsm_error *err);
/* SPKI of the unwrapping key, for wrapping on another machine. out needs AZIHSM_PUB_KEY_MAX bytes. */
azihsm_rc azihsm_client_unwrapping_key(struct azihsm_client *client, uint8_t *out, size_t cap, size_t *len,
                                       struct azihsm_error *err);

/* Makes the key resident now. Afterwards azihsm_key_spki is known also when from_blob was given none. */
azihsm_rc azihsm_key_load(struct azihsm_key *key, struct azihsm_error *err);

struct azihsm_key *azihsm_key_up_ref(struct azihsm_key *key);
void azihsm_key_free(struct azihsm_key *key);

uint32_t azihsm_key_kind(const struct azihsm_key *key);
uint64_t azihsm_key_flags(const struct azihsm_key *key);           /* AZIHSM_ATTR_ bits */
struct azihsm_bytes azihsm_key_blob(const struct azihsm_key *key); /* empty for from_tag keys */
struct azihsm_bytes azihsm_key_spki(const struct azihsm_key *key); /* empty for symmetric keys */
struct azihsm_bytes azihsm_key_label(const struct azihsm_key *key);

/* ---- operations; every length in/out: *len is the room, then what was written ---- */

/* digest: the hash value; hash: enum azihsm_hash. sig: r||s big-endian, 64/96/132 bytes. */
azihsm_rc azihsm_key_ecc_sign(struct azihsm_key *key, uint32_t hash, struct azihsm_bytes digest, uint8_t *sig,
                              size_t *len, struct azihsm_error *err);
/* y^d mod n, big-endian, modulus length in and out. */
azihsm_rc azihsm_key_rsa_mod_exp(struct azihsm_key *key, enum azihsm_rsa_op op, struct azihsm_bytes y, uint8_t *x,
                                 size_t *len, struct azihsm_error *err);
/* peer: SPKI of the same curve. The secret stays in the device. */
azihsm_rc azihsm_key_ecdh(struct azihsm_key *key, struct azihsm_bytes peer_spki, const struct azihsm_key_spec *spec,
                          struct azihsm_key **secret, struct azihsm_error *err);

struct azihsm_kdf {
    bool kbkdf; /* else HKDF */
    uint32_t hash;
    bool has_first, has_second;
    struct azihsm_bytes first;  /* HKDF salt, KBKDF label */
    struct azihsm_bytes second; /* HKDF info, KBKDF context */
    uint32_t target_kind;
    uint8_t key_length; /* variable-length HMAC kinds only */
};
azihsm_rc azihsm_key_derive(struct azihsm_key *secret, const struct azihsm_kdf *kdf, const struct azihsm_key_spec *spec,
                            struct azihsm_key **out, struct azihsm_error *err);
azihsm_rc azihsm_key_hmac(struct azihsm_key *key, struct azihsm_bytes msg, uint8_t *tag, size_t *len,
                          struct azihsm_error *err);
/* CBC without padding; any multiple of 16, split into device messages; iv is updated for chaining. */
azihsm_rc azihsm_key_aes_cbc(struct azihsm_key *key, bool decrypt, uint8_t iv[16], const uint8_t *in, uint8_t *out,
                             size_t len, struct azihsm_error *err);
azihsm_rc azihsm_key_aes_gcm(struct azihsm_key *key, bool decrypt, uint8_t iv[12], struct azihsm_bytes aad,
                             const uint8_t *in, uint8_t *out, size_t len, uint8_t tag[16], struct azihsm_error *err);
azihsm_rc azihsm_key_aes_xts(struct azihsm_key *data_key, struct azihsm_key *tweak_key, bool decrypt,
                             const uint8_t tweak[16], uint32_t data_unit, const uint8_t *in, uint8_t *out, size_t len,
                             struct azihsm_error *err);
/* report_data exactly 128 bytes; report needs AZIHSM_REPORT_MAX bytes. */
azihsm_rc azihsm_key_attest(struct azihsm_key *key, const uint8_t report_data[AZIHSM_REPORT_DATA_SIZE], uint8_t *report,
                            size_t *len, struct azihsm_error *err);
/* Frees the device's copy now (it would be freed with the last reference anyway); the blob stays usable. */
azihsm_rc azihsm_key_evict(struct azihsm_key *key, struct azihsm_error *err);
/* The same, but tells whether the device did it, and waits for that: a named key is then gone for everybody. */
azihsm_rc azihsm_key_delete(struct azihsm_key *key, struct azihsm_error *err);

/* ---- device administration ---- */

struct azihsm_client_status {
    struct azihsm_api_rev rev;
    enum azihsm_device_kind kind;
    unsigned tables;
    bool fips_approved;
    uint64_t extensions;
};
azihsm_rc azihsm_client_get_status(struct azihsm_client *client, struct azihsm_client_status *out,
                                   struct azihsm_error *err);
/* Number of certificates, then each as DER (root first, partition leaf last); AZIHSM_E_BUSY when the chain changed
 * meanwhile. */
azihsm_rc azihsm_client_certificate(struct azihsm_client *client, unsigned index, uint8_t *der, size_t *len,
                                    unsigned *count, struct azihsm_error *err);
azihsm_rc azihsm_client_change_pin(struct azihsm_client *client, const uint8_t pin[AZIHSM_CREDENTIAL_SIZE],
                                   struct azihsm_error *err);
azihsm_rc azihsm_client_reset(struct azihsm_client *client, struct azihsm_error *err);

/* ---- what this process has asked of its devices ---- */

/*
 * Since the process began, over all its clients and devices; a forked child begins at zero. An operation is one call of
 * this header, from its beginning to its end with all that recovery took (waiting for a device, logging in, repeating);
 * an error is one that failed in spite of that. Loading a key and opening a session are counted for themselves too,
 * also where an operation needed them. Calls that fail in their arguments are not counted. Both functions may be called
 * at any time, by any thread, also without a client; counts that change meanwhile may be a moment apart.
 */
void azihsm_client_activity(enum azihsm_activity activity, struct azihsm_latency *out);

struct azihsm_client_events {
    uint64_t sessions;         /* opened */
    uint64_t reconnects;       /* of these, because an earlier session or its connection was lost */
    uint64_t resets_recovered; /* sessions reopened after a device was reset or migrated */
    uint64_t repeats;          /* attempts of operations that were made once more */
    uint64_t evictions;        /* idle keys put out of a full device */
    uint64_t abandoned;        /* operations given up with their ASYNC job, counted nowhere else */
};
void azihsm_client_get_events(struct azihsm_client_events *out);

#endif
