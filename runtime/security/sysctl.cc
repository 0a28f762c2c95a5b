// SPDX-License-Identifier: Apache-2.0
#include "runtime/security/sysctl.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace berth::runtime::security {
namespace {

constexpr std::size_t kMaxName = 253;    // what Kubernetes allows
constexpr std::size_t kMaxValue = 4096;  // one page: proc handlers read no more

// What the kernel keeps per IPC namespace (ipc/ipc_sysctl.c, ipc/mq_sysctl.c).
constexpr std::array<std::string_view, 12> kIpc = {
    "kernel/auto_msgmni",     "kernel/msg_next_id", "kernel/msgmax",
    "kernel/msgmnb",          "kernel/msgmni",      "kernel/sem",
    "kernel/sem_next_id",     "kernel/shm_next_id", "kernel/shmall",
    "kernel/shm_rmid_forced", "kernel/shmmax",      "kernel/shmmni"};

bool PlainPart(std::string_view part) {
  return !part.empty() && part != "." && part != ".." &&
         std::all_of(part.begin(), part.end(), [](unsigned char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
                  c == '-' || c == '.';
         });
}

absl::Status Refuse(const std::string& name, const char* why) {
  return absl::InvalidArgumentError(absl::StrCat("sysctl '", name, "' ", why));
}

}  // namespace

std::string SysctlPath(const std::string& name) {
  const std::size_t first = name.find_first_of("./");
  if (first == std::string::npos || name[first] == '/') return name;
  std::string path = name;
  for (char& c : path) c = c == '.' ? '/' : c == '/' ? '.' : c;
  return path;
}

absl::Status ValidateSysctl(const std::string& name, const std::string& value,
                            const NamespaceOptions& options) {
  if (name.empty() || name.size() > kMaxName) return Refuse(name.substr(0, kMaxName), "has no usable name");
  const std::string path = SysctlPath(name);
  const std::vector<std::string> parts = absl::StrSplit(path, '/');
  if (parts.size() < 2 || !std::all_of(parts.begin(), parts.end(), PlainPart))
    return Refuse(name, "is malformed");
  if (value.empty() || value.size() > kMaxValue) return Refuse(name, "needs a value of 1 to 4096 characters");
  if (!std::all_of(value.begin(), value.end(),
                   [](unsigned char c) { return c == '\t' || (c >= 0x20 && c < 0x7f); })) {
    return Refuse(name, "has a value with characters that are not printable");
  }
  if (parts[0] == "net") {
    if (options.network == NamespaceMode::kNode)
      return Refuse(name, "cannot be set in a pod that uses the host's network");
    return absl::OkStatus();
  }
  const bool ipc =
      absl::StartsWith(path, "fs/mqueue/") || std::find(kIpc.begin(), kIpc.end(), path) != kIpc.end();
  if (ipc) {
    if (options.ipc == NamespaceMode::kNode)
      return Refuse(name, "cannot be set in a pod that uses the host's IPC");
    return absl::OkStatus();
  }
  if (path == "kernel/domainname") {
    if (options.network == NamespaceMode::kNode)
      return Refuse(name, "cannot be set in a pod that uses the host's names");
    return absl::OkStatus();
  }
  if (path == "kernel/hostname") return Refuse(name, "is the pod's hostname: set that instead");
  return Refuse(name, "is not kept per pod by the kernel: it would change the whole node");
}

}  // namespace berth::runtime::security
