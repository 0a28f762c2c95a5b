// SPDX-License-Identifier: Apache-2.0
#include "image/unpack/confine.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <string>

namespace berth::image::unpack {
namespace {

using base::Result;
using base::SyscallFailed;

#ifdef BERTH_SANITIZED
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

// What unpacking needs: owners, modes whoever owns the file, setuid bits, device nodes, file capabilities,
// and CAP_SYS_ADMIN, which the kernel demands for trusted.overlay.opaque; what else it would allow, the
// filter below refuses.
constexpr int kKeep[] = {CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER,   CAP_FSETID,
                         CAP_MKNOD, CAP_SETFCAP,      CAP_SYS_ADMIN};

Result<void> EnterTarget(int target_fd) {
  if (::unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC) != 0)
    return SyscallFailed(errno, "unshare mount, network and ipc namespaces");
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
    return SyscallFailed(errno, "make mounts private");
  // The descriptor's mount belongs to the host's namespace and cannot be bound into ours: look its path up
  // again here.
  const std::string link = "/proc/self/fd/" + std::to_string(target_fd);
  char real[4096];
  const ssize_t length = ::readlink(link.c_str(), real, sizeof real - 1);
  if (length < 0) return SyscallFailed(errno, "read the target's path");
  real[length] = '\0';
  if (::mount(real, real, nullptr, MS_BIND, nullptr) != 0) return SyscallFailed(errno, "bind the target");
  if (::chdir(real) != 0) return SyscallFailed(errno, "enter the target");
  struct stat wanted {};
  struct stat found {};
  if (::fstat(target_fd, &wanted) != 0 || ::stat(".", &found) != 0)
    return SyscallFailed(errno, "stat the target");
  if (wanted.st_dev != found.st_dev || wanted.st_ino != found.st_ino)
    return SyscallFailed(ESTALE, "find the target again");
  if (::mount(nullptr, ".", nullptr, MS_REMOUNT | MS_BIND | MS_NODEV | MS_NOSUID | MS_NOEXEC, nullptr) != 0) {
    return SyscallFailed(errno, "remount the target nodev, nosuid, noexec");
  }
  if (::syscall(SYS_pivot_root, ".", ".") == 0) {
    // The old root lies on top of the new one now.
    if (::umount2(".", MNT_DETACH) != 0) return SyscallFailed(errno, "detach the host's root");
  } else {
    // An initramfs cannot be pivoted away from: cover it instead.
    if (errno != EINVAL) return SyscallFailed(errno, "pivot_root");
    if (::mount(".", "/", nullptr, MS_MOVE, nullptr) != 0)
      return SyscallFailed(errno, "move the target over the root");
    if (::chroot(".") != 0) return SyscallFailed(errno, "chroot");
  }
  if (::chdir("/") != 0) return SyscallFailed(errno, "chdir");
  return {};
}

Result<void> LimitResources() {
  struct Limit {
    __rlimit_resource resource;
    rlim_t value;
  };
  constexpr Limit kLimits[] = {
      {RLIMIT_CORE, 0}, {RLIMIT_NOFILE, 64}, {RLIMIT_CPU, 3600}, {RLIMIT_AS, 1ULL << 30}};
  for (const auto& limit : kLimits) {
    if (kSanitized && limit.resource == RLIMIT_AS) continue;  // shadow memory
    rlimit both{limit.value, limit.value};
    rlimit now{};
    if (::getrlimit(limit.resource, &now) == 0 && now.rlim_max < limit.value)
      both = {now.rlim_max, now.rlim_max};
    if (::setrlimit(limit.resource, &both) != 0) return SyscallFailed(errno, "set resource limits");
  }
  return {};
}

Result<void> DropCapabilities() {
  std::uint64_t keep = 0;
  for (const int capability : kKeep) keep |= 1ULL << capability;
  for (int capability = 0; capability < 64; ++capability) {
    const int held = ::prctl(PR_CAPBSET_READ, capability, 0, 0, 0);
    if (held < 0) break;  // beyond the last one this kernel knows
    if (held == 1 && ::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0)
      return SyscallFailed(errno, "drop bounding capabilities");
  }
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2]{};
  if (::syscall(SYS_capget, &header, data) != 0) return SyscallFailed(errno, "capget");
  for (int word = 0; word < 2; ++word) {
    const auto mask = static_cast<__u32>(keep >> (32 * word));
    data[word].permitted &= mask;
    data[word].effective = data[word].permitted;
    data[word].inheritable = 0;
  }
  if (::syscall(SYS_capset, &header, data) != 0) return SyscallFailed(errno, "capset");
  return {};
}

