/*
 * Counts as provider parameters: azihsm.FIELD over everything, azihsm.ALGORITHM.ACTION.FIELD of one activity, and the
 * events of sessions. All are unsigned integers. The numbers are the client library's and the process's, not this
 * instance's: keys of other instances and library contexts are counted with.
 */
#include "statistics.h"

#include <azihsm/client.h>
#include <openssl/core_names.h>
#include <openssl/params.h>
#include <string.h>

static const char prefix[] = "azihsm.";

/* ---- names ---- */

#define COUNTS(stem)                                                                                                   \
    OSSL_PARAM_uint64(stem "operations", NULL), OSSL_PARAM_uint64(stem "errors", NULL),                                \
        OSSL_PARAM_uint64(stem "total-us", NULL), OSSL_PARAM_uint64(stem "max-us", NULL),                              \
        OSSL_PARAM_uint64(stem "p50-us", NULL), OSSL_PARAM_uint64(stem "p99-us", NULL)

#define AZIHSM_ACTIVITY_X(constant, algorithm, action) COUNTS("azihsm." algorithm "." action "."),
static const OSSL_PARAM gettable[] = {
    COUNTS("azihsm."),
    OSSL_PARAM_uint64("azihsm.sessions", NULL),
    OSSL_PARAM_uint64("azihsm.reconnects", NULL),
    OSSL_PARAM_uint64("azihsm.resets-recovered", NULL),
    OSSL_PARAM_uint64("azihsm.repeats", NULL),
    OSSL_PARAM_uint64("azihsm.evictions", NULL),
    OSSL_PARAM_uint64("azihsm.abandoned", NULL),
#include <azihsm/activity.def>
    OSSL_PARAM_utf8_ptr(OSSL_PROV_PARAM_NAME, NULL, 0),
    OSSL_PARAM_utf8_ptr(OSSL_PROV_PARAM_VERSION, NULL, 0),
    OSSL_PARAM_utf8_ptr(OSSL_PROV_PARAM_BUILDINFO, NULL, 0),
    OSSL_PARAM_int(OSSL_PROV_PARAM_STATUS, NULL),
    OSSL_PARAM_END,
};
#undef AZIHSM_ACTIVITY_X

const OSSL_PARAM *statistics_gettable(void)
{
    return gettable;
}

/* ---- values ---- */

/* The value of a field; false when there is no such field. */
static bool field_value(const struct azihsm_latency *latency, const char *field, uint64_t *out)
{
    const struct {
        const char *name;
        uint64_t value;
    } fields[] = {
        {"operations", latency->operations},
        {"errors", latency->errors},
        {"total-us", latency->total_ns / 1000},
        {"max-us", (latency->max_ns + 999) / 1000},
        {"p50-us", azihsm_latency_quantile_us(latency, 50)},
        {"p99-us", azihsm_latency_quantile_us(latency, 99)},
    };

    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
        if (strcmp(field, fields[i].name) == 0) {
            *out = fields[i].value;
            return true;
        }
    return false;
}

static bool event_value(const char *name, uint64_t *out)
{
    struct azihsm_client_events events;

    azihsm_client_get_events(&events);
    const struct {
        const char *name;
        uint64_t value;
    } all[] = {
        {"sessions", events.sessions}, {"reconnects", events.reconnects}, {"resets-recovered", events.resets_recovered},
        {"repeats", events.repeats},   {"evictions", events.evictions},   {"abandoned", events.abandoned},
    };

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        if (strcmp(name, all[i].name) == 0) {
            *out = all[i].value;
            return true;
        }
    return false;
}

/* What operations need on their way (loading keys, opening sessions) is in their own time and not counted twice. */
static void sum_of_operations(struct azihsm_latency *sum)
{
    struct azihsm_latency one;

    *sum = (struct azihsm_latency){0};
    for (unsigned i = 0; i < AZIHSM_ACTIVITIES; i++) {
        if (i == AZIHSM_ACTIVITY_KEY_LOAD || i == AZIHSM_ACTIVITY_SESSION_OPEN)
            continue;
        azihsm_client_activity((enum azihsm_activity)i, &one);
        sum->operations += one.operations;
        sum->errors += one.errors;
        sum->total_ns += one.total_ns;
        sum->max_ns = one.max_ns > sum->max_ns ? one.max_ns : sum->max_ns;
        for (unsigned j = 0; j < AZIHSM_LATENCY_BUCKETS; j++)
            sum->buckets[j] += one.buckets[j];
    }
}

/* What is left of text behind word and a dot, or NULL. */
static const char *behind(const char *text, const char *word)
{
    size_t length = strlen(word);

    return strncmp(text, word, length) == 0 && text[length] == '.' ? text + length + 1 : NULL;
}

static bool activity_value(const char *name, uint64_t *out)
{
    for (unsigned i = 0; i < AZIHSM_ACTIVITIES; i++) {
        const char *rest = behind(name, azihsm_activity_algorithm(i));
        struct azihsm_latency latency;

        rest = rest == NULL ? NULL : behind(rest, azihsm_activity_action(i));
        if (rest == NULL)
            continue;
        azihsm_client_activity((enum azihsm_activity)i, &latency);
        return field_value(&latency, rest, out);
    }
    return false;
}

int statistics_get(OSSL_PARAM params[])
{
    for (OSSL_PARAM *p = params; p != NULL && p->key != NULL; p++) {
        struct azihsm_latency all;
        const char *name;
        uint64_t value;

        if (strncmp(p->key, prefix, sizeof(prefix) - 1) != 0)
            continue;
        name = p->key + sizeof(prefix) - 1;
        if (!event_value(name, &value) && !activity_value(name, &value)) {
            sum_of_operations(&all);
            if (!field_value(&all, name, &value))
                continue; /* as unknown as any other name: left alone */
        }
        if (!OSSL_PARAM_set_uint64(p, value))
            return 0;
    }
    return 1;
}
