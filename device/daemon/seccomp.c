/*
 * The system calls that azihsmd makes once it serves: everything else is refused (errno) or fatal (kill).
 *
 * No new program, no new process, no network, no foreign memory. Names that the running kernel's libseccomp does not
 * know are skipped, so that one list serves old and new C libraries.
 */
#include "sandbox.h"

#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <string.h>
#include <sys/socket.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define SANDBOX_UNDER_SANITIZER 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANDBOX_UNDER_SANITIZER 1
#endif

#ifdef SANDBOX_UNDER_SANITIZER

azihsm_rc sandbox_filter(enum config_seccomp mode, struct azihsm_error *err)
{
    /* The runtime of a sanitizer makes system calls of its own. */
    (void)mode;
    (void)err;
    return AZIHSM_OK;
}

#else

static const char *const sandbox_allowed[] = {
    /* memory, locked and shared */
    "brk",
    "mmap",
    "munmap",
    "mremap",
    "mprotect",
    "madvise",
    "mlock",
    "mlock2",
    "munlock",
    "memfd_create",
    "ftruncate",
    /* threads, synchronisation and where they run */
    "futex",
    "futex_waitv",
    "set_robust_list",
    "get_robust_list",
    "rseq",
    "set_tid_address",
    "gettid",
    "membarrier",
    "sched_yield",
    "sched_getaffinity",
    "sched_setaffinity",
    "getcpu",
    "exit",
    "exit_group",
    "arch_prctl",
    "prctl",
    /* time and signals */
    "clock_gettime",
    "clock_getres",
    "clock_nanosleep",
    "nanosleep",
    "gettimeofday",
    "time",
    "restart_syscall",
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "rt_sigtimedwait",
    "rt_sigsuspend",
    "sigaltstack",
    "tgkill",
    "signalfd4",
    "timerfd_create",
    "timerfd_settime",
    /* descriptors */
    "read",
    "write",
    "readv",
    "writev",
    "pread64",
    "pwrite64",
    "close",
    "close_range",
    "dup",
    "dup2",
    "dup3",
    "fcntl",
    "lseek",
    "poll",
    "ppoll",
    "select",
    "pselect6",
    "epoll_create1",
    "epoll_ctl",
    "epoll_wait",
    "epoll_pwait",
    "epoll_pwait2",
    "eventfd2",
    "pipe2",
    "ioctl",
    /* clients */
    "accept",
    "accept4",
    "connect",
    "sendmsg",
    "recvmsg",
    "sendmmsg",
    "recvmmsg",
    "sendto",
    "recvfrom",
    "getsockopt",
    "setsockopt",
    "getsockname",
    "getpeername",
    "shutdown",
    "socketpair",
    "pidfd_open",
    /* state files, and the configuration when it is read again */
    "open",
    "openat",
    "stat",
    "fstat",
    "lstat",
    "newfstatat",
    "statx",
    "fsync",
    "fdatasync",
    "rename",
    "renameat",
    "renameat2",
    "rmdir",
    "unlink",
    "unlinkat",
    "access",
    "faccessat",
    "faccessat2",
    "flock",
    "getdents64",
    "readlink",
    "readlinkat",
    /* who and where we are, randomness */
    "getpid",
    "getppid",
    "getuid",
    "geteuid",
    "getgid",
    "getegid",
    "getrandom",
    "uname",
    "sysinfo",
    "getrlimit",
    "prlimit64",
    "umask",
};

/* Threads, but no processes: clone must share the thread group; of clone3 the filter cannot see the flags, so the C
 * library is told that it does not exist and falls back. Sockets only of the local kind. */
static int sandbox_add_conditional(scmp_filter_ctx filter)
{
    int rc = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);

    if (rc == 0)
        rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
                              SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
    if (rc == 0)
        rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_EQ, AF_UNIX));
    return rc;
}

static int sandbox_build(scmp_filter_ctx filter)
{
    size_t i;
    int rc = sandbox_add_conditional(filter);

    for (i = 0; rc == 0 && i < sizeof(sandbox_allowed) / sizeof(sandbox_allowed[0]); i++) {
        int number = seccomp_syscall_resolve_name(sandbox_allowed[i]);

        /* Negative numbers stand for calls this architecture does not have. */
        if (number >= 0)
            rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, number, 0);
    }
    return rc != 0 ? rc : seccomp_load(filter);
}

azihsm_rc sandbox_filter(enum config_seccomp mode, struct azihsm_error *err)
{
    scmp_filter_ctx filter;
    int rc;

    if (mode == CONFIG_SECCOMP_OFF)
        return AZIHSM_OK;
    filter = seccomp_init(mode == CONFIG_SECCOMP_KILL ? SCMP_ACT_KILL_PROCESS : SCMP_ACT_ERRNO(EPERM));
    if (filter == NULL)
        return azihsm_error_set(err, AZIHSM_E_NO_MEMORY, "system-call filter: out of memory");
    rc = sandbox_build(filter);
    seccomp_release(filter);
    if (rc != 0)
        return azihsm_error_set(err, AZIHSM_E_INTERNAL, "system-call filter: %s (seccomp = off does without)",
                                strerror(-rc));
    return AZIHSM_OK;
}

#endif