Result<void> FilterSystemCalls() {
  // Everything not listed is EPERM: exec, sockets, ptrace, mount, namespaces, modules, bpf, keys, kill and
  // whatever comes.
  constexpr int kAllowed[] = {SCMP_SYS(read),
                              SCMP_SYS(write),
                              SCMP_SYS(pwrite64),
                              SCMP_SYS(lseek),
                              SCMP_SYS(close),
                              SCMP_SYS(openat),
                              SCMP_SYS(openat2),
                              SCMP_SYS(newfstatat),
                              SCMP_SYS(fstat),
                              SCMP_SYS(statx),
                              SCMP_SYS(ftruncate),
                              SCMP_SYS(mkdirat),
                              SCMP_SYS(mknodat),
                              SCMP_SYS(symlinkat),
                              SCMP_SYS(linkat),
                              SCMP_SYS(unlinkat),
                              SCMP_SYS(fchown),
                              SCMP_SYS(fchownat),
                              SCMP_SYS(fchmod),
                              SCMP_SYS(fchmodat),
                              SCMP_SYS(utimensat),
                              SCMP_SYS(fsetxattr),
                              SCMP_SYS(lsetxattr),
                              SCMP_SYS(fchdir),
                              SCMP_SYS(getdents64),
                              SCMP_SYS(fsync),
                              SCMP_SYS(syncfs),
                              SCMP_SYS(sync_file_range),
                              SCMP_SYS(fcntl),
                              SCMP_SYS(brk),
                              SCMP_SYS(mmap),
                              SCMP_SYS(munmap),
                              SCMP_SYS(mremap),
                              SCMP_SYS(mprotect),
                              SCMP_SYS(madvise),
                              SCMP_SYS(futex),
                              SCMP_SYS(rt_sigprocmask),
                              SCMP_SYS(rt_sigreturn),
                              SCMP_SYS(sigaltstack),
                              SCMP_SYS(getpid),
                              SCMP_SYS(gettid),
                              SCMP_SYS(clock_gettime),
                              SCMP_SYS(clock_nanosleep),
                              SCMP_SYS(pause),
                              SCMP_SYS(getrandom),
                              SCMP_SYS(sched_yield),
                              SCMP_SYS(exit),
                              SCMP_SYS(exit_group)};
  scmp_filter_ctx context = seccomp_init(SCMP_ACT_ERRNO(EPERM));
  if (context == nullptr) return SyscallFailed(ENOMEM, "make the system call filter");
  int result = 0;
  for (const int call : kAllowed) {
    if (result == 0) result = seccomp_rule_add(context, SCMP_ACT_ALLOW, call, 0);
  }
#ifdef BERTH_FAULTS
  if (result == 0)
    result = seccomp_rule_add(context, SCMP_ACT_ALLOW, SCMP_SYS(kill), 0);  // the action `abort`
  if (result == 0) result = seccomp_rule_add(context, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 0);
#endif
#ifdef BERTH_SANITIZED
  // The sanitizers' runtime probes memory through a pipe and looks at itself.
  for (const int call : {SCMP_SYS(pipe), SCMP_SYS(pipe2), SCMP_SYS(readlink), SCMP_SYS(prctl),
                         SCMP_SYS(sched_getaffinity), SCMP_SYS(getrlimit), SCMP_SYS(prlimit64)}) {
    if (result == 0) result = seccomp_rule_add(context, SCMP_ACT_ALLOW, call, 0);
  }
#endif
  if (result == 0) result = seccomp_load(context);
  seccomp_release(context);
  if (result != 0) return SyscallFailed(-result, "load the system call filter");
  return {};
}

}  // namespace

Result<void> Confine(int target_fd) {
  if (auto done = EnterTarget(target_fd); !done) return done;
  if (auto done = LimitResources(); !done) return done;
  if (auto done = DropCapabilities(); !done) return done;
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return SyscallFailed(errno, "set no_new_privs");
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return SyscallFailed(errno, "set undumpable");
  return FilterSystemCalls();
}

}  // namespace berth::image::unpack
