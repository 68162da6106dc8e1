/*
 * Reading and writing the program's memory as a kernel would: a bad pointer is an answer, not a crash.
 */
#include "preload.h"

#include <errno.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

/* Above this no user mapping exists on LP64 Linux (47 bits on x86-64, 48 on arm64). */
#if defined(__x86_64__)
#define USER_SPACE_END (UINT64_C(1) << 47)
#else
#define USER_SPACE_END (UINT64_C(1) << 48)
#endif

bool preload_user_range(uint64_t address, uint64_t len)
{
    return address < USER_SPACE_END && len <= USER_SPACE_END - address;
}

/*
 * Where a sandbox forbids the system calls, the program's own loads and stores take their place: a bad pointer then is
 * the program's crash.
 */
static bool is_forbidden(ssize_t result)
{
    return result < 0 && (errno == ENOSYS || errno == EPERM);
}

bool preload_copy_in(void *to, uint64_t from, size_t len)
{
    struct iovec local = {to, len}, remote = {(void *)(uintptr_t)from, len};
    ssize_t copied;

    if (len == 0)
        return true;
    if (!preload_user_range(from, len))
        return false;
    copied = process_vm_readv(getpid(), &local, 1, &remote, 1, 0);
    if (is_forbidden(copied))
        memcpy(to, remote.iov_base, len);
    return copied == (ssize_t)len || is_forbidden(copied);
}

bool preload_copy_out(uint64_t to, const void *from, size_t len)
{
    struct iovec local = {(void *)(uintptr_t)from, len}, remote = {(void *)(uintptr_t)to, len};
    ssize_t copied;

    if (len == 0)
        return true;
    if (!preload_user_range(to, len))
        return false;
    copied = process_vm_writev(getpid(), &local, 1, &remote, 1, 0);
    if (is_forbidden(copied))
        memcpy(remote.iov_base, from, len);
    return copied == (ssize_t)len || is_forbidden(copied);
}
