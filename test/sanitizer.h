/*
 * Whether a sanitizer is compiled in (gcc and clang say it differently), for tests that it makes too slow or
 * impossible.
 */
#ifndef AZIHSM_TEST_SANITIZER_H
#define AZIHSM_TEST_SANITIZER_H

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

/* The same test with fewer repetitions where each is slow. */
#define TIMES(n) (SANITIZED ? ((n) + 9) / 10 : (n))

#endif
