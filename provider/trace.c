/*
 * The trace: one line per event, off by default, to stderr or to a file of its own. A line is written with one write()
 * so that processes sharing the file do not mix theirs. Callers pass names, sizes and statuses, never key bytes.
 */
#include "provider_local.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *category_name(enum azihsm_trace_category category)
{
    switch (category) {
    case AZIHSM_TRACE_CONFIG:
        return "config";
    case AZIHSM_TRACE_SESSION:
        return "session";
    case AZIHSM_TRACE_KEY:
        return "key";
    case AZIHSM_TRACE_OP:
        return "op";
    default:
        return "trace";
    }
}

bool trace_on(const struct provider *provider, enum azihsm_trace_category category)
{
    return (provider->config.trace & (unsigned)category) != 0;
}

/* The descriptor is opened at the first line. Two threads may both open it; one of them closes its own again. */
static int trace_descriptor(struct provider *provider)
{
    int fd = __atomic_load_n(&provider->trace_fd, __ATOMIC_ACQUIRE);
    if (fd >= 0 || provider->config.trace_file == NULL)
        return fd >= 0 ? fd : STDERR_FILENO;
    fd = open(provider->config.trace_file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    if (fd < 0)
        return STDERR_FILENO;
    int expected = -1;
    if (!__atomic_compare_exchange_n(&provider->trace_fd, &expected, fd, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
        close(fd);
        fd = expected;
    }
    return fd;
}

void trace(const struct provider *provider, enum azihsm_trace_category category, const char *format, ...)
{
    if (!trace_on(provider, category))
        return;
    char line[512];
    int used = snprintf(line, sizeof(line), "azihsm[%ld] %s: ", (long)getpid(), category_name(category));
    va_list args;
    va_start(args, format);
    vsnprintf(line + used, sizeof(line) - (size_t)used - 1, format, args);
    va_end(args);
    size_t length = strlen(line);
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)line[i] < ' ')
            line[i] = ' '; /* one event, one line, whatever a file or daemon put into the text */
    line[length++] = '\n';
    if (write(trace_descriptor((struct provider *)provider), line, length) < 0)
        return; /* a trace that cannot be written disturbs nobody */
}
