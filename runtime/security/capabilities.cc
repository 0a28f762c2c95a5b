// SPDX-License-Identifier: Apache-2.0
#include "runtime/security/capabilities.h"

#include <algorithm>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace berth::runtime::security {
namespace {

using Set = std::set<std::string>;

// What ordinary images need to run as root inside: the set that Docker began with and containerd kept.
// docs/security.md compares.
constexpr const char* kDefault[] = {
    "CAP_AUDIT_WRITE", "CAP_CHOWN",   "CAP_DAC_OVERRIDE",     "CAP_FOWNER",    "CAP_FSETID",
    "CAP_KILL",        "CAP_MKNOD",   "CAP_NET_BIND_SERVICE", "CAP_NET_RAW",   "CAP_SETFCAP",
    "CAP_SETGID",      "CAP_SETPCAP", "CAP_SETUID",           "CAP_SYS_CHROOT"};

bool IsAll(const std::string& text) {
  return absl::AsciiStrToUpper(text) == "ALL" || absl::AsciiStrToUpper(text) == "CAP_ALL";
}

struct Named {
  bool all = false;
  Set names;
};
absl::StatusOr<Named> Parse(const std::vector<std::string>& list) {
  Named named;
  for (const std::string& text : list) {
    if (IsAll(text)) {
      named.all = true;
    } else if (auto name = ParseCapability(text)) {
      named.names.insert(std::move(*name));
    } else {
      return absl::InvalidArgumentError(absl::StrCat("unknown capability '", text, "'"));
    }
  }
  return named;
}

std::vector<std::string> ToVector(const Set& set) { return {set.begin(), set.end()}; }

}  // namespace

const std::vector<std::string>& KnownCapabilities() {
  static const auto& known = *new std::vector<std::string>{"CAP_CHOWN",
                                                           "CAP_DAC_OVERRIDE",
                                                           "CAP_DAC_READ_SEARCH",
                                                           "CAP_FOWNER",
                                                           "CAP_FSETID",
                                                           "CAP_KILL",
                                                           "CAP_SETGID",
                                                           "CAP_SETUID",
                                                           "CAP_SETPCAP",
                                                           "CAP_LINUX_IMMUTABLE",
                                                           "CAP_NET_BIND_SERVICE",
                                                           "CAP_NET_BROADCAST",
                                                           "CAP_NET_ADMIN",
                                                           "CAP_NET_RAW",
                                                           "CAP_IPC_LOCK",
                                                           "CAP_IPC_OWNER",
                                                           "CAP_SYS_MODULE",
                                                           "CAP_SYS_RAWIO",
                                                           "CAP_SYS_CHROOT",
                                                           "CAP_SYS_PTRACE",
                                                           "CAP_SYS_PACCT",
                                                           "CAP_SYS_ADMIN",
                                                           "CAP_SYS_BOOT",
                                                           "CAP_SYS_NICE",
                                                           "CAP_SYS_RESOURCE",
                                                           "CAP_SYS_TIME",
                                                           "CAP_SYS_TTY_CONFIG",
                                                           "CAP_MKNOD",
                                                           "CAP_LEASE",
                                                           "CAP_AUDIT_WRITE",
                                                           "CAP_AUDIT_CONTROL",
                                                           "CAP_SETFCAP",
                                                           "CAP_MAC_OVERRIDE",
                                                           "CAP_MAC_ADMIN",
                                                           "CAP_SYSLOG",
                                                           "CAP_WAKE_ALARM",
                                                           "CAP_BLOCK_SUSPEND",
                                                           "CAP_AUDIT_READ",
                                                           "CAP_PERFMON",
                                                           "CAP_BPF",
                                                           "CAP_CHECKPOINT_RESTORE"};
  return known;
}

std::optional<std::string> ParseCapability(const std::string& text) {
  std::string name = absl::AsciiStrToUpper(text);
  if (!absl::StartsWith(name, "CAP_")) name = "CAP_" + name;
  const auto& known = KnownCapabilities();
  if (std::find(known.begin(), known.end(), name) == known.end()) return std::nullopt;
  return name;
}

absl::StatusOr<CapabilitySets> ComputeCapabilities(const ContainerConfig& container,
                                                   const std::vector<std::string>& host) {
  const Set ours(host.begin(), host.end());
  if (container.privileged) return CapabilitySets{ToVector(ours), {}};

  const auto add = Parse(container.add_capabilities);
  const auto drop = Parse(container.drop_capabilities);
  const auto ambient = Parse(container.add_ambient_capabilities);
  for (const auto* list : {&add, &drop, &ambient}) {
    if (!list->ok()) return list->status();
  }

  Set base;
  if (drop->all) {
    // Nothing to begin with.
  } else if (add->all || ambient->all) {
    base = ours;
  } else {
    for (const char* name : kDefault) {
      if (ours.contains(name)) base.insert(name);
    }
  }
  Set raised = drop->all ? Set() : ambient->all ? ours : Set();
  raised.insert(ambient->names.begin(), ambient->names.end());
  base.insert(add->names.begin(), add->names.end());
  base.insert(raised.begin(), raised.end());
  for (const std::string& name : drop->names) {
    base.erase(name);
    raised.erase(name);
  }
  for (const std::string& name : base) {
    if (!ours.contains(name)) {
      return absl::FailedPreconditionError(
          absl::StrCat("capability '", name, "' cannot be given: berth itself runs without it"));
    }
  }
  return CapabilitySets{ToVector(base), ToVector(raised)};
}

}  // namespace berth::runtime::security
