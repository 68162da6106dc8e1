/*
 * Messages on stderr.
 */
#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct {
    const char *program;
    int quiet;
    int journal;
} log_state = {.program = "azihsmd"};

void log_init(const char *program, int quiet)
{
    log_state.program = program;
    log_state.quiet = quiet;
    log_state.journal = getenv("JOURNAL_STREAM") != NULL;
}

void log_line(enum log_level level, const char *format, ...)
{
    char line[512];
    char text[600];
    va_list args;
    int len;

    if (log_state.quiet && level > LOG_LEVEL_WARNING)
        return;
    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    if (log_state.journal)
        len = snprintf(text, sizeof(text), "<%d>%s\n", (int)level, line);
    else
        len = snprintf(text, sizeof(text), "%s: %s\n", log_state.program, line);
    /* One write, so that lines of several threads do not mix; a stderr that is gone is nobody's problem. */
    if (len > 0 && write(STDERR_FILENO, text, (size_t)len) < 0)
        return;
}
