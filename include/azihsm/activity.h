/*
 * What was asked of a device, counted by algorithm: operations, errors and latency. The same vocabulary serves this
 * process (azihsm_client_activity, the provider's parameters) and azihsmd (`azihsm status`, `azihsm metrics`).
 */
#ifndef AZIHSM_ACTIVITY_H
#define AZIHSM_ACTIVITY_H

#include <stdbool.h>
#include <stdint.h>

#define AZIHSM_ACTIVITY_X(constant, algorithm, action) AZIHSM_ACTIVITY_##constant,
enum azihsm_activity {
#include <azihsm/activity.def>
    AZIHSM_ACTIVITIES
};
#undef AZIHSM_ACTIVITY_X

/* "ecdsa-p256" and "sign". NULL when there is no such activity; static storage. */
const char *azihsm_activity_algorithm(unsigned activity);
const char *azihsm_activity_action(unsigned activity);

/*
 * The activity a command belongs to. kind: of the key that is used, made or loaded (enum azihsm_key_kind); for
 * RsaUnwrap the class asked for (AZIHSM_CLASS_...). decrypt tells an RSA decryption from a signature. What cannot be
 * told, because the command failed before its key was known, is AZIHSM_ACTIVITY_OTHER.
 */
enum azihsm_activity azihsm_activity_of(uint32_t op, uint32_t kind, bool decrypt);

/* Bucket i counts what took less than 2^i microseconds and not less than the bucket before; the last takes the rest. */
enum { AZIHSM_LATENCY_BUCKETS = 25 };

struct azihsm_latency {
    uint64_t operations; /* errors included */
    uint64_t errors;
    uint64_t total_ns, max_ns;
    uint64_t buckets[AZIHSM_LATENCY_BUCKETS];
};

/* The latency in microseconds that percent (0 to 100) of the operations stayed within: interpolated in a bucket, so an
 * estimate, and never above the greatest one seen. 0 when there was none. */
uint64_t azihsm_latency_quantile_us(const struct azihsm_latency *latency, unsigned percent);

#endif
