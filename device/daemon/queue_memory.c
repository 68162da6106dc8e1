/*
 * Memory shared with a client: made and sealed by the server, because a descriptor of the client's choosing could be
 * cut short under our feet or block us.
 */
#include "queue_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <sys/mman.h>
#include <unistd.h>

int queue_memory_new(const char *name, size_t size, void **data)
{
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (fd < 0)
        return -1;
    if (ftruncate(fd, (off_t)size) != 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
        goto fail;
    *data = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (*data == MAP_FAILED)
        goto fail;
    madvise(*data, size, MADV_DONTFORK);
    madvise(*data, size, MADV_DONTDUMP);
    return fd;
fail:
    close(fd);
    return -1;
}

struct queue_bulk_memory *queue_bulk_memory_new(size_t size, int *fd)
{
    struct queue_bulk_memory *memory = OPENSSL_zalloc(sizeof(*memory));
    void *data;

    if (memory == NULL)
        return NULL;
    *fd = queue_memory_new("azihsm-bulk", size, &data);
    if (*fd < 0) {
        OPENSSL_free(memory);
        return NULL;
    }
    memory->data = data;
    memory->size = size;
    atomic_init(&memory->refs, 1);
    return memory;
}

void queue_bulk_memory_unref(struct queue_bulk_memory *memory)
{
    if (memory == NULL || atomic_fetch_sub(&memory->refs, 1) != 1)
        return;
    munmap(memory->data, memory->size);
    OPENSSL_free(memory);
}
