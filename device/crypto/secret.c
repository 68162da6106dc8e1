/*
 * Secrets live in pages of our own: anonymous, locked, left out of core dumps. A page holds 64 blocks of 64 bytes and
 * one word says which are taken, so claiming a run of blocks is one compare-and-swap: no lock, nothing that a fork in
 * another thread could leave taken. Pages come in chunks that are never unmapped; what exceeds a page gets a mapping
 * of its own.
 */
#include "crypto/secret.h"

#include <openssl/crypto.h>

#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

enum { BLOCK = 64, PAGE = 4096, CHUNK_PAGES = 16, CHUNK_SIZE = (CHUNK_PAGES + 1) * PAGE };

/* The first page of a chunk is this header; the secrets follow. */
struct chunk {
    struct chunk *next;
    _Atomic uint64_t taken[CHUNK_PAGES];
};

static _Atomic(struct chunk *) chunks;

static void *map_locked(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED)
        return NULL;
    (void)madvise(memory, size, MADV_DONTDUMP);
    (void)mlock(memory, size);
    return memory;
}

static size_t mapped_size(size_t total)
{
    return (total + PAGE - 1) / PAGE * PAGE;
}

/* One bit per block, count in 1..64. */
static uint64_t run_mask(size_t count)
{
    return count == 64 ? UINT64_MAX : (UINT64_C(1) << count) - 1;
}

/* Claims count blocks of a page; -1 when no run of that length is free. */
static int claim_run(_Atomic uint64_t *word, size_t count)
{
    uint64_t taken = atomic_load(word);
    unsigned shift = 0;

    while (shift + count <= 64) {
        uint64_t mask = run_mask(count) << shift;

        if ((taken & mask) != 0)
            shift++;
        else if (atomic_compare_exchange_weak(word, &taken, taken | mask))
            return (int)shift;
    }
    return -1;
}

static void *claim_in_chunk(struct chunk *chunk, size_t count)
{
    for (size_t page = 0; page < CHUNK_PAGES; page++) {
        int block = claim_run(&chunk->taken[page], count);

        if (block >= 0)
            return (uint8_t *)chunk + (page + 1) * PAGE + (size_t)block * BLOCK;
    }
    return NULL;
}

static void *claim(size_t count)
{
    struct chunk *chunk;
    void *found;

    for (chunk = atomic_load(&chunks); chunk != NULL; chunk = chunk->next)
        if ((found = claim_in_chunk(chunk, count)) != NULL)
            return found;
    chunk = map_locked(CHUNK_SIZE);
    if (chunk == NULL)
        return NULL;
    /* ours before it is published, so it cannot be full for us */
    found = claim_in_chunk(chunk, count);
    chunk->next = atomic_load(&chunks);
    while (!atomic_compare_exchange_weak(&chunks, &chunk->next, chunk))
        ;
    return found;
}

static void release(void *memory, size_t count)
{
    struct chunk *chunk = atomic_load(&chunks);
    size_t offset, page, block;

    while ((uintptr_t)memory - (uintptr_t)chunk >= CHUNK_SIZE)
        chunk = chunk->next;
    offset = (size_t)((uint8_t *)memory - (uint8_t *)chunk);
    page = offset / PAGE - 1;
    block = offset % PAGE / BLOCK;
    atomic_fetch_and(&chunk->taken[page], ~(run_mask(count) << block));
}

/* The allocated size stands before the secret, because a holder may lower len. */
struct header {
    size_t total;
};

_Static_assert(sizeof(struct header) % _Alignof(struct secret) == 0, "a secret follows its header");

struct secret *secret_new(size_t len)
{
    size_t total = sizeof(struct header) + sizeof(struct secret) + len;
    struct header *header;
    struct secret *secret;

    if (len > SIZE_MAX / 2)
        return NULL;
    header = total <= PAGE ? claim((total + BLOCK - 1) / BLOCK) : map_locked(mapped_size(total));
    if (header == NULL)
        return NULL;
    header->total = total;
    secret = (struct secret *)(header + 1);
    secret->len = len;
    return secret;
}

struct secret *secret_copy(const void *bytes, size_t len)
{
    struct secret *secret = secret_new(len);

    if (secret != NULL && len > 0)
        memcpy(secret->data, bytes, len);
    return secret;
}

void secret_free(struct secret *secret)
{
    struct header *header;
    size_t total;

    if (secret == NULL)
        return;
    header = (struct header *)secret - 1;
    total = header->total;
    OPENSSL_cleanse(header, total);
    if (total <= PAGE)
        release(header, (total + BLOCK - 1) / BLOCK);
    else
        munmap(header, mapped_size(total));
}

struct azihsm_bytes secret_view(const struct secret *secret)
{
    return (struct azihsm_bytes){secret->data, secret->len};
}

void secret_relock(void)
{
    for (struct chunk *chunk = atomic_load(&chunks); chunk != NULL; chunk = chunk->next)
        (void)mlock(chunk, CHUNK_SIZE);
}
