// SPDX-License-Identifier: Apache-2.0
// The rules are evaluated here as libseccomp would; whether the runtimes load them is oci_real_test's
// question.
#include "runtime/security/seccomp.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "runtime/security/capabilities.h"
#include "runtime/security/seccomp_table.h"

namespace berth::runtime::security {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

// 0 = allowed, else the errno. Fails when two rules that both hold disagree: which of them wins is
// libseccomp's secret.
int Verdict(const json& profile, const std::string& name, std::uint64_t arg0 = 0) {
  std::set<int> verdicts;
  for (const json& rule : profile["syscalls"]) {
    const auto& names = rule["names"];
    if (std::find(names.begin(), names.end(), name) == names.end()) continue;
    bool holds = true;
    for (const json& arg : rule.value("args", json::array())) {
      EXPECT_EQ(arg["index"], 0);
      if (arg["op"] == "SCMP_CMP_EQ") {
        holds = holds && arg0 == arg["value"].get<std::uint64_t>();
      } else {
        EXPECT_EQ(arg["op"], "SCMP_CMP_MASKED_EQ");
        holds = holds && (arg0 & arg["value"].get<std::uint64_t>()) == arg["valueTwo"].get<std::uint64_t>();
      }
    }
    if (holds) verdicts.insert(rule["action"] == "SCMP_ACT_ALLOW" ? 0 : rule["errnoRet"].get<int>());
  }
  EXPECT_LE(verdicts.size(), 1u) << name;
  return verdicts.empty() ? profile["defaultErrnoRet"].get<int>() : *verdicts.begin();
}

json Profile(std::set<std::string> capabilities = {}, const std::string& architecture = "amd64") {
  return DefaultSeccompProfile({architecture, std::move(capabilities)});
}

TEST(SeccompTest, NoNameIsInTwoLists) {
  std::map<std::string_view, int> seen;
  for (const auto name : AllowedSyscalls()) ++seen[name];
  for (const char* architecture : {"amd64", "arm64"}) {
    for (const auto name : AllowedSyscallsOf(architecture)) ++seen[name];
  }
  for (const auto& guarded : GuardedSyscallTable()) {
    for (const auto name : guarded.names) ++seen[name];
    for (const auto capability : guarded.capabilities)
      EXPECT_TRUE(ParseCapability(std::string(capability))) << capability;
  }
  for (const auto& [name, count] : seen) EXPECT_EQ(count, 1) << name;
}

TEST(SeccompTest, DoorsAreShutWithEpermAndOpenedByTheirCapability) {
  for (const auto& guarded : GuardedSyscallTable()) {
    for (const auto name : guarded.names) {
      EXPECT_EQ(Verdict(Profile(), std::string(name)), EPERM) << name;
      for (const auto capability : guarded.capabilities)
        EXPECT_EQ(Verdict(Profile({std::string(capability)}), std::string(name)), 0) << name;
    }
  }
  for (const char* name : {"keyctl", "io_uring_setup", "userfaultfd", "kexec_load"}) {
    EXPECT_EQ(Verdict(Profile({KnownCapabilities().begin(), KnownCapabilities().end()}), name), EPERM)
        << name;
  }
}

TEST(SeccompTest, WhatTheTableDoesNotKnowDoesNotExist) {
  EXPECT_EQ(Verdict(Profile(), "a_call_of_2030"), ENOSYS);
  EXPECT_EQ(Verdict(Profile(), "clone3"), ENOSYS);
  EXPECT_EQ(Verdict(Profile({"CAP_SYS_ADMIN"}), "clone3"), 0);
}

TEST(SeccompTest, CloneMakesThreadsAndProcessesButNoNamespaces) {
  const json profile = Profile();
  EXPECT_EQ(Verdict(profile, "clone", 17), 0);
  EXPECT_EQ(Verdict(profile, "clone", 0x3d0f00), 0);
  for (const std::uint64_t flag :
       {0x00020000u, 0x02000000u, 0x04000000u, 0x08000000u, 0x10000000u, 0x20000000u, 0x40000000u}) {
    EXPECT_EQ(Verdict(profile, "clone", flag | 17), EPERM) << flag;
    EXPECT_EQ(Verdict(profile, "clone", flag | (std::uint64_t{9} << 32)), EPERM) << flag;
    EXPECT_EQ(Verdict(Profile({"CAP_SYS_ADMIN"}), "clone", flag), 0);
  }
}

TEST(SeccompTest, SocketsOfAllFamiliesButTwoWhateverTheUpperHalfSays) {
  const json profile = Profile();
  for (const std::uint64_t upper :
       {std::uint64_t{0}, std::uint64_t{1} << 32, std::uint64_t{0xffffffff} << 32}) {
    for (std::uint64_t family = 0; family < 48; ++family) {
      EXPECT_EQ(Verdict(profile, "socket", upper | family), family == 38 || family == 40 ? EAFNOSUPPORT : 0)
          << family;
    }
  }
}

TEST(SeccompTest, OnlyHarmlessPersonalities) {
  for (const std::uint64_t value : {0x0ull, 0x8ull, 0x20000ull, 0x20008ull, 0xffffffffull})
    EXPECT_EQ(Verdict(Profile(), "personality", value), 0);
  EXPECT_EQ(Verdict(Profile(), "personality", 0x40000), EPERM);
  EXPECT_NE(Verdict(Profile(), "personality", 0x400000), 0);  // READ_IMPLIES_EXEC
}

TEST(SeccompTest, ArchitecturesHaveTheirOwnCalls) {
  EXPECT_EQ(Profile()["architectures"], json({"SCMP_ARCH_X86_64", "SCMP_ARCH_X86"}));
  EXPECT_EQ(Profile({}, "arm64")["architectures"], json({"SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"}));
  EXPECT_EQ(Verdict(Profile(), "arch_prctl"), 0);
  EXPECT_EQ(Verdict(Profile({}, "arm64"), "arch_prctl"), ENOSYS);
  EXPECT_EQ(Verdict(Profile({}, "arm64"), "cacheflush"), 0);
  EXPECT_FALSE(Profile({}, "s390x").contains("architectures"));  // the runtime's native one
}

absl::StatusOr<json> Convert(const char* text, std::set<std::string> capabilities = {}) {
  return ConvertSeccompProfile(json::parse(text), {"amd64", std::move(capabilities)});
}

TEST(SeccompLocalhostTest, ThePlainFormPassesUnchanged) {
  const char* text =
      R"({"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":1,"architectures":["SCMP_ARCH_X86_64"],"flags":["SECCOMP_FILTER_FLAG_LOG"],
    "syscalls":[{"names":["read","write"],"action":"SCMP_ACT_ALLOW"},
                {"names":["clone"],"action":"SCMP_ACT_ERRNO","errnoRet":5,"args":[{"index":0,"value":18446744073709551615,"valueTwo":1,"op":"SCMP_CMP_MASKED_EQ"}]}]})";
  const auto out = Convert(text);
  ASSERT_TRUE(out.ok()) << out.status();
  EXPECT_EQ(*out, json::parse(text));
}

