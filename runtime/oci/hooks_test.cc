// SPDX-License-Identifier: Apache-2.0
#include "runtime/oci/hooks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "base/files.h"

namespace berth::runtime::oci {
namespace {

using nlohmann::json;
using testing::HasSubstr;

json Spec() {
  return {{"process", {{"args", {"/usr/bin/server", "-x"}}}},
          {"annotations", {{"example.org/gpu", "yes"}}},
          {"mounts", {{{"destination", "/proc"}, {"type", "proc"}}}}};
}

// How often /h runs in a container of `spec` with this `when`.
std::size_t Runs(const std::string& when, json spec = Spec()) {
  const auto hook = ParseHook(
      "h.json", R"({"version":"1.0.0","hook":{"path":"/h"},"stages":["createRuntime"],"when":)" + when + "}");
  if (!hook.ok()) throw std::runtime_error(hook.status().ToString());
  ApplyHooks({*hook}, spec);
  return spec.contains("hooks") ? spec["hooks"]["createRuntime"].size() : 0;
}

TEST(Hooks, RunWhenAllConditionsHold) {
  EXPECT_EQ(Runs(R"({"always":true})"), 1U);
  EXPECT_EQ(Runs(R"({"always":false})"), 0U);
  EXPECT_EQ(Runs(R"({"commands":["^/usr/bin/"]})"), 1U);
  EXPECT_EQ(Runs(R"({"commands":["^/opt/","server$"]})"), 1U) << "any of a list";
  EXPECT_EQ(Runs(R"({"commands":["^/opt/"]})"), 0U);
  EXPECT_EQ(Runs(R"({"annotations":{"^example.org/gpu$":"^y"}})"), 1U);
  EXPECT_EQ(Runs(R"({"annotations":{"^example.org/gpu$":"^n"}})"), 0U);
  EXPECT_EQ(Runs(R"({"hasBindMounts":false})"), 1U);
  EXPECT_EQ(Runs(R"({"hasBindMounts":true})"), 0U);
  EXPECT_EQ(Runs(R"({"commands":["server"],"annotations":{"nothing":"x"}})"), 0U);
  json bound = Spec();
  bound["mounts"].push_back({{"destination", "/b"}, {"type", "bind"}});
  EXPECT_EQ(Runs(R"({"hasBindMounts":true})", bound), 1U);
}

TEST(Hooks, ArePutInTheStagesAsTheyAre) {
  const auto hook =
      ParseHook("h", R"({"version":"1.0.0","when":{"always":true},"stages":["prestart","poststop"],
    "hook":{"path":"/bin/h","args":["h","x"],"env":["A=b"],"timeout":3}})");
  ASSERT_TRUE(hook.ok()) << hook.status();
  json spec = Spec();
  ApplyHooks({*hook, *hook}, spec);
  EXPECT_EQ(spec["hooks"]["prestart"].size(), 2U);
  EXPECT_EQ(spec["hooks"]["poststop"][0],
            json::parse(R"({"path":"/bin/h","args":["h","x"],"env":["A=b"],"timeout":3})"));
}

TEST(Hooks, WhatIsWrongIsNamedWithTheFile) {
  const std::string good =
      R"({"version":"1.0.0","hook":{"path":"/h"},"stages":["prestart"],"when":{"always":true}})";
  ASSERT_TRUE(ParseHook("f", good).ok());
  const auto change = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    text.replace(text.find(from), from.size(), to);
    return std::string(ParseHook("/etc/hooks.d/f.json", text).status().message());
  };
  EXPECT_THAT(change("1.0.0", "2.0.0"), HasSubstr("version"));
  EXPECT_THAT(change("\"/h\"", "\"h\""), HasSubstr("absolute"));
  EXPECT_THAT(change("prestart", "start"), HasSubstr("unknown stage 'start'"));
  EXPECT_THAT(change("always", "sometimes"), HasSubstr("unknown condition 'sometimes'"));
  EXPECT_THAT(change("\"always\":true", "\"commands\":[\"(\"]"), HasSubstr("expression '('"));
  EXPECT_THAT(change("\"always\":true", ""), HasSubstr("no condition"));
  EXPECT_THAT(change("\"always\":true", "\"always\":1"), HasSubstr("wrong type"));
  EXPECT_THAT(change("[\"prestart\"]", "[]"), HasSubstr("empty"));
  EXPECT_THAT(change("{\"version\"", "{\"x\":1,\"version\""), HasSubstr("unknown key 'x'"));
  EXPECT_THAT(change("{\"version\"", "[\"version\""), HasSubstr("/etc/hooks.d/f.json"));
}

TEST(Hooks, LaterDirectoriesTakeTheFilesOfEarlierOnes) {
  char name[] = "/tmp/berth-test-hooks-XXXXXX";
  const std::string dir = ::mkdtemp(name);
  const auto write = [&](const std::string& path, const std::string& program) {
    ASSERT_TRUE(base::MakeDirs(path.substr(0, path.rfind('/'))).ok());
    ASSERT_TRUE(
        base::WriteFile(
            path, R"({"version":"1.0.0","stages":["prestart"],"when":{"always":true},"hook":{"path":")" +
                      program + "\"}}")
            .ok());
  };
  write(dir + "/a/10.json", "/ten");
  write(dir + "/a/20.json", "/twenty");
  write(dir + "/b/10.json", "/other");
  write(dir + "/b/README", "/none");
  const auto hooks = ReadHooks({dir + "/a", dir + "/not-there", dir + "/b"});
  ASSERT_TRUE(hooks.ok()) << hooks.status();
  ASSERT_EQ(hooks->size(), 2U);
  EXPECT_EQ((*hooks)[0].hook["path"], "/other");
  EXPECT_EQ((*hooks)[1].hook["path"], "/twenty");
  EXPECT_TRUE(base::RemoveTree(dir).ok());
}

}  // namespace
}  // namespace berth::runtime::oci
