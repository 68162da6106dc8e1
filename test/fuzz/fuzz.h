/*
 * What a fuzz target and the replay program share. A target aborts when a promise is broken; out-of-bounds access is
 * for the sanitizers to see.
 */
#ifndef TEST_FUZZ_H
#define TEST_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* Gives every seed of the unit tests to visit. */
void fuzz_seeds(void (*visit)(void *context, const uint8_t *data, size_t len), void *context);

#define PROMISE(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            abort();                                                                                                   \
    } while (0)

#endif