TEST(SeccompLocalhostTest, DockersConditionsAreEvaluated) {
  const char* text = R"({"defaultAction":"SCMP_ACT_ERRNO",
    "archMap":[{"architecture":"SCMP_ARCH_AARCH64","subArchitectures":["SCMP_ARCH_ARM"]},{"architecture":"SCMP_ARCH_X86_64","subArchitectures":["SCMP_ARCH_X86"]}],
    "syscalls":[{"names":["mount"],"action":"SCMP_ACT_ALLOW","includes":{"caps":["CAP_SYS_ADMIN"]},"comment":"x"},
                {"names":["umount"],"action":"SCMP_ACT_ERRNO","excludes":{"caps":["CAP_SYS_ADMIN"]}},
                {"names":["arm"],"action":"SCMP_ACT_ALLOW","includes":{"arches":["arm64","arm"]}},
                {"names":["amd"],"action":"SCMP_ACT_ALLOW","includes":{"arches":["amd64"]}},
                {"names":["ptrace"],"action":"SCMP_ACT_ALLOW","includes":{"minKernel":"4.8"},"excludes":{},"args":[]}]})";
  const auto names = [](const json& profile) {
    std::vector<std::string> out;
    for (const json& rule : profile["syscalls"]) out.push_back(rule["names"][0]);
    return out;
  };
  const auto plain = Convert(text);
  ASSERT_TRUE(plain.ok()) << plain.status();
  EXPECT_EQ(names(*plain), (std::vector<std::string>{"umount", "amd", "ptrace"}));
  EXPECT_EQ((*plain)["architectures"], json({"SCMP_ARCH_X86_64", "SCMP_ARCH_X86"}));
  EXPECT_EQ(names(*Convert(text, {"CAP_SYS_ADMIN"})), (std::vector<std::string>{"mount", "amd", "ptrace"}));
}

