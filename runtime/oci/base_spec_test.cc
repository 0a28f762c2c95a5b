// SPDX-License-Identifier: Apache-2.0
#include "runtime/oci/base_spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace berth::runtime::oci {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;

json Ours() {
  return {
      {"ociVersion", "1.0.2"},
      {"process", {{"args", {"sh"}}, {"env", {"A=ours"}}, {"capabilities", {{"bounding", json::array()}}}}},
      {"mounts", {{{"destination", "/proc"}, {"type", "proc"}}}},
      {"annotations", {{"a", "ours"}}},
      {"linux", {{"resources", {{"memory", {{"limit", 5}}}}}}}};
}

TEST(BaseSpec, FillsWhatIsOpenAndChangesNothingElse) {
  json spec = Ours();
  FillFromBase({{"hostname", "h"},
                {"annotations", {{"a", "base"}, {"b", "base"}}},
                {"process", {{"rlimits", {{{"type", "RLIMIT_CORE"}}}}, {"env", {"A=base", "B=base"}}}},
                {"linux", {{"resources", {{"memory", {{"limit", 9}, {"swappiness", 0}}}}}}}},
               spec);
  EXPECT_EQ(spec["hostname"], "h");
  EXPECT_EQ(spec["annotations"], (json{{"a", "ours"}, {"b", "base"}}));
  EXPECT_EQ(spec["process"]["env"], (json{"A=ours", "B=base"}));
  EXPECT_EQ(spec["process"]["rlimits"][0]["type"], "RLIMIT_CORE");
  EXPECT_EQ(spec["linux"]["resources"]["memory"], (json{{"limit", 5}, {"swappiness", 0}}));
}

TEST(BaseSpec, MountsAreAddedByDestinationAndBeforeOurs) {
  json spec = Ours();
  FillFromBase(
      {{"mounts",
        {{{"destination", "/proc"}, {"type", "tmpfs"}}, {{"destination", "/x"}, {"type", "tmpfs"}}, 5}}},
      spec);
  ASSERT_EQ(spec["mounts"].size(), 2U);
  EXPECT_EQ(spec["mounts"][0]["destination"], "/x");
  EXPECT_EQ(spec["mounts"][1]["type"], "proc");
}

TEST(BaseSpec, WhatDecidesAboutIsolationIsNeverTaken) {
  const json before = Ours();
  json spec = before;
  FillFromBase({{"root", {{"path", "/"}}},
                {"process",
                 {{"noNewPrivileges", false},
                  {"user", {{"uid", 0}}},
                  {"capabilities", {{"ambient", {"CAP_SYS_ADMIN"}}}}}},
                {"linux",
                 {{"namespaces", json::array()},
                  {"seccomp", {{"defaultAction", "SCMP_ACT_ALLOW"}}},
                  {"maskedPaths", {"/proc/x"}},
                  {"readonlyPaths", {"/proc/x"}},
                  {"devices", {{{"path", "/dev/kmsg"}}}},
                  {"resources", {{"devices", {{{"allow", true}}}}}}}}},
               spec);
  EXPECT_EQ(spec, before);
}

TEST(BaseSpec, NoBaseChangesNothing) {
  json spec = Ours();
  FillFromBase(json(), spec);
  EXPECT_EQ(spec, Ours());
}

TEST(AllowedAnnotations, StarsStandForAnyText) {
  const StringMap all = {{"example.org/a", "1"}, {"example.org/b", "2"}, {"other", "3"}};
  EXPECT_THAT(AllowedAnnotations(all, {}), IsEmpty());
  EXPECT_THAT(AllowedAnnotations(all, {"other"}), ElementsAre(Pair("other", "3")));
  EXPECT_THAT(AllowedAnnotations(all, {"example.org/*"}),
              ElementsAre(Pair("example.org/a", "1"), Pair("example.org/b", "2")));
  EXPECT_THAT(AllowedAnnotations(all, {"*b"}), ElementsAre(Pair("example.org/b", "2")));
  EXPECT_THAT(AllowedAnnotations(all, {"*"}), testing::SizeIs(3));
  EXPECT_THAT(AllowedAnnotations(all, {"example"}), IsEmpty()) << "the whole key";
}

}  // namespace
}  // namespace berth::runtime::oci
