// SPDX-License-Identifier: Apache-2.0
#include "monitor/pin.h"

#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstring>

#include "base/fault.h"
#include "base/fd.h"
#include "base/files.h"
#include "base/refusal.h"
#include "monitor/holder.h"

namespace berth::monitor {
namespace {

base::Result<void> LoopbackUp() {
  base::UniqueFd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd) return base::SyscallFailed(errno, "open a socket for the loopback device");
  ifreq request{};
  std::strncpy(request.ifr_name, "lo", IFNAMSIZ - 1);
  if (::ioctl(fd.get(), SIOCGIFFLAGS, &request) != 0)
    return base::SyscallFailed(errno, "read the loopback device's flags");
  request.ifr_flags = static_cast<short>(request.ifr_flags | IFF_UP);
  BERTH_FAULT_POINT("monitor.loopback_up");
  if (::ioctl(fd.get(), SIOCSIFFLAGS, &request) != 0)
    return base::SyscallFailed(errno, "bring the loopback device up");
  return {};
}

// The text is for whoever made the pod; nobody reads the number after this.
base::Error WithCause(base::Refused what, const base::Error& error) {
  const std::string cause = base::LikelyCause(what, error.err);
  return base::Malformed(error.Message() + (cause.empty() ? "" : " (" + cause + ")"));
}

base::Result<void> Unshare(int flag, const char* which) {
  BERTH_FAULT_POINT("monitor.unshare");
  const int err = BERTH_FAULT_FAILS("monitor.unshare_eperm") ? EPERM : ::unshare(flag) != 0 ? errno : 0;
  if (err == 0) return {};
  return WithCause(base::Refused::kNamespace,
                   base::SyscallFailed(err, std::string("unshare the ") + which + " namespace"));
}

base::Result<void> Pin(const PinPlan& plan, const std::string& kind) {
  auto done = PinNamespace("/proc/self/ns/" + kind, plan.dir + "/" + kind);
  if (!done) return WithCause(base::Refused::kNamespacePin, done.error());
  return {};
}

// Makes the namespaces asked for and is in them afterwards; `user` is set when there is a user namespace, in
// which the process is not.
base::Result<void> Enter(const PinPlan& plan, base::UniqueFd& user) {
  if (plan.user) {
    const int flags =
        (plan.net ? CLONE_NEWNET : 0) | (plan.ipc ? CLONE_NEWIPC : 0) | (plan.uts ? CLONE_NEWUTS : 0);
    auto entered = EnterInUserNamespace(*plan.user, flags);
    if (!entered) return WithCause(base::Refused::kNamespace, entered.error());
    user = std::move(*entered);
    return {};
  }
  if (plan.net) {
    if (auto done = Unshare(CLONE_NEWNET, "network"); !done) return done;
  }
  if (plan.ipc) {
    if (auto done = Unshare(CLONE_NEWIPC, "IPC"); !done) return done;
  }
  if (plan.uts) {
    if (auto done = Unshare(CLONE_NEWUTS, "UTS"); !done) return done;
  }
  return {};
}

base::Result<void> Do(const PinPlan& plan) {
  base::UniqueFd user;
  if (auto done = Enter(plan, user); !done) return done;
  if (plan.net) {
    if (auto done = LoopbackUp(); !done) return done;
  }
  BERTH_FAULT_POINT("monitor.set_hostname");
  if (plan.uts && !plan.hostname.empty() && ::sethostname(plan.hostname.c_str(), plan.hostname.size()) != 0) {
    return base::SyscallFailed(errno, "set the hostname '" + plan.hostname + "'");
  }
  for (const auto& [name, value] : plan.sysctls) {
    auto path = SysctlPath(name);
    if (!path) return path.TakeError();
    const bool is_net = path->rfind("net/", 0) == 0;
    if ((is_net && !plan.net) || (!is_net && !plan.ipc)) {
      return base::SyscallFailed(EPERM, "set sysctl '" + name +
                                            "', which would be the host's: the pod has no " +
                                            (is_net ? "network" : "IPC") + " namespace of its own");
    }
    BERTH_FAULT_POINT("monitor.set_sysctl");
    // Those of an IPC namespace are its user namespace's root's alone, by number and not by capability; those
    // of a network namespace are also of whoever has the rights over it (Linux 6.18).
    const bool as_root_inside = plan.user && !is_net;
    if (as_root_inside && ::seteuid(plan.user->first) != 0)
      return base::SyscallFailed(errno, "become the pod's root");
    // /proc/self of this very process: net and ipc sysctls are those of the namespaces it is in now.
    const auto done = base::WriteControl("/proc/sys/" + *path, value);
    if (as_root_inside && ::seteuid(0) != 0)
      return base::SyscallFailed(errno, "become the host's root again");
    if (!done) return base::SyscallFailed(done.error().err, "set sysctl '" + name + "' to '" + value + "'");
  }
  if (plan.net) {
    if (auto done = Pin(plan, "net"); !done) return done;
  }
  if (plan.ipc) {
    if (auto done = Pin(plan, "ipc"); !done) return done;
  }
  if (plan.uts) {
    if (auto done = Pin(plan, "uts"); !done) return done;
  }
  if (user) {
    const std::string file = "/proc/self/fd/" + std::to_string(user.get());
    if (auto done = PinNamespace(file, plan.dir + "/user"); !done) return done;
  }
  return {};
}

void Undo(const PinPlan& plan) {
  for (const auto& [wanted, name] :
       {std::pair{plan.net, "/net"}, std::pair{plan.ipc, "/ipc"}, std::pair{plan.uts, "/uts"},
        std::pair{plan.user.has_value(), "/user"}}) {
    if (!wanted) continue;
    ::umount2((plan.dir + name).c_str(), MNT_DETACH | UMOUNT_NOFOLLOW);
    ::unlink((plan.dir + name).c_str());
  }
}

bool StartsWith(const std::string& text, const char* prefix) { return text.rfind(prefix, 0) == 0; }

}  // namespace