TEST(SeccompLocalhostTest, WhatCannotBeHonouredIsRefusedNotWidened) {
  const std::pair<const char*, const char*> kCases[] = {
      {"[]", "not an object"},
      {"{}", "'defaultAction' is missing"},
      {R"({"defaultAction":7})", "not a text"},
      {R"({"defaultAction":"allow"})", "unknown action 'allow'"},
      {R"({"defaultAction":"SCMP_ACT_NOTIFY"})", "listener"},
      {R"({"defaultAction":"SCMP_ACT_LOG","listenerPath":"/run/x"})", "listener"},
      {R"({"defaultAction":"SCMP_ACT_LOG","sycalls":[]})", "unknown field 'sycalls'"},
      {R"({"defaultAction":"SCMP_ACT_LOG","defaultErrnoRet":-1})", "'defaultErrnoRet'"},
      {R"({"defaultAction":"SCMP_ACT_LOG","architectures":["x86"]})", "unknown architecture 'x86'"},
      {R"({"defaultAction":"SCMP_ACT_LOG","archMap":[{"architecture":"SCMP_ARCH_X86_64","subArchitectures":["x86"]}]})",
       "unknown architecture 'x86'"},
      {R"({"defaultAction":"SCMP_ACT_LOG","archMap":[{"architecture":"SCMP_ARCH_ARM"}]})",
       "no entry for amd64"},
      {R"({"defaultAction":"SCMP_ACT_LOG","flags":["SECCOMP_FILTER_FLAG_NEW_LISTENER"]})", "not supported"},
      {R"({"defaultAction":"SCMP_ACT_LOG","syscalls":{}})", "'syscalls' is not a list"},
      {R"({"defaultAction":"SCMP_ACT_LOG","syscalls":[{"action":"SCMP_ACT_LOG"}]})", "needs 'names'"},
      {R"({"defaultAction":"SCMP_ACT_LOG","syscalls":[{"names":["a"]}]})", "no 'action'"},
      {R"({"defaultAction":"SCMP_ACT_LOG","syscalls":[{"names":[""],"action":"SCMP_ACT_LOG"}]})", "no text"},
      {R"({"defaultAction":"SCMP_ACT_LOG","syscalls":[{"names":["a"],"action":"SCMP_ACT_LOG","if":1}]})",
       "unknown field 'if'"},
      {R"({"defaultAction":"SCMP_ACT_LOG","syscalls":[{"names":["a"],"action":"SCMP_ACT_ERRNO","errno":"EPERM"}]})",
       "'errno'"},
      {R"({"defaultAction":"SCMP_ACT_LOG","syscalls":[{"names":["a"],"action":"SCMP_ACT_LOG","args":[{"index":6,"op":"SCMP_CMP_EQ"}]}]})",
       "'index'"},
      {R"({"defaultAction":"SCMP_ACT_LOG","syscalls":[{"names":["a"],"action":"SCMP_ACT_LOG","args":[{"index":0,"op":"=="}]}]})",
       "known 'op'"},
      {R"({"defaultAction":"SCMP_ACT_LOG","syscalls":[{"names":["a"],"action":"SCMP_ACT_LOG","includes":{"minKernel":"6.12"}}]})",
       "above 5.6"},
      {R"({"defaultAction":"SCMP_ACT_LOG","syscalls":[{"names":["a"],"action":"SCMP_ACT_LOG","includes":{"users":["x"]}}]})",
       "unknown field 'users'"},
  };
  for (const auto& [text, words] : kCases) {
    const auto out = Convert(text);
    ASSERT_FALSE(out.ok()) << text;
    EXPECT_EQ(out.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(out.status().message()), HasSubstr(words)) << text;
  }
}

}  // namespace
}  // namespace berth::runtime::security
