/*
 * Runs a fuzz target without a fuzzer.
 *
 *     replay_X              all seeds, cut anywhere, and each with some hundred pseudo-random changes
 *     replay_X -w DIR       writes the seeds to DIR, as a corpus
 *     replay_X FILE...      these inputs, such as one that a fuzzer found
 *
 * Every input stands in memory of exactly its size. The changes are the same in every run.
 */
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHANGES = 200 };

static unsigned long inputs;

static void run_exact(const uint8_t *data, size_t len)
{
    uint8_t *copy = malloc(len > 0 ? len : 1);

    PROMISE(copy != NULL);
    memcpy(copy, data, len);
    LLVMFuzzerTestOneInput(copy, len);
    inputs++;
    free(copy);
}

static uint32_t next_random(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

static void replay_seed(void *context, const uint8_t *data, size_t len)
{
    uint32_t *random = context;
    uint8_t *changed = malloc(len);

    PROMISE(changed != NULL);
    run_exact(data, len);
    for (unsigned i = 0; i < CHANGES; i++) {
        size_t cut = next_random(random) % 4 == 0 ? next_random(random) % (len + 1) : len;

        memcpy(changed, data, len);
        for (unsigned n = next_random(random) % 4; n > 0; n--)
            changed[next_random(random) % len] = (uint8_t)next_random(random);
        run_exact(changed, cut);
    }
    free(changed);
}

struct writer {
    const char *dir;
    unsigned count;
};

static void write_seed(void *context, const uint8_t *data, size_t len)
{
    struct writer *writer = context;
    char path[4096];
    FILE *file;

    snprintf(path, sizeof(path), "%s/seed-%04u", writer->dir, writer->count++);
    file = fopen(path, "wb");
    if (file == NULL || fwrite(data, 1, len, file) != len || fclose(file) != 0) {
        perror(path);
        exit(1);
    }
}

static int replay_file(const char *path)
{
    static uint8_t data[1 << 20];
    FILE *file = fopen(path, "rb");
    size_t len;

    if (file == NULL) {
        perror(path);
        return 1;
    }
    len = fread(data, 1, sizeof(data), file);
    fclose(file);
    run_exact(data, len);
    return 0;
}

int main(int argc, char **argv)
{
    uint32_t random = 0x2545F491;
    int status = 0;

    if (argc == 3 && strcmp(argv[1], "-w") == 0) {
        struct writer writer = {argv[2], 0};

        fuzz_seeds(write_seed, &writer);
        printf("%u seeds in %s\n", writer.count, argv[2]);
        return 0;
    }
    for (int i = 1; i < argc; i++)
        status |= replay_file(argv[i]);
    if (argc == 1)
        fuzz_seeds(replay_seed, &random);
    printf("%lu inputs\n", inputs);
    return status;
}