base::Result<std::string> SysctlPath(const std::string& name) {
  const auto refused = [&name](const char* why) { return base::Malformed("sysctl '" + name + "' " + why); };
  // sysctl(8): when a slash comes before any dot, slashes separate and dots are part of a name (VLAN
  // devices).
  const auto separator = name.find_first_of("./");
  if (separator == std::string::npos) return refused("has no group");
  std::string path = name;
  if (name[separator] == '.') {
    for (char& c : path) {
      if (c == '.')
        c = '/';
      else if (c == '/')
        c = '.';
    }
  }
  std::size_t begin = 0;
  while (begin <= path.size()) {
    const auto end = std::min(path.find('/', begin), path.size());
    const std::string part = path.substr(begin, end - begin);
    if (part.empty() || part == "." || part == "..") return refused("has an empty part");
    const bool good = std::all_of(part.begin(), part.end(), [](unsigned char c) {
      return std::isalnum(c) != 0 || std::strchr("-_.:@", c) != nullptr;
    });
    if (!good) return refused("has a character that no sysctl has");
    begin = end + 1;
  }
  const bool ours = StartsWith(path, "net/") || StartsWith(path, "kernel/shm") ||
                    StartsWith(path, "kernel/msg") || path == "kernel/sem" || StartsWith(path, "fs/mqueue/");
  if (!ours) return refused("belongs to no namespace of a pod");
  return path;
}

base::Result<void> PinAll(const PinPlan& plan) {
  auto done = Do(plan);
  if (!done) Undo(plan);
  return done;
}

int PinMain(int argc, char** argv) {
  PinPlan plan;
  for (int i = 1; i < argc; ++i) {
    const std::string option = argv[i];
    const std::string value = i + 1 < argc ? argv[i + 1] : "";
    if (option == "--net") {
      plan.net = true;
      continue;
    }
    if (option == "--ipc") {
      plan.ipc = true;
      continue;
    }
    if (option == "--uts") {
      plan.uts = true;
      continue;
    }
    ++i;
    if (option == "--dir") {
      plan.dir = value;
    } else if (option == "--hostname") {
      plan.hostname = value;
    } else if (option == "--user" && ParseUserMap(value)) {
      plan.user = *ParseUserMap(value);
    } else if (option == "--sysctl" && value.find('=') != std::string::npos) {
      plan.sysctls.emplace_back(value.substr(0, value.find('=')), value.substr(value.find('=') + 1));
    } else {
      const std::string text = "unknown option '" + option + "'";
      (void)!::write(STDERR_FILENO, text.data(), text.size());
      return 2;
    }
  }
  if (auto done = PinAll(plan); !done) {
    const std::string text = done.error().Message();
    (void)!::write(STDERR_FILENO, text.data(), text.size());
    return 1;
  }
  return 0;
}

}  // namespace berth::monitor
