// SPDX-License-Identifier: Apache-2.0
// The default profile decides each system call by three questions: does it act on the process' own memory, files, sockets, time and
// children only (allowed); is it a door that a capability opens (allowed with it, EPERM without); has it no business in a container
// at all (EPERM). What is in no list does not exist for the container: ENOSYS, so that a libc which tries a newer call first
// falls back to the older one, also on kernels newer than this table.
#include "runtime/security/seccomp_table.h"

#include <array>
#include <iterator>

namespace berth::runtime::security {
namespace {

using sv = std::string_view;

constexpr sv kAllowed[] = {
    // Memory of the process itself.
    "brk", "mmap", "mmap2", "munmap", "mprotect", "mremap", "msync", "mincore", "madvise", "process_madvise", "mlock", "mlock2",
    "mlockall", "munlock", "munlockall", "remap_file_pages", "membarrier", "memfd_create", "memfd_secret", "mseal", "cachestat",
    "pkey_alloc", "pkey_free", "pkey_mprotect", "map_shadow_stack",
    // Processes and threads: life, identity, groups. clone and clone3 have rules of their own.
    "fork", "vfork", "execve", "execveat", "exit", "exit_group", "wait4", "waitid", "waitpid", "getpid", "getppid", "gettid",
    "getpgid", "getpgrp", "setpgid", "getsid", "setsid", "set_tid_address", "set_robust_list", "get_robust_list", "rseq",
    "set_thread_area", "get_thread_area", "prctl", "seccomp", "pidfd_open", "pidfd_send_signal", "process_mrelease", "ptrace",
    "process_vm_readv", "process_vm_writev", "restart_syscall",
    "getuid", "getuid32", "geteuid", "geteuid32", "getgid", "getgid32", "getegid", "getegid32", "getresuid", "getresuid32",
    "getresgid", "getresgid32", "setuid", "setuid32", "setgid", "setgid32", "setreuid", "setreuid32", "setregid", "setregid32",
    "setresuid", "setresuid32", "setresgid", "setresgid32", "setfsuid", "setfsuid32", "setfsgid", "setfsgid32", "getgroups",
    "getgroups32", "setgroups", "setgroups32", "capget", "capset", "umask",
    // Confinement that a process puts on itself, and questions about it.
    "landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self", "lsm_get_self_attr", "lsm_list_modules",
    // Scheduling and limits; the kernel asks for CAP_SYS_NICE and CAP_SYS_RESOURCE where it matters.
    "sched_yield", "sched_getaffinity", "sched_setaffinity", "sched_getparam", "sched_setparam", "sched_getscheduler",
    "sched_setscheduler", "sched_getattr", "sched_setattr", "sched_get_priority_max", "sched_get_priority_min",
    "sched_rr_get_interval", "sched_rr_get_interval_time64", "getpriority", "setpriority", "nice", "ioprio_get", "ioprio_set",
    "getcpu", "getrlimit", "ugetrlimit", "setrlimit", "prlimit64", "getrusage", "times",
    // Signals.
    "kill", "tkill", "tgkill", "signal", "sigaction", "sigaltstack", "sigpending", "sigprocmask", "sigreturn", "sigsuspend",
    "rt_sigaction", "rt_sigpending", "rt_sigprocmask", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "rt_sigreturn", "rt_sigsuspend",
    "rt_sigtimedwait", "rt_sigtimedwait_time64", "signalfd", "signalfd4", "pause",
    // Time. Reading and adjusting share adjtimex and clock_adjtime; the kernel asks for CAP_SYS_TIME itself.
    "time", "gettimeofday", "clock_gettime", "clock_gettime64", "clock_getres", "clock_getres_time64", "clock_nanosleep",
    "clock_nanosleep_time64", "nanosleep", "adjtimex", "clock_adjtime", "clock_adjtime64", "alarm", "getitimer", "setitimer",
    "timer_create", "timer_delete", "timer_getoverrun", "timer_gettime", "timer_gettime64", "timer_settime", "timer_settime64",
    "timerfd_create", "timerfd_gettime", "timerfd_gettime64", "timerfd_settime", "timerfd_settime64",
    // Opening and looking at files.
    "open", "openat", "openat2", "creat", "close", "close_range", "access", "faccessat", "faccessat2", "stat", "stat64", "lstat",
    "lstat64", "fstat", "fstat64", "fstatat64", "newfstatat", "oldstat", "oldlstat", "oldfstat", "statx", "statfs", "statfs64",
    "fstatfs", "fstatfs64", "statmount", "listmount", "readlink", "readlinkat", "getcwd", "chdir", "fchdir", "getdents",
    "getdents64", "readdir", "name_to_handle_at", "file_getattr", "file_setattr",
    // Reading and writing.
    "read", "readv", "pread64", "preadv", "preadv2", "write", "writev", "pwrite64", "pwritev", "pwritev2", "lseek", "_llseek",
    "sendfile", "sendfile64", "copy_file_range", "splice", "tee", "vmsplice", "readahead", "fadvise64", "fadvise64_64",
    "fallocate", "truncate", "truncate64", "ftruncate", "ftruncate64", "sync", "syncfs", "fsync", "fdatasync", "sync_file_range",
    "ioctl", "fcntl", "fcntl64", "flock", "dup", "dup2", "dup3", "pipe", "pipe2",
    // Changing directories and attributes.
    "mkdir", "mkdirat", "rmdir", "link", "linkat", "symlink", "symlinkat", "unlink", "unlinkat", "rename", "renameat",
    "renameat2", "mknod", "mknodat", "chmod", "fchmod", "fchmodat", "fchmodat2", "chown", "chown32", "fchown", "fchown32",
    "fchownat", "lchown", "lchown32", "utime", "utimes", "futimesat", "utimensat", "utimensat_time64",
    "getxattr", "lgetxattr", "fgetxattr", "getxattrat", "setxattr", "lsetxattr", "fsetxattr", "setxattrat", "listxattr",
    "llistxattr", "flistxattr", "listxattrat", "removexattr", "lremovexattr", "fremovexattr", "removexattrat",
    // Waiting for events.
    "select", "_newselect", "pselect6", "pselect6_time64", "poll", "ppoll", "ppoll_time64", "epoll_create", "epoll_create1",
    "epoll_ctl", "epoll_wait", "epoll_pwait", "epoll_pwait2", "epoll_ctl_old", "epoll_wait_old", "eventfd", "eventfd2",
    "inotify_init", "inotify_init1", "inotify_add_watch", "inotify_rm_watch", "fanotify_mark", "futex", "futex_time64",
    "futex_waitv", "futex_wake", "futex_wait", "futex_requeue",
    // Asynchronous I/O of the old kind. io_uring is refused below.
    "io_setup", "io_submit", "io_cancel", "io_destroy", "io_getevents", "io_pgetevents", "io_pgetevents_time64",
    // Sockets; socket itself has rules by family. socketcall is what 32-bit glibc uses.
    "socketpair", "socketcall", "bind", "listen", "accept", "accept4", "connect", "shutdown", "getsockname", "getpeername",
    "getsockopt", "setsockopt", "recv", "recvfrom", "recvmsg", "recvmmsg", "recvmmsg_time64", "send", "sendto", "sendmsg",
    "sendmmsg",
    // System V and POSIX message queues, semaphores, shared memory: the pod's own IPC namespace.
    "ipc", "msgget", "msgctl", "msgsnd", "msgrcv", "semget", "semctl", "semop", "semtimedop", "semtimedop_time64", "shmget",
    "shmctl", "shmat", "shmdt", "mq_open", "mq_unlink", "mq_notify", "mq_getsetattr", "mq_timedsend", "mq_timedsend_time64",
    "mq_timedreceive", "mq_timedreceive_time64",
    // The machine.
    "uname", "olduname", "oldolduname", "sysinfo", "getrandom",
};

// uprobe and uretprobe are issued by the kernel's own trampolines when a profiler outside watches a program: refusing them kills it.
constexpr sv kAmd64[] = {"arch_prctl", "modify_ldt", "uprobe", "uretprobe"};
// Of 32-bit ARM programs.
constexpr sv kArm64[] = {"arm_fadvise64_64", "arm_sync_file_range", "sync_file_range2", "breakpoint", "cacheflush", "set_tls"};

constexpr sv kAdmin[] = {"CAP_SYS_ADMIN"};
constexpr sv kAdminNames[] = {
    "mount", "umount", "umount2", "mount_setattr", "move_mount", "open_tree", "open_tree_attr", "fsopen", "fsconfig", "fsmount",
    "fspick", "setns", "unshare", "sethostname", "setdomainname", "quotactl", "quotactl_fd", "fanotify_init", "lookup_dcookie"};
constexpr sv kBpf[] = {"CAP_SYS_ADMIN", "CAP_BPF"};
constexpr sv kBpfNames[] = {"bpf"};
constexpr sv kPerfmon[] = {"CAP_SYS_ADMIN", "CAP_PERFMON"};
constexpr sv kPerfmonNames[] = {"perf_event_open"};
constexpr sv kSyslog[] = {"CAP_SYS_ADMIN", "CAP_SYSLOG"};
constexpr sv kSyslogNames[] = {"syslog"};
constexpr sv kChroot[] = {"CAP_SYS_CHROOT"};
constexpr sv kChrootNames[] = {"chroot"};
constexpr sv kBoot[] = {"CAP_SYS_BOOT"};
constexpr sv kBootNames[] = {"reboot"};
constexpr sv kModule[] = {"CAP_SYS_MODULE"};
constexpr sv kModuleNames[] = {"init_module", "finit_module", "delete_module"};
constexpr sv kPacct[] = {"CAP_SYS_PACCT"};
constexpr sv kPacctNames[] = {"acct"};
constexpr sv kPtrace[] = {"CAP_SYS_PTRACE"};
constexpr sv kPtraceNames[] = {"kcmp", "pidfd_getfd"};
constexpr sv kRawio[] = {"CAP_SYS_RAWIO"};
constexpr sv kRawioNames[] = {"iopl", "ioperm"};
constexpr sv kTime[] = {"CAP_SYS_TIME"};
constexpr sv kTimeNames[] = {"settimeofday", "stime", "clock_settime", "clock_settime64"};
constexpr sv kTty[] = {"CAP_SYS_TTY_CONFIG"};
constexpr sv kTtyNames[] = {"vhangup"};
constexpr sv kNice[] = {"CAP_SYS_NICE"};
constexpr sv kNiceNames[] = {"get_mempolicy", "set_mempolicy", "set_mempolicy_home_node", "mbind", "migrate_pages", "move_pages"};
constexpr sv kHandle[] = {"CAP_DAC_READ_SEARCH"};
constexpr sv kHandleNames[] = {"open_by_handle_at"};
constexpr sv kNever[] = {
    // Other kernels, other roots, other people's memory.
    "kexec_load", "kexec_file_load", "pivot_root", "swapon", "swapoff", "nfsservctl", "userfaultfd", "vm86", "vm86old",
    // Keyrings know no namespaces of pods.
    "add_key", "request_key", "keyctl",
    // A second system call table behind a ring, whose operations this filter cannot see.
    "io_uring_setup", "io_uring_enter", "io_uring_register",
    "lsm_set_self_attr",
    // Left-overs of old kernels.
    "_sysctl", "sysfs", "ustat", "uselib", "create_module", "get_kernel_syms", "query_module", "bdflush", "listns"};

constexpr GuardedSyscalls kGuarded[] = {
    {kAdmin, kAdminNames},   {kBpf, kBpfNames},       {kPerfmon, kPerfmonNames}, {kSyslog, kSyslogNames}, {kChroot, kChrootNames},
    {kBoot, kBootNames},     {kModule, kModuleNames}, {kPacct, kPacctNames},     {kPtrace, kPtraceNames}, {kRawio, kRawioNames},
    {kTime, kTimeNames},     {kTty, kTtyNames},       {kNice, kNiceNames},       {kHandle, kHandleNames}, {{}, kNever}};

}  // namespace

SyscallNames AllowedSyscalls() { return kAllowed; }
SyscallNames AllowedSyscallsOf(std::string_view architecture) {
  if (architecture == "amd64") return kAmd64;
  if (architecture == "arm64") return kArm64;
  return {};
}
std::span<const GuardedSyscalls> GuardedSyscallTable() { return kGuarded; }

}  // namespace berth::runtime::security
