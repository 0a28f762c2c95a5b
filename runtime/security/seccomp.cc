// SPDX-License-Identifier: Apache-2.0
#include "runtime/security/seccomp.h"

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <vector>

#include "runtime/security/seccomp_table.h"

namespace berth::runtime::security {
namespace {

using nlohmann::json;

constexpr std::uint64_t kLow32 = 0xffffffff;

json Names(SyscallNames names) {
  json out = json::array();
  for (const std::string_view name : names) out.push_back(std::string(name));
  return out;
}
json Allow(json names) { return {{"names", std::move(names)}, {"action", "SCMP_ACT_ALLOW"}}; }
json Refuse(json names, int err) {
  return {{"names", std::move(names)}, {"action", "SCMP_ACT_ERRNO"}, {"errnoRet", err}};
}
// (argument & mask) == value. The kernel takes many arguments as int: comparing the whole register could be
// fooled by its upper half.
json Masked(int index, std::uint64_t mask, std::uint64_t value) {
  return {{"index", index}, {"value", mask}, {"valueTwo", value}, {"op", "SCMP_CMP_MASKED_EQ"}};
}
json With(json rule, json argument) {
  rule["args"] = json::array({std::move(argument)});
  return rule;
}

// Namespaces are made by clone's flags too. clone3 hides its flags behind a pointer: it is in no list, so
// ENOSYS, and every libc then takes clone.
void AddClone(json& rules) {
  constexpr std::uint64_t kFlags[] = {0x00020000 /* NEWNS */,
                                      0x02000000 /* NEWCGROUP */,
                                      0x04000000 /* NEWUTS */,
                                      0x08000000 /* NEWIPC */,
                                      0x10000000 /* NEWUSER */,
                                      0x20000000 /* NEWPID */,
                                      0x40000000 /* NEWNET */};
  std::uint64_t all = 0;
  for (const std::uint64_t flag : kFlags) {
    all |= flag;
    rules.push_back(With(Refuse({"clone"}, EPERM), Masked(0, flag, flag)));
  }
  rules.push_back(With(Allow({"clone"}), Masked(0, all, 0)));
}

// All families but two: AF_ALG (38: kernel crypto, a long list of holes, hardly a user) and AF_VSOCK (40:
// knows no network namespace, reaches the hypervisor). They read as not compiled in. The masks cover 0..47
// but these two.
void AddSocket(json& rules) {
  struct Range {
    std::uint64_t first, size;
  };
  for (const auto& [first, size] :
       {Range{0, 32}, Range{32, 4}, Range{36, 2}, Range{39, 1}, Range{41, 1}, Range{42, 2}, Range{44, 4}}) {
    // 36 and 37 share all bits but the last, and so on.
    rules.push_back(With(Allow({"socket"}), Masked(0, kLow32 & ~(size - 1), first)));
  }
  for (const std::uint64_t family : {38u, 40u}) {
    rules.push_back(With(Refuse({"socket"}, EAFNOSUPPORT), Masked(0, kLow32, family)));
  }
}

// Harmless values only: Linux, 32-bit names, 2.6 version numbers, and the question.
void AddPersonality(json& rules) {
  for (const std::uint64_t value :
       {std::uint64_t{0}, std::uint64_t{0x8}, std::uint64_t{0x20000}, std::uint64_t{0x20008}, kLow32}) {
    rules.push_back(
        With(Allow({"personality"}), json{{"index", 0}, {"value", value}, {"op", "SCMP_CMP_EQ"}}));
  }
  // ADDR_NO_RANDOMIZE is what debuggers ask for; they go on after EPERM.
  rules.push_back(
      With(Refuse({"personality"}, EPERM), json{{"index", 0}, {"value", 0x40000}, {"op", "SCMP_CMP_EQ"}}));
}

}  // namespace

std::vector<std::string> SeccompArchitectures(const std::string& architecture) {
  // Not x32: nothing uses it, and most kernels are built without.
  if (architecture == "amd64") return {"SCMP_ARCH_X86_64", "SCMP_ARCH_X86"};
  if (architecture == "arm64") return {"SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"};
  if (architecture == "riscv64") return {"SCMP_ARCH_RISCV64"};
  return {};
}

json DefaultSeccompProfile(const SeccompContext& context) {
  json rules = json::array();
  rules.push_back(Allow(Names(AllowedSyscalls())));
  if (const auto more = AllowedSyscallsOf(context.architecture); !more.empty())
    rules.push_back(Allow(Names(more)));

  json refused = json::array();
  for (const GuardedSyscalls& guarded : GuardedSyscallTable()) {
    const bool open =
        std::any_of(guarded.capabilities.begin(), guarded.capabilities.end(),
                    [&](std::string_view name) { return context.capabilities.contains(std::string(name)); });
    if (open) {
      rules.push_back(Allow(Names(guarded.names)));
    } else {
      for (const std::string_view name : guarded.names) refused.push_back(std::string(name));
    }
  }
  rules.push_back(Refuse(std::move(refused), EPERM));
  if (context.capabilities.contains("CAP_SYS_ADMIN")) {
    rules.push_back(Allow({"clone", "clone3"}));
  } else {
    AddClone(rules);
  }
  AddSocket(rules);
  AddPersonality(rules);

  json profile = {
      {"defaultAction", "SCMP_ACT_ERRNO"}, {"defaultErrnoRet", ENOSYS}, {"syscalls", std::move(rules)}};
  if (auto architectures = SeccompArchitectures(context.architecture); !architectures.empty()) {
    profile["architectures"] = std::move(architectures);
  }
  return profile;
}

}  // namespace berth::runtime::security
