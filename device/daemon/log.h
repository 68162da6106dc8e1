/*
 * azihsmd's messages: one line each on stderr, with the priority prefix that journald understands when it listens.
 * Never a secret.
 */
#ifndef DAEMON_LOG_H
#define DAEMON_LOG_H

enum log_level { LOG_LEVEL_ERROR = 3, LOG_LEVEL_WARNING = 4, LOG_LEVEL_INFO = 6 };

/* Call once, before other threads exist. quiet: errors and warnings only. */
void log_init(const char *program, int quiet);
__attribute__((format(printf, 2, 3))) void log_line(enum log_level level, const char *format, ...);

#endif
